//! Commands: asked by operators, entered in the ledger before they are answered.

mod dispatch;
pub(crate) mod store;

pub(crate) use dispatch::Dispatch;

use crate::error::Error;
use crate::root::System;
use crate::shell::Message;
use gatehouse_core::command::{Command, CommandRefused, CommandState, answer_ms};
use gatehouse_core::device::link::Verb;
use gatehouse_core::device::shadow::{Order, TwinCall};
use gatehouse_core::id::{CommandId, DeviceId};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::oneshot;
use uuid::Uuid;

/// How long a shell has to take an order.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// A ledger entry as operators see it. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct CommandView {
    pub id: CommandId,
    pub device: DeviceId,
    pub verb: String,
    pub state: CommandState,
    pub reason: String,
    pub by: String,
    pub why: String,
    pub at: Timestamp,
    pub deadline: Timestamp,
    pub changed_at: Timestamp,
}

impl From<&Command> for CommandView {
    fn from(command: &Command) -> Self {
        Self {
            id: command.id,
            device: command.device,
            verb: command.what.word().to_owned(),
            state: command.state,
            reason: command.reason.clone(),
            by: command.by.clone(),
            why: command.why.clone(),
            at: command.at,
            deadline: command.deadline,
            changed_at: command.changed_at,
        }
    }
}

/// A command as an operator asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandRequest {
    /// Of which device.
    pub device: DeviceId,
    /// What to do.
    pub verb: Verb,
    /// Who asks.
    pub by: String,
    /// Why.
    pub why: String,
    /// The same key is the same command.
    pub idempotency_key: Uuid,
}

impl System {
    /// Enters a command in the ledger and sends it. Resolves when the entry is committed.
    pub async fn command(&self, request: CommandRequest) -> Result<CommandView, CommandRefused> {
        let CommandRequest { device, verb, by, why, idempotency_key } = request;
        let id = CommandId::from_key(&format!("{device}:{by}:{idempotency_key}"));
        // With the database away the ledger cannot be read: what was entered since is known here, what was open to its twin.
        let known = match self.shared().journal.recent_command(id) {
            Some(known) => Some(known),
            None if self.shared().journal.is_away() => None,
            None => store::get(self.pool(), id).await.map_err(|error| away(&error.to_string()))?,
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let deadline =
            self.now().saturating_add(SignedDuration::from_millis(answer_ms(&verb, false))).unwrap_or(Timestamp::MAX);
        let order = Order { command: id, what: verb, by: by.clone(), why, deadline, life_safety: false };
        match self.ask_twin(device, TwinCall::Order(order), by).await? {
            Some(command) => Ok(CommandView::from(&command)),
            // Asked twice at once: the other one entered it.
            None => store::get(self.pool(), id)
                .await
                .map_err(|error| away(&error.to_string()))?
                .ok_or_else(|| away("the command was not entered")),
        }
    }

    /// Takes a command back that is still queued; what the link or the device has cannot be.
    pub async fn command_cancel(&self, id: CommandId, by: &str) -> Result<CommandView, CommandRefused> {
        let known = store::get(self.pool(), id).await.map_err(|error| away(&error.to_string()))?;
        let known = known.ok_or(CommandRefused::NotWaiting(id))?;
        if known.state.is_final() {
            return Err(CommandRefused::TooLate(known.state));
        }
        let withdrawn = self.shared().dispatch.withdraw(id);
        let call = TwinCall::Cancel { command: id, withdrawn };
        let cancelled = self.ask_twin(known.device, call, by.to_owned()).await?;
        Ok(cancelled.map_or(known, |command| CommandView::from(&command)))
    }

    /// Calls a device's shell and waits for the commit of what followed.
    async fn ask_twin(&self, device: DeviceId, call: TwinCall, by: String) -> Result<Option<Command>, CommandRefused> {
        let shell = self.shared().addresses.device(device).ok_or(CommandRefused::UnknownDevice(device))?;
        let (answer, answered) = oneshot::channel();
        shell.cast(Message::call(call, by, Some(answer))).map_err(|_| away("the device's part is restarting"))?;
        let (reply, receipt) = tokio::time::timeout(TAKEN_WITHIN, answered)
            .await
            .map_err(|_| away("the device's part does not answer"))?
            .map_err(|_| away("the device's part is restarting"))?;
        let entered = reply?;
        match tokio::time::timeout(TAKEN_WITHIN, receipt).await {
            Ok(Ok(true)) => Ok(entered),
            Ok(Ok(false) | Err(_)) | Err(_) => Err(away("the database is away")),
        }
    }

    /// The ledger, newest first.
    pub async fn commands(&self, device: Option<DeviceId>, limit: i64) -> Result<Vec<CommandView>, Error> {
        Ok(store::list(self.pool(), device, limit.clamp(1, 1_000)).await?)
    }

    /// One entry of the ledger.
    pub async fn command_by_id(&self, id: CommandId) -> Result<CommandView, Error> {
        store::get(self.pool(), id).await?.ok_or(Error::NotFound { what: "command" })
    }
}

fn away(what: &str) -> CommandRefused {
    CommandRefused::Away(what.to_owned())
}
