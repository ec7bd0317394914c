//! Gatehouse core.
