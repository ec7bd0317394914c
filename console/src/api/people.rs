//! People, their credentials and faces.

use crate::app::App;
use crate::auth::SignedIn;
use crate::error::ApiError;
use crate::extract::{Ask, At, Body};
use crate::rbac::Permission;
use axum::Json;
use axum::extract::{Extension, Multipart, State};
use axum::http::StatusCode;
use gatehouse_actors::views::{CredentialView, PersonView};
use gatehouse_actors::{CredentialInput, FaceInput, PersonInput};
use gatehouse_core::access::CredentialKind;
use gatehouse_core::id::{CredentialId, PersonId};
use gatehouse_vision::enrol::{self, EnrolError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Photographs that one enrolment may hold.
const PHOTOS: usize = 5;

/// Which people to list.
#[derive(Deserialize, IntoParams)]
pub struct Query {
    /// Part of a name, unit, plate or the end of a phone number.
    #[serde(default)]
    pub q: String,
    /// At most so many.
    pub limit: Option<i64>,
}

/// People.
#[derive(Serialize, ToSchema)]
pub struct People {
    /// The people.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub people: Vec<PersonView>,
}

/// How many templates a face now has.
#[derive(Serialize, ToSchema)]
pub struct Enrolled {
    /// Templates stored.
    pub templates: usize,
}

/// People by name.
#[utoipa::path(get, path = "/api/people", params(Query), responses((status = 200, body = People)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    Ask(query): Ask<Query>,
) -> Result<Json<People>, ApiError> {
    let people = app.system().people(&query.q, query.limit.unwrap_or(200).clamp(1, 1000)).await?;
    Ok(Json(People { people: people.into_iter().map(|person| masked(person, &who)).collect() }))
}

/// One person.
#[utoipa::path(get, path = "/api/people/{id}", params(("id" = uuid::Uuid, Path)), responses((status = 200, body = serde_json::Value)))]
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PersonId>,
) -> Result<Json<PersonView>, ApiError> {
    Ok(Json(masked(app.system().person(id).await?, &who)))
}

/// Adds a person.
#[utoipa::path(post, path = "/api/people", request_body = serde_json::Value, responses((status = 201, body = serde_json::Value)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    Body(body): Body<PersonInput>,
) -> Result<(StatusCode, Json<PersonView>), ApiError> {
    Ok((StatusCode::CREATED, Json(app.system().person_create(body, &who.name).await?)))
}

/// Changes a person.
#[utoipa::path(put, path = "/api/people/{id}", params(("id" = uuid::Uuid, Path)), request_body = serde_json::Value,
    responses((status = 200, body = serde_json::Value)))]
pub async fn update(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PersonId>,
    Body(body): Body<PersonInput>,
) -> Result<Json<PersonView>, ApiError> {
    Ok(Json(app.system().person_update(id, body, &who.name).await?))
}

/// Removes a person with every credential, and destroys the key of their face.
#[utoipa::path(delete, path = "/api/people/{id}", params(("id" = uuid::Uuid, Path)), responses((status = 204)))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PersonId>,
) -> Result<StatusCode, ApiError> {
    app.system().person_delete(id, &who.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a person a card or a plate.
#[utoipa::path(post, path = "/api/people/{id}/credentials", params(("id" = uuid::Uuid, Path)), request_body = serde_json::Value,
    responses((status = 201, body = serde_json::Value)))]
pub async fn add_credential(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PersonId>,
    Body(body): Body<CredentialInput>,
) -> Result<(StatusCode, Json<CredentialView>), ApiError> {
    Ok((StatusCode::CREATED, Json(app.system().credential_add(id, body, &who.name).await?)))
}

