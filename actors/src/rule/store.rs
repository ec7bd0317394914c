//! Rules that operators wrote, their versions, and the history that a dry run reads.

use super::{RuleRow, VersionView};
use crate::error::{Doing, StoreError};
use crate::event::EventRow;
use gatehouse_core::device::telemetry::{PointName, Value};
use gatehouse_core::event::Event;
use gatehouse_core::id::{DeviceId, RuleId};
use gatehouse_core::rule::operator::Definition;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use std::collections::BTreeMap;
use uuid::Uuid;

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    text: String,
    enabled: bool,
    version: i32,
    by: String,
    at: jiff_sqlx::Timestamp,
    deleted: bool,
}

impl From<Row> for RuleRow {
    fn from(row: Row) -> Self {
        Self {
            id: RuleId(row.id),
            name: row.name,
            text: row.text,
            enabled: row.enabled,
            version: row.version,
            by: row.by,
            at: row.at.to_jiff(),
            deleted: row.deleted,
        }
    }
}

/// All rules that are not deleted, by name.
pub(crate) async fn list(pool: &PgPool) -> Result<Vec<RuleRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, name, text, enabled, version, by, at, deleted_at is not null as deleted
         from rule
         where deleted_at is null
         order by name, id",
    )
    .fetch_all(pool)
    .await
    .doing("read rules")?;
    Ok(rows.into_iter().map(RuleRow::from).collect())
}

/// One rule, deleted or not.
pub(crate) async fn get(pool: &PgPool, id: RuleId) -> Result<Option<RuleRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select id, name, text, enabled, version, by, at, deleted_at is not null as deleted
         from rule
         where id = $1",
    )
    .bind(id.0)
    .fetch_optional(pool)
    .await
    .doing("read a rule")?;
    Ok(row.map(RuleRow::from))
}

/// The rules that are to run.
pub(crate) async fn running(pool: &PgPool) -> Result<Vec<Definition>, StoreError> {
    let rows = list(pool).await?.into_iter().filter(|row| row.enabled);
    Ok(rows.map(|row| Definition { id: row.id, name: row.name, text: row.text, version: row.version }).collect())
}

