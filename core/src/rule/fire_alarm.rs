//! A fire panel's point in alarm, pre-alarm or fault is an alarm of that point.

use super::Memory;
use crate::alarm::AlarmKind;
use crate::device::telemetry::Value;
use crate::effect::Effect;
use crate::event::{Body, Event, Params};
use crate::machine::Context;

fn kind(state: &str) -> Option<AlarmKind> {
    match state {
        "alarm" => Some(AlarmKind::Fire),
        "pre_alarm" => Some(AlarmKind::FirePreAlarm),
        "fault" => Some(AlarmKind::FireFault),
        _ => None,
    }
}

pub(super) fn evaluate(event: &Event, _: &mut Memory, _: &Context<'_>) -> Vec<Effect> {
    let Body::FirePoint { zone, state, before, test } = &event.body else { return vec![] };
    let mut effects = Vec::new();
    if let Some(kind) = kind(before) {
        // The panel latches its points: one that left alarm was reset there.
        let body = Body::AskClear { kind, zone: zone.clone(), reset: true };
        effects.push(Effect::Emit { device: event.device, body });
    }
    if let Some(kind) = kind(state) {
        let params = Params::from([("point".into(), Value::Text(zone.clone()))]);
        let body = Body::AskRaise { kind, zone: zone.clone(), params, test: *test };
        effects.push(Effect::Emit { device: event.device, body });
    }
    effects
}
