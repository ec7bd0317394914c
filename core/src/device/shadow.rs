//! What all devices have in common: presence, points, the command ledger, and the view of it all.
//!
//! ```text
//! presence:  Unknown ──heard──▶ Online ──silent for its time──▶ Stale ──as long again──▶ Offline
//!                                  └──────────── will message, connection lost ────────────▶┘
//! ```

use super::link::{DeviceKind, Downlink, PresenceCause, Verb};
use super::telemetry::{PointName, Value};
use super::{Device, Input, Output, tells};
use crate::access::{AccessRecord, Attempt, Presented, Verdict, Via, decide};
use crate::command::{Command, CommandRefused, CommandState, OPEN_ONCE_MS, answer_ms};
use crate::effect::{Effect, Record};
use crate::event::{Body, Event};
use crate::id::{AccessId, CommandId, DeviceId, EventId, PlaceId};
use crate::machine::{Context, Machine};
use crate::recognition::Seen;
use crate::site::Spec;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A device whose clock is further off than this is told once an hour.
const SKEW_MS: i64 = 1_000;

/// Whether a device is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Heard in time.
    Online,
    /// Silent for longer than its profile says.
    Stale,
    /// Gone.
    Offline,
    /// Nothing heard since it was configured.
    Unknown,
}

/// The last value of a point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The value.
    pub value: Value,
    /// Its unit, empty when it has none.
    pub unit: String,
    /// When it was observed.
    pub at: Timestamp,
}

/// What operators see of a device. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it: api.ts of the console has the prose")]
pub struct DeviceView {
    pub id: DeviceId,
    pub key: String,
    pub kind: DeviceKind,
    pub class: String,
    pub name: String,
    pub name_zh: String,
    pub place: PlaceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<f64>,
    pub presence: Presence,
    pub state: String,
    /// Priority of the highest active alarm on it, 0 for none.
    pub severity: u8,
    pub since: Timestamp,
    pub points: BTreeMap<PointName, Reading>,
    pub cameras: Vec<DeviceId>,
    pub verbs: Vec<String>,
    pub announced: bool,
    pub model: String,
}

/// A device's machine with its surroundings.
#[derive(Clone, Debug)]
pub struct Twin<D> {
    spec: Spec,
    kept: Kept<D>,
    points: BTreeMap<PointName, Reading>,
    changed: bool,
}

/// What is stored of a twin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept<D> {
    device: D,
    presence: Presence,
    heard_at: Option<Timestamp>,
    since: Timestamp,
    pending: BTreeMap<CommandId, Command>,
    /// Ledger ids of the last commands, so that one asked twice is sent once.
    recent: Vec<CommandId>,
    opened_at: Option<Timestamp>,
    skew_told_at: Option<Timestamp>,
    words: BTreeMap<PointName, (Value, Timestamp)>,
}

/// What a device's shell is told outside the event log.
#[derive(Clone, Debug)]
pub enum TwinCall {
    /// Measures and signs of life: the newest of each point.
    Heard(Vec<(PointName, Value, Timestamp)>),
    /// An operator's command.
    Order(Order),
    /// Its definition changed.
    Redefine(Box<Spec>),
}

/// A command as asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Ledger id.
    pub command: CommandId,
    /// What to do.
    pub what: Verb,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
    /// Until when.
    pub deadline: Timestamp,
    /// Fire release and recall.
    pub life_safety: bool,
}

/// The answer of a device's shell to a call.
pub type TwinReply = Result<Option<Command>, CommandRefused>;

impl<D: Device> Twin<D> {
    /// A device that has said nothing yet.
    pub fn new(spec: Spec, now: Timestamp) -> Self {
        let kept = Kept {
            device: D::new(&spec),
            presence: Presence::Unknown,
            heard_at: None,
            since: now,
            pending: BTreeMap::new(),
            recent: Vec::new(),
            opened_at: None,
            skew_told_at: None,
            words: BTreeMap::new(),
        };
        Self { spec, kept, points: BTreeMap::new(), changed: true }
    }

