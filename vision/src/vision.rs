//! The handle: every camera of a site, from its stream to clips and observations.

use crate::face::Gallery;
use crate::feed::{Feed, StreamStatus, Which};
use crate::figures::{Latency, Spread};
use crate::hub::Hub;
use crate::ingest::{Ingest, Watchers};
use crate::models::RuntimePaths;
use crate::overlay::Boxes;
use crate::pipeline::doorway::Prompt;
use crate::pipeline::pool::{Loader, OnProblem, Pool, Readers, Sink};
use crate::pipeline::{Analysis, Policies, Role, picture};
use crate::problems::{Problems, Tell};
use crate::recognizer::Recognizer;
use crate::recorder::{Clip, ClipError, DiskStatus, Keep, LocalDisk, OnError, Piece, Recorder, Retention};
use crate::rtsp::{self, Source, Transport};
use crate::snapshot::{self, SnapshotError};
use crate::transcode::{self, Lane, SmallPieceError, TranscodeError, TranscodeFigures, Transcodes};
use bytes::Bytes;
use gatehouse_core::id::{DeviceId, DeviceKey, PersonId, PictureId};
use gatehouse_core::recognition::region::Region;
use gatehouse_core::recognition::travel::Moves;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use url::Url;

/// What to run.
#[derive(Debug, Clone)]
pub struct VisionConfig {
    /// Where recordings lie, a directory a disk; cameras are spread over them.
    pub recordings: Vec<PathBuf>,
    /// Where earlier recordings lie, which are read and forgotten but not added to.
    pub archive: Option<PathBuf>,
    /// Where pictures of observations lie.
    pub pictures: PathBuf,
    /// The models; `None` runs video and motion alone.
    pub runtime: Option<RuntimePaths>,
    /// Thresholds of the readers that [`Vision::start_with`] is given: [`crate::models::Models::policies`].
    pub policies: Policies,
    /// The cameras to begin with.
    pub cameras: Vec<CameraConfig>,
    /// How long recordings are kept.
    pub retention: Retention,
    /// Threads that run models, for all cameras together.
    pub workers: usize,
    /// Streams that may be transcoded at a time, each a part of a core, for browsers that cannot read them.
    pub transcodes: usize,
}

impl VisionConfig {
    /// The usual places below a data directory; no cameras, no models, one worker.
    pub fn new(data: &Path) -> Self {
        Self {
            recordings: vec![data.join("recordings")],
            archive: None,
            pictures: data.join("pictures"),
            runtime: None,
            policies: Policies::default(),
            cameras: Vec::new(),
            retention: Retention::default(),
            workers: 1,
            transcodes: 2,
        }
    }
}

/// One camera.
#[derive(Clone)]
pub struct CameraConfig {
    /// Its id.
    pub id: DeviceId,
    /// Its name; recordings lie below it.
    pub key: DeviceKey,
    /// `rtsp://host:port/path`, without credentials.
    pub url: Url,
    /// The same of its sub-stream: shown in tiles and looked at, where there is one.
    pub sub: Option<Url>,
    /// User, empty for none.
    pub user: String,
    /// Password.
    pub password: String,
    /// How RTP travels.
    pub transport: Transport,
    /// Whether it is recorded.
    pub record: bool,
    /// Whether what it hears is recorded with it.
    pub audio: bool,
    /// Days its recordings are kept, where not as long as all others'; 0 for ever.
    pub keep_days: Option<u32>,
    /// What it is looked at for; empty: nothing.
    pub roles: Vec<Role>,
    /// Where it is looked.
    pub look_in: Region,
    /// Narrower plates and faces are not read, pixels of the searched picture.
    pub min_width_px: u32,
    /// Which cars are read, by the way they go.
    pub moves: Moves,
    /// Whether a dark, covered, blurred or turned picture is told; only of a camera that is looked at.
    pub watch_view: bool,
    /// Whether the faces it sees open doors only after the active challenge.
    pub challenge: bool,
}

impl CameraConfig {
    /// A recorded camera that is not looked at.
    pub fn new(key: DeviceKey, url: Url) -> Self {
        Self {
            id: key.id(),
            key,
            url,
            sub: None,
            user: String::new(),
            password: String::new(),
            transport: Transport::default(),
            record: true,
            audio: true,
            keep_days: None,
            roles: Vec::new(),
            look_in: Region::default(),
            min_width_px: 0,
            moves: Moves::default(),
            watch_view: true,
            challenge: false,
        }
    }

