//! A disk with recordings: whether it takes what is written, as its writer and those who hand pictures over see it.
//!
//! ```text
//!            ┌──── an append fails, nothing can be freed ────▶ failing ──┐
//!  well ─────┤                                                           ├── a write or the probe succeeds ──▶ well
//!            └──── a call lasts 3 s, the queue is full ──────▶ slow ─────┘
//! ```
//! Cameras of a disk that is not well are recorded on another one from their next key frame, and come home when it is. With
//! one disk only, every key frame tries again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A call to the disk that lasts so long means that it hangs.
pub const SLOW: Duration = Duration::from_secs(3);
/// For so long after its queue was full a disk counts as slow.
const BEHIND: Duration = Duration::from_secs(5);
/// How often a disk that fails is tried.
pub const PROBE_EVERY: Duration = Duration::from_secs(2);
/// Bytes that must be free before a full disk is well again: some segments of one camera.
const PROBE_FREE: u64 = 64 << 20;
/// Written at the first start into a directory of its own disk: without it the disk is not mounted.
const MARKER: &str = ".gatehouse-recordings";

/// The disk: what may fail, so that tests can make it.
pub trait Disk: Send + Sync + 'static {
    /// Appends bytes to a file.
    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
    /// Bytes free for us where `path` is.
    fn free(&self, path: &Path) -> io::Result<u64>;
}

/// The machine's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn free(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// How a disk does.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DiskStatus {
    /// The directory on it.
    pub dir: PathBuf,
    /// `disk_failed`, `disk_full`, `disk_slow`; empty when it is well.
    pub code: &'static str,
    /// What the system said.
    pub text: String,
    /// Whether nothing is recorded there for want of room.
    pub held: bool,
}

/// The state of one disk, shared by its writer, the tracks and who asks.
#[derive(Debug)]
pub struct DiskState {
    dir: PathBuf,
    /// Whether it must carry its marker.
    guarded: bool,
    began: Instant,
    /// When the call that lasts began, ms after `began` plus one; 0 between calls.
    busy: AtomicU64,
    /// When its queue was last full, the same way.
    behind: AtomicU64,
    failing: AtomicBool,
    trouble: Mutex<Option<(&'static str, String)>>,
    held: AtomicBool,
    /// Whether what lies there was never read, because it could not be.
    unread: AtomicBool,
}

impl DiskState {
    /// Prepares a directory. `guarded`: it has a disk of its own, so that without its marker it is taken for not mounted.
    pub fn open(dir: PathBuf, guarded: bool) -> Self {
        let state = Self {
            dir,
            guarded,
            began: Instant::now(),
            busy: AtomicU64::new(0),
            behind: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            trouble: Mutex::default(),
            held: AtomicBool::new(false),
            unread: AtomicBool::new(false),
        };
        if let Err(error) = state.prepare() {
            state.cannot_read(&error);
        }
        state
    }

