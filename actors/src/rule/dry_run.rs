//! A rule over recorded history: when it would have come on. The judge is the one that runs live.

use super::{Vocabulary, store};
use crate::error::Error;
use crate::root::System;
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::DeviceId;
use gatehouse_core::rule::expr::{Diagnostic, Input, Judge, Plan, PlanTerm, Target, Test, Turn};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Readings and events that one run looks at.
const MOST_ROWS: usize = 200_000;
/// How long one run may take.
const WITHIN: Duration = Duration::from_secs(20);
/// Rows read at once.
const PAGE: i64 = 20_000;
/// Intervals that are listed; all are counted.
const MOST_INTERVALS: usize = 500;
/// Devices whose values are traced.
const MOST_TRACES: usize = 6;
/// Columns of a trace.
const COLUMNS: i64 = 240;
/// Read before the time that is asked for, so that it begins with what was so.
const WARM_UP: SignedDuration = SignedDuration::from_hours(1);

/// A time that the rule would have been on. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Interval {
    pub device: Option<DeviceId>,
    pub from: Timestamp,
    /// None: it is on at the end.
    pub to: Option<Timestamp>,
    pub value: Option<f64>,
}

/// The values of a device that the rule compares, in columns. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Trace {
    pub device: DeviceId,
    pub point: String,
    pub unit: String,
    pub limit: f64,
    /// Beginning of the column, lowest and highest value in it.
    pub columns: Vec<(Timestamp, f64, f64)>,
}

/// What a dry run found. Field names are the wire's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct DryRun {
    pub from: Timestamp,
    pub to: Timestamp,
    pub count: usize,
    pub intervals: Vec<Interval>,
    pub traces: Vec<Trace>,
    pub rows: usize,
    /// Until when it got, where it was cut: `rows` or `time` says why.
    pub cut_at: Option<Timestamp>,
    pub cut_by: String,
}

/// Why there is no dry run.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// The rule does not fit.
    #[error("the rule cannot run")]
    Wrong(Vec<Diagnostic>),
    /// All else.
    #[error(transparent)]
    Other(#[from] Error),
}

struct Run {
    judge: Judge,
    from: Timestamp,
    open: BTreeMap<Option<DeviceId>, (Timestamp, Option<f64>)>,
    found: DryRun,
    compares: Option<(Target, String, String, f64)>,
    columns: BTreeMap<DeviceId, BTreeMap<i64, (f64, f64)>>,
}

impl Run {
    fn new(plan: Plan, start: Timestamp, from: Timestamp, to: Timestamp) -> Self {
        let compares = plan.terms.iter().find_map(|term| match term {
            PlanTerm::Point { of, point, unit, test: Test::Number { limit, .. } } => {
                Some((*of, point.clone(), unit.clone(), *limit))
            }
            _ => None,
        });
        let found = DryRun {
            from,
            to,
            count: 0,
            intervals: vec![],
            traces: vec![],
            rows: 0,
            cut_at: None,
            cut_by: String::new(),
        };
        let judge = Judge::new(Arc::new(plan), start);
        Self { judge, from, open: BTreeMap::new(), found, compares, columns: BTreeMap::new() }
    }

    fn follow(&mut self, turns: Vec<Turn>) {
        for turn in turns {
            if turn.on {
                self.open.insert(turn.subject, (turn.at, turn.value));
            } else if let Some((from, value)) = self.open.remove(&turn.subject) {
                self.close(turn.subject, from, Some(turn.at), value);
            }
        }
    }

    fn close(&mut self, device: Option<DeviceId>, from: Timestamp, to: Option<Timestamp>, value: Option<f64>) {
        if to.is_some_and(|to| to <= self.from) {
            return;
        }
        self.found.count += 1;
        if self.found.intervals.len() < MOST_INTERVALS {
            self.found.intervals.push(Interval { device, from, to, value });
        }
    }

    fn reading(&mut self, at: Timestamp, device: DeviceId, point: &str, value: &Value) {
        let heard = self.judge.take(&Input::Report(device), at);
        self.follow(heard);
        let turns = self.judge.take(&Input::Value(device, point, value), at);
        self.follow(turns);
        self.trace(at, device, point, value);
    }

    fn trace(&mut self, at: Timestamp, device: DeviceId, point: &str, value: &Value) {
        let (Some((of, compared, ..)), Some(n)) = (&self.compares, value.as_number()) else { return };
        let is = match of {
            Target::Subject => true,
            Target::Device(id) => *id == device,
        };
        if !is || compared != point || at < self.from {
            return;
        }
        if !self.columns.contains_key(&device) && self.columns.len() >= MOST_TRACES {
            return;
        }
        let (since, whole) = (at.duration_since(self.from), self.found.to.duration_since(self.from));
        let column = i64::try_from(since.as_millis() * i128::from(COLUMNS) / whole.as_millis().max(1)).unwrap_or(0);
        let (low, high) = self.columns.entry(device).or_default().entry(column).or_insert((n, n));
        (*low, *high) = (low.min(n), high.max(n));
    }

