//! Fire releases doors and recalls lifts. Life safety outranks all.
//!
//! The first point in alarm releases every door that is not excepted and recalls every lift; the last point that is normal
//! again (only the panel's reset does that) restores them. Pre-alarms and test mode release nothing.

use crate::command::answer_ms;
use crate::device::link::{DeviceKind, Verb};
use crate::effect::Effect;
use crate::event::{Body, Event};
use crate::id::{CommandId, DeviceId};
use crate::machine::{Context, Machine, stored};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The machine of fire release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LifeSafety {
    burning: BTreeSet<(DeviceId, String)>,
}

impl LifeSafety {
    /// As stored.
    pub fn restore(snapshot: serde_json::Value) -> Result<Self, serde_json::Error> {
        if snapshot.is_null() { Ok(Self::default()) } else { serde_json::from_value(snapshot) }
    }

    /// Whether a fire release stands.
    pub fn is_active(&self) -> bool {
        !self.burning.is_empty()
    }
}

fn tell_all(event: &Event, active: bool, cx: &Context<'_>) -> Vec<Effect> {
    let now = event.received_at;
    let (mut doors, mut elevators) = (0, 0);
    let mut effects: Vec<Effect> = cx
        .compound
        .devices
        .values()
        .filter_map(|spec| {
            let verb = match (spec.kind, active) {
                (DeviceKind::Door, true) if spec.release_on_fire => Verb::Release,
                (DeviceKind::Door, false) if spec.release_on_fire => Verb::Restore,
                (DeviceKind::Elevator, true) => Verb::Recall { floor: spec.recall_floor() },
                (DeviceKind::Elevator, false) => Verb::Resume,
                (
                    DeviceKind::Door
                    | DeviceKind::Barrier
                    | DeviceKind::Camera
                    | DeviceKind::FirePanel
                    | DeviceKind::Perimeter
                    | DeviceKind::Meter
                    | DeviceKind::Sensor,
                    _,
                ) => return None,
            };
            if spec.kind == DeviceKind::Door {
                doors += 1
            } else {
                elevators += 1
            };
            Some((spec.id, verb))
        })
        .enumerate()
        .map(|(nth, (device, what))| {
            let command = CommandId::of_event(event.id, nth);
            let why = if active { "fire" } else { "fire_over" }.to_owned();
            let within = SignedDuration::from_millis(answer_ms(&what, true));
            let deadline = now.saturating_add(within).unwrap_or(Timestamp::MAX);
            Effect::emit(device, Body::AskCommand { command, what, why, deadline, life_safety: true })
        })
        .collect();
    effects.push(Effect::Emit { device: event.device, body: Body::FireRelease { active, doors, elevators } });
    effects
}

impl Machine for LifeSafety {
    type Call = ();
    type Reply = ();
    type View = ();

    fn step(&mut self, event: &Event, cx: &Context<'_>) -> Vec<Effect> {
        let (Some(device), Body::FirePoint { zone, state, test, .. }) = (event.device, &event.body) else {
            return vec![];
        };
        let was = self.is_active();
        let point = (device, zone.clone());
        // A point that burns already stays so in test mode: only its own reset ends it.
        if state == "alarm" && !test {
            self.burning.insert(point);
        } else if state != "alarm" {
            self.burning.remove(&point);
        }
        if was == self.is_active() { vec![] } else { tell_all(event, !was, cx) }
    }

    fn call(&mut self, (): (), _: &Context<'_>) -> ((), Vec<Effect>) {
        ((), vec![])
    }

    fn snapshot(&self) -> String {
        stored(self)
    }
}
