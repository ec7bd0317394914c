//! What happens in the compound: stories on demand, and everyday life between them.
//!
//! Every story is bounded and leaves the compound as it found it. Two stories at one place wait for each other.

use super::hardware::Stimulus;
use super::peer::Peer;
use super::rtsp::Faults;
use super::stage::{Cue, Stage};
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::DeviceKey;
use rand::Rng;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A story that can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Story {
    /// Its key: `gatehouse play <key>`.
    pub key: &'static str,
    /// Name.
    pub name: &'static str,
    /// Name in Chinese.
    pub name_zh: &'static str,
    /// What is to be seen.
    pub about: &'static str,
    /// The same in Chinese.
    pub about_zh: &'static str,
    /// It is over by then, seconds.
    pub seconds: u32,
    place: Place,
}

/// Where a story happens: one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Gate1,
    Gate2,
    Lobby,
    Garage,
    Roof,
    Corridor,
    Lift,
    Fence,
    Pump,
    Hall,
    Camera,
}

macro_rules! stories {
    ($($key:literal, $seconds:literal, $place:ident, $name:literal, $name_zh:literal, $about:literal, $about_zh:literal;)+) => {
        /// All stories, in the order shown.
        pub const STORIES: &[Story] = &[$(Story {
            key: $key, name: $name, name_zh: $name_zh, about: $about, about_zh: $about_zh, seconds: $seconds, place: Place::$place,
        }),+];
    };
}

stories! {
    "car_known", 45, Gate1, "A resident drives in", "住户车辆入场",
        "A known plate at gate 1: read, matched, the barrier opens, the entry is recorded.",
        "一号门驶来登记车辆：识别、匹配、自动抬杆并记录入场。";
    "car_unknown", 75, Gate1, "An unknown car at the gate", "陌生车辆到达",
        "A plate nobody registered: the barrier stays down and the guard is asked.",
        "未登记车牌：道闸不抬，由保安决定是否放行。";
    "resident_face", 30, Lobby, "A resident's face opens the lobby", "住户刷脸进门",
        "A resident comes to the lobby camera; the face is matched and the door opens.",
        "住户走到大堂摄像机前，人脸比对通过后门锁打开。";
    "stranger_face", 25, Lobby, "A stranger at the lobby", "陌生人在门口",
        "Somebody who is not enrolled stands before the door: it stays shut.",
        "未登记人员站在门前，门保持关闭。";
    "card_ok", 15, Lobby, "A card opens the lobby", "刷卡开门",
        "A resident's card at the reader: granted, the door opens and locks behind.",
        "住户在读卡器刷卡：放行，进门后自动上锁。";
    "card_denied", 10, Garage, "A card is denied", "刷卡被拒",
        "A card that nobody has: denied, and the door stays shut.",
        "未知卡号：拒绝并保持关门。";
    "door_forced", 25, Roof, "The roof door is forced", "天台门被强行打开",
        "The roof door opens without a grant: door forced.",
        "天台门未经授权被打开：产生强行开门报警。";
    "door_held", 45, Garage, "The garage door is held open", "车库门未关",
        "A resident walks through and props the door open: held, then it clears.",
        "住户通过后将门撑住：产生门未关报警，关门后恢复。";
    "fire", 75, Corridor, "Fire on the third floor", "三层火警",
        "Smoke in the corridor, pre-alarm, alarm: doors are released and lifts recalled; then the panel is reset.",
        "走廊起烟，预警后转火警：门禁释放、电梯迫降，随后主机复位。";
    "lift_trapped", 60, Lift, "Someone is trapped in a lift", "电梯困人",
        "Lift 1 stops between floors and its cabin calls; the technician frees it.",
        "一号电梯停在层间，轿厢呼叫；维保人员解救。";
    "intrusion", 30, Fence, "Someone climbs the fence", "周界入侵",
        "The beam of the east fence is broken while armed, before its camera.",
        "东侧围栏布防时光束被遮断，摄像机可见入侵者。";
    "leak", 40, Pump, "Water in the pump room", "泵房漏水",
        "The leak sensor of the pump room is wet for half a minute.",
        "泵房水浸传感器报警半分钟后恢复。";
    "sensor_lost", 30, Hall, "A sensor loses power", "传感器掉线",
        "The lobby's thermometer is unplugged: its will makes it offline at once; then it returns.",
        "大堂温度计断电：遗嘱消息使其立即离线，随后恢复。";
    "stream_stall", 35, Camera, "A camera's picture freezes", "摄像机画面卡死",
        "The lift lobby's stream stalls without closing, then comes back.",
        "电梯厅视频流停滞但不断开，随后恢复。";
    "camera_covered", 25, Corridor, "Someone covers a camera", "摄像机被遮挡",
        "The corridor camera's lens is covered: it notices, tells by ONVIF, and is uncovered again.",
        "走廊摄像机镜头被遮挡：摄像机自行发现并通过ONVIF上报，随后恢复。";
    "stream_damaged", 35, Camera, "A stream arrives damaged", "视频流受损",
        "Packets of the lift lobby's stream are lost and spoiled: the tile says so and the picture comes back.",
        "电梯厅视频流丢包、误码：画面标注受损，随后恢复。";
    "camera_clock", 40, Camera, "A camera's clock is an hour off", "摄像机时钟偏差一小时",
        "The lift lobby's camera tells the time an hour wrong: the health page remarks it, recordings keep our time.",
        "电梯厅摄像机时钟偏差一小时：健康页提示，录像仍以本机时间为准。";
    "stream_slow", 35, Camera, "A camera's line is slow", "摄像机线路缓慢",
        "The lift lobby's line carries two pictures a second: late pictures give way to the newest.",
        "电梯厅线路每秒仅能传两帧：过时画面让位于最新画面。";
}

