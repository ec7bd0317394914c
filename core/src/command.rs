//! The command ledger: what was asked of a device and what became of it.
//!
//! ```text
//!  queued ──▶ sent ──▶ acked ──▶ executed
//!    │ ▲       ├────────┴──────▶ failed (the device's words)
//!    │ └───────┤ at least once   timed_out (no answer by the deadline)
//!    │         └───────────────▶
//!    ├─▶ failed (its link did not take it)
//!    └─▶ expired (overdue before it was sent) · cancelled (by an operator, device away, or just done)
//! ```
//! How hard a command is tried is data of its verb: [`Verb::delivery`].

use crate::device::link::{Outcome, Verb};
use crate::id::{CommandId, DeviceId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Opening the same door or barrier again within this time is not sent again: SECURITY, "at most once within 3 s".
pub const OPEN_ONCE_MS: i64 = 3_000;

/// How long a device has to answer an ordinary command.
pub const ANSWER_MS: i64 = 5_000;

/// How long a door has to confirm a fire release before it is listed as not released.
pub const RELEASE_MS: i64 = 2_000;

/// How long a lift has to arrive at its recall floor: a tall house's longest ride with a stop on the way.
pub const RECALL_MS: i64 = 90_000;

/// How long a camera has to turn to a preset: from end to end at the speed of a slow dome.
pub const TURN_MS: i64 = 20_000;

/// A command that must arrive is tried again after this long, twice as long each time …
pub const RETRY_MS: i64 = 5_000;

/// … up to this: a device that is back after a night is asked within five minutes, and one that never is costs nothing.
pub const RETRY_MOST_MS: i64 = 300_000;

/// How hard a command is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Lets someone through: at most once in [`OPEN_ONCE_MS`], never again by itself, and loud when it fails.
    AtMostOnce,
    /// Sets a state: sent once, asked again by whoever wants it again.
    Once,
    /// Must arrive: sent again after a pause, over outages and restarts, until the device says that it is done.
    AtLeastOnce,
}

/// The pause after so many tries that came to nothing, milliseconds.
pub fn retry_ms(tries: u32) -> i64 {
    RETRY_MS.saturating_mul(1_i64 << tries.saturating_sub(1).min(20)).min(RETRY_MOST_MS)
}

/// How long a device has to carry out what is asked of it.
pub fn answer_ms(what: &Verb, life_safety: bool) -> i64 {
    match what {
        Verb::Recall { .. } => RECALL_MS,
        Verb::GotoPreset { .. } => TURN_MS,
        Verb::Unlock { .. }
        | Verb::Lock
        | Verb::Release
        | Verb::Restore
        | Verb::Open
        | Verb::Close
        | Verb::Resume
        | Verb::Silence
        | Verb::Reset
        | Verb::Arm
        | Verb::Disarm
        | Verb::ForgetFace { .. }
        | Verb::Set { .. } => {
            if life_safety {
                RELEASE_MS
            } else {
                ANSWER_MS
            }
        }
    }
}

/// Where a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandState {
    /// Entered and committed, not yet with the device's link; or waiting for its next try.
    Queued,
    /// Given to the device's link.
    Sent,
    /// The device has it.
    Acked,
    /// Done, read back.
    Executed,
    /// Not done, and the device says why.
    Failed,
    /// No answer by the deadline.
    TimedOut,
    /// Overdue before it could be sent.
    Expired,
    /// Not sent: taken back by an operator, the device is away, or it was done a moment ago.
    Cancelled,
}

impl CommandState {
    /// Whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        match self {
            CommandState::Queued | CommandState::Sent | CommandState::Acked => false,
            CommandState::Executed
            | CommandState::Failed
            | CommandState::TimedOut
            | CommandState::Expired
            | CommandState::Cancelled => true,
        }
    }

    /// The word stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            CommandState::Queued => "queued",
            CommandState::Sent => "sent",
            CommandState::Acked => "acked",
            CommandState::Executed => "executed",
            CommandState::Failed => "failed",
            CommandState::TimedOut => "timed_out",
            CommandState::Expired => "expired",
            CommandState::Cancelled => "cancelled",
        }
    }
}

/// One entry of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Derived from the idempotency key or the causing event: asking twice is asking once.
    pub id: CommandId,
    /// Whose.
    pub device: DeviceId,
    /// What to do.
    pub what: Verb,
    /// Where it stands.
    pub state: CommandState,
    /// Why it did not work, as a code or in the device's words.
    pub reason: String,
    /// Who asked.
    pub by: String,
    /// Why they asked.
    pub why: String,
    /// When.
    pub at: Timestamp,
    /// Until when it may be done.
    pub deadline: Timestamp,
    /// Of the last change of state.
    pub changed_at: Timestamp,
}

impl Command {
    /// Moves it along by the device's answer; false when it was final already (an answer sent twice, or too late).
    pub fn answer(&mut self, outcome: &Outcome, now: Timestamp) -> bool {
        if self.state.is_final() {
            return false;
        }
        let (state, reason) = match outcome {
            Outcome::Accepted if self.state == CommandState::Acked => return false,
            Outcome::Accepted => (CommandState::Acked, String::new()),
            Outcome::Executed => (CommandState::Executed, String::new()),
            Outcome::Failed { reason } => (CommandState::Failed, reason.clone()),
        };
        self.move_to(state, reason, now);
        true
    }

