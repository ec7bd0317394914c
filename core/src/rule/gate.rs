//! At a lane: a known plate opens its barrier, an unknown one becomes a question to the guard, a listed one is told.
//!
//! | the plate as read is | then |
//! |---|---|
//! | on a blocked list | the guard is asked, whoever's car it is; a near hit asks only where the car is not known exactly |
//! | known, and allowed here and now | the barrier opens |
//! | on a welcome list that opens, and the read is exact and sure | the barrier opens; not for a plate that was switched off |
//! | anything else | the guard is asked |
//!
//! A list with a priority raises its alarm in each case. Reads of one car within the lane's time are one passage, until
//! the boom is down again: who then comes once more is let in once more.

use super::{clear, raise};
use crate::access::{DenyReason, Presented, Verdict, decide as decide_access, normal_plate};
use crate::alarm::AlarmKind;
use crate::command::ANSWER_MS;
use crate::device::link::{DeviceKind, Verb};
use crate::device::telemetry::Value;
use crate::effect::{Effect, Record};
use crate::event::{Body, Event, Params};
use crate::id::{CommandId, EventId, PassageId};
use crate::machine::Context;
use crate::passage::{Correction, Decision, Passage};
use crate::recognition::watchlist::{self, Hit, Met, WatchHit, watch};
use crate::site::Lane;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most cars that wait for a guard at once; the oldest gives way.
const MOST_ASKED: usize = 64;

/// What the gate remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Last car of each lane.
    last: BTreeMap<String, (String, Timestamp)>,
    /// Its passage, as far as it has one: later reads are counted there.
    #[serde(default)]
    newest: BTreeMap<String, Passage>,
    /// Cars that wait for a guard.
    asked: BTreeMap<PassageId, Passage>,
}

/// What the gate is asked or told by people.
#[derive(Clone, Debug, PartialEq)]
pub enum GateCall {
    /// A guard decides on a car.
    Decide(DecideCall),
    /// An operator corrects a read.
    Correct(Box<CorrectCall>),
}

/// A guard decides on a car.
#[derive(Clone, Debug, PartialEq)]
pub struct DecideCall {
    /// Which passage.
    pub passage: PassageId,
    /// Open, or refuse.
    pub open: bool,
    /// Remark.
    pub note: String,
    /// Who.
    pub by: String,
}

/// An operator corrects a read, or takes that back. Nothing that was decided changes.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrectCall {
    /// The passage as stored; what the gate remembers of it is newer.
    pub passage: Passage,
    /// What was read instead; none takes it back.
    pub correction: Option<Correction>,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// Nobody asks, or someone was faster.
    #[error("passage {0} does not wait for a decision: it was decided already")]
    NotAsked(PassageId),
}

fn open(passage: &Passage, event: EventId, why: &str, now: Timestamp) -> Effect {
    let deadline = now.saturating_add(SignedDuration::from_millis(ANSWER_MS)).unwrap_or(Timestamp::MAX);
    let command = CommandId::of_event(event, 0);
    let body = Body::AskCommand { command, what: Verb::Open, why: why.into(), deadline, life_safety: false };
    Effect::emit(passage.barrier, body)
}

fn keep(passage: &Passage) -> Vec<Effect> {
    let body = Body::PassageMoved { passage: passage.id, lane: passage.lane.clone(), decision: passage.decision };
    vec![Effect::Keep(Record::Passage(Box::new(passage.clone()))), Effect::emit(passage.camera, body)]
}

