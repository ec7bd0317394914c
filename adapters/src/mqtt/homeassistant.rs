//! Home Assistant discovery: devices that introduce themselves on `homeassistant/<component>/[<node>/]<object>/config`.
//!
//! Reads what zigbee2mqtt, Tasmota and ESPHome announce (developers' page "MQTT discovery", keys long or abbreviated, `~`
//! as base topic): `binary_sensor`, `sensor`, `lock`, `switch` and `cover`. An announced device gets a key `ha.<unique id>`,
//! so it can never be taken for a device of the site's configuration; topics of the native convention and of discovery
//! itself are refused as its topics, or an announcement could make Gatehouse speak to another's lock.

use gatehouse_core::device::link::{Announcement, DeviceKind, Verb};
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::DeviceKey;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Largest announcement, bytes: zigbee2mqtt's are 1-2 KiB.
pub const MAX_CONFIG: usize = 16 << 10;
/// Longest topic an announcement may name.
const MAX_TOPIC: usize = 256;
/// Longest name, class or unit kept.
const MAX_WORD: usize = 96;

/// What is wrong with an announcement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not a discovery topic.
    #[error("not homeassistant/<component>/[<node>/]<object>/config")]
    Topic,
    /// A component that is not read.
    #[error("component {0:?} is not read: binary_sensor, sensor, lock, switch and cover are")]
    Component(String),
    /// Not a JSON object, or too large.
    #[error("announcement is not a JSON object of at most {MAX_CONFIG} bytes")]
    Json,
    /// A field is missing or cannot be used.
    #[error("announcement's {field}: {reason}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
}

/// A topic with the template that reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where.
    pub topic: String,
    /// How, when not plainly.
    pub template: Option<String>,
}

/// One way in which a device says whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    /// Where and how.
    pub source: Source,
    /// Payload for there.
    pub online: String,
    /// Payload for gone.
    pub offline: String,
}

/// How several availabilities make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AvailabilityMode {
    /// Every one must say so.
    All,
    /// One is enough.
    Any,
    /// The last word counts.
    Latest,
}

/// The payloads an entity speaks in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// A binary sensor's.
    Binary {
        /// For on.
        on: String,
        /// For off.
        off: String,
    },
    /// A measured value: a number, else text.
    Measured,
    /// A lock's.
    Lock {
        /// State: locked.
        locked: String,
        /// State: unlocked.
        unlocked: String,
        /// Command: lock.
        lock: String,
        /// Command: unlock.
        unlock: String,
    },
    /// A switch's.
    Switch {
        /// State: on.
        on: String,
        /// State: off.
        off: String,
        /// Command: on.
        turn_on: String,
        /// Command: off.
        turn_off: String,
    },
    /// A cover's.
    Cover {
        /// State: open.
        open: String,
        /// State: closed.
        closed: String,
        /// State: opening.
        opening: String,
        /// State: closing.
        closing: String,
        /// Command: open.
        raise: String,
        /// Command: close.
        lower: String,
    },
}

/// An announced device, as far as the link needs to know it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// What the actors are told.
    pub announcement: Announcement,
    /// Where it reports.
    pub state: Option<Source>,
    /// Where it says whether it is there.
    pub availability: Vec<Availability>,
    /// How those combine.
    pub mode: AvailabilityMode,
    /// Where it takes commands.
    pub command: Option<String>,
    /// Its payloads.
    pub words: Words,
    /// Silent for longer than this, it is gone.
    pub expire_after: Option<Duration>,
}

