//! Alarms and their timelines.

use super::{AlarmQuery, AlarmView, NoteView};
use crate::copy::Rows;
use crate::error::{Doing, StoreError};
use crate::store::{column, newest};
use gatehouse_core::alarm::{Alarm, AlarmKind, Facts, Key, Note, Priority};
use gatehouse_core::event::Params;
use gatehouse_core::id::{AlarmId, DeviceId, EventId, PlaceId, WorkOrderId};
use jiff_sqlx::ToSqlx;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Stores the newest version of alarms; of several versions of one alarm the last counts.
pub(crate) async fn put(conn: &mut PgConnection, alarms: &[&Alarm]) -> Result<(), sqlx::Error> {
    let mut rows = newest(alarms, |alarm| alarm.id);
    // A key has one open alarm: what made room for the next goes first.
    rows.sort_by_key(|alarm| alarm.closed_at.is_none());
    let rows = rows.as_slice();
    sqlx::query(
        "insert into alarm (id, key, kind, zone, priority, device, place, title, raised_at, observed_at, active, acked,
                            latched, shelved_until, shelve_reason, suppressed, in_service, acked_by, acked_at, cleared_at,
                            closed_at, occurrences, cameras, work_order, source, cause)
         select id, key, kind, zone, priority, device, place, title, raised_at, observed_at, active, acked, latched,
                shelved_until, shelve_reason, suppressed, in_service, acked_by, acked_at, cleared_at, closed_at, occurrences,
                cameras::uuid[], work_order, source, cause
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::uuid[], $7::uuid[], $8::jsonb[],
                     $9::timestamptz[], $10::timestamptz[], $11::boolean[], $12::boolean[], $13::boolean[],
                     $14::timestamptz[], $15::text[], $16::boolean[], $17::boolean[], $18::text[], $19::timestamptz[],
                     $20::timestamptz[], $21::timestamptz[], $22::integer[], $23::text[], $24::uuid[], $25::text[],
                     $26::uuid[])
           as row (id, key, kind, zone, priority, device, place, title, raised_at, observed_at, active, acked, latched,
                   shelved_until, shelve_reason, suppressed, in_service, acked_by, acked_at, cleared_at, closed_at,
                   occurrences, cameras, work_order, source, cause)
         on conflict (id) do update
         set priority = excluded.priority, title = excluded.title, active = excluded.active, acked = excluded.acked,
             latched = excluded.latched, shelved_until = excluded.shelved_until, shelve_reason = excluded.shelve_reason,
             suppressed = excluded.suppressed, in_service = excluded.in_service, acked_by = excluded.acked_by,
             acked_at = excluded.acked_at, cleared_at = excluded.cleared_at, closed_at = excluded.closed_at,
             occurrences = excluded.occurrences, work_order = excluded.work_order",
    )
    .bind(column(rows, |row| row.id.0))
    .bind(column(rows, |row| row.key.to_string()))
    .bind(column(rows, |row| row.key.kind.word()))
    .bind(column(rows, |row| row.key.zone.as_str()))
    .bind(column(rows, |row| i16::from(row.priority.number())))
    .bind(column(rows, |row| row.key.device.map(|id| id.0)))
    .bind(column(rows, |row| row.place.map(|id| id.0)))
    .bind(column(rows, |row| Json(&row.title)))
    .bind(column(rows, |row| row.raised_at.to_sqlx()))
    .bind(column(rows, |row| row.observed_at.map(ToSqlx::to_sqlx)))
    .bind(column(rows, |row| row.facts.active))
    .bind(column(rows, |row| row.facts.acked))
    .bind(column(rows, |row| row.facts.latched))
    .bind(column(rows, |row| row.facts.shelved_until.map(ToSqlx::to_sqlx)))
    .bind(column(rows, |row| row.shelve_reason.as_str()))
    .bind(column(rows, |row| row.facts.suppressed))
    .bind(column(rows, |row| row.facts.in_service))
    .bind(column(rows, |row| row.acked_by.as_deref()))
    .bind(column(rows, |row| row.acked_at.map(ToSqlx::to_sqlx)))
    .bind(column(rows, |row| row.cleared_at.map(ToSqlx::to_sqlx)))
    .bind(column(rows, |row| row.closed_at.map(ToSqlx::to_sqlx)))
    .bind(column(rows, |row| i32::try_from(row.occurrences).unwrap_or(i32::MAX)))
    .bind(column(rows, |row| ids(&row.cameras)))
    .bind(column(rows, |row| row.work_order.map(|id| id.0)))
    .bind(column(rows, |row| row.source.as_str()))
    .bind(column(rows, |row| row.cause.0))
    .execute(conn)
    .await?;
    Ok(())
}

/// Ids as PostgreSQL writes an array: lists of different lengths are no array of arrays.
fn ids(devices: &[DeviceId]) -> String {
    let ids: Vec<_> = devices.iter().map(|id| id.0.to_string()).collect();
    format!("{{{}}}", ids.join(","))
}

