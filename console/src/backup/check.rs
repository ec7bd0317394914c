//! Checking a backup without a database: every file is there, whole, and none that was not written by the backup.

use super::manifest::{FILE, Manifest, SUM};
use super::meter::Meter;
use super::{files, shelf};
use anyhow::{Context, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Checks the backup in a directory (or the newest on a shelf); says which it was and what it holds.
pub fn verify(dir: &Path, meter: &Meter) -> anyhow::Result<(PathBuf, Manifest)> {
    let dir = shelf::find(dir)?;
    let manifest = Manifest::read(&dir)?;
    meter.expect(manifest.bytes());
    for row in manifest.all_files() {
        meter.begin(&row.path);
        let path = dir.join(&row.path);
        let plain = std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
        if !plain {
            bail!("{} is missing: the backup is not whole", path.display());
        }
        let (bytes, sha256) = files::sum(&path).with_context(|| path.display().to_string())?;
        if bytes != row.bytes || sha256 != row.sha256 {
            bail!("{} is not what was written: its size or sha256 differs from the manifest", path.display());
        }
        meter.add(bytes);
    }
    let known: BTreeSet<&str> = manifest.all_files().map(|row| row.path.as_str()).chain([FILE, SUM]).collect();
    if let Some(stranger) = stranger(&dir, &dir, &known)? {
        bail!("{} was not written by the backup: move it away", stranger.display());
    }
    Ok((dir, manifest))
}

fn stranger(root: &Path, dir: &Path, known: &BTreeSet<&str>) -> anyhow::Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        let found = if path.is_dir() && !path.is_symlink() {
            stranger(root, &path, known)?
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            (!known.contains(name.as_str())).then_some(path)
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::small;
    use super::*;
    use std::io::Write;

    fn backup() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut file = files::Summed::create(&dir.path().join("secrets/key")).unwrap();
        file.write_all(b"0123456789").unwrap();
        let row = file.finish("secrets/key".into()).unwrap();
        Manifest { files: vec![row], ..small() }.write(dir.path()).unwrap();
        dir
    }

    #[test]
    fn a_changed_a_missing_and_a_strange_file_are_each_named() {
        let dir = backup();
        let said = || verify(dir.path(), &Meter::default()).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(said(), Ok(()));
        let key = dir.path().join("secrets/key");
        std::fs::write(&key, b"0123456_89").unwrap();
        assert!(said().unwrap_err().contains("secrets/key is not what was written"));
        std::fs::remove_file(&key).unwrap();
        assert!(said().unwrap_err().contains("secrets/key is missing"));
        std::fs::write(&key, b"0123456789").unwrap();
        std::fs::write(dir.path().join("secrets/more"), b"").unwrap();
        assert!(said().unwrap_err().contains("secrets/more was not written"));
    }
}
