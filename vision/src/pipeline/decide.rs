//! From what single frames show to one decision a face; a car's are in [`super::cars`].
//!
//! ```text
//!  frame ──faces───▶ track ──agreement──▶ recognised: say it once   five frames and nobody: say so once
//! ```
//! A track that is lost re-arms. A poorer decision may be followed by a better one of the same track, never the reverse.

use super::doorway::{self, Doorway, End, Prompt};
use crate::face::{FaceRead, Gallery};
use crate::frame::Frame;
use crate::track::{TrackPolicy, Tracker};
use gatehouse_core::id::PersonId;
use gatehouse_core::recognition::Seen;
use gatehouse_core::recognition::challenge::ChallengePolicy;
use gatehouse_core::recognition::face::{FaceAgreement, FacePolicy, FaceSighting, FaceVerdict};
use std::time::Duration;

/// A person who was just here is the same visit: a detector may miss them for moments.
const SAME_PERSON: Duration = Duration::from_secs(5);
/// Strangers are reported this often at most.
const STRANGER_EVERY: Duration = Duration::from_secs(10);

/// Something to report, with where in the frame it is.
#[derive(Debug, Clone)]
pub struct Decision {
    /// What.
    pub seen: Seen,
    /// Where, frame pixels; `None` when the whole frame shows it.
    pub bounds: Option<[f32; 4]>,
    /// An earlier frame that shows it better than the newest one, with the bounds there.
    pub better: Option<(Frame, [f32; 4])>,
}

/// One camera's faces.
#[derive(Debug)]
pub struct FaceWatch {
    policy: FacePolicy,
    /// Where faces open only after a challenge.
    doorway: Option<Doorway>,
    tracker: Tracker<Visit>,
    /// People said as recognised, and when they were last seen.
    recent: Vec<(PersonId, Duration)>,
    stranger: Option<Duration>,
    /// The faces of the newest frame, with whom they were recognised as.
    shown: Vec<([f32; 4], Option<PersonId>)>,
}

#[derive(Debug, Default)]
struct Visit {
    agreement: FaceAgreement<PersonId>,
    frames: usize,
    near: usize,
    liveness: Option<f32>,
    recognised: Option<PersonId>,
    reported: bool,
    /// Whom it was recognised as, and how surely, before they were challenged.
    best: Option<(PersonId, f32)>,
}

impl FaceWatch {
    /// Nobody in view; with a challenge, a face opens only after it.
    pub fn new(policy: FacePolicy, challenge: Option<ChallengePolicy>) -> Self {
        Self {
            policy,
            doorway: challenge.map(Doorway::new),
            tracker: Tracker::new(TrackPolicy::FACES),
            recent: Vec::new(),
            stranger: None,
            shown: Vec::new(),
        }
    }

    /// Whether a face is in view.
    pub fn occupied(&self) -> bool {
        !self.tracker.is_empty()
    }

    /// Whether someone is being challenged: faces are then measured, and pictures are not left out.
    pub fn is_challenging(&self) -> bool {
        self.doorway.as_ref().is_some_and(Doorway::is_running)
    }

    /// What the screens of this camera's doors say; `None` where they have none.
    pub fn prompt(&self) -> Option<Prompt> {
        self.doorway.as_ref().map(Doorway::prompt)
    }

    /// The faces of the newest frame, with the person where the rule for opening a door was met.
    pub fn shown(&self) -> &[([f32; 4], Option<PersonId>)] {
        &self.shown
    }

