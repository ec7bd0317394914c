//! Passages.

use super::{Found, PassageQuery};
use crate::error::{Doing, StoreError};
use crate::store::{column, newest};
use gatehouse_core::id::{DeviceId, PassageId, PersonId, PictureId};
use gatehouse_core::passage::{Correction, Decision, Direction, Passage};
use gatehouse_core::recognition::plate::confusions;
use gatehouse_core::recognition::plate_grammar::normalise;
use gatehouse_core::recognition::travel::Travel;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Stores the newest version of passages; of several versions of one passage the last counts.
pub(crate) async fn put(conn: &mut PgConnection, passages: &[&Passage]) -> Result<(), sqlx::Error> {
    let rows = newest(passages, |passage| passage.id);
    let rows = rows.as_slice();
    let correction = |row: &Passage| row.correction.clone();
    sqlx::query(
        "insert into passage (id, lane, camera, direction, at, plate, colour, confidence, latency_ms, picture, person,
                              person_name, decision, by, note, barrier, votes, reads, last_at, corrected, corrected_why,
                              corrected_by, corrected_at, hits, travel, sure)
         select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::timestamptz[], $6::text[], $7::text[],
                              $8::real[], $9::integer[], $10::uuid[], $11::uuid[], $12::text[], $13::text[], $14::text[],
                              $15::text[], $16::uuid[], $17::integer[], $18::integer[], $19::timestamptz[], $20::text[],
                              $21::text[], $22::text[], $23::timestamptz[], $24::jsonb[], $25::text[], $26::boolean[])
         on conflict (id) do update
         set decision = excluded.decision, by = excluded.by, note = excluded.note, colour = excluded.colour,
             confidence = excluded.confidence, picture = excluded.picture, votes = excluded.votes, reads = excluded.reads,
             last_at = excluded.last_at, corrected = excluded.corrected, corrected_why = excluded.corrected_why,
             corrected_by = excluded.corrected_by, corrected_at = excluded.corrected_at, travel = excluded.travel,
             sure = excluded.sure",
    )
    .bind(column(rows, |row| row.id.0))
    .bind(column(rows, |row| row.lane.as_str()))
    .bind(column(rows, |row| row.camera.0))
    .bind(column(rows, |row| row.direction.word()))
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
    .bind(column(rows, |row| i32::try_from(row.votes).unwrap_or(i32::MAX)))
    .bind(column(rows, |row| i32::try_from(row.reads).unwrap_or(i32::MAX)))
    .bind(column(rows, |row| row.last_at.map(ToSqlx::to_sqlx)))
    .bind(column(rows, |row| correction(row).map(|correction| correction.text)))
    .bind(column(rows, |row| correction(row).map(|correction| correction.reason)))
    .bind(column(rows, |row| correction(row).map(|correction| correction.by)))
    .bind(column(rows, |row| correction(row).map(|correction| correction.at.to_sqlx())))
    .bind(column(rows, |row| serde_json::to_value(&row.hits).unwrap_or_default()))
    .bind(column(rows, |row| row.travel.map(Travel::word)))
    .bind(column(rows, |row| row.sure))
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
    votes: i32,
    reads: i32,
    last_at: Option<jiff_sqlx::Timestamp>,
    corrected: Option<String>,
    corrected_why: Option<String>,
    corrected_by: Option<String>,
    corrected_at: Option<jiff_sqlx::Timestamp>,
    hits: serde_json::Value,
    travel: Option<String>,
    sure: bool,
    /// Whether the text asked for is there as it was typed; only of a search.
    #[sqlx(default)]
    exact: bool,
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
            votes: u32::try_from(row.votes).unwrap_or(0),
            travel: row.travel.map(|word| if word == "away" { Travel::Away } else { Travel::Towards }),
            sure: row.sure,
            reads: u32::try_from(row.reads).unwrap_or(1),
            last_at: row.last_at.map(|at| at.to_jiff()),
            correction: row.corrected.zip(row.corrected_at).map(|(text, at)| Correction {
                text,
                reason: row.corrected_why.unwrap_or_default(),
                by: row.corrected_by.unwrap_or_default(),
                at: at.to_jiff(),
            }),
            hits: serde_json::from_value(row.hits).map_err(|_| StoreError::Unreadable { what: "passage" })?,
        })
    }
}

/// One passage.
pub(crate) async fn get(pool: &PgPool, id: PassageId) -> Result<Option<Passage>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select *
         from passage
         where id = $1",
    )
    .bind(id.0)
    .fetch_optional(pool)
    .await
    .doing("read a passage")?;
    row.map(Passage::try_from).transpose()
}

/// Passages, newest first; of a search by plate also those that the reader may have confused with it.
pub(crate) async fn list(pool: &PgPool, query: &PassageQuery) -> Result<Vec<Found>, StoreError> {
    let typed = normalise(&query.q);
    let rows: Vec<Row> = sqlx::query_as(
        "select *, position($5 in plate) > 0 or position($5 in coalesce(corrected, '')) > 0
                   or lane ilike '%' || $4 || '%' or person_name ilike '%' || $4 || '%' as exact
         from passage
         where (not $1 or decision = 'asked')
           and ($2::timestamptz is null or at < $2)
           and ($3::timestamptz is null or at >= $3)
           and ($4 = '' or lane ilike '%' || $4 || '%' or person_name ilike '%' || $4 || '%'
                or ($5 <> '' and (position($5 in plate) > 0 or position($5 in coalesce(corrected, '')) > 0))
                or ($6 <> '' and (plate ~ $6 or corrected ~ $6)))
           and ($7 = '' or lane = $7)
           and ($8::uuid is null or camera = $8)
           and ($9 = '' or colour = $9)
           and ($10 = '' or decision = $10)
           and ($11 = '' or direction = $11)
           and ($12::uuid is null or person = $12)
           and ($13::uuid is null or hits @> jsonb_build_array(jsonb_build_object('list', $13)))
           and (not $14 or corrected is not null)
           and (not $15 or not sure)
         order by at desc, id
         limit $16",
    )
    .bind(query.open)
    .bind(query.before.map(ToSqlx::to_sqlx))
    .bind(query.from.map(ToSqlx::to_sqlx))
    .bind(&query.q)
    .bind(&typed)
    .bind(if query.exact { String::new() } else { near(&typed) })
    .bind(&query.lane)
    .bind(query.camera.map(|id| id.0))
    .bind(&query.colour)
    .bind(query.decision.map_or("", Decision::word))
    .bind(query.direction.map_or("", Direction::word))
    .bind(query.person.map(|id| id.0))
    .bind(query.list.map(|id| id.0))
    .bind(query.corrected)
    .bind(query.unsure)
    .bind(query.limit.clamp(1, 100_000))
    .fetch_all(pool)
    .await
    .doing("read passages")?;
    let searched = !query.q.is_empty();
    let found = |row: Row| {
        let hit = searched.then_some(if row.exact { "exact" } else { "near" });
        Ok(Found { passage: Passage::try_from(row)?, hit })
    };
    rows.into_iter().map(found).collect()
}

/// The pattern of every text that readers may have made of a typed one; empty where nothing typed is of a plate.
fn near(typed: &str) -> String {
    // Only letters and digits are let in: nothing typed can be a pattern of its own.
    let classes =
        typed.chars().filter(|c| c.is_alphanumeric()).map(|c| format!("[{}]", confusions(c).collect::<String>()));
    classes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_becomes_classes_of_confusions_and_nothing_else() {
        assert_eq!(near("8Z"), "[8B3][Z2]");
        assert_eq!(near("京"), "[京]");
        assert_eq!(near("^.*\\[]"), "");
    }
}
