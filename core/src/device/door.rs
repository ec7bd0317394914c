//! A door: contact and grants in, lock commands out.
//!
//! ```text
//!  Secured ──grant──▶ Unlocked ──opened──▶ Open ──too long──▶ HeldOpen
//!     ▲  └─opened─▶ ForcedOpen                └──── closed: back to Secured ◀── all
//!     any ──release──▶ Released ──restore──▶ Secured or Open
//! ```
//! States follow the ONVIF Door Control Service (DoorAlarm: DoorForcedOpen, DoorOpenTooLong). Fire release outranks all: in
//! `Released` nothing but `restore` leads out, and neither the loss nor the return of the link releases or secures a door
//! (IEC 60839-11-1).

use super::link::Verb;
use super::telemetry::Value;
use super::{Device, Input as DeviceInput, Output};
use crate::event::Body;
use crate::site::Spec;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How long a request to exit lets the door be opened without being forced.
const EXIT_MS: u32 = 8_000;

/// The door's contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contact {
    /// The leaf is closed.
    Closed,
    /// The leaf is open.
    Opened,
}

/// Where the door stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum State {
    /// Closed and locked.
    Secured,
    /// Free to be opened.
    Unlocked {
        /// Until then.
        until: Timestamp,
    },
    /// Opened after a grant.
    Open {
        /// Since then.
        since: Timestamp,
    },
    /// Open for too long.
    HeldOpen {
        /// Open since then.
        since: Timestamp,
    },
    /// Opened without a grant.
    ForcedOpen {
        /// Since then.
        since: Timestamp,
    },
    /// Free by fire release.
    Released {
        /// Since then.
        since: Timestamp,
    },
}

/// What the door is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Someone may pass; the lock was told, or is told now when `send`.
    Grant {
        /// How long.
        unlock_ms: u32,
        /// Whether the lock is still to be told.
        send: bool,
    },
    /// The contact tells.
    Contact(Contact),
    /// Someone inside wants out: the door frees itself.
    Exit,
    /// Lock now.
    Lock,
    /// Fire release.
    Release,
    /// End of a fire release.
    Restore,
    /// The device is back on its link.
    Back,
    /// Time has passed.
    Tick,
}

/// A door.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Door {
    state: State,
    contact: Contact,
    tampered: bool,
}

fn after(now: Timestamp, ms: u32) -> Timestamp {
    now.saturating_add(SignedDuration::from_millis(i64::from(ms))).unwrap_or(Timestamp::MAX)
}

impl Door {
    /// Where it stands.
    pub fn is(&self) -> State {
        self.state
    }

    /// Every state with every input.
    pub fn turn(&mut self, input: Input, held_ms: u32, now: Timestamp) -> Vec<Output> {
        use Contact::{Closed, Opened};
        use State::{ForcedOpen, HeldOpen, Open, Released, Secured, Unlocked};
        if let Input::Contact(contact) = input {
            self.contact = contact;
        }
        let shut = if self.contact == Closed { Secured } else { Open { since: now } };
        let tell = |send: bool, unlock_ms: u32| {
            if send { vec![Output::Send(Verb::Unlock { for_ms: unlock_ms })] } else { vec![] }
        };
        let (next, outputs) = match (self.state, input) {
            (Secured, Input::Grant { unlock_ms, send }) => {
                (Unlocked { until: after(now, unlock_ms) }, tell(send, unlock_ms))
            }
            (Secured, Input::Contact(Opened)) => (ForcedOpen { since: now }, vec![]),
            (Secured, Input::Contact(Closed) | Input::Lock | Input::Restore | Input::Back | Input::Tick) => {
                (Secured, vec![])
            }
            (Secured, Input::Exit) => (Unlocked { until: after(now, EXIT_MS) }, vec![]),

            (Unlocked { until }, Input::Grant { unlock_ms, send }) => {
                (Unlocked { until: until.max(after(now, unlock_ms)) }, tell(send, unlock_ms))
            }
            (Unlocked { .. }, Input::Contact(Opened)) => (Open { since: now }, vec![]),
            (Unlocked { until }, Input::Contact(Closed) | Input::Back) => (Unlocked { until }, vec![]),
            (Unlocked { until }, Input::Exit) => (Unlocked { until: until.max(after(now, EXIT_MS)) }, vec![]),
            (Unlocked { .. }, Input::Lock) => (Secured, vec![]),
            (Unlocked { until }, Input::Restore | Input::Tick) => {
                (if now >= until { Secured } else { Unlocked { until } }, vec![])
            }

            (Open { since }, Input::Contact(Opened)) => (Open { since }, vec![]),
            (Open { .. }, Input::Contact(Closed)) => (Secured, vec![]),
            (Open { since }, Input::Grant { unlock_ms, send }) => (Open { since }, tell(send, unlock_ms)),
            (Open { since }, Input::Exit | Input::Lock | Input::Restore | Input::Back) => (Open { since }, vec![]),
            (Open { since }, Input::Tick) => {
                (if now >= after(since, held_ms) { HeldOpen { since } } else { Open { since } }, vec![])
            }

            (HeldOpen { since }, Input::Contact(Opened)) => (HeldOpen { since }, vec![]),
            (HeldOpen { .. }, Input::Contact(Closed)) => (Secured, vec![]),
            (HeldOpen { since }, Input::Grant { unlock_ms, send }) => (HeldOpen { since }, tell(send, unlock_ms)),
            (HeldOpen { since }, Input::Exit | Input::Lock | Input::Restore | Input::Back | Input::Tick) => {
                (HeldOpen { since }, vec![])
            }

            (ForcedOpen { since }, Input::Contact(Opened)) => (ForcedOpen { since }, vec![]),
            (ForcedOpen { .. }, Input::Contact(Closed)) => (Secured, vec![]),
            (ForcedOpen { since }, Input::Grant { unlock_ms, send }) => (ForcedOpen { since }, tell(send, unlock_ms)),
            (ForcedOpen { since }, Input::Exit | Input::Lock | Input::Restore | Input::Back | Input::Tick) => {
                (ForcedOpen { since }, vec![])
            }

            (Released { since }, Input::Release | Input::Back) => {
                (Released { since }, vec![Output::Send(Verb::Release)])
            }
            (Released { .. }, Input::Restore) => (shut, vec![Output::Send(Verb::Restore)]),
            (
                Released { since },
                Input::Grant { .. } | Input::Contact(Opened | Closed) | Input::Exit | Input::Lock | Input::Tick,
            ) => (Released { since }, vec![]),
            (Secured | Unlocked { .. } | Open { .. } | HeldOpen { .. } | ForcedOpen { .. }, Input::Release) => {
                (Released { since: now }, vec![Output::Send(Verb::Release)])
            }
        };
        self.state = next;
        outputs
    }
}

