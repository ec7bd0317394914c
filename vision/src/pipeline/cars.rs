//! The cars before one camera: each is said once, with the text its frames agree on.
//!
//! ```text
//!  accepted ─▶ its way (recognition::travel) ─▶ right, or every way is ───▶ said at once
//!                                            ─▶ wrong ────────────────────▶ left out and counted, until it turns
//!                                            ─▶ none for a second: stands ─▶ said
//!  not accepted for 2.5 s, not going the wrong way ─▶ "unread", once
//! ```
//! Where the way matters, a car that is gone before it shows one is not said: whoever came would stand there, and be looked at
//! with every key frame.

use super::decide::Decision;
use crate::frame::Frame;
use crate::plate::PlateRead;
use crate::track::{TrackPolicy, Tracker};
use gatehouse_core::recognition::Seen;
use gatehouse_core::recognition::plate::{PlateColour, PlatePolicy, PlateVerdict, PlateVote};
use gatehouse_core::recognition::travel::{Heading, Moves};
use std::time::Duration;

/// How long a car stays in view unread before the guard is asked.
const UNREAD_AFTER: Duration = Duration::from_millis(2500);
/// Detector confidence of a box that may be an unread plate rather than a grille.
const PLATE_SCORE: f32 = 0.6;
/// How long after a trigger a plate must have been decided, and how long before it still counts.
const EXPECT_WITHIN: Duration = Duration::from_secs(3);
const EXPECT_BEFORE: Duration = Duration::from_secs(8);
/// A text that was just here is the same visit: a detector may miss it for moments.
const SAME_PLATE: Duration = Duration::from_secs(10);
/// A read car that went no way for so long stands: at five frames a second one that drives is known by then.
const STANDS_AFTER: Duration = Duration::from_secs(1);

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
    lately: Lately,
    decided: Option<Duration>,
    /// Whether the newest frame showed cars, nothing left to say of any.
    settled: bool,
    /// When a trigger's patience ends.
    expected_by: Option<Duration>,
}

/// What became of the cars of the last seconds.
#[derive(Debug)]
struct Lately {
    moves: Moves,
    /// Texts said, and when they were last seen.
    said: Vec<(String, Duration)>,
    /// Texts read and not said: the way is not known yet, or wrong.
    unsaid: Vec<Unsaid>,
    /// Cars left out since the start.
    wrong_way: u64,
}

/// A car that was read and not said, over the tracks that it breaks into.
#[derive(Debug)]
struct Unsaid {
    text: String,
    since: Duration,
    seen: Duration,
    heading: Heading,
}

#[derive(Debug, Default)]
struct Car {
    vote: PlateVote,
    heading: Heading,
    /// Whether that goes on from where an earlier track of the same text ended.
    recalled: bool,
    bounds: [f32; 4],
    since: Option<Duration>,
    colour: Option<PlateColour>,
    said: Said,
    left_out: bool,
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

#[derive(Debug, Default, PartialEq, Eq)]
enum Said {
    #[default]
    Nothing,
    Unread,
    Text(String),
}

impl Car {
    /// Takes its plate of a frame.
    fn see(&mut self, plate: &PlateSeen, now: Duration, frame: Option<&Frame>) {
        self.since.get_or_insert(now);
        self.bounds = plate.bounds;
        self.heading.see(plate.bounds);
        let Some(read) = &plate.read else { return };
        self.vote.add(read.said());
        self.colour = Some(read.colour);
        let surer = self.best.as_ref().is_none_or(|best| read.confidence > best.confidence);
        if let Some(frame) = frame.filter(|_| surer && self.said == Said::Nothing) {
            let (text, confidence) = (read.text.clone(), read.confidence);
            self.best = Some(Shot { text, confidence, frame: frame.clone(), bounds: plate.bounds });
        }
    }

    fn is_settled(&self) -> bool {
        self.left_out || matches!(self.said, Said::Text(_))
    }

    /// What is to be said of it; without a text where none is sure: an unsure one must not find a known car.
    fn said_as(&self, text: String, confidence: f32, votes: u32, sure: bool) -> Seen {
        let colour = colour_word(self.colour.unwrap_or(PlateColour::Unknown)).to_owned();
        Seen::Plate { text, confidence, colour, votes, travel: self.heading.travel(), sure }
    }

