//! Stories of the simulated compound.

use crate::app::App;
use crate::demo::Demo;
use crate::error::ApiError;
use crate::extract::Body;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// A story that can be played.
#[derive(Serialize, ToSchema)]
pub struct Story {
    /// Name to play it by.
    pub key: String,
    /// Name in English.
    pub name: String,
    /// Name in Chinese.
    pub name_zh: String,
    /// What happens, in English.
    pub about: String,
    /// What happens, in Chinese.
    pub about_zh: String,
    /// How long it takes.
    pub seconds: u32,
}

/// The stories, and whether the timetable plays them by itself.
#[derive(Serialize, ToSchema)]
pub struct Stories {
    /// Every story.
    pub stories: Vec<Story>,
    /// Whether the timetable runs.
    pub auto: bool,
}

/// A story to play.
#[derive(Deserialize, ToSchema)]
pub struct Play {
    /// Its key.
    pub story: String,
}

/// A story that began.
#[derive(Serialize, ToSchema)]
pub struct Playing {
    /// This playing of it.
    pub run: Uuid,
}

impl From<&gatehouse_adapters::sim::story::Story> for Story {
    fn from(story: &gatehouse_adapters::sim::story::Story) -> Self {
        Self {
            key: story.key.to_owned(),
            name: story.name.to_owned(),
            name_zh: story.name_zh.to_owned(),
            about: story.about.to_owned(),
            about_zh: story.about_zh.to_owned(),
            seconds: story.seconds,
        }
    }
}

/// The stories of the simulated compound.
#[utoipa::path(get, path = "/api/demo/stories", responses((status = 200, body = Stories)))]
pub async fn stories(State(app): State<Arc<App>>) -> Result<Json<Stories>, ApiError> {
    let demo = demo(&app)?;
    Ok(Json(Stories { stories: demo.stories(), auto: demo.is_auto() }))
}

/// Plays a story.
#[utoipa::path(post, path = "/api/demo/play", request_body = Play, responses((status = 202, body = Playing)))]
pub async fn play(
    State(app): State<Arc<App>>,
    Body(body): Body<Play>,
) -> Result<(StatusCode, Json<Playing>), ApiError> {
    Ok((StatusCode::ACCEPTED, Json(Playing { run: demo(&app)?.play(&body.story)? })))
}

/// Plays a story for `gatehouse play`, which shows the control token of the data directory instead of a session.
pub async fn play_by_token(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Body(body): Body<Play>,
) -> Result<(StatusCode, Json<Playing>), ApiError> {
    let demo = demo(&app)?;
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !demo.token_is_right(shown.strip_prefix("Bearer ").unwrap_or_default()) {
        return Err(ApiError::unauthenticated());
    }
    Ok((StatusCode::ACCEPTED, Json(Playing { run: demo.play(&body.story)? })))
}

fn demo(app: &App) -> Result<&Demo, ApiError> {
    app.demo().ok_or_else(|| ApiError::not_found("story: this is a real site"))
}
