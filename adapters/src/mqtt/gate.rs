//! Between the embedded broker and the adapter: what a device says is acknowledged once the intake has it.
//!
//! ```text
//! device ─ PUBLISH gh/<key>/{event,state,result} ─▶ broker ─ route ─▶ adapter ─▶ Intake::offer ─ committed ─▶ taken() ─▶ PUBACK ─▶ device
//! ```
//! A broker alone acknowledges what it has in memory, and a kill -9 then loses a card read that its reader believes safe. With
//! an external broker the broker's own persistence has to do.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use tokio::sync::{oneshot, watch};

/// Events that wait for the intake.
#[derive(Debug)]
pub struct Gate {
    /// By topic and payload, in the order of their coming.
    waiting: Mutex<HashMap<u64, VecDeque<oneshot::Sender<()>>>>,
    hasher: RandomState,
    /// Whether an adapter uses the gate, and is subscribed.
    listener: watch::Sender<Listener>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    /// No adapter uses the gate: events pass as in any broker.
    Unused,
    /// The adapter is not subscribed yet, or not again.
    Away,
    /// The adapter hears everything.
    There,
}

impl Default for Gate {
    fn default() -> Self {
        Self { waiting: Mutex::default(), hasher: RandomState::new(), listener: watch::channel(Listener::Unused).0 }
    }
}

impl Gate {
    pub(super) fn listener(&self, state: Listener) {
        self.listener.send_replace(state);
    }

    /// Whether messages on this topic wait: what native devices say happened or is so, where an adapter uses the gate.
    ///
    /// A state too: the word `alarm` of a sensor that has gone back to `normal` when it connects again is said only once.
    pub(super) fn holds(&self, topic: &str) -> bool {
        *self.listener.borrow() != Listener::Unused
            && topic.starts_with("gh/")
            && ["/event", "/state", "/result"].iter().any(|leaf| topic.ends_with(leaf))
    }

    /// Waits until the adapter is subscribed.
    pub(super) async fn listened(&self) {
        // The sender is ours: the channel does not close.
        let _ = self.listener.subscribe().wait_for(|listener| *listener != Listener::Away).await;
    }

    fn key(&self, topic: &[u8], payload: &[u8]) -> u64 {
        self.hasher.hash_one((topic, payload))
    }

    /// Resolves when this message is taken.
    pub(super) fn wait(&self, topic: &str, payload: &[u8]) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(self.key(topic.as_bytes(), payload)).or_default().push_back(sender);
        receiver
    }

    /// The intake has it, or it is nothing that an intake could have. Of several that say the same, the first that still
    /// waits: a device that goes from `normal` to `alarm` and back says `normal` twice.
    pub(super) fn taken(&self, topic: &[u8], payload: &[u8]) {
        let key = self.key(topic, payload);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(senders) = waiting.get_mut(&key) else { return };
        // Whoever waited may be gone with its connection: then the message counts for the next.
        while senders.pop_front().is_some_and(|sender| sender.send(()).is_err()) {}
        if senders.is_empty() {
            waiting.remove(&key);
        }
    }
}