    /// A device as it was stored.
    pub fn restore(spec: Spec, snapshot: serde_json::Value) -> Result<Self, serde_json::Error> {
        let kept: Kept<D> = serde_json::from_value(snapshot)?;
        let points = kept
            .words
            .iter()
            .map(|(name, (value, at))| {
                (name.clone(), Reading { value: value.clone(), unit: spec.unit(name).to_owned(), at: *at })
            })
            .collect();
        Ok(Self { spec, kept, points, changed: true })
    }

    /// Fills in values known from before a restart, where nothing newer is.
    pub fn recall(&mut self, points: Vec<(PointName, Value, Timestamp)>) {
        for (name, value, at) in points {
            if !self.points.contains_key(&name) {
                self.put(&name, &value, at);
            }
        }
    }

    /// What operators see, without alarms.
    fn look(&self) -> DeviceView {
        let spec = &self.spec;
        DeviceView {
            id: spec.id,
            key: spec.key.to_string(),
            kind: spec.kind,
            class: spec.class.clone(),
            name: spec.name.clone(),
            name_zh: spec.name_zh.clone(),
            place: spec.place,
            x: spec.x,
            y: spec.y,
            presence: self.kept.presence,
            state: self.kept.device.state().to_owned(),
            severity: 0,
            since: self.kept.since,
            points: self.points.clone(),
            cameras: spec.cameras.clone(),
            verbs: D::verbs(spec).iter().map(|verb| (*verb).to_owned()).collect(),
            announced: spec.announced,
            model: spec.model.clone(),
        }
    }

    fn emit(&self, body: Body) -> Effect {
        Effect::emit(self.spec.id, body)
    }

    /// Runs the kind's machine and tells when its state word changed.
    fn feed(&mut self, input: Input<'_>, now: Timestamp, cx: &Context<'_>, origin: &Origin<'_>) -> Vec<Effect> {
        let from = self.kept.device.state();
        let outputs = self.kept.device.step(input, &self.spec, now);
        let mut effects = Vec::new();
        for (nth, output) in outputs.into_iter().enumerate() {
            match output {
                Output::Tell(body) => effects.push(self.emit(body)),
                Output::Send(what) => effects.extend(self.send_own(what, nth, cx, origin)),
            }
        }
        let to = self.kept.device.state();
        if from != to {
            self.kept.since = now;
            self.changed = true;
            let (kind, class) = (self.spec.kind, self.spec.class.clone());
            effects.push(self.emit(Body::StateChanged { kind, class, from: from.into(), to: to.into() }));
        }
        effects
    }

    /// Sends what the machine itself wants: an unlock after a grant, a release again after a reconnection.
    fn send_own(&mut self, what: Verb, nth: usize, cx: &Context<'_>, origin: &Origin<'_>) -> Vec<Effect> {
        let life_safety = matches!(what, Verb::Release | Verb::Restore | Verb::Recall { .. });
        if what.opens() && self.just_opened(cx.now) {
            return vec![];
        }
        let command = origin.command(self.spec.id, nth);
        let deadline = plus(cx.now, answer_ms(&what, life_safety));
        let order =
            Order { command, what, by: origin.by.to_owned(), why: origin.why.to_owned(), deadline, life_safety };
        self.enter(order, cx)
    }

    fn just_opened(&self, now: Timestamp) -> bool {
        self.kept.opened_at.is_some_and(|at| now.duration_since(at) < SignedDuration::from_millis(OPEN_ONCE_MS))
    }

