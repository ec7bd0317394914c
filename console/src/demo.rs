//! The simulated compound: virtual cameras over RTSP and ONVIF, devices over MQTT, and the stories they play. All of it reaches the
//! program over sockets, as real devices would.

use crate::api::demo::Story;
use crate::error::ApiError;
use crate::secrets::Secrets;
use crate::site;
use anyhow::Context;
use axum::http::StatusCode;
use gatehouse_adapters::sim::compound::{Compound, PeerSpec};
use gatehouse_adapters::sim::onvif::{OnvifCamera, OnvifConfig, Profile};
use gatehouse_adapters::sim::rtsp::{RtspServer, SoundCoding, Users};
use gatehouse_adapters::sim::scene::{CameraConfig, SceneKind, Studio, StudioConfig};
use gatehouse_adapters::sim::stage::{Scenes, head};
use gatehouse_adapters::sim::story::{PlayError, RESIDENT_PHOTO, STORIES};
use gatehouse_core::device::link::DeviceKind;
use gatehouse_core::id::DeviceKey;
use gatehouse_core::site::{DeviceDef, LookFor, Site};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Account of the virtual cameras.
const RTSP_USER: &str = "viewer";

/// File in the data directory by which `gatehouse play` finds the running program.
const CONTROL: &str = "control.json";

/// Key of the resident whose face opens a door; the photograph is the one the story shows.
const RESIDENT: &str = "p-1203";

