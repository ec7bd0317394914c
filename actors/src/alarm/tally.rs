//! The open alarms as committed: what pages count and what colours the plan.

use super::{AlarmCounts, AlarmView};
use crate::board::Board;
use gatehouse_core::id::AlarmId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

/// Closed alarms remembered for when the store cannot be read.
const LATELY: usize = 64;

/// The open alarms as committed.
#[derive(Default)]
pub(crate) struct Tally {
    open: RwLock<BTreeMap<AlarmId, Arc<AlarmView>>>,
    closed: RwLock<VecDeque<Arc<AlarmView>>>,
    board: RwLock<Option<Arc<Board>>>,
}

impl Tally {
    /// Where severities are shown.
    pub(crate) fn show_on(&self, board: Arc<Board>) {
        *self.board.write().unwrap_or_else(PoisonError::into_inner) = Some(board);
    }

    /// Takes the newest version of an alarm.
    pub(crate) fn put(&self, view: &Arc<AlarmView>, is_open: bool) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if is_open {
            open.insert(view.id, view.clone())
        } else {
            let mut closed = self.closed.write().unwrap_or_else(PoisonError::into_inner);
            closed.push_back(view.clone());
            if closed.len() > LATELY {
                closed.pop_front();
            }
            open.remove(&view.id)
        };
        let Some(device) = view.device else { return };
        let severity = open
            .values()
            .filter(|alarm| {
                alarm.device == Some(device) && counts(alarm) && (alarm.active || alarm.latched || !alarm.acked)
            })
            .map(|alarm| alarm.priority)
            .min()
            .unwrap_or(0);
        drop(open);
        if let Some(board) = &*self.board.read().unwrap_or_else(PoisonError::into_inner) {
            board.severity(device, severity);
        }
    }

    pub(crate) fn open(&self) -> Vec<AlarmView> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let mut alarms: Vec<_> = open.values().map(|alarm| (**alarm).clone()).collect();
        alarms.sort_by(|a, b| (a.priority, b.raised_at, a.id).cmp(&(b.priority, a.raised_at, b.id)));
        alarms
    }

    /// An alarm that is open or was closed a moment ago.
    pub(crate) fn find(&self, id: AlarmId) -> Option<AlarmView> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let lately = || {
            let closed = self.closed.read().unwrap_or_else(PoisonError::into_inner);
            closed.iter().rev().find(|alarm| alarm.id == id).cloned()
        };
        open.or_else(lately).map(|alarm| (*alarm).clone())
    }

    pub(crate) fn counts(&self) -> AlarmCounts {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let mut total = AlarmCounts::default();
        for alarm in open.values() {
            if !counts(alarm) {
                total.shelved += 1;
                continue;
            }
            match alarm.priority {
                1 => total.p1 += 1,
                2 => total.p2 += 1,
                3 => total.p3 += 1,
                _ => total.p4 += 1,
            }
            total.unacked += u32::from(!alarm.acked);
        }
        total
    }
}

/// Whether an operator should look at it now.
fn counts(alarm: &AlarmView) -> bool {
    alarm.shelved_until.is_none() && !alarm.suppressed
}