    fn prepare(&self) -> io::Result<()> {
        if !self.guarded {
            return fs::create_dir_all(&self.dir);
        }
        match fs::create_dir(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        if fs::read_dir(&self.dir)?.next().is_none() {
            File::create(self.dir.join(MARKER))?.sync_all()?;
        }
        self.there()
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether a file may be begun: what lies there was read, and the disk is mounted, for an empty mount point must not
    /// fill the disk below it.
    pub fn ready(&self) -> io::Result<()> {
        if self.unread.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the disk was away and is not read yet"));
        }
        self.there()
    }

    /// Whether the disk is mounted, as far as a marker can say.
    pub fn there(&self) -> io::Result<()> {
        if self.guarded && !self.dir.join(MARKER).exists() {
            let text = format!("{} has no file {MARKER}: is its disk mounted?", self.dir.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        Ok(())
    }

    /// Tries to write; an error says why it cannot be recorded there.
    pub fn probe(&self, disk: &dyn Disk) -> io::Result<()> {
        if !self.guarded {
            fs::create_dir_all(&self.dir)?;
        }
        self.there()?;
        if disk.free(&self.dir)? < PROBE_FREE {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let path = self.dir.join("probe.new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&path)?;
        let tried = disk.append(&mut file, b"gatehouse").and_then(|()| file.sync_data());
        fs::remove_file(&path)?;
        tried
    }

    /// A call begins.
    pub fn begin(&self) {
        self.busy.store(self.now(), Ordering::Relaxed);
    }

    /// The call is over.
    pub fn end(&self) {
        self.busy.store(0, Ordering::Relaxed);
    }

    /// Its queue was full.
    pub fn fall_behind(&self) {
        self.behind.store(self.now(), Ordering::Relaxed);
    }

    /// It does not take what is written.
    pub fn fail(&self, code: &'static str, error: &io::Error) {
        *self.lock() = Some((code, error.to_string()));
        self.failing.store(true, Ordering::Relaxed);
    }

    /// What lies there could not be read: nothing is written before it was.
    pub fn cannot_read(&self, error: &io::Error) {
        self.unread.store(true, Ordering::Relaxed);
        self.fail("disk_failed", error);
    }

    /// It took what was written.
    pub fn succeed(&self) {
        if self.failing.swap(false, Ordering::Relaxed) {
            *self.lock() = None;
        }
    }

    /// Whether it fails, as far as its writer knows.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Whether it hangs or is too slow for its cameras.
    pub fn is_slow(&self) -> bool {
        let since = |at: &AtomicU64| {
            let at = at.load(Ordering::Relaxed);
            (at != 0).then(|| Duration::from_millis(self.now().saturating_sub(at)))
        };
        since(&self.busy).is_some_and(|lasts| lasts >= SLOW) || since(&self.behind).is_some_and(|ago| ago < BEHIND)
    }

    /// Holds recording there, for want of room.
    pub fn hold(&self, on: bool) {
        self.held.store(on, Ordering::Relaxed);
    }

    /// Whether recording is held there.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether cameras may be recorded there.
    pub fn is_well(&self) -> bool {
        !self.is_failing() && !self.is_slow() && !self.is_held()
    }

    /// Whether what lies there is still to be read; asked once.
    pub fn take_unread(&self) -> bool {
        self.unread.swap(false, Ordering::Relaxed)
    }

    /// How it does.
    pub fn status(&self) -> DiskStatus {
        let trouble = self.lock().clone();
        let slow =
            || self.is_slow().then(|| ("disk_slow", "it does not keep up with what is to be written".to_owned()));
        let (code, text) = trouble.or_else(slow).unwrap_or_default();
        DiskStatus { dir: self.dir.clone(), code, text, held: self.is_held() }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 + 1
    }

    fn lock(&self) -> MutexGuard<'_, Option<(&'static str, String)>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_mount_point_is_no_disk() {
        let place = tempfile::tempdir().unwrap();
        let mounted = place.path().join("disk");
        let state = DiskState::open(mounted.clone(), true);
        assert!(state.is_well() && state.there().is_ok());
        fs::rename(&mounted, place.path().join("unplugged")).unwrap();
        fs::create_dir(&mounted).unwrap();
        assert!(state.probe(&LocalDisk).unwrap_err().to_string().contains("is its disk mounted?"));
        fs::remove_dir(&mounted).unwrap();
        fs::rename(place.path().join("unplugged"), &mounted).unwrap();
        state.probe(&LocalDisk).unwrap();
        assert!(!mounted.join("probe.new").exists());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_told_and_read_later() {
        let place = tempfile::tempdir().unwrap();
        let state = DiskState::open(place.path().join("away/disk"), true);
        assert!(!state.is_well() && state.take_unread());
        assert_eq!(state.status().code, "disk_failed");
        state.succeed();
        assert_eq!((state.is_well(), state.status().code, state.take_unread()), (true, "", false));
    }

    #[test]
    fn a_call_that_lasts_and_a_full_queue_are_slow() {
        let place = tempfile::tempdir().unwrap();
        let mut state = DiskState::open(place.path().to_owned(), false);
        state.begin();
        assert!(!state.is_slow());
        state.began -= SLOW;
        assert!(state.is_slow() && state.status().code == "disk_slow");
        state.end();
        assert!(!state.is_slow());
        state.fall_behind();
        assert!(state.is_slow());
        state.began -= BEHIND;
        assert!(state.is_well());
    }
}
