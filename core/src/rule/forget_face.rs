//! A face that is no longer ours to keep is removed from every device that keeps faces (PIPL art. 47): each is asked until it
//! says that it is done.

use super::Memory;
use crate::device::link::Verb;
use crate::effect::Effect;
use crate::event::{Body, Event};
use crate::id::CommandId;
use crate::machine::Context;
use jiff::Timestamp;

pub(super) fn evaluate(event: &Event, _: &mut Memory, cx: &Context<'_>) -> Vec<Effect> {
    let Body::PeopleChanged { person, what } = &event.body else { return vec![] };
    if what != "face_deleted" {
        return vec![];
    }
    let keeps = cx.compound.devices.values().filter(|spec| spec.faces);
    keeps
        .enumerate()
        .map(|(nth, spec)| {
            let ask = Body::AskCommand {
                command: CommandId::of_event(event.id, nth),
                what: Verb::ForgetFace { person: *person },
                why: what.clone(),
                // It has no end but its execution.
                deadline: Timestamp::MAX,
                life_safety: false,
            };
            Effect::emit(spec.id, ask)
        })
        .collect()
}
