//! Device shells under their supervisor with nothing behind them, to measure what a shell itself costs.
//!
//! The store is never asked: every device is prepared as new, and the journal is closed before the first one starts.

use crate::address::{Addresses, Name};
use crate::bus::Bus;
use crate::clock::Clock;
use crate::command::Dispatch;
use crate::journal::{Journal, Surroundings};
use crate::prepared::Prepared;
use crate::root::StartError;
use crate::shell::{Load, Message, Shared, Shell};
use crate::supervise::{Order, Policy, Spawn, Supervisor};
use crate::trace::Trace;
use crate::video::NoVideo;
use crate::{access, alarm, telemetry};
use gatehouse_core::device::link::DeviceKind;
use gatehouse_core::device::sensor::Sensor;
use gatehouse_core::device::shadow::{Twin, TwinCall};
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::DeviceId;
use gatehouse_core::site::{Compound, Site};
use ractor::{Actor, ActorRef};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// The longest that a shell may take to come back.
const BACK_WITHIN: Duration = Duration::from_secs(10);

/// Shells with nothing behind them.
pub struct Yardstick {
    shared: Arc<Shared>,
    supervisor: ActorRef<Order>,
    devices: Vec<DeviceId>,
    handled: Arc<AtomicU64>,
    back: Arc<Mutex<Option<oneshot::Sender<Instant>>>>,
}

impl Yardstick {
    /// The sensors of this site, none of them started.
    pub async fn start(site: &Site) -> Result<Self, StartError> {
        let failed = |reason: String| StartError::Actor { actor: "yardstick".into(), reason };
        let compound = Compound::new(site);
        let devices =
            compound.devices.values().filter(|spec| spec.kind == DeviceKind::Sensor).map(|spec| spec.id).collect();
        let pool = PgPoolOptions::new().connect_lazy_with(PgConnectOptions::new_without_pgpass());
        let addresses = Arc::new(Addresses::default());
        let around = Surroundings {
            pool: pool.clone(),
            clock: Clock::real(),
            bus: Bus::default(),
            tally: Arc::new(alarm::Tally::default()),
            video: Arc::new(NoVideo),
            addresses: addresses.clone(),
            spill: None,
            trace: Trace::default(),
        };
        let journal = Journal::closed(around);
        let away = journal.away();
        let (dispatch, _) = Dispatch::new(mpsc::channel(1).0, addresses.clone(), away.clone(), Trace::default());
        let telemetry = telemetry::History::idle(pool.clone(), Clock::real());
        let shared = Arc::new(Shared {
            pool,
            clock: Clock::real(),
            journal,
            addresses,
            compound: RwLock::new(Arc::new(compound)),
            access: access::Current::default(),
            dispatch,
            telemetry,
            prepared: Prepared::default(),
        });
        let restarts = Policy { intensity: usize::MAX, backoff_min: Duration::ZERO, ..Policy::default() };
        let supervisor = Supervisor { policy: restarts, told: Arc::new(|_| {}), health: Arc::default(), away };
        let (supervisor, _) = Actor::spawn(None, supervisor, ()).await.map_err(|error| failed(error.to_string()))?;
        Ok(Self { shared, supervisor, devices, handled: Arc::default(), back: Arc::default() })
    }

    /// Starts them all, one after the other.
    pub async fn spawn_all(&self) -> Result<(), StartError> {
        for id in &self.devices {
            self.spawn(*id).await?;
        }
        Ok(())
    }

    async fn spawn(&self, id: DeviceId) -> Result<(), StartError> {
        let failed = |reason: String| StartError::Actor { actor: "yardstick".into(), reason };
        let shell = self.shell(id);
        let key = shell.name.to_string();
        let shared = self.shared.clone();
        let spawn: Spawn = Arc::new(move |supervisor| {
            let shell = shell.clone();
            shared.prepared.put_fresh(id);
            Box::pin(async move { Ok(Actor::spawn_linked(None, shell, (), supervisor).await?.0.get_cell()) })
        });
        let (started, starting) = oneshot::channel();
        self.supervisor.cast(Order::Start { key, spawn, started }).map_err(|error| failed(error.to_string()))?;
        starting.await.map_err(|error| failed(error.to_string()))?.map_err(failed)
    }

    fn shell(&self, id: DeviceId) -> Shell<Twin<Sensor>> {
        let (loading, addresses) = (self.shared.clone(), self.shared.addresses.clone());
        let load: Load<Twin<Sensor>> = Arc::new(move |_| {
            let shared = loading.clone();
            Box::pin(async move {
                let spec = shared.compound().device(id).cloned().ok_or("no such device")?;
                Ok(Twin::new(spec, shared.clock.now()))
            })
        });
        let (handled, back, clock) = (self.handled.clone(), self.back.clone(), self.shared.clock.clone());
        Shell {
            name: Name::Device(id),
            by: "yardstick".into(),
            shared: self.shared.clone(),
            load,
            drain: Some({
                let handled = handled.clone();
                Arc::new(move || {
                    let n = handled.fetch_add(1, Ordering::Relaxed);
                    #[allow(clippy::cast_precision_loss, reason = "a value like any other")]
                    Some(TwinCall::Heard(vec![("level".into(), Value::Number(n as f64), clock.now())]))
                })
            }),
            publish: Some(Arc::new(move |_| {
                if let Some(back) = back.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    let _ = back.send(Instant::now());
                }
            })),
            enter: Some(Arc::new(move |actor| addresses.enter_device(id, actor))),
        }
    }

    /// Tells the nth a measure; whether it was taken.
    pub fn tell(&self, n: u32) -> bool {
        let id = self.devices.get(n as usize);
        id.and_then(|id| self.shared.addresses.device(*id)).is_some_and(|shell| shell.cast(Message::Poke).is_ok())
    }

    /// Messages handled by all.
    pub fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    /// Makes the nth panic; how long until it is back. Without the policy's pause.
    pub async fn fail(&self, n: u32) -> Option<Duration> {
        let shell = self.shared.addresses.device(*self.devices.get(n as usize)?)?;
        let (back, is_back) = oneshot::channel();
        *self.back.lock().unwrap_or_else(PoisonError::into_inner) = Some(back);
        let began = Instant::now();
        shell.cast(Message::Fail).ok()?;
        let at = tokio::time::timeout(BACK_WITHIN, is_back).await.ok()?.ok()?;
        Some(at.duration_since(began))
    }

    /// Stops them all.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.supervisor.cast(Order::Stop { done }).is_ok() {
            let _ = stopped.await;
        }
        self.supervisor.stop(None);
    }
}
