//! Passages: one car at one lane, from the plate read to the decision.

use crate::id::{DeviceId, PassageId, PersonId, PictureId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Which way a lane leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Into the compound.
    In,
    /// Out of it.
    Out,
}

/// What became of a car.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Known and allowed: the barrier was opened.
    Opened,
    /// The guard is asked.
    Asked,
    /// The guard refused, or access denies it.
    Refused,
    /// The guard opened.
    OpenedByGuard,
    /// No plate could be read.
    Unread,
}

impl Decision {
    /// The word stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Decision::Opened => "opened",
            Decision::Asked => "asked",
            Decision::Refused => "refused",
            Decision::OpenedByGuard => "opened_by_guard",
            Decision::Unread => "unread",
        }
    }
}

/// One car at one lane. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    /// Derived from the plate read.
    pub id: PassageId,
    /// Lane key.
    pub lane: String,
    /// The camera that read it.
    pub camera: DeviceId,
    /// Which way.
    pub direction: Direction,
    /// When.
    pub at: Timestamp,
    /// The plate as read.
    pub plate: String,
    /// `blue`, `green`, ….
    pub colour: String,
    /// 0–1.
    pub confidence: f32,
    /// From frame to decision, milliseconds.
    pub latency_ms: u32,
    /// The picture.
    pub picture: Option<PictureId>,
    /// Whose car.
    pub person: Option<PersonId>,
    /// Their name at that time.
    pub person_name: String,
    /// What was decided.
    pub decision: Decision,
    /// Who decided: a rule or a guard's name.
    pub by: String,
    /// The guard's note.
    #[serde(default)]
    pub note: String,
    /// The lane's barrier.
    pub barrier: DeviceId,
}
