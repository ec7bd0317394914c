//! Work orders.

use crate::app::App;
use crate::auth::SignedIn;
use crate::error::ApiError;
use crate::extract::{Ask, At, Body};
use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use gatehouse_actors::WorkOrderInput;
use gatehouse_actors::views::WorkOrderView;
use gatehouse_core::id::{DeviceId, PlaceId, WorkOrderId};
use gatehouse_core::workorder::WorkOrderState;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Which orders to list.
#[derive(Deserialize, IntoParams)]
pub struct Query {
    /// `open` (default) or `all`.
    pub state: Option<String>,
    /// At most so many, newest first.
    pub limit: Option<i64>,
}

/// Work orders, newest first.
#[derive(Serialize, ToSchema)]
pub struct WorkOrders {
    /// The orders.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub work_orders: Vec<WorkOrderView>,
}

/// A new work order.
#[derive(Deserialize, ToSchema)]
pub struct NewOrder {
    /// What is to be done.
    pub title: String,
    /// At which device.
    #[schema(value_type = Option<String>)]
    pub device: Option<DeviceId>,
    /// In which place.
    #[schema(value_type = Option<String>)]
    pub place: Option<PlaceId>,
    /// 1 (at once) to 4.
    pub priority: u8,
}

/// Where an order goes next.
#[derive(Deserialize, ToSchema)]
pub struct Transition {
    /// `accepted`, `in_progress`, `done`, `cancelled`.
    pub to: String,
    /// A note on its history.
    #[serde(default)]
    pub note: String,
}

/// Work orders.
#[utoipa::path(get, path = "/api/work-orders", params(Query), responses((status = 200, body = WorkOrders)))]
pub async fn list(State(app): State<Arc<App>>, Ask(query): Ask<Query>) -> Result<Json<WorkOrders>, ApiError> {
    let open = match query.state.as_deref() {
        None | Some("open") => true,
        Some("all") => false,
        Some(_) => return Err(ApiError::bad_request("bad_query", "state is open or all").field("state")),
    };
    let limit = query.limit.unwrap_or(200).clamp(1, 1000);
    Ok(Json(WorkOrders { work_orders: app.system().work_orders(open, limit).await? }))
}

/// Opens an order by hand.
#[utoipa::path(post, path = "/api/work-orders", request_body = NewOrder, responses((status = 201, body = serde_json::Value)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    Body(body): Body<NewOrder>,
) -> Result<(StatusCode, Json<WorkOrderView>), ApiError> {
    let input = WorkOrderInput { title: body.title, device: body.device, place: body.place, priority: body.priority };
    Ok((StatusCode::CREATED, Json(app.system().work_order_create(input, &who.name).await?)))
}

/// Moves an order.
#[utoipa::path(post, path = "/api/work-orders/{id}/state", params(("id" = uuid::Uuid, Path)), request_body = Transition,
    responses((status = 200, body = serde_json::Value)))]
pub async fn transition(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<WorkOrderId>,
    Body(body): Body<Transition>,
) -> Result<Json<WorkOrderView>, ApiError> {
    let to: WorkOrderState = serde_json::from_value(serde_json::Value::String(body.to.clone())).map_err(|_| {
        ApiError::invalid("to", "unknown_state", format!("{:?} is not a state of a work order", body.to))
    })?;
    Ok(Json(app.system().work_order_state(id, to, body.note, &who.name).await?))
}
