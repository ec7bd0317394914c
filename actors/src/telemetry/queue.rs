//! Readings that wait for the writer: names and words kept once, a bound, and what goes when it is reached.
//!
//! When the queue is full the **oldest** reading goes, counted: what is newest is worth most. Should it have been the newest
//! of its series, its value is put aside and still reaches the latest values, so that a quiet point among busy ones is not
//! forgotten.

use gatehouse_core::device::telemetry::{PointName, Value};
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Points of one device that have a history: more is a device that invents names.
const POINTS_OF_A_DEVICE: usize = 1_024;
/// Different words kept once.
const WORDS: usize = 10_000;
/// The longest word of the history, bytes.
const WORD_LONGEST: usize = 1_024;
/// Readings of another time are those of a broken clock: 1970-01-01 and 2200-01-01, seconds.
const TIMES: std::ops::Range<i64> = 0..7_258_118_400;

/// A series as this process numbers it.
pub(super) type Local = u32;

/// A series in the database: its number, and the segment its rows are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub id: i32,
    pub segment: i16,
}

/// A value on its way.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kept {
    Number(f64),
    Flag(bool),
    Word(Arc<str>),
}

/// A reading on its way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub series: Local,
    pub at: Timestamp,
    pub value: Kept,
}

/// What became of a report's readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pushed {
    /// Old ones that made room.
    pub dropped: u64,
    /// Not taken: too many names, or a time no clock shows.
    pub refused: u64,
}

/// A point's name, and its series.
struct Point {
    name: Arc<str>,
    series: Local,
}

/// A series with what is known of it.
struct Series {
    device: DeviceId,
    point: Arc<str>,
    stored: Option<Stored>,
}

/// The queue.
pub(super) struct Queue {
    limit: usize,
    rows: VecDeque<Row>,
    aside: HashMap<Local, Row>,
    devices: HashMap<DeviceId, Vec<Point>>,
    series: Vec<Series>,
    words: HashSet<Arc<str>>,
}

impl Queue {
    /// An empty queue of so many readings at most.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            rows: VecDeque::new(),
            aside: HashMap::new(),
            devices: HashMap::new(),
            series: Vec::new(),
            words: HashSet::new(),
        }
    }

    /// Readings that wait.
    pub(super) fn depth(&self) -> usize {
        self.rows.len()
    }

    /// Readings that may wait.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Queues the values of a report.
    pub(super) fn push(&mut self, device: DeviceId, points: &[(PointName, Value)], at: Timestamp) -> Pushed {
        let mut pushed = Pushed::default();
        for (name, value) in points {
            // A reading that is refused for its time makes no series.
            let series = if TIMES.contains(&at.as_second()) { self.series(device, name) } else { None };
            let Some(series) = series else {
                pushed.refused += 1;
                continue;
            };
            let value = match value {
                Value::Number(number) => Kept::Number(*number),
                Value::Bool(on) => Kept::Flag(*on),
                Value::Text(word) => Kept::Word(self.word(word)),
            };
            if self.rows.len() >= self.limit
                && let Some(oldest) = self.rows.pop_front()
            {
                pushed.dropped += 1;
                put_newest(&mut self.aside, oldest);
            }
            self.rows.push_back(Row { series, at, value });
        }
        pushed
    }

    /// Takes up to `most` of the oldest readings, and what was put aside for the latest values.
    pub(super) fn take(&mut self, most: usize, rows: &mut Vec<Row>) -> Vec<Row> {
        rows.extend(self.rows.drain(..most.min(self.rows.len())));
        std::mem::take(&mut self.aside).into_values().collect()
    }

    /// The series among these whose number in the database is not known.
    pub(super) fn unknown(&self, rows: impl Iterator<Item = Local>) -> Vec<(Local, DeviceId, Arc<str>)> {
        let mut unknown: Vec<Local> = rows.filter(|local| self.stored(*local).is_none()).collect();
        unknown.sort_unstable();
        unknown.dedup();
        let named = |local: Local| self.series.get(local as usize).map(|s| (local, s.device, s.point.clone()));
        unknown.into_iter().filter_map(named).collect()
    }

    /// A series' number in the database.
    pub(super) fn stored(&self, local: Local) -> Option<Stored> {
        self.series.get(local as usize).and_then(|series| series.stored)
    }

    /// Remembers a series' number in the database.
    pub(super) fn know(&mut self, local: Local, stored: Stored) {
        if let Some(series) = self.series.get_mut(local as usize) {
            series.stored = Some(stored);
        }
    }

    fn series(&mut self, device: DeviceId, name: &str) -> Option<Local> {
        let points = self.devices.entry(device).or_default();
        if let Some(point) = points.iter().find(|point| *point.name == *name) {
            return Some(point.series);
        }
        if points.len() >= POINTS_OF_A_DEVICE {
            return None;
        }
        let series = Local::try_from(self.series.len()).ok()?;
        let name: Arc<str> = name.into();
        points.push(Point { name: name.clone(), series });
        self.series.push(Series { device, point: storable(&name), stored: None });
        Some(series)
    }

    fn word(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.words.get(word) {
            return known.clone();
        }
        let kept = storable(word);
        if self.words.len() < WORDS {
            self.words.insert(kept.clone());
        }
        kept
    }
}

