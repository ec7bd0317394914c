//! Whether something moves: cheap enough to ask of every frame, so that the models need not be.
//!
//! ```text
//!            ≥ enter cells in 2 frames, or 4 × enter in one
//!   quiet ──────────────────────────────────────────────▶ active ──< leave cells for 3 s──▶ quiet
//! ```
//! A grid of mean brightnesses is held against a slowly learnt background. Each cell learns how much it varies by itself
//! (noise, leaves, a burnt-in clock) and must differ by more; the median difference of all cells is taken for a change of
//! light and subtracted. While nothing is decoded, [`SizeGate`] listens to the sizes of the encoded pictures instead.

use crate::frame::Frame;
use gatehouse_core::recognition::region::Region;
use std::time::Duration;

/// Cells across and down.
pub const GRID: (usize, usize) = (48, 27);
const CELLS: usize = GRID.0 * GRID.1;

/// How motion is told from noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MotionOptions {
    /// Changed cells that begin motion. 4 of 1296 is a walking child at the far end of a drive.
    pub enter: usize,
    /// Changed cells below which it may end.
    pub leave: usize,
    /// For how long fewer than `leave` must change.
    pub calm: Duration,
    /// Least difference of a cell, of 255.
    pub least: f32,
    /// Difference as a multiple of the cell's own variation.
    pub times: f32,
    /// Time in which the background learns a cell that looks as usual, and one that does not (a parked car).
    pub learn: (Duration, Duration),
}

impl Default for MotionOptions {
    fn default() -> Self {
        Self {
            enter: 4,
            leave: 3,
            calm: Duration::from_secs(3),
            least: 7.0,
            times: 4.0,
            learn: (Duration::from_secs(4), Duration::from_secs(25)),
        }
    }
}

/// What a frame showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Motion {
    /// Cells that changed.
    pub cells: usize,
    /// Whether something moves.
    pub active: bool,
    /// Whether that began or ended with this frame.
    pub edge: bool,
    /// Whether this frame alone would begin it: worth looking at the next one soon.
    pub suspect: bool,
}

/// The gate of one camera.
#[derive(Debug, Clone)]
pub struct MotionGate {
    options: MotionOptions,
    /// Cells that count; empty: all.
    counts: Vec<bool>,
    background: Vec<Cell>,
    last: Duration,
    looked: u32,
    began: Duration,
    warm: bool,
    suspected: bool,
    active: bool,
    calm_since: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    mean: f32,
    /// How much the cell varies by itself.
    varies: f32,
}

/// Frames and time before the gate may open: the background must be known first.
const WARM_UP: (u32, Duration) = (8, Duration::from_millis(1500));
/// A cell's variation at first.
const VARIES: f32 = 2.0;
/// Most that a cell is believed to vary: beyond, it could hide a car.
const VARIES_MAX: f32 = 20.0;
/// Rows at the upper and lower edge where cameras burn in clocks and names; cells there may vary as they like.
const EDGE_ROWS: usize = 3;
const VARIES_MAX_EDGE: f32 = 100.0;

impl MotionGate {
    /// A gate that knows nothing yet.
    pub fn new(options: MotionOptions) -> Self {
        Self {
            options,
            counts: Vec::new(),
            background: Vec::new(),
            last: Duration::ZERO,
            looked: 0,
            began: Duration::ZERO,
            warm: false,
            suspected: false,
            active: false,
            calm_since: Duration::ZERO,
        }
    }

    /// The usual gate, which only looks at a part of the picture.
    pub fn within(region: &Region) -> Self {
        let centre = |cell: usize, across: usize| (cell as f32 + 0.5) / across as f32;
        let cells = (0..CELLS).map(|i| region.contains([centre(i % GRID.0, GRID.0), centre(i / GRID.0, GRID.1)]));
        Self { counts: cells.collect(), ..Self::new(MotionOptions::default()) }
    }

    /// Whether something moves.
    pub fn active(&self) -> bool {
        self.active
    }

    /// Looks at a frame. Any rate will do: learning goes by the frames' times.
    pub fn look(&mut self, frame: &Frame) -> Motion {
        self.step(&grid(frame), frame.pts())
    }

