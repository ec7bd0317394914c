//! A lift: mode, doors and floor in, recall and resume out.
//!
//! ```text
//!  Idle ◀──▶ Moving      mode trapped ──▶ Trapped      mode fault ──▶ Fault      recall ──▶ Recalled ──resume──▶ Idle
//! ```

use super::link::Verb;
use super::{Device, Input as DeviceInput, Output};
use crate::site::Spec;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What the lift's controller says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// In service.
    Normal,
    /// Sent to its floor, doors open.
    Recall,
    /// Out of order.
    Fault,
    /// Someone is shut in.
    Trapped,
}

/// A lift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Elevator {
    mode: Mode,
    moving: bool,
    recalled: bool,
}

impl Device for Elevator {
    fn new(_: &Spec) -> Self {
        Self { mode: Mode::Normal, moving: false, recalled: false }
    }

    fn step(&mut self, input: DeviceInput<'_>, spec: &Spec, _: Timestamp) -> Vec<Output> {
        match input {
            DeviceInput::Point("mode", value) => {
                self.mode = match value.as_word() {
                    Some("recall") => Mode::Recall,
                    Some("fault") => Mode::Fault,
                    Some("trapped") => Mode::Trapped,
                    Some("normal") => Mode::Normal,
                    Some(_) | None => self.mode,
                }
            }
            DeviceInput::Point("direction", value) => self.moving = matches!(value.as_word(), Some("up" | "down")),
            DeviceInput::Command(Verb::Recall { .. }) => self.recalled = true,
            DeviceInput::Command(Verb::Resume) => self.recalled = false,
            DeviceInput::Back if self.recalled => {
                return vec![Output::Send(Verb::Recall { floor: spec.recall_floor() })];
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
        match (self.mode, self.recalled, self.moving) {
            (Mode::Trapped, _, _) => "trapped",
            (Mode::Fault, _, _) => "fault",
            (Mode::Recall, _, _) | (Mode::Normal, true, _) => "recalled",
            (Mode::Normal, false, true) => "moving",
            (Mode::Normal, false, false) => "idle",
        }
    }

    fn verbs(_: &Spec) -> &'static [&'static str] {
        &["recall", "resume"]
    }

    fn held_by_fire(&self) -> bool {
        self.recalled
    }
}
