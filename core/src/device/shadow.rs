//! What all devices have in common: presence, points, the command ledger, and the view of it all.

pub use super::ledger::Order;
pub use super::presence::Presence;

use super::ledger::{Ended, Ledger, told};
use super::link::{DeviceKind, PresenceCause, Verb};
use super::presence::{Turn, Watch};
use super::telemetry::{PointName, Value};
use super::{Device, Input, Output, plus, tells};
use crate::access::{AccessRecord, Attempt, EntryMethod, Presented, Verdict, Via, decide};
use crate::command::{Command, CommandRefused, CommandState, Delivery, answer_ms};
use crate::effect::{Effect, Record};
use crate::event::{Body, Event};
use crate::id::{AccessId, CommandId, DeviceId, EventId, PlaceId};
use crate::machine::{Context, Machine, stored};
use crate::recognition::Seen;
use crate::site::Spec;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A device whose clock is further off than this is told once an hour.
const SKEW_MS: i64 = 1_000;

/// The word of a camera's view with which nothing is wrong.
const CLEAR: &str = "clear";

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
    /// Ways in that a door offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<EntryMethod>,
    /// Whether a face opens it only after the active challenge: then it has a screen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub challenge: bool,
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
    #[serde(flatten)]
    watch: Watch,
    since: Timestamp,
    #[serde(flatten)]
    ledger: Ledger,
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
    /// The link took a command, or says why not.
    Handed {
        /// Which.
        command: CommandId,
        /// Why not.
        refused: Option<String>,
    },
    /// An operator takes a command back.
    Cancel {
        /// Which.
        command: CommandId,
        /// It waited before the link and will not be given to it.
        withdrawn: bool,
    },
    /// Its definition changed.
    Redefine(Box<Spec>),
}

/// The answer of a device's shell to a call.
pub type TwinReply = Result<Option<Command>, CommandRefused>;