/// Long names of the abbreviations that are read.
const ABBREVIATIONS: &[(&str, &str)] = &[
    ("avty", "availability"),
    ("avty_mode", "availability_mode"),
    ("avty_t", "availability_topic"),
    ("avty_tpl", "availability_template"),
    ("cmd_t", "command_topic"),
    ("dev", "device"),
    ("dev_cla", "device_class"),
    ("exp_aft", "expire_after"),
    ("obj_id", "object_id"),
    ("pl_avail", "payload_available"),
    ("pl_cls", "payload_close"),
    ("pl_lock", "payload_lock"),
    ("pl_not_avail", "payload_not_available"),
    ("pl_off", "payload_off"),
    ("pl_on", "payload_on"),
    ("pl_open", "payload_open"),
    ("pl_unlk", "payload_unlock"),
    ("stat_cla", "state_class"),
    ("stat_clsd", "state_closed"),
    ("stat_closing", "state_closing"),
    ("stat_locked", "state_locked"),
    ("stat_off", "state_off"),
    ("stat_on", "state_on"),
    ("stat_open", "state_open"),
    ("stat_opening", "state_opening"),
    ("stat_t", "state_topic"),
    ("stat_unlocked", "state_unlocked"),
    ("uniq_id", "unique_id"),
    ("unit_of_meas", "unit_of_measurement"),
    ("val_tpl", "value_template"),
    // Inside `device` and `availability`.
    ("mdl", "model"),
    ("mf", "manufacturer"),
    ("sa", "suggested_area"),
    ("t", "topic"),
];

/// A JSON object read by long or short key.
struct Fields<'a>(&'a Map<String, Json>);

impl<'a> Fields<'a> {
    fn get(&self, long: &str) -> Option<&'a Json> {
        self.0.get(long).or_else(|| {
            let mut short = ABBREVIATIONS.iter().filter(|(_, name)| *name == long);
            short.find_map(|(short, _)| self.0.get(*short))
        })
    }

    /// A text, number or boolean as text.
    fn text(&self, long: &str) -> Option<String> {
        match self.get(long)? {
            Json::String(text) => Some(text.clone()),
            Json::Bool(on) => Some(on.to_string()),
            Json::Number(n) => Some(n.to_string()),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        }
    }

    fn word(&self, long: &str) -> String {
        self.text(long).map(clip).unwrap_or_default()
    }

    fn payload(&self, long: &str, default: &str) -> String {
        self.text(long).unwrap_or_else(|| default.to_owned())
    }
}

fn clip(text: String) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(MAX_WORD).collect();
    clean.trim().to_owned()
}

/// Component, node and object of a discovery topic under `prefix`.
pub fn parse_topic<'a>(prefix: &str, topic: &'a str) -> Result<(&'a str, Option<&'a str>, &'a str), ConfigError> {
    let rest = topic.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')).ok_or(ConfigError::Topic)?;
    let mut levels = rest.split('/');
    match (levels.next(), levels.next(), levels.next(), levels.next(), levels.next()) {
        (Some(component), Some(object), Some("config"), None, None) => Ok((component, None, object)),
        (Some(component), Some(node), Some(object), Some("config"), None) => Ok((component, Some(node), object)),
        _ => Err(ConfigError::Topic),
    }
}

