//! The alarm desk.

use crate::app::App;
use crate::auth::SignedIn;
use crate::error::ApiError;
use crate::extract::{Ask, At, Body};
use axum::Json;
use axum::extract::{Extension, State};
use gatehouse_actors::AlarmQuery;
use gatehouse_actors::views::{AlarmDetail, AlarmList};
use gatehouse_core::id::AlarmId;
use jiff::Timestamp;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Which alarms to list.
#[derive(Deserialize, IntoParams)]
pub struct Query {
    /// `open` (default) or `all`.
    pub state: Option<String>,
    /// Raised before this moment.
    #[param(value_type = Option<String>)]
    pub before: Option<Timestamp>,
    /// At most so many.
    pub limit: Option<i64>,
    /// Words to find in type and parameters.
    #[serde(default)]
    pub q: String,
}

/// A comment.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct Acknowledgement {
    /// What the operator notes.
    pub comment: Option<String>,
}

/// Shelving takes a time and a reason.
#[derive(Deserialize, ToSchema)]
pub struct Shelving {
    /// Minutes, 1 to 1 440.
    pub minutes: u32,
    /// Why.
    pub reason: String,
}

/// A note on the alarm's timeline.
#[derive(Deserialize, ToSchema)]
pub struct Comment {
    /// The note.
    pub text: String,
}

/// Whether a step of the procedure is done.
#[derive(Deserialize, ToSchema)]
pub struct Step {
    /// Done, or taken back.
    pub done: bool,
}

/// A work order to open for the alarm.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct Order {
    /// Title; by the alarm's type when not given.
    pub title: Option<String>,
}

/// Alarms and their counts by priority.
#[utoipa::path(get, path = "/api/alarms", params(Query), responses((status = 200, body = serde_json::Value)))]
pub async fn list(State(app): State<Arc<App>>, Ask(query): Ask<Query>) -> Result<Json<AlarmList>, ApiError> {
    let open = match query.state.as_deref() {
        None | Some("open") => true,
        Some("all") => false,
        Some(_) => return Err(ApiError::bad_request("bad_query", "state is open or all").field("state")),
    };
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let query = AlarmQuery { open, before: query.before, limit, q: query.q };
    Ok(Json(app.system().alarms(query).await?))
}

/// One alarm with its timeline, clips, procedure and work orders.
#[utoipa::path(get, path = "/api/alarms/{id}", params(("id" = uuid::Uuid, Path)), responses((status = 200, body = serde_json::Value)))]
pub async fn show(State(app): State<Arc<App>>, At(id): At<AlarmId>) -> Result<Json<AlarmDetail>, ApiError> {
    Ok(Json(app.system().alarm(id).await?))
}

/// Acknowledges.
#[utoipa::path(post, path = "/api/alarms/{id}/ack", params(("id" = uuid::Uuid, Path)), request_body = Acknowledgement,
    responses((status = 200, body = serde_json::Value)))]
pub async fn acknowledge(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<AlarmId>,
    Body(body): Body<Acknowledgement>,
) -> Result<Json<AlarmDetail>, ApiError> {
    Ok(Json(app.system().ack(id, &who.name, body.comment).await?))
}

/// Shelves.
#[utoipa::path(post, path = "/api/alarms/{id}/shelve", params(("id" = uuid::Uuid, Path)), request_body = Shelving,
    responses((status = 200, body = serde_json::Value)))]
pub async fn shelve(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<AlarmId>,
    Body(body): Body<Shelving>,
) -> Result<Json<AlarmDetail>, ApiError> {
    Ok(Json(app.system().shelve(id, &who.name, body.minutes, body.reason).await?))
}

/// Takes off the shelf.
#[utoipa::path(post, path = "/api/alarms/{id}/unshelve", params(("id" = uuid::Uuid, Path)), responses((status = 200, body = serde_json::Value)))]
pub async fn unshelve(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<AlarmId>,
) -> Result<Json<AlarmDetail>, ApiError> {
    Ok(Json(app.system().unshelve(id, &who.name).await?))
}

/// Adds a note.
#[utoipa::path(post, path = "/api/alarms/{id}/comment", params(("id" = uuid::Uuid, Path)), request_body = Comment,
    responses((status = 200, body = serde_json::Value)))]
pub async fn comment(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<AlarmId>,
    Body(body): Body<Comment>,
) -> Result<Json<AlarmDetail>, ApiError> {
    Ok(Json(app.system().comment(id, &who.name, body.text).await?))
}

/// Opens a work order.
#[utoipa::path(post, path = "/api/alarms/{id}/work-order", params(("id" = uuid::Uuid, Path)), request_body = Order,
    responses((status = 200, body = serde_json::Value)))]
pub async fn open_work_order(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<AlarmId>,
    Body(body): Body<Order>,
) -> Result<Json<AlarmDetail>, ApiError> {
    Ok(Json(app.system().open_work_order(id, &who.name, body.title).await?))
}

/// Marks a step of the procedure.
#[utoipa::path(post, path = "/api/alarms/{id}/steps/{step}", params(("id" = uuid::Uuid, Path), ("step" = String, Path)),
    request_body = Step, responses((status = 200, body = serde_json::Value)))]
pub async fn step(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At((id, step)): At<(AlarmId, String)>,
    Body(body): Body<Step>,
) -> Result<Json<AlarmDetail>, ApiError> {
    Ok(Json(app.system().step_done(id, step, body.done, &who.name).await?))
}
