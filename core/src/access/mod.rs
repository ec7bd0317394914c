//! Access: who may go where, decided in memory.

mod credential;
mod decide;
mod level;
mod method;
mod schedule;

pub use credential::{Credential, CredentialKind, Holder, normal_card, normal_plate};
pub use decide::{Presented, Snapshot, Verdict, decide};
pub use level::Level;
pub use method::{EntryMethod, OTHER_WAYS};
pub use schedule::{Day, Schedule, ScheduleError, Window};

use crate::id::{AccessId, DeviceId, PersonId, PictureId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How someone showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// A card.
    Card,
    /// A face.
    Face,
    /// A number plate.
    Plate,
    /// An operator opened.
    Operator,
    /// Fire release.
    Fire,
    /// A button inside.
    RequestToExit,
}

impl Via {
    /// The word stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Via::Card => "card",
            Via::Face => "face",
            Via::Plate => "plate",
            Via::Operator => "operator",
            Via::Fire => "fire",
            Via::RequestToExit => "request_to_exit",
        }
    }
}

/// Why someone is not let in: ONVIF Access Control's reasons, and one for a credential nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DenyReason {
    /// Nobody has it.
    CredentialNotFound,
    /// It is switched off.
    CredentialNotEnabled,
    /// It is valid later.
    CredentialNotActive,
    /// It was valid once.
    CredentialExpired,
    /// The PIN is wrong.
    InvalidPIN,
    /// Not at this hour.
    NotPermittedAtThisTime,
    /// Not here.
    Unauthorized,
    /// Something else.
    Other,
}

impl DenyReason {
    /// The word stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            DenyReason::CredentialNotFound => "CredentialNotFound",
            DenyReason::CredentialNotEnabled => "CredentialNotEnabled",
            DenyReason::CredentialNotActive => "CredentialNotActive",
            DenyReason::CredentialExpired => "CredentialExpired",
            DenyReason::InvalidPIN => "InvalidPIN",
            DenyReason::NotPermittedAtThisTime => "NotPermittedAtThisTime",
            DenyReason::Unauthorized => "Unauthorized",
            DenyReason::Other => "Other",
        }
    }
}

/// Someone at a door.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// What they presented.
    pub presented: Presented,
    /// How.
    pub via: Via,
    /// The picture.
    pub picture: Option<PictureId>,
    /// From frame to decision, milliseconds.
    pub latency_ms: Option<u32>,
}

/// One presentation of a credential. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessRecord {
    /// Derived from the read.
    pub id: AccessId,
    /// When.
    pub at: Timestamp,
    /// At which door.
    pub device: DeviceId,
    /// Who, where known.
    pub person: Option<PersonId>,
    /// Their name at that time.
    pub person_name: String,
    /// How.
    pub via: Via,
    /// Whether they were let in.
    pub granted: bool,
    /// [`DenyReason`] as a word, empty when granted.
    pub reason: String,
    /// The picture.
    pub picture: Option<PictureId>,
    /// From frame to decision, milliseconds.
    pub latency_ms: Option<u32>,
}
