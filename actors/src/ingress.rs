//! The bounded door through which everything from outside comes in.
//!
//! | class | what | when the queue is full | resolves |
//! |---|---|---|---|
//! | event | changes of state, card reads, presence, answers, what cameras saw | refused: the device sends again | once committed |
//! | telemetry | measures, repeated states | newest value of a point wins | once in the slot |
//!
//! The same thing said twice (a retransmission) is known by the device's own number: it is taken once.

use crate::address::Name;
use crate::journal::{Entry, LIMIT, NewEvent};
use crate::rule::feed::Feed;
use crate::shell::{Message, Shared};
use gatehouse_core::device::link::{Announcement, Intake, Refused, Uplink};
use gatehouse_core::device::shadow::TwinCall;
use gatehouse_core::device::telemetry::{PointName, Value};
use gatehouse_core::device::tells;
use gatehouse_core::event::{Body, code_of};
use gatehouse_core::id::DeviceId;
use gatehouse_core::recognition::{Observation, Seen};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

/// Events that may wait for one device's shell.
pub(crate) const DEVICE_LIMIT: usize = 1_000;
/// How long an input waits for its commit before the device is told to send again.
const COMMIT_WITHIN: Duration = Duration::from_secs(10);
/// A number without a clock is remembered this long: a device that restarts counts from 1 again.
const SAME_NUMBER: SignedDuration = SignedDuration::from_mins(5);
/// Numbers remembered per device.
const REMEMBERED: usize = 512;
/// Points of one device that may wait.
const SLOT_POINTS: usize = 256;

/// Measures that wait for a device's shell: the newest of each point.
#[derive(Default)]
pub(crate) struct Slot {
    points: Mutex<BTreeMap<PointName, (Value, Timestamp)>>,
    poked: AtomicBool,
}

impl Slot {
    /// Empties the slot, for the shell.
    pub(crate) fn drain(&self) -> Option<TwinCall> {
        self.poked.store(false, Ordering::Release);
        let points = std::mem::take(&mut *self.points.lock().unwrap_or_else(PoisonError::into_inner));
        Some(TwinCall::Heard(points.into_iter().map(|(name, (value, at))| (name, value, at)).collect()))
    }
}

/// Counters of one source. Field names are the wire's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct IngressHealth {
    /// `events`, `telemetry`, or a decoder's source: `mqtt`, `rtsp`, `http`.
    pub source: String,
    /// What waits now.
    pub depth: usize,
    /// What may wait.
    pub limit: usize,
    /// Taken since the start.
    pub taken: u64,
    /// Replaced by a newer value before anyone looked.
    pub coalesced: u64,
    /// Refused: full, away or unknown.
    pub refused: u64,
    /// Bytes nobody could read.
    pub undecodable: u64,
    /// The last reason.
    pub last_error: String,
}

#[derive(Default)]
struct Counters {
    taken: AtomicU64,
    repeated: AtomicU64,
    measures: AtomicU64,
    coalesced: AtomicU64,
    refused: AtomicU64,
    undecodable: Mutex<BTreeMap<&'static str, (u64, String)>>,
    last_refusal: Mutex<String>,
}

/// A number as it is remembered: half the room of its text, and compared at a glance.
type Digest = u128;

fn digest(number: &str) -> Digest {
    let sum = ring::digest::digest(&ring::digest::SHA256, number.as_bytes());
    sum.as_ref().iter().take(size_of::<Digest>()).fold(0, |sum, byte| (sum << 8) | Digest::from(*byte))
}

/// What a device said lately.
#[derive(Default)]
struct Heard {
    words: BTreeMap<PointName, Value>,
    numbers: VecDeque<(Digest, Timestamp)>,
    /// Reports whose words are known here and not committed yet.
    on_the_way: Arc<AtomicUsize>,
}

/// A report on its way to the disk.
struct OnTheWay(Arc<AtomicUsize>);

impl OnTheWay {
    fn enter(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count.clone())
    }
}

impl Drop for OnTheWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A device that introduces itself, for the root to take in.
pub(crate) type Newcomer = (Announcement, oneshot::Sender<Result<(), Refused>>);

