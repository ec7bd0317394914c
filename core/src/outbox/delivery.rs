//! One notice for one target, from the moment it is written until it was taken or given up.

use crate::event::Event;
use crate::id::{AlarmId, DeliveryId};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How long a notice is tried. A receiver that was away over a long weekend still gets everything.
pub const KEPT_FOR: SignedDuration = SignedDuration::from_hours(72);
/// The pause after the first failure.
const FIRST_PAUSE_MS: i64 = 5_000;
/// The longest pause.
const LONGEST_PAUSE_MS: i64 = 3_600_000;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryState {
    /// Not taken yet.
    Waiting,
    /// Taken by the receiver; final.
    Done,
    /// Given up; an operator may send it again.
    Dead,
}

impl DeliveryState {
    /// The word stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            DeliveryState::Waiting => "waiting",
            DeliveryState::Done => "done",
            DeliveryState::Dead => "dead",
        }
    }

    /// The state of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [DeliveryState::Waiting, DeliveryState::Done, DeliveryState::Dead]
            .into_iter()
            .find(|state| state.word() == word)
    }
}

/// What a receiver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has the notice.
    Taken,
    /// It wants none any more (HTTP 410).
    Gone,
    /// Anything else: it is tried again.
    Failed {
        /// What went wrong, for people; holds no secret.
        reason: String,
    },
}

/// What is handed to whoever sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// For whom.
    pub target: String,
    /// The same at every attempt.
    pub id: DeliveryId,
    /// When this attempt is made.
    pub at: Timestamp,
    /// The notice, byte for byte the same at every attempt.
    pub body: String,
}

/// One notice for one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Derived from its target and its event: written again, it is the same row.
    pub id: DeliveryId,
    /// For whom.
    pub target: String,
    /// The alarm it is about: what is told of one alarm goes out in the order of its events.
    pub alarm: Option<AlarmId>,
    /// The number of its event, 0 for a test.
    pub seq: u64,
    /// `alarm.raised`, `alarm.acknowledged`, …, `test`.
    pub kind: String,
    /// The notice as JSON text.
    pub body: String,
    /// When it happened.
    pub at: Timestamp,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts that failed.
    pub attempts: u32,
    /// The next attempt, while it waits.
    pub next_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// Why the last attempt failed.
    pub reason: String,
    /// When it last changed.
    pub changed_at: Timestamp,
}

impl Delivery {
    /// The id of what a target is told of an event.
    pub fn id_of(target: &str, event: &Event) -> DeliveryId {
        DeliveryId(Uuid::new_v5(&event.id.0, format!("DeliveryId:webhook:{target}").as_bytes()))
    }

    /// A notice of an event, due at once.
    pub fn of_event(target: &str, alarm: AlarmId, event: &Event, kind: String, body: String) -> Self {
        let at = event.received_at;
        let id = Self::id_of(target, event);
        Self { alarm: Some(alarm), seq: event.seq, ..Self::new(id, target, kind, body, at) }
    }

    /// A test, due at once; it waits for nothing.
    pub fn test(id: DeliveryId, target: &str, body: String, now: Timestamp) -> Self {
        Self::new(id, target, "test".into(), body, now)
    }

    fn new(id: DeliveryId, target: &str, kind: String, body: String, at: Timestamp) -> Self {
        Self {
            id,
            target: target.to_owned(),
            alarm: None,
            seq: 0,
            kind,
            body,
            at,
            state: DeliveryState::Waiting,
            attempts: 0,
            next_at: at,
            expires_at: later(at, KEPT_FOR),
            reason: String::new(),
            changed_at: at,
        }
    }

    /// Takes what the receiver answered. `roll`, 0–1, spreads the attempts of many.
    pub fn answered(&mut self, answer: &Answer, roll: f64, now: Timestamp) {
        if self.state != DeliveryState::Waiting {
            return;
        }
        self.changed_at = now;
        let reason = match answer {
            Answer::Taken => {
                self.state = DeliveryState::Done;
                self.reason.clear();
                return;
            }
            Answer::Gone => "the receiver answered 410 Gone: it wants no more notices",
            Answer::Failed { reason } => reason,
        };
        self.attempts = self.attempts.saturating_add(1);
        self.reason = reason.to_owned();
        if now >= self.expires_at {
            self.state = DeliveryState::Dead;
        } else {
            // The last attempt is at the very end, so that "three days" is what is kept.
            self.next_at = later(now, pause(self.attempts, roll)).min(self.expires_at);
        }
    }

