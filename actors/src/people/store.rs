//! People, credentials, consents and sealed faces.

use super::face::store::{guardian, to_be_removed};
use super::face::{FaceView, RemovalView};
use super::{CredentialInput, CredentialView, PersonInput, PersonView};
use crate::error::{Doing, StoreError};
use gatehouse_core::access::CredentialKind;
use gatehouse_core::id::{CommandId, CredentialId, DeviceId, PersonId};
use gatehouse_core::people::PersonKind;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{PgConnection, PgPool};
use std::collections::BTreeMap;
use uuid::Uuid;

#[derive(sqlx::FromRow)]
struct PersonRow {
    id: Uuid,
    name: String,
    phone: String,
    unit: String,
    kind: String,
    note: String,
    levels: Vec<String>,
    photos: i64,
    model: Option<String>,
    dimension: Option<i32>,
    consent_at: Option<jiff_sqlx::Timestamp>,
    version: Option<String>,
    born: Option<jiff_sqlx::Date>,
    guardian_name: Option<String>,
    guardian_relation: Option<String>,
}

#[derive(sqlx::FromRow)]
struct RemovalRow {
    person: String,
    id: Uuid,
    device: Uuid,
    state: String,
    at: jiff_sqlx::Timestamp,
    changed_at: jiff_sqlx::Timestamp,
}

/// What the devices said of the removal of one person's face.
#[derive(Default)]
struct Removed {
    still_at: Vec<DeviceId>,
    newest: Vec<RemovalView>,
}

impl Removed {
    /// Takes the rows of a person in the order they were asked.
    fn take(&mut self, row: RemovalRow) {
        let device = DeviceId(row.device);
        let pending = matches!(row.state.as_str(), "queued" | "sent" | "acked");
        if pending && !self.still_at.contains(&device) {
            self.still_at.push(device);
        }
        self.newest.retain(|view| view.device != device);
        self.newest.push(RemovalView {
            device,
            command: CommandId(row.id),
            state: row.state,
            asked_at: row.at.to_jiff(),
            changed_at: row.changed_at.to_jiff(),
        });
    }
}

#[derive(sqlx::FromRow)]
struct CredentialRow {
    id: Uuid,
    person: Uuid,
    kind: String,
    value: String,
    valid_from: Option<jiff_sqlx::Timestamp>,
    valid_until: Option<jiff_sqlx::Timestamp>,
    enabled: bool,
}

impl From<CredentialRow> for CredentialView {
    fn from(row: CredentialRow) -> Self {
        Self {
            id: CredentialId(row.id),
            kind: if row.kind == "card" { CredentialKind::Card } else { CredentialKind::Plate },
            value: row.value,
            valid_from: row.valid_from.map(|at| at.to_jiff()),
            valid_until: row.valid_until.map(|at| at.to_jiff()),
            enabled: row.enabled,
        }
    }
}

fn tail(phone: &str) -> String {
    let digits: Vec<char> = phone.chars().filter(char::is_ascii_digit).collect();
    digits[digits.len().saturating_sub(4)..].iter().collect()
}

async fn with_credentials(pool: &PgPool, rows: Vec<PersonRow>) -> Result<Vec<PersonView>, StoreError> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let credentials: Vec<CredentialRow> = sqlx::query_as(
        "select id, person, kind, value, valid_from, valid_until, enabled
         from credential
         where person = any($1) and removed_at is null
         order by kind, created_at, id",
    )
    .bind(&ids)
    .fetch_all(pool)
    .await
    .doing("read credentials")?;
    let told: Vec<RemovalRow> = sqlx::query_as(
        "select what ->> 'person' as person, id, device, state, at, changed_at
         from command
         where verb = 'forget_face' and what ->> 'person' = any($1)
         order by at, device",
    )
    .bind(ids.iter().map(Uuid::to_string).collect::<Vec<_>>())
    .fetch_all(pool)
    .await
    .doing("read the command ledger")?;
    let mut removed: BTreeMap<Uuid, Removed> = BTreeMap::new();
    for row in told {
        if let Ok(person) = Uuid::parse_str(&row.person) {
            removed.entry(person).or_default().take(row);
        }
    }
    let mut held: BTreeMap<Uuid, Vec<CredentialView>> = BTreeMap::new();
    for row in credentials {
        held.entry(row.person).or_default().push(row.into());
    }
    rows.into_iter()
        .map(|row| {
            let kind: PersonKind = serde_json::from_value(serde_json::Value::String(row.kind))
                .map_err(|_| StoreError::Unreadable { what: "person" })?;
            let Removed { still_at, newest } = removed.remove(&row.id).unwrap_or_default();
            Ok(PersonView {
                id: PersonId(row.id),
                name: row.name,
                phone_tail: tail(&row.phone),
                unit: row.unit,
                kind,
                note: row.note,
                levels: row.levels,
                credentials: held.remove(&row.id).unwrap_or_default(),
                face: FaceView {
                    enrolled: row.photos > 0,
                    photos: row.photos,
                    model: row.model.unwrap_or_default(),
                    dimension: row.dimension.unwrap_or_default(),
                    enrol_again: false,
                    consent_at: row.consent_at.map(|at| at.to_jiff()),
                    consent_version: row.version.unwrap_or_default(),
                    guardian: guardian(row.guardian_name, row.guardian_relation),
                    ask_again: None,
                    still_at,
                    removals: newest,
                    born: row.born.map(|born| born.to_jiff()),
                },
            })
        })
        .collect()
}

