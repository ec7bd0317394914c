//! The worker of one target: takes what is due, has it carried out, and commits what came of it.

use super::{Courier, Post, store};
use crate::error::StoreError;
use crate::shell::Shared;
use gatehouse_core::effect::Record;
use gatehouse_core::id::DeliveryId;
use gatehouse_core::outbox::{Answer, Delivery, Outgoing};
use jiff::Timestamp;
use rand::Rng;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::{info, warn};

/// Notices of one target that are under way at the same time; of one alarm, one.
const AT_ONCE: usize = 4;
/// The worker looks at its rows at least this often.
const POLL: Duration = Duration::from_secs(30);
/// Pause after trouble with the database.
const STORE_PAUSE: Duration = Duration::from_secs(2);
/// Notices given up in one go while a target is disabled.
const GIVE_UP: i64 = 200;

/// Delivers to one target.
#[derive(Clone)]
pub(crate) struct Worker {
    pub shared: Arc<Shared>,
    pub post: Arc<Post>,
    pub courier: Arc<dyn Courier>,
}

impl Worker {
    /// Works until the program ends.
    pub(crate) async fn run(self) {
        let mut flying: JoinSet<(Delivery, Answer)> = JoinSet::new();
        let mut in_flight: BTreeSet<DeliveryId> = BTreeSet::new();
        // A target that does not answer is tried with one notice at a time.
        let mut answers = true;
        loop {
            let next = match self.launch(&mut flying, &mut in_flight, answers).await {
                Ok(next) => next,
                Err(error) => {
                    let target = &self.post.target.name;
                    warn!(
                        target,
                        error = &error as &dyn std::error::Error,
                        "Notices for {target} wait for the database"
                    );
                    tokio::time::sleep(STORE_PAUSE).await;
                    continue;
                }
            };
            let clock = &self.shared.clock;
            let due = async {
                match next {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(landed) = flying.join_next() => match landed {
                    Ok((delivery, answer)) => {
                        answers = answer == Answer::Taken;
                        let id = delivery.id;
                        self.settle(delivery, answer).await;
                        in_flight.remove(&id);
                    }
                    Err(error) => {
                        // Which one it was is not known: all are free to be tried again, with the same ids.
                        warn!(%error, "An attempt to deliver failed inside");
                        flying.abort_all();
                        while flying.join_next().await.is_some() {}
                        in_flight.clear();
                        tokio::time::sleep(STORE_PAUSE).await;
                    }
                },
                () = self.post.wake.notified() => {}
                () = due => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Starts what is due and finds room; gives the moment when the next will be due.
    async fn launch(
        &self,
        flying: &mut JoinSet<(Delivery, Answer)>,
        in_flight: &mut BTreeSet<DeliveryId>,
        answers: bool,
    ) -> Result<Option<Timestamp>, StoreError> {
        let (pool, target, now) = (&self.shared.pool, self.post.target.name.as_str(), self.shared.clock.now());
        if !self.post.state().enabled {
            for delivery in store::expired(pool, target, now, GIVE_UP).await? {
                self.give_up(delivery, now).await;
            }
            return store::next_expiry(pool, target).await;
        }
        let room = if answers { AT_ONCE } else { 1 }.saturating_sub(flying.len());
        if room == 0 {
            return Ok(None);
        }
        let under_way: Vec<_> = in_flight.iter().map(|id| id.0).collect();
        let due = store::due(pool, target, now, &under_way, room).await?;
        let filled = due.len() == room;
        for delivery in due {
            in_flight.insert(delivery.id);
            let sending = self.courier.send(delivery.parcel(now));
            flying.spawn(async move { (delivery, sending.await) });
        }
        if filled {
            return Ok(None);
        }
        store::next_due(pool, target, now).await
    }

    /// Commits what came of an attempt: the delivery, how the target does, and what operators are told, together.
    async fn settle(&self, mut delivery: Delivery, answer: Answer) {
        let now = self.shared.clock.now();
        let roll = rand::rng().random::<f64>();
        delivery.answered(&answer, roll, now);
        let (target, id) = (&self.post.target.name, delivery.id);
        if answer != Answer::Taken {
            info!(target, delivery.id = %id, attempts = delivery.attempts, reason = delivery.reason,
                  "A notice for {target} was not taken");
        }
        let record = Record::Outbox(Box::new(Outgoing::Delivery(delivery.clone())));
        let receipt = self
            .post
            .change(&self.shared.journal, "outbox", now, vec![record], |state| state.answered(&answer, &delivery, now));
        if !matches!(receipt.await, Ok(true)) {
            warn!(target, delivery.id = %id, "What came of a notice was not stored: it is sent again with the same id");
        }
    }

    /// Gives up what waited too long for a disabled target. Operators disabled it, or were told: no alarm.
    async fn give_up(&self, mut delivery: Delivery, now: Timestamp) {
        delivery.give_up("the target was disabled for three days", now);
        let record = Record::Outbox(Box::new(Outgoing::Delivery(delivery)));
        let _ = self.post.change(&self.shared.journal, "outbox", now, vec![record], |_| None).await;
    }
}
