//! Consents, sealed templates and removals.

use super::{ConsentInput, FaceView, Removing};
use crate::error::{Doing, StoreError};
use gatehouse_core::id::{DeviceId, PersonId};
use gatehouse_core::people::consent::Guardian;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff_sqlx::ToSqlx;
use ring::digest;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Records a consent with the text that was shown.
pub(crate) async fn consent_add(
    pool: &PgPool,
    person: PersonId,
    text: &str,
    input: &ConsentInput,
    by: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let guardian = input.guardian.as_ref();
    sqlx::query(
        "insert into consent (person, purpose, text, text_sha256, channel, recorded_by, given_at, version, lang, under_14, born,
                              guardian_name, guardian_relation)
         values ($1, 'face', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(person.0)
    .bind(text)
    .bind(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
    .bind(input.channel.trim())
    .bind(by)
    .bind(now.to_sqlx())
    .bind(&input.version)
    .bind(&input.lang)
    .bind(input.under_14)
    .bind(input.born.map(ToSqlx::to_sqlx))
    .bind(guardian.map(|guardian| guardian.name.trim()))
    .bind(guardian.map(|guardian| guardian.relation.trim()))
    .execute(pool)
    .await
    .doing("record a consent")?;
    Ok(())
}

/// Whether a person's consent to this version stands.
pub(crate) async fn consent_stands(pool: &PgPool, person: PersonId, version: &str) -> Result<bool, StoreError> {
    sqlx::query_scalar(
        "select exists (select from consent
                        where person = $1 and purpose = 'face' and version = $2 and withdrawn_at is null)",
    )
    .bind(person.0)
    .bind(version)
    .fetch_one(pool)
    .await
    .doing("read consents")
}

/// A face to be stored.
pub(crate) struct NewFace<'a> {
    pub person: PersonId,
    /// Of the notice that must have been consented to.
    pub version: &'a str,
    pub wrapped: Vec<u8>,
    pub sealed: Vec<Vec<u8>>,
    pub model: &'a str,
    pub dimension: i32,
}

/// Stores a face in place of an earlier one; false when the consent does not stand.
pub(crate) async fn face_set(pool: &PgPool, face: NewFace<'_>, now: Timestamp) -> Result<bool, StoreError> {
    const DOING: &str = "store a face";
    let mut tx = pool.begin().await.doing(DOING)?;
    // A withdrawal, a deletion or another enrolment waits for these rows: none leaves templates behind the other's back.
    let consent: Option<i64> = sqlx::query_scalar(
        "select c.id
         from consent c
         join person p on p.id = c.person
         where c.person = $1 and c.purpose = 'face' and c.version = $2 and c.withdrawn_at is null and p.deleted_at is null
         order by c.given_at desc, c.id desc
         limit 1
         for update",
    )
    .bind(face.person.0)
    .bind(face.version)
    .fetch_optional(&mut *tx)
    .await
    .doing(DOING)?;
    if consent.is_none() {
        return Ok(false);
    }
    sqlx::query("delete from face_key where person = $1").bind(face.person.0).execute(&mut *tx).await.doing(DOING)?;
    sqlx::query("insert into face_key (person, wrapped) values ($1, $2)")
        .bind(face.person.0)
        .bind(face.wrapped)
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
    for sealed in face.sealed {
        sqlx::query(
            "insert into face_template (person, model, dimension, sealed, created_at) values ($1, $2, $3, $4, $5)",
        )
        .bind(face.person.0)
        .bind(face.model)
        .bind(face.dimension)
        .bind(sealed)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
    }
    tx.commit().await.doing(DOING)?;
    Ok(true)
}

/// Shreds a person's key, and with it their templates; the consent is withdrawn.
pub(crate) async fn face_delete(pool: &PgPool, person: PersonId, by: &str, now: Timestamp) -> Result<(), StoreError> {
    const DOING: &str = "delete a face";
    let mut tx = pool.begin().await.doing(DOING)?;
    sqlx::query("update consent set withdrawn_at = $2 where person = $1 and withdrawn_at is null")
        .bind(person.0)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
    sqlx::query("delete from face_key where person = $1").bind(person.0).execute(&mut *tx).await.doing(DOING)?;
    to_be_removed(&mut tx, person, by, now).await.doing(DOING)?;
    tx.commit().await.doing(DOING)
}

/// Notes in the same transaction that the devices are to be told.
pub(crate) async fn to_be_removed(
    conn: &mut PgConnection,
    person: PersonId,
    by: &str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into face_removal (person, by, asked_at)
         values ($1, $2, $3)
         on conflict (person) do nothing",
    )
    .bind(person.0)
    .bind(by)
    .bind(now.to_sqlx())
    .execute(conn)
    .await?;
    Ok(())
}

/// Removed faces that the log does not tell yet, and who removed them.
pub(crate) async fn removals(pool: &PgPool) -> Result<Vec<(PersonId, String)>, StoreError> {
    let rows: Vec<(Uuid, String)> = sqlx::query_as("select person, by from face_removal order by asked_at, person")
        .fetch_all(pool)
        .await
        .doing("read removed faces")?;
    Ok(rows.into_iter().map(|(person, by)| (PersonId(person), by)).collect())
}

/// The log tells of a removed face.
pub(crate) async fn removal_told(pool: &PgPool, person: PersonId) -> Result<(), StoreError> {
    sqlx::query("delete from face_removal where person = $1")
        .bind(person.0)
        .execute(pool)
        .await
        .doing("note a removed face")?;
    Ok(())
}

