//! Keeping the history: partitions made ahead, rollups brought up to date, what is too old dropped.

use crate::error::{Doing, StoreError};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;

const DOING: &str = "keep the history of readings";

/// A table of the history that has partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::telemetry) enum Table {
    /// Readings, a partition a day.
    Raw,
    /// Minutes, a partition a month.
    Minute,
    /// Hours, a partition a year.
    Hour,
}

impl Table {
    pub(in crate::telemetry) const ALL: [Table; 3] = [Table::Raw, Table::Minute, Table::Hour];

    /// Its name, its time column, the word of its partitions' span.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Table::Raw => ("telemetry", "observed_at", "day"),
            Table::Minute => ("telemetry_1min", "bucket", "month"),
            Table::Hour => ("telemetry_1h", "bucket", "year"),
        }
    }
}

/// Makes the partitions of now and of `ahead` spans more, and those that rows in the default partition ask for (not before
/// `from`: what is older goes soon).
pub(in crate::telemetry) async fn make_partitions(
    pool: &PgPool,
    table: Table,
    now: Timestamp,
    ahead: i32,
    from: Timestamp,
) -> Result<(), StoreError> {
    let (name, column, span) = table.names();
    let waiting = match table {
        Table::Raw => {
            "select distinct date_trunc('day', observed_at, 'utc') from telemetry_rest
             where observed_at >= $1 and observed_at < $2"
        }
        Table::Minute => {
            "select distinct date_trunc('month', bucket, 'utc') from telemetry_1min_rest where bucket >= $1 and bucket < $2"
        }
        Table::Hour => {
            "select distinct date_trunc('year', bucket, 'utc') from telemetry_1h_rest where bucket >= $1 and bucket < $2"
        }
    };
    let mut beginnings: Vec<jiff_sqlx::Timestamp> = sqlx::query_scalar(
        "select date_trunc($1, $2, 'utc') + n * ('1 ' || $1)::interval from generate_series(0, $3) n",
    )
    .bind(span)
    .bind(now.to_sqlx())
    .bind(ahead)
    .fetch_all(pool)
    .await
    .doing(DOING)?;
    let waiting: Vec<jiff_sqlx::Timestamp> =
        sqlx::query_scalar(waiting).bind(from.to_sqlx()).bind(now.to_sqlx()).fetch_all(pool).await.doing(DOING)?;
    beginnings.extend(waiting);
    for beginning in beginnings {
        sqlx::query("select make_partition($1, $2, $3, $3 + ('1 ' || $4)::interval)")
            .bind(name)
            .bind(column)
            .bind(beginning)
            .bind(span)
            .execute(pool)
            .await
            .doing(DOING)?;
    }
    Ok(())
}

/// Drops the partitions that end by `before`, and older rows of the default one; of raw readings only what is rolled up.
pub(in crate::telemetry) async fn drop_old(pool: &PgPool, table: Table, before: Timestamp) -> Result<i32, StoreError> {
    let (name, column, span) = table.names();
    let dropped: i32 = sqlx::query_scalar(
        "select drop_partitions($1, $2, ('1 ' || $3)::interval,
                                least($4, (select until from telemetry_rolled where step = '1min')))",
    )
    .bind(name)
    .bind(column)
    .bind(span)
    .bind(before.to_sqlx())
    .fetch_one(pool)
    .await
    .doing(DOING)?;
    if table == Table::Raw {
        raw_from(pool, before).await?;
    }
    Ok(dropped)
}

async fn raw_from(pool: &PgPool, before: Timestamp) -> Result<(), StoreError> {
    sqlx::query("update telemetry_store set raw_from = greatest(raw_from, date_trunc('day', $1, 'utc'))")
        .bind(before.to_sqlx())
        .execute(pool)
        .await
        .doing(DOING)?;
    Ok(())
}

/// Promises that everything before `until` is closed: writers that commit later enter what they add before it as late.
pub(in crate::telemetry) async fn close(pool: &PgPool, until: Timestamp) -> Result<(), StoreError> {
    sqlx::query("update telemetry_rolled set until = $1 where step = 'closing' and until < $1")
        .bind(until.to_sqlx())
        .execute(pool)
        .await
        .doing(DOING)?;
    Ok(())
}

