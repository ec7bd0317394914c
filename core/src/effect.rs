//! What should happen next, as data: a transition returns effects and carries out none.

use crate::access::AccessRecord;
use crate::alarm::{Alarm, Clip, Note};
use crate::command::Command;
use crate::device::link::Downlink;
use crate::event::Body;
use crate::id::{CredentialId, DeviceId};
use crate::outbox::Outgoing;
use crate::passage::Passage;
use crate::workorder::WorkOrder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Append an event to the log and give it to its audience.
    Emit {
        /// The device it is about.
        device: Option<DeviceId>,
        /// What happened or is asked.
        body: Body,
    },
    /// Say something to a device.
    Send(Downlink),
    /// Store a record together with the step that made it.
    Keep(Record),
}

impl Effect {
    /// An event about a device.
    pub fn emit(device: DeviceId, body: Body) -> Self {
        Effect::Emit { device: Some(device), body }
    }
}

/// A record to store: the newest version of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// A credential presented.
    Access(AccessRecord),
    /// An entry of the command ledger.
    Command(Command),
    /// A car's passage.
    Passage(Box<Passage>),
    /// An alarm.
    Alarm(Box<Alarm>),
    /// A line of an alarm's timeline.
    Note(Note),
    /// A stretch of recording to protect.
    Clip(Clip),
    /// A work order.
    WorkOrder(WorkOrder),
    /// A card or plate whose end was told.
    Expired(CredentialId, Timestamp),
    /// What leaves the system.
    Outbox(Box<Outgoing>),
}