/// Stores a rule that is new.
pub(crate) async fn create(pool: &PgPool, row: &RuleRow) -> Result<(), StoreError> {
    const DOING: &str = "store a rule";
    let mut tx = pool.begin().await.doing(DOING)?;
    sqlx::query(
        "insert into rule (id, name, text, enabled, version, by, at)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(row.id.0)
    .bind(&row.name)
    .bind(&row.text)
    .bind(row.enabled)
    .bind(row.version)
    .bind(&row.by)
    .bind(row.at.to_sqlx())
    .execute(&mut *tx)
    .await
    .doing(DOING)?;
    keep(&mut tx, row, "created").await.doing(DOING)?;
    tx.commit().await.doing(DOING)
}

/// Stores the next version of a rule; false when the one before it is not the newest any more.
pub(crate) async fn change(pool: &PgPool, row: &RuleRow, what: &str) -> Result<bool, StoreError> {
    const DOING: &str = "store a rule";
    let mut tx = pool.begin().await.doing(DOING)?;
    let done = sqlx::query(
        "update rule
         set name = $2, text = $3, enabled = $4, version = $5, by = $6, at = $7,
             deleted_at = case when $8 then $7 end
         where id = $1 and version = $5 - 1",
    )
    .bind(row.id.0)
    .bind(&row.name)
    .bind(&row.text)
    .bind(row.enabled)
    .bind(row.version)
    .bind(&row.by)
    .bind(row.at.to_sqlx())
    .bind(row.deleted)
    .execute(&mut *tx)
    .await
    .doing(DOING)?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    keep(&mut tx, row, what).await.doing(DOING)?;
    tx.commit().await.doing(DOING)?;
    Ok(true)
}

async fn keep(conn: &mut PgConnection, row: &RuleRow, what: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into rule_version (rule, version, name, text, enabled, what, by, at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(row.id.0)
    .bind(row.version)
    .bind(&row.name)
    .bind(&row.text)
    .bind(row.enabled)
    .bind(what)
    .bind(&row.by)
    .bind(row.at.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}

/// The versions of a rule, newest first.
pub(crate) async fn versions(pool: &PgPool, id: RuleId) -> Result<Vec<VersionView>, StoreError> {
    type Version = (i32, String, String, bool, String, String, jiff_sqlx::Timestamp);
    let rows: Vec<Version> = sqlx::query_as(
        "select version, name, text, enabled, what, by, at
         from rule_version
         where rule = $1
         order by version desc
         limit 200",
    )
    .bind(id.0)
    .fetch_all(pool)
    .await
    .doing("read a rule's versions")?;
    let view = |(version, name, text, enabled, what, by, at): Version| VersionView {
        version,
        name,
        text,
        enabled,
        what,
        by,
        at: at.to_jiff(),
    };
    Ok(rows.into_iter().map(view).collect())
}

/// How often each rule came on since a moment, and when it did last.
pub(crate) async fn fired(pool: &PgPool, since: Timestamp) -> Result<BTreeMap<RuleId, (i64, Timestamp)>, StoreError> {
    let rows: Vec<(String, i64, jiff_sqlx::Timestamp)> = sqlx::query_as(
        "select body->>'rule', count(*) filter (where received_at >= $1), max(received_at)
         from event_log
         where code = 'rule.fired' and body->>'active' = 'true'
         group by 1",
    )
    .bind(since.to_sqlx())
    .fetch_all(pool)
    .await
    .doing("count firings")?;
    Ok(rows.into_iter().filter_map(|(id, count, last)| Some((id.parse().ok()?, (count, last.to_jiff())))).collect())
}

#[derive(sqlx::FromRow)]
struct ReadingRow {
    device: Uuid,
    point: String,
    observed_at: jiff_sqlx::Timestamp,
    number: Option<f64>,
    word: Option<String>,
    flag: Option<bool>,
}

/// One recorded value.
pub(crate) type Recorded = (Timestamp, DeviceId, PointName, Value);

/// What devices reported within a time, in order; of the named points, or of all.
pub(crate) async fn readings(
    pool: &PgPool,
    devices: &[Uuid],
    points: Option<&[String]>,
    (from, to): (Timestamp, Timestamp),
    limit: i64,
) -> Result<Vec<Recorded>, StoreError> {
    let rows: Vec<ReadingRow> = sqlx::query_as(
        "select device, point, observed_at, number, word, flag
         from reading
         where device = any($1)
           and ($2::text[] is null or point = any($2))
           and observed_at >= $3
           and observed_at < $4
         order by observed_at
         limit $5",
    )
    .bind(devices)
    .bind(points)
    .bind(from.to_sqlx())
    .bind(to.to_sqlx())
    .bind(limit)
    .fetch_all(pool)
    .await
    .doing("read the history")?;
    let value = |row: ReadingRow| {
        let value = match (row.number, row.word, row.flag) {
            (Some(n), _, _) => Value::Number(n),
            (None, Some(word), _) => Value::Text(word),
            (None, None, Some(on)) => Value::Bool(on),
            (None, None, None) => return None,
        };
        Some((row.observed_at.to_jiff(), DeviceId(row.device), row.point, value))
    };
    Ok(rows.into_iter().filter_map(value).collect())
}

/// Events of some codes within a time, in order.
pub(crate) async fn events(
    pool: &PgPool,
    codes: &[&str],
    (from, to): (Timestamp, Timestamp),
    limit: i64,
) -> Result<Vec<Event>, StoreError> {
    let rows: Vec<EventRow> = sqlx::query_as(
        "select seq, id, received_at, observed_at, device, place, cause, by, code, body
         from event_log
         where shown
           and code = any($1)
           and received_at >= $2
           and received_at < $3
         order by seq
         limit $4",
    )
    .bind(codes)
    .bind(from.to_sqlx())
    .bind(to.to_sqlx())
    .bind(limit)
    .fetch_all(pool)
    .await
    .doing("read the event log")?;
    rows.into_iter().map(Event::try_from).collect()
}
