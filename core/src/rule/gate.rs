//! At a lane: a known plate opens its barrier, an unknown one becomes a question to the guard.

use super::{clear, raise};
use crate::access::{Presented, Verdict, decide as decide_access};
use crate::alarm::AlarmKind;
use crate::command::ANSWER_MS;
use crate::device::link::Verb;
use crate::device::telemetry::Value;
use crate::effect::{Effect, Record};
use crate::event::{Body, Event, Params};
use crate::id::{CommandId, EventId, PassageId};
use crate::machine::Context;
use crate::passage::{Decision, Passage};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The same plate at the same lane within this time is the same car.
const SAME_CAR: SignedDuration = SignedDuration::from_secs(30);
/// Most cars that wait for a guard at once; the oldest gives way.
const MOST_ASKED: usize = 64;

/// What the gate remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Last car of each lane.
    last: BTreeMap<String, (String, Timestamp)>,
    /// Cars that wait for a guard.
    asked: BTreeMap<PassageId, Passage>,
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
    vec![Effect::Keep(Record::Passage(passage.clone())), Effect::emit(passage.camera, body)]
}

pub(super) fn evaluate(event: &Event, memory: &mut super::Memory, cx: &Context<'_>) -> Vec<Effect> {
    let Body::Plate { text, confidence, colour, latency_ms, picture } = &event.body else { return vec![] };
    let Some(lane) = cx.compound.lanes.iter().find(|lane| Some(lane.camera) == event.device) else { return vec![] };
    let memory = &mut memory.gate;
    let now = event.received_at;
    let known = decide_access(cx.access, lane.barrier, &Presented::Plate(text.clone()), now);
    // Two reads of one car may differ by a character: whoever it was matched with is the same car too.
    let who = known.person().map_or_else(|| text.clone(), |person| person.to_string());
    let same = memory.last.get(&lane.key).is_some_and(|(car, at)| *car == who && now.duration_since(*at) < SAME_CAR);
    memory.last.insert(lane.key.clone(), (who, now));
    if same {
        return vec![];
    }
    let mut passage = Passage {
        id: PassageId::of_event(event.id, 0),
        lane: lane.key.clone(),
        camera: lane.camera,
        direction: lane.direction,
        at: event.observed_at.unwrap_or(now),
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
    };
    match known {
        Verdict::Granted { .. } => {
            passage.decision = Decision::Opened;
            passage.by = "rule".into();
            let mut effects = vec![open(&passage, event.id, "known_plate", now)];
            effects.extend(keep(&passage));
            effects
        }
        Verdict::Denied { reason, .. } => {
            passage.note = reason.word().to_owned();
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
            effects.extend(keep(&passage));
            let params = Params::from([
                ("plate".into(), Value::Text(text.clone())),
                ("lane".into(), Value::Text(lane.key.clone())),
                ("reason".into(), Value::Text(reason.word().into())),
                ("passage".into(), Value::Text(passage.id.to_string())),
            ]);
            effects.push(raise(Some(passage.camera), AlarmKind::UnknownPlate, &lane.key, params));
            effects
        }
    }
}

/// A question nobody answered before the next car came.
fn give_up(memory: &mut Memory, id: PassageId) -> Vec<Effect> {
    let Some(mut passage) = memory.asked.remove(&id) else { return vec![] };
    passage.decision = Decision::Refused;
    passage.by = "system".into();
    let mut effects = keep(&passage);
    effects.push(clear(Some(passage.camera), AlarmKind::UnknownPlate, &passage.lane));
    effects
}

pub(super) fn decide(call: DecideCall, memory: &mut Memory, cx: &Context<'_>) -> Result<Vec<Effect>, DecideError> {
    let mut passage = memory.asked.remove(&call.passage).ok_or(DecideError::NotAsked(call.passage))?;
    passage.decision = if call.open { Decision::OpenedByGuard } else { Decision::Refused };
    passage.by = call.by;
    if !call.note.trim().is_empty() {
        passage.note = call.note;
    }
    let mut effects = keep(&passage);
    effects.push(clear(Some(passage.camera), AlarmKind::UnknownPlate, &passage.lane));
    if call.open {
        effects.push(open(&passage, EventId(passage.id.0), "guard", cx.now));
    }
    Ok(effects)
}
