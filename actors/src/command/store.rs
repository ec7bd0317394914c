//! The command ledger.

use super::CommandView;
use crate::error::{Doing, StoreError};
use crate::store::{column, newest};
use gatehouse_core::command::{Command, CommandState};
use gatehouse_core::id::{CommandId, DeviceId};
use jiff_sqlx::ToSqlx;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Stores the newest version of entries; of several versions of one entry the last counts.
pub(crate) async fn put(conn: &mut PgConnection, commands: &[&Command]) -> Result<(), sqlx::Error> {
    let rows = newest(commands, |command| command.id);
    let rows = rows.as_slice();
    sqlx::query(
        "insert into command (id, device, what, verb, state, reason, by, why, at, deadline, changed_at)
         select * from unnest($1::uuid[], $2::uuid[], $3::jsonb[], $4::text[], $5::text[], $6::text[], $7::text[],
                              $8::text[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[])
         on conflict (id) do update
         set state = excluded.state, reason = excluded.reason, changed_at = excluded.changed_at",
    )
    .bind(column(rows, |row| row.id.0))
    .bind(column(rows, |row| row.device.0))
    .bind(column(rows, |row| Json(&row.what)))
    .bind(column(rows, |row| row.what.word()))
    .bind(column(rows, |row| row.state.word()))
    .bind(column(rows, |row| row.reason.as_str()))
    .bind(column(rows, |row| row.by.as_str()))
    .bind(column(rows, |row| row.why.as_str()))
    .bind(column(rows, |row| row.at.to_sqlx()))
    .bind(column(rows, |row| row.deadline.to_sqlx()))
    .bind(column(rows, |row| row.changed_at.to_sqlx()))
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    device: Uuid,
    verb: String,
    state: String,
    reason: String,
    by: String,
    why: String,
    at: jiff_sqlx::Timestamp,
    deadline: jiff_sqlx::Timestamp,
    changed_at: jiff_sqlx::Timestamp,
}

impl TryFrom<Row> for CommandView {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let state: CommandState = serde_json::from_value(serde_json::Value::String(row.state))
            .map_err(|_| StoreError::Unreadable { what: "command" })?;
        Ok(Self {
            id: CommandId(row.id),
            device: DeviceId(row.device),
            verb: row.verb,
            state,
            reason: row.reason,
            by: row.by,
            why: row.why,
            at: row.at.to_jiff(),
            deadline: row.deadline.to_jiff(),
            changed_at: row.changed_at.to_jiff(),
        })
    }
}

/// One entry.
pub(crate) async fn get(pool: &PgPool, id: CommandId) -> Result<Option<CommandView>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select id, device, verb, state, reason, by, why, at, deadline, changed_at
         from command
         where id = $1",
    )
    .bind(id.0)
    .fetch_optional(pool)
    .await
    .doing("read the command ledger")?;
    row.map(CommandView::try_from).transpose()
}

/// The newest entries.
pub(crate) async fn list(pool: &PgPool, device: Option<DeviceId>, limit: i64) -> Result<Vec<CommandView>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, device, verb, state, reason, by, why, at, deadline, changed_at
         from command
         where ($1::uuid is null or device = $1)
         order by at desc, id
         limit $2",
    )
    .bind(device.map(|id| id.0))
    .bind(limit)
    .fetch_all(pool)
    .await
    .doing("read the command ledger")?;
    rows.into_iter().map(CommandView::try_from).collect()
}
