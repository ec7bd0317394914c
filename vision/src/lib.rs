//! Gatehouse vision: streams in; live tiles, recordings and observations out.

pub mod frame;
