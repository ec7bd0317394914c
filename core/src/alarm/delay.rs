//! On-delay and off-delay: a condition counts once it has stood, or been gone, for its time.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A change that waits for its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delay {
    /// Whether it becomes active or inactive.
    pub to: bool,
    /// When.
    pub due: Timestamp,
}

impl Delay {
    /// Begins a delay; `None` when there is none to wait for.
    pub fn begin(to: bool, ms: i64, now: Timestamp) -> Option<Self> {
        let due = now.saturating_add(SignedDuration::from_millis(ms)).unwrap_or(Timestamp::MAX);
        (ms > 0).then_some(Self { to, due })
    }

    /// Whether its time has come.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now >= self.due
    }
}
