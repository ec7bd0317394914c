//! Video patrol: routes, rounds, the pictures of their stops.

use super::ptz;
use crate::app::App;
use crate::auth::SignedIn;
use crate::error::ApiError;
use crate::extract::{Ask, At, Body};
use crate::media::vision;
use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use gatehouse_actors::views::RouteView;
use gatehouse_actors::{AttestInput, RoundQuery, RouteInput};
use gatehouse_core::id::{PatrolRoundId, PatrolRouteId, PictureId};
use gatehouse_core::patrol::{Round, StopPicture};
use gatehouse_vision::Which;
use gatehouse_vision::snapshot::SnapshotError;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Pictures of a month are removed when the month is so long over; what was attested stays.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 400);

/// Routes, by name.
#[derive(Serialize, ToSchema)]
pub struct Routes {
    /// The routes.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub routes: Vec<RouteView>,
}

/// Rounds, newest first.
#[derive(Serialize, ToSchema)]
pub struct Rounds {
    /// The rounds.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub rounds: Vec<Round>,
}

/// Which rounds to list.
#[derive(Deserialize, IntoParams)]
pub struct Query {
    /// Begun before this moment.
    #[param(value_type = Option<String>)]
    pub before: Option<Timestamp>,
    /// At most so many, newest first.
    pub limit: Option<i64>,
    /// Of this route only.
    #[param(value_type = Option<String>)]
    pub route: Option<PatrolRouteId>,
}

/// A round to begin.
#[derive(Deserialize, ToSchema)]
pub struct Begin {
    /// The route to walk.
    #[schema(value_type = String)]
    pub route: PatrolRouteId,
}

/// Why a round ends before its last stop.
#[derive(Deserialize, ToSchema)]
pub struct End {
    /// In words.
    #[serde(default)]
    pub note: String,
}

/// Routes, by name.
#[utoipa::path(get, path = "/api/patrol/routes", responses((status = 200, body = Routes)))]
pub async fn routes(State(app): State<Arc<App>>) -> Result<Json<Routes>, ApiError> {
    Ok(Json(Routes { routes: app.system().patrol_routes().await? }))
}

/// Plans a route: `name`, `stops` of `camera`, `preset` and `look`.
#[utoipa::path(post, path = "/api/patrol/routes", request_body = serde_json::Value, responses((status = 201, body = serde_json::Value)))]
pub async fn create_route(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    Body(body): Body<RouteInput>,
) -> Result<(StatusCode, Json<RouteView>), ApiError> {
    Ok((StatusCode::CREATED, Json(app.system().patrol_route_create(body, &who.name).await?)))
}

/// Changes a route; rounds that were begun go on as they were planned.
#[utoipa::path(put, path = "/api/patrol/routes/{id}", params(("id" = uuid::Uuid, Path)), request_body = serde_json::Value,
    responses((status = 200, body = serde_json::Value)))]
pub async fn update_route(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PatrolRouteId>,
    Body(body): Body<RouteInput>,
) -> Result<Json<RouteView>, ApiError> {
    Ok(Json(app.system().patrol_route_update(id, body, &who.name).await?))
}

