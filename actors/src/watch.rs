//! What the system watches of its own ground: the database, the disk, the clock. Each trouble is an alarm, and ends.

use crate::alarm::AlarmView;
use crate::journal::JournalHealth;
use crate::root::System;
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::disk::Room;
use gatehouse_core::event::{Body, Params};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, info, warn};

/// How often the disk is looked at.
const DISK_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether the file of refused entries is still there.
const REFUSED_EVERY: Duration = Duration::from_secs(60);
/// How often machines that nothing was for are told how far the log is.
const REACH_EVERY: Duration = Duration::from_secs(60);
/// The zone of the alarm about refused entries.
const REFUSED: &str = "refused";

/// Tells the bytes free on a disk.
pub type FreeSpace = Arc<dyn Fn() -> io::Result<u64> + Send + Sync>;

impl System {
    /// How the journal and its spill do.
    pub fn journal(&self) -> JournalHealth {
        self.shared().journal.health()
    }

    /// How much room the disk has: recording stops first, then the history of readings.
    pub fn room(&self) -> watch::Receiver<Room> {
        self.inner().room.subscribe()
    }

    /// A database that goes away is an alarm: with a spill it is shown at once, without one when the database is back.
    pub(crate) async fn watch_store(self) {
        let mut away = self.shared().journal.away();
        // An earlier run may have ended while it was away.
        let open = |a: &AlarmView| a.kind == AlarmKind::StoreAway && a.zone.is_empty() && a.active;
        let mut told = self.open_alarms().iter().any(open);
        loop {
            let is_away = *away.borrow_and_update();
            if std::mem::replace(&mut told, is_away) != is_away {
                self.say(is_away, AlarmKind::StoreAway, "", Params::new());
            }
            if away.changed().await.is_err() {
                return;
            }
        }
    }

    /// Machines that nothing was for come along with the log: after a restart they read on from near its end.
    pub(crate) async fn watch_reach(self) {
        loop {
            tokio::time::sleep(REACH_EVERY).await;
            self.shared().journal.tell_reach();
        }
    }

    /// Entries that the database refused are an alarm for as long as their file is there.
    pub(crate) async fn watch_refused(self) {
        let journal = &self.shared().journal;
        let mut refused = journal.refused();
        let mut told =
            self.open_alarms().iter().any(|a| a.kind == AlarmKind::StoreAway && a.zone == REFUSED && a.active);
        loop {
            let count = *refused.borrow_and_update();
            if count > 0 || told {
                #[allow(clippy::cast_precision_loss, reason = "a count for people")]
                let params = Params::from([("entries".to_owned(), Value::Number(count as f64))]);
                self.say(count > 0, AlarmKind::StoreAway, REFUSED, params);
                told = count > 0;
            }
            tokio::select! {
                changed = refused.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(REFUSED_EVERY) => {
                    journal.recount_refused();
                    if *refused.borrow() == count {
                        continue;
                    }
                }
            }
        }
    }

    /// A disk without room is an alarm before it is a failure; what matters least stops first.
    pub(crate) async fn watch_disk(self, free: FreeSpace) {
        let open =
            |zone: &str| self.open_alarms().iter().any(|a| a.kind == AlarmKind::DiskFull && a.zone == zone && a.active);
        let mut told = [("recording", open("recording")), ("history", open("history"))];
        let mut failed = false;
        loop {
            let look = free.clone();
            let looked = tokio::task::spawn_blocking(move || look()).await;
            match looked.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Err(error) => {
                    if !std::mem::replace(&mut failed, true) {
                        error!(
                            error = &error as &dyn std::error::Error,
                            "The data directory's disk cannot be asked for its room"
                        );
                    }
                }
                Ok(bytes) => {
                    failed = false;
                    let before = *self.inner().room.borrow();
                    let now = before.with(bytes);
                    if now != before {
                        warn!(free_mb = bytes / 1_000_000, room = now.word(), "The disk's room changed");
                        self.shared().telemetry.hold(now >= Room::Scarce);
                        self.inner().room.send_replace(now);
                    }
                    for ((zone, told), full) in told.iter_mut().zip([now >= Room::Low, now >= Room::Scarce]) {
                        if std::mem::replace(told, full) != full {
                            #[allow(clippy::cast_precision_loss, reason = "megabytes for people")]
                            let params =
                                Params::from([("free_mb".to_owned(), Value::Number((bytes / 1_000_000) as f64))]);
                            self.say(full, AlarmKind::DiskFull, zone, params);
                        }
                    }
                }
            }
            tokio::time::sleep(DISK_EVERY).await;
        }
    }

    /// A step of the machine's clock is an event and, by its rule, an alarm. The order of things is not touched: that is the
    /// event's number, and ids go on from the latest moment seen.
    pub(crate) async fn watch_clock(self) {
        let mut steps = self.clock().steps();
        loop {
            let step = steps.next().await;
            let step_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
            warn!(step_ms, "The machine's clock was moved");
            let _ = self.tell(Body::ClockJumped { step_ms });
        }
    }

    fn say(&self, raised: bool, kind: AlarmKind, zone: &str, params: Params) {
        let zone = zone.to_owned();
        let body = match raised {
            true => Body::AskRaise { kind, zone, params, test: false },
            false => Body::AskClear { kind, zone, reset: false },
        };
        info!(alarm = kind.word(), raised, "The system's own alarm");
        let _ = self.tell(body);
    }
}
