//! What a recognised plate or face means: reads become a verdict, a verdict may open.
//!
//! The models live in the vision crate; here are only the rules: the grammar of number plates, the vote over the frames
//! of one passage, the match against known plates, the agreement of frames before a face may open a door, and watch lists.

pub mod challenge;
pub mod face;
mod observation;
pub mod plate;
pub mod plate_grammar;
pub mod region;
pub mod travel;
pub mod watch_csv;
pub mod watchlist;

pub use observation::{Observation, Seen};
