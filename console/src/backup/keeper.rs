//! Backups of the running program: taken when asked and by the timetable, one at a time; how they went.

use super::meter::Meter;
use super::take::{Order, Taken, take};
use super::{Manifest, shelf};
use crate::config::Config;
use gatehouse_actors::System;
use gatehouse_actors::staff::{self, AuditEntry};
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::event::Params;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use utoipa::ToSchema;

/// How often the timetable and the shelf are looked at.
const PERIOD: Duration = Duration::from_secs(60);
/// After a failure the timetable tries again after this.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// Without a backup for this long, a page warns.
const OVERDUE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A backup gives way to everything else on the machine.
const NICENESS: i32 = 10;

/// How backups do.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BackupHealth {
    /// Where they lie.
    pub dir: String,
    /// Whether that is the disk of the data itself: a broken disk takes both.
    pub same_disk: bool,
    /// One is taken so often by itself; 0: only when asked.
    pub every_hours: u32,
    /// So many are kept.
    pub keep: u32,
    /// The newest there.
    pub last: Option<LastBackup>,
    /// Whether a page should warn: none for seven days.
    pub overdue: bool,
    /// The one being taken.
    pub running: Option<RunningBackup>,
    /// Why the last attempt failed; empty when it did not.
    pub last_error: String,
    /// Attempts that failed since the start.
    pub failures: u64,
}

/// The newest backup.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LastBackup {
    /// When it was taken.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Where it lies.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// How long taking it took.
    pub seconds: f64,
    /// Whether the secrets are in it.
    pub secrets: bool,
}

/// A backup being taken.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RunningBackup {
    /// Since when.
    #[schema(value_type = String)]
    pub since: Timestamp,
    /// Who asked.
    pub by: String,
    /// How far it is.
    pub percent: u8,
    /// What is being copied.
    pub what: String,
}

/// Why no backup was begun.
#[derive(Debug, thiserror::Error)]
#[error("a backup is being taken already")]
pub struct Busy;

#[derive(Default)]
struct State {
    last: Option<LastBackup>,
    running: Option<(Timestamp, String, Arc<Meter>)>,
    last_error: String,
    failed_at: Option<Timestamp>,
    failures: u64,
}

/// Takes the backups of the running program.
#[derive(Clone)]
pub struct Keeper(Arc<Inner>);

struct Inner {
    order: Order,
    every_hours: u32,
    same_disk: bool,
    /// When this data directory was made, as far as its files tell.
    since: Timestamp,
    state: Mutex<State>,
}