    fn step(&mut self, cells: &[f32], at: Duration) -> Motion {
        if self.background.len() != cells.len() {
            self.background = cells.iter().map(|mean| Cell { mean: *mean, varies: VARIES }).collect();
            self.looked = 0;
            self.began = at;
        }
        let elapsed = at.saturating_sub(self.last).min(Duration::from_secs(2)).as_secs_f32();
        self.last = at;
        self.looked = self.looked.saturating_add(1);
        let light = median(self.background.iter().zip(cells).map(|(known, now)| now - known.mean));
        let share = |over: Duration| 1.0 - (-elapsed / over.as_secs_f32()).exp();
        self.warm |= self.looked > WARM_UP.0 && at.saturating_sub(self.began) >= WARM_UP.1;
        let warming = !self.warm;
        let learn = self.options.learn;
        let (usual, unusual) = if warming { (0.25, 0.25) } else { (share(learn.0), share(learn.1)) };
        let mut changed = 0;
        for (i, (known, now)) in self.background.iter_mut().zip(cells).enumerate() {
            let edge = i < EDGE_ROWS * GRID.0 || i >= (GRID.1 - EDGE_ROWS) * GRID.0;
            let difference = now - known.mean - light;
            let differs = difference.abs() > self.options.least.max(self.options.times * known.varies);
            changed += usize::from(differs && self.counts.get(i).is_none_or(|counts| *counts));
            let learn = if differs && !edge { unusual } else { usual };
            known.mean += learn * (difference + light);
            let more = difference.abs() - known.varies;
            known.varies = match edge {
                false => (known.varies + learn * more).min(VARIES_MAX),
                // Quick to believe, slow to forget: digits that rarely change must not surprise each time.
                true => (known.varies + more * if more > 0.0 { 0.5 } else { learn / 16.0 }).min(VARIES_MAX_EDGE),
            };
        }
        if warming {
            return Motion { cells: changed, active: false, edge: false, suspect: false };
        }
        let suspect = changed >= self.options.enter;
        let was = self.active;
        if !self.active {
            self.active = changed >= 4 * self.options.enter || (suspect && self.suspected);
            self.calm_since = at;
        } else if changed >= self.options.leave {
            self.calm_since = at;
        } else if at.saturating_sub(self.calm_since) >= self.options.calm {
            self.active = false;
        }
        self.suspected = suspect;
        Motion { cells: changed, active: self.active, edge: was != self.active, suspect }
    }
}

/// Mean brightness of each cell, from every second row and fourth column.
fn grid(frame: &Frame) -> Vec<f32> {
    let luma;
    let view = match frame.planes() {
        Some([y, ..]) => y,
        None => {
            luma = frame.luma();
            luma.view()
        }
    };
    let (width, height) = (view.width() as usize, view.height() as usize);
    let mut sums = vec![(0_u32, 0_u32); CELLS];
    for y in (0..height).step_by(2) {
        let row = view.row(y as u32);
        let cells = &mut sums[y * GRID.1 / height * GRID.0..][..GRID.0];
        for (column, (sum, count)) in cells.iter_mut().enumerate() {
            let span = column * width / GRID.0..(column + 1) * width / GRID.0;
            for value in row[span].iter().step_by(4) {
                *sum += u32::from(*value);
                *count += 1;
            }
        }
    }
    sums.into_iter().map(|(sum, count)| sum as f32 / count.max(1) as f32).collect()
}

fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Listens to the sizes of encoded pictures between key frames: what moves costs bits.
#[derive(Debug, Clone, Default)]
pub struct SizeGate {
    mean: f32,
    varies: f32,
    heard: u32,
    high: u32,
}

