//! Charts of readings: which resolution serves a span, where the holes are, how states become stretches.

use gatehouse_core::device::telemetry::Value;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Raw rows that one chart may read: more takes longer than a page waits.
const MOST_RAW_ROWS: f64 = 2_000_000.0;
/// A silence of so many usual intervals is a hole.
const HOLE: f64 = 2.5;

/// How fine the rows are that a chart is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Resolution {
    /// Every reading.
    #[serde(rename = "raw")]
    Raw,
    /// A row a minute.
    #[serde(rename = "1min")]
    Minute,
    /// A row an hour.
    #[serde(rename = "1h")]
    Hour,
    /// A row a day (UTC).
    #[serde(rename = "1d")]
    Day,
}

impl Resolution {
    /// Seconds of a row; a second for raw readings.
    pub fn seconds(self) -> i64 {
        match self {
            Resolution::Raw => 1,
            Resolution::Minute => 60,
            Resolution::Hour => 3_600,
            Resolution::Day => 86_400,
        }
    }

    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Resolution::Raw => "raw",
            Resolution::Minute => "1min",
            Resolution::Hour => "1h",
            Resolution::Day => "1d",
        }
    }
}

/// What the history still holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// Raw readings since.
    pub raw_from: Timestamp,
    /// Minutes since.
    pub minute_from: Timestamp,
    /// Hours since; days are kept for good.
    pub hour_from: Timestamp,
    /// Readings of all devices in a minute: what a raw scan costs.
    pub rows_per_minute: f64,
}

/// Chooses the resolution for a span and the seconds of a bucket, at most `points` buckets and a whole number of rows each.
///
/// A coarser resolution is taken once a bucket is a third of its row: a chart then reads at most twenty rows a bucket.
pub fn choose(from: Timestamp, to: Timestamp, points: u32, held: &Held) -> (Resolution, i64) {
    let span = to.duration_since(from).as_secs().max(1);
    let wanted = span.div_euclid(i64::from(points.max(1))).max(1);
    let raw_rows = held.rows_per_minute * span as f64 / 60.0;
    let resolution = if wanted < 20 && from >= held.raw_from && raw_rows <= MOST_RAW_ROWS {
        Resolution::Raw
    } else if wanted < 20 * 60 && from >= held.minute_from {
        Resolution::Minute
    } else if wanted < 8 * 3_600 && from >= held.hour_from {
        Resolution::Hour
    } else {
        Resolution::Day
    };
    let row = resolution.seconds();
    // One more than fits evenly: the first and the last bucket are cut by the span's ends.
    let step = ((span + row * i64::from(points)) / i64::from(points.max(1))).div_euclid(row).max(1) * row;
    (resolution, step)
}

/// The beginning of the bucket that a moment is in; buckets are counted from 1970-01-01T00:00:00Z.
pub fn bucket_of(at: Timestamp, step_s: i64) -> Timestamp {
    let second = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
    Timestamp::from_second(second.div_euclid(step_s.max(1)) * step_s.max(1)).unwrap_or(at)
}

/// One bucket of a chart of numbers; all empty: a hole begins here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its beginning.
    pub at: Timestamp,
    /// Smallest value.
    pub min: Option<f64>,
    /// Mean of its readings.
    pub avg: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Newest value.
    pub last: Option<f64>,
    /// Readings in it.
    pub count: i64,
}

/// Marks the holes among buckets that have readings: a silence longer than 2.5 usual intervals (their median, at least a step).
pub fn mark_holes(buckets: Vec<Bucket>, step_s: i64) -> Vec<Bucket> {
    let mut intervals: Vec<i64> =
        buckets.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at).as_secs()).collect();
    intervals.sort_unstable();
    let usual = intervals.get(intervals.len() / 2).copied().unwrap_or(step_s).max(step_s);
    let step = SignedDuration::from_secs(step_s);
    let mut marked: Vec<Bucket> = Vec::with_capacity(buckets.len() + 8);
    for bucket in buckets {
        if let Some(before) = marked.last()
            && bucket.at.duration_since(before.at).as_secs() as f64 > HOLE * usual as f64
        {
            let at = before.at.saturating_add(step).unwrap_or(bucket.at);
            marked.push(Bucket { at, min: None, avg: None, max: None, last: None, count: 0 });
        }
        marked.push(bucket);
    }
    marked
}

/// A state as read: from when, which, and whether there were others in its row.
pub type StateRow = (Timestamp, Value, bool);

/// A stretch of time in one state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// The state.
    pub state: Value,
    /// Whether the rows it is made of held other states too: it is the last of each.
    pub mixed: bool,
}

