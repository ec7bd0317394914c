//! The spill: groups on the local disk, fsynced, while the database is away.
//!
//! Files are named by the number of their first frame and removed once the database has everything in them. A spill has an id
//! of its own; the position up to which it is drained is a row of `machine` (key `spill`), written in the same transaction as
//! what was drained: see [`super::drain`].

use super::Queued;
use super::frame::{self, HEADER, Read};
use jiff::Timestamp;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tracing::{error, warn};
use uuid::Uuid;

/// A file above this is followed by a new one, bytes: what is drained is removed in steps of this size.
const SEGMENT: u64 = 8 << 20;
/// How the spill's files end.
const ENDING: &str = "journal";
/// How a file ends that was kept because a part of it does not read.
const DAMAGED: &str = "damaged";

struct Segment {
    first: u64,
    path: PathBuf,
    bytes: u64,
}

/// A frame that the database does not have yet.
struct Waiting {
    frame: u64,
    segment: u64,
    offset: u64,
    length: usize,
    at: Timestamp,
    entries: usize,
    doubtful: bool,
}

/// A frame as drained.
pub(super) struct Frame {
    pub(super) number: u64,
    pub(super) doubtful: bool,
    pub(super) entries: Vec<Result<Queued, String>>,
}

/// The spill.
pub(super) struct Spill {
    dir: PathBuf,
    limit: u64,
    id: Uuid,
    segments: VecDeque<Segment>,
    waiting: VecDeque<Waiting>,
    open: Option<File>,
    /// A file with a failed append at its end, to be cut before anything else is appended.
    trim: Option<(PathBuf, u64)>,
    next: u64,
}

fn broken(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} does not read as it was written", path.display()))
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

