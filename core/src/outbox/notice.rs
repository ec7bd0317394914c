//! What a target is told of an alarm: the JSON text, version 1. Fields are only ever added.

use crate::alarm::Bilingual;
use crate::event::{Body, Event};
use crate::id::{AlarmId, DeliveryId, EventId};
use crate::site::Compound;
use jiff::Timestamp;
use serde::Serialize;

/// The version of the text; a reader refuses one it does not know.
const VERSION: u8 = 1;

/// Of which site a notice is, and where its console is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The site's name.
    pub site: String,
    /// The console's address, without a slash at the end.
    pub console: String,
}

#[derive(Serialize)]
struct Notice<'a, D> {
    version: u8,
    #[serde(rename = "type")]
    kind: String,
    timestamp: Timestamp,
    site: &'a str,
    data: D,
}

#[derive(Serialize)]
struct OfAlarm<'a> {
    event: EventId,
    seq: u64,
    alarm: AlarmId,
    kind: &'a str,
    title: Bilingual,
    priority: u8,
    zone: &'a str,
    what: &'a str,
    by: &'a str,
    device: Option<DeviceFacts<'a>>,
    place: Option<PlaceFacts<'a>>,
    url: String,
}

#[derive(Serialize)]
struct DeviceFacts<'a> {
    key: &'a str,
    kind: &'a str,
    name: &'a str,
    name_zh: &'a str,
}

#[derive(Serialize)]
struct PlaceFacts<'a> {
    key: &'a str,
    name: &'a str,
    name_zh: &'a str,
}

#[derive(Serialize)]
struct OfTest<'a> {
    id: DeliveryId,
    by: &'a str,
    url: &'a str,
}

/// The type and text of the notice of an alarm's event; nothing of any other event.
pub fn write(event: &Event, compound: &Compound, origin: &Origin) -> Option<(String, String)> {
    let Body::AlarmMoved { alarm, kind, zone, priority, what } = &event.body else { return None };
    let device = event.device.and_then(|id| compound.device(id)).map(|spec| DeviceFacts {
        key: spec.key.as_str(),
        kind: spec.kind.word(),
        name: &spec.name,
        name_zh: &spec.name_zh,
    });
    let place = event
        .place
        .and_then(|id| compound.places.iter().find(|place| place.id == id))
        .map(|place| PlaceFacts { key: &place.key, name: &place.name, name_zh: &place.name_zh });
    let data = OfAlarm {
        event: event.id,
        seq: event.seq,
        alarm: *alarm,
        kind: kind.word(),
        title: compound.sop(*kind).title,
        priority: *priority,
        zone,
        what,
        by: &event.by,
        device,
        place,
        url: format!("{}/#/desk?alarm={alarm}", origin.console),
    };
    let kind = format!("alarm.{what}");
    Some((kind.clone(), text(kind, event.received_at, origin, data)))
}

/// The text of a test that an operator sends.
pub fn test_notice(id: DeliveryId, by: &str, origin: &Origin, now: Timestamp) -> String {
    text("test".into(), now, origin, OfTest { id, by, url: &origin.console })
}

fn text<D: Serialize>(kind: String, timestamp: Timestamp, origin: &Origin, data: D) -> String {
    let notice = Notice { version: VERSION, kind, timestamp, site: &origin.site, data };
    serde_json::to_string(&notice).expect("strings and numbers serialise")
}