    /// Enters a command in the ledger and sends it; overdue ones only enter it.
    fn enter(&mut self, order: Order, cx: &Context<'_>) -> Vec<Effect> {
        if self.kept.recent.contains(&order.command) {
            return vec![];
        }
        self.kept.recent.push(order.command);
        if self.kept.recent.len() > 64 {
            self.kept.recent.remove(0);
        }
        let overdue = order.deadline < cx.wall && !order.life_safety;
        let command = Command {
            id: order.command,
            device: self.spec.id,
            what: order.what.clone(),
            state: if overdue { CommandState::Expired } else { CommandState::Sent },
            reason: if overdue { "overdue_at_restart".into() } else { String::new() },
            by: order.by,
            why: order.why,
            at: cx.now,
            // A release that comes late out of a replay must still be done.
            deadline: if order.life_safety {
                order.deadline.max(plus(cx.wall, answer_ms(&order.what, true)))
            } else {
                order.deadline
            },
            changed_at: cx.now,
        };
        let moved = Body::CommandMoved {
            command: command.id,
            verb: order.what.word().into(),
            state: command.state,
            reason: command.reason.clone(),
        };
        let mut effects = vec![Effect::Keep(Record::Command(command.clone())), self.emit(moved)];
        if !overdue {
            if order.what.opens() {
                self.kept.opened_at = Some(cx.now);
            }
            effects.push(Effect::Send(Downlink {
                device: self.spec.id,
                command: command.id,
                verb: order.what,
                deadline: command.deadline,
            }));
            self.kept.pending.insert(command.id, command);
        }
        effects
    }

    /// An order from outside the machine: checked, followed by the machine, entered and sent.
    fn order(&mut self, order: Order, cx: &Context<'_>) -> Result<Vec<Effect>, CommandRefused> {
        let verbs = D::verbs(&self.spec);
        if !verbs.contains(&order.what.word()) && !matches!(order.what, Verb::Set { .. }) {
            return Err(CommandRefused::UnknownVerb {
                kind: self.spec.kind.word().into(),
                verb: order.what.word().into(),
                knows: if verbs.is_empty() { "none".into() } else { verbs.join(", ") },
            });
        }
        if self.kept.recent.contains(&order.command) {
            return Ok(vec![]);
        }
        let name = self.spec.name.clone();
        if !order.life_safety {
            if self.kept.device.held_by_fire() && !matches!(order.what, Verb::Release | Verb::Restore | Verb::Resume) {
                return Err(CommandRefused::FireHolds(name));
            }
            if self.kept.presence == Presence::Offline {
                return Err(CommandRefused::Offline(name));
            }
            if order.what.opens() && self.just_opened(cx.now) {
                return Err(CommandRefused::JustOpened(name));
            }
        }
        let what = order.what.clone();
        let (by, why) = (order.by.clone(), order.why.clone());
        let overdue = order.deadline < cx.wall && !order.life_safety;
        let mut effects = self.enter(order, cx);
        if !overdue {
            let origin = Origin { event: None, by: &by, why: &why };
            effects.extend(self.feed(Input::Command(&what), cx.now, cx, &origin));
        }
        Ok(effects)
    }

    fn heard(&mut self, presence: Presence, now: Timestamp, cx: &Context<'_>, origin: &Origin<'_>) -> Vec<Effect> {
        if presence == Presence::Online {
            self.kept.heard_at = Some(now);
        }
        let from = std::mem::replace(&mut self.kept.presence, presence);
        if from == presence {
            return vec![];
        }
        self.changed = true;
        let mut effects = vec![self.emit(Body::PresenceChanged { from, to: presence })];
        if presence == Presence::Online && from == Presence::Offline {
            effects.extend(self.feed(Input::Back, now, cx, origin));
        }
        effects
    }

    fn put(&mut self, name: &str, value: &Value, at: Timestamp) {
        let unit = self.spec.unit(name).to_owned();
        if tells(self.spec.kind, name, value) {
            self.kept.words.insert(name.to_owned(), (value.clone(), at));
        }
        self.points.insert(name.to_owned(), Reading { value: value.clone(), unit, at });
        self.changed = true;
    }

    fn skew(&mut self, event: &Event) -> Vec<Effect> {
        let Some(observed_at) = event.observed_at else { return vec![] };
        let skew_ms = event.received_at.duration_since(observed_at).as_millis();
        let skew_ms = i64::try_from(skew_ms).unwrap_or(i64::MAX);
        let told = self.kept.skew_told_at.is_some_and(|at| event.received_at < plus(at, 3_600_000));
        if skew_ms.abs() <= SKEW_MS || told {
            return vec![];
        }
        self.kept.skew_told_at = Some(event.received_at);
        vec![self.emit(Body::ClockSkew { skew_ms })]
    }

