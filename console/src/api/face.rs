//! Faces: the notice, the consent, pictures judged and enrolled, withdrawal.
//!
//! Pictures come in bodies, are held for the length of one call and go nowhere else: not to a log, a URL or the disk.

use super::people::masked;
use crate::app::App;
use crate::auth::SignedIn;
use crate::error::ApiError;
use crate::extract::{At, Body};
use crate::router::GoesOn;
use axum::Json;
use axum::body::Bytes;
use axum::extract::multipart::MultipartError;
use axum::extract::{Extension, Multipart, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gatehouse_actors::views::{FacesView, PersonView};
use gatehouse_actors::{ConsentInput, FaceInput};
use gatehouse_core::id::PersonId;
use gatehouse_core::people::FaceNotice;
use gatehouse_vision::enrol::{self, EnrolError, PHOTOS_MAX};
use gatehouse_vision::recognizer::Recognizer;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

/// Pictures that are judged or enrolled at the same time: the doors' frames need the processors more.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// How many templates a face now has.
#[derive(Serialize, ToSchema)]
pub struct Enrolled {
    /// Templates stored, one a photograph; a door compares with their mean.
    pub templates: usize,
}

/// What a picture is good for.
#[derive(Serialize, ToSchema)]
pub struct Judged {
    /// Whether it could be enrolled.
    pub accepted: bool,
    /// Which way the face looks when it could: `straight`, `left` or `right` as the person would say.
    pub pose: Option<&'static str>,
    /// Why it could not, as a code.
    pub problem: Option<&'static str>,
    /// The same as a sentence.
    pub message: Option<String>,
    /// Where the face is: x, y, width, height as shares of the picture.
    pub face: Option<[f32; 4]>,
}

/// The notice that everyone is shown before they consent to their face being used, in the version in force.
#[utoipa::path(get, path = "/api/face-notice", responses((status = 200, body = serde_json::Value)))]
pub async fn notice(State(app): State<Arc<App>>) -> Result<Json<FaceNotice>, ApiError> {
    Ok(Json(app.system().face_notice()?))
}

/// The faces of the site: how many towards the filing, who enrols or consents again, which devices owe a removal.
#[utoipa::path(get, path = "/api/faces", responses((status = 200, body = serde_json::Value)))]
pub async fn overview(State(app): State<Arc<App>>) -> Result<Json<FacesView>, ApiError> {
    Ok(Json(app.system().faces(app.face_model()).await?))
}

/// Records a consent: `version` and `lang` of the notice that was read, `channel`, and for a person under 14 `under_14`, `born`
/// and `guardian` (`name`, `relation`).
#[utoipa::path(post, path = "/api/people/{id}/consent", params(("id" = uuid::Uuid, Path)), request_body = serde_json::Value,
    responses((status = 201, body = serde_json::Value)))]
pub async fn consent(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PersonId>,
    Body(body): Body<ConsentInput>,
) -> Result<(StatusCode, Json<PersonView>), ApiError> {
    let person = app.system().consent_give(id, body, &who.name).await?;
    Ok((StatusCode::CREATED, Json(masked(&app, person, &who))))
}

/// Judges one picture (JPEG or PNG as the body) by the gate of enrolment; it is not kept, and is looked at only while the
/// person's consent stands.
#[utoipa::path(post, path = "/api/people/{id}/face/check", params(("id" = uuid::Uuid, Path)),
    request_body(content = Vec<u8>, content_type = "image/jpeg"), responses((status = 200, body = Judged)))]
pub async fn check(State(app): State<Arc<App>>, At(id): At<PersonId>, photo: Bytes) -> Result<Response, ApiError> {
    app.system().face_consented(id).await?;
    let judged = with_recognizer(&app, move |recognizer| enrol::judge(recognizer, &photo)).await?;
    let (pose, problem) = match judged.verdict {
        Ok(pose) => (Some(pose.word()), None),
        Err(error @ EnrolError::Recognition(_)) => return Err(error.into()),
        Err(error) => (None, Some(error)),
    };
    let answer = Judged {
        accepted: pose.is_some(),
        pose,
        problem: problem.as_ref().map(EnrolError::code),
        message: problem.map(|problem| problem.to_string()),
        face: judged.face,
    };
    // It changes nothing, and comes several times a second: the consent it rests on has the audit's row.
    Ok((Extension(GoesOn), Json(answer)).into_response())
}

/// Enrols a face from three to five photographs (multipart: `photo`, JPEG or PNG, repeated) in place of an earlier one. It
/// rests on the consent that was recorded; the photographs are dropped when their templates are made.
#[utoipa::path(post, path = "/api/people/{id}/face", params(("id" = uuid::Uuid, Path)), responses((status = 201, body = Enrolled)))]
pub async fn add(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PersonId>,
    mut form: Multipart,
) -> Result<(StatusCode, Json<Enrolled>), ApiError> {
    app.system().face_consented(id).await?;
    let unreadable = |error: MultipartError| ApiError::bad_request("bad_body", error.body_text());
    let mut photos = Vec::new();
    while let Some(part) = form.next_field().await.map_err(unreadable)? {
        match part.name().unwrap_or_default() {
            "photo" if photos.len() == PHOTOS_MAX => return Err(EnrolError::Many(PHOTOS_MAX + 1).into()),
            "photo" => photos.push(part.bytes().await.map_err(unreadable)?),
            other => return Err(ApiError::bad_request("bad_body", format!("unknown part {other:?}")).field(other)),
        }
    }
    let enrolled = move |recognizer: &Recognizer| {
        let templates = enrol::templates(recognizer, &photos)?;
        Ok(FaceInput { templates, model: recognizer.face_model().to_owned() })
    };
    let input = with_recognizer(&app, enrolled).await?;
    let templates = app.system().face_set(id, input, &who.name).await?;
    Ok((StatusCode::CREATED, Json(Enrolled { templates })))
}

/// Withdraws the consent: destroys the person's key and with it their templates, and tells every device that keeps faces.
#[utoipa::path(delete, path = "/api/people/{id}/face", params(("id" = uuid::Uuid, Path)), responses((status = 204)))]
pub async fn remove(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PersonId>,
) -> Result<StatusCode, ApiError> {
    app.system().face_delete(id, &who.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs the models on a thread that may block, when there is room.
async fn with_recognizer<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&Recognizer) -> Result<T, EnrolError> + Send + 'static,
) -> Result<T, ApiError> {
    let recognizer = app.recognizer().cloned().ok_or_else(|| {
        ApiError::unavailable("recognition_off", "recognition is not running").remedy("run `gatehouse check`")
    })?;
    let _place = AT_ONCE.acquire().await.map_err(ApiError::internal)?;
    Ok(tokio::task::spawn_blocking(move || work(&recognizer)).await.map_err(ApiError::internal)??)
}

impl From<EnrolError> for ApiError {
    fn from(error: EnrolError) -> Self {
        if let EnrolError::Recognition(error) = error {
            return ApiError::internal(error);
        }
        ApiError::invalid("photo", error.code(), error.to_string())
            .remedy("send three sharp, evenly lit photographs of one person: straight, slightly left, slightly right")
    }
}
