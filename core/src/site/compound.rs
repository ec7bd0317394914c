//! The site resolved to ids: what runs.

use super::{DeviceDef, LimitDef, Site, StreamDef};
use crate::access::{EntryMethod, Level};
use crate::alarm::{AlarmKind, Sop, default_sop};
use crate::device::link::{Announcement, DeviceKind};
use crate::id::{DeviceId, DeviceKey, PlaceId};
use crate::passage::Direction;
use crate::place::Place;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Reads of one plate within this time are one passage, where the lane says nothing else.
const SAME_CAR: SignedDuration = SignedDuration::from_secs(30);

/// A device, resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Its id, derived from its key.
    pub id: DeviceId,
    /// Its key.
    pub key: DeviceKey,
    /// What it is.
    pub kind: DeviceKind,
    /// Class of a sensor or meter.
    pub class: String,
    /// Name.
    pub name: String,
    /// Name in Chinese.
    pub name_zh: String,
    /// Where.
    pub place: PlaceId,
    /// On the place's plan, metres.
    pub x: Option<f64>,
    /// On the place's plan, metres.
    pub y: Option<f64>,
    /// The cameras that see it; a camera sees itself.
    pub cameras: Vec<DeviceId>,
    /// Maker and model.
    pub model: String,
    /// Whether it introduced itself.
    pub announced: bool,
    /// Seconds of silence until it is stale.
    pub timeout_s: Option<u32>,
    /// The gateway it is behind.
    #[serde(default)]
    pub gateway: Option<DeviceId>,
    /// Whether it keeps faces.
    #[serde(default)]
    pub faces: bool,
    /// Door: the ways in that it offers, the face among them where there is one.
    #[serde(default)]
    pub methods: Vec<EntryMethod>,
    /// Door: whether a face opens it only after the active challenge.
    #[serde(default)]
    pub challenge: bool,
    /// Door: open for longer it is held, seconds.
    pub held_after_s: Option<u32>,
    /// Door: how long a grant frees the lock, milliseconds.
    pub unlock_for_ms: Option<u32>,
    /// Door: whether a fire alarm releases it.
    pub release_on_fire: bool,
    /// Elevator: the floor of a recall.
    pub recall_to: Option<i32>,
    /// Limits of measured points.
    pub limits: Vec<LimitDef>,
    /// Units of points, where they are not the usual ones.
    pub units: BTreeMap<String, String>,
    /// Camera: its stream.
    pub stream: Option<StreamDef>,
    /// Camera: the preset it turns to at an alarm, by the key of its device or of a place around that.
    #[serde(default)]
    pub presets: BTreeMap<String, String>,
}

impl Spec {
    fn configured(def: &DeviceDef) -> Self {
        let id = def.key.id();
        let mut cameras: Vec<_> = def.cameras.iter().map(DeviceKey::id).collect();
        if def.kind == DeviceKind::Camera && !cameras.contains(&id) {
            cameras.insert(0, id);
        }
        Self {
            id,
            key: def.key.clone(),
            kind: def.kind,
            class: def.class.clone(),
            name: def.name.clone(),
            name_zh: def.name_zh.clone(),
            place: PlaceId::from_key(&def.place),
            x: def.x,
            y: def.y,
            cameras,
            model: def.model.clone(),
            announced: false,
            timeout_s: def.timeout_s,
            gateway: def.gateway.as_ref().map(DeviceKey::id),
            faces: def.faces,
            methods: def.methods.clone(),
            challenge: false,
            held_after_s: def.held_after_s,
            unlock_for_ms: def.unlock_ms,
            release_on_fire: def.release_on_fire.unwrap_or(def.kind == DeviceKind::Door),
            recall_to: def.recall_floor,
            limits: def.limits.clone(),
            units: def.units.clone(),
            stream: def.stream.clone(),
            presets: def.presets.clone(),
        }
    }

