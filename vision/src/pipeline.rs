//! From encoded pictures to observations: decode what must be, look where something happens.
//!
//! ```text
//!            quiet: key frames only, sizes are listened to                 newest wins
//!  units ─▶ ─────────────────────────────────────────────▶ motion gate ─▶ pool ─▶ tracks ─▶ rule ─▶ observation
//!            awake: every picture (motion, a trigger, the start)           ≤ 5.5 frames/s a camera
//! ```
//! One thread a camera decodes. Waking decodes the pictures since the last key frame at once, so nothing of what woke is
//! missed. While a car or a face stays in view without moving, key frames keep its track.

pub mod cars;
pub mod decide;
pub mod doorway;
pub mod picture;
pub mod pool;

use crate::decode::{Any, DecodeError, Decoder};
use crate::frame::Frame;
use crate::hub::{AccessUnit, LATE_MAX};
use crate::motion::{MotionGate, MotionOptions, SizeGate};
use crate::view::{Problem, ViewOptions, ViewWatch};
use crate::vision::CameraConfig;
use cars::PlateWatch;
use decide::FaceWatch;
use gatehouse_core::recognition::challenge::ChallengePolicy;
use gatehouse_core::recognition::face::FacePolicy;
use gatehouse_core::recognition::plate::PlatePolicy;
use gatehouse_core::recognition::{Observation, Seen};
use jiff::Timestamp;
use pool::{Job, OnProblem, Pool, Sight, Sink, Subject, lock};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What a camera is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Number plates.
    Plates,
    /// Faces.
    Faces,
    /// Motion alone; the others include it.
    Motion,
}

/// When what the models say is acted on: their own thresholds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Policies {
    /// Faces.
    pub face: FacePolicy,
    /// Plates.
    pub plate: PlatePolicy,
}

/// Least time between two frames given to the models.
const LOOK_EVERY: Duration = Duration::from_millis(180);
/// The same while all that is in view is decided already.
const LOOK_AGAIN_EVERY: Duration = Duration::from_millis(600);
/// How long a camera is looked at after a trigger, and after it came.
const TRIGGERED_FOR: Duration = Duration::from_secs(4);
/// How long a suspicion keeps a camera awake.
const SUSPECT_FOR: Duration = Duration::from_secs(1);
/// Units that may wait to be decoded; beyond, decoding goes on at a key frame.
const QUEUE_MAX: usize = 150;
/// Units kept since a key frame in case something wakes the camera.
const GROUP_MAX: usize = 600;

/// Analysis of one camera: a thread behind a bounded queue.
pub struct Analysis {
    shared: Arc<Shared>,
    subject: Arc<Subject>,
}

/// The newest decoded picture and when it was taken.
pub type Newest = (Frame, Timestamp);

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    newest: Mutex<Option<Newest>>,
    decoded: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Queue {
    units: VecDeque<(Arc<AccessUnit>, Duration)>,
    need_key: bool,
    triggered: bool,
    closed: bool,
}

impl Analysis {
    /// Starts the thread: whether the view is watched, and whether faces open only after the active challenge.
    pub fn start(
        camera: &CameraConfig,
        policies: Policies,
        pool: Arc<Pool>,
        sink: Sink,
        on_problem: OnProblem,
    ) -> std::io::Result<Self> {
        let has = |role| camera.roles.contains(&role);
        let subject = Arc::new(Subject {
            id: camera.id,
            key: camera.key.clone(),
            sight: Sight { region: camera.look_in.clone(), min_width: camera.min_width_px as f32 },
            plates: has(Role::Plates).then(|| Mutex::new(PlateWatch::new(policies.plate, camera.moves))),
            faces: has(Role::Faces).then(|| {
                let challenge = camera.challenge.then(ChallengePolicy::default);
                Mutex::new(FaceWatch::new(policies.face, challenge))
            }),
        });
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            arrived: Condvar::new(),
            newest: Mutex::default(),
            decoded: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let watch_view = camera.watch_view;
        let thread = Thread { shared: shared.clone(), subject: subject.clone(), pool, sink, on_problem, watch_view };
        // Thread names hold 15 bytes.
        let name: String = format!("see-{}", camera.key).chars().take(15).collect();
        std::thread::Builder::new().name(name).spawn(move || thread.run())?;
        Ok(Self { shared, subject })
    }

