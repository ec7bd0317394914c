//! Gatehouse vision: streams in; live tiles, recordings and observations out.
//!
//! ```text
//!  rtsp ──units──▶ hub ──▶ viewers (WebSocket → WebCodecs)
//!    ├───────────▶ recorder ──▶ segments on disk ──▶ clip
//!    └───────────▶ decode ──▶ motion ──▶ plate, face ──▶ track ──▶ observation
//! ```

pub mod decode;
pub mod face;
pub mod figures;
pub mod frame;
pub mod hub;
pub mod models;
pub mod motion;
pub mod onnx;
pub mod plate;
pub mod recorder;
pub mod rtsp;
mod scratch;
#[cfg(test)]
mod testkit;
