//! The single writer: events, records and machine positions, committed together and in order.
//!
//! ```text
//! machines ──Entry──▶ queue ──▶ one transaction of up to 512 entries ──▶ commit ──▶ bus, board, receipts
//!                       └──▶ mailboxes of the audience, at once: the door path does not wait for the disk
//! ```
//! Entries get their sequence numbers when they are queued, so the log, the mailboxes and the commits share one order. What a
//! machine concludes from an event that is not committed yet is queued behind it: the database never holds a consequence
//! without its cause. Only the outside (pages, protocol acknowledgements) waits for the commit.

use crate::access::AccessView;
use crate::address::{Addresses, Name};
use crate::alarm::{AlarmView, Tally};
use crate::bus::{Bus, Change};
use crate::clock::Clock;
use crate::command::CommandView;
use crate::event::EventView;
use crate::video::{Bookmark, VideoLink};
use crate::{access, alarm, command, event, passage, video, workorder};
use gatehouse_core::effect::Record;
use gatehouse_core::event::{Body, Event};
use gatehouse_core::id::{DeviceId, EventId, PlaceId};
use jiff::Timestamp;
use sqlx::PgPool;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};
use tracing::{error, warn};

/// Entries of one transaction.
const GROUP: usize = 512;
/// Entries that may wait; beyond it outside input is refused.
pub(crate) const LIMIT: usize = 20_000;

/// Where a machine stands, with its state there.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub key: String,
    pub seq: u64,
    pub state: serde_json::Value,
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
}

/// An event with what only the store needs.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub event: Arc<Event>,
    pub source_key: Option<String>,
}

struct Queued {
    mark: Option<Mark>,
    events: Vec<Logged>,
    records: Vec<Record>,
    done: oneshot::Sender<bool>,
}

/// Resolves to true at the commit, to false when the store refused it.
pub(crate) type Receipt = oneshot::Receiver<bool>;

struct Queue {
    next_seq: u64,
    waiting: VecDeque<Queued>,
    closed: bool,
}

struct Inner {
    pool: PgPool,
    clock: Clock,
    bus: Bus,
    tally: Arc<Tally>,
    video: Arc<dyn VideoLink>,
    addresses: Arc<Addresses>,
    queue: Mutex<Queue>,
    work: Notify,
    away: watch::Sender<bool>,
    refused: AtomicU64,
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
}

impl Journal {
    /// A journal that goes on after the last stored event.
    pub(crate) fn open(around: Surroundings, last_seq: u64) -> Self {
        let Surroundings { pool, clock, bus, tally, video, addresses } = around;
        let queue = Mutex::new(Queue { next_seq: last_seq + 1, waiting: VecDeque::new(), closed: false });
        Self(Arc::new(Inner {
            pool,
            clock,
            bus,
            tally,
            video,
            addresses,
            queue,
            work: Notify::new(),
            away: watch::channel(false).0,
            refused: AtomicU64::new(0),
        }))
    }

    /// Queues an entry and gives its events to their audience. Never waits.
    pub(crate) fn submit(&self, entry: Entry) -> Receipt {
        let (done, receipt) = oneshot::channel();
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.closed {
            return receipt;
        }
        let mut events = Vec::with_capacity(entry.events.len());
        for new in entry.events {
            let event = Arc::new(Event {
                id: self.0.clock.event_id(),
                seq: queue.next_seq,
                received_at: new.received_at,
                observed_at: new.observed_at,
                device: new.device,
                place: new.place,
                cause: new.cause,
                by: new.by,
                body: new.body,
            });
            queue.next_seq += 1;
            events.push(Logged { event, source_key: new.source_key });
        }
        let given: Vec<_> = events.iter().map(|logged| logged.event.clone()).collect();
        queue.waiting.push_back(Queued { mark: entry.mark, events, records: entry.records, done });
        // Still under the lock: mailboxes see events in the order of their numbers.
        for event in given {
            for audience in event.body.audience() {
                if let Some(name) = Name::of(*audience, event.device) {
                    self.0.addresses.deliver(name, event.clone());
                }
            }
        }
        drop(queue);
        self.0.work.notify_one();
        receipt
    }

    /// Waits until everything queued so far is committed.
    pub(crate) async fn flush(&self) {
        // An empty entry is committed after all before it.
        let _ = self.submit(Entry::default()).await;
    }

