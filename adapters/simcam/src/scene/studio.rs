//! The studio: a few threads that draw and encode every virtual camera on time.

use super::camera::Camera;
use super::encode::{EncodeError, Encoder};
use super::{CameraConfig, Cue};
use crate::rtsp::LiveSource;
use crate::rtsp::sound::Microphone;
use crate::rtsp::source::to_clock;
use jiff::tz::TimeZone;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::{error, warn};

/// Cues waiting at one camera; one more is refused and counted.
const CUES: usize = 64;

/// How a studio works.
#[derive(Debug, Clone)]
pub struct StudioConfig {
    /// Threads; each takes every n-th camera.
    pub threads: usize,
    /// Folder with photographs of people (PNG or JPEG); none: silhouettes.
    pub faces: Option<PathBuf>,
    /// Zone of the burned-in time.
    pub zone: TimeZone,
}

impl Default for StudioConfig {
    fn default() -> Self {
        Self { threads: 2, faces: None, zone: TimeZone::system() }
    }
}

/// Why a studio did not start.
#[derive(Debug, thiserror::Error)]
pub enum StudioError {
    /// An encoder would not start.
    #[error("the virtual camera {camera} cannot encode")]
    Encoder {
        /// The camera's name.
        camera: String,
        /// What the encoder said.
        source: EncodeError,
    },
    /// The system gave no thread.
    #[error("the virtual cameras got no thread: raise the limit of processes")]
    Thread(#[source] std::io::Error),
}

/// What a camera has done since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SceneStats {
    /// Pictures published.
    pub pictures: u64,
    /// Bytes of H.264 made.
    pub bytes: u64,
    /// Pictures left out because the machine was late.
    pub skipped: u64,
    /// Cues refused because too many were waiting.
    pub cues_dropped: u64,
}

#[derive(Debug, Default)]
struct Counters {
    pictures: AtomicU64,
    bytes: AtomicU64,
    skipped: AtomicU64,
    cues_dropped: AtomicU64,
}

/// The director's end of one camera. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SceneHandle {
    name: Arc<str>,
    source: Arc<LiveSource>,
    cues: SyncSender<Cue>,
    counters: Arc<Counters>,
}

impl SceneHandle {
    /// The camera's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stream, to be mounted in an RTSP server.
    pub fn source(&self) -> Arc<LiveSource> {
        self.source.clone()
    }

