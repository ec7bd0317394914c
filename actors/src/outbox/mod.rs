//! The outbox: notices for targets outside, written in the transaction of the consumer that read their event and delivered at
//! least once with the same id.
//!
//! ```text
//! event log ──▶ Notices (a consumer per target) ──▶ outbox ──▶ Worker (one per target) ──▶ Courier
//!                                                     ▲            │ answer
//!                                                     └── journal ◀┘  delivery, target and what operators are told, together
//! ```
//! A crash before the answer is committed sends the same notice again with the same id; a crash anywhere else repeats
//! nothing. What answers mean is decided in `core`.

mod desk;
mod notices;
pub(crate) mod store;
mod worker;

pub use desk::{DeliveryView, TargetView};

use crate::bus::Bus;
use crate::consumer::{self, Consumer, Consumers};
use crate::error::StoreError;
use crate::journal::{Entry, Journal, NewEvent, Receipt};
use crate::shell::Shared;
use gatehouse_core::effect::Record;
use gatehouse_core::event::Body;
use gatehouse_core::outbox::{Answer, Origin, Outgoing, Parcel, Target, TargetMove, TargetState};
use jiff::Timestamp;
use notices::Notices;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{error, warn};
use worker::Worker;

/// What becomes of a parcel.
pub type Sending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Whoever carries parcels outside. Answers within its own time limit, always.
pub trait Courier: Send + Sync + 'static {
    /// Makes one attempt.
    fn send(&self, parcel: Parcel) -> Sending;
}

/// Who is told, and by whom.
#[derive(Clone)]
pub struct OutboxConfig {
    /// The targets.
    pub targets: Vec<Target>,
    /// Carries the parcels.
    pub courier: Arc<dyn Courier>,
    /// For the links in notices.
    pub origin: Origin,
}

impl Default for OutboxConfig {
    /// No targets.
    fn default() -> Self {
        Self { targets: Vec::new(), courier: Arc::new(NoCourier), origin: Origin::default() }
    }
}

struct NoCourier;

impl Courier for NoCourier {
    fn send(&self, _: Parcel) -> Sending {
        Box::pin(async { Answer::Failed { reason: "nothing carries notices here".into() } })
    }
}

/// A target of this run: as configured, as it does, and how its worker is woken.
pub(crate) struct Post {
    pub target: Target,
    pub wake: Notify,
    state: Mutex<TargetState>,
}

impl Post {
    /// How the target does now.
    pub(crate) fn state(&self) -> TargetState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes how the target does and submits it with what belongs to it. Under one lock, so that the commits are in the
    /// order of the changes; submitting never waits.
    pub(crate) fn change(
        &self,
        journal: &Journal,
        by: &str,
        now: Timestamp,
        mut records: Vec<Record>,
        change: impl FnOnce(&mut TargetState) -> Option<TargetMove>,
    ) -> Receipt {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = change(&mut state);
        records.push(Record::Outbox(Box::new(Outgoing::Target(state.clone()))));
        let events =
            moved.map(|what| moved_event(&self.target.name, what, &state.failure, by, now)).into_iter().collect();
        journal.submit(Entry { events, records, ..Entry::default() })
    }
}

