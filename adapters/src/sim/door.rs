//! A simulated door: strike, contact, reader and exit button; its face terminal forgets whom it is told to.
//!
//! The strike locks by itself when its time is over or the leaf has fallen shut behind someone. A command is accepted at once
//! and executed when the strike's own switch says so, 150 ms later.

use super::hardware::{Hardware, Input, Moment, Output, Stimulus, earliest, flag, word};
use gatehouse_core::device::link::Verb;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::{CommandId, PersonId};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// From order to the strike's switch.
const STRIKE: Duration = Duration::from_millis(150);
/// From a freed strike to the leaf opening, for someone who waits.
const REACH: Duration = Duration::from_millis(1_200);
/// Time to walk through.
const WALK: Duration = Duration::from_millis(2_500);
/// How long someone who showed a card waits for the lock.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long the exit button frees the strike.
const EXIT: Duration = Duration::from_secs(4);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Lock {
    Locked,
    UnlockedUntil(Instant),
    /// Fire release: until restored.
    Released,
}

/// A door.
#[derive(Debug)]
pub struct Door {
    lock: Lock,
    open: bool,
    tamper: bool,
    prop: bool,
    /// Someone waits until then.
    waits_until: Option<Instant>,
    opens_at: Option<Instant>,
    shuts_at: Option<Instant>,
    /// Orders not yet read back.
    reading_back: Vec<(Instant, CommandId)>,
    /// Faces its terminal was told to forget.
    forgotten: BTreeSet<PersonId>,
}

impl Default for Door {
    fn default() -> Self {
        Self {
            lock: Lock::Locked,
            open: false,
            tamper: false,
            prop: false,
            waits_until: None,
            opens_at: None,
            shuts_at: None,
            reading_back: Vec::new(),
            forgotten: BTreeSet::new(),
        }
    }
}

impl Door {
    fn free(&mut self, now: Instant) {
        if self.waits_until.take().is_some_and(|until| now <= until) && !self.open {
            self.opens_at = Some(now + REACH);
        }
    }

    fn command(&mut self, id: CommandId, verb: &Verb, now: Instant) -> Vec<Output> {
        match verb {
            Verb::Unlock { for_ms } => {
                let until = now + Duration::from_millis(u64::from(*for_ms));
                self.lock = match self.lock {
                    Lock::Released => Lock::Released,
                    Lock::UnlockedUntil(before) => Lock::UnlockedUntil(before.max(until)),
                    Lock::Locked => Lock::UnlockedUntil(until),
                };
                self.free(now);
            }
            // A released door is locked again by `restore` only.
            Verb::Lock if self.lock == Lock::Released => return vec![Output::failed(id, "released by fire")],
            Verb::Lock | Verb::Restore => self.lock = Lock::Locked,
            Verb::Release => {
                self.lock = Lock::Released;
                self.free(now);
            }
            // Told twice, it has nothing to remove the second time, and says so all the same.
            Verb::ForgetFace { person } => {
                self.forgotten.insert(*person);
            }
            _ => return vec![Output::failed(id, "not a command for a door")],
        }
        self.reading_back.push((now + STRIKE, id));
        vec![Output::accepted(id)]
    }

    fn act(&mut self, stimulus: &Stimulus, now: Instant) -> Vec<Output> {
        match stimulus {
            Stimulus::Card { card, pin } => {
                self.waits_until = Some(now + PATIENCE);
                let mut event = serde_json::json!({"type": "card_read", "card": card});
                if let Some(pin) = pin {
                    event["pin"] = pin.as_str().into();
                }
                return vec![Output::Event(event)];
            }
            Stimulus::Waits(patience) => {
                self.waits_until = Some(now + *patience);
                if self.lock != Lock::Locked {
                    self.free(now);
                }
            }
            Stimulus::Force => {
                self.open = true;
                self.shuts_at = None;
            }
            Stimulus::Prop(true) => self.prop = true,
            Stimulus::Prop(false) | Stimulus::Shut => {
                self.prop = false;
                self.open = false;
                (self.opens_at, self.shuts_at) = (None, None);
            }
            Stimulus::ExitButton => {
                if self.lock == Lock::Locked {
                    self.lock = Lock::UnlockedUntil(now + EXIT);
                }
                self.opens_at = Some(now + REACH);
                return vec![Output::happening("request_to_exit")];
            }
            Stimulus::Tamper(on) => self.tamper = *on,
            _ => {}
        }
        vec![]
    }

    fn time(&mut self, now: Instant) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.reading_back.retain(|(at, id)| {
            let later = *at > now;
            if !later {
                outputs.push(Output::executed(*id));
            }
            later
        });
        if self.opens_at.is_some_and(|at| at <= now) {
            self.opens_at = None;
            if self.lock != Lock::Locked {
                self.open = true;
                self.shuts_at = Some(now + WALK).filter(|_| !self.prop);
            }
        }
        if self.shuts_at.is_some_and(|at| at <= now) {
            self.shuts_at = None;
            self.open = false;
            // The strike drops when the leaf is shut behind someone, before its time is over.
            if matches!(self.lock, Lock::UnlockedUntil(_)) {
                self.lock = Lock::Locked;
            }
        }
        if matches!(self.lock, Lock::UnlockedUntil(until) if until <= now) {
            self.lock = Lock::Locked;
        }
        if self.waits_until.is_some_and(|until| until <= now) {
            self.waits_until = None;
        }
        outputs
    }
}

