//! Gatehouse vision: streams in; live tiles, recordings and observations out.
//!
//! ```text
//!  rtsp ──units──▶ hub ──▶ viewers (WebSocket → WebCodecs)
//!    ├───────────▶ recorder ──▶ segments on disk ──▶ clip
//!    └───────────▶ decode ──▶ motion ──▶ plate, face ──▶ track ──▶ observation
//! ```

pub mod figures;
pub mod hub;
pub mod rtsp;
