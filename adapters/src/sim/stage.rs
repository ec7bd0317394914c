//! What the virtual cameras are told to show.

use super::onvif::{OnvifCamera, Topic};
use super::rtsp::Faults;
use super::scene::head::Position;
use super::scene::{self, BodyColour, Head, PlateColour, SceneHandle};
use gatehouse_core::id::DeviceKey;
use std::collections::BTreeMap;
use std::time::Duration;

/// Something to be seen by a camera.
#[derive(Clone, Debug, PartialEq)]
pub enum Cue {
    /// A car drives up and stops at the barrier.
    CarArrives {
        /// Its plate.
        plate: String,
        /// The plate's colour: `blue`, `green` or `yellow`.
        colour: &'static str,
    },
    /// It drives on when the barrier is open, else it backs off.
    CarLeaves,
    /// The boom rises or falls.
    BarrierTo {
        /// True: up.
        open: bool,
    },
    /// Somebody comes to the door.
    PersonAtDoor {
        /// Name of the photograph.
        photo: String,
    },
    /// Whoever stands there goes.
    PersonGone,
    /// The door opens or closes.
    DoorTo {
        /// True: open.
        open: bool,
    },
    /// A lift arrives.
    LiftArrives,
    /// Smoke fills the corridor, or clears.
    Smoke(bool),
    /// Somebody climbs over the fence; false: nothing more.
    Intruder(bool),
    /// The stream stalls, or comes back.
    Freeze(bool),
    /// The lens is covered, or free again: a camera with ONVIF tells of it.
    Covered(bool),
    /// What goes wrong with the stream, until the next such cue.
    Faults(Faults),
}

/// Where cues go.
pub trait Stage: Send + Sync {
    /// Shows this before that camera; a camera that is not there shows nothing.
    fn cue(&self, camera: &DeviceKey, cue: Cue);
}

/// No cameras.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dark;

impl Stage for Dark {
    fn cue(&self, _: &DeviceKey, _: Cue) {}
}

/// The scenes of the studio and what the cameras before them notice, by the key of the camera.
#[derive(Default)]
pub struct Scenes {
    /// The scenes.
    pub scenes: BTreeMap<DeviceKey, SceneHandle>,
    /// The cameras that speak ONVIF.
    pub onvif: BTreeMap<DeviceKey, OnvifCamera>,
}

/// A head as it comes from the factory: the positions that the demo's site calls at alarms.
pub fn head() -> Head {
    let at = |pan, tilt, zoom| Position { pan, tilt, zoom };
    Head::new()
        .preset("Overview", at(0.0, 0.0, 0.0))
        .preset("Wall", at(0.0, 0.3, 0.2))
        .preset("Close-up", at(0.0, 0.0, 0.35))
        .preset("Left", at(-1.0, 0.0, 0.3))
        .preset("Right", at(1.0, 0.0, 0.3))
}

impl Stage for Scenes {
    fn cue(&self, camera: &DeviceKey, cue: Cue) {
        if let Some(camera) = self.onvif.get(camera) {
            match cue {
                Cue::Covered(active) => camera.tell(Topic::Tamper, active),
                Cue::Intruder(active) => camera.tell(Topic::Motion, active),
                _ => {}
            }
        }
        let Some(scene) = self.scenes.get(camera) else { return };
        if let Cue::Faults(faults) = cue {
            return scene.source().set_faults(faults);
        }
        let Some(cue) = translate(cue) else { return };
        if !scene.cue(cue) {
            tracing::warn!(device.key = %camera, "The scene of {camera} did not take its cue");
        }
    }
}

fn translate(cue: Cue) -> Option<scene::Cue> {
    Some(match cue {
        Cue::CarArrives { plate, colour } => {
            let (colour, body) = match colour {
                "green" => (PlateColour::Green, BodyColour::White),
                "yellow" => (PlateColour::Yellow, BodyColour::Navy),
                _ => (PlateColour::Blue, body_of(&plate)),
            };
            scene::Cue::CarArrives { plate, colour, body }
        }
        Cue::CarLeaves => scene::Cue::CarLeaves,
        Cue::BarrierTo { open } => scene::Cue::Barrier { open },
        Cue::PersonAtDoor { photo } => scene::Cue::PersonAtDoor { photo, stay: Duration::from_secs(30) },
        Cue::PersonGone => scene::Cue::PersonGone,
        Cue::DoorTo { open } => scene::Cue::Door { open },
        Cue::LiftArrives => scene::Cue::LiftArrives,
        Cue::Smoke(on) => scene::Cue::Smoke(on),
        Cue::Intruder(true) => scene::Cue::Intruder,
        // The scene ends by itself.
        Cue::Intruder(false) => return None,
        Cue::Freeze(on) => scene::Cue::Freeze(on),
        Cue::Covered(on) => scene::Cue::Blackout(on),
        // Of the stream, not of the scene.
        Cue::Faults(_) => return None,
    })
}

/// The same car has the same colour every time.
fn body_of(plate: &str) -> BodyColour {
    const BODIES: [BodyColour; 6] = [
        BodyColour::White,
        BodyColour::Silver,
        BodyColour::Graphite,
        BodyColour::Navy,
        BodyColour::Burgundy,
        BodyColour::Forest,
    ];
    BODIES[plate.bytes().map(usize::from).sum::<usize>() % BODIES.len()]
}
