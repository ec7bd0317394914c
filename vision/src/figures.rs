//! Small meters: rates over the last seconds, spreads over the last samples.

use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far back a rate looks.
const RATE_WINDOW: Duration = Duration::from_secs(3);
/// Samples that a spread keeps.
const SAMPLES: usize = 2048;

/// Frames and bytes per second over the last three seconds.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    seen: VecDeque<(Instant, usize)>,
}

impl Rate {
    pub(crate) fn count(&mut self, now: Instant, bytes: usize) {
        self.seen.push_back((now, bytes));
        self.forget(now);
    }

    /// Frames per second, kilobits per second.
    pub(crate) fn per_second(&mut self, now: Instant) -> (f32, f32) {
        self.forget(now);
        let Some((first, _)) = self.seen.front() else { return (0.0, 0.0) };
        // n frames span n − 1 intervals; below a second there is not enough to say.
        let span = now.duration_since(*first).as_secs_f32().max(1.0);
        let bytes: usize = self.seen.iter().map(|(_, bytes)| bytes).sum();
        (self.seen.len() as f32 / span, bytes as f32 * 8.0 / 1000.0 / span)
    }

    fn forget(&mut self, now: Instant) {
        while self.seen.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > RATE_WINDOW) {
            self.seen.pop_front();
        }
    }
}

/// Median and 99th percentile, milliseconds, of the last samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Samples since the start.
    pub count: u64,
}

/// The last few thousand durations.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    ring: Mutex<(VecDeque<f32>, u64)>,
}

impl Latency {
    pub(crate) fn record(&self, took: Duration) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.0.len() == SAMPLES {
            ring.0.pop_front();
        }
        ring.0.push_back(took.as_secs_f32() * 1000.0);
        ring.1 += 1;
    }

    pub(crate) fn spread(&self) -> Spread {
        let (mut sorted, count) = {
            let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            (ring.0.iter().copied().collect::<Vec<_>>(), ring.1)
        };
        sorted.sort_by(f32::total_cmp);
        let at = |q: f64| sorted.get(((sorted.len() as f64 - 1.0) * q).round() as usize).copied().unwrap_or(0.0);
        Spread { p50_ms: at(0.5).into(), p99_ms: at(0.99).into(), count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_the_samples() {
        let latency = Latency::default();
        assert_eq!(latency.spread(), Spread::default());
        for ms in 1..=101 {
            latency.record(Duration::from_millis(ms));
        }
        let spread = latency.spread();
        assert!((spread.p50_ms - 51.0).abs() < 0.1 && (spread.p99_ms - 100.0).abs() < 0.1, "{spread:?}");
    }

    #[test]
    fn a_rate_forgets() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        for i in 0..75_u64 {
            rate.count(start + Duration::from_millis(40 * i), 1000);
        }
        let (fps, kbps) = rate.per_second(start + Duration::from_secs(3));
        assert!((fps - 25.0).abs() < 1.0 && (kbps - 200.0).abs() < 8.0, "{fps} {kbps}");
        assert_eq!(rate.per_second(start + Duration::from_secs(10)), (0.0, 0.0));
    }
}