/// Takes a credential away; doors refuse it from now on.
#[utoipa::path(delete, path = "/api/credentials/{id}", params(("id" = uuid::Uuid, Path)), responses((status = 204)))]
pub async fn remove_credential(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<CredentialId>,
) -> Result<StatusCode, ApiError> {
    app.system().credential_remove(id, &who.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives back a credential that was taken away by mistake.
#[utoipa::path(post, path = "/api/credentials/{id}/undo", params(("id" = uuid::Uuid, Path)), responses((status = 200, body = serde_json::Value)))]
pub async fn undo_credential(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<CredentialId>,
) -> Result<Json<CredentialView>, ApiError> {
    Ok(Json(app.system().credential_undo(id, &who.name).await?))
}

/// Enrols a face from one to five photographs, with the person's consent.
///
/// Multipart: `photo` (JPEG or PNG, repeated), `consent` = `yes`, `consent_text` as it was shown to the person.
#[utoipa::path(post, path = "/api/people/{id}/face", params(("id" = uuid::Uuid, Path)), responses((status = 201, body = Enrolled)))]
pub async fn add_face(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PersonId>,
    mut form: Multipart,
) -> Result<(StatusCode, Json<Enrolled>), ApiError> {
    let recognizer = app.recognizer().cloned().ok_or_else(|| {
        ApiError::unavailable("recognition_off", "recognition is not running").remedy("run `gatehouse check`")
    })?;
    let (mut photos, mut consent, mut consent_text) = (Vec::new(), false, String::new());
    let unreadable =
        |error: axum::extract::multipart::MultipartError| ApiError::bad_request("bad_body", error.body_text());
    while let Some(part) = form.next_field().await.map_err(unreadable)? {
        match part.name().unwrap_or_default() {
            "photo" | "photos" if photos.len() == PHOTOS => {
                return Err(ApiError::invalid("photo", "too_many_photos", format!("at most {PHOTOS} photographs")));
            }
            "photo" | "photos" => photos.push(part.bytes().await.map_err(unreadable)?),
            "consent" => consent = part.text().await.map_err(unreadable)? == "yes",
            "consent_text" => consent_text = part.text().await.map_err(unreadable)?,
            other => return Err(ApiError::bad_request("bad_body", format!("unknown part {other:?}")).field(other)),
        }
    }
    if !consent || consent_text.trim().is_empty() {
        return Err(ApiError::invalid("consent", "consent_missing", "a face is stored only with the person's consent")
            .remedy("show the text, let the person agree, and send it with the photographs"));
    }
    if photos.is_empty() {
        return Err(ApiError::invalid("photo", "no_photo", "no photograph was sent"));
    }
    let work = move || photos.iter().map(|photo| enrol::template(&recognizer, photo)).collect::<Result<Vec<_>, _>>();
    let templates = tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)??;
    let input = FaceInput { templates, model: enrol::MODEL.to_owned(), consent_text, channel: "console".to_owned() };
    let templates = app.system().face_add(id, input, &who.name).await?;
    Ok((StatusCode::CREATED, Json(Enrolled { templates })))
}

/// Withdraws consent: destroys the person's templates and their key.
#[utoipa::path(delete, path = "/api/people/{id}/face", params(("id" = uuid::Uuid, Path)), responses((status = 204)))]
pub async fn delete_face(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PersonId>,
) -> Result<StatusCode, ApiError> {
    app.system().face_delete(id, &who.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Card numbers are shown whole only to those who may change them.
fn masked(mut person: PersonView, who: &SignedIn) -> PersonView {
    if !who.role.may(Permission::PeopleWrite) {
        for credential in person.credentials.iter_mut().filter(|credential| credential.kind == CredentialKind::Card) {
            let tail: String = credential.value.chars().rev().take(3).collect();
            credential.value = format!("•••{}", tail.chars().rev().collect::<String>());
        }
    }
    person
}

impl From<EnrolError> for ApiError {
    fn from(error: EnrolError) -> Self {
        ApiError::invalid("photo", error.code(), error.to_string())
            .remedy("send a sharp frontal photograph of one person")
    }
}
