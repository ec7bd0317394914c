//! Passages.

use super::PassageQuery;
use crate::error::{Doing, StoreError};
use gatehouse_core::id::{DeviceId, PassageId, PersonId, PictureId};
use gatehouse_core::passage::{Decision, Direction, Passage};
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Stores the newest version of a passage.
pub(crate) async fn put(conn: &mut PgConnection, passage: &Passage) -> Result<(), sqlx::Error> {
    let direction = match passage.direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    sqlx::query(
        "insert into passage (id, lane, camera, direction, at, plate, colour, confidence, latency_ms, picture, person,
                              person_name, decision, by, note, barrier)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         on conflict (id) do update
         set decision = excluded.decision, by = excluded.by, note = excluded.note",
    )
    .bind(passage.id.0)
    .bind(&passage.lane)
    .bind(passage.camera.0)
    .bind(direction)
    .bind(passage.at.to_sqlx())
    .bind(&passage.plate)
    .bind(&passage.colour)
    .bind(passage.confidence)
    .bind(i32::try_from(passage.latency_ms).unwrap_or(i32::MAX))
    .bind(passage.picture.map(|id| id.0))
    .bind(passage.person.map(|id| id.0))
    .bind(&passage.person_name)
    .bind(passage.decision.word())
    .bind(&passage.by)
    .bind(&passage.note)
    .bind(passage.barrier.0)
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
