//! Gatehouse console: set-up, composition, HTTP and WebSocket.

pub mod cli;
pub mod provision;
