//! The devices that have announced themselves, and what their topics mean.

use super::homeassistant::{self, AvailabilityMode, Entity, Source};
use super::template::Templates;
use gatehouse_core::device::link::{Downlink, Outcome, PresenceCause, Uplink, Verb};
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::{CommandId, DeviceId};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// Announced devices taken; the next is refused.
const MAX_ENTITIES: usize = 20_000;

/// What follows from an announcement.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) uplinks: Vec<Uplink>,
    pub(super) subscribe: Vec<String>,
    pub(super) unsubscribe: Vec<String>,
}

/// A command in an announced device's own words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) topic: String,
    pub(super) payload: String,
    /// Payload to send after this time: the relocking of a lock that does not relock by itself.
    pub(super) then: Option<(Duration, String)>,
}

struct Slot {
    entity: Entity,
    available: Vec<Option<bool>>,
    present: Option<bool>,
    heard: Instant,
    pending: Option<(CommandId, Value, Timestamp)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    State,
    Availability(usize),
}

/// Announced devices by announcement topic.
pub(super) struct Announced {
    prefix: String,
    slots: BTreeMap<String, Slot>,
    by_device: HashMap<DeviceId, String>,
    uses: HashMap<String, Vec<(String, Use)>>,
    templates: Templates,
}

impl Announced {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            slots: BTreeMap::new(),
            by_device: HashMap::new(),
            uses: HashMap::new(),
            templates: Templates::default(),
        }
    }

    /// Whether a topic is an announcement's.
    pub(super) fn is_announcement(&self, topic: &str) -> bool {
        homeassistant::parse_topic(&self.prefix, topic).is_ok()
    }

    /// Topics that announced devices speak on.
    pub(super) fn topics(&self) -> Vec<String> {
        self.uses.keys().cloned().collect()
    }

    /// Takes an announcement, changes one, or removes one (empty payload).
    pub(super) fn configure(&mut self, topic: &str, payload: &[u8], now: Instant) -> Result<Changes, String> {
        let entity = homeassistant::parse(&self.prefix, topic, payload).map_err(|e| e.to_string())?;
        let Some(entity) = entity else { return Ok(self.remove(topic)) };
        let id = entity.announcement.key.id();
        if self.by_device.get(&id).is_some_and(|owner| owner != topic) {
            return Err("unique_id is already another announcement's".to_owned());
        }
        if !self.slots.contains_key(topic) && self.slots.len() >= MAX_ENTITIES {
            return Err(format!("more than {MAX_ENTITIES} announced devices"));
        }
        let sources = entity.state.iter().chain(entity.availability.iter().map(|a| &a.source));
        for source in sources {
            if let Some(template) = &source.template {
                self.templates.add(template)?;
            }
        }
        let mut changes = Changes::default();
        match self.slots.get_mut(topic) {
            // The same announcement, retained or repeated: nothing is forgotten.
            Some(slot) if slot.entity == entity => {
                changes.subscribe = topics_of(&entity);
            }
            _ => {
                let removed = self.remove(topic);
                // A changed announcement of the same device is no absence.
                changes.uplinks = removed.uplinks.into_iter().filter(|up| up.device() != id).collect();
                for (at, used) in uses_of(&entity) {
                    self.uses.entry(used).or_default().push((topic.to_owned(), at));
                }
                changes.subscribe = topics_of(&entity);
                changes.unsubscribe = removed.unsubscribe.into_iter().filter(|t| !self.uses.contains_key(t)).collect();
                self.by_device.insert(id, topic.to_owned());
                let available = vec![None; entity.availability.len()];
                let slot = Slot { entity: entity.clone(), available, present: None, heard: now, pending: None };
                self.slots.insert(topic.to_owned(), slot);
            }
        }
        changes.uplinks.push(Uplink::Announce(entity.announcement));
        Ok(changes)
    }

    fn remove(&mut self, topic: &str) -> Changes {
        let mut changes = Changes::default();
        let Some(slot) = self.slots.remove(topic) else { return changes };
        let device = slot.entity.announcement.key.id();
        self.by_device.remove(&device);
        for (_, used) in uses_of(&slot.entity) {
            if let Some(uses) = self.uses.get_mut(&used) {
                uses.retain(|(owner, _)| owner != topic);
                if uses.is_empty() {
                    self.uses.remove(&used);
                    changes.unsubscribe.push(used);
                }
            }
        }
        changes.uplinks.push(Uplink::Presence { device, online: false, cause: PresenceCause::Birth });
        changes
    }

    /// What a message on an announced device's topic says, device by device.
    pub(super) fn message(&mut self, topic: &str, payload: &[u8], now: Instant) -> Vec<Result<Uplink, String>> {
        let Some(uses) = self.uses.get(topic) else { return Vec::new() };
        let Ok(payload) = std::str::from_utf8(payload) else { return vec![Err("payload is not text".to_owned())] };
        let mut said = Vec::new();
        for (owner, what) in uses {
            let Some(slot) = self.slots.get_mut(owner) else { continue };
            match slot.hear(*what, payload, &self.templates, now) {
                Ok(uplinks) => said.extend(uplinks.into_iter().map(Ok)),
                Err(error) => said.push(Err(error)),
            }
        }
        said
    }

    /// Devices that were silent for longer than they promised.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Uplink> {
        let mut gone = Vec::new();
        for slot in self.slots.values_mut() {
            let Some(after) = slot.entity.expire_after else { continue };
            if slot.present != Some(false) && now.duration_since(slot.heard) > after {
                slot.present = Some(false);
                let device = slot.entity.announcement.key.id();
                gone.push(Uplink::Presence { device, online: false, cause: PresenceCause::Timeout });
            }
        }
        gone
    }

    /// A command in the device's own words; `None` when the device is not an announced one.
    pub(super) fn order(&mut self, downlink: &Downlink) -> Option<Result<Order, String>> {
        let slot = self.slots.get_mut(self.by_device.get(&downlink.device)?)?;
        let name = &slot.entity.announcement.name;
        let Some(topic) = slot.entity.command.clone() else { return Some(Err(format!("{name} takes no commands"))) };
        let Some((payload, done)) = slot.entity.order(&downlink.verb) else {
            return Some(Err(format!("{name} does not know this command")));
        };
        let then = match downlink.verb {
            Verb::Unlock { for_ms } => slot
                .entity
                .order(&Verb::Lock)
                .map(|(lock, _)| (Duration::from_millis(u64::from(for_ms)), lock.to_owned())),
            _ => None,
        };
        let order = Order { topic, payload: payload.to_owned(), then };
        slot.pending = Some((downlink.command, done, downlink.deadline));
        Some(Ok(order))
    }
}

