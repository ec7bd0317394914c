//! What is recorded: a catalogue of segments in memory, made from the directory; and the ranges that must be kept.
//!
//! ```text
//!  <recordings>/<camera-key>/20260314/20260314T101500.123456Z.open.mp4      being written
//!                                     20260314T101400.083456Z+60040.mp4     closed; lasted 60 040 ms
//!                            pins                                           one `from_us to_us` a line
//! ```
//! The name says start and length, so starting reads directories only. A segment that a crash left open is scanned, cut
//! behind its last whole part and closed. Data first, then its name here; removal the other way round.

use super::fmp4;
use gatehouse_core::id::DeviceKey;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A stretch of time, µs since 1970, end excluded.
pub type Span = std::ops::Range<i64>;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Capture time of its first picture, µs.
    pub start_us: i64,
    /// End of its last picture, µs.
    pub end_us: i64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is being written.
    pub open: bool,
}

/// The segments and kept ranges of one camera.
#[derive(Debug, Default, Clone)]
pub struct Catalogue {
    /// By start, µs.
    pub segments: BTreeMap<i64, Segment>,
    /// Ranges that retention leaves alone.
    pub pins: Vec<Span>,
}

impl Catalogue {
    /// Segments that overlap a span, oldest first. Each starts with a key frame, so decoding needs no other.
    pub fn overlapping(&self, span: &Span) -> Vec<Segment> {
        self.segments
            .range(..span.end)
            .rev()
            .take_while(|(_, segment)| segment.end_us > span.start)
            .map(|(_, segment)| segment.clone())
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect()
    }

    /// When something is recorded within a span, oldest first. Holes of up to `hole_us` between segments count as none.
    pub fn stretches(&self, span: &Span, hole_us: i64) -> Vec<Span> {
        let mut found: Vec<Span> = Vec::new();
        // One segment may begin before the span and reach into it.
        let first = self.segments.range(..=span.start).next_back().map_or(span.start, |(start, _)| *start);
        for segment in self.segments.range(first..span.end.max(first)).map(|(_, segment)| segment) {
            let (start, end) = (segment.start_us.max(span.start), segment.end_us.min(span.end));
            match found.last_mut() {
                _ if start >= end => {}
                Some(last) if start.saturating_sub(last.end) <= hole_us => last.end = last.end.max(end),
                Some(_) | None => found.push(start..end),
            }
        }
        found
    }

    /// Segments to play a span from, oldest first: those that overlap it, else the first after it; and where the one after
    /// those begins.
    pub fn from_moment(&self, span: &Span) -> (Vec<Segment>, Option<i64>) {
        let mut chosen = self.overlapping(span);
        if chosen.is_empty() {
            chosen.extend(self.segments.range(span.start..).next().map(|(_, segment)| segment.clone()));
        }
        let later = chosen.last().and_then(|last| self.segments.range(last.start_us + 1..).next());
        let later = later.map(|(start, _)| *start);
        (chosen, later)
    }

    /// Whether any kept range touches a span.
    pub fn pinned(&self, span: &Span) -> bool {
        self.pins.iter().any(|pin| pin.start < span.end && span.start < pin.end)
    }

    /// Takes what another directory holds of the same camera.
    pub fn merge(&mut self, other: Catalogue) {
        for (start, segment) in other.segments {
            self.segments.entry(start).or_insert(segment);
        }
        for pin in other.pins {
            if !self.pins.contains(&pin) {
                self.pins.push(pin);
            }
        }
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }
}

/// Where segments of a camera lie.
pub fn camera_dir(recordings: &Path, key: &DeviceKey) -> PathBuf {
    recordings.join(key.as_str())
}

/// The path of a segment while it is written.
pub fn open_path(dir: &Path, start_us: i64) -> PathBuf {
    let stem = stem(start_us);
    dir.join(&stem[..8]).join(format!("{stem}.open.mp4"))
}

/// The path of a closed segment.
pub fn closed_path(dir: &Path, start_us: i64, end_us: i64) -> PathBuf {
    let stem = stem(start_us);
    // Rounded up: a name must never promise less than is there.
    let lasted_ms = (end_us - start_us).max(0) as u64;
    dir.join(&stem[..8]).join(format!("{stem}+{}.mp4", lasted_ms.div_ceil(1000)))
}

fn stem(start_us: i64) -> String {
    let start = Timestamp::from_microsecond(start_us).unwrap_or_default();
    let civil = start.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}.{:06}Z",
        civil.year(),
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minute(),
        civil.second(),
        civil.subsec_nanosecond() / 1000
    )
}

