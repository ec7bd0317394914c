//! People and their credentials.

use crate::app::App;
use crate::auth::SignedIn;
use crate::error::ApiError;
use crate::extract::{Ask, At, Body};
use crate::rbac::Permission;
use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use gatehouse_actors::views::{CredentialView, PersonView};
use gatehouse_actors::{CredentialInput, PersonInput};
use gatehouse_core::access::CredentialKind;
use gatehouse_core::id::{CredentialId, PersonId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

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

/// People by name.
#[utoipa::path(get, path = "/api/people", params(Query), responses((status = 200, body = People)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    Ask(query): Ask<Query>,
) -> Result<Json<People>, ApiError> {
    let people = app.system().people(&query.q, query.limit.unwrap_or(200).clamp(1, 1000)).await?;
    Ok(Json(People { people: people.into_iter().map(|person| masked(&app, person, &who)).collect() }))
}

/// One person.
#[utoipa::path(get, path = "/api/people/{id}", params(("id" = uuid::Uuid, Path)), responses((status = 200, body = serde_json::Value)))]
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<PersonId>,
) -> Result<Json<PersonView>, ApiError> {
    Ok(Json(masked(&app, app.system().person(id).await?, &who)))
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

/// A person as `who` sees them: card numbers whole only for those who may change them, the face held to the model in use.
pub(super) fn masked(app: &App, mut person: PersonView, who: &SignedIn) -> PersonView {
    person.face.hold_to(app.face_model());
    if !who.role.may(Permission::PeopleWrite) {
        for credential in person.credentials.iter_mut().filter(|credential| credential.kind == CredentialKind::Card) {
            let tail: String = credential.value.chars().rev().take(3).collect();
            credential.value = format!("•••{}", tail.chars().rev().collect::<String>());
        }
    }
    person
}
