//! A piece of recording to play: whole groups of pictures and what was heard meanwhile, as fragmented MP4, byte for byte as they
//! were recorded.
//!
//! ```text
//!  asked            from ─────────── to
//!  key frames   K ──────── K ──────── K ──────── K        gap        K
//!  given        └────────── this piece ──────────┘ next
//! ```
//! The piece's clock begins with its first picture. A player that asks again from `next` gets every picture once, whatever
//! lies between: another codec, sound that begins or ends, a gap, the segment being written. Only at the live edge, where `next` is none yet, the last
//! group of pictures is given again when it has grown.

use super::clip::ClipError;
use super::fmp4::{self, Sample};
use super::index::{Segment, Span};
use super::lane::{self, Unit};
use crate::hub::is_h264;
use bytes::Bytes;
use jiff::Timestamp;
use mp4_atom::Codec;
use std::fs::File;

/// A piece ends at the key frame that would make it larger, bytes.
const BYTES: u64 = 24 << 20;
/// Largest piece where no key frame comes, bytes: what follows up to the next one is left out.
const BYTES_MAX: u64 = 64 << 20;
/// Segments further apart than this, µs, do not follow each other.
const HOLE_US: i64 = 1_000_000;
/// Pictures to a part.
const PART: usize = 50;

/// A piece of recording.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The file: initial boxes and parts.
    pub mp4: Bytes,
    /// RFC 6381 names of its codecs, as a media type's parameter lists them: the picture's, and the sound's where there is any.
    pub codecs: String,
    /// The picture's codec in the recording, where this piece was transcoded.
    pub was: Option<String>,
    /// When its first picture was taken: zero on the file's clock.
    pub from: Timestamp,
    /// When its last picture ends.
    pub to: Timestamp,
    /// Pictures in it.
    pub frames: usize,
    /// Where what follows begins; `None` when nothing later is recorded yet.
    pub next: Option<Timestamp>,
}

impl Piece {
    /// Whether its pictures are H.264, the one codec that every browser reads.
    pub fn is_h264(&self) -> bool {
        is_h264(&self.codecs)
    }
}

/// The pictures of a piece, and what comes after.
#[derive(Default)]
struct Gathered {
    pictures: Vec<Unit>,
    audio: Vec<Unit>,
    files: Vec<File>,
    /// The sample entry of the picture, and of the sound where the segments have any.
    codecs: Option<(Codec, Option<Codec>)>,
    /// Where what follows begins, ticks.
    next: Option<i64>,
    bytes: u64,
}

/// Puts a piece together out of the segments from `span.start` on, oldest first; `later` is where the one after them begins.
pub fn cut(segments: &[Segment], later: Option<i64>, span: &Span) -> Result<Piece, ClipError> {
    let origin = segments.first().map_or(0, |segment| segment.start_us);
    let ticks = |us: i64| us.saturating_sub(origin).saturating_mul(9).div_euclid(100);
    // Times were rounded down twice, to the segment's start and to the picture.
    let wanted = ticks(span.start) + 2..ticks(span.end) - 2;
    let mut found = Gathered::default();
    let mut covered = i64::MIN;
    for segment in segments {
        let follows = covered == i64::MIN || segment.start_us.saturating_sub(covered) <= HOLE_US;
        let going = if follows { found.gather(segment, ticks(segment.start_us), &wanted)? } else { false };
        if !going {
            found.next.get_or_insert(ticks(segment.start_us));
            break;
        }
        covered = segment.end_us;
    }
    found.next = found.next.or(later.map(ticks));
    let (codec, audio) = found.codecs.take().ok_or(ClipError::NotRecorded)?;
    let Some((first, last)) = found.pictures.first().zip(found.pictures.last()) else {
        return Err(ClipError::NotRecorded);
    };
    // Where the next piece joins without a hole, the last picture lasts until there.
    let ends = match found.next {
        Some(next) if next > last.dts && next - last.dts <= HOLE_US * 9 / 100 => next,
        Some(_) | None => last.dts + i64::from(last.lasts.max(1)),
    };
    let (begins, frames) = (first.dts, found.pictures.len());
    let at = |ticks: i64| Timestamp::from_microsecond(origin.saturating_add(ticks * 100 / 9)).unwrap_or_default();
    Ok(Piece {
        codecs: [fmp4::codec_name(&codec)]
            .into_iter()
            .chain(audio.as_ref().map(fmp4::audio_name))
            .collect::<Vec<_>>()
            .join(","),
        was: None,
        from: at(begins),
        to: at(ends),
        frames,
        // Rounded up, so that asking from there begins there and not one group of pictures earlier.
        next: found.next.map(|ticks| at(ticks + 1)),
        mp4: found.write(codec, audio, ends)?.into(),
    })
}