    /// Decides on a presented credential, at once and in memory.
    fn presented(&mut self, attempt: &Attempt, event: &Event, cx: &Context<'_>) -> Vec<Effect> {
        let verdict = decide(cx.access, self.spec.id, &attempt.presented, event.received_at);
        let id = AccessId::of_event(event.id, 0);
        let mut record = AccessRecord {
            id,
            at: event.received_at,
            device: self.spec.id,
            person: verdict.person(),
            person_name: verdict.name().to_owned(),
            via: attempt.via,
            granted: false,
            reason: String::new(),
            picture: attempt.picture,
            latency_ms: attempt.latency_ms,
        };
        match verdict {
            Verdict::Granted { person, name } => {
                record.granted = true;
                let why = attempt.via.word();
                let origin = Origin { event: Some(event.id), by: &name, why };
                let unlock_ms = self.spec.unlock_ms();
                let mut effects = self.feed(Input::Grant { unlock_ms }, event.received_at, cx, &origin);
                effects.push(Effect::Keep(Record::Access(record)));
                effects.push(self.emit(Body::Granted { person: Some(person), name, via: attempt.via }));
                effects
            }
            Verdict::Denied { person, name, reason } => {
                record.reason = reason.word().to_owned();
                vec![
                    Effect::Keep(Record::Access(record)),
                    self.emit(Body::Denied { person, name, via: attempt.via, reason }),
                ]
            }
        }
    }

    fn seen(
        &mut self,
        seen: &Seen,
        latency_ms: u32,
        picture: Option<crate::id::PictureId>,
        event: &Event,
        cx: &Context<'_>,
    ) -> Vec<Effect> {
        let origin = Origin { event: Some(event.id), by: &event.by, why: "" };
        let now = event.received_at;
        match seen {
            Seen::Stream { live, reason } => {
                let presence = if *live { Presence::Online } else { Presence::Stale };
                let mut effects = self.heard(presence, now, cx, &origin);
                effects.extend(self.feed(Input::Stream { live: *live, reason }, now, cx, &origin));
                effects
            }
            Seen::Motion { active } => {
                self.put("motion", &Value::Bool(*active), event.observed_at.unwrap_or(now));
                self.feed(Input::Motion(*active), now, cx, &origin)
            }
            Seen::Plate { text, confidence, colour, votes: _ } => vec![self.emit(Body::Plate {
                text: text.clone(),
                confidence: *confidence,
                colour: colour.clone(),
                latency_ms,
                picture,
            })],
            Seen::Face { candidate, accepted, .. } => {
                vec![self.emit(Body::Face { candidate: *candidate, accepted: *accepted, latency_ms, picture })]
            }
        }
    }
}

/// From what an effect comes, for the ledger.
struct Origin<'a> {
    event: Option<EventId>,
    by: &'a str,
    why: &'a str,
}

impl Origin<'_> {
    fn command(&self, device: DeviceId, nth: usize) -> CommandId {
        match self.event {
            Some(event) => CommandId::of_event(event, nth),
            None => CommandId::of_event(EventId(device.0), nth),
        }
    }
}

fn plus(at: Timestamp, ms: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_millis(ms)).unwrap_or(Timestamp::MAX)
}

impl<D: Device> Machine for Twin<D> {
    type Call = TwinCall;
    type Reply = TwinReply;
    type View = DeviceView;