/// People with their face and the consent that holds, those of a condition.
macro_rules! people {
    ($condition:literal) => {
        concat!(
            "select p.id, p.name, p.phone, p.unit, p.kind, p.note, p.levels, f.photos, f.model, f.dimension,
                    c.given_at as consent_at, c.version, c.born, c.guardian_name, c.guardian_relation
             from person p
             cross join lateral (select count(*) as photos, max(model) as model, max(dimension) as dimension
                                 from face_template t
                                 where t.person = p.id) f
             left join lateral (select given_at, version, born, guardian_name, guardian_relation
                                from consent
                                where person = p.id and withdrawn_at is null
                                order by given_at desc, id desc
                                limit 1) c on true
             ",
            $condition
        )
    };
}

/// People whose name, unit or plate contains a text.
pub(crate) async fn list(pool: &PgPool, q: &str, limit: i64) -> Result<Vec<PersonView>, StoreError> {
    let rows: Vec<PersonRow> = sqlx::query_as(people!(
        "where p.deleted_at is null
               and ($1 = '' or p.name ilike '%' || $1 || '%' or p.unit ilike '%' || $1 || '%'
                    or exists (select from credential c where c.person = p.id and c.removed_at is null
                                                        and c.kind = 'plate' and c.value ilike '%' || $1 || '%'))
             order by p.name, p.id
             limit $2"
    ))
    .bind(q)
    .bind(limit)
    .fetch_all(pool)
    .await
    .doing("read people")?;
    with_credentials(pool, rows).await
}

/// One person.
pub(crate) async fn get(pool: &PgPool, id: PersonId) -> Result<Option<PersonView>, StoreError> {
    let rows: Vec<PersonRow> = sqlx::query_as(people!("where p.id = $1 and p.deleted_at is null"))
        .bind(id.0)
        .fetch_all(pool)
        .await
        .doing("read a person")?;
    Ok(with_credentials(pool, rows).await?.pop())
}

/// Adds a person.
pub(crate) async fn create(pool: &PgPool, id: PersonId, input: &PersonInput, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "insert into person (id, name, phone, unit, kind, note, levels, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(id.0)
    .bind(input.name.trim())
    .bind(input.phone.as_deref().unwrap_or_default())
    .bind(input.unit.as_deref().unwrap_or_default())
    .bind(input.kind.word())
    .bind(input.note.as_deref().unwrap_or_default())
    .bind(input.levels.as_deref().unwrap_or_default())
    .bind(now.to_sqlx())
    .execute(pool)
    .await
    .doing("add a person")?;
    Ok(())
}

/// Changes a person; what is null stays.
pub(crate) async fn update(pool: &PgPool, id: PersonId, input: &PersonInput) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "update person
         set name = $2, phone = coalesce($3, phone), unit = coalesce($4, unit), kind = $5, note = coalesce($6, note),
             levels = coalesce($7, levels)
         where id = $1 and deleted_at is null",
    )
    .bind(id.0)
    .bind(input.name.trim())
    .bind(&input.phone)
    .bind(&input.unit)
    .bind(input.kind.word())
    .bind(&input.note)
    .bind(&input.levels)
    .execute(pool)
    .await
    .doing("change a person")?;
    Ok(done.rows_affected() > 0)
}

