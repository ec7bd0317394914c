//! Drills: a hand-wound clock, and ways to make parts of a running system fail.

pub use crate::clock::HandClock;

use crate::address::Name;
use crate::root::System;
use crate::shell::Message;
use crate::supervise::Order;
use gatehouse_core::id::DeviceId;

/// A part of the system that a drill can make fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A device's shell.
    Device(DeviceId),
    /// Fire release.
    LifeSafety,
    /// The rules.
    Rule,
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
            Part::Device(id) => drop(self.shared().addresses.device(id).map(|actor| actor.cast(Message::Fail))),
            Part::Rule => drop(self.rules().map(|actor| actor.cast(Message::Fail))),
            Part::Alarm => drop(self.alarm_book().map(|actor| actor.cast(Message::Fail))),
            Part::WorkOrder => drop(self.desk().map(|actor| actor.cast(Message::Fail))),
            Part::LifeSafety => self.drill_kill(part),
        }
    }

    /// Waits until every actor runs, every mailbox is empty and everything that followed is committed.
    pub async fn drill_settle(&self) {
        let idle = || {
            let actors = self.actors();
            actors.iter().all(|actor| matches!(actor.state.as_str(), "running" | "quarantined") && actor.depth == 0)
        };
        loop {
            self.shared().journal.flush().await;
            if idle() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    /// Stops everything at once, as a power cut would: nothing queued is written.
    pub fn drill_power_cut(&self) {
        self.cut();
    }
}
