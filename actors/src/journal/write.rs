//! The writer: groups into the database, or into the spill while it is away, and then out to those who wait.

use super::refused::Kept;
use super::sorted::Sorted;
use super::{Journal, JournalError, Mark, Queued, RECENT_COMMANDS, Spill, State, lock};
use crate::access::AccessView;
use crate::address::Name;
use crate::alarm::AlarmView;
use crate::bus::Change;
use crate::command::CommandView;
use crate::copy::Lent;
use crate::event;
use crate::event::EventView;
use crate::event::store::{Append, Line};
use crate::video::Bookmark;
use gatehouse_core::effect::Record;
use gatehouse_core::event::Event;
use gatehouse_core::id::EventId;
use gatehouse_core::trace::{Note, Safe};
use sqlx::Connection;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{error, warn};

/// A commit that takes longer is one whose answer is lost: devices wait 10 s for theirs.
pub(super) const COMMIT_WITHIN: Duration = Duration::from_secs(5);
/// A failure that comes faster is tried once more at once: a connection that had died, a deadlock.
const AT_ONCE: Duration = Duration::from_millis(500);
/// Between two tries.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two tries.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The writer's connections: one writes, one drains the spill.
const CONNECTIONS: u32 = 2;
/// Groups that are safe and wait to be told: beyond it the writer waits.
const TOLD: usize = 2;

/// What became of a group.
pub(super) enum Outcome {
    Written,
    Refused(sqlx::Error),
    Away(sqlx::Error),
}

impl Journal {
    /// Writes until it is closed and empty, on a thread of its own: in a storm no queue of tasks stands between the database's
    /// answers and the next group. It ends too when it is cut, or the runtime of what is given back.
    pub(crate) fn start(self) -> Result<JoinHandle<()>, JournalError> {
        let tellers = Handle::current();
        let (alive, gone) = oneshot::channel::<()>();
        let (ended, end) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build().map_err(JournalError::Thread)?;
        let work = move || {
            let writing = async {
                tokio::select! {
                    () = self.run(tellers) => {}
                    () = self.0.cut.notified() => {}
                    _ = gone => {}
                }
                if let Some(own) = self.0.own_pool.get() {
                    own.close().await;
                }
            };
            let done = catch_unwind(AssertUnwindSafe(|| runtime.block_on(writing)));
            drop(runtime);
            let _ = ended.send(done);
        };
        std::thread::Builder::new().name("journal".into()).spawn(work).map_err(JournalError::Thread)?;
        Ok(tokio::spawn(async move {
            let _alive = alive;
            if let Ok(Err(panic)) = end.await {
                std::panic::resume_unwind(panic);
            }
        }))
    }

    /// What is safe is told apart from the writing: while a group is told, the database has the next.
    async fn run(&self, tellers: Handle) {
        // Connections belong to the thread that opened them.
        let pool = &self.0.pool;
        let own = pool.options().clone().min_connections(0).max_connections(CONNECTIONS);
        let _ = self.0.own_pool.set(own.connect_lazy_with((*pool.connect_options()).clone()));
        let (say, told) = mpsc::channel(TOLD);
        let telling = tellers.spawn(self.clone().tell_all(told));
        tokio::select! {
            () = self.write_all(say) => {}
            () = self.drain_all() => {}
        }
        if let Err(failed) = telling.await
            && let Ok(panic) = failed.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
        self.let_go();
    }

    async fn write_all(&self, say: mpsc::Sender<Vec<Queued>>) {
        loop {
            let (group, closed) = self.take_group();
            if !group.is_empty() {
                let safe = self.write(group).await;
                if say.send(safe).await.is_err() {
                    return;
                }
            } else if closed {
                return;
            } else {
                self.0.work.notified().await;
            }
        }
    }

    async fn tell_all(self, mut told: mpsc::Receiver<Vec<Queued>>) {
        while let Some(group) = told.recv().await {
            self.tell(group);
        }
    }

