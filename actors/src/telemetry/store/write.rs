//! Writing: a batch of readings in one statement, each batch once.

use crate::error::{Doing, StoreError};
use crate::telemetry::queue::{Kept, Row, Stored};
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use std::sync::Arc;
use uuid::Uuid;

/// A batch as columns, kept from batch to batch so that nothing is allocated anew.
#[derive(Default)]
pub(in crate::telemetry) struct Columns {
    times: Vec<jiff_sqlx::Timestamp>,
    numbers: Vec<f64>,
    series: Vec<i32>,
    segments: Vec<i16>,
    states: States,
    newest: Newest,
    late: Vec<(i32, i64)>,
    late_series: Vec<i32>,
    late_minutes: Vec<jiff_sqlx::Timestamp>,
}

#[derive(Default)]
struct States {
    times: Vec<jiff_sqlx::Timestamp>,
    series: Vec<i32>,
    segments: Vec<i16>,
    flags: Vec<Option<bool>>,
    words: Vec<Option<Arc<str>>>,
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
            let (number, flag, word) = match &row.value {
                Kept::Number(number) => (Some(*number), None, None),
                Kept::Flag(on) => (None, Some(*on), None),
                Kept::Word(word) => (None, None, Some(word.clone())),
            };
            self.series.push(*id);
            self.times.push(row.at.to_sqlx());
            self.numbers.push(number);
            self.flags.push(flag);
            self.words.push(word);
        }
    }
}

impl Columns {
    /// Fills the columns: `rows[..history]` for the history, all of them for the latest values (when `latest`). Rows before
    /// `fresh` may be late.
    pub(in crate::telemetry) fn fill(
        &mut self,
        rows: &[Row],
        history: usize,
        fresh: Timestamp,
        latest: bool,
        stored: impl Fn(u32) -> Option<Stored>,
    ) {
        self.clear();
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
            match &row.value {
                Kept::Number(number) => {
                    self.times.push(row.at.to_sqlx());
                    self.numbers.push(*number);
                    self.series.push(known.id);
                    self.segments.push(known.segment);
                }
                Kept::Flag(_) | Kept::Word(_) => {
                    let (flag, word) = match &row.value {
                        Kept::Word(word) => (None, Some(word.clone())),
                        Kept::Flag(on) => (Some(*on), None),
                        Kept::Number(_) => (None, None),
                    };
                    self.states.times.push(row.at.to_sqlx());
                    self.states.series.push(known.id);
                    self.states.segments.push(known.segment);
                    self.states.flags.push(flag);
                    self.states.words.push(word);
                }
            }
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
        self.times.clear();
        self.numbers.clear();
        self.series.clear();
        self.segments.clear();
        self.states.times.clear();
        self.states.series.clear();
        self.states.segments.clear();
        self.states.flags.clear();
        self.states.words.clear();
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
    let words = |kept: &[Option<Arc<str>>]| -> Vec<Option<String>> {
        kept.iter().map(|word| word.as_deref().map(str::to_owned)).collect()
    };
    let (states, newest) = (&columns.states, &columns.newest);
    sqlx::query(
        "with first_time as (
           insert into telemetry_writer (writer, batch, at)
           values ($1, $2, $3)
           on conflict (writer) do update
           set batch = excluded.batch, at = excluded.at
           where telemetry_writer.batch < excluded.batch
           returning true
         ), numbers as (
           insert into telemetry (observed_at, number, series, segment)
           select * from unnest($4::timestamptz[], $5::float8[], $6::integer[], $7::smallint[])
           where exists (select from first_time)
         ), states as (
           insert into telemetry (observed_at, series, segment, flag, word)
           select * from unnest($8::timestamptz[], $9::integer[], $10::smallint[], $11::boolean[], $12::text[])
           where exists (select from first_time)
         ), closing as (
           select until from telemetry_rolled where step = 'closing' for share
         ), late as (
           insert into telemetry_late (series, minute)
           select late.series, late.minute
           from unnest($13::integer[], $14::timestamptz[]) as late (series, minute)
           cross join closing
           where late.minute < closing.until and exists (select from first_time)
           on conflict do nothing
         )
         insert into latest_value (series, observed_at, number, flag, word)
         select * from unnest($15::integer[], $16::timestamptz[], $17::float8[], $18::boolean[], $19::text[])
         where exists (select from first_time)
         on conflict (series) do update
         set observed_at = excluded.observed_at, number = excluded.number, flag = excluded.flag, word = excluded.word
         where latest_value.observed_at <= excluded.observed_at",
    )
    .bind(writer)
    .bind(number)
    .bind(now.to_sqlx())
    .bind(&columns.times[..])
    .bind(&columns.numbers[..])
    .bind(&columns.series[..])
    .bind(&columns.segments[..])
    .bind(&states.times[..])
    .bind(&states.series[..])
    .bind(&states.segments[..])
    .bind(&states.flags[..])
    .bind(words(&states.words))
    .bind(&columns.late_series[..])
    .bind(&columns.late_minutes[..])
    .bind(&newest.series[..])
    .bind(&newest.times[..])
    .bind(&newest.numbers[..])
    .bind(&newest.flags[..])
    .bind(words(&newest.words))
    .execute(pool)
    .await?;
    Ok(())
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
