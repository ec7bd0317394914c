//! The shell around a machine: one actor for every kind.
//!
//! It takes a message, reads the clock, lets `core` decide and hands the effects on. Nothing in `handle` waits: a step is
//! whole or did not happen, also when the actor is killed. While more events wait in the mailbox, steps share an entry of the
//! journal: its state is written down once for all of them.

use crate::access;
use crate::address::{Addresses, Entered, Name};
use crate::clock::Clock;
use crate::command::Dispatch;
use crate::journal::{Entry, Journal, Mark, NewEvent, Receipt};
use crate::prepared::{Prepared, Stored};
use crate::trace::{self, Trace};
use gatehouse_core::device::link::Downlink;
use gatehouse_core::effect::{Effect, Record};
use gatehouse_core::event::Event;
use gatehouse_core::machine::{Context, Machine};
use gatehouse_core::site::Compound;
use gatehouse_core::trace::Note;
use jiff::{SignedDuration, Timestamp};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sqlx::PgPool;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tracing::debug;
use uuid::Uuid;

/// Steps of one entry: while more events wait in the mailbox, a machine goes on before its state is written down.
const STEPS: u32 = 32;

/// Events in a row that a machine may pass over without a mark.
const UNMARKED: u32 = 256;

/// A machine that stands so many events behind the log, though none was for it, writes down that it has come along.
const FAR: u64 = 4_096;

/// What a shell is told.
pub(crate) enum Message<C, R> {
    /// An event of the log.
    Event(Arc<Event>),
    /// A question or order; the answer comes with the receipt of its commit.
    Call { call: C, by: String, answer: Option<oneshot::Sender<(R, Receipt)>>, request: Option<Uuid> },
    /// Measures wait in the slot.
    Poke,
    /// Something is due.
    Wake,
    /// Panic now: drills of the supervision.
    Fail,
    /// So far is the log; everything of it that is for this machine was said before.
    Reached(u64),
    /// Answer once everything said before is done: whether nothing is due. For drills.
    Rest(oneshot::Sender<bool>),
}

impl<C, R> Message<C, R> {
    /// A question or order, by the request that this task answers.
    pub(crate) fn call(call: C, by: impl Into<String>, answer: Option<oneshot::Sender<(R, Receipt)>>) -> Self {
        Message::Call { call, by: by.into(), answer, request: trace::request() }
    }
}

/// What all shells share.
pub(crate) struct Shared {
    pub pool: PgPool,
    pub clock: Clock,
    pub journal: Journal,
    pub addresses: Arc<Addresses>,
    pub compound: RwLock<Arc<Compound>>,
    pub access: access::Current,
    pub dispatch: Dispatch,
    pub telemetry: crate::telemetry::History,
    pub prepared: Prepared,
}

impl Shared {
    pub(crate) fn compound(&self) -> Arc<Compound> {
        self.compound.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

type Loading<M> = Pin<Box<dyn Future<Output = Result<M, ActorProcessingErr>> + Send>>;
/// Restores a machine from its stored state.
pub(crate) type Load<M> = Arc<dyn Fn(Option<serde_json::Value>) -> Loading<M> + Send + Sync>;
type Drain<C> = Arc<dyn Fn() -> Option<C> + Send + Sync>;
type Publish<V> = Arc<dyn Fn(V) + Send + Sync>;
type Enter<C, R> = Arc<dyn Fn(ActorRef<Message<C, R>>) + Send + Sync>;

/// How a shell is made.
pub(crate) struct Shell<M: Machine> {
    pub name: Name,
    /// Who its conclusions are by.
    pub by: String,
    pub shared: Arc<Shared>,
    pub load: Load<M>,
    pub drain: Option<Drain<M::Call>>,
    pub publish: Option<Publish<M::View>>,
    pub enter: Option<Enter<M::Call, M::Reply>>,
}

impl<M: Machine> Clone for Shell<M> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            by: self.by.clone(),
            shared: self.shared.clone(),
            load: self.load.clone(),
            drain: self.drain.clone(),
            publish: self.publish.clone(),
            enter: self.enter.clone(),
        }
    }
}

/// A running shell.
pub(crate) struct Running<M: Machine> {
    machine: M,
    seq: u64,
    key: String,
    depth: Arc<AtomicUsize>,
    timer: Option<(Timestamp, AbortHandle)>,
    /// Events in a row that changed nothing and left no mark.
    unmarked: u32,
    open: Steps,
}

/// What followed from steps whose entry is not queued yet.
#[derive(Default)]
struct Steps {
    count: u32,
    events: Vec<NewEvent>,
    records: Vec<Record>,
    downlinks: Vec<Downlink>,
    request: Option<Uuid>,
}

