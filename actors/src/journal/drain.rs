//! Draining: what was spilled goes into the database in its order, each entry once, and then out of the way.
//!
//! How far it got is a row of `machine` with the key `spill`: the spill's id, a frame and the entries of that frame which are
//! in. It is written in the transaction of what it tells of, so a crash in the middle doubles nothing and skips nothing.

use super::queue::GROUP;
use super::refused::Kept;
use super::spill::Frame;
use super::write::{Outcome, PAUSE, PAUSE_MAX, is_refusal, on_disk};
use super::{Journal, JournalError, Mark, Queued, State, lock};
use crate::error::StoreError;
use crate::event;
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tracing::{error, info, warn};
use uuid::Uuid;

/// The key of the row.
const KEY: &str = "spill";
/// A transaction of the drain may take so long.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// A start tries so often before it gives up.
const TRIES_AT_START: u32 = 20;

/// How far a spill is drained: everything before `frame`, and so many entries of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    spill: Uuid,
    frame: u64,
    entries: usize,
    /// The newest event that is in.
    #[serde(skip)]
    seq: u64,
}

impl Position {
    /// The row that tells of it, to be written with what it tells of.
    fn mark(self) -> Queued {
        let state = serde_json::to_string(&self).unwrap_or_else(|_| "null".to_owned());
        Queued { mark: Some(Mark { key: KEY.into(), seq: self.seq, state }), ..Queued::default() }
    }
}

/// An entry with its place in the spill.
struct Placed {
    frame: u64,
    nth: usize,
    entry: Result<Queued, String>,
}

impl Journal {
    /// Brings what an earlier run spilled into the database, before anyone reads where machines stand.
    pub(super) async fn recover(&self) -> Result<(), JournalError> {
        let Some(spill) = self.0.spill.clone().filter(|_| self.spills()) else { return Ok(()) };
        let (entries, dir) = {
            let spill = lock(&spill);
            (spill.entries(), spill.dir().to_owned())
        };
        warn!(entries, "An earlier run ended while the database was away: what it spilled is stored now");
        let (mut position, mut tries) = (None, 0);
        while self.spills() {
            match self.drain_some(&mut position).await {
                Ok(true) => {}
                Ok(false) => self.end_drain().await,
                Err(source) => {
                    position = None;
                    tries += 1;
                    if tries >= TRIES_AT_START {
                        return Err(JournalError::Drain { dir, source });
                    }
                    tokio::time::sleep(PAUSE * tries).await;
                }
            }
        }
        info!(entries, "What was spilled is stored");
        Ok(())
    }

