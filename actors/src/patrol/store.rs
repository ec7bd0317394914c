//! Routes and rounds of the video patrol.

use super::{RoundQuery, RouteView};
use crate::error::{Doing, StoreError};
use gatehouse_core::id::{PatrolRoundId, PatrolRouteId};
use gatehouse_core::patrol::{Round, RouteStop};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;

#[derive(sqlx::FromRow)]
struct RouteRow {
    id: Uuid,
    name: String,
    stops: Json<Vec<RouteStop>>,
    by: String,
    at: jiff_sqlx::Timestamp,
    walked_at: Option<jiff_sqlx::Timestamp>,
}

/// The routes that are not deleted, by name.
pub(crate) async fn routes(pool: &PgPool) -> Result<Vec<RouteView>, StoreError> {
    let rows: Vec<RouteRow> = sqlx::query_as(
        "select id, name, stops, by, at,
                (select max(began_at) from patrol_round where route = patrol_route.id) as walked_at
         from patrol_route
         where deleted_at is null
         order by name, id",
    )
    .fetch_all(pool)
    .await
    .doing("read patrol routes")?;
    let view = |row: RouteRow| RouteView {
        id: PatrolRouteId(row.id),
        name: row.name,
        stops: row.stops.0,
        by: row.by,
        at: row.at.to_jiff(),
        walked_at: row.walked_at.map(|at| at.to_jiff()),
    };
    Ok(rows.into_iter().map(view).collect())
}

/// Stores a route, new or changed.
pub(crate) async fn put_route(pool: &PgPool, route: &RouteView) -> Result<(), StoreError> {
    sqlx::query(
        "insert into patrol_route (id, name, stops, by, at)
         values ($1, $2, $3, $4, $5)
         on conflict (id) do update set name = excluded.name, stops = excluded.stops, by = excluded.by, at = excluded.at",
    )
    .bind(route.id.0)
    .bind(&route.name)
    .bind(Json(&route.stops))
    .bind(&route.by)
    .bind(route.at.to_sqlx())
    .execute(pool)
    .await
    .doing("store a patrol route")?;
    Ok(())
}

/// Deletes a route, or takes the deletion back; whether there is one.
pub(crate) async fn delete_route(pool: &PgPool, id: PatrolRouteId, at: Option<Timestamp>) -> Result<bool, StoreError> {
    let done = sqlx::query("update patrol_route set deleted_at = $2 where id = $1")
        .bind(id.0)
        .bind(at.map(ToSqlx::to_sqlx))
        .execute(pool)
        .await
        .doing("delete a patrol route")?;
    Ok(done.rows_affected() == 1)
}

/// Stores a round that begins.
pub(crate) async fn begin(pool: &PgPool, round: &Round) -> Result<(), StoreError> {
    sqlx::query("insert into patrol_round (id, route, began_at, body, version) values ($1, $2, $3, $4, 1)")
        .bind(round.id.0)
        .bind(round.route.0)
        .bind(round.began_at.to_sqlx())
        .bind(Json(round))
        .execute(pool)
        .await
        .doing("store a patrol round")?;
    Ok(())
}

/// One round and its version.
pub(crate) async fn round(pool: &PgPool, id: PatrolRoundId) -> Result<Option<(Round, i32)>, StoreError> {
    let row: Option<(Json<Round>, i32)> = sqlx::query_as("select body, version from patrol_round where id = $1")
        .bind(id.0)
        .fetch_optional(pool)
        .await
        .doing("read a patrol round")?;
    Ok(row.map(|(body, version)| (body.0, version)))
}

/// Stores the next version of a round; false when the one before it is not the newest any more.
pub(crate) async fn put_round(pool: &PgPool, round: &Round, version: i32) -> Result<bool, StoreError> {
    let done = sqlx::query("update patrol_round set body = $2, version = version + 1 where id = $1 and version = $3")
        .bind(round.id.0)
        .bind(Json(round))
        .bind(version)
        .execute(pool)
        .await
        .doing("store a patrol round")?;
    Ok(done.rows_affected() == 1)
}

/// Rounds, newest first.
pub(crate) async fn rounds(pool: &PgPool, query: &RoundQuery) -> Result<Vec<Round>, StoreError> {
    let rows: Vec<(Json<Round>,)> = sqlx::query_as(
        "select body
         from patrol_round
         where ($1::timestamptz is null or began_at < $1)
           and ($2::uuid is null or route = $2)
         order by began_at desc, id
         limit $3",
    )
    .bind(query.before.map(ToSqlx::to_sqlx))
    .bind(query.route.map(|id| id.0))
    .bind(query.limit.clamp(1, 10_000))
    .fetch_all(pool)
    .await
    .doing("read patrol rounds")?;
    Ok(rows.into_iter().map(|(body,)| body.0).collect())
}
