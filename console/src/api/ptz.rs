//! Cameras' heads: who moves them, where to, and the positions they store.

use crate::app::App;
use crate::auth::SignedIn;
use crate::error::ApiError;
use crate::extract::{At, Body};
use crate::router::GoesOn;
use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gatehouse_adapters::onvif::codec::{Position, Preset};
use gatehouse_adapters::onvif::hand::MoveError;
use gatehouse_adapters::onvif::{Camera, Link, OnvifError};
use gatehouse_core::device::link::DeviceKind;
use gatehouse_core::id::DeviceId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// A page renews a move so often: twice within the second after which the head stops by itself.
const RENEW_MS: u32 = 400;
/// A head that turns to a preset rests by then.
const REST_WITHIN: Duration = Duration::from_secs(8);
/// Between two looks at a head that turns.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Longest name of a preset: what all cameras take.
const NAME_MAX: usize = 64;

/// A camera's head.
#[derive(Default, Serialize, ToSchema)]
pub struct Head {
    /// Whether it can be moved now.
    pub available: bool,
    /// Why not: `no_onvif`, `fixed` (it has no head), `unauthorised`, `undecodable` or `refused`; empty when it can.
    pub reason: String,
    /// The same as a sentence.
    pub error: String,
    /// Pans and tilts.
    pub pan_tilt: bool,
    /// Zooms.
    pub zoom: bool,
    /// Goes to a position by its numbers.
    pub absolute: bool,
    /// Where it looks, where it says: pan and tilt −1 to 1, zoom 0 to 1.
    #[schema(value_type = Option<serde_json::Value>)]
    pub position: Option<Position>,
    /// Stored positions.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub presets: Vec<Preset>,
    /// Names of presets that alarms call.
    pub called: Vec<String>,
    /// Who moved it within the last ten seconds; an empty name for a command or an alarm.
    pub holder: Option<Holder>,
    /// A move is to be renewed so often, ms; a second after the last renewal the head stops.
    pub renew_ms: u32,
}

/// Who moves a head.
#[derive(Serialize, ToSchema)]
pub struct Holder {
    /// Name.
    pub name: String,
    /// Whether it moves by that hand now.
    pub moving: bool,
}

/// A move.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Move {
    /// −1 left to 1 right, of full speed.
    pub pan: f32,
    /// −1 down to 1 up.
    pub tilt: f32,
    /// −1 wide to 1 long.
    pub zoom: f32,
    /// Renews the move of this number instead of beginning one.
    pub hold: Option<u64>,
}

/// A move that goes on.
#[derive(Serialize, ToSchema)]
pub struct Moving {
    /// Its number, for renewals.
    pub hold: u64,
    /// Whose move it replaced, where that was another's within the last ten seconds.
    pub taken_from: Option<String>,
}

/// A position to turn to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// −1 left to 1 right.
    pub pan: f32,
    /// −1 down to 1 up.
    pub tilt: f32,
    /// 0 wide to 1 long.
    pub zoom: f32,
}

/// A position to store.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Storing {
    /// Its name.
    pub name: String,
    /// In place of the preset of this token.
    #[serde(default)]
    pub token: Option<String>,
}

/// A stored position.
#[derive(Serialize, ToSchema)]
pub struct Stored {
    /// The camera's token for it.
    pub token: String,
}

/// Turns a head to a preset for this person and waits until it rests, at most [`REST_WITHIN`].
pub async fn aim(app: &App, id: DeviceId, preset: &str, by: &str) -> Result<(), ApiError> {
    let (link, camera) = head(app, id)?;
    let preset = camera.preset(preset).await?;
    link.hand().take(by);
    camera.recall(&preset.token).await?;
    let rest = async {
        let mut before = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let status = camera.status().await?;
            let rests = match (status.moving, status.position) {
                (Some(moving), _) => !moving,
                (None, Some(position)) => before.replace(position) == Some(position),
                // It says nothing of itself: the whole time is given to it.
                (None, None) => false,
            };
            if rests {
                return Ok::<_, OnvifError>(());
            }
        }
    };
    if let Ok(outcome) = tokio::time::timeout(REST_WITHIN, rest).await {
        outcome?;
    }
    // The picture that shows it is on its way.
    tokio::time::sleep(LOOK_EVERY).await;
    Ok(())
}

