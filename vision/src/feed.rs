//! One stream of a camera as its task sees it: who is told of its pictures, and how it does.
//!
//! A camera has a main stream, which is recorded and shown large, and may have a sub-stream, which is shown small and looked
//! at. Each is one session however many watch; without a sub-stream the main one does everything.

use crate::audio::{AudioConfig, AudioFrame};
use crate::hub::{AccessUnit, Hub, Loss};
use crate::pipeline::Analysis;
use crate::pipeline::pool::Sink;
use crate::problems::Problems;
use crate::recorder::Track;
use crate::rtsp::Listener;
use gatehouse_core::id::{DeviceId, DeviceKey};
use gatehouse_core::recognition::{Observation, Seen};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;

/// Key frames further apart make the first picture and exact clips slow.
const SPARSE_KEYS_MS: u32 = 6_000;
/// A camera's clock may be off by so much before it is worth a remark: its own burnt-in time misleads whoever looks.
const CLOCK_OFF_MS: i64 = 2_000;
/// No sender report yet.
const UNKNOWN: i64 = i64::MIN;

/// Which stream of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// The large one.
    Main,
    /// The small one, where the camera has one.
    #[default]
    Sub,
}

/// How one stream does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamStatus {
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
    /// RFC 6381 name of what is heard as it is recorded; empty where nothing is.
    pub audio: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Who watches now.
    pub viewers: u32,
    /// Sessions opened again.
    pub restarts: u64,
    /// When the newest frame was taken.
    pub last_frame_at: Option<Timestamp>,
    /// Between the last key frames, or since the last where that is longer.
    pub key_interval_ms: Option<u32>,
    /// The camera's clock by its sender reports, minus ours.
    pub clock_off_ms: Option<i64>,
    /// What an engineer should see to: `sparse_keys`, `clock_off`.
    pub remarks: Vec<&'static str>,
}

/// One stream.
pub(crate) struct Feed {
    pub(crate) which: Which,
    pub(crate) id: DeviceId,
    pub(crate) key: DeviceKey,
    pub(crate) hub: Arc<Hub>,
    pub(crate) track: Option<Track>,
    pub(crate) analysis: Option<Analysis>,
    pub(crate) sink: Sink,
    pub(crate) problems: Arc<Problems>,
    progress: Progress,
}

/// What changes while a stream runs.
#[derive(Default)]
struct Progress {
    /// `None` before the first word; then why it is lost, or that it is not.
    state: Mutex<Option<Option<Loss>>>,
    restarts: AtomicU64,
    arrived: AtomicU64,
    last_frame_us: AtomicI64,
    clock_off_ms: AtomicI64,
    audio: Mutex<Option<Arc<AudioConfig>>>,
    task: Mutex<Option<AbortHandle>>,
}

impl Feed {
    /// A stream of a camera that has not begun.
    pub(crate) fn new(which: Which, key: &DeviceKey, hub: Hub, sink: Sink, problems: Arc<Problems>) -> Self {
        let progress = Progress {
            last_frame_us: AtomicI64::new(i64::MIN),
            clock_off_ms: AtomicI64::new(UNKNOWN),
            ..Progress::default()
        };
        let (id, key, hub) = (key.id(), key.clone(), Arc::new(hub));
        Self { which, id, key, hub, track: None, analysis: None, sink, problems, progress }
    }

    /// Remembers the task that ends with the stream.
    pub(crate) fn runs(&self, task: AbortHandle) {
        *lock(&self.progress.task) = Some(task);
    }

    /// Ends the session and lets viewers go.
    pub(crate) fn end(&self) {
        if let Some(task) = lock(&self.progress.task).take() {
            task.abort();
        }
        self.hub.close();
    }

    /// Pictures that arrived.
    pub(crate) fn arrived(&self) -> u64 {
        self.progress.arrived.load(Ordering::Relaxed)
    }

    /// Whether its pictures reach the disk.
    pub(crate) fn recording(&self) -> bool {
        self.track.as_ref().is_some_and(Track::recording) && *lock(&self.progress.state) == Some(None)
    }

