//! From what single frames show to one decision a car, one a face.
//!
//! ```text
//!  frame ──plates──▶ track ──vote──▶ accepted: say it once          not accepted for 2.5 s: say "unread" once
//!  frame ──faces───▶ track ──agreement──▶ recognised: say it once   five frames and nobody: say so once
//! ```
//! A track that is lost re-arms. A poorer decision may be followed by a better one of the same track, never the reverse.

use super::doorway::{self, Doorway, End, Prompt};
use crate::face::{FaceRead, Gallery};
use crate::frame::Frame;
use crate::plate::PlateRead;
use crate::track::{TrackPolicy, Tracker};
use gatehouse_core::id::PersonId;
use gatehouse_core::recognition::Seen;
use gatehouse_core::recognition::challenge::ChallengePolicy;
use gatehouse_core::recognition::face::{FaceAgreement, FacePolicy, FaceSighting, FaceVerdict};
use gatehouse_core::recognition::plate::{PlateColour, PlatePolicy, PlateVerdict, PlateVote};
use std::time::Duration;

/// How long a car stays in view unread before the guard is asked.
const UNREAD_AFTER: Duration = Duration::from_millis(2500);
/// Detector confidence of a box that may be an unread plate rather than a grille.
const PLATE_SCORE: f32 = 0.6;
/// How long after a trigger a plate must have been decided, and how long before it still counts.
const EXPECT_WITHIN: Duration = Duration::from_secs(3);
const EXPECT_BEFORE: Duration = Duration::from_secs(8);
/// A text or person that was just here is the same visit: a detector may miss it for moments.
const SAME_PLATE: Duration = Duration::from_secs(10);
const SAME_PERSON: Duration = Duration::from_secs(5);
/// Strangers are reported this often at most.
const STRANGER_EVERY: Duration = Duration::from_secs(10);

/// A plate found in one frame, read or not.
#[derive(Debug, Clone, PartialEq)]
pub struct PlateSeen {
    /// x1, y1, x2, y2, frame pixels.
    pub bounds: [f32; 4],
    /// The detector's confidence, 0–1.
    pub score: f32,
    /// What it says, where a plate text fits.
    pub read: Option<PlateRead>,
}

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

/// The word for a plate's ground colour.
pub fn colour_word(colour: PlateColour) -> &'static str {
    match colour {
        PlateColour::Blue => "blue",
        PlateColour::Yellow => "yellow",
        PlateColour::Green => "green",
        PlateColour::White => "white",
        PlateColour::Black => "black",
        PlateColour::Unknown => "unknown",
    }
}

/// One camera's cars.
#[derive(Debug)]
pub struct PlateWatch {
    policy: PlatePolicy,
    tracker: Tracker<Car>,
    /// Texts said, and when they were last seen.
    recent: Vec<(String, Duration)>,
    decided: Option<Duration>,
    /// Whether the newest frame showed cars, all of them read.
    settled: bool,
    /// When a trigger's patience ends.
    expected_by: Option<Duration>,
}

#[derive(Debug, Default)]
struct Car {
    vote: PlateVote,
    since: Option<Duration>,
    colour: Option<PlateColour>,
    said: Said,
    /// The surest read until something is said, with the frame that shows it.
    best: Option<Shot>,
}

#[derive(Debug)]
struct Shot {
    text: String,
    confidence: f32,
    frame: Frame,
    bounds: [f32; 4],
}

