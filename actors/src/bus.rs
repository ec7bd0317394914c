//! Typed fan-out of what was committed, in the order of the commits.
//!
//! The channel is bounded: a reader that falls behind is told how many changes it missed ([`broadcast::error::RecvError::Lagged`])
//! and reads the state again; nothing waits for it.

use crate::access::AccessView;
use crate::alarm::AlarmView;
use crate::command::CommandView;
use crate::event::EventView;
use crate::passage::PassageView;
use crate::workorder::WorkOrderView;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Changes a slow reader may be behind before it misses some.
const DEPTH: usize = 8_192;

/// Something that was committed.
#[derive(Clone, Debug)]
pub enum Change {
    /// An event of the timeline.
    Event(Arc<EventView>),
    /// An alarm, new or changed.
    Alarm(Arc<AlarmView>),
    /// A passage, new or changed.
    Passage(Arc<PassageView>),
    /// A credential was presented.
    Access(Arc<AccessView>),
    /// A command moved along its ledger.
    Command(Arc<CommandView>),
    /// A work order, new or changed.
    WorkOrder(Arc<WorkOrderView>),
}

/// The fan-out.
#[derive(Clone)]
pub struct Bus(broadcast::Sender<Change>);

impl Default for Bus {
    fn default() -> Self {
        Self(broadcast::channel(DEPTH).0)
    }
}

impl Bus {
    /// Everything committed from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.0.subscribe()
    }

    pub(crate) fn publish(&self, change: Change) {
        // No reader is no error.
        let _ = self.0.send(change);
    }
}