/// Reads an announcement; an empty payload removes the device: `None`.
pub fn parse(prefix: &str, topic: &str, payload: &[u8]) -> Result<Option<Entity>, ConfigError> {
    let (component, node, object) = parse_topic(prefix, topic)?;
    if payload.is_empty() {
        return Ok(None);
    }
    if payload.len() > MAX_CONFIG {
        return Err(ConfigError::Json);
    }
    if !matches!(component, "binary_sensor" | "sensor" | "lock" | "switch" | "cover") {
        return Err(ConfigError::Component(clip(component.to_owned())));
    }
    let Ok(Json::Object(map)) = serde_json::from_slice(payload) else { return Err(ConfigError::Json) };
    let fields = Fields(&map);
    let base = fields.0.get("~").and_then(Json::as_str).unwrap_or_default();
    let empty = Map::new();
    let device = Fields(fields.get("device").and_then(Json::as_object).unwrap_or(&empty));

    let unique = fields.text("unique_id").filter(|id| !id.is_empty());
    let unique = unique.unwrap_or_else(|| node.map_or(object.to_owned(), |node| format!("{node}_{object}")));
    let key = derive_key(&unique).ok_or(ConfigError::Field { field: "unique_id", reason: "gives no key" })?;
    let class = fields.word("device_class").to_lowercase();
    let (kind, point) = kind_and_point(component, &class, &fields.word("state_class"));
    let point = point.to_owned();
    let entity_name = fields.word("name");
    let device_name = device.word("name");
    let name = match (device_name.is_empty(), entity_name.is_empty()) {
        (true, true) => clip(object.replace('_', " ")),
        (true, false) => entity_name,
        (false, true) => device_name,
        (false, false) if entity_name.starts_with(&device_name) => entity_name,
        (false, false) => clip(format!("{device_name} {entity_name}")),
    };
    let model = clip(format!("{} {}", device.word("manufacturer"), device.word("model")));
    let announcement = Announcement {
        key,
        name,
        kind,
        class: if class.is_empty() { component.to_owned() } else { class },
        point,
        unit: fields.word("unit_of_measurement"),
        area: device.text("suggested_area").map(clip).filter(|area| !area.is_empty()),
        model,
    };

    let topic_of = |field: &'static str, topic: Option<String>| own_topic(prefix, base, field, topic);
    let template_of = |long: &str| fields.text(long).filter(|t| !t.trim().is_empty());
    let state = topic_of("state_topic", fields.text("state_topic"))?
        .map(|topic| Source { topic, template: template_of("value_template") });
    let command = topic_of("command_topic", fields.text("command_topic"))?;
    match component {
        "binary_sensor" | "sensor" if state.is_none() => {
            return Err(ConfigError::Field { field: "state_topic", reason: "is missing" });
        }
        "lock" | "switch" | "cover" if command.is_none() => {
            return Err(ConfigError::Field { field: "command_topic", reason: "is missing" });
        }
        _ => {}
    }
    let expire_after = fields.get("expire_after").and_then(Json::as_u64).filter(|s| (1..=86_400 * 7).contains(s));
    let mode = match fields.word("availability_mode").as_str() {
        "all" => AvailabilityMode::All,
        "any" => AvailabilityMode::Any,
        _ => AvailabilityMode::Latest,
    };
    Ok(Some(Entity {
        announcement,
        state,
        availability: availability(&fields, &topic_of, template_of("availability_template"))?,
        mode,
        // A binary sensor or sensor takes no commands, whatever it says.
        command: if matches!(component, "binary_sensor" | "sensor") { None } else { command },
        words: words(component, &fields),
        expire_after: expire_after.map(Duration::from_secs),
    }))
}