    /// Gives a cue; false when too many are waiting or the studio is closed. Never waits.
    pub fn cue(&self, cue: Cue) -> bool {
        match self.cues.try_send(cue) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.counters.cues_dropped.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    /// The counters.
    pub fn stats(&self) -> SceneStats {
        let get = |a: &AtomicU64| a.load(Ordering::Relaxed);
        let c = &self.counters;
        SceneStats {
            pictures: get(&c.pictures),
            bytes: get(&c.bytes),
            skipped: get(&c.skipped),
            cues_dropped: get(&c.cues_dropped),
        }
    }
}

/// Running virtual cameras; dropping it stops them.
#[derive(Debug)]
pub struct Studio {
    scenes: Vec<SceneHandle>,
    closing: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Desk {
    camera: Camera,
    encoder: Encoder,
    microphone: Option<Microphone>,
    handle: SceneHandle,
    cues: Receiver<Cue>,
    period: Duration,
    due: Instant,
}

impl Studio {
    /// Draws the backgrounds, then starts the threads; handles come in the order of `cameras`.
    pub fn start(config: StudioConfig, cameras: Vec<CameraConfig>) -> Result<Self, StudioError> {
        let threads = config.threads.clamp(1, 16).min(cameras.len().max(1));
        let closing = Arc::new(AtomicBool::new(false));
        let mut desks: Vec<Vec<Desk>> = (0..threads).map(|_| Vec::new()).collect();
        let mut scenes = Vec::new();
        let now = Instant::now();
        for (n, camera) in cameras.into_iter().enumerate() {
            let fps = camera.fps.clamp(1, 60);
            let encoder = Encoder::new(fps as f32, camera.bitrate_kbps, fps)
                .map_err(|source| StudioError::Encoder { camera: camera.name.clone(), source })?;
            let (cues, waiting) = sync_channel(CUES);
            let source = LiveSource::with_sound(camera.name.clone(), fps as f32, camera.sound);
            let microphone = camera.sound.map(Microphone::new);
            let handle = SceneHandle { name: camera.name.as_str().into(), source, cues, counters: Arc::default() };
            scenes.push(handle.clone());
            let period = Duration::from_secs(1) / fps;
            // Cameras take turns within a period, so that their key frames do not come all at once.
            let due = now + period * (n as u32 % 6) / 6;
            let camera = Camera::new(camera, config.faces.clone());
            desks[n % threads].push(Desk { camera, encoder, microphone, handle, cues: waiting, period, due });
        }
        let studio = Self { scenes, closing, threads: Mutex::default() };
        for (n, desks) in desks.into_iter().enumerate() {
            let (closing, zone) = (studio.closing.clone(), config.zone.clone());
            let thread = std::thread::Builder::new()
                .name(format!("studio-{n}"))
                .spawn(move || work(desks, &closing, &zone))
                .map_err(StudioError::Thread)?;
            studio.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(studio)
    }

    /// The cameras, in the order they were given.
    pub fn scenes(&self) -> &[SceneHandle] {
        &self.scenes
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        for thread in self.threads.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                error!("A thread of the virtual cameras had panicked");
            }
        }
    }
}

fn work(mut desks: Vec<Desk>, closing: &AtomicBool, zone: &TimeZone) {
    let start = Instant::now();
    while !closing.load(Ordering::Relaxed) {
        let Some(desk) = desks.iter_mut().min_by_key(|d| d.due) else { return };
        let wait = desk.due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            std::thread::park_timeout(wait);
            continue;
        }
        desk.turn(start, zone);
    }
}

impl Desk {
    /// One picture of one camera.
    fn turn(&mut self, start: Instant, zone: &TimeZone) {
        let now = Instant::now();
        let t = (now - start).as_secs_f32();
        let was_frozen = self.camera.frozen();
        // No more than one queue a turn: who keeps cueing must not keep the picture waiting.
        for cue in self.cues.try_iter().take(CUES) {
            if !self.camera.cue(&cue, t) {
                warn!(camera = %self.handle.name, "A cue means nothing to this virtual camera's scene");
            }
        }
        self.due += self.period;
        let late = now.saturating_duration_since(self.due).as_nanos() / self.period.as_nanos();
        if late > 0 {
            self.due += self.period * late as u32;
            self.handle.counters.skipped.fetch_add(late as u64, Ordering::Relaxed);
        }
        if self.camera.frozen() {
            return;
        }
        if was_frozen {
            self.encoder.restart_group();
        }
        let captured = SystemTime::now();
        let epoch_ms = captured.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let clock = clock(epoch_ms, zone);
        let picture = self.camera.picture(t, &clock, epoch_ms);
        match self.encoder.publish(picture, to_clock(now - start), captured, &self.handle.source) {
            Ok(bytes) => {
                self.handle.counters.pictures.fetch_add(1, Ordering::Relaxed);
                self.handle.counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            }
            Err(error) => warn!(camera = %self.handle.name, %error, "A virtual camera lost a picture"),
        }
        for frame in self.microphone.iter_mut().flat_map(|microphone| microphone.take(captured)) {
            self.handle.source.publish_sound(frame);
        }
    }
}

