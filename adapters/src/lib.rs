//! Protocols and products: one folder each, and the simulated compound.
//!
//! An adapter turns what a device says into [`gatehouse_core::device::link::Uplink`]s and what an actor asks
//! ([`gatehouse_core::device::link::Downlink`]) into the device's words. How to add one is in this crate's README.

pub mod mqtt;
pub mod onvif;
pub mod otlp;
mod quiet;
pub mod reconnect;
pub mod sim;
mod tls;
pub mod webhook;
