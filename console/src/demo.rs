//! The simulated compound: virtual cameras over RTSP, devices over MQTT, and the stories they play. All of it reaches the
//! program over sockets, as real devices would.

use crate::api::demo::Story;
use crate::error::ApiError;
use crate::secrets::Secrets;
use crate::site;
use anyhow::Context;
use axum::http::StatusCode;
use gatehouse_adapters::sim;
use gatehouse_adapters::sim::compound::{Compound, Peer, PlayError};
use gatehouse_adapters::sim::rtsp::{RtspServer, Users};
use gatehouse_adapters::sim::scene::{self, BodyColour, CameraConfig, PlateColour, SceneHandle, SceneKind, Studio, StudioConfig};
use gatehouse_core::device::link::DeviceKind;
use gatehouse_core::id::DeviceKey;
use gatehouse_core::site::Site;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// Account of the virtual cameras.
const RTSP_USER: &str = "viewer";

/// File in the data directory by which `gatehouse play` finds the running program.
const CONTROL: &str = "control.json";

/// The resident whose face opens a door, and the photographs that enrol them (`demo/faces`, licences beside them).
const RESIDENT: (&str, &[&str]) = ("Eileen Collins", &["collins_1.png"]);

/// The running compound.
pub struct Demo {
    compound: Compound,
    rtsp: RtspServer,
    rtsp_password: String,
    token: String,
    auto: bool,
    faces: PathBuf,
    // Renders and encodes while it lives.
    _studio: Studio,
}

/// How another process reaches the running program.
#[derive(Debug, Serialize, Deserialize)]
pub struct Control {
    /// The console's address.
    pub url: String,
    /// Shown instead of a session.
    pub token: String,
}

impl Control {
    /// Reads what the running program left in its data directory.
    pub fn read(data: &Path) -> anyhow::Result<Self> {
        let path = data.join("secrets").join(CONTROL);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }
}

impl Demo {
    /// Starts the cameras and the devices.
    pub async fn start(site: &Site, broker: SocketAddr, demo_dir: &Path, secrets: &Secrets, auto: bool) -> anyhow::Result<Self> {
        let rtsp_password = secrets.password("rtsp-viewer")?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let rtsp = RtspServer::bind(listen, Users::one(RTSP_USER, &rtsp_password)).await.context("the virtual cameras' RTSP server")?;
        let faces = demo_dir.join("faces");
        let configs = site.devices.iter().filter(|device| device.kind == DeviceKind::Camera).map(|device| {
            CameraConfig::new(device.key.as_str(), scene_of(&device.class))
        });
        let zone = jiff::tz::TimeZone::get(&site.zone).unwrap_or(jiff::tz::TimeZone::UTC);
        let config = StudioConfig { faces: Some(faces.clone()), zone, ..StudioConfig::default() };
        let studio = Studio::start(config, configs.collect())?;
        let mut scenes = BTreeMap::new();
        for scene in studio.scenes() {
            let key: DeviceKey = scene.name().parse()?;
            rtsp.mount(key.as_str(), scene.source());
            scenes.insert(key, scene.clone());
        }
        let mut peers = Vec::new();
        for device in site.devices.iter().filter(|device| site::speaks_mqtt(device)) {
            let (login, password) = site::account(device, secrets)?;
            peers.push(Peer { key: device.key.clone(), kind: device.kind, class: device.class.clone(), login, password });
        }
        let compound = Compound::start(broker, peers, Arc::new(Cameras(scenes))).await;
        compound.auto(auto);
        Ok(Self { compound, rtsp, rtsp_password, token: secrets.password("control-token")?, auto, faces, _studio: studio })
    }

    /// Leaves word in the data directory for `gatehouse play`.
    pub fn announce(&self, secrets: &Secrets, url: &str) -> anyhow::Result<()> {
        let control = Control { url: url.to_owned(), token: self.token.clone() };
        let path = secrets.path(CONTROL);
        // The folder is the owner's alone.
        std::fs::write(&path, serde_json::to_vec(&control)?).with_context(|| path.display().to_string())
    }