/// Joins states in the order of time into stretches between `from` and `to`; `before` is the state that held at `from`.
pub fn stretches(rows: Vec<StateRow>, before: Option<Value>, from: Timestamp, to: Timestamp) -> Vec<Stretch> {
    let mut joined: Vec<Stretch> = Vec::new();
    let known = before.map(|state| (from, state, false));
    for (at, state, mixed) in known.into_iter().chain(rows) {
        let at = at.max(from);
        match joined.last_mut() {
            Some(last) if last.state == state && last.mixed == mixed => {}
            Some(last) if at <= last.from => *last = Stretch { from: last.from, to, state, mixed },
            Some(last) => {
                last.to = at;
                joined.push(Stretch { from: at, to, state, mixed });
            }
            None => joined.push(Stretch { from: at, to, state, mixed }),
        }
    }
    joined.retain(|stretch| stretch.from < stretch.to);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn held() -> Held {
        Held {
            raw_from: at("2026-02-01T00:00:00Z"),
            minute_from: at("2025-11-01T00:00:00Z"),
            hour_from: at("2021-05-01T00:00:00Z"),
            rows_per_minute: 1_000.0,
        }
    }

    fn span(from: &str, to: &str, points: u32, held: &Held) -> (Resolution, i64) {
        choose(at(from), at(to), points, held)
    }

    #[test]
    fn a_longer_span_is_read_from_coarser_rows() {
        let to = "2026-05-01T00:00:00Z";
        assert_eq!(span("2026-04-30T23:00:00Z", to, 600, &held()), (Resolution::Raw, 7));
        assert_eq!(span("2026-04-30T00:00:00Z", to, 600, &held()), (Resolution::Minute, 180));
        assert_eq!(span("2026-04-24T00:00:00Z", to, 600, &held()), (Resolution::Minute, 1_020));
        assert_eq!(span("2026-04-01T00:00:00Z", to, 600, &held()), (Resolution::Hour, 7_200));
        assert_eq!(span("2025-05-01T00:00:00Z", to, 600, &held()), (Resolution::Day, 86_400));
    }

    #[test]
    fn what_is_no_longer_held_or_costs_too_much_is_read_from_coarser_rows() {
        let hour = ("2026-01-05T00:00:00Z", "2026-01-05T01:00:00Z");
        assert_eq!(span(hour.0, hour.1, 600, &held()), (Resolution::Minute, 60));
        let busy = Held { rows_per_minute: 600_000.0, ..held() };
        assert_eq!(span("2026-04-30T23:00:00Z", "2026-05-01T00:00:00Z", 600, &busy), (Resolution::Minute, 60));
        assert_eq!(span("2026-04-30T23:58:00Z", "2026-05-01T00:00:00Z", 600, &busy).0, Resolution::Raw);
    }

    #[test]
    fn there_are_never_more_buckets_than_asked_for() {
        for (hours, points) in [(1, 10), (24, 600), (24 * 365, 300), (3, 1), (24 * 30, 2_000)] {
            let to = at("2026-05-01T00:17:03Z");
            let from = to - SignedDuration::from_hours(hours);
            let (_, step) = choose(from, to, points, &held());
            let buckets = (bucket_of(to, step).as_second() - bucket_of(from, step).as_second()) / step;
            assert!(buckets <= i64::from(points), "{hours} h in {points}: {buckets} of {step} s");
        }
    }

    fn bucket(minute: i64) -> Bucket {
        let at = Timestamp::from_second(minute * 60).unwrap();
        Bucket { at, min: Some(1.0), avg: Some(1.0), max: Some(1.0), last: Some(1.0), count: 1 }
    }

    #[test]
    fn a_silence_is_a_hole_and_a_slow_sensor_has_none() {
        let marked = mark_holes([0, 1, 2, 3, 9, 10].map(bucket).to_vec(), 60);
        let holes: Vec<_> = marked.iter().filter(|b| b.count == 0).map(|b| b.at.as_second() / 60).collect();
        assert_eq!(holes, [4]);
        assert!(marked[4].avg.is_none() && marked.len() == 7);
        let slow = mark_holes([0, 10, 20, 32, 41].map(bucket).to_vec(), 60);
        assert_eq!(slow.len(), 5, "every ten minutes is its usual interval");
        assert_eq!(mark_holes(vec![], 60), []);
    }

    #[test]
    fn states_hold_until_the_next_one() {
        let (from, to) = (at("2026-05-01T00:00:00Z"), at("2026-05-01T01:00:00Z"));
        let row = |minute: i64, word: &str| (from + SignedDuration::from_mins(minute), Value::Text(word.into()), false);
        let joined = stretches(
            vec![row(5, "open"), row(6, "open"), row(10, "closed")],
            Some(Value::Text("closed".into())),
            from,
            to,
        );
        let shown: Vec<_> =
            joined.iter().map(|s| (s.state.to_string(), s.to.duration_since(s.from).as_secs())).collect();
        assert_eq!(shown, [("closed".into(), 300), ("open".into(), 300), ("closed".into(), 3_000)]);
        assert_eq!(stretches(vec![row(5, "open")], None, from, to)[0].from, from + SignedDuration::from_mins(5));
        assert_eq!(stretches(vec![], None, from, to), []);
    }
}
