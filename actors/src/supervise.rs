//! Restarts: one for one, backing off, and quarantine for what fails again and again. Never the end of the process.
//!
//! ```text
//!  Running ──fails──▶ Waiting (100 ms · 2ⁿ, at most 30 s, jittered) ──▶ Starting ──▶ Running
//!     └── more than `intensity` failures within `window` ──▶ Quarantined: an event, an alarm ──an engineer──▶ Starting
//! ```
//! A start needs the store. While that is away nothing is started, and a start that fails for its sake is no failure of the
//! child: it waits and is tried again.

use crate::error::StoreError;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorStatus, SpawnErr, SupervisionEvent};
use rand::Rng;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use tracing::{error, warn};

/// A start that failed for want of the store is tried again after this, once the store is back.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// How often something may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Failures within the window that are still answered by a restart.
    pub intensity: usize,
    /// The window.
    pub window: Duration,
    /// First pause.
    pub backoff_min: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            intensity: 5,
            window: Duration::from_secs(60),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
        }
    }
}

impl Policy {
    /// The pause before the nth restart in a row, without jitter.
    fn pause(&self, failures: usize) -> Duration {
        let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
        self.backoff_min.saturating_mul(1 << doublings).min(self.backoff_max)
    }
}

type Spawning = Pin<Box<dyn Future<Output = Result<ActorCell, SpawnErr>> + Send>>;
/// Starts a child under its supervisor.
pub(crate) type Spawn = Arc<dyn Fn(ActorCell) -> Spawning + Send + Sync>;
/// Told of restarts and quarantines.
pub(crate) type Told = Arc<dyn Fn(Happened<'_>) + Send + Sync>;

/// What happened to a child.
pub(crate) enum Happened<'a> {
    Restarted {
        key: &'a str,
        restarts: u32,
        reason: &'a str,
    },
    Quarantined {
        key: &'a str,
        reason: &'a str,
    },
    /// A quarantined child runs again.
    Released {
        key: &'a str,
    },
}

/// How a child does. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActorHealth {
    /// Its key.
    pub key: String,
    /// `starting`, `running`, `waiting` or `quarantined`.
    pub state: String,
    /// Restarts since the start.
    pub restarts: u32,
    /// Messages that wait for it.
    pub depth: usize,
    /// Why it stopped last; empty when it never did.
    pub reason: String,
}

/// How a child does, by its key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doing {
    pub state: &'static str,
    pub restarts: u32,
    pub reason: String,
}

pub(crate) enum Order {
    /// Takes a child on; answered when it runs for the first time, or could not.
    Start {
        key: String,
        spawn: Spawn,
        started: oneshot::Sender<Result<(), String>>,
    },
    Again {
        key: String,
    },
    /// The store is away: the child waits for it.
    Waits {
        key: String,
    },
    /// Starts a quarantined child again; answered with whether it was quarantined.
    Release {
        key: String,
        released: oneshot::Sender<bool>,
    },
    Started {
        key: String,
        outcome: Result<ActorCell, SpawnErr>,
    },
    /// Kills a child: drills.
    Kill {
        key: String,
    },
    /// Stops all children and restarts none.
    Stop {
        done: oneshot::Sender<()>,
    },
}

struct Child {
    spawn: Spawn,
    cell: Option<ActorCell>,
    state: &'static str,
    restarts: u32,
    failures: VecDeque<Instant>,
    reason: String,
    started: Option<oneshot::Sender<Result<(), String>>>,
    /// Whether it was quarantined and has not run since.
    released: bool,
    /// Whether its last start failed for want of the store.
    for_store: bool,
}

/// What the health page reads.
pub(crate) type Health = Arc<Mutex<BTreeMap<String, Doing>>>;

/// The supervisor.
pub(crate) struct Supervisor {
    pub policy: Policy,
    pub told: Told,
    pub health: Health,
    /// Whether the store is away.
    pub away: watch::Receiver<bool>,
}

#[derive(Default)]
pub(crate) struct Children {
    by_key: BTreeMap<String, Child>,
    stopping: bool,
}

impl Supervisor {
    fn show(&self, key: &str, child: &Child) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let doing = Doing { state: child.state, restarts: child.restarts, reason: child.reason.clone() };
        health.insert(key.to_owned(), doing);
    }

    fn launch(&self, me: &ActorRef<Order>, key: String, spawn: &Spawn) {
        // Starting reads the database: not here, so that one slow child holds up no other.
        let (me, starting, mut away) = (me.clone(), spawn(me.get_cell()), self.away.clone());
        tokio::spawn(async move {
            if *away.borrow() {
                let _ = me.cast(Order::Waits { key: key.clone() });
                // The sender is gone: nothing will be stored any more, and the start says so.
                let _ = away.wait_for(|away| !away).await;
            }
            if me.get_status() >= ActorStatus::Stopping {
                return;
            }
            let outcome = starting.await;
            let _ = me.cast(Order::Started { key, outcome });
        });
    }

    /// A start that failed because the store is away.
    fn waits(&self, me: &ActorRef<Order>, children: &mut Children, key: &str, reason: String) {
        let Some(child) = children.by_key.get_mut(key).filter(|_| !children.stopping) else { return };
        warn!(actor = key, reason, "Actor {key} cannot start while the database is away");
        (child.state, child.reason, child.for_store) = ("waiting", reason, true);
        let (me, key_) = (me.clone(), key.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(STORE_PAUSE).await;
            let _ = me.cast(Order::Again { key: key_ });
        });
        self.show(key, child);
    }

    fn failed(&self, me: &ActorRef<Order>, children: &mut Children, key: &str, reason: String) {
        let Some(child) = children.by_key.get_mut(key).filter(|_| !children.stopping) else { return };
        let now = Instant::now();
        while child.failures.front().is_some_and(|at| now.duration_since(*at) > self.policy.window) {
            child.failures.pop_front();
        }
        child.failures.push_back(now);
        child.cell = None;
        child.reason = reason;
        if child.failures.len() > self.policy.intensity {
            child.state = "quarantined";
            error!(actor = key, reason = child.reason, "Actor {key} failed too often and is left stopped");
            if let Some(started) = child.started.take() {
                let _ = started.send(Err(child.reason.clone()));
            }
            (self.told)(Happened::Quarantined { key, reason: &child.reason });
        } else {
            child.state = "waiting";
            let pause = self.policy.pause(child.failures.len());
            let pause = pause.mul_f64(rand::rng().random_range(0.8..1.2));
            warn!(
                actor = key,
                reason = child.reason,
                "Actor {key} stopped; it starts again in {} ms",
                pause.as_millis()
            );
            let (me, key) = (me.clone(), key.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                let _ = me.cast(Order::Again { key });
            });
        }
        self.show(key, child);
    }
}

