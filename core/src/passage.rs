//! Passages: one car at one lane, from the plate read to the decision.

use crate::id::{DeviceId, PassageId, PersonId, PictureId};
use crate::recognition::travel::Travel;
use crate::recognition::watchlist::WatchHit;
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

impl Direction {
    /// The word stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }
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
    /// The plate as read: a correction leaves it as it is.
    pub plate: String,
    /// `blue`, `green`, ….
    pub colour: String,
    /// 0–1.
    pub confidence: f32,
    /// From frame to decision, milliseconds.
    pub latency_ms: u32,
    /// The picture of the surest read.
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
    /// Frames that agreed on the text.
    #[serde(default)]
    pub votes: u32,
    /// Which way the car was seen to go; none where it stood or was seen too briefly to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub travel: Option<Travel>,
    /// Whether the read is sure: by the limit of the reader that read it, or because a second reader confirmed it.
    #[serde(default)]
    pub sure: bool,
    /// How often this car was read while it was here: duplicates within [`crate::site::Lane::same_car`] are one passage.
    #[serde(default = "one")]
    pub reads: u32,
    /// The last of those reads.
    #[serde(default)]
    pub last_at: Option<Timestamp>,
    /// What an operator read instead.
    #[serde(default)]
    pub correction: Option<Correction>,
    /// Watch lists that the plate as read was on.
    #[serde(default)]
    pub hits: Vec<WatchHit>,
}

fn one() -> u32 {
    1
}

impl Passage {
    /// The plate as people should read it: corrected where someone did.
    pub fn text(&self) -> &str {
        self.correction.as_ref().map_or(&self.plate, |correction| &correction.text)
    }
}

/// What an operator read on the picture of a wrong read. The decision that was made on the read stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Correction {
    /// The plate, in stored form.
    pub text: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}
