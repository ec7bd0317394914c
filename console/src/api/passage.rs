//! Cars at the gates: reads, decisions and the guard's answers.

use crate::app::App;
use crate::auth::SignedIn;
use crate::error::ApiError;
use crate::extract::{Ask, At, Body};
use axum::Json;
use axum::extract::{Extension, State};
use axum::response::Response;
use gatehouse_actors::PassageQuery;
use gatehouse_actors::views::PassageView;
use gatehouse_core::id::PassageId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Which passages to list.
#[derive(Deserialize, IntoParams)]
pub struct Query {
    /// Before this moment.
    #[param(value_type = Option<String>)]
    pub before: Option<Timestamp>,
    /// At most so many, newest first.
    pub limit: Option<i64>,
    /// Part of a plate.
    #[serde(default)]
    pub q: String,
    /// `open`: waiting for a guard; `all` (default).
    pub state: Option<String>,
}

/// Passages, newest first.
#[derive(Serialize, ToSchema)]
pub struct Passages {
    /// The passages.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub passages: Vec<PassageView>,
}

/// The guard's answer.
#[derive(Deserialize, ToSchema)]
pub struct Decision {
    /// Let in, or turned away.
    pub open: bool,
    /// What the guard notes.
    #[serde(default)]
    pub note: String,
}

/// Cars seen at the gates, newest first.
#[utoipa::path(get, path = "/api/passages", params(Query), responses((status = 200, body = Passages)))]
pub async fn list(State(app): State<Arc<App>>, Ask(query): Ask<Query>) -> Result<Json<Passages>, ApiError> {
    Ok(Json(Passages { passages: find(&app, query, 60, 500).await? }))
}

/// The same as CSV.
#[utoipa::path(get, path = "/api/passages.csv", params(Query), responses((status = 200, content_type = "text/csv")))]
pub async fn export(State(app): State<Arc<App>>, Ask(query): Ask<Query>) -> Result<Response, ApiError> {
    let passages = find(&app, query, 10_000, 100_000).await?;
    let heading = ["at", "lane", "direction", "plate", "confidence", "decision", "person", "by", "latency_ms"];
    let rows = passages.into_iter().map(|passage| {
        let word = |value: serde_json::Result<serde_json::Value>| {
            value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
        };
        vec![
            passage.at.to_string(),
            passage.lane.to_string(),
            word(serde_json::to_value(passage.direction)),
            passage.plate,
            format!("{:.3}", passage.confidence),
            word(serde_json::to_value(passage.decision)),
            passage.person_name,
            passage.by,
            passage.latency_ms.to_string(),
        ]
    });
    Ok(super::csv::respond("passages.csv", &heading, rows))
}

/// Answers the question of an unknown car: opens the lane's barrier or turns the car away.
#[utoipa::path(post, path = "/api/passages/{id}/decision", params(("id" = uuid::Uuid, Path)), request_body = Decision,
    responses((status = 200, body = serde_json::Value)))]
pub async fn decide(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PassageId>,
    Body(body): Body<Decision>,
) -> Result<Json<PassageView>, ApiError> {
    Ok(Json(app.system().passage_decision(id, body.open, body.note, &who.name).await?))
}

async fn find(app: &App, query: Query, usual: i64, most: i64) -> Result<Vec<PassageView>, ApiError> {
    let open = match query.state.as_deref() {
        None | Some("all") => false,
        Some("open") => true,
        Some(_) => return Err(ApiError::bad_request("bad_query", "state is open or all").field("state")),
    };
    let limit = query.limit.unwrap_or(usual).clamp(1, most);
    Ok(app.system().passages(PassageQuery { open, before: query.before, limit, q: query.q }).await?)
}