/// The door.
pub(crate) struct Ingress {
    shared: Arc<Shared>,
    slots: RwLock<HashMap<DeviceId, Arc<Slot>>>,
    heard: Mutex<HashMap<DeviceId, Heard>>,
    counters: Counters,
    stopping: AtomicBool,
    newcomers: mpsc::Sender<Newcomer>,
    rules: Arc<Feed>,
}

/// An input on its way into the journal.
struct Input {
    device: DeviceId,
    observed_at: Option<Timestamp>,
    number: Option<String>,
    body: Body,
}

impl Ingress {
    pub(crate) fn new(shared: Arc<Shared>, newcomers: mpsc::Sender<Newcomer>, rules: Arc<Feed>) -> Self {
        Self {
            shared,
            slots: RwLock::default(),
            heard: Mutex::default(),
            counters: Counters::default(),
            stopping: AtomicBool::new(false),
            newcomers,
            rules,
        }
    }

    /// The slot of a device, made when it is new.
    pub(crate) fn slot(&self, id: DeviceId) -> Arc<Slot> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().clone()
    }

    /// Remembers what devices said before the start, so that a retransmission is known.
    pub(crate) fn remember(&self, said: Vec<(DeviceId, String, Timestamp)>) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        for (device, number, at) in said {
            let numbers = &mut heard.entry(device).or_default().numbers;
            numbers.push_back((digest(&number), at));
            if numbers.len() > REMEMBERED {
                numbers.pop_front();
            }
        }
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    fn refuse(&self, refused: Refused) -> Refused {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        *self.counters.last_refusal.lock().unwrap_or_else(PoisonError::into_inner) = refused.to_string();
        refused
    }

    /// Commits an event before it resolves.
    async fn event(&self, input: Input) -> Result<(), Refused> {
        let Input { device, observed_at, number, body } = input;
        let compound = self.shared.compound();
        let Some(spec) = compound.device(device) else { return Err(self.refuse(Refused::UnknownDevice(device))) };
        let journal = &self.shared.journal;
        if journal.depth() >= LIMIT || self.mailboxes_full(device) {
            return Err(self.refuse(Refused::Full));
        }
        let now = self.shared.clock.now();
        if let Some(number) = &number
            && self.repeated(device, number, observed_at.is_some(), now)
        {
            // It may be on its way to the disk: it is safe once everything before this moment is.
            self.counters.repeated.fetch_add(1, Ordering::Relaxed);
            return self.committed(journal.submit(Entry::default())).await.map_err(|(refused, _)| refused);
        }
        let event = NewEvent {
            received_at: now,
            observed_at,
            device: Some(device),
            place: Some(spec.place),
            cause: None,
            by: spec.key.to_string(),
            source_key: number.clone(),
            body,
        };
        let receipt = journal.submit(Entry { events: vec![event], ..Entry::default() });
        self.counters.taken.fetch_add(1, Ordering::Relaxed);
        self.committed(receipt).await.map_err(|(refused, queued)| {
            // What still waits for the store stays known: sent again, it waits for the same commit and is not taken twice.
            if let Some(number) = number.filter(|_| !queued) {
                self.forget(device, &number);
            }
            refused
        })
    }

    /// Whether a mailbox on the way of an event holds as much as it may: nothing is cast into it then.
    fn mailboxes_full(&self, device: DeviceId) -> bool {
        let office = Name::OFFICE.map(|name| (name, LIMIT));
        self.shared.addresses.any_full(office.into_iter().chain([(Name::Device(device), DEVICE_LIMIT)]))
    }

    /// Waits for a commit; on an error also says whether the entry is still queued.
    async fn committed(&self, receipt: crate::journal::Receipt) -> Result<(), (Refused, bool)> {
        match tokio::time::timeout(COMMIT_WITHIN, receipt).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err((self.refuse(Refused::StoreAway), false)),
            Err(_) => Err((self.refuse(Refused::StoreAway), true)),
            Ok(Err(_)) => Err((self.refuse(Refused::Stopping), false)),
        }
    }

    fn repeated(&self, device: DeviceId, number: &str, has_clock: bool, now: Timestamp) -> bool {
        let number = digest(number);
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers = &mut heard.entry(device).or_default().numbers;
        let known = numbers
            .iter()
            .any(|(known, at)| *known == number && (has_clock || now.duration_since(*at).abs() < SAME_NUMBER));
        if !known {
            numbers.push_back((number, now));
            if numbers.len() > REMEMBERED {
                numbers.pop_front();
            }
        }
        known
    }

    /// Forgets a number whose event was not taken, so that the device may send it again.
    fn forget(&self, device: DeviceId, number: &str) {
        let number = digest(number);
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(heard) = heard.get_mut(&device) {
            heard.numbers.retain(|(known, _)| *known != number);
        }
    }

    /// Forgets the words of a report that is not known to be committed, so that they are news when they are said again.
    fn unlearn(&self, device: DeviceId) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(heard) = heard.get_mut(&device) {
            heard.words.clear();
        }
    }

    async fn report(
        &self,
        device: DeviceId,
        seq: Option<u64>,
        observed_at: Option<Timestamp>,
        points: Vec<(PointName, Value)>,
    ) -> Result<(), Refused> {
        let compound = self.shared.compound();
        let Some(kind) = compound.device(device).map(|spec| spec.kind) else {
            return Err(self.refuse(Refused::UnknownDevice(device)));
        };
        let at = observed_at.unwrap_or_else(|| self.shared.clock.now());
        self.shared.telemetry.push(device, &points, at);
        self.rules.report(device, &points);
        let (telling, measured): (Vec<_>, Vec<_>) =
            points.into_iter().partition(|(name, value)| tells(kind, name, value));
        let (changed, _on_the_way, known_soon) = {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            let Heard { words, on_the_way, .. } = heard.entry(device).or_default();
            let tells = !telling.is_empty();
            let changed: Vec<_> = telling.into_iter().filter(|(name, value)| words.get(name) != Some(value)).collect();
            if words.len() + changed.len() <= SLOT_POINTS {
                words.extend(changed.iter().cloned());
            }
            let known_soon = tells && changed.is_empty() && on_the_way.load(Ordering::Acquire) > 0;
            let on_the_way = (!changed.is_empty()).then(|| OnTheWay::enter(on_the_way));
            (changed, on_the_way, known_soon)
        };
        if changed.is_empty() {
            self.measured(device, measured, at);
            // The same words may be on their way to the disk: they are safe once everything before this moment is.
            return match known_soon {
                true => {
                    let receipt = self.shared.journal.submit(Entry::default());
                    self.committed(receipt).await.map_err(|(refused, _)| refused)
                }
                false => Ok(()),
            };
        }
        let body = Body::Reported { points: changed };
        let number = number_of(&body, seq, observed_at);
        let taken = self.event(Input { device, observed_at, number, body }).await;
        if !measured.is_empty() {
            self.measured(device, measured, at);
        }
        if taken.is_err() {
            self.unlearn(device);
        }
        taken
    }

    /// Puts measures, or a mere sign of life, into the device's slot.
    fn measured(&self, device: DeviceId, points: Vec<(PointName, Value)>, at: Timestamp) {
        let slot = self.slots.read().unwrap_or_else(PoisonError::into_inner).get(&device).cloned();
        let Some(slot) = slot else { return };
        self.counters.measures.fetch_add(points.len().max(1) as u64, Ordering::Relaxed);
        {
            let mut waiting = slot.points.lock().unwrap_or_else(PoisonError::into_inner);
            for (name, value) in points {
                if waiting.len() >= SLOT_POINTS && !waiting.contains_key(&name) {
                    self.counters.refused.fetch_add(1, Ordering::Relaxed);
                } else if waiting.insert(name, (value, at)).is_some() {
                    self.counters.coalesced.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if !slot.poked.swap(true, Ordering::AcqRel) {
            let poked = self.shared.addresses.device(device).is_some_and(|shell| shell.cast(Message::Poke).is_ok());
            if !poked {
                slot.poked.store(false, Ordering::Release);
            }
        }
    }

    /// Takes what a camera saw.
    pub(crate) async fn observe(&self, observation: Observation) -> Result<(), Refused> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(self.refuse(Refused::Stopping));
        }
        let Observation { camera, observed_at, latency_ms, picture, seen } = observation;
        if let Seen::Motion { active } = seen {
            if self.shared.compound().device(camera).is_none() {
                return Err(self.refuse(Refused::UnknownDevice(camera)));
            }
            let points = vec![("motion".into(), Value::Bool(active))];
            self.shared.telemetry.push(camera, &points, observed_at);
            self.rules.report(camera, &points);
            self.measured(camera, points, observed_at);
            return Ok(());
        }
        let body = Body::Seen { seen, latency_ms, picture };
        self.event(Input { device: camera, observed_at: Some(observed_at), number: None, body }).await
    }

    async fn announce(&self, announcement: Announcement) -> Result<(), Refused> {
        let (answer, answered) = oneshot::channel();
        if self.newcomers.try_send((announcement, answer)).is_err() {
            return Err(self.refuse(Refused::Full));
        }
        match answered.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refused)) => Err(self.refuse(refused)),
            Err(_) => Err(self.refuse(Refused::Stopping)),
        }
    }

    async fn take(&self, uplink: Uplink) -> Result<(), Refused> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(self.refuse(Refused::Stopping));
        }
        let (device, seq, observed_at, body) = match uplink {
            Uplink::Report { device, seq, observed_at, points } => {
                return self.report(device, seq, observed_at, points).await;
            }
            Uplink::Announce(announcement) => return self.announce(announcement).await,
            Uplink::Presence { device, online, cause } => (device, None, None, Body::Linked { online, cause }),
            Uplink::CardRead { device, seq, observed_at, card, pin } => {
                (device, seq, observed_at, Body::CardRead { card, pin_given: pin.is_some() })
            }
            Uplink::Happening { device, seq, observed_at, what } => {
                (device, seq, observed_at, Body::Happening { what })
            }
            Uplink::CommandResult { device, command, outcome } => {
                (device, None, None, Body::Result { command, result: outcome })
            }
        };
        let number = number_of(&body, seq, observed_at);
        self.event(Input { device, observed_at, number, body }).await
    }

    /// Counters for the health page.
    pub(crate) fn health(&self) -> Vec<IngressHealth> {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        let waiting = {
            let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
            slots.values().map(|slot| slot.points.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
        };
        let mut health = vec![
            IngressHealth {
                source: "events".into(),
                depth: self.shared.journal.depth(),
                limit: LIMIT,
                taken: count(&counters.taken),
                coalesced: count(&counters.repeated),
                refused: count(&counters.refused) + *self.shared.journal.refused().borrow(),
                undecodable: 0,
                last_error: counters.last_refusal.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            },
            IngressHealth {
                source: "telemetry".into(),
                depth: waiting,
                limit: SLOT_POINTS,
                taken: count(&counters.measures),
                coalesced: count(&counters.coalesced),
                refused: self.shared.telemetry.dropped(),
                ..IngressHealth::default()
            },
        ];
        let (depth, limit, taken, coalesced) = self.rules.figures();
        health.push(IngressHealth {
            source: "rules".into(),
            depth,
            limit,
            taken,
            coalesced,
            ..IngressHealth::default()
        });
        let undecodable = counters.undecodable.lock().unwrap_or_else(PoisonError::into_inner);
        health.extend(undecodable.iter().map(|(source, (count, reason))| IngressHealth {
            source: (*source).to_owned(),
            undecodable: *count,
            last_error: reason.clone(),
            ..IngressHealth::default()
        }));
        health
    }
}

/// The device's own number for what it says, with what it says: two different things never share one.
fn number_of(body: &Body, seq: Option<u64>, observed_at: Option<Timestamp>) -> Option<String> {
    let seq = seq?;
    let said = serde_json::to_vec(body).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &said);
    let hash = digest.as_ref().iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let at = observed_at.map(|at| at.to_string()).unwrap_or_default();
    let code = std::str::from_utf8(&said).map(code_of).unwrap_or_default();
    Some(format!("{code}:{seq}:{at}:{hash:016x}"))
}

impl Intake for Ingress {
    fn offer(&self, uplink: Uplink) -> Pin<Box<dyn Future<Output = Result<(), Refused>> + Send + '_>> {
        Box::pin(self.take(uplink))
    }

    fn undecodable(&self, source: &'static str, reason: &str) {
        debug!(source, reason, "Undecodable input");
        let mut undecodable = self.counters.undecodable.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = undecodable.entry(source).or_default();
        entry.0 += 1;
        entry.1 = reason.chars().take(200).collect();
    }
}
