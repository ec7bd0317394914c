//! Pictures for browsers that cannot read what a camera sends: decoded, made small, encoded as H.264, only while somebody watches.
//!
//! ```text
//!  hub of an H.265 stream ─▶ decode ─▶ 360 lines ─▶ H.264 (OpenH264) ─▶ a hub of its own ─▶ viewers
//!                            └───────── one thread per stream, as many as the budget ────────┘
//!  piece of an H.265 recording ─▶ the same, with its sound as it was ─▶ a piece of H.264     one piece at a time
//! ```
//! A camera with an H.264 sub-stream never comes here for its live picture. One lane serves all who watch the same stream; it ends
//! with the last of them. Beyond the budget a viewer is refused and told so: a machine that decodes everything records nothing in
//! time. Pieces wait for their turn, and one that nobody waits for any more is given up.

mod recorded;
mod small;

pub use recorded::LONGEST;
pub use small::HEIGHT;

use crate::feed::Which;
use crate::figures::Latency;
use crate::hub::{Delivery, Hub, Viewer};
use crate::recorder::ClipError;
use crate::recorder::playback::Piece;
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use recorded::{Asked, Paused};
use small::Small;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How often a lane without pictures looks whether anybody still watches.
const LOOK: Duration = Duration::from_millis(500);
/// How long a piece of recording waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(10);
/// Decoders that stand in the middle of a recording: as many as a replay has cameras.
const PAUSED: usize = 4;
/// How long they stand there.
const PAUSED_FOR: Duration = Duration::from_secs(30);

/// Why there is no small picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TranscodeError {
    /// As many streams are transcoded as may be.
    #[error("{0} streams are transcoded already; give the camera an H.264 sub-stream, or raise limits.transcodes")]
    Busy(usize),
    /// The system gave no thread.
    #[error("the system gives no more threads")]
    Thread,
    /// Recordings are made small one piece after the other, and others wait.
    #[error("other recordings are transcoded just now")]
    Turns,
    /// The budget is 0.
    #[error("limits.transcodes is 0: nothing is transcoded")]
    Off,
    /// None of a piece's pictures could be decoded.
    #[error("no picture of the recording can be decoded")]
    Undecodable,
}

/// Why there is no small piece of recording.
#[derive(Debug, thiserror::Error)]
pub enum SmallPieceError {
    /// The recording.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// The transcoding.
    #[error(transparent)]
    Transcode(#[from] TranscodeError),
}

/// What all lanes did since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct TranscodeFigures {
    /// Streams that are transcoded now.
    pub running: u64,
    /// How many may be at a time.
    pub budget: u64,
    /// Lanes started.
    pub started: u64,
    /// Viewers refused for want of budget.
    pub refused: u64,
    /// Pictures encoded.
    pub pictures: u64,
    /// Pieces of recording made small.
    pub pieces: u64,
    /// Time spent on an encoded picture, all of it on one core, median, ms.
    pub picture_ms_p50: f64,
    /// Time spent in all, on pictures that were encoded and on those that were only decoded, seconds of a core.
    pub busy_s: f64,
}

/// The lanes of a site.
#[derive(Debug)]
pub struct Transcodes {
    budget: usize,
    lanes: Mutex<BTreeMap<(DeviceId, Which), Weak<Lane>>>,
    /// Whose piece of recording is next.
    turns: Arc<Semaphore>,
    paused: Arc<Desk>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    running: AtomicU64,
    started: AtomicU64,
    refused: AtomicU64,
    pictures: AtomicU64,
    pieces: AtomicU64,
    spent: Latency,
    busy_us: AtomicU64,
}

/// One stream that is transcoded as long as this is held.
#[derive(Debug)]
pub struct Lane {
    hub: Arc<Hub>,
}

impl Lane {
    /// The small pictures.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}

impl Transcodes {
    /// None yet; `budget`: how many at a time, and whether recordings are made small at all.
    pub fn new(budget: usize) -> Self {
        let turns = Arc::new(Semaphore::new(budget.min(1)));
        Self { budget, lanes: Mutex::default(), turns, paused: Arc::default(), counts: Arc::default() }
    }