impl SizeGate {
    /// Takes a picture that depends on others; whether the last two stood out so much that decoding is worth while.
    pub fn hear(&mut self, bytes: usize) -> bool {
        let bytes = bytes as f32;
        self.heard = self.heard.saturating_add(1);
        if self.heard == 1 {
            (self.mean, self.varies) = (bytes, bytes / 4.0);
        }
        // Half as much again, and more than both its own variation and what a clock's digits cost.
        let stands_out = bytes > 1.5 * self.mean + 4.0 * self.varies && bytes > self.mean + 400.0;
        let learn = if self.heard < 20 { 0.2 } else { 0.05 };
        // One that stands out is learnt less, so that motion does not become the usual before it is seen.
        let learn = if stands_out { learn / 4.0 } else { learn };
        let difference = bytes - self.mean;
        self.mean += learn * difference;
        self.varies += learn * (difference.abs() - self.varies);
        self.high = if stands_out { self.high + 1 } else { 0 };
        self.heard > 8 && self.high >= 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A noisy grey picture with a light square at `x`.
    fn picture(i: u64, light: f32, square: Option<u32>) -> Frame {
        let (width, height) = (320_u32, 180_u32);
        let mut seed = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut y = Vec::with_capacity((width * height) as usize);
        for row in 0..height {
            for column in 0..width {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let noise = (seed >> 60) as f32 - 8.0;
                let inside = square.is_some_and(|x| (x..x + 24).contains(&column) && (80..120).contains(&row));
                y.push((if inside { 200.0 } else { 90.0 } + light + noise).clamp(0.0, 255.0) as u8);
            }
        }
        let chroma = vec![128; (width * height / 4) as usize];
        let strides = [width as usize, width as usize / 2, width as usize / 2];
        let pts = Duration::from_millis(40 * i);
        Frame::from_i420((width, height), [&y, &chroma, &chroma], strides, crate::frame::YuvRange::Limited, pts)
            .unwrap()
    }

    /// Frames at which the gate opened and closed.
    fn edges(frames: impl Iterator<Item = Frame>) -> Vec<(usize, bool)> {
        edges_of(MotionGate::new(MotionOptions::default()), frames)
    }

    fn edges_of(mut gate: MotionGate, frames: impl Iterator<Item = Frame>) -> Vec<(usize, bool)> {
        let seen: Vec<Motion> = frames.map(|frame| gate.look(&frame)).collect();
        seen.iter().enumerate().filter(|(_, m)| m.edge).map(|(i, m)| (i, m.active)).collect()
    }

    #[test]
    fn noise_and_changing_light_are_not_motion() {
        assert_eq!(edges((0..100).map(|i| picture(i, 0.0, None))), []);
        assert_eq!(edges((0..100).map(|i| picture(i, i as f32 * 0.5, None))), [], "dawn");
        assert_eq!(edges((0..100).map(|i| picture(i, if i < 50 { 0.0 } else { 60.0 }, None))), [], "a lamp");
    }

    #[test]
    fn a_passer_by_opens_the_gate_at_once_and_it_closes_after_three_calm_seconds() {
        let walk = |i: u64| (50..100).contains(&i).then(|| 10 + (i as u32 - 50) * 5);
        let edges = edges((0..300).map(|i| picture(i, 0.0, walk(i))));
        let [(opened, true), (closed, false)] = edges[..] else { panic!("{edges:?}") };
        assert!((50..=52).contains(&opened), "{opened}");
        assert!((170..=260).contains(&closed), "{closed}");
    }

    #[test]
    fn who_passes_elsewhere_does_not_open_it() {
        // The square walks from 10 to 255 of 320 at half height.
        let walk = |i: u64| (50..100).contains(&i).then(|| 10 + (i as u32 - 50) * 5);
        let frames = || (0..200).map(|i| picture(i, 0.0, walk(i)));
        let lower = Region::new(vec![[0.0, 0.75], [1.0, 0.75], [1.0, 1.0], [0.0, 1.0]]);
        assert_eq!(edges_of(MotionGate::within(&lower), frames()), []);
        let right = Region::new(vec![[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]);
        let opened = edges_of(MotionGate::within(&right), frames()).first().copied();
        assert!(opened.is_some_and(|(at, active)| active && (75..=85).contains(&at)), "{opened:?}");
    }

    #[test]
    fn a_parked_car_becomes_background() {
        let edges = edges((0..2500).map(|i| picture(i, 0.0, (i >= 50).then_some(100))));
        assert_eq!(edges.iter().map(|e| e.1).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_ticking_clock_is_learnt() {
        // A small square that comes and goes every second, as digits do: at most one false alarm at first.
        let edges = edges((0..2000).map(|i| picture(i, 0.0, (i / 25 % 2 == 0).then_some(4))));
        assert!(edges.iter().filter(|e| e.1 && e.0 > 500).count() == 0, "{edges:?}");
    }

    #[test]
    fn a_strip_that_flickers_along_the_lower_edge_is_not_motion() {
        let flicker = |i: u64| {
            let mut rgb = picture(i, 0.0, None).to_rgb();
            let mut bits = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            for block in 0..48_usize {
                bits = bits.rotate_left(1);
                let value = if bits & 1 == 1 { 235 } else { 16 };
                for row in 172..180_usize {
                    rgb.data_mut()[(row * 320 + block * 6) * 3..][..18].fill(value);
                }
            }
            rgb.into_frame(Duration::from_millis(40 * i))
        };
        assert_eq!(edges((0..500).map(flicker)), []);
    }

    #[test]
    fn sizes_that_stand_out_twice_wake() {
        let mut gate = SizeGate::default();
        for i in 0..200 {
            assert!(!gate.hear(800 + i % 7 * 30), "quiet at {i}");
        }
        assert!(!gate.hear(6000), "one may be anything");
        assert!(gate.hear(6000));
    }

    proptest! {
        #[test]
        fn any_sizes_are_survived(sizes in proptest::collection::vec(0_usize..1 << 40, 0..100)) {
            let mut gate = SizeGate::default();
            for size in sizes {
                gate.hear(size);
            }
        }

        #[test]
        fn a_gate_never_opens_and_closes_in_one_frame(
            frames in proptest::collection::vec((0_u64..1000, proptest::option::of(0_u32..290)), 0..20)
        ) {
            let mut gate = MotionGate::new(MotionOptions::default());
            let mut active = false;
            for (at, square) in frames {
                let motion = gate.look(&picture(at, 0.0, square));
                prop_assert_eq!(motion.edge, motion.active != active);
                active = motion.active;
            }
        }
    }
}
