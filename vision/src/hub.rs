//! One stream, many viewers: access units fan out by reference, each viewer behind its own bounded queue.
//!
//! ```text
//!  ingest ──publish──▶ Hub ──▶ GOP cache (the units since the last key frame: a new viewer's instant first picture)
//!                       ├────▶ queue ──▶ Viewer        a slow one drops to a key frame and says so
//!                       └────▶ queue ──▶ Viewer        the others do not notice
//! ```
//! Drop rule: when the oldest queued unit has waited [`LAG_MAX`], or [`QUEUE_MAX`] units wait, the queue falls back to its
//! newest key frame, else it empties until the next one; the first unit after that carries `skipped`. After a stall of the
//! camera the backlog it sends is not shown either: viewers continue with the group of pictures that reaches live again.

use crate::figures::{Latency, Rate, Spread};
use crate::ingest::Watchers;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Longest time a unit waits for a viewer before its queue falls back to a key frame.
pub const LAG_MAX: Duration = Duration::from_millis(500);
/// Most units that wait for one viewer.
pub const QUEUE_MAX: usize = 1024;
/// A unit that arrives later than this behind its own clock is backlog: recorded, not shown.
pub const LATE_MAX: Duration = Duration::from_millis(500);
/// Largest group of pictures kept for new viewers, in units and bytes; a larger one is not cached.
const GOP_MAX: (usize, usize) = (600, 32 << 20);

/// How to decode a stream: what WebCodecs and the sample entry of an MP4 need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfig {
    /// RFC 6381 name, e.g. `avc1.64001f` or `hvc1.1.6.L93.90`.
    pub codec: String,
    /// Decoder configuration record: the body of `avcC` or `hvcC`.
    pub description: Bytes,
    /// Shown width, pixels.
    pub width: u32,
    /// Shown height, pixels.
    pub height: u32,
}

/// Whether an RFC 6381 name is that of H.264.
pub(crate) fn is_h264(codec: &str) -> bool {
    codec.starts_with("avc1") || codec.starts_with("avc3")
}

impl StreamConfig {
    /// The text message that opens a live socket.
    pub fn wire_json(&self) -> String {
        serde_json::json!({
            "t": "config", "codec": self.codec, "description": STANDARD.encode(&self.description),
            "width": self.width, "height": self.height, "timescale": 90_000,
        })
        .to_string()
    }

    /// Whether the stream is H.264, the one codec that every browser reads.
    pub fn is_h264(&self) -> bool {
        is_h264(&self.codec)
    }

    /// Whether the stream is H.265.
    pub fn is_h265(&self) -> bool {
        self.codec.starts_with("hvc1") || self.codec.starts_with("hev1")
    }
}

/// One encoded picture.
#[derive(Debug)]
pub struct AccessUnit {
    /// NAL units with 4-byte big-endian lengths, without parameter sets (those are in `config`).
    pub data: Bytes,
    /// Whether decoding may start here.
    pub key: bool,
    /// When the camera took it, on our clock.
    pub captured: Timestamp,
    /// The same instant on the stream's own line, 90 kHz ticks; of presentation, so not rising where there are B-frames.
    pub pts: i64,
    /// When its last packet reached us.
    pub received: Instant,
    /// How to decode it; the same `Arc` until parameters change.
    pub config: Arc<StreamConfig>,
}

impl AccessUnit {
    /// The bytes before `data` on a live socket: flags (1 key, 2 skipped), 7 zeros, capture time in µs, pts; big-endian.
    pub fn wire_header(&self, skipped: bool) -> [u8; 24] {
        let mut header = [0; 24];
        header[0] = u8::from(self.key) | u8::from(skipped) << 1;
        header[8..16].copy_from_slice(&self.captured.as_microsecond().to_be_bytes());
        header[16..24].copy_from_slice(&self.pts.to_be_bytes());
        header
    }
}

/// Why no frames arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Frames stopped.
    Stalled,
    /// No connection, or the camera said no.
    Refused,
    /// Wrong user or password.
    Unauthorised,
    /// What arrives is not video that we know.
    Undecodable,
}

impl Loss {
    /// The reason as a code.
    pub fn code(self) -> &'static str {
        match self {
            Loss::Stalled => "stalled",
            Loss::Refused => "refused",
            Loss::Unauthorised => "unauthorised",
            Loss::Undecodable => "undecodable",
        }
    }

    /// The text message for a live socket.
    pub fn wire_json(self) -> String {
        serde_json::json!({ "t": "error", "code": self.code() }).to_string()
    }
}