    /// Moves it to a state.
    pub fn move_to(&mut self, state: CommandState, reason: String, now: Timestamp) {
        self.state = state;
        self.reason = reason;
        self.changed_at = now;
    }
}

impl Verb {
    /// The word of the verb, as on topics, routes and pages.
    pub fn word(&self) -> &'static str {
        match self {
            Verb::Unlock { .. } => "unlock",
            Verb::Lock => "lock",
            Verb::Release => "release",
            Verb::Restore => "restore",
            Verb::Open => "open",
            Verb::Close => "close",
            Verb::Recall { .. } => "recall",
            Verb::Resume => "resume",
            Verb::Silence => "silence",
            Verb::Reset => "reset",
            Verb::Arm => "arm",
            Verb::Disarm => "disarm",
            Verb::ForgetFace { .. } => "forget_face",
            Verb::GotoPreset { .. } => "goto_preset",
            Verb::Set { .. } => "set",
        }
    }

    /// How hard it is tried.
    pub fn delivery(&self) -> Delivery {
        match self {
            Verb::Unlock { .. } | Verb::Open => Delivery::AtMostOnce,
            Verb::ForgetFace { .. } => Delivery::AtLeastOnce,
            Verb::Lock
            | Verb::Release
            | Verb::Restore
            | Verb::Close
            | Verb::Recall { .. }
            | Verb::Resume
            | Verb::Silence
            | Verb::Reset
            | Verb::Arm
            | Verb::Disarm
            | Verb::GotoPreset { .. }
            | Verb::Set { .. } => Delivery::Once,
        }
    }

    /// Whether it lets someone through.
    pub fn opens(&self) -> bool {
        self.delivery() == Delivery::AtMostOnce
    }

    /// Whether lives may hang on it: given to the link at once, before its entry is on the disk.
    pub fn urgent(&self) -> bool {
        matches!(self, Verb::Release | Verb::Restore | Verb::Recall { .. })
    }
}

/// Why a command was not even entered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandRefused {
    /// No such device.
    #[error("no device {0} at this site")]
    UnknownDevice(DeviceId),
    /// The device cannot do that.
    #[error("a {kind} has no command {verb:?}: it knows {knows}")]
    UnknownVerb {
        /// Kind of device.
        kind: String,
        /// What was asked.
        verb: String,
        /// What it can do.
        knows: String,
    },
    /// It was done less than three seconds ago.
    #[error("{0} was opened less than 3 s ago: look before opening again")]
    JustOpened(String),
    /// Its link is down.
    #[error("{0} is offline: its command would not arrive")]
    Offline(String),
    /// A fire release holds it.
    #[error("{0} is released by the fire alarm: reset the fire panel first")]
    FireHolds(String),
    /// It cannot be taken back any more.
    #[error("the command is {}: only what is still queued can be cancelled", .0.word())]
    TooLate(CommandState),
    /// No such command waits at the device.
    #[error("no command {0} waits: it ended, or never was")]
    NotWaiting(CommandId),
    /// The queue is full or the store away.
    #[error("commands cannot be recorded now: {0}")]
    Away(String),
}

impl CommandRefused {
    /// The code that pages translate.
    pub fn code(&self) -> &'static str {
        match self {
            CommandRefused::UnknownDevice(_) => "unknown_device",
            CommandRefused::UnknownVerb { .. } => "unknown_verb",
            CommandRefused::JustOpened(_) => "just_opened",
            CommandRefused::Offline(_) => "device_offline",
            CommandRefused::FireHolds(_) => "fire_holds",
            CommandRefused::TooLate(_) | CommandRefused::NotWaiting(_) => "too_late",
            CommandRefused::Away(_) => "store_away",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn command() -> Command {
        let at: Timestamp = "2026-05-01T08:00:00Z".parse().unwrap();
        Command {
            id: CommandId::from_key("c"),
            device: DeviceId::from_key("d"),
            what: Verb::Lock,
            state: CommandState::Sent,
            reason: String::new(),
            by: "li".into(),
            why: String::new(),
            at,
            deadline: at,
            changed_at: at,
        }
    }

    #[test]
    fn the_pause_doubles_from_five_seconds_to_five_minutes() {
        let pauses: Vec<_> = [1, 2, 3, 7, 40].into_iter().map(retry_ms).collect();
        assert_eq!(pauses, [5_000, 10_000, 20_000, 300_000, 300_000]);
    }

    proptest! {
        #[test]
        fn a_final_command_never_moves_again(answers in proptest::collection::vec(0..3u8, 1..12)) {
            let mut command = command();
            let mut ended = None;
            for answer in answers {
                let outcome = match answer {
                    0 => Outcome::Accepted,
                    1 => Outcome::Executed,
                    _ => Outcome::Failed { reason: "jam".into() },
                };
                let at = command.at;
                command.answer(&outcome, at);
                if let Some(state) = ended {
                    prop_assert_eq!(state, command.state);
                }
                if command.state.is_final() {
                    ended = Some(command.state);
                }
            }
        }
    }
}
