//! An exact clip out of segments: one plain MP4 with its index in front, picture and sound.
//!
//! Decoding must start at a key frame, the clip need not: what lies before `from` is in the file and hidden by an edit
//! list. Gaps keep their length (the last picture before one stands still, nothing is heard), so the clip's clock is the wall's.

use super::fmp4;
use super::index::{Segment, Span};
use super::lane::{self, Unit};
use bytes::Bytes;
use jiff::Timestamp;
use mp4_atom::SttsEntry;
use mp4_atom::{Codec, Ctts, CttsEntry, Edts, Elst, ElstEntry, Encode, Moov, Stbl, Stco, StscEntry, Stss, StszSamples};
use std::fs::File;
use std::io;

/// Longest clip, µs: fifteen minutes.
const LENGTH_MAX_US: i64 = 15 * 60 * 1_000_000;
/// Largest clip, bytes.
const BYTES_MAX: u64 = 1 << 30;
/// A hole this long, µs, makes a clip incomplete.
const HOLE_US: i64 = 1_000_000;
/// Longest chunk of a track in the file, ticks: half a second, so that picture and sound lie close together.
const CHUNK: i64 = 45_000;

/// A cut-out piece of recording.
#[derive(Debug, Clone)]
pub struct Clip {
    /// The file.
    pub mp4: Bytes,
    /// When its first shown picture was taken.
    pub from: Timestamp,
    /// When its last shown picture ends.
    pub to: Timestamp,
    /// Pictures shown.
    pub frames: usize,
    /// Whether the whole range is there; false while part of it lies in the future, was lost or is no longer kept.
    pub complete: bool,
}

