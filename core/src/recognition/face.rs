//! When a face may open a door: frames must agree, be near, and look alive.
//!
//! The numbers come from measurement: with three averaged enrolment photos no stranger passed 0.45 in a set of stills, but
//! a stranger's 60-pixel face once scored 0.41 over several frames of video. So a door asks for more than a still would.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// What a door asks of a face.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FacePolicy {
    /// Cosine at or above which a frame counts for opening.
    pub open: f32,
    /// Cosine at or above which the guard is shown a candidate; never an open door by itself.
    pub candidate: f32,
    /// Least width of the face in the frame, pixels.
    pub min_width_px: f32,
    /// Least passive liveness in a counting frame.
    pub liveness: f32,
    /// Frames looked back on.
    pub frames: usize,
    /// Frames among them that must name the same person.
    pub agree: usize,
}

impl Default for FacePolicy {
    fn default() -> Self {
        Self { open: 0.50, candidate: 0.40, min_width_px: 80.0, liveness: 0.6, frames: 5, agree: 3 }
    }
}

/// One tracked face in one frame, matched against the gallery.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceSighting<P> {
    /// The nearest person of the gallery, if it holds any.
    pub person: Option<P>,
    /// Cosine to that person's template, −1…1.
    pub cosine: f32,
    /// Width of the face, pixels.
    pub width_px: f32,
    /// Passive liveness, 0–1.
    pub liveness: f32,
}

impl<P> FaceSighting<P> {
    /// Whether this frame by itself counts for opening.
    pub fn counts(&self, policy: &FacePolicy) -> bool {
        // Comparisons are written so that a NaN never counts.
        self.person.is_some()
            && self.cosine >= policy.open
            && self.width_px >= policy.min_width_px
            && self.liveness >= policy.liveness
    }
}

/// What the frames so far say about one tracked face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FaceVerdict<P> {
    /// Nobody near enough.
    Unknown,
    /// Somebody it may be: shown to the guard.
    Candidate {
        /// Who it may be.
        person: P,
        /// Best cosine seen for them in the window.
        cosine: f32,
    },
    /// Somebody it is: the door may open.
    Recognised {
        /// Who it is.
        person: P,
        /// Best cosine among the frames that agree.
        cosine: f32,
        /// Least liveness among the frames that agree.
        liveness: f32,
        /// Frames that agree.
        frames: usize,
    },
}

/// The last frames of one tracked face.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceAgreement<P> {
    window: VecDeque<FaceSighting<P>>,
}

impl<P> Default for FaceAgreement<P> {
    fn default() -> Self {
        Self { window: VecDeque::new() }
    }
}

impl<P: Copy + PartialEq> FaceAgreement<P> {
    /// Adds a frame, forgets those beyond the policy's window, and gives the verdict.
    pub fn push(&mut self, sighting: FaceSighting<P>, policy: &FacePolicy) -> FaceVerdict<P> {
        self.window.push_back(sighting);
        while self.window.len() > policy.frames.max(1) {
            self.window.pop_front();
        }
        self.verdict(policy)
    }

    /// Takes back what frames said of people who are not known any longer.
    pub fn forget(&mut self, known: impl Fn(P) -> bool) {
        for sighting in &mut self.window {
            if sighting.person.is_some_and(|person| !known(person)) {
                *sighting = FaceSighting { person: None, cosine: -1.0, ..*sighting };
            }
        }
    }

