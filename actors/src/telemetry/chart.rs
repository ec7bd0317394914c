//! One point over a span of time, as fine as the span allows.

use super::History;
use super::plan::{Bucket, Resolution, Stretch, bucket_of, choose, mark_holes, stretches};
use super::store::read::{self, MOST_CHANGES};
use crate::error::{Error, StoreError};
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use serde::Serialize;

/// Which chart.
#[derive(Clone, Debug, PartialEq)]
pub struct ChartQuery {
    /// The device.
    pub device: DeviceId,
    /// Its point.
    pub point: String,
    /// The beginning.
    pub from: Timestamp,
    /// The end; before it, nothing is left out.
    pub to: Timestamp,
    /// At most so many buckets.
    pub points: u32,
}

/// A point over a span of time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chart {
    /// The beginning as asked.
    pub from: Timestamp,
    /// The end as asked.
    pub to: Timestamp,
    /// What it is made of.
    pub resolution: Resolution,
    /// Seconds of a bucket.
    pub step_s: i64,
    /// What it shows.
    #[serde(flatten)]
    pub line: Line,
}

impl Chart {
    /// A chart of nothing yet.
    pub fn empty(query: &ChartQuery) -> Self {
        let line = Line::Numbers { buckets: Vec::new() };
        Self { from: query.from, to: query.to, resolution: Resolution::Raw, step_s: 1, line }
    }
}

/// What a chart shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// Numbers in buckets; one without values is where a hole begins.
    Numbers {
        /// In the order of time.
        buckets: Vec<Bucket>,
    },
    /// Stretches of flags or words.
    States {
        /// In the order of time.
        stretches: Vec<Stretch>,
    },
}

impl History {
    /// A point over a span of time; a point that was never read is `NotFound`.
    pub async fn chart(&self, query: &ChartQuery) -> Result<Chart, Error> {
        let pool = self.pool();
        let known = read::known(pool, query.device, &query.point).await?.ok_or(Error::NotFound { what: "point" })?;
        let held = self.0.keep.held(self.clock().now(), self.rows_per_minute());
        let (resolution, step_s) = choose(query.from, query.to, query.points, &held);
        let states = matches!(known.newest, Some((Value::Bool(_) | Value::Text(_), _)));
        let (resolution, line) = if states {
            self.states(query, &known, resolution).await?
        } else {
            let from = bucket_of(query.from, step_s);
            let buckets = read::buckets(pool, &known, resolution, (from, query.to), step_s).await?;
            (resolution, Line::Numbers { buckets: mark_holes(buckets, step_s) })
        };
        Ok(Chart { from: query.from, to: query.to, resolution, step_s, line })
    }

    /// Every change where that is not too many, else the last state of each minute, hour or day.
    async fn states(
        &self,
        query: &ChartQuery,
        known: &read::Known,
        first: Resolution,
    ) -> Result<(Resolution, Line), StoreError> {
        let coarser = [Resolution::Raw, Resolution::Minute, Resolution::Hour, Resolution::Day];
        let before = read::state_at(self.pool(), known, query.from).await?;
        let mut rows = Vec::new();
        let mut used = first;
        for resolution in coarser.into_iter().filter(|resolution| *resolution >= first) {
            let from = bucket_of(query.from, resolution.seconds());
            rows = read::changes(self.pool(), known, resolution, (from, query.to)).await?;
            used = resolution;
            if rows.len() as i64 <= MOST_CHANGES {
                break;
            }
        }
        // The state of now holds until now, not until a moment that has not come.
        let end = query.to.min(self.clock().now());
        Ok((used, Line::States { stretches: stretches(rows, before, query.from, end) }))
    }

    /// The points of a device that were ever read.
    pub async fn points(&self, device: DeviceId) -> Result<Vec<String>, StoreError> {
        read::points(self.pool(), device).await
    }
}
