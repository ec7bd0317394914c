//! A shelf: the directory where backups lie side by side, each under the moment it was taken.

use super::manifest;
use anyhow::{Context, bail};
use jiff::{SignedDuration, Timestamp};
use std::fs::{File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Says that a directory is a shelf; locked while a backup is taken.
const MARKER: &str = ".gatehouse-backups";
/// What a backup is called until it is whole.
const PARTIAL: &str = ".partial";

/// A shelf, locked for one backup.
pub struct Shelf {
    dir: PathBuf,
    _lock: File,
}

impl Shelf {
    /// Opens a shelf, making it when the directory is missing or empty; anything else's directory is refused.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let dir = std::path::absolute(dir)?;
        if !dir.join(MARKER).exists() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .with_context(|| format!("{} cannot be made", dir.display()))?;
            if std::fs::read_dir(&dir).with_context(|| dir.display().to_string())?.next().is_some() {
                bail!(
                    "{} holds something else and is left alone: name an empty directory, or one that a backup made",
                    dir.display()
                );
            }
        }
        let path = dir.join(MARKER);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| path.display().to_string())?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir, _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!("another backup into {} is being taken: wait for it", dir.display()),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Makes the directory for a backup of this moment, after removing what interrupted ones left.
    pub fn begin(&self, at: Timestamp) -> anyhow::Result<PathBuf> {
        for entry in std::fs::read_dir(&self.dir)?.flatten() {
            if entry.file_name().to_string_lossy().ends_with(PARTIAL) {
                std::fs::remove_dir_all(entry.path()).with_context(|| entry.path().display().to_string())?;
            }
        }
        let mut at = at;
        while self.dir.join(name_of(at)).exists() {
            at += SignedDuration::from_secs(1);
        }
        let partial = self.dir.join(format!("{}{PARTIAL}", name_of(at)));
        std::fs::DirBuilder::new().mode(0o700).create(&partial).with_context(|| partial.display().to_string())?;
        Ok(partial)
    }

    /// Gives a whole backup its name, durably.
    pub fn finish(&self, partial: &Path) -> anyhow::Result<PathBuf> {
        sync_tree(partial)?;
        let name = partial.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let whole = self.dir.join(name.strip_suffix(PARTIAL).unwrap_or(&name));
        std::fs::rename(partial, &whole).with_context(|| whole.display().to_string())?;
        File::open(&self.dir)?.sync_all()?;
        Ok(whole)
    }

    /// Removes all but the newest `keep` backups; says which went.
    pub fn prune(&self, keep: usize) -> anyhow::Result<Vec<PathBuf>> {
        let mut all = list(&self.dir);
        let gone: Vec<PathBuf> = all.drain(..all.len().saturating_sub(keep.max(1))).map(|(_, path)| path).collect();
        for path in &gone {
            // First no longer a backup, then removed: a removal cut short leaves nothing that looks whole.
            let doomed = path.with_extension(PARTIAL.trim_start_matches('.'));
            std::fs::rename(path, &doomed).with_context(|| path.display().to_string())?;
            std::fs::remove_dir_all(&doomed).with_context(|| doomed.display().to_string())?;
        }
        Ok(gone)
    }
}

/// The backups of a shelf, oldest first.
pub fn list(dir: &Path) -> Vec<(Timestamp, PathBuf)> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut all: Vec<_> = entries
        .filter_map(|entry| {
            let at = moment_of(entry.file_name().to_str()?)?;
            entry.path().join(manifest::FILE).is_file().then(|| (at, entry.path()))
        })
        .collect();
    all.sort();
    all
}

/// The backup that a directory is, or the newest that lies in it.
pub fn find(dir: &Path) -> anyhow::Result<PathBuf> {
    if dir.to_string_lossy().trim_end_matches('/').ends_with(PARTIAL) {
        bail!("{} is a backup that was interrupted: it is not whole", dir.display());
    }
    if dir.join(manifest::FILE).is_file() {
        return Ok(dir.to_owned());
    }
    match list(dir).pop() {
        Some((_, newest)) => Ok(newest),
        None => bail!("there is no backup in {}", dir.display()),
    }
}

fn name_of(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn moment_of(name: &str) -> Option<Timestamp> {
    let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", name).ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// Brings the directories below through to the disk; their files are already.
fn sync_tree(dir: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        }
    }
    Ok(File::open(dir)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn put(shelf: &Shelf, text: &str) -> PathBuf {
        let partial = shelf.begin(at(text)).unwrap();
        manifest::tests::small().write(&partial).unwrap();
        shelf.finish(&partial).unwrap()
    }

    #[test]
    fn a_foreign_directory_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.txt"), "x").unwrap();
        let said = Shelf::open(dir.path()).err().unwrap().to_string();
        assert!(said.contains("left alone"), "{said}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_newest_are_kept_and_found_and_an_interrupted_one_is_neither() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        assert!(find(dir.path()).is_err());
        let first = put(&shelf, "2026-11-23T10:00:00Z");
        let second = put(&shelf, "2026-11-24T10:00:00Z");
        assert_eq!(second, dir.path().join("20261124T100000Z"));
        assert_eq!(put(&shelf, "2026-11-24T10:00:00Z"), dir.path().join("20261124T100001Z"), "a second in one second");
        let interrupted = shelf.begin(at("2026-11-25T10:00:00Z")).unwrap();
        assert_eq!(find(dir.path()).unwrap(), dir.path().join("20261124T100001Z"));
        assert!(find(&interrupted).unwrap_err().to_string().contains("interrupted"));
        assert_eq!(shelf.prune(2).unwrap(), std::slice::from_ref(&first));
        assert!(!first.exists() && second.exists());
        shelf.begin(at("2026-11-26T10:00:00Z")).unwrap();
        assert!(!interrupted.exists(), "the next backup clears it away");
        assert_eq!(shelf.prune(0).unwrap().len(), 1, "the newest always stays");
    }

    #[test]
    fn two_backups_into_one_shelf_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Shelf::open(dir.path()).unwrap();
        assert!(Shelf::open(dir.path()).err().unwrap().to_string().contains("another backup"));
    }
}
