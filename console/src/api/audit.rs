//! The audit log.

use crate::app::App;
use crate::error::ApiError;
use crate::extract::Ask;
use axum::Json;
use axum::extract::State;
use gatehouse_actors::staff::{self, AuditRow};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Which rows to list.
#[derive(Deserialize, IntoParams)]
pub struct Query {
    /// Before this moment.
    #[param(value_type = Option<String>)]
    pub before: Option<Timestamp>,
    /// At most so many, newest first.
    pub limit: Option<i64>,
}

/// Audit rows, newest first.
#[derive(Serialize, ToSchema)]
pub struct Audit {
    /// The rows.
    pub rows: Vec<AuditRow>,
    /// Whether the hash chain of the whole log is unbroken.
    pub intact: bool,
}

/// Who did what, newest first.
#[utoipa::path(get, path = "/api/audit", params(Query), responses((status = 200, body = Audit)))]
pub async fn list(State(app): State<Arc<App>>, Ask(query): Ask<Query>) -> Result<Json<Audit>, ApiError> {
    let limit = query.limit.unwrap_or(200).clamp(1, 1000);
    let rows = staff::audit_list(app.pool(), query.before, limit).await.map_err(ApiError::internal)?;
    let check = staff::audit_verify(app.pool()).await.map_err(ApiError::internal)?;
    Ok(Json(Audit { rows, intact: check.intact() }))
}