impl Device for Door {
    fn new(_: &Spec) -> Self {
        Self { state: State::Secured, contact: Contact::Closed, tampered: false }
    }

    fn step(&mut self, input: DeviceInput<'_>, spec: &Spec, now: Timestamp) -> Vec<Output> {
        let input = match input {
            DeviceInput::Point("contact", value) => match value.as_bool() {
                Some(open) => Input::Contact(if open { Contact::Opened } else { Contact::Closed }),
                None => return vec![],
            },
            DeviceInput::Point("lock", _) => return vec![],
            DeviceInput::Point(part @ ("tamper" | "reader"), value) => {
                let active = matches!(value, Value::Bool(true)) || value.as_word() == Some("tamper");
                let before = std::mem::replace(&mut self.tampered, active);
                return if before == active {
                    vec![]
                } else {
                    vec![Output::Tell(Body::Tamper { active, part: part.to_owned() })]
                };
            }
            DeviceInput::Grant { unlock_ms } => Input::Grant { unlock_ms, send: true },
            DeviceInput::Happening("request_to_exit") => Input::Exit,
            // The ledger sends these itself; the machine follows.
            DeviceInput::Command(Verb::Unlock { for_ms }) => Input::Grant { unlock_ms: *for_ms, send: false },
            DeviceInput::Command(Verb::Lock) => Input::Lock,
            DeviceInput::Command(Verb::Release) => {
                return without_send(self.turn(Input::Release, spec.held_ms(), now));
            }
            DeviceInput::Command(Verb::Restore) => {
                return without_send(self.turn(Input::Restore, spec.held_ms(), now));
            }
            DeviceInput::Ended(Verb::Unlock { .. }, false) if matches!(self.state, State::Unlocked { .. }) => {
                Input::Lock
            }
            DeviceInput::Back => Input::Back,
            DeviceInput::Tick => Input::Tick,
            DeviceInput::Point(..)
            | DeviceInput::Happening(_)
            | DeviceInput::Command(_)
            | DeviceInput::Ended(..)
            | DeviceInput::Stream { .. }
            | DeviceInput::Motion(_) => return vec![],
        };
        self.turn(input, spec.held_ms(), now)
    }

    fn wake(&self, spec: &Spec) -> Option<Timestamp> {
        match self.state {
            State::Unlocked { until } => Some(until),
            State::Open { since } => Some(after(since, spec.held_ms())),
            State::Secured | State::HeldOpen { .. } | State::ForcedOpen { .. } | State::Released { .. } => None,
        }
    }