impl Car {
    /// Remembers the frame of the surest read.
    fn shoot(&mut self, plate: &PlateSeen, read: &PlateRead, frame: &Frame) {
        let surer = self.best.as_ref().is_none_or(|best| read.confidence > best.confidence);
        if surer && self.said == Said::Nothing {
            let (text, confidence) = (read.text.clone(), read.confidence);
            self.best = Some(Shot { text, confidence, frame: frame.clone(), bounds: plate.bounds });
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Said {
    #[default]
    Nothing,
    Unread,
    Text(String),
}

impl PlateWatch {
    /// Nobody in view.
    pub fn new(policy: PlatePolicy) -> Self {
        Self {
            policy,
            tracker: Tracker::new(TrackPolicy::PLATES),
            recent: Vec::new(),
            settled: false,
            decided: None,
            expected_by: None,
        }
    }

    /// Whether a car is in view.
    pub fn occupied(&self) -> bool {
        !self.tracker.is_empty()
    }

    /// Whether the newest frame showed cars, all of them read: no hurry to look again.
    pub fn settled(&self) -> bool {
        self.settled
    }

    /// Takes what a frame shows.
    pub fn look(&mut self, seen: &[PlateSeen], frame: &Frame) -> Vec<Decision> {
        self.take(seen, frame.pts(), Some(frame))
    }

    fn take(&mut self, seen: &[PlateSeen], now: Duration, frame: Option<&Frame>) -> Vec<Decision> {
        self.recent.retain(|(_, at)| now.saturating_sub(*at) < SAME_PLATE);
        let plausible: Vec<&PlateSeen> =
            seen.iter().filter(|plate| plate.read.is_some() || plate.score >= PLATE_SCORE).collect();
        let bounds: Vec<_> = plausible.iter().map(|plate| plate.bounds).collect();
        let tracks = self.tracker.assign(&bounds, now);
        let mut decisions = Vec::new();
        self.settled = !tracks.is_empty();
        for (plate, track) in plausible.into_iter().zip(tracks) {
            let Some(car) = self.tracker.state(track) else { continue };
            let since = *car.since.get_or_insert(now);
            if let Some(read) = &plate.read {
                car.vote.add(&read.text, read.confidence);
                car.colour = Some(read.colour);
                if let Some(frame) = frame {
                    car.shoot(plate, read, frame);
                }
            }
            let colour = colour_word(car.colour.unwrap_or(PlateColour::Unknown)).to_owned();
            let decided = match car.vote.verdict(&self.policy) {
                PlateVerdict::Accepted { text, confidence, frames } => {
                    let known = self.recent.iter_mut().find(|(held, _)| *held == text);
                    let new = known.is_none();
                    match known {
                        Some((_, at)) => *at = now,
                        None => self.recent.push((text.clone(), now)),
                    }
                    let changed = car.said != Said::Text(text.clone());
                    car.said = Said::Text(text.clone());
                    (new && changed).then_some(Seen::Plate { text, confidence, colour, votes: frames })
                }
                verdict if car.said == Said::Nothing && now.saturating_sub(since) >= UNREAD_AFTER => {
                    car.said = Said::Unread;
                    let confidence = match verdict {
                        PlateVerdict::Uncertain { confidence, .. } => confidence,
                        PlateVerdict::Nothing | PlateVerdict::Accepted { .. } => 0.0,
                    };
                    // No text: an unsure one must not find a known car.
                    Some(Seen::Plate { text: String::new(), confidence, colour, votes: car.vote.frames() })
                }
                PlateVerdict::Nothing | PlateVerdict::Uncertain { .. } => None,
            };
            self.settled &= matches!(car.said, Said::Text(_));
            if let Some(seen) = decided {
                let best =
                    car.best.take().filter(|best| matches!(&seen, Seen::Plate { text, .. } if *text == best.text));
                let better = best.map(|best| (best.frame, best.bounds));
                decisions.push(Decision { seen, bounds: Some(plate.bounds), better });
            }
        }
        if !decisions.is_empty() {
            self.decided = Some(now);
            self.expected_by = None;
        }
        decisions
    }

    /// A loop or button says that a car is here.
    pub fn expect(&mut self, now: Duration) {
        let before = self.decided.is_some_and(|at| now.saturating_sub(at) <= EXPECT_BEFORE);
        let standing = self.recent.iter().any(|(_, at)| now.saturating_sub(*at) <= EXPECT_BEFORE);
        if !before && !standing && self.expected_by.is_none() {
            self.expected_by = Some(now + EXPECT_WITHIN);
        }
    }

    /// The answer for a car that was announced but not read in time.
    pub fn overdue(&mut self, now: Duration) -> Option<Decision> {
        if now < self.expected_by? {
            return None;
        }
        self.expected_by = None;
        self.decided = Some(now);
        let seen = Seen::Plate { text: String::new(), confidence: 0.0, colour: "unknown".into(), votes: 0 };
        Some(Decision { seen, bounds: None, better: None })
    }
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
    use gatehouse_core::recognition::plate::PlateKind;

    fn ms(ms: u64) -> Duration {
        Duration::from_secs(1_000_000) + Duration::from_millis(ms)
    }

    fn plate(text: &str, confidence: f32, x: f32) -> PlateSeen {
        let bounds = [x, 400.0, x + 150.0, 450.0];
        let read = PlateRead {
            text: text.into(),
            confidence,
            colour: PlateColour::Blue,
            kind: PlateKind::Single,
            corners: [[0.0; 2]; 4],
            bounds,
            score: 0.9,
        };
        PlateSeen { bounds, score: 0.9, read: (!text.is_empty()).then_some(read) }
    }

    fn texts(decisions: &[Decision]) -> Vec<&str> {
        decisions.iter().map(|d| if let Seen::Plate { text, .. } = &d.seen { text.as_str() } else { "?" }).collect()
    }

    #[test]
    fn a_plate_is_said_once_and_again_when_it_comes_again() {
        let mut watch = PlateWatch::new(PlatePolicy::default());
        assert_eq!(texts(&watch.take(&[plate("粤B12345", 0.6, 100.0)], ms(0), None)), [""; 0]);
        assert_eq!(texts(&watch.take(&[plate("粤B12345", 0.97, 130.0)], ms(200), None)), ["粤B12345"]);
        for i in 2..100 {
            assert!(watch.take(&[plate("粤B12345", 0.97, 130.0)], ms(200 * i), None).is_empty());
        }
        assert!(watch.occupied());
        assert!(watch.take(&[plate("粤B12345", 0.97, 130.0)], ms(28_000), None).is_empty(), "missed for moments");
        assert_eq!(texts(&watch.take(&[plate("粤B12345", 0.97, 130.0)], ms(60_000), None)), ["粤B12345"]);
    }

    #[test]
    fn a_car_that_stays_unread_is_the_guards_and_may_be_read_yet() {
        let mut watch = PlateWatch::new(PlatePolicy::default());
        let mut said = Vec::new();
        for i in 0..30 {
            said.extend(watch.take(&[plate("", 0.0, 100.0)], ms(200 * i), None));
        }
        assert_eq!(texts(&said), [""]);
        assert_eq!(texts(&watch.take(&[plate("粤B12345", 0.95, 100.0)], ms(6200), None)), ["粤B12345"]);
    }

    #[test]
    fn an_unsure_text_is_never_said() {
        let mut watch = PlateWatch::new(PlatePolicy::default());
        let mut said = Vec::new();
        for i in 0..30 {
            said.extend(watch.take(
                &[plate(["粤B12345", "粤B12346", "粤B1234S"][i % 3], 0.5, 100.0)],
                ms(200 * i as u64),
                None,
            ));
        }
        assert_eq!(texts(&said), [""]);
    }

    #[test]
    fn a_trigger_without_a_plate_is_answered_and_one_after_a_read_is_not() {
        let mut watch = PlateWatch::new(PlatePolicy::default());
        watch.expect(ms(0));
        watch.expect(ms(1000));
        assert!(watch.overdue(ms(2999)).is_none());
        assert_eq!(texts(&watch.overdue(ms(3000)).into_iter().collect::<Vec<_>>()), [""]);
        assert!(watch.overdue(ms(9000)).is_none());
        watch.take(&[plate("粤B12345", 0.97, 100.0)], ms(20_000), None);
        watch.expect(ms(22_000));
        assert!(watch.overdue(ms(60_000)).is_none(), "the car on the loop is the one just read");
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
        let mut gallery = Gallery::new("m");
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
