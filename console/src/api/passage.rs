//! Cars at the gates: reads, decisions, the guard's answers and corrections.

use crate::app::App;
use crate::auth::SignedIn;
use crate::error::ApiError;
use crate::extract::{Ask, At, Body};
use crate::router::GoesOn;
use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use gatehouse_actors::PassageQuery;
use gatehouse_actors::views::{Corrected, Found, PassageView};
use gatehouse_core::id::{DeviceId, PassageId, PersonId, WatchListId};
use gatehouse_core::passage::Direction;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Which passages to list.
#[derive(Deserialize, Serialize, IntoParams)]
pub struct Query {
    /// Before this moment.
    #[param(value_type = Option<String>)]
    pub before: Option<Timestamp>,
    /// From this moment on.
    #[param(value_type = Option<String>)]
    pub from: Option<Timestamp>,
    /// At most so many, newest first.
    pub limit: Option<i64>,
    /// Part of a plate, also as readers confuse it (0 and D, 8 and B, …), of a lane or of a person's name.
    #[serde(default)]
    pub q: String,
    /// `exact` leaves the confusions out.
    #[serde(rename = "match")]
    pub matching: Option<String>,
    /// `open`: waiting for a guard; `all` (default).
    pub state: Option<String>,
    /// Lane key.
    #[serde(default)]
    pub lane: String,
    /// The camera that read it.
    pub camera: Option<DeviceId>,
    /// `blue`, `green`, `yellow`, `white`, `black` or `unknown`.
    #[serde(default)]
    pub colour: String,
    /// `opened`, `asked`, `refused`, `opened_by_guard` or `unread`.
    #[param(value_type = Option<String>)]
    pub decision: Option<gatehouse_core::passage::Decision>,
    /// `in` or `out`.
    #[param(value_type = Option<String>)]
    pub direction: Option<Direction>,
    /// Whose plate it was.
    pub person: Option<PersonId>,
    /// On this watch list when it was read.
    pub list: Option<WatchListId>,
    /// `corrected` or `unsure` reads only.
    pub read: Option<String>,
}

/// Passages, newest first; with `q` each says whether it is an `exact` or a `near` hit.
#[derive(Serialize, ToSchema)]
pub struct Passages {
    /// The passages.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub passages: Vec<Found>,
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

/// What the plate of a wrong read is.
#[derive(Deserialize, ToSchema)]
pub struct Correction {
    /// The plate.
    pub text: String,
    /// Why.
    pub reason: String,
}

/// Cars seen at the gates, newest first.
#[utoipa::path(get, path = "/api/passages", params(Query), responses((status = 200, body = Passages)))]
pub async fn list(State(app): State<Arc<App>>, Ask(query): Ask<Query>) -> Result<Json<Passages>, ApiError> {
    Ok(Json(Passages { passages: find(&app, query, 60, 500).await? }))
}

/// One passage.
#[utoipa::path(get, path = "/api/passages/{id}", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = serde_json::Value)))]
pub async fn show(State(app): State<Arc<App>>, At(id): At<PassageId>) -> Result<Json<PassageView>, ApiError> {
    Ok(Json(app.system().passage(id).await?))
}

/// How one passage leaves the console.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportForm {
    /// A file of its own.
    File,
    /// On paper.
    Print,
}

/// One passage that leaves the console.
#[derive(Deserialize, ToSchema)]
pub struct Export {
    /// How.
    pub form: ExportForm,
    /// Whether its pictures go along.
    pub pictures: bool,
}

/// Gives a passage out to be saved or printed, pictures and all: who did that is in the audit log before it is answered.
#[utoipa::path(post, path = "/api/passages/{id}/export", params(("id" = uuid::Uuid, Path)), request_body = Export,
    responses((status = 200, body = serde_json::Value)))]
pub async fn export_one(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PassageId>,
    Body(body): Body<Export>,
) -> Result<Response, ApiError> {
    let passage = app.system().passage(id).await?;
    let form = match body.form {
        ExportForm::File => "file",
        ExportForm::Print => "print",
    };
    let pictures = body.pictures && passage.picture.is_some();
    audit_export(&app, &who, form, 1, &format!("{id} {}", passage.text()), pictures).await?;
    Ok((Extension(GoesOn), Json(passage)).into_response())
}

async fn audit_export(
    app: &App,
    who: &SignedIn,
    form: &str,
    count: usize,
    which: &str,
    pictures: bool,
) -> Result<(), ApiError> {
    let pictures = if pictures { "with pictures" } else { "without pictures" };
    let target = format!("{form}, passages: {count}, {which}, {pictures}");
    app.audit(&who.name, "passage.export", &target, "ok").await
}

