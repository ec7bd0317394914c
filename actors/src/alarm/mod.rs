//! Alarms as operators see and handle them.

pub(crate) mod store;
mod tally;

pub(crate) use tally::Tally;

use crate::error::Error;
use crate::root::System;
use crate::shell::Message;
use crate::video::ClipRow;
use crate::workorder::WorkOrderView;
use gatehouse_core::alarm::{Alarm, AlarmCall, AlarmKind, Note, Sop};
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::effect::Record;
use gatehouse_core::event::{Body, Params};
use gatehouse_core::id::{AlarmId, ClipId, DeviceId, PlaceId, WorkOrderId};
use gatehouse_core::workorder::{Desk, DeskCall, NewOrder};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::oneshot;

use crate::journal::{Entry, NewEvent};

/// How long the alarm book has to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Longest comment.
const COMMENT_CHARS: usize = 2_000;

/// An alarm as operators see it. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct AlarmView {
    pub id: AlarmId,
    #[serde(rename = "type")]
    pub kind: AlarmKind,
    pub zone: String,
    pub priority: u8,
    pub device: Option<DeviceId>,
    pub place: Option<PlaceId>,
    pub title: BTreeMap<String, String>,
    pub raised_at: Timestamp,
    pub observed_at: Option<Timestamp>,
    pub active: bool,
    pub acked: bool,
    pub acked_by: Option<String>,
    pub acked_at: Option<Timestamp>,
    pub cleared_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    pub latched: bool,
    pub shelved_until: Option<Timestamp>,
    pub shelve_reason: String,
    pub suppressed: bool,
    pub letter: String,
    pub occurrences: u32,
    pub cameras: Vec<DeviceId>,
    pub work_order: Option<WorkOrderId>,
    pub source: String,
}

impl From<&Alarm> for AlarmView {
    fn from(alarm: &Alarm) -> Self {
        Self {
            id: alarm.id,
            kind: alarm.key.kind,
            zone: alarm.key.zone.clone(),
            priority: alarm.priority.number(),
            device: alarm.key.device,
            place: alarm.place,
            title: alarm.title.iter().map(|(name, value)| (name.clone(), value.to_string())).collect(),
            raised_at: alarm.raised_at,
            observed_at: alarm.observed_at,
            active: alarm.facts.active,
            acked: alarm.facts.acked,
            acked_by: alarm.acked_by.clone(),
            acked_at: alarm.acked_at,
            cleared_at: alarm.cleared_at,
            closed_at: alarm.closed_at,
            latched: alarm.facts.latched,
            shelved_until: alarm.facts.shelved_until,
            shelve_reason: alarm.shelve_reason.clone(),
            suppressed: alarm.facts.suppressed,
            letter: alarm.facts.letter().to_string(),
            occurrences: alarm.occurrences,
            cameras: alarm.cameras.clone(),
            work_order: alarm.work_order,
            source: alarm.source.clone(),
        }
    }
}

/// How many open alarms there are. Shelved and suppressed ones count in `shelved` only. Field names are the wire's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct AlarmCounts {
    pub p1: u32,
    pub p2: u32,
    pub p3: u32,
    pub p4: u32,
    pub unacked: u32,
    pub shelved: u32,
}

/// Which alarms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlarmQuery {
    /// Only those that still need someone.
    pub open: bool,
    /// Raised before then.
    pub before: Option<Timestamp>,
    /// At most so many.
    pub limit: i64,
    /// That contain this text; empty for all.
    pub q: String,
}

impl AlarmQuery {
    /// Those of the open alarms that it asks for, newest first, as the store would tell them.
    fn among(&self, mut open: Vec<AlarmView>) -> Vec<AlarmView> {
        let text = self.q.to_lowercase();
        let has = |part: &str| part.to_lowercase().contains(&text);
        open.retain(|alarm| {
            self.before.is_none_or(|before| alarm.raised_at < before)
                && (has(alarm.kind.word()) || has(&alarm.source) || alarm.title.values().any(|value| has(value)))
        });
        open.sort_by_key(|alarm| (std::cmp::Reverse(alarm.raised_at), alarm.id));
        open.truncate(usize::try_from(self.limit.clamp(1, 10_000)).unwrap_or(usize::MAX));
        open
    }
}

