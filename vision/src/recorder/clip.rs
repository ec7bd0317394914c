//! An exact clip out of segments: one plain MP4 with its index in front.
//!
//! Decoding must start at a key frame, the clip need not: what lies before `from` is in the file and hidden by an edit
//! list. Gaps keep their length (the last picture before one stands still), so the clip's clock is the wall's.

use super::fmp4::{self, SampleRef};
use super::index::{Segment, Span};
use bytes::Bytes;
use jiff::Timestamp;
use mp4_atom::{Codec, Ctts, CttsEntry, Edts, Elst, ElstEntry, Encode, Stco, StscEntry, Stss, StszSamples, SttsEntry};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Longest clip, µs: fifteen minutes.
const LENGTH_MAX_US: i64 = 15 * 60 * 1_000_000;
/// Largest clip, bytes.
const BYTES_MAX: u64 = 1 << 30;
/// A hole this long, µs, makes a clip incomplete.
const HOLE_US: i64 = 1_000_000;
/// Pictures to a chunk of the file.
const CHUNK: usize = 50;

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

/// A picture with its place in time and on disk.
#[derive(Debug, Clone, Copy)]
struct Picture {
    sample: SampleRef,
    /// Which of the segments.
    segment: usize,
    /// Which sample description, from 1.
    description: u32,
    dts: i64,
    pts: i64,
}

/// Cuts `span` out of the segments that overlap it, oldest first.
pub fn cut(segments: &[Segment], span: &Span) -> Result<Clip, ClipError> {
    if span.end.saturating_sub(span.start) > LENGTH_MAX_US {
        return Err(ClipError::TooLong);
    }
    let mut files = Vec::new();
    let mut codecs: Vec<Codec> = Vec::new();
    let mut pictures = Vec::new();
    // Ticks on the wall's clock; all times below are relative to the first segment's start.
    let origin = segments.first().map_or(0, |segment| segment.start_us);
    let ticks = |us: i64| us.saturating_sub(origin).saturating_mul(9).div_euclid(100);
    for segment in segments {
        let mut file = File::open(&segment.path)?;
        let Some(scan) = fmp4::scan(&mut file, false)? else { continue };
        let description = match codecs.iter().position(|known| *known == scan.codec) {
            Some(known) => known,
            None => {
                codecs.push(scan.codec);
                codecs.len() - 1
            }
        } as u32
            + 1;
        let start = ticks(segment.start_us);
        pictures.extend(scan.samples.into_iter().map(|sample| Picture {
            segment: files.len(),
            description,
            dts: start + sample.dts as i64,
            pts: start + sample.pts(),
            sample,
        }));
        files.push(file);
    }
    // Times were rounded down twice, to the segment's start and to the picture: a picture taken exactly at `from` is in.
    let wanted = ticks(span.start) - 2..ticks(span.end) - 2;
    let pictures = select(pictures, &wanted);
    let shown: Vec<&Picture> = pictures.iter().filter(|picture| wanted.contains(&picture.pts)).collect();
    let (Some(first), Some(last)) =
        (shown.iter().map(|p| p.pts).min(), shown.iter().map(|p| p.pts + i64::from(p.sample.duration)).max())
    else {
        return Err(ClipError::NotRecorded);
    };
    let complete = is_complete(&shown, &wanted);
    let frames = shown.len();
    if pictures.iter().map(|picture| u64::from(picture.sample.size)).sum::<u64>() > BYTES_MAX {
        return Err(ClipError::TooLong);
    }
    let mp4 = write(&pictures, &files, codecs, first..last)?;
    let at = |ticks: i64| Timestamp::from_microsecond(origin + ticks * 100 / 9).unwrap_or_default();
    Ok(Clip { mp4: mp4.into(), from: at(first), to: at(last), frames, complete })
}

