//! The rows of the outbox and of its targets.

use crate::error::{Doing, StoreError};
use gatehouse_core::id::{AlarmId, DeliveryId};
use gatehouse_core::outbox::{Delivery, DeliveryState, Health, Outgoing, TargetState};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use std::collections::BTreeMap;
use uuid::Uuid;

const READING: &str = "read the outbox";

/// Stores the newest version of a row. A delivery that was taken stays so.
pub(crate) async fn put(conn: &mut PgConnection, outgoing: &Outgoing) -> Result<(), sqlx::Error> {
    match outgoing {
        Outgoing::Delivery(delivery) => put_delivery(conn, delivery).await,
        Outgoing::Target(state) => put_target(conn, state).await,
    }
}

async fn put_delivery(conn: &mut PgConnection, row: &Delivery) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into outbox (id, target, alarm, seq, kind, body, at, state, attempts, next_at, expires_at, reason, changed_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         on conflict (id) do update
         set state = excluded.state, attempts = excluded.attempts, next_at = excluded.next_at,
             expires_at = excluded.expires_at, reason = excluded.reason, changed_at = excluded.changed_at
         where outbox.state <> 'done'",
    )
    .bind(row.id.0)
    .bind(&row.target)
    .bind(row.alarm.map(|id| id.0))
    .bind(i64::try_from(row.seq).unwrap_or(i64::MAX))
    .bind(&row.kind)
    .bind(&row.body)
    .bind(row.at.to_sqlx())
    .bind(row.state.word())
    .bind(i32::try_from(row.attempts).unwrap_or(i32::MAX))
    .bind(row.next_at.to_sqlx())
    .bind(row.expires_at.to_sqlx())
    .bind(&row.reason)
    .bind(row.changed_at.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}

async fn put_target(conn: &mut PgConnection, state: &TargetState) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into outbox_target (name, enabled, health, delivered_at, failed_at, failure)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (name) do update
         set enabled = excluded.enabled, health = excluded.health, delivered_at = excluded.delivered_at,
             failed_at = excluded.failed_at, failure = excluded.failure",
    )
    .bind(&state.name)
    .bind(state.enabled)
    .bind(state.health.word())
    .bind(state.delivered_at.map(ToSqlx::to_sqlx))
    .bind(state.failed_at.map(ToSqlx::to_sqlx))
    .bind(&state.failure)
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes new deliveries; one that is there already stays as it is.
pub(crate) async fn write(conn: &mut PgConnection, rows: &[Delivery]) -> Result<(), StoreError> {
    for row in rows {
        sqlx::query(
            "insert into outbox (id, target, alarm, seq, kind, body, at, state, next_at, expires_at, changed_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             on conflict (id) do nothing",
        )
        .bind(row.id.0)
        .bind(&row.target)
        .bind(row.alarm.map(|id| id.0))
        .bind(i64::try_from(row.seq).unwrap_or(i64::MAX))
        .bind(&row.kind)
        .bind(&row.body)
        .bind(row.at.to_sqlx())
        .bind(row.state.word())
        .bind(row.next_at.to_sqlx())
        .bind(row.expires_at.to_sqlx())
        .bind(row.changed_at.to_sqlx())
        .execute(&mut *conn)
        .await
        .doing("write to the outbox")?;
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    target: String,
    alarm: Option<Uuid>,
    seq: i64,
    kind: String,
    body: String,
    at: jiff_sqlx::Timestamp,
    state: String,
    attempts: i32,
    next_at: jiff_sqlx::Timestamp,
    expires_at: jiff_sqlx::Timestamp,
    reason: String,
    changed_at: jiff_sqlx::Timestamp,
}

impl TryFrom<Row> for Delivery {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Delivery {
            id: DeliveryId(row.id),
            target: row.target,
            alarm: row.alarm.map(AlarmId),
            seq: u64::try_from(row.seq).unwrap_or(0),
            kind: row.kind,
            body: row.body,
            at: row.at.to_jiff(),
            state: DeliveryState::parse(&row.state).ok_or(StoreError::Unreadable { what: "delivery" })?,
            attempts: u32::try_from(row.attempts).unwrap_or(0),
            next_at: row.next_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
            reason: row.reason,
            changed_at: row.changed_at.to_jiff(),
        })
    }
}

