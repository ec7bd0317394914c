//! An MP4 file played in a loop as if it were a camera.

use super::source::{AccessUnit, LiveSource, ParameterSets, to_clock};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Largest clip taken: the file is held in memory.
const CLIP_MAX: u64 = 256 * 1024 * 1024;

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// The file cannot be read.
    #[error("{path} cannot be read: check that it exists and is at most 256 MB")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not MP4.
    #[error("{path} is not a readable MP4 file: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// The file has no H.264 or H.265 track with pictures.
    #[error("{path} has no H.264 or H.265 pictures: convert it, for example with ffmpeg -c:v libx264")]
    NoPictures {
        /// The file.
        path: PathBuf,
    },
}

/// A clip that plays until it is dropped.
#[derive(Debug)]
pub struct Clip {
    source: Arc<LiveSource>,
    _stop: DropGuard,
}

impl Clip {
    /// What to mount.
    pub fn source(&self) -> Arc<LiveSource> {
        self.source.clone()
    }
}

struct Film {
    /// Decode time from the start, and the picture.
    pictures: Vec<(Duration, AccessUnit)>,
    length: Duration,
}

/// Reads `path` and plays it in a loop, paced by its own timestamps. Must be called inside a Tokio runtime.
pub fn play(name: &str, path: &Path) -> Result<Clip, ClipError> {
    let read = |source| ClipError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(read)?.len() > CLIP_MAX {
        return Err(read(std::io::ErrorKind::FileTooLarge.into()));
    }
    let bytes = Bytes::from(std::fs::read(path).map_err(read)?);
    let mp4 = re_mp4::Mp4::read_bytes(&bytes)
        .map_err(|error| ClipError::Format { path: path.to_owned(), reason: error.to_string() })?;
    let (sets, film) = film(&mp4, &bytes).ok_or_else(|| ClipError::NoPictures { path: path.to_owned() })?;
    let fps = film.pictures.len() as f32 / film.length.as_secs_f32();
    let source = LiveSource::new(name, fps);
    source.set_parameter_sets(sets);
    let stop = CancellationToken::new();
    let (out, cancelled) = (source.clone(), stop.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = project(&film, &out) => {}
            () = cancelled.cancelled() => {}
        }
    });
    Ok(Clip { source, _stop: stop.drop_guard() })
}

fn film(mp4: &re_mp4::Mp4, bytes: &Bytes) -> Option<(ParameterSets, Film)> {
    let (track, sets, length_size) = mp4.tracks().values().find_map(|track| {
        let (sets, length_size) = match &track.trak(mp4).mdia.minf.stbl.stsd.contents {
            re_mp4::StsdBoxContent::Avc1(avc1) => {
                let sps = avc1.avcc.sequence_parameter_sets.first()?.bytes.clone();
                let pps = avc1.avcc.picture_parameter_sets.first()?.bytes.clone();
                (ParameterSets::new(sps.into(), pps.into())?, avc1.avcc.length_size_minus_one)
            }
            re_mp4::StsdBoxContent::Hvc1(hevc) | re_mp4::StsdBoxContent::Hev1(hevc) => {
                let set = |kind| {
                    let array = hevc.hvcc.arrays.iter().find(|array| array.nal_unit_type == kind)?;
                    Some(Bytes::from(array.nalus.first()?.data.clone()))
                };
                (ParameterSets::h265(set(32)?, set(33)?, set(34)?)?, hevc.hvcc.length_size_minus_one)
            }
            _ => return None,
        };
        Some((track, sets, usize::from(length_size & 3) + 1))
    })?;
    let h265 = sets.vps.is_some();
    let timescale = u32::try_from(track.timescale).ok().filter(|t| *t > 0)?;
    let at = |units: i64| Duration::from_secs_f64(units.max(0) as f64 / f64::from(timescale));
    let mut pictures = Vec::new();
    let mut length = Duration::ZERO;
    for sample in &track.samples {
        let start = usize::try_from(sample.offset).ok()?;
        let end = start.checked_add(usize::try_from(sample.size).ok()?).filter(|end| *end <= bytes.len())?;
        let nals = nal_units(&bytes.slice(start..end), length_size, h265);
        let decode_at = at(sample.decode_timestamp);
        length = length.max(decode_at + at(i64::try_from(sample.duration).ok()?));
        if !nals.is_empty() {
            let pts = to_clock(at(sample.composition_timestamp));
            pictures.push((decode_at, AccessUnit { nals, key: sample.is_sync, pts, captured: SystemTime::UNIX_EPOCH }));
        }
    }
    // A length of nothing would spin; a first picture that is no key frame could not be joined.
    (length >= Duration::from_millis(20) && pictures.first()?.1.key).then_some((sets, Film { pictures, length }))
}

/// The NAL units of a sample, parameter sets and delimiters left out; what is cut short is left out too.
fn nal_units(sample: &Bytes, length_size: usize, h265: bool) -> Vec<Bytes> {
    let of_itself =
        |first: u8| if h265 { (32..=35).contains(&(first >> 1 & 0x3f)) } else { (7..=9).contains(&(first & 0x1f)) };
    let (mut nals, mut at) = (Vec::new(), 0usize);
    while let Some(length) = sample.get(at..at + length_size) {
        let length = length.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
        let from = at + length_size;
        let Some(to) = from.checked_add(length).filter(|to| *to <= sample.len()) else { break };
        if to > from && !of_itself(sample[from]) {
            nals.push(sample.slice(from..to));
        }
        at = to;
    }
    nals
}

async fn project(film: &Film, out: &LiveSource) {
    let start = Instant::now();
    let mut lap = Duration::ZERO;
    loop {
        for (decode_at, picture) in &film.pictures {
            tokio::time::sleep_until(start + lap + *decode_at).await;
            out.publish(AccessUnit {
                pts: picture.pts + to_clock(lap),
                captured: SystemTime::now(),
                ..picture.clone()
            });
        }
        lap += film.length;
        tokio::time::sleep_until(start + lap).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_samples_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), size in 1usize..5, h265: bool) {
            let total: usize = nal_units(&Bytes::from(bytes.clone()), size, h265).iter().map(Bytes::len).sum();
            prop_assert!(total <= bytes.len());
        }
    }

    #[test]
    fn a_file_that_is_no_clip_is_refused_with_its_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("noise.mp4");
        std::fs::write(&path, b"not a film").expect("written");
        let error = play("noise", &path).expect_err("no film");
        assert!(error.to_string().contains("noise.mp4"), "{error}");
        assert!(matches!(play("gone", &dir.path().join("gone.mp4")), Err(ClipError::Read { .. })));
    }
}