/// Alarms with their counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct AlarmList {
    pub alarms: Vec<AlarmView>,
    pub counts: AlarmCounts,
}

/// A line of an alarm's timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct NoteView {
    pub at: Timestamp,
    pub code: String,
    pub by: String,
    pub params: Params,
}

/// A clip of an alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ClipView {
    pub id: ClipId,
    pub camera: DeviceId,
    pub from: Timestamp,
    pub to: Timestamp,
    pub ready: bool,
    pub url: String,
    pub failed: String,
}

impl From<ClipRow> for ClipView {
    fn from(row: ClipRow) -> Self {
        Self {
            id: row.id,
            camera: row.camera,
            from: row.from,
            to: row.to,
            ready: row.ready,
            url: format!("/api/clips/{}.mp4", row.id),
            failed: row.failed,
        }
    }
}

/// A step of the procedure that was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct StepDone {
    pub step: String,
    pub by: String,
    pub at: Timestamp,
}

/// Everything about an alarm. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct AlarmDetail {
    pub alarm: AlarmView,
    pub timeline: Vec<NoteView>,
    pub clips: Vec<ClipView>,
    pub sop: Sop,
    pub steps_done: Vec<StepDone>,
    pub work_orders: Vec<WorkOrderView>,
}

impl System {
    /// Alarms, newest first, with the counts of all open ones. While the database is away, or has not everything yet that was
    /// spilled, the open ones are told as they are known here: a row would show as open what was closed before.
    pub async fn alarms(&self, query: AlarmQuery) -> Result<AlarmList, Error> {
        let alarms = match query.open && self.shared().journal.is_away() {
            true => query.among(self.open_alarms()),
            false => store::list(self.pool(), &query).await?,
        };
        Ok(AlarmList { alarms, counts: self.alarm_counts() })
    }

    /// The open alarms, most urgent first, newest first among equals.
    pub fn open_alarms(&self) -> Vec<AlarmView> {
        self.tally().open()
    }

    /// How many open alarms there are.
    pub fn alarm_counts(&self) -> AlarmCounts {
        self.tally().counts()
    }

    /// Everything about an alarm. While the database is away: the alarm as it is known here, with its procedure, without its
    /// timeline, clips and work orders.
    pub async fn alarm(&self, id: AlarmId) -> Result<AlarmDetail, Error> {
        if self.shared().journal.is_away()
            && let Some(alarm) = self.tally().find(id)
        {
            return Ok(self.alarm_as_known(alarm));
        }
        let pool = self.pool();
        let alarm = store::get(pool, id).await?.ok_or(Error::NotFound { what: "alarm" })?;
        let notes = store::notes(pool, id).await?;
        let clips = crate::video::store::of_alarm(pool, id).await?;
        let work_orders = crate::workorder::store::of_alarm(pool, id).await?;
        let mut steps: BTreeMap<String, Option<StepDone>> = BTreeMap::new();
        for note in notes.iter().filter(|note| matches!(note.code.as_str(), "step_done" | "step_undone")) {
            let Some(Value::Text(step)) = note.params.get("step") else { continue };
            let done = StepDone { step: step.clone(), by: note.by.clone(), at: note.at };
            steps.insert(step.clone(), (note.code == "step_done").then_some(done));
        }
        let sop = self.procedure(alarm.kind);
        Ok(AlarmDetail {
            alarm,
            timeline: notes,
            clips: clips.into_iter().map(ClipView::from).collect(),
            sop,
            steps_done: steps.into_values().flatten().collect(),
            work_orders,
        })
    }

