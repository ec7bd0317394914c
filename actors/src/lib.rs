//! Gatehouse actors.
