//! The only reader of the clock.

use gatehouse_core::id::EventId;
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use uuid::{ContextV7, Uuid};

/// A clock: the machine's, or one wound by hand in tests.
#[derive(Clone)]
pub struct Clock(Arc<Kind>);

enum Kind {
    Real { ids: Mutex<ContextV7> },
    Hand { now: watch::Receiver<Timestamp>, ids: Mutex<ContextV7> },
}

/// The hand that winds a clock.
pub struct HandClock(watch::Sender<Timestamp>);

impl HandClock {
    /// Moves time on, or back; whoever waits for a moment that has come is woken, and at a step back everyone.
    pub fn advance(&self, by: SignedDuration) {
        self.0.send_modify(|now| *now = now.saturating_add(by).unwrap_or(Timestamp::MAX));
    }

    /// The moment it shows.
    pub fn now(&self) -> Timestamp {
        *self.0.borrow()
    }
}

impl Clock {
    /// The machine's clock.
    pub fn real() -> Self {
        Self(Arc::new(Kind::Real { ids: Mutex::new(ContextV7::new()) }))
    }

    /// A clock that stands still until its hand moves it.
    pub fn hand_wound(start: Timestamp) -> (Self, HandClock) {
        let (hand, now) = watch::channel(start);
        (Self(Arc::new(Kind::Hand { now, ids: Mutex::new(ContextV7::new()) })), HandClock(hand))
    }

    /// Now, in whole microseconds: what PostgreSQL keeps.
    pub fn now(&self) -> Timestamp {
        let now = match &*self.0 {
            Kind::Real { .. } => Timestamp::now(),
            Kind::Hand { now, .. } => *now.borrow(),
        };
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// Waits for a moment of the wall clock, or until the clock goes back: whoever waits looks again at what is due.
    ///
    /// Deadlines are wall-clock moments. A step forward makes due what lies in between, once; it is noticed within a minute. A
    /// step back makes nothing due a second time; waiters wake, so that none waits for the old hour to come again.
    pub async fn sleep_until(&self, at: Timestamp) {
        match &*self.0 {
            Kind::Real { .. } => loop {
                let (before, since) = (Timestamp::now(), std::time::Instant::now());
                let Ok(left) = std::time::Duration::try_from(at.duration_since(before)) else { return };
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(LOOK_AGAIN)).await;
                let slept = SignedDuration::try_from(since.elapsed()).unwrap_or(SignedDuration::ZERO);
                if went_back(before, slept, Timestamp::now()) {
                    return;
                }
            },
            Kind::Hand { now, .. } => {
                let mut now = now.clone();
                loop {
                    let seen = *now.borrow_and_update();
                    if seen >= at {
                        return;
                    }
                    if now.changed().await.is_err() {
                        // The hand is gone: the test is over, nothing is due any more.
                        std::future::pending::<()>().await;
                    }
                    if *now.borrow() < seen {
                        return;
                    }
                }
            }
        }
    }

    /// A new id that sorts after those before it.
    pub fn uuid(&self) -> Uuid {
        let now = self.now();
        let ids = match &*self.0 {
            Kind::Real { ids } | Kind::Hand { ids, .. } => ids.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        Uuid::new_v7(uuid::Timestamp::from_unix(&*ids, seconds, nanos))
    }

    /// A new event id.
    pub fn event_id(&self) -> EventId {
        EventId(self.uuid())
    }
}

/// A step of the machine's clock is noticed within this time.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(60);

/// Less than this is the slewing of a time service, not a step.
const STEP: SignedDuration = SignedDuration::from_secs(1);

/// Whether the wall clock shows less than a sleep should have brought.
fn went_back(before: Timestamp, slept: SignedDuration, now: Timestamp) -> bool {
    now.duration_since(before) < slept - STEP
}

/// An id for a moment, where no clock is at hand.
pub(crate) fn uuid_at(now: Timestamp) -> Uuid {
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
}

/// The time zone of a site.
pub fn zone(name: &str) -> Result<jiff::tz::TimeZone, jiff::Error> {
    jiff::tz::TimeZone::get(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hand_wound_clock_wakes_those_whose_moment_has_come() {
        let start: Timestamp = "2026-05-01T08:00:00Z".parse().unwrap();
        let (clock, hand) = Clock::hand_wound(start);
        let (one, two) = (clock.clone(), clock.clone());
        let early = tokio::spawn(async move { one.sleep_until(start + SignedDuration::from_secs(5)).await });
        let late = tokio::spawn(async move { two.sleep_until(start + SignedDuration::from_secs(50)).await });
        hand.advance(SignedDuration::from_secs(5));
        early.await.unwrap();
        assert!(!late.is_finished());
        assert_eq!(clock.now(), start + SignedDuration::from_secs(5));
        late.abort();
    }

    #[tokio::test]
    async fn a_clock_that_goes_back_wakes_those_who_wait_and_makes_nothing_due() {
        let start: Timestamp = "2026-05-01T08:00:00Z".parse().unwrap();
        let (clock, hand) = Clock::hand_wound(start);
        let waits = clock.clone();
        let waiter = tokio::spawn(async move { waits.sleep_until(start + SignedDuration::from_secs(5)).await });
        tokio::task::yield_now().await;
        hand.advance(SignedDuration::from_hours(-1));
        waiter.await.unwrap();
        assert!(clock.now() < start);
        let (slept, minute) = (SignedDuration::from_secs(60), SignedDuration::from_mins(1));
        assert!(!went_back(start, slept, start + minute));
        assert!(!went_back(start, slept, start + SignedDuration::from_hours(1)), "a step forward is no step back");
        assert!(went_back(start, slept, start - SignedDuration::from_hours(1)));
    }

    #[test]
    fn ids_sort_by_their_making() {
        let (clock, _hand) = Clock::hand_wound("2026-05-01T08:00:00Z".parse().unwrap());
        let ids: Vec<_> = (0..100).map(|_| clock.uuid()).collect();
        assert!(ids.is_sorted());
    }
}
