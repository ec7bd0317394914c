//! The program's own troubles are alarms too.

use super::{Memory, raise};
use crate::alarm::AlarmKind;
use crate::device::telemetry::Value;
use crate::effect::Effect;
use crate::event::{Body, Event, Params};
use crate::machine::Context;

pub(super) fn evaluate(event: &Event, _: &mut Memory, _: &Context<'_>) -> Vec<Effect> {
    let Body::ActorQuarantined { actor, reason } = &event.body else { return vec![] };
    let params =
        Params::from([("actor".into(), Value::Text(actor.clone())), ("reason".into(), Value::Text(reason.clone()))]);
    vec![raise(event.device, AlarmKind::ActorQuarantined, actor, params)]
}