/// Keeps a row unless a newer one of its series is there.
fn put_newest(rows: &mut HashMap<Local, Row>, row: Row) {
    match rows.get(&row.series) {
        Some(there) if there.at > row.at => {}
        _ => {
            rows.insert(row.series, row);
        }
    }
}

/// A text as PostgreSQL takes it: without the byte it refuses, and not endless.
fn storable(text: &str) -> Arc<str> {
    let mut end = text.len().min(WORD_LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    if text.contains('\0') { text.replace('\0', "").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + second).unwrap()
    }

    fn number(name: &str, n: f64) -> Vec<(PointName, Value)> {
        vec![(name.to_owned(), Value::Number(n))]
    }

    fn device(n: u8) -> DeviceId {
        DeviceId::from_key(&format!("meter-{n}"))
    }

    #[test]
    fn a_full_queue_drops_the_oldest_and_keeps_its_value_for_the_latest() {
        let mut queue = Queue::new(3);
        assert_eq!(queue.push(device(1), &number("quiet", 7.0), at(0)), Pushed::default());
        let mut dropped = 0;
        for second in 1..=5 {
            dropped += queue.push(device(2), &number("busy", second as f64), at(second)).dropped;
        }
        assert_eq!((dropped, queue.depth()), (3, 3));
        let mut rows = Vec::new();
        let mut aside = queue.take(10, &mut rows);
        assert_eq!(rows.iter().map(|row| row.at).collect::<Vec<_>>(), [at(3), at(4), at(5)]);
        aside.sort_by_key(|row| row.at);
        let kept: Vec<_> = aside.iter().map(|row| (row.series, row.value.clone())).collect();
        assert_eq!(kept, [(0, Kept::Number(7.0)), (1, Kept::Number(2.0))]);
        assert!(queue.take(10, &mut rows).is_empty(), "it is put aside once");
    }

    #[test]
    fn what_no_clock_shows_and_endless_names_are_refused() {
        let mut queue = Queue::new(10_000);
        let ancient: Timestamp = "0001-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(queue.push(device(1), &number("t", 1.0), ancient).refused, 1);
        let mut refused = 0;
        for n in 0..POINTS_OF_A_DEVICE + 5 {
            refused += queue.push(device(1), &number(&format!("p{n}"), 1.0), at(0)).refused;
        }
        assert_eq!(refused, 5);
        assert_eq!(queue.push(device(2), &number("p", 1.0), at(0)).refused, 0, "others go on");
    }

    #[test]
    fn names_and_words_are_kept_once_and_as_postgres_takes_them() {
        let mut queue = Queue::new(10);
        let open = [("contact\0".to_owned(), Value::Text("op\0en".into()))];
        queue.push(device(1), &open, at(0));
        queue.push(device(1), &open, at(1));
        let mut rows = Vec::new();
        queue.take(10, &mut rows);
        assert_eq!(rows[0].series, rows[1].series);
        assert_eq!(rows[0].value, Kept::Word("open".into()));
        let unknown = queue.unknown(rows.iter().map(|row| row.series));
        assert_eq!(unknown.len(), 1);
        assert_eq!(&*unknown[0].2, "contact");
        queue.know(0, Stored { id: 9, segment: 1 });
        assert!(queue.unknown([0].into_iter()).is_empty());
        let long = "x".repeat(WORD_LONGEST - 1) + "é";
        assert_eq!(storable(&long).len(), WORD_LONGEST - 1);
    }
}
