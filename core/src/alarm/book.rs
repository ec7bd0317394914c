//! The alarm book: every open alarm, one per key.

use super::state::Changed;
use super::{Alarm, AlarmKind, Clip, Delay, Facts, Flood, Input, Key, Note, Priority, ShelveError, shelve};
use crate::command::{CommandState, answer_ms};
use crate::deadlines::Deadlines;
use crate::device::link::Verb;
use crate::device::plus;
use crate::device::telemetry::Value;
use crate::effect::{Effect, Record};
use crate::event::{Body, Event, Params};
use crate::id::{AlarmId, ClipId, CommandId, DeviceId, EventId};
use crate::machine::{Context, Machine, stored};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A clip begins this long before its alarm.
pub const PRE_ROLL_S: i64 = 10;
/// And ends this long after.
pub const POST_ROLL_S: i64 = 20;

/// How long a device behind a gateway waits for its gateway to be found lost too, milliseconds.
const GATEWAY_MS: i64 = 2_000;

/// A raise or clear that waits out its delay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    key: Key,
    delay: Delay,
    event: EventId,
    /// What led to the wish.
    #[serde(default)]
    cause: Option<EventId>,
    observed_at: Option<Timestamp>,
    source: String,
    params: Params,
    suppressed: bool,
    reset: bool,
}

/// The alarm book.
#[derive(Clone, Debug, Default)]
pub struct Alarms {
    open: BTreeMap<Key, Alarm>,
    /// Where an id is found.
    keys: BTreeMap<AlarmId, Key>,
    /// Until when they are shelved.
    shelves: Deadlines<Key>,
    kept: Kept,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Kept {
    pending: Vec<Pending>,
    flood: Flood,
    /// Cameras that were told to turn to an alarm, and have not said yet how that went.
    #[serde(default)]
    turning: BTreeMap<CommandId, Turning>,
}

/// A camera on its way to a preset because of an alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Turning {
    alarm: AlarmId,
    key: Key,
    priority: u8,
    camera: DeviceId,
    preset: String,
}

