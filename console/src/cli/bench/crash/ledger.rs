//! What was acknowledged, in the memory of the bench.

use gatehouse_core::id::{CommandId, DeviceId};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// What was acknowledged.
#[derive(Default)]
pub struct Ledger(Mutex<Noted>);

/// The ledger's pages.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// Card reads: the number of each is its card.
    pub reads: Vec<String>,
    /// By sensor: alarms begun, and acknowledged to the sensor.
    pub alarms: BTreeMap<DeviceId, (u32, u32)>,
    /// Alarms that an operator acknowledged.
    pub acks: Vec<Uuid>,
    /// Commands entered.
    pub commands: Vec<CommandId>,
}

impl Ledger {
    /// Notes something.
    pub fn note(&self, note: impl FnOnce(&mut Noted)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What was noted.
    pub fn noted(&self) -> Noted {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How much, by sort.
    pub fn counts(&self) -> [(&'static str, usize); 4] {
        let noted = self.noted();
        let alarms = noted.alarms.values().map(|(_, acked)| *acked as usize).sum();
        [
            ("reads", noted.reads.len()),
            ("alarms", alarms),
            ("acks", noted.acks.len()),
            ("commands", noted.commands.len()),
        ]
    }
}
