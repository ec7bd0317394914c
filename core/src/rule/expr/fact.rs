//! The events that rules count, with their fields; the states that devices have.

use crate::device::link::DeviceKind;
use crate::event::Body;

/// The type of a field or point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// A word.
    Word,
}

impl Shape {
    /// As it is said in messages.
    pub fn word(self) -> &'static str {
        match self {
            Shape::Number => "number",
            Shape::Bool => "true or false",
            Shape::Word => "word",
        }
    }
}

/// An event that rules count.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// Its code.
    pub code: &'static str,
    /// Its fields.
    pub fields: &'static [(&'static str, Shape)],
}

use Shape::{Bool, Word};

/// The events that rules count.
pub const FACTS: &[Fact] = &[
    Fact { code: "access.denied", fields: &[("reason", Word), ("via", Word), ("name", Word)] },
    Fact { code: "access.granted", fields: &[("via", Word), ("name", Word)] },
    Fact { code: "device.state", fields: &[("from", Word), ("to", Word), ("class", Word)] },
    Fact { code: "device.presence", fields: &[("from", Word), ("to", Word)] },
    Fact { code: "device.tamper", fields: &[("active", Bool), ("part", Word)] },
    Fact { code: "device.limit", fields: &[("point", Word), ("beyond", Bool)] },
    Fact { code: "device.happening", fields: &[("what", Word)] },
    Fact { code: "plate.read", fields: &[("text", Word), ("colour", Word)] },
    Fact { code: "face.seen", fields: &[("accepted", Bool)] },
    Fact { code: "fire.point", fields: &[("zone", Word), ("state", Word), ("before", Word), ("test", Bool)] },
    Fact { code: "command.state", fields: &[("verb", Word), ("state", Word), ("reason", Word)] },
    Fact { code: "passage.moved", fields: &[("lane", Word), ("decision", Word)] },
];

/// The code of an event that rules count.
pub fn code_of(body: &Body) -> Option<&'static str> {
    Some(match body {
        Body::Denied { .. } => "access.denied",
        Body::Granted { .. } => "access.granted",
        Body::StateChanged { .. } => "device.state",
        Body::PresenceChanged { .. } => "device.presence",
        Body::Tamper { .. } => "device.tamper",
        Body::Limit { .. } => "device.limit",
        Body::Happened { .. } => "device.happening",
        Body::Plate { .. } => "plate.read",
        Body::Face { .. } => "face.seen",
        Body::FirePoint { .. } => "fire.point",
        Body::CommandMoved { .. } => "command.state",
        Body::PassageMoved { .. } => "passage.moved",
        _ => return None,
    })
}

/// The states that devices of a kind have.
pub fn states(kind: DeviceKind) -> &'static [&'static str] {
    match kind {
        DeviceKind::Door => &["secured", "unlocked", "open", "held_open", "forced_open", "released"],
        DeviceKind::Barrier => &["down", "opening", "up", "closing"],
        DeviceKind::Camera => &["unknown", "live", "stalled", "refused", "unauthorised", "undecodable"],
        DeviceKind::Elevator => &["trapped", "fault", "recalled", "moving", "idle"],
        DeviceKind::FirePanel => &["alarm", "pre_alarm", "fault", "test", "normal"],
        DeviceKind::Perimeter => &["tampered", "breached", "armed", "disarmed"],
        DeviceKind::Meter => &["normal", "fault"],
        DeviceKind::Sensor => &["normal", "active"],
    }
}

/// The kind of a word.
pub fn kind_of(word: &str) -> Option<DeviceKind> {
    KINDS.into_iter().find(|kind| kind.word() == word)
}

/// Every kind.
pub const KINDS: [DeviceKind; 8] = [
    DeviceKind::Door,
    DeviceKind::Barrier,
    DeviceKind::Camera,
    DeviceKind::Elevator,
    DeviceKind::FirePanel,
    DeviceKind::Perimeter,
    DeviceKind::Meter,
    DeviceKind::Sensor,
];