impl Actor for Supervisor {
    type Msg = Order;
    type State = Children;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Order>, (): ()) -> Result<Children, ActorProcessingErr> {
        Ok(Children::default())
    }

    async fn handle(
        &self,
        me: ActorRef<Order>,
        order: Order,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        match order {
            Order::Start { key, spawn, started } => {
                if children.by_key.contains_key(&key) || children.stopping {
                    let _ = started.send(Ok(()));
                    return Ok(());
                }
                self.launch(&me, key.clone(), &spawn);
                let child = Child {
                    spawn,
                    cell: None,
                    state: "starting",
                    restarts: 0,
                    failures: VecDeque::new(),
                    reason: String::new(),
                    started: Some(started),
                    released: false,
                    for_store: false,
                };
                self.show(&key, &child);
                children.by_key.insert(key, child);
            }
            Order::Again { key } => {
                if let Some(child) = children.by_key.get_mut(&key).filter(|_| !children.stopping) {
                    // One that waited for the store has not failed again.
                    let failed = !std::mem::take(&mut child.for_store);
                    child.state = "starting";
                    self.launch(&me, key.clone(), &child.spawn);
                    if failed {
                        child.restarts += 1;
                        (self.told)(Happened::Restarted { key: &key, restarts: child.restarts, reason: &child.reason });
                    }
                    self.show(&key, child);
                }
            }
            Order::Waits { key } => {
                if let Some(child) = children.by_key.get_mut(&key).filter(|child| child.state == "starting") {
                    child.state = "waiting";
                    self.show(&key, child);
                }
            }
            Order::Release { key, released } => {
                let child = children.by_key.get_mut(&key).filter(|child| child.state == "quarantined");
                let _ = released.send(child.is_some() && !children.stopping);
                if let Some(child) = child.filter(|_| !children.stopping) {
                    warn!(actor = key, "Actor {key} is started again after its quarantine");
                    child.failures.clear();
                    (child.state, child.released) = ("starting", true);
                    child.restarts += 1;
                    self.launch(&me, key.clone(), &child.spawn);
                    self.show(&key, child);
                    (self.told)(Happened::Restarted { key: &key, restarts: child.restarts, reason: &child.reason });
                }
            }
            Order::Started { key, outcome } => match outcome {
                Ok(cell) if children.stopping => cell.stop(None),
                Ok(cell) => {
                    if cell.get_status() == ActorStatus::Stopped {
                        // It failed before we knew it by name.
                        self.failed(&me, children, &key, "failed at once".into());
                    } else if let Some(child) = children.by_key.get_mut(&key) {
                        child.cell = Some(cell);
                        child.state = "running";
                        if let Some(started) = child.started.take() {
                            let _ = started.send(Ok(()));
                        }
                        self.show(&key, child);
                        if std::mem::take(&mut child.released) {
                            (self.told)(Happened::Released { key: &key });
                        }
                    }
                }
                Err(error) if for_want_of_the_store(&error) => self.waits(&me, children, &key, error.to_string()),
                Err(error) => self.failed(&me, children, &key, error.to_string()),
            },
            Order::Kill { key } => {
                if let Some(cell) = children.by_key.get(&key).and_then(|child| child.cell.as_ref()) {
                    cell.kill();
                }
            }
            Order::Stop { done } => {
                children.stopping = true;
                for cell in children.by_key.values_mut().filter_map(|child| child.cell.take()) {
                    let _ = cell.stop_and_wait(None, Some(Duration::from_secs(2))).await;
                }
                let _ = done.send(());
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<Order>,
        event: SupervisionEvent,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, reason) = match event {
            SupervisionEvent::ActorTerminated(cell, _, reason) => (cell, reason.unwrap_or_else(|| "stopped".into())),
            SupervisionEvent::ActorFailed(cell, error) => (cell, error.to_string()),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let id = cell.get_id();
        let key = children
            .by_key
            .iter()
            .find(|(_, child)| child.cell.as_ref().is_some_and(|cell| cell.get_id() == id))
            .map(|(key, _)| key.clone());
        if let Some(key) = key {
            self.failed(&me, children, &key, reason);
        }
        Ok(())
    }
}

/// Whether a start failed only because the store is away.
fn for_want_of_the_store(error: &SpawnErr) -> bool {
    let SpawnErr::StartupFailed(cause) = error else { return false };
    cause.downcast_ref::<StoreError>().is_some_and(StoreError::is_away)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_a_tenth_of_a_second_to_half_a_minute() {
        let policy = Policy::default();
        let ms: Vec<_> = (1..12).map(|n| policy.pause(n).as_millis()).collect();
        assert_eq!(ms, [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
        assert_eq!(policy.pause(usize::MAX), policy.backoff_max);
    }
}