    /// Hands a unit over; never waits. When decoding lags, what lies before the newest key frame is left out.
    pub fn push(&self, unit: &Arc<AccessUnit>, late: Duration) {
        let mut queue = lock(&self.shared.queue);
        if queue.need_key && !unit.key {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.need_key = false;
        if queue.units.len() >= QUEUE_MAX {
            let keep = queue.units.iter().rposition(|(unit, _)| unit.key).filter(|at| *at > 0);
            let lost = keep.unwrap_or(queue.units.len());
            queue.units.drain(..lost);
            self.shared.dropped.fetch_add(lost as u64, Ordering::Relaxed);
            if keep.is_none() && !unit.key {
                queue.need_key = true;
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        queue.units.push_back((unit.clone(), late));
        drop(queue);
        self.shared.arrived.notify_one();
    }

    /// Looks now, at full rate, for a few seconds.
    pub fn trigger(&self) {
        lock(&self.shared.queue).triggered = true;
        self.shared.arrived.notify_one();
    }

    /// The newest decoded picture.
    pub fn newest(&self) -> Option<Newest> {
        lock(&self.shared.newest).clone()
    }

    /// Pictures decoded, units left out.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.decoded.load(Ordering::Relaxed), self.shared.dropped.load(Ordering::Relaxed))
    }

    /// Cars left out because they went the wrong way.
    pub fn wrong_way(&self) -> u64 {
        self.subject.plates.as_ref().map_or(0, |watch| lock(watch).wrong_way())
    }
}

impl Drop for Analysis {
    fn drop(&mut self) {
        lock(&self.shared.queue).closed = true;
        self.shared.arrived.notify_one();
    }
}

struct Thread {
    shared: Arc<Shared>,
    subject: Arc<Subject>,
    pool: Arc<Pool>,
    sink: Sink,
    on_problem: OnProblem,
    watch_view: bool,
}

impl Thread {
    fn run(self) {
        let mut eye = Eye::new(Box::new(Any::default()));
        eye.gate = MotionGate::within(&self.subject.sight.region);
        eye.view = self.watch_view.then(|| ViewWatch::new(ViewOptions::default()));
        let mut unsupported = false;
        while let Some((unit, late, triggered)) = self.next() {
            let now = time_of(&unit);
            if triggered {
                eye.trigger(now);
                if let Some(plates) = &self.subject.plates {
                    lock(plates).expect(now);
                }
            }
            let received = unit.received;
            eye.look_every = if self.subject.settled() { LOOK_AGAIN_EVERY } else { LOOK_EVERY };
            let occupied = self.subject.occupied();
            if self.subject.challenging() {
                eye.stay(now);
            }
            for out in eye.take(unit, late, occupied) {
                match out {
                    Out::Decoded { frame, at, count } => {
                        unsupported = false;
                        self.shared.decoded.fetch_add(count, Ordering::Relaxed);
                        *lock(&self.shared.newest) = Some((frame, at));
                    }
                    Out::Motion { active, at } => (self.sink)(Observation {
                        camera: self.subject.id,
                        observed_at: at,
                        latency_ms: received.elapsed().as_millis().min(60_000) as u32,
                        picture: None,
                        seen: Seen::Motion { active },
                    }),
                    Out::View { problem, at } => (self.sink)(Observation {
                        camera: self.subject.id,
                        observed_at: at,
                        latency_ms: received.elapsed().as_millis().min(60_000) as u32,
                        picture: None,
                        seen: Seen::View { problem: problem.map_or("", Problem::word).to_owned() },
                    }),
                    Out::Look { frame, captured } if self.subject.plates.is_some() || self.subject.faces.is_some() => {
                        self.pool.offer(Job { subject: self.subject.clone(), frame, captured, received });
                    }
                    Out::Look { .. } => {}
                    Out::Failed(DecodeError::Codec(codec)) => {
                        if !std::mem::replace(&mut unsupported, true) {
                            let text = DecodeError::Codec(codec).to_string();
                            (self.on_problem)("codec_not_analysed", Some(&self.subject.key), &text);
                        }
                    }
                    Out::Failed(error) => {
                        (self.on_problem)("decode_failed", Some(&self.subject.key), &error.to_string());
                    }
                }
            }
            self.answer_overdue(now, received);
        }
    }

    /// Reports a car that a loop announced and no plate was read of.
    fn answer_overdue(&self, now: Duration, received: std::time::Instant) {
        let Some(plates) = &self.subject.plates else { return };
        let Some(decision) = lock(plates).overdue(now) else { return };
        let Some((frame, captured)) = lock(&self.shared.newest).clone() else { return };
        self.pool.report(&Job { subject: self.subject.clone(), frame, captured, received }, decision);
    }

    /// The next unit, how late it came, and whether a trigger came with it; `None` at the end.
    fn next(&self) -> Option<(Arc<AccessUnit>, Duration, bool)> {
        let mut queue = lock(&self.shared.queue);
        loop {
            if queue.closed {
                return None;
            }
            if let Some((unit, late)) = queue.units.pop_front() {
                return Some((unit, late, std::mem::take(&mut queue.triggered)));
            }
            queue = self.shared.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Capture time as the frames carry it.
fn time_of(unit: &AccessUnit) -> Duration {
    Duration::from_micros(u64::try_from(unit.captured.as_microsecond()).unwrap_or(0))
}

/// What a unit led to.
#[derive(Debug)]
enum Out {
    Decoded { frame: Frame, at: Timestamp, count: u64 },
    Motion { active: bool, at: Timestamp },
    View { problem: Option<Problem>, at: Timestamp },
    Look { frame: Frame, captured: Timestamp },
    Failed(DecodeError),
}

/// Decides what is decoded and what is looked at; the clock is the units' own.
struct Eye {
    decoder: Box<dyn Decoder>,
    gate: MotionGate,
    sizes: SizeGate,
    view: Option<ViewWatch>,
    /// Units since the last decoded one, to be decoded when something wakes.
    group: Vec<Arc<AccessUnit>>,
    broken: bool,
    /// Until when every picture is decoded, and looked at, whatever moves.
    awake_until: Duration,
    look_until: Duration,
    looked: Duration,
    look_every: Duration,
    begun: bool,
}

impl Eye {
    fn new(decoder: Box<dyn Decoder>) -> Self {
        Self {
            decoder,
            gate: MotionGate::new(MotionOptions::default()),
            sizes: SizeGate::default(),
            view: None,
            group: Vec::new(),
            broken: true,
            awake_until: Duration::ZERO,
            look_until: Duration::ZERO,
            looked: Duration::ZERO,
            look_every: LOOK_EVERY,
            begun: false,
        }
    }

    fn trigger(&mut self, now: Duration) {
        self.awake_until = now + TRIGGERED_FOR;
        self.look_until = now + TRIGGERED_FOR;
        self.looked = Duration::ZERO;
    }

    /// Stays awake: what follows must not be missed, also where nothing moves.
    fn stay(&mut self, now: Duration) {
        self.awake_until = self.awake_until.max(now + SUSPECT_FOR);
        self.look_until = self.look_until.max(now + SUSPECT_FOR);
    }

    fn take(&mut self, unit: Arc<AccessUnit>, late: Duration, occupied: bool) -> Vec<Out> {
        let now = time_of(&unit);
        if !std::mem::replace(&mut self.begun, true) {
            // Somebody may be standing there already.
            self.trigger(now);
        }
        // Our own clock may be set back; nothing may then be awake for hours.
        self.awake_until = self.awake_until.min(now + TRIGGERED_FOR);
        self.look_until = self.look_until.min(now + TRIGGERED_FOR);
        self.looked = self.looked.min(now);
        let key = unit.key;
        if key {
            self.group.clear();
            self.broken = false;
        }
        if self.broken {
            return Vec::new();
        }
        if self.group.len() >= GROUP_MAX {
            self.group.clear();
            self.broken = true;
            return Vec::new();
        }
        let bytes = unit.data.len();
        self.group.push(unit);
        let awake = self.gate.active() || now < self.awake_until;
        if !awake && !key {
            if !self.sizes.hear(bytes) {
                return Vec::new();
            }
            self.awake_until = now + SUSPECT_FOR;
        }
        self.decode(now, late, key && occupied)
    }

    /// Decodes what waits; looks at the newest picture when there is reason to.
    fn decode(&mut self, now: Duration, late: Duration, keep_track: bool) -> Vec<Out> {
        let mut out = Vec::new();
        let mut newest = None;
        let mut count = 0;
        for unit in std::mem::take(&mut self.group) {
            match self.decoder.decode(&unit) {
                Ok(Some(frame)) => {
                    let motion = self.gate.look(&frame);
                    if motion.edge {
                        out.push(Out::Motion { active: motion.active, at: unit.captured });
                    }
                    if motion.suspect {
                        self.awake_until = self.awake_until.max(now + SUSPECT_FOR);
                    }
                    let problem = self.view.as_mut().and_then(|view| view.look(&frame));
                    out.extend(problem.map(|problem| Out::View { problem, at: unit.captured }));
                    count += 1;
                    newest = Some((frame, unit.captured));
                }
                Ok(None) => {}
                Err(error) => {
                    self.broken = true;
                    out.push(Out::Failed(error));
                    break;
                }
            }
        }
        let Some((frame, captured)) = newest else { return out };
        out.push(Out::Decoded { frame: frame.clone(), at: captured, count });
        let reason = self.gate.active() || now < self.look_until || keep_track;
        if reason && late <= LATE_MAX && now.saturating_sub(self.looked) >= self.look_every {
            self.looked = now;
            out.push(Out::Look { frame, captured });
        }
        out
    }
}

#[cfg(test)]
mod tests;
