//! The keeper of the history: once a minute partitions ahead, rollups up to date, what is too old dropped.
//!
//! ```text
//!  close ──▶ minutes ──▶ late minutes again ──▶ whole hours ──▶ whole days ──▶ retention
//!    └ promised to the writers first: what they commit after it and is before it, they enter as late
//! ```
//! Each step is computed anew from finer rows and moves its watermark in the same transaction: a pass that is cut off, or
//! made twice, changes nothing. With TimescaleDB's continuous aggregates all this is policies, and a pass does nothing.

use super::History;
use super::plan::{Held, bucket_of};
use super::store::roll::{self, Table};
use super::store::{self, write};
use crate::error::StoreError;
use jiff::{SignedDuration, Timestamp};
use std::sync::atomic::Ordering;
use tracing::{info, warn};

/// Passes are this far apart.
const EVERY: SignedDuration = SignedDuration::from_secs(60);
/// Minutes are closed this long after their end: most of what comes late by itself is there.
const GRACE: SignedDuration = SignedDuration::from_secs(60);
/// Raw readings are rolled up in stretches of six hours: a long absence is not one transaction.
const STRETCH: SignedDuration = SignedDuration::from_hours(6);
/// Reopened minutes of one transaction.
const LATE_AT_ONCE: i64 = 2_000;
/// Partitions made ahead of raw days, months of minutes, years of hours.
const AHEAD: [i32; 3] = [3, 1, 1];

/// How long readings are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Readings as they came, days. TimescaleDB needs 4: what its daily refresh reads must still be there.
    pub raw_days: u32,
    /// A row a minute, days.
    pub minute_days: u32,
    /// A row an hour, days; a row a day is kept for good.
    pub hour_days: u32,
}

impl Default for Keep {
    /// A season raw, half a year by the minute, five years by the hour.
    fn default() -> Self {
        Self { raw_days: 90, minute_days: 180, hour_days: 5 * 366 }
    }
}

impl Keep {
    fn before(days: u32, now: Timestamp) -> Timestamp {
        now.saturating_sub(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::MIN)
    }

    /// What is still there at a moment.
    pub(super) fn held(&self, now: Timestamp, rows_per_minute: f64) -> Held {
        Held {
            raw_from: Self::before(self.raw_days, now),
            minute_from: Self::before(self.minute_days, now),
            hour_from: Self::before(self.hour_days, now),
            rows_per_minute,
        }
    }
}

impl History {
    /// Passes once a minute, until it is dropped.
    pub(crate) async fn keep(self) {
        loop {
            if let Err(error) = self.pass().await {
                warn!(error = &error as &dyn std::error::Error, "The history of readings is not kept up to date");
            }
            let next = self.clock().now().saturating_add(EVERY).unwrap_or(Timestamp::MAX);
            self.clock().sleep_until(next).await;
        }
    }

    /// Makes what the first readings need: their partitions, or TimescaleDB's policies.
    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        let (features, keep) = (self.features(), self.0.keep);
        if features.aggregates {
            let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
            roll::set_policies(self.pool(), days(keep.raw_days), days(keep.minute_days), days(keep.hour_days)).await
        } else {
            self.make_partitions().await
        }
    }

    /// Brings everything up to date once.
    pub async fn pass(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.0.passing.lock().await;
        let (pool, features, now) = (self.pool(), self.features(), self.clock().now());
        self.measure_rate(now).await?;
        let day_ago = Keep::before(1, now);
        write::forget_writers(pool, day_ago).await?;
        if features.aggregates {
            // Said again at every start until it is done: it may take longer than the program runs.
            if !store::features(pool).await?.filled {
                roll::fill_aggregates(pool).await?;
            }
        } else {
            self.make_partitions().await?;
            self.roll(now).await?;
            self.drop_old(now).await?;
        }
        self.0.rolled_at.store(now.as_second(), Ordering::Relaxed);
        Ok(())
    }

    async fn make_partitions(&self) -> Result<(), StoreError> {
        let now = self.clock().now();
        let held = self.0.keep.held(now, 0.0);
        let from = [held.raw_from, held.minute_from, held.hour_from];
        for ((table, ahead), from) in Table::ALL.into_iter().zip(AHEAD).zip(from) {
            if table == Table::Raw && self.features().hypertable {
                continue;
            }
            roll::make_partitions(self.pool(), table, now, ahead, from).await?;
        }
        Ok(())
    }

    async fn roll(&self, now: Timestamp) -> Result<(), StoreError> {
        let pool = self.pool();
        let closing = bucket_of(now.saturating_sub(GRACE).unwrap_or(now), 60);
        roll::close(pool, closing).await?;
        let held_from = self.0.keep.held(now, 0.0).raw_from;
        let mut from = match roll::rolled_until(pool, "1min").await? {
            Some(until) => until,
            None => roll::oldest(pool, held_from).await?.map_or(closing, |oldest| bucket_of(oldest, 60)),
        };
        while from < closing {
            let mut until = from.saturating_add(STRETCH).unwrap_or(closing).min(closing);
            if until < closing {
                // After an absence: what holds no readings is passed in one stride.
                until = until.max(roll::oldest(pool, from).await?.unwrap_or(closing).min(closing));
                until = bucket_of(until, 60);
            }
            roll::minutes(pool, from, until).await?;
            from = until;
        }
        while roll::late(pool, LATE_AT_ONCE).await? > 0 {}
        roll::hours_and_days(pool).await
    }

    async fn drop_old(&self, now: Timestamp) -> Result<(), StoreError> {
        let held = self.0.keep.held(now, 0.0);
        for (table, before) in Table::ALL.into_iter().zip([held.raw_from, held.minute_from, held.hour_from]) {
            if table == Table::Raw && self.features().hypertable {
                roll::drop_chunks(self.pool(), before).await?;
                continue;
            }
            let dropped = roll::drop_old(self.pool(), table, before).await?;
            if dropped > 0 {
                info!(?table, dropped, "Old partitions of readings were dropped");
            }
        }
        Ok(())
    }

    /// What a minute of all readings is, from what was written since the last pass.
    async fn measure_rate(&self, now: Timestamp) -> Result<(), StoreError> {
        let written = self.0.writer.written();
        let before = {
            let mut seen = self.0.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::replace(&mut *seen, (now, written))
        };
        let seconds = now.duration_since(before.0).as_secs_f64();
        if seconds < 30.0 {
            return Ok(());
        }
        let rate = (written - before.1) as f64 * 60.0 / seconds;
        self.0.rate.store(rate.to_bits(), Ordering::Relaxed);
        roll::set_rate(self.pool(), rate).await
    }
}
