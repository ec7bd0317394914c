//! Work orders.

use crate::error::{Doing, StoreError};
use crate::store::{column, newest};
use gatehouse_core::event::Params;
use gatehouse_core::id::{AlarmId, DeviceId, PlaceId, WorkOrderId};
use gatehouse_core::workorder::{WorkNote, WorkOrder, WorkOrderState};
use jiff_sqlx::ToSqlx;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Stores the newest version of work orders; of several versions of one order the last counts.
pub(crate) async fn put(conn: &mut PgConnection, orders: &[&WorkOrder]) -> Result<(), sqlx::Error> {
    let rows = newest(orders, |order| order.id);
    let rows = rows.as_slice();
    sqlx::query(
        "insert into work_order (id, number, title, kind, state, priority, device, place, alarm, assignee, at, due_at,
                                 done_at, notes, respond_by, late_response_at, overdue_at)
         select * from unnest($1::uuid[], $2::bigint[], $3::jsonb[], $4::text[], $5::text[], $6::smallint[], $7::uuid[],
                              $8::uuid[], $9::uuid[], $10::text[], $11::timestamptz[], $12::timestamptz[],
                              $13::timestamptz[], $14::jsonb[], $15::timestamptz[], $16::timestamptz[], $17::timestamptz[])
         on conflict (id) do update
         set state = excluded.state, priority = excluded.priority, assignee = excluded.assignee, due_at = excluded.due_at,
             done_at = excluded.done_at, notes = excluded.notes, late_response_at = excluded.late_response_at,
             overdue_at = excluded.overdue_at",
    )
    .bind(column(rows, |row| row.id.0))
    .bind(column(rows, |row| row.number))
    .bind(column(rows, |row| Json(&row.title)))
    .bind(column(rows, |row| row.kind.as_str()))
    .bind(column(rows, |row| row.state.word()))
    .bind(column(rows, |row| i16::from(row.priority)))
    .bind(column(rows, |row| row.device.map(|id| id.0)))
    .bind(column(rows, |row| row.place.map(|id| id.0)))
    .bind(column(rows, |row| row.alarm.map(|id| id.0)))
    .bind(column(rows, |row| row.assignee.as_str()))
    .bind(column(rows, |row| row.at.to_sqlx()))
    .bind(column(rows, |row| row.due_at.map(ToSqlx::to_sqlx)))
    .bind(column(rows, |row| row.done_at.map(ToSqlx::to_sqlx)))
    .bind(column(rows, |row| Json(&row.notes)))
    .bind(column(rows, |row| row.respond_by.map(ToSqlx::to_sqlx)))
    .bind(column(rows, |row| row.late_response_at.map(ToSqlx::to_sqlx)))
    .bind(column(rows, |row| row.overdue_at.map(ToSqlx::to_sqlx)))
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    number: i64,
    title: Json<Params>,
    kind: String,
    state: String,
    priority: i16,
    device: Option<Uuid>,
    place: Option<Uuid>,
    alarm: Option<Uuid>,
    assignee: String,
    at: jiff_sqlx::Timestamp,
    due_at: Option<jiff_sqlx::Timestamp>,
    done_at: Option<jiff_sqlx::Timestamp>,
    notes: Json<Vec<WorkNote>>,
    respond_by: Option<jiff_sqlx::Timestamp>,
    late_response_at: Option<jiff_sqlx::Timestamp>,
    overdue_at: Option<jiff_sqlx::Timestamp>,
}

impl TryFrom<Row> for WorkOrder {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let state: WorkOrderState = serde_json::from_value(serde_json::Value::String(row.state))
            .map_err(|_| StoreError::Unreadable { what: "work order" })?;
        Ok(WorkOrder {
            id: WorkOrderId(row.id),
            number: row.number,
            title: row.title.0,
            kind: row.kind,
            state,
            priority: u8::try_from(row.priority).unwrap_or(4),
            device: row.device.map(DeviceId),
            place: row.place.map(PlaceId),
            alarm: row.alarm.map(AlarmId),
            assignee: row.assignee,
            at: row.at.to_jiff(),
            due_at: row.due_at.map(|at| at.to_jiff()),
            done_at: row.done_at.map(|at| at.to_jiff()),
            notes: row.notes.0,
            respond_by: row.respond_by.map(|at| at.to_jiff()),
            late_response_at: row.late_response_at.map(|at| at.to_jiff()),
            overdue_at: row.overdue_at.map(|at| at.to_jiff()),
        })
    }
}

/// The open work orders.
pub(crate) async fn open(pool: &PgPool) -> Result<Vec<WorkOrder>, StoreError> {
    let rows: Vec<Row> =
        sqlx::query_as("select * from work_order where state in ('pending', 'accepted', 'in_progress')")
            .fetch_all(pool)
            .await
            .doing("read the open work orders")?;
    rows.into_iter().map(WorkOrder::try_from).collect()
}

/// One work order.
pub(crate) async fn get(pool: &PgPool, id: WorkOrderId) -> Result<Option<WorkOrder>, StoreError> {
    let row: Option<Row> = sqlx::query_as("select * from work_order where id = $1")
        .bind(id.0)
        .fetch_optional(pool)
        .await
        .doing("read a work order")?;
    row.map(WorkOrder::try_from).transpose()
}

/// The work orders of an alarm.
pub(crate) async fn of_alarm(pool: &PgPool, alarm: AlarmId) -> Result<Vec<WorkOrder>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as("select * from work_order where alarm = $1 order by at, number")
        .bind(alarm.0)
        .fetch_all(pool)
        .await
        .doing("read an alarm's work orders")?;
    rows.into_iter().map(WorkOrder::try_from).collect()
}

/// Work orders, newest first.
pub(crate) async fn list(pool: &PgPool, open: bool, limit: i64) -> Result<Vec<WorkOrder>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select *
         from work_order
         where not $1 or state in ('pending', 'accepted', 'in_progress')
         order by at desc, number desc
         limit $2",
    )
    .bind(open)
    .bind(limit)
    .fetch_all(pool)
    .await
    .doing("read work orders")?;
    rows.into_iter().map(WorkOrder::try_from).collect()
}