/// Why a story is not played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlayError {
    /// No such story.
    #[error("there is no story {0:?}: the stories are {known}", known = keys())]
    Unknown(String),
    /// It is being played.
    #[error("story {0} is being played: wait until it is over")]
    Playing(&'static str),
    /// The compound is stopping.
    #[error("the compound is stopping")]
    Stopping,
}

fn keys() -> String {
    STORIES.iter().map(|story| story.key).collect::<Vec<_>>().join(", ")
}

/// A car of the demo.
struct Car {
    plate: &'static str,
    colour: &'static str,
}

const fn car(plate: &'static str, colour: &'static str) -> Car {
    Car { plate, colour }
}

/// Cars of people in `demo_site.toml`.
const KNOWN_CARS: [Car; 6] = [
    car("粤B8K2P6", "blue"),
    car("粤BD36812", "green"),
    car("粤B52T7N", "blue"),
    car("京AF0236", "blue"),
    car("沪C7X906", "blue"),
    car("粤BF20755", "green"),
];
/// Cars of nobody.
const UNKNOWN_CARS: [Car; 4] =
    [car("粤A9L35H", "blue"), car("苏E6D218", "blue"), car("浙G4W77Z", "blue"), car("川A80K3R", "blue")];
/// Cards of people in `demo_site.toml`.
const KNOWN_CARDS: [&str; 8] =
    ["0004411021", "0004411022", "0004411035", "0004411047", "0004411058", "0004411063", "0004411079", "0004411084"];
/// A card of nobody.
const UNKNOWN_CARD: &str = "0009990017";
/// Photograph of the enrolled resident.
pub const RESIDENT_PHOTO: &str = "collins_1";
/// Photograph of somebody who is not enrolled.
pub const STRANGER_PHOTO: &str = "hopper_1";

/// How long a driver waits before a closed barrier.
const DRIVER_PATIENCE: Duration = Duration::from_secs(20);
/// The same, where a guard is asked.
const GUARD_PATIENCE: Duration = Duration::from_secs(50);

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// Plays stories with the compound's devices and cameras.
pub struct Player {
    peers: BTreeMap<DeviceKey, Peer>,
    stage: Arc<dyn Stage>,
    stop: CancellationToken,
    auto: AtomicBool,
    playing: Mutex<Vec<&'static str>>,
    places: HashMap<Place, Arc<tokio::sync::Mutex<()>>>,
    /// Cars that came so far.
    cars: AtomicUsize,
}

