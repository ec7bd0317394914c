//! A topic: everything published on it has a sequence number, is encoded once, and can be replayed from a ring.
//!
//! State topics carry whole objects (the last one wins), so a page that fell behind gets a fresh snapshot. Event topics
//! are lossless: a page that fell behind is replayed from the ring, or told to start over.

use serde::Serialize;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Messages kept for replay.
const RING: usize = 4096;

/// Bytes kept for replay: a message about ten thousand devices is large.
const RING_BYTES: usize = 8 << 20;

/// Messages a connection may be behind before it is replayed or refreshed.
const BEHIND: usize = 256;

/// How a topic heals a page that missed messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Healing {
    /// Whole objects, last value wins: a new snapshot.
    Snapshot,
    /// Every message counts: replay, else start over.
    Replay,
}

/// One published message, encoded.
#[derive(Debug)]
pub struct Published {
    /// Its place in the topic.
    pub seq: u64,
    /// `delta`, `ev` or `snap`.
    pub kind: &'static str,
    /// The message from `"seq":` to the closing brace.
    pub rest: String,
}

/// Builds the snapshot's data.
pub type Snapshot =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<serde_json::Value, String>> + Send>> + Send + Sync>;

/// A topic of the live feed.
pub struct Topic {
    /// Its name on the wire.
    pub name: &'static str,
    /// The permission that a follower needs.
    pub permission: crate::rbac::Permission,
    /// How followers that fell behind are healed.
    pub healing: Healing,
    snapshot: Option<Snapshot>,
    state: Mutex<State>,
    refreshes: AtomicU64,
    cut_off: AtomicU64,
}

/// How a topic does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFigures {
    /// Its name.
    pub name: &'static str,
    /// Pages that follow it.
    pub followers: u64,
    /// Messages published.
    pub published: u64,
    /// Messages that the slowest follower has not taken yet.
    pub lag: u64,
    /// Followers that fell behind and were healed.
    pub refreshes: u64,
    /// Followers whose connection was full and was closed.
    pub cut_off: u64,
}

struct State {
    seq: u64,
    ring: VecDeque<Arc<Published>>,
    ring_bytes: usize,
    tx: broadcast::Sender<Arc<Published>>,
}

/// What a new follower is sent first.
pub enum Start {
    /// Nothing was missed: these, then what comes.
    Replay(Vec<Arc<Published>>),
    /// A snapshot, then what comes after this sequence number.
    Fresh(u64),
}