impl Gathered {
    /// Takes a segment's pictures, which begin at `start` ticks; whether the piece may go on after it.
    fn gather(&mut self, segment: &Segment, start: i64, wanted: &Span) -> Result<bool, ClipError> {
        let mut file = File::open(&segment.path)?;
        let Some(scan) = fmp4::scan(&mut file, false)? else { return Ok(true) };
        let audio = scan.audio.as_ref().map(|audio| audio.codec.clone());
        let codecs = (scan.codec, audio);
        if *self.codecs.get_or_insert_with(|| codecs.clone()) != codecs {
            return Ok(false);
        }
        let n = self.files.len();
        let heard = scan.audio.iter().flat_map(|audio| &audio.samples);
        self.audio.extend(heard.map(|sample| Unit::of(sample, n, 1, start)));
        let mut run: Vec<Unit> = scan.samples.iter().map(|sample| Unit::of(sample, n, 1, start)).collect();
        if self.pictures.is_empty() {
            let key = run.iter().rposition(|picture| picture.key && picture.pts <= wanted.start);
            run.drain(..key.unwrap_or(0));
        }
        for mut picture in run {
            let size = u64::from(picture.size);
            let enough = !self.pictures.is_empty() && (picture.pts >= wanted.end || self.bytes + size > BYTES);
            if picture.key && (enough || self.bytes > BYTES_MAX) {
                self.next = Some(picture.pts);
                break;
            }
            if self.bytes > BYTES_MAX {
                continue;
            }
            // Segments of a camera whose clock was set back may overlap: decoding times must rise all the same.
            picture.dts = self.pictures.last().map_or(picture.dts, |before| picture.dts.max(before.dts + 1));
            self.bytes += size;
            self.pictures.push(picture);
        }
        self.files.push(file);
        Ok(self.next.is_none())
    }

    /// The file; its last picture lasts until `ends`, ticks.
    fn write(mut self, codec: Codec, audio: Option<Codec>, ends: i64) -> Result<Vec<u8>, ClipError> {
        let base = self.pictures.first().map_or(0, |picture| picture.dts);
        let heard = audio.clone().map(|codec| {
            // The part of a frame that lies before belongs to the piece before.
            lane::audible(std::mem::take(&mut self.audio), &[codec], &(base..ends), false)
        });
        let (pictures, heard) =
            (Media::read(self.pictures, &self.files)?, Media::read(heard.unwrap_or_default(), &self.files)?);
        let (pictures, heard) = (pictures.samples(base, ends), heard.samples(base, ends));
        Ok(lay_out(codec, audio, &pictures, &heard)?)
    }
}

/// The file of a piece: parts of pictures, each with what is heard meanwhile. Times count from the first picture.
pub(crate) fn lay_out(
    codec: Codec,
    audio: Option<Codec>,
    pictures: &[Sample<'_>],
    heard: &[Sample<'_>],
) -> Result<Vec<u8>, fmp4::Mp4Error> {
    let mut out = fmp4::init_of(codec, audio)?;
    out.reserve(pictures.iter().chain(heard).map(|sample| sample.data.len() + 20).sum::<usize>() + 1024);
    let (mut rest, mut sequence) = (heard, 0);
    for (n, run) in pictures.chunks(PART).enumerate() {
        let next = pictures.get((n + 1) * PART).map_or(u64::MAX, |next| next.dts);
        let meanwhile = rest.iter().take_while(|sample| sample.dts < next).count();
        let (now, later) = rest.split_at(meanwhile);
        rest = later;
        sequence += 1;
        out.extend(fmp4::part(sequence, run, now));
    }
    Ok(out)
}

/// Units with their bytes.
struct Media {
    units: Vec<Unit>,
    bytes: Vec<u8>,
}

impl Media {
    fn read(units: Vec<Unit>, files: &[File]) -> std::io::Result<Self> {
        let mut bytes = Vec::with_capacity(units.iter().map(|unit| unit.size as usize).sum());
        lane::copy(&units, files, &mut bytes)?;
        Ok(Self { units, bytes })
    }

    /// What is written: times from `base` on, the last one until `ends`.
    fn samples(&self, base: i64, ends: i64) -> Vec<Sample<'_>> {
        let mut at = 0;
        let sample = |(n, unit): (usize, &Unit)| {
            let data = &self.bytes[at..at + unit.size as usize];
            at += data.len();
            let next = self.units.get(n + 1).map_or(ends, |next| next.dts);
            Sample {
                data,
                dts: (unit.dts - base) as u64,
                composition: (unit.pts - unit.dts) as i32,
                duration: (next - unit.dts).max(1) as u32,
                key: unit.key,
            }
        };
        self.units.iter().enumerate().map(sample).collect()
    }
}
