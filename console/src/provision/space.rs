//! Room on the disk, asked before anything is fetched.

use super::SetupError;
use std::path::Path;

/// Kept free beyond what set-up itself writes, bytes.
const MARGIN: u64 = 16_000_000;

/// Bytes free to this account on the file system of `path` or of its nearest existing ancestor.
pub fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let existing = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    let stat = rustix::fs::statvfs(existing)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Fails with [`SetupError::DiskFull`] unless `needed` bytes and a margin fit beside `path`.
pub fn require(path: &Path, needed: u64) -> Result<(), SetupError> {
    let free = free_bytes(path).map_err(|e| SetupError::io(path, e))?;
    check(path, needed, free)
}

fn check(path: &Path, needed: u64, free: u64) -> Result<(), SetupError> {
    let wanted = needed.saturating_add(MARGIN);
    if free >= wanted {
        return Ok(());
    }
    Err(SetupError::DiskFull {
        path: path.to_path_buf(),
        needed_mb: wanted.div_ceil(1_000_000),
        free_mb: free / 1_000_000,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_how_much_is_needed_and_how_much_is_there() {
        let said = check(Path::new("/data"), 100_000_000, 20_400_000).unwrap_err().to_string();
        assert!(said.contains("116 MB needed, 20 MB free") && said.contains("--data"), "{said}");
        assert!(check(Path::new("/data"), 100_000_000, 116_000_000).is_ok());
    }

    #[test]
    fn free_space_is_asked_of_the_nearest_directory_that_exists() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(&dir.path().join("not/yet/there")).unwrap() > 0);
        assert!(matches!(require(dir.path(), u64::MAX / 2), Err(SetupError::DiskFull { .. })));
    }
}