    /// How it does.
    pub(crate) fn status(&self) -> StreamStatus {
        let state = *lock(&self.progress.state);
        let config = self.hub.config();
        let (fps, kbps) = self.hub.rate();
        let key_interval_ms = self.hub.key_interval().map(|span| span.as_millis().try_into().unwrap_or(u32::MAX));
        let clock_off_ms = Some(self.progress.clock_off_ms.load(Ordering::Relaxed)).filter(|off| *off != UNKNOWN);
        StreamStatus {
            live: state == Some(None),
            reason: match state {
                None => "starting".into(),
                Some(None) => String::new(),
                Some(Some(loss)) => loss.code().into(),
            },
            fps,
            kbps,
            codec: config.as_ref().map(|config| config.codec.clone()).unwrap_or_default(),
            audio: lock(&self.progress.audio).as_ref().map(|audio| audio.codec.clone()).unwrap_or_default(),
            width: config.as_ref().map_or(0, |config| config.width),
            height: config.as_ref().map_or(0, |config| config.height),
            viewers: self.hub.viewers(),
            restarts: self.progress.restarts.load(Ordering::Relaxed),
            last_frame_at: Timestamp::from_microsecond(self.progress.last_frame_us.load(Ordering::Relaxed)).ok(),
            key_interval_ms,
            clock_off_ms,
            remarks: remarks(key_interval_ms, clock_off_ms),
        }
    }
}

fn remarks(key_interval_ms: Option<u32>, clock_off_ms: Option<i64>) -> Vec<&'static str> {
    let sparse = key_interval_ms.is_some_and(|ms| ms > SPARSE_KEYS_MS).then_some("sparse_keys");
    let off = clock_off_ms.is_some_and(|ms| ms.saturating_abs() > CLOCK_OFF_MS).then_some("clock_off");
    sparse.into_iter().chain(off).collect()
}

impl Listener for Feed {
    fn unit(&self, unit: &Arc<AccessUnit>, late: Duration) {
        self.progress.arrived.fetch_add(1, Ordering::Relaxed);
        self.progress.last_frame_us.store(unit.captured.as_microsecond(), Ordering::Relaxed);
        if let Some(track) = &self.track {
            track.record(unit);
        }
        if let Some(analysis) = &self.analysis {
            analysis.push(unit, late);
        }
    }

    fn audio(&self, frame: &Arc<AudioFrame>) {
        let mut known = lock(&self.progress.audio);
        if !known.as_ref().is_some_and(|known| Arc::ptr_eq(known, &frame.config)) {
            *known = Some(frame.config.clone());
        }
        drop(known);
        if let Some(track) = &self.track {
            track.record_audio(frame);
        }
    }

    fn state(&self, lost: Option<Loss>) {
        *lock(&self.progress.state) = Some(lost);
        // The camera is as its main stream is: that is the one with the evidence.
        if self.which == Which::Sub {
            return;
        }
        (self.sink)(Observation {
            camera: self.id,
            observed_at: Timestamp::now(),
            latency_ms: 0,
            picture: None,
            seen: Seen::Stream { live: lost.is_none(), reason: lost.map(Loss::code).unwrap_or_default().to_owned() },
        });
    }

    fn error(&self, code: &'static str, text: &str) {
        match self.which {
            Which::Main => self.problems.note(code, Some(&self.key), text),
            Which::Sub => self.problems.note(code, Some(&self.key), &format!("sub-stream: {text}")),
        }
    }

    fn restarted(&self) {
        self.progress.restarts.fetch_add(1, Ordering::Relaxed);
    }

    fn clock(&self, off_ms: i64) {
        self.progress.clock_off_ms.store(off_ms, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_key_frames_and_a_wrong_clock_are_remarked() {
        assert!(remarks(None, None).is_empty());
        assert!(remarks(Some(2_000), Some(-900)).is_empty());
        assert_eq!(remarks(Some(10_000), Some(-3_600_000)), ["sparse_keys", "clock_off"]);
        assert_eq!(remarks(None, Some(i64::MAX)), ["clock_off"]);
    }
}
