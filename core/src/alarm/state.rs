//! One alarm: facts that vary independently, and the ISA-18.2 letter as a function of them.
//!
//! ```text
//!  A normal · B unacknowledged · C acknowledged · D returned, unacknowledged · E latched, unacknowledged
//!  F latched, acknowledged · G shelved · H suppressed by design · I out of service
//! ```

use super::{AlarmKind, Priority};
use crate::event::Params;
use crate::id::{AlarmId, ClipId, DeviceId, EventId, PlaceId, WorkOrderId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What makes an alarm the same alarm: source, kind, zone. At most one is open per key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The device, none for the program itself.
    pub device: Option<DeviceId>,
    /// The kind.
    pub kind: AlarmKind,
    /// The part of the source, empty for the whole.
    pub zone: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.device {
            Some(device) => write!(f, "{device}/{}/{}", self.kind, self.zone),
            None => write!(f, "-/{}/{}", self.kind, self.zone),
        }
    }
}

/// The independent facts of an alarm (OPC UA Part 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The condition stands.
    pub active: bool,
    /// An operator has seen it.
    pub acked: bool,
    /// It stays until its source is reset.
    pub latched: bool,
    /// Put aside until then.
    pub shelved_until: Option<Timestamp>,
    /// Held back by a rule (test mode).
    pub suppressed: bool,
    /// Its source is in service.
    pub in_service: bool,
}

/// What happens to an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The condition began.
    Raise {
        /// Whether it latches.
        latching: bool,
        /// Whether a rule holds it back.
        suppressed: bool,
    },
    /// The condition ended.
    Clear {
        /// The source was reset as well.
        reset: bool,
    },
    /// An operator has seen it.
    Ack,
    /// An operator puts it aside.
    Shelve {
        /// Until then.
        until: Timestamp,
    },
    /// It comes back before its time.
    Unshelve,
    /// Time has passed.
    Tick,
}

/// What changed by an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Nothing.
    Nothing,
    /// Raised, after it had returned or for the first time.
    Raised,
    /// The condition is gone, the alarm is not done with.
    Returned,
    /// Acknowledged.
    Acknowledged,
    /// Its latch was released.
    Reset,
    /// Put aside.
    Shelved,
    /// Back from the shelf.
    Unshelved,
}

impl Facts {
    /// An alarm that has not been raised.
    pub const NORMAL: Facts =
        Facts { active: false, acked: true, latched: false, shelved_until: None, suppressed: false, in_service: true };

    /// Takes an input.
    pub fn step(&mut self, input: Input, now: Timestamp) -> Changed {
        match input {
            Input::Raise { latching, suppressed } => {
                let new = !self.active;
                self.active = true;
                self.latched |= latching;
                self.suppressed = suppressed;
                if new {
                    self.acked = false;
                    Changed::Raised
                } else {
                    Changed::Nothing
                }
            }
            Input::Clear { reset } => {
                let was = (self.active, self.latched);
                self.active = false;
                if reset {
                    self.latched = false;
                }
                match (was, reset) {
                    ((true, _), _) => Changed::Returned,
                    ((false, true), true) => Changed::Reset,
                    ((false, true), false) | ((false, false), _) => Changed::Nothing,
                }
            }
            Input::Ack => match (self.acked, self.latched && !self.active) {
                (false, releases) => {
                    self.acked = true;
                    self.latched &= !releases;
                    Changed::Acknowledged
                }
                // A second look at a latched alarm whose condition is gone releases the latch.
                (true, true) => {
                    self.latched = false;
                    Changed::Reset
                }
                (true, false) => Changed::Nothing,
            },
            Input::Shelve { until } => {
                self.shelved_until = Some(until);
                Changed::Shelved
            }
            Input::Unshelve => match self.shelved_until.take() {
                Some(_) => Changed::Unshelved,
                None => Changed::Nothing,
            },
            Input::Tick => match self.shelved_until {
                Some(until) if now >= until => {
                    self.shelved_until = None;
                    Changed::Unshelved
                }
                Some(_) | None => Changed::Nothing,
            },
        }
    }

    /// Whether it still needs anyone.
    pub fn is_open(&self) -> bool {
        self.active || !self.acked || self.latched
    }

    /// The ISA-18.2 state letter.
    pub fn letter(&self) -> char {
        match self {
            Facts { in_service: false, .. } => 'I',
            Facts { suppressed: true, .. } => 'H',
            Facts { shelved_until: Some(_), .. } => 'G',
            Facts { active: true, acked: false, .. } => 'B',
            Facts { active: true, acked: true, .. } => 'C',
            Facts { active: false, latched: true, acked: false, .. } => 'E',
            Facts { active: false, latched: true, acked: true, .. } => 'F',
            Facts { active: false, latched: false, acked: false, .. } => 'D',
            Facts { active: false, latched: false, acked: true, .. } => 'A',
        }
    }
}

