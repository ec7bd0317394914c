//! A piece of recording to play: whole groups of pictures as fragmented MP4, byte for byte as the camera sent them.
//!
//! ```text
//!  asked            from ─────────── to
//!  key frames   K ──────── K ──────── K ──────── K        gap        K
//!  given        └────────── this piece ──────────┘ next
//! ```
//! The piece's clock begins with its first picture. A player that asks again from `next` gets every picture once, whatever
//! lies between: another codec, a gap, the segment being written. Only at the live edge, where `next` is none yet, the last
//! group of pictures is given again when it has grown.

use super::clip::ClipError;
use super::fmp4::{self, Sample, SampleRef};
use super::index::{Segment, Span};
use bytes::Bytes;
use jiff::Timestamp;
use mp4_atom::Codec;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

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
    /// RFC 6381 name of its codec.
    pub codec: String,
    /// When its first picture was taken: zero on the file's clock.
    pub from: Timestamp,
    /// When its last picture ends.
    pub to: Timestamp,
    /// Pictures in it.
    pub frames: usize,
    /// Where what follows begins; `None` when nothing later is recorded yet.
    pub next: Option<Timestamp>,
}

/// A picture with its place in time and on disk.
#[derive(Debug, Clone, Copy)]
struct Picture {
    sample: SampleRef,
    /// Which of the files.
    file: usize,
    dts: i64,
    pts: i64,
}

/// The pictures of a piece, and what comes after.
#[derive(Default)]
struct Gathered {
    pictures: Vec<Picture>,
    files: Vec<File>,
    codec: Option<Codec>,
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
    let codec = found.codec.take().ok_or(ClipError::NotRecorded)?;
    let Some((first, last)) = found.pictures.first().zip(found.pictures.last()) else {
        return Err(ClipError::NotRecorded);
    };
    // Where the next piece joins without a hole, the last picture lasts until there.
    let ends = match found.next {
        Some(next) if next > last.dts && next - last.dts <= HOLE_US * 9 / 100 => next,
        Some(_) | None => last.dts + i64::from(last.sample.duration.max(1)),
    };
    let at = |ticks: i64| Timestamp::from_microsecond(origin.saturating_add(ticks * 100 / 9)).unwrap_or_default();
    Ok(Piece {
        codec: fmp4::codec_name(&codec),
        from: at(first.dts),
        to: at(ends),
        frames: found.pictures.len(),
        // Rounded up, so that asking from there begins there and not one group of pictures earlier.
        next: found.next.map(|ticks| at(ticks + 1)),
        mp4: found.write(codec, ends)?.into(),
    })
}

impl Gathered {
    /// Takes a segment's pictures, which begin at `start` ticks; whether the piece may go on after it.
    fn gather(&mut self, segment: &Segment, start: i64, wanted: &Span) -> Result<bool, ClipError> {
        let mut file = File::open(&segment.path)?;
        let Some(scan) = fmp4::scan(&mut file, false)? else { return Ok(true) };
        if *self.codec.get_or_insert_with(|| scan.codec.clone()) != scan.codec {
            return Ok(false);
        }
        let index = self.files.len();
        let mut run: Vec<Picture> = scan
            .samples
            .into_iter()
            .map(|sample| Picture { file: index, dts: start + sample.dts as i64, pts: start + sample.pts(), sample })
            .collect();
        if self.pictures.is_empty() {
            let key = run.iter().rposition(|picture| picture.sample.key && picture.pts <= wanted.start);
            run.drain(..key.unwrap_or(0));
        }
        for mut picture in run {
            let size = u64::from(picture.sample.size);
            let enough = !self.pictures.is_empty() && (picture.pts >= wanted.end || self.bytes + size > BYTES);
            if picture.sample.key && (enough || self.bytes > BYTES_MAX) {
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
    fn write(&self, codec: Codec, ends: i64) -> Result<Vec<u8>, ClipError> {
        let mut media = Vec::with_capacity(self.bytes as usize);
        self.read(&mut media)?;
        let mut out = fmp4::init_of(codec)?;
        out.reserve(media.len() + self.pictures.len() * 20 + 1024);
        let base = self.pictures.first().map_or(0, |picture| picture.dts);
        let (mut at, mut nth, mut sequence) = (0, 0, 0);
        for run in self.pictures.chunks(PART) {
            let samples: Vec<Sample<'_>> = run
                .iter()
                .map(|picture| {
                    let data = &media[at..at + picture.sample.size as usize];
                    (at, nth) = (at + data.len(), nth + 1);
                    let next = self.pictures.get(nth).map_or(ends, |next| next.dts);
                    Sample {
                        data,
                        dts: (picture.dts - base) as u64,
                        composition: (picture.pts - picture.dts) as i32,
                        duration: (next - picture.dts).max(1) as u32,
                        key: picture.sample.key,
                    }
                })
                .collect();
            sequence += 1;
            out.extend(fmp4::part(sequence, &samples));
        }
        Ok(out)
    }

    /// Reads the pictures' bytes, one read per run that lies together on disk.
    fn read(&self, media: &mut Vec<u8>) -> io::Result<()> {
        let together = |a: &Picture, b: &Picture| {
            a.file == b.file && a.sample.offset + u64::from(a.sample.size) == b.sample.offset
        };
        for run in self.pictures.chunk_by(together) {
            let Some(first) = run.first() else { continue };
            let size: usize = run.iter().map(|picture| picture.sample.size as usize).sum();
            let at = media.len();
            media.resize(at + size, 0);
            self.files[first.file].read_exact_at(&mut media[at..], first.sample.offset)?;
        }
        Ok(())
    }
}
