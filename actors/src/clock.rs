//! The only reader of the clock.

use gatehouse_core::id::EventId;
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use uuid::{ContextV7, Uuid};

/// A clock: the machine's, or one wound by hand in tests.
#[derive(Clone)]
pub struct Clock(Arc<Kind>);

enum Kind {
    Real { ids: Mutex<ContextV7>, origin: Instant, stepped: watch::Sender<()> },
    Hand { now: watch::Receiver<Shown>, ids: Mutex<ContextV7> },
}

/// How often the machine's clock is compared with the one that only runs.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Two readings further apart than this do not compare: the thread was put aside between them.
const READ_WITHIN: Duration = Duration::from_millis(100);
/// The longest sleep without a look at the wall clock.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// A difference above this is a step; daemons that slew stay far below it.
const STEP: SignedDuration = SignedDuration::from_secs(1);

/// What a hand-wound clock shows, and how long it has run.
#[derive(Clone, Copy)]
struct Shown {
    wall: Timestamp,
    ran: SignedDuration,
}

/// The hand that winds a clock.
pub struct HandClock(watch::Sender<Shown>);

impl HandClock {
    /// Moves time on, or back; whoever waits for a moment that has come is woken, and at a step back everyone.
    pub fn advance(&self, by: SignedDuration) {
        self.0.send_modify(|now| {
            now.wall = now.wall.saturating_add(by).unwrap_or(Timestamp::MAX);
            now.ran = now.ran.saturating_add(by);
        });
    }

    /// Sets what it shows, forward or back, while no time passes: someone set the machine's clock.
    pub fn jump(&self, by: SignedDuration) {
        self.0.send_modify(|now| now.wall = now.wall.saturating_add(by).unwrap_or(Timestamp::MAX));
    }

    /// The moment it shows.
    pub fn now(&self) -> Timestamp {
        self.0.borrow().wall
    }
}

/// Finds the steps of a clock: what it shows against how long it has run.
pub(crate) struct Steps {
    clock: Clock,
    last: Shown,
}

impl Steps {
    /// Waits for the next step, and tells how far: forward, or back when negative.
    pub(crate) async fn next(&mut self) -> SignedDuration {
        loop {
            match &*self.clock.0 {
                Kind::Real { .. } => tokio::time::sleep(LOOK_EVERY).await,
                Kind::Hand { now, .. } => {
                    let (mut now, last) = (now.clone(), self.last);
                    // The hand is gone: it never moves again.
                    if now.wait_for(|now| now.wall != last.wall).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            }
            let now = self.clock.shown();
            let step = now.wall.duration_since(self.last.wall) - (now.ran - self.last.ran);
            self.last = now;
            if step.abs() > STEP {
                if let Kind::Real { stepped, .. } = &*self.clock.0 {
                    stepped.send_replace(());
                }
                return step;
            }
        }
    }
}

impl Clock {
    /// The machine's clock.
    pub fn real() -> Self {
        let (ids, stepped) = (Mutex::new(ContextV7::new()), watch::channel(()).0);
        Self(Arc::new(Kind::Real { ids, origin: Instant::now(), stepped }))
    }

    /// A clock that stands still until its hand moves it.
    pub fn hand_wound(start: Timestamp) -> (Self, HandClock) {
        let (hand, now) = watch::channel(Shown { wall: start, ran: SignedDuration::ZERO });
        (Self(Arc::new(Kind::Hand { now, ids: Mutex::new(ContextV7::new()) })), HandClock(hand))
    }

    /// Now, in whole microseconds: what PostgreSQL keeps.
    pub fn now(&self) -> Timestamp {
        let now = match &*self.0 {
            Kind::Real { .. } => Timestamp::now(),
            Kind::Hand { now, .. } => now.borrow().wall,
        };
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    fn shown(&self) -> Shown {
        match &*self.0 {
            Kind::Real { origin, .. } => loop {
                let before = Instant::now();
                let wall = Timestamp::now();
                if before.elapsed() < READ_WITHIN {
                    let ran = before.duration_since(*origin);
                    return Shown { wall, ran: SignedDuration::try_from(ran).unwrap_or(SignedDuration::MAX) };
                }
            },
            Kind::Hand { now, .. } => *now.borrow(),
        }
    }

    /// The steps of this clock from now on.
    pub(crate) fn steps(&self) -> Steps {
        Steps { clock: self.clone(), last: self.shown() }
    }

    /// Waits for a moment of the wall clock, or until the clock steps: whoever waits looks again at what is due.
    ///
    /// Deadlines are wall-clock moments. A step forward makes due what lies in between, once. A step back makes nothing due a
    /// second time; waiters wake, so that none waits for the old hour to come again. A step is noticed when [`Steps`] finds
    /// it, and within a minute where nobody looks for them.
    pub async fn sleep_until(&self, at: Timestamp) {
        match &*self.0 {
            Kind::Real { stepped, .. } => {
                let mut stepped = stepped.subscribe();
                while let Ok(left) = Duration::try_from(at.duration_since(Timestamp::now())) {
                    if left.is_zero() {
                        return;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(left.min(LOOK_AGAIN)) => {}
                        _ = stepped.changed() => return,
                    }
                }
            }
            Kind::Hand { now, .. } => {
                let mut now = now.clone();
                loop {
                    let seen = now.borrow_and_update().wall;
                    if seen >= at {
                        return;
                    }
                    if now.changed().await.is_err() {
                        // The hand is gone: the test is over, nothing is due any more.
                        std::future::pending::<()>().await;
                    }
                    if now.borrow().wall < seen {
                        return;
                    }
                }
            }
        }
    }

    /// A new id that sorts after those before it, also when the clock was set back: it then goes on from the latest moment seen.
    pub fn uuid(&self) -> Uuid {
        let now = self.now();
        let ids = match &*self.0 {
            Kind::Real { ids, .. } | Kind::Hand { ids, .. } => ids.lock().unwrap_or_else(PoisonError::into_inner),
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
    }

    #[test]
    fn ids_sort_by_their_making_also_when_the_clock_goes_back() {
        let (clock, hand) = Clock::hand_wound("2026-05-01T08:00:00Z".parse().unwrap());
        let mut ids: Vec<_> = (0..100).map(|_| clock.uuid()).collect();
        hand.jump(SignedDuration::from_hours(-3));
        ids.extend((0..100).map(|_| clock.uuid()));
        hand.jump(SignedDuration::from_hours(30));
        ids.extend((0..100).map(|_| clock.uuid()));
        assert!(ids.is_sorted());
    }

    #[tokio::test]
    async fn a_step_is_told_from_time_that_passes() {
        let (clock, hand) = Clock::hand_wound("2026-05-01T08:00:00Z".parse().unwrap());
        let mut steps = clock.steps();
        hand.advance(SignedDuration::from_hours(5));
        hand.jump(SignedDuration::from_secs(-90));
        assert_eq!(steps.next().await, SignedDuration::from_secs(-90));
        hand.jump(SignedDuration::from_millis(400));
        hand.advance(SignedDuration::from_secs(10));
        hand.jump(SignedDuration::from_secs(7));
        assert!(steps.next().await > SignedDuration::from_secs(6));
    }

    #[tokio::test]
    async fn a_clock_that_only_runs_has_no_steps() {
        let mut steps = Clock::real().steps();
        assert!(tokio::time::timeout(LOOK_EVERY * 2, steps.next()).await.is_err());
    }
}