/// Takes a route away; its rounds stay.
#[utoipa::path(delete, path = "/api/patrol/routes/{id}", params(("id" = uuid::Uuid, Path)), responses((status = 204)))]
pub async fn delete_route(State(app): State<Arc<App>>, At(id): At<PatrolRouteId>) -> Result<StatusCode, ApiError> {
    app.system().patrol_route_delete(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a deletion back.
#[utoipa::path(post, path = "/api/patrol/routes/{id}/undo", params(("id" = uuid::Uuid, Path)), responses((status = 200, body = serde_json::Value)))]
pub async fn undelete_route(
    State(app): State<Arc<App>>,
    At(id): At<PatrolRouteId>,
) -> Result<Json<RouteView>, ApiError> {
    Ok(Json(app.system().patrol_route_undelete(id).await?))
}

/// Rounds, newest first.
#[utoipa::path(get, path = "/api/patrol/rounds", params(Query), responses((status = 200, body = Rounds)))]
pub async fn rounds(State(app): State<Arc<App>>, Ask(query): Ask<Query>) -> Result<Json<Rounds>, ApiError> {
    Ok(Json(Rounds { rounds: find(&app, query, 50, 500).await? }))
}

/// Every stop of the rounds as CSV.
#[utoipa::path(get, path = "/api/patrol/rounds.csv", params(Query), responses((status = 200, content_type = "text/csv")))]
pub async fn export(State(app): State<Arc<App>>, Ask(query): Ask<Query>) -> Result<Response, ApiError> {
    let rounds = find(&app, query, 1_000, 10_000).await?;
    let compound = app.system().compound();
    let camera = |id| compound.device(id).map(|spec| spec.name.clone()).unwrap_or_default();
    let heading = [
        "round",
        "route",
        "by",
        "began_at",
        "ended_at",
        "ended_because",
        "stop",
        "camera",
        "preset",
        "look",
        "verdict",
        "note",
        "attested_at",
        "picture",
        "taken_at",
        "sha256",
        "work_order",
    ];
    let rows = rounds.iter().flat_map(|round| {
        round.stops.iter().enumerate().map(move |(n, stop)| {
            let at = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
            let (picture, attest) = (stop.picture.as_ref(), stop.attest.as_ref());
            let verdict = attest.and_then(|attest| serde_json::to_value(attest.verdict).ok());
            vec![
                round.id.to_string(),
                round.name.clone(),
                round.by.clone(),
                round.began_at.to_string(),
                at(round.ended_at),
                round.note.clone(),
                (n + 1).to_string(),
                camera(stop.planned.camera),
                stop.planned.preset.clone(),
                stop.planned.look.clone(),
                verdict.as_ref().and_then(|word| word.as_str()).unwrap_or_default().to_owned(),
                attest.map(|attest| attest.note.clone()).unwrap_or_default(),
                at(attest.map(|attest| attest.at)),
                picture.map(|picture| picture.id.to_string()).unwrap_or_default(),
                at(picture.map(|picture| picture.at)),
                picture.map(|picture| picture.sha256.clone()).unwrap_or_default(),
                attest.and_then(|attest| attest.work_order).map(|id| id.to_string()).unwrap_or_default(),
            ]
        })
    });
    Ok(super::csv::respond("patrol.csv", &heading, rows))
}

async fn find(app: &App, query: Query, usual: i64, most: i64) -> Result<Vec<Round>, ApiError> {
    let limit = query.limit.unwrap_or(usual).clamp(1, most);
    Ok(app.system().patrol_rounds(RoundQuery { before: query.before, limit, route: query.route }).await?)
}

/// Begins a round; whoever walks one of this route goes on with it.
#[utoipa::path(post, path = "/api/patrol/rounds", request_body = Begin, responses((status = 201, body = serde_json::Value)))]
pub async fn begin(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    Body(body): Body<Begin>,
) -> Result<(StatusCode, Json<Round>), ApiError> {
    let round = app.system().patrol_begin(body.route, &who.name).await?;
    let (pictures, now) = (folder(&app), app.system().now());
    tokio::task::spawn_blocking(move || forget(&pictures, now));
    Ok((StatusCode::CREATED, Json(round)))
}

/// One round.
#[utoipa::path(get, path = "/api/patrol/rounds/{id}", params(("id" = uuid::Uuid, Path)), responses((status = 200, body = serde_json::Value)))]
pub async fn round(State(app): State<Arc<App>>, At(id): At<PatrolRoundId>) -> Result<Json<Round>, ApiError> {
    Ok(Json(app.system().patrol_round(id).await?))
}

/// Ends a round before its last stop.
#[utoipa::path(post, path = "/api/patrol/rounds/{id}/end", params(("id" = uuid::Uuid, Path)), request_body = End,
    responses((status = 200, body = serde_json::Value)))]
pub async fn end(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PatrolRoundId>,
    Body(body): Body<End>,
) -> Result<Json<Round>, ApiError> {
    Ok(Json(app.system().patrol_end(id, body.note, &who.name).await?))
}

/// Turns the camera of a stop, the first being 0, to its preset, takes its picture and keeps it.
#[utoipa::path(post, path = "/api/patrol/rounds/{id}/stops/{step}/picture", params(("id" = uuid::Uuid, Path), ("step" = usize, Path)),
    responses((status = 200, body = serde_json::Value)))]