/// Where a step stands; nothing when it never ran.
pub(in crate::telemetry) async fn rolled_until(pool: &PgPool, step: &str) -> Result<Option<Timestamp>, StoreError> {
    let until: Option<jiff_sqlx::Timestamp> =
        sqlx::query_scalar("select case when isfinite(until) then until end from telemetry_rolled where step = $1")
            .bind(step)
            .fetch_one(pool)
            .await
            .doing(DOING)?;
    Ok(until.map(jiff_sqlx::Timestamp::to_jiff))
}

/// The oldest raw reading not before `from`.
pub(in crate::telemetry) async fn oldest(pool: &PgPool, from: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let oldest: Option<jiff_sqlx::Timestamp> =
        sqlx::query_scalar("select min(observed_at) from telemetry where observed_at >= $1")
            .bind(from.to_sqlx())
            .fetch_one(pool)
            .await
            .doing(DOING)?;
    Ok(oldest.map(jiff_sqlx::Timestamp::to_jiff))
}

macro_rules! upsert {
    ($table:literal, $source:literal) => {
        concat!(
            "insert into ", $table, " as kept (series, bucket, count, min, max, sum, first, last, flag, word, mixed)
             select f.series, f.bucket, f.count, f.min, f.max, f.sum, f.first, f.last, f.flag, f.word, f.mixed
             from ", $source, "
             on conflict (series, bucket) do update
             set count = excluded.count, min = excluded.min, max = excluded.max, sum = excluded.sum, first = excluded.first,
                 last = excluded.last, flag = excluded.flag, word = excluded.word, mixed = excluded.mixed"
        )
    };
}

/// Rolls up the minutes of a stretch and moves the watermark to its end, in one transaction. Gives the readings it is made of.
pub(in crate::telemetry) async fn minutes(pool: &PgPool, from: Timestamp, until: Timestamp) -> Result<f64, StoreError> {
    let mut tx = pool.begin().await.doing(DOING)?;
    let rows: f64 = sqlx::query_scalar(concat!(
        "with rolled as (",
        upsert!("telemetry_1min", "minutes_of($1, $2) f"),
        " returning kept.count) select coalesce(sum(count), 0)::float8 from rolled"
    ))
    .bind(from.to_sqlx())
    .bind(until.to_sqlx())
    .fetch_one(&mut *tx)
    .await
    .doing(DOING)?;
    sqlx::query("update telemetry_rolled set until = $1 where step = '1min' and until < $1")
        .bind(until.to_sqlx())
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
    tx.commit().await.doing(DOING)?;
    Ok(rows)
}

/// Computes up to `most` reopened minutes again, with the hours and days they are in. Gives how many there were.
pub(in crate::telemetry) async fn late(pool: &PgPool, most: i64) -> Result<u64, StoreError> {
    let mut tx = pool.begin().await.doing(DOING)?;
    sqlx::query(
        "create temporary table if not exists reopened (series integer, minute timestamptz) on commit delete rows",
    )
    .execute(&mut *tx)
    .await
    .doing(DOING)?;
    let reopened = sqlx::query(
        "with gone as (
           delete from telemetry_late
           where (series, minute) in (select series, minute from telemetry_late limit $1)
           returning series, minute
         )
         insert into reopened select series, minute from gone",
    )
    .bind(most)
    .execute(&mut *tx)
    .await
    .doing(DOING)?
    .rows_affected();
    if reopened == 0 {
        return tx.rollback().await.doing(DOING).map(|()| 0);
    }
    for sql in [
        // Of what is no longer there whole, nothing can be computed again.
        "delete from reopened where minute < (select raw_from from telemetry_store)",
        upsert!(
            "telemetry_1min",
            "reopened l cross join lateral minutes_of(l.minute, l.minute + interval '1 minute') f where f.series = l.series"
        ),
        upsert!(
            "telemetry_1h",
            "(select distinct series, date_trunc('hour', minute, 'utc') as bucket from reopened) l
             cross join lateral hours_of(l.bucket, l.bucket + interval '1 hour') f
             where f.series = l.series and l.bucket < (select until from telemetry_rolled where step = '1h')"
        ),
        upsert!(
            "telemetry_1d",
            "(select distinct series, date_trunc('day', minute, 'utc') as bucket from reopened) l
             cross join lateral days_of(l.bucket, l.bucket + interval '1 day') f
             where f.series = l.series and l.bucket < (select until from telemetry_rolled where step = '1d')"
        ),
    ] {
        sqlx::query(sql).execute(&mut *tx).await.doing(DOING)?;
    }
    tx.commit().await.doing(DOING)?;
    Ok(reopened)
}

