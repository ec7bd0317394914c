//! Cameras by ONVIF, plugged together: where they say their streams are goes to vision, commands of the ledger to their
//! heads, and a link that does not stand while the pictures do is an alarm.

use crate::site;
use gatehouse_actors::System;
use gatehouse_adapters::onvif::{Finder, Link, LinkConfig, LinkState, OnvifError, Streams};
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::link::{Downlink, Intake, Outcome, Uplink};
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::event::Params;
use gatehouse_core::id::{DeviceId, DeviceKey};
use gatehouse_core::recognition::{Observation, Seen};
use gatehouse_vision::{CameraConfig, Vision};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// How often the links are looked at.
const PERIOD: Duration = Duration::from_secs(5);
/// A link is down for so long before that is an alarm: a camera restarts within it.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// The part of a camera that the alarm about its link names.
const ZONE: &str = "onvif";
/// Searches at the same time.
const SEARCHES: usize = 2;

/// A camera that is spoken to, and how its streams are pulled once it says where they are.
pub struct Spoken {
    /// The link.
    pub link: LinkConfig,
    /// Its streams' configuration; the addresses in it are only filled in where the site names them.
    pub camera: CameraConfig,
}

/// The cameras by ONVIF.
pub struct Onvif {
    devices: BTreeSet<DeviceId>,
    links: OnceLock<BTreeMap<DeviceId, Arc<Link>>>,
    searches: Arc<Semaphore>,
}

impl Onvif {
    /// The cameras of these ids; nothing is sent yet.
    pub fn new(devices: BTreeSet<DeviceId>) -> Arc<Self> {
        Arc::new(Self { devices, links: OnceLock::new(), searches: Arc::new(Semaphore::new(SEARCHES)) })
    }

    /// Starts the links.
    pub fn start(
        &self,
        cameras: Vec<Spoken>,
        system: &System,
        vision: &Vision,
        known: Known,
        stop: &CancellationToken,
    ) {
        let configs = cameras.iter().map(|spoken| (spoken.camera.key.clone(), spoken.camera.clone())).collect();
        let desk =
            Arc::new(Desk { system: system.clone(), vision: vision.clone(), configs, known, last: Mutex::default() });
        let start = |spoken: Spoken| {
            let finder: Arc<dyn Finder> = desk.clone();
            (spoken.camera.id, Link::start(spoken.link, system.intake(), finder, stop.child_token()))
        };
        // Set once, at the start.
        let _ = self.links.set(cameras.into_iter().map(start).collect());
    }

    /// The link to a camera, where there is one.
    pub fn link(&self, camera: DeviceId) -> Option<&Arc<Link>> {
        self.links.get()?.get(&camera)
    }

    /// All links.
    pub fn links(&self) -> impl Iterator<Item = (DeviceId, &Arc<Link>)> {
        self.links.get().into_iter().flatten().map(|(id, link)| (*id, link))
    }

    /// Room for searches.
    pub fn searches(&self) -> &Arc<Semaphore> {
        &self.searches
    }

    /// Sorts what actors ask: cameras' commands to their links, all others to the broker's client.
    pub async fn sort(
        self: Arc<Self>,
        mut from: mpsc::Receiver<Downlink>,
        others: mpsc::Sender<Downlink>,
        intake: Arc<dyn Intake>,
    ) {
        while let Some(downlink) = from.recv().await {
            let (device, command) = (downlink.device, downlink.command);
            let refused = match self.link(device) {
                Some(link) => {
                    link.command(downlink);
                    continue;
                }
                None if self.devices.contains(&device) => "not_sent",
                None => match others.try_send(downlink) {
                    Ok(()) => continue,
                    Err(mpsc::error::TrySendError::Full(_)) => "link_full",
                    Err(mpsc::error::TrySendError::Closed(_)) => "link_gone",
                },
            };
            // On its own: the next one may be a fire release.
            let intake = intake.clone();
            tokio::spawn(async move {
                let outcome = Outcome::Failed { reason: refused.to_owned() };
                if let Err(error) = intake.offer(Uplink::CommandResult { device, command, outcome }).await {
                    tracing::warn!(%error, device.id = %device, "A command that was not sent ends at its deadline");
                }
            });
        }
    }

    /// Raises an alarm for each link that stays down while its camera's pictures arrive, and clears it: the pictures' own
    /// alarm tells of a camera that is gone altogether.
    pub async fn watch(self: Arc<Self>, system: System, vision: Vision) {
        let open = system.open_alarms().into_iter();
        let open = open.filter(|alarm| alarm.kind == AlarmKind::DeviceFault && alarm.zone == ZONE && alarm.active);
        let mut raised: BTreeSet<DeviceId> = open.filter_map(|alarm| alarm.device).collect();
        let mut tick = tokio::time::interval(PERIOD);
        loop {
            tick.tick().await;
            let down: BTreeMap<DeviceId, String> = self
                .links()
                .map(|(id, link)| (id, link.health()))
                .filter(|(_, health)| matches!(health.state, LinkState::Away | LinkState::Unauthorised))
                .filter(|(_, health)| Timestamp::now().duration_since(health.since) > PATIENCE)
                .map(|(id, health)| (id, health.error))
                .collect();
            for (id, error) in &down {
                let live = vision.status(*id).is_some_and(|status| status.live);
                if raised.contains(id) || !live {
                    continue;
                }
                let params = Params::from([
                    ("part".to_owned(), Value::Text("ONVIF".to_owned())),
                    ("reason".to_owned(), Value::Text(error.clone())),
                ]);
                match system.raise(AlarmKind::DeviceFault, Some(*id), ZONE, params).await {
                    Ok(()) => {
                        raised.insert(*id);
                    }
                    Err(error) => tracing::warn!(%error, "The alarm about an ONVIF link is told later"),
                }
            }
            for id in raised.iter().copied().filter(|id| !down.contains_key(id)).collect::<Vec<_>>() {
                match system.clear(AlarmKind::DeviceFault, Some(id), ZONE).await {
                    Ok(()) => {
                        raised.remove(&id);
                    }
                    Err(error) => tracing::warn!(%error, "The end of an alarm about an ONVIF link is told later"),
                }
            }
        }
    }
}

