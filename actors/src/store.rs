//! The database as a whole: migrations, the import of a site, figures.

use crate::error::{Doing, StoreError};
use gatehouse_core::access::{normal_card, normal_plate};
use gatehouse_core::device::link::Announcement;
use gatehouse_core::id::{CredentialId, DeviceId, PersonId, PlaceId};
use gatehouse_core::place::PlaceKind;
use gatehouse_core::site::{Compound, Site, Spec};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use std::collections::HashSet;
use std::hash::Hash;

/// One column of a batch, for `unnest`.
pub(crate) fn column<'a, R, C>(rows: &[&'a R], of: impl Fn(&'a R) -> C) -> Vec<C> {
    rows.iter().map(|row| of(row)).collect()
}

/// The last version of each row, at the place where that version stood: one statement must not touch a row twice.
pub(crate) fn newest<'a, R, K: Eq + Hash>(rows: &[&'a R], key: impl Fn(&R) -> K) -> Vec<&'a R> {
    let mut seen = HashSet::with_capacity(rows.len());
    let mut kept: Vec<_> = rows.iter().rev().copied().filter(|row| seen.insert(key(row))).collect();
    kept.reverse();
    kept
}

/// The migrations, embedded.
static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the database could not be migrated: it may belong to a newer version of this program")]
pub struct MigrateError(#[source] sqlx::migrate::MigrateError);

/// Brings the database to this version.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    MIGRATOR.run(pool).await.map_err(MigrateError)
}

/// Brings an empty database to an older version: what a backup of that time fits into.
pub async fn migrate_to(pool: &PgPool, version: i64) -> Result<(), MigrateError> {
    MIGRATOR.run_to(version, pool).await.map_err(MigrateError)
}

/// The versions this program knows, oldest first, each with its sum.
pub fn schema() -> Vec<(i64, Vec<u8>)> {
    MIGRATOR.iter().map(|migration| (migration.version, migration.checksum.to_vec())).collect()
}

/// How the database does. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct DatabaseHealth {
    pub version: String,
    pub timescale: bool,
    pub size_mb: f64,
    pub up: bool,
}

/// How the database does.
pub(crate) async fn health(pool: &PgPool) -> Result<DatabaseHealth, StoreError> {
    let (version, timescale, bytes): (String, bool, i64) = sqlx::query_as(
        "select current_setting('server_version'),
                exists (select from pg_extension where extname = 'timescaledb'),
                pg_database_size(current_database())",
    )
    .fetch_one(pool)
    .await
    .doing("tell its version")?;
    #[allow(clippy::cast_precision_loss, reason = "megabytes to one decimal")]
    let size_mb = (bytes as f64 / 104_857.6).round() / 10.0;
    Ok(DatabaseHealth { version, timescale, size_mb, up: true })
}

/// The site as imported.
pub(crate) async fn site(pool: &PgPool) -> Result<Option<Site>, StoreError> {
    let row: Option<Json<Site>> =
        sqlx::query_scalar("select definition from site").fetch_optional(pool).await.doing("read the site")?;
    Ok(row.map(|site| site.0))
}

/// Devices that introduced themselves.
pub(crate) async fn announced(pool: &PgPool) -> Result<Vec<Announcement>, StoreError> {
    let rows: Vec<Json<Announcement>> = sqlx::query_scalar(
        "select announcement from device where announcement is not null and removed_at is null order by key",
    )
    .fetch_all(pool)
    .await
    .doing("read announced devices")?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

/// Stores a device that introduced itself.
pub(crate) async fn announce(pool: &PgPool, spec: &Spec, announcement: &Announcement) -> Result<(), StoreError> {
    let mut conn = pool.acquire().await.doing("store a device")?;
    devices(&mut conn, &[spec], Some(announcement)).await.doing("store a device")
}

async fn devices(
    conn: &mut PgConnection,
    specs: &[&Spec],
    announcement: Option<&Announcement>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into device (id, key, kind, name, place, announcement)
         select id, key, kind, name, place, $6::jsonb
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[]) as spec (id, key, kind, name, place)
         on conflict (id) do update
         set kind = excluded.kind, name = excluded.name, place = excluded.place, announcement = excluded.announcement,
             removed_at = null",
    )
    .bind(column(specs, |spec| spec.id.0))
    .bind(column(specs, |spec| spec.key.as_str()))
    .bind(column(specs, |spec| spec.kind.word()))
    .bind(column(specs, |spec| spec.name.as_str()))
    .bind(column(specs, |spec| spec.place.0))
    .bind(announcement.map(Json))
    .execute(conn)
    .await?;
    Ok(())
}

