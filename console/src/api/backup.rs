//! Backups of the running program.

use crate::app::App;
use crate::auth::SignedIn;
use crate::backup::BackupHealth;
use crate::error::ApiError;
use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use std::sync::Arc;

/// How backups do.
#[utoipa::path(get, path = "/api/backup", responses((status = 200, body = BackupHealth)))]
pub async fn show(State(app): State<Arc<App>>) -> Result<Json<BackupHealth>, ApiError> {
    Ok(Json(app.backup().health(app.system().now())))
}

/// Begins a backup; how far it is stands in the answer of the same path, and on the topic `health`.
#[utoipa::path(post, path = "/api/backup", responses((status = 202, body = BackupHealth)))]
pub async fn begin(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
) -> Result<(StatusCode, Json<BackupHealth>), ApiError> {
    app.backup()
        .begin(app.system(), &who.name)
        .map_err(|busy| ApiError::conflict("backup_running", busy.to_string()))?;
    Ok((StatusCode::ACCEPTED, Json(app.backup().health(app.system().now()))))
}