    /// Whether it is a camera with an ONVIF service.
    pub fn speaks_onvif(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.onvif.is_some())
    }

    /// Milliseconds of silence until it is stale.
    pub fn timeout_ms(&self) -> Option<i64> {
        self.timeout_s.map(|s| i64::from(s) * 1_000)
    }

    /// Door: open for longer it is held, milliseconds. 30 s is what ONVIF's example profile and most controllers ship with.
    pub fn held_ms(&self) -> u32 {
        self.held_after_s.unwrap_or(30).saturating_mul(1_000)
    }

    /// How long a grant frees the lock, milliseconds.
    pub fn unlock_ms(&self) -> u32 {
        self.unlock_for_ms.unwrap_or(5_000)
    }

    /// The floor of a recall.
    pub fn recall_floor(&self) -> i32 {
        self.recall_to.unwrap_or(1)
    }

    /// The unit of a point.
    pub fn unit(&self, point: &str) -> &str {
        if let Some(unit) = self.units.get(point) {
            return unit;
        }
        match point {
            "temperature" => "°C",
            "humidity" | "battery" => "%",
            "power" => "kW",
            "energy" => "kWh",
            "flow" => "m³/h",
            "hydrant_pressure" | "pressure" => "MPa",
            "total" => match self.class.as_str() {
                "power" | "energy" | "electricity" => "kWh",
                "water" | "gas" => "m³",
                _ => "",
            },
            _ => "",
        }
    }
}

/// A vehicle lane, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    /// Its key.
    pub key: String,
    /// The camera that reads plates.
    pub camera: DeviceId,
    /// The barrier it opens.
    pub barrier: DeviceId,
    /// Which way.
    pub direction: Direction,
    /// Reads of one plate that are at most so far apart are one passage.
    pub same_car: SignedDuration,
}

/// A door that a face opens, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaceDoor {
    /// The camera that sees faces.
    pub camera: DeviceId,
    /// The door.
    pub door: DeviceId,
    /// Whether it opens only after the active challenge.
    pub challenge: bool,
}

/// The site, resolved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compound {
    /// Places, in the order of the site.
    pub places: Vec<Place>,
    /// Devices.
    pub devices: BTreeMap<DeviceId, Spec>,
    /// Lanes.
    pub lanes: Vec<Lane>,
    /// Doors that faces open.
    pub face_doors: Vec<FaceDoor>,
    /// Levels by key.
    pub levels: BTreeMap<String, Level>,
    sop: BTreeMap<AlarmKind, Sop>,
}

impl Compound {
    /// Resolves a checked site.
    pub fn new(site: &Site) -> Self {
        let places = site
            .places
            .iter()
            .map(|place| Place {
                id: PlaceId::from_key(&place.key),
                key: place.key.clone(),
                parent: place.parent.as_deref().map(PlaceId::from_key),
                kind: place.kind,
                name: place.name.clone(),
                name_zh: place.name_zh.clone(),
                plan: place.plan.clone(),
            })
            .collect();
        let mut devices: BTreeMap<_, _> =
            site.devices.iter().map(Spec::configured).map(|spec| (spec.id, spec)).collect();
        for door in site.devices.iter().filter(|device| site.opens_by_face(device)) {
            if let Some(spec) = devices.get_mut(&door.key.id()) {
                spec.methods.insert(0, EntryMethod::Face);
            }
        }
        let lanes = site
            .lanes
            .iter()
            .map(|lane| Lane {
                key: lane.key.clone(),
                camera: lane.camera.id(),
                barrier: lane.barrier.id(),
                direction: lane.direction,
                same_car: lane.same_car_s.map_or(SAME_CAR, |s| SignedDuration::from_secs(i64::from(s))),
            })
            .collect();
        let face_doors: Vec<_> = site
            .face_doors
            .iter()
            .map(|pair| FaceDoor { camera: pair.camera.id(), door: pair.door.id(), challenge: pair.challenge })
            .collect();
        for pair in face_doors.iter().filter(|pair| pair.challenge) {
            if let Some(spec) = devices.get_mut(&pair.door) {
                spec.challenge = true;
            }
        }
        let passable = |spec: &&Spec| matches!(spec.kind, DeviceKind::Door | DeviceKind::Barrier);
        let levels = site
            .levels
            .iter()
            .map(|level| {
                let doors = if level.doors.iter().any(|door| door == "*") {
                    devices.values().filter(passable).map(|spec| spec.id).collect()
                } else {
                    level.doors.iter().map(|door| DeviceId::from_key(door)).collect()
                };
                let schedule = level.schedule.clone();
                (level.key.clone(), Level { key: level.key.clone(), doors, schedule })
            })
            .collect();
        Self { places, devices, lanes, face_doors, levels, sop: site.sop.clone() }
    }

