//! What Gatehouse decides: pure state machines, rules and choices.
//!
//! Nothing here does I/O, reads a clock or draws randomness: every transition is a function of `(state, input, now)` and
//! returns the effects to carry out. The table of contents follows the domain words of `GLOSSARY.md`.

pub mod device;
pub mod id;
pub mod recognition;
