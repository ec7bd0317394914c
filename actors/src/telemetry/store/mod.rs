//! Readings in the database: what it can do with them, the newest value of each point; written, rolled up and read.

pub(super) mod drill;
pub(super) mod read;
pub(super) mod roll;
pub(super) mod write;

use crate::error::{Doing, StoreError};
use gatehouse_core::device::telemetry::{PointName, Value};
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use sqlx::PgPool;
use uuid::Uuid;

/// What this database can do with readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, sqlx::FromRow)]
pub(super) struct Features {
    /// The history is a hypertable of TimescaleDB.
    pub hypertable: bool,
    /// Old chunks are compressed by a policy.
    pub columnstore: bool,
    /// Rollups are continuous aggregates.
    pub aggregates: bool,
    /// What was there before the continuous aggregates is in them.
    pub filled: bool,
    /// Readings of the last pass's minutes.
    pub rows_per_minute: f64,
}

impl Features {
    /// The word on the health page.
    pub(super) fn word(self) -> &'static str {
        match (self.hypertable, self.columnstore, self.aggregates) {
            (false, ..) => "partitions",
            (true, true, true) => "timescale",
            (true, ..) => "timescale, in part",
        }
    }
}

/// What this database can do with readings.
pub(super) async fn features(pool: &PgPool) -> Result<Features, StoreError> {
    sqlx::query_as("select hypertable, columnstore, aggregates, filled, rows_per_minute from telemetry_store")
        .fetch_one(pool)
        .await
        .doing("tell what it can do with readings")
}

/// The value of a row's three columns.
pub(super) fn value(number: Option<f64>, word: Option<String>, flag: Option<bool>) -> Option<Value> {
    match (number, word, flag) {
        (Some(n), _, _) => Some(Value::Number(n)),
        (None, Some(word), _) => Some(Value::Text(word)),
        (None, None, Some(on)) => Some(Value::Bool(on)),
        (None, None, None) => None,
    }
}

#[derive(sqlx::FromRow)]
struct LatestRow {
    device: Uuid,
    point: String,
    observed_at: jiff_sqlx::Timestamp,
    number: Option<f64>,
    word: Option<String>,
    flag: Option<bool>,
}

/// A point, its newest value and when.
pub(crate) type Latest = (PointName, Value, Timestamp);

/// The newest values of devices.
pub(crate) async fn latest(pool: &PgPool, devices: &[DeviceId]) -> Result<Vec<(DeviceId, Latest)>, StoreError> {
    let ids: Vec<Uuid> = devices.iter().map(|id| id.0).collect();
    let rows: Vec<LatestRow> =
        sqlx::query_as("select device, point, observed_at, number, word, flag from latest where device = any($1)")
            .bind(ids)
            .fetch_all(pool)
            .await
            .doing("read the latest values")?;
    let read = |row: LatestRow| {
        let value = value(row.number, row.word, row.flag)?;
        Some((DeviceId(row.device), (row.point, value, row.observed_at.to_jiff())))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}