/// What operators and rules are told of a target.
fn moved_event(target: &str, what: TargetMove, failure: &str, by: &str, now: Timestamp) -> NewEvent {
    let reason = match what {
        TargetMove::Failing | TargetMove::Gone => failure.to_owned(),
        TargetMove::Working | TargetMove::Enabled | TargetMove::Disabled | TargetMove::Removed => String::new(),
    };
    NewEvent {
        received_at: now,
        observed_at: None,
        device: None,
        place: None,
        cause: None,
        by: by.to_owned(),
        source_key: None,
        body: Body::TargetMoved { target: target.to_owned(), what: what.word().to_owned(), reason },
    }
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The targets of this run, and the consumers that write for them.
pub(crate) struct Outbox {
    posts: BTreeMap<String, Arc<Post>>,
    consumers: Consumers,
    courier: Arc<dyn Courier>,
    origin: Origin,
    removed: Vec<String>,
}

impl Outbox {
    /// Targets as configured with how they did, and their consumers entered in the store: from here on nothing is missed.
    pub(crate) async fn open(shared: &Arc<Shared>, config: OutboxConfig) -> Result<Self, StoreError> {
        let OutboxConfig { targets, courier, origin } = config;
        // A consumer of a target that is configured no more goes at once, so that one of the same name begins anew.
        let keys: Vec<_> = targets.iter().map(|target| Notices::key_of(&target.name)).collect();
        consumer::store::retain(&shared.pool, notices::PREFIX, &keys).await?;
        let names: Vec<_> = targets.iter().map(|target| target.name.clone()).collect();
        store::enter_targets(&shared.pool, &names).await?;
        let mut known: BTreeMap<String, TargetState> =
            store::targets(&shared.pool).await?.into_iter().map(|state| (state.name.clone(), state)).collect();
        let post = |target: Target| {
            let state = known.remove(&target.name).unwrap_or_else(|| TargetState::new(&target.name));
            (target.name.clone(), Arc::new(Post { target, wake: Notify::new(), state: Mutex::new(state) }))
        };
        let posts: BTreeMap<_, _> = targets.into_iter().map(post).collect();
        let consumer = |post: &Arc<Post>| -> Arc<dyn Consumer> {
            Arc::new(Notices { post: post.clone(), shared: shared.clone(), origin: origin.clone() })
        };
        let consumers = Consumers::enter(shared, posts.values().map(consumer).collect()).await?;
        Ok(Self { posts, consumers, courier, origin, removed: known.into_keys().collect() })
    }

    /// Everything that has to run for it, each to its own task.
    pub(crate) fn work(&self, shared: &Arc<Shared>, bus: &Bus) -> Vec<Work> {
        let mut work: Vec<Work> = Vec::new();
        if !self.removed.is_empty() {
            work.push(Box::pin(say_goodbye(shared.clone(), self.removed.clone())));
        }
        if self.posts.is_empty() {
            return work;
        }
        work.push(Box::pin(self.consumers.clone().listen(bus.subscribe())));
        for run in self.consumers.work(shared) {
            work.push(Box::pin(run));
        }
        for post in self.posts.values() {
            let worker = Worker { shared: shared.clone(), post: post.clone(), courier: self.courier.clone() };
            work.push(Box::pin(kept(format!("delivery to {}", post.target.name), move || worker.clone().run())));
        }
        work
    }

    pub(crate) fn consumers(&self) -> &Consumers {
        &self.consumers
    }
}

/// Runs what should never end, again after a pause when it panics.
pub(crate) async fn kept<W: Future<Output = ()> + Send + 'static>(what: String, make: impl Fn() -> W) {
    loop {
        // A set, not a bare task: when this is dropped, so is the work.
        let mut running = JoinSet::new();
        running.spawn(make());
        match running.join_next().await {
            Some(Err(failed)) if failed.is_panic() => error!(%failed, "The {what} failed; it starts again"),
            Some(Ok(()) | Err(_)) | None => return,
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Says that targets are gone and, once that is committed, forgets them: their alarms are cleared whatever happens between.
async fn say_goodbye(shared: Arc<Shared>, names: Vec<String>) {
    for name in names {
        let now = shared.clock.now();
        let events = vec![moved_event(&name, TargetMove::Removed, "", "outbox", now)];
        if !matches!(shared.journal.submit(Entry { events, ..Entry::default() }).await, Ok(true)) {
            continue;
        }
        if let Err(error) = store::remove_target(&shared.pool, &name, now).await {
            warn!(error = &error as &dyn std::error::Error, "Target {name} is forgotten at the next start");
        }
    }
}
