//! The history of readings: taken in, written in batches, rolled up, read as charts.
//!
//! ```text
//!  report ──▶ queue (oldest dropped) ──▶ 2 writers: ≤ 5 000 rows or 100 ms, each once ──────▶ history, latest, late minutes
//!                                                                 keeper: minutes ▶ hours ▶ days, partitions, retention
//!  chart  ◀── raw, every_minute, every_hour or every_day, by the span ◀──────────────────────────────────┘
//! ```

mod chart;
pub mod drill;
mod keep;
mod plan;
mod queue;
pub(crate) mod store;
mod writer;

pub use chart::{Chart, ChartQuery, Line};
pub use keep::Keep;
pub use plan::{Bucket, Resolution, Stretch};
pub use writer::TelemetryHealth;

use crate::clock::Clock;
use crate::error::StoreError;
use crate::root::System;
use gatehouse_core::device::telemetry::{PointName, Value};
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use sqlx::PgPool;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use store::Features;
use writer::Writer;

/// The history of readings.
#[derive(Clone)]
pub struct History(Arc<Inner>);

struct Inner {
    pool: PgPool,
    clock: Clock,
    keep: Keep,
    features: Features,
    writer: Writer,
    passing: tokio::sync::Mutex<()>,
    /// The moment of the last pass, seconds; 0: none yet.
    rolled_at: AtomicI64,
    /// Bits of the readings in a minute.
    rate: AtomicU64,
    /// When the rate was last measured, and what was written by then.
    seen: Mutex<(Timestamp, u64)>,
}

impl History {
    /// The history in a migrated database, and the writers' work, which does not end by itself.
    pub async fn open(
        pool: PgPool,
        clock: Clock,
        keep: Keep,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), StoreError> {
        Self::open_with(pool, clock, keep, writer::DEPTH).await
    }

    /// The same with a queue of another depth.
    pub async fn open_with(
        pool: PgPool,
        clock: Clock,
        keep: Keep,
        depth: usize,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), StoreError> {
        let features = store::features(&pool).await?;
        let history = Self::with(pool, clock, keep, depth, features);
        history.prepare().await?;
        let working = history.clone();
        let work = async move {
            tokio::join!(working.0.writer.work(), working.0.writer.work());
        };
        Ok((history, work))
    }

    /// A history that takes nothing in and has no database.
    pub(crate) fn idle(pool: PgPool, clock: Clock) -> Self {
        let history = Self::with(pool, clock, Keep::default(), writer::DEPTH, Features::default());
        history.hold(true);
        history
    }

    fn with(pool: PgPool, clock: Clock, keep: Keep, depth: usize, features: Features) -> Self {
        Self(Arc::new(Inner {
            writer: Writer::new(pool.clone(), clock.clone(), depth, features.hypertable),
            passing: tokio::sync::Mutex::new(()),
            rolled_at: AtomicI64::new(0),
            rate: AtomicU64::new(features.rows_per_minute.to_bits()),
            seen: Mutex::new((clock.now(), 0)),
            pool,
            clock,
            keep,
            features,
        }))
    }

    /// Queues the values of a report; when the queue is full, its oldest reading goes.
    pub fn push(&self, device: DeviceId, points: &[(PointName, Value)], at: Timestamp) {
        self.0.writer.push(device, points, at);
    }

    /// Keeps no readings while the disk has no room for them; they are counted as dropped.
    pub(crate) fn hold(&self, on: bool) {
        self.0.writer.hold(on);
    }

    /// Waits until everything queued so far is written, or dropped by its rule.
    pub async fn settle(&self) {
        self.0.writer.settle().await;
    }

    /// Readings that were dropped or not taken since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.writer.dropped()
    }

    /// How the history does.
    pub fn health(&self) -> TelemetryHealth {
        let rolled = self.0.rolled_at.load(Ordering::Relaxed);
        TelemetryHealth {
            store: self.0.features.word().to_owned(),
            rolled_s: (rolled > 0).then(|| self.clock().now().as_second() - rolled),
            ..self.0.writer.health()
        }
    }

    fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    fn clock(&self) -> &Clock {
        &self.0.clock
    }

    fn features(&self) -> Features {
        self.0.features
    }

    fn rows_per_minute(&self) -> f64 {
        f64::from_bits(self.0.rate.load(Ordering::Relaxed))
    }
}

impl System {
    /// The history of readings.
    pub fn history(&self) -> &History {
        &self.shared().telemetry
    }
}
