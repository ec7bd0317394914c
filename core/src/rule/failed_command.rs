//! A command that fails or is not answered is an alarm until the same command works; a door that does not confirm its fire
//! release is listed as not released. One that must arrive and does not is an alarm while it is still tried.

use super::{Memory, clear, raise};
use crate::alarm::AlarmKind;
use crate::command::CommandState;
use crate::device::telemetry::Value;
use crate::effect::Effect;
use crate::event::{Body, Event, Params};
use crate::machine::Context;

pub(super) fn evaluate(event: &Event, _: &mut Memory, _: &Context<'_>) -> Vec<Effect> {
    let Body::CommandMoved { verb, state, reason, .. } = &event.body else { return vec![] };
    let kind = if verb == "release" { AlarmKind::NotReleased } else { AlarmKind::CommandFailed };
    match state {
        CommandState::Queued if reason.is_empty() => vec![],
        CommandState::Failed | CommandState::TimedOut | CommandState::Queued => {
            vec![raise(event.device, kind, verb, params(verb, reason))]
        }
        // A camera that was to look at an alarm and was not even asked: nobody else would say so.
        CommandState::Cancelled | CommandState::Expired if verb == "goto_preset" && reason != "by_operator" => {
            vec![raise(event.device, kind, verb, params(verb, reason))]
        }
        CommandState::Executed => vec![clear(event.device, kind, verb)],
        CommandState::Cancelled if reason == "by_operator" => vec![clear(event.device, kind, verb)],
        CommandState::Sent | CommandState::Acked | CommandState::Expired | CommandState::Cancelled => vec![],
    }
}

fn params(verb: &str, reason: &str) -> Params {
    Params::from([("verb".into(), Value::Text(verb.to_owned())), ("reason".into(), Value::Text(reason.to_owned()))])
}
