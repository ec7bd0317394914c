//! What the handlers share: the running system, video, sessions, topics.

use crate::api::health::Cpu;
use crate::api::metrics::Access;
use crate::auth::Sessions;
use crate::backup::Keeper;
use crate::demo::Demo;
use crate::error::ApiError;
use crate::feed::Feed;
use crate::onvif::Onvif;
use gatehouse_actors::staff::{self, AuditEntry};
use gatehouse_actors::{Error, System, views::ClipRow};
use gatehouse_adapters::mqtt::broker::Broker;
use gatehouse_adapters::otlp::Exporter;
use gatehouse_core::id::{ClipId, PictureId};
use gatehouse_vision::Vision;
use gatehouse_vision::recognizer::Recognizer;
use jiff::SignedDuration;
use sqlx::PgPool;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// The parts that a console is made of.
pub struct Parts {
    /// Actors and store.
    pub system: System,
    /// The store's pool.
    pub pool: PgPool,
    /// Streams, where the site has cameras.
    pub vision: Option<Vision>,
    /// For enrolling faces, where recognition is on.
    pub recognizer: Option<Arc<Recognizer>>,
    /// Cameras by ONVIF.
    pub onvif: Arc<Onvif>,
    /// The embedded broker, where it is used.
    pub broker: Option<Broker>,
    /// The demo compound, where it runs.
    pub demo: Option<Demo>,
    /// Where the console listens.
    pub listen: SocketAddr,
    /// Further origins that are ours.
    pub origins: Vec<String>,
    /// The data directory.
    pub data: PathBuf,
    /// Takes backups.
    pub backup: Keeper,
    /// Who may read the figures without a session.
    pub metrics: Access,
    /// Memory the program is meant to need at most, MB.
    pub memory_mb: u32,
    /// Days for which pictures of reads and faces are kept; 0: for ever.
    pub picture_days: u32,
    /// Sends traces, where a collector is configured.
    pub exporter: Option<Exporter>,
}

/// The running console.
pub struct App {
    parts: Parts,
    sessions: Sessions,
    feed: Feed,
    cpu: Cpu,
}

impl App {
    /// Puts the parts together and starts the live feed.
    pub fn new(parts: Parts) -> Arc<Self> {
        let feed = Feed::start(&parts.system);
        Arc::new(Self { parts, sessions: Sessions::default(), feed, cpu: Cpu::start() })
    }

    /// Actors and store.
    pub fn system(&self) -> &System {
        &self.parts.system
    }

    /// The store's pool: for accounts and audit only, everything else goes through [`App::system`].
    pub fn pool(&self) -> &PgPool {
        &self.parts.pool
    }

    /// Streams, where the site has cameras.
    pub fn vision(&self) -> Option<&Vision> {
        self.parts.vision.as_ref()
    }

    /// For enrolling faces, where recognition is on.
    pub fn recognizer(&self) -> Option<&Arc<Recognizer>> {
        self.parts.recognizer.as_ref()
    }

    /// The model that describes faces and its dimension, where recognition is on.
    pub fn face_model(&self) -> Option<(&str, usize)> {
        self.recognizer().map(|recognizer| (recognizer.face_model(), recognizer.face_dimension()))
    }

    /// Cameras by ONVIF.
    pub fn onvif(&self) -> &Arc<Onvif> {
        &self.parts.onvif
    }

    /// The embedded broker, where it is used.
    pub fn broker(&self) -> Option<&Broker> {
        self.parts.broker.as_ref()
    }

    /// The demo compound, where it runs.
    pub fn demo(&self) -> Option<&Demo> {
        self.parts.demo.as_ref()
    }

    /// The data directory.
    pub fn data(&self) -> &std::path::Path {
        &self.parts.data
    }

    /// Takes backups.
    pub fn backup(&self) -> &Keeper {
        &self.parts.backup
    }

    /// Who may read the figures without a session.
    pub fn metrics_access(&self) -> &Access {
        &self.parts.metrics
    }

    /// Memory the program is meant to need at most, MB.
    pub fn memory_budget_mb(&self) -> f64 {
        f64::from(self.parts.memory_mb)
    }

    /// Days for which pictures of reads and faces are kept; 0: for ever.
    pub fn picture_days(&self) -> u32 {
        self.parts.picture_days
    }

    /// Sends traces, where a collector is configured.
    pub fn exporter(&self) -> Option<&Exporter> {
        self.parts.exporter.as_ref()
    }

    /// Sessions of this run.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Processor time of this program.
    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// The live feed.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Configured origins besides the listener's own.
    pub fn origins(&self) -> &[String] {
        &self.parts.origins
    }

    /// Whether a `Host` header names this console: its listening port at a loopback name or the listening address. A
    /// foreign name that resolves here (DNS rebinding) is not ours.
    pub fn host_is_known(&self, host: &str) -> bool {
        let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
        let own_port = port.parse() == Ok(self.parts.listen.port());
        let loopback = matches!(name, "127.0.0.1" | "localhost" | "[::1]") && self.parts.listen.ip().is_loopback();
        (own_port && (loopback || name.trim_matches(['[', ']']).parse() == Ok(self.parts.listen.ip())))
            || self.parts.origins.iter().any(|origin| origin.split("://").nth(1) == Some(host))
    }

    /// Appends to the audit log.
    pub async fn audit(&self, by: &str, action: &str, target: &str, outcome: &str) -> Result<(), ApiError> {
        let entry = AuditEntry {
            at: self.system().now(),
            by: by.to_owned(),
            action: action.to_owned(),
            target: target.to_owned(),
            outcome: outcome.to_owned(),
            address: String::new(),
        };
        staff::audit(self.pool(), entry).await.map(|_| ()).map_err(ApiError::internal)
    }

    /// A clip's row.
    pub async fn clip(&self, id: ClipId) -> Result<Option<ClipRow>, ApiError> {
        match self.system().clip(id).await {
            Ok(row) => Ok(Some(row)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Where a picture may lie: pictures are filed by day, and its id (UUIDv7) carries the moment it was stored.
    pub fn picture_paths(&self, id: PictureId) -> Vec<PathBuf> {
        let Some(vision) = self.vision() else { return Vec::new() };
        let Some(stamp) = id.0.get_timestamp() else { return Vec::new() };
        let (seconds, _) = stamp.to_unix();
        let Ok(stored) = jiff::Timestamp::from_second(i64::try_from(seconds).unwrap_or_default()) else {
            return Vec::new();
        };
        [stored, stored - SignedDuration::from_mins(5)].into_iter().map(|at| vision.picture_path(id, at)).collect()
    }

    /// Stops everything in order: people's pages first, then devices, video, actors.
    pub async fn stop(&self) {
        if let Some(demo) = &self.parts.demo {
            demo.stop().await;
        }
        if let Some(vision) = &self.parts.vision {
            vision.stop().await;
        }
        self.parts.system.stop().await;
        if let Some(broker) = &self.parts.broker {
            broker.stop().await;
        }
    }
}
