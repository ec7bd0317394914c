//! Pictures of observations are personal data: each day's go when they have been kept for as long as configured.

use gatehouse_actors::System;
use jiff::{SignedDuration, Timestamp};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(3_600);

/// Removes what is over, at once and every hour; never ends. 0 days: everything is kept.
pub async fn forget_old(pictures: PathBuf, days: u32, system: System) {
    if days == 0 {
        return;
    }
    loop {
        let (folder, now) = (pictures.clone(), system.now());
        match tokio::task::spawn_blocking(move || forget(&folder, days, now)).await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(gone)) => tracing::info!(days = gone, "Old pictures of observations were removed"),
            Ok(Err(error)) => tracing::warn!(%error, "Old pictures of observations cannot be removed"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Removes the days (`20261128`, UTC) that ended more than so many days ago, and says how many; what is no day is left alone.
fn forget(pictures: &Path, days: u32, now: Timestamp) -> io::Result<usize> {
    let oldest = (now - SignedDuration::from_hours(24 * i64::from(days))).strftime("%Y%m%d").to_string();
    let entries = match std::fs::read_dir(pictures) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut gone = 0;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_day = name.len() == 8 && jiff::civil::Date::strptime("%Y%m%d", &name).is_ok();
        if is_day && name < oldest {
            std::fs::remove_dir_all(entry.path())?;
            gone += 1;
        }
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_are_over_go_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["20260829", "20260830", "20261128", "patrol-2025-01", "19991399", "2026082"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let now = "2026-11-28T12:00:00Z".parse().unwrap();
        assert_eq!(forget(dir.path(), 90, now).unwrap(), 1);
        assert_eq!(forget(dir.path(), 90, now).unwrap(), 0);
        let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        left.sort();
        assert_eq!(left, ["19991399", "2026082", "20260830", "20261128", "patrol-2025-01"]);
        assert_eq!(forget(&dir.path().join("none"), 90, now).unwrap(), 0, "nothing was seen yet");
    }
}
