//! Readings: the history and the newest value of each point.

use super::Reading;
use crate::error::{Doing, StoreError};
use gatehouse_core::device::telemetry::{PointName, Value};
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Readings as columns, for `unnest`.
#[derive(Default)]
struct Columns<'a> {
    devices: Vec<Uuid>,
    points: Vec<&'a str>,
    times: Vec<jiff_sqlx::Timestamp>,
    numbers: Vec<Option<f64>>,
    words: Vec<Option<&'a str>>,
    flags: Vec<Option<bool>>,
}

impl<'a> Columns<'a> {
    fn of(readings: impl Iterator<Item = &'a Reading>) -> Self {
        let mut columns = Self::default();
        for reading in readings {
            let (number, word, flag) = match &reading.value {
                Value::Number(n) => (Some(*n), None, None),
                Value::Text(text) => (None, Some(text.as_str()), None),
                Value::Bool(on) => (None, None, Some(*on)),
            };
            columns.devices.push(reading.device.0);
            columns.points.push(&reading.point);
            columns.times.push(reading.at.to_sqlx());
            columns.numbers.push(number);
            columns.words.push(word);
            columns.flags.push(flag);
        }
        columns
    }
}

/// Stores a batch in the history, and the newest of each point as its latest value.
pub(crate) async fn write(pool: &PgPool, batch: &[Reading]) -> Result<(), StoreError> {
    let mut newest: BTreeMap<(DeviceId, &str), &Reading> = BTreeMap::new();
    for reading in batch {
        let entry = newest.entry((reading.device, &reading.point)).or_insert(reading);
        if entry.at <= reading.at {
            *entry = reading;
        }
    }
    let mut tx = pool.begin().await.doing("store readings")?;
    let columns = Columns::of(batch.iter());
    sqlx::query(
        "insert into telemetry (device, point, observed_at, number, word, flag)
         select * from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::float8[], $5::text[], $6::boolean[])",
    )
    .bind(columns.devices)
    .bind(columns.points)
    .bind(columns.times)
    .bind(columns.numbers)
    .bind(columns.words)
    .bind(columns.flags)
    .execute(&mut *tx)
    .await
    .doing("store readings")?;
    let columns = Columns::of(newest.into_values());
    sqlx::query(
        "insert into latest (device, point, observed_at, number, word, flag)
         select * from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::float8[], $5::text[], $6::boolean[])
         on conflict (device, point) do update
         set observed_at = excluded.observed_at, number = excluded.number, word = excluded.word, flag = excluded.flag
         where latest.observed_at <= excluded.observed_at",
    )
    .bind(columns.devices)
    .bind(columns.points)
    .bind(columns.times)
    .bind(columns.numbers)
    .bind(columns.words)
    .bind(columns.flags)
    .execute(&mut *tx)
    .await
    .doing("store readings")?;
    tx.commit().await.doing("store readings")
}

#[derive(sqlx::FromRow)]
struct LatestRow {
    point: String,
    observed_at: jiff_sqlx::Timestamp,
    number: Option<f64>,
    word: Option<String>,
    flag: Option<bool>,
}

impl LatestRow {
    /// The point, its value and when; nothing for a row without a value.
    fn read(self) -> Option<(PointName, Value, Timestamp)> {
        let value = match (self.number, self.word, self.flag) {
            (Some(n), _, _) => Value::Number(n),
            (None, Some(word), _) => Value::Text(word),
            (None, None, Some(on)) => Value::Bool(on),
            (None, None, None) => return None,
        };
        Some((self.point, value, self.observed_at.to_jiff()))
    }
}

/// The newest values of a device.
pub(crate) async fn latest(pool: &PgPool, device: DeviceId) -> Result<Vec<(PointName, Value, Timestamp)>, StoreError> {
    let rows: Vec<LatestRow> =
        sqlx::query_as("select point, observed_at, number, word, flag from latest where device = $1")
            .bind(device.0)
            .fetch_all(pool)
            .await
            .doing("read the latest values")?;
    Ok(rows.into_iter().filter_map(LatestRow::read).collect())
}

/// The newest values of many devices.
pub(crate) async fn latest_of(
    pool: &PgPool,
    devices: &[DeviceId],
) -> Result<Vec<(DeviceId, (PointName, Value, Timestamp))>, StoreError> {
    #[derive(sqlx::FromRow)]
    struct Of {
        device: Uuid,
        #[sqlx(flatten)]
        row: LatestRow,
    }
    let ids: Vec<Uuid> = devices.iter().map(|id| id.0).collect();
    let rows: Vec<Of> = sqlx::query_as(
        "select device, point, observed_at, number, word, flag
         from latest
         where device = any($1)",
    )
    .bind(ids)
    .fetch_all(pool)
    .await
    .doing("read the latest values")?;
    Ok(rows.into_iter().filter_map(|of| Some((DeviceId(of.device), of.row.read()?))).collect())
}

/// Removes old readings.
pub(crate) async fn forget(pool: &PgPool, before: Timestamp) -> Result<(), StoreError> {
    sqlx::query("delete from telemetry where observed_at < $1")
        .bind(before.to_sqlx())
        .execute(pool)
        .await
        .doing("remove old readings")?;
    Ok(())
}
