//! A log line that repeats: said at most once per interval.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Remembers when it last spoke.
#[derive(Debug)]
pub(crate) struct Quiet {
    interval: Duration,
    last: Mutex<Option<Instant>>,
}

impl Quiet {
    /// Speaks at most once per `interval`.
    pub(crate) fn every(interval: Duration) -> Self {
        Self { interval, last: Mutex::new(None) }
    }

    /// Whether to speak now.
    pub(crate) fn speak(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let yes = last.is_none_or(|at| now.duration_since(at) >= self.interval);
        if yes {
            *last = Some(now);
        }
        yes
    }
}