    fn step(&mut self, event: &Event, cx: &Context<'_>) -> Vec<Effect> {
        let now = event.received_at;
        let origin = Origin { event: Some(event.id), by: &event.by, why: "" };
        match &event.body {
            Body::Reported { points } => {
                let mut effects = self.heard(Presence::Online, now, cx, &origin);
                effects.extend(self.skew(event));
                for (name, value) in points {
                    self.put(name, value, event.observed_at.unwrap_or(now));
                    effects.extend(self.feed(Input::Point(name, value), now, cx, &origin));
                }
                effects
            }
            Body::Linked { online, cause } => {
                let presence = match (online, cause) {
                    (true, _) => Presence::Online,
                    (false, PresenceCause::Timeout) => Presence::Stale,
                    (false, PresenceCause::Birth | PresenceCause::Will | PresenceCause::Connection) => {
                        Presence::Offline
                    }
                };
                self.heard(presence, now, cx, &origin)
            }
            Body::CardRead { card, .. } => {
                let mut effects = self.heard(Presence::Online, now, cx, &origin);
                let attempt = Attempt {
                    presented: Presented::Card(card.clone()),
                    via: Via::Card,
                    picture: None,
                    latency_ms: None,
                };
                effects.extend(self.presented(&attempt, event, cx));
                effects
            }
            Body::AskGrant { person, via, picture, latency_ms } => {
                let attempt = Attempt {
                    presented: Presented::Person(*person),
                    via: *via,
                    picture: *picture,
                    latency_ms: *latency_ms,
                };
                self.presented(&attempt, event, cx)
            }
            Body::Happening { what } => {
                let mut effects = self.heard(Presence::Online, now, cx, &origin);
                effects.extend(self.feed(Input::Happening(what), now, cx, &origin));
                effects.push(self.emit(Body::Happened { what: what.clone() }));
                effects
            }
            Body::Result { command, result } => {
                let mut effects = self.heard(Presence::Online, now, cx, &origin);
                let Some(mut entry) = self.kept.pending.remove(command) else { return effects };
                if entry.answer(result, now) {
                    effects.push(Effect::Keep(Record::Command(entry.clone())));
                }
                if entry.state.is_final() {
                    effects.push(self.emit(moved(&entry)));
                    let done = entry.state == CommandState::Executed;
                    effects.extend(self.feed(Input::Ended(&entry.what, done), now, cx, &origin));
                } else {
                    self.kept.pending.insert(*command, entry);
                }
                effects
            }
            Body::Seen { seen, latency_ms, picture } => self.seen(seen, *latency_ms, *picture, event, cx),
            Body::AskCommand { command, what, why, deadline, life_safety } => {
                let order = Order {
                    command: *command,
                    what: what.clone(),
                    by: event.by.clone(),
                    why: why.clone(),
                    deadline: *deadline,
                    life_safety: *life_safety,
                };
                match self.order(order, cx) {
                    Ok(effects) => effects,
                    Err(refused) => {
                        let entry = Command {
                            id: *command,
                            device: self.spec.id,
                            what: what.clone(),
                            state: CommandState::Cancelled,
                            reason: refused.code().into(),
                            by: event.by.clone(),
                            why: why.clone(),
                            at: now,
                            deadline: *deadline,
                            changed_at: now,
                        };
                        let told = self.emit(moved(&entry));
                        vec![Effect::Keep(Record::Command(entry)), told]
                    }
                }
            }
            Body::AskRaise { .. }
            | Body::AskClear { .. }
            | Body::StateChanged { .. }
            | Body::PresenceChanged { .. }
            | Body::Tamper { .. }
            | Body::Limit { .. }
            | Body::Happened { .. }
            | Body::ClockSkew { .. }
            | Body::Announced { .. }
            | Body::FirePoint { .. }
            | Body::Granted { .. }
            | Body::Denied { .. }
            | Body::Plate { .. }
            | Body::Face { .. }
            | Body::CommandMoved { .. }
            | Body::FireRelease { .. }
            | Body::AlarmMoved { .. }
            | Body::Flood { .. }
            | Body::PassageMoved { .. }
            | Body::WorkOrderMoved { .. }
            | Body::PeopleChanged { .. }
            | Body::ActorRestarted { .. }
            | Body::ActorQuarantined { .. }
            | Body::TargetMoved { .. }
            | Body::SystemMoved { .. } => vec![],
        }
    }

