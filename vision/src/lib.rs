//! Gatehouse vision: streams in; live tiles, recordings and observations out.

pub mod face;
pub mod frame;
pub mod models;
pub mod onnx;
pub mod plate;
mod scratch;
#[cfg(test)]
mod testkit;