/// What a viewer gets, in order.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// How to decode what follows: before the first unit, on change, and when the stream is back after a loss.
    Config(Arc<StreamConfig>),
    /// No frames arrive, and why.
    Lost(Loss),
    /// A picture.
    Unit {
        /// The picture.
        unit: Arc<AccessUnit>,
        /// Whether pictures were left out before it.
        skipped: bool,
    },
}

/// The fan-out of one stream.
#[derive(Debug, Default)]
pub struct Hub {
    inner: Mutex<Inner>,
    /// Units that viewers did not get, by the drop rule.
    dropped: AtomicU64,
    /// Arrival of a unit to its delivery to a viewer.
    latency: Latency,
    /// Told of each viewer.
    watchers: Watchers,
}

#[derive(Debug, Default)]
struct Inner {
    config: Option<Arc<StreamConfig>>,
    lost: Option<Loss>,
    gop: VecDeque<Arc<AccessUnit>>,
    gop_bytes: usize,
    /// Whether backlog is being swallowed until the stream is live again.
    catching_up: bool,
    viewers: Vec<Arc<Queue>>,
    closed: bool,
    rate: Rate,
    newest: Option<Arc<AccessUnit>>,
    /// Capture time of the newest key frame, µs, and its distance to the one before.
    key_us: Option<i64>,
    key_interval_us: Option<i64>,
}

impl Hub {
    /// Opens a hub without viewers.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`new`](Self::new); the viewers are told as well to whoever counts those of several.
    pub(crate) fn told(watchers: Watchers) -> Self {
        Self { watchers, ..Self::default() }
    }

    /// Shows a unit to all; `late` is how far behind its own clock it arrived.
    ///
    /// Never waits: a viewer that lags loses units, not the publisher time.
    pub fn publish(&self, unit: &Arc<AccessUnit>, late: Duration) {
        let mut inner = self.lock();
        inner.rate.count(unit.received, unit.data.len());
        inner.lost = None;
        if !inner.config.as_ref().is_some_and(|known| Arc::ptr_eq(known, &unit.config)) {
            inner.config = Some(unit.config.clone());
        }
        inner.newest = Some(unit.clone());
        inner.count_key(unit);
        inner.cache(unit);
        if late > LATE_MAX {
            inner.catching_up = true;
            self.dropped.fetch_add(inner.viewers.len() as u64, Ordering::Relaxed);
            return;
        }
        if std::mem::take(&mut inner.catching_up) {
            let gop: Vec<_> = inner.gop.iter().cloned().collect();
            for viewer in &inner.viewers {
                let lost = viewer.restart(&gop);
                self.dropped.fetch_add(lost, Ordering::Relaxed);
            }
            return;
        }
        for viewer in &inner.viewers {
            let lost = viewer.push(unit);
            self.dropped.fetch_add(lost, Ordering::Relaxed);
        }
    }

    /// Tells viewers that frames no longer arrive; the next [`publish`](Self::publish) tells them the contrary.
    pub fn lose(&self, loss: Loss) {
        let mut inner = self.lock();
        if inner.lost == Some(loss) {
            return;
        }
        inner.lost = Some(loss);
        inner.gop.clear();
        inner.gop_bytes = 0;
        inner.catching_up = false;
        inner.rate = Rate::default();
        inner.key_us = None;
        for viewer in &inner.viewers {
            viewer.lose(loss);
        }
    }

