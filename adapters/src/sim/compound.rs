//! The compound: every device a peer on the wire, and the stories that happen to them.

use super::barrier::Barrier;
use super::door::Door;
use super::elevator::Elevator;
use super::fire_panel::FirePanel;
use super::hardware::{Hardware, Stimulus};
use super::meter::Meter;
use super::peer::{Login, Peer};
use super::perimeter::Perimeter;
use super::sensor::Sensor;
use super::stage::{Cue, Stage};
use super::story::{self, PlayError, Player, Story};
use gatehouse_core::device::link::DeviceKind;
use gatehouse_core::id::DeviceKey;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A device to simulate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSpec {
    /// Its key, and its user name at the broker.
    pub key: DeviceKey,
    /// What it is. Cameras are not simulated here and are passed over.
    pub kind: DeviceKind,
    /// Class of a meter or sensor.
    pub class: String,
    /// Its password at the broker.
    pub password: String,
    /// The cameras that see it: a barrier's boom and a lobby's door are shown there.
    pub cameras: Vec<DeviceKey>,
}

/// The compound, running.
pub struct Compound {
    player: Arc<Player>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Compound {
    /// Starts every device; the stories wait to be played.
    pub fn start(broker: SocketAddr, peers: Vec<PeerSpec>, zone: TimeZone, stage: Arc<dyn Stage>) -> Self {
        let stop = CancellationToken::new();
        let (mut running, mut tasks) = (BTreeMap::new(), Vec::new());
        for spec in peers {
            let Some(hardware) = hardware(&spec) else { continue };
            let login = Login { broker, password: spec.password, zone: zone.clone() };
            let (peer, task) = Peer::start(spec.key.clone(), hardware, login, stop.clone());
            tasks.push(task);
            // A door has its own camera; others that happen to see it show no leaf.
            let own = format!("{}.camera", spec.key);
            let cameras = spec.cameras.into_iter().filter(|c| spec.kind != DeviceKind::Door || c.as_str() == own);
            for camera in cameras {
                if let Some(task) = show(&peer, spec.kind, camera, &stage, &stop) {
                    tasks.push(task);
                }
            }
            running.insert(spec.key, peer);
        }
        tracing::info!(devices = running.len(), "{} simulated devices connect to {broker}", running.len());
        let player = Arc::new(Player::new(running, stage, stop.clone()));
        tasks.push(tokio::spawn(Arc::clone(&player).live()));
        Self { player, stop, tasks }
    }

    /// The stories that can be played.
    pub fn stories(&self) -> &'static [Story] {
        story::STORIES
    }

    /// Plays a story; it goes on by itself. Returns the run's id.
    pub fn play(&self, name: &str) -> Result<Uuid, PlayError> {
        Arc::clone(&self.player).play(name)
    }

    /// Whether everyday life goes on by itself: cars, cards, lifts.
    pub fn set_auto(&self, on: bool) {
        self.player.set_auto(on);
    }

    /// Whether it does.
    pub fn auto(&self) -> bool {
        self.player.auto()
    }

    /// One of the devices.
    pub fn peer(&self, key: &str) -> Option<&Peer> {
        self.player.peer(key)
    }

    /// Whether every device is connected within this time.
    pub async fn linked(&self, patience: Duration) -> bool {
        let all = async {
            for peer in self.player.peers() {
                if peer.linked().wait_for(|linked| *linked).await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(patience, all).await.unwrap_or(false)
    }

    /// Ends the stories, lets every device say goodbye, waits at most 2 s.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let tasks = std::mem::take(&mut self.tasks);
        let all = async {
            for task in tasks {
                let _ = task.await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), all).await;
    }
}

fn hardware(spec: &PeerSpec) -> Option<Box<dyn Hardware>> {
    let seed = spec.key.as_str().bytes().fold(7u32, |seed, b| seed.wrapping_mul(31).wrapping_add(u32::from(b)));
    Some(match spec.kind {
        DeviceKind::Door => Box::new(Door::default()),
        DeviceKind::Barrier => Box::new(Barrier::default()),
        DeviceKind::Elevator => Box::new(Elevator::default()),
        DeviceKind::FirePanel => Box::new(FirePanel::default()),
        DeviceKind::Perimeter => Box::new(Perimeter::default()),
        DeviceKind::Meter => Box::new(Meter::new(&spec.class, seed)),
        DeviceKind::Sensor => Box::new(Sensor::new(&spec.class, seed)),
        DeviceKind::Camera => return None,
    })
}

/// Shows on a camera what the device does, whoever told it.
fn show(
    peer: &Peer,
    kind: DeviceKind,
    camera: DeviceKey,
    stage: &Arc<dyn Stage>,
    stop: &CancellationToken,
) -> Option<JoinHandle<()>> {
    let (point, shown): (&'static str, fn(&str) -> Option<Cue>) = match kind {
        DeviceKind::Barrier => ("position", |word| match word {
            "down" => Some(Cue::BarrierTo { open: false }),
            // The boom on the picture rises with the real one.
            "up" | "moving" => Some(Cue::BarrierTo { open: true }),
            _ => None,
        }),
        DeviceKind::Door => ("contact", |word| Some(Cue::DoorTo { open: word == "open" })),
        DeviceKind::Elevator => ("doors", |word| (word == "open").then_some(Cue::LiftArrives)),
        DeviceKind::Camera | DeviceKind::FirePanel | DeviceKind::Perimeter | DeviceKind::Meter | DeviceKind::Sensor => {
            return None;
        }
    };
    let (mut points, stage, stop) = (peer.points(), Arc::clone(stage), stop.clone());
    Some(tokio::spawn(async move {
        let mut before = None;
        loop {
            let now = points.borrow_and_update().get(point).map(ToString::to_string);
            if now != before {
                // The first sight is how it always was.
                if let (Some(word), Some(_)) = (&now, &before)
                    && let Some(cue) = shown(word)
                {
                    stage.cue(&camera, cue);
                }
                before = now;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = points.changed() => if changed.is_err() { return },
            }
        }
    }))
}

impl Drop for Compound {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Player {
    /// A stimulus for a device, logged when it cannot be had.
    pub(super) fn act(&self, key: &str, stimulus: Stimulus) {
        let taken = self.peer(key).is_some_and(|peer| peer.act(stimulus));
        if !taken {
            tracing::debug!(device.key = key, "no simulated device {key} takes part in the story");
        }
    }
}
