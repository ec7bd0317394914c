//! A meter of water, power, heat or gas: a total that only grows, and a rate.

use super::{Device, Input as DeviceInput, Output};
use crate::site::Spec;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A meter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meter {
    total: Option<f64>,
    backwards: bool,
}

impl Device for Meter {
    fn new(_: &Spec) -> Self {
        Self { total: None, backwards: false }
    }

    fn step(&mut self, input: DeviceInput<'_>, _: &Spec, _: Timestamp) -> Vec<Output> {
        match input {
            DeviceInput::Point("total", value) => {
                if let Some(total) = value.as_number().filter(|n| n.is_finite()) {
                    self.backwards = self.total.is_some_and(|before| total < before);
                    self.total = Some(total);
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
        // A total that shrank was exchanged or tampered with: a bill must not be made of it unseen.
        if self.backwards { "fault" } else { "normal" }
    }
}