impl Player {
    pub(super) fn new(peers: BTreeMap<DeviceKey, Peer>, stage: Arc<dyn Stage>, stop: CancellationToken) -> Self {
        let places = STORIES.iter().map(|story| story.place).chain([Place::Gate2]);
        let places = places.map(|place| (place, Arc::default())).collect();
        Self {
            peers,
            stage,
            stop,
            auto: AtomicBool::new(false),
            playing: Mutex::default(),
            places,
            cars: AtomicUsize::new(0),
        }
    }

    pub(super) fn peer(&self, key: &str) -> Option<&Peer> {
        self.peers.get(&key.parse().ok()?)
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    pub(super) fn set_auto(&self, on: bool) {
        self.auto.store(on, Ordering::Relaxed);
    }

    pub(super) fn auto(&self) -> bool {
        self.auto.load(Ordering::Relaxed)
    }

    fn cue(&self, camera: &str, cue: Cue) {
        if let Ok(camera) = camera.parse() {
            self.stage.cue(&camera, cue);
        }
    }

    pub(super) fn play(self: Arc<Self>, name: &str) -> Result<Uuid, PlayError> {
        let story =
            STORIES.iter().find(|story| story.key == name).ok_or_else(|| PlayError::Unknown(name.to_owned()))?;
        if self.stop.is_cancelled() {
            return Err(PlayError::Stopping);
        }
        {
            let mut playing = self.playing.lock().unwrap_or_else(PoisonError::into_inner);
            if playing.contains(&story.key) {
                return Err(PlayError::Playing(story.key));
            }
            playing.push(story.key);
        }
        let run = Uuid::now_v7();
        tokio::spawn(async move {
            tracing::info!(story = story.key, run = %run, "Story {} begins", story.key);
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.tell(story) => {}
            }
            self.playing.lock().unwrap_or_else(PoisonError::into_inner).retain(|key| *key != story.key);
            tracing::info!(story = story.key, run = %run, "Story {} is over", story.key);
        });
        Ok(run)
    }

    async fn tell(&self, story: &Story) {
        let place = Arc::clone(&self.places[&story.place]);
        let _alone = place.lock().await;
        match story.key {
            "car_known" => self.drive("gate-1", self.next(&KNOWN_CARS), DRIVER_PATIENCE).await,
            "car_unknown" => self.drive("gate-1", self.next(&UNKNOWN_CARS), GUARD_PATIENCE).await,
            "resident_face" => self.face(RESIDENT_PHOTO).await,
            "stranger_face" => self.face(STRANGER_PHOTO).await,
            "card_ok" => self.badge("door-lobby", pick::<&str>(&KNOWN_CARDS)).await,
            "card_denied" => self.badge("door-garage", UNKNOWN_CARD).await,
            "door_forced" => {
                self.act("door-roof", Stimulus::Force);
                tokio::time::sleep(secs(20)).await;
                self.act("door-roof", Stimulus::Shut);
            }
            "door_held" => {
                self.act("door-garage", Stimulus::Prop(true));
                self.act("door-garage", Stimulus::Card { card: (*pick(&KNOWN_CARDS)).to_owned(), pin: None });
                tokio::time::sleep(secs(35)).await;
                self.act("door-garage", Stimulus::Prop(false));
            }
            "fire" => self.fire().await,
            "lift_trapped" => {
                self.act("lift-1", Stimulus::Call(7));
                tokio::time::sleep(secs(4)).await;
                self.act("lift-1", Stimulus::Trap);
                tokio::time::sleep(secs(45)).await;
                self.act("lift-1", Stimulus::Free);
            }
            "intrusion" => {
                self.cue("fence-east.camera", Cue::Intruder(true));
                tokio::time::sleep(secs(3)).await;
                self.act("fence-east", Stimulus::Beam(true));
                tokio::time::sleep(secs(12)).await;
                self.act("fence-east", Stimulus::Beam(false));
                self.cue("fence-east.camera", Cue::Intruder(false));
            }
            "leak" => {
                self.measure("leak-pump-room", "leak", Some(Value::Bool(true)));
                tokio::time::sleep(secs(30)).await;
                self.measure("leak-pump-room", "leak", None);
            }
            "sensor_lost" => {
                if let Some(peer) = self.peer("temp-lobby") {
                    peer.unplug(secs(20));
                    tokio::time::sleep(secs(22)).await;
                }
            }
            "stream_stall" => {
                self.cue("lift-lobby.camera", Cue::Freeze(true));
                tokio::time::sleep(secs(25)).await;
                self.cue("lift-lobby.camera", Cue::Freeze(false));
            }
            "camera_covered" => {
                self.cue("corridor-a3.camera", Cue::Covered(true));
                tokio::time::sleep(secs(15)).await;
                self.cue("corridor-a3.camera", Cue::Covered(false));
            }
            "stream_damaged" => self.spoil(Faults { lose_every: 61, spoil_every: 23, ..Faults::default() }, 25).await,
            "camera_clock" => self.spoil(Faults { clock_off_s: 3_600, ..Faults::default() }, 30).await,
            "stream_slow" => self.spoil(Faults { pause: Duration::from_millis(500), ..Faults::default() }, 25).await,
            _ => {}
        }
    }