/// What becomes of a car.
enum Way {
    Open { by: &'static str, why: &'static str },
    Ask(&'static str),
}

fn way(text: &str, sure: bool, known: &Verdict, met: &[Met<'_>], cx: &Context<'_>) -> Way {
    let exactly = cx.access.plates.contains_key(&normal_plate(text));
    if met.iter().any(|met| watchlist::blocks(met, exactly)) {
        return Way::Ask("blocked");
    }
    match known {
        Verdict::Granted { .. } => Way::Open { by: "rule", why: "known_plate" },
        Verdict::Denied { reason, .. }
            if *reason != DenyReason::CredentialNotEnabled && met.iter().any(|met| watchlist::opens(met, sure)) =>
        {
            Way::Open { by: "watch_list", why: "watch_list" }
        }
        Verdict::Denied { reason, .. } => Way::Ask(reason.word()),
    }
}

/// The alarms of the lists that a read met.
fn told(passage: &Passage, met: &[Met<'_>]) -> Vec<Effect> {
    let alarm = |(list, entry, hit): &Met<'_>| {
        let priority = list.alarm?;
        let text = |text: &str| Value::Text(text.to_owned());
        let params = Params::from([
            ("plate".into(), text(&passage.plate)),
            ("list".into(), text(&list.name)),
            ("listed".into(), text(&entry.pattern)),
            ("note".into(), text(&entry.reason)),
            ("hit".into(), text(if *hit == Hit::Near { "near" } else { "exact" })),
            ("lane".into(), text(&passage.lane)),
            ("passage".into(), Value::Text(passage.id.to_string())),
            ("priority".into(), Value::Number(f64::from(priority.number()))),
        ]);
        let zone = format!("{} {}", passage.plate, list.name);
        Some(raise(Some(passage.camera), AlarmKind::WatchedPlate, &zone, params))
    };
    met.iter().filter_map(alarm).collect()
}

pub(super) fn evaluate(event: &Event, memory: &mut super::Memory, cx: &Context<'_>) -> Vec<Effect> {
    match &event.body {
        Body::Plate { .. } => read(event, &mut memory.gate, cx),
        Body::StateChanged { kind: DeviceKind::Barrier, to, .. } if to == "down" => {
            let of = |lane: &&Lane| Some(lane.barrier) == event.device;
            for lane in cx.compound.lanes.iter().filter(of) {
                memory.gate.last.remove(&lane.key);
            }
            vec![]
        }
        _ => vec![],
    }
}

fn read(event: &Event, memory: &mut Memory, cx: &Context<'_>) -> Vec<Effect> {
    let Body::Plate { text, confidence, colour, latency_ms, picture, votes, travel, sure } = &event.body else {
        return vec![];
    };
    let Some(lane) = cx.compound.lanes.iter().find(|lane| Some(lane.camera) == event.device) else { return vec![] };
    let now = event.received_at;
    let at = event.observed_at.unwrap_or(now);
    let known = decide_access(cx.access, lane.barrier, &Presented::Plate(text.clone()), now);
    // Two reads of one car may differ by a character: whoever it was matched with is the same car too.
    let who = known.person().map_or_else(|| text.clone(), |person| person.to_string());
    let same =
        memory.last.get(&lane.key).is_some_and(|(car, at)| *car == who && now.duration_since(*at) < lane.same_car);
    memory.last.insert(lane.key.clone(), (who, now));
    if same {
        return again(memory, lane, event, at);
    }
    let met = watch(text, &cx.access.watch, now);
    let hit = |(list, entry, hit): &Met<'_>| WatchHit {
        list: list.id,
        name: list.name.clone(),
        listing: list.listing,
        pattern: entry.pattern.clone(),
        reason: entry.reason.clone(),
        near: *hit == Hit::Near,
    };
    let mut passage = Passage {
        id: PassageId::of_event(event.id, 0),
        lane: lane.key.clone(),
        camera: lane.camera,
        direction: lane.direction,
        at,
        plate: text.clone(),
        colour: colour.clone(),
        confidence: *confidence,
        latency_ms: *latency_ms,
        picture: *picture,
        person: known.person(),
        person_name: known.name().to_owned(),
        decision: Decision::Asked,
        by: String::new(),
        note: String::new(),
        barrier: lane.barrier,
        votes: *votes,
        travel: *travel,
        sure: *sure,
        reads: 1,
        last_at: None,
        correction: None,
        hits: met.iter().map(hit).collect(),
    };
    let mut effects = match way(text, *sure, &known, &met, cx) {
        Way::Open { by, why } => {
            passage.decision = Decision::Opened;
            passage.by = by.into();
            let mut effects = vec![open(&passage, event.id, why, now)];
            effects.extend(keep(&passage));
            effects
        }
        Way::Ask(reason) => {
            passage.note = reason.to_owned();
            ask(memory, lane, &passage, reason)
        }
    };
    effects.extend(told(&passage, &met));
    memory.newest.insert(lane.key.clone(), passage);
    effects
}

/// The car that was just here, read again: counted, and shown by its surest picture.
fn again(memory: &mut Memory, lane: &Lane, event: &Event, at: Timestamp) -> Vec<Effect> {
    let Body::Plate { text, confidence, colour, picture, votes, travel, sure, .. } = &event.body else { return vec![] };
    let Some(passage) = memory.newest.get_mut(&lane.key) else { return vec![] };
    passage.reads = passage.reads.saturating_add(1);
    passage.last_at = Some(at);
    passage.travel = passage.travel.or(*travel);
    if *text == passage.plate && (*sure, *confidence) > (passage.sure, passage.confidence) {
        passage.sure = *sure;
        passage.confidence = *confidence;
        passage.votes = *votes;
        passage.colour.clone_from(colour);
        passage.picture = picture.or(passage.picture);
    }
    let passage = passage.clone();
    if let Some(asked) = memory.asked.get_mut(&passage.id) {
        *asked = passage.clone();
    }
    vec![Effect::Keep(Record::Passage(Box::new(passage)))]
}

/// Asks the guard.
fn ask(memory: &mut Memory, lane: &Lane, passage: &Passage, reason: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    // The car before it in this lane has left or turned: one question per lane.
    let before: Vec<_> = memory.asked.values().filter(|p| p.lane == lane.key).map(|p| p.id).collect();
    for id in before {
        effects.extend(give_up(memory, id));
    }
    if memory.asked.len() >= MOST_ASKED {
        let oldest = memory.asked.values().min_by_key(|p| p.at).map(|p| p.id);
        effects.extend(oldest.into_iter().flat_map(|id| give_up(memory, id)).collect::<Vec<_>>());
    }
    memory.asked.insert(passage.id, passage.clone());
    effects.extend(keep(passage));
    let params = Params::from([
        ("plate".into(), Value::Text(passage.plate.clone())),
        ("lane".into(), Value::Text(lane.key.clone())),
        ("reason".into(), Value::Text(reason.into())),
        ("passage".into(), Value::Text(passage.id.to_string())),
    ]);
    effects.push(raise(Some(passage.camera), AlarmKind::UnknownPlate, &lane.key, params));
    effects
}

/// A question nobody answered before the next car came.
fn give_up(memory: &mut Memory, id: PassageId) -> Vec<Effect> {
    let Some(mut passage) = memory.asked.remove(&id) else { return vec![] };
    passage.decision = Decision::Refused;
    passage.by = "system".into();
    memory.put(&passage);
    let mut effects = keep(&passage);
    effects.push(clear(Some(passage.camera), AlarmKind::UnknownPlate, &passage.lane));
    effects
}

impl Memory {
    /// Puts a newer version of a passage where an older one is remembered.
    fn put(&mut self, passage: &Passage) {
        let held = self.newest.get_mut(&passage.lane).into_iter().chain(self.asked.get_mut(&passage.id));
        for held in held.filter(|held| held.id == passage.id) {
            *held = passage.clone();
        }
    }
}

pub(super) fn call(call: GateCall, memory: &mut Memory, cx: &Context<'_>) -> Result<Vec<Effect>, DecideError> {
    match call {
        GateCall::Decide(call) => decide(call, memory, cx),
        GateCall::Correct(call) => Ok(correct(*call, memory)),
    }
}

fn decide(call: DecideCall, memory: &mut Memory, cx: &Context<'_>) -> Result<Vec<Effect>, DecideError> {
    let mut passage = memory.asked.remove(&call.passage).ok_or(DecideError::NotAsked(call.passage))?;
    passage.decision = if call.open { Decision::OpenedByGuard } else { Decision::Refused };
    passage.by = call.by;
    if !call.note.trim().is_empty() {
        passage.note = call.note;
    }
    memory.put(&passage);
    let mut effects = keep(&passage);
    effects.push(clear(Some(passage.camera), AlarmKind::UnknownPlate, &passage.lane));
    if call.open {
        effects.push(open(&passage, EventId(passage.id.0), "guard", cx.now));
    }
    Ok(effects)
}

fn correct(call: CorrectCall, memory: &mut Memory) -> Vec<Effect> {
    let id = call.passage.id;
    let held = memory.asked.get(&id).or_else(|| memory.newest.values().find(|held| held.id == id));
    let mut passage = held.cloned().unwrap_or(call.passage);
    passage.correction = call.correction;
    memory.put(&passage);
    let body = Body::PassageCorrected {
        passage: id,
        lane: passage.lane.clone(),
        plate: passage.plate.clone(),
        text: passage.text().to_owned(),
        reason: passage.correction.as_ref().map(|correction| correction.reason.clone()).unwrap_or_default(),
    };
    let camera = passage.camera;
    vec![Effect::Keep(Record::Passage(Box::new(passage))), Effect::emit(camera, body)]
}