/// The running compound.
pub struct Demo {
    // Taken at the stop.
    compound: Mutex<Option<Compound>>,
    rtsp: RtspServer,
    rtsp_password: String,
    // Device services of the virtual cameras that have one.
    onvif: BTreeMap<DeviceKey, String>,
    token: String,
    auto: bool,
    faces: PathBuf,
    resident: Option<String>,
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
    pub async fn start(
        site: &Site,
        broker: SocketAddr,
        demo_dir: &Path,
        secrets: &Secrets,
        auto: bool,
    ) -> anyhow::Result<Self> {
        let rtsp_password = secrets.password("rtsp-viewer")?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let rtsp = RtspServer::bind(listen, Users::one(RTSP_USER, &rtsp_password))
            .await
            .context("the virtual cameras' RTSP server")?;
        let faces = demo_dir.join("faces");
        let cameras: Vec<_> = site.devices.iter().filter(|device| device.kind == DeviceKind::Camera).collect();
        // Every second camera of a kind looks at another place.
        let speaks = |device: &DeviceDef| device.stream.as_ref().is_some_and(|stream| stream.onvif.is_some());
        let heads: BTreeMap<_, _> =
            cameras.iter().filter(|device| speaks(device)).map(|d| (&d.key, Arc::new(head()))).collect();
        let configs = cameras.iter().enumerate().map(|(n, device)| {
            let earlier = cameras[..n].iter().filter(|before| scene_of(before) == scene_of(device)).count();
            let config = CameraConfig::new(&device.name, scene_of(device)).variant(earlier as u32);
            // The gates have an intercom that speaks G.711, the doors' cameras a microphone that sends AAC.
            let config = match scene_of(device) {
                SceneKind::Gate => config.hearing(SoundCoding::ALaw),
                SceneKind::Lobby => config.hearing(SoundCoding::Aac),
                SceneKind::Corridor | SceneKind::LiftLobby | SceneKind::Perimeter => config,
            };
            match heads.get(&device.key) {
                Some(head) => config.on(head.clone()),
                None => config,
            }
        });
        let configs: Vec<_> = configs.collect();
        let zone = jiff::tz::TimeZone::get(&site.zone).unwrap_or(jiff::tz::TimeZone::UTC);
        let config = StudioConfig { faces: Some(faces.clone()), zone: zone.clone(), ..StudioConfig::default() };
        let studio = Studio::start(config, configs.clone())?;
        let mut stage = Scenes::default();
        for ((camera, scene), config) in cameras.iter().zip(studio.scenes()).zip(configs) {
            rtsp.mount(camera.key.as_str(), scene.source());
            stage.scenes.insert(camera.key.clone(), scene.clone());
            if config.head.is_some() {
                let served = serve_onvif(&camera.key, config, &rtsp, &rtsp_password).await?;
                stage.onvif.insert(camera.key.clone(), served);
            }
        }
        let onvif = stage.onvif.iter().map(|(key, served)| (key.clone(), served.device_service())).collect();
        let resident =
            site.people.iter().find(|person| person.key.as_str() == RESIDENT).map(|person| person.name.clone());
        let mut peers = Vec::new();
        for device in site.devices.iter().filter(|device| site::speaks_mqtt(device)) {
            let (_, password) = site::account(device, secrets)?;
            let (key, class, cameras) = (device.key.clone(), device.class.clone(), device.cameras.clone());
            peers.push(PeerSpec { key, kind: device.kind, class, password, cameras });
        }
        let compound = Compound::start(broker, peers, zone, Arc::new(stage));
        compound.set_auto(auto);
        let token = secrets.password("control-token")?;
        Ok(Self {
            compound: Mutex::new(Some(compound)),
            rtsp,
            rtsp_password,
            onvif,
            token,
            auto,
            faces,
            resident,
            _studio: studio,
        })
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

    /// The resident whose face is enrolled, with the photograph: name and file.
    pub fn resident(&self) -> Option<(String, PathBuf)> {
        let photo = std::fs::read_dir(&self.faces).ok()?.filter_map(Result::ok).map(|entry| entry.path());
        let photo = photo.into_iter().find(|path| path.file_stem().is_some_and(|stem| stem == RESIDENT_PHOTO))?;
        Some((self.resident.clone()?, photo))
    }

    /// The device service of a virtual camera that speaks ONVIF, with the account of its stream.
    pub fn onvif_of(&self, key: &DeviceKey) -> Option<String> {
        self.onvif.get(key).cloned()
    }

    /// The stories there are.
    pub fn stories(&self) -> Vec<Story> {
        STORIES.iter().map(Story::from).collect()
    }

    /// Whether the timetable plays by itself.
    pub fn is_auto(&self) -> bool {
        self.auto
    }

    /// Plays a story.
    pub fn play(&self, story: &str) -> Result<Uuid, ApiError> {
        let compound = self.compound();
        let outcome = compound.as_ref().map_or(Err(PlayError::Stopping), |compound| compound.play(story));
        outcome.map_err(|error| match error {
            PlayError::Unknown(_) => {
                ApiError::new(StatusCode::NOT_FOUND, "unknown_story", error.to_string()).field("story")
            }
            PlayError::Playing(_) | PlayError::Stopping => ApiError::conflict("story_busy", error.to_string()),
        })
    }

    /// Whether this is the data directory's control token; takes the same time for every wrong one.
    pub fn token_is_right(&self, shown: &str) -> bool {
        let (a, b) = (shown.as_bytes(), self.token.as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |wrong, (a, b)| wrong | (a ^ b)) == 0
    }

    /// Ends the stories and disconnects the devices.
    pub async fn stop(&self) {
        let compound = self.compound().take();
        if let Some(compound) = compound {
            compound.stop().await;
        }
    }

    fn compound(&self) -> MutexGuard<'_, Option<Compound>> {
        self.compound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stories as `gatehouse play` lists them.
pub fn listing() -> String {
    STORIES.iter().map(|story| format!("{:<16} {} ({} s)\n", story.key, story.about, story.seconds)).collect()
}

/// The ONVIF side of a virtual camera.
async fn serve_onvif(
    key: &DeviceKey,
    config: CameraConfig,
    rtsp: &RtspServer,
    password: &str,
) -> anyhow::Result<OnvifCamera> {
    let CameraConfig { name, width, height, fps, head, .. } = config;
    let profile = Profile {
        name: "main".to_owned(),
        uri: rtsp.url(key.as_str()),
        codec: "H264".to_owned(),
        width: width as u32,
        height: height as u32,
        fps,
    };
    let served = OnvifConfig { head, ..OnvifConfig::new(name, vec![profile]) };
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let served = OnvifCamera::bind(listen, Users::one(RTSP_USER, password), served).await;
    served.with_context(|| format!("the ONVIF service of the virtual camera {key}"))
}

/// What a virtual camera looks at: by what is looked for there, else by its name.
fn scene_of(camera: &DeviceDef) -> SceneKind {
    let looks_for = |what| camera.stream.as_ref().is_some_and(|stream| stream.look_for.contains(&what));
    let key = camera.key.as_str();
    if looks_for(LookFor::Plates) {
        SceneKind::Gate
    } else if looks_for(LookFor::Faces) {
        SceneKind::Lobby
    } else if key.starts_with("lift") {
        SceneKind::LiftLobby
    } else if key.starts_with("fence") {
        SceneKind::Perimeter
    } else {
        SceneKind::Corridor
    }
}