    /// Takes the faces of a frame taken at `now`, held against the people known.
    pub fn update(&mut self, faces: &[FaceRead], gallery: &Gallery<PersonId>, now: Duration) -> Vec<Decision> {
        self.recent.retain(|(_, at)| now.saturating_sub(*at) < SAME_PERSON);
        let bounds: Vec<_> = faces.iter().map(|face| face.bounds).collect();
        let tracks = self.tracker.assign(&bounds, now);
        let mut decisions = Vec::new();
        let mut challenged = Vec::new();
        self.shown.clear();
        for (face, track) in faces.iter().zip(tracks) {
            let Some(visit) = self.tracker.state(track) else { continue };
            // A consent may have been withdrawn since the last frame.
            visit.agreement.forget(|person| gallery.contains(person));
            visit.recognised = visit.recognised.filter(|person| gallery.contains(*person));
            let best = gallery.best(&face.embedding);
            let sighting = FaceSighting {
                person: best.map(|best| best.person),
                cosine: best.map_or(-1.0, |best| best.cosine),
                width_px: face.width_px,
                liveness: face.liveness,
            };
            let verdict = visit.agreement.push(sighting, &self.policy);
            visit.frames += 1;
            visit.near += usize::from(face.width_px >= self.policy.min_width_px);
            let liveness = visit.liveness.map_or(face.liveness, |least| least.min(face.liveness));
            visit.liveness = Some(liveness);
            let width_px = face.width_px.max(0.0) as u32;
            let judged = visit.frames >= self.policy.frames;
            if self.doorway.is_some() {
                let recognised = match verdict {
                    FaceVerdict::Recognised { person, .. } => {
                        // Who passed just now is not asked again when the detector lost them for a moment.
                        let passed = self.recent.iter_mut().find(|(held, _)| *held == person).map(|(_, at)| *at = now);
                        Some(person).filter(|_| passed.is_none())
                    }
                    FaceVerdict::Candidate { .. } | FaceVerdict::Unknown => None,
                };
                let counts = sighting.person.filter(|_| sighting.counts(&self.policy));
                challenged.push(doorway::Seen { track, recognised, counts, gaze: face.gaze });
                if let Some(person) = recognised {
                    visit.best = visit.best.filter(|(held, _)| *held == person).or(Some((person, sighting.cosine)));
                }
            }
            let seen = match verdict {
                FaceVerdict::Recognised { .. } if self.doorway.is_some() => None,
                FaceVerdict::Recognised { person, cosine, liveness, frames } => {
                    let known = self.recent.iter_mut().find(|(held, _)| *held == person);
                    let new = known.is_none();
                    match known {
                        Some((_, at)) => *at = now,
                        None => self.recent.push((person, now)),
                    }
                    let changed = visit.recognised.replace(person) != Some(person);
                    visit.reported = true;
                    (new && changed).then_some(Seen::Face {
                        candidate: Some((person, cosine)),
                        accepted: true,
                        width_px,
                        liveness,
                        agreeing: frames.min(255) as u8,
                    })
                }
                FaceVerdict::Candidate { person, cosine } if judged && !visit.reported => {
                    visit.reported = true;
                    let candidate = Some((person, cosine));
                    Some(Seen::Face { candidate, accepted: false, width_px, liveness, agreeing: 0 })
                }
                // A passer-by far away is nobody's business.
                FaceVerdict::Unknown if judged && !visit.reported && 2 * visit.near > visit.frames => {
                    visit.reported = true;
                    let often = self.stranger.is_some_and(|at| now.saturating_sub(at) < STRANGER_EVERY);
                    self.stranger = Some(if often { self.stranger.unwrap_or(now) } else { now });
                    let seen = Seen::Face { candidate: None, accepted: false, width_px, liveness, agreeing: 0 };
                    (!often).then_some(seen)
                }
                FaceVerdict::Candidate { .. } | FaceVerdict::Unknown => None,
            };
            self.shown.push((face.bounds, visit.recognised));
            decisions.extend(seen.map(|seen| Decision { seen, bounds: Some(face.bounds), better: None }));
        }
        decisions.extend(self.challenge(&challenged, faces, gallery, now));
        decisions
    }