    /// Whether pictures of the main stream may wait in its socket while nobody watches: it is not looked at, and over TCP,
    /// where nothing is lost by waiting. A socket of datagrams overflows with one large key frame.
    fn main_waits(&self) -> bool {
        let looked_at = self.sub.is_none() && !self.roles.is_empty();
        !looked_at && self.transport == Transport::Tcp
    }
}

impl std::fmt::Debug for CameraConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {} (record {}, {:?})", self.key, self.url, self.record, self.roles)
    }
}

/// Why vision cannot start or take a camera.
#[derive(Debug, thiserror::Error)]
pub enum VisionError {
    /// A directory or thread could not be made.
    #[error("{what} could not be prepared")]
    Io {
        /// What.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// No asynchronous runtime.
    #[error("vision must be started inside the asynchronous runtime")]
    NoRuntime,
    /// The address is not one of a camera.
    #[error("camera {key}: {url} is no address of a camera; use rtsp://host:port/path, with user and password apart")]
    Url {
        /// Which camera.
        key: DeviceKey,
        /// Its address, without credentials.
        url: String,
    },
}

/// How a camera does; what is said of a stream is its main one's.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct CameraStatus {
    /// Its id.
    pub id: DeviceId,
    /// Its name.
    pub key: DeviceKey,
    /// Whether frames arrive.
    pub live: bool,
    /// Why not: `starting`, `stalled`, `refused`, `unauthorised`, `undecodable`; empty when live.
    pub reason: String,
    /// Frames per second.
    pub fps: f32,
    /// Kilobits per second.
    pub kbps: f32,
    /// RFC 6381 name, empty before it is known.
    pub codec: String,
    /// The same of what is heard, as it is recorded; empty where nothing is.
    pub audio: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Who watches now, either stream.
    pub viewers: u32,
    /// Whether its pictures reach the disk.
    pub recording: bool,
    /// Sessions opened again.
    pub restarts: u64,
    /// When the newest frame was taken.
    pub last_frame_at: Option<Timestamp>,
    /// Between the last key frames.
    pub key_interval_ms: Option<u32>,
    /// The camera's clock minus ours.
    pub clock_off_ms: Option<i64>,
    /// What an engineer should see to.
    pub remarks: Vec<&'static str>,
    /// How its sub-stream does.
    pub sub: Option<StreamStatus>,
    /// Cars that were not read out because they went the wrong way, since the start.
    pub wrong_way: u64,
    /// Problems counted by code.
    pub errors: BTreeMap<&'static str, u64>,
}

/// What all of it does.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Figures {
    /// Median time of a frame through the plate stages, ms.
    pub plates_ms_p50: f64,
    /// Median time of a frame through the face stages, ms.
    pub faces_ms_p50: f64,
    /// Frames looked at.
    pub frames: u64,
    /// Pictures that arrived, all streams together.
    pub arrived: u64,
    /// Pictures decoded.
    pub decoded: u64,
    /// Frames and units that gave way to newer ones.
    pub dropped: u64,
    /// From a unit's arrival to its delivery to a viewer.
    pub delivery: Spread,
    /// From asking for a clip to having it.
    pub clips: Spread,
    /// Units written to disk.
    pub recorded: u64,
    /// Units that were to be recorded and were lost to a full queue or disk.
    pub unrecorded: u64,
}

/// All cameras. Cheap to clone.
#[derive(Clone)]
pub struct Vision {
    inner: Arc<Inner>,
}

struct Inner {
    recorder: Recorder,
    pictures: PathBuf,
    policies: Policies,
    pool: Arc<Pool>,
    sink: Sink,
    problems: Arc<Problems>,
    on_problem: OnProblem,
    cameras: RwLock<BTreeMap<DeviceId, Arc<Camera>>>,
    runtime: tokio::runtime::Handle,
    ingest: Ingest,
    clip_time: Latency,
    transcodes: Transcodes,
}

/// A camera: one stream or two.
struct Camera {
    config: CameraConfig,
    main: Arc<Feed>,
    sub: Option<Arc<Feed>>,
}

