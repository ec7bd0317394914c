//! The recorder: every camera's pictures to disk, and clips back out.
//!
//! ```text
//!  units ──bounded queue──▶ writer (one thread per disk) ──parts of ≤ 0.5 s──▶ 60 s fragmented MP4 segments
//!                                                    index ◀──names──┘      retention ──removes the oldest
//!  clip ◀── flush, read, cut exactly ── index                               pins ──kept
//!  playback ◀── whole groups of pictures, as they lie there ── index
//! ```
//! kill -9 loses what the current part held: less than half a second. A power cut loses up to [`SYNC_EVERY`], nothing of a
//! pinned range. A full disk costs the parts that did not fit: the oldest segments go, recording continues at the next key
//! frame, and an error says so once.

pub mod clip;
pub mod fmp4;
pub mod index;
pub mod playback;
pub mod retention;
mod writer;

pub use clip::{Clip, ClipError};
pub use playback::Piece;
pub use retention::Retention;
pub use writer::{Disk, LocalDisk, PART, SEGMENT, SYNC_EVERY};

use crate::hub::AccessUnit;
use gatehouse_core::id::DeviceKey;
use index::{Catalogue, Span};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use writer::{Command, Writer};

/// Units that may wait for the writer: some ten seconds of sixteen cameras. Beyond, a camera pauses until a key frame.
const QUEUE_MAX: usize = 4096;
/// Pieces of recording put together at the same time, each some 50 MB at most; further askers wait.
const READERS: usize = 6;