/// Imports a checked site: places and devices as they are in it, people that are not known yet. People that operators changed
/// or deleted stay as they are.
pub async fn import(pool: &PgPool, site: &Site, now: Timestamp) -> Result<(), StoreError> {
    const DOING: &str = "import the site";
    let compound = Compound::new(site);
    let mut tx = pool.begin().await.doing(DOING)?;
    sqlx::query(
        "insert into site (definition, imported_at)
         values ($1, $2)
         on conflict (singleton) do update set definition = excluded.definition, imported_at = excluded.imported_at",
    )
    .bind(Json(site))
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await
    .doing(DOING)?;
    for place in &compound.places {
        let kind = match place.kind {
            PlaceKind::Site => "site",
            PlaceKind::Building => "building",
            PlaceKind::Floor => "floor",
            PlaceKind::Space => "space",
        };
        sqlx::query(
            "insert into place (id, key, parent, kind, name, name_zh)
             values ($1, $2, $3, $4, $5, $6)
             on conflict (id) do update
             set parent = excluded.parent, kind = excluded.kind, name = excluded.name, name_zh = excluded.name_zh",
        )
        .bind(place.id.0)
        .bind(&place.key)
        .bind(place.parent.map(|PlaceId(id)| id))
        .bind(kind)
        .bind(&place.name)
        .bind(&place.name_zh)
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
    }
    let specs: Vec<_> = compound.devices.values().collect();
    devices(&mut tx, &specs, None).await.doing(DOING)?;
    let present: Vec<_> = compound.devices.keys().map(|DeviceId(id)| *id).collect();
    sqlx::query(
        "update device set removed_at = $2 where announcement is null and removed_at is null and id <> all($1)",
    )
    .bind(present)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await
    .doing(DOING)?;
    for person in &site.people {
        let id = PersonId::from_key(&person.key);
        let new = sqlx::query(
            "insert into person (id, key, name, phone, unit, kind, note, levels, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             on conflict (id) do nothing",
        )
        .bind(id.0)
        .bind(&person.key)
        .bind(&person.name)
        .bind(&person.phone)
        .bind(&person.unit)
        .bind(person.kind.word())
        .bind(&person.note)
        .bind(&person.levels)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await
        .doing(DOING)?;
        if new.rows_affected() == 0 {
            continue;
        }
        let cards = person.cards.iter().map(|card| ("card", card, normal_card(card)));
        let plates = person.plates.iter().map(|plate| ("plate", plate, normal_plate(plate)));
        for (kind, value, normal) in cards.chain(plates) {
            sqlx::query(
                "insert into credential (id, person, kind, value, normal, valid_from, valid_until, created_at)
                 values ($1, $2, $3, $4, $5, $6, $7, $8)
                 on conflict do nothing",
            )
            .bind(CredentialId::from_key(&format!("{}:{kind}:{normal}", person.key)).0)
            .bind(id.0)
            .bind(kind)
            .bind(value)
            .bind(&normal)
            .bind(person.valid_from.map(ToSqlx::to_sqlx))
            .bind(person.valid_until.map(ToSqlx::to_sqlx))
            .bind(now.to_sqlx())
            .execute(&mut *tx)
            .await
            .doing(DOING)?;
        }
    }
    tx.commit().await.doing(DOING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_versions_of_a_row_the_last_counts_where_it_stood() {
        let versions = [(1, "raised"), (2, "raised"), (1, "closed"), (3, "raised")];
        let rows: Vec<_> = versions.iter().collect();
        assert_eq!(newest(&rows, |row| row.0), [&(2, "raised"), &(1, "closed"), &(3, "raised")]);
    }
}
