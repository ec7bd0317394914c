//! The live feed: one WebSocket per page, topics with sequence numbers, snapshots and replay.

pub mod overlay;
pub mod protocol;
pub mod screen;
pub mod session;
pub mod topic;
