//! Whether a camera shows what it showed: not dark, not covered, in focus, of the same view.
//!
//! ```text
//!  frame, one a second ─▶ brightness, spread, sharpness, pattern of edges ─▶ held against what was learnt ─▶ a problem
//!                                                                            that stands for its settle time is told
//! ```
//! Everything that is compared survives a change of light: the pattern is a correlation of signed gradients (gain and offset
//! fall out), sharpness is the energy of fine edges over that of coarse ones. Below [`ViewOptions::judged_from`] only darkness
//! is judged: at night with the lights off there is nothing to compare. Thresholds and how they were chosen: README.md.

use crate::frame::Frame;
use std::time::Duration;

/// Blocks across and down whose means are compared.
const GRID: (usize, usize) = (64, 36);
const BLOCKS: usize = GRID.0 * GRID.1;
/// A gradient is cut here, so that one strong edge is not the whole pattern; below the dead zone it is noise.
const GRADIENT_MAX: f32 = 40.0;
const DEAD_ZONE: f32 = 1.5;
/// Frames are judged this far apart at least.
const EVERY: Duration = Duration::from_secs(1);
/// After a hole this long what stood before it counts no more.
const HOLE: Duration = Duration::from_secs(30);

/// What is wrong with a view, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// Black, without anything to see.
    Dark,
    /// Something is before the lens: hardly any structure is left.
    Covered,
    /// The same view with its fine edges gone.
    Defocused,
    /// Another view.
    Moved,
}

impl Problem {
    /// The word told.
    pub fn word(self) -> &'static str {
        match self {
            Problem::Dark => "dark",
            Problem::Covered => "covered",
            Problem::Defocused => "defocused",
            Problem::Moved => "moved",
        }
    }
}

/// When a view is told to be unusable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ViewOptions {
    /// Mean brightness below which it may be dark, of 255, and the spread (95th less 5th percentile of the blocks) it then has.
    pub dark: (f32, f32),
    /// Spread below which it may be covered, and the share of the learnt edge energy that is left then.
    pub covered: (f32, f32),
    /// Share of the learnt sharpness below which it is out of focus, and the correlation with the learnt pattern it keeps.
    pub defocused: (f32, f32),
    /// Correlation with the learnt pattern below which it is another view, and the share of edge energy it has then.
    pub moved: (f32, f32),
    /// Mean brightness from which anything but darkness is judged, and the view learnt.
    pub judged_from: f32,
    /// How long each problem must stand: dark (a lamp that goes on and off), covered, defocused (autofocus hunts), moved.
    pub settle: [Duration; 4],
    /// How long it must be gone.
    pub calm: Duration,
    /// Time over which the view is learnt before it is judged, and in which it follows slow changes.
    pub learn: (Duration, Duration),
    /// A new view that stands this long becomes the learnt one.
    pub accept: Duration,
}

impl Default for ViewOptions {
    fn default() -> Self {
        Self {
            dark: (20.0, 8.0),
            covered: (16.0, 0.25),
            defocused: (0.35, 0.5),
            moved: (0.25, 0.3),
            judged_from: 40.0,
            settle: [120, 20, 60, 60].map(Duration::from_secs),
            calm: Duration::from_secs(10),
            learn: (Duration::from_secs(30), Duration::from_secs(300)),
            accept: Duration::from_secs(600),
        }
    }
}

/// What one picture is like.
#[derive(Debug, Clone, PartialEq)]
struct Look {
    mean: f32,
    spread: f32,
    /// Mean square of the fine over that of the coarse gradients.
    sharpness: f32,
    /// Root mean square of the pattern.
    energy: f32,
    /// Signed gradients of the blocks, across and down.
    pattern: Vec<f32>,
}

/// The view of one camera.
#[derive(Debug, Clone)]
pub struct ViewWatch {
    options: ViewOptions,
    known: Option<Look>,
    /// When the first picture came, and when learning began.
    first: Option<Duration>,
    began: Option<Duration>,
    judged: Option<Duration>,
    /// What the newest pictures show, and since when.
    seen: Option<(Option<Problem>, Duration)>,
    told: Option<Option<Problem>>,
    told_at: Duration,
}

impl ViewWatch {
    /// Nothing learnt yet.
    pub fn new(options: ViewOptions) -> Self {
        Self {
            options,
            known: None,
            first: None,
            began: None,
            judged: None,
            seen: None,
            told: None,
            told_at: Duration::ZERO,
        }
    }

