//! The consumer that writes notices: one per target, so that each begins, waits and goes on by itself.

use super::{Post, store};
use crate::consumer::{Consumer, Taking};
use crate::shell::Shared;
use gatehouse_core::event::Event;
use gatehouse_core::outbox::{Delivery, Origin, write};
use sqlx::PgConnection;
use std::sync::Arc;

/// Notices that may wait for one target; beyond it the consumer stops and the log is the queue.
const MOST_WAITING: usize = 10_000;

/// How keys of these consumers begin.
pub(crate) const PREFIX: &str = "webhook:";

/// Writes the notices of one target.
pub(crate) struct Notices {
    pub post: Arc<Post>,
    pub shared: Arc<Shared>,
    pub origin: Origin,
}

impl Notices {
    /// The name of a target's consumer.
    pub(crate) fn key_of(target: &str) -> String {
        format!("{PREFIX}{target}")
    }

    fn delivery(&self, event: &Event) -> Option<Delivery> {
        let target = &self.post.target;
        let alarm = target.wants(event)?;
        let (kind, body) = write(event, &self.shared.compound(), &self.origin)?;
        Some(Delivery::of_event(&target.name, alarm, event, kind, body))
    }
}

impl Consumer for Notices {
    fn key(&self) -> String {
        Self::key_of(&self.post.target.name)
    }

    fn codes(&self) -> &'static [&'static str] {
        &["alarm.moved"]
    }

    fn take<'a>(&'a self, tx: &'a mut PgConnection, events: &'a [Event]) -> Taking<'a> {
        Box::pin(async move {
            let waiting = store::waiting(&mut *tx, &self.post.target.name).await?;
            let room = MOST_WAITING.saturating_sub(usize::try_from(waiting).unwrap_or(usize::MAX));
            let taken = events.len().min(room);
            let deliveries: Vec<_> = events.iter().take(taken).filter_map(|event| self.delivery(event)).collect();
            store::write(&mut *tx, &deliveries).await?;
            Ok(taken)
        })
    }

    fn committed(&self) {
        self.post.wake.notify_one();
    }
}
