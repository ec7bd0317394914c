//! Points: what a device measures or reports, by name.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of a point within its device, e.g. `contact`, `point.3`, `temperature`.
pub type PointName = String;

/// A reported value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// On or off, true or false.
    Bool(bool),
    /// A number in the point's unit.
    Number(f64),
    /// A state word or text.
    Text(String),
}

impl Value {
    /// The value as a state word; a boolean reads as `on` or `off`, a number as nothing.
    pub fn as_word(&self) -> Option<&str> {
        match self {
            Value::Bool(true) => Some("on"),
            Value::Bool(false) => Some("off"),
            Value::Text(text) => Some(text),
            Value::Number(_) => None,
        }
    }

    /// The value as a switch: booleans, `on`/`off`, `true`/`false`, `open`/`closed`, 1 and 0.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(on) => Some(*on),
            Value::Number(n) if *n == 1.0 => Some(true),
            Value::Number(n) if *n == 0.0 => Some(false),
            Value::Number(_) => None,
            Value::Text(text) => match text.to_ascii_lowercase().as_str() {
                "on" | "true" | "open" | "yes" | "1" => Some(true),
                "off" | "false" | "closed" | "no" | "0" => Some(false),
                _ => None,
            },
        }
    }

    /// The value as a number, where it is one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Number(n) => Some(*n),
            Value::Bool(_) | Value::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(on) => on.fmt(f),
            Value::Number(n) => n.fmt(f),
            Value::Text(text) => text.fmt(f),
        }
    }
}