    /// Takes a picture; what is wrong from now on, when that changed. The first word comes once the view is learnt.
    pub fn look(&mut self, frame: &Frame) -> Option<Option<Problem>> {
        let now = frame.pts();
        match self.judged {
            Some(last) if now < last || now.saturating_sub(last) > HOLE => self.seen = None,
            Some(last) if now.saturating_sub(last) < EVERY => return None,
            Some(_) | None => {}
        }
        let elapsed = now.saturating_sub(self.judged.unwrap_or(now));
        self.judged = Some(now);
        self.step(&look(frame), now, elapsed)
    }

    fn step(&mut self, look: &Look, now: Duration, elapsed: Duration) -> Option<Option<Problem>> {
        let first = *self.first.get_or_insert(now);
        let problem = self.judge(look);
        let (showing, since) = *self.seen.get_or_insert((problem, now));
        if showing != problem {
            self.seen = Some((problem, now));
        }
        let stood = if showing == problem { now.saturating_sub(since) } else { Duration::ZERO };
        if problem.is_none() && look.mean >= self.options.judged_from {
            self.learn(look, now, elapsed);
        }
        if self.told == Some(Some(Problem::Moved)) && now.saturating_sub(self.told_at) >= self.options.accept {
            // Whoever moved it meant it: this is the view now.
            self.known = Some(look.clone());
            self.seen = None;
            return self.tell(None, now);
        }
        let settled = match problem {
            Some(problem) => stood >= self.options.settle[problem as usize],
            None => {
                stood >= self.options.calm && (now.saturating_sub(first) >= self.options.learn.0 || self.told.is_some())
            }
        };
        (settled && self.told != Some(problem)).then(|| self.tell(problem, now)).flatten()
    }

    fn tell(&mut self, problem: Option<Problem>, now: Duration) -> Option<Option<Problem>> {
        self.told = Some(problem);
        self.told_at = now;
        Some(problem)
    }

    fn judge(&self, look: &Look) -> Option<Problem> {
        let options = &self.options;
        if look.mean < options.dark.0 && look.spread < options.dark.1 {
            return Some(Problem::Dark);
        }
        let known = self.known.as_ref().filter(|_| look.mean >= options.judged_from)?;
        // Of a view that has no structure itself nothing can be told.
        if known.energy < DEAD_ZONE {
            return None;
        }
        let left = look.energy / known.energy;
        if look.spread < options.covered.0 && left < options.covered.1 {
            return Some(Problem::Covered);
        }
        let alike = correlation(&look.pattern, &known.pattern);
        if look.sharpness < options.defocused.0 * known.sharpness && alike >= options.defocused.1 {
            return Some(Problem::Defocused);
        }
        (alike < options.moved.0 && left >= options.moved.1).then_some(Problem::Moved)
    }

    fn learn(&mut self, look: &Look, now: Duration, elapsed: Duration) {
        let began = *self.began.get_or_insert(now);
        let Some(known) = &mut self.known else {
            self.known = Some(look.clone());
            return;
        };
        let fresh = now.saturating_sub(began) < self.options.learn.0;
        let over = if fresh { Duration::from_secs(5) } else { self.options.learn.1 };
        let share = 1.0 - (-elapsed.as_secs_f32() / over.as_secs_f32()).exp();
        let follow = |known: &mut f32, new: f32| *known += share * (new - *known);
        follow(&mut known.mean, look.mean);
        follow(&mut known.spread, look.spread);
        follow(&mut known.sharpness, look.sharpness);
        follow(&mut known.energy, look.energy);
        known.pattern.iter_mut().zip(&look.pattern).for_each(|(known, new)| follow(known, *new));
    }
}

