//! Rules: what follows from what happened. One file each; the list is [`RULES`].
//!
//! Fire release is not in the list: [`LifeSafety`] is a machine with a mailbox of its own, so that nothing queues before it.
//! Nor are the rules that operators write: [`operator::OperatorRules`] has one too, so that a heavy rule delays nothing else.

mod access_denied;
mod device_alarm;
pub mod expr;
mod face_door;
mod failed_command;
mod fire_alarm;
mod fire_release;
mod forget_face;
mod gate;
pub mod operator;
mod program;
mod silent_device;

pub use fire_release::LifeSafety;
pub use gate::{CorrectCall, DecideCall, DecideError, GateCall};

use crate::alarm::AlarmKind;
use crate::effect::Effect;
use crate::event::{Body, Event, Params};
use crate::id::DeviceId;
use crate::machine::{Context, Machine, stored};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A rule: what it remembers is in `Memory`, what follows are effects.
type Rule = fn(&Event, &mut Memory, &Context<'_>) -> Vec<Effect>;

/// The rules, in the order of evaluation.
const RULES: &[(&str, Rule)] = &[
    ("fire_alarm", fire_alarm::evaluate),
    ("device_alarm", device_alarm::evaluate),
    ("silent_device", silent_device::evaluate),
    ("gate", gate::evaluate),
    ("face_door", face_door::evaluate),
    ("failed_command", failed_command::evaluate),
    ("forget_face", forget_face::evaluate),
    ("access_denied", access_denied::evaluate),
    ("program", program::evaluate),
];

/// What the rules remember.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    gate: gate::Memory,
    face: face_door::Memory,
    denied: access_denied::Memory,
    #[serde(default)]
    silent: silent_device::Memory,
}

/// The machine that evaluates the rules.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    memory: Memory,
}

impl Rules {
    /// As stored.
    pub fn restore(snapshot: serde_json::Value) -> Result<Self, serde_json::Error> {
        Ok(Self { memory: if snapshot.is_null() { Memory::default() } else { serde_json::from_value(snapshot)? } })
    }
}

impl Machine for Rules {
    type Call = GateCall;
    type Reply = Result<(), DecideError>;
    type View = ();

    fn step(&mut self, event: &Event, cx: &Context<'_>) -> Vec<Effect> {
        RULES.iter().flat_map(|(_, rule)| rule(event, &mut self.memory, cx)).collect()
    }

    fn tick(&mut self, _: &Context<'_>) -> Vec<Effect> {
        vec![]
    }

    fn call(&mut self, call: GateCall, cx: &Context<'_>) -> (Self::Reply, Vec<Effect>) {
        match gate::call(call, &mut self.memory.gate, cx) {
            Ok(effects) => (Ok(()), effects),
            Err(error) => (Err(error), vec![]),
        }
    }

    fn wake(&self) -> Option<Timestamp> {
        None
    }

    fn restored(&mut self, _: &Context<'_>) -> Vec<Effect> {
        vec![]
    }

    fn snapshot(&self) -> String {
        stored(&self.memory)
    }

    fn view(&mut self) -> Option<()> {
        None
    }
}

/// Asks for an alarm.
fn raise(device: Option<DeviceId>, kind: AlarmKind, zone: &str, params: Params) -> Effect {
    Effect::Emit { device, body: Body::AskRaise { kind, zone: zone.to_owned(), params, test: false } }
}

/// Says that its condition ended.
fn clear(device: Option<DeviceId>, kind: AlarmKind, zone: &str) -> Effect {
    Effect::Emit { device, body: Body::AskClear { kind, zone: zone.to_owned(), reset: false } }
}
