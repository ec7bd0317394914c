//! How far a backup or restore is: read by a page or a terminal while the work goes on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How far it is.
#[derive(Debug, Default)]
pub struct Meter {
    total: AtomicU64,
    done: AtomicU64,
    what: Mutex<String>,
}

impl Meter {
    /// Sets how many bytes are expected in all.
    pub fn expect(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    /// Says what is worked on now.
    pub fn begin(&self, what: impl Into<String>) {
        *self.what.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
    }

    /// Counts bytes as done.
    pub fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts up to a point: an estimate that was too high does not hold the count back.
    pub fn reach(&self, bytes: u64) {
        self.done.fetch_max(bytes, Ordering::Relaxed);
    }

    /// What is worked on now.
    pub fn what(&self) -> String {
        self.what.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Percent done, at most 99 until it is over.
    pub fn percent(&self) -> u8 {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed).max(1));
        u8::try_from((u128::from(done) * 100 / u128::from(total)).min(99)).unwrap_or(99)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_never_claims_the_end_before_it_is_there() {
        let meter = Meter::default();
        assert_eq!(meter.percent(), 0);
        meter.expect(200);
        meter.add(100);
        assert_eq!(meter.percent(), 50);
        meter.add(u64::MAX / 2);
        assert_eq!(meter.percent(), 99);
    }
}