    /// Address and account of a virtual camera's stream.
    pub fn stream_of(&self, key: &DeviceKey) -> Option<(String, String, String)> {
        Some((self.rtsp.url(key.as_str()), RTSP_USER.to_owned(), self.rtsp_password.clone()))
    }

    /// Residents whose faces are enrolled, with their photographs.
    pub fn residents(&self) -> Vec<(String, Vec<PathBuf>)> {
        let (name, photos) = RESIDENT;
        vec![(name.to_owned(), photos.iter().map(|photo| self.faces.join(photo)).collect())]
    }

    /// The stories there are.
    pub fn stories(&self) -> Vec<Story> {
        self.compound.stories().iter().map(Story::from).collect()
    }

    /// Whether the timetable plays by itself.
    pub fn is_auto(&self) -> bool {
        self.auto
    }

    /// Plays a story.
    pub fn play(&self, story: &str) -> Result<Uuid, ApiError> {
        self.compound.play(story).map_err(|error| match error {
            PlayError::Unknown { .. } => ApiError::new(StatusCode::NOT_FOUND, "unknown_story", error.to_string()).field("story"),
            _ => ApiError::conflict("story_busy", error.to_string()),
        })
    }

    /// Whether this is the data directory's control token; takes the same time for every wrong one.
    pub fn token_is_right(&self, shown: &str) -> bool {
        let (a, b) = (shown.as_bytes(), self.token.as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |wrong, (a, b)| wrong | (a ^ b)) == 0
    }

    /// Ends the stories and disconnects the devices.
    pub async fn stop(&self) {
        self.compound.stop().await;
    }
}

/// The stories as `gatehouse play` lists them.
pub fn listing() -> String {
    sim::story::STORIES.iter().map(|story| format!("{:<16} {} ({} s)\n", story.key, story.about, story.seconds)).collect()
}

fn scene_of(class: &str) -> SceneKind {
    match class {
        "gate" => SceneKind::Gate,
        "door" => SceneKind::Lobby,
        "lift" => SceneKind::LiftLobby,
        "perimeter" => SceneKind::Perimeter,
        _ => SceneKind::Corridor,
    }
}

/// Lets the devices' stories be seen by the virtual cameras.
struct Cameras(BTreeMap<DeviceKey, SceneHandle>);

impl sim::Stage for Cameras {
    fn cue(&self, camera: &DeviceKey, cue: sim::Cue) {
        let Some(scene) = self.0.get(camera) else { return };
        let taken = match cue {
            sim::Cue::CarArrives { plate, colour } => {
                scene.cue(scene::Cue::CarArrives { body: body_of(&plate), plate, colour: plate_colour(&colour) })
            }
            sim::Cue::CarLeaves => scene.cue(scene::Cue::CarLeaves),
            sim::Cue::BarrierTo { open } => scene.cue(scene::Cue::Barrier { open }),
            sim::Cue::PersonAtDoor { photo } => {
                scene.cue(scene::Cue::PersonAtDoor { photo, stay: std::time::Duration::from_secs(20) })
            }
            sim::Cue::PersonGone => scene.cue(scene::Cue::PersonGone),
            sim::Cue::Smoke(on) => scene.cue(scene::Cue::Smoke(on)),
            sim::Cue::Intruder(true) => scene.cue(scene::Cue::Intruder),
            // The intruder leaves the picture by itself.
            sim::Cue::Intruder(false) => true,
            sim::Cue::Freeze(on) => scene.cue(scene::Cue::Freeze(on)),
        };
        if !taken {
            tracing::warn!(%camera, "The virtual camera has too many cues waiting");
        }
    }
}

fn plate_colour(colour: &str) -> PlateColour {
    match colour {
        "green" => PlateColour::Green,
        "yellow" => PlateColour::Yellow,
        _ => PlateColour::Blue,
    }
}

/// The same plate is always on the same car.
fn body_of(plate: &str) -> BodyColour {
    const BODIES: [BodyColour; 6] =
        [BodyColour::White, BodyColour::Silver, BodyColour::Graphite, BodyColour::Navy, BodyColour::Burgundy, BodyColour::Forest];
    let sum: u32 = plate.chars().map(u32::from).sum();
    BODIES[sum as usize % BODIES.len()]
}
