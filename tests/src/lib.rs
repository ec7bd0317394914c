//! What the whole-compound tests share.

// A test that cannot go on should panic where it stands.
#![allow(clippy::unwrap_used)]

pub mod collector;
pub mod compound;
pub mod database;
pub mod onnx;
pub mod product;
pub mod receiver;
pub mod timescale;
