//! A target of notices: which it wants, and how it does.

use super::{Answer, Delivery, DeliveryState};
use crate::alarm::{AlarmKind, Priority};
use crate::event::{Body, Event};
use crate::id::AlarmId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A target as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name: lower-case words, unique.
    pub name: String,
    /// Where it is, as shown: scheme, host and port, nothing that could be a secret.
    pub address: String,
    /// Alarms of this priority and above.
    pub min_priority: Priority,
    /// Only these kinds; empty for all.
    pub kinds: Vec<AlarmKind>,
    /// Whether it may be at a private address.
    pub allow_private: bool,
}

impl Target {
    /// The alarm that an event is about, when this target is told of it.
    pub fn wants(&self, event: &Event) -> Option<AlarmId> {
        let Body::AlarmMoved { alarm, kind, zone, priority, .. } = &event.body else { return None };
        // Telling a target that it cannot be told anything would only lengthen its queue.
        let of_itself = *kind == AlarmKind::DeliveryFailed && *zone == self.name;
        let fits = *priority <= self.min_priority.number() && (self.kinds.is_empty() || self.kinds.contains(kind));
        (fits && !of_itself).then_some(*alarm)
    }
}

/// How a target does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// No notice was given up since the last that was taken.
    Working,
    /// Notices were given up.
    Failing,
    /// Its receiver wants no more.
    Gone,
}

impl Health {
    /// The word stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Health::Working => "working",
            Health::Failing => "failing",
            Health::Gone => "gone",
        }
    }

    /// The health of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Health::Working, Health::Failing, Health::Gone].into_iter().find(|health| health.word() == word)
    }
}

/// What a target did that operators are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetMove {
    /// A notice was given up.
    Failing,
    /// It takes notices again.
    Working,
    /// It answered that it wants none, and is disabled.
    Gone,
    /// An operator enabled it.
    Enabled,
    /// An operator disabled it.
    Disabled,
    /// It is configured no more.
    Removed,
}

impl TargetMove {
    /// The word of the event.
    pub fn word(self) -> &'static str {
        match self {
            TargetMove::Failing => "failing",
            TargetMove::Working => "working",
            TargetMove::Gone => "gone",
            TargetMove::Enabled => "enabled",
            TargetMove::Disabled => "disabled",
            TargetMove::Removed => "removed",
        }
    }
}

/// How a target does, as kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetState {
    /// Its name.
    pub name: String,
    /// Whether notices are sent; while not, they wait.
    pub enabled: bool,
    /// How it does.
    pub health: Health,
    /// When a notice was last taken.
    pub delivered_at: Option<Timestamp>,
    /// When an attempt last failed.
    pub failed_at: Option<Timestamp>,
    /// Why it failed; empty when the last attempt did not.
    pub failure: String,
}

impl TargetState {
    /// A target that nothing was sent to yet.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            enabled: true,
            health: Health::Working,
            delivered_at: None,
            failed_at: None,
            failure: String::new(),
        }
    }

    /// Takes what came of a delivery, which has already taken the answer.
    pub fn answered(&mut self, answer: &Answer, delivery: &Delivery, now: Timestamp) -> Option<TargetMove> {
        let before = self.health;
        match answer {
            Answer::Taken => {
                self.delivered_at = Some(now);
                self.failure.clear();
                // One that was disabled meanwhile stays so.
                self.health = if self.enabled { Health::Working } else { before };
            }
            Answer::Gone => {
                self.enabled = false;
                self.health = Health::Gone;
            }
            Answer::Failed { .. } if delivery.state == DeliveryState::Dead => return self.gave_up(delivery, now),
            Answer::Failed { .. } => {}
        }
        if *answer != Answer::Taken {
            (self.failed_at, self.failure) = (Some(now), delivery.reason.clone());
        }
        match (before, self.health) {
            (Health::Working, Health::Working) | (Health::Failing, Health::Failing) | (Health::Gone, Health::Gone) => {
                None
            }
            (_, Health::Working) => Some(TargetMove::Working),
            (_, Health::Failing) => Some(TargetMove::Failing),
            (_, Health::Gone) => Some(TargetMove::Gone),
        }
    }

    /// Notes that a delivery was given up.
    pub fn gave_up(&mut self, delivery: &Delivery, now: Timestamp) -> Option<TargetMove> {
        (self.failed_at, self.failure) = (Some(now), delivery.reason.clone());
        if self.health != Health::Working {
            return None;
        }
        self.health = Health::Failing;
        Some(TargetMove::Failing)
    }

    /// Enables or disables it; nothing when it is so already.
    pub fn enable(&mut self, enabled: bool) -> Option<TargetMove> {
        if self.enabled == enabled {
            return None;
        }
        (self.enabled, self.health) = (enabled, Health::Working);
        Some(if enabled { TargetMove::Enabled } else { TargetMove::Disabled })
    }
}

