//! Devices: the language spoken with adapters, and one state machine per kind.

pub mod link;
pub mod telemetry;
