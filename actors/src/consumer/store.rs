//! The offsets of consumers, and the log as they read it.

use crate::error::{Doing, StoreError};
use crate::event::EventRow;
use gatehouse_core::event::Event;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tracing::error;

const DOING: &str = "read the event log for a consumer";

/// Enters a consumer at the end of the log, unless it is known.
pub(crate) async fn enter(pool: &PgPool, key: &str, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "insert into consumer (key, seq, moved_at)
         select $1, coalesce(max(seq), 0), $2
         from event_log
         on conflict (key) do nothing",
    )
    .bind(key)
    .bind(now.to_sqlx())
    .execute(pool)
    .await
    .doing("enter a consumer")?;
    Ok(())
}

/// Removes consumers whose key begins so and is not listed: entered again, they begin anew.
pub(crate) async fn retain(pool: &PgPool, prefix: &str, keys: &[String]) -> Result<(), StoreError> {
    sqlx::query("delete from consumer where starts_with(key, $1) and key <> all($2)")
        .bind(prefix)
        .bind(keys)
        .execute(pool)
        .await
        .doing("remove a consumer")?;
    Ok(())
}

pub(crate) async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, StoreError> {
    pool.begin().await.doing(DOING)
}

pub(crate) async fn commit(tx: Transaction<'static, Postgres>) -> Result<(), StoreError> {
    tx.commit().await.doing("move a consumer's offset")
}

/// Where a consumer stands; no other reads under its key until the transaction ends.
pub(crate) async fn offset(conn: &mut PgConnection, key: &str) -> Result<u64, StoreError> {
    let seq: i64 = sqlx::query_scalar("select seq from consumer where key = $1 for update")
        .bind(key)
        .fetch_one(conn)
        .await
        .doing(DOING)?;
    Ok(u64::try_from(seq).unwrap_or(0))
}

/// The number of the last committed event.
pub(crate) async fn end(conn: &mut PgConnection) -> Result<u64, StoreError> {
    let seq: i64 =
        sqlx::query_scalar("select coalesce(max(seq), 0) from event_log").fetch_one(conn).await.doing(DOING)?;
    Ok(u64::try_from(seq).unwrap_or(0))
}

/// Events with these codes, in order, and the number of the last row when there may be more. An event that this version
/// cannot read is left out, loudly.
pub(crate) async fn after(
    conn: &mut PgConnection,
    offset: u64,
    end: u64,
    codes: &[&str],
    limit: i64,
) -> Result<(Vec<Event>, Option<u64>), StoreError> {
    let rows: Vec<EventRow> = sqlx::query_as(
        "select seq, id, received_at, observed_at, device, place, cause, by, code, body
         from event_log
         where seq > $1
           and seq <= $2
           and code = any($3)
         order by seq
         limit $4",
    )
    .bind(i64::try_from(offset).unwrap_or(i64::MAX))
    .bind(i64::try_from(end).unwrap_or(i64::MAX))
    .bind(codes)
    .bind(limit)
    .fetch_all(conn)
    .await
    .doing(DOING)?;
    let full = i64::try_from(rows.len()).is_ok_and(|n| n >= limit);
    let last = rows.last().filter(|_| full).map(|row| u64::try_from(row.seq).unwrap_or(0));
    let readable = |row: EventRow| {
        let seq = row.seq;
        Event::try_from(row)
            .map_err(|_| error!(seq, "Event {seq} cannot be read and is passed over by a consumer"))
            .ok()
    };
    Ok((rows.into_iter().filter_map(readable).collect(), last))
}

/// Moves an offset.
pub(crate) async fn advance(conn: &mut PgConnection, key: &str, seq: u64, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("update consumer set seq = $2, moved_at = $3 where key = $1")
        .bind(key)
        .bind(i64::try_from(seq).unwrap_or(i64::MAX))
        .bind(now.to_sqlx())
        .execute(conn)
        .await
        .doing("move a consumer's offset")?;
    Ok(())
}

/// The offset, how many events wait behind it, and when the oldest of them came.
pub(crate) async fn behind(
    pool: &PgPool,
    key: &str,
    codes: &[&str],
) -> Result<(u64, u64, Option<Timestamp>), StoreError> {
    let (seq, events, oldest): (i64, i64, Option<jiff_sqlx::Timestamp>) = sqlx::query_as(
        "select c.seq, w.events, w.oldest
         from consumer c
         cross join lateral (
           select count(*) as events, min(received_at) as oldest
           from (select received_at from event_log where seq > c.seq and code = any($2) order by seq limit 10000) as first
         ) as w
         where c.key = $1",
    )
    .bind(key)
    .bind(codes)
    .fetch_one(pool)
    .await
    .doing(DOING)?;
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok((count(seq), count(events), oldest.map(|at| at.to_jiff())))
}