    fn finish(mut self, until: Timestamp) -> DryRun {
        let turns = self.judge.advance(until);
        self.follow(turns);
        for (device, (from, value)) in std::mem::take(&mut self.open) {
            self.close(device, from, None, value);
        }
        self.found.intervals.sort_by_key(|interval| interval.from);
        let whole = self.found.to.duration_since(self.from).as_millis();
        if let Some((_, point, unit, limit)) = self.compares {
            let begins = |column: i64| {
                let ms = i64::try_from(whole * i128::from(column) / i128::from(COLUMNS)).unwrap_or(0);
                self.from.saturating_add(SignedDuration::from_millis(ms)).unwrap_or(self.from)
            };
            let columns = |all: BTreeMap<i64, (f64, f64)>| {
                all.into_iter().map(|(column, (low, high))| (begins(column), low, high)).collect()
            };
            let trace = |(device, all)| Trace {
                device,
                point: point.clone(),
                unit: unit.clone(),
                limit,
                columns: columns(all),
            };
            self.found.traces = self.columns.into_iter().map(trace).collect();
        }
        self.found
    }
}

impl System {
    /// When a rule would have come on between two moments; `told` hears how far it is, 0 to 1.
    pub async fn rule_dry_run(
        &self,
        text: &str,
        from: Timestamp,
        to: Timestamp,
        told: impl Fn(f64) + Send,
    ) -> Result<DryRun, DryRunError> {
        let month = SignedDuration::from_hours(24 * 31);
        let to = to.min(self.now());
        if from >= to || to.duration_since(from) > month {
            let message = "a dry run looks at up to 31 days that are past";
            return Err(Error::invalid("dry_run_time", "from", message).into());
        }
        let plan = Vocabulary::of(self).compile(text).map_err(DryRunError::Wrong)?;
        let reach = SignedDuration::from_millis(plan.reach_ms().min(7 * 86_400_000)) + WARM_UP;
        let start = from.saturating_sub(reach).unwrap_or(from);
        let watched = plan.watched();
        let devices: Vec<Uuid> = watched.keys().map(|device| device.0).collect();
        let silence = plan.terms.iter().any(|term| matches!(term, PlanTerm::Silent { .. }));
        let points: Vec<String> = watched.values().flatten().cloned().collect();
        let points = (!silence).then_some(points.as_slice());
        let codes: Vec<&str> = plan.codes().into_iter().collect();
        let mut run = Run::new(plan, start, from, to);
        let begun = Instant::now();
        let whole = to.duration_since(start).as_secs_f64();
        // An hour or a hundredth at a time: what is in memory is bounded, and the caller hears how far it is.
        let step = SignedDuration::from_secs_f64((whole / 100.0).max(3_600.0));
        let mut at = start;
        while at < to && run.found.cut_at.is_none() {
            let next = at.saturating_add(step).unwrap_or(to).min(to);
            let mut since = at;
            loop {
                let readings = match devices.is_empty() {
                    true => vec![],
                    false => store::readings(self.pool(), &devices, points, (since, next), PAGE)
                        .await
                        .map_err(Error::from)?,
                };
                // A full page ends before its last moment, which the next begins with: no moment is read in halves.
                let until = match readings.last() {
                    Some((last, ..)) if readings.len() >= PAGE as usize && *last > since => *last,
                    _ => next,
                };
                let events = match codes.is_empty() {
                    true => vec![],
                    false => store::events(self.pool(), &codes, (since, until), PAGE).await.map_err(Error::from)?,
                };
                run.found.rows += readings.len() + events.len();
                let mut events = events.iter().peekable();
                for (when, device, point, value) in readings.iter().filter(|(when, ..)| *when < until) {
                    while let Some(event) = events.next_if(|event| event.received_at < *when) {
                        let turns = run.judge.take(&Input::Event(event), event.received_at);
                        run.follow(turns);
                    }
                    run.reading(*when, *device, point, value);
                }
                for event in events {
                    let turns = run.judge.take(&Input::Event(event), event.received_at);
                    run.follow(turns);
                }
                since = until;
                let (full, late) = (run.found.rows >= MOST_ROWS, begun.elapsed() >= WITHIN);
                if full || late {
                    run.found.cut_at = Some(until);
                    run.found.cut_by = if full { "rows" } else { "time" }.into();
                }
                if until >= next || run.found.cut_at.is_some() {
                    break;
                }
            }
            at = since;
            told((at.duration_since(start).as_secs_f64() / whole).clamp(0.0, 1.0));
            // Others have their turn in between.
            tokio::task::yield_now().await;
        }
        let until = run.found.cut_at.unwrap_or(to);
        Ok(run.finish(until))
    }
}
