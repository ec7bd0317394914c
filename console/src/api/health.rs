//! The system's health: what an engineer looks at first.

use crate::app::App;
use crate::backup::BackupHealth;
use crate::error::ApiError;
use crate::metrics::process;
pub use crate::metrics::process::cpu_seconds;
use axum::Json;
use axum::extract::State;
use gatehouse_actors::telemetry::TelemetryHealth;
use gatehouse_actors::views::{ActorHealth, ConsumerHealth, DatabaseHealth, IngressHealth, JournalHealth};
use gatehouse_adapters::onvif::LinkHealth;
use gatehouse_adapters::otlp::OtlpHealth;
use gatehouse_vision::StreamStatus;
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;
use uuid::Uuid;

/// How often followers of the topic `health` are told.
const PERIOD: Duration = Duration::from_secs(5);

/// The whole picture.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// When this run began.
    #[schema(value_type = String)]
    pub since: Timestamp,
    /// Version of the program.
    pub version: String,
    /// The store.
    #[schema(value_type = serde_json::Value)]
    pub database: DatabaseHealth,
    /// The embedded broker.
    pub broker: BrokerHealth,
    /// Resident memory of the program, MB.
    pub memory_mb: f64,
    /// Memory it is meant to need at most, MB; above four fifths of it there is an alarm.
    pub memory_budget_mb: f64,
    /// Processor time of the program since the last look, percent of one core.
    pub cpu_percent: f64,
    /// The data directory's disk.
    pub disk: DiskHealth,
    /// The writer of the log, and what it has on the local disk.
    #[schema(value_type = serde_json::Value)]
    pub journal: JournalHealth,
    /// The history of readings.
    #[schema(value_type = serde_json::Value)]
    pub history: TelemetryHealth,
    /// Every actor.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub actors: Vec<ActorHealth>,
    /// Every way in.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub ingress: Vec<IngressHealth>,
    /// Every consumer of the event log: how far it is behind.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub consumers: Vec<ConsumerHealth>,
    /// Every camera.
    pub cameras: Vec<CameraHealth>,
    /// Every disk that is recorded on.
    pub recording: Vec<RecordingHealth>,
    /// Recognition.
    pub recognition: RecognitionHealth,
    /// The queues between them.
    pub queues: QueueHealth,
    /// Backups.
    pub backup: BackupHealth,
    /// Traces, where a collector is configured.
    #[schema(value_type = Option<serde_json::Value>)]
    pub traces: Option<OtlpHealth>,
}

/// The queues between the ways in, the store and the pages.
#[derive(Default, Serialize, ToSchema)]
pub struct QueueHealth {
    /// Entries that wait for their commit.
    pub journal_depth: u64,
    /// Entries that may wait.
    pub journal_limit: u64,
    /// Group commits since the start.
    pub commits: u64,
    /// Time they took together, seconds.
    pub commit_seconds: f64,
    /// Everything dropped or refused since the start.
    pub dropped: u64,
    /// Messages waiting in all mailboxes.
    pub mailboxes: u64,
    /// Pages' subscriptions of the live feed.
    pub followers: u64,
    /// Messages that the slowest page has not taken yet.
    pub feed_lag: u64,
    /// Pages that fell behind and were healed, since the start.
    pub feed_refreshes: u64,
}

/// The embedded broker.
#[derive(Default, Serialize, ToSchema)]
pub struct BrokerHealth {
    /// Where it listens; empty when an external broker is used.
    pub listen: String,
    /// Connected clients.
    pub clients: u64,
    /// Messages taken.
    pub messages_in: u64,
    /// Connections that did not speak MQTT, wrong passwords, refused topics.
    pub refused: u64,
}

/// The data directory's disk.
#[derive(Serialize, ToSchema)]
pub struct DiskHealth {
    /// The data directory.
    pub path: String,
    /// Free, GB.
    pub free_gb: f64,
    /// Used, percent.
    pub used_percent: f64,
    /// `enough`, `low` (nothing is recorded) or `scarce` (no readings are kept either).
    pub room: &'static str,
}

/// A disk that is recorded on.
#[derive(Serialize, ToSchema)]
pub struct RecordingHealth {
    /// The directory on it.
    pub dir: String,
    /// `disk_failed`, `disk_full`, `disk_slow`; empty when it is well.
    pub reason: String,
    /// What the system said.
    pub error: String,
    /// Whether nothing is recorded there for want of room.
    pub held: bool,
}

