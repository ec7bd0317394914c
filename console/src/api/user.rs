//! Accounts.

use crate::app::App;
use crate::auth;
use crate::error::ApiError;
use crate::extract::{At, Body};
use crate::rbac::Role;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_actors::staff::{self, UserRow};
use gatehouse_core::id::UserId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// An account as shown.
#[derive(Serialize, ToSchema)]
pub struct User {
    /// Id.
    pub id: Uuid,
    /// Name to sign in with.
    pub name: String,
    /// Role.
    pub role: String,
    /// Whether it may sign in.
    pub enabled: bool,
}

/// Every account.
#[derive(Serialize, ToSchema)]
pub struct Users {
    /// The accounts.
    pub users: Vec<User>,
}

/// A new account.
#[derive(Deserialize, ToSchema)]
pub struct NewUser {
    /// Name to sign in with.
    pub name: String,
    /// Password, at least ten characters.
    pub password: String,
    /// `admin`, `operator`, `guard`, `engineer`, `manager`.
    pub role: String,
}

/// What to change of an account.
#[derive(Deserialize, ToSchema)]
pub struct UserChange {
    /// New role.
    pub role: Option<String>,
    /// Whether it may sign in.
    pub enabled: Option<bool>,
    /// New password.
    pub password: Option<String>,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self { id: row.id.0, name: row.name, role: row.role, enabled: row.enabled }
    }
}

/// Every account.
#[utoipa::path(get, path = "/api/users", responses((status = 200, body = Users)))]
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<Users>, ApiError> {
    let rows = staff::users(app.pool()).await.map_err(ApiError::internal)?;
    Ok(Json(Users { users: rows.into_iter().map(User::from).collect() }))
}

/// Adds an account.
#[utoipa::path(post, path = "/api/users", request_body = NewUser, responses((status = 201, body = User)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Body(body): Body<NewUser>,
) -> Result<(StatusCode, Json<User>), ApiError> {
    let name = body.name.trim();
    if name.is_empty() || name.chars().count() > 64 {
        return Err(ApiError::invalid("name", "bad_name", "a name has 1 to 64 characters"));
    }
    let role = role(&body.role)?;
    auth::check_new_password("password", &body.password)?;
    if staff::user_by_name(app.pool(), name).await.map_err(ApiError::internal)?.is_some() {
        return Err(ApiError::conflict("name_taken", format!("there is an account {name:?} already")).field("name"));
    }
    let hash = auth::hash_in_background(body.password).await?;
    let row = staff::user_create(app.pool(), name, role.word(), &hash, app.system().now())
        .await
        .map_err(ApiError::internal)?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// Changes an account; its sessions end.
#[utoipa::path(put, path = "/api/users/{id}", params(("id" = Uuid, Path)), request_body = UserChange, responses((status = 200, body = User)))]
pub async fn update(
    State(app): State<Arc<App>>,
    At(id): At<UserId>,
    Body(body): Body<UserChange>,
) -> Result<Json<User>, ApiError> {
    let users = staff::users(app.pool()).await.map_err(ApiError::internal)?;
    let found = users.iter().find(|user| user.id == id).ok_or_else(|| ApiError::not_found("account"))?;
    let role = body.role.as_deref().map_or_else(|| role(&found.role), role)?;
    let enabled = body.enabled.unwrap_or(found.enabled);
    let admins_left =
        users.iter().filter(|user| user.id != id && user.role == Role::Admin.word() && user.enabled).count();
    if admins_left == 0 && (role != Role::Admin || !enabled) {
        return Err(ApiError::conflict("last_admin", "this is the last administrator").remedy("make another one first"));
    }
    let hash = match body.password {
        Some(password) => {
            auth::check_new_password("password", &password)?;
            Some(auth::hash_in_background(password).await?)
        }
        None => None,
    };
    let row = staff::user_update(app.pool(), id, role.word(), enabled, hash).await.map_err(ApiError::internal)?;
    staff::sessions_delete_of(app.pool(), id).await.map_err(ApiError::internal)?;
    app.sessions().end_user(id);
    Ok(Json(row.into()))
}

fn role(word: &str) -> Result<Role, ApiError> {
    Role::parse(word).ok_or_else(|| {
        let known = Role::ALL.map(Role::word).join(", ");
        ApiError::invalid("role", "unknown_role", format!("{word:?} is not one of {known}"))
    })
}
