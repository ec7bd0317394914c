//! States of devices that are alarms: forced, held, trapped, breached, stalled, a sensor's active state, limits, tampering.

use super::{Memory, clear, raise};
use crate::alarm::AlarmKind;
use crate::device::link::DeviceKind;
use crate::device::telemetry::Value;
use crate::effect::Effect;
use crate::event::{Body, Event, Params};
use crate::machine::Context;

/// The alarm that a state is, if it is one.
fn alarm_of(kind: DeviceKind, class: &str, state: &str) -> Option<AlarmKind> {
    Some(match (kind, state) {
        (DeviceKind::Door, "forced_open") => AlarmKind::DoorForced,
        (DeviceKind::Door, "held_open") => AlarmKind::DoorHeld,
        (DeviceKind::Elevator, "trapped") => AlarmKind::LiftTrapped,
        (DeviceKind::Elevator, "fault") => AlarmKind::LiftFault,
        (DeviceKind::Perimeter, "breached") => AlarmKind::Intrusion,
        (DeviceKind::Camera, "stalled" | "refused" | "unauthorised" | "undecodable") => AlarmKind::StreamStalled,
        (DeviceKind::Meter, "fault") => AlarmKind::DeviceFault,
        (DeviceKind::Sensor, "active") => match class {
            "smoke" => AlarmKind::Smoke,
            "gas" => AlarmKind::Gas,
            "co" | "carbon_monoxide" => AlarmKind::Co,
            "leak" | "moisture" => AlarmKind::Leak,
            "motion" | "occupancy" | "presence" => return None,
            "tamper" => AlarmKind::Tamper,
            "problem" => AlarmKind::DeviceFault,
            "safety" => AlarmKind::HelpCall,
            // Doors and windows of a flat, lights, plugs: states, not alarms.
            "door" | "window" | "opening" | "garage_door" | "light" | "plug" | "power" | "running" | "connectivity"
            | "battery" | "" => return None,
            // Measures raise by their limits.
            "temperature" | "humidity" | "hydrant_pressure" | "pressure" => return None,
            _ => AlarmKind::SensorActive,
        },
        _ => return None,
    })
}

pub(super) fn evaluate(event: &Event, _: &mut Memory, _: &Context<'_>) -> Vec<Effect> {
    let device = event.device;
    match &event.body {
        Body::StateChanged { kind, class, from, to } => {
            let (before, now) = (alarm_of(*kind, class, from), alarm_of(*kind, class, to));
            let ended = before.filter(|before| Some(*before) != now).map(|kind| clear(device, kind, ""));
            let began = now
                .filter(|now| before != Some(*now))
                .map(|kind| raise(device, kind, "", Params::from([("state".into(), Value::Text(to.clone()))])));
            ended.into_iter().chain(began).collect()
        }
        Body::Tamper { active, part } => {
            let kind = if part == "boom" { AlarmKind::BoomHit } else { AlarmKind::Tamper };
            let params = Params::from([("part".into(), Value::Text(part.clone()))]);
            vec![if *active { raise(device, kind, part, params) } else { clear(device, kind, part) }]
        }
        Body::View { from, to } => {
            let kind = AlarmKind::CameraView;
            let ended = (!from.is_empty()).then(|| clear(device, kind, from));
            let params = || Params::from([("problem".into(), Value::Text(to.clone()))]);
            let began = (!to.is_empty()).then(|| raise(device, kind, to, params()));
            ended.into_iter().chain(began).collect()
        }
        Body::Limit { point, beyond, value, limit, .. } => {
            let params = Params::from([
                ("point".into(), Value::Text(point.clone())),
                ("value".into(), Value::Number(*value)),
                ("limit".into(), Value::Number(*limit)),
            ]);
            let kind = AlarmKind::Limit;
            vec![if *beyond { raise(device, kind, point, params) } else { clear(device, kind, point) }]
        }
        Body::Happened { what } => match what.as_str() {
            "duress" => vec![raise(device, AlarmKind::Duress, "", Params::new())],
            "intercom_call" | "help_call" | "sos" => vec![raise(device, AlarmKind::HelpCall, "", Params::new())],
            _ => vec![],
        },
        _ => vec![],
    }
}
