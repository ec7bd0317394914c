//! The single writer: events, records and machine positions, committed together and in order.
//!
//! ```text
//! machines ──Entry──▶ queue ──▶ one transaction of up to 2 048 entries ──▶ commit ──▶ bus, board, receipts
//!                       │                      ╎ the database is away                   ▲
//!                       │                      └▶ spill: appended and fsynced ──────────┤
//!                       │                              └▶ drained in order when it is back, then removed
//!                       └──▶ mailboxes of the audience, at once: no decision waits for the disk
//! ```
//! Entries get their sequence numbers when they are queued, so the log, the mailboxes, the spill and the commits share one
//! order. What a machine concludes from an event that is not committed yet is queued behind it: the database never holds a
//! consequence without its cause. Only the outside (pages, protocol acknowledgements) waits for the commit or the fsync.

mod drain;
mod frame;
mod queue;
mod refused;
mod sorted;
mod spill;
mod write;

pub(crate) use queue::LIMIT;
pub(crate) use write::is_refusal;

use crate::address::Addresses;
use crate::alarm::Tally;
use crate::bus::Bus;
use crate::clock::Clock;
use crate::command::CommandView;
use crate::error::StoreError;
use crate::event;
use crate::meter::{JournalFigures, Meter};
use crate::trace::Trace;
use crate::video::VideoLink;
use gatehouse_core::effect::Record;
use gatehouse_core::event::{Body, Event};
use gatehouse_core::id::{CommandId, DeviceId, EventId, PlaceId};
use jiff::Timestamp;
use queue::Queue;
use refused::Refused;
use serde::{Deserialize, Serialize};
use spill::Spill;
use sqlx::PgPool;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::{Notify, oneshot, watch};

/// Commands remembered for a repeated order while the ledger cannot be read.
const RECENT_COMMANDS: usize = 256;

/// Where a machine stands, with its state there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub key: String,
    pub seq: u64,
    /// JSON.
    pub state: String,
}

/// An event to be appended.
#[derive(Clone, Debug)]
pub(crate) struct NewEvent {
    pub received_at: Timestamp,
    pub observed_at: Option<Timestamp>,
    pub device: Option<DeviceId>,
    pub place: Option<PlaceId>,
    pub cause: Option<EventId>,
    pub by: String,
    pub source_key: Option<String>,
    pub body: Body,
}

/// What is committed together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    pub mark: Option<Mark>,
    pub events: Vec<NewEvent>,
    pub records: Vec<Record>,
    /// The request it came by, for its trace.
    pub request: Option<uuid::Uuid>,
}

/// An event with what only the store needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Logged {
    #[serde(with = "frame::shared")]
    pub event: Arc<Event>,
    pub source_key: Option<String>,
}

/// An entry with its numbers, on its way to the disk.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Queued {
    mark: Option<Mark>,
    events: Vec<Logged>,
    records: Vec<Record>,
    #[serde(skip)]
    done: Option<oneshot::Sender<bool>>,
}

impl Queued {
    fn is_empty(&self) -> bool {
        self.mark.is_none() && self.events.is_empty() && self.records.is_empty()
    }

    /// Whether consoles are told something of it.
    fn is_told(&self) -> bool {
        let shown = |record: &Record| {
            !matches!(record, Record::Note(_) | Record::Expired(..) | Record::Outbox(_) | Record::Clip(_))
        };
        self.records.iter().any(shown) || self.events.iter().any(|logged| logged.event.body.shown())
    }
}

/// Resolves to true once it is safe (committed, or fsynced in the spill), to false when the store refused it.
pub(crate) type Receipt = oneshot::Receiver<bool>;

/// Where entries wait on the local disk while the database is away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpillConfig {
    /// Its own directory.
    pub dir: PathBuf,
    /// Bytes it may hold; beyond it acknowledgements are withheld.
    pub max_bytes: u64,
}

