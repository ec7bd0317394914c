//! The program's own troubles are alarms too.

use super::{Memory, raise};
use crate::alarm::AlarmKind;
use crate::device::telemetry::Value;
use crate::effect::Effect;
use crate::event::{Body, Event, Params};
use crate::machine::Context;

pub(super) fn evaluate(event: &Event, _: &mut Memory, _: &Context<'_>) -> Vec<Effect> {
    match &event.body {
        Body::ActorQuarantined { actor, reason } => {
            let params = Params::from([
                ("actor".into(), Value::Text(actor.clone())),
                ("reason".into(), Value::Text(reason.clone())),
            ]);
            vec![raise(event.device, AlarmKind::ActorQuarantined, actor, params)]
        }
        Body::ClockJumped { step_ms } => {
            #[allow(clippy::cast_precision_loss, reason = "seconds for people")]
            let params = Params::from([("step_s".into(), Value::Number(*step_ms as f64 / 1_000.0))]);
            vec![raise(None, AlarmKind::ClockJump, "", params)]
        }
        _ => vec![],
    }
}
