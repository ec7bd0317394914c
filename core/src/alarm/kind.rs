//! The alarms there are, with what a site gets when it configures nothing.

use super::Priority;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal, $priority:ident $(, $trait:ident)*;)+) => {
        /// What an alarm is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum AlarmKind {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $name,)+
        }

        impl AlarmKind {
            /// All of them.
            pub const ALL: &'static [AlarmKind] = &[$(AlarmKind::$name,)+];

            /// The word stored and shown.
            pub fn word(self) -> &'static str {
                match self { $(AlarmKind::$name => $word,)+ }
            }

            /// The kind of a word.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(AlarmKind::$name),)+ _ => None }
            }

            /// The priority it is raised with.
            pub fn priority(self) -> Priority {
                match self { $(AlarmKind::$name => Priority::$priority,)+ }
            }

            fn traits(self) -> &'static [&'static str] {
                match self { $(AlarmKind::$name => &[$(stringify!($trait)),*],)+ }
            }
        }
    };
}

kinds! {
    /// A fire panel's point is in alarm.
    Fire = "fire", Critical, latching;
    /// A single detector, not yet confirmed.
    FirePreAlarm = "fire_pre_alarm", High;
    /// A fire panel's point is broken.
    FireFault = "fire_fault", High, fault;
    /// Doors that did not confirm a fire release.
    NotReleased = "not_released", Critical;
    /// A smoke sensor.
    Smoke = "smoke", Critical;
    /// Combustible gas.
    Gas = "gas", Critical;
    /// Carbon monoxide.
    Co = "co", Critical;
    /// Someone opened under threat.
    Duress = "duress", Critical, momentary;
    /// Someone called for help.
    HelpCall = "help_call", Critical, momentary;
    /// The perimeter was crossed.
    Intrusion = "intrusion", High;
    /// People shut in a lift.
    LiftTrapped = "lift_trapped", Critical;
    /// A lift out of order.
    LiftFault = "lift_fault", Medium, fault;
    /// A door opened without a grant.
    DoorForced = "door_forced", High;
    /// A door open for too long.
    DoorHeld = "door_held", Medium;
    /// A cover opened, a line cut.
    Tamper = "tamper", High;
    /// A barrier's boom was hit.
    BoomHit = "boom_hit", Medium, fault;
    /// Water where none should be.
    Leak = "leak", High;
    /// Motion where and when none should be.
    Motion = "motion", Low;
    /// A measure beyond its limit.
    Limit = "limit", Medium;
    /// A sensor's state of any other class.
    SensorActive = "sensor_active", Low;
    /// A device is gone.
    DeviceOffline = "device_offline", Medium, fault;
    /// A device comes and goes.
    DeviceFlapping = "device_flapping", Medium, fault;
    /// A gateway is gone, and with it every device behind it.
    GatewayLost = "gateway_lost", High, fault;
    /// A camera's pictures stopped.
    StreamStalled = "stream_stalled", Medium, fault;
    /// A device does not work.
    DeviceFault = "device_fault", Medium, fault;
    /// A device did not do what it was told.
    CommandFailed = "command_failed", Medium;
    /// Too many refusals at one door.
    AccessRepeatedlyDenied = "access_repeatedly_denied", Medium;
    /// A car nobody knows waits.
    UnknownPlate = "unknown_plate", Low;
    /// A plate of a watch list was read.
    WatchedPlate = "watched_plate", High, momentary;
    /// A camera shows nothing, something before its lens, a blur or another view.
    CameraView = "camera_view", Medium, fault;
    /// A face resembles someone, not enough to open.
    FaceCandidate = "face_candidate", Low, momentary;
    /// A part of the program is left stopped.
    ActorQuarantined = "actor_quarantined", High;
    /// A rule that operators wrote: its title and priority are the rule's own.
    Rule = "rule", Medium;
    /// A rule that operators wrote was stopped.
    RuleStopped = "rule_stopped", Medium;
    /// A disk is nearly full.
    DiskFull = "disk_full", High;
    /// The database is away or refuses.
    StoreAway = "store_away", High;
    /// The machine's clock was moved.
    ClockJump = "clock_jump", Medium, momentary;
    /// Notices for a target were given up.
    DeliveryFailed = "delivery_failed", Medium;
    /// Recording does not work.
    RecordingFailed = "recording_failed", High;
    /// A backup that was due could not be taken.
    BackupFailed = "backup_failed", Medium;
    /// The program needs more memory than it was given.
    MemoryHigh = "memory_high", Medium;
}

impl AlarmKind {
    fn has(self, trait_: &str) -> bool {
        self.traits().contains(&trait_)
    }

    /// Whether it stays until its source is reset.
    pub fn latching(self) -> bool {
        self.has("latching")
    }

    /// Whether it has no end of its own: it is over as soon as it was raised, and waits for its acknowledgement.
    pub fn momentary(self) -> bool {
        self.has("momentary")
    }

    /// Whether it is a fault of a device, for the engineers.
    pub fn fault(self) -> bool {
        self.has("fault")
    }

    /// How long the condition must stand before it is raised, milliseconds.
    pub fn on_delay_ms(self) -> i64 {
        match self {
            // A camera that reconnects within seconds is not worth a look.
            AlarmKind::StreamStalled => 3_000,
            _ => 0,
        }
    }

    /// How long the condition must be gone before the alarm returns to normal, milliseconds.
    pub fn off_delay_ms(self) -> i64 {
        match self {
            // Links that flap raise once, not once a second.
            AlarmKind::DeviceOffline | AlarmKind::GatewayLost | AlarmKind::StreamStalled => 2_000,
            _ => 0,
        }
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_word() {
        for kind in AlarmKind::ALL {
            assert_eq!(AlarmKind::parse(kind.word()), Some(*kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
        }
    }
}