    /// The frame that shows best what is said.
    fn shot_of(&mut self, seen: &Seen) -> Option<(Frame, [f32; 4])> {
        let best = self.best.take().filter(|best| matches!(seen, Seen::Plate { text, .. } if *text == best.text));
        best.map(|best| (best.frame, best.bounds))
    }
}

impl Lately {
    fn forget(&mut self, now: Duration) {
        self.said.retain(|(_, at)| now.saturating_sub(*at) < SAME_PLATE);
        self.unsaid.retain(|unsaid| now.saturating_sub(unsaid.seen) < SAME_PLATE);
    }

    /// What a car's frames lead to.
    fn judge(&mut self, car: &mut Car, policy: &PlatePolicy, now: Duration) -> Option<Seen> {
        match car.vote.verdict(policy) {
            PlateVerdict::Accepted { text, confidence, frames, sure } => {
                if let Some((_, at)) = self.said.iter_mut().find(|(held, _)| *held == text) {
                    *at = now;
                    car.said = Said::Text(text);
                    return None;
                }
                if !self.moves.is_any() && self.holds_back(car, &text, now) {
                    return None;
                }
                self.said.push((text.clone(), now));
                let changed = car.said != Said::Text(text.clone());
                car.said = Said::Text(text.clone());
                changed.then(|| car.said_as(text, confidence, frames, sure))
            }
            verdict @ (PlateVerdict::Nothing | PlateVerdict::Uncertain { .. }) => {
                let confidence = match verdict {
                    PlateVerdict::Uncertain { confidence, .. } => confidence,
                    PlateVerdict::Nothing | PlateVerdict::Accepted { .. } => 0.0,
                };
                let long = car.since.is_some_and(|since| now.saturating_sub(since) >= UNREAD_AFTER);
                if !long || car.said != Said::Nothing || self.leaves_out(car, false) {
                    return None;
                }
                car.said = Said::Unread;
                Some(car.said_as(String::new(), confidence, car.vote.frames(), false))
            }
        }
    }

    /// Whether a read car goes the wrong way, or has not shown yet that it stands.
    fn holds_back(&mut self, car: &mut Car, text: &str, now: Duration) -> bool {
        let before = self.unsaid.iter().position(|unsaid| unsaid.text == text).map(|at| self.unsaid.swap_remove(at));
        if let Some(before) = before.as_ref().filter(|_| !car.recalled && car.heading.travel().is_none()) {
            car.heading = before.heading.clone();
            car.heading.see(car.bounds);
        }
        let counted = before.as_ref().and_then(|before| before.heading.travel());
        let counted = counted.is_some_and(|travel| self.moves.leaves_out(travel));
        let since = before.map_or(now, |before| before.since);
        let stands = car.heading.is_still() && now.saturating_sub(since) >= STANDS_AFTER;
        let unclear = car.heading.travel().is_none() && !stands;
        let back = self.leaves_out(car, counted) || unclear;
        if back {
            car.recalled = true;
            let heading = car.heading.clone();
            self.unsaid.push(Unsaid { text: text.to_owned(), since, seen: now, heading });
        }
        back
    }

    /// Whether a car goes the wrong way; counted once.
    fn leaves_out(&mut self, car: &mut Car, counted: bool) -> bool {
        let wrong = car.heading.travel().is_some_and(|travel| self.moves.leaves_out(travel));
        if wrong && !car.left_out && !counted {
            self.wrong_way += 1;
        }
        car.left_out = wrong;
        wrong
    }
}

impl PlateWatch {
    /// Nobody in view; `moves`: which cars are this camera's business.
    pub fn new(policy: PlatePolicy, moves: Moves) -> Self {
        Self {
            policy,
            tracker: Tracker::new(TrackPolicy::PLATES),
            lately: Lately { moves, said: Vec::new(), unsaid: Vec::new(), wrong_way: 0 },
            settled: false,
            decided: None,
            expected_by: None,
        }
    }

    /// Whether a car is in view.
    pub fn occupied(&self) -> bool {
        !self.tracker.is_empty()
    }

    /// Whether the newest frame showed cars, nothing left to say of any: no hurry to look again.
    pub fn settled(&self) -> bool {
        self.settled
    }

    /// Cars left out since the start because they went the wrong way.
    pub fn wrong_way(&self) -> u64 {
        self.lately.wrong_way
    }

    /// Takes what a frame shows.
    pub fn look(&mut self, seen: &[PlateSeen], frame: &Frame) -> Vec<Decision> {
        self.take(seen, frame.pts(), Some(frame))
    }

