//! Places and their plans.

use crate::app::App;
use axum::Json;
use axum::extract::State;
use gatehouse_actors::views::PlaceView;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Every place of the site.
#[derive(Serialize, ToSchema)]
pub struct Places {
    /// Parents before children.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub places: Vec<PlaceView>,
}

/// The site's tree of places with their plans.
#[utoipa::path(get, path = "/api/places", responses((status = 200, body = Places)))]
pub async fn list(State(app): State<Arc<App>>) -> Json<Places> {
    Json(Places { places: app.system().places() })
}
