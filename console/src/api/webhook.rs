//! Systems outside that are told of alarms: how each does, what waits for it, and sending again.

use crate::app::App;
use crate::auth::SignedIn;
use crate::error::ApiError;
use crate::extract::{Ask, At, Body};
use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use gatehouse_actors::views::{ConsumerHealth, DeliveryView, TargetView};
use gatehouse_core::id::DeliveryId;
use gatehouse_core::outbox::DeliveryState;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// The targets.
#[derive(Serialize, ToSchema)]
pub struct Webhooks {
    /// Every configured target.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub targets: Vec<TargetView>,
    /// How far the consumers of the event log are that write for them.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub consumers: Vec<ConsumerHealth>,
}

/// The deliveries of a target.
#[derive(Serialize, ToSchema)]
pub struct Deliveries {
    /// Last changed first.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub deliveries: Vec<DeliveryView>,
}

/// Which deliveries.
#[derive(Deserialize)]
pub struct Query {
    /// `waiting`, `done`, `dead`; all when missing.
    pub state: Option<String>,
    /// At most so many, 1 to 1000; 100 when missing.
    pub limit: Option<i64>,
}

/// What to change of a target.
#[derive(Deserialize, ToSchema)]
pub struct Change {
    /// Whether notices are sent; while not, they wait.
    pub enabled: bool,
}

/// What was sent again.
#[derive(Serialize, ToSchema)]
pub struct SentAgain {
    /// How many.
    pub deliveries: usize,
}

/// Every target.
#[utoipa::path(get, path = "/api/webhooks", responses((status = 200, body = Webhooks)))]
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<Webhooks>, ApiError> {
    let (targets, consumers) = (app.system().targets().await?, app.system().consumers().await?);
    Ok(Json(Webhooks { targets, consumers }))
}

/// Enables or disables a target.
#[utoipa::path(put, path = "/api/webhooks/{name}", params(("name" = String, Path)), request_body = Change, responses((status = 204)))]
pub async fn update(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(name): At<String>,
    Body(body): Body<Change>,
) -> Result<StatusCode, ApiError> {
    app.system().target_enable(&name, body.enabled, &who.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a test to a target.
#[utoipa::path(post, path = "/api/webhooks/{name}/test", params(("name" = String, Path)), responses((status = 202, body = serde_json::Value)))]
pub async fn test(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(name): At<String>,
) -> Result<(StatusCode, Json<DeliveryView>), ApiError> {
    Ok((StatusCode::ACCEPTED, Json(app.system().target_test(&name, &who.name).await?)))
}

/// The deliveries of a target.
#[utoipa::path(get, path = "/api/webhooks/{name}/deliveries",
    params(("name" = String, Path), ("state" = Option<String>, Query), ("limit" = Option<i64>, Query)),
    responses((status = 200, body = Deliveries)))]
pub async fn deliveries(
    State(app): State<Arc<App>>,
    At(name): At<String>,
    Ask(query): Ask<Query>,
) -> Result<Json<Deliveries>, ApiError> {
    let unknown = || ApiError::bad_request("bad_query", "state is waiting, done or dead").field("state");
    let state = query.state.as_deref().map(|word| DeliveryState::parse(word).ok_or_else(unknown)).transpose()?;
    let deliveries = app.system().deliveries(&name, state, query.limit.unwrap_or(100)).await?;
    Ok(Json(Deliveries { deliveries }))
}

/// Sends the dead deliveries of a target again.
#[utoipa::path(post, path = "/api/webhooks/{name}/send-again", params(("name" = String, Path)), responses((status = 202, body = SentAgain)))]
pub async fn send_all_again(
    State(app): State<Arc<App>>,
    At(name): At<String>,
) -> Result<(StatusCode, Json<SentAgain>), ApiError> {
    let deliveries = app.system().deliveries_again(&name).await?;
    Ok((StatusCode::ACCEPTED, Json(SentAgain { deliveries })))
}

/// Sends a dead delivery again.
#[utoipa::path(post, path = "/api/deliveries/{id}/send-again", params(("id" = uuid::Uuid, Path)), responses((status = 202, body = serde_json::Value)))]
pub async fn send_again(
    State(app): State<Arc<App>>,
    At(id): At<DeliveryId>,
) -> Result<(StatusCode, Json<DeliveryView>), ApiError> {
    Ok((StatusCode::ACCEPTED, Json(app.system().delivery_again(id).await?)))
}