/// A sealed face.
pub(crate) struct SealedFace {
    pub person: PersonId,
    pub wrapped: Vec<u8>,
    pub sealed: Vec<u8>,
    pub model: String,
    pub dimension: i32,
}

#[derive(sqlx::FromRow)]
struct SealedRow {
    person: Uuid,
    wrapped: Vec<u8>,
    sealed: Vec<u8>,
    model: String,
    dimension: i32,
}

impl From<SealedRow> for SealedFace {
    fn from(row: SealedRow) -> Self {
        let SealedRow { person, wrapped, sealed, model, dimension } = row;
        Self { person: PersonId(person), wrapped, sealed, model, dimension }
    }
}

/// All sealed faces.
pub(crate) async fn gallery(pool: &PgPool) -> Result<Vec<SealedFace>, StoreError> {
    let rows: Vec<SealedRow> = sqlx::query_as(
        "select t.person, k.wrapped, t.sealed, t.model, t.dimension
         from face_template t
         join face_key k on k.person = t.person
         order by t.id",
    )
    .fetch_all(pool)
    .await
    .doing("read the faces")?;
    Ok(rows.into_iter().map(SealedFace::from).collect())
}

/// People whose templates are kept, and the templates.
pub(crate) async fn counts(pool: &PgPool) -> Result<(u64, u64), StoreError> {
    let (people, templates): (i64, i64) = sqlx::query_as("select count(distinct person), count(*) from face_template")
        .fetch_one(pool)
        .await
        .doing("count the faces")?;
    Ok((people.unsigned_abs(), templates.unsigned_abs()))
}

/// What makes a template or a consent one to be renewed.
pub(crate) struct Stale<'a> {
    pub model: &'a str,
    pub dimension: i32,
    pub version: &'a str,
    pub older_than: Timestamp,
    /// Who was born then or before is of age.
    pub of_age_born: Date,
}

/// A person with what is kept of their face.
pub(crate) struct Case {
    pub person: PersonId,
    pub name: String,
    pub unit: String,
    pub face: FaceView,
}

#[derive(sqlx::FromRow)]
struct CaseRow {
    id: Uuid,
    name: String,
    unit: String,
    model: Option<String>,
    dimension: Option<i32>,
    consent_at: Option<jiff_sqlx::Timestamp>,
    version: Option<String>,
    born: Option<jiff_sqlx::Date>,
}

impl From<CaseRow> for Case {
    fn from(row: CaseRow) -> Self {
        let face = FaceView {
            model: row.model.unwrap_or_default(),
            dimension: row.dimension.unwrap_or_default(),
            consent_at: row.consent_at.map(|at| at.to_jiff()),
            consent_version: row.version.unwrap_or_default(),
            born: row.born.map(|born| born.to_jiff()),
            ..FaceView::default()
        };
        Case { person: PersonId(row.id), name: row.name, unit: row.unit, face }
    }
}

/// People whose templates another model made.
pub(crate) async fn of_another_model(pool: &PgPool, by: &Stale<'_>, limit: i64) -> Result<Vec<Case>, StoreError> {
    let rows: Vec<CaseRow> = sqlx::query_as(
        "select p.id, p.name, p.unit, max(t.model) as model, max(t.dimension) as dimension,
                null::timestamptz as consent_at, null::text as version, null::date as born
         from face_template t
         join person p on p.id = t.person
         where t.model <> $1 or t.dimension <> $2
         group by p.id
         order by p.name, p.id
         limit $3",
    )
    .bind(by.model)
    .bind(by.dimension)
    .bind(limit)
    .fetch_all(pool)
    .await
    .doing("read the faces")?;
    Ok(rows.into_iter().map(Case::from).collect())
}

/// People with templates whose newest consent is of another text, of a child that grew up, or long ago.
pub(crate) async fn to_be_asked(pool: &PgPool, by: &Stale<'_>, limit: i64) -> Result<Vec<Case>, StoreError> {
    let rows: Vec<CaseRow> = sqlx::query_as(
        "select p.id, p.name, p.unit, null::text as model, null::integer as dimension,
                c.given_at as consent_at, c.version, c.born
         from person p
         join lateral (select given_at, version, born
                       from consent
                       where person = p.id and withdrawn_at is null
                       order by given_at desc, id desc
                       limit 1) c on true
         where exists (select from face_key k where k.person = p.id)
           and (c.version <> $1 or c.given_at <= $2 or c.born <= $3)
         order by p.name, p.id
         limit $4",
    )
    .bind(by.version)
    .bind(by.older_than.to_sqlx())
    .bind(by.of_age_born.to_sqlx())
    .bind(limit)
    .fetch_all(pool)
    .await
    .doing("read consents")?;
    Ok(rows.into_iter().map(Case::from).collect())
}

/// Devices that have not confirmed every removal.
pub(crate) async fn removing(pool: &PgPool) -> Result<Vec<Removing>, StoreError> {
    let rows: Vec<(Uuid, i64, jiff_sqlx::Timestamp)> = sqlx::query_as(
        "select device, count(distinct what ->> 'person'), min(at)
         from command
         where verb = 'forget_face' and state in ('queued', 'sent', 'acked')
         group by device
         order by min(at), device",
    )
    .fetch_all(pool)
    .await
    .doing("read the command ledger")?;
    Ok(rows
        .into_iter()
        .map(|(device, people, since)| Removing { device: DeviceId(device), people, since: since.to_jiff() })
        .collect())
}

/// A guardian out of two columns.
pub(crate) fn guardian(name: Option<String>, relation: Option<String>) -> Option<Guardian> {
    Some(Guardian { name: name?, relation: relation? })
}
