//! The thread that writes: parts to segments, segments to their final names, old ones away.

use super::disk::{Disk, DiskState, PROBE_EVERY};
use super::fmp4::{self, Sample};
use super::index::{self, Segment};
use super::queue::Receiver;
use super::retention::{self, Retention};
use super::{OnError, Shared};
use crate::audio::{AudioConfig, AudioFrame};
use crate::hub::{AccessUnit, StreamConfig};
use gatehouse_core::id::DeviceKey;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Length after which a part is written, on the pictures' clock and on ours: with one frame more, and the beats of who reads and
/// who writes, below half a second.
pub const PART: Duration = Duration::from_millis(320);
/// What can wait is taken together so often.
const BEAT: Duration = Duration::from_millis(50);
/// Length after which a segment ends at the next key frame.
pub const SEGMENT: Duration = Duration::from_secs(60);
/// Longest time written pictures wait for the disk itself.
pub const SYNC_EVERY: Duration = Duration::from_secs(5);
/// A gap this long ends the segment, so that no file claims time it does not hold.
const GAP: Duration = Duration::from_secs(10);
/// How often retention looks; it also looks when the disk is full.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How often a continuing problem is told again.
const REMIND_EVERY: Duration = Duration::from_secs(60);
/// Frames of audio that wait for pictures at most: some twenty seconds of what comes in the shortest packets.
const HEARD_MAX: usize = 1024;
/// Overlap or gap of frames of audio, ticks, that comes of rounding.
const ROUNDED: u64 = 2;
/// Shown time of a picture whose successor is not known yet, before any is: 25 fps.
const FRAME_TICKS: u32 = 3600;

/// Whether a camera's pictures reach the disk.
#[derive(Debug, Default)]
pub struct Health {
    recording: AtomicBool,
}

impl Health {
    pub fn recording(&self) -> bool {
        self.recording.load(Ordering::Relaxed)
    }
}

/// What the writer is asked.
#[derive(Debug)]
pub enum Command {
    Open { key: DeviceKey, health: Arc<Health> },
    Unit { key: DeviceKey, unit: Arc<AccessUnit> },
    Audio { key: DeviceKey, frame: Arc<AudioFrame> },
    Flush { key: DeviceKey, sync: bool, reply: oneshot::Sender<io::Result<()>> },
    Close { key: DeviceKey },
    Stop { reply: oneshot::Sender<io::Result<()>> },
}

impl Command {
    /// Whether it may wait for the next beat.
    pub fn can_wait(&self) -> bool {
        match self {
            Self::Unit { .. } | Self::Audio { .. } => true,
            Self::Open { .. } | Self::Flush { .. } | Self::Close { .. } | Self::Stop { .. } => false,
        }
    }
}

/// The state of the thread.
pub struct Writer {
    cameras: BTreeMap<DeviceKey, Camera>,
    place: Place,
    policy: Retention,
    swept: Instant,
    probed: Instant,
    /// Whether the disk was found full since it was last looked after.
    full: bool,
}

/// What all cameras share.
struct Place {
    state: Arc<DiskState>,
    /// The first writer's: the other disks. What lies on none of them is its own.
    others: Option<Vec<PathBuf>>,
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    on_error: OnError,
}

impl Writer {
    pub fn new(
        state: Arc<DiskState>,
        others: Option<Vec<PathBuf>>,
        policy: Retention,
        shared: Arc<Shared>,
        disk: Arc<dyn Disk>,
        on_error: OnError,
    ) -> Self {
        let place = Place { state, others, shared, disk, on_error };
        Self { cameras: BTreeMap::new(), place, policy, swept: Instant::now(), probed: Instant::now(), full: false }
    }

