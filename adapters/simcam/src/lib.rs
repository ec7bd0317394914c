//! Virtual cameras: scenes that are drawn and encoded, served over RTSP and ONVIF with digest authentication.
//!
//! ```text
//!  Cue ─▶ scene: drawn, encoded as H.264 ─▶ LiveSource ─▶ rtsp ─▶ any player
//!            ▲ head: pan, tilt, zoom ◀─ onvif ◀─ any client
//! ```
//! A package of its own, because pixels must be compiled optimised also in tests while nothing in it knows the product.

pub mod onvif;
pub mod rtsp;
pub mod scene;
