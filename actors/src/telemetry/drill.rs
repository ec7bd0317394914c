//! The writer's batch path laid open, for the bench: what a batch costs, with and without the latest values.

use super::queue::Queue;
use super::store::drill;
use super::store::write::{self, Columns, Kind};
use super::writer::BATCH;
use crate::error::{Doing, StoreError};
use gatehouse_core::device::telemetry::{PointName, Value};
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use sqlx::PgPool;
use uuid::Uuid;

/// Readings of one batch.
pub const BATCH_ROWS: usize = BATCH;

/// One report of a device.
pub type Report = (DeviceId, Vec<(PointName, Value)>);

/// A writer that is handed its batches.
pub struct Batches {
    pool: PgPool,
    queue: Queue,
    columns: Columns,
    writer: Uuid,
    number: i64,
}

impl Batches {
    /// A writer with a number of its own.
    pub fn new(pool: PgPool, writer: Uuid) -> Self {
        Self { pool, queue: Queue::new(usize::MAX), columns: Columns::default(), writer, number: 0 }
    }

    /// Takes reports in and writes them as one batch, as the product does.
    pub async fn write(&mut self, reports: &[Report], at: Timestamp, latest: bool) -> Result<(), StoreError> {
        const DOING: &str = "store readings";
        for (device, points) in reports {
            self.queue.push(*device, points, at);
        }
        let mut rows = Vec::with_capacity(BATCH);
        self.queue.take(usize::MAX, &mut rows);
        let unknown = self.queue.unknown(rows.iter().map(|row| row.series));
        if !unknown.is_empty() {
            let stored = write::series(&self.pool, &unknown).await.doing(DOING)?;
            for ((local, ..), stored) in unknown.iter().zip(stored) {
                self.queue.know(*local, stored);
            }
        }
        let queue = &self.queue;
        let kind = Kind { hypertable: false, latest };
        self.columns.fill(&rows, rows.len(), at, kind, |local| queue.stored(local));
        self.number += 1;
        write::batch(&self.pool, &self.columns, self.writer, self.number, at).await.doing(DOING)
    }

    /// Writes the numbers of as many readings by COPY in the binary format into the same table: what PostgreSQL can do at best.
    pub async fn copy(&self, readings: usize, at: Timestamp) -> Result<(), StoreError> {
        drill::copy(&self.pool, readings, at).await
    }
}

/// Bytes of the raw history with its index, and empties it.
pub async fn size_and_empty(pool: &PgPool) -> Result<i64, StoreError> {
    let bytes = drill::size(pool).await?;
    drill::empty(pool).await?;
    Ok(bytes)
}
