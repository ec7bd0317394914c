//! A small compound on a real PostgreSQL with a hand-wound clock: what the devices say goes in, what they are told comes out.

use gatehouse_actors::testkit::HandClock;
use gatehouse_actors::views::AlarmView;
use gatehouse_actors::{
    Bookmark, Change, Clock, CommandRequest, ConsentInput, FreeSpace, OutboxConfig, Policy, SpillConfig, System,
    SystemConfig, VideoLink,
};
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::link::{Downlink, Outcome, PresenceCause, Refused, Uplink, Verb};
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::{CommandId, DeviceId, PersonId};
use gatehouse_core::recognition::{Observation, Seen};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sqlx::PgPool;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A recorder that only notes what it is asked for.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Bookmark>>);

impl VideoLink for Recorder {
    fn bookmark(&self, bookmark: Bookmark) {
        self.0.lock().unwrap().push(bookmark);
    }
}

impl Recorder {
    /// What was asked for so far.
    pub fn asked(&self) -> Vec<Bookmark> {
        self.0.lock().unwrap().clone()
    }
}

/// The compound under test.
pub struct Compound {
    /// The system.
    pub system: System,
    /// The hand of its clock.
    pub hand: HandClock,
    /// Its database.
    pub pool: PgPool,
    /// Its recorder.
    pub recorder: Arc<Recorder>,
    clock: Clock,
    ground: Ground,
    downlinks: mpsc::Receiver<Downlink>,
    changes: broadcast::Receiver<Change>,
}

/// Sets what a [`Ground`] has no field for.
pub type Tweak = Arc<dyn Fn(&mut SystemConfig) + Send + Sync>;

/// What a compound stands on.
#[derive(Clone)]
pub struct Ground {
    /// How often a part may fail.
    pub policy: Policy,
    /// Where entries wait while the database is away.
    pub spill: Option<SpillConfig>,
    /// Bytes free on the disk.
    pub free: Option<FreeSpace>,
    /// Commands that the link takes before someone reads them.
    pub room: usize,
    /// Systems outside that are told of its alarms.
    pub outbox: OutboxConfig,
    /// What else is set.
    pub change: Option<Tweak>,
}

impl Default for Ground {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            spill: None,
            free: None,
            room: 10_000,
            outbox: OutboxConfig::default(),
            change: None,
        }
    }
}

impl Ground {
    /// With a spill of so many bytes in this directory.
    pub fn spilling(dir: &Path, max_bytes: u64) -> Self {
        Self { spill: Some(SpillConfig { dir: dir.join("spill"), max_bytes }), ..Self::default() }
    }
}

/// The id of a device by its key.
pub fn id(key: &str) -> DeviceId {
    DeviceId::from_key(key)
}

/// Records a grown person's consent to the notice in force.
pub async fn consented(system: &System, person: PersonId) {
    let input = ConsentInput {
        version: system.face_notice().expect("the site has a notice").version,
        lang: "zh".into(),
        channel: "signed at the desk".into(),
        under_14: false,
        born: None,
        guardian: None,
    };
    system.consent_give(person, input, "wang").await.expect("the consent is recorded");
}

/// The site of the tests.
pub fn definition() -> gatehouse_core::site::Site {
    let device = |key: &str, kind: &str, more: serde_json::Value| {
        let mut device = json!({"key": key, "kind": kind, "name": key, "place": "yard"});
        device.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        device
    };
    serde_json::from_value(json!({
        "name": "Test compound", "zone": "Asia/Shanghai",
        "places": [{"key": "yard", "kind": "site", "name": "Yard", "name_zh": "院子"}],
        "devices": [
            device("cam-1", "camera", json!({})),
            device("cam-gate", "camera", json!({})),
            device("door-1", "door", json!({"cameras": ["cam-1"], "held_after_s": 30,
                   "methods": ["card", "intercom"]})),
            device("door-2", "door", json!({"faces": true, "methods": ["card", "pin"]})),
            device("door-3", "door", json!({"release_on_fire": false, "faces": true, "methods": ["card", "key"]})),
            device("gate-in", "barrier", json!({"cameras": ["cam-gate"]})),
            device("lift-1", "elevator", json!({"recall_floor": 1})),
            device("panel", "fire_panel", json!({"cameras": ["cam-1"]})),
            device("smoke-1", "sensor", json!({"class": "smoke", "cameras": ["cam-1", "cam-gate"]})),
            device("temp-1", "sensor", json!({"class": "temperature", "timeout_s": 60,
                   "limits": [{"point": "temperature", "high": 40.0, "deadband": 2.0}]})),
            device("fence", "perimeter", json!({})),
            device("beam", "perimeter", json!({"timeout_s": 4})),
            device("gateway", "sensor", json!({})),
            device("leak-1", "sensor", json!({"class": "leak", "gateway": "gateway", "timeout_s": 20})),
            device("leak-2", "sensor", json!({"class": "leak", "gateway": "gateway", "timeout_s": 20}))
        ],
        "lanes": [{"key": "in", "camera": "cam-gate", "barrier": "gate-in", "direction": "in"}],
        "face_doors": [{"camera": "cam-1", "door": "door-1"}],
        "face_consent": {"controller": "Yard Property Ltd", "contact": "the desk, telephone 555"},
        "levels": [{"key": "all", "name": "All", "doors": ["*"]}],
        "people": [{"key": "li", "name": "Li", "kind": "resident", "levels": ["all"],
                    "cards": ["1001"], "plates": ["粤B12345"]}]
    }))
    .expect("the tests' site reads")
}