    /// Works until told to stop or until nobody can tell.
    pub fn run(mut self, queue: &Receiver) {
        while let Some(commands) = queue.take(BEAT) {
            for command in commands {
                self.place.state.begin();
                if let Command::Stop { reply } = command {
                    self.close_all();
                    let _ = reply.send(Ok(()));
                    return;
                }
                self.obey(command);
                if self.full {
                    self.look_after();
                }
            }
            self.place.state.begin();
            self.look_after();
            self.place.state.end();
        }
        self.close_all();
    }

    /// What is to be done though nobody asked: parts whose time is over, room, a disk that may be back.
    fn look_after(&mut self) {
        let mut full = std::mem::take(&mut self.full);
        for camera in self.cameras.values_mut() {
            camera.tick(&self.place);
            full |= std::mem::take(&mut camera.full);
        }
        if full || self.swept.elapsed() >= SWEEP_EVERY {
            let freed = self.sweep(full);
            if full && freed == 0 {
                self.place.state.fail("disk_full", &io::ErrorKind::StorageFull.into());
            }
        }
        if self.probed.elapsed() >= PROBE_EVERY {
            self.probed = Instant::now();
            self.probe();
        }
    }

    /// Tries a disk that fails, and notices one that is gone though its open files can still be written.
    fn probe(&mut self) {
        let state = &self.place.state;
        let tried = if state.is_failing() { state.probe(&*self.place.disk) } else { state.there() };
        match tried {
            Ok(()) if state.is_failing() => self.come_back(),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                state.fail("disk_full", &error);
                self.sweep(true);
            }
            Err(error) => state.fail("disk_failed", &error),
        }
    }

    /// A disk that could not be read at the start is read now.
    fn come_back(&self) {
        if self.place.state.take_unread() {
            let keys: Vec<_> = self.place.shared.lock().keys().cloned().collect();
            for key in keys {
                match index::load(&index::camera_dir(self.place.state.dir(), &key)) {
                    Ok(found) => self.place.shared.lock().entry(key).or_default().merge(found),
                    Err(error) => tracing::warn!(camera = %key, "Earlier recordings could not be read: {error}"),
                }
            }
        }
        tracing::info!(dir = %self.place.state.dir().display(), "The disk takes recordings again");
        self.place.state.succeed();
    }

    fn close_all(&mut self) {
        self.cameras.values_mut().for_each(|camera| drop(camera.close(&self.place)));
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Open { key, health } => {
                // The same camera with another address, say.
                self.close(&key);
                let dir = index::camera_dir(self.place.state.dir(), &key);
                self.cameras.insert(key.clone(), Camera::new(key, dir, health));
            }
            Command::Unit { key, unit } => {
                if let Some(camera) = self.cameras.get_mut(&key) {
                    camera.take(unit, &self.place);
                    self.full |= std::mem::take(&mut camera.full);
                }
            }
            Command::Audio { key, frame } => {
                if let Some(camera) = self.cameras.get_mut(&key) {
                    camera.hear(frame);
                }
            }
            Command::Flush { key, sync, reply } => {
                let done = self.cameras.get_mut(&key).map_or(Ok(()), |camera| camera.flush(sync, &self.place));
                let _ = reply.send(done);
            }
            Command::Close { key } => self.close(&key),
            Command::Stop { .. } => {}
        }
    }

    fn close(&mut self, key: &DeviceKey) {
        if let Some(mut camera) = self.cameras.remove(key) {
            let _ = camera.close(&self.place);
        }
    }

    /// Removes what retention chooses and lies here, and says how many segments that were. On a full disk at least the
    /// oldest goes, whatever the policy keeps free.
    fn sweep(&mut self, full: bool) -> usize {
        self.swept = Instant::now();
        let free = self.place.disk.free(self.place.state.dir()).unwrap_or(u64::MAX);
        let mut policy = self.policy.clone();
        if full {
            policy.min_free_bytes = policy.min_free_bytes.max(free.saturating_add(1));
        }
        let now_us = Timestamp::now().as_microsecond();
        let keeps = self.place.shared.keeps().clone();
        let paths: Vec<PathBuf> = {
            let mut catalogues = self.place.shared.lock();
            let here = |segment: &Segment| self.place.holds(&segment.path);
            retention::choose(&catalogues, &policy, &keeps, now_us, free, here)
                .into_iter()
                .filter_map(|(key, start)| catalogues.get_mut(&key)?.segments.remove(&start))
                .map(|segment| segment.path)
                .collect()
        };
        let count = paths.len();
        for path in paths {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), "Old recording could not be removed: {error}");
            }
            // Fails while the day still has segments, as it should.
            let _ = path.parent().map(fs::remove_dir);
        }
        count
    }
}

