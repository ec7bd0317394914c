//! The site as people write it: places, devices, lanes, levels, people. Named by `site` in `gatehouse.toml`; the demo has its own.
//!
//! Unknown keys are errors; [`Site::check`] says what does not fit together, in sentences; [`Compound`] is the same resolved
//! to ids, which is what runs.

mod check;
mod compound;
mod face;

pub use check::SiteError;
pub use compound::{Compound, FaceDoor, Lane, Spec};

use crate::access::{EntryMethod, Window};
use crate::alarm::{AlarmKind, Sop};
use crate::device::link::DeviceKind;
use crate::id::DeviceKey;
use crate::passage::Direction;
use crate::people::PersonKind;
use crate::place::{PlaceKind, Plan};
use crate::recognition::region::Region;
use crate::recognition::travel::Moves;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A whole site.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// Its name in Chinese.
    #[serde(default)]
    pub name_zh: String,
    /// IANA time zone, e.g. `Asia/Shanghai`.
    #[serde(default = "utc")]
    pub zone: String,
    /// Whether it is the simulated compound.
    #[serde(default)]
    pub demo: bool,
    /// Places, parents before or after their children.
    #[serde(default)]
    pub places: Vec<PlaceDef>,
    /// Devices.
    #[serde(default)]
    pub devices: Vec<DeviceDef>,
    /// Vehicle lanes.
    #[serde(default)]
    pub lanes: Vec<LaneDef>,
    /// Doors that a face opens.
    #[serde(default)]
    pub face_doors: Vec<FaceDoorDef>,
    /// Who answers for faces here: what everyone is told before they consent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face_consent: Option<FaceConsentDef>,
    /// Schedules.
    #[serde(default)]
    pub schedules: Vec<ScheduleDef>,
    /// Access levels.
    #[serde(default)]
    pub levels: Vec<LevelDef>,
    /// People with their credentials.
    #[serde(default)]
    pub people: Vec<PersonDef>,
    /// The site's own procedures, by alarm kind.
    #[serde(default)]
    pub sop: BTreeMap<AlarmKind, Sop>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// A place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceDef {
    /// Its key, unique among places.
    pub key: String,
    /// Key of the place it is part of.
    #[serde(default)]
    pub parent: Option<String>,
    /// What it is.
    pub kind: PlaceKind,
    /// Name.
    pub name: String,
    /// Name in Chinese.
    #[serde(default)]
    pub name_zh: String,
    /// Its drawing.
    #[serde(default)]
    pub plan: Option<Plan>,
}

/// A limit of a measured point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitDef {
    /// Which point.
    pub point: String,
    /// Above it is beyond.
    #[serde(default)]
    pub high: Option<f64>,
    /// Below it is beyond.
    #[serde(default)]
    pub low: Option<f64>,
    /// How far inside the limit it is within again.
    #[serde(default)]
    pub deadband: f64,
}

/// A camera's stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamDef {
    /// `rtsp://host:port/path`, without credentials: what is recorded and shown large. Left out with [`StreamDef::onvif`]:
    /// the camera says where its streams are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// The camera's ONVIF device service, `http://host/onvif/device_service`, with the same account: streams, PTZ, events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onvif: Option<String>,
    /// The same of the camera's small stream, with the same account: what tiles show and what is looked at. None: the one
    /// stream does everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// User name.
    #[serde(default)]
    pub user: String,
    /// Password, for trials; better [`StreamDef::password_file`].
    #[serde(default)]
    pub password: String,
    /// File that holds the password.
    #[serde(default)]
    pub password_file: Option<String>,
    /// Whether it is recorded.
    #[serde(default = "yes")]
    pub record: bool,
    /// Whether what it hears is recorded with it. Off where the law or the people there do not allow it.
    #[serde(default = "yes")]
    pub audio: bool,
    /// Days its recordings are kept, where not as long as the others'; 0 for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
    /// Use UDP instead of TCP.
    #[serde(default)]
    pub udp: bool,
    /// Whether a picture that is dark, covered, out of focus or of another view is told. Off for cameras that are moved.
    #[serde(default = "yes")]
    pub watch_view: bool,
    /// What to look for: `plates`, `faces`, `motion`.
    #[serde(default)]
    pub look_for: Vec<LookFor>,
    /// Where to look: a polygon in shares of the picture, `[[0, 0.4], [1, 0.4], [1, 1], [0, 1]]` its lower part. What is elsewhere
    /// neither wakes nor is read. Empty: everywhere.
    #[serde(default, skip_serializing_if = "Region::is_whole")]
    pub look_in: Region,
    /// Plates and faces that are narrower are not read, pixels of the searched picture.
    #[serde(default)]
    pub min_width_px: u32,
    /// Which cars are read: `any`, or those that come `towards` the camera or drive `away` from it. One that stands is read
    /// in each case. For cameras that see the other lane too.
    #[serde(default, skip_serializing_if = "Moves::is_any")]
    pub moves: Moves,
}

/// What a camera's pictures are searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookFor {
    /// Number plates.
    Plates,
    /// Faces.
    Faces,
    /// Motion only.
    Motion,
}