impl Compound {
    /// The compound on a fresh database.
    pub async fn start() -> Self {
        Self::start_with(Policy::default()).await
    }

    /// The compound with its own restart policy.
    pub async fn start_with(policy: Policy) -> Self {
        Self::start_on(crate::database::fresh().await, Ground { policy, ..Ground::default() }).await
    }

    /// The compound with systems outside that are told of its alarms.
    pub async fn start_telling(outbox: OutboxConfig) -> Self {
        Self::start_on(crate::database::fresh().await, Ground { outbox, ..Ground::default() }).await
    }

    /// The compound on a database and a ground of its own.
    pub async fn start_on(pool: PgPool, ground: Ground) -> Self {
        let (clock, hand) = Clock::hand_wound("2026-05-04T01:00:00Z".parse().expect("a timestamp"));
        let recorder = Arc::new(Recorder::default());
        let (system, downlinks) = run(&pool, &clock, &ground, &recorder).await;
        let changes = system.changes();
        Self { system, hand, pool, recorder, clock, ground, downlinks, changes }
    }

    /// Cuts the power and starts again on the same database.
    pub async fn cut_and_restart(&mut self) {
        self.system.drill_power_cut().await;
        self.restart().await;
    }

    /// Starts again on the same database.
    pub async fn restart(&mut self) {
        (self.system, self.downlinks) = run(&self.pool, &self.clock, &self.ground, &self.recorder).await;
        self.changes = self.system.changes();
    }

    /// Stops in order and starts again on the same database, with other systems to tell.
    pub async fn restart_telling(&mut self, outbox: OutboxConfig) {
        self.system.stop().await;
        self.ground.outbox = outbox;
        self.restart().await;
    }

    /// Stops in order and starts again on the same database, set up otherwise.
    pub async fn restart_changed(&mut self, change: Tweak) {
        self.system.stop().await;
        self.ground.change = Some(change);
        self.restart().await;
    }

    /// Moves time on.
    pub fn advance(&self, seconds: i64) {
        self.hand.advance(SignedDuration::from_secs(seconds));
    }

    /// Says something for a device.
    pub async fn say(&self, uplink: Uplink) -> Result<(), Refused> {
        self.system.intake().offer(uplink).await
    }

    /// Reports points of a device.
    pub async fn report(&self, key: &str, points: &[(&str, Value)]) {
        let points = points.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let uplink = Uplink::Report { device: id(key), seq: None, observed_at: None, points };
        self.say(uplink).await.expect("the report is taken");
    }

    /// Reports a state word.
    pub async fn word(&self, key: &str, point: &str, word: &str) {
        self.report(key, &[(point, Value::Text(word.to_owned()))]).await;
    }

    /// Reports a flag.
    pub async fn flag(&self, key: &str, point: &str, on: bool) {
        self.report(key, &[(point, Value::Bool(on))]).await;
    }

    /// Presents a card.
    pub async fn card(&self, door: &str, card: &str, seq: u64) {
        let uplink =
            Uplink::CardRead { device: id(door), seq: Some(seq), observed_at: None, card: card.into(), pin: None };
        self.say(uplink).await.expect("the read is taken");
    }

    /// A device's link comes or goes.
    pub async fn link(&self, key: &str, online: bool) {
        let cause = if online { PresenceCause::Birth } else { PresenceCause::Will };
        self.say(Uplink::Presence { device: id(key), online, cause }).await.expect("presence is taken");
    }

    /// A device answers a command.
    pub async fn answer(&self, downlink: &Downlink, outcome: Outcome) {
        let uplink = Uplink::CommandResult { device: downlink.device, command: downlink.command, outcome };
        self.say(uplink).await.expect("the answer is taken");
    }

    /// A camera sees something now.
    pub async fn seen(&self, camera: &str, seen: Seen) {
        let observed_at = self.system.now();
        let observation = Observation { camera: id(camera), observed_at, latency_ms: 120, picture: None, seen };
        self.system.observe(observation).await.expect("the observation is taken");
    }