/// How the journal does. Field names are the wire's.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct JournalHealth {
    /// `running`, `spilling` (the database is away), `draining` (it is back) or `waiting` (acknowledgements are withheld).
    pub state: String,
    /// Entries that wait in memory.
    pub depth: usize,
    /// Entries on the local disk that the database does not have yet.
    pub spilled: u64,
    /// Bytes of the spill's files.
    pub spilled_bytes: u64,
    /// Bytes it may hold; 0: no spill.
    pub spill_limit: u64,
    /// When the oldest of them was spilled.
    pub oldest_at: Option<Timestamp>,
    /// Entries that the database refused and that are kept aside, and stretches of the spill nobody can read.
    pub refused: u64,
}

/// What the journal is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Spilling,
    Draining,
    Waiting,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Spilling => "spilling",
            State::Draining => "draining",
            State::Waiting => "waiting",
        }
    }
}

struct Inner {
    pool: PgPool,
    /// The writer's own, once it runs.
    own_pool: OnceLock<PgPool>,
    clock: Clock,
    bus: Bus,
    tally: Arc<Tally>,
    video: Arc<dyn VideoLink>,
    addresses: Arc<Addresses>,
    queue: Mutex<Queue>,
    work: Notify,
    /// Ends the writer where it stands.
    cut: Notify,
    /// Entries, counted from the start, that the database has.
    stored: watch::Sender<u64>,
    away: watch::Sender<bool>,
    state: AtomicU8,
    spill: Option<Arc<Mutex<Spill>>>,
    /// Held over an append and over the switch back to the database.
    gate: tokio::sync::Mutex<()>,
    drain: Notify,
    drained: Notify,
    kept_aside: Option<Mutex<Refused>>,
    refused: watch::Sender<u64>,
    late: AtomicU64,
    commands: Mutex<VecDeque<CommandView>>,
    meter: Meter,
    trace: Trace,
}

/// The journal.
#[derive(Clone)]
pub(crate) struct Journal(Arc<Inner>);

/// What the journal needs from its surroundings.
pub(crate) struct Surroundings {
    pub pool: PgPool,
    pub clock: Clock,
    pub bus: Bus,
    pub tally: Arc<Tally>,
    pub video: Arc<dyn VideoLink>,
    pub addresses: Arc<Addresses>,
    pub spill: Option<SpillConfig>,
    pub trace: Trace,
}

