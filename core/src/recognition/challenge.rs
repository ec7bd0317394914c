//! The active challenge: who stands before a door camera turns the head and closes the eyes as asked, so that a photograph
//! opens nothing.
//!
//! ```text
//!  Asking(1) ──done──▶ Returning ──straight, eyes open, the same person──▶ Asking(2) ──▶ … ──▶ Passed
//!     └──── another action · too late · another person · gone ────▶ Failed
//! ```
//! The order is drawn anew each time; what is asked is never what was asked just before. An action counts when it is held:
//! a blink is none. One that is held and was not asked ends it, or a film with all of them would do in a circle. Between
//! two actions the face is straight and is the person's again: neither a picture that is turned all the time nor a second
//! head passes. It is no proof against a film of the very person doing the very actions: of twelve orders one is right,
//! and three failures are a pause.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Turn the head to your left.
    TurnLeft,
    /// Turn the head to your right.
    TurnRight,
    /// Close both eyes.
    CloseEyes,
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 3] = [Action::TurnLeft, Action::TurnRight, Action::CloseEyes];

    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Action::TurnLeft => "turn_left",
            Action::TurnRight => "turn_right",
            Action::CloseEyes => "close_eyes",
        }
    }
}

/// What one frame measures of the face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaze {
    /// How far the nose is off the middle of the eyes, in eye distances: positive when the head is turned to the person's own
    /// left, 0 into the camera. Of a flat picture it stays what it is, however the picture is turned.
    pub turn: f32,
    /// How surely the less open eye is open, 0–1.
    pub eyes_open: f32,
}

/// When an action counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChallengePolicy {
    /// Actions asked.
    pub steps: usize,
    /// From here the head is turned, eye distances: some 25°.
    pub turned: f32,
    /// Up to here it is straight.
    pub straight: f32,
    /// Up to here both eyes are closed, from `1 −` it on both are open, 0–1.
    pub closed: f32,
    /// How long an action must be seen to count: longer than a blink.
    pub hold: SignedDuration,
    /// For each action, the way back included.
    pub step_within: SignedDuration,
    /// A face unseen for longer is gone.
    pub gone_after: SignedDuration,
    /// Failures in a row after which there is a pause.
    pub failures: u32,
    /// The pause.
    pub pause: SignedDuration,
}

impl Default for ChallengePolicy {
    fn default() -> Self {
        Self {
            steps: 3,
            turned: 0.22,
            straight: 0.12,
            closed: 0.35,
            hold: SignedDuration::from_millis(500),
            step_within: SignedDuration::from_secs(6),
            gone_after: SignedDuration::from_millis(1_500),
            failures: 3,
            pause: SignedDuration::from_secs(60),
        }
    }
}

/// Why a challenge failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Not done in time.
    TooLate,
    /// Something else was done.
    WrongAction,
    /// Another person's face came.
    OtherPerson,
    /// The face went.
    Gone,
}

/// How a challenge stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// An action is asked.
    Asking {
        /// Which.
        action: Action,
        /// Until then.
        until: Timestamp,
    },
    /// It was done: look straight again.
    Returning {
        /// Until then.
        until: Timestamp,
    },
    /// Everything was done.
    Passed,
    /// Not.
    Failed(Failure),
}

/// One frame of the person's track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// What it measures.
    pub gaze: Gaze,
    /// Whose face it surely is: `Some(true)` the person's, `Some(false)` another known one's, `None` nobody's for sure (a turned
    /// or blinking face is described worse).
    pub same: Option<bool>,
}

/// A challenge under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Challenge {
    actions: Vec<Action>,
    /// Actions done, the way back included.
    done: usize,
    standing: Standing,
    /// What the last frames show, and since when.
    shown: Option<(Action, Timestamp)>,
    seen: Timestamp,
}