    /// Ends every viewer's stream: the camera is gone for good.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        for viewer in inner.viewers.drain(..) {
            viewer.lock().closed = true;
            viewer.notify.notify_one();
        }
    }

    /// Adds a viewer; it gets the configuration and the group of pictures so far at once.
    pub fn watch(self: &Arc<Self>) -> Viewer {
        let mut inner = self.lock();
        let queue = Arc::new(Queue::default());
        {
            let mut waiting = queue.lock();
            waiting.closed = inner.closed;
            waiting.need_key = true;
            if let Some(loss) = inner.lost {
                waiting.items.push_back(Item::Lost(loss));
            } else {
                let now = Instant::now();
                for unit in inner.gop.iter().filter(|_| !inner.catching_up) {
                    waiting.need_key = false;
                    waiting.items.push_back(Item::Unit { unit: unit.clone(), queued: now, skipped: false });
                }
            }
        }
        if !inner.closed {
            inner.viewers.push(queue.clone());
        }
        drop(inner);
        self.watchers.come();
        Viewer { hub: self.clone(), queue, config: None, caught_up: false }
    }

    /// How to decode the stream, once known.
    pub fn config(&self) -> Option<Arc<StreamConfig>> {
        self.lock().config.clone()
    }

    /// Why no frames arrive, when none do.
    pub fn lost(&self) -> Option<Loss> {
        self.lock().lost
    }

    /// The units since the last key frame, oldest first; empty before the first and after a loss.
    pub fn group_of_pictures(&self) -> Vec<Arc<AccessUnit>> {
        self.lock().gop.iter().cloned().collect()
    }

    /// The newest unit.
    pub fn newest(&self) -> Option<Arc<AccessUnit>> {
        self.lock().newest.clone()
    }

    /// Frames per second and kilobits per second over the last seconds.
    pub fn rate(&self) -> (f32, f32) {
        self.lock().rate.per_second(Instant::now())
    }

    /// Between the last key frames, or since the last where that is longer already; `None` before there were two pictures.
    pub fn key_interval(&self) -> Option<Duration> {
        let inner = self.lock();
        let newest = inner.newest.as_ref().map(|unit| unit.captured.as_microsecond());
        let since = inner.key_us.zip(newest).map(|(key, newest)| newest.saturating_sub(key));
        let longest = inner.key_interval_us.max(since.filter(|us| *us > 0));
        longest.map(|us| Duration::from_micros(us.max(0) as u64))
    }

    /// Viewers now.
    pub fn viewers(&self) -> u32 {
        self.lock().viewers.len() as u32
    }

    /// Units that viewers did not get, by the drop rule.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// From a unit's arrival to its delivery to a viewer that keeps up.
    pub fn latency(&self) -> Spread {
        self.latency.spread()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn count_key(&mut self, unit: &AccessUnit) {
        if unit.key {
            let now = unit.captured.as_microsecond();
            self.key_interval_us = self.key_us.map(|before| now.saturating_sub(before)).or(self.key_interval_us);
            self.key_us = Some(now);
        }
    }

    fn cache(&mut self, unit: &Arc<AccessUnit>) {
        if unit.key {
            self.gop.clear();
            self.gop_bytes = 0;
        } else if self.gop.is_empty() {
            return;
        }
        self.gop.push_back(unit.clone());
        self.gop_bytes += unit.data.len();
        if self.gop.len() > GOP_MAX.0 || self.gop_bytes > GOP_MAX.1 {
            self.gop.clear();
            self.gop_bytes = 0;
        }
    }
}

/// What waits for one viewer.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// Whether units are left out until a key frame.
    need_key: bool,
    /// Whether the next unit follows a gap.
    skipped: bool,
    closed: bool,
}

#[derive(Debug)]
enum Item {
    Lost(Loss),
    Unit { unit: Arc<AccessUnit>, queued: Instant, skipped: bool },
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a unit and returns how many were dropped.
    fn push(&self, unit: &Arc<AccessUnit>) -> u64 {
        let now = Instant::now();
        let mut waiting = self.lock();
        let lost = waiting.make_room(now) + waiting.add(unit, now);
        drop(waiting);
        self.notify.notify_one();
        lost
    }

    /// Replaces what waits by a group of pictures and returns how many were dropped.
    fn restart(&self, gop: &[Arc<AccessUnit>]) -> u64 {
        let now = Instant::now();
        let mut waiting = self.lock();
        let lost = waiting.clear();
        waiting.need_key = true;
        waiting.skipped = true;
        for unit in gop {
            waiting.add(unit, now);
        }
        drop(waiting);
        self.notify.notify_one();
        lost
    }

    fn lose(&self, loss: Loss) {
        let mut waiting = self.lock();
        waiting.need_key = true;
        waiting.items.push_back(Item::Lost(loss));
        drop(waiting);
        self.notify.notify_one();
    }
}

impl Waiting {
    fn add(&mut self, unit: &Arc<AccessUnit>, now: Instant) -> u64 {
        if self.need_key && !unit.key {
            return 1;
        }
        self.need_key = false;
        let skipped = std::mem::take(&mut self.skipped);
        self.items.push_back(Item::Unit { unit: unit.clone(), queued: now, skipped });
        0
    }