    /// Drains whenever something is spilled. Never ends.
    pub(super) async fn drain_all(&self) {
        let (mut position, mut pause) = (None, PAUSE);
        loop {
            if !self.spills() {
                (position, pause) = (None, PAUSE);
                self.0.drain.notified().await;
                continue;
            }
            match self.drain_some(&mut position).await {
                Ok(true) => {
                    pause = PAUSE;
                    if self.state() == State::Spilling {
                        warn!("The database is back: what was spilled is stored now");
                        self.become_(State::Draining);
                    }
                    self.0.drained.notify_one();
                }
                Ok(false) => self.end_drain().await,
                Err(_) => {
                    position = None;
                    if self.state() == State::Draining {
                        self.become_(State::Spilling);
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Everything is in: the files go, and what comes next goes to the database again.
    async fn end_drain(&self) {
        let Some(spill) = &self.0.spill else { return };
        let _gate = self.0.gate.lock().await;
        let cleared = on_disk(spill, |spill| if spill.is_empty() { spill.clear().map(|()| true) } else { Ok(false) });
        match cleared.await {
            Some(Ok(true)) => {
                let late = self.0.late.swap(0, Ordering::AcqRel);
                self.is_back();
                self.0.stored.send_modify(|stored| *stored = stored.saturating_add(late));
                self.0.drained.notify_one();
            }
            // Something was appended meanwhile.
            Some(Ok(false)) | None => {}
            Some(Err(failed)) => {
                error!(error = &failed as &dyn std::error::Error, "The drained spill cannot be removed");
                tokio::time::sleep(PAUSE_MAX).await;
            }
        }
    }

    /// Brings the next frames into the database; false when nothing waits.
    async fn drain_some(&self, position: &mut Option<Position>) -> Result<bool, sqlx::Error> {
        let Some(spill) = &self.0.spill else { return Ok(false) };
        let at = match *position {
            Some(at) => at,
            None => self.position().await?,
        };
        let read = move |spill: &mut super::Spill| {
            spill.forget_until(at.frame);
            spill.read(GROUP)
        };
        let frames = on_disk(spill, read).await.ok_or(sqlx::Error::WorkerCrashed)??;
        let Some(last) = frames.last().map(|frame| frame.number) else {
            *position = Some(at);
            return Ok(false);
        };
        let placed = self.fresh(at, frames).await?;
        let newest = placed.iter().filter_map(|placed| placed.entry.as_ref().ok()).flat_map(|entry| &entry.events);
        let seq = newest.map(|logged| logged.event.seq).max().unwrap_or(0).max(at.seq);
        let next = Position { frame: last + 1, entries: 0, seq, ..at };
        if placed.iter().any(|placed| placed.entry.is_err()) {
            self.one_by_one(at, placed).await?;
        } else {
            let (places, mut group): (Vec<_>, Vec<_>) =
                placed.into_iter().filter_map(|placed| Some(((placed.frame, placed.nth), placed.entry.ok()?))).unzip();
            group.push(next.mark());
            match self.try_to_store(&group).await {
                Ok(()) => {}
                Err(error) if is_refusal(&error) => {
                    // An earlier try, whose answer came too late, may be what it does not fit to.
                    let now = self.position().await?;
                    if (now.frame, now.entries) != (at.frame, at.entries) {
                        *position = Some(now);
                        return Ok(true);
                    }
                    group.pop();
                    let placed = places.into_iter().zip(group);
                    let placed = placed.map(|((frame, nth), entry)| Placed { frame, nth, entry: Ok(entry) });
                    self.one_by_one(at, placed.collect()).await?;
                }
                Err(error) => return Err(error),
            }
        }
        *position = Some(next);
        on_disk(spill, move |spill| spill.forget_until(last + 1)).await.ok_or(sqlx::Error::WorkerCrashed)?;
        Ok(true)
    }

    /// The entries of frames that the database does not have.
    async fn fresh(&self, at: Position, frames: Vec<Frame>) -> Result<Vec<Placed>, sqlx::Error> {
        let mut placed = Vec::new();
        for Frame { number, doubtful, entries } in frames {
            let skip = if number == at.frame { at.entries } else { 0 };
            let entries = entries.into_iter().enumerate().skip(skip);
            let entries: Vec<_> = entries.map(|(nth, entry)| Placed { frame: number, nth, entry }).collect();
            if doubtful && skip == 0 {
                let events =
                    entries.iter().filter_map(|placed| placed.entry.as_ref().ok()).flat_map(|entry| &entry.events);
                let events: Vec<_> = events.map(|logged| &*logged.event).collect();
                if !events.is_empty() && event::store::knows(self.pool(), &events).await? {
                    continue;
                }
            }
            placed.extend(entries);
        }
        Ok(placed)
    }

    /// Stores entries each on its own; what the database refuses is kept aside.
    async fn one_by_one(&self, at: Position, placed: Vec<Placed>) -> Result<(), sqlx::Error> {
        let mut seq = at.seq;
        for Placed { frame, nth, entry } in placed {
            let done = |seq| Position { frame, entries: nth + 1, seq, ..at }.mark();
            let entry = match entry {
                Ok(entry) => entry,
                Err(text) => {
                    self.keep_aside(format!("{}:{frame}:{nth}", at.spill), "it does not read", &Kept::Text(&text));
                    self.try_to_store(&[done(seq)]).await?;
                    continue;
                }
            };
            let newest = entry.events.iter().map(|logged| logged.event.seq).max().unwrap_or(0).max(seq);
            let group = [entry, done(newest)];
            match self.try_to_store(&group).await {
                Ok(()) => seq = newest,
                Err(error) if is_refusal(&error) => match self.refusal(&group[..1], error).await {
                    Outcome::Written => self.try_to_store(&[done(newest)]).await?,
                    Outcome::Refused(error) => {
                        self.keep_aside(self.refusal_key(&group[0]), &error.to_string(), &Kept::Entry(&group[0]));
                        self.try_to_store(&[done(seq)]).await?;
                    }
                    Outcome::Away(error) => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn try_to_store(&self, group: &[Queued]) -> Result<(), sqlx::Error> {
        let tried = tokio::time::timeout(DRAIN_WITHIN, self.attempt(group)).await;
        tried.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// How far the spill is drained, as the database says.
    async fn position(&self) -> Result<Position, sqlx::Error> {
        let Some(spill) = &self.0.spill else { return Err(sqlx::Error::WorkerCrashed) };
        let stored = match event::store::machine(self.pool(), KEY).await {
            Ok(stored) => stored,
            Err(StoreError::Database { source, .. }) => return Err(source),
            Err(StoreError::Unreadable { .. }) => None,
        };
        let (id, front) = {
            let spill = lock(spill);
            (spill.id(), spill.front())
        };
        let seq = stored.as_ref().map_or(0, |(seq, _)| *seq);
        let known = stored.and_then(|(_, state)| serde_json::from_value::<Position>(state).ok());
        let known = known.filter(|known| known.spill == id).map(|known| Position { seq, ..known });
        Ok(known.unwrap_or(Position { spill: id, frame: front, entries: 0, seq }))
    }
}