    fn alarm_as_known(&self, alarm: AlarmView) -> AlarmDetail {
        let sop = self.procedure(alarm.kind);
        AlarmDetail { alarm, timeline: vec![], clips: vec![], sop, steps_done: vec![], work_orders: vec![] }
    }

    fn procedure(&self, kind: AlarmKind) -> Sop {
        let mut sop = self.compound().sop(kind);
        if sop.title == Default::default() {
            sop.title = gatehouse_core::alarm::default_sop(kind).title;
        }
        sop
    }

    /// Someone has seen it; on a latched alarm whose condition is gone a second time resets it. Committed before it returns.
    pub async fn ack(&self, id: AlarmId, by: &str, comment: Option<String>) -> Result<AlarmDetail, Error> {
        let comment = comment.map(|text| text.chars().take(COMMENT_CHARS).collect());
        self.alarm_call(id, AlarmCall::Ack { alarm: id, by: by.into(), comment }, by).await
    }

    /// Puts an alarm aside. Committed before it returns.
    pub async fn shelve(&self, id: AlarmId, by: &str, minutes: u32, reason: String) -> Result<AlarmDetail, Error> {
        self.alarm_call(id, AlarmCall::Shelve { alarm: id, by: by.into(), minutes, reason }, by).await
    }

    /// Takes an alarm back from the shelf. Committed before it returns.
    pub async fn unshelve(&self, id: AlarmId, by: &str) -> Result<AlarmDetail, Error> {
        self.alarm_call(id, AlarmCall::Unshelve { alarm: id, by: by.into() }, by).await
    }

    /// Adds a remark, also to an alarm that is closed.
    pub async fn comment(&self, id: AlarmId, by: &str, text: String) -> Result<AlarmDetail, Error> {
        if text.trim().is_empty() {
            return Err(Error::invalid("empty", "text", "a comment needs text"));
        }
        let text = text.chars().take(COMMENT_CHARS).collect();
        self.alarm_note(id, "commented", by, [("comment".to_owned(), Value::Text(text))].into()).await
    }

    /// Ticks a step of the procedure off, or back on.
    pub async fn step_done(&self, id: AlarmId, step: String, done: bool, by: &str) -> Result<AlarmDetail, Error> {
        let detail = self.alarm(id).await?;
        if !detail.sop.steps.iter().any(|known| known.id == step) {
            return Err(Error::NotFound { what: "step of the procedure" });
        }
        let code = if done { "step_done" } else { "step_undone" };
        self.alarm_note(id, code, by, [("step".to_owned(), Value::Text(step))].into()).await
    }

    /// Opens the work order of an alarm, once.
    pub async fn open_work_order(&self, id: AlarmId, by: &str, title: Option<String>) -> Result<AlarmDetail, Error> {
        let alarm = store::get(self.pool(), id).await?.ok_or(Error::NotFound { what: "alarm" })?;
        let known = crate::workorder::store::of_alarm(self.pool(), id).await?;
        if known.iter().any(|order| order.state.is_open()) {
            return Err(Error::Conflict {
                code: "work_order_exists",
                message: "this alarm has an open work order already".into(),
            });
        }
        let mut params: Params =
            alarm.title.iter().map(|(name, value)| (name.clone(), Value::Text(value.clone()))).collect();
        if let Some(title) = title.filter(|title| !title.trim().is_empty()) {
            params.insert("text".into(), Value::Text(title));
        }
        let order = NewOrder {
            // The first one has the alarm's own id, so that it is opened once; a later one a new id.
            id: if known.is_empty() { Desk::id_for(id) } else { WorkOrderId(self.clock().uuid()) },
            title: params,
            kind: alarm.kind.word().to_owned(),
            priority: alarm.priority.try_into().unwrap_or(gatehouse_core::alarm::Priority::Low),
            device: alarm.device,
            place: alarm.place,
            alarm: Some(id),
            by: by.into(),
        };
        self.desk_call(DeskCall::Open(order), by).await?;
        self.alarm(id).await
    }

