//! The board: how every device looks now, with a sequence number of changes.

use gatehouse_core::device::shadow::DeviceView;
use gatehouse_core::id::DeviceId;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// How every device looks now.
pub struct Board {
    entries: RwLock<Entries>,
    seq: watch::Sender<u64>,
}

#[derive(Default)]
struct Entries {
    seq: u64,
    devices: BTreeMap<DeviceId, (u64, Arc<DeviceView>)>,
    severities: BTreeMap<DeviceId, u8>,
}

impl Default for Board {
    fn default() -> Self {
        Self { entries: RwLock::default(), seq: watch::channel(0).0 }
    }
}

impl Board {
    fn change(&self, change: impl FnOnce(&mut Entries) -> bool) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.seq += 1;
        if change(&mut entries) {
            let seq = entries.seq;
            drop(entries);
            self.seq.send_replace(seq);
        } else {
            entries.seq -= 1;
        }
    }

    pub(crate) fn put(&self, mut view: DeviceView) {
        self.change(|entries| {
            view.severity = entries.severities.get(&view.id).copied().unwrap_or(0);
            let seq = entries.seq;
            entries.devices.insert(view.id, (seq, Arc::new(view)));
            true
        });
    }

    pub(crate) fn severity(&self, device: DeviceId, severity: u8) {
        self.change(|entries| {
            let before = match severity {
                0 => entries.severities.remove(&device),
                _ => entries.severities.insert(device, severity),
            };
            let seq = entries.seq;
            let Some((at, view)) = entries.devices.get_mut(&device).filter(|_| before.unwrap_or(0) != severity) else {
                return false;
            };
            *at = seq;
            Arc::make_mut(view).severity = severity;
            true
        });
    }

    /// All devices, and the number of the last change among them.
    pub fn snapshot(&self) -> (u64, Vec<Arc<DeviceView>>) {
        self.since(0)
    }

    /// The devices that changed after a number.
    pub fn since(&self, seq: u64) -> (u64, Vec<Arc<DeviceView>>) {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let changed = entries.devices.values().filter(|(at, _)| *at > seq).map(|(_, view)| view.clone()).collect();
        (entries.seq, changed)
    }

    /// One device.
    pub fn get(&self, id: DeviceId) -> Option<Arc<DeviceView>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.devices.get(&id).map(|(_, view)| view.clone())
    }

    /// Tells the number of the last change, at each change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.seq.subscribe()
    }
}