/// A camera's sub-stream.
#[derive(Serialize, ToSchema)]
pub struct StreamHealth {
    /// Whether frames arrive.
    pub live: bool,
    /// Why not.
    pub reason: String,
    /// Frames per second.
    pub fps: f32,
    /// Kilobits per second.
    pub kbps: f32,
    /// RFC 6381 codec.
    pub codec: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Browsers watching it.
    pub viewers: u32,
    /// Reconnections.
    pub restarts: u64,
    /// When its last frame came.
    #[schema(value_type = Option<String>)]
    pub last_frame_at: Option<Timestamp>,
    /// Between key frames, ms.
    pub key_interval_ms: Option<u32>,
    /// The camera's clock minus ours, ms, where it says.
    pub clock_off_ms: Option<i64>,
    /// What to see to: `sparse_keys`, `clock_off`.
    pub remarks: Vec<String>,
}

/// One camera's stream; with a sub-stream its main one.
#[derive(Default, Serialize, ToSchema)]
pub struct CameraHealth {
    /// Device.
    pub id: Uuid,
    /// Its key.
    pub key: String,
    /// Whether frames arrive.
    pub live: bool,
    /// Why not.
    pub reason: String,
    /// Frames per second.
    pub fps: f32,
    /// Kilobits per second.
    pub kbps: f32,
    /// RFC 6381 codec.
    pub codec: String,
    /// The same of what is heard, as it is recorded; empty where nothing is.
    pub audio: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Browsers watching.
    pub viewers: u32,
    /// Whether it is being recorded.
    pub recording: bool,
    /// Reconnections.
    pub restarts: u64,
    /// When the last frame came.
    #[schema(value_type = Option<String>)]
    pub last_frame_at: Option<Timestamp>,
    /// Between key frames, ms.
    pub key_interval_ms: Option<u32>,
    /// The camera's clock minus ours, ms, where it says.
    pub clock_off_ms: Option<i64>,
    /// What to see to: `sparse_keys`, `clock_off`.
    pub remarks: Vec<String>,
    /// Its sub-stream, where it has one.
    pub sub: Option<StreamHealth>,
    /// Cars not read out because they went the wrong way, since the start.
    pub wrong_way: u64,
    /// Errors by name.
    pub errors: std::collections::BTreeMap<String, u64>,
    /// Its ONVIF link, where it has one.
    #[schema(value_type = Option<serde_json::Value>)]
    pub onvif: Option<LinkHealth>,
}

/// Recognition.
#[derive(Default, Serialize, ToSchema)]
pub struct RecognitionHealth {
    /// Whether it runs.
    pub running: bool,
    /// Plate frame, median ms.
    pub plates_ms_p50: f64,
    /// Face frame, median ms.
    pub faces_ms_p50: f64,
    /// Frames analysed.
    pub frames: u64,
    /// Frames dropped because a newer one came.
    pub dropped: u64,
}

/// The system's health now.
#[utoipa::path(get, path = "/api/health", responses((status = 200, body = Health)))]
pub async fn show(State(app): State<Arc<App>>) -> Result<Json<Health>, ApiError> {
    Ok(Json(look(&app).await))
}

/// Tells the followers of the topic `health` every five seconds.
pub async fn publish(app: Arc<App>) {
    let Some(topic) = app.feed().topics().get("health").cloned() else { return };
    let mut tick = tokio::time::interval(PERIOD);
    loop {
        tick.tick().await;
        topic.state_of(&look(&app).await);
    }
}