impl Place {
    /// Whether a file is this writer's to remove.
    fn holds(&self, path: &Path) -> bool {
        match &self.others {
            Some(others) => !others.iter().any(|dir| path.starts_with(dir)),
            None => path.starts_with(self.state.dir()),
        }
    }
}

/// One camera's writing.
struct Camera {
    key: DeviceKey,
    dir: PathBuf,
    health: Arc<Health>,
    file: Option<OpenSegment>,
    pending: Vec<Arc<AccessUnit>>,
    pending_since: Instant,
    /// Audio that is to be written with the pictures of its time.
    heard: Vec<Arc<AudioFrame>>,
    /// How the newest audio is decoded, and when it came.
    audio: Option<(Arc<AudioConfig>, Instant)>,
    /// Whether the segment ends with the pictures that are written already.
    ending: bool,
    /// Latest capture time taken, µs.
    newest_us: i64,
    need_key: bool,
    frame_ticks: u32,
    /// Whether the disk was full since last asked.
    full: bool,
    told: Option<Instant>,
}

struct OpenSegment {
    file: File,
    path: PathBuf,
    config: Arc<StreamConfig>,
    audio: Option<Arc<AudioConfig>>,
    start_us: i64,
    end_us: i64,
    /// Bytes that are whole parts.
    len: u64,
    parts: u32,
    next_dts: u64,
    next_audio: u64,
    unsynced: Option<Instant>,
}

impl Camera {
    fn new(key: DeviceKey, dir: PathBuf, health: Arc<Health>) -> Self {
        Self {
            key,
            dir,
            health,
            file: None,
            pending: Vec::new(),
            pending_since: Instant::now(),
            heard: Vec::new(),
            audio: None,
            ending: false,
            newest_us: i64::MIN,
            need_key: true,
            frame_ticks: FRAME_TICKS,
            full: false,
            told: None,
        }
    }

    fn take(&mut self, unit: Arc<AccessUnit>, place: &Place) {
        let captured = unit.captured.as_microsecond();
        let gap = captured.saturating_sub(self.newest_us);
        let beyond = self.newest_us != i64::MIN && gap.unsigned_abs() > GAP.as_micros() as u64;
        if beyond {
            let _ = self.close(place);
            self.need_key = true;
            self.newest_us = i64::MIN;
        }
        if self.need_key && !unit.key {
            place.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Some(first) = self.pending.first() {
            let span = captured.saturating_sub(first.captured.as_microsecond());
            // A part ends before a picture that is later than all in it: B-frames stay with their own.
            if captured > self.newest_us && (unit.key || span >= PART.as_micros() as i64) {
                let _ = self.write_part(Some(captured), place);
            }
        }
        if unit.key {
            self.need_key = false;
            let wanted = self.sounding();
            let over = self.file.as_ref().is_some_and(|open| {
                captured.saturating_sub(open.start_us) >= SEGMENT.as_micros() as i64
                    || (!Arc::ptr_eq(&open.config, &unit.config) && open.config != unit.config)
                    || (wanted.is_some() && open.audio != wanted)
            });
            if over && !self.ending {
                // Audio of its last moments may be on its way: it ends when the first part of the next one is written.
                let _ = self.write_part(None, place);
                self.ending = self.file.is_some();
            }
        }
        if self.need_key {
            // The part before could not be written: what depends on it is of no use.
            place.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.pending.is_empty() {
            self.pending_since = Instant::now();
        }
        self.newest_us = self.newest_us.max(captured);
        self.pending.push(unit);
    }

    fn hear(&mut self, frame: Arc<AudioFrame>) {
        if !self.audio.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, &frame.config)) {
            tracing::debug!(camera = %self.key, codec = frame.config.codec, "The camera is heard");
        }
        self.audio = Some((frame.config.clone(), Instant::now()));
        if self.heard.len() >= HEARD_MAX {
            // Pictures have stopped: what was heard long before the next one has no place.
            self.heard.drain(..HEARD_MAX / 2);
        }
        self.heard.push(frame);
    }

