//! Access records, and the people and credentials of the snapshot.

use super::{AccessQuery, AccessRow};
use crate::error::{Doing, StoreError};
use crate::store::column;
use gatehouse_core::access::{AccessRecord, Credential, Holder, Snapshot};
use gatehouse_core::id::{CredentialId, PersonId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Appends records; one that is there already stays as it is.
pub(crate) async fn append(conn: &mut PgConnection, rows: &[&AccessRecord]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into access_record (id, at, device, person, person_name, via, granted, reason, picture, latency_ms)
         select * from unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
                              $7::boolean[], $8::text[], $9::uuid[], $10::integer[])
         on conflict (id) do nothing",
    )
    .bind(column(rows, |row| row.id.0))
    .bind(column(rows, |row| row.at.to_sqlx()))
    .bind(column(rows, |row| row.device.0))
    .bind(column(rows, |row| row.person.map(|id| id.0)))
    .bind(column(rows, |row| row.person_name.as_str()))
    .bind(column(rows, |row| row.via.word()))
    .bind(column(rows, |row| row.granted))
    .bind(column(rows, |row| row.reason.as_str()))
    .bind(column(rows, |row| row.picture.map(|id| id.0)))
    .bind(column(rows, |row| row.latency_ms.map(|ms| i32::try_from(ms).unwrap_or(i32::MAX))))
    .execute(conn)
    .await?;
    Ok(())
}

/// Records, newest first.
pub(crate) async fn list(pool: &PgPool, query: &AccessQuery) -> Result<Vec<AccessRecord>, StoreError> {
    let rows: Vec<AccessRow> = sqlx::query_as(
        "select id, at, device, person, person_name, via, granted, reason, picture, latency_ms
         from access_record
         where ($1::timestamptz is null or at < $1)
           and ($2::uuid is null or device = $2)
           and ($3::uuid is null or person = $3)
         order by at desc, id
         limit $4",
    )
    .bind(query.before.map(ToSqlx::to_sqlx))
    .bind(query.device.map(|id| id.0))
    .bind(query.person.map(|id| id.0))
    .bind(query.limit.clamp(1, 10_000))
    .fetch_all(pool)
    .await
    .doing("read access records")?;
    Ok(rows.into_iter().map(AccessRecord::from).collect())
}

#[derive(sqlx::FromRow)]
struct CredentialRow {
    id: Uuid,
    person: Uuid,
    kind: String,
    normal: String,
    enabled: bool,
    valid_from: Option<jiff_sqlx::Timestamp>,
    valid_until: Option<jiff_sqlx::Timestamp>,
}

/// Fills a snapshot with people and their credentials; of those past their time only whose they were.
pub(crate) async fn fill(pool: &PgPool, snapshot: &mut Snapshot, now: Timestamp) -> Result<(), StoreError> {
    let people: Vec<(Uuid, String, Vec<String>)> =
        sqlx::query_as("select id, name, levels from person where deleted_at is null")
            .fetch_all(pool)
            .await
            .doing("read people")?;
    snapshot.people = people.into_iter().map(|(id, name, levels)| (PersonId(id), Holder { name, levels })).collect();
    let rows: Vec<CredentialRow> = sqlx::query_as(
        "select id, person, kind, normal, enabled, valid_from, valid_until
         from credential
         where removed_at is null",
    )
    .fetch_all(pool)
    .await
    .doing("read credentials")?;
    for row in rows {
        let credential = Credential {
            id: CredentialId(row.id),
            person: PersonId(row.person),
            enabled: row.enabled,
            valid_from: row.valid_from.map(|at| at.to_jiff()),
            valid_until: row.valid_until.map(|at| at.to_jiff()),
        };
        if credential.valid_until.is_some_and(|until| until <= now) {
            snapshot.expired.insert(format!("{}/{}", row.kind, row.normal), credential.person);
            continue;
        }
        let map = if row.kind == "card" { &mut snapshot.cards } else { &mut snapshot.plates };
        map.insert(row.normal, credential);
    }
    Ok(())
}
