//! Writing: a batch of readings in one transaction, each batch once. The history first; then, last because two writers may want
//! the same rows, the latest values.

use crate::copy::{Lent, Rows};
use crate::error::{Doing, StoreError};
use crate::telemetry::queue::{Kept, Row, Stored};
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{Connection, PgConnection, PgPool};
use std::sync::Arc;
use uuid::Uuid;

/// What a batch is for.
#[derive(Clone, Copy, Debug)]
pub(in crate::telemetry) struct Kind {
    /// The history is a hypertable of TimescaleDB.
    pub hypertable: bool,
    /// The latest values are written too.
    pub latest: bool,
}

/// A larger batch is copied, which takes two more words with the server; a smaller one is inserted.
const COPIED: usize = 256;
/// The columns as [`Columns::fill`] writes them.
const COPY: &str = "copy telemetry (observed_at, number, series, segment, flag, word) from stdin (format binary)";

/// A batch as columns, kept from batch to batch so that nothing is allocated anew.
#[derive(Default)]
pub(in crate::telemetry) struct Columns {
    /// The history, either to be copied or to be inserted.
    copied: Rows,
    inserted: Inserted,
    newest: Newest,
    late: Vec<(i32, i64)>,
    late_series: Vec<i32>,
    late_minutes: Vec<jiff_sqlx::Timestamp>,
}

/// The history of a small batch, or of a hypertable.
#[derive(Default)]
struct Inserted {
    times: Vec<jiff_sqlx::Timestamp>,
    numbers: Vec<Option<f64>>,
    series: Vec<i32>,
    segments: Vec<i16>,
    flags: Vec<Option<bool>>,
    words: Vec<Option<Arc<str>>>,
}

impl Inserted {
    fn clear(&mut self) {
        self.times.clear();
        self.numbers.clear();
        self.series.clear();
        self.segments.clear();
        self.flags.clear();
        self.words.clear();
    }
}

/// What was read, as number, flag and word.
fn apart(value: &Kept) -> (Option<f64>, Option<bool>, Option<&Arc<str>>) {
    match value {
        Kept::Number(number) => (Some(*number), None, None),
        Kept::Flag(on) => (None, Some(*on), None),
        Kept::Word(word) => (None, None, Some(word)),
    }
}

/// The newest row of each series in the batch.
#[derive(Default)]
struct Newest {
    /// By series as numbered here: in which batch it was seen last, and which row was the newest.
    seen: Vec<(u64, u32)>,
    batch: u64,
    /// Series in the database, which row.
    order: Vec<(i32, u32)>,
    series: Vec<i32>,
    times: Vec<jiff_sqlx::Timestamp>,
    numbers: Vec<Option<f64>>,
    flags: Vec<Option<bool>>,
    words: Vec<Option<Arc<str>>>,
}

impl Newest {
    fn clear(&mut self) {
        self.batch += 1;
        self.order.clear();
        self.series.clear();
        self.times.clear();
        self.numbers.clear();
        self.flags.clear();
        self.words.clear();
    }

    fn see(&mut self, index: u32, row: &Row, stored: Stored, rows: &[Row]) {
        let local = row.series as usize;
        if self.seen.len() <= local {
            self.seen.resize(local + 1, (0, 0));
        }
        let (batch, place) = self.seen[local];
        if batch != self.batch {
            self.seen[local] = (self.batch, self.order.len() as u32);
            self.order.push((stored.id, index));
            return;
        }
        let newest = &mut self.order[place as usize].1;
        if rows[*newest as usize].at <= row.at {
            *newest = index;
        }
    }

    /// In the order of their numbers: two writers never wait for each other crosswise.
    fn fill(&mut self, rows: &[Row]) {
        self.order.sort_unstable();
        for (id, index) in &self.order {
            let row = &rows[*index as usize];
            let (number, flag, word) = apart(&row.value);
            self.series.push(*id);
            self.times.push(row.at.to_sqlx());
            self.numbers.push(number);
            self.flags.push(flag);
            self.words.push(word.cloned());
        }
    }
}

impl Columns {
    /// Fills the columns: `rows[..history]` for the history, all of them for the latest values (when `latest`). Rows before
    /// `fresh` may be late. `hypertable`: the history is one of TimescaleDB's.
    pub(in crate::telemetry) fn fill(
        &mut self,
        rows: &[Row],
        history: usize,
        fresh: Timestamp,
        Kind { hypertable, latest }: Kind,
        stored: impl Fn(u32) -> Option<Stored>,
    ) {
        self.clear();
        // Into a hypertable rows are inserted: that its columnstore takes late ones so is tested.
        let copy = history >= COPIED && !hypertable;
        let fresh_minute = fresh.as_second().div_euclid(60);
        for (index, row) in rows.iter().enumerate() {
            let Some(known) = stored(row.series) else { continue };
            if latest {
                self.newest.see(index as u32, row, known, rows);
            }
            if index >= history {
                continue;
            }
            let minute = row.at.as_second().div_euclid(60);
            if minute < fresh_minute {
                self.late.push((known.id, minute));
            }
            let (number, flag, word) = apart(&row.value);
            if copy {
                let row = self.copied.row(6).timestamptz(Some(row.at)).float8(number).int4(known.id);
                row.int2(known.segment).boolean(flag).text(word.map(|word| &**word));
                continue;
            }
            let inserted = &mut self.inserted;
            inserted.times.push(row.at.to_sqlx());
            inserted.numbers.push(number);
            inserted.series.push(known.id);
            inserted.segments.push(known.segment);
            inserted.flags.push(flag);
            inserted.words.push(word.cloned());
        }
        self.newest.fill(rows);
        self.late.sort_unstable();
        self.late.dedup();
        for (series, minute) in &self.late {
            self.late_series.push(*series);
            self.late_minutes.push(Timestamp::from_second(minute * 60).unwrap_or(fresh).to_sqlx());
        }
    }

