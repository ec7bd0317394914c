//! Consumers of the event log: each reads committed events in order, at its own pace, and remembers how far it is.
//!
//! ```text
//! journal ──commit──▶ event log ──after the offset, in order──▶ consumer ──rows + new offset──▶ one transaction
//!            └─▶ bus ──wakes──▶ (and every five seconds, should a word be missed)
//! ```
//! A consumer that stops anywhere reads again what it had not committed: it loses no event, and as its rows have ids derived
//! from (consumer, event) it doubles none. It reads on a connection of its own and the journal never waits for it. Where a
//! consumer cannot take more, its offset stays: the log itself is the queue.

pub(crate) mod store;

use crate::bus::Change;
use crate::error::{Error, StoreError};
use crate::outbox::kept;
use crate::root::System;
use crate::shell::Shared;
use gatehouse_core::event::Event;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::PgConnection;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast};
use tracing::warn;

/// Events of one transaction.
const BATCH: i64 = 200;
/// A consumer looks at the log at least this often.
const POLL: Duration = Duration::from_secs(5);
/// After a wake-up it waits so long for what comes with it: a flood is read in batches, not one by one.
const GATHER: Duration = Duration::from_millis(20);
/// The longest pause while the database is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a consumer did with a batch: how many of its events it took, from the first.
pub(crate) type Taking<'a> = Pin<Box<dyn Future<Output = Result<usize, StoreError>> + Send + 'a>>;

/// Something that reads the log.
pub(crate) trait Consumer: Send + Sync + 'static {
    /// Its name in the store.
    fn key(&self) -> String;

    /// The codes of the events it reads.
    fn codes(&self) -> &'static [&'static str];

    /// Writes what follows from the events. Idempotent: a batch may come again, whole or in part. Takes fewer than given when
    /// its own queue is full.
    fn take<'a>(&'a self, tx: &'a mut PgConnection, events: &'a [Event]) -> Taking<'a>;

    /// Told after the commit of what it wrote.
    fn committed(&self) {}
}

/// How far a consumer is. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConsumerHealth {
    /// Its name.
    pub key: String,
    /// The last event it has handled.
    pub seq: u64,
    /// Events it has yet to handle; counted up to 10 000.
    pub events: u64,
    /// Age of the oldest of them, seconds.
    pub seconds: f64,
}

/// A consumer, and what wakes it.
type Waked = (Arc<dyn Consumer>, Arc<Notify>);

/// The running consumers.
#[derive(Clone, Default)]
pub(crate) struct Consumers(Arc<Vec<Waked>>);

impl Consumers {
    /// Enters consumers in the store: one that is new begins with what happens from now on.
    pub(crate) async fn enter(shared: &Shared, consumers: Vec<Arc<dyn Consumer>>) -> Result<Self, StoreError> {
        for consumer in &consumers {
            store::enter(&shared.pool, &consumer.key(), shared.clock.now()).await?;
        }
        Ok(Self(Arc::new(consumers.into_iter().map(|consumer| (consumer, Arc::default())).collect())))
    }

    /// Wakes those that an event concerns.
    pub(crate) async fn listen(self, mut changes: broadcast::Receiver<Change>) {
        loop {
            match changes.recv().await {
                Ok(Change::Event(event)) => {
                    let concerned =
                        self.0.iter().filter(|(consumer, _)| consumer.codes().contains(&event.code.as_str()));
                    concerned.for_each(|(_, wake)| wake.notify_one());
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => self.0.iter().for_each(|(_, wake)| wake.notify_one()),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// The work of each: it ends with the program.
    pub(crate) fn work(&self, shared: &Arc<Shared>) -> Vec<impl Future<Output = ()> + Send + use<>> {
        let run = |(consumer, wake): &Waked| {
            let (shared, consumer, wake) = (shared.clone(), consumer.clone(), wake.clone());
            let what = format!("consumer {}", consumer.key());
            kept(what, move || follow(shared.clone(), consumer.clone(), wake.clone()))
        };
        self.0.iter().map(run).collect()
    }

    async fn health(&self, shared: &Shared) -> Result<Vec<ConsumerHealth>, StoreError> {
        let now = shared.clock.now();
        let mut health = Vec::with_capacity(self.0.len());
        for (consumer, _) in self.0.iter() {
            let key = consumer.key();
            let (seq, events, oldest) = store::behind(&shared.pool, &key, consumer.codes()).await?;
            health.push(ConsumerHealth { key, seq, events, seconds: oldest.map_or(0.0, |at| seconds(at, now)) });
        }
        Ok(health)
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

async fn follow(shared: Arc<Shared>, consumer: Arc<dyn Consumer>, wake: Arc<Notify>) {
    let mut pause = Duration::from_millis(100);
    loop {
        match pass(&shared, &*consumer).await {
            Ok(more) => {
                pause = Duration::from_millis(100);
                if more {
                    continue;
                }
            }
            Err(error) => {
                let key = consumer.key();
                warn!(consumer = key, error = &error as &dyn std::error::Error, "Consumer {key} waits and tries again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
        }
        if tokio::time::timeout(POLL, wake.notified()).await.is_ok() {
            tokio::time::sleep(GATHER).await;
        }
    }
}

/// Handles one batch; true when there may be more at once.
async fn pass(shared: &Shared, consumer: &dyn Consumer) -> Result<bool, StoreError> {
    let mut tx = store::begin(&shared.pool).await?;
    let key = consumer.key();
    let offset = store::offset(&mut tx, &key).await?;
    // Read before the events: what is committed between the two is left for the next pass. The journal is the only writer
    // and commits in the order of the numbers, so nothing below a number that is seen can still appear.
    let end = store::end(&mut tx).await?;
    let (events, more) = store::after(&mut tx, offset, end, consumer.codes(), BATCH).await?;
    let taken = if events.is_empty() { 0 } else { consumer.take(&mut tx, &events).await?.min(events.len()) };
    let all = taken == events.len();
    let reached = match (all, more) {
        (true, None) => end,
        (true, Some(last)) => last,
        (false, _) => taken.checked_sub(1).and_then(|last| events.get(last)).map_or(offset, |event| event.seq),
    };
    if reached > offset {
        store::advance(&mut tx, &key, reached, shared.clock.now()).await?;
        store::commit(tx).await?;
    }
    if taken > 0 {
        consumer.committed();
    }
    Ok(all && more.is_some())
}

impl System {
    /// How far the consumers of the event log are.
    pub async fn consumers(&self) -> Result<Vec<ConsumerHealth>, Error> {
        Ok(self.outbox().consumers().health(self.shared()).await?)
    }
}
