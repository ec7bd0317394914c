//! The door log.

use crate::app::App;
use crate::error::ApiError;
use crate::extract::Ask;
use axum::Json;
use axum::extract::State;
use gatehouse_actors::AccessQuery;
use gatehouse_actors::views::{AccessView, LevelView};
use gatehouse_core::id::{DeviceId, PersonId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Which records to list.
#[derive(Deserialize, IntoParams)]
pub struct Query {
    /// Before this moment.
    #[param(value_type = Option<String>)]
    pub before: Option<Timestamp>,
    /// At most so many, newest first.
    pub limit: Option<i64>,
    /// Of this door only.
    #[param(value_type = Option<String>)]
    pub device: Option<DeviceId>,
    /// Of this person only.
    #[param(value_type = Option<String>)]
    pub person: Option<PersonId>,
}

/// Access records, newest first.
#[derive(Serialize, ToSchema)]
pub struct Records {
    /// The records.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub records: Vec<AccessView>,
}

/// The access levels there are.
#[derive(Serialize, ToSchema)]
pub struct Levels {
    /// Doors and schedule of each.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub levels: Vec<LevelView>,
}

/// Every decision at a door, newest first.
#[utoipa::path(get, path = "/api/access", params(Query), responses((status = 200, body = Records)))]
pub async fn list(State(app): State<Arc<App>>, Ask(query): Ask<Query>) -> Result<Json<Records>, ApiError> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let query = AccessQuery { before: query.before, limit, device: query.device, person: query.person };
    Ok(Json(Records { records: app.system().access_records(query).await? }))
}

/// The access levels that people can hold.
#[utoipa::path(get, path = "/api/levels", responses((status = 200, body = Levels)))]
pub async fn levels(State(app): State<Arc<App>>) -> Json<Levels> {
    Json(Levels { levels: app.system().levels() })
}