fn look(frame: &Frame) -> Look {
    let luma;
    let view = match frame.planes() {
        Some([y, ..]) => y,
        None => {
            luma = frame.luma();
            luma.view()
        }
    };
    let (width, height) = (view.width() as usize, view.height() as usize);
    let mut sums = vec![(0_u64, 0_u32); BLOCKS];
    let (mut fine, mut count) = (0_u64, 0_u64);
    for y in (0..height).step_by(2) {
        let row = view.row(y as u32);
        let blocks = &mut sums[y * GRID.1 / height * GRID.0..][..GRID.0];
        for (column, (sum, count)) in blocks.iter_mut().enumerate() {
            for value in &row[column * width / GRID.0..(column + 1) * width / GRID.0] {
                *sum += u64::from(*value);
                *count += 1;
            }
        }
        for pair in row.windows(3).step_by(2) {
            let step = i64::from(pair[2]) - i64::from(pair[0]);
            fine += (step * step).unsigned_abs();
            count += 1;
        }
    }
    let means: Vec<f32> = sums.iter().map(|(sum, count)| *sum as f32 / (*count).max(1) as f32).collect();
    let gradient = |a: usize, b: usize| {
        let step = means[b] - means[a];
        if step.abs() < DEAD_ZONE { 0.0 } else { step.clamp(-GRADIENT_MAX, GRADIENT_MAX) }
    };
    let mut pattern = Vec::with_capacity(2 * BLOCKS);
    for y in 0..GRID.1 {
        for x in 0..GRID.0 {
            let at = y * GRID.0 + x;
            pattern.push(if x + 1 < GRID.0 { gradient(at, at + 1) } else { 0.0 });
            pattern.push(if y + 1 < GRID.1 { gradient(at, at + GRID.0) } else { 0.0 });
        }
    }
    let energy = (pattern.iter().map(|step| step * step).sum::<f32>() / pattern.len() as f32).sqrt();
    let fine = fine as f32 / count.max(1) as f32;
    let mut sorted = means.clone();
    sorted.sort_unstable_by(f32::total_cmp);
    Look {
        mean: means.iter().sum::<f32>() / BLOCKS as f32,
        spread: sorted[BLOCKS * 95 / 100] - sorted[BLOCKS * 5 / 100],
        sharpness: fine / (energy * energy).max(0.25),
        energy,
        pattern,
    }
}