    /// How what is heard now is decoded; `None` where nothing was heard for a while.
    fn sounding(&self) -> Option<Arc<AudioConfig>> {
        self.audio.as_ref().filter(|(_, at)| at.elapsed() < GAP).map(|(config, _)| config.clone())
    }

    /// Writes a part whose time is over though nothing follows, and syncs what waited long enough.
    fn tick(&mut self, place: &Place) {
        if !self.pending.is_empty() && self.pending_since.elapsed() >= PART {
            let _ = self.write_part(None, place);
        }
        if let Some(open) = &mut self.file
            && open.unsynced.is_some_and(|since| since.elapsed() >= SYNC_EVERY)
        {
            open.unsynced = None;
            if let Err(error) = open.file.sync_data() {
                self.fail(&error, place);
            }
        }
    }

    fn flush(&mut self, sync: bool, place: &Place) -> io::Result<()> {
        self.write_part(None, place)?;
        if let Some(open) = &mut self.file
            && sync
            && open.unsynced.take().is_some()
        {
            open.file.sync_data()?;
        }
        Ok(())
    }

    /// Writes the pending pictures; `next_us` is when the one after them was taken, where known.
    fn write_part(&mut self, next_us: Option<i64>, place: &Place) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        let count = pending.len() as u64;
        match self.try_write(&pending, next_us, place) {
            Ok(()) => {
                place.shared.written.fetch_add(count, Ordering::Relaxed);
                self.health.recording.store(true, Ordering::Relaxed);
                if place.state.is_failing() && place.state.there().is_ok() {
                    place.state.succeed();
                }
                self.told = None;
                Ok(())
            }
            Err(error) => {
                place.shared.dropped.fetch_add(count, Ordering::Relaxed);
                self.fail(&error, place);
                Err(error)
            }
        }
    }

    fn try_write(&mut self, pending: &[Arc<AccessUnit>], next_us: Option<i64>, place: &Place) -> io::Result<()> {
        if std::mem::take(&mut self.ending)
            && let Some(first) = pending.first()
            && let Err(error) = self.finish(Some(first.captured.as_microsecond()), place)
        {
            tracing::warn!(camera = %self.key, "A segment could not be closed; the next start closes it: {error}");
        }
        let mut header = Vec::new();
        if self.file.is_none() {
            let Some(first) = pending.first() else { return Ok(()) };
            let audio = self.sounding();
            header = fmp4::init(&first.config, audio.as_deref()).map_err(io::Error::other)?;
            place.state.ready()?;
            self.file = Some(OpenSegment::create(&self.dir, first, audio)?);
        }
        let heard = self.take_heard(next_us);
        let Some(open) = &mut self.file else { return Ok(()) };
        let (samples, after) = open.pictures(pending, next_us, self.frame_ticks);
        if let [first, _, ..] = samples.as_slice() {
            self.frame_ticks = first.duration;
        }
        let audio = open.audible(&heard);
        let mut bytes = header;
        bytes.extend(fmp4::part(open.parts + 1, &samples, &audio));
        open.append(&bytes, place)?;
        open.next_dts = samples.last().map_or(open.next_dts, |last| last.dts + 1);
        open.next_audio = audio.last().map_or(open.next_audio, |last| last.dts + u64::from(last.duration));
        open.end_us = open.end_us.max(open.start_us + after as i64 * 100 / 9);
        let span = open.start_us..open.end_us;
        let segment = Segment {
            start_us: open.start_us,
            end_us: open.end_us,
            bytes: open.len,
            path: open.path.clone(),
            open: true,
        };
        let first_us = pending.iter().map(|unit| unit.captured.as_microsecond()).min().unwrap_or(span.start);
        let pinned = {
            let mut catalogues = place.shared.lock();
            let catalogue = catalogues.entry(self.key.clone()).or_default();
            catalogue.segments.insert(segment.start_us, segment);
            catalogue.pinned(&(first_us..span.end))
        };
        if pinned {
            open.unsynced = None;
            open.file.sync_data()?;
        }
        Ok(())
    }

    /// Takes the audio that was heard before a moment, or all.
    fn take_heard(&mut self, before_us: Option<i64>) -> Vec<Arc<AudioFrame>> {
        let Some(before) = before_us else { return std::mem::take(&mut self.heard) };
        let (now, later) = self.heard.drain(..).partition(|frame| frame.captured.as_microsecond() < before);
        self.heard = later;
        now
    }

    /// Ends the segment under its final name, with what waits.
    fn close(&mut self, place: &Place) -> io::Result<()> {
        let written = self.write_part(None, place);
        self.finish(None, place)?;
        written
    }

    /// Ends the segment under its final name, with what was heard before `next_us` and is not in it yet.
    fn finish(&mut self, next_us: Option<i64>, place: &Place) -> io::Result<()> {
        self.ending = false;
        let Some(mut open) = self.file.take() else { return Ok(()) };
        let heard = self.take_heard(next_us);
        let audio = open.audible(&heard);
        if open.parts > 0 && !audio.is_empty() {
            // What does not fit here is not worth the pictures that follow.
            let _ = open.append(&fmp4::part(open.parts + 1, &[], &audio), place);
        }
        let mut catalogues = place.shared.lock();
        let catalogue = catalogues.entry(self.key.clone()).or_default();
        if open.parts == 0 {
            catalogue.segments.remove(&open.start_us);
            drop(catalogues);
            return fs::remove_file(&open.path);
        }
        if let Some(segment) = catalogue.segments.get_mut(&open.start_us) {
            segment.bytes = open.len;
        }
        let closed = index::closed_path(&self.dir, open.start_us, open.end_us);
        // Renamed under the lock: who looks up a path finds the file there, or looks again.
        let renamed = fs::rename(&open.path, &closed);
        if let Some(segment) = catalogue.segments.get_mut(&open.start_us) {
            if renamed.is_ok() {
                segment.path = closed;
            }
            segment.open = false;
        }
        drop(catalogues);
        renamed?;
        open.unsynced = None;
        open.file.sync_data()
    }

    /// Gives the segment up at its last whole part and waits for a key frame.
    fn fail(&mut self, error: &io::Error, place: &Place) {
        self.need_key = true;
        self.pending.clear();
        self.heard.clear();
        self.health.recording.store(false, Ordering::Relaxed);
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        self.full |= full;
        if !full {
            place.state.fail("disk_failed", error);
        }
        if self.file.is_some() {
            let _ = self.close(place);
        }
        if self.told.is_none_or(|at| at.elapsed() >= REMIND_EVERY) {
            self.told = Some(Instant::now());
            let (code, text) = if full {
                (
                    "disk_full",
                    "the disk is full: free space or lower the retention; the oldest recordings are removed".into(),
                )
            } else {
                ("recording_failed", format!("the recording could not be written: {error}"))
            };
            (place.on_error)(code, &self.key, &text);
        }
    }
}

