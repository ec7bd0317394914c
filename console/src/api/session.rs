//! Signing in and out.

use crate::app::App;
use crate::auth::{self, SignedIn};
use crate::error::ApiError;
use crate::extract::Body;
use axum::Json;
use axum::extract::{ConnectInfo, Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use utoipa::ToSchema;

/// Name and password.
#[derive(Deserialize, ToSchema)]
pub struct Credentials {
    /// Account name.
    pub name: String,
    /// Its password.
    pub password: String,
}

/// The old password and the new one.
#[derive(Deserialize, ToSchema)]
pub struct PasswordChange {
    /// Current password.
    pub old: String,
    /// New one, at least ten characters.
    pub new: String,
}

/// Who is signed in, where.
#[derive(Serialize, ToSchema)]
pub struct Session {
    /// The account.
    pub user: SessionUser,
    /// The site.
    pub site: SessionSite,
    /// What the account may do.
    pub permissions: Vec<String>,
    /// Version of the program.
    pub version: String,
    /// The run of the program.
    pub epoch: String,
}

/// The signed-in account.
#[derive(Serialize, ToSchema)]
pub struct SessionUser {
    /// Id.
    pub id: String,
    /// Name as shown.
    pub name: String,
    /// Role.
    pub role: String,
}

/// The site the console shows.
#[derive(Serialize, ToSchema)]
pub struct SessionSite {
    /// Name in English.
    pub name: String,
    /// Name in Chinese.
    pub name_zh: String,
    /// IANA time zone.
    pub zone: String,
    /// Whether it is the simulated compound.
    pub demo: bool,
    /// Days for which pictures of reads and faces are kept; 0: for ever.
    pub picture_days: u32,
}

/// Signs in; sets the session cookie.
#[utoipa::path(post, path = "/api/session", request_body = Credentials, responses((status = 200, body = Session)))]
pub async fn sign_in(
    State(app): State<Arc<App>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Body(body): Body<Credentials>,
) -> Result<impl IntoResponse, ApiError> {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let address = address.ip().to_string();
    let outcome = auth::sign_in(&app, &body.name, &body.password, &address, agent).await;
    let code = outcome.as_ref().err().map_or("200", |error| error.code());
    let name: String = body.name.chars().take(64).collect();
    app.audit(&name, "POST /api/session", &address, code).await?;
    let (who, cookie) = outcome?;
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Json(session(&app, &who))))
}

/// The session of the request.
#[utoipa::path(get, path = "/api/session", responses((status = 200, body = Session)))]
pub async fn show(State(app): State<Arc<App>>, Extension(who): Extension<SignedIn>) -> Json<Session> {
    Json(session(&app, &who))
}

/// Signs out everywhere this session is used.
#[utoipa::path(delete, path = "/api/session", responses((status = 204)))]
pub async fn sign_out(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
) -> Result<impl IntoResponse, ApiError> {
    let cookie = auth::sign_out(&app, &who).await?;
    Ok((StatusCode::NO_CONTENT, AppendHeaders([(header::SET_COOKIE, cookie)])))
}

/// Changes the password; every session of the account ends.
#[utoipa::path(post, path = "/api/session/password", request_body = PasswordChange, responses((status = 204)))]
pub async fn change_password(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    Body(body): Body<PasswordChange>,
) -> Result<StatusCode, ApiError> {
    auth::change_password(&app, &who, &body.old, &body.new).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn session(app: &App, who: &SignedIn) -> Session {
    let site = app.system().site();
    Session {
        user: SessionUser { id: who.id.to_string(), name: who.name.clone(), role: who.role.word().to_owned() },
        site: SessionSite {
            name: site.name.clone(),
            name_zh: site.name_zh.clone(),
            zone: site.zone.clone(),
            demo: app.demo().is_some(),
            picture_days: app.picture_days(),
        },
        permissions: who
            .role
            .permissions()
            .into_iter()
            .filter(|permission| permission != "demo.play" || app.demo().is_some())
            .collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: app.system().epoch().to_string(),
    }
}