    fn rewind(&mut self, spec: &Spec, now: Timestamp) {
        match &mut self.state {
            State::Unlocked { until } => *until = (*until).min(after(now, spec.unlock_ms().max(EXIT_MS))),
            State::Open { since }
            | State::HeldOpen { since }
            | State::ForcedOpen { since }
            | State::Released { since } => *since = (*since).min(now),
            State::Secured => {}
        }
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::Secured => "secured",
            State::Unlocked { .. } => "unlocked",
            State::Open { .. } => "open",
            State::HeldOpen { .. } => "held_open",
            State::ForcedOpen { .. } => "forced_open",
            State::Released { .. } => "released",
        }
    }

    fn verbs(_: &Spec) -> &'static [&'static str] {
        &["unlock", "lock", "release", "restore"]
    }

    fn held_by_fire(&self) -> bool {
        matches!(self.state, State::Released { .. })
    }
}

/// Drops the sends of a turn whose command the ledger sends already.
fn without_send(outputs: Vec<Output>) -> Vec<Output> {
    outputs.into_iter().filter(|output| !matches!(output, Output::Send(_))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HELD: u32 = 30_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_780_000_000_000 + ms).unwrap()
    }

    fn door() -> Door {
        Door { state: State::Secured, contact: Contact::Closed, tampered: false }
    }

    #[test]
    fn door_left_open_is_held_then_clears() {
        let mut door = door();
        let sent = door.turn(Input::Grant { unlock_ms: 5_000, send: true }, HELD, at(0));
        assert_eq!(sent, [Output::Send(Verb::Unlock { for_ms: 5_000 })]);
        door.turn(Input::Contact(Contact::Opened), HELD, at(1_000));
        door.turn(Input::Tick, HELD, at(30_000));
        assert_eq!(door.is(), State::Open { since: at(1_000) });
        door.turn(Input::Tick, HELD, at(31_000));
        assert_eq!(door.is(), State::HeldOpen { since: at(1_000) });
        door.turn(Input::Contact(Contact::Closed), HELD, at(40_000));
        assert_eq!(door.is(), State::Secured);
    }

    #[test]
    fn door_opened_without_a_grant_is_forced_and_with_one_is_not() {
        let mut forced = door();
        forced.turn(Input::Contact(Contact::Opened), HELD, at(0));
        assert!(matches!(forced.is(), State::ForcedOpen { .. }));
        let mut late = door();
        late.turn(Input::Grant { unlock_ms: 5_000, send: true }, HELD, at(0));
        late.turn(Input::Tick, HELD, at(5_000));
        late.turn(Input::Contact(Contact::Opened), HELD, at(5_001));
        assert!(matches!(late.is(), State::ForcedOpen { .. }));
        let mut exit = door();
        exit.turn(Input::Exit, HELD, at(0));
        exit.turn(Input::Contact(Contact::Opened), HELD, at(1_000));
        assert!(matches!(exit.is(), State::Open { .. }));
    }

    fn any_input() -> impl Strategy<Value = Input> {
        prop_oneof![
            (1..20_000u32, any::<bool>()).prop_map(|(unlock_ms, send)| Input::Grant { unlock_ms, send }),
            Just(Input::Contact(Contact::Opened)),
            Just(Input::Contact(Contact::Closed)),
            Just(Input::Exit),
            Just(Input::Lock),
            Just(Input::Release),
            Just(Input::Restore),
            Just(Input::Back),
            Just(Input::Tick),
        ]
    }

    proptest! {
        #[test]
        fn a_released_door_is_secured_by_nothing_but_restore(
            before in proptest::collection::vec(any_input(), 0..20),
            during in proptest::collection::vec(any_input().prop_filter("restore ends it", |i| *i != Input::Restore), 0..20),
        ) {
            let mut door = door();
            for (n, input) in before.into_iter().enumerate() {
                door.turn(input, HELD, at(n as i64 * 700));
            }
            door.turn(Input::Release, HELD, at(20_000));
            for (n, input) in during.into_iter().enumerate() {
                let outputs = door.turn(input, HELD, at(21_000 + n as i64 * 9_000));
                prop_assert!(door.held_by_fire());
                prop_assert!(outputs.iter().all(|o| *o == Output::Send(Verb::Release)));
            }
        }

        #[test]
        fn a_held_door_clears_exactly_once(inputs in proptest::collection::vec(any_input(), 0..60)) {
            let mut door = door();
            let (mut began, mut ended) = (0, 0);
            for (n, input) in inputs.into_iter().enumerate() {
                let was = matches!(door.is(), State::HeldOpen { .. });
                door.turn(input, HELD, at(n as i64 * 11_000));
                let is = matches!(door.is(), State::HeldOpen { .. });
                began += i32::from(!was && is);
                ended += i32::from(was && !is);
                prop_assert!(ended <= began && began <= ended + 1);
            }
        }

        #[test]
        fn the_return_of_the_link_never_frees_a_door(inputs in proptest::collection::vec(any_input(), 0..40)) {
            let mut door = door();
            for (n, input) in inputs.into_iter().enumerate() {
                door.turn(input, HELD, at(n as i64 * 700));
                let before = door.is();
                door.turn(Input::Back, HELD, at(n as i64 * 700));
                prop_assert_eq!(before, door.is());
            }
        }
    }
}