    /// Adds a device that introduced itself; an area it suggests is looked up among the places by name, else it is at the site.
    pub fn announce(&self, announcement: &Announcement) -> Option<Spec> {
        let area = announcement.area.as_deref().map(str::to_lowercase);
        let place = self
            .places
            .iter()
            .find(|place| {
                area.as_deref()
                    .is_some_and(|area| place.name.to_lowercase() == area || place.name_zh == area || place.key == area)
            })
            .or_else(|| self.places.iter().find(|place| place.parent.is_none()))?;
        // It is seen by whatever cameras are at the same place.
        let cameras = self
            .devices
            .values()
            .filter(|spec| spec.kind == DeviceKind::Camera && spec.place == place.id)
            .map(|spec| spec.id)
            .take(3)
            .collect();
        let mut units = BTreeMap::new();
        if !announcement.unit.is_empty() {
            units.insert(announcement.point.clone(), announcement.unit.clone());
        }
        Some(Spec {
            id: announcement.key.id(),
            key: announcement.key.clone(),
            kind: announcement.kind,
            class: announcement.class.clone(),
            name: announcement.name.clone(),
            name_zh: announcement.name.clone(),
            place: place.id,
            x: None,
            y: None,
            cameras,
            model: announcement.model.clone(),
            announced: true,
            timeout_s: None,
            gateway: None,
            faces: false,
            methods: Vec::new(),
            challenge: false,
            held_after_s: None,
            unlock_for_ms: None,
            release_on_fire: announcement.kind == DeviceKind::Door,
            recall_to: None,
            limits: Vec::new(),
            units,
            stream: None,
            presets: BTreeMap::new(),
        })
    }

    /// The preset a camera turns to at an alarm of a device: the one of the device, else of the nearest place around it that
    /// has one. None for alarms of the camera itself: it would turn away from what it tells of.
    pub fn preset(&self, camera: DeviceId, source: DeviceId) -> Option<&str> {
        let (camera, source) = (self.devices.get(&camera)?, self.devices.get(&source)?);
        if camera.id == source.id || camera.presets.is_empty() {
            return None;
        }
        let place = |id: PlaceId| self.places.iter().find(|place| place.id == id);
        let around = std::iter::successors(place(source.place), |at| place(at.parent?)).take(self.places.len());
        let keys = std::iter::once(source.key.as_str()).chain(around.map(|place| place.key.as_str()));
        keys.filter_map(|key| camera.presets.get(key)).next().map(String::as_str)
    }

    /// A device by its id.
    pub fn device(&self, id: DeviceId) -> Option<&Spec> {
        self.devices.get(&id)
    }

    /// The gateways above a device, the nearest first.
    pub fn gateways_of(&self, id: DeviceId) -> impl Iterator<Item = DeviceId> {
        let above = |id: DeviceId| self.devices.get(&id).and_then(|spec| spec.gateway);
        // A circle is an error of the site; the bound keeps one that slipped in from being a hang.
        std::iter::successors(above(id), move |id| above(*id)).take(self.devices.len())
    }

    /// The devices behind a gateway, near and far, in the order of their ids.
    pub fn behind(&self, gateway: DeviceId) -> Vec<DeviceId> {
        let with_gateway = self.devices.values().filter(|spec| spec.gateway.is_some());
        with_gateway.map(|spec| spec.id).filter(|id| self.gateways_of(*id).any(|above| above == gateway)).collect()
    }

    /// The procedure for an alarm kind: the site's own, else the built-in one.
    pub fn sop(&self, kind: AlarmKind) -> Sop {
        self.sop.get(&kind).cloned().unwrap_or_else(|| default_sop(kind))
    }
}