    fn tick(&mut self, cx: &Context<'_>) -> Vec<Effect> {
        let now = cx.now;
        let origin = Origin { event: None, by: "system", why: "" };
        let mut effects = Vec::new();
        let overdue: Vec<_> = self.kept.pending.values().filter(|c| c.deadline <= now).map(|c| c.id).collect();
        for id in overdue {
            let Some(mut entry) = self.kept.pending.remove(&id) else { continue };
            entry.move_to(CommandState::TimedOut, "no_answer".into(), now);
            effects.push(Effect::Keep(Record::Command(entry.clone())));
            effects.push(self.emit(moved(&entry)));
            effects.extend(self.feed(Input::Ended(&entry.what, false), now, cx, &origin));
        }
        if let (Some(heard_at), Some(timeout_ms)) = (self.kept.heard_at, self.spec.timeout_ms()) {
            let due = |times: i64| now >= plus(heard_at, timeout_ms.saturating_mul(times));
            match self.kept.presence {
                Presence::Online | Presence::Stale if due(2) => {
                    effects.extend(self.heard(Presence::Offline, now, cx, &origin));
                }
                Presence::Online if due(1) => effects.extend(self.heard(Presence::Stale, now, cx, &origin)),
                Presence::Online | Presence::Stale | Presence::Offline | Presence::Unknown => {}
            }
        }
        effects.extend(self.feed(Input::Tick, now, cx, &origin));
        effects
    }

    fn call(&mut self, call: TwinCall, cx: &Context<'_>) -> (TwinReply, Vec<Effect>) {
        match call {
            TwinCall::Heard(points) => {
                let origin = Origin { event: None, by: "system", why: "" };
                let mut effects = self.heard(Presence::Online, cx.now, cx, &origin);
                for (name, value, at) in points {
                    self.put(&name, &value, at);
                    effects.extend(self.feed(Input::Point(&name, &value), cx.now, cx, &origin));
                }
                (Ok(None), effects)
            }
            TwinCall::Order(order) => {
                let id = order.command;
                match self.order(order, cx) {
                    Ok(effects) => (Ok(self.kept.pending.get(&id).cloned()), effects),
                    Err(refused) => (Err(refused), vec![]),
                }
            }
            TwinCall::Redefine(spec) => {
                self.spec = *spec;
                self.changed = true;
                (Ok(None), vec![])
            }
        }
    }

    fn wake(&self) -> Option<Timestamp> {
        let silence = match (self.kept.presence, self.kept.heard_at, self.spec.timeout_ms()) {
            (Presence::Online, Some(at), Some(ms)) => Some(plus(at, ms)),
            (Presence::Stale, Some(at), Some(ms)) => Some(plus(at, ms.saturating_mul(2))),
            (Presence::Offline | Presence::Unknown, _, _) | (_, None, _) | (_, _, None) => None,
        };
        let command = self.kept.pending.values().map(|command| command.deadline).min();
        [silence, command, self.kept.device.wake(&self.spec)].into_iter().flatten().min()
    }

    fn restored(&mut self, cx: &Context<'_>) -> Vec<Effect> {
        // Nobody listened while we were away: silence counts from now, and what no silence would tell is not known.
        if self.kept.heard_at.is_some() {
            self.kept.heard_at = Some(cx.wall);
        }
        let mut effects = self.tick(cx);
        if self.spec.timeout_s.is_none() && matches!(self.kept.presence, Presence::Online | Presence::Stale) {
            let origin = Origin { event: None, by: "system", why: "restart" };
            effects.extend(self.heard(Presence::Unknown, cx.now, cx, &origin));
        }
        if self.kept.device.held_by_fire() {
            // The release may have been decided but not sent: it is said again, once per restart.
            let again = EventId::from_key(&format!("{}@{}", self.spec.id, cx.wall));
            let origin = Origin { event: Some(again), by: "system", why: "restart" };
            effects.extend(self.feed(Input::Back, cx.wall, cx, &origin));
        }
        effects
    }

    fn snapshot(&self) -> serde_json::Value {
        serde_json::to_value(&self.kept).unwrap_or_default()
    }

    fn view(&mut self) -> Option<DeviceView> {
        std::mem::take(&mut self.changed).then(|| self.look())
    }
}

fn moved(entry: &Command) -> Body {
    Body::CommandMoved {
        command: entry.id,
        verb: entry.what.word().into(),
        state: entry.state,
        reason: entry.reason.clone(),
    }
}
