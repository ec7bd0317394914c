//! Five refusals at one door within a minute are an alarm (GB 50396-2007: after at most five bad tries).

use super::{clear, raise};
use crate::alarm::AlarmKind;
use crate::device::telemetry::Value;
use crate::effect::Effect;
use crate::event::{Body, Event, Params};
use crate::id::DeviceId;
use crate::machine::Context;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const TRIES: usize = 5;
const WITHIN: SignedDuration = SignedDuration::from_mins(1);

/// Times of the last refusals, per door.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    tries: BTreeMap<DeviceId, Vec<Timestamp>>,
}

pub(super) fn evaluate(event: &Event, memory: &mut super::Memory, _: &Context<'_>) -> Vec<Effect> {
    let (Some(door), Body::Denied { .. }) = (event.device, &event.body) else { return vec![] };
    let now = event.received_at;
    let tries = memory.denied.tries.entry(door).or_default();
    tries.retain(|at| now.duration_since(*at) < WITHIN);
    tries.push(now);
    if tries.len() < TRIES {
        return vec![];
    }
    tries.clear();
    let params = Params::from([("tries".into(), Value::Number(5.0))]);
    let kind = AlarmKind::AccessRepeatedlyDenied;
    // Over as soon as it is told: it waits only for someone to have seen it.
    vec![raise(Some(door), kind, "", params), clear(Some(door), kind, "")]
}