/// Start, and length in µs where the segment was closed; `None` for other files.
fn parse_name(name: &str) -> Option<(i64, Option<i64>)> {
    let stem = name.strip_suffix(".mp4")?;
    let (start, lasted) = match stem.split_once('+') {
        Some((start, lasted)) => (start, Some(lasted.parse::<u32>().ok()?)),
        None => (stem.strip_suffix(".open")?, None),
    };
    let (date, time) = start.strip_suffix('Z')?.split_once('T')?;
    let (clock, micros) = time.split_once('.')?;
    if date.len() != 8 || clock.len() != 6 || micros.len() != 6 || !start.is_ascii() {
        return None;
    }
    let text = format!(
        "{}-{}-{}T{}:{}:{}.{micros}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &clock[..2],
        &clock[2..4],
        &clock[4..]
    );
    let start: Timestamp = text.parse().ok()?;
    Some((start.as_microsecond(), lasted.map(|ms| i64::from(ms) * 1000)))
}

/// Reads a camera's directory; segments left open by a crash are cut behind their last whole part and closed.
///
/// Files that are not segments are left alone. A directory that does not exist is an empty catalogue.
pub fn load(dir: &Path) -> io::Result<Catalogue> {
    read(dir, |path, start_us| recover(dir, path, start_us))
}

