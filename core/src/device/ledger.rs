//! The commands of one device on their way: entered, sent, answered, tried again or given up.
//!
//! ```text
//!  enter ─▶ queued ─handed─▶ sent ─answer─▶ acked ─▶ executed · failed
//!              ▲ └─refused─▶ failed         │
//!              └──── at least once: pause ◀─┴─ no answer ─▶ timed_out (all others)
//! ```
//! An entry is a function of what is stored, so a restart neither loses nor doubles it: what lets someone through and is
//! found queued or sent after a restart waits for its answer or its deadline and is never sent again.

use super::link::{Downlink, Outcome, Verb};
use super::plus;
use crate::command::{Command, CommandRefused, CommandState, Delivery, OPEN_ONCE_MS, answer_ms, retry_ms};
use crate::effect::{Effect, Record};
use crate::event::Body;
use crate::id::{CommandId, DeviceId};
use crate::machine::Context;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Ids remembered, so that a command asked twice is entered once.
const REMEMBERED: usize = 64;

/// A command as asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Ledger id.
    pub command: CommandId,
    /// What to do.
    pub what: Verb,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
    /// Until when.
    pub deadline: Timestamp,
    /// Fire release and recall.
    pub life_safety: bool,
}

/// A command that ended, for the kind's machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Which.
    pub what: Verb,
    /// Whether it was executed.
    pub done: bool,
}

/// An entry that is not final.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pending {
    #[serde(flatten)]
    command: Command,
    /// Tries that came to nothing.
    #[serde(default)]
    tries: u32,
    /// At least once: queued, the next try (none: with the link); sent, when the answer is overdue.
    #[serde(default)]
    due: Option<Timestamp>,
}

/// The ledger of a device: what is not final, and what was lately entered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    pending: BTreeMap<CommandId, Pending>,
    recent: Vec<CommandId>,
    opened_at: Option<Timestamp>,
}

impl Ledger {
    /// Whether a command was entered already.
    pub fn knows(&self, id: CommandId) -> bool {
        self.recent.contains(&id)
    }

    /// An entry that is not final.
    pub fn get(&self, id: CommandId) -> Option<&Command> {
        self.pending.get(&id).map(|entry| &entry.command)
    }

    /// Whether someone was let through a moment ago.
    pub fn just_opened(&self, now: Timestamp) -> bool {
        self.opened_at.is_some_and(|at| now.duration_since(at) < SignedDuration::from_millis(OPEN_ONCE_MS))
    }

    /// Enters a command and hands it to the link; overdue ones are only entered, and one that must arrive waits for the device.
    pub fn enter(&mut self, order: Order, device: DeviceId, reachable: bool, cx: &Context<'_>) -> Vec<Effect> {
        if self.knows(order.command) {
            return vec![];
        }
        self.recent.push(order.command);
        if self.recent.len() > REMEMBERED {
            self.recent.remove(0);
        }
        let must_arrive = order.what.delivery() == Delivery::AtLeastOnce;
        let overdue = order.deadline < cx.wall && !order.life_safety && !must_arrive;
        // A release that comes late out of a replay must still be done.
        let deadline = match order.life_safety {
            true => order.deadline.max(plus(cx.wall, answer_ms(&order.what, true))),
            false => order.deadline,
        };
        let command = Command {
            id: order.command,
            device,
            what: order.what,
            state: if overdue { CommandState::Expired } else { CommandState::Queued },
            reason: if overdue { "overdue_at_restart".into() } else { String::new() },
            by: order.by,
            why: order.why,
            at: cx.now,
            deadline,
            changed_at: cx.now,
        };
        let mut effects = told(&command);
        if overdue {
            return effects;
        }
        let mut entry = Pending { command, tries: 0, due: None };
        if entry.command.what.opens() {
            self.opened_at = Some(cx.now);
        }
        if must_arrive && !reachable {
            entry.due = Some(cx.now);
        } else {
            effects.push(entry.hand_on(cx.wall));
        }
        self.pending.insert(entry.command.id, entry);
        effects
    }