/// Where cameras said their streams are, kept in the data directory: after a restart pictures come, and recordings are found,
/// also of a camera whose ONVIF service does not answer.
#[derive(Clone, Debug)]
pub struct Known(Option<PathBuf>);

/// One camera's addresses, as a file.
#[derive(Serialize, Deserialize)]
struct Kept {
    onvif: String,
    main: String,
    sub: Option<String>,
}

impl Known {
    /// In this data directory.
    pub fn of(data: &Path) -> Self {
        Self(Some(data.join("onvif")))
    }

    /// Kept nowhere: virtual cameras are elsewhere at each start.
    pub fn nowhere() -> Self {
        Self(None)
    }

    fn path(&self, key: &DeviceKey) -> Option<PathBuf> {
        self.0.as_ref().map(|dir| dir.join(format!("{key}.json")))
    }

    /// What a camera at this device service said last.
    pub fn streams(&self, key: &DeviceKey, onvif: &str) -> Option<Streams> {
        let text = std::fs::read_to_string(self.path(key)?).ok()?;
        let kept: Kept = serde_json::from_str(&text).ok().filter(|kept: &Kept| kept.onvif == onvif)?;
        let sub = kept.sub.map(|sub| sub.parse()).transpose().ok()?;
        Some(Streams { main: kept.main.parse().ok()?, sub })
    }

    fn keep(&self, key: &DeviceKey, onvif: &str, streams: &Streams) {
        let Some(path) = self.path(key) else { return };
        let sub = streams.sub.as_ref().map(ToString::to_string);
        let kept = Kept { onvif: onvif.to_owned(), main: streams.main.to_string(), sub };
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
            let text = serde_json::to_vec_pretty(&kept)?;
            std::fs::write(&path, text)
        });
        if let Err(error) = written {
            tracing::warn!(%error, path = %path.display(), "A camera's addresses are not kept for the next start");
        }
    }
}

/// Where links tell what they find.
struct Desk {
    system: System,
    vision: Vision,
    configs: BTreeMap<DeviceKey, CameraConfig>,
    known: Known,
    /// What was told last of each camera: where it is, or why it is not there.
    last: Mutex<BTreeMap<DeviceKey, Result<Streams, &'static str>>>,
}

impl Desk {
    /// Whether this is news.
    fn news(&self, key: &DeviceKey, told: Result<Streams, &'static str>) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(key.clone(), told.clone()) != Some(told)
    }
}

impl Finder for Desk {
    fn found(&self, camera: &DeviceKey, streams: Streams) {
        let Some(config) = self.configs.get(camera) else { return };
        if !self.news(camera, Ok(streams.clone())) {
            return;
        }
        let (known, key, onvif) = (self.known.clone(), camera.clone(), site::onvif_of(&self.system.site(), camera));
        let kept = streams.clone();
        tokio::task::spawn_blocking(move || known.keep(&key, &onvif, &kept));
        let config = CameraConfig { url: streams.main, sub: streams.sub, ..config.clone() };
        // Pulled from there already: it was known from before.
        let pulled = self.vision.addresses(config.id);
        if pulled == Some((config.url.clone(), config.sub.clone())) {
            return;
        }
        tracing::info!(device.key = %camera, url = %config.url, "{camera} says where its streams are");
        if let Err(error) = self.vision.add_camera(config) {
            tracing::error!(%error, device.key = %camera, "The streams that {camera} names cannot be pulled");
        }
    }

    fn missed(&self, camera: &DeviceKey, error: &OnvifError) {
        let id = camera.id();
        // Pictures that are pulled say themselves how they do.
        if self.vision.status(id).is_some() || !self.news(camera, Err(error.word())) {
            return;
        }
        let (system, reason) = (self.system.clone(), error.word().to_owned());
        tokio::spawn(async move {
            let seen = Seen::Stream { live: false, reason };
            let observed_at = Timestamp::now();
            let observation = Observation { camera: id, observed_at, latency_ms: 0, picture: None, seen };
            if let Err(refused) = system.observe(observation).await {
                tracing::warn!(%refused, "Observation was not taken");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_camera_said_is_known_at_the_next_start_of_the_same_camera() {
        let dir = tempfile::tempdir().unwrap();
        let (known, key) = (Known::of(dir.path()), "cam-1".parse().unwrap());
        let streams = Streams { main: "rtsp://c/1".parse().unwrap(), sub: Some("rtsp://c/2".parse().unwrap()) };
        assert_eq!(known.streams(&key, "http://c"), None);
        known.keep(&key, "http://c", &streams);
        assert_eq!(known.streams(&key, "http://c"), Some(streams));
        assert_eq!(known.streams(&key, "http://another"), None, "another camera in its place");
    }
}
