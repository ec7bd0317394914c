//! What devices' machines need to start, read for all of them at once.
//!
//! A shell that starts alone asks the store three things: where it stood, what it missed, its newest values. Ten thousand that
//! start together would ask thirty thousand times; here three answers serve them all. An answer is used once: a shell that
//! starts again asks for itself.

use crate::address::Name;
use crate::error::StoreError;
use crate::{event, telemetry};
use gatehouse_core::device::telemetry::{PointName, Value};
use gatehouse_core::event::Event;
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use sqlx::PgPool;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Where a machine stood, and the events it has not stepped on.
#[derive(Default)]
pub(crate) struct Stored {
    pub seq: u64,
    pub state: Option<serde_json::Value>,
    pub missed: Vec<Event>,
}

impl Stored {
    /// Reads it for one machine.
    pub(crate) async fn read(pool: &PgPool, name: Name) -> Result<Self, StoreError> {
        let stored = event::store::machine(pool, &name.to_string()).await?;
        let (seq, state) = stored.map_or((0, None), |(seq, state)| (seq, Some(state)));
        let missed = event::store::missed(pool, name, seq).await?;
        Ok(Self { seq, state, missed })
    }
}

/// The newest values of a device.
pub(crate) type Latest = Vec<(PointName, Value, Timestamp)>;

/// What was read for all devices.
#[derive(Default)]
pub(crate) struct Prepared {
    stored: Mutex<HashMap<DeviceId, Stored>>,
    latest: Mutex<HashMap<DeviceId, Latest>>,
}

impl Prepared {
    /// Reads it for these devices. What is in the journal's queue by then must be committed.
    pub(crate) async fn read(&self, pool: &PgPool, devices: &[DeviceId]) -> Result<(), StoreError> {
        let mut stored: HashMap<_, Stored> = devices.iter().map(|id| (*id, Stored::default())).collect();
        for (id, seq, state) in event::store::device_machines(pool, devices).await? {
            stored.insert(id, Stored { seq, state: Some(state), missed: Vec::new() });
        }
        let positions: Vec<_> = stored.iter().map(|(id, stored)| (*id, stored.seq)).collect();
        for event in event::store::missed_by_devices(pool, &positions).await? {
            if let Some(stored) = event.device.and_then(|id| stored.get_mut(&id)) {
                stored.missed.push(event);
            }
        }
        let mut latest: HashMap<_, Latest> = devices.iter().map(|id| (*id, Latest::new())).collect();
        for (id, value) in telemetry::store::latest(pool, devices).await? {
            latest.entry(id).or_default().push(value);
        }
        *self.stored.lock().unwrap_or_else(PoisonError::into_inner) = stored;
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = latest;
        Ok(())
    }

    /// Prepares a device that has nothing in the store.
    pub(crate) fn put_fresh(&self, id: DeviceId) {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Stored::default());
    }

    /// What was read for a machine, once.
    pub(crate) fn stored(&self, name: Name) -> Option<Stored> {
        let Name::Device(id) = name else { return None };
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    /// The newest values read for a device, once.
    pub(crate) fn latest(&self, id: DeviceId) -> Option<Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    /// Forgets what nobody asked for.
    pub(crate) fn clear(&self) {
        *self.stored.lock().unwrap_or_else(PoisonError::into_inner) = HashMap::new();
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = HashMap::new();
    }
}
