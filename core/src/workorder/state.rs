//! A work order's life.
//!
//! ```text
//!  Pending ──▶ Accepted ──▶ InProgress ──▶ Done
//!     └───────────┴──────────────┴───────▶ Cancelled
//! ```

use crate::event::Params;
use crate::id::{AlarmId, DeviceId, PlaceId, WorkOrderId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkOrderState {
    /// Waits for someone.
    Pending,
    /// Someone took it.
    Accepted,
    /// Being done.
    InProgress,
    /// Done.
    Done,
    /// Not to be done.
    Cancelled,
}

impl WorkOrderState {
    /// The word stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            WorkOrderState::Pending => "pending",
            WorkOrderState::Accepted => "accepted",
            WorkOrderState::InProgress => "in_progress",
            WorkOrderState::Done => "done",
            WorkOrderState::Cancelled => "cancelled",
        }
    }

    /// Whether someone still has to do something.
    pub fn is_open(self) -> bool {
        match self {
            WorkOrderState::Pending | WorkOrderState::Accepted | WorkOrderState::InProgress => true,
            WorkOrderState::Done | WorkOrderState::Cancelled => false,
        }
    }
}

/// A remark on a work order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkNote {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
}

/// A work order. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkOrder {
    /// Derived from what caused it.
    pub id: WorkOrderId,
    /// The number people say.
    pub number: i64,
    /// Parameters of the title, or `text` when someone wrote it.
    pub title: Params,
    /// The alarm kind it came of, or `manual`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it stands.
    pub state: WorkOrderState,
    /// 1 critical … 4 low.
    pub priority: u8,
    /// On which device.
    pub device: Option<DeviceId>,
    /// Where.
    pub place: Option<PlaceId>,
    /// From which alarm.
    pub alarm: Option<AlarmId>,
    /// Who has it.
    pub assignee: String,
    /// When it was opened.
    pub at: Timestamp,
    /// When someone should have taken it up.
    #[serde(default)]
    pub respond_by: Option<Timestamp>,
    /// When it should be done.
    pub due_at: Option<Timestamp>,
    /// When nobody had taken it up in time.
    #[serde(default)]
    pub late_response_at: Option<Timestamp>,
    /// When it was not done in time; from then on it is a priority higher.
    #[serde(default)]
    pub overdue_at: Option<Timestamp>,
    /// When it was.
    pub done_at: Option<Timestamp>,
    /// Remarks.
    pub notes: Vec<WorkNote>,
}

impl WorkOrder {
    /// When the next of its deadlines passes that has not been told.
    pub fn wake(&self) -> Option<Timestamp> {
        let response =
            self.respond_by.filter(|_| self.state == WorkOrderState::Pending && self.late_response_at.is_none());
        let resolution = self.due_at.filter(|_| self.state.is_open() && self.overdue_at.is_none());
        [response, resolution].into_iter().flatten().min()
    }

    /// Notes the deadlines that have passed, each once: `response`, `resolution`. One that is not done in time is a priority
    /// higher from then on.
    pub fn overdue(&mut self, now: Timestamp) -> Vec<&'static str> {
        let mut missed = Vec::new();
        let note = |notes: &mut Vec<WorkNote>, what: &str| {
            notes.push(WorkNote { at: now, by: "system".into(), text: what.to_owned() });
        };
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if self.state == WorkOrderState::Pending && self.late_response_at.is_none() && due(self.respond_by) {
            self.late_response_at = Some(now);
            note(&mut self.notes, "late_response");
            missed.push("response");
        }
        if self.state.is_open() && self.overdue_at.is_none() && due(self.due_at) {
            self.overdue_at = Some(now);
            note(&mut self.notes, if self.priority > 1 { "overdue_escalated" } else { "overdue" });
            self.priority = self.priority.saturating_sub(1).max(1);
            missed.push("resolution");
        }
        missed
    }
}

/// What someone does with a work order.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    /// The new state.
    pub to: WorkOrderState,
    /// Who.
    pub by: String,
    /// A remark, empty for none.
    pub note: String,
    /// When.
    pub at: Timestamp,
}

/// A move that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a work order that is {} cannot become {}", .from.word(), .to.word())]
pub struct NoSuchMove {
    /// Where it stands.
    pub from: WorkOrderState,
    /// Where it should go.
    pub to: WorkOrderState,
}

/// Moves a work order.
pub fn transition(order: &mut WorkOrder, step: Move) -> Result<(), NoSuchMove> {
    use WorkOrderState::{Accepted, Cancelled, Done, InProgress, Pending};
    let possible = match (order.state, step.to) {
        (Pending, Accepted | InProgress | Done | Cancelled)
        | (Accepted, InProgress | Done | Cancelled)
        | (InProgress, Done | Cancelled) => true,
        (Pending | Accepted | InProgress | Done | Cancelled, Pending)
        | (Accepted | InProgress | Done | Cancelled, Accepted)
        | (InProgress | Done | Cancelled, InProgress)
        | (Done | Cancelled, Done | Cancelled) => false,
    };
    if !possible {
        return Err(NoSuchMove { from: order.state, to: step.to });
    }
    order.state = step.to;
    match step.to {
        Accepted | InProgress if order.assignee.is_empty() => order.assignee = step.by.clone(),
        Done => order.done_at = Some(step.at),
        Accepted | InProgress | Cancelled | Pending => {}
    }
    if !step.note.trim().is_empty() {
        order.notes.push(WorkNote { at: step.at, by: step.by, text: step.note });
    }
    Ok(())
}
