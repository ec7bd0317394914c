//! Rules that operators write: listed, checked, tried over history, changed with the version that was seen.

use crate::app::App;
use crate::auth::SignedIn;
use crate::error::ApiError;
use crate::extract::{At, Body};
use axum::Json;
use axum::body::Body as Stream;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use gatehouse_actors::views::{DryRun, RuleView, VersionView, Words};
use gatehouse_actors::{DryRunError, RuleInput};
use gatehouse_core::id::RuleId;
use gatehouse_core::rule::expr::Diagnostic;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use utoipa::ToSchema;

/// Rules.
#[derive(Serialize, ToSchema)]
pub struct Rules {
    /// By name.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub rules: Vec<RuleView>,
}

/// A rule as written, with the version that its writer saw.
#[derive(Deserialize, ToSchema)]
pub struct Change {
    /// What operators call it.
    pub name: String,
    /// As written.
    pub text: String,
    /// Whether it runs.
    #[serde(default)]
    pub enabled: bool,
    /// The version that was changed.
    pub version: i32,
}

/// Whether a rule runs.
#[derive(Deserialize, ToSchema)]
pub struct Switch {
    /// Whether it is to run.
    pub enabled: bool,
    /// The version that was seen.
    pub version: i32,
}

/// The version to go back to.
#[derive(Deserialize, ToSchema)]
pub struct Restore {
    /// Its number.
    pub version: i32,
}

/// A text to check.
#[derive(Deserialize, ToSchema)]
pub struct Draft {
    /// As written.
    pub text: String,
}

/// What is wrong with a text; nothing when it can run.
#[derive(Serialize, ToSchema)]
pub struct Checked {
    /// Everything that is wrong.
    pub diagnostics: Vec<Diagnostic>,
}

/// A text to try over history.
#[derive(Deserialize, ToSchema)]
pub struct Trial {
    /// As written.
    pub text: String,
    /// From when.
    #[schema(value_type = String)]
    pub from: Timestamp,
    /// Until when.
    #[schema(value_type = String)]
    pub to: Timestamp,
}

/// Versions of a rule.
#[derive(Serialize, ToSchema)]
pub struct Versions {
    /// Newest first.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub versions: Vec<VersionView>,
}

/// One line of a dry run's answer.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// How far it is, 0 to 1.
    Progress(f64),
    /// What it found.
    Found(Box<DryRun>),
    /// The rule does not fit.
    Diagnostics(Vec<Diagnostic>),
    /// It could not be done.
    Error(crate::error::ErrorBody),
}

/// Rules, with when they came on.
#[utoipa::path(get, path = "/api/rules", responses((status = 200, body = Rules)))]
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<Rules>, ApiError> {
    Ok(Json(Rules { rules: app.system().rules().await? }))
}

/// The words that a rule may use at this site: devices with their points, events, schedules, places.
#[utoipa::path(get, path = "/api/rules/words", responses((status = 200, body = serde_json::Value)))]
pub async fn words(State(app): State<Arc<App>>) -> Json<Words> {
    Json(app.system().rule_words())
}

/// Checks a text: where something is wrong, what, and what would be right.
#[utoipa::path(post, path = "/api/rules/check", request_body = Draft, responses((status = 200, body = Checked)))]
pub async fn check(State(app): State<Arc<App>>, Body(draft): Body<Draft>) -> Json<Checked> {
    Json(Checked { diagnostics: app.system().rule_check(&draft.text) })
}

/// Tries a text over recorded history. Answers with lines of JSON: `progress` (0 to 1) as it goes, then `found`,
/// `diagnostics` or `error`.
#[utoipa::path(post, path = "/api/rules/dry-run", request_body = Trial,
    responses((status = 200, body = serde_json::Value, content_type = "application/x-ndjson")))]