    /// The car whose turn it is: none comes twice within seconds, as one that is in cannot.
    fn next(&self, cars: &'static [Car]) -> &'static Car {
        &cars[self.cars.fetch_add(1, Ordering::Relaxed) % cars.len()]
    }

    /// A car at a gate: it waits for the barrier, passes when it opens, backs off when it does not.
    async fn drive(&self, gate: &str, car: &Car, patience: Duration) {
        let (barrier, camera) = (format!("{gate}.barrier"), format!("{gate}.camera"));
        let Some(peer) = self.peer(&barrier) else { return };
        // A boom that is still up from before would let anyone in.
        peer.until("position", "down", secs(20)).await;
        self.cue(&camera, Cue::CarArrives { plate: car.plate.to_owned(), colour: car.colour });
        tokio::time::sleep(secs(3)).await;
        peer.act(Stimulus::VehicleArrives);
        if peer.until("position", "up", patience).await {
            tokio::time::sleep(Duration::from_millis(800)).await;
            self.cue(&camera, Cue::CarLeaves);
            tokio::time::sleep(secs(3)).await;
        } else {
            self.cue(&camera, Cue::CarLeaves);
            tokio::time::sleep(secs(2)).await;
        }
        peer.act(Stimulus::VehicleLeaves);
        peer.until("position", "down", secs(10)).await;
    }

    async fn face(&self, photo: &str) {
        self.cue("door-lobby.camera", Cue::PersonAtDoor { photo: photo.to_owned() });
        let Some(door) = self.peer("door-lobby") else { return };
        door.act(Stimulus::Waits(secs(16)));
        if door.until("contact", "open", secs(16)).await {
            tokio::time::sleep(secs(1)).await;
        }
        self.cue("door-lobby.camera", Cue::PersonGone);
        door.until("contact", "closed", secs(6)).await;
    }

    async fn badge(&self, door: &str, card: &str) {
        self.act(door, Stimulus::Card { card: card.to_owned(), pin: None });
        tokio::time::sleep(secs(8)).await;
    }

    /// The lift lobby's stream goes wrong for so many seconds.
    async fn spoil(&self, faults: Faults, seconds: u64) {
        self.cue("lift-lobby.camera", Cue::Faults(faults));
        tokio::time::sleep(secs(seconds)).await;
        self.cue("lift-lobby.camera", Cue::Faults(Faults::default()));
    }

    fn measure(&self, key: &str, point: &str, value: Option<Value>) {
        self.act(key, Stimulus::Measure { point: point.to_owned(), value });
    }

    async fn fire(&self) {
        let camera = "corridor-a3.camera";
        self.cue(camera, Cue::Smoke(true));
        tokio::time::sleep(secs(4)).await;
        self.measure("smoke-a3", "smoke", Some(Value::Bool(true)));
        self.act("fire-panel", Stimulus::FirePoint { point: 3, state: "pre_alarm" });
        tokio::time::sleep(secs(6)).await;
        self.act("fire-panel", Stimulus::FirePoint { point: 3, state: "alarm" });
        tokio::time::sleep(secs(45)).await;
        self.cue(camera, Cue::Smoke(false));
        self.measure("smoke-a3", "smoke", None);
        self.act("fire-panel", Stimulus::FirePoint { point: 3, state: "normal" });
        tokio::time::sleep(secs(10)).await;
        self.act("fire-panel", Stimulus::KeyReset);
    }

    /// Everyday life: a car, a card, a lift every few seconds; nothing that raises an alarm.
    pub(super) async fn live(self: Arc<Self>) {
        let life = async {
            let mut turn = 0u64;
            loop {
                let wait = rand::rng().random_range(7.0..16.0);
                tokio::time::sleep(Duration::from_secs_f64(wait)).await;
                if self.auto() {
                    turn += 1;
                    self.live_a_little(turn);
                }
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = life => {}
        }
    }

    fn live_a_little(self: &Arc<Self>, turn: u64) {
        let player = Arc::clone(self);
        let stop = self.stop.clone();
        let scene = async move {
            match turn % 6 {
                // Entries at gate 1, exits at gate 2.
                0 | 3 => {
                    let (gate, place) = if turn % 12 < 6 { ("gate-1", Place::Gate1) } else { ("gate-2", Place::Gate2) };
                    let place = Arc::clone(&player.places[&place]);
                    // A story is on at the gate: the car takes another road.
                    let Ok(_alone) = place.try_lock() else { return };
                    player.drive(gate, player.next(&KNOWN_CARS), DRIVER_PATIENCE).await;
                }
                1 | 4 => {
                    let lift = if turn.is_multiple_of(2) { "lift-1" } else { "lift-2" };
                    let to = rand::rng().random_range(1..=12);
                    player.act(lift, Stimulus::Call(to));
                }
                2 => {
                    let place = Arc::clone(&player.places[&Place::Lobby]);
                    let Ok(_alone) = place.try_lock() else { return };
                    player.badge("door-lobby", pick::<&str>(&KNOWN_CARDS)).await;
                }
                _ => {
                    let door = if turn % 12 < 6 { "door-garage" } else { "door-stair-b" };
                    let place = Arc::clone(&player.places[&Place::Garage]);
                    let Ok(_alone) = place.try_lock() else { return };
                    player.act(door, Stimulus::ExitButton);
                    tokio::time::sleep(secs(6)).await;
                }
            }
        };
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = scene => {}
            }
        });
    }
}

