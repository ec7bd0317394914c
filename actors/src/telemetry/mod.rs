//! Readings on their way to the history and the newest value of each point.

pub(crate) mod store;

use crate::meter::TelemetryFigures;
use gatehouse_core::device::telemetry::{PointName, Value};
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use sqlx::PgPool;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

/// Readings of one batch.
const BATCH: usize = 1_000;
/// The longest that a reading waits for its batch.
const WITHIN: Duration = Duration::from_secs(1);
/// Readings that may wait; beyond it the newest are dropped and counted.
const DEPTH: usize = 50_000;

/// One value of one point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    pub device: DeviceId,
    pub point: PointName,
    pub at: Timestamp,
    pub value: Value,
}

/// What the writer is given.
enum Item {
    Reading(Reading),
    /// Write what is there and say so.
    Settle(oneshot::Sender<()>),
}

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Item>,
    dropped: Arc<AtomicU64>,
    held: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
}

impl Writer {
    /// A writer and its work, which ends when the last writer is gone.
    pub(crate) fn new(pool: PgPool) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, readings) = mpsc::channel(DEPTH);
        let writer = Self { queue, dropped: Arc::default(), held: Arc::default(), written: Arc::default() };
        let work = write(pool, readings, writer.written.clone(), writer.dropped.clone());
        (writer, work)
    }

    /// Queues the values of a report.
    pub(crate) fn push(&self, device: DeviceId, points: &[(PointName, Value)], at: Timestamp) {
        if self.held.load(Ordering::Relaxed) {
            self.dropped.fetch_add(points.len() as u64, Ordering::Relaxed);
            return;
        }
        for (point, value) in points {
            let reading = Reading { device, point: point.clone(), at, value: value.clone() };
            if self.queue.try_send(Item::Reading(reading)).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Keeps no readings while the disk has no room for them; they are counted as dropped.
    pub(crate) fn hold(&self, on: bool) {
        self.held.store(on, Ordering::Relaxed);
    }

    /// Waits until everything queued so far is written, or could not be.
    pub(crate) async fn settle(&self) {
        let (done, settled) = oneshot::channel();
        if self.queue.send(Item::Settle(done)).await.is_ok() {
            let _ = settled.await;
        }
    }

    /// Its figures.
    pub(crate) fn figures(&self) -> TelemetryFigures {
        TelemetryFigures {
            depth: self.queue.max_capacity() - self.queue.capacity(),
            limit: self.queue.max_capacity(),
            written: self.written.load(Ordering::Relaxed),
            dropped: self.dropped(),
        }
    }

    /// Readings dropped since the start: no room, or the database refused them.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

async fn write(pool: PgPool, mut items: mpsc::Receiver<Item>, written: Arc<AtomicU64>, lost: Arc<AtomicU64>) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = items.recv().await {
        let deadline = tokio::time::Instant::now() + WITHIN;
        let mut next = Some(first);
        let mut settled = None;
        while let Some(item) = next.take() {
            match item {
                Item::Reading(reading) => batch.push(reading),
                Item::Settle(done) => settled = Some(done),
            }
            if batch.len() < BATCH && settled.is_none() {
                next = tokio::time::timeout_at(deadline, items.recv()).await.ok().flatten();
            }
        }
        if !batch.is_empty() {
            let count = match store::write(&pool, &batch).await {
                Ok(()) => &written,
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, readings = batch.len(), "Readings were not stored");
                    &lost
                }
            };
            count.fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
        batch.clear();
        if let Some(done) = settled {
            let _ = done.send(());
        }
    }
}
