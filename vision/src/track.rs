//! The same car or face from frame to frame, and what its frames say together.
//!
//! Tracks are matched by overlap, and by nearness where things move faster than their own width between two frames (a
//! plate at a gate camera of five frames a second). The verdicts themselves are core's.

use std::time::Duration;

use gatehouse_core::recognition::face::{FaceAgreement, FacePolicy, FaceSighting, FaceVerdict};
use gatehouse_core::recognition::plate::{PlatePolicy, PlateVerdict, PlateVote};

use crate::face::{FaceRead, Gallery};
use crate::plate::PlateRead;
use crate::plate::detect::overlap;

/// How tracks are held together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackPolicy {
    /// A track not seen for this long has ended.
    pub lost_after: Duration,
    /// Farthest a centre may move between two frames, in widths of the box.
    pub reach: f32,
    /// Most tracks at once; the longest unseen gives way. Bounds memory on a picture full of false boxes.
    pub tracks_max: usize,
}

impl TrackPolicy {
    /// Plates move several of their widths between two frames.
    pub const PLATES: Self = Self { lost_after: Duration::from_secs(3), reach: 2.5, tracks_max: 32 };
    /// Faces move less than their width.
    pub const FACES: Self = Self { lost_after: Duration::from_millis(1500), reach: 1.0, tracks_max: 32 };
}

/// Identifies a track within its tracker; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u64);

#[derive(Debug, Clone)]
struct Track<S> {
    id: TrackId,
    bounds: [f32; 4],
    seen: Duration,
    state: S,
}

/// Tracks with a state each.
#[derive(Debug, Clone)]
pub struct Tracker<S> {
    policy: TrackPolicy,
    next: u64,
    tracks: Vec<Track<S>>,
}

impl<S: Default> Tracker<S> {
    /// No tracks yet.
    pub fn new(policy: TrackPolicy) -> Self {
        Self { policy, next: 0, tracks: Vec::new() }
    }

    /// Gives each box of a frame its track, a new one where none fits; boxes are matched nearest first.
    ///
    /// `bounds`: x1, y1, x2, y2 in frame pixels; `now`: the frame's pts. A clock that jumped back counts as no time.
    pub fn assign(&mut self, bounds: &[[f32; 4]], now: Duration) -> Vec<TrackId> {
        self.tracks.retain(|track| now.saturating_sub(track.seen) <= self.policy.lost_after);
        let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
        for (t, track) in self.tracks.iter().enumerate() {
            for (b, bounds) in bounds.iter().enumerate() {
                pairs.extend(self.policy.apart(&track.bounds, bounds).map(|apart| (apart, t, b)));
            }
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut track_of = vec![None; bounds.len()];
        let mut taken = vec![false; self.tracks.len()];
        for (_, t, b) in pairs {
            if track_of[b].is_none() && !taken[t] {
                track_of[b] = Some(self.tracks[t].id);
                taken[t] = true;
                (self.tracks[t].bounds, self.tracks[t].seen) = (bounds[b], now);
            }
        }
        track_of
            .into_iter()
            .zip(bounds)
            .map(|(track, bounds)| track.unwrap_or_else(|| self.begin(*bounds, now)))
            .collect()
    }

    fn begin(&mut self, bounds: [f32; 4], now: Duration) -> TrackId {
        if self.tracks.len() >= self.policy.tracks_max.max(1) {
            let oldest = self.tracks.iter().enumerate().min_by_key(|(_, track)| track.seen).map(|(i, _)| i);
            if let Some(oldest) = oldest {
                self.tracks.swap_remove(oldest);
            }
        }
        let id = TrackId(self.next);
        self.next += 1;
        self.tracks.push(Track { id, bounds, seen: now, state: S::default() });
        id
    }

    /// A live track's state.
    pub fn state(&mut self, id: TrackId) -> Option<&mut S> {
        self.tracks.iter_mut().find(|track| track.id == id).map(|track| &mut track.state)
    }

    /// Live tracks.
    pub fn len(&self) -> usize {
        self.tracks.len()
    }

    /// Whether nothing is tracked.
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }
}