impl Slot {
    fn hear(&mut self, what: Use, payload: &str, templates: &Templates, now: Instant) -> Result<Vec<Uplink>, String> {
        let device = self.entity.announcement.key.id();
        match what {
            Use::Availability(at) => {
                let Some(availability) = self.entity.availability.get(at) else { return Ok(Vec::new()) };
                let said = read(&availability.source, payload, templates)?;
                let there = match said {
                    said if said == availability.online => true,
                    said if said == availability.offline => false,
                    _ => return Err("availability is neither of its payloads".to_owned()),
                };
                self.available[at] = Some(there);
                let mut known = self.available.iter();
                let online = match self.entity.mode {
                    AvailabilityMode::All => known.all(|a| *a != Some(false)),
                    AvailabilityMode::Any => known.any(|a| *a == Some(true)),
                    AvailabilityMode::Latest => there,
                };
                self.present = Some(online);
                self.heard = now;
                let cause = if online { PresenceCause::Birth } else { PresenceCause::Will };
                Ok(vec![Uplink::Presence { device, online, cause }])
            }
            Use::State => {
                let Some(source) = &self.entity.state else { return Ok(Vec::new()) };
                let said = read(source, payload, templates)?;
                let Some(value) = self.entity.value(&said).map_err(|e| e.to_string())? else { return Ok(Vec::new()) };
                let mut uplinks = Vec::new();
                // Without availability topics its voice is its presence; after a silence too long, again.
                if self.present != Some(true) && (self.available.is_empty() || self.entity.expire_after.is_some()) {
                    self.present = Some(true);
                    uplinks.push(Uplink::Presence { device, online: true, cause: PresenceCause::Birth });
                }
                self.heard = now;
                if let Some((command, done, deadline)) = self.pending.take() {
                    if done == value {
                        uplinks.push(Uplink::CommandResult { device, command, outcome: Outcome::Executed });
                    } else if Timestamp::now() <= deadline {
                        self.pending = Some((command, done, deadline));
                    }
                }
                let points = vec![(self.entity.announcement.point.clone(), value)];
                uplinks.push(Uplink::Report { device, seq: None, observed_at: None, points });
                Ok(uplinks)
            }
        }
    }
}

fn read(source: &Source, payload: &str, templates: &Templates) -> Result<String, String> {
    match &source.template {
        Some(template) => templates.render(template, payload),
        None => Ok(payload.trim().to_owned()),
    }
}

fn uses_of(entity: &Entity) -> Vec<(Use, String)> {
    let state = entity.state.iter().map(|s| (Use::State, s.topic.clone()));
    let availability = entity.availability.iter().enumerate();
    state.chain(availability.map(|(at, a)| (Use::Availability(at), a.source.topic.clone()))).collect()
}