    /// Makes a group safe: in the database, or in the spill while that is away; again and again while neither takes it. A group
    /// that the database refuses is written one by one. Gives back what is safe.
    async fn write(&self, mut group: Vec<Queued>) -> Vec<Queued> {
        if group.iter().all(Queued::is_empty) {
            return group;
        }
        let (mut doubtful, mut pause) = (false, PAUSE);
        loop {
            if !self.spills() {
                match self.commit(&group, &mut doubtful).await {
                    Outcome::Written => {
                        self.is_back();
                        self.noted_safe(&group, Safe::Database);
                        return group;
                    }
                    Outcome::Refused(error) => return self.refuse(group, &error).await,
                    Outcome::Away(error) => self.is_gone(&error),
                }
            }
            let kept;
            (group, kept) = self.keep(group, doubtful).await;
            if kept {
                self.noted_safe(&group, Safe::Spill);
                return group;
            }
            if self.is_closed() {
                error!(
                    entries = group.len(),
                    "Stopping while nothing can be stored: unacknowledged entries are dropped"
                );
                return Vec::new();
            }
            self.become_(State::Waiting);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.0.drained.notified() => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Commits a group; a failure that came fast is tried once more.
    ///
    /// `doubtful`: whether the database may have it from an earlier try.
    async fn commit(&self, group: &[Queued], doubtful: &mut bool) -> Outcome {
        let began = Instant::now();
        loop {
            let attempt = async {
                if *doubtful && self.knows(group).await? {
                    return Ok(());
                }
                self.attempt(group).await
            };
            let tried = tokio::time::timeout(COMMIT_WITHIN, attempt).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
            let error = match tried {
                Ok(()) => return Outcome::Written,
                Err(error) if is_refusal(&error) => return self.refusal(group, error).await,
                Err(error) => error,
            };
            let first = !std::mem::replace(doubtful, true);
            if !first || began.elapsed() > AT_ONCE {
                return Outcome::Away(error);
            }
        }
    }

    /// A refusal that only says that the group is there already, by a commit whose answer came too late, is none.
    pub(super) async fn refusal(&self, group: &[Queued], error: sqlx::Error) -> Outcome {
        let twice = matches!(&error, sqlx::Error::Database(error) if error.is_unique_violation());
        match if twice { self.knows(group).await } else { Ok(false) } {
            Ok(true) => Outcome::Written,
            Ok(false) => Outcome::Refused(error),
            Err(error) => Outcome::Away(error),
        }
    }

    /// Whether the database has a group's events, and so the group: it was one transaction. A group without events may be
    /// written again: its rows have their own ids.
    pub(super) async fn knows(&self, group: &[Queued]) -> Result<bool, sqlx::Error> {
        let events: Vec<_> = group.iter().flat_map(|queued| &queued.events).map(|logged| &*logged.event).collect();
        Ok(!events.is_empty() && event::store::knows(self.pool(), &events).await?)
    }

    /// Writes the entries of a refused group each on its own; one that is refused by itself is kept aside.
    async fn refuse(&self, mut group: Vec<Queued>, error: &sqlx::Error) -> Vec<Queued> {
        if group.len() > 1 {
            let mut safe = Vec::with_capacity(group.len());
            for queued in group {
                safe.append(&mut Box::pin(self.write(vec![queued])).await);
            }
            return safe;
        }
        self.is_back();
        let Some(queued) = group.pop() else { return group };
        let key = self.refusal_key(&queued);
        self.keep_aside(key, &error.to_string(), &Kept::Entry(&queued));
        self.noted_safe(std::slice::from_ref(&queued), Safe::Refused);
        self.0.stored.send_modify(|stored| *stored = stored.saturating_add(1));
        if let Some(done) = queued.done {
            let _ = done.send(false);
        }
        group
    }

    /// Notes down for traces where a group is.
    fn noted_safe(&self, group: &[Queued], safe: Safe) {
        self.0.trace.note(|at| {
            let events = group.iter().flat_map(|queued| &queued.events).map(|logged| logged.event.id);
            Note::Written { events: events.collect(), entries: group.len(), safe, at }
        });
    }

    /// By what a refusal is known. A machine that is restarted comes to the same place and is refused the same again: that is
    /// one refusal.
    pub(super) fn refusal_key(&self, queued: &Queued) -> String {
        let first = queued.events.first();
        match (&queued.mark, first) {
            (Some(mark), first) => {
                let code = first.map(|logged| logged.event.body.code()).unwrap_or_default();
                format!("{}:{}:{code}", mark.key, mark.seq)
            }
            (None, Some(logged)) => logged.event.id.to_string(),
            (None, None) => self.0.clock.uuid().to_string(),
        }
    }

    /// Keeps aside what the database will never take, and counts it.
    pub(super) fn keep_aside(&self, key: String, why: &str, kept: &Kept<'_>) {
        error!(key, why, "The database refuses an entry; it is kept aside");
        let count = match &self.0.kept_aside {
            Some(aside) => {
                let mut aside = lock(aside);
                if let Err(failed) = aside.keep(key, why, kept, self.0.clock.now()) {
                    error!(error = &failed as &dyn std::error::Error, "A refused entry could not be kept aside");
                }
                aside.count() + self.0.spill.as_ref().map_or(0, |spill| lock(spill).damaged())
            }
            None => *self.0.refused.borrow() + 1,
        };
        self.0.refused.send_replace(count);
    }

    /// Whether entries wait in the spill, so that others must queue behind them.
    pub(super) fn spills(&self) -> bool {
        self.0.spill.as_ref().is_some_and(|spill| lock(spill).has_files())
    }

    /// Puts a group into the spill; gives it back with whether it is there: not when there is no room or no spill.
    async fn keep(&self, group: Vec<Queued>, doubtful: bool) -> (Vec<Queued>, bool) {
        let Some(spill) = self.0.spill.clone() else { return (group, false) };
        let _gate = self.0.gate.lock().await;
        let (now, fresh) = (self.0.clock.now(), self.0.clock.uuid());
        let append = move |spill: &mut Spill| {
            let kept = spill.append(now, doubtful, &group, fresh);
            (group, kept)
        };
        let Some((group, kept)) = on_disk(&spill, append).await else { return (Vec::new(), false) };
        match kept {
            Ok(true) => {
                if self.state() != State::Draining {
                    self.become_(State::Spilling);
                }
                self.0.drain.notify_one();
                (group, true)
            }
            Ok(false) => {
                if self.state() != State::Waiting {
                    error!("The spill is full: acknowledgements are withheld until the database is back");
                }
                (group, false)
            }
            Err(failed) => {
                if self.state() != State::Waiting {
                    error!(
                        error = &failed as &dyn std::error::Error,
                        "The spill cannot be written: acknowledgements are withheld"
                    );
                }
                (group, false)
            }
        }
    }

    fn is_gone(&self, error: &sqlx::Error) {
        if self.0.away.send_if_modified(|away| !std::mem::replace(away, true)) {
            error!(error = error as &dyn std::error::Error, "The database is away");
        }
    }

    pub(super) fn is_back(&self) {
        self.become_(State::Running);
        // Only a change is told: each telling is an alarm's end, which is a commit again.
        if self.0.away.send_if_modified(|away| std::mem::replace(away, false)) {
            warn!("The database is back");
        }
    }

    pub(super) async fn attempt(&self, group: &[Queued]) -> Result<(), sqlx::Error> {
        match self.transact(group, Append::Quick).await {
            Err(error) if event::store::said_before(&error) => self.transact(group, Append::Once).await,
            done => done,
        }
    }

    async fn transact(&self, group: &[Queued], how: Append) -> Result<(), sqlx::Error> {
        if group.iter().all(|queued| queued.mark.is_none() && queued.events.is_empty() && queued.records.is_empty()) {
            return Ok(());
        }
        let began = Instant::now();
        let mut lent = Lent::from(self.pool()).await?;
        let mut tx = lent.conn()?.begin().await?;
        let events = kept(group);
        if !events.is_empty() {
            event::store::append(&mut tx, &events, how).await?;
        }
        Sorted::of(group.iter().flat_map(|queued| &queued.records)).write(&mut tx).await?;
        let marks: Vec<&Mark> = group.iter().filter_map(|queued| queued.mark.as_ref()).collect();
        if !marks.is_empty() {
            event::store::mark(&mut tx, &marks).await?;
        }
        tx.commit().await?;
        lent.give_back();
        self.0.meter.committed(group.len(), began.elapsed());
        Ok(())
    }

    /// Tells the outside what is safe.
    fn tell(&self, group: Vec<Queued>) {
        let entries = group.len() as u64;
        let told: Vec<_> = match self.0.trace.is_on() {
            true => group.iter().filter(|queued| queued.is_told()).flat_map(|queued| &queued.events).collect(),
            false => Vec::new(),
        };
        let told: Vec<_> = told.into_iter().map(|logged| logged.event.id).collect();
        for queued in group {
            self.publish(queued);
        }
        if !told.is_empty() {
            self.0.trace.note(|at| Note::Told { events: told, at });
        }
        // Looked at and counted under one lock: the end of a drain takes the files away first and then what came late.
        let spill = self.0.spill.as_ref().map(|spill| lock(spill));
        if spill.as_ref().is_some_and(|spill| spill.has_files()) {
            self.0.late.fetch_add(entries, Ordering::AcqRel);
        } else {
            self.0.stored.send_modify(|stored| *stored = stored.saturating_add(entries));
        }
    }

    fn publish(&self, queued: Queued) {
        let bus = &self.0.bus;
        for record in queued.records {
            match record {
                Record::Access(row) => bus.publish(Change::Access(Arc::new(AccessView::from(row)))),
                Record::Command(row) => {
                    self.0.meter.command(row.state.word());
                    let view = CommandView::from(&row);
                    let mut recent = lock(&self.0.commands);
                    recent.push_back(view.clone());
                    if recent.len() > RECENT_COMMANDS {
                        recent.pop_front();
                    }
                    bus.publish(Change::Command(Arc::new(view)));
                }
                Record::Passage(row) => bus.publish(Change::Passage(Arc::new(*row))),
                Record::Alarm(row) => {
                    let view = Arc::new(AlarmView::from(&*row));
                    self.0.tally.put(&view, row.closed_at.is_none());
                    bus.publish(Change::Alarm(view));
                }
                Record::Note(_) | Record::Expired(..) | Record::Outbox(_) => {}
                Record::Clip(clip) => self.0.video.bookmark(Bookmark::from(&clip)),
                Record::WorkOrder(row) => bus.publish(Change::WorkOrder(Arc::new(row))),
            }
        }
        for logged in queued.events {
            if logged.event.body.shown() {
                bus.publish(Change::Event(Arc::new(EventView::from(&*logged.event))));
            }
        }
        if let Some(done) = queued.done {
            let _ = done.send(true);
        }
    }
}

/// The events of a group that the log keeps: not a wish whose machine has taken it in the same transaction. Nobody would read
/// it again, and what followed from it is in the group too and gets its cause. Should there be nothing else, all are kept: by
/// its events a group is known.
fn kept(group: &[Queued]) -> Vec<Line<'_>> {
    let mut stands: HashMap<&str, u64> = HashMap::new();
    for mark in group.iter().filter_map(|queued| queued.mark.as_ref()) {
        let seq = stands.entry(&mark.key).or_default();
        *seq = mark.seq.max(*seq);
    }
    let taken = |event: &Event| {
        event.body.is_wish()
            && event.body.audience().iter().all(|audience| {
                let name = Name::of(*audience, event.device).map(|name| name.to_string());
                name.is_none_or(|name| stands.get(&*name).is_some_and(|seq| *seq >= event.seq))
            })
    };
    let mut left_out: HashMap<EventId, Option<EventId>> = HashMap::new();
    let mut lines = Vec::new();
    for logged in group.iter().flat_map(|queued| &queued.events) {
        let cause = logged.event.cause;
        let cause = cause.and_then(|cause| left_out.get(&cause).copied().unwrap_or(Some(cause)));
        if taken(&logged.event) {
            left_out.insert(logged.event.id, cause);
        } else {
            lines.push(Line { logged, cause });
        }
    }
    if lines.is_empty() {
        let all = group.iter().flat_map(|queued| &queued.events);
        lines.extend(all.map(|logged| Line { logged, cause: logged.event.cause }));
    }
    lines
}

/// Works on the spill where blocking is allowed; `None` when that thread failed.
pub(super) async fn on_disk<T: Send + 'static>(
    spill: &Arc<Mutex<Spill>>,
    work: impl FnOnce(&mut Spill) -> T + Send + 'static,
) -> Option<T> {
    let spill = spill.clone();
    tokio::task::spawn_blocking(move || work(&mut lock(&spill))).await.ok()
}

