//! One page's connection to the live feed.
//!
//! Each subscription is a task that forwards its topic into the connection's queue. The queue is bounded: when a page
//! cannot keep up, the connection closes with 1013 (try again later) and the page resumes from its last position.

use super::protocol::{self, ClientMessage, Hello, OverlayFrame, Position, ScreenFrame};
use super::topic::{Healing, Published, Start, Topic};
use crate::rbac::{Permission, Role};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::stream::BoxStream;
use futures_util::{SinkExt, StreamExt};
use gatehouse_core::id::DeviceId;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Messages waiting for one page.
const QUEUE: usize = 256;

/// Subscriptions one page may hold.
const SUBSCRIPTIONS: usize = 32;

/// Code of a close that asks the page to come back.
const TRY_AGAIN_LATER: u16 = 1013;

/// Code of a close because the session ended.
const POLICY: u16 = 1008;

/// Begins to follow the boxes of a camera; `None`: no such camera.
pub type Follow = Arc<dyn Fn(DeviceId) -> Option<OverlayStream> + Send + Sync>;

/// The boxes of a camera, newest first come; the end of the stream is the camera's.
pub type OverlayStream = BoxStream<'static, OverlayFrame>;

/// Begins to follow the screen of a door; `None`: no such door, or it asks nothing.
pub type FollowScreen = Arc<dyn Fn(DeviceId) -> Option<ScreenStream> + Send + Sync>;

/// What the screen of a door says, the newest first.
pub type ScreenStream = BoxStream<'static, ScreenFrame>;

/// The topics of screens begin so; a door's id follows.
const SCREEN: &str = "screen/";

/// The topics of boxes begin so; a camera's id follows.
const OVERLAY: &str = "overlay/";

/// What a connection needs to know.
pub struct Connection {
    /// Every topic by name.
    pub topics: Arc<BTreeMap<&'static str, Arc<Topic>>>,
    /// The run of the program.
    pub epoch: Arc<str>,
    /// Who is signed in.
    pub user: String,
    /// As what.
    pub role: Role,
    /// Follows a camera's boxes: `overlay/<camera>`.
    pub overlay: Follow,
    /// Follows the screen of a door: `screen/<door>`.
    pub screen: FollowScreen,
    /// Ends when the session does.
    pub ended: tokio_util::sync::CancellationToken,
}

impl Connection {
    /// Serves the page until it leaves, falls behind or its session ends.
    pub async fn run(self, socket: WebSocket) {
        let (mut sink, mut stream) = socket.split();
        let (tx, mut rx) = mpsc::channel::<String>(QUEUE);
        let mut tasks: BTreeMap<u32, JoinHandle<()>> = BTreeMap::new();
        let hello = Hello {
            t: "hello",
            proto: protocol::PROTO,
            build: env!("CARGO_PKG_VERSION"),
            epoch: &self.epoch,
            user: &self.user,
            hb: protocol::HEARTBEAT_S,
        };
        let hello = serde_json::to_string(&hello).expect("a struct of strings and numbers serialises");
        if sink.send(Message::Text(hello.into())).await.is_err() {
            return;
        }
        let (overflow_tx, mut overflow) = mpsc::channel::<()>(1);
        let mut beat = tokio::time::interval(Duration::from_secs(protocol::HEARTBEAT_S));
        let close = loop {
            tokio::select! {
                Some(text) = rx.recv() => if sink.send(Message::Text(text.into())).await.is_err() { break None },
                _ = beat.tick() => {
                    let text = protocol::heartbeat(jiff::Timestamp::now());
                    if sink.send(Message::Text(text.into())).await.is_err() { break None }
                }
                _ = overflow.recv() => break Some((TRY_AGAIN_LATER, "fell behind")),
                () = self.ended.cancelled() => break Some((POLICY, "signed out")),
                message = stream.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        if let Some(reply) = self.handle(&text, &tx, &overflow_tx, &mut tasks)
                            && sink.send(Message::Text(reply.into())).await.is_err() {
                            break None;
                        }
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_))) => {}
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break None,
                },
            }
        };
        tasks.into_values().for_each(|task| task.abort());
        if let Some((code, reason)) = close {
            // The page may be gone already; nothing more is owed to it.
            let _ = sink.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
        }
    }

    fn handle(
        &self,
        text: &str,
        tx: &mpsc::Sender<String>,
        overflow: &mpsc::Sender<()>,
        tasks: &mut BTreeMap<u32, JoinHandle<()>>,
    ) -> Option<String> {
        match serde_json::from_str::<ClientMessage>(text) {
            Err(_) => Some(protocol::error(None, "malformed")),
            Ok(ClientMessage::Unsub { id }) => {
                if let Some(task) = tasks.remove(&id) {
                    task.abort();
                }
                None
            }
            Ok(ClientMessage::Sub { id, topic, from }) => {
                if tasks.len() >= SUBSCRIPTIONS && !tasks.contains_key(&id) {
                    return Some(protocol::error(Some(id), "too_many"));
                }
                if let Some(camera) = topic.strip_prefix(OVERLAY) {
                    return self.newest(id, Permission::VideoRead, camera, &*self.overlay, tx, tasks);
                }
                if let Some(door) = topic.strip_prefix(SCREEN) {
                    return self.newest(id, Permission::ScreenRead, door, &*self.screen, tx, tasks);
                }
                let Some(topic) = self.topics.get(topic.as_str()) else {
                    return Some(protocol::error(Some(id), "unknown_topic"));
                };
                if !self.role.may(topic.permission) {
                    return Some(protocol::error(Some(id), "forbidden"));
                }
                let follow = follow(topic.clone(), id, self.seen(from), tx.clone(), overflow.clone());
                if let Some(old) = tasks.insert(id, tokio::spawn(follow)) {
                    old.abort();
                }
                None
            }
        }
    }

    /// Follows what only the newest counts of: a camera's boxes, a door's screen.
    fn newest<T: Serialize + Send + 'static>(
        &self,
        id: u32,
        permission: Permission,
        device: &str,
        follow: &(dyn Fn(DeviceId) -> Option<BoxStream<'static, T>> + Send + Sync),
        tx: &mpsc::Sender<String>,
        tasks: &mut BTreeMap<u32, JoinHandle<()>>,
    ) -> Option<String> {
        if !self.role.may(permission) {
            return Some(protocol::error(Some(id), "forbidden"));
        }
        let stream = device.parse().ok().and_then(follow);
        let Some(stream) = stream else { return Some(protocol::error(Some(id), "unknown_topic")) };
        if let Some(old) = tasks.insert(id, tokio::spawn(show(stream, id, tx.clone()))) {
            old.abort();
        }
        None
    }

    fn seen(&self, from: Option<Position>) -> Option<u64> {
        from.filter(|position| *position.epoch == *self.epoch).map(|position| position.seq)
    }
}