fn topics_of(entity: &Entity) -> Vec<String> {
    // Availability first: a device is there before it speaks.
    let mut topics: Vec<String> = entity.availability.iter().map(|a| a.source.topic.clone()).collect();
    topics.extend(entity.state.iter().map(|s| s.topic.clone()));
    topics.dedup();
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "homeassistant/binary_sensor/0x00158d0001/smoke/config";

    fn testdata(file: &str) -> Vec<u8> {
        std::fs::read(format!("{}/src/mqtt/testdata/{file}", env!("CARGO_MANIFEST_DIR"))).expect(file)
    }

    #[test]
    fn an_announced_smoke_detector_reports_and_its_absence_is_seen_at_once() {
        let (mut announced, now) = (Announced::new("homeassistant"), Instant::now());
        let changes = announced.configure(TOPIC, &testdata("zigbee2mqtt_ts0205_smoke.json"), now).expect("announces");
        assert_eq!(
            changes.subscribe,
            ["zigbee2mqtt/bridge/state", "zigbee2mqtt/Corridor smoke/availability", "zigbee2mqtt/Corridor smoke"]
        );
        let device = changes.uplinks[0].device();
        let said = announced.message("zigbee2mqtt/Corridor smoke", br#"{"smoke":true,"battery":97}"#, now);
        let points = vec![("smoke".to_owned(), Value::Bool(true))];
        assert_eq!(said, [Ok(Uplink::Report { device, seq: None, observed_at: None, points })]);
        let presence = |online, cause| vec![Ok(Uplink::Presence { device, online, cause })];
        let availability = "zigbee2mqtt/Corridor smoke/availability";
        assert_eq!(
            announced.message(availability, br#"{"state":"online"}"#, now),
            presence(true, PresenceCause::Birth)
        );
        assert_eq!(
            announced.message("zigbee2mqtt/bridge/state", br#"{"state":"offline"}"#, now),
            presence(false, PresenceCause::Will)
        );
        assert_eq!(
            announced.message(availability, br#"{"state":"online"}"#, now),
            presence(false, PresenceCause::Will),
            "mode all"
        );
        assert!(announced.message(availability, b"\xff", now)[0].is_err());

        let removed = announced.configure(TOPIC, b"", now).expect("removes");
        assert_eq!(removed.unsubscribe.len(), 3);
        assert!(announced.topics().is_empty());
    }

    #[test]
    fn a_second_announcement_cannot_take_a_devices_name() {
        let (mut announced, now) = (Announced::new("homeassistant"), Instant::now());
        let config = br#"{"uniq_id":"a","stat_t":"x/a"}"#;
        assert!(announced.configure("homeassistant/sensor/a/config", config, now).is_ok());
        assert!(announced.configure("homeassistant/sensor/b/config", config, now).is_err());
        let again = announced
            .configure("homeassistant/sensor/a/config", br#"{"uniq_id":"a","stat_t":"x/b"}"#, now)
            .expect("changes");
        assert_eq!((again.subscribe, again.unsubscribe), (vec!["x/b".to_owned()], vec!["x/a".to_owned()]));
        assert_eq!(again.uplinks.len(), 1);
    }

    #[test]
    fn a_locks_command_is_done_when_its_state_says_so() {
        let (mut announced, now) = (Announced::new("homeassistant"), Instant::now());
        let changes = announced
            .configure("homeassistant/lock/gate/lock/config", &testdata("esphome_gate_lock.json"), now)
            .expect("announces");
        let command = CommandId(uuid::Uuid::nil());
        let device = changes.uplinks[0].device();
        let deadline = Timestamp::now() + jiff::SignedDuration::from_secs(60);
        let unlock = Downlink { device, command, verb: Verb::Unlock { for_ms: 3000 }, deadline };
        let order = announced.order(&unlock).expect("announced").expect("understood");
        assert_eq!((order.payload.as_str(), order.then), ("UNLOCK", Some((Duration::from_secs(3), "LOCK".to_owned()))));
        let done = |said: Vec<Result<Uplink, String>>| {
            said.iter().any(|up| matches!(up, Ok(Uplink::CommandResult { outcome: Outcome::Executed, .. })))
        };
        assert!(!done(announced.message("gate/lock/lock/state", b"LOCKED", now)));
        assert!(done(announced.message("gate/lock/lock/state", b"UNLOCKED", now)));
        assert!(!done(announced.message("gate/lock/lock/state", b"UNLOCKED", now)));
        let recall = Downlink { verb: Verb::Recall { floor: 1 }, ..unlock };
        assert!(announced.order(&recall).expect("announced").is_err());
    }

    #[test]
    fn a_device_silent_for_longer_than_it_promised_is_gone_until_it_speaks() {
        let (mut announced, now) = (Announced::new("homeassistant"), Instant::now());
        let config = br#"{"uniq_id":"t","stat_t":"x/t","exp_aft":60}"#;
        announced.configure("homeassistant/sensor/t/config", config, now).expect("announces");
        announced.message("x/t", b"21.5", now);
        assert!(announced.expire(now + Duration::from_secs(59)).is_empty());
        assert_eq!(announced.expire(now + Duration::from_secs(61)).len(), 1);
        assert!(announced.expire(now + Duration::from_secs(62)).is_empty());
        assert_eq!(announced.message("x/t", b"21.6", now + Duration::from_secs(63)).len(), 2);
    }
}