    /// Goes on with the challenge; what its end means.
    fn challenge(
        &mut self,
        seen: &[doorway::Seen],
        faces: &[FaceRead],
        gallery: &Gallery<PersonId>,
        now: Duration,
    ) -> Option<Decision> {
        let (end, track) = self.doorway.as_mut()?.take(seen, |person| gallery.contains(person), now)?;
        let (person, accepted) = match end {
            End::Passed(person) => (person, true),
            End::Failed(person) => (person, false),
        };
        let visit = self.tracker.state(track);
        let cosine = visit.as_ref().and_then(|visit| visit.best).filter(|(held, _)| *held == person);
        let (_, cosine) = cosine.unwrap_or((person, self.policy.candidate));
        let liveness = visit.as_ref().and_then(|visit| visit.liveness).unwrap_or(0.0);
        if let Some(visit) = visit {
            visit.reported = true;
            if accepted {
                visit.recognised = Some(person);
            }
        }
        if accepted {
            self.recent.push((person, now));
        }
        let face = seen.iter().zip(faces).find(|(seen, _)| seen.track == track).map(|(_, face)| face);
        let width_px = face.map_or(0, |face| face.width_px.max(0.0) as u32);
        let agreeing = if accepted { self.policy.agree.min(255) as u8 } else { 0 };
        let seen = Seen::Face { candidate: Some((person, cosine)), accepted, width_px, liveness, agreeing };
        Some(Decision { seen, bounds: face.map(|face| face.bounds), better: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::{Embedding, FaceQuality, Template};
    use gatehouse_core::recognition::challenge::{Action, Gaze};

    fn ms(ms: u64) -> Duration {
        Duration::from_secs(1_000_000) + Duration::from_millis(ms)
    }

    fn person(n: u128) -> PersonId {
        PersonId(uuid::Uuid::from_u128(n))
    }

    fn face(axis: usize, share: f32, width: f32) -> FaceRead {
        let mut numbers = [0f32; 512];
        numbers[axis] = share;
        numbers[511] = (1.0 - share * share).sqrt();
        FaceRead {
            bounds: [100.0, 100.0, 100.0 + width, 100.0 + width],
            width_px: width,
            score: 1.0,
            embedding: Embedding::normalised(&numbers).unwrap(),
            liveness: 0.9,
            landmarks: [[0.0; 2]; 5],
            quality: FaceQuality { sharpness: 100.0, brightness: 100.0, turn: 0.0 },
            gaze: None,
        }
    }

    fn gallery() -> Gallery<PersonId> {
        let mut gallery = Gallery::new("m", 512);
        gallery.insert(person(1), &Template::enrol("m", [&face(3, 1.0, 120.0).embedding]).unwrap()).unwrap();
        gallery
    }

    /// The decisions on equal faces, five a second.
    fn watched(face: &FaceRead, frames: u64) -> Vec<(usize, bool, bool)> {
        let (mut watch, gallery) = (FaceWatch::new(FacePolicy::default(), None), gallery());
        (0..frames)
            .flat_map(|i| {
                let decisions = watch.update(std::slice::from_ref(face), &gallery, ms(200 * i));
                decisions.into_iter().map(move |d| match d.seen {
                    Seen::Face { candidate, accepted, .. } => (i as usize, candidate.is_some(), accepted),
                    other => panic!("{other:?}"),
                })
            })
            .collect()
    }

    #[test]
    fn a_resident_is_accepted_on_the_third_frame_and_once() {
        assert_eq!(watched(&face(3, 0.8, 120.0), 50), [(2, true, true)]);
    }

    #[test]
    fn a_face_that_is_withdrawn_is_nobody_from_the_next_frame_on() {
        let (mut watch, mut gallery) = (FaceWatch::new(FacePolicy::default(), None), gallery());
        let face = face(3, 0.8, 120.0);
        (0..2).for_each(|i| assert!(watch.update(std::slice::from_ref(&face), &gallery, ms(200 * i)).is_empty()));
        gallery.remove(person(1));
        let later: Vec<_> =
            (2..9).flat_map(|i| watch.update(std::slice::from_ref(&face), &gallery, ms(200 * i))).collect();
        assert!(matches!(&later[..], [Decision { seen: Seen::Face { candidate: None, accepted: false, .. }, .. }]));

        // Also over one that stands there recognised.
        let (mut watch, mut gallery) = (FaceWatch::new(FacePolicy::default(), None), self::gallery());
        (0..3).for_each(|i| drop(watch.update(std::slice::from_ref(&face), &gallery, ms(200 * i))));
        assert_eq!(watch.shown()[0].1, Some(person(1)));
        gallery.remove(person(1));
        watch.update(std::slice::from_ref(&face), &gallery, ms(600));
        assert_eq!(watch.shown()[0].1, None);
    }

    #[test]
    fn a_likeness_is_a_candidate_and_a_stranger_nobody_after_five_frames() {
        assert_eq!(watched(&face(3, 0.45, 120.0), 50), [(4, true, false)]);
        assert_eq!(watched(&face(9, 0.8, 120.0), 50), [(4, false, false)]);
        assert_eq!(watched(&face(9, 0.8, 60.0), 50), [], "far away");
        assert_eq!(watched(&face(3, 0.8, 60.0), 50), [(4, true, false)], "too far to open");
    }

    /// Faces of the resident who does what `does` makes of the screen's words, five a second for half a minute.
    fn challenged(does: impl Fn(Option<Prompt>) -> Gaze) -> Vec<(u64, bool)> {
        let (mut watch, gallery) = (FaceWatch::new(FacePolicy::default(), Some(ChallengePolicy::default())), gallery());
        let mut said = Vec::new();
        for i in 0..150 {
            let gaze = Some(does(watch.prompt()));
            for decision in watch.update(&[FaceRead { gaze, ..face(3, 0.8, 120.0) }], &gallery, ms(200 * i)) {
                let Seen::Face { candidate, accepted, .. } = decision.seen else { panic!("{:?}", decision.seen) };
                assert_eq!(candidate.map(|(person, _)| person), Some(person(1)));
                said.push((i, accepted));
            }
        }
        said
    }

    #[test]
    fn where_a_challenge_is_set_a_photograph_opens_nothing_and_a_person_opens_once() {
        let straight = Gaze { turn: 0.01, eyes_open: 0.97 };
        let still = challenged(|_| straight);
        assert!(!still.is_empty() && still.iter().all(|(_, accepted)| !accepted), "{still:?}");
        let person = challenged(|prompt| match prompt {
            Some(Prompt::Ask { action: Action::TurnLeft, .. }) => Gaze { turn: 0.27, ..straight },
            Some(Prompt::Ask { action: Action::TurnRight, .. }) => Gaze { turn: -0.27, ..straight },
            Some(Prompt::Ask { action: Action::CloseEyes, .. }) => Gaze { eyes_open: 0.1, ..straight },
            _ => straight,
        });
        assert_eq!(person.iter().map(|(_, accepted)| *accepted).collect::<Vec<_>>(), [true], "{person:?}");
        assert!(person[0].0 >= 2 + 6, "not before all was done");
    }

    #[test]
    fn a_candidate_who_comes_nearer_is_accepted() {
        let (mut watch, gallery) = (FaceWatch::new(FacePolicy::default(), None), gallery());
        let mut accepted = Vec::new();
        for i in 0..20 {
            let face = face(3, 0.8, if i < 8 { 70.0 } else { 110.0 });
            for decision in watch.update(&[face], &gallery, ms(200 * i)) {
                accepted.push(matches!(decision.seen, Seen::Face { accepted: true, .. }));
            }
        }
        assert_eq!(accepted, [false, true]);
    }
}
