//! Access levels: doors by schedule, given to people.

use crate::id::DeviceId;
use std::collections::BTreeSet;

/// A set of doors and barriers at the hours of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// Its key.
    pub key: String,
    /// Doors and barriers.
    pub doors: BTreeSet<DeviceId>,
    /// Key of its schedule, empty for always.
    pub schedule: String,
}