/// What is due and not under way, oldest event first; of one alarm only the earliest that waits.
pub(crate) async fn due(
    pool: &PgPool,
    target: &str,
    now: Timestamp,
    under_way: &[Uuid],
    limit: usize,
) -> Result<Vec<Delivery>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select o.*
         from outbox o
         where o.target = $1
           and o.state = 'waiting'
           and o.next_at <= $2
           and o.id <> all($3)
           and not exists (
             select from outbox earlier
             where earlier.target = o.target
               and earlier.alarm = o.alarm
               and earlier.state = 'waiting'
               and earlier.seq < o.seq
           )
         order by o.seq
         limit $4",
    )
    .bind(target)
    .bind(now.to_sqlx())
    .bind(under_way)
    .bind(i64::try_from(limit).unwrap_or(1))
    .fetch_all(pool)
    .await
    .doing(READING)?;
    rows.into_iter().map(Delivery::try_from).collect()
}

/// When the next attempt that is not due yet is due. One that waits for an earlier notice of its alarm is due with that.
pub(crate) async fn next_due(pool: &PgPool, target: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<jiff_sqlx::Timestamp> = sqlx::query_scalar(
        "select min(next_at)
         from outbox
         where target = $1
           and state = 'waiting'
           and next_at > $2",
    )
    .bind(target)
    .bind(now.to_sqlx())
    .fetch_one(pool)
    .await
    .doing(READING)?;
    Ok(at.map(|at| at.to_jiff()))
}

/// When the next that waits is given up.
pub(crate) async fn next_expiry(pool: &PgPool, target: &str) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<jiff_sqlx::Timestamp> =
        sqlx::query_scalar("select min(expires_at) from outbox where target = $1 and state = 'waiting'")
            .bind(target)
            .fetch_one(pool)
            .await
            .doing(READING)?;
    Ok(at.map(|at| at.to_jiff()))
}

/// What waits although its time is over.
pub(crate) async fn expired(
    pool: &PgPool,
    target: &str,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Delivery>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select *
         from outbox
         where target = $1
           and state = 'waiting'
           and expires_at <= $2
         order by seq
         limit $3",
    )
    .bind(target)
    .bind(now.to_sqlx())
    .bind(limit)
    .fetch_all(pool)
    .await
    .doing(READING)?;
    rows.into_iter().map(Delivery::try_from).collect()
}

/// How many notices of a target wait.
pub(crate) async fn waiting(conn: &mut PgConnection, target: &str) -> Result<i64, StoreError> {
    sqlx::query_scalar("select count(*) from outbox where target = $1 and state = 'waiting'")
        .bind(target)
        .fetch_one(conn)
        .await
        .doing(READING)
}

/// Of a target: how many wait, since when the oldest, how many are dead.
pub(crate) type Queue = (i64, Option<Timestamp>, i64);

/// The queues of the targets that have one.
pub(crate) async fn queues(pool: &PgPool) -> Result<BTreeMap<String, Queue>, StoreError> {
    let rows: Vec<(String, i64, Option<jiff_sqlx::Timestamp>, i64)> = sqlx::query_as(
        "select target, count(*) filter (where state = 'waiting'), min(at) filter (where state = 'waiting'),
                count(*) filter (where state = 'dead')
         from outbox
         where state in ('waiting', 'dead')
         group by target",
    )
    .fetch_all(pool)
    .await
    .doing(READING)?;
    let queue = |(target, waiting, oldest, dead): (String, i64, Option<jiff_sqlx::Timestamp>, i64)| {
        (target, (waiting, oldest.map(|at| at.to_jiff()), dead))
    };
    Ok(rows.into_iter().map(queue).collect())
}

