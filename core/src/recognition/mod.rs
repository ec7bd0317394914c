//! Recognition: what a plate read or a face match means.

mod observation;

pub use observation::{Observation, Seen};
