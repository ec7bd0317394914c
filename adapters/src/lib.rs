//! Gatehouse adapters.