/// Told of a problem: a code to count, the camera, a sentence.
pub type OnError = Arc<dyn Fn(&'static str, &DeviceKey, &str) + Send + Sync>;

/// Records any number of cameras below one directory.
pub struct Recorder {
    recordings: PathBuf,
    commands: SyncSender<Command>,
    shared: Arc<Shared>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    readers: tokio::sync::Semaphore,
}

/// What the writer, the readers and the tracks all see.
#[derive(Debug, Default)]
struct Shared {
    catalogues: Mutex<BTreeMap<DeviceKey, Catalogue>>,
    written: AtomicU64,
    dropped: AtomicU64,
    /// Whether nothing is recorded for want of room.
    held: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceKey, Catalogue>> {
        self.catalogues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One camera's way into the recorder.
#[derive(Debug)]
pub struct Track {
    key: DeviceKey,
    commands: SyncSender<Command>,
    shared: Arc<Shared>,
    /// Whether the queue was full, so that units are left out until a key frame.
    paused: AtomicBool,
    state: Arc<writer::Health>,
}

impl Track {
    /// Hands a unit to the writer; never waits. When the queue is full the camera pauses until its next key frame.
    pub fn record(&self, unit: &Arc<AccessUnit>) {
        let held = self.shared.held.load(Ordering::Relaxed);
        if held || (self.paused.load(Ordering::Relaxed) && !unit.key) {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            self.paused.store(true, Ordering::Relaxed);
            return;
        }
        match self.commands.try_send(Command::Unit { key: self.key.clone(), unit: unit.clone() }) {
            Ok(()) => self.paused.store(false, Ordering::Relaxed),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                self.paused.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Ends the camera's file. Its recordings stay known.
    pub fn close(&self) {
        // When the queue is full the writer closes it with the gap that follows, or at the end.
        let _ = self.commands.try_send(Command::Close { key: self.key.clone() });
    }

    /// Whether the last part reached the disk.
    pub fn recording(&self) -> bool {
        self.state.recording() && !self.shared.held.load(Ordering::Relaxed)
    }
}

impl Recorder {
    /// Opens the directory, making it where it is missing, and starts the writer.
    pub fn start(recordings: &Path, policy: Retention, disk: Arc<dyn Disk>, on_error: OnError) -> io::Result<Self> {
        std::fs::create_dir_all(recordings)?;
        let (commands, queue) = std::sync::mpsc::sync_channel(QUEUE_MAX);
        let shared = Arc::new(Shared::default());
        let writer = Writer::new(recordings.to_owned(), policy, shared.clone(), disk, on_error);
        let thread = std::thread::Builder::new().name("recorder".into()).spawn(move || writer.run(&queue))?;
        Ok(Self {
            recordings: recordings.to_owned(),
            commands,
            shared,
            thread: Mutex::new(Some(thread)),
            readers: tokio::sync::Semaphore::new(READERS),
        })
    }

    /// Makes a camera's earlier recordings known, closing what a crash left open. Needed before its clips are read.
    pub fn know(&self, key: &DeviceKey) -> io::Result<()> {
        if self.shared.lock().contains_key(key) {
            return Ok(());
        }
        let catalogue = index::load(&index::camera_dir(&self.recordings, key))?;
        self.shared.lock().entry(key.clone()).or_insert(catalogue);
        Ok(())
    }

    /// Opens a camera's way in, knowing its earlier recordings.
    pub fn track(&self, key: &DeviceKey) -> io::Result<Track> {
        self.know(key)?;
        let state = Arc::new(writer::Health::default());
        let open = Command::Open { key: key.clone(), health: state.clone() };
        self.commands.send(open).map_err(|_| stopped())?;
        Ok(Track {
            key: key.clone(),
            commands: self.commands.clone(),
            shared: self.shared.clone(),
            paused: AtomicBool::new(false),
            state,
        })
    }

    /// Writes what the current part holds; with `sync`, through to the disk.
    pub async fn flush(&self, key: &DeviceKey, sync: bool) -> io::Result<()> {
        self.ask(|reply| Command::Flush { key: key.clone(), sync, reply }).await
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Command) -> io::Result<()> {
        let (reply, answer) = oneshot::channel();
        let mut command = command(reply);
        loop {
            match self.commands.try_send(command) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) => {
                    command = back;
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                Err(TrySendError::Disconnected(_)) => return Err(stopped()),
            }
        }
        answer.await.map_err(|_| stopped())?
    }

    /// Cuts an exact clip: the pictures taken in `from ≤ t < to`, up to the newest that arrived.
    pub async fn clip(&self, key: &DeviceKey, from: Timestamp, to: Timestamp) -> Result<Clip, ClipError> {
        let span = span(from, to)?;
        self.flush(key, false).await?;
        let (shared, key) = (self.shared.clone(), key.clone());
        let cut = move || {
            let segments = shared.lock().get(&key).map(|known| known.overlapping(&span)).unwrap_or_default();
            match clip::cut(&segments, &span) {
                // A segment was closed, and so renamed, between looking and opening.
                Err(ClipError::Read(error)) if error.kind() == io::ErrorKind::NotFound => {
                    let segments = shared.lock().get(&key).map(|known| known.overlapping(&span)).unwrap_or_default();
                    clip::cut(&segments, &span)
                }
                other => other,
            }
        };
        tokio::task::spawn_blocking(cut).await.map_err(|_| ClipError::Read(stopped()))?
    }

    /// Gives whole groups of pictures from the key frame at or before `from` up to the first at or after `to`, or fewer; in
    /// a gap, what comes after it. Reaches up to the newest picture that arrived.
    pub async fn piece(&self, key: &DeviceKey, from: Timestamp, to: Timestamp) -> Result<Piece, ClipError> {
        let span = span(from, to)?;
        // The semaphore is never closed.
        let _turn = self.readers.acquire().await.map_err(|_| stopped())?;
        let newest = self.extent(key).map_or(i64::MIN, |(_, last)| last.as_microsecond());
        if span.end > newest {
            self.flush(key, false).await?;
        }
        let (shared, key) = (self.shared.clone(), key.clone());
        let cut = move || {
            let look = || shared.lock().get(&key).map(|known| known.from_moment(&span)).unwrap_or_default();
            let (segments, later) = look();
            match playback::cut(&segments, later, &span) {
                // A segment was closed, and so renamed, between looking and opening.
                Err(ClipError::Read(error)) if error.kind() == io::ErrorKind::NotFound => {
                    let (segments, later) = look();
                    playback::cut(&segments, later, &span)
                }
                other => other,
            }
        };
        tokio::task::spawn_blocking(cut).await.map_err(|_| ClipError::Read(stopped()))?
    }

    /// When something of a camera is recorded within a span, oldest first. Holes of up to `hole` count as none.
    pub fn stretches(
        &self,
        key: &DeviceKey,
        from: Timestamp,
        to: Timestamp,
        hole: SignedDuration,
    ) -> Vec<(Timestamp, Timestamp)> {
        let span = from.as_microsecond()..to.as_microsecond();
        let hole_us = i64::try_from(hole.as_micros()).unwrap_or(i64::MAX);
        let found = self.shared.lock().get(key).map(|known| known.stretches(&span, hole_us)).unwrap_or_default();
        let at = |us| Timestamp::from_microsecond(us).unwrap_or_default();
        found.into_iter().map(|span| (at(span.start), at(span.end))).collect()
    }

    /// Keeps a range from retention until [`unpin`](Self::unpin); durable, and what is there is on the disk, when it returns.
    pub async fn pin(&self, key: &DeviceKey, from: Timestamp, to: Timestamp) -> Result<(), ClipError> {
        let span = span(from, to)?;
        self.change_pins(key, move |pins| {
            let new = !pins.contains(&span);
            if new {
                pins.push(span);
            }
            new
        })
        .await?;
        Ok(self.flush(key, true).await?)
    }

    /// Lets a pinned range go; whether it was pinned.
    pub async fn unpin(&self, key: &DeviceKey, from: Timestamp, to: Timestamp) -> Result<bool, ClipError> {
        let span = span(from, to)?;
        self.change_pins(key, move |pins| {
            let before = pins.len();
            pins.retain(|pin| *pin != span);
            pins.len() != before
        })
        .await
    }

    async fn change_pins(
        &self,
        key: &DeviceKey,
        change: impl FnOnce(&mut Vec<Span>) -> bool + Send + 'static,
    ) -> Result<bool, ClipError> {
        self.know(key)?;
        let (shared, key, dir) = (self.shared.clone(), key.clone(), index::camera_dir(&self.recordings, key));
        let saved = tokio::task::spawn_blocking(move || {
            // The lock is held over the write so that two changes reach the disk in their order.
            let mut catalogues = shared.lock();
            let pins = &mut catalogues.entry(key).or_default().pins;
            let changed = change(pins);
            if changed {
                index::save_pins(&dir, pins)?;
            }
            Ok::<_, io::Error>(changed)
        });
        Ok(saved.await.map_err(|_| stopped())??)
    }

    /// What is recorded of a camera, as the first and last instant; `None` when nothing is.
    pub fn extent(&self, key: &DeviceKey) -> Option<(Timestamp, Timestamp)> {
        let catalogues = self.shared.lock();
        let segments = &catalogues.get(key)?.segments;
        let (first, last) = (segments.values().next()?, segments.values().next_back()?);
        Some((Timestamp::from_microsecond(first.start_us).ok()?, Timestamp::from_microsecond(last.end_us).ok()?))
    }

    /// Records nothing while `on`; what is recorded stays, retention goes on, and recording continues at a key frame.
    pub fn hold(&self, on: bool) {
        self.shared.held.store(on, Ordering::Relaxed);
    }

    /// Units written, units lost to a full queue or disk.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.written.load(Ordering::Relaxed), self.shared.dropped.load(Ordering::Relaxed))
    }

    /// Writes and closes everything.
    pub async fn stop(&self) {
        // An error means that it is stopped already.
        let _ = self.ask(|reply| Command::Stop { reply }).await;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

fn span(from: Timestamp, to: Timestamp) -> Result<Span, ClipError> {
    if from < to { Ok(from.as_microsecond()..to.as_microsecond()) } else { Err(ClipError::Empty) }
}

fn stopped() -> io::Error {
    io::Error::other("the recorder has stopped")
}

#[cfg(test)]
mod tests;
