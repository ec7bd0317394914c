//! Watch lists: which plates are looked for, turned away or welcome.

use crate::app::App;
use crate::auth::SignedIn;
use crate::error::ApiError;
use crate::extract::{Ask, At, Body};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::Response;
use gatehouse_actors::views::{Imported, WatchEntryView, WatchListView};
use gatehouse_actors::{WatchEntryInput, WatchListInput};
use gatehouse_core::id::{WatchEntryId, WatchListId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Largest file of an import, bytes: twenty thousand lines with notes.
pub const FILE_LIMIT: usize = 8 * 1024 * 1024;

/// Watch lists, by name.
#[derive(Serialize, ToSchema)]
pub struct Lists {
    /// The lists.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub lists: Vec<WatchListView>,
}

/// Which lines to list.
#[derive(Deserialize, IntoParams)]
pub struct Query {
    /// Part of a plate or of a note.
    #[serde(default)]
    pub q: String,
    /// At most so many.
    pub limit: Option<i64>,
}

/// Lines of a list, by plate.
#[derive(Serialize, ToSchema)]
pub struct Entries {
    /// The lines.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub entries: Vec<WatchEntryView>,
}

async fn audit(app: &App, who: &SignedIn, action: &str, target: String) -> Result<(), ApiError> {
    app.audit(&who.name, action, &target, "ok").await
}

fn said(list: &WatchListView) -> String {
    let alarm = list.alarm.map(|priority| format!(", alarm {priority}")).unwrap_or_default();
    format!("{} ({}{alarm}{})", list.name, list.listing.word(), if list.opens { ", opens" } else { "" })
}

async fn told(app: &App, who: &SignedIn, action: &str, entry: &WatchEntryView) -> Result<(), ApiError> {
    let until = entry.valid_until.map(|at| format!(" until {at}")).unwrap_or_default();
    audit(app, who, action, format!("{} on {}: {}{until}", entry.plate, entry.list, entry.note)).await
}

/// The watch lists.
#[utoipa::path(get, path = "/api/watch-lists", responses((status = 200, body = Lists)))]
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<Lists>, ApiError> {
    Ok(Json(Lists { lists: app.system().watch_lists().await? }))
}

/// Adds a list.
#[utoipa::path(post, path = "/api/watch-lists", request_body = serde_json::Value,
    responses((status = 201, body = serde_json::Value)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    Body(body): Body<WatchListInput>,
) -> Result<(StatusCode, Json<WatchListView>), ApiError> {
    let list = app.system().watch_list_create(body, &who.name).await?;
    audit(&app, &who, "watch_list.create", said(&list)).await?;
    Ok((StatusCode::CREATED, Json(list)))
}

/// Changes a list; 409 when it is not the version that was seen any more.
#[utoipa::path(put, path = "/api/watch-lists/{id}", params(("id" = uuid::Uuid, Path)), request_body = serde_json::Value,
    responses((status = 200, body = serde_json::Value), (status = 409, body = crate::error::ErrorEnvelope)))]
pub async fn update(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<WatchListId>,
    Body(body): Body<WatchListInput>,
) -> Result<Json<WatchListView>, ApiError> {
    let list = app.system().watch_list_update(id, body, &who.name).await?;
    audit(&app, &who, "watch_list.change", said(&list)).await?;
    Ok(Json(list))
}

/// Deletes a list; its lines are kept for the undo.
#[utoipa::path(delete, path = "/api/watch-lists/{id}", params(("id" = uuid::Uuid, Path)), responses((status = 204)))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<WatchListId>,
) -> Result<StatusCode, ApiError> {
    let list = app.system().watch_list_delete(id, &who.name).await?;
    audit(&app, &who, "watch_list.delete", said(&list)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a deletion back.
#[utoipa::path(post, path = "/api/watch-lists/{id}/undo", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = serde_json::Value)))]
pub async fn undelete(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<WatchListId>,
) -> Result<Json<WatchListView>, ApiError> {
    let list = app.system().watch_list_undelete(id, &who.name).await?;
    audit(&app, &who, "watch_list.undelete", said(&list)).await?;
    Ok(Json(list))
}

/// The lines of a list, by plate.
#[utoipa::path(get, path = "/api/watch-lists/{id}/entries", params(("id" = uuid::Uuid, Path), Query),
    responses((status = 200, body = Entries)))]
