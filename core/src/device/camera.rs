//! A camera: whether its stream lives, and what it says itself of motion and tampering.
//!
//! ```text
//!  Unknown ──live──▶ Live ◀──▶ Stalled | Refused | Unauthorised | Undecodable
//! ```

use super::{Device, Input as DeviceInput, Output};
use crate::event::Body;
use crate::site::Spec;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How the stream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing heard yet.
    Unknown,
    /// Frames arrive.
    Live,
    /// They stopped.
    Stalled,
    /// The camera does not take our connection.
    Refused,
    /// The camera does not take our password.
    Unauthorised,
    /// What arrives cannot be decoded.
    Undecodable,
}

/// A camera.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    state: State,
    motion: bool,
    /// Covered, turned away, out of focus, by its own judgement.
    #[serde(default)]
    tampered: bool,
}

impl Device for Camera {
    fn new(_: &Spec) -> Self {
        Self { state: State::Unknown, motion: false, tampered: false }
    }

    fn step(&mut self, input: DeviceInput<'_>, _: &Spec, _: Timestamp) -> Vec<Output> {
        match input {
            DeviceInput::Stream { live: true, .. } => self.state = State::Live,
            DeviceInput::Stream { live: false, reason } => {
                self.state = match reason {
                    "refused" => State::Refused,
                    "unauthorised" => State::Unauthorised,
                    "undecodable" => State::Undecodable,
                    _ => State::Stalled,
                }
            }
            DeviceInput::Motion(active) => self.motion = active,
            DeviceInput::Point("motion", value) => self.motion = value.as_bool().unwrap_or(self.motion),
            DeviceInput::Point("tamper", value) => {
                let active = value.as_bool().unwrap_or(self.tampered);
                if std::mem::replace(&mut self.tampered, active) != active {
                    return vec![Output::Tell(Body::Tamper { active, part: "lens".into() })];
                }
            }
            DeviceInput::Point(..)
            | DeviceInput::Grant { .. }
            | DeviceInput::Happening(_)
            | DeviceInput::Command(_)
            | DeviceInput::Ended(..)
            | DeviceInput::Back
            | DeviceInput::Tick => {}
        }
        vec![]
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::Unknown => "unknown",
            State::Live => "live",
            State::Stalled => "stalled",
            State::Refused => "refused",
            State::Unauthorised => "unauthorised",
            State::Undecodable => "undecodable",
        }
    }
}
