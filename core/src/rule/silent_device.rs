//! A device that is gone is an alarm until it is back: there is no silent state.
//!
//! Three cases are told apart. A device that comes and goes is one alarm of its own. A gateway takes the devices behind it
//! with it: they are offline without alarms, its own alarm says how many and which; once it is back, those that stay silent
//! have their own. It does not matter which is noticed first: what was raised a moment before is the gateway's too.

use super::{Memory as Rules, clear, raise};
use crate::alarm::AlarmKind;
use crate::device::presence::Presence;
use crate::device::telemetry::Value;
use crate::effect::Effect;
use crate::event::{Body, Event, Params};
use crate::id::DeviceId;
use crate::machine::Context;
use crate::site::Compound;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Names written out in the alarm of a gateway.
const NAMED: usize = 12;

/// Who is gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    gone: BTreeSet<DeviceId>,
}

impl Memory {
    /// Whether one of the gateways above a device is gone.
    fn cut_off(&self, device: DeviceId, compound: &Compound) -> bool {
        compound.gateways_of(device).any(|gateway| self.gone.contains(&gateway))
    }
}

fn names(behind: &[DeviceId], compound: &Compound) -> Params {
    let listed = |name: fn(&crate::site::Spec) -> &str| {
        let names: Vec<_> = behind.iter().take(NAMED).filter_map(|id| compound.device(*id)).map(name).collect();
        let more = if behind.len() > NAMED { ", …" } else { "" };
        Value::Text(names.join(", ") + more)
    };
    #[allow(clippy::cast_precision_loss, reason = "a count of devices")]
    let count = Value::Number(behind.len() as f64);
    Params::from([
        ("behind".into(), count),
        ("devices".into(), listed(|spec| &spec.name)),
        ("devices_zh".into(), listed(|spec| if spec.name_zh.is_empty() { &spec.name } else { &spec.name_zh })),
    ])
}

fn tell(device: DeviceId, lost: bool) -> Effect {
    Effect::emit(device, Body::AskGateway { lost })
}

pub(super) fn evaluate(event: &Event, rules: &mut Rules, cx: &Context<'_>) -> Vec<Effect> {
    let (Some(device), Body::PresenceChanged { from, to }) = (event.device, &event.body) else { return vec![] };
    let (memory, compound) = (&mut rules.silent, cx.compound);
    let behind = compound.behind(device);
    let kind = if behind.is_empty() { AlarmKind::DeviceOffline } else { AlarmKind::GatewayLost };
    let mut effects = Vec::new();
    match (from, to) {
        (_, Presence::Offline) => {
            memory.gone.insert(device);
            if *from == Presence::Flapping {
                effects.push(clear(event.device, AlarmKind::DeviceFlapping, ""));
            }
            if memory.cut_off(device, compound) {
                return effects;
            }
            let params = if behind.is_empty() { Params::new() } else { names(&behind, compound) };
            effects.push(raise(event.device, kind, "", params));
            for child in behind {
                let own =
                    if compound.behind(child).is_empty() { AlarmKind::DeviceOffline } else { AlarmKind::GatewayLost };
                effects.extend([clear(Some(child), own, ""), tell(child, true)]);
            }
        }
        (_, Presence::Online | Presence::Stale | Presence::Unknown | Presence::Flapping) => {
            if memory.gone.remove(&device) || *from == Presence::Offline {
                effects.push(clear(event.device, kind, ""));
                let back = behind.into_iter().filter(|child| !memory.cut_off(*child, compound));
                effects.extend(back.map(|child| tell(child, false)));
            }
            match (from, to) {
                (_, Presence::Flapping) => {
                    effects.push(raise(event.device, AlarmKind::DeviceFlapping, "", Params::new()));
                }
                (Presence::Flapping, _) => effects.push(clear(event.device, AlarmKind::DeviceFlapping, "")),
                _ => {}
            }
        }
    }
    effects
}