    /// The verdict on the frames held.
    pub fn verdict(&self, policy: &FacePolicy) -> FaceVerdict<P> {
        let recognised = self.window.iter().filter(|s| s.counts(policy)).find_map(|first| {
            let person = first.person?;
            let agreeing = || self.window.iter().filter(|s| s.person == Some(person) && s.counts(policy));
            let frames = agreeing().count();
            (frames >= policy.agree.max(1)).then(|| FaceVerdict::Recognised {
                person,
                cosine: agreeing().fold(policy.open, |best, s| best.max(s.cosine)),
                liveness: agreeing().fold(1.0, |least, s| least.min(s.liveness)),
                frames,
            })
        });
        recognised.unwrap_or_else(|| {
            let best = self
                .window
                .iter()
                .filter(|s| s.cosine >= policy.candidate)
                .filter_map(|s| Some((s.person?, s.cosine)))
                .max_by(|a, b| a.1.total_cmp(&b.1));
            best.map_or(FaceVerdict::Unknown, |(person, cosine)| FaceVerdict::Candidate { person, cosine })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(person: u8, cosine: f32) -> FaceSighting<u8> {
        FaceSighting { person: Some(person), cosine, width_px: 120.0, liveness: 0.9 }
    }

    fn verdict(frames: &[FaceSighting<u8>]) -> FaceVerdict<u8> {
        let mut agreement = FaceAgreement::default();
        let policy = FacePolicy::default();
        frames.iter().map(|&frame| agreement.push(frame, &policy)).last().unwrap_or(FaceVerdict::Unknown)
    }

    #[test]
    fn three_of_five_frames_open_and_two_do_not() {
        let (yes, no) = (seen(1, 0.62), seen(1, 0.44));
        assert!(matches!(verdict(&[yes, no, yes]), FaceVerdict::Candidate { person: 1, .. }));
        assert!(matches!(verdict(&[yes, no, yes, no, yes]), FaceVerdict::Recognised { person: 1, frames: 3, .. }));
        assert!(
            matches!(verdict(&[yes, yes, no, no, no, yes]), FaceVerdict::Candidate { .. }),
            "the first is forgotten"
        );
    }

    #[test]
    fn frames_that_name_different_people_do_not_add_up() {
        let frames = [seen(1, 0.7), seen(2, 0.7), seen(1, 0.7), seen(2, 0.7)];
        assert!(matches!(verdict(&frames), FaceVerdict::Candidate { .. }));
    }

    #[test]
    fn a_small_a_lifeless_or_a_distant_face_never_opens() {
        let small = FaceSighting { width_px: 79.0, ..seen(1, 0.9) };
        let flat = FaceSighting { liveness: 0.59, ..seen(1, 0.9) };
        assert!(matches!(verdict(&[small; 5]), FaceVerdict::Candidate { .. }));
        assert!(matches!(verdict(&[flat; 5]), FaceVerdict::Candidate { .. }));
        assert!(matches!(verdict(&[seen(1, 0.49); 5]), FaceVerdict::Candidate { .. }));
        assert_eq!(verdict(&[seen(1, 0.39); 5]), FaceVerdict::Unknown);
        assert_eq!(verdict(&[seen(1, f32::NAN); 5]), FaceVerdict::Unknown);
    }

    #[test]
    fn frames_that_showed_someone_who_is_no_longer_known_count_for_nobody() {
        let mut agreement = FaceAgreement::default();
        let policy = FacePolicy::default();
        for _ in 0..2 {
            agreement.push(seen(1, 0.9), &policy);
        }
        agreement.forget(|person| person != 1);
        assert_eq!(agreement.verdict(&policy), FaceVerdict::Unknown);
        assert_eq!(agreement.push(seen(2, 0.45), &policy), FaceVerdict::Candidate { person: 2, cosine: 0.45 });
    }

    fn any_sighting() -> impl Strategy<Value = FaceSighting<u8>> {
        (proptest::option::of(0u8..3), -1f32..1.0, 20f32..200.0, 0f32..1.0)
            .prop_map(|(person, cosine, width_px, liveness)| FaceSighting { person, cosine, width_px, liveness })
    }

    proptest! {
        #[test]
        fn a_door_never_opens_without_three_counting_frames_of_that_person_in_the_last_five(
            frames in proptest::collection::vec(any_sighting(), 0..12),
        ) {
            let policy = FacePolicy::default();
            if let FaceVerdict::Recognised { person, .. } = verdict(&frames) {
                let last = &frames[frames.len().saturating_sub(5)..];
                let counting = last.iter().filter(|s| s.person == Some(person) && s.counts(&policy)).count();
                prop_assert!(counting >= 3);
            }
        }
    }
}
