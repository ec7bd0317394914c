//! The program's parts, as far as people operate them.

use crate::app::App;
use crate::error::ApiError;
use crate::extract::At;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// Starts a quarantined part of the program again. Its alarm ends once it runs.
#[utoipa::path(post, path = "/api/actors/{key}/restart", params(("key" = String, Path)),
    responses((status = 202), (status = 404), (status = 409)))]
pub async fn restart(State(app): State<Arc<App>>, At(key): At<String>) -> Result<StatusCode, ApiError> {
    app.system().actor_restart(&key).await?;
    Ok(StatusCode::ACCEPTED)
}