/// A camera's head: what it can do, where it looks, its presets, and who moves it.
#[utoipa::path(get, path = "/api/cameras/{id}/ptz", params(("id" = uuid::Uuid, Path)), responses((status = 200, body = Head)))]
pub async fn show(State(app): State<Arc<App>>, At(id): At<DeviceId>) -> Result<Json<Head>, ApiError> {
    let compound = app.system().compound();
    let spec = compound.device(id).filter(|spec| spec.kind == DeviceKind::Camera);
    let spec = spec.ok_or_else(|| ApiError::not_found("camera"))?;
    let without = |reason: &str, error: String| {
        Ok(Json(Head { reason: reason.to_owned(), error, renew_ms: RENEW_MS, ..Head::default() }))
    };
    let Some(link) = app.onvif().link(id) else {
        return without("no_onvif", "the site names no ONVIF service of this camera".to_owned());
    };
    let camera = match link.camera() {
        Ok(camera) => camera,
        Err(error) => return without(error.word(), error.to_string()),
    };
    let Some(reach) = camera.reach else {
        return without("fixed", "this camera has no head that moves".to_owned());
    };
    let (presets, status) = tokio::join!(camera.presets(), camera.status());
    let presets = match presets {
        Ok(presets) => presets,
        Err(OnvifError::Unsupported(_) | OnvifError::Fault { .. }) => Vec::new(),
        Err(error) => return without(error.word(), error.to_string()),
    };
    let mut called: Vec<_> = spec.presets.values().cloned().collect();
    called.sort();
    called.dedup();
    Ok(Json(Head {
        available: true,
        pan_tilt: reach.pan_tilt,
        zoom: reach.zoom,
        absolute: reach.absolute,
        position: status.ok().and_then(|status| status.position),
        presets,
        called,
        holder: link.hand().holder().map(|holder| Holder { name: holder.name, moving: holder.moving }),
        renew_ms: RENEW_MS,
        ..Head::default()
    }))
}

/// Moves a head, for a second; a move is renewed with its number. The last who presses has it: a renewal of another's move
/// is 409 `ptz_taken`. The beginning of a move is audited, its renewals are not.
#[utoipa::path(post, path = "/api/cameras/{id}/ptz/move", params(("id" = uuid::Uuid, Path)), request_body = Move,
    responses((status = 200, body = Moving), (status = 409, body = crate::error::ErrorEnvelope)))]
pub async fn drive(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<DeviceId>,
    Body(body): Body<Move>,
) -> Result<Response, ApiError> {
    let (link, camera) = head(&app, id)?;
    for (field, value) in [("pan", body.pan), ("tilt", body.tilt), ("zoom", body.zoom)] {
        within(field, value, -1.0)?;
    }
    let before = link.hand().holder().filter(|holder| holder.name != who.name && !holder.name.is_empty());
    let velocity = Position { pan: body.pan, tilt: body.tilt, zoom: body.zoom };
    let hold = link.hand().drive(&camera, &who.name, velocity, body.hold).await?;
    let taken_from = before.filter(|_| body.hold.is_none()).map(|holder| holder.name);
    let mut response = Json(Moving { hold, taken_from }).into_response();
    if body.hold.is_some() {
        response.extensions_mut().insert(GoesOn);
    }
    Ok(response)
}

/// Stops a head, whoever moves it.
#[utoipa::path(post, path = "/api/cameras/{id}/ptz/stop", params(("id" = uuid::Uuid, Path)), responses((status = 204)))]
pub async fn stop(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<DeviceId>,
) -> Result<StatusCode, ApiError> {
    let (link, camera) = head(&app, id)?;
    link.hand().stop(&camera, &who.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Turns a head to a position.
#[utoipa::path(post, path = "/api/cameras/{id}/ptz/position", params(("id" = uuid::Uuid, Path)), request_body = Turn,
    responses((status = 204)))]
pub async fn turn(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<DeviceId>,
    Body(body): Body<Turn>,
) -> Result<StatusCode, ApiError> {
    let (link, camera) = head(&app, id)?;
    for (field, value, low) in [("pan", body.pan, -1.0), ("tilt", body.tilt, -1.0), ("zoom", body.zoom, 0.0)] {
        within(field, value, low)?;
    }
    if !camera.reach.is_some_and(|reach| reach.absolute) {
        return Err(OnvifError::Unsupported("positions by their numbers".to_owned()).into());
    }
    link.hand().take(&who.name);
    camera.turn(Position { pan: body.pan, tilt: body.tilt, zoom: body.zoom }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stores where a head looks under a name.
#[utoipa::path(post, path = "/api/cameras/{id}/ptz/presets", params(("id" = uuid::Uuid, Path)), request_body = Storing,
    responses((status = 201, body = Stored)))]
