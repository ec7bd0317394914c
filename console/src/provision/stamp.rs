//! What was verified and when: full sums are taken once, later starts compare size and time of change.
//!
//! A stamp says "this path had these bytes when it had this size and this mtime". A file that was touched since loses
//! its stamp and is summed again. `gatehouse check --deep` sums everything whatever the stamps say.

use super::SetupError;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Stamp {
    size: u64,
    mtime_ns: i128,
    sha256: String,
}

/// The stamps of a data directory, kept in `cache/placed.json`. A missing or damaged file is an empty table: it costs
/// one round of sums.
#[derive(Debug)]
pub(super) struct Stamps {
    file: PathBuf,
    rows: BTreeMap<PathBuf, Stamp>,
    changed: bool,
}

impl Stamps {
    pub(super) fn load(data: &Path) -> Self {
        let file = data.join("cache/placed.json");
        let rows = std::fs::read(&file).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        Self { file, rows, changed: false }
    }

    /// Whether `path` was seen with the sum `sha256` and has not been touched since.
    pub(super) fn vouches(&self, path: &Path, sha256: &str) -> bool {
        let Some(row) = self.rows.get(path) else { return false };
        row.sha256 == sha256 && stat(path).is_some_and(|(size, mtime_ns)| size == row.size && mtime_ns == row.mtime_ns)
    }

    /// Notes that `path` has the sum `sha256` now.
    pub(super) fn note(&mut self, path: &Path, sha256: &str) {
        if let Some((size, mtime_ns)) = stat(path) {
            self.rows.insert(path.to_path_buf(), Stamp { size, mtime_ns, sha256: sha256.to_owned() });
            self.changed = true;
        }
    }

    /// Writes the table, when it changed, by way of a new file.
    pub(super) fn save(&mut self) -> Result<(), SetupError> {
        if !self.changed {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(&self.rows).expect("a table of strings and numbers is JSON");
        let fresh = self.file.with_extension("json.new");
        std::fs::write(&fresh, text)
            .and_then(|()| std::fs::rename(&fresh, &self.file))
            .map_err(|e| SetupError::io(&self.file, e))?;
        self.changed = false;
        Ok(())
    }
}

fn stat(path: &Path) -> Option<(u64, i128)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.len(), i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())))
}

/// The sha256 of a file, hex.
pub(super) fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&sum.finalize())),
            n => sum.update(&buffer[..n]),
        }
    }
}

/// The sha256 of bytes, hex.
pub(super) fn sha256_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The sum of a directory tree as [`super::pins::Tree`] defines it; symbolic links are followed, the order is the
/// paths'.
pub(super) fn sha256_of_tree(root: &Path) -> std::io::Result<String> {
    let mut files = Vec::new();
    walk(root, root, &mut files)?;
    files.sort();
    let mut sum = Sha256::new();
    for relative in files {
        sum.update(relative.as_bytes());
        sum.update([0]);
        sum.update(sha256_of(&root.join(&relative))?.as_bytes());
        sum.update(b"\n");
    }
    Ok(hex(&sum.finalize()))
}

fn walk(root: &Path, dir: &Path, files: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(root, &path, files)?;
        } else {
            let relative = path.strip_prefix(root).expect("it was found below the root");
            files.push(relative.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_touched_file_loses_its_stamp() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("cache")).unwrap();
        let file = dir.path().join("model");
        std::fs::write(&file, b"abc").unwrap();
        let sum = sha256_of(&file).unwrap();
        assert_eq!(sum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sum, sha256_bytes(b"abc"));
        let mut stamps = Stamps::load(dir.path());
        assert!(!stamps.vouches(&file, &sum));
        stamps.note(&file, &sum);
        stamps.save().unwrap();
        let stamps = Stamps::load(dir.path());
        assert!(stamps.vouches(&file, &sum) && !stamps.vouches(&file, "another sum"));
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
        File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
        assert!(!stamps.vouches(&file, &sum));
    }

    #[test]
    fn a_damaged_table_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("cache")).unwrap();
        std::fs::write(dir.path().join("cache/placed.json"), b"{ half").unwrap();
        assert!(Stamps::load(dir.path()).rows.is_empty());
    }

    #[test]
    fn the_sum_of_a_tree_covers_names_and_bytes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/one"), b"1").unwrap();
        std::fs::write(dir.path().join("two"), b"2").unwrap();
        let first = sha256_of_tree(dir.path()).unwrap();
        std::fs::rename(dir.path().join("two"), dir.path().join("zwei")).unwrap();
        let renamed = sha256_of_tree(dir.path()).unwrap();
        std::fs::write(dir.path().join("zwei"), b"3").unwrap();
        let changed = sha256_of_tree(dir.path()).unwrap();
        assert!(first != renamed && renamed != changed);
    }
}
