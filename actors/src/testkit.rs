//! Drills: a hand-wound clock, and ways to make parts of a running system fail.

pub use crate::clock::HandClock;

use crate::address::Name;
use crate::root::System;
use crate::shell::Message;
use crate::supervise::Order;
use gatehouse_core::id::DeviceId;
use ractor::ActorRef;

/// A part of the system that a drill can make fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A device's shell.
    Device(DeviceId),
    /// Fire release.
    LifeSafety,
    /// The rules.
    Rule,
    /// The rules that operators wrote.
    Operator,
    /// The alarm book.
    Alarm,
    /// The work order desk.
    WorkOrder,
}

impl Part {
    fn name(self) -> Name {
        match self {
            Part::Device(id) => Name::Device(id),
            Part::LifeSafety => Name::LifeSafety,
            Part::Rule => Name::Rule,
            Part::Operator => Name::Operator,
            Part::Alarm => Name::Alarm,
            Part::WorkOrder => Name::WorkOrder,
        }
    }
}

impl System {
    /// Kills an actor where it stands, mailbox and all. It is restarted like after any failure.
    pub fn drill_kill(&self, part: Part) {
        let _ = self.supervisor().cast(Order::Kill { key: part.name().to_string() });
    }

    /// Makes an actor panic at its next message.
    pub fn drill_panic(&self, part: Part) {
        match part {
            Part::Device(id) => fail(self.shared().addresses.device(id)),
            Part::Rule => fail(self.rule_engine()),
            Part::Operator => fail(self.feed().operator()),
            Part::Alarm => fail(self.alarm_book()),
            Part::WorkOrder => fail(self.desk()),
            Part::LifeSafety => self.drill_kill(part),
        }
    }

    /// Waits until every actor runs, has done what it was told, has nothing due, and everything that followed is committed.
    pub async fn drill_settle(&self) {
        let idle = || {
            let actors = self.actors();
            actors.iter().all(|actor| matches!(actor.state.as_str(), "running" | "quarantined") && actor.depth == 0)
        };
        let shared = self.shared();
        loop {
            let queued = shared.journal.queued();
            shared.journal.flush().await;
            if idle() && shared.dispatch.is_idle() && shared.addresses.rest().await && shared.journal.queued() == queued
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    /// Tells machines now how far the log is, as is done every minute.
    pub fn drill_reach(&self) {
        self.shared().journal.tell_reach();
    }

    /// Stops everything at once, as a power cut would: nothing queued is written.
    pub async fn drill_power_cut(&self) {
        self.cut().await;
    }
}

/// Tells an actor to panic; one that is not there has failed already.
fn fail<C: Send + 'static, R: Send + 'static>(actor: Option<ActorRef<Message<C, R>>>) {
    if let Some(actor) = actor {
        let _ = actor.cast(Message::Fail);
    }
}
