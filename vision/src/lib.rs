//! Gatehouse vision: streams in; live tiles, recordings and observations out.
//!
//! ```text
//!  rtsp ──units──▶ hub ──▶ viewers (WebSocket → WebCodecs)
//!    ├───────────▶ recorder ──▶ segments on disk ──▶ clip
//!    └───────────▶ decode ──▶ motion ──▶ plate, face ──▶ track ──▶ observation
//! ```

pub mod enrol;
pub mod eval;
pub mod face;
pub mod figures;
pub mod frame;
pub mod hub;
pub mod models;
pub mod onnx;
pub mod plate;
pub mod recognizer;
pub mod rtsp;
mod scratch;
#[cfg(test)]
mod testkit;
pub mod track;

pub use models::RuntimePaths;