impl Keeper {
    /// A keeper for a data directory, as configured.
    pub fn new(data: &Path, config: &Config, now: Timestamp) -> Self {
        let backup = &config.backup;
        let order = Order {
            data: data.to_owned(),
            shelf: backup.shelf(data),
            config: config.file.clone().map(|file| (file, config.clone())),
            secrets: backup.secrets,
            video: backup.video(),
            keep: backup.keep as usize,
        };
        let made = std::fs::metadata(data.join("secrets/master-key")).and_then(|meta| meta.modified());
        let since = made.ok().and_then(|made| Timestamp::try_from(made).ok()).unwrap_or(now);
        let inner = Inner {
            same_disk: same_disk(data, &order.shelf),
            every_hours: backup.every_hours,
            since,
            state: Mutex::default(),
            order,
        };
        let keeper = Self(Arc::new(inner));
        keeper.look();
        keeper
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How backups do.
    pub fn health(&self, now: Timestamp) -> BackupHealth {
        let state = self.state();
        let newest = state.last.as_ref().map_or(self.0.since, |last| last.at);
        BackupHealth {
            dir: self.0.order.shelf.display().to_string(),
            same_disk: self.0.same_disk,
            every_hours: self.0.every_hours,
            keep: u32::try_from(self.0.order.keep).unwrap_or(u32::MAX),
            last: state.last.clone(),
            overdue: now.duration_since(newest) > OVERDUE,
            running: state.running.as_ref().map(|(since, by, meter)| RunningBackup {
                since: *since,
                by: by.clone(),
                percent: meter.percent(),
                what: meter.what(),
            }),
            last_error: state.last_error.clone(),
            failures: state.failures,
        }
    }

    /// Begins a backup; its end resolves to why it failed, if it did.
    pub fn begin(&self, system: &System, by: &str) -> Result<oneshot::Receiver<Option<String>>, Busy> {
        let meter = Arc::new(Meter::default());
        {
            let mut state = self.state();
            if state.running.is_some() {
                return Err(Busy);
            }
            state.running = Some((system.now(), by.to_owned(), meter.clone()));
        }
        let (over, ended) = oneshot::channel();
        let options = system.pool().connect_options();
        let order = self.0.order.clone();
        let (told, outcome) = oneshot::channel();
        // A thread of its own: files and compression would hold up everything else, and it can be made to give way.
        let spawned = std::thread::Builder::new().name("backup".into()).spawn(move || {
            let _ = rustix::process::setpriority_process(None, NICENESS);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let taken = match runtime {
                Ok(runtime) => runtime.block_on(take(&order, &options, &meter)),
                Err(error) => Err(error.into()),
            };
            let _ = told.send(taken.map_err(|error| format!("{error:#}")));
        });
        let (keeper, system, by) = (self.clone(), system.clone(), by.to_owned());
        tokio::spawn(async move {
            let taken = match spawned {
                Ok(_) => outcome.await.unwrap_or_else(|_| Err("the backup's thread ended".to_owned())),
                Err(error) => Err(format!("no thread for the backup: {error}")),
            };
            let _ = over.send(keeper.ended(&system, &by, taken).await);
        });
        Ok(ended)
    }

    async fn ended(&self, system: &System, by: &str, taken: Result<Taken, String>) -> Option<String> {
        let failed = {
            let mut state = self.state();
            state.running = None;
            match &taken {
                Ok(taken) => {
                    state.last = Some(LastBackup::of(&taken.path, &taken.manifest));
                    state.last_error.clear();
                    state.failed_at = None;
                    None
                }
                Err(reason) => {
                    state.last_error.clone_from(reason);
                    state.failed_at = Some(system.now());
                    state.failures += 1;
                    Some(reason.clone())
                }
            }
        };
        let (target, outcome) = match &taken {
            Ok(taken) => {
                tracing::info!(rows = taken.manifest.rows(), bytes = taken.manifest.bytes(), "Backup taken");
                (taken.path.display().to_string(), "taken".to_owned())
            }
            Err(reason) => {
                tracing::error!(%reason, "Backup failed");
                (self.0.order.shelf.display().to_string(), format!("failed: {reason}"))
            }
        };
        let entry = AuditEntry {
            at: system.now(),
            by: by.to_owned(),
            action: "backup".to_owned(),
            target,
            outcome,
            address: String::new(),
        };
        if let Err(error) = staff::audit(system.pool(), entry).await {
            tracing::error!(%error, "Audit row of a backup could not be written");
        }
        let open = system.open_alarms().iter().any(|alarm| alarm.kind == AlarmKind::BackupFailed && alarm.active);
        let told = match &failed {
            None if open => system.clear(AlarmKind::BackupFailed, None, "").await,
            Some(reason) if by == BY_ITSELF => {
                let params = Params::from([("reason".into(), Value::Text(reason.clone()))]);
                system.raise(AlarmKind::BackupFailed, None, "", params).await
            }
            None | Some(_) => Ok(()),
        };
        if let Err(error) = told {
            tracing::error!(%error, "The alarm of a backup could not be told");
        }
        failed
    }

    /// Takes a backup whenever the timetable says so. Looks for backups that others put on the shelf, too.
    pub async fn run(self, system: System) {
        loop {
            tokio::time::sleep(PERIOD).await;
            let looking = self.clone();
            // The shelf may be on a network disk that answers slowly.
            if tokio::task::spawn_blocking(move || looking.look()).await.is_err() {
                return;
            }
            self.tick(&system).await;
        }
    }

    /// Takes a backup when one is due, and waits for its end.
    pub async fn tick(&self, system: &System) {
        let due = {
            let state = self.state();
            due(self.0.every_hours, state.last.as_ref().map(|last| last.at), state.failed_at, system.now())
        };
        if due && let Ok(ended) = self.begin(system, BY_ITSELF) {
            let _ = ended.await;
        }
    }

    /// Looks for the newest backup on the shelf.
    fn look(&self) {
        let newest = shelf::list(&self.0.order.shelf).pop();
        let known = self.state().last.as_ref().map(|last| last.path.clone());
        let Some((_, path)) = newest.filter(|(_, path)| known.as_deref() != path.to_str()) else { return };
        match Manifest::read(&path) {
            Ok(manifest) => self.state().last = Some(LastBackup::of(&path, &manifest)),
            Err(error) => tracing::warn!(%error, "A backup cannot be read"),
        }
    }
}

/// Who takes those of the timetable.
const BY_ITSELF: &str = "system";

fn due(every_hours: u32, last: Option<Timestamp>, failed: Option<Timestamp>, now: Timestamp) -> bool {
    let every = SignedDuration::from_hours(i64::from(every_hours));
    every_hours > 0
        && last.is_none_or(|last| now.duration_since(last) >= every)
        && failed.is_none_or(|failed| now.duration_since(failed) >= AGAIN)
}

impl LastBackup {
    fn of(path: &Path, manifest: &Manifest) -> Self {
        Self {
            at: manifest.taken_at,
            path: path.display().to_string(),
            bytes: manifest.bytes(),
            rows: manifest.rows(),
            seconds: manifest.seconds,
            secrets: manifest.secrets,
        }
    }
}

/// Whether two directories, or what is above them, are on one disk.
fn same_disk(a: &Path, b: &Path) -> bool {
    let device = |path: &Path| -> Option<u64> {
        let there: PathBuf = path.ancestors().find(|above| above.exists())?.to_owned();
        Some(there.metadata().ok()?.dev())
    };
    device(a) == device(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timetable_waits_for_its_hour_and_after_a_failure_for_another() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-25T12:00:00Z");
        assert!(!due(0, None, None, now), "no timetable");
        assert!(due(24, None, None, now), "never taken");
        assert!(!due(24, Some(at("2026-11-24T12:00:01Z")), None, now));
        assert!(due(24, Some(at("2026-11-24T12:00:00Z")), None, now));
        assert!(!due(24, None, Some(at("2026-11-25T11:30:00Z")), now));
        assert!(due(24, None, Some(at("2026-11-25T11:00:00Z")), now));
    }
}
