//! The language spoken between adapters and device actors.
//!
//! ```text
//! adapter ── Uplink ──▶ Intake ──▶ actor        actor ── Downlink ──▶ adapter ── Uplink::CommandResult ──▶ actor
//! ```

use crate::device::telemetry::{PointName, Value};
use crate::id::{CommandId, DeviceId, DeviceKey, PersonId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::pin::Pin;

/// What a device says, decoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Uplink {
    /// Points that the device reports, all or some of them.
    Report {
        /// Who reports.
        device: DeviceId,
        /// The device's own running number, where it has one.
        seq: Option<u64>,
        /// The device's clock, where it has one.
        observed_at: Option<Timestamp>,
        /// Name and value of each reported point.
        points: Vec<(PointName, Value)>,
    },
    /// The device came or went, as its link knows it (birth, will message, keep-alive).
    Presence {
        /// Whose link.
        device: DeviceId,
        /// Whether it is there.
        online: bool,
        /// How the link knows.
        cause: PresenceCause,
    },
    /// A credential presented at a door's reader.
    CardRead {
        /// The door whose reader it is.
        device: DeviceId,
        /// The reader's own running number: the same read sent twice has the same number.
        seq: Option<u64>,
        /// The reader's clock.
        observed_at: Option<Timestamp>,
        /// Card number as the reader gives it (decimal or hexadecimal digits).
        card: String,
        /// PIN typed with it, where the reader has a keypad.
        pin: Option<String>,
    },
    /// Something momentary: a button, a request to exit, a call from the lift cabin.
    Happening {
        /// Where.
        device: DeviceId,
        /// The device's own running number.
        seq: Option<u64>,
        /// The device's clock.
        observed_at: Option<Timestamp>,
        /// What, as a word: `request_to_exit`, `intercom_call`, `duress`, ….
        what: String,
    },
    /// The answer to a [`Downlink`].
    CommandResult {
        /// Who answers.
        device: DeviceId,
        /// Which command.
        command: CommandId,
        /// How it went.
        outcome: Outcome,
    },
    /// A device introduces itself (Home Assistant discovery and the like).
    Announce(Announcement),
}

impl Uplink {
    /// The device concerned.
    pub fn device(&self) -> DeviceId {
        match self {
            Uplink::Report { device, .. }
            | Uplink::Presence { device, .. }
            | Uplink::CardRead { device, .. }
            | Uplink::Happening { device, .. }
            | Uplink::CommandResult { device, .. } => *device,
            Uplink::Announce(announcement) => announcement.key.id(),
        }
    }
}

/// How a link knows that a device is there or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PresenceCause {
    /// It said so itself.
    Birth,
    /// Its last will was published.
    Will,
    /// Nothing was heard for its profile's time.
    Timeout,
    /// The connection opened or broke.
    Connection,
}

/// How a command went, as the device tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The device has it and will do it.
    Accepted,
    /// Done, read back.
    Executed,
    /// Not done.
    Failed {
        /// Why, in the device's words.
        reason: String,
    },
}

/// A device that introduces itself; it becomes a device of the site at its first announcement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announcement {
    /// Derived from the announcement's unique id.
    pub key: DeviceKey,
    /// Name to show.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Device class in the announcer's words (`smoke`, `motion`, `temperature`), empty when none.
    pub class: String,
    /// Point that its state is reported as.
    pub point: PointName,
    /// Unit of a measured point, empty when none.
    pub unit: String,
    /// Area suggested by the announcer: matched with a place by name.
    pub area: Option<String>,
    /// Maker and model, empty when not given.
    pub model: String,
}

/// The kinds of device there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// A door with lock, contact and reader.
    Door,
    /// A vehicle barrier with its loop.
    Barrier,
    /// A camera.
    Camera,
    /// A lift.
    Elevator,
    /// A fire alarm panel with its points.
    FirePanel,
    /// A zone of the perimeter: beams, fence.
    Perimeter,
    /// A meter of water, power, heat or gas.
    Meter,
    /// Any other sensor.
    Sensor,
}

/// What an actor asks of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Downlink {
    /// To whom.
    pub device: DeviceId,
    /// Ledger entry that the answer refers to.
    pub command: CommandId,
    /// What to do.
    pub verb: Verb,
    /// After this moment the device must refuse it.
    pub deadline: Timestamp,
}

/// The commands there are. `snake_case` tags are the words used on topics, routes and pages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Verb {
    /// Door: unlock, relock by itself.
    Unlock {
        /// For how long, milliseconds.
        for_ms: u32,
    },
    /// Door: lock now.
    Lock,
    /// Door: stay unlocked until [`Verb::Restore`] (fire).
    Release,
    /// Door: end of a release.
    Restore,
    /// Barrier: open.
    Open,
    /// Barrier: close.
    Close,
    /// Elevator: go to this floor and stay with open doors.
    Recall {
        /// Floor label.
        floor: i32,
    },
    /// Elevator: back to normal service.
    Resume,
    /// Fire panel: silence sounders.
    Silence,
    /// Fire panel: reset latched points.
    Reset,
    /// Perimeter zone: arm.
    Arm,
    /// Perimeter zone: disarm.
    Disarm,
    /// Door or camera that keeps faces: remove a person's.
    ForgetFace {
        /// Whose.
        person: PersonId,
    },
    /// Camera: turn to a stored position.
    GotoPreset {
        /// Its name, or the camera's token for it.
        preset: String,
    },
    /// Any: set a point to a value.
    Set {
        /// Which point.
        point: PointName,
        /// To what.
        value: Value,
    },
}

/// The bounded door into the actors. The future resolves when the uplink is safe: events once they are committed, telemetry
/// once it is queued (newest value of a point wins). Only then may the adapter acknowledge to its device.
pub trait Intake: Send + Sync {
    /// Offers what a device said.
    fn offer(&self, uplink: Uplink) -> Pin<Box<dyn Future<Output = Result<(), Refused>> + Send + '_>>;

    /// Counts input that could not be decoded, by where it came from (`mqtt`, `rtsp`, `http`) and the decoder's reason.
    fn undecodable(&self, source: &'static str, reason: &str);
}

/// Why an uplink was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such device at this site.
    #[error("no device {0} at this site: add it to the configuration or let it announce itself")]
    UnknownDevice(DeviceId),
    /// The queue is full and its rule is to refuse.
    #[error("intake is full: the device should send it again")]
    Full,
    /// The store cannot take it now.
    #[error("the store is away: the device should send it again")]
    StoreAway,
    /// Gatehouse is stopping.
    #[error("stopping")]
    Stopping,
}