impl Challenge {
    /// Draws the actions from `seed`, which whoever asks must not know beforehand.
    pub fn new(seed: u64, policy: &ChallengePolicy, now: Timestamp) -> Self {
        let mut actions: Vec<Action> = Vec::new();
        let mut rest = seed;
        for _ in 0..policy.steps.max(1) {
            let open: Vec<Action> = Action::ALL.into_iter().filter(|action| actions.last() != Some(action)).collect();
            let (count, drawn) = (open.len() as u64, rest);
            rest /= count;
            actions.extend(open.get(usize::try_from(drawn % count).unwrap_or(0)));
        }
        let mut challenge = Self { actions, done: 0, standing: Standing::Passed, shown: None, seen: now };
        challenge.standing = challenge.ask(policy, now);
        challenge
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Which action it is at, from one, and of how many.
    pub fn step_of(&self) -> (usize, usize) {
        ((self.done + 1).min(self.actions.len()), self.actions.len())
    }

    /// What is asked, in order.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// Takes a frame of the track.
    pub fn look(&mut self, look: Look, policy: &ChallengePolicy, now: Timestamp) -> Standing {
        self.tick(policy, now);
        if self.is_over() {
            return self.standing;
        }
        self.seen = self.seen.max(now);
        let held = self.hold(look.gaze, policy, now);
        self.standing = match (self.standing, look.same) {
            (_, Some(false)) => Standing::Failed(Failure::OtherPerson),
            (asking @ Standing::Asking { action, until }, Some(true) | None) => match held {
                None => asking,
                Some(held) if held == action => Standing::Returning { until },
                Some(_) => Standing::Failed(Failure::WrongAction),
            },
            (Standing::Returning { .. }, Some(true)) if straight(look.gaze, policy) => {
                self.done += 1;
                self.ask(policy, now)
            }
            (Standing::Returning { until }, Some(true) | None) => Standing::Returning { until },
            (over @ (Standing::Passed | Standing::Failed(_)), Some(true) | None) => over,
        };
        self.standing
    }

    /// Lets time pass without a frame of the track.
    pub fn tick(&mut self, policy: &ChallengePolicy, now: Timestamp) -> Standing {
        self.standing = match self.standing {
            Standing::Asking { until, .. } | Standing::Returning { until } if now > until => {
                Standing::Failed(Failure::TooLate)
            }
            Standing::Asking { .. } | Standing::Returning { .. }
                if now.duration_since(self.seen) > policy.gone_after =>
            {
                Standing::Failed(Failure::Gone)
            }
            same @ (Standing::Asking { .. } | Standing::Returning { .. } | Standing::Passed | Standing::Failed(_)) => {
                same
            }
        };
        self.standing
    }

    /// The action that is held long enough with this frame.
    fn hold(&mut self, gaze: Gaze, policy: &ChallengePolicy, now: Timestamp) -> Option<Action> {
        let action = Action::ALL.into_iter().find(|action| shows(*action, gaze, policy));
        let since = self.shown.filter(|(shown, _)| Some(*shown) == action).map_or(now, |(_, since)| since);
        self.shown = action.map(|action| (action, since));
        action.filter(|_| now.duration_since(since) >= policy.hold)
    }

    fn is_over(&self) -> bool {
        matches!(self.standing, Standing::Passed | Standing::Failed(_))
    }

    fn ask(&self, policy: &ChallengePolicy, now: Timestamp) -> Standing {
        let until = now.saturating_add(policy.step_within).unwrap_or(Timestamp::MAX);
        self.actions.get(self.done).map_or(Standing::Passed, |action| Standing::Asking { action: *action, until })
    }
}

/// Whether a frame shows the action. A NaN shows nothing.
fn shows(action: Action, gaze: Gaze, policy: &ChallengePolicy) -> bool {
    match action {
        Action::TurnLeft => gaze.turn >= policy.turned,
        Action::TurnRight => gaze.turn <= -policy.turned,
        // Of a turned head one eye is hidden: closing counts into the camera only.
        Action::CloseEyes => gaze.eyes_open <= policy.closed && gaze.turn.abs() <= policy.straight,
    }
}

fn straight(gaze: Gaze, policy: &ChallengePolicy) -> bool {
    gaze.turn.abs() <= policy.straight && gaze.eyes_open >= 1.0 - policy.closed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
    }

    fn look(turn: f32, eyes_open: f32) -> Look {
        Look { gaze: Gaze { turn, eyes_open }, same: Some(true) }
    }

    fn performs(action: Action) -> Look {
        let look = match action {
            Action::TurnLeft => look(0.28, 0.9),
            Action::TurnRight => look(-0.28, 0.9),
            Action::CloseEyes => look(0.02, 0.1),
        };
        Look { same: None, ..look }
    }

    /// Frames five a second: what each step of a person shows, until the challenge is over.
    fn played(seed: u64, person: impl Fn(Standing, i64) -> Option<Look>) -> Standing {
        let policy = ChallengePolicy::default();
        let mut challenge = Challenge::new(seed, &policy, at(0));
        for frame in 1..400 {
            let now = at(200 * frame);
            let standing = challenge.standing();
            match person(standing, frame) {
                Some(look) => challenge.look(look, &policy, now),
                None => challenge.tick(&policy, now),
            };
            if challenge.is_over() {
                return challenge.standing();
            }
        }
        panic!("it ends by itself");
    }

    fn obeys(standing: Standing, _: i64) -> Option<Look> {
        match standing {
            Standing::Asking { action, .. } => Some(performs(action)),
            Standing::Returning { .. } | Standing::Passed | Standing::Failed(_) => Some(look(-0.03, 0.95)),
        }
    }

    #[test]
    fn who_does_what_is_asked_passes_and_a_photograph_held_in_any_way_does_not() {
        for seed in 0..24 {
            assert_eq!(played(seed, obeys), Standing::Passed, "seed {seed}");
            for still in [look(0.0, 0.95), look(0.3, 0.9), look(-0.3, 0.9), look(0.0, 0.05), look(f32::NAN, f32::NAN)] {
                let end = played(seed, |_, _| Some(still));
                let failed = matches!(end, Standing::Failed(Failure::TooLate | Failure::WrongAction));
                assert!(failed, "{still:?}: {end:?}");
            }
            // Waved to and fro in its plane it measures a little this way and that.
            let waved = |_: Standing, n: i64| Some(look(if n % 2 == 0 { 0.11 } else { -0.11 }, 0.9));
            assert_eq!(played(seed, waved), Standing::Failed(Failure::TooLate));
        }
    }

