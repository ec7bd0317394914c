//! The targets as people see and move them.

use super::{Post, store};
use crate::error::Error;
use crate::journal::Entry;
use crate::root::System;
use gatehouse_core::effect::Record;
use gatehouse_core::id::{AlarmId, DeliveryId};
use gatehouse_core::outbox::{Delivery, DeliveryState, Outgoing, test_notice};
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;

/// Dead deliveries that are sent again in one go.
const AGAIN_AT_ONCE: i64 = 1_000;

/// A target as people see it. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct TargetView {
    pub name: String,
    pub address: String,
    pub min_priority: u8,
    pub kinds: Vec<String>,
    pub allow_private: bool,
    pub enabled: bool,
    pub health: String,
    pub delivered_at: Option<Timestamp>,
    pub failed_at: Option<Timestamp>,
    pub failure: String,
    pub waiting: i64,
    pub oldest_at: Option<Timestamp>,
    pub dead: i64,
}

/// A delivery as people see it. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct DeliveryView {
    pub id: DeliveryId,
    pub target: String,
    pub kind: String,
    pub alarm: Option<AlarmId>,
    pub at: Timestamp,
    pub state: String,
    pub attempts: u32,
    pub next_at: Option<Timestamp>,
    pub reason: String,
    pub changed_at: Timestamp,
}

impl From<Delivery> for DeliveryView {
    fn from(row: Delivery) -> Self {
        Self {
            id: row.id,
            target: row.target,
            kind: row.kind,
            alarm: row.alarm,
            at: row.at,
            state: row.state.word().to_owned(),
            attempts: row.attempts,
            next_at: (row.state == DeliveryState::Waiting).then_some(row.next_at),
            reason: row.reason,
            changed_at: row.changed_at,
        }
    }
}

impl System {
    /// The targets of notices.
    pub async fn targets(&self) -> Result<Vec<TargetView>, Error> {
        let mut queues = store::queues(self.pool()).await?;
        let view = |post: &Arc<Post>| {
            let (target, state) = (&post.target, post.state());
            let (waiting, oldest_at, dead) = queues.remove(&target.name).unwrap_or_default();
            TargetView {
                name: target.name.clone(),
                address: target.address.clone(),
                min_priority: target.min_priority.number(),
                kinds: target.kinds.iter().map(|kind| kind.word().to_owned()).collect(),
                allow_private: target.allow_private,
                enabled: state.enabled,
                health: state.health.word().to_owned(),
                delivered_at: state.delivered_at,
                failed_at: state.failed_at,
                failure: state.failure,
                waiting,
                oldest_at,
                dead,
            }
        };
        Ok(self.outbox().posts.values().map(view).collect())
    }

    fn post(&self, name: &str) -> Result<&Arc<Post>, Error> {
        self.outbox().posts.get(name).ok_or(Error::NotFound { what: "target" })
    }

    /// The deliveries of a target, last changed first; `state` is `waiting`, `done`, `dead`, or nothing for all.
    pub async fn deliveries(
        &self,
        target: &str,
        state: Option<DeliveryState>,
        limit: i64,
    ) -> Result<Vec<DeliveryView>, Error> {
        self.post(target)?;
        let state = state.map(DeliveryState::word).unwrap_or_default();
        let rows = store::list(self.pool(), target, state, limit.clamp(1, 1_000)).await?;
        Ok(rows.into_iter().map(DeliveryView::from).collect())
    }

    /// Enables or disables a target. Committed before it returns.
    pub async fn target_enable(&self, name: &str, enabled: bool, by: &str) -> Result<(), Error> {
        let post = self.post(name)?;
        let receipt = post.change(&self.shared().journal, by, self.now(), Vec::new(), |state| state.enable(enabled));
        self.committed(receipt).await?;
        post.wake.notify_one();
        Ok(())
    }

    /// Sends a test. Written before it returns, sent as any other notice.
    pub async fn target_test(&self, name: &str, by: &str) -> Result<DeliveryView, Error> {
        let (post, now, id) = (self.post(name)?, self.now(), DeliveryId(self.clock().uuid()));
        let delivery = Delivery::test(id, name, test_notice(id, by, &self.outbox().origin, now), now);
        self.put_deliveries(post, vec![delivery.clone()]).await?;
        Ok(delivery.into())
    }

    /// Sends a dead delivery again, with the same id. Committed before it returns.
    pub async fn delivery_again(&self, id: DeliveryId) -> Result<DeliveryView, Error> {
        let mut delivery = store::get(self.pool(), id).await?.ok_or(Error::NotFound { what: "delivery" })?;
        let post = self.post(&delivery.target)?;
        if !delivery.again(self.now()) {
            let message = format!("notice {id} is {}: only dead ones are sent again", delivery.state.word());
            return Err(Error::Conflict { code: "not_dead", message });
        }
        self.put_deliveries(post, vec![delivery.clone()]).await?;
        Ok(delivery.into())
    }

    /// Sends the dead deliveries of a target again, at most a thousand; tells how many.
    pub async fn deliveries_again(&self, target: &str) -> Result<usize, Error> {
        let post = self.post(target)?;
        let now = self.now();
        let mut dead = store::dead(self.pool(), target, AGAIN_AT_ONCE).await?;
        dead.retain_mut(|delivery| delivery.again(now));
        let count = dead.len();
        self.put_deliveries(post, dead).await?;
        Ok(count)
    }

    async fn put_deliveries(&self, post: &Post, deliveries: Vec<Delivery>) -> Result<(), Error> {
        let record = |delivery| Record::Outbox(Box::new(Outgoing::Delivery(delivery)));
        let records = deliveries.into_iter().map(record).collect();
        self.committed(self.shared().journal.submit(Entry { records, ..Entry::default() })).await?;
        post.wake.notify_one();
        Ok(())
    }
}
