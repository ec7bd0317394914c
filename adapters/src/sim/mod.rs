//! The demo compound: simulated devices as peers on the wire.
//!
//! ```text
//! story ─ Stimulus ─▶ hardware (door, barrier, …) ─▶ peer: MQTT client with its own account ─▶ broker
//!       └ Cue ──────▶ Stage: a virtual camera's scene ─▶ RTSP, and what it notices ─▶ ONVIF
//! ```
//! Nothing here is told to Gatehouse by a shortcut: what the actors know, they know from the wire.

pub mod barrier;
pub mod compound;
pub mod door;
pub mod elevator;
pub mod fire_panel;
pub mod hardware;
pub mod meter;
pub mod peer;
pub mod perimeter;
pub mod sensor;
pub mod stage;
pub mod story;

pub use gatehouse_simcam::{onvif, rtsp, scene};

/// The demo compound's definition, in the format of any site.
pub fn demo_site() -> &'static str {
    include_str!("demo_site.toml")
}