/// The pictures needed to show `wanted`: from the key frame that its first depends on to its last.
fn select(pictures: Vec<Picture>, wanted: &Span) -> Vec<Picture> {
    let Some(first) = pictures.iter().position(|picture| wanted.contains(&picture.pts)) else { return Vec::new() };
    let Some(last) = pictures.iter().rposition(|picture| wanted.contains(&picture.pts)) else { return Vec::new() };
    let key = pictures[..=first].iter().rposition(|picture| picture.sample.key).unwrap_or(first);
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
fn is_complete(shown: &[&Picture], wanted: &Span) -> bool {
    let hole = HOLE_US * 9 / 100;
    let mut times: Vec<(i64, i64)> = shown.iter().map(|p| (p.pts, p.pts + i64::from(p.sample.duration))).collect();
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
fn write(pictures: &[Picture], files: &[File], codecs: Vec<Codec>, shown: Span) -> Result<Vec<u8>, ClipError> {
    let base = pictures.first().map_or(0, |picture| picture.dts);
    let mut stbl = fmp4::tables(codecs);
    let mut compositions = Ctts::default();
    let mut keys = Stss::default();
    let mut sizes = Vec::with_capacity(pictures.len());
    let mut chunks: Vec<(u32, &[Picture])> = Vec::new();
    for run in pictures.chunk_by(|a, b| a.description == b.description) {
        chunks.extend(run.chunks(CHUNK).map(|chunk| (chunk[0].description, chunk)));
    }
    let mut duration = 0;
    for (i, picture) in pictures.iter().enumerate() {
        let lasts = match pictures.get(i + 1) {
            Some(next) => next.dts - picture.dts,
            None => i64::from(picture.sample.duration),
        } as u32;
        duration += u64::from(lasts);
        match stbl.stts.entries.last_mut() {
            Some(run) if run.sample_delta == lasts => run.sample_count += 1,
            _ => stbl.stts.entries.push(SttsEntry { sample_count: 1, sample_delta: lasts }),
        }
        let composition = picture.pts - picture.dts;
        match compositions.entries.last_mut() {
            Some(run) if run.sample_offset == composition => run.sample_count += 1,
            _ => compositions.entries.push(CttsEntry { sample_count: 1, sample_offset: composition }),
        }
        if picture.sample.key {
            keys.entries.push(i as u32 + 1);
        }
        sizes.push(picture.sample.size);
    }
    for (i, (description, chunk)) in chunks.iter().enumerate() {
        let (count, index) = (chunk.len() as u32, *description);
        if stbl.stsc.entries.last().is_none_or(|e| (e.samples_per_chunk, e.sample_description_index) != (count, index))
        {
            let entry =
                StscEntry { first_chunk: i as u32 + 1, samples_per_chunk: count, sample_description_index: index };
            stbl.stsc.entries.push(entry);
        }
    }
    let media: u64 = sizes.iter().map(|size| u64::from(*size)).sum();
    stbl.stsz.samples = StszSamples::Different { sizes };
    stbl.ctts = compositions.entries.iter().any(|run| run.sample_offset != 0).then_some(compositions);
    stbl.stss = Some(keys);
    stbl.stco = Some(Stco { entries: vec![0; chunks.len()] });
    let edit = Edts {
        elst: Some(Elst {
            entries: vec![ElstEntry {
                segment_duration: (shown.end - shown.start) as u64,
                media_time: Some((shown.start - base).max(0) as u64),
                media_rate: 1.into(),
            }],
        }),
    };
    // Offsets need the length of the boxes before them, which does not depend on the offsets.
    let mut moov = fmp4::movie(stbl, duration, Some(edit));
    let mut out = Vec::new();
    let encoded = |error| ClipError::Mp4(fmp4::Mp4Error::Encode(error));
    fmp4::file_type(b"isom", &[b"isom", b"iso2", b"avc1", b"mp41"]).encode(&mut out).map_err(encoded)?;
    let before = out.len();
    moov.encode(&mut out).map_err(encoded)?;
    let mut offset = out.len() as u32 + 8;
    if let Some(stco) = moov.trak.first_mut().and_then(|trak| trak.mdia.minf.stbl.stco.as_mut()) {
        for (entry, (_, chunk)) in stco.entries.iter_mut().zip(&chunks) {
            *entry = offset;
            offset += chunk.iter().map(|picture| picture.sample.size).sum::<u32>();
        }
    }
    out.truncate(before);
    moov.encode(&mut out).map_err(encoded)?;
    out.extend_from_slice(&(media as u32 + 8).to_be_bytes());
    out.extend_from_slice(b"mdat");
    copy(pictures, files, &mut out)?;
    Ok(out)
}

/// Appends the pictures' bytes, one read per run that lies together on disk.
fn copy(pictures: &[Picture], files: &[File], out: &mut Vec<u8>) -> io::Result<()> {
    let together = |a: &Picture, b: &Picture| {
        a.segment == b.segment && a.sample.offset + u64::from(a.sample.size) == b.sample.offset
    };
    for run in pictures.chunk_by(together) {
        let size: usize = run.iter().map(|picture| picture.sample.size as usize).sum();
        let at = out.len();
        out.resize(at + size, 0);
        files[run[0].segment].read_exact_at(&mut out[at..], run[0].sample.offset)?;
    }
    Ok(())
}