impl<M: Machine> Drop for Running<M> {
    fn drop(&mut self) {
        if let Some((_, timer)) = self.timer.take() {
            timer.abort();
        }
    }
}

/// From what effects come.
struct Origin<'a> {
    cause: Option<&'a Event>,
    now: Timestamp,
    by: &'a str,
    request: Option<Uuid>,
}

impl<M: Machine> Shell<M> {
    fn with<T>(&self, now: Timestamp, step: impl FnOnce(&Context<'_>) -> T) -> T {
        let (compound, access) = (self.shared.compound(), self.shared.access.get());
        let wall = self.shared.clock.now();
        step(&Context { now, wall, compound: &compound, access: &access })
    }

    fn trace(&self) -> &Trace {
        self.shared.journal.trace()
    }

    /// Adds what follows from a step to the open entry.
    fn collect(&self, running: &mut Running<M>, effects: Vec<Effect>, origin: &Origin<'_>) {
        let compound = self.shared.compound();
        let open = &mut running.open;
        open.count += 1;
        open.request = origin.request;
        for effect in effects {
            match effect {
                Effect::Emit { device, body } => open.events.push(NewEvent {
                    received_at: origin.now,
                    observed_at: origin.cause.and_then(|cause| cause.observed_at),
                    device,
                    place: device.and_then(|id| compound.device(id)).map(|spec| spec.place),
                    cause: origin.cause.map(|cause| cause.id),
                    by: origin.by.to_owned(),
                    source_key: None,
                    body,
                }),
                Effect::Keep(record) => open.records.push(record),
                Effect::Send(downlink) => {
                    debug!(device.id = %downlink.device, verb = downlink.verb.word(), "Downlink");
                    let (command, device, verb) = (downlink.command, downlink.device, downlink.verb.word());
                    let (cause, request) = (origin.cause.map(|cause| cause.id), origin.request);
                    let machine = || running.key.clone();
                    self.trace().note(|at| Note::Ordered {
                        command,
                        device,
                        verb,
                        cause,
                        machine: machine(),
                        request,
                        at,
                    });
                    open.downlinks.push(downlink);
                }
            }
        }
    }

    /// Queues the open entry with the machine's new position, and sends what is to be sent.
    fn close(&self, running: &mut Running<M>) -> Receipt {
        let Steps { events, records, downlinks, request, .. } = std::mem::take(&mut running.open);
        let mark = Mark { key: running.key.clone(), seq: running.seq, state: running.machine.snapshot() };
        let receipt = self.shared.journal.submit(Entry { mark: Some(mark), events, records, request });
        let receipt = if downlinks.is_empty() { receipt } else { self.shared.dispatch.take(downlinks, receipt) };
        self.show(running);
        receipt
    }

    /// Carries out a step on its own.
    fn carry_out(&self, running: &mut Running<M>, effects: Vec<Effect>, origin: &Origin<'_>) -> Receipt {
        self.collect(running, effects, origin);
        self.close(running)
    }

    /// Closes an entry that events left open.
    fn settle(&self, running: &mut Running<M>) {
        if running.open.count > 0 {
            let _ = self.close(running);
        }
    }

    fn show(&self, running: &mut Running<M>) {
        if let (Some(publish), Some(view)) = (&self.publish, running.machine.view()) {
            publish(view);
        }
    }

    /// Winds the timer for the next moment that something is due.
    fn wind(&self, me: &ActorRef<Message<M::Call, M::Reply>>, running: &mut Running<M>, earliest: Option<Timestamp>) {
        let Some(due) = running.machine.wake() else { return };
        let due = earliest.map_or(due, |earliest| due.max(earliest));
        match &running.timer {
            Some((at, _)) if *at <= due => return,
            Some((_, timer)) => timer.abort(),
            None => {}
        }
        let (me, clock) = (me.clone(), self.shared.clock.clone());
        let timer = tokio::spawn(async move {
            clock.sleep_until(due).await;
            let _ = me.cast(Message::Wake);
        });
        running.timer = Some((due, timer.abort_handle()));
    }

    fn take(&self, running: &mut Running<M>, event: &Event) {
        if event.seq <= running.seq {
            return;
        }
        let now = event.received_at;
        let began = self.trace().now();
        let effects = self.with(now, |cx| running.machine.step(event, cx));
        if let Some(began) = began {
            let (event, machine, effects) = (event.id, running.key.clone(), effects.len());
            self.trace().note(|ended| Note::Stepped { event, machine, began, ended, effects });
        }
        running.seq = event.seq;
        // What changed nothing may be read again after a restart; but not more of it than is read in a moment.
        let marked = running.open.count > 0 || running.unmarked >= UNMARKED;
        if effects.is_empty() && !marked && running.machine.moved() == Some(false) {
            running.unmarked += 1;
            self.show(running);
            return;
        }
        running.unmarked = 0;
        self.collect(running, effects, &Origin { cause: Some(event), now, by: &self.by, request: None });
        // A command does not wait for other steps.
        if running.open.count >= STEPS || !running.open.downlinks.is_empty() {
            let _ = self.close(running);
        }
    }
}

impl<M: Machine> Actor for Shell<M> {
    type Msg = Message<M::Call, M::Reply>;
    type State = Running<M>;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<Self::Msg>, (): ()) -> Result<Running<M>, ActorProcessingErr> {
        // Entered first: what is queued from here on is either in the log that is read below or in the mailbox, or in both.
        let Entered { depth, unheard } = self.shared.addresses.enter(self.name, me.clone());
        if let Some(enter) = &self.enter {
            enter(me.clone());
        }
        let Stored { seq, state, missed } = match self.shared.prepared.stored(self.name) {
            // Read for all at once at the start; nothing was said to this one since.
            Some(stored) if !unheard => stored,
            Some(_) | None => {
                self.shared.journal.flush().await;
                Stored::read(&self.shared.pool, self.name).await?
            }
        };
        let fresh = state.is_none();
        let machine = (self.load)(state).await?;
        let mut running = Running {
            machine,
            seq,
            key: self.name.to_string(),
            depth,
            timer: None,
            unmarked: 0,
            open: Steps::default(),
        };
        if !missed.is_empty() {
            debug!(actor = %self.name, events = missed.len(), "Replaying");
        }
        for event in &missed {
            self.take(&mut running, event);
        }
        self.settle(&mut running);
        let now = self.shared.clock.now();
        let effects = self.with(now, |cx| running.machine.restored(cx));
        if fresh || !effects.is_empty() || running.machine.moved() == Some(true) {
            let _ = self.carry_out(&mut running, effects, &Origin { cause: None, now, by: &self.by, request: None });
        }
        self.show(&mut running);
        self.wind(&me, &mut running, None);
        Ok(running)
    }