    /// Entries that wait.
    pub(crate) fn depth(&self) -> usize {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).waiting.len()
    }

    /// Whether the database is away.
    pub(crate) fn is_away(&self) -> bool {
        *self.0.away.borrow()
    }

    /// Tells when the database goes away and when it is back.
    pub(crate) fn away(&self) -> watch::Receiver<bool> {
        self.0.away.subscribe()
    }

    /// Entries that the database refused for good.
    pub(crate) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Takes nothing more; what is queued is still written.
    pub(crate) fn close(&self) {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.0.work.notify_one();
    }

    /// Takes nothing more and forgets what is queued.
    pub(crate) fn cut(&self) {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.closed = true;
        queue.waiting.clear();
    }

    /// Writes until it is closed and empty.
    pub(crate) async fn run(self) {
        loop {
            let (group, closed) = {
                let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
                let take = queue.waiting.len().min(GROUP);
                (queue.waiting.drain(..take).collect::<Vec<_>>(), queue.closed)
            };
            if group.is_empty() {
                if closed {
                    return;
                }
                self.0.work.notified().await;
                continue;
            }
            self.write(group).await;
        }
    }

    /// Writes a group: again and again while the database is away, one by one when it refuses the group.
    async fn write(&self, group: Vec<Queued>) {
        let mut pause = Duration::from_millis(50);
        loop {
            match self.attempt(&group).await {
                Ok(()) => {
                    if self.0.away.send_if_modified(std::mem::take) {
                        warn!("The database is back");
                    }
                    for queued in group {
                        self.publish(queued);
                    }
                    return;
                }
                Err(error) if is_refusal(&error) => break,
                Err(error) => {
                    if self.0.away.send_if_modified(|away| !std::mem::replace(away, true)) {
                        error!(
                            error = &error as &dyn std::error::Error,
                            "The database is away; what happens waits in memory"
                        );
                    }
                    let closed = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).closed;
                    if closed {
                        error!(
                            entries = group.len(),
                            "Stopping while the database is away: unacknowledged entries are dropped"
                        );
                        return;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
            }
        }
        for queued in group {
            let one = [queued];
            let written = self.attempt(&one).await;
            let [queued] = one;
            match written {
                Ok(()) => self.publish(queued),
                Err(error) => {
                    self.0.refused.fetch_add(1, Ordering::Relaxed);
                    error!(error = &error as &dyn std::error::Error, "The database refuses an entry; it is left out");
                    let _ = queued.done.send(false);
                }
            }
        }
    }

    async fn attempt(&self, group: &[Queued]) -> Result<(), sqlx::Error> {
        if group.iter().all(|queued| queued.mark.is_none() && queued.events.is_empty() && queued.records.is_empty()) {
            return Ok(());
        }
        let mut tx = self.0.pool.begin().await?;
        let events: Vec<&Logged> = group.iter().flat_map(|queued| &queued.events).collect();
        if !events.is_empty() {
            event::store::append(&mut tx, &events).await?;
        }
        for record in group.iter().flat_map(|queued| &queued.records) {
            match record {
                Record::Access(row) => access::store::append(&mut tx, row).await?,
                Record::Command(row) => command::store::put(&mut tx, row).await?,
                Record::Passage(row) => passage::store::put(&mut tx, row).await?,
                Record::Alarm(row) => alarm::store::put(&mut tx, row).await?,
                Record::Note(row) => alarm::store::note(&mut tx, row).await?,
                Record::Clip(row) => video::store::put(&mut tx, row).await?,
                Record::WorkOrder(row) => workorder::store::put(&mut tx, row).await?,
            }
        }
        let marks: Vec<&Mark> = group.iter().filter_map(|queued| queued.mark.as_ref()).collect();
        if !marks.is_empty() {
            event::store::mark(&mut tx, &marks).await?;
        }
        tx.commit().await
    }

    /// Tells the outside what is committed.
    fn publish(&self, queued: Queued) {
        let bus = &self.0.bus;
        for record in queued.records {
            match record {
                Record::Access(row) => bus.publish(Change::Access(Arc::new(AccessView::from(row)))),
                Record::Command(row) => bus.publish(Change::Command(Arc::new(CommandView::from(&row)))),
                Record::Passage(row) => bus.publish(Change::Passage(Arc::new(row))),
                Record::Alarm(row) => {
                    let view = Arc::new(AlarmView::from(&*row));
                    self.0.tally.put(&view, row.closed_at.is_none());
                    bus.publish(Change::Alarm(view));
                }
                Record::Note(_) => {}
                Record::Clip(clip) => self.0.video.bookmark(Bookmark::from(&clip)),
                Record::WorkOrder(row) => bus.publish(Change::WorkOrder(Arc::new(row))),
            }
        }
        for logged in queued.events {
            if logged.event.body.shown() {
                bus.publish(Change::Event(Arc::new(EventView::from(&*logged.event))));
            }
        }
        let _ = queued.done.send(true);
    }
}

/// Whether the database understood and said no, so that trying again is useless.
fn is_refusal(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            // Classes 22 wrong data, 23 broken constraint, 42 no such table or column; all others pass (starting, stopping,
            // full, read-only, not accepting connections).
            let code = error.code().unwrap_or_default();
            ["22", "23", "42"].iter().any(|class| code.starts_with(class))
        }
        sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::RowNotFound
        | sqlx::Error::TypeNotFound { .. } => true,
        _ => false,
    }
}
