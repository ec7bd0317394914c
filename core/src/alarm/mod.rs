//! Alarms: raised, acknowledged, shelved, suppressed, returned to normal (ISA-18.2, OPC UA Part 9).

mod book;
mod delay;
mod flood;
mod kind;
mod priority;
mod procedures;
mod shelve;
mod sop;
mod state;

pub use book::{AlarmCall, AlarmCallError, Alarms, POST_ROLL_S, PRE_ROLL_S, Pending};
pub use delay::Delay;
pub use flood::Flood;
pub use kind::AlarmKind;
pub use priority::Priority;
pub use shelve::{MAX_SHELVE_MINUTES, ShelveError};
pub use sop::{Bilingual, Sop, Step, default_sop};
pub use state::{Alarm, Clip, Facts, Input, Key, Note};