pub async fn entries(
    State(app): State<Arc<App>>,
    At(id): At<WatchListId>,
    Ask(query): Ask<Query>,
) -> Result<Json<Entries>, ApiError> {
    let limit = query.limit.unwrap_or(500).clamp(1, 20_000);
    Ok(Json(Entries { entries: app.system().watch_entries(id, &query.q, limit).await? }))
}

/// The same as CSV, as an import reads it.
#[utoipa::path(get, path = "/api/watch-lists/{id}/entries.csv", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, content_type = "text/csv")))]
pub async fn export(State(app): State<Arc<App>>, At(id): At<WatchListId>) -> Result<Response, ApiError> {
    let entries = app.system().watch_entries(id, "", i64::MAX).await?;
    let rows = entries.into_iter().map(|entry| {
        let until = entry.valid_until.map(|at| at.to_string()).unwrap_or_default();
        vec![entry.plate, entry.note, until]
    });
    Ok(super::csv::respond("watch-list.csv", &["plate", "note", "valid_until"], rows))
}

/// Adds a line.
#[utoipa::path(post, path = "/api/watch-lists/{id}/entries", params(("id" = uuid::Uuid, Path)),
    request_body = serde_json::Value, responses((status = 201, body = serde_json::Value)))]
pub async fn add(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<WatchListId>,
    Body(body): Body<WatchEntryInput>,
) -> Result<(StatusCode, Json<WatchEntryView>), ApiError> {
    let entry = app.system().watch_entry_add(id, body, &who.name).await?;
    told(&app, &who, "watch_entry.add", &entry).await?;
    Ok((StatusCode::CREATED, Json(entry)))
}

/// Takes the lines of a CSV file (`plate,note,valid_until`); with an error in any line none is taken, and the answer names
/// line and column of each.
#[utoipa::path(post, path = "/api/watch-lists/{id}/import", params(("id" = uuid::Uuid, Path)),
    request_body(content = String, content_type = "text/csv"), responses((status = 200, body = serde_json::Value)))]
pub async fn import(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<WatchListId>,
    body: Bytes,
) -> Result<Json<Imported>, ApiError> {
    let text = std::str::from_utf8(&body).map_err(|error| {
        let at = body.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
        ApiError::invalid("file", "not_utf8", format!("line {at} of the file is not UTF-8"))
            .remedy("save it as \"CSV UTF-8\" and try again")
    })?;
    let imported = app.system().watch_import(id, text, &who.name).await?;
    if imported.errors.is_empty() {
        let target = format!("{id}: {} added, {} changed", imported.added, imported.changed);
        audit(&app, &who, "watch_list.import", target).await?;
    }
    Ok(Json(imported))
}

/// Changes a line.
#[utoipa::path(put, path = "/api/watch-entries/{id}", params(("id" = uuid::Uuid, Path)), request_body = serde_json::Value,
    responses((status = 200, body = serde_json::Value)))]
pub async fn change(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<WatchEntryId>,
    Body(body): Body<WatchEntryInput>,
) -> Result<Json<WatchEntryView>, ApiError> {
    let entry = app.system().watch_entry_update(id, body, &who.name).await?;
    told(&app, &who, "watch_entry.change", &entry).await?;
    Ok(Json(entry))
}

/// Removes a line.
#[utoipa::path(delete, path = "/api/watch-entries/{id}", params(("id" = uuid::Uuid, Path)), responses((status = 204)))]
pub async fn remove(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<WatchEntryId>,
) -> Result<StatusCode, ApiError> {
    let entry = app.system().watch_entry_remove(id, &who.name).await?;
    told(&app, &who, "watch_entry.remove", &entry).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a removal back.
#[utoipa::path(post, path = "/api/watch-entries/{id}/undo", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = serde_json::Value)))]
pub async fn restore(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<WatchEntryId>,
) -> Result<Json<WatchEntryView>, ApiError> {
    let entry = app.system().watch_entry_restore(id, &who.name).await?;
    told(&app, &who, "watch_entry.restore", &entry).await?;
    Ok(Json(entry))
}