/// Why there is no clip.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// The camera is not known.
    #[error("no such camera is recorded")]
    UnknownCamera,
    /// The end lies before the start.
    #[error("the clip's end is not after its start")]
    Empty,
    /// Nothing was recorded then.
    #[error("nothing was recorded in that time")]
    NotRecorded,
    /// Too much at once.
    #[error("a clip holds at most 15 minutes and 1 GiB; ask for it in pieces")]
    TooLong,
    /// The disk said no.
    #[error("the recording could not be read")]
    Read(#[from] io::Error),
    /// The boxes could not be written.
    #[error("the clip could not be put together")]
    Mp4(#[from] fmp4::Mp4Error),
}

/// What lies in the segments around a span.
#[derive(Default)]
struct Found {
    pictures: Vec<Unit>,
    audio: Vec<Unit>,
    files: Vec<File>,
    /// Sample descriptions of the pictures, and of the audio.
    codecs: Vec<Codec>,
    audio_codecs: Vec<Codec>,
}

/// Cuts `span` out of the segments that overlap it, oldest first.
pub fn cut(segments: &[Segment], span: &Span) -> Result<Clip, ClipError> {
    if span.end.saturating_sub(span.start) > LENGTH_MAX_US {
        return Err(ClipError::TooLong);
    }
    // Ticks on the wall's clock; all times below are relative to the first segment's start.
    let origin = segments.first().map_or(0, |segment| segment.start_us);
    let ticks = |us: i64| us.saturating_sub(origin).saturating_mul(9).div_euclid(100);
    let mut found = Found::default();
    for segment in segments {
        found.gather(segment, ticks(segment.start_us))?;
    }
    // Times were rounded down twice, to the segment's start and to the picture: a picture taken exactly at `from` is in.
    let wanted = ticks(span.start) - 2..ticks(span.end) - 2;
    let pictures = select(std::mem::take(&mut found.pictures), &wanted);
    let shown: Vec<&Unit> = pictures.iter().filter(|picture| wanted.contains(&picture.pts)).collect();
    let (Some(first), Some(last)) =
        (shown.iter().map(|p| p.pts).min(), shown.iter().map(|p| p.pts + i64::from(p.lasts)).max())
    else {
        return Err(ClipError::NotRecorded);
    };
    let complete = is_complete(&shown, &wanted);
    let frames = shown.len();
    // Where nothing at all was heard, the clip has no track for it.
    let reaches = |unit: &Unit| unit.dts + i64::from(unit.lasts) > first && unit.dts < last;
    let heard = std::mem::take(&mut found.audio);
    let audio = match heard.iter().any(reaches) {
        true => lane::audible(heard, &found.audio_codecs, &(first..last), true),
        false => Vec::new(),
    };
    if pictures.iter().chain(&audio).map(|unit| u64::from(unit.size)).sum::<u64>() > BYTES_MAX {
        return Err(ClipError::TooLong);
    }
    let mp4 = write(&pictures, &audio, found, first..last)?;
    let at = |ticks: i64| Timestamp::from_microsecond(origin + ticks * 100 / 9).unwrap_or_default();
    Ok(Clip { mp4: mp4.into(), from: at(first), to: at(last), frames, complete })
}

impl Found {
    /// Adds a segment that begins at `start` ticks.
    fn gather(&mut self, segment: &Segment, start: i64) -> io::Result<()> {
        let mut file = File::open(&segment.path)?;
        let Some(scan) = fmp4::scan(&mut file, false)? else { return Ok(()) };
        let (n, description) = (self.files.len(), lane::describe(&mut self.codecs, scan.codec));
        self.pictures.extend(scan.samples.iter().map(|sample| Unit::of(sample, n, description, start)));
        if let Some(audio) = scan.audio {
            let description = lane::describe(&mut self.audio_codecs, audio.codec);
            self.audio.extend(audio.samples.iter().map(|sample| Unit::of(sample, n, description, start)));
        }
        self.files.push(file);
        Ok(())
    }
}

/// The pictures needed to show `wanted`: from the key frame that its first depends on to its last.
fn select(pictures: Vec<Unit>, wanted: &Span) -> Vec<Unit> {
    let Some(first) = pictures.iter().position(|picture| wanted.contains(&picture.pts)) else { return Vec::new() };
    let Some(last) = pictures.iter().rposition(|picture| wanted.contains(&picture.pts)) else { return Vec::new() };
    let key = pictures[..=first].iter().rposition(|picture| picture.key).unwrap_or(first);
    let mut needed = pictures;
    needed.truncate(last + 1);
    needed.drain(..key);
    // Segments of a camera whose clock was set back may overlap: decoding times must rise all the same.
    let mut newest = i64::MIN;
    for picture in &mut needed {
        picture.dts = picture.dts.max(newest.saturating_add(1));
        newest = picture.dts;
    }
    needed
}

/// Whether pictures cover the whole of `wanted` without a hole.
fn is_complete(shown: &[&Unit], wanted: &Span) -> bool {
    let hole = HOLE_US * 9 / 100;
    let mut times: Vec<(i64, i64)> = shown.iter().map(|p| (p.pts, p.pts + i64::from(p.lasts))).collect();
    times.sort_unstable();
    let mut covered = wanted.start;
    for (start, end) in times {
        if start - covered > hole {
            return false;
        }
        // A picture that stood still over a hole does not fill it.
        covered = covered.max(end.min(start + hole));
    }
    wanted.end - covered <= hole / 4
}

/// Puts the file together; `shown` in ticks on the pictures' clock.
fn write(pictures: &[Unit], audio: &[Unit], found: Found, shown: Span) -> Result<Vec<u8>, ClipError> {
    let (files, mut tracks) = (found.files, vec![track(pictures, found.codecs, &shown, true)]);
    if !audio.is_empty() {
        tracks.push(track(audio, found.audio_codecs, &shown, false));
    }
    let mut chunks: Vec<(usize, &[Unit])> = chunks(pictures).map(|chunk| (0, chunk)).collect();
    chunks.extend(self::chunks(audio).map(|chunk| (1, chunk)));
    chunks.sort_by_key(|(_, chunk)| chunk.first().map(|unit| unit.dts));
    // Offsets need the length of the boxes before them, which does not depend on the offsets.
    let mut moov = fmp4::movie(tracks);
    let mut out = Vec::new();
    let encoded = |error| ClipError::Mp4(fmp4::Mp4Error::Encode(error));
    fmp4::file_type(b"isom", &[b"isom", b"iso2", b"avc1", b"mp41"]).encode(&mut out).map_err(encoded)?;
    let before = out.len();
    moov.encode(&mut out).map_err(encoded)?;
    place(&mut moov, &chunks, out.len() as u32 + 8);
    out.truncate(before);
    moov.encode(&mut out).map_err(encoded)?;
    let media: u32 = pictures.iter().chain(audio).map(|unit| unit.size).sum();
    out.extend_from_slice(&(media + 8).to_be_bytes());
    out.extend_from_slice(b"mdat");
    for (_, chunk) in chunks {
        lane::copy(chunk, &files, &mut out)?;
    }
    Ok(out)
}

/// Runs of one description and up to [`CHUNK`] that lie together in the file.
fn chunks(units: &[Unit]) -> impl Iterator<Item = &[Unit]> {
    let slot = |unit: &Unit| (unit.description, unit.dts.div_euclid(CHUNK));
    units.chunk_by(move |a, b| slot(a) == slot(b))
}

/// Writes where the chunks lie, the first at `offset`.
fn place(moov: &mut Moov, chunks: &[(usize, &[Unit])], mut offset: u32) {
    let mut offsets = vec![Vec::new(); moov.trak.len()];
    for (track, chunk) in chunks {
        if let Some(own) = offsets.get_mut(*track) {
            own.push(offset);
        }
        offset += chunk.iter().map(|unit| unit.size).sum::<u32>();
    }
    for (trak, entries) in moov.trak.iter_mut().zip(offsets) {
        trak.mdia.minf.stbl.stco = Some(Stco { entries });
    }
}

/// A track's tables, and what of it is shown when: `shown`, ticks, which begins at the first picture.
fn track(units: &[Unit], codecs: Vec<Codec>, shown: &Span, pictures: bool) -> fmp4::Track {
    let mut stbl = fmp4::tables(codecs);
    let mut duration = 0;
    for (i, unit) in units.iter().enumerate() {
        let lasts = match units.get(i + 1) {
            Some(next) => next.dts - unit.dts,
            None => i64::from(unit.lasts),
        } as u32;
        duration += u64::from(lasts);
        match stbl.stts.entries.last_mut() {
            Some(run) if run.sample_delta == lasts => run.sample_count += 1,
            _ => stbl.stts.entries.push(SttsEntry { sample_count: 1, sample_delta: lasts }),
        }
    }
    if pictures {
        order(units, &mut stbl);
    }
    let lengths: Vec<_> = chunks(units).filter_map(|run| Some((run.len() as u32, run.first()?.description))).collect();
    for (i, (count, index)) in lengths.iter().enumerate() {
        let last = stbl.stsc.entries.last();
        if last.is_none_or(|last| (last.samples_per_chunk, last.sample_description_index) != (*count, *index)) {
            stbl.stsc.entries.push(StscEntry {
                first_chunk: i as u32 + 1,
                samples_per_chunk: *count,
                sample_description_index: *index,
            });
        }
    }
    stbl.stsz.samples = StszSamples::Different { sizes: units.iter().map(|unit| unit.size).collect() };
    stbl.stco = Some(Stco { entries: vec![0; lengths.len()] });
    let base = units.first().map_or(shown.start, |unit| unit.dts);
    // A picture is there from the first moment on.
    let late = if pictures { 0 } else { (base - shown.start).max(0) };
    let edit = edit(base, late, shown);
    fmp4::Track { stbl, duration, edit: Some(edit) }
}

/// Which pictures one may begin with, and where they are shown in another order than decoded.
fn order(pictures: &[Unit], stbl: &mut Stbl) {
    let mut compositions = Ctts::default();
    for picture in pictures {
        let composition = picture.pts - picture.dts;
        match compositions.entries.last_mut() {
            Some(run) if run.sample_offset == composition => run.sample_count += 1,
            _ => compositions.entries.push(CttsEntry { sample_count: 1, sample_offset: composition }),
        }
    }
    let keys = pictures.iter().zip(1..).filter(|(picture, _)| picture.key).map(|(_, n)| n);
    stbl.stss = Some(Stss { entries: keys.collect() });
    stbl.ctts = compositions.entries.iter().any(|run| run.sample_offset != 0).then_some(compositions);
}

/// Shows of a track that begins at `base` what lies in `shown`, after `late` ticks of nothing.
fn edit(base: i64, late: i64, shown: &Span) -> Edts {
    let entry =
        |lasts: i64, from| ElstEntry { segment_duration: lasts.max(0) as u64, media_time: from, media_rate: 1.into() };
    let mut entries = Vec::new();
    if late > 0 {
        entries.push(entry(late, None));
    }
    entries.push(entry(shown.end - shown.start - late, Some((shown.start - base).max(0) as u64)));
    Edts { elst: Some(Elst { entries }) }
}
