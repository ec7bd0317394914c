//! Gatehouse vision: streams in; live tiles, recordings and observations out.
//!
//! ```text
//!  rtsp ──units──▶ hub ──▶ viewers (WebSocket → WebCodecs)
//!    ├───────────▶ recorder ──▶ segments on disk ──▶ clip
//!    └───────────▶ decode ──▶ motion ──▶ plate, face ──▶ track ──▶ observation
//! ```

pub mod audio;
pub mod bench;
pub mod cost;
pub mod decode;
pub mod enrol;
pub mod eval;
pub mod face;
mod feed;
pub mod figures;
pub mod frame;
pub mod hub;
mod ingest;
pub mod models;
pub mod motion;
pub mod onnx;
pub mod overlay;
pub mod pipeline;
pub mod plate;
mod problems;
pub mod recognizer;
pub mod recorder;
pub mod rtsp;
mod scratch;
pub mod snapshot;
#[cfg(test)]
mod testkit;
pub mod track;
pub mod transcode;
pub mod view;
mod vision;

pub use feed::{StreamStatus, Which};
pub use models::RuntimePaths;
pub use vision::{CameraConfig, CameraStatus, Figures, Vision, VisionConfig, VisionError};
