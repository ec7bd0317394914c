//! What the system counts about itself, for the health page and for Prometheus.

use crate::telemetry::TelemetryHealth;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the classes of commit times, seconds: from a local disk that does nothing else to one that is ill.
const BOUNDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// How durations spread.
#[derive(Debug, Default)]
struct Histogram {
    classes: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

/// How durations spread, as read at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Upper bound in seconds, and how many were at most that.
    pub classes: Vec<(f64, u64)>,
    /// All of them.
    pub count: u64,
    /// Their sum, seconds.
    pub sum: f64,
}

impl Histogram {
    fn note(&self, took: Duration) {
        if let Some(class) = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound) {
            self.classes[class].fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> Distribution {
        // The total first: a class read later is never above it by more than what came meanwhile, and is cut to it.
        let count = self.count.load(Ordering::Relaxed);
        let mut below = 0;
        let classes = BOUNDS.iter().zip(&self.classes).map(|(bound, class)| {
            below += class.load(Ordering::Relaxed);
            (*bound, below.min(count))
        });
        let classes = classes.collect();
        #[allow(clippy::cast_precision_loss, reason = "microseconds to seconds")]
        let sum = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        Distribution { classes, count, sum }
    }
}

/// Counters of the journal.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    commits: Histogram,
    entries: AtomicU64,
    commands: Mutex<BTreeMap<&'static str, u64>>,
}

impl Meter {
    /// Counts a transaction.
    pub(crate) fn committed(&self, entries: usize, took: Duration) {
        self.commits.note(took);
        self.entries.fetch_add(entries as u64, Ordering::Relaxed);
    }

    /// Counts a command's arrival in a state.
    pub(crate) fn command(&self, state: &'static str) {
        *self.commands.lock().unwrap_or_else(PoisonError::into_inner).entry(state).or_default() += 1;
    }

    pub(crate) fn commits(&self) -> Distribution {
        self.commits.read()
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    pub(crate) fn commands(&self) -> BTreeMap<&'static str, u64> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The journal's figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JournalFigures {
    /// Entries that wait.
    pub depth: usize,
    /// Entries that may wait.
    pub limit: usize,
    /// Entries committed since the start.
    pub entries: u64,
    /// Entries that the database refused for good.
    pub refused: u64,
    /// Whether the database is away.
    pub away: bool,
    /// How long transactions took.
    pub commits: Distribution,
}

/// What the system counts about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// The single writer.
    pub journal: JournalFigures,
    /// The readings' way to the store.
    pub telemetry: TelemetryHealth,
    /// Commands that came into each state since the start.
    pub commands: BTreeMap<&'static str, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_cumulative_and_counts_what_is_beyond_the_last_class() {
        let histogram = Histogram::default();
        for ms in [1, 3, 3, 9_000] {
            histogram.note(Duration::from_millis(ms));
        }
        let read = histogram.read();
        assert_eq!(read.count, 4);
        assert_eq!(
            read.classes.iter().map(|(_, count)| *count).collect::<Vec<_>>(),
            [1, 1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]
        );
        assert!((read.sum - 9.007).abs() < 1e-9);
    }
}