/// Cosine of two patterns; 0 where one has none.
fn correlation(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let length = (dot(a, a) * dot(b, b)).sqrt();
    if length > 0.0 { dot(a, b) / length } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::YuvRange;
    use proptest::prelude::*;

    const SIZE: (u32, u32) = (640, 360);

    /// A street of rectangles: houses, windows, kerbs. Luma only.
    fn street(seed: u64) -> Vec<f32> {
        let (width, height) = (SIZE.0 as usize, SIZE.1 as usize);
        let mut bits = seed | 1;
        let mut draw = |below: usize| {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (bits >> 33) as usize % below
        };
        let mut picture: Vec<f32> = (0..width * height).map(|i| 150.0 - (i / width) as f32 * 0.15).collect();
        for _ in 0..260 {
            let (w, h, value) = (4 + draw(90), 4 + draw(60), 30.0 + draw(190) as f32);
            let (x, y) = (draw(width - w), draw(height - h));
            for row in y..y + h {
                picture[row * width + x..][..w].fill(value);
            }
        }
        picture
    }

    /// Blurs with a box three times: nearly a bell.
    fn blurred(picture: &[f32], radius: usize) -> Vec<f32> {
        let (width, height) = (SIZE.0 as usize, SIZE.1 as usize);
        let mut out = picture.to_vec();
        for _ in 0..3 {
            for along in [(1, width, width, height), (width, height, 1, width)] {
                let (step, length, next, lines) = along;
                let from = out.clone();
                for line in 0..lines {
                    for i in 0..length {
                        let (a, b) = (i.saturating_sub(radius), (i + radius).min(length - 1));
                        let sum: f32 = (a..=b).map(|j| from[line * next + j * step]).sum();
                        out[line * next + i * step] = sum / (b - a + 1) as f32;
                    }
                }
            }
        }
        out
    }

    fn frame(picture: &[f32], second: u64, gain: f32, noise: f32) -> Frame {
        let mut bits = second.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let y: Vec<u8> = picture
            .iter()
            .map(|value| {
                bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let random = (bits >> 40) as f32 / (1_u64 << 23) as f32 - 1.0;
                (value * gain + random * noise).round().clamp(0.0, 255.0) as u8
            })
            .collect();
        let chroma = vec![128; y.len() / 4];
        let strides = [SIZE.0 as usize, SIZE.0 as usize / 2, SIZE.0 as usize / 2];
        Frame::from_i420(SIZE, [&y, &chroma, &chroma], strides, YuvRange::Limited, Duration::from_secs(second)).unwrap()
    }

    /// What was told, with the second: a scene of (from second, picture, gain, noise).
    fn told(scene: &[(u64, &[f32], f32, f32)], until: u64) -> Vec<(u64, Option<Problem>)> {
        let mut watch = ViewWatch::new(ViewOptions::default());
        let at = |second| scene.iter().rev().find(|(from, ..)| *from <= second).unwrap();
        (0..until)
            .filter_map(|second| {
                let (_, picture, gain, noise) = at(second);
                watch.look(&frame(picture, second, *gain, *noise)).map(|word| (second, word))
            })
            .collect()
    }

    #[test]
    fn a_steady_view_is_fine_whatever_the_light() {
        let day = street(1);
        let light = [(0, &*day, 1.0, 2.0), (100, &*day, 0.5, 4.0), (200, &*day, 1.2, 2.0), (300, &*day, 0.35, 5.0)];
        assert_eq!(told(&light, 400), [(30, None)]);
    }

    #[test]
    fn lights_going_on_and_off_at_night_are_no_problem() {
        let (scene, black) = (street(2), vec![6.0; (SIZE.0 * SIZE.1) as usize]);
        let mut night: Vec<(u64, &[f32], f32, f32)> = vec![(0, &scene, 1.0, 2.0)];
        for minute in 1..20 {
            let off = minute % 2 == 1;
            // A lamp with a motion sensor: moonlight in between, then not even that for a minute.
            let dim: &[f32] = if off && minute > 10 { &black } else { &scene };
            night.push((minute * 60, dim, if off { 0.12 } else { 1.0 }, 3.0));
        }
        night.push((1200, &scene, 0.12, 3.0));
        assert_eq!(told(&night, 2400), [(30, None)]);
    }

    #[test]
    fn a_dark_a_covered_a_blurred_and_a_turned_camera_are_told_after_their_time_and_cleared() {
        let (day, other) = (street(3), street(4));
        let black = vec![5.0; day.len()];
        let hand: Vec<f32> = (0..day.len()).map(|i| 70.0 + (i % 640) as f32 / 100.0).collect();
        let soft = blurred(&day, 3);
        for (picture, problem, settle) in [
            (&black, Problem::Dark, 120),
            (&hand, Problem::Covered, 20),
            (&soft, Problem::Defocused, 60),
            (&other, Problem::Moved, 60),
        ] {
            let scene: [(u64, &[f32], f32, f32); 3] =
                [(0, &day, 1.0, 2.0), (100, picture, 1.0, 2.0), (300, &day, 1.0, 2.0)];
            assert_eq!(told(&scene, 360), [(30, None), (100 + settle, Some(problem)), (310, None)], "{problem:?}");
            let brief: [(u64, &[f32], f32, f32); 3] =
                [(0, &day, 1.0, 2.0), (100, picture, 1.0, 2.0), (115, &day, 1.0, 2.0)];
            assert_eq!(told(&brief, 360), [(30, None)], "{problem:?} for a moment");
        }
    }

    #[test]
    fn a_camera_turned_a_little_is_told_too_and_its_new_view_accepted_in_time() {
        let day = street(5);
        let shift = 40;
        let turned: Vec<f32> = (0..day.len()).map(|i| day[i / 640 * 640 + (i % 640 + shift) % 640]).collect();
        let scene: [(u64, &[f32], f32, f32); 2] = [(0, &day, 1.0, 2.0), (100, &turned, 1.0, 2.0)];
        assert_eq!(told(&scene, 1000), [(30, None), (160, Some(Problem::Moved)), (760, None)]);
    }

    #[test]
    fn a_lorry_that_parks_across_half_the_view_is_not_another_view() {
        let day = street(6);
        let lorry: Vec<f32> =
            (0..day.len())
                .map(|i| {
                    if (150..440).contains(&(i % 640)) && i / 640 > 80 { 200.0 - (i / 640 % 40) as f32 } else { day[i] }
                })
                .collect();
        let scene: [(u64, &[f32], f32, f32); 2] = [(0, &day, 1.0, 2.0), (100, &lorry, 1.0, 2.0)];
        assert_eq!(told(&scene, 700), [(30, None)]);
    }

    #[test]
    fn after_a_hole_in_the_stream_the_time_begins_anew() {
        let (day, black) = (street(7), vec![5.0; 640 * 360]);
        let mut watch = ViewWatch::new(ViewOptions::default());
        let mut words = Vec::new();
        let dark = |second| frame(&black, second, 1.0, 1.0);
        for frame in (0..60).map(|s| frame(&day, s, 1.0, 2.0)).chain((60..120).map(dark)).chain((200..260).map(dark)) {
            words.extend(watch.look(&frame));
        }
        assert_eq!(words, [None], "60 s and 60 s are not 120");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn pictures_of_any_size_are_survived(width in 1_u32..200, height in 1_u32..120, value in 0_u8..=255) {
            let mut watch = ViewWatch::new(ViewOptions::default());
            for second in 0..4 {
                let rgb = vec![value; (width * height * 3) as usize];
                let _ = watch.look(&Frame::from_rgb(width, height, rgb, Duration::from_secs(second)).unwrap());
            }
        }
    }
}