async fn look(app: &App) -> Health {
    let database = app.system().database().await.unwrap_or_else(|error| DatabaseHealth {
        version: error.to_string(),
        timescale: false,
        size_mb: 0.0,
        up: false,
    });
    let broker = app.broker().map_or_else(BrokerHealth::default, |broker| {
        let stats = broker.stats();
        BrokerHealth {
            listen: broker.addr().to_string(),
            clients: stats.clients as u64,
            messages_in: stats.messages_in,
            refused: stats.refused_logins + stats.refused_topics + stats.garbage + stats.refused_connections,
        }
    });
    let (actors, ingress) = (app.system().actors(), app.system().ingress());
    let consumers = app.system().consumers().await.unwrap_or_default();
    Health {
        queues: queues(app, &actors, &ingress),
        backup: app.backup().health(app.system().now()),
        traces: app.exporter().map(|exporter| exporter.health()),
        since: app.system().since(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        database,
        broker,
        memory_mb: resident_mb(),
        memory_budget_mb: app.memory_budget_mb(),
        cpu_percent: app.cpu().percent(),
        disk: disk(app.data(), app.system().room().borrow().word()),
        journal: app.system().journal(),
        history: app.system().figures().telemetry,
        actors,
        ingress,
        consumers,
        cameras: cameras(app),
        recording: recording(app),
        recognition: recognition(app),
    }
}

fn cameras(app: &App) -> Vec<CameraHealth> {
    let statuses = app.vision().map(|vision| vision.statuses()).unwrap_or_default();
    // Cameras that have not said yet where their pictures are.
    let seen: std::collections::BTreeSet<_> = statuses.iter().map(|status| status.id).collect();
    let unseen = app.onvif().links().filter(|(id, _)| !seen.contains(id)).map(|(id, link)| {
        let key = app.system().device(id).map(|device| device.key.clone()).unwrap_or_default();
        CameraHealth {
            id: id.0,
            key,
            reason: "starting".to_owned(),
            onvif: Some(link.health()),
            ..CameraHealth::default()
        }
    });
    let unseen: Vec<_> = unseen.collect();
    statuses
        .into_iter()
        .map(|status| CameraHealth {
            id: status.id.0,
            key: status.key.to_string(),
            live: status.live,
            reason: status.reason,
            fps: status.fps,
            kbps: status.kbps,
            codec: status.codec,
            audio: status.audio,
            width: status.width,
            height: status.height,
            viewers: status.viewers,
            recording: status.recording,
            restarts: status.restarts,
            last_frame_at: status.last_frame_at,
            key_interval_ms: status.key_interval_ms,
            clock_off_ms: status.clock_off_ms,
            remarks: status.remarks.into_iter().map(str::to_owned).collect(),
            sub: status.sub.map(stream),
            wrong_way: status.wrong_way,
            errors: status.errors.into_iter().map(|(code, count)| (code.to_owned(), count)).collect(),
            onvif: app.onvif().link(status.id).map(|link| link.health()),
        })
        .chain(unseen)
        .collect()
}

fn stream(status: StreamStatus) -> StreamHealth {
    StreamHealth {
        live: status.live,
        reason: status.reason,
        fps: status.fps,
        kbps: status.kbps,
        codec: status.codec,
        width: status.width,
        height: status.height,
        viewers: status.viewers,
        restarts: status.restarts,
        last_frame_at: status.last_frame_at,
        key_interval_ms: status.key_interval_ms,
        clock_off_ms: status.clock_off_ms,
        remarks: status.remarks.into_iter().map(str::to_owned).collect(),
    }
}

fn recording(app: &App) -> Vec<RecordingHealth> {
    let disks = app.vision().map(|vision| vision.disks()).unwrap_or_default();
    disks
        .into_iter()
        .map(|disk| RecordingHealth {
            dir: disk.dir.display().to_string(),
            reason: disk.code.to_owned(),
            error: disk.text,
            held: disk.held,
        })
        .collect()
}

fn queues(app: &App, actors: &[ActorHealth], ingress: &[IngressHealth]) -> QueueHealth {
    let journal = app.system().figures().journal;
    let feed = app.feed().figures();
    QueueHealth {
        journal_depth: journal.depth as u64,
        journal_limit: journal.limit as u64,
        commits: journal.commits.count,
        commit_seconds: journal.commits.sum,
        // The readings' drops are the refusals of the source `telemetry`.
        dropped: ingress.iter().map(|source| source.refused).sum(),
        mailboxes: actors.iter().filter(|actor| actor.key != "journal").map(|actor| actor.depth as u64).sum(),
        followers: feed.iter().map(|topic| topic.followers).sum(),
        feed_lag: feed.iter().map(|topic| topic.lag).max().unwrap_or(0),
        feed_refreshes: feed.iter().map(|topic| topic.refreshes).sum(),
    }
}

fn recognition(app: &App) -> RecognitionHealth {
    let Some(vision) = app.vision() else { return RecognitionHealth::default() };
    let figures = vision.figures();
    RecognitionHealth {
        running: app.recognizer().is_some(),
        plates_ms_p50: figures.plates_ms_p50,
        faces_ms_p50: figures.faces_ms_p50,
        frames: figures.frames,
        dropped: figures.dropped,
    }
}

/// Resident memory of this process, MB.
pub fn resident_mb() -> f64 {
    process::resident_bytes() / 1e6
}

fn disk(path: &std::path::Path, room: &'static str) -> DiskHealth {
    let (free, total) = rustix::fs::statvfs(path)
        .map(|stat| ((stat.f_bavail * stat.f_frsize) as f64, (stat.f_blocks * stat.f_frsize) as f64))
        .unwrap_or((0.0, 0.0));
    let used_percent = if total > 0.0 { 100.0 * (1.0 - free / total) } else { 0.0 };
    DiskHealth { path: path.display().to_string(), free_gb: free / 1e9, used_percent, room }
}

/// Processor time of this process, between one look and the next.
pub struct Cpu(std::sync::Mutex<(std::time::Instant, f64, f64)>);

impl Cpu {
    /// Starts counting.
    pub fn start() -> Self {
        Self(std::sync::Mutex::new((std::time::Instant::now(), cpu_seconds(), 0.0)))
    }

    /// Percent of one core since the last look; looks less than a second apart give the same answer.
    pub fn percent(&self) -> f64 {
        let mut last = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let elapsed = last.0.elapsed().as_secs_f64();
        if elapsed >= 1.0 {
            let now = cpu_seconds();
            *last = (std::time::Instant::now(), now, 100.0 * (now - last.1) / elapsed);
        }
        last.2
    }
}