/// Forwards one topic. A state topic that fell behind gets a new snapshot; an event topic is replayed from its ring.
async fn follow(topic: Arc<Topic>, id: u32, seen: Option<u64>, tx: mpsc::Sender<String>, overflow: mpsc::Sender<()>) {
    let mut seen = seen;
    loop {
        let (start, mut receiver) = topic.follow(seen);
        let mut last = match start {
            Start::Replay(missed) => {
                let mut last = seen.unwrap_or(0);
                for message in missed {
                    last = message.seq;
                    // A replay may be longer than the queue: it waits for the page, the ring's receiver is bounded.
                    if tx.send(protocol::addressed(message.kind, id, &message.rest)).await.is_err() {
                        return;
                    }
                }
                last
            }
            Start::Fresh(seq) => {
                let data = match topic.snapshot().await {
                    Ok(data) => data,
                    Err(error) => {
                        tracing::warn!(topic = topic.name, %error, "Snapshot of a topic failed");
                        let _ = overflow.try_send(());
                        return;
                    }
                };
                let text = protocol::addressed("snap", id, &format!("\"seq\":{seq},\"data\":{data}}}"));
                if tx.send(text).await.is_err() {
                    return;
                }
                seq
            }
        };
        loop {
            match receiver.recv().await {
                Ok(message) if message.seq <= last => {}
                Ok(message) => {
                    last = message.seq;
                    if !forward(&message, id, &tx, &overflow) {
                        topic.cut_off();
                        return;
                    }
                }
                Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(_)) => {
                    topic.refreshed();
                    seen = match topic.healing {
                        Healing::Snapshot => None,
                        Healing::Replay => Some(last),
                    };
                    break;
                }
            }
        }
    }
}

/// Forwards what only the newest counts of: a page that is slow is left out rather than cut off.
async fn show<T: Serialize>(mut stream: BoxStream<'static, T>, id: u32, tx: mpsc::Sender<String>) {
    // Nothing of what was before is of use: every subscription counts from one.
    if tx.send(protocol::addressed("snap", id, "\"seq\":0,\"data\":null}")).await.is_err() {
        return;
    }
    let mut seq = 0;
    while let Some(frame) = stream.next().await {
        let Some(text) = protocol::event(id, seq + 1, &frame) else { continue };
        match tx.try_send(text) {
            Ok(()) => seq += 1,
            Err(mpsc::error::TrySendError::Full(_)) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}

/// Queues one message for the page; false when the page is too slow or gone.
fn forward(message: &Published, id: u32, tx: &mpsc::Sender<String>, overflow: &mpsc::Sender<()>) -> bool {
    let sent = tx.try_send(protocol::addressed(message.kind, id, &message.rest)).is_ok();
    if !sent {
        // Already told, or already gone.
        let _ = overflow.try_send(());
    }
    sent
}
