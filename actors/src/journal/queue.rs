//! The queue: where entries get their numbers and their audience.

use super::{Entry, Journal, Logged, Queued, Receipt, lock};
use crate::address::Name;
use crate::trace;
use gatehouse_core::event::Event;
use gatehouse_core::trace::Note;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Entries of one transaction.
pub(super) const GROUP: usize = 2_048;
/// Entries, events and records of one transaction: one that is too long is one whose answer comes too late.
const WEIGHT: usize = 8 * GROUP;
/// Entries that may wait; beyond it outside input is refused.
pub(crate) const LIMIT: usize = 20_000;

#[derive(Default)]
pub(super) struct Queue {
    pub(super) next_seq: u64,
    pub(super) waiting: VecDeque<Queued>,
    pub(super) closed: bool,
    /// Entries queued since the start.
    queued: u64,
}

impl Journal {
    /// Queues an entry and gives its events to their audience. Never waits.
    pub(crate) fn submit(&self, entry: Entry) -> Receipt {
        let (done, receipt) = oneshot::channel();
        let mut queue = lock(&self.0.queue);
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
        if self.0.trace.is_on() {
            // Before the mailboxes have them: a step on an event is noted after the event.
            let (machine, request) = (entry.mark.as_ref().map(|mark| &mark.key), entry.request.or_else(trace::request));
            for logged in &events {
                let (event, machine) = (logged.event.clone(), machine.cloned());
                self.0.trace.note(|at| Note::Queued { event, machine, request, at });
            }
        }
        let given: Vec<_> = events.iter().map(|logged| logged.event.clone()).collect();
        queue.waiting.push_back(Queued { mark: entry.mark, events, records: entry.records, done: Some(done) });
        queue.queued += 1;
        // Still under the lock: mailboxes see events in the order of their numbers.
        for event in given {
            for audience in event.body.audience() {
                if let Some(name) = Name::of(*audience, event.device) {
                    self.0.addresses.deliver(name, &event);
                }
            }
        }
        drop(queue);
        self.0.work.notify_one();
        receipt
    }

    /// Tells the machines of the office how far the log is: those that nothing was for stand there too, and need not read all of
    /// it after a restart. Under the lock: what has a lower number is in their mailboxes before.
    pub(crate) fn tell_reach(&self) {
        let queue = lock(&self.0.queue);
        if !queue.closed {
            for name in Name::OFFICE {
                self.0.addresses.reached(name, queue.next_seq - 1);
            }
        }
    }

    /// Waits until the database has everything queued so far, also what was spilled.
    pub(crate) async fn flush(&self) {
        let queued = {
            let queue = lock(&self.0.queue);
            if queue.closed {
                return;
            }
            queue.queued
        };
        // The sender lives as long as this journal.
        let _ = self.0.stored.subscribe().wait_for(|stored| *stored >= queued).await;
    }

    /// Entries queued since the start.
    pub(crate) fn queued(&self) -> u64 {
        lock(&self.0.queue).queued
    }

    /// Entries that wait in memory.
    pub(crate) fn depth(&self) -> usize {
        lock(&self.0.queue).waiting.len()
    }

    /// Takes nothing more; what is queued is still written.
    pub(crate) fn close(&self) {
        lock(&self.0.queue).closed = true;
        self.0.work.notify_one();
    }

    /// Takes nothing more, forgets what is queued and writes no further.
    pub(crate) fn cut(&self) {
        {
            let mut queue = lock(&self.0.queue);
            queue.closed = true;
            queue.waiting.clear();
        }
        self.0.cut.notify_one();
        self.let_go();
    }

    /// Nobody waits for a journal that writes no more.
    pub(super) fn let_go(&self) {
        self.0.stored.send_replace(u64::MAX);
    }

    /// The next group, and whether nothing comes after what is queued.
    pub(super) fn take_group(&self) -> (Vec<Queued>, bool) {
        let mut queue = lock(&self.0.queue);
        let mut weight = 0;
        let light = |queued: &&Queued| {
            weight += 1 + queued.events.len() + queued.records.len();
            weight <= WEIGHT
        };
        // The first goes alone when it is too heavy for company.
        let take = queue.waiting.iter().take(GROUP).take_while(light).count().max(1).min(queue.waiting.len());
        (queue.waiting.drain(..take).collect(), queue.closed)
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.0.queue).closed
    }
}