    /// The link took a command, or says why not.
    pub fn handed(&mut self, id: CommandId, refused: Option<String>, now: Timestamp) -> (Vec<Effect>, Option<Ended>) {
        let Some(entry) = self.pending.get_mut(&id) else { return (vec![], None) };
        if entry.command.state != CommandState::Queued {
            return (vec![], None);
        }
        match (refused, entry.command.what.delivery()) {
            (None, delivery) => {
                entry.due =
                    (delivery == Delivery::AtLeastOnce).then(|| plus(now, answer_ms(&entry.command.what, false)));
                entry.command.move_to(CommandState::Sent, entry.command.reason.clone(), now);
                (vec![Effect::Keep(Record::Command(entry.command.clone()))], None)
            }
            (Some(reason), Delivery::AtLeastOnce) => (entry.retry(reason, now), None),
            (Some(reason), Delivery::AtMostOnce | Delivery::Once) => self.end(id, CommandState::Failed, &reason, now),
        }
    }

    /// A device answered. Answers to what is final, or said twice, change nothing.
    pub fn answered(&mut self, id: CommandId, outcome: &Outcome, now: Timestamp) -> (Vec<Effect>, Option<Ended>) {
        let Some(entry) = self.pending.get_mut(&id) else { return (vec![], None) };
        let must_arrive = entry.command.what.delivery() == Delivery::AtLeastOnce;
        if let (true, Outcome::Failed { reason }) = (must_arrive, outcome) {
            return (entry.retry(reason.clone(), now), None);
        }
        if !entry.command.answer(outcome, now) {
            return (vec![], None);
        }
        if entry.command.state.is_final() {
            return self.settle(id);
        }
        if must_arrive {
            entry.due = Some(plus(now, answer_ms(&entry.command.what, false)));
        }
        (vec![Effect::Keep(Record::Command(entry.command.clone()))], None)
    }

    /// Takes back what is still queued. `withdrawn`: it waited before the link and will not be given to it.
    pub fn cancel(&mut self, id: CommandId, withdrawn: bool, now: Timestamp) -> Result<Cancelled, CommandRefused> {
        let entry = self.pending.get(&id).ok_or(CommandRefused::NotWaiting(id))?;
        let waits = entry.command.state == CommandState::Queued && (withdrawn || entry.due.is_some());
        if !waits {
            let state = entry.command.state;
            return Err(CommandRefused::TooLate(if state == CommandState::Queued {
                CommandState::Sent
            } else {
                state
            }));
        }
        let mut command = entry.command.clone();
        command.move_to(CommandState::Cancelled, "by_operator".into(), now);
        let (effects, ended) = self.end(id, CommandState::Cancelled, "by_operator", now);
        Ok(Cancelled { command, effects, ended })
    }

    /// Does what is due: gives up what has no answer, tries again what must arrive while the device can hear it.
    pub fn tick(&mut self, reachable: bool, now: Timestamp) -> (Vec<Effect>, Vec<Ended>) {
        let (mut effects, mut ended) = (Vec::new(), Vec::new());
        for id in self.pending.keys().copied().collect::<Vec<_>>() {
            let Some(entry) = self.pending.get_mut(&id) else { continue };
            let (state, due) = (entry.command.state, entry.due.is_some_and(|at| at <= now));
            match (entry.command.what.delivery(), state) {
                (Delivery::AtLeastOnce, CommandState::Queued) if due && reachable => effects.push(entry.hand_on(now)),
                (Delivery::AtLeastOnce, CommandState::Sent | CommandState::Acked) if due => {
                    effects.extend(entry.retry("no_answer".into(), now));
                }
                (Delivery::AtLeastOnce, _) => {}
                (Delivery::AtMostOnce | Delivery::Once, _) if entry.command.deadline <= now => {
                    let (to, reason) = match state {
                        CommandState::Queued => (CommandState::Failed, "not_sent"),
                        _ => (CommandState::TimedOut, "no_answer"),
                    };
                    let (told, end) = self.end(id, to, reason, now);
                    effects.extend(told);
                    ended.extend(end);
                }
                (Delivery::AtMostOnce | Delivery::Once, _) => {}
            }
        }
        (effects, ended)
    }

    /// When something is due.
    pub fn wake(&self, reachable: bool) -> Option<Timestamp> {
        self.pending.values().filter_map(|entry| entry.wake(reachable)).min()
    }