    /// A plate is read at the gate.
    pub async fn plate(&self, text: &str) {
        let seen = Seen::Plate {
            text: text.into(),
            confidence: 0.97,
            colour: "blue".into(),
            votes: 5,
            travel: None,
            sure: true,
        };
        self.seen("cam-gate", seen).await;
    }

    /// An operator's command with a key of its own.
    pub fn request(&self, key: &str, verb: Verb, n: u128) -> CommandRequest {
        CommandRequest {
            device: id(key),
            verb,
            by: "wang".into(),
            why: "asked".into(),
            idempotency_key: uuid::Uuid::from_u128(n),
        }
    }

    /// The next thing that is said to a device; what is said to others meanwhile is dropped.
    pub async fn told(&mut self, key: &str) -> Downlink {
        let wanted = id(key);
        let told = async {
            loop {
                let downlink = self.downlinks.recv().await.expect("the system runs");
                if downlink.device == wanted {
                    return downlink;
                }
            }
        };
        tokio::time::timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("nothing was said to {key}"))
    }

    /// Everything that was said to devices and not looked at.
    pub fn all_told(&mut self) -> Vec<Downlink> {
        std::iter::from_fn(|| self.downlinks.try_recv().ok()).collect()
    }

    /// Waits until something holds: looked at again at every committed change.
    pub async fn until<T>(&mut self, what: &str, mut look: impl FnMut(&System) -> Option<T>) -> T {
        let mut board = self.system.board().watch();
        let waited = async {
            loop {
                if let Some(found) = look(&self.system) {
                    return found;
                }
                // Some figures (an actor's state) change without a word: looked at now and then too.
                tokio::select! {
                    _ = self.changes.recv() => {}
                    _ = board.changed() => {}
                    () = tokio::time::sleep(Duration::from_millis(20)) => {}
                }
            }
        };
        match tokio::time::timeout(PATIENCE, waited).await {
            Ok(found) => found,
            Err(_) => panic!("never: {what}; open alarms {:#?}", self.system.open_alarms()),
        }
    }

    /// Waits for an open alarm that fits.
    pub async fn alarm(&mut self, key: &str, kind: AlarmKind, fits: impl Fn(&AlarmView) -> bool) -> AlarmView {
        let device = Some(id(key));
        self.until(&format!("{kind} on {key}"), |system| {
            system.open_alarms().into_iter().find(|alarm| alarm.kind == kind && alarm.device == device && fits(alarm))
        })
        .await
    }

    /// Waits until no alarm of a kind is open on a device.
    pub async fn no_alarm(&mut self, key: &str, kind: AlarmKind) {
        let device = Some(id(key));
        self.until(&format!("no {kind} on {key}"), |system| {
            let any = system.open_alarms().into_iter().any(|alarm| alarm.kind == kind && alarm.device == device);
            (!any).then_some(())
        })
        .await;
    }

    /// Waits until a device is in a state.
    pub async fn state(&mut self, key: &str, state: &str) {
        self.until(&format!("{key} is {state}"), |system| {
            system.device(id(key)).filter(|device| device.state == state).map(|_| ())
        })
        .await;
    }

    /// Waits until everything that follows from what was said is committed.
    pub async fn settle(&self) {
        tokio::time::timeout(PATIENCE, self.system.drill_settle()).await.expect("it settles");
    }

    /// A number out of the database.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.expect("a count")
    }

    /// Waits until a number out of the database is so much, and looks once more when everything has settled.
    pub async fn counts(&self, what: &str, sql: &'static str, wanted: i64) {
        let waited = async {
            while self.count(sql).await != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, waited).await;
        self.settle().await;
        assert_eq!(self.count(sql).await, wanted, "{what}");
    }

    /// Waits until a command is in a state.
    pub async fn command_is(&mut self, id: CommandId, state: &str) {
        let waited = async {
            loop {
                let command = self.system.command_by_id(id).await.expect("the command is in the ledger");
                if command.state.word() == state {
                    return;
                }
                let _ = self.changes.recv().await;
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("the command never was {state}"));
    }

    /// Now, by the compound's clock.
    pub fn now(&self) -> Timestamp {
        self.hand.now()
    }
}

async fn run(
    pool: &PgPool,
    clock: &Clock,
    ground: &Ground,
    recorder: &Arc<Recorder>,
) -> (System, mpsc::Receiver<Downlink>) {
    let (downlinks, told) = mpsc::channel(ground.room);
    let mut config = SystemConfig {
        clock: clock.clone(),
        site: Some(definition()),
        video: recorder.clone(),
        master_key: [9; 32],
        restarts: ground.policy,
        spill: ground.spill.clone(),
        free: ground.free.clone(),
        outbox: ground.outbox.clone(),
        ..SystemConfig::new(pool.clone(), downlinks)
    };
    if let Some(change) = &ground.change {
        change(&mut config);
    }
    (System::start(config).await.expect("the system starts"), told)
}