impl Topic {
    /// A topic that nobody has published on.
    pub fn new(
        name: &'static str,
        permission: crate::rbac::Permission,
        healing: Healing,
        snapshot: Option<Snapshot>,
    ) -> Arc<Self> {
        let (tx, _) = broadcast::channel(BEHIND);
        Arc::new(Self {
            name,
            permission,
            healing,
            snapshot,
            state: Mutex::new(State { seq: 0, ring: VecDeque::new(), ring_bytes: 0, tx }),
            refreshes: AtomicU64::new(0),
            cut_off: AtomicU64::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a follower that fell behind and is healed.
    pub fn refreshed(&self) {
        self.refreshes.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a follower whose connection was full.
    pub fn cut_off(&self) {
        self.cut_off.fetch_add(1, Ordering::Relaxed);
    }

    /// How it does.
    pub fn figures(&self) -> TopicFigures {
        let state = self.state();
        TopicFigures {
            name: self.name,
            followers: state.tx.receiver_count() as u64,
            published: state.seq,
            // Without a follower the channel keeps what was sent last.
            lag: if state.tx.receiver_count() == 0 { 0 } else { state.tx.len() as u64 },
            refreshes: self.refreshes.load(Ordering::Relaxed),
            cut_off: self.cut_off.load(Ordering::Relaxed),
        }
    }

    /// Publishes changed objects of a state topic, with further top-level fields (`"counts":…`) where there are any.
    pub fn delta<T: Serialize>(&self, changed: &[T], extra: Option<(&str, &serde_json::Value)>) {
        if changed.is_empty() {
            return;
        }
        let Ok(objects) = serde_json::to_string(changed) else { return };
        let ts = jiff::Timestamp::now();
        let extra = extra.map(|(key, value)| format!(",\"{key}\":{value}")).unwrap_or_default();
        self.publish("delta", |seq| format!("\"seq\":{seq},\"ts\":\"{ts}\",\"u\":{objects}{extra}}}"));
    }

    /// Publishes one event.
    pub fn event<T: Serialize>(&self, data: &T) {
        let Ok(data) = serde_json::to_string(data) else { return };
        self.publish("ev", |seq| format!("\"seq\":{seq},\"data\":{data}}}"));
    }

    /// Publishes a whole new state.
    pub fn state_of<T: Serialize>(&self, data: &T) {
        let Ok(data) = serde_json::to_string(data) else { return };
        self.publish("snap", |seq| format!("\"seq\":{seq},\"data\":{data}}}"));
    }

    fn publish(&self, kind: &'static str, rest: impl FnOnce(u64) -> String) {
        let mut state = self.state();
        state.seq += 1;
        let message = Arc::new(Published { seq: state.seq, kind, rest: rest(state.seq) });
        state.ring_bytes += message.rest.len();
        state.ring.push_back(message.clone());
        while state.ring.len() > RING || state.ring_bytes > RING_BYTES {
            let Some(oldest) = state.ring.pop_front() else { break };
            state.ring_bytes -= oldest.rest.len();
        }
        // Nobody listening is not an error.
        let _ = state.tx.send(message);
    }

    /// Begins following: after `seen` when the ring still reaches back to it, else afresh.
    pub fn follow(&self, seen: Option<u64>) -> (Start, broadcast::Receiver<Arc<Published>>) {
        let state = self.state();
        let receiver = state.tx.subscribe();
        let start = match seen {
            Some(seen) if seen <= state.seq && state.ring.front().map_or(state.seq, |first| first.seq - 1) <= seen => {
                Start::Replay(state.ring.iter().filter(|message| message.seq > seen).cloned().collect())
            }
            Some(_) | None => Start::Fresh(state.seq),
        };
        (start, receiver)
    }

    /// The snapshot's data; `null` for a topic that only has events.
    pub async fn snapshot(&self) -> Result<serde_json::Value, String> {
        match &self.snapshot {
            Some(build) => build().await,
            None => Ok(serde_json::Value::Null),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rbac::Permission;

    fn topic() -> Arc<Topic> {
        Topic::new("events", Permission::DeviceRead, Healing::Replay, None)
    }

    #[test]
    fn a_follower_that_returns_is_replayed_exactly_what_it_missed() {
        let topic = topic();
        (0..10).for_each(|n| topic.event(&n));
        let (Start::Replay(missed), _) = topic.follow(Some(7)) else { panic!("expected a replay") };
        assert_eq!(missed.iter().map(|m| m.seq).collect::<Vec<_>>(), [8, 9, 10]);
    }

    #[test]
    fn a_follower_away_longer_than_the_ring_starts_afresh() {
        let topic = topic();
        (0..=RING + 10).for_each(|n| topic.event(&n));
        assert!(matches!(topic.follow(Some(3)).0, Start::Fresh(seq) if seq == RING as u64 + 11));
        assert!(matches!(topic.follow(Some(99_999)).0, Start::Fresh(_)), "a position from another run");
    }

    #[test]
    fn large_messages_are_kept_up_to_so_many_bytes() {
        let topic = topic();
        let large = "x".repeat(RING_BYTES / 4);
        (0..10).for_each(|_| topic.event(&large));
        assert!(topic.state().ring.len() == 3 && topic.state().ring_bytes <= RING_BYTES);
        assert!(matches!(topic.follow(Some(6)).0, Start::Fresh(10)));
        assert!(matches!(topic.follow(Some(7)).0, Start::Replay(missed) if missed.len() == 3));
        topic.event(&"x".repeat(RING_BYTES));
        assert!(matches!(topic.follow(Some(10)).0, Start::Fresh(11)), "what no ring can hold was missed");
        assert!(matches!(topic.follow(Some(11)).0, Start::Replay(missed) if missed.is_empty()));
    }

    #[test]
    fn an_event_is_encoded_once_as_the_wire_says() {
        let topic = topic();
        let (_, mut receiver) = topic.follow(None);
        topic.event(&serde_json::json!({"code": "x"}));
        assert_eq!(receiver.try_recv().unwrap().rest, r#""seq":1,"data":{"code":"x"}}"#);
    }
}
