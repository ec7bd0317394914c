//! The pictures of the virtual cameras: drawn here, encoded, and moved by cues.
//!
//! ```text
//!  Cue ─▶ Camera: scene ─▶ sprites on a still background ─▶ caption, strip ─▶ H.264 ─▶ LiveSource ─▶ rtsp
//! ```
//! A camera redraws only what moved; a quiet scene costs its clock and an almost empty picture. Every picture carries the
//! local time, the camera's name, and the moment in machine-readable form ([`strip`]).

pub mod camera;
pub mod canvas;
mod car;
mod corridor;
pub mod encode;
mod gate;
pub mod head;
mod lens;
mod lift;
mod lobby;
pub mod paint;
mod perimeter;
mod person;
mod plate;
pub mod pose;
mod scenery;
pub mod sprite;
pub mod strip;
pub mod studio;
pub mod text;

pub use camera::Camera;
pub use head::Head;
pub use person::features;
pub use pose::Pose;
pub use studio::{SceneHandle, Studio, StudioConfig, StudioError};

use crate::rtsp::SoundCoding;
use std::sync::Arc;
use std::time::Duration;

/// What a virtual camera looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SceneKind {
    /// A lane with a barrier; cars come and go.
    Gate,
    /// A lobby with a door and its panel; people come to the door.
    Lobby,
    /// A corridor; smoke may fill it.
    Corridor,
    /// The lobby of two lifts.
    LiftLobby,
    /// A wall at dusk; an intruder may walk along it.
    Perimeter,
}

/// One virtual camera.
#[derive(Debug, Clone)]
pub struct CameraConfig {
    /// The name burned in and shown in the session description.
    pub name: String,
    /// What it looks at.
    pub kind: SceneKind,
    /// Width in pixels; even, at least 400.
    pub width: usize,
    /// Height in pixels; even.
    pub height: usize,
    /// Pictures a second.
    pub fps: u32,
    /// The encoder's target.
    pub bitrate_kbps: u32,
    /// Which of several places of this kind it is: odd gates are seen from the other side, in another light.
    pub variant: u32,
    /// Its head, where it can pan, tilt and zoom.
    pub head: Option<Arc<Head>>,
    /// How its microphone sends, where it has one.
    pub sound: Option<SoundCoding>,
}

impl CameraConfig {
    /// A camera with the size and rate its kind has in the demo: gates 1280 × 720, the others 640 × 360, 12 pictures a second.
    pub fn new(name: impl Into<String>, kind: SceneKind) -> Self {
        let (width, height, bitrate_kbps) = if kind == SceneKind::Gate { (1280, 720, 1_500) } else { (640, 360, 400) };
        Self { name: name.into(), kind, width, height, fps: 12, bitrate_kbps, variant: 0, head: None, sound: None }
    }

    /// The same camera at another place of its kind.
    pub fn variant(self, variant: u32) -> Self {
        Self { variant, ..self }
    }

    /// The same camera with a microphone.
    pub fn hearing(self, sound: SoundCoding) -> Self {
        Self { sound: Some(sound), ..self }
    }

    /// The same camera on a head.
    pub fn on(self, head: Arc<Head>) -> Self {
        Self { head: Some(head), ..self }
    }
}

/// The colour of a Chinese number plate (GA 36).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlateColour {
    /// Small cars: white on blue.
    Blue,
    /// New energy: black on a green gradient, eight characters.
    Green,
    /// Large vehicles and driving schools: black on yellow.
    Yellow,
}

/// The colour of a car's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyColour {
    /// Pearl white.
    White,
    /// Silver.
    Silver,
    /// Graphite.
    Graphite,
    /// Dark blue.
    Navy,
    /// Dark red.
    Burgundy,
    /// Green.
    Forest,
}

/// What happens before a camera.
#[derive(Debug, Clone, PartialEq)]
pub enum Cue {
    /// A car drives up and stops at the barrier.
    CarArrives {
        /// The plate, for example `粤B12345`.
        plate: String,
        /// The plate's colour.
        colour: PlateColour,
        /// The car's colour.
        body: BodyColour,
    },
    /// A car comes past the camera from behind and drives away, as in the other lane.
    CarDeparts {
        /// The plate.
        plate: String,
        /// The plate's colour.
        colour: PlateColour,
        /// The car's colour.
        body: BodyColour,
    },
    /// The car drives on when the barrier is open, else it backs off.
    CarLeaves,
    /// The barrier's arm rises or falls.
    Barrier {
        /// True: up.
        open: bool,
    },
    /// Somebody comes to the door.
    PersonAtDoor {
        /// Name of the photograph in the faces folder, with or without ending.
        photo: String,
        /// How long the person stays.
        stay: Duration,
    },
    /// Whoever stands at the door turns the head or closes the eyes; who came without a known face stays as they are.
    Pose(Pose),
    /// Whoever stands at the door goes.
    PersonGone,
    /// The door of a lobby opens or closes.
    Door {
        /// True: open.
        open: bool,
    },
    /// Smoke fills the corridor.
    Smoke(bool),
    /// Somebody climbs and walks along the wall.
    Intruder,
    /// A lift arrives and its doors open for a while.
    LiftArrives,
    /// The stream stalls (true) and comes back (false).
    Freeze(bool),
    /// The lens is covered (true) and free again (false).
    Blackout(bool),
}