impl OpenSegment {
    fn create(dir: &Path, first: &AccessUnit, audio: Option<Arc<AudioConfig>>) -> io::Result<Self> {
        let start_us = first.captured.as_microsecond();
        let path = index::open_path(dir, start_us);
        let day = path.parent().unwrap_or(dir);
        fs::create_dir_all(day)?;
        let file = OpenOptions::new().create_new(true).append(true).open(&path)?;
        // The name too must survive a power cut.
        File::open(day)?.sync_all()?;
        Ok(Self {
            file,
            path,
            config: first.config.clone(),
            audio,
            start_us,
            end_us: start_us,
            len: 0,
            parts: 0,
            next_dts: 0,
            next_audio: 0,
            unsynced: None,
        })
    }

    /// Ticks from the segment's start.
    fn ticks(&self, us: i64) -> i64 {
        us.saturating_sub(self.start_us).saturating_mul(9) / 100
    }

    /// Pictures with their times, and when what follows them is decoded: `next_us`, or `usual` ticks after the last.
    ///
    /// Decoding times are the presentation times in rising order. With B-frames compositions go below zero, which version 1 of
    /// `trun` allows; without, they are all zero.
    fn pictures<'a>(&self, pending: &'a [Arc<AccessUnit>], next_us: Option<i64>, usual: u32) -> (Vec<Sample<'a>>, u64) {
        let presented: Vec<i64> = pending.iter().map(|unit| self.ticks(unit.captured.as_microsecond())).collect();
        let mut sorted = presented.clone();
        sorted.sort_unstable();
        let mut next_dts = self.next_dts;
        let decoded: Vec<u64> = sorted
            .iter()
            .map(|pts| {
                let dts = next_dts.max((*pts).max(0) as u64);
                next_dts = dts + 1;
                dts
            })
            .collect();
        let last = decoded.last().copied().unwrap_or(0);
        let after = next_us.map_or(last + u64::from(usual), |us| self.ticks(us).max(0) as u64).max(last + 1);
        let sample = |(i, unit): (usize, &'a Arc<AccessUnit>)| {
            let next = decoded.get(i + 1).copied().unwrap_or(after);
            Sample {
                data: &unit.data,
                dts: decoded[i],
                composition: (presented[i] - decoded[i] as i64) as i32,
                duration: (next - decoded[i]) as u32,
                key: unit.key,
            }
        };
        (pending.iter().enumerate().map(sample).collect(), after)
    }

    /// Frames of audio with their times. Left out are those of another coding than the segment's, those from before its start,
    /// and those of a time that has been heard already.
    fn audible<'a>(&self, heard: &'a [Arc<AudioFrame>]) -> Vec<Sample<'a>> {
        let Some(config) = &self.audio else { return Vec::new() };
        let mut next = self.next_audio;
        let mut samples: Vec<Sample<'_>> = Vec::with_capacity(heard.len());
        for frame in heard.iter().filter(|frame| frame.config == *config) {
            let Ok(at) = u64::try_from(self.ticks(frame.captured.as_microsecond())) else { continue };
            if at + ROUNDED < next {
                continue;
            }
            let dts = if at <= next + ROUNDED { next } else { at };
            if let Some(before) = samples.last_mut() {
                // The times of a run are the sums of its durations.
                before.duration = (dts - before.dts) as u32;
            }
            let duration = frame.ticks().max(1);
            samples.push(Sample { data: &frame.data, dts, composition: 0, duration, key: true });
            next = dts + u64::from(duration);
        }
        samples
    }

    /// Adds a part; what did fit of one that did not is cut off, so that the file stays whole parts.
    fn append(&mut self, bytes: &[u8], place: &Place) -> io::Result<()> {
        if let Err(error) = place.disk.append(&mut self.file, bytes) {
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.parts += 1;
        self.len += bytes.len() as u64;
        self.unsynced.get_or_insert_with(Instant::now);
        Ok(())
    }
}