/// What an operator does with an alarm.
#[derive(Clone, Debug, PartialEq)]
pub enum AlarmCall {
    /// Has seen it.
    Ack {
        /// Which.
        alarm: AlarmId,
        /// Who.
        by: String,
        /// Remark.
        comment: Option<String>,
    },
    /// Puts it aside.
    Shelve {
        /// Which.
        alarm: AlarmId,
        /// Who.
        by: String,
        /// For how long.
        minutes: u32,
        /// Why.
        reason: String,
    },
    /// Takes it back.
    Unshelve {
        /// Which.
        alarm: AlarmId,
        /// Who.
        by: String,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlarmCallError {
    /// No such alarm is open.
    #[error("no open alarm {0}: it may have been closed a moment ago")]
    NotOpen(AlarmId),
    /// Someone was faster.
    #[error("alarm {0} is acknowledged already")]
    AlreadyAcknowledged(AlarmId),
    /// Not on the shelf.
    #[error("alarm {0} is not shelved")]
    NotShelved(AlarmId),
    /// The wish makes no sense.
    #[error(transparent)]
    Shelve(#[from] ShelveError),
}

impl Pending {
    /// A clock that went back does not make a delay longer.
    fn rewind(&mut self, now: Timestamp) {
        let ms = match self.delay.to {
            true => self.key.kind.on_delay_ms().max(GATEWAY_MS),
            false => self.key.kind.off_delay_ms(),
        };
        self.delay.due = self.delay.due.min(plus(now, ms));
    }
}

impl Alarms {
    /// The book as stored: rows of the open alarms, and what waits.
    pub fn restore(open: Vec<Alarm>, snapshot: serde_json::Value) -> Result<Self, serde_json::Error> {
        let kept = if snapshot.is_null() { Kept::default() } else { serde_json::from_value(snapshot)? };
        let shelved = |alarm: &Alarm| alarm.facts.shelved_until.map(|until| (alarm.key.clone(), until));
        Ok(Self {
            keys: open.iter().map(|alarm| (alarm.id, alarm.key.clone())).collect(),
            shelves: open.iter().filter_map(shelved).collect(),
            open: open.into_iter().map(|alarm| (alarm.key.clone(), alarm)).collect(),
            kept,
        })
    }

    fn find(&mut self, id: AlarmId) -> Option<&mut Alarm> {
        self.open.get_mut(self.keys.get(&id)?)
    }

    fn raise(&mut self, pending: Pending, now: Timestamp, cx: &Context<'_>) -> Vec<Effect> {
        // A rule that operators wrote, or a watch list, says how soon someone must do something.
        let own = matches!(pending.key.kind, AlarmKind::Rule | AlarmKind::WatchedPlate);
        let priority = match pending.params.get("priority") {
            Some(Value::Number(n)) if own => Priority::of_number(*n),
            _ => None,
        };
        let priority = priority.unwrap_or(pending.key.kind.priority());
        let Pending { key, event, cause, observed_at, source, params, suppressed, .. } = pending;
        let kind = key.kind;
        let spec = key.device.and_then(|id| cx.compound.device(id));
        let new = !self.open.contains_key(&key);
        if new {
            self.keys.insert(AlarmId::of_event(event, 0), key.clone());
        }
        let alarm = self.open.entry(key.clone()).or_insert_with(|| Alarm {
            id: AlarmId::of_event(event, 0),
            key,
            priority,
            place: spec.map(|spec| spec.place),
            title: Params::new(),
            raised_at: now,
            observed_at,
            facts: Facts::NORMAL,
            acked_by: None,
            acked_at: None,
            cleared_at: None,
            closed_at: None,
            shelve_reason: String::new(),
            occurrences: 0,
            cameras: spec.map(|spec| spec.cameras.clone()).unwrap_or_default(),
            work_order: None,
            source: spec.map_or(source, |spec| spec.key.to_string()),
            cause: cause.unwrap_or(event),
        });
        if alarm.facts.step(Input::Raise { latching: kind.latching(), suppressed }, now) == Changed::Nothing {
            return vec![];
        }
        alarm.occurrences += 1;
        (alarm.acked_by, alarm.acked_at, alarm.cleared_at) = (None, None, None);
        alarm.priority = priority;
        alarm.title = params;
        if let Some(spec) = spec {
            alarm.title.insert("device".into(), Value::Text(spec.name.clone()));
            alarm.title.insert("device_zh".into(), Value::Text(spec.name_zh.clone()));
        }
        if let Some(place) = alarm.place.and_then(|id| cx.compound.places.iter().find(|place| place.id == id)) {
            alarm.title.insert("place".into(), Value::Text(place.name.clone()));
            alarm.title.insert("place_zh".into(), Value::Text(place.name_zh.clone()));
        }
        if kind.momentary() {
            alarm.facts.step(Input::Clear { reset: false }, now);
            alarm.cleared_at = Some(now);
        }
        let alarm = alarm.clone();
        let what = if new { "raised" } else { "raised_again" };
        let params = alarm.title.clone();
        let mut effects = keep(&alarm, what, now, "system", params);
        let from = now.saturating_sub(SignedDuration::from_secs(PRE_ROLL_S)).unwrap_or(now);
        let to = now.saturating_add(SignedDuration::from_secs(POST_ROLL_S)).unwrap_or(now);
        for (nth, camera) in alarm.cameras.iter().enumerate() {
            let id = ClipId::of_event(event, nth);
            effects.push(Effect::Keep(Record::Clip(Clip { id, alarm: alarm.id, camera: *camera, from, to })));
        }
        effects.extend(self.turn(&alarm, event, now, cx));
        if let Some(active) = self.kept.flood.raise(now) {
            effects.push(flood(active, &self.kept.flood));
        }
        effects
    }

    /// Turns the cameras of a raised alarm to their presets, once per raise. Not for faults, which are not to be looked at,
    /// nor for drills.
    fn turn(&mut self, alarm: &Alarm, event: EventId, now: Timestamp, cx: &Context<'_>) -> Vec<Effect> {
        let Some(source) = alarm.key.device.filter(|_| !alarm.key.kind.fault() && !alarm.facts.suppressed) else {
            return vec![];
        };
        let mut effects = Vec::new();
        for (nth, camera) in alarm.cameras.iter().enumerate() {
            let Some(preset) = cx.compound.preset(*camera, source) else { continue };
            let command = CommandId::of_event(event, nth);
            let what = Verb::GotoPreset { preset: preset.to_owned() };
            let deadline = plus(now, answer_ms(&what, false));
            let why = alarm.key.kind.word().to_owned();
            effects.push(Effect::emit(*camera, Body::AskCommand { command, what, why, deadline, life_safety: false }));
            let turning = Turning {
                alarm: alarm.id,
                key: alarm.key.clone(),
                priority: alarm.priority.number(),
                camera: *camera,
                preset: preset.to_owned(),
            };
            self.kept.turning.insert(command, turning);
        }
        effects
    }

    /// Writes down how a camera's turn to an alarm went.
    fn turned(
        &mut self,
        command: CommandId,
        state: CommandState,
        reason: &str,
        event: &Event,
        cx: &Context<'_>,
    ) -> Vec<Effect> {
        if !state.is_final() {
            return vec![];
        }
        let Some(Turning { alarm, key, priority, camera, preset }) = self.kept.turning.remove(&command) else {
            return vec![];
        };
        let done = state == CommandState::Executed;
        let mut params = Params::from([("preset".into(), Value::Text(preset))]);
        if let Some(spec) = cx.compound.device(camera) {
            params.insert("camera".into(), Value::Text(spec.name.clone()));
            if !spec.name_zh.is_empty() {
                params.insert("camera_zh".into(), Value::Text(spec.name_zh.clone()));
            }
        }
        if !done {
            let reason = if reason.is_empty() { state.word() } else { reason };
            params.insert("reason".into(), Value::Text(reason.to_owned()));
        }
        let what = if done { "camera_turned" } else { "camera_not_turned" };
        let note = Note { alarm, at: event.received_at, code: what.into(), by: "system".into(), params };
        let device = key.device;
        let body = Body::AlarmMoved { alarm, kind: key.kind, zone: key.zone, priority, what: what.into() };
        vec![Effect::Keep(Record::Note(note)), Effect::Emit { device, body }]
    }

    fn clear(&mut self, key: &Key, reset: bool, now: Timestamp) -> Vec<Effect> {
        let Some(alarm) = self.open.get_mut(key) else { return vec![] };
        let what = match alarm.facts.step(Input::Clear { reset }, now) {
            Changed::Returned => "returned",
            Changed::Reset => "reset",
            Changed::Nothing | Changed::Raised | Changed::Acknowledged | Changed::Shelved | Changed::Unshelved => {
                return vec![];
            }
        };
        alarm.cleared_at = Some(now);
        let effects = keep(alarm, what, now, "system", Params::new());
        self.close(key.clone(), now, effects)
    }

    /// Takes an alarm that needs no one any more out of the book.
    fn close(&mut self, key: Key, now: Timestamp, mut effects: Vec<Effect>) -> Vec<Effect> {
        let done = self.open.get(&key).is_some_and(|alarm| !alarm.facts.is_open());
        if !done {
            return effects;
        }
        let Some(mut alarm) = self.open.remove(&key) else { return effects };
        self.keys.remove(&alarm.id);
        self.shelves.set(&key, None);
        alarm.closed_at = Some(now);
        alarm.facts.shelved_until = None;
        effects.retain(|effect| !matches!(effect, Effect::Keep(Record::Alarm(_))));
        effects.extend(keep(&alarm, "closed", now, "system", Params::new()));
        effects
    }

    /// Starts or replaces the delay of a key; without a delay it happens at once.
    fn want(&mut self, pending: Option<Pending>, otherwise: Pending, now: Timestamp, cx: &Context<'_>) -> Vec<Effect> {
        self.kept.pending.retain(|waiting| waiting.key != otherwise.key);
        match pending {
            Some(pending) => {
                self.kept.pending.push(pending);
                vec![]
            }
            None if otherwise.delay.to => self.raise(otherwise, now, cx),
            None => self.clear(&otherwise.key, otherwise.reset, now),
        }
    }

    fn ask(&mut self, event: &Event, kind: AlarmKind, zone: &str, to: bool, cx: &Context<'_>) -> Vec<Effect> {
        let now = event.received_at;
        let key = Key { device: event.device, kind, zone: zone.to_owned() };
        let active = self.open.get(&key).is_some_and(|alarm| alarm.facts.active);
        let (params, suppressed, reset) = match &event.body {
            Body::AskRaise { params, test, .. } => (params.clone(), *test, false),
            Body::AskClear { reset, .. } => (Params::new(), false, *reset),
            _ => (Params::new(), false, false),
        };
        let behind_gateway =
            key.device.and_then(|id| cx.compound.device(id)).is_some_and(|spec| spec.gateway.is_some());
        let ms = match to {
            // Its gateway may be found lost a moment later: then the alarm is the gateway's.
            true if kind == AlarmKind::DeviceOffline && behind_gateway => GATEWAY_MS,
            true => kind.on_delay_ms(),
            false => kind.off_delay_ms(),
        };
        let due = Delay { to, due: now };
        let ask = Pending {
            key,
            delay: due,
            event: event.id,
            cause: event.cause,
            observed_at: event.observed_at,
            source: event.by.clone(),
            params,
            suppressed,
            reset,
        };
        // Only a change waits: what is so already just drops the opposite wish.
        let waits = if active == to { None } else { Delay::begin(to, ms, now) };
        self.want(waits.map(|delay| Pending { delay, ..ask.clone() }), ask, now, cx)
    }

    fn act(&mut self, call: AlarmCall, cx: &Context<'_>) -> Result<Vec<Effect>, AlarmCallError> {
        let now = cx.now;
        let (key, effects) = match call {
            AlarmCall::Ack { alarm: id, by, comment } => {
                let alarm = self.find(id).ok_or(AlarmCallError::NotOpen(id))?;
                let what = match alarm.facts.step(Input::Ack, now) {
                    Changed::Acknowledged => "acknowledged",
                    Changed::Reset => "reset",
                    Changed::Nothing | Changed::Raised | Changed::Returned | Changed::Shelved | Changed::Unshelved => {
                        return Err(AlarmCallError::AlreadyAcknowledged(id));
                    }
                };
                (alarm.acked_by, alarm.acked_at) = (Some(by.clone()), Some(now));
                let mut params = Params::new();
                if let Some(comment) = comment.filter(|comment| !comment.trim().is_empty()) {
                    params.insert("comment".into(), Value::Text(comment));
                }
                (alarm.key.clone(), keep(alarm, what, now, &by, params))
            }
            AlarmCall::Shelve { alarm: id, by, minutes, reason } => {
                shelve::check(minutes, &reason)?;
                let alarm = self.find(id).ok_or(AlarmCallError::NotOpen(id))?;
                let until = now.saturating_add(SignedDuration::from_mins(i64::from(minutes))).unwrap_or(Timestamp::MAX);
                alarm.facts.step(Input::Shelve { until }, now);
                alarm.shelve_reason = reason.clone();
                let params =
                    [("reason".into(), Value::Text(reason)), ("minutes".into(), Value::Number(f64::from(minutes)))];
                let (key, effects) = (alarm.key.clone(), keep(alarm, "shelved", now, &by, params.into()));
                self.shelves.set(&key, Some(until));
                (key, effects)
            }
            AlarmCall::Unshelve { alarm: id, by } => {
                let alarm = self.find(id).ok_or(AlarmCallError::NotOpen(id))?;
                if alarm.facts.step(Input::Unshelve, now) == Changed::Nothing {
                    return Err(AlarmCallError::NotShelved(id));
                }
                alarm.shelve_reason.clear();
                let (key, effects) = (alarm.key.clone(), keep(alarm, "unshelved", now, &by, Params::new()));
                self.shelves.set(&key, None);
                (key, effects)
            }
        };
        Ok(self.close(key, now, effects))
    }
}

/// The row, its line on the timeline, and the word to the others.
fn keep(alarm: &Alarm, what: &str, at: Timestamp, by: &str, params: Params) -> Vec<Effect> {
    let note = Note { alarm: alarm.id, at, code: what.into(), by: by.into(), params };
    let body = Body::AlarmMoved {
        alarm: alarm.id,
        kind: alarm.key.kind,
        zone: alarm.key.zone.clone(),
        priority: alarm.priority.number(),
        what: what.into(),
    };
    vec![
        Effect::Keep(Record::Alarm(Box::new(alarm.clone()))),
        Effect::Keep(Record::Note(note)),
        Effect::Emit { device: alarm.key.device, body },
    ]
}

fn flood(active: bool, flood: &Flood) -> Effect {
    Effect::Emit { device: None::<DeviceId>, body: Body::Flood { active, alarms: flood.alarms() } }
}

impl Machine for Alarms {
    type Call = AlarmCall;
    type Reply = Result<(), AlarmCallError>;
    type View = ();

    fn step(&mut self, event: &Event, cx: &Context<'_>) -> Vec<Effect> {
        match &event.body {
            Body::AskRaise { kind, zone, .. } => self.ask(event, *kind, zone, true, cx),
            Body::AskClear { kind, zone, .. } => self.ask(event, *kind, zone, false, cx),
            Body::WorkOrderMoved { work_order, alarm: Some(alarm), .. } => {
                let Some(alarm) = self.find(*alarm) else { return vec![] };
                if alarm.work_order.replace(*work_order) == Some(*work_order) {
                    return vec![];
                }
                vec![Effect::Keep(Record::Alarm(Box::new(alarm.clone())))]
            }
            Body::CommandMoved { command, state, reason, .. } => self.turned(*command, *state, reason, event, cx),
            _ => vec![],
        }
    }

    fn tick(&mut self, cx: &Context<'_>) -> Vec<Effect> {
        let now = cx.now;
        self.kept.pending.iter_mut().for_each(|pending| pending.rewind(cx.wall));
        self.kept.flood.rewind(cx.wall);
        let (due, waiting) =
            std::mem::take(&mut self.kept.pending).into_iter().partition(|p: &Pending| p.delay.is_due(now));
        self.kept.pending = waiting;
        let mut effects = Vec::new();
        for pending in due {
            let at = pending.delay.due;
            effects.extend(match pending.delay.to {
                true => self.raise(pending, at, cx),
                false => self.clear(&pending.key, pending.reset, at),
            });
        }
        for key in self.shelves.due(now) {
            self.shelves.set(&key, None);
            let Some(alarm) = self.open.get_mut(&key) else { continue };
            if alarm.facts.step(Input::Tick, now) == Changed::Unshelved {
                alarm.shelve_reason.clear();
                effects.extend(keep(alarm, "unshelved", now, "system", Params::new()));
            }
        }
        if let Some(active) = self.kept.flood.tick(now) {
            effects.push(flood(active, &self.kept.flood));
        }
        effects
    }

    fn call(&mut self, call: AlarmCall, cx: &Context<'_>) -> (Self::Reply, Vec<Effect>) {
        match self.act(call, cx) {
            Ok(effects) => (Ok(()), effects),
            Err(error) => (Err(error), vec![]),
        }
    }

    fn wake(&self) -> Option<Timestamp> {
        let delays = self.kept.pending.iter().map(|pending| pending.delay.due);
        delays.chain(self.shelves.next()).chain(self.kept.flood.wake()).min()
    }

    fn restored(&mut self, cx: &Context<'_>) -> Vec<Effect> {
        self.tick(cx)
    }

    fn snapshot(&self) -> String {
        stored(&self.kept)
    }

    fn view(&mut self) -> Option<()> {
        None
    }
}
