//! Virtual cameras: scenes that are drawn and encoded, served over RTSP with digest authentication.
//!
//! ```text
//!  Cue ─▶ scene: drawn, encoded as H.264 ─▶ LiveSource ─▶ rtsp ─▶ any player
//! ```
//! A package of its own, because pixels must be compiled optimised also in tests while nothing in it knows the product.

pub mod rtsp;
pub mod scene;
