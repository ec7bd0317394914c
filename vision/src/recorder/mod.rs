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
//! frame, and an error says so once. With several disks cameras are spread over them, and those of a disk that fails or hangs
//! are recorded on the others until it is back ([`disk`]).

pub mod clip;
pub mod disk;
pub mod fmp4;
pub mod index;
mod lane;
pub mod playback;
mod queue;
pub mod retention;
mod track;
mod writer;

pub use clip::{Clip, ClipError};
pub use disk::{Disk, DiskStatus, LocalDisk};
pub use playback::Piece;
pub use retention::{Keep, Retention};
pub use track::Track;
pub use writer::{PART, SEGMENT, SYNC_EVERY};

use disk::DiskState;
use gatehouse_core::id::DeviceKey;
use index::{Catalogue, Span};
use jiff::{SignedDuration, Timestamp};
use queue::{NotTaken, Sender};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use writer::{Command, Writer};

/// Pieces of recording put together at the same time, each some 50 MB at most; further askers wait.
const READERS: usize = 6;
/// Longest that a writer's answer is waited for: a disk that hangs must not keep who asks for a clip.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Told of a problem: a code to count, the camera, a sentence.
pub type OnError = Arc<dyn Fn(&'static str, &DeviceKey, &str) + Send + Sync>;

/// Records any number of cameras below one directory a disk.
pub struct Recorder {
    archive: Option<PathBuf>,
    disks: Arc<[Slot]>,
    shared: Arc<Shared>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    /// The disk a camera belongs to, by its place in the list.
    homes: Mutex<BTreeMap<DeviceKey, usize>>,
    readers: tokio::sync::Semaphore,
}

/// One disk and the way to its writer.
#[derive(Debug)]
struct Slot {
    commands: Sender,
    state: Arc<DiskState>,
}

/// What the writers, the readers and the tracks all see.
#[derive(Debug, Default)]
struct Shared {
    catalogues: Mutex<BTreeMap<DeviceKey, Catalogue>>,
    keeps: Mutex<BTreeMap<DeviceKey, Keep>>,
    written: AtomicU64,
    dropped: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceKey, Catalogue>> {
        self.catalogues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keeps(&self) -> MutexGuard<'_, BTreeMap<DeviceKey, Keep>> {
        self.keeps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// Opens the directories and starts a writer for each. One that cannot be opened is tried again and again; meanwhile
    /// its cameras are recorded on the others.
    ///
    /// `archive`: where earlier recordings lie, when the directories have disks of their own: those are then recorded on
    /// only while they carry the marker that the first start leaves there.
    pub fn start(
        dirs: Vec<PathBuf>,
        archive: Option<PathBuf>,
        policy: Retention,
        disk: Arc<dyn Disk>,
        on_error: OnError,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (mut slots, mut threads) = (Vec::new(), Vec::new());
        let states: Vec<_> = dirs.into_iter().map(|dir| Arc::new(DiskState::open(dir, archive.is_some()))).collect();
        for (n, state) in states.iter().enumerate() {
            let (commands, queue) = queue::queue();
            // What lies nowhere else is the first writer's to forget.
            let others = (n == 0).then(|| states[1..].iter().map(|other| other.dir().to_owned()).collect());
            let writer =
                Writer::new(state.clone(), others, policy.clone(), shared.clone(), disk.clone(), on_error.clone());
            let name = format!("recorder-{n}");
            threads.push(std::thread::Builder::new().name(name).spawn(move || writer.run(&queue))?);
            slots.push(Slot { commands, state: state.clone() });
        }
        let disks = slots.into();
        Ok(Self {
            archive,
            disks,
            shared,
            threads: Mutex::new(threads),
            homes: Mutex::default(),
            readers: tokio::sync::Semaphore::new(READERS),
        })
    }

    /// Makes a camera's earlier recordings known, closing what a crash left open. Needed before its clips are read.
    pub fn know(&self, key: &DeviceKey) -> io::Result<()> {
        if self.shared.lock().contains_key(key) {
            return Ok(());
        }
        let mut known = Catalogue::default();
        let disks = self.disks.iter().map(|slot| (slot.state.dir(), Some(&slot.state)));
        for (dir, state) in self.archive.iter().map(|dir| (dir.as_path(), None)).chain(disks) {
            match (index::load(&index::camera_dir(dir, key)), state) {
                (Ok(found), _) => known.merge(found),
                // The disk is away: it is read when it is back.
                (Err(error), Some(state)) if self.disks.len() > 1 => state.cannot_read(&error),
                (Err(error), _) => return Err(error),
            }
        }
        self.shared.lock().entry(key.clone()).or_insert(known);
        Ok(())
    }

    /// Opens a camera's way in, knowing its earlier recordings.
    pub fn track(&self, key: &DeviceKey, keep: Keep) -> io::Result<Track> {
        self.know(key)?;
        self.shared.keeps().insert(key.clone(), keep);
        let home = {
            let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
            let next = homes.len() % self.disks.len().max(1);
            *homes.entry(key.clone()).or_insert(next)
        };
        Track::open(key.clone(), home, self.disks.clone(), self.shared.clone())
    }

    /// How the disks do.
    pub fn disks(&self) -> Vec<DiskStatus> {
        self.disks.iter().map(|slot| slot.state.status()).collect()
    }

    /// Writes what the current part holds; with `sync`, through to the disk. A disk that hangs is passed over.
    pub async fn flush(&self, key: &DeviceKey, sync: bool) -> io::Result<()> {
        for slot in self.disks.iter().filter(|slot| !slot.state.is_slow()) {
            ask(slot, |reply| Command::Flush { key: key.clone(), sync, reply }).await?;
        }
        Ok(())
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
                    let mut segments =
                        shared.lock().get(&key).map(|known| known.overlapping(&span)).unwrap_or_default();
                    // What lies on a disk that is away is missing, and the clip says that it is not complete.
                    segments.retain(|segment| segment.path.exists());
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
                    let (mut segments, later) = look();
                    // What lies on a disk that is away is passed over like a gap.
                    segments.retain(|segment| segment.path.exists());
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
        let (shared, disks, key) = (self.shared.clone(), self.disks.clone(), key.clone());
        let saved = tokio::task::spawn_blocking(move || {
            // The lock is held over the write so that two changes reach the disk in their order.
            let mut catalogues = shared.lock();
            let pins = &mut catalogues.entry(key.clone()).or_default().pins;
            let changed = change(pins);
            if changed {
                save_pins(&disks, &key, pins)?;
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

    /// Records nothing while `on` on the disk where `near` is; what is recorded stays, retention goes on, and recording
    /// continues at a key frame.
    pub fn hold(&self, on: bool, near: &Path) {
        let device = |path: &Path| rustix::fs::stat(path).map(|stat| stat.st_dev).ok();
        let near = device(near);
        for slot in self.disks.iter() {
            let same = match (near, device(slot.state.dir())) {
                (Some(near), Some(there)) => near == there,
                (None, _) | (_, None) => true,
            };
            slot.state.hold(on && same);
        }
    }

    /// Units written, units lost to a full queue or disk.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.written.load(Ordering::Relaxed), self.shared.dropped.load(Ordering::Relaxed))
    }

    /// Writes and closes everything; a disk that hangs is left to itself.
    pub async fn stop(&self) {
        let mut stopped = true;
        for slot in self.disks.iter() {
            // An error means that it is stopped already, or hangs.
            let outcome = ask(slot, |reply| Command::Stop { reply }).await;
            stopped &= !outcome.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut);
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        if stopped {
            let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
            let _ = tokio::task::spawn_blocking(join).await;
        }
    }
}

async fn ask(slot: &Slot, command: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Command) -> io::Result<()> {
    let (reply, answer) = oneshot::channel();
    let mut command = command(reply);
    let asked = Instant::now();
    loop {
        match slot.commands.send(command) {
            Ok(()) => break,
            Err(NotTaken::Full(_)) if asked.elapsed() >= ANSWER_MAX => return Err(hangs(slot)),
            Err(NotTaken::Full(back)) => {
                command = back;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(NotTaken::Stopped) => return Err(stopped()),
        }
    }
    match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(answer) => answer.map_err(|_| stopped())?,
        Err(_) => Err(hangs(slot)),
    }
}

/// Keeps the ranges on every disk that is well, so that none is needed to know them; one is enough.
fn save_pins(disks: &[Slot], key: &DeviceKey, pins: &[Span]) -> io::Result<()> {
    let mut outcome = None;
    let well = |slot: &&Slot| !slot.state.is_failing() && !slot.state.is_slow();
    let some_are_well = disks.iter().any(|slot| well(&slot));
    for slot in disks.iter().filter(|slot| !some_are_well || well(slot)) {
        let saved = slot.state.ready().and_then(|()| index::save_pins(&index::camera_dir(slot.state.dir(), key), pins));
        outcome = match outcome {
            Some(Ok(())) => outcome,
            None | Some(Err(_)) => Some(saved),
        };
    }
    outcome.unwrap_or_else(|| Err(stopped()))
}

fn hangs(slot: &Slot) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the disk with {} does not answer", slot.state.dir().display()))
}

fn span(from: Timestamp, to: Timestamp) -> Result<Span, ClipError> {
    if from < to { Ok(from.as_microsecond()..to.as_microsecond()) } else { Err(ClipError::Empty) }
}

fn stopped() -> io::Error {
    io::Error::other("the recorder has stopped")
}

#[cfg(test)]
mod tests;