fn pick<T>(choices: &'static [T]) -> &'static T {
    &choices[rand::rng().random_range(0..choices.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cast_is_in_the_site_and_the_strangers_are_not() {
        let site = super::super::demo_site();
        for plate in KNOWN_CARS.iter().map(|car| car.plate) {
            assert!(site.contains(&format!("\"{plate}\"")), "{plate}");
            assert!(!plate.contains(['I', 'J', 'M', 'O']), "{plate} has a letter that the plate font lacks");
        }
        assert!(UNKNOWN_CARS.iter().all(|car| !site.contains(car.plate) && !car.plate.contains(['I', 'J', 'M', 'O'])));
        assert!(KNOWN_CARDS.iter().all(|card| site.contains(&format!("\"{card}\""))));
        assert!(!site.contains(UNKNOWN_CARD));
    }

    #[test]
    fn every_device_of_a_story_is_in_the_site() {
        let site = super::super::demo_site();
        for key in [
            "gate-1.barrier",
            "gate-1.camera",
            "gate-2.barrier",
            "gate-2.camera",
            "door-lobby",
            "door-lobby.camera",
            "door-garage",
            "door-roof",
            "door-stair-b",
            "fire-panel",
            "smoke-a3",
            "corridor-a3.camera",
            "lift-1",
            "lift-2",
            "lift-lobby.camera",
            "fence-east",
            "fence-east.camera",
            "leak-pump-room",
            "temp-lobby",
        ] {
            assert!(site.contains(&format!("key = \"{key}\"")), "{key}");
        }
    }

    #[test]
    fn keys_are_unique_and_every_story_has_both_languages() {
        for (at, story) in STORIES.iter().enumerate() {
            assert!(STORIES[..at].iter().all(|other| other.key != story.key));
            assert!(!story.name_zh.is_ascii() && !story.about_zh.is_ascii() && story.seconds <= 90, "{}", story.key);
        }
    }
}