/// The filter as it was given, for the audit log.
fn said(query: &Query) -> String {
    let given = serde_json::to_value(query).unwrap_or_default();
    let given = given.as_object().into_iter().flatten().filter_map(|(field, value)| match value {
        serde_json::Value::String(text) if !text.is_empty() => Some(format!("{field}={text}")),
        serde_json::Value::Number(number) => Some(format!("{field}={number}")),
        _ => None,
    });
    let given = given.collect::<Vec<_>>().join(" ");
    if given.is_empty() { "no filter".to_owned() } else { given }
}

/// The same as CSV; who took it is in the audit log.
#[utoipa::path(get, path = "/api/passages.csv", params(Query), responses((status = 200, content_type = "text/csv")))]
pub async fn export(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    Ask(query): Ask<Query>,
) -> Result<Response, ApiError> {
    let filter = said(&query);
    let passages = find(&app, query, 10_000, 100_000).await?;
    audit_export(&app, &who, "csv", passages.len(), &filter, false).await?;
    let heading = [
        "at",
        "last_at",
        "lane",
        "direction",
        "plate",
        "corrected",
        "corrected_by",
        "hit",
        "colour",
        "confidence",
        "votes",
        "sure",
        "reads",
        "travel",
        "decision",
        "person",
        "lists",
        "by",
        "note",
        "latency_ms",
    ];
    let rows = passages.into_iter().map(|Found { passage, hit }| {
        let hits = passage.hits.iter().map(|hit| match hit.near {
            true => format!("{} (near {})", hit.name, hit.pattern),
            false => hit.name.clone(),
        });
        let lists = hits.collect::<Vec<_>>().join("; ");
        let (corrected, by) = passage.correction.map(|it| (it.text, it.by)).unwrap_or_default();
        vec![
            passage.at.to_string(),
            passage.last_at.map(|at| at.to_string()).unwrap_or_default(),
            passage.lane,
            passage.direction.word().to_owned(),
            passage.plate,
            corrected,
            by,
            hit.unwrap_or_default().to_owned(),
            passage.colour,
            format!("{:.3}", passage.confidence),
            passage.votes.to_string(),
            passage.sure.to_string(),
            passage.reads.to_string(),
            passage.travel.map(|travel| travel.word().to_owned()).unwrap_or_default(),
            passage.decision.word().to_owned(),
            passage.person_name,
            lists,
            passage.by,
            passage.note,
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

/// Says what the plate of a wrong read is. The read stays beside it, nothing that was decided changes, and the answer says
/// what the corrected plate would have met.
#[utoipa::path(put, path = "/api/passages/{id}/correction", params(("id" = uuid::Uuid, Path)), request_body = Correction,
    responses((status = 200, body = serde_json::Value)))]
pub async fn correct(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PassageId>,
    Body(body): Body<Correction>,
) -> Result<Json<Corrected>, ApiError> {
    let corrected = app.system().passage_correct(id, &body.text, &body.reason, &who.name).await?;
    let passage = &corrected.passage;
    let target = format!("{id} {} → {}: {}", passage.plate, passage.text(), body.reason.trim());
    app.audit(&who.name, "passage.correct", &target, "ok").await?;
    Ok(Json(corrected))
}

/// Takes a correction back.
#[utoipa::path(delete, path = "/api/passages/{id}/correction", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = serde_json::Value)))]
pub async fn uncorrect(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PassageId>,
) -> Result<Json<PassageView>, ApiError> {
    let passage = app.system().passage_uncorrect(id, &who.name).await?;
    app.audit(&who.name, "passage.uncorrect", &format!("{id} back to {}", passage.plate), "ok").await?;
    Ok(Json(passage))
}

async fn find(app: &App, query: Query, usual: i64, most: i64) -> Result<Vec<Found>, ApiError> {
    let word = |field: &'static str, given: Option<&str>, words: [&'static str; 2]| match given {
        None | Some("all") => Ok(None),
        Some(given) => words.into_iter().find(|word| *word == given).map(Some).ok_or_else(|| {
            let [one, other] = words;
            ApiError::bad_request("bad_query", format!("{field} is {one}, {other} or all")).field(field)
        }),
    };
    let state = word("state", query.state.as_deref(), ["open", "all"])?;
    let matching = word("match", query.matching.as_deref(), ["exact", "near"])?;
    let read = word("read", query.read.as_deref(), ["corrected", "unsure"])?;
    let query = PassageQuery {
        open: state == Some("open"),
        before: query.before,
        from: query.from,
        limit: query.limit.unwrap_or(usual).clamp(1, most),
        q: query.q.trim().to_owned(),
        exact: matching == Some("exact"),
        lane: query.lane,
        camera: query.camera,
        colour: query.colour,
        decision: query.decision,
        direction: query.direction,
        person: query.person,
        list: query.list,
        corrected: read == Some("corrected"),
        unsure: read == Some("unsure"),
    };
    Ok(app.system().passages(query).await?)
}
