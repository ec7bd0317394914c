//! The writer: batches of up to 5 000 readings or 100 ms, on two connections, each written once.
//!
//! While the database is away a batch is tried again, ever more rarely; behind it the queue keeps what is newest. A batch that
//! the database refuses for what is in it is halved until the reading that is wrong stands alone and is dropped.

use super::queue::{Pushed, Queue, Row};
use super::store::write::{self, Columns, Kind};
use crate::clock::Clock;
use gatehouse_core::device::telemetry::{PointName, Value};
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::PgPool;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex as Turn, Notify, watch};
use tracing::warn;
use uuid::Uuid;

/// Readings of one batch.
pub(super) const BATCH: usize = 5_000;
/// The longest that a reading waits for its batch.
const WITHIN: Duration = Duration::from_millis(100);
/// Readings that may wait: 40 batches, some 10 MB.
pub(super) const DEPTH: usize = 200_000;
/// A batch that is not answered by then is tried again. Less than a minute: see `fresh` in `Columns::fill`.
const ANSWER: Duration = Duration::from_secs(30);
/// Pauses between tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How the history does. Field names are the wire's.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TelemetryHealth {
    /// How the history is kept: `partitions`, `timescale`, or `timescale, in part`.
    pub store: String,
    /// Readings that wait.
    pub depth: usize,
    /// Readings that may wait.
    pub limit: usize,
    /// Readings written since the start.
    pub written: u64,
    /// Readings dropped since the start: the queue was full and they were its oldest, or the database refused them.
    pub dropped: u64,
    /// Readings not taken since the start: too many names, or a time no clock shows.
    pub refused: u64,
    /// Batches written since the start.
    pub batches: u64,
    /// Tries of a batch that failed, since the start.
    pub failed_batches: u64,
    /// How long the last batch took, ms.
    pub last_batch_ms: f64,
    /// Readings in the last batch.
    pub last_batch_rows: u64,
    /// Seconds since the rollups were brought up to date; nothing before the first time.
    pub rolled_s: Option<i64>,
    /// The last trouble.
    pub last_error: String,
}

#[derive(Default)]
struct Counters {
    written: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
    batches: AtomicU64,
    failed: AtomicU64,
    last_batch_us: AtomicU64,
    last_batch_rows: AtomicU64,
    last_error: Mutex<String>,
}

/// The way to the writer.
pub(super) struct Writer {
    pool: PgPool,
    clock: Clock,
    hypertable: bool,
    queue: Mutex<Queue>,
    some: Notify,
    full: Notify,
    turn: Turn<()>,
    /// Readings pushed, and those that have come to an end in any way.
    pushed: AtomicU64,
    ended: watch::Sender<u64>,
    counters: Counters,
    held: AtomicBool,
}

impl Writer {
    /// `hypertable`: the history is one of TimescaleDB's.
    pub(super) fn new(pool: PgPool, clock: Clock, depth: usize, hypertable: bool) -> Self {
        Self {
            pool,
            clock,
            hypertable,
            queue: Mutex::new(Queue::new(depth)),
            some: Notify::new(),
            full: Notify::new(),
            turn: Turn::new(()),
            pushed: AtomicU64::new(0),
            ended: watch::channel(0).0,
            counters: Counters::default(),
            held: AtomicBool::new(false),
        }
    }

    /// Takes no readings while this is set; they are counted as dropped.
    pub(super) fn hold(&self, on: bool) {
        self.held.store(on, Ordering::Relaxed);
    }

    /// Queues the values of a report.
    pub(super) fn push(&self, device: DeviceId, points: &[(PointName, Value)], at: Timestamp) {
        if self.held.load(Ordering::Relaxed) {
            self.counters.dropped.fetch_add(points.len() as u64, Ordering::Relaxed);
            return;
        }
        let (Pushed { dropped, refused }, before, depth) = {
            let mut queue = self.queue();
            self.pushed.fetch_add(points.len() as u64, Ordering::AcqRel);
            let before = queue.depth();
            (queue.push(device, points, at), before, queue.depth())
        };
        if dropped + refused > 0 {
            self.counters.dropped.fetch_add(dropped, Ordering::Relaxed);
            self.counters.refused.fetch_add(refused, Ordering::Relaxed);
            self.end(dropped + refused);
        }
        if before == 0 && depth > 0 {
            self.some.notify_one();
        }
        if depth >= BATCH {
            self.full.notify_one();
        }
    }

    /// Waits until everything queued so far is written, or dropped by its rule.
    pub(super) async fn settle(&self) {
        let pushed = self.pushed.load(Ordering::Acquire);
        let _ = self.ended.subscribe().wait_for(|ended| *ended >= pushed).await;
    }

