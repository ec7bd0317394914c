//! Who has to do what about an alarm: P1, P2 and faults of devices become work orders, one per alarm.

use super::state::{Move, NoSuchMove, WorkNote, WorkOrder, WorkOrderState, transition};
use crate::alarm::{AlarmKind, Priority};
use crate::deadlines::Deadlines;
use crate::device::telemetry::Value;
use crate::effect::{Effect, Record};
use crate::event::{Body, Event, Params};
use crate::id::{AlarmId, DeviceId, EventId, PlaceId, WorkOrderId};
use crate::machine::{Context, Machine, stored};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The desk that opens and moves work orders.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    open: BTreeMap<WorkOrderId, WorkOrder>,
    /// When the next deadline of each passes.
    deadlines: Deadlines<WorkOrderId>,
    kept: Kept,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Kept {
    last_number: i64,
}

/// A work order that someone writes.
#[derive(Clone, Debug, PartialEq)]
pub struct NewOrder {
    /// Its id: asked twice is opened once.
    pub id: WorkOrderId,
    /// Parameters of the title, or `text`.
    pub title: Params,
    /// Alarm kind, or `manual`.
    pub kind: String,
    /// How soon.
    pub priority: Priority,
    /// On which device.
    pub device: Option<DeviceId>,
    /// Where.
    pub place: Option<PlaceId>,
    /// From which alarm.
    pub alarm: Option<AlarmId>,
    /// Who.
    pub by: String,
}

/// What someone does at the desk.
#[derive(Clone, Debug, PartialEq)]
pub enum DeskCall {
    /// Opens one.
    Open(NewOrder),
    /// Moves one.
    Move(WorkOrderId, Move),
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// No such work order is open.
    #[error("no open work order {0}: it may be done")]
    NotOpen(WorkOrderId),
    /// The move makes no sense.
    #[error(transparent)]
    NoSuchMove(#[from] NoSuchMove),
}

/// Whether an alarm of this kind and priority is work for someone.
fn is_work(kind: AlarmKind, priority: u8) -> bool {
    priority <= 2 || kind.fault()
}

/// How long there is to do it: four times the EEMUA reaction times, to be replaced by a site's own.
fn resolution(priority: Priority) -> SignedDuration {
    SignedDuration::from_hours(match priority {
        Priority::Critical => 1,
        Priority::High => 4,
        Priority::Medium => 24,
        Priority::Low => 72,
    })
}

/// How long there is to take it up: a quarter of that, so that the rest is left for the work.
fn response(priority: Priority) -> SignedDuration {
    resolution(priority) / 4
}

impl Desk {
    /// The desk as stored: rows of the open work orders, and the last number given.
    pub fn restore(open: Vec<WorkOrder>, snapshot: serde_json::Value) -> Result<Self, serde_json::Error> {
        let kept = if snapshot.is_null() { Kept::default() } else { serde_json::from_value(snapshot)? };
        Ok(Self {
            deadlines: open.iter().filter_map(|order| Some((order.id, order.wake()?))).collect(),
            open: open.into_iter().map(|order| (order.id, order)).collect(),
            kept,
        })
    }

    /// The id of the work order of an alarm: one alarm, one work order.
    pub fn id_for(alarm: AlarmId) -> WorkOrderId {
        WorkOrderId::of_event(EventId(alarm.0), 0)
    }

    fn open(&mut self, new: NewOrder, now: Timestamp) -> Vec<Effect> {
        if self.open.contains_key(&new.id) {
            return vec![];
        }
        self.kept.last_number += 1;
        let order = WorkOrder {
            id: new.id,
            number: self.kept.last_number,
            title: new.title,
            kind: new.kind,
            state: WorkOrderState::Pending,
            priority: new.priority.number(),
            device: new.device,
            place: new.place,
            alarm: new.alarm,
            assignee: String::new(),
            at: now,
            respond_by: now.checked_add(response(new.priority)).ok(),
            due_at: now.checked_add(resolution(new.priority)).ok(),
            late_response_at: None,
            overdue_at: None,
            done_at: None,
            notes: vec![WorkNote { at: now, by: new.by, text: "opened".into() }],
        };
        self.deadlines.set(&order.id, order.wake());
        self.open.insert(order.id, order.clone());
        keep(order)
    }
}

fn keep(order: WorkOrder) -> Vec<Effect> {
    let body = Body::WorkOrderMoved { work_order: order.id, state: order.state, alarm: order.alarm };
    let device = order.device;
    vec![Effect::Keep(Record::WorkOrder(order)), Effect::Emit { device, body }]
}

impl Machine for Desk {
    type Call = DeskCall;
    type Reply = Result<(), DeskError>;
    type View = ();

    fn step(&mut self, event: &Event, cx: &Context<'_>) -> Vec<Effect> {
        let Body::AlarmMoved { alarm, kind, priority, what, .. } = &event.body else { return vec![] };
        if what != "raised" || !is_work(*kind, *priority) {
            return vec![];
        }
        let spec = event.device.and_then(|id| cx.compound.device(id));
        let mut title = Params::new();
        if let Some(spec) = spec {
            title.insert("device".into(), Value::Text(spec.name.clone()));
            title.insert("device_zh".into(), Value::Text(spec.name_zh.clone()));
        }
        let new = NewOrder {
            id: Desk::id_for(*alarm),
            title,
            kind: kind.word().to_owned(),
            priority: Priority::try_from(*priority).unwrap_or(kind.priority()),
            device: event.device,
            place: spec.map(|spec| spec.place),
            alarm: Some(*alarm),
            by: "system".into(),
        };
        self.open(new, event.received_at)
    }

    fn tick(&mut self, cx: &Context<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for id in self.deadlines.due(cx.now) {
            let Some(order) = self.open.get_mut(&id) else { continue };
            let missed = order.overdue(cx.now);
            self.deadlines.set(&id, order.wake());
            if missed.is_empty() {
                continue;
            }
            effects.push(Effect::Keep(Record::WorkOrder(order.clone())));
            effects.extend(missed.into_iter().map(|what| Effect::Emit {
                device: order.device,
                body: Body::WorkOrderOverdue {
                    work_order: order.id,
                    number: order.number,
                    what: what.to_owned(),
                    priority: order.priority,
                },
            }));
        }
        effects
    }

    fn call(&mut self, call: DeskCall, cx: &Context<'_>) -> (Self::Reply, Vec<Effect>) {
        match call {
            DeskCall::Open(new) => (Ok(()), self.open(new, cx.now)),
            DeskCall::Move(id, step) => {
                let Some(order) = self.open.get_mut(&id) else { return (Err(DeskError::NotOpen(id)), vec![]) };
                if let Err(error) = transition(order, step) {
                    return (Err(error.into()), vec![]);
                }
                let order = order.clone();
                if !order.state.is_open() {
                    self.open.remove(&id);
                }
                self.deadlines.set(&id, order.wake());
                (Ok(()), keep(order))
            }
        }
    }

    fn wake(&self) -> Option<Timestamp> {
        self.deadlines.next()
    }

    fn restored(&mut self, cx: &Context<'_>) -> Vec<Effect> {
        self.tick(cx)
    }

    fn snapshot(&self) -> String {
        stored(&self.kept)
    }
}
