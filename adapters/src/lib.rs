//! Gatehouse adapters.

pub mod sim;