/// Empties a person and removes what they hold.
pub(crate) async fn delete(pool: &PgPool, id: PersonId, by: &str, now: Timestamp) -> Result<bool, StoreError> {
    const DOING: &str = "delete a person";
    let mut tx = pool.begin().await.doing(DOING)?;
    let done = sqlx::query(
        "update person
         set deleted_at = $2, name = '', phone = '', unit = '', note = '', levels = '{}'
         where id = $1 and deleted_at is null",
    )
    .bind(id.0)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await
    .doing(DOING)?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("delete from credential where person = $1").bind(id.0).execute(&mut *tx).await.doing(DOING)?;
    let face = sqlx::query("delete from face_key where person = $1").bind(id.0).execute(&mut *tx).await.doing(DOING)?;
    if face.rows_affected() > 0 {
        to_be_removed(&mut tx, id, by, now).await.doing(DOING)?;
    }
    sqlx::query("update consent set withdrawn_at = $2 where person = $1 and withdrawn_at is null")
        .bind(id.0)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
    tx.commit().await.doing(DOING)?;
    Ok(true)
}

/// Gives a credential; none when it is in use.
pub(crate) async fn credential_add(
    pool: &PgPool,
    id: CredentialId,
    person: PersonId,
    input: &CredentialInput,
    normal: &str,
    now: Timestamp,
) -> Result<Option<CredentialView>, StoreError> {
    let row: Option<CredentialRow> = sqlx::query_as(
        "insert into credential (id, person, kind, value, normal, valid_from, valid_until, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (kind, normal) where removed_at is null do nothing
         returning id, person, kind, value, valid_from, valid_until, enabled",
    )
    .bind(id.0)
    .bind(person.0)
    .bind(input.kind.word())
    .bind(input.value.trim())
    .bind(normal)
    .bind(input.valid_from.map(ToSqlx::to_sqlx))
    .bind(input.valid_until.map(ToSqlx::to_sqlx))
    .bind(now.to_sqlx())
    .fetch_optional(pool)
    .await
    .doing("add a credential")?;
    Ok(row.map(CredentialView::from))
}

/// Takes a credential away; whose it was.
pub(crate) async fn credential_remove(
    pool: &PgPool,
    id: CredentialId,
    now: Timestamp,
) -> Result<Option<PersonId>, StoreError> {
    let person: Option<Uuid> = sqlx::query_scalar(
        "update credential set removed_at = $2 where id = $1 and removed_at is null returning person",
    )
    .bind(id.0)
    .bind(now.to_sqlx())
    .fetch_optional(pool)
    .await
    .doing("remove a credential")?;
    Ok(person.map(PersonId))
}

/// Gives a removed credential back, unless its value is in use.
pub(crate) async fn credential_undo(
    pool: &PgPool,
    id: CredentialId,
) -> Result<Option<(PersonId, CredentialView)>, StoreError> {
    let row: Option<CredentialRow> = sqlx::query_as(
        "update credential c
         set removed_at = null
         where c.id = $1
           and c.removed_at is not null
           and not exists (select from credential o where o.kind = c.kind and o.normal = c.normal and o.removed_at is null)
         returning id, person, kind, value, valid_from, valid_until, enabled",
    )
    .bind(id.0)
    .fetch_optional(pool)
    .await
    .doing("give a credential back")?;
    Ok(row.map(|row| (PersonId(row.person), row.into())))
}

/// When the next card or plate ends whose end was not told.
pub(crate) async fn next_expiry(pool: &PgPool) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<jiff_sqlx::Timestamp> =
        sqlx::query_scalar("select min(valid_until) from credential where expired_at is null and removed_at is null")
            .fetch_one(pool)
            .await
            .doing("read credentials")?;
    Ok(at.map(|at| at.to_jiff()))
}

/// Cards and plates past their time whose end was not told: which, whose, and their kind.
pub(crate) async fn ended(pool: &PgPool, now: Timestamp) -> Result<Vec<(CredentialId, PersonId, String)>, StoreError> {
    let rows: Vec<(Uuid, Uuid, String)> = sqlx::query_as(
        "select id, person, kind
         from credential
         where valid_until <= $1 and expired_at is null and removed_at is null
         order by valid_until, id
         limit 500",
    )
    .bind(now.to_sqlx())
    .fetch_all(pool)
    .await
    .doing("read credentials")?;
    Ok(rows.into_iter().map(|(id, person, kind)| (CredentialId(id), PersonId(person), kind)).collect())
}

/// The end of a card or plate is told.
pub(crate) async fn expired(conn: &mut PgConnection, id: CredentialId, at: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query("update credential set expired_at = $2 where id = $1")
        .bind(id.0)
        .bind(at.to_sqlx())
        .execute(conn)
        .await?;
    Ok(())
}
