//! The demo compound: simulated devices as peers on the wire.

pub mod rtsp;
pub mod scene;
