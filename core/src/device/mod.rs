//! Devices: the language spoken with adapters, and one state machine per kind.
//!
//! A kind is a file here, a line in [`for_kind`] and a [`Device`] implementation: its own states, nothing about links,
//! ledgers or storage, which [`shadow::Twin`] does alike for all.

pub mod barrier;
pub mod camera;
pub mod door;
pub mod elevator;
pub mod fire_panel;
pub mod ledger;
pub mod link;
pub mod meter;
pub mod perimeter;
pub mod presence;
pub mod sensor;
pub mod shadow;
pub mod telemetry;

use crate::event::Body;
use crate::site::Spec;
use jiff::{SignedDuration, Timestamp};
use link::{DeviceKind, Verb};
use serde::Serialize;
use serde::de::DeserializeOwned;
use telemetry::Value;

/// What a kind's machine is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input<'a> {
    /// A point was reported, perhaps with the value it had.
    Point(&'a str, &'a Value),
    /// Someone may pass: a card, a face or an operator's word.
    Grant {
        /// How long the lock stays free.
        unlock_ms: u32,
    },
    /// Something momentary at the device.
    Happening(&'a str),
    /// A command is about to be sent.
    Command(&'a Verb),
    /// A command ended: true when it was executed.
    Ended(&'a Verb, bool),
    /// The stream came or went (cameras).
    Stream {
        /// Whether frames arrive.
        live: bool,
        /// Why not.
        reason: &'a str,
    },
    /// Motion began or ended (cameras).
    Motion(bool),
    /// The device is back after it was away.
    Back,
    /// Time has passed.
    Tick,
}

/// What a kind's machine wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Tell the world.
    Tell(Body),
    /// Say this to the device.
    Send(Verb),
}

/// One kind of device.
pub trait Device: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// A device that has said nothing yet.
    fn new(spec: &Spec) -> Self;

    /// Takes one input at `now`.
    fn step(&mut self, input: Input<'_>, spec: &Spec, now: Timestamp) -> Vec<Output>;

    /// When it wants a tick: never, for a kind without timers.
    fn wake(&self, _: &Spec) -> Option<Timestamp> {
        None
    }

    /// The clock went back: what it waits for lies no further ahead than when it began to wait.
    fn rewind(&mut self, _: &Spec, _: Timestamp) {}

    /// Its state word.
    fn state(&self) -> &'static str;

    /// The commands it knows, as words: none, for a kind that only tells.
    fn verbs(_: &Spec) -> &'static [&'static str] {
        &[]
    }

    /// Whether a fire release holds it, so that ordinary commands must wait.
    fn held_by_fire(&self) -> bool {
        false
    }
}

/// A moment, some milliseconds later.
pub(crate) fn plus(at: Timestamp, ms: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_millis(ms)).unwrap_or(Timestamp::MAX)
}

/// Whether a reported point tells of something that happened (kept, in order) rather than of a measure (newest wins).
pub fn tells(kind: DeviceKind, point: &str, value: &Value) -> bool {
    match value {
        Value::Number(_) => false,
        Value::Bool(_) | Value::Text(_) => match kind {
            // A lift changes direction and calls all day long; only what it is, not where it goes, is worth an entry.
            DeviceKind::Elevator => !matches!(point, "direction" | "call" | "floor"),
            DeviceKind::Door
            | DeviceKind::Barrier
            | DeviceKind::Camera
            | DeviceKind::FirePanel
            | DeviceKind::Perimeter
            | DeviceKind::Meter
            | DeviceKind::Sensor => true,
        },
    }
}

/// Calls a macro with the machine of a kind: the one list of kinds.
#[macro_export]
macro_rules! for_kind {
    ($kind:expr, $call:ident) => {
        match $kind {
            $crate::device::link::DeviceKind::Door => $call!($crate::device::door::Door),
            $crate::device::link::DeviceKind::Barrier => $call!($crate::device::barrier::Barrier),
            $crate::device::link::DeviceKind::Camera => $call!($crate::device::camera::Camera),
            $crate::device::link::DeviceKind::Elevator => $call!($crate::device::elevator::Elevator),
            $crate::device::link::DeviceKind::FirePanel => $call!($crate::device::fire_panel::FirePanel),
            $crate::device::link::DeviceKind::Perimeter => $call!($crate::device::perimeter::Perimeter),
            $crate::device::link::DeviceKind::Meter => $call!($crate::device::meter::Meter),
            $crate::device::link::DeviceKind::Sensor => $call!($crate::device::sensor::Sensor),
        }
    };
}

impl DeviceKind {
    /// The word stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            DeviceKind::Door => "door",
            DeviceKind::Barrier => "barrier",
            DeviceKind::Camera => "camera",
            DeviceKind::Elevator => "elevator",
            DeviceKind::FirePanel => "fire_panel",
            DeviceKind::Perimeter => "perimeter",
            DeviceKind::Meter => "meter",
            DeviceKind::Sensor => "sensor",
        }
    }

    /// The commands that devices of this kind know.
    pub fn verbs(self, spec: &Spec) -> &'static [&'static str] {
        macro_rules! verbs {
            ($device:ty) => {
                <$device as Device>::verbs(spec)
            };
        }
        for_kind!(self, verbs)
    }
}