/// Whether the database understood and said no, so that trying again is useless.
pub(crate) fn is_refusal(error: &sqlx::Error) -> bool {
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

#[cfg(test)]
mod tests {
    use super::super::Logged;
    use super::*;
    use gatehouse_core::alarm::AlarmKind;
    use gatehouse_core::event::{Body, Params};
    use gatehouse_core::id::DeviceId;
    use jiff::Timestamp;
    use uuid::Uuid;

    fn id(n: u128) -> EventId {
        EventId(Uuid::from_u128(n))
    }

    fn wish() -> Body {
        Body::AskRaise { kind: AlarmKind::Smoke, zone: String::new(), params: Params::new(), test: false }
    }

    fn fact() -> Body {
        Body::Happened { what: "help_call".into() }
    }

    /// An entry with one event, which has its number as id, by a machine that stands at `stands`.
    fn entry(machine: &str, stands: u64, seq: u64, cause: Option<u128>, body: Body) -> Queued {
        let event = Event {
            id: id(seq.into()),
            seq,
            received_at: Timestamp::UNIX_EPOCH,
            observed_at: None,
            device: Some(DeviceId::from_key("smoke-1")),
            place: None,
            cause: cause.map(id),
            by: machine.to_owned(),
            body,
        };
        Queued {
            mark: Some(Mark { key: machine.to_owned(), seq: stands, state: String::new() }),
            events: vec![Logged { event: Arc::new(event), source_key: None }],
            ..Queued::default()
        }
    }

    fn lines(group: &[Queued]) -> Vec<(u64, Option<EventId>)> {
        kept(group).iter().map(|line| (line.logged.event.seq, line.cause)).collect()
    }

    #[test]
    fn a_wish_that_its_machine_has_taken_is_left_out_and_what_followed_has_its_cause() {
        let group = [
            entry("rule", 5, 6, Some(5), wish()),
            entry("alarm", 6, 7, Some(6), fact()),
            entry("rule", 7, 8, Some(7), fact()),
        ];
        assert_eq!(lines(&group), [(7, Some(id(5))), (8, Some(id(7)))]);
    }

    #[test]
    fn a_wish_of_a_wish_leads_back_to_what_is_kept() {
        let group = [
            entry("rule", 5, 6, Some(5), wish()),
            entry("rule", 6, 7, Some(6), wish()),
            entry("alarm", 7, 8, Some(7), fact()),
        ];
        assert_eq!(lines(&group), [(8, Some(id(5)))]);
    }

    #[test]
    fn a_wish_that_its_machine_has_not_taken_is_kept() {
        let group = [entry("rule", 5, 6, Some(5), wish()), entry("alarm", 5, 7, Some(4), fact())];
        assert_eq!(lines(&group), [(6, Some(id(5))), (7, Some(id(4)))]);
    }

    #[test]
    fn a_group_of_nothing_but_taken_wishes_is_kept_whole() {
        let mut group = [entry("rule", 5, 6, Some(5), wish()), entry("alarm", 6, 7, None, fact())];
        group[1].events.clear();
        assert_eq!(lines(&group), [(6, Some(id(5)))]);
    }
}