    #[test]
    fn the_way_back_is_the_persons_own_face_and_another_one_ends_it() {
        let masked = |standing: Standing, n: i64| obeys(standing, n).map(|look| Look { same: None, ..look });
        assert_eq!(played(5, masked), Standing::Failed(Failure::TooLate), "nobody known does the actions");
        let swapped = |standing: Standing, n: i64| {
            let same = if n > 4 { Some(false) } else { None };
            obeys(standing, n).map(|look| Look { same, ..look })
        };
        assert_eq!(played(5, swapped), Standing::Failed(Failure::OtherPerson));
        let leaves = |standing: Standing, n: i64| if n < 3 { obeys(standing, n) } else { None };
        assert_eq!(played(5, leaves), Standing::Failed(Failure::Gone));
        let slow = |standing: Standing, n: i64| if n < 40 { Some(look(0.0, 0.9)) } else { obeys(standing, n) };
        assert_eq!(played(5, slow), Standing::Failed(Failure::TooLate));
    }

    /// A film of the person that does every action in turn, `frames` long each with as many straight ones between.
    fn film(order: [Action; 3], frames: i64, from: i64) -> impl Fn(Standing, i64) -> Option<Look> {
        move |_, n| {
            let at = (n + from) / frames;
            let action = order[usize::try_from(at / 2 % 3).unwrap()];
            Some(if at % 2 == 0 { performs(action) } else { look(0.01, 0.95) })
        }
    }

    #[test]
    fn what_was_not_asked_ends_it_and_a_film_of_everything_is_as_good_as_a_guess() {
        let other = |standing: Standing, n: i64| match standing {
            Standing::Asking { action, .. } => Action::ALL.into_iter().find(|other| *other != action).map(performs),
            _ => obeys(standing, n),
        };
        assert_eq!(played(3, other), Standing::Failed(Failure::WrongAction));
        // A blink is no action, nor is the wrong way for a moment.
        let blinks = |standing: Standing, n: i64| match n % 5 {
            0 => Some(performs(Action::CloseEyes)),
            _ => obeys(standing, n),
        };
        assert_eq!(played(3, blinks), Standing::Passed);
        let (mut passed, mut tries) = (0, 0);
        for (seed, from) in (0..24).flat_map(|seed| (0..24).map(move |from| (seed, from))) {
            let [a, b, c] = Action::ALL;
            for order in [[a, b, c], [a, c, b]] {
                tries += 1;
                passed += u32::from(played(seed, film(order, 4, from)) == Standing::Passed);
            }
        }
        assert!(passed * 8 < tries, "{passed} of {tries}");
    }

    #[test]
    fn every_order_is_drawn_and_none_asks_the_same_twice_in_a_row() {
        let policy = ChallengePolicy::default();
        let drawn: std::collections::BTreeSet<Vec<Action>> =
            (0..1_000).map(|seed| Challenge::new(seed, &policy, at(0)).actions().to_vec()).collect();
        assert_eq!(drawn.len(), 12);
        assert!(drawn.iter().all(|order| order.len() == 3 && order.windows(2).all(|pair| pair[0] != pair[1])));
    }

    fn any_look() -> impl Strategy<Value = Option<Look>> {
        let look = (-0.5f32..0.5, 0f32..1.0, proptest::option::of(any::<bool>()))
            .prop_map(|(turn, eyes_open, same)| Look { gaze: Gaze { turn, eyes_open }, same });
        proptest::option::of(look)
    }

    proptest! {
        #[test]
        fn it_never_passes_without_every_action_and_the_person_straight_after_each(
            seed in any::<u64>(), looks in proptest::collection::vec(any_look(), 0..80),
        ) {
            let policy = ChallengePolicy::default();
            let mut challenge = Challenge::new(seed, &policy, at(0));
            let mut performed = vec![];
            for (n, seen) in (1..).zip(&looks) {
                let now = at(200 * n);
                let before = challenge.standing();
                let after = match seen {
                    Some(look) => challenge.look(*look, &policy, now),
                    None => challenge.tick(&policy, now),
                };
                if let (Standing::Asking { action, .. }, Standing::Returning { .. }, Some(look)) = (before, after, seen) {
                    prop_assert!(shows(action, look.gaze, &policy));
                    performed.push(action);
                }
                if let (Standing::Returning { .. }, Standing::Asking { .. } | Standing::Passed, Some(look)) = (before, after, seen) {
                    prop_assert!(look.same == Some(true) && straight(look.gaze, &policy));
                }
                if after == Standing::Passed {
                    prop_assert_eq!(&performed, challenge.actions());
                }
            }
        }
    }
}