impl TrackPolicy {
    /// How far two boxes are from being the same thing, 0 the same; `None` when they cannot be.
    fn apart(&self, a: &[f32; 4], b: &[f32; 4]) -> Option<f32> {
        let width = |b: &[f32; 4]| (b[2] - b[0]).max(1.0);
        let (wide, narrow) = (width(a).max(width(b)), width(a).min(width(b)));
        if wide > 2.0 * narrow {
            return None;
        }
        let centre = |b: &[f32; 4]| ((b[0] + b[2]) / 2.0, (b[1] + b[3]) / 2.0);
        let ((ax, ay), (bx, by)) = (centre(a), centre(b));
        let moved = (ax - bx).hypot(ay - by) / wide;
        (moved <= self.reach).then(|| moved + 1.0 - overlap(a, b))
    }
}

/// What one frame adds to a car's passage.
#[derive(Debug, Clone, PartialEq)]
pub struct PlateNews {
    /// The car.
    pub track: TrackId,
    /// Which of the frame's reads.
    pub read: usize,
    /// The verdict with this frame.
    pub verdict: PlateVerdict,
    /// Whether the accepted text is new for this car: report it once.
    pub fresh: bool,
}

/// Votes over the frames of each car in view of one camera.
#[derive(Debug, Clone)]
pub struct PlateTracks {
    policy: PlatePolicy,
    tracker: Tracker<(PlateVote, Option<String>)>,
}

impl PlateTracks {
    /// No cars yet.
    pub fn new(policy: PlatePolicy) -> Self {
        Self { policy, tracker: Tracker::new(TrackPolicy::PLATES) }
    }

    /// Counts a frame's reads.
    pub fn update(&mut self, reads: &[PlateRead], now: Duration) -> Vec<PlateNews> {
        let bounds: Vec<_> = reads.iter().map(|read| read.bounds).collect();
        let tracks = self.tracker.assign(&bounds, now);
        let mut news = Vec::with_capacity(reads.len());
        for (i, (read, track)) in reads.iter().zip(tracks).enumerate() {
            let Some((vote, reported)) = self.tracker.state(track) else { continue };
            vote.add(read.said());
            let verdict = vote.verdict(&self.policy);
            let fresh = match &verdict {
                PlateVerdict::Accepted { text, .. } if reported.as_ref() != Some(text) => {
                    *reported = Some(text.clone());
                    true
                }
                _ => false,
            };
            news.push(PlateNews { track, read: i, verdict, fresh });
        }
        news
    }

    /// Cars in view.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether no car is in view.
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }
}

/// What one frame adds to a face's visit.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceNews<P> {
    /// The face.
    pub track: TrackId,
    /// Which of the frame's faces.
    pub read: usize,
    /// The verdict with this frame.
    pub verdict: FaceVerdict<P>,
    /// Whether the verdict's kind or person changed with this frame: report it once.
    pub fresh: bool,
}

/// State of a tracked face: its frames, and who was reported (and whether as recognised).
#[derive(Debug, Clone)]
struct Visit<P> {
    frames: FaceAgreement<P>,
    reported: Option<(P, bool)>,
}

impl<P> Default for Visit<P> {
    fn default() -> Self {
        Self { frames: FaceAgreement::default(), reported: None }
    }
}

/// Agreement over the frames of each face in view of one camera.
#[derive(Debug, Clone)]
pub struct FaceTracks<P> {
    policy: FacePolicy,
    tracker: Tracker<Visit<P>>,
}

impl<P: Copy + PartialEq> FaceTracks<P> {
    /// No faces yet.
    pub fn new(policy: FacePolicy) -> Self {
        Self { policy, tracker: Tracker::new(TrackPolicy::FACES) }
    }

    /// Counts a frame's faces against the people known now.
    pub fn update(&mut self, reads: &[FaceRead], gallery: &Gallery<P>, now: Duration) -> Vec<FaceNews<P>> {
        let bounds: Vec<_> = reads.iter().map(|read| read.bounds).collect();
        let tracks = self.tracker.assign(&bounds, now);
        let mut news = Vec::with_capacity(reads.len());
        for (i, (read, track)) in reads.iter().zip(tracks).enumerate() {
            let Some(visit) = self.tracker.state(track) else { continue };
            let best = gallery.best(&read.embedding);
            let sighting = FaceSighting {
                person: best.map(|best| best.person),
                cosine: best.map_or(-1.0, |best| best.cosine),
                width_px: read.width_px,
                liveness: read.liveness,
            };
            let verdict = visit.frames.push(sighting, &self.policy);
            let said = match &verdict {
                FaceVerdict::Unknown => None,
                FaceVerdict::Candidate { person, .. } => Some((*person, false)),
                FaceVerdict::Recognised { person, .. } => Some((*person, true)),
            };
            // A recognised face that has one poor frame stays reported as recognised.
            let poorer = matches!((visit.reported, said), (Some((held, true)), Some((now, false))) if held == now);
            let fresh = said.is_some() && said != visit.reported && !poorer;
            if fresh {
                visit.reported = said;
            }
            news.push(FaceNews { track, read: i, verdict, fresh });
        }
        news
    }