    async fn handle(
        &self,
        me: ActorRef<Self::Msg>,
        message: Self::Msg,
        running: &mut Running<M>,
    ) -> Result<(), ActorProcessingErr> {
        let mut earliest = None;
        if !matches!(message, Message::Event(_)) {
            self.settle(running);
        }
        match message {
            Message::Event(event) => {
                self.take(running, &event);
                // Is another event in the mailbox already, its step joins this one's entry.
                if running.depth.load(Ordering::Acquire) <= 1 {
                    self.settle(running);
                }
                // Last, so that an empty mailbox means that what followed is queued too.
                running.depth.fetch_sub(1, Ordering::Release);
            }
            Message::Call { call, by, answer, request } => {
                let now = self.shared.clock.now();
                let (reply, effects) = self.with(now, |cx| running.machine.call(call, cx));
                let receipt = self.carry_out(running, effects, &Origin { cause: None, now, by: &by, request });
                if let Some(answer) = answer {
                    let _ = answer.send((reply, receipt));
                }
            }
            Message::Poke => {
                if let Some(call) = self.drain.as_ref().and_then(|drain| drain()) {
                    let now = self.shared.clock.now();
                    let (_, effects) = self.with(now, |cx| running.machine.call(call, cx));
                    // Measures alone are not worth a row of the machine's state.
                    if effects.is_empty() && running.machine.moved() != Some(true) {
                        self.show(running);
                    } else {
                        let _ =
                            self.carry_out(running, effects, &Origin { cause: None, now, by: &self.by, request: None });
                    }
                }
            }
            Message::Wake => {
                running.timer = None;
                let now = self.shared.clock.now();
                let effects = self.with(now, |cx| running.machine.tick(cx));
                if effects.is_empty() && running.machine.moved() != Some(true) {
                    self.show(running);
                } else {
                    let _ = self.carry_out(running, effects, &Origin { cause: None, now, by: &self.by, request: None });
                }
                // A machine that wants to be woken in the past gets a breath in between.
                earliest = now.checked_add(SignedDuration::from_millis(1)).ok();
            }
            Message::Fail => panic!("told to fail"),
            Message::Reached(seq) => {
                if seq >= running.seq + FAR {
                    running.seq = seq;
                    let _ = self.close(running);
                }
            }
            Message::Rest(answer) => {
                let now = self.shared.clock.now();
                let _ = answer.send(running.timer.as_ref().is_none_or(|(due, _)| *due > now));
            }
        }
        self.wind(&me, running, earliest);
        Ok(())
    }
}
