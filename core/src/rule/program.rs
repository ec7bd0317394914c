//! The program's own troubles are alarms too: a part left stopped, a target that takes no notices.

use super::{Memory, clear, raise};
use crate::alarm::AlarmKind;
use crate::device::telemetry::Value;
use crate::effect::Effect;
use crate::event::{Body, Event, Params};
use crate::machine::Context;

pub(super) fn evaluate(event: &Event, _: &mut Memory, _: &Context<'_>) -> Vec<Effect> {
    let text = |name: &str, value: &str| (name.to_owned(), Value::Text(value.to_owned()));
    match &event.body {
        Body::ActorQuarantined { actor, reason } => {
            let params = Params::from([text("actor", actor), text("reason", reason)]);
            vec![raise(event.device, AlarmKind::ActorQuarantined, actor, params)]
        }
        Body::ClockJumped { step_ms } => {
            #[allow(clippy::cast_precision_loss, reason = "seconds for people")]
            let params = Params::from([("step_s".into(), Value::Number(*step_ms as f64 / 1_000.0))]);
            vec![raise(None, AlarmKind::ClockJump, "", params)]
        }
        Body::TargetMoved { target, what, reason } if matches!(what.as_str(), "failing" | "gone") => {
            let params = Params::from([text("target", target), text("reason", reason)]);
            vec![raise(None, AlarmKind::DeliveryFailed, target, params)]
        }
        Body::TargetMoved { target, .. } => vec![clear(None, AlarmKind::DeliveryFailed, target)],
        _ => vec![],
    }
}
