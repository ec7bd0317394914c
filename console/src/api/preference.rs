//! What an account keeps of its pages, e.g. saved layouts of the wall. The document is the browser's own.

use crate::app::App;
use crate::auth::SignedIn;
use crate::error::ApiError;
use crate::extract::Body;
use axum::Json;
use axum::extract::{Extension, State};
use gatehouse_actors::staff;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// The document and its version.
#[derive(Serialize, ToSchema)]
pub struct Preferences {
    /// Counts the changes; 0: nothing was kept yet.
    pub version: i64,
    /// Whatever the pages keep, a part for each.
    #[schema(value_type = Object)]
    pub preferences: Map<String, Value>,
}

/// The document that is to be kept, and the version that its writer saw.
#[derive(Deserialize, ToSchema)]
pub struct PreferencesChange {
    /// The version that was read; 0: nothing was kept yet.
    pub version: i64,
    /// A part for each page; at most 64 KiB of JSON.
    #[schema(value_type = Object)]
    pub preferences: Map<String, Value>,
}

/// What the account of this session keeps.
#[utoipa::path(get, path = "/api/me/preferences", responses((status = 200, body = Preferences)))]
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
) -> Result<Json<Preferences>, ApiError> {
    let row = staff::preference(app.pool(), who.id).await.map_err(ApiError::internal)?;
    let preferences = serde_json::from_str(&row.content).map_err(ApiError::internal)?;
    Ok(Json(Preferences { version: row.version, preferences }))
}

/// Keeps it anew; 409 when it is not the version that was seen any more.
#[utoipa::path(put, path = "/api/me/preferences", request_body = PreferencesChange,
    responses((status = 200, body = Preferences), (status = 409, body = crate::error::ErrorEnvelope),
        (status = 422, body = crate::error::ErrorEnvelope)))]
pub async fn update(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    Body(body): Body<PreferencesChange>,
) -> Result<Json<Preferences>, ApiError> {
    let content = serde_json::to_string(&body.preferences).map_err(ApiError::internal)?;
    let now = app.system().now();
    let version = staff::preference_put(app.pool(), who.id, body.version, &content, now).await?;
    Ok(Json(Preferences { version, preferences: body.preferences }))
}