    /// Readings that were dropped or not taken since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.counters.dropped.load(Ordering::Relaxed) + self.counters.refused.load(Ordering::Relaxed)
    }

    /// Readings written since the start.
    pub(super) fn written(&self) -> u64 {
        self.counters.written.load(Ordering::Relaxed)
    }

    pub(super) fn health(&self) -> TelemetryHealth {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        let (depth, limit) = {
            let queue = self.queue();
            (queue.depth(), queue.limit())
        };
        TelemetryHealth {
            depth,
            limit,
            written: count(&counters.written),
            dropped: count(&counters.dropped),
            refused: count(&counters.refused),
            batches: count(&counters.batches),
            failed_batches: count(&counters.failed),
            last_batch_ms: count(&counters.last_batch_us) as f64 / 1e3,
            last_batch_rows: count(&counters.last_batch_rows),
            last_error: counters.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ..TelemetryHealth::default()
        }
    }

    /// Writes until it is dropped: two of these overlap a batch's way to the disk with the next one's making.
    pub(super) async fn work(&self) {
        let mut hand = Hand::new(self.clock.uuid());
        loop {
            let mut rows = Vec::new();
            let aside = {
                let _turn = self.turn.lock().await;
                self.collect(&mut rows).await
            };
            let history = rows.len();
            rows.extend(aside);
            self.write(&mut hand, rows, history).await;
        }
    }

    async fn collect(&self, rows: &mut Vec<Row>) -> Vec<Row> {
        while self.queue().depth() == 0 {
            self.some.notified().await;
        }
        if self.queue().depth() < BATCH {
            let _ = tokio::time::timeout(WITHIN, self.full.notified()).await;
        }
        self.queue().take(BATCH, rows)
    }

    /// Writes a batch, whatever it takes.
    async fn write(&self, hand: &mut Hand, rows: Vec<Row>, history: usize) {
        let mut open = VecDeque::from([(rows, history)]);
        while let Some((mut rows, history)) = open.pop_front() {
            let began = Instant::now();
            match self.persist(hand, &rows, history).await {
                Ok(()) => {
                    let counters = &self.counters;
                    counters.written.fetch_add(history as u64, Ordering::Relaxed);
                    counters.batches.fetch_add(1, Ordering::Relaxed);
                    let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                    counters.last_batch_us.store(took, Ordering::Relaxed);
                    counters.last_batch_rows.store(history as u64, Ordering::Relaxed);
                    self.end(history as u64);
                }
                Err(error) if rows.len() > 1 => {
                    self.trouble("A batch of readings is halved: the database refuses something in it", &error);
                    let second = rows.split_off(rows.len() / 2);
                    let in_first = history.min(rows.len());
                    open.push_front((second, history - in_first));
                    open.push_front((rows, in_first));
                }
                Err(error) => {
                    self.trouble("A reading was dropped: the database refuses it", &error);
                    self.counters.dropped.fetch_add(history as u64, Ordering::Relaxed);
                    self.end(history as u64);
                }
            }
        }
    }

    /// Tries until the database answers; an error is one that the same rows would meet again.
    async fn persist(&self, hand: &mut Hand, rows: &[Row], history: usize) -> Result<(), sqlx::Error> {
        hand.number += 1;
        let mut pause = PAUSES.0;
        loop {
            let error = match tokio::time::timeout(ANSWER, self.attempt(hand, rows, history)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if is_about_the_rows(&error) => return Err(error),
                Ok(Err(error)) => error,
                Err(_) => sqlx::Error::PoolTimedOut,
            };
            self.trouble("Readings wait: the database is away", &error);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn attempt(&self, hand: &mut Hand, rows: &[Row], history: usize) -> Result<(), sqlx::Error> {
        let unknown = self.queue().unknown(rows.iter().map(|row| row.series));
        if !unknown.is_empty() {
            let stored = write::series(&self.pool, &unknown).await?;
            let mut queue = self.queue();
            for ((local, ..), stored) in unknown.iter().zip(stored) {
                queue.know(*local, stored);
            }
        }
        let now = self.clock.now();
        {
            let queue = self.queue();
            let kind = Kind { hypertable: self.hypertable, latest: true };
            hand.columns.fill(rows, history, now, kind, |local| queue.stored(local));
        }
        write::batch(&self.pool, &hand.columns, hand.writer, hand.number, now).await
    }

    fn trouble(&self, sentence: &str, error: &sqlx::Error) {
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        *self.counters.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
        warn!(error = error as &dyn std::error::Error, "{sentence}");
    }

    fn end(&self, readings: u64) {
        self.ended.send_modify(|ended| *ended += readings);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one of the writers holds between batches.
struct Hand {
    writer: Uuid,
    number: i64,
    columns: Columns,
}

impl Hand {
    fn new(writer: Uuid) -> Self {
        Self { writer, number: 0, columns: Columns::default() }
    }
}

/// Whether the database refused what is in the rows (SQLSTATE classes 21, 22 and 23); anything else may pass.
fn is_about_the_rows(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| ["21", "22", "23"].iter().any(|class| code.starts_with(class)))
        }
        sqlx::Error::Encode(_) => true,
        _ => false,
    }
}
