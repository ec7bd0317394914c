//! What does not fit together in a site, in sentences that name the field.

use super::{LookFor, Site, StreamDef};
use crate::access::{Schedule, normal_card, normal_plate};
use crate::device::link::DeviceKind;
use crate::id::DeviceKey;
use std::collections::{BTreeMap, BTreeSet};

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct SiteError {
    /// Where, e.g. `lanes[gate-in].barrier`.
    pub field: String,
    /// What is wrong and what would be right.
    pub what: String,
}

impl Site {
    /// Finds everything that does not fit together.
    pub fn check(&self) -> Result<(), Vec<SiteError>> {
        let mut errors = Vec::new();
        let mut wrong = |field: String, what: String| errors.push(SiteError { field, what });

        let mut places = BTreeSet::new();
        for place in &self.places {
            if place.key.trim().is_empty() {
                wrong(format!("places[{:?}].key", place.name), "is empty: every place needs a key".into());
            }
            if !places.insert(place.key.as_str()) {
                wrong(format!("places[{}].key", place.key), "is used twice: keys of places are unique".into());
            }
        }
        for place in &self.places {
            let Some(parent) = &place.parent else { continue };
            if !places.contains(parent.as_str()) {
                wrong(format!("places[{}].parent", place.key), format!("no place {parent:?} is defined"));
            } else if self.is_own_ancestor(&place.key) {
                wrong(format!("places[{}].parent", place.key), "leads back to the place itself".into());
            }
        }

        let mut kinds: BTreeMap<&DeviceKey, DeviceKind> = BTreeMap::new();
        for device in &self.devices {
            let at = |field: &str| format!("devices[{}].{field}", device.key);
            if kinds.insert(&device.key, device.kind).is_some() {
                wrong(at("key"), "is used twice: keys of devices are unique".into());
            }
            if !places.contains(device.place.as_str()) {
                wrong(at("place"), format!("no place {:?} is defined", device.place));
            }
            if device.timeout_s == Some(0) {
                wrong(at("timeout_s"), "is 0: leave it out when only the link tells presence".into());
            }
            if device.faces && !matches!(device.kind, DeviceKind::Door | DeviceKind::Camera) {
                wrong(at("faces"), format!("only a door or camera keeps faces, this is a {}", device.kind.word()));
            }
            if device.stream.is_some() && device.kind != DeviceKind::Camera {
                wrong(at("stream"), format!("only a camera has a stream, this is a {}", device.kind.word()));
            }
            if let Some(stream) = &device.stream {
                stream.check().into_iter().for_each(|(field, what)| wrong(at(&format!("stream.{field}")), what));
            }
            if !device.presets.is_empty() && device.stream.as_ref().is_none_or(|stream| stream.onvif.is_none()) {
                wrong(at("presets"), "only a camera with stream.onvif turns to presets".into());
            }
            for limit in &device.limits {
                if limit.high.is_none() && limit.low.is_none() {
                    wrong(at(&format!("limits[{}]", limit.point)), "has neither high nor low".into());
                }
            }
        }
        for device in &self.devices {
            let Some(gateway) = &device.gateway else { continue };
            if !kinds.contains_key(gateway) {
                wrong(
                    format!("devices[{}].gateway", device.key),
                    format!("no device {:?} is defined", gateway.as_str()),
                );
            } else if self.is_own_gateway(&device.key) {
                wrong(format!("devices[{}].gateway", device.key), "leads back to the device itself".into());
            }
        }
        let mut want = |field: String, key: &DeviceKey, kind: &[DeviceKind]| match kinds.get(key) {
            None => wrong(field, format!("no device {:?} is defined", key.as_str())),
            Some(is) if !kind.contains(is) => {
                let wanted: Vec<_> = kind.iter().map(|kind| kind.word()).collect();
                wrong(field, format!("{:?} is a {}, not a {}", key.as_str(), is.word(), wanted.join(" or ")));
            }
            Some(_) => {}
        };
        for device in &self.devices {
            for camera in &device.cameras {
                want(format!("devices[{}].cameras", device.key), camera, &[DeviceKind::Camera]);
            }
        }
        for lane in &self.lanes {
            want(format!("lanes[{}].camera", lane.key), &lane.camera, &[DeviceKind::Camera]);
            want(format!("lanes[{}].barrier", lane.key), &lane.barrier, &[DeviceKind::Barrier]);
        }
        for (at, pair) in self.face_doors.iter().enumerate() {
            want(format!("face_doors[{at}].camera"), &pair.camera, &[DeviceKind::Camera]);
            want(format!("face_doors[{at}].door"), &pair.door, &[DeviceKind::Door]);
        }

        self.check_faces().into_iter().for_each(|(field, what)| wrong(field, what));

        for camera in &self.devices {
            for key in camera.presets.keys().filter(|key| !places.contains(key.as_str())) {
                let field = format!("devices[{}].presets.{key}", camera.key);
                match self.devices.iter().find(|device| device.key.as_str() == key) {
                    None => wrong(field, "is neither a device nor a place".into()),
                    Some(device) if !device.cameras.contains(&camera.key) => wrong(
                        field,
                        format!("add {:?} to the cameras of {key:?}: it would never be called", camera.key.as_str()),
                    ),
                    Some(_) => {}
                }
            }
        }

        let mut schedules = BTreeSet::new();
        for schedule in &self.schedules {
            if !schedules.insert(schedule.key.as_str()) {
                wrong(format!("schedules[{}].key", schedule.key), "is used twice".into());
            }
            if let Err(error) = Schedule::new(&schedule.windows, &schedule.closed) {
                wrong(format!("schedules[{}].windows", schedule.key), error.to_string());
            }
        }
        let mut levels = BTreeSet::new();
        for level in &self.levels {
            let at = |field: &str| format!("levels[{}].{field}", level.key);
            if !levels.insert(level.key.as_str()) {
                wrong(at("key"), "is used twice".into());
            }
            if !level.schedule.is_empty() && !schedules.contains(level.schedule.as_str()) {
                wrong(at("schedule"), format!("no schedule {:?} is defined", level.schedule));
            }
            for door in level.doors.iter().filter(|door| *door != "*") {
                let kind = door.parse::<DeviceKey>().ok().and_then(|key| kinds.get(&key).copied());
                match kind {
                    Some(DeviceKind::Door | DeviceKind::Barrier) => {}
                    Some(other) => wrong(at("doors"), format!("{door:?} is a {}: nobody passes it", other.word())),
                    None => wrong(at("doors"), format!("no device {door:?} is defined")),
                }
            }
        }
        let (mut people, mut cards, mut plates) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        for person in &self.people {
            let at = |field: &str| format!("people[{}].{field}", person.key);
            if !people.insert(person.key.as_str()) {
                wrong(at("key"), "is used twice".into());
            }
            for level in person.levels.iter().filter(|level| !levels.contains(level.as_str())) {
                wrong(at("levels"), format!("no level {level:?} is defined"));
            }
            // The numbers themselves stay out of the message: it may be logged.
            for card in &person.cards {
                if normal_card(card).is_empty() {
                    wrong(at("cards"), "a card number has no letter or digit".into());
                } else if let Some(other) = cards.insert(normal_card(card), &person.key) {
                    wrong(at("cards"), format!("a card number is also {other:?}'s"));
                }
            }
            for plate in &person.plates {
                if normal_plate(plate).is_empty() {
                    wrong(at("plates"), "a plate has no letter or digit".into());
                } else if let Some(other) = plates.insert(normal_plate(plate), &person.key) {
                    wrong(at("plates"), format!("a plate is also {other:?}'s"));
                }
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn is_own_gateway(&self, key: &DeviceKey) -> bool {
        let above =
            |key: &DeviceKey| self.devices.iter().find(|device| device.key == *key).and_then(|d| d.gateway.as_ref());
        std::iter::successors(above(key), |up| above(up)).take(self.devices.len()).any(|up| up == key)
    }

    fn is_own_ancestor(&self, key: &str) -> bool {
        let parent = |key: &str| self.places.iter().find(|p| p.key == key).and_then(|p| p.parent.as_deref());
        let mut at = parent(key);
        for _ in 0..self.places.len() {
            match at {
                Some(up) if up == key => return true,
                Some(up) => at = parent(up),
                None => return false,
            }
        }
        false
    }
}

impl StreamDef {
    /// What does not fit: field and sentence.
    fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        match &self.onvif {
            None if self.url.is_empty() => {
                let what = "is missing: name the stream like rtsp://host:554/path, or the camera as stream.onvif";
                wrong.push(("url", what.to_owned()));
            }
            Some(onvif) if !["http://", "https://"].iter().any(|scheme| onvif.starts_with(scheme)) => {
                wrong.push(("onvif", format!("{onvif:?} is not an address like http://host/onvif/device_service")));
            }
            None | Some(_) => {}
        }
        match &self.sub {
            Some(_) if self.url.is_empty() && self.onvif.is_some() => {
                let what = "stands without url: give both, or neither and the camera says both";
                wrong.push(("sub", what.to_owned()));
            }
            Some(sub) if *sub == self.url => {
                wrong.push((
                    "sub",
                    "is the main stream itself: leave it out, or name the camera's small one".to_owned(),
                ));
            }
            Some(sub) if !sub.starts_with("rtsp://") => {
                wrong.push(("sub", format!("{sub:?} is not an address like rtsp://host:554/path")));
            }
            Some(_) | None => {}
        }
        wrong.extend(self.look_in.problem().map(|what| ("look_in", what)));
        if self.look_for.is_empty() && (!self.look_in.is_whole() || self.min_width_px > 0) {
            wrong.push((
                "look_for",
                "is empty: nothing is searched, so look_in and min_width_px say nothing".to_owned(),
            ));
        }
        if !self.moves.is_any() && !self.look_for.contains(&LookFor::Plates) {
            wrong.push((
                "moves",
                "says nothing of a camera that reads no plates: add \"plates\" to look_for, or leave moves out"
                    .to_owned(),
            ));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(site: serde_json::Value, expect: &[&str]) {
        let site: Site = serde_json::from_value(site).unwrap();
        let got: Vec<_> = site.check().err().unwrap_or_default().iter().map(ToString::to_string).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn a_site_that_fits_has_no_errors() {
        check(
            json!({
                "name": "Yard",
                "places": [{"key": "yard", "kind": "site", "name": "Yard"}],
                "devices": [
                    {"key": "cam-1", "kind": "camera", "name": "Camera", "place": "yard", "stream": {"url": "rtsp://x/1"}},
                    {"key": "gate", "kind": "barrier", "name": "Gate", "place": "yard", "cameras": ["cam-1"]}
                ],
                "lanes": [{"key": "in", "camera": "cam-1", "barrier": "gate", "direction": "in"}],
                "levels": [{"key": "all", "name": "All", "doors": ["*"]}],
                "people": [{"key": "li", "name": "Li", "kind": "resident", "levels": ["all"], "plates": ["粤B12345"]}]
            }),
            &[],
        );
    }

    #[test]
    fn every_loose_end_is_a_sentence_that_names_its_field() {
        check(
            json!({
                "name": "Yard",
                "places": [
                    {"key": "yard", "kind": "site", "name": "Yard"}, {"key": "yard", "kind": "space", "name": "Again"},
                    {"key": "a", "parent": "b", "kind": "space", "name": "A"}, {"key": "b", "parent": "a", "kind": "space", "name": "B"}
                ],
                "devices": [
                    {"key": "door-1", "kind": "door", "name": "Door", "place": "nowhere", "cameras": ["door-1"]},
                    {"key": "gw-1", "kind": "sensor", "name": "Gateway", "place": "a", "gateway": "gw-2", "faces": true},
                    {"key": "gw-2", "kind": "sensor", "name": "Gateway", "place": "a", "gateway": "gw-1"},
                    {"key": "leak-1", "kind": "sensor", "name": "Leak", "place": "a", "gateway": "gw-9"},
                    {"key": "cam-1", "kind": "camera", "name": "Camera", "place": "a", "stream": {"url": "rtsp://c/1", "sub": "rtsp://c/1"}},
                    {"key": "cam-2", "kind": "camera", "name": "Camera", "place": "a", "stream": {"url": "rtsp://c/1", "sub": "c/2", "look_in": [[0, 0], [640, 0], [0, 1]]}},
                    {"key": "cam-3", "kind": "camera", "name": "Camera", "place": "a", "stream": {"user": "u", "look_for": ["faces"], "moves": "towards"}, "presets": {"a": "1"}},
                    {"key": "cam-4", "kind": "camera", "name": "Camera", "place": "a", "stream": {"onvif": "c/4", "sub": "rtsp://c/2"},
                     "presets": {"b": "1", "gw-1": "2", "gw-9": "3"}}
                ],
                "lanes": [{"key": "in", "camera": "cam-9", "barrier": "door-1", "direction": "in"}],
                "schedules": [{"key": "day", "windows": [{"days": ["mon"], "from": "7", "to": "25:00"}]}],
                "levels": [{"key": "all", "name": "All", "doors": ["door-2"], "schedule": "night"}],
                "people": [
                    {"key": "li", "name": "Li", "kind": "staff", "cards": ["001"]},
                    {"key": "wu", "name": "Wu", "kind": "staff", "cards": ["1"], "levels": ["none"]}
                ]
            }),
            &[
                "places[yard].key: is used twice: keys of places are unique",
                "places[a].parent: leads back to the place itself",
                "places[b].parent: leads back to the place itself",
                "devices[door-1].place: no place \"nowhere\" is defined",
                "devices[gw-1].faces: only a door or camera keeps faces, this is a sensor",
                "devices[cam-1].stream.sub: is the main stream itself: leave it out, or name the camera's small one",
                "devices[cam-2].stream.sub: \"c/2\" is not an address like rtsp://host:554/path",
                "devices[cam-2].stream.look_in: has 640: corners are shares of the picture, 0 to 1, x before y",
                "devices[cam-2].stream.look_for: is empty: nothing is searched, so look_in and min_width_px say nothing",
                "devices[cam-3].stream.url: is missing: name the stream like rtsp://host:554/path, or the camera as stream.onvif",
                "devices[cam-3].stream.moves: says nothing of a camera that reads no plates: add \"plates\" to look_for, or leave moves out",
                "devices[cam-3].presets: only a camera with stream.onvif turns to presets",
                "devices[cam-4].stream.onvif: \"c/4\" is not an address like http://host/onvif/device_service",
                "devices[cam-4].stream.sub: stands without url: give both, or neither and the camera says both",
                "devices[gw-1].gateway: leads back to the device itself",
                "devices[gw-2].gateway: leads back to the device itself",
                "devices[leak-1].gateway: no device \"gw-9\" is defined",
                "devices[door-1].cameras: \"door-1\" is a door, not a camera",
                "lanes[in].camera: no device \"cam-9\" is defined",
                "lanes[in].barrier: \"door-1\" is a door, not a barrier",
                "face_consent: is missing: say who answers for the faces and where people turn, e.g. face_consent = \
                 { controller = \"Yard Property Ltd\", contact = \"the desk, telephone 555\" }",
                "devices[cam-4].presets.gw-1: add \"cam-4\" to the cameras of \"gw-1\": it would never be called",
                "devices[cam-4].presets.gw-9: is neither a device nor a place",
                "schedules[day].windows: \"7\" is not an hour: write HH:MM from 00:00 to 24:00",
                "levels[all].schedule: no schedule \"night\" is defined",
                "levels[all].doors: no device \"door-2\" is defined",
                "people[wu].levels: no level \"none\" is defined",
                "people[wu].cards: a card number is also \"li\"'s",
            ],
        );
    }

    #[test]
    fn a_door_that_opens_by_face_has_two_other_ways_in_and_a_notice_that_names_who_answers() {
        let site = |methods: &[&str], face_consent: serde_json::Value| {
            json!({
                "name": "Yard",
                "places": [{"key": "yard", "kind": "site", "name": "Yard"}],
                "devices": [
                    {"key": "cam-1", "kind": "camera", "name": "Camera", "place": "yard", "stream": {"url": "rtsp://x/1"}},
                    {"key": "door-1", "kind": "door", "name": "Door", "place": "yard", "methods": methods},
                    {"key": "door-2", "kind": "door", "name": "Door", "place": "yard", "methods": ["card"]},
                ],
                "face_doors": [{"camera": "cam-1", "door": "door-1"}],
                "face_consent": face_consent,
            })
        };
        let who = || json!({"controller": "Yard Ltd", "contact": "the desk"});
        check(site(&["card", "intercom"], who()), &[]);
        let remedy = "add others that it has, e.g. methods = [\"card\", \"intercom\"], or take the face away";
        let wrong = |has: &str| {
            format!(
                "devices[door-1].methods: a door that opens by face needs 2 other ways in, this one has {has}: {remedy}"
            )
        };
        check(site(&["card"], who()), &[&wrong("\"card\" only")]);
        check(site(&[], who()), &[&wrong("none")]);
        check(site(&["card", "card"], who()), &["devices[door-1].methods: names one way in twice"]);
        let face = "devices[door-1].methods: \"face\" is not written here: it follows from face_doors and faces";
        check(site(&["face", "card"], who()), &[face]);
        let mut terminal = site(&["card", "key"], serde_json::Value::Null);
        terminal["devices"][2]["faces"] = true.into();
        let got: Site = serde_json::from_value(terminal).unwrap();
        let got: Vec<_> = got.check().unwrap_err().into_iter().map(|error| error.field).collect();
        assert_eq!(got, ["devices[door-2].methods", "face_consent"], "also at a terminal of its own");
        let mut two = site(&["card", "intercom"], who());
        two["devices"][2]["methods"] = json!(["card", "pin"]);
        two["face_doors"] = json!([
            {"camera": "cam-1", "door": "door-1", "challenge": true}, {"camera": "cam-1", "door": "door-2"}
        ]);
        let differs =
            "face_doors[1].challenge: differs from that of \"door-1\", which the same camera opens: give both the same";
        check(two, &[differs]);
        check(
            site(&["card", "pin"], json!({"controller": "Yard Ltd", "contact": " "})),
            &["face_consent.contact: is empty: the notice before a consent must name it"],
        );
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let error = serde_json::from_value::<Site>(json!({"name": "x", "devcies": []})).unwrap_err();
        assert!(error.to_string().contains("devcies"), "{error}");
    }
}
