//! What every actor runs: a state machine over the event log.
//!
//! ```text
//! event log ──Event──▶ step ──▶ effects (new events, records to keep, downlinks) ─┐
//!     ▲                                                                          │ one transaction, with the machine's
//!     └──────────────────────────────── journal ◀─────────────────────────────────┘ own position and snapshot
//! ```
//! A machine that is restarted loads its snapshot and steps through the events after its position: none is lost, none
//! counts twice, because position, snapshot and effects are committed together.

use crate::access::Snapshot;
use crate::effect::Effect;
use crate::event::Event;
use crate::site::Compound;
use jiff::Timestamp;
use serde::Serialize;

/// What a machine may look at while it steps.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The moment of the input: an event's `received_at`, also when it is replayed later.
    pub now: Timestamp,
    /// The moment at which the effects will be carried out; later than `now` in a replay. What is overdue by then is not sent.
    pub wall: Timestamp,
    /// The compound as configured and announced.
    pub compound: &'a Compound,
    /// Who may go where.
    pub access: &'a Snapshot,
}

/// A state machine over the event log.
pub trait Machine: Send + 'static {
    /// A question or order that is answered at once and is not an event: its effects are committed before the answer.
    type Call: Send + 'static;
    /// The answer to a call.
    type Reply: Send + 'static;
    /// What others may see of it.
    type View: Send + Sync + 'static;

    /// Takes one event.
    fn step(&mut self, event: &Event, cx: &Context<'_>) -> Vec<Effect>;

    /// Does what is due at `cx.now`: nothing, for a machine without timers.
    fn tick(&mut self, _: &Context<'_>) -> Vec<Effect> {
        vec![]
    }

    /// Answers a call.
    fn call(&mut self, call: Self::Call, cx: &Context<'_>) -> (Self::Reply, Vec<Effect>);

    /// When it wants its next tick. A function of the state, so that a restart loses no timer.
    fn wake(&self) -> Option<Timestamp> {
        None
    }

    /// Puts a restored machine back in touch with the world, after the replay.
    fn restored(&mut self, _: &Context<'_>) -> Vec<Effect> {
        vec![]
    }

    /// What to store so that it can be restored: JSON.
    fn snapshot(&self) -> String;

    /// Whether what it would store differs from what was stored last, where no effect says so: a state that changed must be
    /// stored though nothing follows yet (a delay began), one that did not need not. None: the shell decides.
    fn moved(&mut self) -> Option<bool> {
        None
    }

    /// What others may see of it, when that changed since the last look.
    fn view(&mut self) -> Option<Self::View> {
        None
    }
}

/// The JSON of a state. What cannot be written restores as new.
pub(crate) fn stored(state: &impl Serialize) -> String {
    serde_json::to_string(state).unwrap_or_else(|_| "null".to_owned())
}