/// The words of all alarm kinds, for a sentence that lists them.
pub fn kind_words() -> String {
    AlarmKind::ALL.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeliveryId, EventId};

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + s).unwrap()
    }

    fn event(kind: AlarmKind, zone: &str, priority: u8) -> Event {
        let what = "raised".to_owned();
        Event {
            id: EventId::from_key("e"),
            seq: 1,
            received_at: at(0),
            observed_at: None,
            device: None,
            place: None,
            cause: None,
            by: "system".into(),
            body: Body::AlarmMoved { alarm: AlarmId::from_key("a"), kind, zone: zone.into(), priority, what },
        }
    }

    fn target(min_priority: Priority, kinds: &[AlarmKind]) -> Target {
        let (name, address) = ("desk".to_owned(), "https://example.org".to_owned());
        Target { name, address, min_priority, kinds: kinds.to_vec(), allow_private: false }
    }

    #[test]
    fn a_target_is_told_of_its_priorities_and_kinds_and_not_of_its_own_failure() {
        let all = target(Priority::Low, &[]);
        assert!(all.wants(&event(AlarmKind::Motion, "", 4)).is_some());
        assert!(all.wants(&event(AlarmKind::DeliveryFailed, "other", 3)).is_some());
        assert!(all.wants(&event(AlarmKind::DeliveryFailed, "desk", 3)).is_none());
        let urgent = target(Priority::High, &[]);
        assert!(urgent.wants(&event(AlarmKind::Intrusion, "", 2)).is_some());
        assert!(urgent.wants(&event(AlarmKind::DoorHeld, "", 3)).is_none());
        let fire = target(Priority::Low, &[AlarmKind::Fire]);
        assert!(fire.wants(&event(AlarmKind::Fire, "", 1)).is_some());
        assert!(fire.wants(&event(AlarmKind::Smoke, "", 1)).is_none());
    }

    #[test]
    fn operators_are_told_once_that_a_target_fails_and_once_that_it_works_again() {
        let mut state = TargetState::new("desk");
        let mut delivery = Delivery::test(DeliveryId::from_key("x"), "desk", "{}".into(), at(0));
        let failed = Answer::Failed { reason: "no answer".into() };
        delivery.answered(&failed, 0.5, at(1));
        assert_eq!(state.answered(&failed, &delivery, at(1)), None);
        assert_eq!(state.failure, "no answer");
        delivery.answered(&failed, 0.5, delivery.expires_at);
        assert_eq!(state.answered(&failed, &delivery, at(2)), Some(TargetMove::Failing));
        assert_eq!(state.answered(&failed, &delivery, at(3)), None);
        assert_eq!(state.answered(&Answer::Taken, &delivery, at(4)), Some(TargetMove::Working));
        assert_eq!((state.answered(&Answer::Taken, &delivery, at(5)), state.failure.as_str()), (None, ""));
        assert_eq!(state.answered(&Answer::Gone, &delivery, at(6)), Some(TargetMove::Gone));
        assert!(!state.enabled);
        assert_eq!((state.enable(true), state.health), (Some(TargetMove::Enabled), Health::Working));
        assert_eq!(state.enable(true), None);
    }
}
