//! A device that is gone is an alarm until it is back: there is no silent state.

use super::{Memory, clear, raise};
use crate::alarm::AlarmKind;
use crate::device::shadow::Presence;
use crate::effect::Effect;
use crate::event::{Body, Event, Params};
use crate::machine::Context;

pub(super) fn evaluate(event: &Event, _: &mut Memory, _: &Context<'_>) -> Vec<Effect> {
    let Body::PresenceChanged { from, to } = &event.body else { return vec![] };
    match (from, to) {
        (Presence::Online | Presence::Stale | Presence::Unknown, Presence::Offline) => {
            vec![raise(event.device, AlarmKind::DeviceOffline, "", Params::new())]
        }
        (Presence::Offline, Presence::Online | Presence::Stale | Presence::Unknown) => {
            vec![clear(event.device, AlarmKind::DeviceOffline, "")]
        }
        (
            Presence::Online | Presence::Stale | Presence::Unknown,
            Presence::Online | Presence::Stale | Presence::Unknown,
        )
        | (Presence::Offline, Presence::Offline) => vec![],
    }
}