impl<D: Device> Twin<D> {
    /// A device that has said nothing yet.
    pub fn new(spec: Spec, now: Timestamp) -> Self {
        let kept = Kept {
            device: D::new(&spec),
            watch: Watch::default(),
            since: now,
            ledger: Ledger::default(),
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
            presence: self.kept.watch.shown(),
            state: self.kept.device.state().to_owned(),
            severity: 0,
            since: self.kept.since,
            points: self.points.clone(),
            cameras: spec.cameras.clone(),
            verbs: D::verbs(spec).iter().map(|verb| (*verb).to_owned()).collect(),
            announced: spec.announced,
            model: spec.model.clone(),
            methods: spec.methods.clone(),
            challenge: spec.challenge,
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
        if what.opens() && self.kept.ledger.just_opened(cx.now) {
            return vec![];
        }
        let command = origin.command(self.spec.id, nth, cx.now);
        let deadline = plus(cx.now, answer_ms(&what, life_safety));
        let order =
            Order { command, what, by: origin.by.to_owned(), why: origin.why.to_owned(), deadline, life_safety };
        self.enter(order, cx)
    }

    fn enter(&mut self, order: Order, cx: &Context<'_>) -> Vec<Effect> {
        let reachable = self.kept.watch.reachable();
        self.kept.ledger.enter(order, self.spec.id, reachable, cx)
    }

    /// An order from outside the machine: checked, entered, handed to the link, and followed by the machine.
    fn order(&mut self, order: Order, cx: &Context<'_>) -> Result<Vec<Effect>, CommandRefused> {
        let verbs = D::verbs(&self.spec);
        let known = match &order.what {
            Verb::Set { .. } => true,
            Verb::ForgetFace { .. } => self.spec.faces,
            Verb::GotoPreset { .. } => self.spec.speaks_onvif(),
            what => verbs.contains(&what.word()),
        };
        if !known {
            return Err(CommandRefused::UnknownVerb {
                kind: self.spec.kind.word().into(),
                verb: order.what.word().into(),
                knows: if verbs.is_empty() { "none".into() } else { verbs.join(", ") },
            });
        }
        if self.kept.ledger.knows(order.command) {
            return Ok(vec![]);
        }
        // What must arrive waits in the ledger for whatever stands in its way.
        if !order.life_safety && order.what.delivery() != Delivery::AtLeastOnce {
            let name = self.spec.name.clone();
            if self.kept.device.held_by_fire() && !matches!(order.what, Verb::Release | Verb::Restore | Verb::Resume) {
                return Err(CommandRefused::FireHolds(name));
            }
            if self.kept.watch.shown() == Presence::Offline {
                return Err(CommandRefused::Offline(name));
            }
            if order.what.opens() && self.kept.ledger.just_opened(cx.now) {
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

    /// Tells the kind's machine how commands ended.
    fn ended(&mut self, ended: impl IntoIterator<Item = Ended>, cx: &Context<'_>, origin: &Origin<'_>) -> Vec<Effect> {
        let feed = |end: Ended| self.feed(Input::Ended(&end.what, end.done), cx.now, cx, origin);
        ended.into_iter().flat_map(feed).collect()
    }

    /// Tells what changed of the presence; what waited for the device's return goes on.
    fn turned(&mut self, turn: Turn, cx: &Context<'_>, origin: &Origin<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some((from, to)) = turn.told {
            self.changed = true;
            effects.push(self.emit(Body::PresenceChanged { from, to }));
        }
        if turn.back {
            effects.extend(self.feed(Input::Back, cx.now, cx, origin));
            effects.extend(self.kept.ledger.back(cx.wall));
        }
        effects
    }

    fn heard(&mut self, presence: Presence, cx: &Context<'_>, origin: &Origin<'_>) -> Vec<Effect> {
        let turn = self.kept.watch.hear(presence, cx.now);
        self.turned(turn, cx, origin)
    }

    /// A clock that went back makes nothing of this device wait for it.
    fn rewind(&mut self, wall: Timestamp) {
        self.kept.watch.rewind(self.spec.timeout_ms(), wall);
        self.kept.ledger.rewind(wall);
        self.kept.device.rewind(&self.spec, wall);
        self.kept.skew_told_at = self.kept.skew_told_at.map(|at| at.min(wall));
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
                let mut effects = self.heard(presence, cx, &origin);
                effects.extend(self.feed(Input::Stream { live: *live, reason }, now, cx, &origin));
                effects
            }
            Seen::Motion { active } => {
                self.put("motion", &Value::Bool(*active), event.observed_at.unwrap_or(now));
                self.feed(Input::Motion(*active), now, cx, &origin)
            }
            Seen::View { problem } => {
                let before = match self.points.get("view").map(|reading| &reading.value) {
                    Some(Value::Text(word)) if word != CLEAR => word.clone(),
                    Some(_) | None => String::new(),
                };
                let word = if problem.is_empty() { CLEAR } else { problem };
                self.put("view", &Value::Text(word.to_owned()), event.observed_at.unwrap_or(now));
                let changed = before != *problem;
                changed.then(|| self.emit(Body::View { from: before, to: problem.clone() })).into_iter().collect()
            }
            Seen::Plate { text, confidence, colour, votes, travel, sure } => vec![self.emit(Body::Plate {
                text: text.clone(),
                confidence: *confidence,
                colour: colour.clone(),
                latency_ms,
                picture,
                votes: *votes,
                travel: *travel,
                sure: *sure,
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
    fn command(&self, device: DeviceId, nth: usize, now: Timestamp) -> CommandId {
        let event = self.event.unwrap_or_else(|| EventId::from_key(&format!("{device}@{now}")));
        CommandId::of_event(event, nth)
    }
}

impl<D: Device> Machine for Twin<D> {
    type Call = TwinCall;
    type Reply = TwinReply;
    type View = DeviceView;

    fn step(&mut self, event: &Event, cx: &Context<'_>) -> Vec<Effect> {
        self.rewind(cx.wall);
        let now = event.received_at;
        let origin = Origin { event: Some(event.id), by: &event.by, why: "" };
        match &event.body {
            Body::Reported { points } => {
                let mut effects = self.heard(Presence::Online, cx, &origin);
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
                self.heard(presence, cx, &origin)
            }
            Body::CardRead { card, .. } => {
                let mut effects = self.heard(Presence::Online, cx, &origin);
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
                let mut effects = self.heard(Presence::Online, cx, &origin);
                effects.extend(self.feed(Input::Happening(what), now, cx, &origin));
                effects.push(self.emit(Body::Happened { what: what.clone() }));
                effects
            }
            Body::Result { command, result } => {
                let mut effects = self.heard(Presence::Online, cx, &origin);
                let (moved, ended) = self.kept.ledger.answered(*command, result, now);
                effects.extend(moved);
                effects.extend(self.ended(ended, cx, &origin));
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
                        told(&entry)
                    }
                }
            }
            Body::AskGateway { lost } => {
                let turn = self.kept.watch.gateway(*lost, self.spec.timeout_ms(), now);
                self.turned(turn, cx, &origin)
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
            | Body::View { .. }
            | Body::PassageCorrected { .. }
            | Body::WatchChanged { .. }
            | Body::Face { .. }
            | Body::CommandMoved { .. }
            | Body::FireRelease { .. }
            | Body::AlarmMoved { .. }
            | Body::Flood { .. }
            | Body::PassageMoved { .. }
            | Body::WorkOrderMoved { .. }
            | Body::WorkOrderOverdue { .. }
            | Body::CredentialExpired { .. }
            | Body::PeopleChanged { .. }
            | Body::RuleFired { .. }
            | Body::RuleStopped { .. }
            | Body::RuleChanged { .. }
            | Body::ActorRestarted { .. }
            | Body::ActorQuarantined { .. }
            | Body::ClockJumped { .. }
            | Body::TargetMoved { .. }
            | Body::SystemMoved { .. } => vec![],
        }
    }

    fn tick(&mut self, cx: &Context<'_>) -> Vec<Effect> {
        let now = cx.now;
        let origin = Origin { event: None, by: "system", why: "" };
        let mut effects = Vec::new();
        self.rewind(cx.wall);
        for turn in self.kept.watch.tick(self.spec.timeout_ms(), now) {
            effects.extend(self.turned(turn, cx, &origin));
        }
        let (moved, ended) = self.kept.ledger.tick(self.kept.watch.reachable(), now);
        effects.extend(moved);
        effects.extend(self.ended(ended, cx, &origin));
        effects.extend(self.feed(Input::Tick, now, cx, &origin));
        effects
    }

    fn call(&mut self, call: TwinCall, cx: &Context<'_>) -> (TwinReply, Vec<Effect>) {
        self.rewind(cx.wall);
        match call {
            TwinCall::Heard(points) => {
                let origin = Origin { event: None, by: "system", why: "" };
                let mut effects = self.heard(Presence::Online, cx, &origin);
                for (name, value, at) in points {
                    self.put(&name, &value, at);
                    effects.extend(self.feed(Input::Point(&name, &value), cx.now, cx, &origin));
                }
                (Ok(None), effects)
            }
            TwinCall::Order(order) => {
                let id = order.command;
                match self.order(order, cx) {
                    Ok(effects) => (Ok(self.kept.ledger.get(id).cloned()), effects),
                    Err(refused) => (Err(refused), vec![]),
                }
            }
            TwinCall::Handed { command, refused } => {
                let origin = Origin { event: None, by: "system", why: "" };
                let (mut effects, ended) = self.kept.ledger.handed(command, refused, cx.now);
                effects.extend(self.ended(ended, cx, &origin));
                (Ok(None), effects)
            }
            TwinCall::Cancel { command, withdrawn } => match self.kept.ledger.cancel(command, withdrawn, cx.now) {
                Ok(cancelled) => {
                    let origin = Origin { event: None, by: "system", why: "" };
                    let mut effects = cancelled.effects;
                    effects.extend(self.ended(cancelled.ended, cx, &origin));
                    (Ok(Some(cancelled.command)), effects)
                }
                Err(refused) => (Err(refused), vec![]),
            },
            TwinCall::Redefine(spec) => {
                self.spec = *spec;
                self.changed = true;
                (Ok(None), vec![])
            }
        }
    }

    fn wake(&self) -> Option<Timestamp> {
        let watch = &self.kept.watch;
        let ledger = self.kept.ledger.wake(watch.reachable());
        let silence = watch.wake(self.spec.timeout_ms());
        [silence, ledger, self.kept.device.wake(&self.spec)].into_iter().flatten().min()
    }

    fn restored(&mut self, cx: &Context<'_>) -> Vec<Effect> {
        let origin = Origin { event: None, by: "system", why: "restart" };
        let turn = self.kept.watch.restored(self.spec.timeout_ms(), cx.wall);
        let mut effects = self.turned(turn, cx, &origin);
        self.kept.ledger.restored(cx.wall);
        effects.extend(self.tick(cx));
        if self.kept.device.held_by_fire() {
            // The release may have been decided but not sent: it is said again, once per restart.
            let again = EventId::from_key(&format!("{}@{}", self.spec.id, cx.wall));
            let origin = Origin { event: Some(again), by: "system", why: "restart" };
            effects.extend(self.feed(Input::Back, cx.wall, cx, &origin));
        }
        effects
    }

    fn snapshot(&self) -> String {
        stored(&self.kept)
    }

    fn view(&mut self) -> Option<DeviceView> {
        std::mem::take(&mut self.changed).then(|| self.look())
    }
}