/// An alarm: one occurrence of its key, from its first raise until it needs no one any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Its id.
    pub id: AlarmId,
    /// What makes it the same alarm.
    pub key: Key,
    /// How soon.
    pub priority: Priority,
    /// Where.
    pub place: Option<PlaceId>,
    /// Parameters of its title.
    pub title: Params,
    /// First raised, by our clock.
    pub raised_at: Timestamp,
    /// Observed, by the device's clock.
    pub observed_at: Option<Timestamp>,
    /// Its facts.
    pub facts: Facts,
    /// Who acknowledged.
    pub acked_by: Option<String>,
    /// When.
    pub acked_at: Option<Timestamp>,
    /// When the condition last ended.
    pub cleared_at: Option<Timestamp>,
    /// When it needed no one any more.
    pub closed_at: Option<Timestamp>,
    /// Why it was put aside.
    pub shelve_reason: String,
    /// How often it was raised.
    pub occurrences: u32,
    /// The cameras that see it.
    pub cameras: Vec<DeviceId>,
    /// What someone has to do about it.
    pub work_order: Option<WorkOrderId>,
    /// Who raised it: a device's key or a part of the program.
    pub source: String,
    /// The event that raised it.
    pub cause: EventId,
}

/// One line of an alarm's timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Which alarm.
    pub alarm: AlarmId,
    /// When.
    pub at: Timestamp,
    /// What, as a code.
    pub code: String,
    /// Who.
    pub by: String,
    /// With what.
    pub params: Params,
}

/// A stretch of recording that belongs to an alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// Its id.
    pub id: ClipId,
    /// Which alarm.
    pub alarm: AlarmId,
    /// Of which camera.
    pub camera: DeviceId,
    /// From.
    pub from: Timestamp,
    /// To.
    pub to: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + s).unwrap()
    }

    fn raise(latching: bool) -> Input {
        Input::Raise { latching, suppressed: false }
    }

    #[test]
    fn the_letters_follow_the_standard() {
        let mut facts = Facts::NORMAL;
        assert_eq!(facts.letter(), 'A');
        facts.step(raise(false), at(0));
        assert_eq!(facts.letter(), 'B');
        facts.step(Input::Ack, at(1));
        assert_eq!(facts.letter(), 'C');
        facts.step(Input::Shelve { until: at(60) }, at(2));
        assert_eq!(facts.letter(), 'G');
        assert_eq!(facts.step(Input::Tick, at(60)), Changed::Unshelved);
        facts.step(Input::Clear { reset: false }, at(61));
        assert_eq!(facts.letter(), 'A');
        facts.step(raise(true), at(62));
        facts.step(Input::Clear { reset: false }, at(63));
        assert_eq!(facts.letter(), 'E');
        facts.step(Input::Ack, at(64));
        assert_eq!(facts.letter(), 'A');
    }

    #[test]
    fn a_latched_alarm_waits_for_its_reset() {
        let mut facts = Facts::NORMAL;
        facts.step(raise(true), at(0));
        facts.step(Input::Ack, at(1));
        facts.step(Input::Clear { reset: false }, at(2));
        assert_eq!((facts.letter(), facts.is_open()), ('F', true));
        assert_eq!(facts.step(Input::Clear { reset: true }, at(3)), Changed::Reset);
        assert!(!facts.is_open());
    }

    fn any_input() -> impl Strategy<Value = Input> {
        prop_oneof![
            (any::<bool>(), any::<bool>()).prop_map(|(latching, suppressed)| Input::Raise { latching, suppressed }),
            any::<bool>().prop_map(|reset| Input::Clear { reset }),
            Just(Input::Ack),
            (0..100i64).prop_map(|s| Input::Shelve { until: at(s) }),
            Just(Input::Unshelve),
            Just(Input::Tick),
        ]
    }

    proptest! {
        #[test]
        fn an_acknowledged_alarm_never_becomes_unacknowledged_without_a_new_raise(
            inputs in proptest::collection::vec(any_input(), 0..60),
        ) {
            let mut facts = Facts::NORMAL;
            for (n, input) in inputs.into_iter().enumerate() {
                let before = facts;
                let changed = facts.step(input, at(n as i64));
                if before.acked && !facts.acked {
                    prop_assert_eq!(changed, Changed::Raised);
                    prop_assert!(!before.active);
                }
            }
        }

        #[test]
        fn an_active_or_unseen_alarm_is_never_gone(inputs in proptest::collection::vec(any_input(), 0..60)) {
            let mut facts = Facts::NORMAL;
            for (n, input) in inputs.into_iter().enumerate() {
                facts.step(input, at(n as i64));
                prop_assert_eq!(facts.is_open(), facts.active || !facts.acked || facts.latched);
                prop_assert!(facts.is_open() || matches!(facts.letter(), 'A' | 'G' | 'H'));
            }
        }
    }
}