/// Why the journal does not open.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What an earlier run spilled could not be drained.
    #[error("what waits in {} could not be brought into the database; it stays there for the next start", dir.display())]
    Drain {
        /// The spill's directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The writer's thread.
    #[error("the journal's writer does not start: the machine has no room for another thread")]
    Thread(#[source] std::io::Error),
    /// The spill's directory.
    #[error("the spill directory {} cannot be used: check its permissions, or set database.spill_mb = 0", dir.display())]
    Spill {
        /// Which.
        dir: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// Nothing queued, nothing spilled; also what says where to spill.
    fn new(around: Surroundings) -> (Self, Option<SpillConfig>) {
        let Surroundings { pool, clock, bus, tally, video, addresses, spill, trace } = around;
        let inner = Self {
            pool,
            own_pool: OnceLock::new(),
            clock,
            bus,
            tally,
            video,
            addresses,
            queue: Mutex::new(Queue::default()),
            work: Notify::new(),
            cut: Notify::new(),
            stored: watch::channel(0).0,
            away: watch::channel(false).0,
            state: AtomicU8::new(State::Running as u8),
            spill: None,
            gate: tokio::sync::Mutex::default(),
            drain: Notify::new(),
            drained: Notify::new(),
            kept_aside: None,
            refused: watch::channel(0).0,
            late: AtomicU64::new(0),
            commands: Mutex::default(),
            meter: Meter::default(),
            trace,
        };
        (inner, spill)
    }
}

impl Journal {
    /// A journal that takes nothing, for machines with no store behind them.
    pub(crate) fn closed(around: Surroundings) -> Self {
        let journal = Self(Arc::new(Inner::new(around).0));
        journal.close();
        journal
    }

    /// A journal that goes on after the last stored event. What an earlier run left in the spill is brought into the
    /// database first, before anyone reads where machines stand.
    pub(crate) async fn open(around: Surroundings) -> Result<Self, JournalError> {
        let (mut inner, spill) = Inner::new(around);
        if let Some(config) = spill.filter(|config| config.max_bytes > 0) {
            let wrong = |source| JournalError::Spill { dir: config.dir.clone(), source };
            let aside = Refused::open(&config.dir, config.max_bytes).map_err(wrong)?;
            let opened = Spill::open(&config.dir, config.max_bytes).map_err(wrong)?;
            inner.refused.send_replace(aside.count() + opened.damaged());
            inner.kept_aside = Some(Mutex::new(aside));
            inner.spill = Some(Arc::new(Mutex::new(opened)));
        }
        let journal = Self(Arc::new(inner));
        journal.recover().await?;
        let last_seq = event::store::last_seq(&journal.0.pool).await?;
        lock(&journal.0.queue).next_seq = last_seq + 1;
        Ok(journal)
    }

    /// Whether the database is away or has not everything yet.
    pub(crate) fn is_away(&self) -> bool {
        *self.0.away.borrow()
    }

    /// Tells when the database goes away and when it is back and has everything.
    pub(crate) fn away(&self) -> watch::Receiver<bool> {
        self.0.away.subscribe()
    }

    /// Entries that the database refused for good, also in earlier runs while their file is there.
    pub(crate) fn refused(&self) -> watch::Receiver<u64> {
        self.0.refused.subscribe()
    }

    /// Looks whether someone took the file of refused entries away.
    pub(crate) fn recount_refused(&self) {
        let (Some(aside), Some(spill)) = (&self.0.kept_aside, &self.0.spill) else { return };
        let count = lock(aside).recount() + lock(spill).damaged();
        self.0.refused.send_if_modified(|known| std::mem::replace(known, count) != count);
    }

    /// A command that was entered in the ledger lately, for when the ledger cannot be read.
    pub(crate) fn recent_command(&self, id: CommandId) -> Option<CommandView> {
        lock(&self.0.commands).iter().rev().find(|command| command.id == id).cloned()
    }

    /// Its figures.
    pub(crate) fn figures(&self) -> JournalFigures {
        JournalFigures {
            depth: self.depth(),
            limit: LIMIT,
            entries: self.0.meter.entries(),
            refused: *self.0.refused.borrow(),
            away: self.is_away(),
            commits: self.0.meter.commits(),
        }
    }

    /// Where it notes down what it does.
    pub(crate) fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// What it counts.
    pub(crate) fn meter(&self) -> &Meter {
        &self.0.meter
    }

    /// How it does.
    pub(crate) fn health(&self) -> JournalHealth {
        let mut health = JournalHealth {
            state: self.state().word().to_owned(),
            depth: self.depth(),
            refused: *self.0.refused.borrow(),
            ..JournalHealth::default()
        };
        if let Some(spill) = &self.0.spill {
            let spill = lock(spill);
            (health.spilled, health.spilled_bytes, health.spill_limit) =
                (spill.entries(), spill.bytes(), spill.limit());
            health.oldest_at = spill.oldest_at();
        }
        health
    }

    fn pool(&self) -> &PgPool {
        self.0.own_pool.get().unwrap_or(&self.0.pool)
    }

    fn state(&self) -> State {
        match self.0.state.load(Ordering::Acquire) {
            n if n == State::Spilling as u8 => State::Spilling,
            n if n == State::Draining as u8 => State::Draining,
            n if n == State::Waiting as u8 => State::Waiting,
            _ => State::Running,
        }
    }

    fn become_(&self, state: State) {
        self.0.state.store(state as u8, Ordering::Release);
    }
}
