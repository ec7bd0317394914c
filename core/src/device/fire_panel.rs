//! A fire alarm panel: its points in, silence and reset out.
//!
//! The panel latches its own points: a point that is normal again was reset at the panel. Any point in alarm outranks the
//! panel's mode, except that alarms in test mode are told as tests.

use super::{Device, Input as DeviceInput, Output};
use crate::event::Body;
use crate::site::Spec;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a point says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Quiet.
    Normal,
    /// Broken or cut.
    Fault,
    /// One detector, not yet confirmed.
    PreAlarm,
    /// Fire.
    Alarm,
}

impl Point {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "normal" | "off" => Point::Normal,
            "fault" => Point::Fault,
            "pre_alarm" => Point::PreAlarm,
            "alarm" | "on" => Point::Alarm,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Point::Normal => "normal",
            Point::Fault => "fault",
            Point::PreAlarm => "pre_alarm",
            Point::Alarm => "alarm",
        }
    }
}

/// A fire panel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FirePanel {
    points: BTreeMap<String, Point>,
    test: bool,
}

impl Device for FirePanel {
    fn new(_: &Spec) -> Self {
        Self { points: BTreeMap::new(), test: false }
    }

    fn step(&mut self, input: DeviceInput<'_>, _: &Spec, _: Timestamp) -> Vec<Output> {
        match input {
            DeviceInput::Point("mode", value) => self.test = value.as_word() == Some("test"),
            DeviceInput::Point(name, value) if name.starts_with("point.") => {
                let Some(state) = value.as_word().and_then(Point::parse) else { return vec![] };
                let before = self.points.insert(name.to_owned(), state).unwrap_or(Point::Normal);
                if before != state {
                    return vec![Output::Tell(Body::FirePoint {
                        zone: name.to_owned(),
                        state: state.word().into(),
                        before: before.word().into(),
                        test: self.test,
                    })];
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
        match self.points.values().max() {
            Some(Point::Alarm) => "alarm",
            Some(Point::PreAlarm) => "pre_alarm",
            Some(Point::Fault) => "fault",
            Some(Point::Normal) | None => {
                if self.test {
                    "test"
                } else {
                    "normal"
                }
            }
        }
    }

    fn verbs(_: &Spec) -> &'static [&'static str] {
        &["silence", "reset"]
    }
}