    /// Faces in view.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether no face is in view.
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_core::recognition::plate::{PlateColour, PlateKind};

    fn at(x: f32, y: f32) -> [f32; 4] {
        [x, y, x + 100.0, y + 30.0]
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn read(text: &str, confidence: f32, bounds: [f32; 4]) -> PlateRead {
        PlateRead {
            text: text.into(),
            confidence,
            colour: PlateColour::Blue,
            kind: PlateKind::Single,
            corners: [[0.0; 2]; 4],
            bounds,
            score: 1.0,
            second: None,
        }
    }

    #[test]
    fn a_car_keeps_its_track_while_it_moves_more_than_its_plate() {
        let mut tracker: Tracker<()> = Tracker::new(TrackPolicy::PLATES);
        let first = tracker.assign(&[at(0.0, 0.0), at(600.0, 0.0)], ms(0));
        let second = tracker.assign(&[at(590.0, 40.0), at(180.0, 60.0)], ms(200));
        assert_eq!(second, [first[1], first[0]]);
        let third = tracker.assign(&[at(180.0, 60.0)], ms(4000));
        assert!(!first.contains(&third[0]), "lost after three seconds");
        assert_eq!(tracker.len(), 1);
    }

    #[test]
    fn a_box_of_another_size_is_another_thing() {
        let mut tracker: Tracker<()> = Tracker::new(TrackPolicy::PLATES);
        let big = tracker.assign(&[[0.0, 0.0, 300.0, 90.0]], ms(0));
        assert_ne!(tracker.assign(&[[100.0, 30.0, 200.0, 60.0]], ms(40)), big);
    }

    #[test]
    fn an_accepted_plate_is_fresh_once() {
        let mut tracks = PlateTracks::new(PlatePolicy::default());
        let fresh = |tracks: &mut PlateTracks, confidence, now| {
            tracks
                .update(&[read("京A88731", confidence, at(0.0, 0.0))], ms(now))
                .iter()
                .map(|n| n.fresh)
                .collect::<Vec<_>>()
        };
        assert_eq!(fresh(&mut tracks, 0.5, 0), [false]);
        assert_eq!(fresh(&mut tracks, 0.95, 200), [true]);
        assert_eq!(fresh(&mut tracks, 0.97, 400), [false]);
        assert_eq!(fresh(&mut tracks, 0.97, 9000), [true], "another passage");
    }

    #[test]
    fn tracks_stay_bounded_on_a_picture_full_of_boxes() {
        let mut tracker: Tracker<()> = Tracker::new(TrackPolicy::PLATES);
        let many: Vec<_> = (0..200).map(|i| at(1000.0 * i as f32, 0.0)).collect();
        assert_eq!(tracker.assign(&many, ms(0)).len(), 200);
        assert_eq!(tracker.len(), TrackPolicy::PLATES.tracks_max);
    }

    #[test]
    fn a_face_is_recognised_on_its_third_good_frame_and_reported_once() {
        use crate::face::{Embedding, FaceQuality, Template};
        let mut numbers = [0f32; 512];
        numbers[7] = 1.0;
        let embedding = Embedding::normalised(&numbers).expect("not zero");
        let mut gallery = Gallery::new("m", 512);
        gallery.insert(1u8, &Template::enrol("m", [&embedding]).expect("one shot")).expect("same model");
        let face = FaceRead {
            bounds: [100.0, 100.0, 220.0, 260.0],
            width_px: 120.0,
            score: 1.0,
            embedding,
            liveness: 0.9,
            landmarks: [[0.0; 2]; 5],
            quality: FaceQuality { sharpness: 100.0, brightness: 100.0, turn: 0.0 },
            gaze: None,
        };
        let mut tracks = FaceTracks::new(FacePolicy::default());
        let news: Vec<_> =
            (0..5).flat_map(|i| tracks.update(std::slice::from_ref(&face), &gallery, ms(200 * i))).collect();
        let fresh: Vec<_> =
            news.iter().map(|n| (n.fresh, matches!(n.verdict, FaceVerdict::Recognised { .. }))).collect();
        assert_eq!(fresh, [(true, false), (false, false), (true, true), (false, true), (false, true)]);
    }
}