impl Spill {
    /// Opens the directory, making it where it is missing, and finds what an earlier run left.
    pub(super) fn open(dir: &Path, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut spill = Self {
            dir: dir.to_owned(),
            limit,
            id: Uuid::nil(),
            segments: VecDeque::new(),
            waiting: VecDeque::new(),
            open: None,
            trim: None,
            next: 0,
        };
        let mut paths: Vec<PathBuf> = fs::read_dir(dir)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ending| ending == ENDING))
            .filter(|path| {
                path.file_stem().and_then(|name| name.to_str()).is_some_and(|name| name.parse::<u64>().is_ok())
            })
            .collect();
        paths.sort();
        for path in paths {
            spill.take_in(path)?;
        }
        Ok(spill)
    }

    fn take_in(&mut self, path: PathBuf) -> io::Result<()> {
        let bytes = fs::read(&path)?;
        let known = frame::read_header(&bytes);
        let Some((id, first)) = known.filter(|(id, _)| self.segments.is_empty() || *id == self.id) else {
            // A head cut short holds no frame; anything else is not for us to remove.
            if bytes.len() <= HEADER {
                return fs::remove_file(&path);
            }
            error!(path = %path.display(), "A file of the spill is of another spill or version: it is set aside");
            return fs::rename(&path, path.with_extension(DAMAGED));
        };
        let scan = frame::scan(&bytes);
        if scan.damaged > 0 {
            error!(path = %path.display(), stretches = scan.damaged, "A file of the spill is damaged: a copy is kept");
            fs::copy(&path, path.with_extension(DAMAGED))?;
        }
        if scan.end < bytes.len() {
            warn!(path = %path.display(), bytes = bytes.len() - scan.end, "An append was cut short: it was not acknowledged");
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(scan.end as u64)?;
            file.sync_all()?;
        }
        (self.id, self.next) = (id, first);
        for range in scan.payloads {
            let Some(read) = frame::decode(&bytes[range.clone()]) else { return Err(broken(&path)) };
            self.waiting.push_back(Waiting {
                frame: self.next,
                segment: first,
                offset: range.start as u64,
                length: range.len(),
                at: read.at,
                entries: read.entries.len(),
                doubtful: read.doubtful,
            });
            self.next += 1;
        }
        self.segments.push_back(Segment { first, path, bytes: scan.end as u64 });
        Ok(())
    }

    /// Appends a group and makes it durable; false when there is no room for it.
    ///
    /// `fresh`: the id of the spill that begins with it, when nothing waits.
    pub(super) fn append(&mut self, now: Timestamp, doubtful: bool, group: &[Queued], fresh: Uuid) -> io::Result<bool> {
        let bytes = frame::encode(now, doubtful, group)?;
        if self.bytes() + (HEADER + bytes.len()) as u64 > self.limit {
            return Ok(false);
        }
        if let Some((path, length)) = &self.trim {
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(*length)?;
            file.sync_all()?;
            self.trim = None;
        }
        if self.segments.is_empty() {
            (self.id, self.next) = (fresh, 0);
        }
        if self.open.is_none() || self.segments.back().is_none_or(|last| last.bytes >= SEGMENT) {
            self.begin_segment()?;
        }
        let (Some(file), Some(segment)) = (&mut self.open, self.segments.back_mut()) else {
            return Err(broken(&self.dir));
        };
        if let Err(failed) = file.write_all(&bytes).and_then(|()| file.sync_data()) {
            // Whatever of it is there must not be read: it was not acknowledged, and will be appended again.
            self.trim = Some((segment.path.clone(), segment.bytes));
            self.open = None;
            return Err(failed);
        }
        self.waiting.push_back(Waiting {
            frame: self.next,
            segment: segment.first,
            offset: segment.bytes + (bytes.len() - payload_length(&bytes)) as u64,
            length: payload_length(&bytes),
            at: now,
            entries: group.len(),
            doubtful,
        });
        segment.bytes += bytes.len() as u64;
        self.next += 1;
        Ok(true)
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let path = self.dir.join(format!("{:020}.{ENDING}", self.next));
        // One that is there holds nothing that was acknowledged: its number was not used.
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&path)?;
        file.write_all(&frame::header(self.id, self.next))?;
        file.sync_all()?;
        sync_dir(&self.dir)?;
        self.segments.push_back(Segment { first: self.next, path, bytes: HEADER as u64 });
        self.open = Some(file);
        Ok(())
    }

    /// Reads the first frames that wait, up to about so many entries. A doubtful one comes alone.
    pub(super) fn read(&self, entries: usize) -> io::Result<Vec<Frame>> {
        let mut frames = Vec::new();
        let mut so_far = 0;
        for waiting in &self.waiting {
            if !frames.is_empty() && (waiting.doubtful || so_far + waiting.entries > entries) {
                break;
            }
            let segment = self.segments.iter().find(|segment| segment.first == waiting.segment);
            let path = &segment.ok_or_else(|| broken(&self.dir))?.path;
            let mut payload = vec![0; waiting.length];
            File::open(path)?.read_exact_at(&mut payload, waiting.offset)?;
            let unreadable = || Read {
                at: waiting.at,
                doubtful: false,
                entries: vec![Err(format!("frame {} of {} does not read", waiting.frame, path.display()))],
            };
            let Read { doubtful, entries, .. } = frame::decode(&payload).unwrap_or_else(unreadable);
            so_far += entries.len();
            frames.push(Frame { number: waiting.frame, doubtful, entries });
            if doubtful {
                break;
            }
        }
        Ok(frames)
    }

    /// The database has every frame before this one.
    pub(super) fn forget_until(&mut self, frame: u64) {
        while self.waiting.front().is_some_and(|waiting| waiting.frame < frame) {
            self.waiting.pop_front();
        }
        while self.segments.get(1).is_some_and(|second| second.first <= frame) {
            let Some(done) = self.segments.pop_front() else { return };
            if let Err(failed) = fs::remove_file(&done.path) {
                warn!(path = %done.path.display(), "A drained file of the spill is not removed: {failed}");
            }
        }
    }

    /// Removes the drained spill, whole.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.open = None;
        self.trim = None;
        while let Some(segment) = self.segments.front() {
            match fs::remove_file(&segment.path) {
                Err(failed) if failed.kind() != io::ErrorKind::NotFound => return Err(failed),
                _ => {}
            }
            self.segments.pop_front();
        }
        // A file that came back after a power cut would be taken for one that waits.
        sync_dir(&self.dir)
    }

    /// Its directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its id.
    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether there are files, even when nothing in them waits.
    pub(super) fn has_files(&self) -> bool {
        !self.segments.is_empty()
    }

    /// Number of the first frame that waits.
    pub(super) fn front(&self) -> u64 {
        self.waiting.front().map_or(self.next, |waiting| waiting.frame)
    }

    /// Entries that wait.
    pub(super) fn entries(&self) -> u64 {
        self.waiting.iter().map(|waiting| waiting.entries as u64).sum()
    }

    /// Bytes of its files.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Bytes it may hold.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// When the oldest that waits was spilled.
    pub(super) fn oldest_at(&self) -> Option<Timestamp> {
        self.waiting.front().map(|waiting| waiting.at)
    }

    /// Files kept because a part of them does not read.
    pub(super) fn damaged(&self) -> u64 {
        let names = fs::read_dir(&self.dir).into_iter().flatten().filter_map(Result::ok);
        names.filter(|entry| entry.path().extension().is_some_and(|ending| ending == DAMAGED)).count() as u64
    }
}