/// Rolls up the whole hours and days that the minutes have passed.
pub(in crate::telemetry) async fn hours_and_days(pool: &PgPool) -> Result<(), StoreError> {
    let mut tx = pool.begin().await.doing(DOING)?;
    for sql in [
        upsert!(
            "telemetry_1h",
            "telemetry_rolled done
             join telemetry_rolled finer on finer.step = '1min'
             cross join lateral hours_of(done.until, date_trunc('hour', finer.until, 'utc')) f
             where done.step = '1h' and done.until < date_trunc('hour', finer.until, 'utc')"
        ),
        "update telemetry_rolled
         set until = date_trunc('hour', (select until from telemetry_rolled where step = '1min'), 'utc')
         where step = '1h'",
        upsert!(
            "telemetry_1d",
            "telemetry_rolled done
             join telemetry_rolled finer on finer.step = '1h'
             cross join lateral days_of(done.until, date_trunc('day', finer.until, 'utc')) f
             where done.step = '1d' and done.until < date_trunc('day', finer.until, 'utc')"
        ),
        "update telemetry_rolled
         set until = date_trunc('day', (select until from telemetry_rolled where step = '1h'), 'utc')
         where step = '1d'",
    ] {
        sqlx::query(sql).execute(&mut *tx).await.doing(DOING)?;
    }
    tx.commit().await.doing(DOING)
}

/// Remembers how many readings come in a minute.
pub(in crate::telemetry) async fn set_rate(pool: &PgPool, rows_per_minute: f64) -> Result<(), StoreError> {
    sqlx::query("update telemetry_store set rows_per_minute = $1")
        .bind(rows_per_minute)
        .execute(pool)
        .await
        .doing(DOING)?;
    Ok(())
}

/// Drops chunks of the hypertable, where no policy does.
pub(in crate::telemetry) async fn drop_chunks(pool: &PgPool, before: Timestamp) -> Result<(), StoreError> {
    sqlx::query("select drop_chunks('telemetry', older_than => least($1, (select until from telemetry_rolled where step = '1min')))")
        .bind(before.to_sqlx())
        .execute(pool)
        .await
        .doing(DOING)?;
    raw_from(pool, before).await
}

/// Sets the policies of TimescaleDB to what the configuration says.
pub(in crate::telemetry) async fn set_policies(
    pool: &PgPool,
    raw_days: i32,
    minute_days: i32,
    hour_days: i32,
) -> Result<(), StoreError> {
    sqlx::query("select set_telemetry_policies($1, $2, $3)")
        .bind(raw_days)
        .bind(minute_days)
        .bind(hour_days)
        .execute(pool)
        .await
        .doing(DOING)?;
    Ok(())
}

/// Brings what was there before the continuous aggregates into them, once.
pub(in crate::telemetry) async fn fill_aggregates(pool: &PgPool) -> Result<(), StoreError> {
    // Each refresh is several transactions of its own: it cannot be part of one.
    for sql in [
        "call refresh_continuous_aggregate('every_minute', null, null)",
        "call refresh_continuous_aggregate('every_hour', null, null)",
        "call refresh_continuous_aggregate('every_day', null, null)",
        "update telemetry_store set filled = true",
    ] {
        sqlx::query(sql).execute(pool).await.doing(DOING)?;
    }
    Ok(())
}