pub async fn look(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At((id, stop)): At<(PatrolRoundId, usize)>,
) -> Result<Json<Round>, ApiError> {
    let planned = app.system().patrol_may_look(id, stop, &who.name).await?;
    if !planned.preset.is_empty() {
        ptz::aim(&app, planned.camera, &planned.preset, &who.name).await?;
    }
    let (jpeg, at) = vision(&app)?.snapshot_of(planned.camera, Which::Main).await.map_err(|error| match error {
        SnapshotError::UnknownCamera => ApiError::not_found("camera"),
        other => ApiError::unavailable("no_picture", other.to_string())
            .remedy("try again, or say that the stop cannot be seen"),
    })?;
    let picture = StopPicture { id: app.system().patrol_picture_id(), sha256: hash(&jpeg), at };
    let path = path_of(&folder(&app), picture.id).ok_or_else(|| ApiError::not_found("picture"))?;
    let kept = tokio::task::spawn_blocking(move || keep(&path, &jpeg)).await;
    kept.map_err(std::io::Error::other).and_then(|kept| kept).map_err(|error| {
        ApiError::unavailable("not_kept", format!("the picture cannot be kept: {error}"))
            .remedy("make room on the disk of the data directory")
    })?;
    Ok(Json(app.system().patrol_look(id, stop, picture, &who.name).await?))
}

/// Attests a stop, the first being 0: `verdict` (`in_order`, `abnormal`, `unseen`), `note`, `work_order`.
#[utoipa::path(post, path = "/api/patrol/rounds/{id}/stops/{step}", params(("id" = uuid::Uuid, Path), ("step" = usize, Path)),
    request_body = serde_json::Value, responses((status = 200, body = serde_json::Value)))]
pub async fn attest(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At((id, stop)): At<(PatrolRoundId, usize)>,
    Body(body): Body<AttestInput>,
) -> Result<Json<Round>, ApiError> {
    Ok(Json(app.system().patrol_attest(id, stop, body, &who.name).await?))
}

/// `GET /api/patrol/pictures/{id}.jpg`: the picture of a stop.
pub async fn picture(State(app): State<Arc<App>>, At(file): At<String>) -> Result<Response, ApiError> {
    let id: Option<PictureId> = file.strip_suffix(".jpg").and_then(|id| id.parse().ok());
    let path = id.and_then(|id| path_of(&folder(&app), id)).ok_or_else(|| ApiError::not_found("picture"))?;
    let jpeg = tokio::fs::read(path).await.map_err(|_| ApiError::not_found("picture"))?;
    let head = [(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "private, max-age=86400")];
    Ok((head, jpeg).into_response())
}

fn folder(app: &App) -> PathBuf {
    // With the other pictures, so that a backup has them.
    app.data().join("pictures")
}

fn hash(bytes: &Bytes) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a picture lies: by the month that its id (UUIDv7) carries.
fn path_of(folder: &Path, id: PictureId) -> Option<PathBuf> {
    let (seconds, _) = id.0.get_timestamp()?.to_unix();
    let taken = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(folder.join(taken.strftime("patrol-%Y-%m").to_string()).join(format!("{id}.jpg")))
}

/// Writes a picture through to the disk before it is told of.
fn keep(path: &Path, jpeg: &[u8]) -> std::io::Result<()> {
    let month = path.parent().unwrap_or(path);
    std::fs::create_dir_all(month)?;
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(jpeg)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    std::fs::File::open(month)?.sync_all()
}

/// Removes the months that are over for longer than [`KEPT`]; what is no month is left alone.
fn forget(folder: &Path, now: Timestamp) {
    let oldest = (now - KEPT).strftime("patrol-%Y-%m").to_string();
    let is_month = |name: &str| {
        let month = name.strip_prefix("patrol-").filter(|month| month.len() == 7);
        month.is_some_and(|month| jiff::civil::Date::strptime("%Y-%m-%d", format!("{month}-01")).is_ok())
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_month(&name)
            && name < oldest
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::warn!(%error, "Old pictures of the patrol in {} cannot be removed", entry.path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_forgotten_when_they_are_long_over_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["patrol-2025-01", "patrol-2026-02", "patrol-2026-11", "2025-01-01", "patrol-2025-99"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        forget(dir.path(), "2026-11-28T00:00:00Z".parse().unwrap());
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        left.sort();
        assert_eq!(left, ["2025-01-01", "patrol-2025-99", "patrol-2026-02", "patrol-2026-11"]);
    }

    #[test]
    fn a_picture_is_kept_whole_found_by_its_id_and_backed_up() {
        let data = tempfile::tempdir().unwrap();
        let dir = data.path().join("pictures");
        let id = PictureId(uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 1_790_000_000, 0)));
        let path = path_of(&dir, id).unwrap();
        keep(&path, b"jpeg").unwrap();
        assert_eq!(std::fs::read(path_of(&dir, id).unwrap()).unwrap(), b"jpeg");
        assert_eq!(path_of(&dir, PictureId::from_key("of no time")), None);
        assert!(crate::backup::files::pictures(data.path()).unwrap().values().any(|chosen| *chosen == path));
    }
}
