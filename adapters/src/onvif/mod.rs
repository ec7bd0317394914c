//! ONVIF: cameras that say where their streams are, turn their heads, and tell what they notice (Profiles S and T).
//!
//! ```text
//!  Link ─ open ─▶ Camera ─ soap ─▶ device · media · PTZ · events          discover: unicast only
//!    │              ▲ hand: moves that end by themselves
//!    └─ pull ─▶ senses ─▶ Uplink::Report (tamper, motion, input_…) ─▶ Intake
//! ```

pub mod auth;
pub mod camera;
pub mod codec;
pub mod discover;
pub mod hand;
pub mod link;
pub mod senses;
pub mod soap;
pub mod xml;

pub use auth::Account;
pub use camera::{Camera, Streams};
pub use link::{Finder, Link, LinkConfig, LinkHealth, LinkState};
pub use soap::OnvifError;