    /// Raises an alarm of the program itself (a full disk, a recording that fails). Committed before it returns.
    pub async fn raise(
        &self,
        kind: AlarmKind,
        device: Option<DeviceId>,
        zone: &str,
        params: Params,
    ) -> Result<(), Error> {
        self.ask_alarm(device, Body::AskRaise { kind, zone: zone.to_owned(), params, test: false }).await
    }

    /// Says that its condition ended. Committed before it returns.
    pub async fn clear(&self, kind: AlarmKind, device: Option<DeviceId>, zone: &str) -> Result<(), Error> {
        self.ask_alarm(device, Body::AskClear { kind, zone: zone.to_owned(), reset: false }).await
    }

    async fn ask_alarm(&self, device: Option<DeviceId>, body: Body) -> Result<(), Error> {
        let event = NewEvent {
            received_at: self.now(),
            observed_at: None,
            device,
            place: device.and_then(|id| self.compound().device(id).map(|spec| spec.place)),
            cause: None,
            by: "system".into(),
            source_key: None,
            body,
        };
        self.committed(self.shared().journal.submit(Entry { events: vec![event], ..Entry::default() })).await
    }

    async fn alarm_call(&self, id: AlarmId, call: AlarmCall, by: &str) -> Result<AlarmDetail, Error> {
        let book = self.alarm_book().ok_or(Error::Away("the alarm book"))?;
        let (answer, answered) = oneshot::channel();
        book.cast(Message::call(call, by, Some(answer))).map_err(|_| Error::Away("the alarm book"))?;
        let (reply, receipt) = tokio::time::timeout(ANSWER_WITHIN, answered)
            .await
            .map_err(|_| Error::Away("the alarm book"))?
            .map_err(|_| Error::Away("the alarm book"))?;
        if let Err(error) = reply {
            // A closed alarm was acknowledged by someone else a moment ago; one that never was is not there.
            let known = match self.tally().find(id) {
                Some(known) => Some(known),
                None => store::get(self.pool(), id).await?,
            };
            return match known {
                None => Err(Error::NotFound { what: "alarm" }),
                Some(known) if known.acked && known.closed_at.is_some() => {
                    Err(Error::Conflict { code: "already_acknowledged", message: error.to_string() })
                }
                Some(_) => Err(error.into()),
            };
        }
        self.committed(receipt).await?;
        self.alarm(id).await
    }

    async fn alarm_note(&self, id: AlarmId, code: &str, by: &str, params: Params) -> Result<AlarmDetail, Error> {
        let alarm = match self.tally().find(id) {
            Some(known) => known,
            None => store::get(self.pool(), id).await?.ok_or(Error::NotFound { what: "alarm" })?,
        };
        let now = self.now();
        let note = Note { alarm: id, at: now, code: code.into(), by: by.into(), params };
        let event = NewEvent {
            received_at: now,
            observed_at: None,
            device: alarm.device,
            place: alarm.place,
            cause: None,
            by: by.into(),
            source_key: None,
            body: Body::AlarmMoved {
                alarm: id,
                kind: alarm.kind,
                zone: alarm.zone.clone(),
                priority: alarm.priority,
                what: code.into(),
            },
        };
        let entry = Entry { events: vec![event], records: vec![Record::Note(note)], ..Entry::default() };
        self.committed(self.shared().journal.submit(entry)).await?;
        self.alarm(id).await
    }

    /// Tells the pages that something about an alarm changed beside the alarm itself.
    pub(crate) async fn alarm_touched(&self, id: AlarmId) -> Result<(), Error> {
        if let Some(view) = store::get(self.pool(), id).await? {
            self.bus().publish(crate::bus::Change::Alarm(std::sync::Arc::new(view)));
        }
        Ok(())
    }
}
