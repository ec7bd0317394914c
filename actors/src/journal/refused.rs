//! What the database refused for good: kept aside in a file that people can read, one JSON object a line, fsynced.

use super::Queued;
use super::spill::sync_dir;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file's name.
const NAME: &str = "refused.journal";

/// An entry that is kept aside.
pub(super) enum Kept<'a> {
    /// As it was.
    Entry(&'a Queued),
    /// The text of one that does not read.
    Text(&'a str),
}

/// The file of refused entries.
pub(super) struct Refused {
    path: PathBuf,
    limit: u64,
    keys: BTreeSet<String>,
    /// Refused and not kept, because the file is full or cannot be written.
    lost: u64,
}

#[derive(Deserialize)]
struct Known {
    key: String,
}

#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    key: &'a str,
    why: &'a str,
    entry: Option<&'a Queued>,
    text: Option<&'a str>,
}

impl Refused {
    /// Opens the directory, making it where it is missing, and counts what earlier runs kept.
    pub(super) fn open(dir: &Path, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let path = dir.join(NAME);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let keys = text.lines().filter_map(|line| Some(serde_json::from_str::<Known>(line).ok()?.key)).collect();
        Ok(Self { path, limit, keys, lost: 0 })
    }

    /// Keeps an entry aside, once for each key.
    pub(super) fn keep(&mut self, key: String, why: &str, kept: &Kept<'_>, now: Timestamp) -> io::Result<()> {
        if self.keys.contains(&key) {
            return Ok(());
        }
        let (entry, text) = match kept {
            Kept::Entry(entry) => (Some(*entry), None),
            Kept::Text(text) => (None, Some(*text)),
        };
        let kept = self.append(&Line { at: now, key: &key, why, entry, text });
        match &kept {
            Ok(()) => drop(self.keys.insert(key)),
            Err(_) => self.lost += 1,
        }
        kept
    }

    fn append(&self, line: &Line<'_>) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        let new = !self.path.exists();
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        let length = file.metadata()?.len();
        if length + bytes.len() as u64 > self.limit {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the file of refused entries is full"));
        }
        // A line that an earlier failure cut short ends here.
        if length > 0 && !self.ends_whole()? {
            file.write_all(b"\n")?;
        }
        file.write_all(&bytes)?;
        file.sync_all()?;
        if new && let Some(dir) = self.path.parent() {
            sync_dir(dir)?;
        }
        Ok(())
    }

    fn ends_whole(&self) -> io::Result<bool> {
        Ok(fs::read(&self.path)?.ends_with(b"\n"))
    }

    /// Entries kept aside, and those that could not even be kept.
    pub(super) fn count(&self) -> u64 {
        self.keys.len() as u64 + self.lost
    }

    /// Counts again: none once someone took the file away.
    pub(super) fn recount(&mut self) -> u64 {
        if !self.path.exists() {
            self.keys.clear();
            self.lost = 0;
        }
        self.count()
    }
}