fn yes() -> bool {
    true
}

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceDef {
    /// Its key: also its name on topics.
    pub key: DeviceKey,
    /// What it is.
    pub kind: DeviceKind,
    /// Class of a sensor or meter: `smoke`, `leak`, `water`, ….
    #[serde(default)]
    pub class: String,
    /// Name.
    pub name: String,
    /// Name in Chinese.
    #[serde(default)]
    pub name_zh: String,
    /// Key of its place.
    pub place: String,
    /// On the place's plan, metres.
    #[serde(default)]
    pub x: Option<f64>,
    /// On the place's plan, metres.
    #[serde(default)]
    pub y: Option<f64>,
    /// Keys of the cameras that see it.
    #[serde(default)]
    pub cameras: Vec<DeviceKey>,
    /// Maker and model.
    #[serde(default)]
    pub model: String,
    /// Silent for longer it is stale, for twice as long offline. None: only its link tells.
    #[serde(default)]
    pub timeout_s: Option<u32>,
    /// Key of the gateway it is behind: when that is gone, so is this, without an alarm of its own.
    #[serde(default)]
    pub gateway: Option<DeviceKey>,
    /// Door or camera: whether it keeps faces, which then are removed there too.
    #[serde(default)]
    pub faces: bool,
    /// Door: the ways in that it offers besides the face; a door that a face opens needs two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<EntryMethod>,
    /// Door: open for longer it is held. Default 30.
    #[serde(default)]
    pub held_after_s: Option<u32>,
    /// Door: how long a grant frees the lock. Default 5000.
    #[serde(default)]
    pub unlock_ms: Option<u32>,
    /// Door: whether a fire alarm releases it. Default true.
    #[serde(default)]
    pub release_on_fire: Option<bool>,
    /// Elevator: the floor of a recall. Default 1.
    #[serde(default)]
    pub recall_floor: Option<i32>,
    /// Limits of measured points.
    #[serde(default)]
    pub limits: Vec<LimitDef>,
    /// Units of points, where they are not the usual ones.
    #[serde(default)]
    pub units: BTreeMap<String, String>,
    /// Camera: its stream.
    #[serde(default)]
    pub stream: Option<StreamDef>,
    /// Camera: the preset it turns to at an alarm of a device that it sees, by the key of the device or of a place around it.
    #[serde(default)]
    pub presets: BTreeMap<String, String>,
    /// Name of the account it signs in to the broker with, where that is not its key.
    #[serde(default)]
    pub account: Option<String>,
    /// Password of that account, for trials.
    #[serde(default)]
    pub password: Option<String>,
    /// File that holds it.
    #[serde(default)]
    pub password_file: Option<String>,
}

/// A vehicle lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneDef {
    /// Its key.
    pub key: String,
    /// Name.
    #[serde(default)]
    pub name: String,
    /// Name in Chinese.
    #[serde(default)]
    pub name_zh: String,
    /// The camera that reads plates.
    pub camera: DeviceKey,
    /// The barrier it opens.
    pub barrier: DeviceKey,
    /// Which way.
    pub direction: Direction,
    /// Reads of one plate that are at most so many seconds apart are one passage. Default 30.
    #[serde(default)]
    pub same_car_s: Option<u32>,
}

/// A door that a face opens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaceDoorDef {
    /// The camera that sees faces.
    pub camera: DeviceKey,
    /// The door.
    pub door: DeviceKey,
    /// Whether it opens only after the active challenge: turn the head, close the eyes as its screen asks. The same for all
    /// doors of one camera.
    #[serde(default)]
    pub challenge: bool,
}

/// Who answers for faces: part of the notice that goes before a consent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaceConsentDef {
    /// Legal name of who processes the faces.
    pub controller: String,
    /// The same in Chinese, where it differs.
    #[serde(default)]
    pub controller_zh: String,
    /// Where people turn: desk, telephone, address.
    pub contact: String,
    /// Days after which a person is asked again. Default 365.
    #[serde(default = "a_year")]
    pub renew_days: u32,
}

fn a_year() -> u32 {
    365
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleDef {
    /// Its key.
    pub key: String,
    /// Hours of the week.
    pub windows: Vec<Window>,
    /// Dates on which nothing is open.
    #[serde(default)]
    pub closed: Vec<Date>,
}

/// An access level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelDef {
    /// Its key.
    pub key: String,
    /// Name.
    pub name: String,
    /// Name in Chinese.
    #[serde(default)]
    pub name_zh: String,
    /// Keys of doors and barriers, or `*` for all.
    pub doors: Vec<String>,
    /// Key of its schedule, empty for always.
    #[serde(default)]
    pub schedule: String,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonDef {
    /// Key, unique among people.
    pub key: String,
    /// Name.
    pub name: String,
    /// Phone number.
    #[serde(default)]
    pub phone: String,
    /// Flat or office.
    #[serde(default)]
    pub unit: String,
    /// Why they are known here.
    pub kind: PersonKind,
    /// Remark.
    #[serde(default)]
    pub note: String,
    /// Keys of access levels.
    #[serde(default)]
    pub levels: Vec<String>,
    /// Card numbers.
    #[serde(default)]
    pub cards: Vec<String>,
    /// Plates.
    #[serde(default)]
    pub plates: Vec<String>,
    /// Credentials valid from then.
    #[serde(default)]
    pub valid_from: Option<Timestamp>,
    /// Credentials valid until then.
    #[serde(default)]
    pub valid_until: Option<Timestamp>,
}