    /// Gives it up without an attempt: its target is disabled or gone.
    pub fn give_up(&mut self, reason: &str, now: Timestamp) {
        if self.state == DeliveryState::Waiting {
            self.state = DeliveryState::Dead;
            self.reason = reason.to_owned();
            self.changed_at = now;
        }
    }

    /// Begins again with three days; false when it is not dead.
    pub fn again(&mut self, now: Timestamp) -> bool {
        if self.state != DeliveryState::Dead {
            return false;
        }
        self.state = DeliveryState::Waiting;
        (self.attempts, self.next_at, self.expires_at, self.changed_at) = (0, now, later(now, KEPT_FOR), now);
        true
    }

    /// What is sent now.
    pub fn parcel(&self, now: Timestamp) -> Parcel {
        Parcel { target: self.target.clone(), id: self.id, at: now, body: self.body.clone() }
    }
}

/// The pause after the nth failure in a row: 5 s · 2ⁿ⁻¹ up to an hour, between 80 and 120 % of it by `roll`, 0–1.
pub fn pause(failures: u32, roll: f64) -> SignedDuration {
    let doublings = failures.saturating_sub(1).min(20);
    let step = FIRST_PAUSE_MS.saturating_mul(1 << doublings).min(LONGEST_PAUSE_MS);
    let percent = 80 + (roll.clamp(0.0, 1.0) * 40.0) as i64;
    SignedDuration::from_millis(step * percent / 100)
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + s).unwrap()
    }

    fn waiting() -> Delivery {
        Delivery::test(DeliveryId::from_key("x"), "desk", "{}".into(), at(0))
    }

    fn failed() -> Answer {
        Answer::Failed { reason: "no answer".into() }
    }

    #[test]
    fn pauses_double_from_five_seconds_to_an_hour_and_are_spread() {
        let steps: Vec<_> = (1..13).map(|n| pause(n, 0.5).as_secs()).collect();
        assert_eq!(steps, [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600]);
        assert_eq!((pause(1, 0.0).as_millis(), pause(1, 1.0).as_millis()), (4_000, 6_000));
        assert_eq!(pause(u32::MAX, 7.0).as_secs(), 4_320);
    }

    #[test]
    fn what_fails_for_three_days_is_dead_and_can_be_sent_again() {
        let mut delivery = waiting();
        delivery.answered(&failed(), 0.5, at(0));
        assert_eq!((delivery.state, delivery.next_at, delivery.attempts), (DeliveryState::Waiting, at(5), 1));
        let end = at(72 * 3_600);
        delivery.answered(&failed(), 0.5, at(72 * 3_600 - 60));
        assert_eq!(delivery.next_at, at(72 * 3_600 - 50));
        delivery.attempts = 11;
        delivery.answered(&failed(), 0.5, at(72 * 3_600 - 50));
        assert_eq!((delivery.state, delivery.next_at), (DeliveryState::Waiting, end), "one more try at the very end");
        delivery.answered(&failed(), 0.5, end);
        assert_eq!((delivery.state, delivery.reason.as_str()), (DeliveryState::Dead, "no answer"));
        let id = delivery.id;
        assert!(delivery.again(at(300_000)));
        assert_eq!((delivery.id, delivery.state, delivery.next_at), (id, DeliveryState::Waiting, at(300_000)));
        delivery.answered(&Answer::Taken, 0.5, at(300_001));
        assert!(!delivery.again(at(300_002)), "what was taken is not sent again");
    }

    fn any_answer() -> impl Strategy<Value = Answer> {
        prop_oneof![Just(Answer::Taken), Just(Answer::Gone), Just(failed())]
    }

    proptest! {
        #[test]
        fn a_delivery_is_never_dead_before_its_three_days_and_never_changes_once_taken(
            answers in proptest::collection::vec((any_answer(), 0i64..20_000, 0f64..1.0), 0..60),
        ) {
            let (mut delivery, mut now) = (waiting(), 0);
            for (answer, pause, roll) in answers {
                now += pause;
                let before = delivery.clone();
                delivery.answered(&answer, roll, at(now));
                prop_assert_eq!(&delivery.id, &before.id);
                prop_assert_eq!(&delivery.body, &before.body);
                match before.state {
                    DeliveryState::Waiting => {
                        prop_assert!(delivery.state != DeliveryState::Dead || at(now) >= before.expires_at);
                        prop_assert!(delivery.state != DeliveryState::Waiting
                            || (delivery.next_at > at(now) && delivery.next_at <= delivery.expires_at));
                    }
                    DeliveryState::Done | DeliveryState::Dead => prop_assert_eq!(&delivery, &before),
                }
            }
        }
    }
}