    fn take(&mut self, seen: &[PlateSeen], now: Duration, frame: Option<&Frame>) -> Vec<Decision> {
        self.lately.forget(now);
        let plausible: Vec<&PlateSeen> =
            seen.iter().filter(|plate| plate.read.is_some() || plate.score >= PLATE_SCORE).collect();
        let bounds: Vec<_> = plausible.iter().map(|plate| plate.bounds).collect();
        let tracks = self.tracker.assign(&bounds, now);
        let mut decisions = Vec::new();
        self.settled = !tracks.is_empty();
        for (plate, track) in plausible.into_iter().zip(tracks) {
            let Some(car) = self.tracker.state(track) else { continue };
            car.see(plate, now, frame);
            let said = self.lately.judge(car, &self.policy, now);
            self.settled &= car.is_settled();
            decisions.extend(said.map(|seen| {
                let better = car.shot_of(&seen);
                Decision { seen, bounds: Some(plate.bounds), better }
            }));
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
        let standing = self.lately.said.iter().any(|(_, at)| now.saturating_sub(*at) <= EXPECT_BEFORE);
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
        let seen = Seen::Plate {
            text: String::new(),
            confidence: 0.0,
            colour: colour_word(PlateColour::Unknown).into(),
            votes: 0,
            travel: None,
            sure: false,
        };
        Some(Decision { seen, bounds: None, better: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_core::recognition::plate::PlateKind;
    use gatehouse_core::recognition::travel::Travel;

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
            second: None,
        };
        PlateSeen { bounds, score: 0.9, read: (!text.is_empty()).then_some(read) }
    }

    fn texts(decisions: &[Decision]) -> Vec<&str> {
        decisions.iter().map(|d| if let Seen::Plate { text, .. } = &d.seen { text.as_str() } else { "?" }).collect()
    }

    #[test]
    fn a_plate_is_said_once_and_again_when_it_comes_again() {
        let mut watch = PlateWatch::new(PlatePolicy::default(), Moves::Any);
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
        let mut watch = PlateWatch::new(PlatePolicy::default(), Moves::Any);
        let mut said = Vec::new();
        for i in 0..30 {
            said.extend(watch.take(&[plate("", 0.0, 100.0)], ms(200 * i), None));
        }
        assert_eq!(texts(&said), [""]);
        assert_eq!(texts(&watch.take(&[plate("粤B12345", 0.95, 100.0)], ms(6200), None)), ["粤B12345"]);
    }

    #[test]
    fn an_unsure_text_is_never_said() {
        let mut watch = PlateWatch::new(PlatePolicy::default(), Moves::Any);
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
        let mut watch = PlateWatch::new(PlatePolicy::default(), Moves::Any);
        watch.expect(ms(0));
        watch.expect(ms(1000));
        assert!(watch.overdue(ms(2999)).is_none());
        assert_eq!(texts(&watch.overdue(ms(3000)).into_iter().collect::<Vec<_>>()), [""]);
        assert!(watch.overdue(ms(9000)).is_none());
        watch.take(&[plate("粤B12345", 0.97, 100.0)], ms(20_000), None);
        watch.expect(ms(22_000));
        assert!(watch.overdue(ms(60_000)).is_none(), "the car on the loop is the one just read");
    }

    /// The plate of a car at so many metres, as a gate camera sees it.
    fn at(text: &str, metres: f32) -> PlateSeen {
        let (width, y) = (900.0 / metres, 100.0 + 2_000.0 / metres);
        let bounds = [500.0 - width / 2.0, y, 500.0 + width / 2.0, y + width / 3.0];
        let seen = plate(text, 0.97, 0.0);
        PlateSeen { bounds, read: seen.read.map(|read| PlateRead { bounds, ..read }), ..seen }
    }

    /// What a camera says of a car whose distance each frame, five a second, is given: text and way, and what it left out.
    fn driven(moves: Moves, text: &str, metres: impl IntoIterator<Item = f32>) -> (Vec<(String, Option<Travel>)>, u64) {
        let mut watch = PlateWatch::new(PlatePolicy::default(), moves);
        let mut said = Vec::new();
        let mut now = ms(0);
        for metres in metres {
            said.extend(watch.take(&[at(text, metres)], now, None));
            now += Duration::from_millis(200);
        }
        let seen = said.into_iter().map(|decision| match decision.seen {
            Seen::Plate { text, travel, .. } => (text, travel),
            other => panic!("{other:?}"),
        });
        (seen.collect(), watch.wrong_way())
    }

    fn said(text: &str, travel: Option<Travel>) -> Vec<(String, Option<Travel>)> {
        vec![(text.to_owned(), travel)]
    }

    const CAR: &str = "京A88888";

    #[test]
    fn a_car_that_drives_the_wrong_way_is_not_said_but_counted_once() {
        let come = || (0..20).map(|n| 20.0 - 0.7 * n as f32);
        let leave = || (0..20).map(|n| 6.0 + 0.7 * n as f32);
        assert_eq!(driven(Moves::Towards, CAR, come()), (said(CAR, Some(Travel::Towards)), 0));
        assert_eq!(driven(Moves::Towards, CAR, leave()), (vec![], 1));
        assert_eq!(driven(Moves::Away, CAR, leave()), (said(CAR, Some(Travel::Away)), 0));
        assert_eq!(driven(Moves::Away, CAR, come()), (vec![], 1));
        // Every way is said at once, before there is one.
        assert_eq!(driven(Moves::Any, CAR, leave()), (said(CAR, None), 0));
        assert_eq!(driven(Moves::Towards, "", leave()), (vec![], 1), "nor asked about when unread");
    }

    #[test]
    fn a_car_that_stands_is_said_after_a_second_also_where_its_track_breaks() {
        assert_eq!(driven(Moves::Towards, CAR, [7.0; 40]), (said(CAR, None), 0));
        assert_eq!(driven(Moves::Away, CAR, [7.0; 40]), (said(CAR, None), 0));
        assert_eq!(driven(Moves::Towards, CAR, [7.0]), (vec![], 0), "one frame shows no way");
        assert_eq!(driven(Moves::Towards, "", [7.0; 40]), (said("", None), 0));
        let mut watch = PlateWatch::new(PlatePolicy::default(), Moves::Towards);
        assert!(watch.take(&[at(CAR, 7.0)], ms(0), None).is_empty() && !watch.settled());
        assert!(watch.take(&[at(CAR, 7.0)], ms(900), None).is_empty());
        assert_eq!(texts(&watch.take(&[at(CAR, 7.0)], ms(1_000), None)), [CAR]);
        assert!(watch.settled());
        // Key frames farther apart than a track lasts.
        let mut watch = PlateWatch::new(PlatePolicy::default(), Moves::Towards);
        assert!(watch.take(&[at(CAR, 7.0)], ms(0), None).is_empty());
        assert_eq!(texts(&watch.take(&[at(CAR, 7.0)], ms(4_000), None)), [CAR]);
    }

    #[test]
    fn a_machine_that_looks_seldom_takes_none_that_leaves_for_one_that_stands() {
        let mut watch = PlateWatch::new(PlatePolicy::default(), Moves::Towards);
        let seldom: Vec<_> = [5.0, 10.5, 22.0, 30.0].into_iter().zip([0, 1_200, 2_400, 3_600]).collect();
        let said = seldom.iter().flat_map(|(metres, at_ms)| watch.take(&[at(CAR, *metres)], ms(*at_ms), None));
        assert_eq!(texts(&said.collect::<Vec<_>>()), [""; 0]);
        assert_eq!(watch.wrong_way(), 1);
    }

    #[test]
    fn one_that_arrived_may_back_off_and_one_that_left_may_turn() {
        let come = || (0..12).map(|n| 14.0 - 0.6 * n as f32);
        let back = || (0..12).map(|n| 7.4 + 0.6 * n as f32);
        let arrived = come().chain([7.4; 30]).chain(back());
        assert_eq!(driven(Moves::Towards, CAR, arrived), (said(CAR, Some(Travel::Towards)), 0));
        let turned = back().chain([14.0; 30]).chain(come());
        assert_eq!(driven(Moves::Towards, CAR, turned), (said(CAR, Some(Travel::Towards)), 1));
    }

    #[test]
    fn one_that_left_and_is_lost_for_moments_stays_left_out() {
        let mut watch = PlateWatch::new(PlatePolicy::default(), Moves::Towards);
        let mut said = Vec::new();
        for n in 0..10 {
            said.extend(watch.take(&[at(CAR, 6.0 + 0.7 * n as f32)], ms(200 * n), None));
        }
        // The track is lost; far away it hardly moves any more.
        for n in 0..20 {
            said.extend(watch.take(&[at(CAR, 16.0)], ms(7_000 + 200 * n), None));
        }
        assert_eq!((texts(&said), watch.wrong_way()), (vec![""; 0], 1));
        watch.expect(ms(12_000));
        assert_eq!(
            texts(&watch.overdue(ms(15_000)).into_iter().collect::<Vec<_>>()),
            [""],
            "it is not the car on the loop"
        );
    }
}