    fn make_room(&mut self, now: Instant) -> u64 {
        let oldest = self.items.iter().find_map(|item| match item {
            Item::Unit { queued, .. } => Some(*queued),
            Item::Lost(_) => None,
        });
        let lagging = oldest.is_some_and(|queued| now.duration_since(queued) > LAG_MAX);
        if !lagging && self.items.len() < QUEUE_MAX {
            return 0;
        }
        // Fall back to the newest key frame that has not waited too long itself, else wait for the next.
        let newest_key = self.items.iter().rposition(
            |item| matches!(item, Item::Unit { unit, queued, .. } if unit.key && now.duration_since(*queued) <= LAG_MAX),
        );
        match newest_key {
            Some(at) if at > 0 && self.items.len() - at < QUEUE_MAX => {
                let lost = self.items.drain(..at).filter(|item| matches!(item, Item::Unit { .. })).count();
                if let Some(Item::Unit { skipped, .. }) = self.items.front_mut() {
                    *skipped = true;
                }
                lost as u64
            }
            _ => {
                let lost = self.clear();
                self.need_key = true;
                self.skipped = true;
                lost
            }
        }
    }

    /// Drops the units that wait, keeps the last word about a loss, and returns how many units were dropped.
    fn clear(&mut self) -> u64 {
        let units = self.items.iter().filter(|item| matches!(item, Item::Unit { .. })).count();
        let last_loss = match self.items.pop_back() {
            Some(Item::Lost(loss)) => Some(loss),
            _ => None,
        };
        self.items.clear();
        self.items.extend(last_loss.map(Item::Lost));
        units as u64
    }
}

/// One viewer's end; dropping it leaves.
#[derive(Debug)]
pub struct Viewer {
    hub: Arc<Hub>,
    queue: Arc<Queue>,
    config: Option<Arc<StreamConfig>>,
    /// Whether the first burst (the GOP cache) is over, so that latency counts.
    caught_up: bool,
}

