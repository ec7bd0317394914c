//! Rows of the audit.

use super::{AuditEntry, AuditRow, START, hash};
use crate::error::{Doing, StoreError};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;

/// One writer at a time, also across programs: any number would do.
const LOCK: i64 = 0x6175_6469_7400;
/// Rows read at once by a check.
const PAGE: i64 = 5_000;

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    at: jiff_sqlx::Timestamp,
    by: String,
    action: String,
    target: String,
    outcome: String,
    address: String,
    previous: Vec<u8>,
    hash: Vec<u8>,
}

impl From<Row> for AuditRow {
    fn from(row: Row) -> Self {
        let Row { id, at, by, action, target, outcome, address, previous, hash } = row;
        Self { id, at: at.to_jiff(), by, action, target, outcome, address, previous, hash }
    }
}

/// Appends a row behind the last.
pub(super) async fn append(pool: &PgPool, entry: AuditEntry) -> Result<AuditRow, StoreError> {
    const DOING: &str = "write the audit";
    let mut tx = pool.begin().await.doing(DOING)?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *tx).await.doing(DOING)?;
    let last: Option<(i64, Vec<u8>)> = sqlx::query_as("select id, hash from audit order by id desc limit 1")
        .fetch_optional(&mut *tx)
        .await
        .doing(DOING)?;
    let (id, previous) = last.map_or((1, START.to_vec()), |(id, hash)| (id + 1, hash));
    let hash = hash(id, &entry, &previous);
    let row: Row = sqlx::query_as(
        "insert into audit (id, at, by, action, target, outcome, address, previous, hash)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         returning id, at, by, action, target, outcome, address, previous, hash",
    )
    .bind(id)
    .bind(entry.at.to_sqlx())
    .bind(entry.by)
    .bind(entry.action)
    .bind(entry.target)
    .bind(entry.outcome)
    .bind(entry.address)
    .bind(previous)
    .bind(hash)
    .fetch_one(&mut *tx)
    .await
    .doing(DOING)?;
    tx.commit().await.doing(DOING)?;
    Ok(row.into())
}

/// Rows, newest first.
pub(super) async fn list(pool: &PgPool, before: Option<Timestamp>, limit: i64) -> Result<Vec<AuditRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, at, by, action, target, outcome, address, previous, hash
         from audit
         where $1::timestamptz is null or at < $1
         order by id desc
         limit $2",
    )
    .bind(before.map(ToSqlx::to_sqlx))
    .bind(limit)
    .fetch_all(pool)
    .await
    .doing("read the audit")?;
    Ok(rows.into_iter().map(AuditRow::from).collect())
}

/// Rows after a number, oldest first.
pub(super) async fn page(pool: &PgPool, after: i64) -> Result<Vec<AuditRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, at, by, action, target, outcome, address, previous, hash
         from audit
         where id > $1
         order by id
         limit $2",
    )
    .bind(after)
    .bind(PAGE)
    .fetch_all(pool)
    .await
    .doing("read the audit")?;
    Ok(rows.into_iter().map(AuditRow::from).collect())
}