fn payload_length(frame: &[u8]) -> usize {
    frame::payload_at(frame, 0).map_or(0, |range| range.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Mark;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Dir(PathBuf);

    impl Dir {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("gatehouse-spill-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let dir = std::env::temp_dir().join(name);
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn journals(&self) -> usize {
            fs::read_dir(&self.0)
                .unwrap()
                .filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == ENDING))
                .count()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn group(seq: u64, filler: usize) -> Vec<Queued> {
        let state = "x".repeat(filler);
        vec![Queued { mark: Some(Mark { key: "alarm".into(), seq, state }), ..Queued::default() }]
    }

    fn append(spill: &mut Spill, seq: u64, filler: usize) -> bool {
        spill.append(Timestamp::UNIX_EPOCH, false, &group(seq, filler), Uuid::from_u128(9)).unwrap()
    }

    fn seqs(spill: &Spill) -> Vec<u64> {
        let frames = spill.read(usize::MAX).unwrap();
        let entries = frames.iter().flat_map(|frame| &frame.entries);
        entries.map(|entry| entry.as_ref().unwrap().mark.as_ref().unwrap().seq).collect()
    }

    #[test]
    fn what_was_appended_is_there_after_a_restart_in_order_without_its_torn_tail() {
        let dir = Dir::new();
        let mut spill = Spill::open(&dir.0, 1 << 20).unwrap();
        for seq in 1..=5 {
            assert!(append(&mut spill, seq, 10));
        }
        drop(spill);
        let path = dir.0.join(format!("{:020}.{ENDING}", 0));
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&[40, 0, 0, 0, 1, 2, 3]).unwrap();
        let spill = Spill::open(&dir.0, 1 << 20).unwrap();
        assert_eq!((seqs(&spill), spill.damaged(), spill.id()), (vec![1, 2, 3, 4, 5], 0, Uuid::from_u128(9)));
    }

    #[test]
    fn drained_files_go_and_a_cleared_spill_leaves_nothing() {
        let dir = Dir::new();
        let mut spill = Spill::open(&dir.0, 64 << 20).unwrap();
        for seq in 0..7 {
            assert!(append(&mut spill, seq, 3 << 20));
        }
        assert_eq!(dir.journals(), 3);
        spill.forget_until(4);
        assert_eq!((seqs(&spill), dir.journals(), spill.front()), (vec![4, 5, 6], 2, 4));
        let mut again = Spill::open(&dir.0, 64 << 20).unwrap();
        assert_eq!(seqs(&again), [3, 4, 5, 6], "what the file still holds; the database knows how far it was drained");
        again.forget_until(7);
        again.clear().unwrap();
        assert_eq!((dir.journals(), again.bytes(), again.is_empty()), (0, 0, true));
    }

    #[test]
    fn beyond_its_bound_nothing_is_taken_and_what_is_there_stays() {
        let dir = Dir::new();
        let mut spill = Spill::open(&dir.0, 1_000).unwrap();
        assert!(append(&mut spill, 1, 300));
        assert!(append(&mut spill, 2, 300));
        assert!(!append(&mut spill, 3, 300));
        assert_eq!(seqs(&spill), [1, 2]);
    }

    #[test]
    fn damage_in_the_middle_is_kept_aside_and_told_and_the_rest_goes_on() {
        let dir = Dir::new();
        let mut spill = Spill::open(&dir.0, 1 << 20).unwrap();
        for seq in 1..=3 {
            assert!(append(&mut spill, seq, 50));
        }
        let at = spill.waiting[1].offset + 20;
        let path = spill.segments[0].path.clone();
        drop(spill);
        OpenOptions::new().write(true).open(&path).unwrap().write_all_at(b"~", at).unwrap();
        let spill = Spill::open(&dir.0, 1 << 20).unwrap();
        assert_eq!((seqs(&spill), spill.damaged()), (vec![1, 3], 1));
    }

    #[test]
    fn a_doubtful_group_is_drained_alone() {
        let dir = Dir::new();
        let mut spill = Spill::open(&dir.0, 1 << 20).unwrap();
        for (seq, doubtful) in [(1, true), (2, false), (3, false), (4, true)] {
            spill.append(Timestamp::UNIX_EPOCH, doubtful, &group(seq, 1), Uuid::from_u128(9)).unwrap();
        }
        let mut batches = Vec::new();
        while !spill.is_empty() {
            let frames = spill.read(512).unwrap();
            batches.push(frames.iter().map(|frame| frame.number).collect::<Vec<_>>());
            spill.forget_until(frames.last().unwrap().number + 1);
        }
        assert_eq!(batches, [vec![0], vec![1, 2], vec![3]]);
    }
}