impl Viewer {
    /// Waits for the next delivery; `None` when the camera was removed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Delivery> {
        let queue = self.queue.clone();
        loop {
            let notified = queue.notify.notified();
            {
                let mut waiting = queue.lock();
                if let Some(delivery) = self.take(&mut waiting) {
                    return Some(delivery);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.caught_up = true;
            notified.await;
        }
    }

    fn take(&mut self, waiting: &mut Waiting) -> Option<Delivery> {
        match waiting.items.front()? {
            Item::Lost(loss) => {
                let loss = *loss;
                waiting.items.pop_front();
                self.config = None;
                Some(Delivery::Lost(loss))
            }
            Item::Unit { unit, .. } if !self.config.as_ref().is_some_and(|known| Arc::ptr_eq(known, &unit.config)) => {
                self.config = Some(unit.config.clone());
                Some(Delivery::Config(unit.config.clone()))
            }
            Item::Unit { .. } => match waiting.items.pop_front()? {
                Item::Unit { unit, skipped, queued } => {
                    if self.caught_up {
                        self.hub.latency.record(queued.elapsed());
                    }
                    Some(Delivery::Unit { unit, skipped })
                }
                Item::Lost(loss) => Some(Delivery::Lost(loss)),
            },
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.hub.watchers.go();
        self.hub.lock().viewers.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Arc<StreamConfig> {
        Arc::new(StreamConfig {
            codec: "avc1.64001f".into(),
            description: Bytes::from_static(&[1, 100, 0, 31]),
            width: 1280,
            height: 720,
        })
    }

    fn unit(config: &Arc<StreamConfig>, index: i64, key: bool) -> Arc<AccessUnit> {
        Arc::new(AccessUnit {
            data: Bytes::from(index.to_be_bytes().to_vec()),
            key,
            captured: Timestamp::from_microsecond(index * 40_000).expect("small"),
            pts: index * 3600,
            received: Instant::now(),
            config: config.clone(),
        })
    }

    async fn pts(viewer: &mut Viewer) -> (i64, bool) {
        match viewer.next().await {
            Some(Delivery::Unit { unit, skipped }) => (unit.pts / 3600, skipped),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_new_viewer_starts_at_the_last_key_frame_and_follows() {
        let (hub, config) = (Arc::new(Hub::new()), config());
        for i in 0..7 {
            hub.publish(&unit(&config, i, i % 5 == 0), Duration::ZERO);
        }
        let mut viewer = hub.watch();
        assert!(matches!(viewer.next().await, Some(Delivery::Config(c)) if Arc::ptr_eq(&c, &config)));
        assert_eq!((pts(&mut viewer).await, pts(&mut viewer).await), ((5, false), (6, false)));
        hub.publish(&unit(&config, 7, false), Duration::ZERO);
        assert_eq!(pts(&mut viewer).await, (7, false));
        assert_eq!(hub.viewers(), 1);
        drop(viewer);
        assert_eq!(hub.viewers(), 0);
    }

    #[test]
    fn the_distance_of_key_frames_is_known_and_a_group_that_does_not_end_counts() {
        let (hub, config) = (Arc::new(Hub::new()), config());
        for i in 0..=50 {
            hub.publish(&unit(&config, i, i % 25 == 0), Duration::ZERO);
            assert_eq!(hub.key_interval().is_some(), i >= 1);
        }
        assert_eq!(hub.key_interval(), Some(Duration::from_secs(1)));
        for i in 51..300 {
            hub.publish(&unit(&config, i, false), Duration::ZERO);
        }
        assert_eq!(hub.key_interval(), Some(Duration::from_millis(249 * 40)));
    }

    #[tokio::test]
    async fn a_lagging_viewer_drops_to_a_key_frame_and_is_told() {
        let (hub, config) = (Arc::new(Hub::new()), config());
        let mut viewer = hub.watch();
        hub.publish(&unit(&config, 0, true), Duration::ZERO);
        tokio::time::sleep(LAG_MAX + Duration::from_millis(20)).await;
        hub.publish(&unit(&config, 1, false), Duration::ZERO); // the queue empties: 0 waited too long
        hub.publish(&unit(&config, 2, true), Duration::ZERO);
        assert!(matches!(viewer.next().await, Some(Delivery::Config(_))));
        assert_eq!(pts(&mut viewer).await, (2, true));
        assert_eq!(hub.dropped(), 2);
    }

    #[tokio::test]
    async fn a_viewer_that_never_reads_holds_a_bounded_queue() {
        let (hub, config) = (Arc::new(Hub::new()), config());
        let viewer = hub.watch();
        for i in 0..3 * QUEUE_MAX as i64 {
            hub.publish(&unit(&config, i, i == 0), Duration::ZERO);
        }
        assert!(viewer.queue.lock().items.len() <= QUEUE_MAX);
        assert!(hub.dropped() > 0);
    }

    #[tokio::test]
    async fn backlog_after_a_stall_is_not_shown() {
        let (hub, config) = (Arc::new(Hub::new()), config());
        let mut viewer = hub.watch();
        hub.publish(&unit(&config, 0, true), Duration::ZERO);
        assert!(matches!(viewer.next().await, Some(Delivery::Config(_))));
        assert_eq!(pts(&mut viewer).await, (0, false));
        for i in 1..20 {
            hub.publish(&unit(&config, i, i % 10 == 0), Duration::from_secs(3));
        }
        hub.publish(&unit(&config, 20, false), Duration::from_millis(30));
        for i in 10..=20 {
            assert_eq!(pts(&mut viewer).await, (i, i == 10), "the group that reaches live, flagged once");
        }
    }

    #[tokio::test]
    async fn a_loss_is_told_and_the_configuration_comes_again() {
        let (hub, config) = (Arc::new(Hub::new()), config());
        let mut viewer = hub.watch();
        hub.publish(&unit(&config, 0, true), Duration::ZERO);
        hub.lose(Loss::Stalled);
        hub.lose(Loss::Stalled);
        hub.publish(&unit(&config, 1, false), Duration::ZERO);
        hub.publish(&unit(&config, 2, true), Duration::ZERO);
        assert!(matches!(viewer.next().await, Some(Delivery::Config(_))));
        assert_eq!(pts(&mut viewer).await.0, 0);
        assert!(matches!(viewer.next().await, Some(Delivery::Lost(Loss::Stalled))));
        assert!(matches!(viewer.next().await, Some(Delivery::Config(_))));
        assert_eq!(pts(&mut viewer).await.0, 2, "not before a key frame");
        hub.close();
        assert!(viewer.next().await.is_none());
    }

    #[test]
    fn the_wire_header_is_flags_capture_time_and_pts() {
        let config = config();
        let mut unit = Arc::into_inner(unit(&config, 3, true)).expect("alone");
        unit.captured = Timestamp::from_microsecond(0x0102_0304_0506).expect("in range");
        let header = unit.wire_header(true);
        assert_eq!(header[..8], [3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(header[8..16], [0, 0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(header[16..], 10_800_i64.to_be_bytes());
    }
}
