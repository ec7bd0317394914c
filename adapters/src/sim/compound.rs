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

/// What a camera shows when a point goes from one state word to another.
type Shown = fn(&str, &str) -> Option<Cue>;

/// Shows on a camera what the device does, whoever told it.
fn show(
    peer: &Peer,
    kind: DeviceKind,
    camera: DeviceKey,
    stage: &Arc<dyn Stage>,
    stop: &CancellationToken,
) -> Option<JoinHandle<()>> {
    let (point, shown): (&'static str, Shown) = match kind {
        DeviceKind::Barrier => ("position", |was, is| match (was, is) {
            // The boom on the picture rises with the real one, and has fallen with it.
            ("down", "moving" | "up") => Some(Cue::BarrierTo { open: true }),
            (_, "down") => Some(Cue::BarrierTo { open: false }),
            _ => None,
        }),
        DeviceKind::Door => ("contact", |_, is| Some(Cue::DoorTo { open: is == "open" })),
        DeviceKind::Elevator => ("doors", |_, is| (is == "open").then_some(Cue::LiftArrives)),
        DeviceKind::Camera | DeviceKind::FirePanel | DeviceKind::Perimeter | DeviceKind::Meter | DeviceKind::Sensor => {
            return None;
        }
    };
    let (mut points, stage, stop) = (peer.points(), Arc::clone(stage), stop.clone());
    Some(tokio::spawn(async move {
        let mut before: Option<String> = None;
        loop {
            let now = points.borrow_and_update().get(point).map(ToString::to_string);
            // The first sight is how it always was.
            if let (Some(was), Some(is)) = (&before, &now)
                && was != is
                && let Some(cue) = shown(was, is)
            {
                stage.cue(&camera, cue);
            }
            before = now;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::broker::{Broker, BrokerConfig};
    use crate::mqtt::users::User;
    use crate::mqtt::{MqttConfig, run};
    use crate::sim::demo_site;
    use gatehouse_core::device::link::{Downlink, Intake, Outcome, PresenceCause, Refused, Uplink, Verb};
    use gatehouse_core::id::{CommandId, DeviceId};
    use gatehouse_core::site::Site;
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Mutex;
    use tokio::sync::mpsc;

    const PASSWORD: &str = "a password for tests";

    struct Forward(mpsc::UnboundedSender<Uplink>);

    impl Intake for Forward {
        fn offer(&self, uplink: Uplink) -> Pin<Box<dyn Future<Output = Result<(), Refused>> + Send + '_>> {
            let _ = self.0.send(uplink);
            Box::pin(std::future::ready(Ok(())))
        }

        fn undecodable(&self, source: &'static str, reason: &str) {
            panic!("a simulated device said something that cannot be read: {source}: {reason}");
        }
    }

    #[derive(Default)]
    struct Seen(Mutex<Vec<(String, Cue)>>);

    impl Stage for Seen {
        fn cue(&self, camera: &DeviceKey, cue: Cue) {
            self.0.lock().expect("lock").push((camera.to_string(), cue));
        }
    }

    fn site() -> Site {
        toml::from_str(demo_site()).expect("the demo's site is a site")
    }

    #[test]
    fn the_demos_site_fits_together_and_has_what_it_owes() {
        let site = site();
        assert_eq!(site.check(), Ok(()));
        let count = |kind| site.devices.iter().filter(|device| device.kind == kind).count();
        assert_eq!((count(DeviceKind::Barrier), count(DeviceKind::Door), count(DeviceKind::Elevator)), (2, 4, 2));
        assert_eq!((count(DeviceKind::FirePanel), count(DeviceKind::Perimeter), count(DeviceKind::Camera)), (1, 1, 6));
        assert!(count(DeviceKind::Meter) + count(DeviceKind::Sensor) >= 10);
        assert!(
            site.people.iter().all(|person| !person.plates.iter().any(|plate| plate.contains(['I', 'J', 'M', 'O'])))
        );
        for device in &site.devices {
            let place = site.places.iter().find(|place| place.key == device.place).expect("its place");
            let plan = place.plan.as_ref().unwrap_or_else(|| panic!("{} stands on a plan", device.key));
            let inside = |at: Option<f64>, end: f64| at.is_some_and(|at| (0.0..=end).contains(&at));
            assert!(inside(device.x, plan.width) && inside(device.y, plan.height), "{}", device.key);
        }
    }

    /// The whole compound on the wire: a card opens a door, a plate-less driver gets a barrier, a sensor dies and returns.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn stories_reach_the_intake_over_the_wire_and_commands_come_back() {
        let devices: Vec<_> = site().devices.into_iter().filter(|device| device.kind != DeviceKind::Camera).collect();
        let mut users: Vec<User> =
            devices.iter().map(|device| User::device(&device.key, PASSWORD).expect("fits")).collect();
        users.push(User::server("gatehouse", PASSWORD).expect("fits"));
        let listen = "127.0.0.1:0".parse().expect("address");
        let broker = Broker::start(BrokerConfig { listen, users, ..BrokerConfig::default() }).await.expect("starts");

        let (uplinks, mut heard) = mpsc::unbounded_channel();
        let (orders, downlinks) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let config = MqttConfig::new("127.0.0.1", broker.addr().port(), "gatehouse", PASSWORD)
            .with_devices(devices.iter().map(|device| device.key.clone()));
        tokio::spawn(run(config, Arc::new(Forward(uplinks)), downlinks, stop.clone()));
        let peers = devices.iter().map(|device| PeerSpec {
            key: device.key.clone(),
            kind: device.kind,
            class: device.class.clone(),
            password: PASSWORD.to_owned(),
            cameras: device.cameras.clone(),
        });
        let seen = Arc::new(Seen::default());
        let compound =
            Compound::start(broker.addr(), peers.collect(), TimeZone::UTC, Arc::clone(&seen) as Arc<dyn Stage>);
        assert!(compound.linked(Duration::from_secs(10)).await);
        // The intake hears the compound: an event is not kept for those who listen later.
        let mut silent: Vec<DeviceId> = devices.iter().map(|device| device.key.id()).collect();
        let introduced = async {
            while !silent.is_empty() {
                if let Some(Uplink::Report { device, .. }) = heard.recv().await {
                    silent.retain(|id| *id != device);
                }
            }
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(20), introduced).await.is_ok(),
            "{} never spoke",
            silent.len()
        );
        assert!(matches!(compound.play("nonsense"), Err(PlayError::Unknown(_))));
        for story in ["card_ok", "car_known", "sensor_lost"] {
            compound.play(story).expect(story);
        }
        assert_eq!(compound.play("car_known"), Err(PlayError::Playing("car_known")));

        let id = |key: &str| DeviceId::from_key(key);
        let (door, barrier, sensor) = (id("door-lobby"), id("gate-1.barrier"), id("temp-lobby"));
        let order = async |device: DeviceId, verb: Verb| {
            let deadline = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(5);
            let command = CommandId(Uuid::now_v7());
            orders.send(Downlink { device, command, verb, deadline }).await.expect("sends");
        };
        // What must be heard, each once; the order is free.
        let mut missing: Vec<&str> =
            vec!["unlocked", "walked through", "shut", "barrier up", "car gone", "barrier down", "lost", "back"];
        let mut walked = false;
        let all = async {
            while !missing.is_empty() {
                let uplink = heard.recv().await.expect("runs");
                let points = match &uplink {
                    Uplink::Report { points, .. } => points.as_slice(),
                    _ => &[],
                };
                let is = |point: &str, value: &str| points.iter().any(|(n, v)| n == point && v.to_string() == value);
                let mut got = |what: &str, yes: bool| {
                    if yes {
                        missing.retain(|m| *m != what)
                    }
                };
                match &uplink {
                    Uplink::CardRead { device, .. } if *device == door => {
                        order(door, Verb::Unlock { for_ms: 5000 }).await
                    }
                    Uplink::CommandResult { device, outcome: Outcome::Executed, .. } => {
                        got("unlocked", *device == door);
                        got("barrier up", *device == barrier);
                    }
                    Uplink::Presence { device, online, cause } if *device == sensor => {
                        got("lost", !online && *cause == PresenceCause::Will);
                        got("back", *online);
                    }
                    Uplink::Report { device, .. } if *device == door => {
                        walked |= is("contact", "open");
                        got("walked through", walked);
                        got("shut", walked && is("contact", "closed") && is("lock", "locked"));
                    }
                    Uplink::Report { device, .. } if *device == barrier => {
                        if is("loop", "true") && is("position", "down") {
                            order(barrier, Verb::Open).await;
                        }
                        got("car gone", is("loop", "false") && is("position", "up"));
                        got("barrier down", is("loop", "false") && is("position", "down"));
                    }
                    _ => {}
                }
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(60), all).await;
        assert!(in_time.is_ok(), "never heard: {missing:?}");
        let cues: Vec<Cue> = seen
            .0
            .lock()
            .expect("lock")
            .iter()
            .filter(|(c, _)| c == "gate-1.camera")
            .map(|(_, cue)| cue.clone())
            .collect();
        assert!(
            matches!(cues[..3], [Cue::CarArrives { .. }, Cue::BarrierTo { open: true }, Cue::CarLeaves]),
            "{cues:?}"
        );
        compound.stop().await;
        stop.cancel();
        assert_eq!(broker.stats().refused_logins + broker.stats().refused_topics + broker.stats().garbage, 0);
        broker.stop().await;
    }
}
