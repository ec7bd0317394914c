//! What devices report, on its way to the rules that operators wrote: the newest value of each point that a rule names.
//!
//! Bounded by what rules name: one value per device and point, a newer one in its place (counted). A device that no rule
//! names costs one look into a map.

use crate::shell::Message;
use gatehouse_core::device::telemetry::{PointName, Value};
use gatehouse_core::id::{DeviceId, RuleId};
use gatehouse_core::rule::operator::{OperatorCall, OperatorView, RuleState};
use ractor::ActorRef;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The rules' machine as others call it.
pub(crate) type Operator = ActorRef<Message<OperatorCall, ()>>;

type Watched = Arc<BTreeMap<DeviceId, BTreeSet<PointName>>>;

/// The way to the rules.
#[derive(Default)]
pub(crate) struct Feed {
    watched: RwLock<Watched>,
    states: RwLock<Arc<BTreeMap<RuleId, RuleState>>>,
    waiting: Mutex<BTreeMap<DeviceId, BTreeMap<PointName, Value>>>,
    poked: AtomicBool,
    pub(crate) machine: Arc<RwLock<Option<Operator>>>,
    /// Changes of rules, one at a time: the machine hears of them in the order of their versions.
    pub(crate) changing: tokio::sync::Mutex<()>,
    taken: AtomicU64,
    coalesced: AtomicU64,
}

impl Feed {
    /// Takes what a device reported.
    pub(crate) fn report(&self, device: DeviceId, points: &[(PointName, Value)]) {
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(names) = watched.get(&device) else { return };
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = waiting.entry(device).or_default();
            for (name, value) in points.iter().filter(|(name, _)| names.contains(name)) {
                self.taken.fetch_add(1, Ordering::Relaxed);
                if slot.insert(name.clone(), value.clone()).is_some() {
                    self.coalesced.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if !self.poked.swap(true, Ordering::AcqRel) {
            let machine = self.operator();
            if machine.is_none_or(|machine| machine.cast(Message::Poke).is_err()) {
                self.poked.store(false, Ordering::Release);
            }
        }
    }

    /// Empties the slot, for the machine.
    pub(crate) fn drain(&self) -> Option<OperatorCall> {
        self.poked.store(false, Ordering::Release);
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let heard = waiting.into_iter().map(|(device, points)| (device, points.into_iter().collect())).collect();
        Some(OperatorCall::Heard(heard))
    }

    /// What the machine says of itself.
    pub(crate) fn show(&self, view: OperatorView) {
        *self.watched.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view.watched);
        *self.states.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view.rules);
    }

    /// How each running rule does.
    pub(crate) fn states(&self) -> Arc<BTreeMap<RuleId, RuleState>> {
        self.states.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The machine.
    pub(crate) fn operator(&self) -> Option<Operator> {
        self.machine.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Values that wait, may wait, were taken and were replaced by newer ones.
    pub(crate) fn figures(&self) -> (usize, usize, u64, u64) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).values().map(BTreeMap::len).sum();
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        let most = watched.values().map(BTreeSet::len).sum();
        (waiting, most, self.taken.load(Ordering::Relaxed), self.coalesced.load(Ordering::Relaxed))
    }
}
