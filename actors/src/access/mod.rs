//! Access: the snapshot doors decide from, and the records of what they decided.

pub(crate) mod store;

use crate::error::Error;
use crate::root::System;
use crate::watchlist;
use gatehouse_core::access::{AccessRecord, Schedule, Snapshot, Via};
use gatehouse_core::id::{AccessId, DeviceId, PersonId, PictureId};
use gatehouse_core::site::{Compound, Site};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Notify;

/// The snapshot in use: replaced whole, read without waiting.
#[derive(Default)]
pub(crate) struct Current {
    snapshot: RwLock<Arc<Snapshot>>,
    renewed: Notify,
}

impl Current {
    pub(crate) fn get(&self) -> Arc<Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, snapshot: Snapshot) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        self.renewed.notify_one();
    }

    /// Resolves once it was replaced since the last time: for the one who waits for credentials to end.
    pub(crate) async fn renewed(&self) {
        self.renewed.notified().await;
    }
}

/// An access record as operators see it: the record itself.
pub type AccessView = AccessRecord;

/// Which records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccessQuery {
    /// Before then.
    pub before: Option<Timestamp>,
    /// At most so many.
    pub limit: i64,
    /// At this door.
    pub device: Option<DeviceId>,
    /// Of this person.
    pub person: Option<PersonId>,
}

/// An access level. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct LevelView {
    pub key: String,
    pub name: String,
    pub name_zh: String,
    pub doors: Vec<DeviceId>,
    pub schedule: String,
}

/// The parts of a snapshot that come from the site.
pub(crate) fn of_site(site: &Site, compound: &Compound) -> Snapshot {
    let schedules = site
        .schedules
        .iter()
        // Checked at the import; one that does not read opens nothing.
        .map(|def| (def.key.clone(), Schedule::new(&def.windows, &def.closed).unwrap_or_default()))
        .collect();
    let zone = crate::clock::zone(&site.zone).unwrap_or(jiff::tz::TimeZone::UTC);
    Snapshot { levels: compound.levels.clone(), schedules, zone, ..Snapshot::default() }
}

impl System {
    /// Presented credentials, newest first.
    pub async fn access_records(&self, query: AccessQuery) -> Result<Vec<AccessView>, Error> {
        Ok(store::list(self.pool(), &query).await?)
    }

    /// The access levels.
    pub fn levels(&self) -> Vec<LevelView> {
        let (site, compound) = (self.site(), self.compound());
        site.levels
            .iter()
            .map(|level| LevelView {
                key: level.key.clone(),
                name: level.name.clone(),
                name_zh: level.name_zh.clone(),
                doors: compound.levels.get(&level.key).map(|l| l.doors.iter().copied().collect()).unwrap_or_default(),
                schedule: level.schedule.clone(),
            })
            .collect()
    }

    /// The name of someone who may hold credentials, out of memory.
    pub fn holder_name(&self, id: PersonId) -> Option<String> {
        self.shared().access.get().people.get(&id).map(|holder| holder.name.clone())
    }

    /// Makes the snapshot anew: after every change of people, and every five minutes.
    pub(crate) async fn refresh_access(&self) -> Result<(), Error> {
        let mut snapshot = of_site(&self.site(), &self.compound());
        store::fill(self.pool(), &mut snapshot, self.now()).await?;
        snapshot.watch = watchlist::store::in_force(self.pool(), self.now()).await?;
        self.shared().access.set(snapshot);
        Ok(())
    }
}

/// The way of a stored word.
pub(crate) fn via(word: &str) -> Via {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).unwrap_or(Via::Operator)
}

/// Columns of a stored record.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct AccessRow {
    id: uuid::Uuid,
    at: jiff_sqlx::Timestamp,
    device: uuid::Uuid,
    person: Option<uuid::Uuid>,
    person_name: String,
    via: String,
    granted: bool,
    reason: String,
    picture: Option<uuid::Uuid>,
    latency_ms: Option<i32>,
}

impl From<AccessRow> for AccessRecord {
    fn from(row: AccessRow) -> Self {
        Self {
            id: AccessId(row.id),
            at: row.at.to_jiff(),
            device: DeviceId(row.device),
            person: row.person.map(PersonId),
            person_name: row.person_name,
            via: via(&row.via),
            granted: row.granted,
            reason: row.reason,
            picture: row.picture.map(PictureId),
            latency_ms: row.latency_ms.and_then(|ms| u32::try_from(ms).ok()),
        }
    }
}
