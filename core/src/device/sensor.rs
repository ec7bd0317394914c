//! Any other sensor: its class says which point matters, and its limits when a measure does.

use super::telemetry::Value;
use super::{Device, Input as DeviceInput, Output};
use crate::event::Body;
use crate::site::Spec;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A sensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensor {
    active: BTreeSet<String>,
    beyond: BTreeSet<String>,
    tampered: bool,
}

impl Device for Sensor {
    fn new(_: &Spec) -> Self {
        Self { active: BTreeSet::new(), beyond: BTreeSet::new(), tampered: false }
    }

    fn step(&mut self, input: DeviceInput<'_>, spec: &Spec, _: Timestamp) -> Vec<Output> {
        match input {
            DeviceInput::Point("tamper", value) => {
                let active = value.as_bool().unwrap_or(false);
                if std::mem::replace(&mut self.tampered, active) != active {
                    return vec![Output::Tell(Body::Tamper { active, part: "cover".into() })];
                }
                vec![]
            }
            DeviceInput::Point(name, Value::Number(n)) => self.measured(name, *n, spec),
            DeviceInput::Point(name, value @ (Value::Bool(_) | Value::Text(_))) => {
                match value.as_bool() {
                    Some(true) => self.active.insert(name.to_owned()),
                    Some(false) => self.active.remove(name),
                    None => false,
                };
                vec![]
            }
            DeviceInput::Grant { .. }
            | DeviceInput::Happening(_)
            | DeviceInput::Command(_)
            | DeviceInput::Ended(..)
            | DeviceInput::Stream { .. }
            | DeviceInput::Motion(_)
            | DeviceInput::Back
            | DeviceInput::Tick => vec![],
        }
    }

    fn state(&self) -> &'static str {
        if self.active.is_empty() && self.beyond.is_empty() { "normal" } else { "active" }
    }
}

impl Sensor {
    /// Compares a measure with its limits; it is within again only a deadband inside, so that noise at the limit is quiet.
    fn measured(&mut self, name: &str, n: f64, spec: &Spec) -> Vec<Output> {
        let Some(limit) = spec.limits.iter().find(|limit| limit.point == name) else { return vec![] };
        let was = self.beyond.contains(name);
        let back = if was { limit.deadband } else { 0.0 };
        let high = limit.high.is_some_and(|high| n > high - back);
        let low = limit.low.is_some_and(|low| n < low + back);
        let beyond = high || low;
        if beyond == was {
            return vec![];
        }
        if beyond {
            self.beyond.insert(name.to_owned())
        } else {
            self.beyond.remove(name)
        };
        let upper = if beyond { high } else { limit.low.is_none() };
        let bound = if upper { limit.high } else { limit.low }.unwrap_or_default();
        vec![Output::Tell(Body::Limit { point: name.to_owned(), beyond, value: n, limit: bound, upper })]
    }
}
