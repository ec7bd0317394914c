//! Devices and their commands.

use crate::app::App;
use crate::auth::SignedIn;
use crate::error::ApiError;
use crate::extract::{Ask, At, Body};
use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use gatehouse_actors::views::{CommandView, DeviceView};
use gatehouse_actors::{CommandRefused, CommandRequest};
use gatehouse_core::device::link::Verb;
use gatehouse_core::id::{CommandId, DeviceId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Unlocks a door for this long unless asked otherwise.
const UNLOCK_MS: u32 = 5_000;

/// The longest a door may be asked to stay unlocked: longer is a release, which is another command.
const UNLOCK_MAX_MS: u32 = 60_000;

/// Every device with its state, and the board's sequence number.
#[derive(Serialize, ToSchema)]
pub struct Devices {
    /// Counts the changes of the board.
    pub seq: u64,
    /// Every device.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub devices: Vec<Arc<DeviceView>>,
}

/// What to do with a device.
#[derive(Deserialize, ToSchema)]
pub struct CommandInput {
    /// `unlock`, `lock`, `release`, `restore`, `open`, `close`, `recall`, `resume`, `silence`, `reset`, `arm`, `disarm`, `goto_preset`.
    pub verb: String,
    /// Arguments of the verb.
    #[serde(default)]
    pub args: CommandArgs,
    /// Why, for the audit log.
    #[serde(default)]
    pub why: String,
}

/// Arguments of a command.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct CommandArgs {
    /// `unlock`: milliseconds, 500 to 60 000.
    pub for_ms: Option<u32>,
    /// `recall`: floor.
    pub floor: Option<i32>,
    /// `goto_preset`: name or token of the preset.
    pub preset: Option<String>,
}

/// Which commands to list.
#[derive(Deserialize, IntoParams)]
pub struct CommandQuery {
    /// Of this device only.
    pub device: Option<DeviceId>,
    /// At most so many, newest first.
    pub limit: Option<i64>,
}

/// Commands, newest first.
#[derive(Serialize, ToSchema)]
pub struct Commands {
    /// The ledger's entries.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub commands: Vec<CommandView>,
}

/// Every device with its state.
#[utoipa::path(get, path = "/api/devices", responses((status = 200, body = Devices)))]
pub async fn list(State(app): State<Arc<App>>) -> Json<Devices> {
    let (seq, devices) = app.system().board().snapshot();
    Json(Devices { seq, devices })
}

/// Puts a command in the ledger; follow it on the topic `commands`.
#[utoipa::path(post, path = "/api/devices/{id}/commands", params(("id" = Uuid, Path)), request_body = CommandInput,
    responses((status = 202, body = serde_json::Value)))]
pub async fn command(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    headers: HeaderMap,
    At(device): At<DeviceId>,
    Body(input): Body<CommandInput>,
) -> Result<(StatusCode, Json<CommandView>), ApiError> {
    let request = CommandRequest {
        device,
        verb: verb(&input)?,
        by: who.name,
        why: input.why.chars().take(500).collect(),
        idempotency_key: idempotency_key(&headers)?,
    };
    let command = app.system().command(request).await?;
    Ok((StatusCode::ACCEPTED, Json(command)))
}

/// Takes a command back while it is queued; 409 `too_late` once the link or the device has it.
#[utoipa::path(post, path = "/api/commands/{id}/cancel", params(("id" = Uuid, Path)),
    responses((status = 200, body = serde_json::Value), (status = 409, description = "it was sent already, or ended")))]
pub async fn cancel_command(
    State(app): State<Arc<App>>,
    Extension(who): Extension<SignedIn>,
    At(id): At<CommandId>,
) -> Result<Json<CommandView>, ApiError> {
    app.system().command_by_id(id).await?;
    Ok(Json(app.system().command_cancel(id, &who.name).await?))
}

/// One entry of the ledger.
#[utoipa::path(get, path = "/api/commands/{id}", params(("id" = Uuid, Path)), responses((status = 200, body = serde_json::Value)))]
pub async fn show_command(State(app): State<Arc<App>>, At(id): At<CommandId>) -> Result<Json<CommandView>, ApiError> {
    Ok(Json(app.system().command_by_id(id).await?))
}

/// The newest entries of the ledger.
#[utoipa::path(get, path = "/api/commands", params(CommandQuery), responses((status = 200, body = Commands)))]
pub async fn list_commands(
    State(app): State<Arc<App>>,
    Ask(query): Ask<CommandQuery>,
) -> Result<Json<Commands>, ApiError> {
    let commands = app.system().commands(query.device, query.limit.unwrap_or(50).clamp(1, 500)).await?;
    Ok(Json(Commands { commands }))
}

/// The request's `Idempotency-Key`: the same key never does a thing twice.
fn idempotency_key(headers: &HeaderMap) -> Result<Uuid, ApiError> {
    let text = headers.get("idempotency-key").and_then(|value| value.to_str().ok()).unwrap_or_default();
    Uuid::parse_str(text).map_err(|_| {
        ApiError::bad_request("idempotency_key", "the header Idempotency-Key must be a UUID").field("Idempotency-Key")
    })
}

fn verb(input: &CommandInput) -> Result<Verb, ApiError> {
    let verb = match input.verb.as_str() {
        "unlock" => {
            let for_ms = input.args.for_ms.unwrap_or(UNLOCK_MS);
            if !(500..=UNLOCK_MAX_MS).contains(&for_ms) {
                let message = format!("{for_ms} is not between 500 and {UNLOCK_MAX_MS} milliseconds");
                return Err(ApiError::invalid("args.for_ms", "out_of_range", message));
            }
            Verb::Unlock { for_ms }
        }
        "lock" => Verb::Lock,
        "release" => Verb::Release,
        "restore" => Verb::Restore,
        "open" => Verb::Open,
        "close" => Verb::Close,
        "recall" => Verb::Recall { floor: input.args.floor.unwrap_or(1) },
        "resume" => Verb::Resume,
        "silence" => Verb::Silence,
        "reset" => Verb::Reset,
        "arm" => Verb::Arm,
        "disarm" => Verb::Disarm,
        "goto_preset" => {
            let preset = input.args.preset.as_deref().map(str::trim).filter(|preset| !preset.is_empty());
            let missing = || ApiError::invalid("args.preset", "missing", "goto_preset needs the name of a preset");
            Verb::GotoPreset { preset: preset.ok_or_else(missing)?.to_owned() }
        }
        other => return Err(ApiError::invalid("verb", "unknown_verb", format!("no command {other:?}"))),
    };
    Ok(verb)
}

impl From<CommandRefused> for ApiError {
    fn from(refused: CommandRefused) -> Self {
        ApiError::conflict(refused.code(), refused.to_string())
    }
}
