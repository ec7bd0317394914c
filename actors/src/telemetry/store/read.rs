//! Reading the history: the same views on every branch, by the number of the series.

use crate::error::{Doing, StoreError};
use crate::telemetry::plan::{Bucket, Resolution, StateRow};
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::DeviceId;
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;

/// Changes of state in one chart: more is a line too thick to read.
pub(in crate::telemetry) const MOST_CHANGES: i64 = 5_000;

/// A series, its segment, its newest value.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::telemetry) struct Known {
    pub series: i32,
    pub segment: i16,
    pub newest: Option<(Value, Timestamp)>,
}

#[derive(sqlx::FromRow)]
struct KnownRow {
    id: i32,
    segment: i16,
    observed_at: Option<jiff_sqlx::Timestamp>,
    number: Option<f64>,
    word: Option<String>,
    flag: Option<bool>,
}

/// The series of a point, when it was ever read.
pub(in crate::telemetry) async fn known(
    pool: &PgPool,
    device: DeviceId,
    point: &str,
) -> Result<Option<Known>, StoreError> {
    let row: Option<KnownRow> = sqlx::query_as(
        "select s.id, s.segment, l.observed_at, l.number, l.word, l.flag
         from series s
         left join latest_value l on l.series = s.id
         where s.device = $1 and s.point = $2",
    )
    .bind(device.0)
    .bind(point)
    .fetch_optional(pool)
    .await
    .doing("read a point's series")?;
    Ok(row.map(|row| {
        let newest = super::value(row.number, row.word, row.flag).zip(row.observed_at.map(|at| at.to_jiff()));
        Known { series: row.id, segment: row.segment, newest }
    }))
}

/// The points of a device that were ever read.
pub(in crate::telemetry) async fn points(pool: &PgPool, device: DeviceId) -> Result<Vec<String>, StoreError> {
    sqlx::query_scalar("select point from series where device = $1 order by point")
        .bind(device.0)
        .fetch_all(pool)
        .await
        .doing("list a device's points")
}

#[derive(sqlx::FromRow)]
struct BucketRow {
    at: jiff_sqlx::Timestamp,
    min: Option<f64>,
    max: Option<f64>,
    sum: Option<f64>,
    last: Option<f64>,
    count: i64,
}

macro_rules! buckets_of {
    ($view:literal) => {
        concat!(
            "select date_bin(make_interval(secs => $4), bucket, timestamptz 'epoch') as at,
                    min(min) as min, max(max) as max, sum(sum) as sum,
                    (max(array[extract(epoch from bucket)::float8, last]))[2] as last,
                    sum(count)::bigint as count
             from ",
            $view,
            "
             where series = $1 and bucket >= $2 and bucket < $3 and sum is not null and $5::smallint is not null
             group by 1
             order by 1"
        )
    };
}

/// Numbers in buckets of `step_s`, those with readings, in the order of time.
pub(in crate::telemetry) async fn buckets(
    pool: &PgPool,
    known: &Known,
    resolution: Resolution,
    (from, to): (Timestamp, Timestamp),
    step_s: i64,
) -> Result<Vec<Bucket>, StoreError> {
    let sql = match resolution {
        Resolution::Raw => {
            "select date_bin(make_interval(secs => $4), observed_at, timestamptz 'epoch') as at,
                    min(number) as min, max(number) as max, sum(number) as sum,
                    (max(array[extract(epoch from observed_at)::float8, number]))[2] as last,
                    count(*) as count
             from telemetry
             where series = $1 and observed_at >= $2 and observed_at < $3 and segment = $5 and number is not null
             group by 1
             order by 1"
        }
        Resolution::Minute => buckets_of!("every_minute"),
        Resolution::Hour => buckets_of!("every_hour"),
        Resolution::Day => buckets_of!("every_day"),
    };
    let rows: Vec<BucketRow> = sqlx::query_as(sql)
        .bind(known.series)
        .bind(from.to_sqlx())
        .bind(to.to_sqlx())
        .bind(step_s as f64)
        .bind(known.segment)
        .fetch_all(pool)
        .await
        .doing("read a chart")?;
    Ok(rows
        .into_iter()
        .map(|row| Bucket {
            at: row.at.to_jiff(),
            min: row.min,
            avg: row.sum.map(|sum| sum / row.count.max(1) as f64),
            max: row.max,
            last: row.last,
            count: row.count,
        })
        .collect())
}

#[derive(sqlx::FromRow)]
struct ChangeRow {
    at: jiff_sqlx::Timestamp,
    word: Option<String>,
    flag: Option<bool>,
    mixed: bool,
}

macro_rules! changes_of {
    ($view:literal) => {
        concat!(
            "select bucket as at, word, flag, mixed
             from (select bucket, word, flag, mixed, lag(row(word, flag, mixed)::text) over (order by bucket) as before
                   from ", $view, "
                   where series = $1 and bucket >= $2 and bucket < $3 and $5::smallint is not null) rows
             where before is distinct from row(word, flag, mixed)::text
             order by bucket
             limit $4"
        )
    };
}

/// Changes of state in the order of time, at most [`MOST_CHANGES`] and one.
pub(in crate::telemetry) async fn changes(
    pool: &PgPool,
    known: &Known,
    resolution: Resolution,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<StateRow>, StoreError> {
    let sql = match resolution {
        Resolution::Raw => {
            "select observed_at as at, word, flag, false as mixed
             from (select observed_at, word, flag, lag(row(word, flag)::text) over (order by observed_at) as before
                   from telemetry
                   where series = $1 and observed_at >= $2 and observed_at < $3 and segment = $5) rows
             where before is distinct from row(word, flag)::text
             order by observed_at
             limit $4"
        }
        Resolution::Minute => changes_of!("every_minute"),
        Resolution::Hour => changes_of!("every_hour"),
        Resolution::Day => changes_of!("every_day"),
    };
    let rows: Vec<ChangeRow> = sqlx::query_as(sql)
        .bind(known.series)
        .bind(from.to_sqlx())
        .bind(to.to_sqlx())
        .bind(MOST_CHANGES + 1)
        .bind(known.segment)
        .fetch_all(pool)
        .await
        .doing("read a chart of states")?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.at.to_jiff(), super::value(None, row.word, row.flag)?, row.mixed)))
        .collect())
}

/// The state that held at a moment: of the day before it, else the newest of all when that is older.
pub(in crate::telemetry) async fn state_at(
    pool: &PgPool,
    known: &Known,
    at: Timestamp,
) -> Result<Option<Value>, StoreError> {
    if let Some((value, newest)) = &known.newest
        && *newest <= at
    {
        return Ok(Some(value.clone()));
    }
    let row: Option<(Option<String>, Option<bool>)> = sqlx::query_as(
        "select word, flag
         from every_minute
         where series = $1 and bucket >= $2 and bucket < $3
         order by bucket desc
         limit 1",
    )
    .bind(known.series)
    .bind(at.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(at).to_sqlx())
    .bind(at.to_sqlx())
    .fetch_optional(pool)
    .await
    .doing("read a state")?;
    Ok(row.and_then(|(word, flag)| super::value(None, word, flag)))
}