/// Reads a camera's directory and changes nothing: a segment being written is one without an end, its length that of now.
pub fn look(dir: &Path) -> io::Result<Catalogue> {
    read(dir, |path, start_us| match fs::metadata(path) {
        Ok(meta) => {
            Ok(Some(Segment { start_us, end_us: i64::MAX, bytes: meta.len(), path: path.to_owned(), open: true }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    })
}

fn read(dir: &Path, open: impl Fn(&Path, i64) -> io::Result<Option<Segment>>) -> io::Result<Catalogue> {
    let mut catalogue = Catalogue { pins: load_pins(dir)?, ..Catalogue::default() };
    for day in list(dir)? {
        if !day.file_type()?.is_dir() {
            continue;
        }
        for entry in list(&day.path())? {
            let name = entry.file_name();
            let Some((start_us, lasted)) = name.to_str().and_then(parse_name) else { continue };
            let segment = match lasted {
                Some(lasted) => {
                    // Retention may have removed it since the directory was read.
                    let Ok(meta) = entry.metadata() else { continue };
                    let (end_us, bytes) = (start_us + lasted, meta.len());
                    Some(Segment { start_us, end_us, bytes, path: entry.path(), open: false })
                }
                None => open(&entry.path(), start_us)?,
            };
            if let Some(segment) = segment {
                catalogue.segments.insert(start_us, segment);
            }
        }
    }
    Ok(catalogue)
}

fn list(dir: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Closes a segment that a crash left open; one without a picture is removed.
fn recover(dir: &Path, path: &Path, start_us: i64) -> io::Result<Option<Segment>> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let scan = fmp4::scan(&mut file, true)?.filter(|scan| !scan.samples.is_empty());
    let Some(scan) = scan else {
        fs::remove_file(path)?;
        return Ok(None);
    };
    file.set_len(scan.valid_len)?;
    file.sync_all()?;
    let end_us = start_us + end_ticks(&scan.samples) * 100 / 9;
    let closed = closed_path(dir, start_us, end_us);
    fs::rename(path, &closed)?;
    Ok(Some(Segment { start_us, end_us, bytes: scan.valid_len, path: closed, open: false }))
}

/// When the last picture of a segment ends, ticks from its start.
fn end_ticks(samples: &[fmp4::SampleRef]) -> i64 {
    samples.iter().rev().take(64).map(|sample| sample.pts() + i64::from(sample.duration)).max().unwrap_or(0)
}

fn load_pins(dir: &Path) -> io::Result<Vec<Span>> {
    match fs::read_to_string(dir.join("pins")) {
        Ok(text) => Ok(text
            .lines()
            .filter_map(|line| {
                let (from, to) = line.split_once(' ')?;
                Some(from.parse().ok()?..to.parse().ok()?)
            })
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Writes the kept ranges; durable when it returns.
pub fn save_pins(dir: &Path, pins: &[Span]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let text: String = pins.iter().map(|pin| format!("{} {}\n", pin.start, pin.end)).collect();
    let fresh = dir.join("pins.new");
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, dir.join("pins"))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::fmp4::tests::{config, picture};
    use crate::recorder::fmp4::{Sample, init, part};

    const T0: i64 = 1_773_483_300_123_456;

    #[test]
    fn a_name_says_start_and_length() {
        let dir = Path::new("cam");
        let closed = closed_path(dir, T0, T0 + 60_040_001);
        assert_eq!(closed, Path::new("cam/20260314/20260314T101500.123456Z+60041.mp4"));
        assert_eq!(parse_name("20260314T101500.123456Z+60041.mp4"), Some((T0, Some(60_041_000))));
        assert_eq!(parse_name("20260314T101500.123456Z.open.mp4"), Some((T0, None)));
        for other in
            ["pins", "x.mp4", "20260314T101500Z.open.mp4", "20261314T101500.123456Z.open.mp4", "+.mp4", "é+1.mp4"]
        {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }

    #[test]
    fn a_crash_leaves_the_whole_parts_under_a_closed_name() {
        let dir = tempfile::tempdir().unwrap();
        let open = open_path(dir.path(), T0);
        fs::create_dir_all(open.parent().unwrap()).unwrap();
        let mut bytes = init(&config(), None).unwrap();
        let (a, b) = (picture(0, true), picture(1, false));
        bytes.extend(part(1, &[Sample { data: &a, dts: 0, composition: 0, duration: 3600, key: true }], &[]));
        let whole = bytes.len() as u64;
        bytes.extend(part(2, &[Sample { data: &b, dts: 3600, composition: 0, duration: 3600, key: false }], &[]));
        fs::write(&open, &bytes[..bytes.len() - 1]).unwrap();
        fs::write(open_path(dir.path(), T0 + 1), b"torn").unwrap();

        let catalogue = load(dir.path()).unwrap();
        let segment = catalogue.segments.get(&T0).unwrap();
        assert_eq!((segment.bytes, segment.end_us, segment.open), (whole, T0 + 40_000, false));
        assert_eq!(fs::metadata(&segment.path).unwrap().len(), whole);
        assert_eq!(catalogue.segments.len(), 1, "an open file without a picture is removed");
        assert_eq!(load(dir.path()).unwrap().segments, catalogue.segments, "and again the same");
    }

    fn catalogue(spans: &[Span]) -> Catalogue {
        let segment = |span: &Span| Segment {
            start_us: span.start,
            end_us: span.end,
            bytes: 1,
            path: PathBuf::new(),
            open: false,
        };
        Catalogue { segments: spans.iter().map(|span| (span.start, segment(span))).collect(), pins: Vec::new() }
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "a list of one stretch, not its members")]
    fn stretches_are_cut_to_the_span_and_small_holes_are_none() {
        let known = catalogue(&[0..60, 61..120, 200..260, 260..320]);
        assert_eq!(known.stretches(&(0..1000), 1), [0..120, 200..320]);
        assert_eq!(known.stretches(&(0..1000), 0), [0..60, 61..120, 200..320]);
        assert_eq!(known.stretches(&(30..70), 1), [Span { start: 30, end: 70 }]);
        assert_eq!(known.stretches(&(130..190), 1), [] as [Span; 0]);
        assert_eq!(
            known.stretches(&(130..210), 100),
            [Span { start: 200, end: 210 }],
            "what lies before the span fills no hole in it"
        );
        assert_eq!(Catalogue::default().stretches(&(0..10), 1), [] as [Span; 0]);
    }

    #[test]
    fn playing_from_a_gap_begins_with_what_comes_after_it() {
        let known = catalogue(&[0..60, 60..120, 200..260]);
        let starts = |span: Span| {
            let (chosen, later) = known.from_moment(&span);
            (chosen.iter().map(|segment| segment.start_us).collect::<Vec<_>>(), later)
        };
        assert_eq!(starts(10..20), (vec![0], Some(60)));
        assert_eq!(starts(50..70), (vec![0, 60], Some(200)));
        assert_eq!(starts(130..140), (vec![200], None));
        assert_eq!(starts(260..300), (vec![], None));
    }

    #[test]
    fn pins_survive() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(&dir.path().join("none")).unwrap().pins.is_empty());
        save_pins(dir.path(), &[1..5, 9..12]).unwrap();
        let catalogue = load(dir.path()).unwrap();
        assert_eq!(catalogue.pins, [1..5, 9..12]);
        assert!(catalogue.pinned(&(4..9)) && !catalogue.pinned(&(5..9)));
    }
}
