//! A perimeter zone: beam, tamper and armed in, arm and disarm out.
//!
//! ```text
//!  Disarmed ◀──arm/disarm──▶ Armed ──beam broken──▶ Breached      tampered outranks all
//! ```

use super::{Device, Input as DeviceInput, Output};
use crate::event::Body;
use crate::site::Spec;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A perimeter zone: three facts that vary independently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Perimeter {
    armed: bool,
    broken: bool,
    tampered: bool,
}

impl Device for Perimeter {
    fn new(_: &Spec) -> Self {
        Self { armed: true, broken: false, tampered: false }
    }

    fn step(&mut self, input: DeviceInput<'_>, _: &Spec, _: Timestamp) -> Vec<Output> {
        match input {
            DeviceInput::Point("armed", value) => self.armed = value.as_bool().unwrap_or(self.armed),
            DeviceInput::Point("beam", value) => self.broken = value.as_word() == Some("broken"),
            DeviceInput::Point("tamper", value) => {
                let active = value.as_bool().unwrap_or(false);
                if std::mem::replace(&mut self.tampered, active) != active {
                    return vec![Output::Tell(Body::Tamper { active, part: "cover".into() })];
                }
            }
            DeviceInput::Point(..)
            | DeviceInput::Grant { .. }
            | DeviceInput::Happening(_)
            | DeviceInput::Command(_)
            | DeviceInput::Ended(..)
            | DeviceInput::Stream { .. }
            | DeviceInput::Motion(_)
            | DeviceInput::Back
            | DeviceInput::Tick => {}
        }
        vec![]
    }

    fn state(&self) -> &'static str {
        match (self.tampered, self.armed, self.broken) {
            (true, _, _) => "tampered",
            (false, true, true) => "breached",
            (false, true, false) => "armed",
            (false, false, _) => "disarmed",
        }
    }

    fn verbs(_: &Spec) -> &'static [&'static str] {
        &["arm", "disarm"]
    }
}
