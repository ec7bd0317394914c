//! The event timeline.

use crate::app::App;
use crate::error::ApiError;
use crate::extract::Ask;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use gatehouse_actors::EventQuery;
use gatehouse_actors::views::EventView;
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Which events to list.
#[derive(Deserialize, IntoParams)]
pub struct Query {
    /// Before this moment.
    #[param(value_type = Option<String>)]
    pub before: Option<Timestamp>,
    /// At most so many, newest first.
    pub limit: Option<i64>,
    /// Of this device only.
    #[param(value_type = Option<String>)]
    pub device: Option<DeviceId>,
    /// Of this code only.
    #[serde(default)]
    pub code: String,
    /// Words to find.
    #[serde(default)]
    pub q: String,
}

/// Events, newest first.
#[derive(Serialize, ToSchema)]
pub struct Events {
    /// The events.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub events: Vec<EventView>,
}

/// What happened, newest first.
#[utoipa::path(get, path = "/api/events", params(Query), responses((status = 200, body = Events)))]
pub async fn list(State(app): State<Arc<App>>, Ask(query): Ask<Query>) -> Result<Json<Events>, ApiError> {
    Ok(Json(Events { events: find(&app, query, 200, 1000).await? }))
}

/// The same as CSV.
#[utoipa::path(get, path = "/api/events.csv", params(Query), responses((status = 200, content_type = "text/csv")))]
pub async fn export(State(app): State<Arc<App>>, Ask(query): Ask<Query>) -> Result<Response, ApiError> {
    let events = find(&app, query, 10_000, 100_000).await?;
    let name = |id: Option<DeviceId>| {
        id.and_then(|id| app.system().device(id)).map(|device| device.key.to_string()).unwrap_or_default()
    };
    let rows = events.into_iter().map(|event| {
        let params = serde_json::to_string(&event.params).unwrap_or_default();
        vec![event.at.to_string(), event.code, name(event.device), event.by, params]
    });
    Ok(super::csv::respond("events.csv", &["at", "code", "device", "by", "params"], rows))
}

async fn find(app: &App, query: Query, usual: i64, most: i64) -> Result<Vec<EventView>, ApiError> {
    let limit = query.limit.unwrap_or(usual).clamp(1, most);
    let query = EventQuery { before: query.before, limit, device: query.device, code: query.code, q: query.q };
    Ok(app.system().events(query).await?)
}
