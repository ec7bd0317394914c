//! Passages.

use super::PassageQuery;
use crate::error::{Doing, StoreError};
use crate::store::{column, newest};
use gatehouse_core::id::{DeviceId, PassageId, PersonId, PictureId};
use gatehouse_core::passage::{Decision, Direction, Passage};
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Stores the newest version of passages; of several versions of one passage the last counts.
pub(crate) async fn put(conn: &mut PgConnection, passages: &[&Passage]) -> Result<(), sqlx::Error> {
    let rows = newest(passages, |passage| passage.id);
    let rows = rows.as_slice();
    sqlx::query(
        "insert into passage (id, lane, camera, direction, at, plate, colour, confidence, latency_ms, picture, person,
                              person_name, decision, by, note, barrier)
         select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::timestamptz[], $6::text[], $7::text[],
                              $8::real[], $9::integer[], $10::uuid[], $11::uuid[], $12::text[], $13::text[], $14::text[],
                              $15::text[], $16::uuid[])
         on conflict (id) do update
         set decision = excluded.decision, by = excluded.by, note = excluded.note",
    )
    .bind(column(rows, |row| row.id.0))
    .bind(column(rows, |row| row.lane.as_str()))
    .bind(column(rows, |row| row.camera.0))
    .bind(column(rows, |row| match row.direction {
        Direction::In => "in",
        Direction::Out => "out",
    }))
    .bind(column(rows, |row| row.at.to_sqlx()))
    .bind(column(rows, |row| row.plate.as_str()))
    .bind(column(rows, |row| row.colour.as_str()))
    .bind(column(rows, |row| row.confidence))
    .bind(column(rows, |row| i32::try_from(row.latency_ms).unwrap_or(i32::MAX)))
    .bind(column(rows, |row| row.picture.map(|id| id.0)))
    .bind(column(rows, |row| row.person.map(|id| id.0)))
    .bind(column(rows, |row| row.person_name.as_str()))
    .bind(column(rows, |row| row.decision.word()))
    .bind(column(rows, |row| row.by.as_str()))
    .bind(column(rows, |row| row.note.as_str()))
    .bind(column(rows, |row| row.barrier.0))
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    lane: String,
    camera: Uuid,
    direction: String,
    at: jiff_sqlx::Timestamp,
    plate: String,
    colour: String,
    confidence: f32,
    latency_ms: i32,
    picture: Option<Uuid>,
    person: Option<Uuid>,
    person_name: String,
    decision: String,
    by: String,
    note: String,
    barrier: Uuid,
}

impl TryFrom<Row> for Passage {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let decision: Decision = serde_json::from_value(serde_json::Value::String(row.decision))
            .map_err(|_| StoreError::Unreadable { what: "passage" })?;
        Ok(Passage {
            id: PassageId(row.id),
            lane: row.lane,
            camera: DeviceId(row.camera),
            direction: if row.direction == "out" { Direction::Out } else { Direction::In },
            at: row.at.to_jiff(),
            plate: row.plate,
            colour: row.colour,
            confidence: row.confidence,
            latency_ms: u32::try_from(row.latency_ms).unwrap_or(0),
            picture: row.picture.map(PictureId),
            person: row.person.map(PersonId),
            person_name: row.person_name,
            decision,
            by: row.by,
            note: row.note,
            barrier: DeviceId(row.barrier),
        })
    }
}

/// One passage.
pub(crate) async fn get(pool: &PgPool, id: PassageId) -> Result<Option<Passage>, StoreError> {
    let row: Option<Row> = sqlx::query_as("select * from passage where id = $1")
        .bind(id.0)
        .fetch_optional(pool)
        .await
        .doing("read a passage")?;
    row.map(Passage::try_from).transpose()
}

/// Passages, newest first.
pub(crate) async fn list(pool: &PgPool, query: &PassageQuery) -> Result<Vec<Passage>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select *
         from passage
         where (not $1 or decision = 'asked')
           and ($2::timestamptz is null or at < $2)
           and ($3 = '' or plate ilike '%' || $3 || '%' or lane ilike '%' || $3 || '%' or person_name ilike '%' || $3 || '%')
         order by at desc, id
         limit $4",
    )
    .bind(query.open)
    .bind(query.before.map(ToSqlx::to_sqlx))
    .bind(&query.q)
    .bind(query.limit.clamp(1, 10_000))
    .fetch_all(pool)
    .await
    .doing("read passages")?;
    rows.into_iter().map(Passage::try_from).collect()
}