pub async fn store(
    State(app): State<Arc<App>>,
    At(id): At<DeviceId>,
    Body(body): Body<Storing>,
) -> Result<(StatusCode, Json<Stored>), ApiError> {
    let (_, camera) = head(&app, id)?;
    let name = body.name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(ApiError::invalid("name", "bad_name", format!("a preset's name has 1 to {NAME_MAX} letters")));
    }
    if body.token.is_none() && camera.presets().await?.iter().any(|preset| preset.name == name) {
        return Err(ApiError::conflict("preset_exists", format!("there is a preset {name:?} already"))
            .field("name")
            .remedy("choose another name, or store over that preset"));
    }
    let token = camera.store(name, body.token.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(Stored { token })))
}

/// Removes a stored position; 409 `preset_called` while the site has an alarm call it.
#[utoipa::path(delete, path = "/api/cameras/{id}/ptz/presets/{token}", params(("id" = uuid::Uuid, Path), ("token" = String, Path)),
    responses((status = 204), (status = 409, body = crate::error::ErrorEnvelope)))]
pub async fn forget(
    State(app): State<Arc<App>>,
    At((id, token)): At<(DeviceId, String)>,
) -> Result<StatusCode, ApiError> {
    let (_, camera) = head(&app, id)?;
    let presets = camera.presets().await?;
    let preset = presets.iter().find(|preset| preset.token == token).ok_or_else(|| ApiError::not_found("preset"))?;
    let compound = app.system().compound();
    let called = compound.device(id).and_then(|spec| spec.presets.iter().find(|(_, name)| **name == preset.name));
    if let Some((key, name)) = called {
        return Err(ApiError::conflict("preset_called", format!("alarms of {key:?} call the preset {name:?}"))
            .remedy("take it out of `presets` in the site's definition first, or store over it"));
    }
    camera.forget(&token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The link and the camera behind it, where its head can be moved.
fn head(app: &App, id: DeviceId) -> Result<(Arc<Link>, Arc<Camera>), ApiError> {
    let device = app.system().device(id).filter(|device| device.kind == DeviceKind::Camera);
    let device = device.ok_or_else(|| ApiError::not_found("camera"))?;
    let link = app.onvif().link(id).ok_or_else(|| {
        ApiError::conflict("no_onvif", format!("the site names no ONVIF service of {}", device.key))
            .remedy("give the camera stream.onvif in the site's definition")
    })?;
    let camera = link.camera()?;
    if camera.reach.is_none() {
        return Err(ApiError::conflict("fixed", format!("{} has no head that moves", device.key)));
    }
    Ok((link.clone(), camera))
}

fn within(field: &str, value: f32, low: f32) -> Result<(), ApiError> {
    if (low..=1.0).contains(&value) {
        return Ok(());
    }
    Err(ApiError::invalid(field, "out_of_range", format!("{field}: {value} is not between {low} and 1")))
}

impl From<OnvifError> for ApiError {
    fn from(error: OnvifError) -> Self {
        let sentence = error.to_string();
        match error {
            OnvifError::Unreachable(_) | OnvifError::Silent(_) => ApiError::unavailable("camera_away", sentence),
            OnvifError::Unauthorised(_) => ApiError::unavailable("camera_unauthorised", sentence),
            OnvifError::Undecodable { .. } => ApiError::unavailable("camera_undecodable", sentence),
            OnvifError::Unsupported(_) => ApiError::conflict("camera_unsupported", sentence),
            OnvifError::Fault { .. } => ApiError::conflict("camera_refused", sentence),
            OnvifError::Invalid(_) => ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "camera_invalid", sentence),
        }
    }
}

impl From<MoveError> for ApiError {
    fn from(error: MoveError) -> Self {
        match error {
            MoveError::Taken(_) => {
                ApiError::conflict("ptz_taken", error.to_string()).remedy("press again to take it back")
            }
            MoveError::Camera(error) => error.into(),
        }
    }
}