pub async fn dry_run(State(app): State<Arc<App>>, Body(trial): Body<Trial>) -> Response {
    let (lines, said) = tokio::sync::mpsc::channel::<Line>(16);
    tokio::spawn(async move {
        // A page that reads slowly misses some progress, never the end.
        let progress = |part| drop(lines.try_send(Line::Progress(part)));
        let run = app.system().rule_dry_run(&trial.text, trial.from, trial.to, progress);
        let found = tokio::select! {
            found = run => found,
            // Nobody waits for it any more.
            () = lines.closed() => return,
        };
        let line = match found {
            Ok(found) => Line::Found(Box::new(found)),
            Err(DryRunError::Wrong(diagnostics)) => Line::Diagnostics(diagnostics),
            Err(DryRunError::Other(error)) => Line::Error(ApiError::from(error).into_body()),
        };
        let _ = lines.send(line).await;
    });
    let stream = futures_util::stream::unfold(said, |mut said| async move {
        let line = said.recv().await?;
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(bytes)), said))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Stream::from_stream(stream)).into_response()
}

/// Adds a rule.
#[utoipa::path(post, path = "/api/rules", request_body = serde_json::Value, responses((status = 201, body = serde_json::Value)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    Body(body): Body<RuleInput>,
) -> Result<(StatusCode, Json<RuleView>), ApiError> {
    Ok((StatusCode::CREATED, Json(app.system().rule_create(body, &who.name).await?)))
}

/// One rule.
#[utoipa::path(get, path = "/api/rules/{id}", params(("id" = uuid::Uuid, Path)), responses((status = 200, body = serde_json::Value)))]
pub async fn show(State(app): State<Arc<App>>, At(id): At<RuleId>) -> Result<Json<RuleView>, ApiError> {
    Ok(Json(app.system().rule(id).await?))
}

/// Changes a rule; 409 when it is not the version that was seen any more.
#[utoipa::path(put, path = "/api/rules/{id}", params(("id" = uuid::Uuid, Path)), request_body = Change,
    responses((status = 200, body = serde_json::Value), (status = 409, body = crate::error::ErrorEnvelope)))]
pub async fn update(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<RuleId>,
    Body(body): Body<Change>,
) -> Result<Json<RuleView>, ApiError> {
    let input = RuleInput { name: body.name, text: body.text, enabled: body.enabled };
    Ok(Json(app.system().rule_update(id, body.version, input, &who.name).await?))
}

/// Deletes a rule; what it raised is cleared.
#[utoipa::path(delete, path = "/api/rules/{id}", params(("id" = uuid::Uuid, Path)), responses((status = 204)))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<RuleId>,
) -> Result<StatusCode, ApiError> {
    app.system().rule_delete(id, &who.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a deletion back; the rule is switched off.
#[utoipa::path(post, path = "/api/rules/{id}/undo", params(("id" = uuid::Uuid, Path)), responses((status = 200, body = serde_json::Value)))]
pub async fn undelete(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<RuleId>,
) -> Result<Json<RuleView>, ApiError> {
    Ok(Json(app.system().rule_undelete(id, &who.name).await?))
}

/// Switches a rule on or off.
#[utoipa::path(post, path = "/api/rules/{id}/enabled", params(("id" = uuid::Uuid, Path)), request_body = Switch,
    responses((status = 200, body = serde_json::Value), (status = 409, body = crate::error::ErrorEnvelope)))]
pub async fn enable(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<RuleId>,
    Body(body): Body<Switch>,
) -> Result<Json<RuleView>, ApiError> {
    Ok(Json(app.system().rule_enable(id, body.version, body.enabled, &who.name).await?))
}

/// Who changed what.
#[utoipa::path(get, path = "/api/rules/{id}/versions", params(("id" = uuid::Uuid, Path)), responses((status = 200, body = Versions)))]
pub async fn versions(State(app): State<Arc<App>>, At(id): At<RuleId>) -> Result<Json<Versions>, ApiError> {
    Ok(Json(Versions { versions: app.system().rule_versions(id).await? }))
}

/// Goes back to an earlier version.
#[utoipa::path(post, path = "/api/rules/{id}/restore", params(("id" = uuid::Uuid, Path)), request_body = Restore,
    responses((status = 200, body = serde_json::Value)))]
pub async fn restore(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<RuleId>,
    Body(body): Body<Restore>,
) -> Result<Json<RuleView>, ApiError> {
    Ok(Json(app.system().rule_restore(id, body.version, &who.name).await?))
}
