//! At a door camera: an accepted face opens its door if access allows, a mere candidate is a notice.

use super::raise;
use crate::access::Via;
use crate::alarm::AlarmKind;
use crate::device::telemetry::Value;
use crate::effect::Effect;
use crate::event::{Body, Event, Params};
use crate::id::{DeviceId, PersonId};
use crate::machine::Context;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The same face within this time is the same person still standing there.
const SAME_FACE: SignedDuration = SignedDuration::from_secs(5);
/// A candidate is noticed once per person and camera in this time.
const SAME_NOTICE: SignedDuration = SignedDuration::from_mins(2);

/// What it remembers: the last face that opened, and that was noticed, per camera.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    opened: BTreeMap<DeviceId, (PersonId, Timestamp)>,
    noticed: BTreeMap<DeviceId, (PersonId, Timestamp)>,
}

fn again(
    last: &mut BTreeMap<DeviceId, (PersonId, Timestamp)>,
    camera: DeviceId,
    person: PersonId,
    now: Timestamp,
    within: SignedDuration,
) -> bool {
    let same = last.get(&camera).is_some_and(|(who, at)| *who == person && now.duration_since(*at) < within);
    if !same {
        last.insert(camera, (person, now));
    }
    same
}

pub(super) fn evaluate(event: &Event, memory: &mut super::Memory, cx: &Context<'_>) -> Vec<Effect> {
    let Body::Face { candidate: Some((person, score)), accepted, latency_ms, picture } = &event.body else {
        return vec![];
    };
    let Some(camera) = event.device else { return vec![] };
    let now = event.received_at;
    let memory = &mut memory.face;
    if *accepted {
        let doors: Vec<_> = cx.compound.face_doors.iter().filter(|pair| pair.camera == camera).collect();
        if doors.is_empty() || again(&mut memory.opened, camera, *person, now, SAME_FACE) {
            return vec![];
        }
        let grant =
            Body::AskGrant { person: *person, via: Via::Face, picture: *picture, latency_ms: Some(*latency_ms) };
        return doors.into_iter().map(|pair| Effect::emit(pair.door, grant.clone())).collect();
    }
    if again(&mut memory.noticed, camera, *person, now, SAME_NOTICE) {
        return vec![];
    }
    let name = cx.access.people.get(person).map(|holder| holder.name.clone()).unwrap_or_default();
    let params = Params::from([
        ("person".into(), Value::Text(name)),
        ("score".into(), Value::Number(f64::from((score * 100.0).round()) / 100.0)),
    ]);
    vec![raise(Some(camera), AlarmKind::FaceCandidate, &person.to_string(), params)]
}