/// Local time with milliseconds, as cameras burn it in.
pub fn clock(epoch_ms: u64, zone: &TimeZone) -> String {
    let moment = jiff::Timestamp::from_millisecond(epoch_ms as i64).unwrap_or_default();
    let local = zone.to_datetime(moment);
    format!("{} {}.{:03}", local.date(), local.strftime("%H:%M:%S"), local.millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtsp::AccessUnit;
    use crate::scene::{SceneKind, strip};
    use openh264::formats::YUVSource as _;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn studio() -> Studio {
        let camera = CameraConfig { fps: 12, ..CameraConfig::new("Wall", SceneKind::Perimeter) };
        Studio::start(StudioConfig { zone: TimeZone::UTC, ..StudioConfig::default() }, vec![camera]).expect("started")
    }

    async fn next(listener: &mut crate::rtsp::source::Listener) -> Arc<AccessUnit> {
        tokio::time::timeout(PATIENCE, listener.next()).await.expect("in time").expect("a picture")
    }

    #[tokio::test]
    async fn a_camera_sends_a_key_frame_every_second_and_its_moment_is_read_back() {
        let studio = studio();
        let source = studio.scenes()[0].source();
        let mut listener = source.listen().expect("room");
        let first = next(&mut listener).await;
        assert!(first.key);
        let mut group = vec![first];
        let second = loop {
            let unit = next(&mut listener).await;
            if unit.key {
                break unit;
            }
            group.push(unit);
        };
        assert_eq!(group.len(), 12);
        // A busy machine leaves pictures out, so a group may last longer; its first picture may have been late.
        assert!(second.pts - group[0].pts > 60_000, "{} to {}", group[0].pts, second.pts);
        let sets = source.parameter_sets().expect("sets");
        let mut decoder = openh264::decoder::Decoder::new().expect("a decoder");
        let mut read = 0;
        for unit in &group {
            let mut stream = Vec::new();
            for nal in [&sets.sps, &sets.pps].into_iter().filter(|_| unit.key).chain(&unit.nals) {
                stream.extend_from_slice(&[0, 0, 0, 1]);
                stream.extend_from_slice(nal);
            }
            if let Some(yuv) = decoder.decode(&stream).expect("decodable") {
                let taken = unit.captured.duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
                let (w, h) = yuv.dimensions();
                let luma: Vec<u8> = yuv.y().chunks(yuv.strides().0).flat_map(|row| &row[..w]).copied().collect();
                assert_eq!(strip::read(&luma, w, h, taken), Some(taken));
                read += 1;
            }
        }
        assert!(read >= 11, "{read} pictures decoded");
    }

    #[tokio::test]
    async fn a_frozen_camera_sends_nothing_and_comes_back_with_a_key_frame() {
        let studio = studio();
        let scene = &studio.scenes()[0];
        let source = scene.source();
        let mut listener = source.listen().expect("room");
        next(&mut listener).await;
        assert!(scene.cue(Cue::Freeze(true)));
        // The cue takes effect with the next picture's turn; after that the queue runs dry.
        let silence = Duration::from_millis(1_500);
        while tokio::time::timeout(silence, listener.next()).await.is_ok() {}
        let published = source.published();
        assert!(scene.cue(Cue::Freeze(false)));
        assert!(next(&mut listener).await.key);
        assert!(source.published() > published);
    }

    #[test]
    fn cues_are_bounded() {
        let camera = CameraConfig { fps: 1, ..CameraConfig::new("Wall", SceneKind::Perimeter) };
        let studio = Studio::start(StudioConfig::default(), vec![camera]).expect("started");
        let scene = &studio.scenes()[0];
        let refused = (0..CUES * 4).filter(|_| !scene.cue(Cue::Intruder)).count() as u64;
        assert!(refused > 0);
        assert_eq!(scene.stats().cues_dropped, refused);
    }

    #[test]
    fn the_clock_is_local_with_milliseconds() {
        let shanghai = TimeZone::fixed(jiff::tz::offset(8));
        assert_eq!(clock(1_795_000_000_007, &shanghai), "2026-11-18 19:06:40.007");
        assert_eq!(clock(u64::MAX, &TimeZone::UTC).len(), 23);
    }
}