/// Appends lines to the alarms' timelines.
pub(crate) async fn note(conn: &mut PgConnection, rows: &[&Note]) -> Result<(), sqlx::Error> {
    let mut lines = Rows::default();
    for row in rows {
        let params = serde_json::to_string(&row.params).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        lines
            .row(5)
            .uuid(Some(row.alarm.0))
            .timestamptz(Some(row.at))
            .text(Some(&row.code))
            .text(Some(&row.by))
            .jsonb(&params);
    }
    lines.copy(conn, "copy alarm_note (alarm, at, code, by, params) from stdin (format binary)").await
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    zone: String,
    priority: i16,
    device: Option<Uuid>,
    place: Option<Uuid>,
    title: Json<Params>,
    raised_at: jiff_sqlx::Timestamp,
    observed_at: Option<jiff_sqlx::Timestamp>,
    active: bool,
    acked: bool,
    latched: bool,
    shelved_until: Option<jiff_sqlx::Timestamp>,
    shelve_reason: String,
    suppressed: bool,
    in_service: bool,
    acked_by: Option<String>,
    acked_at: Option<jiff_sqlx::Timestamp>,
    cleared_at: Option<jiff_sqlx::Timestamp>,
    closed_at: Option<jiff_sqlx::Timestamp>,
    occurrences: i32,
    cameras: Vec<Uuid>,
    work_order: Option<Uuid>,
    source: String,
    cause: Uuid,
}

impl TryFrom<Row> for Alarm {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let unreadable = StoreError::Unreadable { what: "alarm" };
        let Some(kind) = AlarmKind::parse(&row.kind) else { return Err(unreadable) };
        let Some(priority) = u8::try_from(row.priority).ok().and_then(|n| Priority::try_from(n).ok()) else {
            return Err(unreadable);
        };
        Ok(Alarm {
            id: AlarmId(row.id),
            key: Key { device: row.device.map(DeviceId), kind, zone: row.zone },
            priority,
            place: row.place.map(PlaceId),
            title: row.title.0,
            raised_at: row.raised_at.to_jiff(),
            observed_at: row.observed_at.map(|at| at.to_jiff()),
            facts: Facts {
                active: row.active,
                acked: row.acked,
                latched: row.latched,
                shelved_until: row.shelved_until.map(|at| at.to_jiff()),
                suppressed: row.suppressed,
                in_service: row.in_service,
            },
            acked_by: row.acked_by,
            acked_at: row.acked_at.map(|at| at.to_jiff()),
            cleared_at: row.cleared_at.map(|at| at.to_jiff()),
            closed_at: row.closed_at.map(|at| at.to_jiff()),
            shelve_reason: row.shelve_reason,
            occurrences: u32::try_from(row.occurrences).unwrap_or(0),
            cameras: row.cameras.into_iter().map(DeviceId).collect(),
            work_order: row.work_order.map(WorkOrderId),
            source: row.source,
            cause: EventId(row.cause),
        })
    }
}

/// The open alarms.
pub(crate) async fn open(pool: &PgPool) -> Result<Vec<Alarm>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as("select * from alarm where closed_at is null")
        .fetch_all(pool)
        .await
        .doing("read the open alarms")?;
    rows.into_iter().map(Alarm::try_from).collect()
}

/// One alarm.
pub(crate) async fn get(pool: &PgPool, id: AlarmId) -> Result<Option<AlarmView>, StoreError> {
    let row: Option<Row> = sqlx::query_as("select * from alarm where id = $1")
        .bind(id.0)
        .fetch_optional(pool)
        .await
        .doing("read an alarm")?;
    Ok(row.map(Alarm::try_from).transpose()?.as_ref().map(AlarmView::from))
}

/// Alarms, newest first.
pub(crate) async fn list(pool: &PgPool, query: &AlarmQuery) -> Result<Vec<AlarmView>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select *
         from alarm
         where (not $1 or closed_at is null)
           and ($2::timestamptz is null or raised_at < $2)
           and ($3 = '' or kind ilike '%' || $3 || '%' or source ilike '%' || $3 || '%' or title::text ilike '%' || $3 || '%')
         order by raised_at desc, id
         limit $4",
    )
    .bind(query.open)
    .bind(query.before.map(ToSqlx::to_sqlx))
    .bind(&query.q)
    .bind(query.limit.clamp(1, 10_000))
    .fetch_all(pool)
    .await
    .doing("read alarms")?;
    rows.into_iter().map(|row| Ok(AlarmView::from(&Alarm::try_from(row)?))).collect()
}

#[derive(sqlx::FromRow)]
struct NoteRow {
    at: jiff_sqlx::Timestamp,
    code: String,
    by: String,
    params: Json<Params>,
}

/// An alarm's timeline, oldest first.
pub(crate) async fn notes(pool: &PgPool, id: AlarmId) -> Result<Vec<NoteView>, StoreError> {
    let rows: Vec<NoteRow> = sqlx::query_as("select at, code, by, params from alarm_note where alarm = $1 order by id")
        .bind(id.0)
        .fetch_all(pool)
        .await
        .doing("read an alarm's timeline")?;
    Ok(rows
        .into_iter()
        .map(|row| NoteView { at: row.at.to_jiff(), code: row.code, by: row.by, params: row.params.0 })
        .collect())
}