impl Hardware for Door {
    fn step(&mut self, input: Input<'_>, now: Moment) -> Vec<Output> {
        match input {
            Input::Command(command) => self.command(command.id, &command.verb, now.at),
            Input::Stimulus(stimulus) => self.act(stimulus, now.at),
            Input::Wake => self.time(now.at),
        }
    }

    fn points(&self, _: Moment) -> Vec<(String, Value)> {
        vec![
            word("contact", if self.open { "open" } else { "closed" }),
            word("lock", if self.lock == Lock::Locked { "locked" } else { "unlocked" }),
            word("reader", if self.tamper { "tamper" } else { "ok" }),
            flag("tamper", self.tamper),
        ]
    }

    fn wake(&self) -> Option<Instant> {
        let until = match self.lock {
            Lock::UnlockedUntil(until) => Some(until),
            Lock::Locked | Lock::Released => None,
        };
        let read = self.reading_back.iter().map(|(at, _)| *at).min();
        earliest([until, read, self.opens_at, self.shuts_at, self.waits_until])
    }
}

#[cfg(test)]
mod tests {
    use super::super::hardware::testing::{Bench, secs};
    use super::*;
    use gatehouse_core::device::link::Outcome;

    fn card() -> Stimulus {
        Stimulus::Card { card: "1234567890".into(), pin: None }
    }

    #[test]
    fn a_card_is_read_and_a_grant_lets_someone_through_and_locks_behind_them() {
        let mut door = Bench::new(Door::default());
        assert_eq!(door.act(card()).len(), 1);
        let (id, outputs) = door.ask(Verb::Unlock { for_ms: 5000 });
        assert_eq!(outputs, [Output::accepted(id)]);
        assert_eq!(door.pass(STRIKE), [Output::executed(id)]);
        assert_eq!((door.point("lock"), door.point("contact")), ("unlocked".into(), "closed".into()));
        door.pass(REACH);
        assert_eq!(door.point("contact"), "open");
        door.pass(WALK);
        assert_eq!((door.point("lock"), door.point("contact")), ("locked".into(), "closed".into()));
    }

    #[test]
    fn without_anyone_there_it_locks_when_its_time_is_over() {
        let mut door = Bench::new(Door::default());
        door.ask(Verb::Unlock { for_ms: 3000 });
        door.pass(secs(2));
        assert_eq!((door.point("lock"), door.point("contact")), ("unlocked".into(), "closed".into()));
        door.pass(secs(2));
        assert_eq!(door.point("lock"), "locked");
    }

    #[test]
    fn a_denied_person_does_not_get_in_and_a_late_grant_finds_nobody() {
        let mut door = Bench::new(Door::default());
        door.act(card());
        door.pass(PATIENCE + secs(1));
        door.ask(Verb::Unlock { for_ms: 5000 });
        door.pass(secs(4));
        assert_eq!(door.point("contact"), "closed");
    }

    #[test]
    fn a_release_outlasts_lock_and_ends_by_restore() {
        let mut door = Bench::new(Door::default());
        door.ask(Verb::Release);
        door.pass(secs(3600));
        assert_eq!(door.point("lock"), "unlocked");
        let (id, outputs) = door.ask(Verb::Lock);
        assert!(matches!(&outputs[..], [Output::Result(i, Outcome::Failed { .. })] if *i == id));
        door.ask(Verb::Restore);
        assert_eq!(door.point("lock"), "locked");
    }

    #[test]
    fn a_face_is_forgotten_and_confirmed_also_the_second_time() {
        let mut door = Bench::new(Door::default());
        let person = PersonId::from_key("li");
        for _ in 0..2 {
            let (id, outputs) = door.ask(Verb::ForgetFace { person });
            assert_eq!(outputs, [Output::accepted(id)]);
            assert_eq!(door.pass(STRIKE), [Output::executed(id)]);
        }
        assert!(door.machine.forgotten.contains(&person));
        assert_eq!(door.point("lock"), "locked");
    }

    #[test]
    fn forced_and_propped_leaves_stay_open_until_shut() {
        let mut door = Bench::new(Door::default());
        door.act(Stimulus::Force);
        door.pass(secs(60));
        assert_eq!((door.point("contact"), door.point("lock")), ("open".into(), "locked".into()));
        door.act(Stimulus::Shut);
        door.act(Stimulus::Prop(true));
        door.act(card());
        door.ask(Verb::Unlock { for_ms: 5000 });
        door.pass(secs(60));
        assert_eq!((door.point("contact"), door.point("lock")), ("open".into(), "locked".into()));
        door.act(Stimulus::Prop(false));
        assert_eq!(door.point("contact"), "closed");
    }

    #[test]
    fn the_exit_button_is_told_before_the_leaf_opens() {
        let mut door = Bench::new(Door::default());
        assert_eq!(door.act(Stimulus::ExitButton), [Output::happening("request_to_exit")]);
        assert_eq!(door.point("contact"), "closed");
        door.pass(REACH);
        assert_eq!(door.point("contact"), "open");
    }
}