    /// Joins the lane of a stream, or starts one that takes its pictures from `source`.
    pub fn join(
        &self,
        stream: (DeviceId, Which),
        source: &Arc<Hub>,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Arc<Lane>, TranscodeError> {
        let mut lanes = self.lock();
        lanes.retain(|_, lane| lane.strong_count() > 0);
        if let Some(lane) = lanes.get(&stream).and_then(Weak::upgrade) {
            return Ok(lane);
        }
        if lanes.len() >= self.budget {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return Err(TranscodeError::Busy(self.budget));
        }
        let lane = Arc::new(Lane { hub: Arc::new(Hub::new()) });
        let (held, viewer) = (Arc::downgrade(&lane), source.watch());
        let (counts, runtime) = (self.counts.clone(), runtime.clone());
        let work = move || {
            counts.running.fetch_add(1, Ordering::Relaxed);
            run(&held, viewer, &counts, &runtime);
            counts.running.fetch_sub(1, Ordering::Relaxed);
        };
        std::thread::Builder::new().name("transcode".into()).spawn(work).map_err(|_| TranscodeError::Thread)?;
        self.counts.started.fetch_add(1, Ordering::Relaxed);
        lanes.insert(stream, Arc::downgrade(&lane));
        Ok(lane)
    }

    /// A camera's recording from `from` until `to` as every browser reads it: what is H.264 as the piece has it, anything else small.
    /// The piece is fetched once it has its turn; dropping the future gives it up.
    pub async fn recorded(
        &self,
        (camera, from, to): (DeviceId, Timestamp, Timestamp),
        piece: impl Future<Output = Result<Piece, ClipError>>,
    ) -> Result<Piece, SmallPieceError> {
        let turn = match self.budget {
            0 => None,
            _ => tokio::time::timeout(TURN_WITHIN, self.turns.clone().acquire_owned())
                .await
                .map_err(|_| TranscodeError::Turns)?
                .ok(),
        };
        let piece = piece.await?;
        if piece.is_h264() {
            return Ok(piece);
        }
        let Some(turn) = turn else { return Err(TranscodeError::Off.into()) };
        let (given_up, counts, desk) = (Arc::new(AtomicBool::new(false)), self.counts.clone(), self.paused.clone());
        let _waits = Waits(given_up.clone());
        let asked = Asked { camera, from, to, piece };
        let work = move || {
            let _turn = turn;
            let began = Instant::now();
            let made = recorded::small(&asked, desk.take(&asked), &given_up, &counts);
            counts.busy_us.fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
            made.map(|(piece, paused)| {
                desk.put(paused);
                piece
            })
        };
        let made = tokio::task::spawn_blocking(work).await.map_err(|_| TranscodeError::Undecodable)??;
        tokio::spawn(self.paused.clone().forget());
        self.counts.pieces.fetch_add(1, Ordering::Relaxed);
        Ok(made)
    }

    /// What was done so far.
    pub fn figures(&self) -> TranscodeFigures {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        TranscodeFigures {
            running: get(&counts.running),
            budget: self.budget as u64,
            started: get(&counts.started),
            refused: get(&counts.refused),
            pictures: get(&counts.pictures),
            pieces: get(&counts.pieces),
            picture_ms_p50: counts.spent.spread().p50_ms,
            busy_s: get(&counts.busy_us) as f64 / 1e6,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(DeviceId, Which), Weak<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where decoders stand between two pieces of the same recording.
#[derive(Default)]
struct Desk(Mutex<Vec<Paused>>);

impl Desk {
    /// The one that stands nearest before what is asked for: another may be that of another player.
    fn take(&self, asked: &Asked) -> Option<Paused> {
        let mut paused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let serves = paused.iter().enumerate().filter(|(_, paused)| paused.serves(asked));
        let (at, _) = serves.max_by_key(|(_, paused)| paused.done_us)?;
        Some(paused.remove(at))
    }

    /// The oldest gives way.
    fn put(&self, one: Paused) {
        let mut paused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paused.push(one);
        let over = paused.len().saturating_sub(PAUSED);
        paused.drain(..over);
    }

    /// Lets go of those that nobody came back to.
    async fn forget(self: Arc<Self>) {
        tokio::time::sleep(PAUSED_FOR).await;
        let mut paused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paused.retain(|paused| paused.since.elapsed() < PAUSED_FOR);
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

/// Held by who waits for a piece: dropped, it says that nobody does.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Works until nobody watches or the camera is gone.
fn run(held: &Weak<Lane>, mut viewer: Viewer, counts: &Counts, runtime: &tokio::runtime::Handle) {
    let mut lane = Small::default();
    loop {
        let next = runtime.block_on(async { tokio::time::timeout(LOOK, viewer.next()).await });
        let Some(hub) = held.upgrade().map(|lane| lane.hub.clone()) else { return };
        match next {
            Err(_) | Ok(Some(Delivery::Config(_))) => {}
            Ok(None) => return hub.close(),
            Ok(Some(Delivery::Lost(loss))) => {
                lane = Small::default();
                hub.lose(loss);
            }
            Ok(Some(Delivery::Unit { unit, .. })) => {
                let began = Instant::now();
                let taken = lane.take(&unit);
                counts.busy_us.fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
                match taken {
                    Ok(Some(small)) => {
                        counts.pictures.fetch_add(1, Ordering::Relaxed);
                        counts.spent.record(began.elapsed());
                        hub.publish(&Arc::new(small), Duration::ZERO);
                    }
                    Ok(None) => {}
                    // Decoding goes on at the next key frame.
                    Err(error) => tracing::debug!("A picture was not transcoded: {error}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lanes_are_bounded_shared_and_end_with_who_watches() {
        let (runtime, source) = (tokio::runtime::Handle::current(), Arc::new(Hub::new()));
        let transcodes = Transcodes::new(1);
        let id = |name: &str| name.parse::<gatehouse_core::id::DeviceKey>().unwrap().id();
        let lane = transcodes.join((id("a"), Which::Main), &source, &runtime).unwrap();
        let same = transcodes.join((id("a"), Which::Main), &source, &runtime).unwrap();
        assert!(Arc::ptr_eq(&lane, &same));
        assert_eq!(transcodes.join((id("b"), Which::Main), &source, &runtime).unwrap_err(), TranscodeError::Busy(1));
        drop((lane, same));
        assert!(transcodes.join((id("b"), Which::Main), &source, &runtime).is_ok());
        assert_eq!((transcodes.figures().started, transcodes.figures().refused), (2, 1));
    }
}
