//! What an account keeps of its pages.

mod store;

pub use store::{PREFERENCE_MAX, PreferenceRow, preference, preference_put};
