//! Gatehouse vision.
