//! What Gatehouse decides: pure state machines, rules and choices.
//!
//! Nothing here does I/O, reads a clock or draws randomness: every transition is a function of `(state, input, now)` and
//! returns the effects to carry out. The table of contents follows the domain words of `GLOSSARY.md`.

pub mod access;
pub mod alarm;
pub mod command;
mod deadlines;
pub mod device;
pub mod disk;
pub mod effect;
pub mod event;
pub mod id;
pub mod machine;
pub mod outbox;
pub mod passage;
pub mod patrol;
pub mod people;
pub mod place;
pub mod recognition;
pub mod rule;
pub mod site;
pub mod trace;
pub mod workorder;