    /// The device is back: what must arrive is tried at once.
    pub fn back(&mut self, now: Timestamp) -> Vec<Effect> {
        let waiting = |entry: &&mut Pending| entry.command.state == CommandState::Queued && entry.due.is_some();
        self.pending.values_mut().filter(waiting).map(|entry| entry.hand_on(now)).collect()
    }

    /// After a restart: what must arrive and was with the link is tried again; nothing else is.
    pub fn restored(&mut self, now: Timestamp) {
        for entry in self.pending.values_mut() {
            if entry.command.what.delivery() == Delivery::AtLeastOnce && entry.due.is_none() {
                entry.due = Some(now);
            }
        }
    }

    /// The clock went back: what lies in the future of its own making is as of now.
    pub fn rewind(&mut self, now: Timestamp) {
        self.opened_at = self.opened_at.map(|at| at.min(now));
        for entry in self.pending.values_mut().filter(|entry| entry.command.changed_at > now) {
            let left = entry.command.deadline.duration_since(entry.command.at);
            let deadline = now.saturating_add(left).unwrap_or(Timestamp::MAX);
            entry.command.deadline = entry.command.deadline.min(deadline);
            entry.command.changed_at = now;
            entry.due = entry.due.map(|at| at.min(plus(now, retry_ms(entry.tries))));
        }
    }

    fn end(&mut self, id: CommandId, to: CommandState, reason: &str, now: Timestamp) -> (Vec<Effect>, Option<Ended>) {
        if let Some(entry) = self.pending.get_mut(&id) {
            entry.command.move_to(to, reason.to_owned(), now);
        }
        self.settle(id)
    }

    /// Takes a final entry out.
    fn settle(&mut self, id: CommandId) -> (Vec<Effect>, Option<Ended>) {
        let Some(Pending { command, .. }) = self.pending.remove(&id) else { return (vec![], None) };
        let ended = Ended { what: command.what.clone(), done: command.state == CommandState::Executed };
        (told(&command), Some(ended))
    }
}

/// A command taken back.
#[derive(Clone, Debug, PartialEq)]
pub struct Cancelled {
    /// The entry as it is now.
    pub command: Command,
    /// What follows.
    pub effects: Vec<Effect>,
    /// For the kind's machine.
    pub ended: Option<Ended>,
}

impl Pending {
    fn hand_on(&mut self, now: Timestamp) -> Effect {
        self.due = None;
        let deadline = match self.command.what.delivery() {
            // Each try has its own time: the device refuses what comes later, and is asked again.
            Delivery::AtLeastOnce => plus(now, answer_ms(&self.command.what, false)),
            Delivery::AtMostOnce | Delivery::Once => self.command.deadline,
        };
        let Command { device, id, what, .. } = &self.command;
        Effect::Send(Downlink { device: *device, command: *id, verb: what.clone(), deadline })
    }

    /// Waits for the next try; told on the timeline when the reason is a new one.
    fn retry(&mut self, reason: String, now: Timestamp) -> Vec<Effect> {
        self.tries = self.tries.saturating_add(1);
        self.due = Some(plus(now, retry_ms(self.tries)));
        let new = self.command.reason != reason;
        self.command.move_to(CommandState::Queued, reason, now);
        if new { told(&self.command) } else { vec![Effect::Keep(Record::Command(self.command.clone()))] }
    }

    fn wake(&self, reachable: bool) -> Option<Timestamp> {
        match (self.command.what.delivery(), self.command.state) {
            (Delivery::AtLeastOnce, CommandState::Queued) => self.due.filter(|_| reachable),
            (Delivery::AtLeastOnce, _) => self.due,
            (Delivery::AtMostOnce | Delivery::Once, _) => Some(self.command.deadline),
        }
    }
}

/// The row, and the word on the timeline.
pub(super) fn told(command: &Command) -> Vec<Effect> {
    let moved = Body::CommandMoved {
        command: command.id,
        verb: command.what.word().into(),
        state: command.state,
        reason: command.reason.clone(),
    };
    vec![Effect::Keep(Record::Command(command.clone())), Effect::emit(command.device, moved)]
}
