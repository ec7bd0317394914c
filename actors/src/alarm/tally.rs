//! The open alarms as committed: what pages count and what colours the plan.

use super::{AlarmCounts, AlarmView};
use crate::board::Board;
use gatehouse_core::id::{AlarmId, DeviceId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};
use uuid::Uuid;

/// Closed alarms remembered for when the store cannot be read.
const LATELY: usize = 64;

/// The open alarms as committed.
#[derive(Default)]
pub(crate) struct Tally {
    open: RwLock<Open>,
    closed: RwLock<VecDeque<Arc<AlarmView>>>,
    board: RwLock<Option<Arc<Board>>>,
}

/// The open alarms, and what would be found by looking at all of them.
#[derive(Default)]
struct Open {
    by_id: BTreeMap<AlarmId, Arc<AlarmView>>,
    /// What asks for a look on a device, most urgent first.
    urgent: BTreeSet<(DeviceId, u8, AlarmId)>,
    counts: AlarmCounts,
}

impl Open {
    fn put(&mut self, view: &Arc<AlarmView>, is_open: bool) {
        let old = if is_open { self.by_id.insert(view.id, view.clone()) } else { self.by_id.remove(&view.id) };
        if let Some(old) = old {
            add(&mut self.counts, &old, u32::wrapping_sub);
            if let Some(entry) = urgent(&old) {
                self.urgent.remove(&entry);
            }
        }
        if is_open {
            add(&mut self.counts, view, u32::wrapping_add);
            self.urgent.extend(urgent(view));
        }
    }

    /// Priority of the most urgent on a device; 0: none.
    fn severity(&self, device: DeviceId) -> u8 {
        let from = (device, u8::MIN, AlarmId(Uuid::nil()));
        self.urgent.range(from..).next().filter(|(of, ..)| *of == device).map_or(0, |(_, priority, _)| *priority)
    }
}

/// Whether an alarm colours its device, and where it then stands.
fn urgent(alarm: &AlarmView) -> Option<(DeviceId, u8, AlarmId)> {
    let device = alarm.device?;
    (counts(alarm) && (alarm.active || alarm.latched || !alarm.acked)).then_some((device, alarm.priority, alarm.id))
}

/// Counts an alarm in, or out.
fn add(total: &mut AlarmCounts, alarm: &AlarmView, by: fn(u32, u32) -> u32) {
    let count = |n: &mut u32| *n = by(*n, 1);
    if !counts(alarm) {
        return count(&mut total.shelved);
    }
    count(match alarm.priority {
        1 => &mut total.p1,
        2 => &mut total.p2,
        3 => &mut total.p3,
        _ => &mut total.p4,
    });
    if !alarm.acked {
        count(&mut total.unacked);
    }
}

impl Tally {
    /// Where severities are shown.
    pub(crate) fn show_on(&self, board: Arc<Board>) {
        *self.board.write().unwrap_or_else(PoisonError::into_inner) = Some(board);
    }

    /// Takes the newest version of an alarm.
    pub(crate) fn put(&self, view: &Arc<AlarmView>, is_open: bool) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.put(view, is_open);
        if !is_open {
            let mut closed = self.closed.write().unwrap_or_else(PoisonError::into_inner);
            closed.push_back(view.clone());
            if closed.len() > LATELY {
                closed.pop_front();
            }
        }
        let Some(device) = view.device else { return };
        let severity = open.severity(device);
        drop(open);
        if let Some(board) = &*self.board.read().unwrap_or_else(PoisonError::into_inner) {
            board.severity(device, severity);
        }
    }

    pub(crate) fn open(&self) -> Vec<AlarmView> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let mut alarms: Vec<_> = open.by_id.values().map(|alarm| (**alarm).clone()).collect();
        alarms.sort_by(|a, b| (a.priority, b.raised_at, a.id).cmp(&(b.priority, a.raised_at, b.id)));
        alarms
    }

    /// An alarm that is open or was closed a moment ago.
    pub(crate) fn find(&self, id: AlarmId) -> Option<AlarmView> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner).by_id.get(&id).cloned();
        let lately = || {
            let closed = self.closed.read().unwrap_or_else(PoisonError::into_inner);
            closed.iter().rev().find(|alarm| alarm.id == id).cloned()
        };
        open.or_else(lately).map(|alarm| (*alarm).clone())
    }

    pub(crate) fn counts(&self) -> AlarmCounts {
        self.open.read().unwrap_or_else(PoisonError::into_inner).counts
    }
}

/// Whether an operator should look at it now.
fn counts(alarm: &AlarmView) -> bool {
    alarm.shelved_until.is_none() && !alarm.suppressed
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_core::alarm::AlarmKind;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn view(n: u128, device: u128, priority: u8, [active, acked, shelved]: [bool; 3]) -> Arc<AlarmView> {
        Arc::new(AlarmView {
            id: AlarmId(Uuid::from_u128(n)),
            kind: AlarmKind::Smoke,
            zone: String::new(),
            priority,
            device: Some(DeviceId(Uuid::from_u128(device))),
            place: None,
            title: BTreeMap::new(),
            raised_at: Timestamp::UNIX_EPOCH,
            observed_at: None,
            active,
            acked,
            acked_by: None,
            acked_at: None,
            cleared_at: None,
            closed_at: None,
            latched: false,
            shelved_until: shelved.then_some(Timestamp::UNIX_EPOCH),
            shelve_reason: String::new(),
            suppressed: false,
            letter: String::new(),
            occurrences: 1,
            cameras: Vec::new(),
            work_order: None,
            source: String::new(),
        })
    }

    proptest! {
        #[test]
        fn what_is_counted_is_what_a_look_at_all_of_them_finds(
            puts in proptest::collection::vec((0..6_u128, 1..5_u8, any::<[bool; 3]>(), any::<bool>()), 0..60),
        ) {
            let mut open = Open::default();
            for (n, priority, facts, is_open) in puts {
                open.put(&view(n, n % 3, priority, facts), is_open);
            }
            let all: Vec<_> = open.by_id.values().collect();
            let some = |fits: &dyn Fn(&AlarmView) -> bool| all.iter().filter(|alarm| fits(alarm)).count() as u32;
            prop_assert_eq!(open.counts.shelved, some(&|alarm| !counts(alarm)));
            prop_assert_eq!(open.counts.p2, some(&|alarm| counts(alarm) && alarm.priority == 2));
            prop_assert_eq!(open.counts.p4, some(&|alarm| counts(alarm) && alarm.priority == 4));
            prop_assert_eq!(open.counts.unacked, some(&|alarm| counts(alarm) && !alarm.acked));
            for n in 0..3 {
                let device = DeviceId(Uuid::from_u128(n));
                let looks = all.iter().filter(|alarm| {
                    alarm.device == Some(device) && counts(alarm) && (alarm.active || !alarm.acked)
                });
                prop_assert_eq!(open.severity(device), looks.map(|alarm| alarm.priority).min().unwrap_or(0));
            }
        }
    }
}