fn availability(
    fields: &Fields<'_>,
    topic_of: &dyn Fn(&'static str, Option<String>) -> Result<Option<String>, ConfigError>,
    template: Option<String>,
) -> Result<Vec<Availability>, ConfigError> {
    let mut all = Vec::new();
    if let Some(topic) = topic_of("availability_topic", fields.text("availability_topic"))? {
        all.push(Availability {
            source: Source { topic, template },
            online: fields.payload("payload_available", "online"),
            offline: fields.payload("payload_not_available", "offline"),
        });
    }
    let listed: &[Json] = match fields.get("availability") {
        Some(Json::Array(list)) => list,
        Some(one @ Json::Object(_)) => std::slice::from_ref(one),
        _ => &[],
    };
    if listed.len() > 8 {
        return Err(ConfigError::Field { field: "availability", reason: "has more than 8 entries" });
    }
    for entry in listed.iter().filter_map(Json::as_object).map(Fields) {
        if let Some(topic) = topic_of("availability topic", entry.text("topic"))? {
            all.push(Availability {
                source: Source { topic, template: entry.text("value_template").filter(|t| !t.trim().is_empty()) },
                online: entry.payload("payload_available", "online"),
                offline: entry.payload("payload_not_available", "offline"),
            });
        }
    }
    Ok(all)
}

fn words(component: &str, f: &Fields<'_>) -> Words {
    match component {
        "binary_sensor" => Words::Binary { on: f.payload("payload_on", "ON"), off: f.payload("payload_off", "OFF") },
        "lock" => Words::Lock {
            locked: f.payload("state_locked", "LOCKED"),
            unlocked: f.payload("state_unlocked", "UNLOCKED"),
            lock: f.payload("payload_lock", "LOCK"),
            unlock: f.payload("payload_unlock", "UNLOCK"),
        },
        "switch" => {
            let (turn_on, turn_off) = (f.payload("payload_on", "ON"), f.payload("payload_off", "OFF"));
            Words::Switch {
                on: f.payload("state_on", &turn_on),
                off: f.payload("state_off", &turn_off),
                turn_on,
                turn_off,
            }
        }
        "cover" => Words::Cover {
            open: f.payload("state_open", "open"),
            closed: f.payload("state_closed", "closed"),
            opening: f.payload("state_opening", "opening"),
            closing: f.payload("state_closing", "closing"),
            raise: f.payload("payload_open", "OPEN"),
            lower: f.payload("payload_close", "CLOSE"),
        },
        _ => Words::Measured,
    }
}

/// The topic with `~` written out, or the reason for which it cannot be the device's.
fn own_topic(
    prefix: &str,
    base: &str,
    field: &'static str,
    topic: Option<String>,
) -> Result<Option<String>, ConfigError> {
    let Some(topic) = topic.filter(|topic| !topic.is_empty()) else { return Ok(None) };
    let topic = match (topic.strip_prefix('~'), topic.strip_suffix('~')) {
        (Some(rest), _) => format!("{base}{rest}"),
        (None, Some(rest)) => format!("{rest}{base}"),
        (None, None) => topic,
    };
    let bad = |reason| Err(ConfigError::Field { field, reason });
    if topic.len() > MAX_TOPIC || topic.contains(['+', '#', '\0']) || topic.is_empty() {
        return bad("is not a topic of at most 256 bytes");
    }
    let first = topic.split('/').next().unwrap_or_default();
    if first == "gh" || first == prefix || first.starts_with('$') {
        return bad("belongs to another convention");
    }
    Ok(Some(topic))
}

fn derive_key(unique: &str) -> Option<DeviceKey> {
    let tame: String = unique
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_') { c } else { '-' })
        .take(48)
        .collect();
    if tame == unique {
        return format!("ha.{tame}").parse().ok();
    }
    // Two identifiers may tame to the same word: the digest keeps them apart.
    let digest = Sha256::digest(unique.as_bytes());
    format!("ha.{tame}-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3]).parse().ok()
}

fn kind_and_point<'a>(component: &str, class: &'a str, state_class: &str) -> (DeviceKind, &'a str) {
    match (component, class) {
        ("lock", _) => (DeviceKind::Door, "lock"),
        ("cover", "gate" | "garage") => (DeviceKind::Barrier, "position"),
        ("cover", _) => (DeviceKind::Sensor, "position"),
        ("switch", _) => (DeviceKind::Sensor, "switch"),
        ("binary_sensor", "moisture") => (DeviceKind::Sensor, "leak"),
        ("binary_sensor", "occupancy" | "presence") => (DeviceKind::Sensor, "motion"),
        ("binary_sensor", "door" | "window" | "opening" | "garage_door") => (DeviceKind::Sensor, "open"),
        ("binary_sensor", "battery") => (DeviceKind::Sensor, "battery_low"),
        ("sensor", "energy" | "water" | "gas") if state_class.starts_with("total") => (DeviceKind::Meter, "total"),
        (_, class) if is_point(class) => (DeviceKind::Sensor, class),
        ("sensor", _) => (DeviceKind::Sensor, "value"),
        (_, _) => (DeviceKind::Sensor, "state"),
    }
}

fn is_point(class: &str) -> bool {
    !class.is_empty()
        && class.len() <= 64
        && class.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl Entity {
    /// What a state, already through its template, says; `None` for not known.
    pub fn value(&self, state: &str) -> Result<Option<Value>, ConfigError> {
        if state.is_empty() || ["unknown", "unavailable", "none", "null"].iter().any(|w| state.eq_ignore_ascii_case(w))
        {
            return Ok(None);
        }
        let strange = Err(ConfigError::Field { field: "state", reason: "is none of its payloads" });
        let word = |text: &str| Ok(Some(Value::Text(text.to_owned())));
        match &self.words {
            Words::Binary { on, off } | Words::Switch { on, off, .. } => match (same(state, on), same(state, off)) {
                (true, _) => Ok(Some(Value::Bool(true))),
                (false, true) => Ok(Some(Value::Bool(false))),
                (false, false) => strange,
            },
            Words::Measured => match state.parse::<f64>() {
                Ok(n) if n.is_finite() => Ok(Some(Value::Number(n))),
                _ if state.len() <= 256 => word(state),
                _ => strange,
            },
            Words::Lock { locked, .. } if same(state, locked) => word("locked"),
            Words::Lock { unlocked, .. } if same(state, unlocked) => word("unlocked"),
            Words::Cover { open, .. } if same(state, open) => word("up"),
            Words::Cover { closed, .. } if same(state, closed) => word("down"),
            Words::Cover { opening, closing, .. } if same(state, opening) || same(state, closing) => word("moving"),
            Words::Lock { .. } | Words::Cover { .. } => strange,
        }
    }

    /// The payload that asks for this, and the value that shows it done; `None` when it cannot be asked.
    pub fn order(&self, verb: &Verb) -> Option<(&str, Value)> {
        let text = |word: &str| Value::Text(word.to_owned());
        match (&self.words, verb) {
            (Words::Lock { unlock, .. }, Verb::Unlock { .. } | Verb::Release) => Some((unlock, text("unlocked"))),
            (Words::Lock { lock, .. }, Verb::Lock | Verb::Restore) => Some((lock, text("locked"))),
            (Words::Cover { raise, .. }, Verb::Open) => Some((raise, text("up"))),
            (Words::Cover { lower, .. }, Verb::Close) => Some((lower, text("down"))),
            (Words::Switch { turn_on, turn_off, .. }, Verb::Set { point, value })
                if *point == self.announcement.point =>
            {
                value.as_bool().map(|on| (if on { turn_on.as_str() } else { turn_off.as_str() }, Value::Bool(on)))
            }
            _ => None,
        }
    }
}

/// Payloads agree as they are, or as booleans (`True`, `true`).
fn same(a: &str, b: &str) -> bool {
    let boolean = |s: &str| s.eq_ignore_ascii_case("true") || s.eq_ignore_ascii_case("false");
    a == b || boolean(a) && boolean(b) && a.eq_ignore_ascii_case(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(topic: &str, file: &str) -> Entity {
        let path = format!("{}/src/mqtt/testdata/{file}", env!("CARGO_MANIFEST_DIR"));
        let payload = std::fs::read(&path).expect(&path);
        parse("homeassistant", topic, &payload).expect(file).expect("announces")
    }

    #[test]
    fn a_zigbee2mqtt_smoke_detector() {
        let smoke = read("homeassistant/binary_sensor/0x00158d0001/smoke/config", "zigbee2mqtt_ts0205_smoke.json");
        let a = &smoke.announcement;
        assert_eq!(
            (a.key.as_str(), a.kind, a.class.as_str(), a.point.as_str()),
            ("ha.0x00158d0001_smoke_zigbee2mqtt", DeviceKind::Sensor, "smoke", "smoke")
        );
        assert_eq!(a.name, "Corridor smoke");
        assert_eq!(a.area.as_deref(), Some("Corridor"));
        assert_eq!(smoke.availability.len(), 2);
        assert_eq!(smoke.mode, AvailabilityMode::All);
        assert_eq!(smoke.value("true"), Ok(Some(Value::Bool(true))));
        assert_eq!(smoke.value("False"), Ok(Some(Value::Bool(false))));
        assert!(smoke.value("smoky").is_err());
    }

    #[test]
    fn a_tasmota_energy_meter_with_abbreviations() {
        let meter = read("homeassistant/sensor/8CCE4E_energy/config", "tasmota_pow_energy.json");
        let a = &meter.announcement;
        assert_eq!((a.kind, a.point.as_str(), a.unit.as_str()), (DeviceKind::Meter, "total", "kWh"));
        assert_eq!(meter.state.as_ref().map(|s| s.topic.as_str()), Some("tele/tasmota_8CCE4E/SENSOR"));
        assert_eq!(meter.availability[0].online, "Online");
        assert_eq!(meter.value("12.5"), Ok(Some(Value::Number(12.5))));
    }

    #[test]
    fn an_esphome_lock_is_asked_and_read_back() {
        let lock = read("homeassistant/lock/gate/lock/config", "esphome_gate_lock.json");
        assert_eq!(lock.announcement.kind, DeviceKind::Door);
        assert_eq!(lock.command.as_deref(), Some("gate/lock/lock/command"));
        assert_eq!(lock.order(&Verb::Unlock { for_ms: 5000 }), Some(("UNLOCK", Value::Text("unlocked".into()))));
        assert_eq!(lock.order(&Verb::Open), None);
        assert_eq!(lock.value("LOCKED"), Ok(Some(Value::Text("locked".into()))));
        let cover = read("homeassistant/cover/garage/config", "esphome_garage_cover.json");
        assert_eq!(cover.announcement.kind, DeviceKind::Barrier);
        assert_eq!(cover.value("opening"), Ok(Some(Value::Text("moving".into()))));
        assert_eq!(cover.order(&Verb::Close).map(|(p, _)| p), Some("CLOSE"));
    }

    #[test]
    fn an_announcement_cannot_speak_on_anothers_topics() {
        for (field, topic) in [
            ("command_topic", "gh/door-1/set"),
            ("state_topic", "gh/door-1/state"),
            ("command_topic", "homeassistant/lock/x/config"),
            ("state_topic", "$SYS/x"),
            ("state_topic", "a/#"),
        ] {
            let mut config = serde_json::json!({"unique_id": "x", "state_topic": "s", "command_topic": "c"});
            config[field] = topic.into();
            let error = parse("homeassistant", "homeassistant/lock/x/config", config.to_string().as_bytes());
            assert!(matches!(error, Err(ConfigError::Field { .. })), "{topic}");
        }
    }

    #[test]
    fn keys_stay_apart_and_an_empty_payload_removes() {
        assert_ne!(derive_key("Sensor A"), derive_key("sensor-a"));
        assert_ne!(derive_key("烟感"), derive_key("水浸"));
        assert_eq!(parse("homeassistant", "homeassistant/sensor/x/config", b""), Ok(None));
        assert!(matches!(
            parse("homeassistant", "homeassistant/light/x/config", b"{}"),
            Err(ConfigError::Component(_))
        ));
        assert!(matches!(parse("homeassistant", "homeassistant/status", b"online"), Err(ConfigError::Topic)));
        assert!(matches!(
            parse("homeassistant", "homeassistant/sensor/x/config", b"{}"),
            Err(ConfigError::Field { .. })
        ));
    }

    proptest! {
        #[test]
        fn any_announcement_gives_a_value_or_an_error(object in "[^/]{0,10}", payload in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse("homeassistant", &format!("homeassistant/sensor/{object}/config"), &payload);
        }

        #[test]
        fn any_field_of_an_announcement_may_be_anything(field in "~|avty|dev|stat_t|uniq_id|name|exp_aft|cmd_t|val_tpl|dev_cla", value in r#""[^"\\]{0,20}"|[0-9]{1,20}|null|\[\{"t":"~x"\}\]|\{"sa":1\}|true"#, state in ".{0,20}") {
            let json = format!(r#"{{"stat_t":"a","{field}":{value}}}"#);
            for component in ["binary_sensor", "sensor", "lock", "cover", "switch"] {
                if let Ok(Some(entity)) = parse("homeassistant", &format!("homeassistant/{component}/x/config"), json.as_bytes()) {
                    let _ = entity.value(&state);
                }
            }
        }
    }
}