    fn clear(&mut self) {
        self.copied.clear();
        self.inserted.clear();
        self.newest.clear();
        self.late.clear();
        self.late_series.clear();
        self.late_minutes.clear();
    }
}

/// Writes a batch: the history, the latest values, and which closed minutes it reopens. A batch that is there already (its
/// answer was lost) changes nothing.
pub(in crate::telemetry) async fn batch(
    pool: &PgPool,
    columns: &Columns,
    writer: Uuid,
    number: i64,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    if columns.copied.len() == 0 {
        let mut conn = pool.acquire().await?;
        finish(&mut conn, columns, writer, number, now).await?;
        return Ok(());
    }
    let mut lent = Lent::from(pool).await?;
    let mut tx = lent.conn()?.begin().await?;
    columns.copied.copy(&mut tx, COPY).await?;
    if finish(&mut tx, columns, writer, number, now).await? {
        tx.commit().await?
    } else {
        tx.rollback().await?
    }
    lent.give_back();
    Ok(())
}

/// Writes all of a batch that is not copied; says whether it was not there yet.
async fn finish(
    conn: &mut PgConnection,
    columns: &Columns,
    writer: Uuid,
    number: i64,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let words = |kept: &[Option<Arc<str>>]| -> Vec<Option<String>> {
        kept.iter().map(|word| word.as_deref().map(str::to_owned)).collect()
    };
    let (newest, inserted) = (&columns.newest, &columns.inserted);
    sqlx::query_scalar(
        "with first_time as (
           insert into telemetry_writer (writer, batch, at)
           values ($1, $2, $3)
           on conflict (writer) do update
           set batch = excluded.batch, at = excluded.at
           where telemetry_writer.batch < excluded.batch
           returning true
         ), history as (
           insert into telemetry (observed_at, number, series, segment, flag, word)
           select * from unnest($4::timestamptz[], $5::float8[], $6::integer[], $7::smallint[], $8::boolean[], $9::text[])
           where exists (select from first_time)
         ), closing as (
           select until from telemetry_rolled where step = 'closing' for share
         ), late as (
           insert into telemetry_late (series, minute)
           select late.series, late.minute
           from unnest($10::integer[], $11::timestamptz[]) as late (series, minute)
           cross join closing
           where late.minute < closing.until and exists (select from first_time)
           on conflict do nothing
         ), newest as (
           insert into latest_value (series, observed_at, number, flag, word)
           select * from unnest($12::integer[], $13::timestamptz[], $14::float8[], $15::boolean[], $16::text[])
           where exists (select from first_time)
           on conflict (series) do update
           set observed_at = excluded.observed_at, number = excluded.number, flag = excluded.flag, word = excluded.word
           where latest_value.observed_at <= excluded.observed_at
         )
         select exists (select from first_time)",
    )
    .bind(writer)
    .bind(number)
    .bind(now.to_sqlx())
    .bind(&inserted.times[..])
    .bind(&inserted.numbers[..])
    .bind(&inserted.series[..])
    .bind(&inserted.segments[..])
    .bind(&inserted.flags[..])
    .bind(words(&inserted.words))
    .bind(&columns.late_series[..])
    .bind(&columns.late_minutes[..])
    .bind(&newest.series[..])
    .bind(&newest.times[..])
    .bind(&newest.numbers[..])
    .bind(&newest.flags[..])
    .bind(words(&newest.words))
    .fetch_one(conn)
    .await
}

/// The numbers of series, made where they are new; in the order asked.
pub(in crate::telemetry) async fn series(
    pool: &PgPool,
    wanted: &[(u32, DeviceId, Arc<str>)],
) -> Result<Vec<Stored>, sqlx::Error> {
    let devices: Vec<Uuid> = wanted.iter().map(|(_, device, _)| device.0).collect();
    let points: Vec<String> = wanted.iter().map(|(_, _, point)| point.as_ref().to_owned()).collect();
    sqlx::query(
        "insert into series (device, point, segment)
         select distinct wanted.device, wanted.point, hashtext(wanted.point) & 511
         from unnest($1::uuid[], $2::text[]) as wanted (device, point)
         where not exists (select from series where device = wanted.device and point = wanted.point)
         order by 1, 2
         on conflict (device, point) do nothing",
    )
    .bind(&devices[..])
    .bind(&points[..])
    .execute(pool)
    .await?;
    let rows: Vec<(i32, i16)> = sqlx::query_as(
        "select series.id, series.segment
         from unnest($1::uuid[], $2::text[]) with ordinality as wanted (device, point, place)
         join series using (device, point)
         order by wanted.place",
    )
    .bind(&devices[..])
    .bind(&points[..])
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(id, segment)| Stored { id, segment }).collect())
}

/// Forgets writers of earlier starts.
pub(in crate::telemetry) async fn forget_writers(pool: &PgPool, before: Timestamp) -> Result<(), StoreError> {
    sqlx::query("delete from telemetry_writer where at < $1")
        .bind(before.to_sqlx())
        .execute(pool)
        .await
        .doing("forget earlier writers")?;
    Ok(())
}