impl Vision {
    /// Starts every camera. Call it inside a tokio runtime; the models load in the background.
    ///
    /// With `config.runtime` the thresholds are those of its models, and not `config.policies`. `sink` gets observations and
    /// `errors` problems (a code, a sentence that begins with the camera's key), both from any thread: they must not wait long.
    pub fn start(mut config: VisionConfig, sink: Sink, errors: Tell) -> Result<Self, VisionError> {
        if let Some(paths) = &config.runtime {
            config.policies = paths.models.policies();
        }
        let load = config.runtime.clone().map(|paths| {
            let load = move || Ok(Arc::new(Recognizer::open(&paths)?) as Arc<dyn Readers>);
            Box::new(load) as Loader
        });
        Self::start_with(config, load, sink, errors)
    }

    /// As [`start`](Self::start), with other readers than the models of `config.runtime`.
    pub fn start_with(
        config: VisionConfig,
        load: Option<Loader>,
        sink: Sink,
        errors: Tell,
    ) -> Result<Self, VisionError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| VisionError::NoRuntime)?;
        let problems = Arc::new(Problems::new(errors));
        let noted = problems.clone();
        let on_problem: OnProblem = Arc::new(move |code, key, text| noted.note(code, key, text));
        let noted = problems.clone();
        let on_error: OnError = Arc::new(move |code, key, text| noted.note(code, Some(key), text));
        let recorder =
            Recorder::start(config.recordings, config.archive, config.retention, Arc::new(LocalDisk), on_error)
                .map_err(|source| VisionError::io("the recorder's thread".into(), source))?;
        let pool = Pool::start(
            config.workers,
            config.pictures.clone(),
            config.policies.plate,
            load,
            sink.clone(),
            on_problem.clone(),
        )
        .map_err(|source| VisionError::io("a recognition thread".into(), source))?;
        let inner = Inner {
            recorder,
            pictures: config.pictures,
            policies: config.policies,
            pool,
            sink,
            problems,
            on_problem,
            cameras: RwLock::default(),
            runtime,
            ingest: Ingest::start().map_err(|source| VisionError::io("a thread of the cameras".into(), source))?,
            clip_time: Latency::default(),
            transcodes: Transcodes::new(config.transcodes),
        };
        let vision = Self { inner: Arc::new(inner) };
        for camera in config.cameras {
            vision.add_camera(camera)?;
        }
        Ok(vision)
    }

    /// Starts a camera; one of the same id is stopped first.
    pub fn add_camera(&self, config: CameraConfig) -> Result<(), VisionError> {
        for url in [Some(&config.url), config.sub.as_ref()].into_iter().flatten() {
            check_url(&config.key, url)?;
        }
        if let Some(before) = self.cameras_mut().remove(&config.id) {
            before.end();
        }
        let inner = &self.inner;
        let failed = |what: &str| {
            let what = format!("{what} of camera {}", config.key);
            move |source| VisionError::io(what, source)
        };
        let analysed = !config.roles.is_empty();
        let only_recorded = config.main_waits();
        let watchers = if only_recorded { inner.ingest.watchers() } else { Watchers::default() };
        let feed = |which, hub| Feed::new(which, &config.key, hub, inner.sink.clone(), inner.problems.clone());
        let mut main = feed(Which::Main, Hub::told(watchers));
        let mut sub = config.sub.as_ref().map(|_| feed(Which::Sub, Hub::new()));
        let keep = Keep { days: config.keep_days };
        main.track = match config.record {
            true => Some(inner.recorder.track(&config.key, keep).map_err(failed("the recording"))?),
            // What was recorded before can still be asked for.
            false => inner.recorder.know(&config.key).map(|()| None).map_err(failed("the recording"))?,
        };
        let (pool, sink, on_problem) = (inner.pool.clone(), inner.sink.clone(), inner.on_problem.clone());
        let analysis = analysed
            .then(|| Analysis::start(&config, inner.policies, pool, sink, on_problem))
            .transpose()
            .map_err(failed("the analysis"))?;
        sub.as_mut().unwrap_or(&mut main).analysis = analysis;
        let camera = Camera { main: Arc::new(main), sub: sub.map(Arc::new), config };
        let audio = camera.config.record && camera.config.audio;
        inner.run(&camera.main, &camera.config, camera.config.url.clone(), audio, only_recorded);
        if let (Some(sub), Some(url)) = (&camera.sub, &camera.config.sub) {
            inner.run(sub, &camera.config, url.clone(), false, false);
        }
        self.cameras_mut().insert(camera.config.id, Arc::new(camera));
        Ok(())
    }

    /// Stops a camera; whether there was one. Its recordings stay.
    pub fn remove_camera(&self, id: DeviceId) -> bool {
        let Some(camera) = self.cameras_mut().remove(&id) else { return false };
        camera.end();
        if let Some(track) = &camera.main.track {
            track.close();
        }
        true
    }

    /// A camera's live stream as tiles show it: the sub-stream, where it has one.
    pub fn hub(&self, id: DeviceId) -> Option<Arc<Hub>> {
        self.hub_of(id, Which::Sub)
    }

    /// A live stream of a camera; one without a sub-stream gives its only one.
    pub fn hub_of(&self, id: DeviceId, which: Which) -> Option<Arc<Hub>> {
        self.camera(id).map(|camera| camera.feed(which).hub.clone())
    }

    /// A camera's live stream made small and H.264, while the lane is held; `None`: no such camera. See [`crate::transcode`].
    pub fn transcoded(&self, id: DeviceId, which: Which) -> Option<Result<Arc<Lane>, TranscodeError>> {
        let camera = self.camera(id)?;
        let feed = camera.feed(which);
        Some(self.inner.transcodes.join((id, feed.which), &feed.hub, &self.inner.runtime))
    }

    /// What transcoding does.
    pub fn transcode_figures(&self) -> TranscodeFigures {
        self.inner.transcodes.figures()
    }

    /// Where a camera's streams are pulled from: main, and sub where there is one.
    pub fn addresses(&self, id: DeviceId) -> Option<(Url, Option<Url>)> {
        self.camera(id).map(|camera| (camera.config.url.clone(), camera.config.sub.clone()))
    }

    /// How a camera does.
    pub fn status(&self, id: DeviceId) -> Option<CameraStatus> {
        self.camera(id).map(|camera| camera.status())
    }

    /// How all cameras do, by id.
    pub fn statuses(&self) -> Vec<CameraStatus> {
        let cameras: Vec<_> = self.cameras().values().cloned().collect();
        cameras.iter().map(|camera| camera.status()).collect()
    }

    /// Cuts an exact clip: the pictures taken in `from ≤ t < to`, as far as they have arrived.
    pub async fn clip(&self, id: DeviceId, from: Timestamp, to: Timestamp) -> Result<Clip, ClipError> {
        let began = Instant::now();
        let key = self.key(id).ok_or(ClipError::UnknownCamera)?;
        let clip = self.inner.recorder.clip(&key, from, to).await;
        self.inner.clip_time.record(began.elapsed());
        clip
    }

    /// A piece of recording to play, beginning at the key frame at or before `from`; see [`Recorder::piece`].
    pub async fn piece(&self, id: DeviceId, from: Timestamp, to: Timestamp) -> Result<Piece, ClipError> {
        let key = self.key(id).ok_or(ClipError::UnknownCamera)?;
        self.inner.recorder.piece(&key, from, to).await
    }

    /// The same for a browser that reads nothing but H.264: what is recorded otherwise comes small, and at most
    /// [`transcode::LONGEST`] of it.
    pub async fn small_piece(&self, id: DeviceId, from: Timestamp, to: Timestamp) -> Result<Piece, SmallPieceError> {
        let to = to.min(from.saturating_add(transcode::LONGEST).unwrap_or(to));
        self.inner.transcodes.recorded((id, from, to), self.piece(id, from, to)).await
    }

    /// When something of a camera is recorded within a span; holes of up to `hole` count as none. `None`: no such camera.
    pub fn stretches(
        &self,
        id: DeviceId,
        from: Timestamp,
        to: Timestamp,
        hole: SignedDuration,
    ) -> Option<Vec<(Timestamp, Timestamp)>> {
        Some(self.inner.recorder.stretches(&self.key(id)?, from, to, hole))
    }

    /// Keeps a range from retention, also where it is yet to come; durable when it returns.
    pub async fn pin(&self, id: DeviceId, from: Timestamp, to: Timestamp) -> Result<(), ClipError> {
        let key = self.key(id).ok_or(ClipError::UnknownCamera)?;
        self.inner.recorder.pin(&key, from, to).await
    }

    /// Lets a pinned range go; whether it was pinned.
    pub async fn unpin(&self, id: DeviceId, from: Timestamp, to: Timestamp) -> Result<bool, ClipError> {
        let key = self.key(id).ok_or(ClipError::UnknownCamera)?;
        self.inner.recorder.unpin(&key, from, to).await
    }

    /// Records nothing while `on`, for want of room on the disk; live pictures and recognition go on.
    pub fn hold_recording(&self, on: bool) {
        // The room is that of the disk with the data directory, where the pictures are.
        self.inner.recorder.hold(on, &self.inner.pictures);
    }

    /// How the disks with the recordings do.
    pub fn disks(&self) -> Vec<DiskStatus> {
        self.inner.recorder.disks()
    }

    /// The first and last recorded instant of a camera.
    pub fn recorded(&self, id: DeviceId) -> Option<(Timestamp, Timestamp)> {
        self.inner.recorder.extent(&self.key(id)?)
    }

    /// The latest picture of a camera, and when it was taken.
    pub async fn snapshot_jpeg(&self, id: DeviceId) -> Result<(Bytes, Timestamp), SnapshotError> {
        self.snapshot_of(id, Which::Sub).await
    }

    /// The latest picture of one stream of a camera; one without a sub-stream gives its only one.
    pub async fn snapshot_of(&self, id: DeviceId, which: Which) -> Result<(Bytes, Timestamp), SnapshotError> {
        let camera = self.camera(id).ok_or(SnapshotError::UnknownCamera)?;
        let feed = camera.feed(which).clone();
        let newest = feed.analysis.as_ref().and_then(Analysis::newest);
        let made = tokio::task::spawn_blocking(move || snapshot::jpeg(&feed.hub, newest));
        made.await.map_err(|_| SnapshotError::NoPicture)?
    }

    /// Follows what recognition finds in a camera's pictures, to draw it over them. `None`: no such camera.
    pub fn overlay(&self, id: DeviceId) -> Option<tokio::sync::watch::Receiver<Arc<Boxes>>> {
        self.camera(id).map(|_| self.inner.pool.overlays.follow(id))
    }

    /// What the screens of this camera's doors say, from now on. `None`: no such camera, or its doors ask nothing.
    pub fn prompt(&self, camera: DeviceId) -> Option<tokio::sync::watch::Receiver<Prompt>> {
        self.camera(camera).filter(|camera| camera.config.challenge).map(|_| self.inner.pool.prompts.follow(camera))
    }

    /// Where an observation's picture lies; `at` is its `observed_at`.
    pub fn picture_path(&self, id: PictureId, at: Timestamp) -> PathBuf {
        picture::path(&self.inner.pictures, id, at)
    }

    /// Sets the people whose faces are known.
    pub fn set_gallery(&self, gallery: Gallery<PersonId>) {
        self.inner.pool.set_gallery(gallery);
    }

    /// Looks now, at full rate, for a few seconds: a loop or a button says that somebody is there. On a camera that
    /// reads plates the answer comes within four seconds, with an empty text where none was read.
    pub fn trigger(&self, id: DeviceId) {
        if let Some(camera) = self.camera(id)
            && let Some(analysis) = &camera.feed(Which::Sub).analysis
        {
            analysis.trigger();
        }
    }

    /// What all of it does.
    pub fn figures(&self) -> Figures {
        let cameras: Vec<_> = self.cameras().values().cloned().collect();
        let feeds = || cameras.iter().flat_map(|camera| [Some(&camera.main), camera.sub.as_ref()]).flatten();
        let analysed = feeds().filter_map(|feed| feed.analysis.as_ref()).map(Analysis::counts);
        let (decoded, left_out) = analysed.fold((0, 0), |sum, now| (sum.0 + now.0, sum.1 + now.1));
        let pool = &self.inner.pool;
        // The worst camera stands for all: a median over medians would hide it.
        let delivery = feeds().map(|feed| feed.hub.latency()).max_by(|a, b| a.p99_ms.total_cmp(&b.p99_ms));
        let (recorded, unrecorded) = self.inner.recorder.counts();
        Figures {
            plates_ms_p50: pool.plate_time.spread().p50_ms,
            faces_ms_p50: pool.face_time.spread().p50_ms,
            frames: pool.looked.load(Ordering::Relaxed),
            arrived: feeds().map(|feed| feed.arrived()).sum(),
            decoded,
            dropped: left_out + pool.dropped.load(Ordering::Relaxed),
            delivery: delivery.unwrap_or_default(),
            clips: self.inner.clip_time.spread(),
            recorded,
            unrecorded,
        }
    }

    /// Stops everything; recordings are written and closed.
    pub async fn stop(&self) {
        let cameras = std::mem::take(&mut *self.cameras_mut());
        cameras.values().for_each(|camera| camera.end());
        self.inner.pool.stop();
        self.inner.recorder.stop().await;
    }

    fn camera(&self, id: DeviceId) -> Option<Arc<Camera>> {
        self.cameras().get(&id).cloned()
    }

    fn key(&self, id: DeviceId) -> Option<DeviceKey> {
        self.camera(id).map(|camera| camera.config.key.clone())
    }

    fn cameras(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<DeviceId, Arc<Camera>>> {
        self.inner.cameras.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn cameras_mut(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<DeviceId, Arc<Camera>>> {
        self.inner.cameras.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Vision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vision").field("cameras", &self.cameras().len()).finish_non_exhaustive()
    }
}

impl VisionError {
    fn io(what: String, source: std::io::Error) -> Self {
        Self::Io { what, source }
    }
}

/// Whether a camera can be asked there, with user and password apart.
fn check_url(key: &DeviceKey, url: &Url) -> Result<(), VisionError> {
    let mut shown = url.clone();
    let clean = shown.set_username("").is_ok() && shown.set_password(None).is_ok() && shown == *url;
    if url.scheme() != "rtsp" || url.host().is_none() || !clean {
        return Err(VisionError::Url { key: key.clone(), url: shown.to_string() });
    }
    Ok(())
}

impl Inner {
    fn run(&self, feed: &Arc<Feed>, config: &CameraConfig, url: Url, audio: bool, only_recorded: bool) {
        let CameraConfig { user, password, transport, .. } = config;
        let source = Source { url, user: user.clone(), password: password.clone(), transport: *transport, audio };
        let session = rtsp::run(source, feed.hub.clone(), feed.clone());
        feed.runs(self.ingest.run(session, only_recorded));
    }
}

impl Camera {
    fn feed(&self, which: Which) -> &Arc<Feed> {
        match which {
            Which::Main => &self.main,
            Which::Sub => self.sub.as_ref().unwrap_or(&self.main),
        }
    }

    fn end(&self) {
        self.main.end();
        if let Some(sub) = &self.sub {
            sub.end();
        }
    }

    fn status(&self) -> CameraStatus {
        let (main, sub) = (self.main.status(), self.sub.as_ref().map(|sub| sub.status()));
        CameraStatus {
            id: self.config.id,
            key: self.config.key.clone(),
            live: main.live,
            reason: main.reason,
            fps: main.fps,
            kbps: main.kbps,
            codec: main.codec,
            audio: main.audio,
            width: main.width,
            height: main.height,
            viewers: main.viewers + sub.as_ref().map_or(0, |sub| sub.viewers),
            recording: self.main.recording(),
            restarts: main.restarts,
            last_frame_at: main.last_frame_at,
            key_interval_ms: main.key_interval_ms,
            clock_off_ms: main.clock_off_ms,
            remarks: main.remarks,
            sub,
            wrong_way: self.feed(Which::Sub).analysis.as_ref().map_or(0, Analysis::wrong_way),
            errors: self.problems(),
        }
    }

    fn problems(&self) -> BTreeMap<&'static str, u64> {
        self.main.problems.of(&self.config.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_main_stream_waits_unless_it_is_looked_at_or_comes_in_datagrams() {
        let url = |path: &str| Url::parse(&format!("rtsp://camera/{path}")).unwrap();
        let camera = CameraConfig::new("yard".parse().unwrap(), url("main"));
        assert!(camera.main_waits());
        assert!(!CameraConfig { transport: Transport::Udp, ..camera.clone() }.main_waits());
        let looked_at = CameraConfig { roles: vec![Role::Plates], ..camera };
        assert!(!looked_at.main_waits());
        assert!(CameraConfig { sub: Some(url("sub")), ..looked_at }.main_waits());
    }
}