/// The deliveries of a target, last changed first; `state` empty for all.
pub(crate) async fn list(pool: &PgPool, target: &str, state: &str, limit: i64) -> Result<Vec<Delivery>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select *
         from outbox
         where target = $1
           and ($2 = '' or state = $2)
         order by changed_at desc, seq desc
         limit $3",
    )
    .bind(target)
    .bind(state)
    .bind(limit)
    .fetch_all(pool)
    .await
    .doing(READING)?;
    rows.into_iter().map(Delivery::try_from).collect()
}

/// The oldest dead deliveries of a target.
pub(crate) async fn dead(pool: &PgPool, target: &str, limit: i64) -> Result<Vec<Delivery>, StoreError> {
    let rows: Vec<Row> =
        sqlx::query_as("select * from outbox where target = $1 and state = 'dead' order by seq limit $2")
            .bind(target)
            .bind(limit)
            .fetch_all(pool)
            .await
            .doing(READING)?;
    rows.into_iter().map(Delivery::try_from).collect()
}

/// One delivery.
pub(crate) async fn get(pool: &PgPool, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as("select * from outbox where id = $1").bind(id.0).fetch_optional(pool).await.doing(READING)?;
    row.map(Delivery::try_from).transpose()
}

#[derive(sqlx::FromRow)]
struct TargetRow {
    name: String,
    enabled: bool,
    health: String,
    delivered_at: Option<jiff_sqlx::Timestamp>,
    failed_at: Option<jiff_sqlx::Timestamp>,
    failure: String,
}

/// How every target does that is or was configured.
pub(crate) async fn targets(pool: &PgPool) -> Result<Vec<TargetState>, StoreError> {
    let rows: Vec<TargetRow> = sqlx::query_as("select * from outbox_target").fetch_all(pool).await.doing(READING)?;
    rows.into_iter()
        .map(|row| {
            Ok(TargetState {
                name: row.name,
                enabled: row.enabled,
                health: Health::parse(&row.health).ok_or(StoreError::Unreadable { what: "target" })?,
                delivered_at: row.delivered_at.map(|at| at.to_jiff()),
                failed_at: row.failed_at.map(|at| at.to_jiff()),
                failure: row.failure,
            })
        })
        .collect()
}

/// Enters targets that are not known yet.
pub(crate) async fn enter_targets(pool: &PgPool, names: &[String]) -> Result<(), StoreError> {
    sqlx::query(
        "insert into outbox_target (name, enabled, health)
         select name, true, 'working'
         from unnest($1::text[]) as name
         on conflict (name) do nothing",
    )
    .bind(names)
    .execute(pool)
    .await
    .doing("enter a target")?;
    Ok(())
}

/// Forgets a target that is configured no more; what waited for it is given up.
pub(crate) async fn remove_target(pool: &PgPool, name: &str, now: Timestamp) -> Result<(), StoreError> {
    const DOING: &str = "remove a target";
    let mut tx = pool.begin().await.doing(DOING)?;
    sqlx::query(
        "update outbox
         set state = 'dead', reason = 'the target is configured no more', changed_at = $2
         where target = $1 and state = 'waiting'",
    )
    .bind(name)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await
    .doing(DOING)?;
    sqlx::query("delete from outbox_target where name = $1").bind(name).execute(&mut *tx).await.doing(DOING)?;
    tx.commit().await.doing(DOING)
}

/// Removes deliveries that are done with.
pub(crate) async fn forget(pool: &PgPool, done: Timestamp, dead: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "delete from outbox where (state = 'done' and changed_at < $1) or (state = 'dead' and changed_at < $2)",
    )
    .bind(done.to_sqlx())
    .bind(dead.to_sqlx())
    .execute(pool)
    .await
    .doing("remove old deliveries")?;
    Ok(())
}
