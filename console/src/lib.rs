//! Gatehouse console.
