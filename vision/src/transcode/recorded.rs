//! A piece of recording, small and as H.264, with its sound as it was.

use super::small::Small;
use super::{Counts, SmallPieceError, TranscodeError};
use crate::hub::{AccessUnit, StreamConfig};
use crate::recorder::ClipError;
use crate::recorder::fmp4::{self, AudioScan, Sample, SampleRef};
use crate::recorder::playback::{self, Piece};
use gatehouse_core::id::DeviceId;
use jiff::{SignedDuration, Timestamp};
use std::io::Cursor;
use std::iter;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The longest piece that is made small at a time: players ask on, and see something soon.
pub const LONGEST: SignedDuration = SignedDuration::from_secs(6);

/// Times that were rounded on their way are the same within this, µs.
const ROUNDED_US: i64 = 50;
/// A decoder that stands so much before what is asked for is of use, µs.
const NEAR_US: i64 = 2_000_000;

/// What is asked for: the pictures shown from `from` until `to`, out of a piece that begins at the key frame before.
pub(super) struct Asked {
    pub(super) camera: DeviceId,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) piece: Piece,
}

/// A decoder in the middle of a recording, for who asks on from there: a camera's key frames may be twenty seconds apart.
pub(super) struct Paused {
    camera: DeviceId,
    /// When the picture was taken that it decoded last, µs.
    pub(super) done_us: i64,
    config: Arc<StreamConfig>,
    lane: Small,
    pub(super) since: Instant,
}

impl Paused {
    /// Whether it may be of use to who asks.
    pub(super) fn serves(&self, asked: &Asked) -> bool {
        self.camera == asked.camera && (0..NEAR_US).contains(&(asked.from.as_microsecond() - self.done_us))
    }
}

/// Makes small what is asked for, until it is given up. Pictures keep their times; the piece begins with the picture that is shown
/// at `from` and ends with the last before `to`, wherever the key frames are.
pub(super) fn small(
    asked: &Asked,
    paused: Option<Paused>,
    given_up: &AtomicBool,
    counts: &Counts,
) -> Result<(Piece, Paused), SmallPieceError> {
    let piece = &asked.piece;
    let read = fmp4::scan(&mut Cursor::new(&piece.mp4), false).map_err(ClipError::Read)?;
    let scan = read.ok_or(TranscodeError::Undecodable)?;
    let config = fmp4::stream_config(&scan.codec).map_err(ClipError::Mp4)?;
    let mut stretch = Stretch::of(asked, &scan.samples);
    let resumed = paused.filter(|paused| *paused.config == config).and_then(|paused| stretch.resume(asked, paused));
    let (config, mut lane) = resumed.unwrap_or_else(|| (Arc::new(config), Small::default()));

    let mut pictures = Vec::new();
    for sample in stretch.samples {
        if given_up.load(Ordering::Relaxed) {
            return Err(TranscodeError::Turns.into());
        }
        let (at, received) = (asked.taken(sample), Instant::now());
        let unit = AccessUnit {
            data: piece.mp4.slice(place(sample)),
            key: sample.key,
            captured: Timestamp::from_microsecond(at).unwrap_or(piece.from),
            pts: sample.pts(),
            received,
            config: config.clone(),
        };
        match if at < stretch.from { lane.pass(&unit).map(|()| None) } else { lane.take(&unit) } {
            Ok(Some(small)) => {
                counts.pictures.fetch_add(1, Ordering::Relaxed);
                counts.spent.record(received.elapsed());
                pictures.push(small);
            }
            Ok(None) => {}
            // Decoding goes on at the next key frame.
            Err(error) => tracing::debug!("A recorded picture was not transcoded: {error}"),
        }
    }
    let done_us = stretch.samples.last().map_or(stretch.from, |last| asked.taken(last));
    let made = stretch.file(asked, &pictures, scan.audio)?;
    Ok((made, Paused { camera: asked.camera, done_us, config, lane, since: Instant::now() }))
}

fn place(sample: &SampleRef) -> Range<usize> {
    sample.offset as usize..sample.offset as usize + sample.size as usize
}

impl Asked {
    /// When a picture of the piece was taken, µs.
    fn taken(&self, sample: &SampleRef) -> i64 {
        self.piece.from.as_microsecond() + sample.pts() * 100 / 9
    }
}

/// What of a piece is decoded, and when the first picture that is wanted was taken.
struct Stretch<'a> {
    samples: &'a [SampleRef],
    /// µs.
    from: i64,
    to: Timestamp,
    next: Option<Timestamp>,
}

impl<'a> Stretch<'a> {
    fn of(asked: &Asked, samples: &'a [SampleRef]) -> Self {
        let (piece, times) = (&asked.piece, samples.iter().map(|sample| asked.taken(sample)));
        let shown = asked.from.as_microsecond() + ROUNDED_US;
        let from = times.clone().filter(|at| *at <= shown).max().unwrap_or(piece.from.as_microsecond());
        let until = (asked.to.as_microsecond() - ROUNDED_US).max(from + 1);
        let end = times.clone().position(|at| at >= until);
        let cut = end.map(|end| Timestamp::from_microsecond(asked.taken(&samples[end])).unwrap_or(piece.to));
        let samples = &samples[..end.unwrap_or(samples.len())];
        Self { samples, from, to: cut.unwrap_or(piece.to), next: cut.or(piece.next) }
    }

    /// Leaves out what a decoder has behind it, where that is of use.
    fn resume(&mut self, asked: &Asked, paused: Paused) -> Option<(Arc<StreamConfig>, Small)> {
        let same = |sample: &SampleRef| (asked.taken(sample) - paused.done_us).abs() <= ROUNDED_US;
        let done = self.samples.iter().position(same)?;
        let (at, rest) = (asked.taken(&self.samples[done]), &self.samples[done + 1..]);
        if at > self.from || rest.is_empty() {
            return None;
        }
        if at == self.from {
            // At the edge of what is recorded, the picture that is shown now was the last of the piece before.
            self.from = asked.from.as_microsecond();
        }
        self.samples = rest;
        Some((paused.config, paused.lane.anew()))
    }

    /// The piece: these pictures, and what is heard meanwhile.
    fn file(&self, asked: &Asked, pictures: &[AccessUnit], sound: Option<AudioScan>) -> Result<Piece, SmallPieceError> {
        let (piece, ticks) = (&asked.piece, |us: i64| us.max(0) as u64 * 9 / 100);
        let (first, rest) = pictures.split_first().ok_or(TranscodeError::Undecodable)?;
        let since = |at: Timestamp| ticks(at.as_microsecond() - self.from);
        // The first one is there from the beginning.
        let starts: Vec<u64> = iter::once(0).chain(rest.iter().map(|picture| since(picture.captured))).collect();
        let ends = starts[1..].iter().copied().chain([since(self.to)]);
        let shown = pictures.iter().zip(&starts).zip(ends).map(|((picture, dts), end)| Sample {
            data: &picture.data,
            dts: *dts,
            composition: 0,
            duration: end.saturating_sub(*dts).max(1) as u32,
            key: picture.key,
        });
        let (audio, frames) = sound.map(|sound| (sound.codec, sound.samples)).unzip();
        // A frame of sound is heard in the piece in which it begins.
        let begins = piece.from.as_microsecond();
        let meanwhile = ticks(self.from - begins)..ticks(self.to.as_microsecond() - begins);
        let heard = frames.iter().flatten().filter(|frame| meanwhile.contains(&frame.dts)).map(|frame| Sample {
            data: &piece.mp4[place(frame)],
            dts: frame.dts - meanwhile.start,
            composition: frame.composition,
            duration: frame.duration,
            key: frame.key,
        });
        let (shown, heard): (Vec<Sample<'_>>, Vec<Sample<'_>>) = (shown.collect(), heard.collect());
        let codec = fmp4::sample_entry(&first.config).map_err(ClipError::Mp4)?;
        let (was, sound) = piece.codecs.split_once(',').unwrap_or((&piece.codecs, ""));
        let codecs = [first.config.codec.as_str(), sound].join(",");
        Ok(Piece {
            mp4: playback::lay_out(codec, audio, &shown, &heard).map_err(ClipError::Mp4)?.into(),
            codecs: codecs.trim_end_matches(',').to_owned(),
            was: Some(was.to_owned()),
            from: Timestamp::from_microsecond(self.from).unwrap_or(piece.from),
            to: self.to,
            frames: shown.len(),
            next: self.next,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::AudioConfig;
    use crate::decode::{Any, Decoder, H264, film};
    use crate::hub::StreamConfig;
    use bytes::Bytes;
    use std::time::Duration;

    /// Ticks between two pictures of the film, and between two frames of sound.
    const PICTURE: u64 = 9_000;
    const SOUND: u64 = 2_880;

    /// Two seconds of H.265 at 10 fps, with sound of which nobody needs to make sense.
    fn recorded() -> Piece {
        let (config, units) = film();
        let pictures: Vec<Sample<'_>> = (0..)
            .zip(&units)
            .map(|(n, (data, key))| Sample {
                data,
                dts: n * PICTURE,
                composition: 0,
                duration: PICTURE as u32,
                key: *key,
            })
            .collect();
        let frames: Vec<[u8; 5]> = (1..=62).map(|n| [n; 5]).collect();
        let heard: Vec<Sample<'_>> = (0..)
            .zip(&frames)
            .map(|(n, data)| Sample { data, dts: n * SOUND, composition: 0, duration: SOUND as u32, key: true })
            .collect();
        let aac = AudioConfig {
            codec: "mp4a.40.2".into(),
            description: Bytes::from_static(&[0x11, 0x90]),
            rate: 48_000,
            channels: 2,
        };
        let codec = fmp4::sample_entry(&config).unwrap();
        let mp4 = playback::lay_out(codec, Some(fmp4::audio_entry(&aac).unwrap()), &pictures, &heard).unwrap();
        let from = Timestamp::from_second(1_780_000_000).unwrap();
        Piece {
            mp4: mp4.into(),
            codecs: format!("{},mp4a.40.2", config.codec),
            was: None,
            from,
            to: from + Duration::from_secs(2),
            frames: units.len(),
            next: Some(from + Duration::from_secs(2)),
        }
    }

    fn camera() -> DeviceId {
        DeviceId::from_key("yard.camera")
    }

    /// Asks for the film between two moments, ms.
    fn asked(piece: &Piece, from_ms: u64, to_ms: u64) -> Asked {
        let at = |ms| piece.from + Duration::from_millis(ms);
        Asked { camera: camera(), from: at(from_ms), to: at(to_ms), piece: piece.clone() }
    }

    fn go(asked: &Asked, paused: Option<Paused>, counts: &Counts) -> (Piece, Paused) {
        small(asked, paused, &AtomicBool::new(false), counts).unwrap()
    }

    fn bytes(piece: &Piece, sample: &SampleRef) -> Bytes {
        piece.mp4.slice(sample.offset as usize..sample.offset as usize + sample.size as usize)
    }

    fn unit(data: Bytes, key: bool, config: &Arc<StreamConfig>) -> AccessUnit {
        let captured = Timestamp::UNIX_EPOCH;
        AccessUnit { data, key, captured, pts: 0, received: Instant::now(), config: config.clone() }
    }

    /// The pictures of a small piece: when each is shown, ms of the film, and how far its greys are from the film's picture of then.
    fn looked_at(made: &Piece, of: &Piece) -> Vec<(u64, f64)> {
        let (config, units) = film();
        let mut whole = Any::default();
        let film_pictures: Vec<_> = units
            .into_iter()
            .map(|(data, key)| whole.decode(&unit(data.into(), key, &config)).unwrap().unwrap())
            .collect();
        let scan = fmp4::scan(&mut Cursor::new(&made.mp4), true).unwrap().unwrap();
        let config = Arc::new(fmp4::stream_config(&scan.codec).unwrap());
        let offset = made.from.duration_since(of.from).as_millis() as u64;
        let (mut decoder, mut seen) = (H264::new(), Vec::new());
        for sample in &scan.samples {
            let picture = decoder.decode(&unit(bytes(made, sample), sample.key, &config)).unwrap().unwrap();
            let ms = offset + (sample.dts + 45) / 90;
            let (before, after) = (film_pictures[(ms as usize + 50) / 100].luma(), picture.luma());
            let off = before.data().iter().zip(after.data()).map(|(a, b)| u64::from(a.abs_diff(*b)));
            seen.push((ms, off.sum::<u64>() as f64 / before.data().len() as f64));
        }
        seen
    }

    /// The film with its pictures before a moment, ms, made unreadable.
    fn spoilt(piece: &Piece, before_ms: u64) -> Piece {
        let scan = fmp4::scan(&mut Cursor::new(&piece.mp4), true).unwrap().unwrap();
        let mut mp4 = piece.mp4.to_vec();
        for sample in scan.samples.iter().filter(|sample| sample.dts < before_ms * 90) {
            mp4[sample.offset as usize..][..sample.size as usize].fill(0xFF);
        }
        Piece { mp4: mp4.into(), ..piece.clone() }
    }

    fn sounds(piece: &Piece) -> Vec<Bytes> {
        let scan = fmp4::scan(&mut Cursor::new(&piece.mp4), true).unwrap().unwrap();
        scan.audio.unwrap().samples.iter().map(|sample| bytes(piece, sample)).collect()
    }

    #[test]
    fn pictures_keep_their_times_and_looks_and_the_sound_is_as_it_was() {
        let (piece, (config, _)) = (recorded(), film());
        let (made, _) = go(&asked(&piece, 0, 9_000), None, &Counts::default());
        assert!(made.is_h264() && made.codecs.ends_with(",mp4a.40.2"), "{}", made.codecs);
        assert_eq!(made.was.as_deref(), Some(config.codec.as_str()));
        assert_eq!((made.from, made.to, made.next, made.frames), (piece.from, piece.to, piece.next, 20));
        assert_eq!(sounds(&made), sounds(&piece));
        let seen = looked_at(&made, &piece);
        assert_eq!(seen.iter().map(|(ms, _)| *ms).collect::<Vec<_>>(), (0..20).map(|n| n * 100).collect::<Vec<_>>());
        assert!(seen.iter().all(|(_, off)| *off < 8.0), "{seen:?}");
    }

    #[test]
    fn pieces_join_wherever_the_key_frames_are_and_nothing_is_decoded_twice() {
        let piece = recorded();
        let (mut from, mut paused, mut seen, mut heard) = (0, None, Vec::new(), Vec::new());
        for to in [450, 700, 1_250, 9_000] {
            // What lies before can be read no more: who goes on from where it stands need not.
            let rest = spoilt(&piece, from);
            let (made, stands) = go(&asked(&rest, from, to), paused, &Counts::default());
            seen.extend(looked_at(&made, &piece));
            heard.extend(sounds(&made));
            let next = made.next.unwrap().duration_since(piece.from).as_millis() as u64;
            assert_eq!(next, to.min(2_000).div_ceil(100) * 100);
            assert_eq!(made.to, made.next.unwrap());
            (from, paused) = (next, Some(stands));
        }
        assert_eq!(seen.iter().map(|(ms, _)| *ms).collect::<Vec<_>>(), (0..20).map(|n| n * 100).collect::<Vec<_>>());
        assert!(seen.iter().all(|(_, off)| *off < 8.0), "{seen:?}");
        assert_eq!(heard, sounds(&piece));
    }

    #[test]
    fn in_the_middle_it_begins_with_what_is_shown_then() {
        let piece = recorded();
        let (made, _) = go(&asked(&piece, 1_440, 1_640), None, &Counts::default());
        let seen = looked_at(&made, &piece);
        assert_eq!(seen.iter().map(|(ms, _)| *ms).collect::<Vec<_>>(), [1_400, 1_500, 1_600]);
        assert!(seen.iter().all(|(_, off)| *off < 8.0), "{seen:?}");
    }

    #[test]
    fn at_the_edge_only_what_is_new_is_given_and_what_lies_elsewhere_is_decoded_from_its_key_frame() {
        let piece = recorded();
        // What was recorded when it was asked first: up to 1 300 ms.
        let edge = Piece { next: None, ..piece.clone() };
        let (_, stands) = go(&asked(&edge, 500, 1_300), None, &Counts::default());
        let (made, stands) = go(&asked(&edge, 1_280, 9_000), Some(stands), &Counts::default());
        assert_eq!(made.from, piece.from + Duration::from_millis(1_280));
        assert_eq!(looked_at(&made, &piece).len(), 7);
        // Somewhere else, and another camera.
        assert!(!stands.serves(&asked(&piece, 500, 600)) && stands.serves(&asked(&piece, 1_990, 2_500)));
        let other = Asked { camera: DeviceId::from_key("other"), ..asked(&piece, 1_990, 2_500) };
        assert!(!stands.serves(&other));
        let (made, _) = go(&asked(&piece, 500, 800), Some(stands), &Counts::default());
        assert!(looked_at(&made, &piece).iter().all(|(_, off)| *off < 8.0));
    }

    #[test]
    fn of_two_players_of_one_recording_each_gets_the_decoder_that_stands_before_it() {
        let (piece, desk) = (recorded(), super::super::Desk::default());
        for to in [600, 900] {
            desk.put(go(&asked(&piece, 0, to), None, &Counts::default()).1);
        }
        let stands = |from| desk.take(&asked(&piece, from, 2_000)).map(|paused| paused.done_us);
        let at = |ms| Some((piece.from + Duration::from_millis(ms)).as_microsecond());
        assert_eq!([stands(1_000), stands(1_000), stands(1_000)], [at(800), at(500), None]);
    }

    #[test]
    fn what_cannot_be_decoded_is_told_and_what_nobody_waits_for_is_given_up() {
        let piece = recorded();
        let told = |asked: &Asked, given_up| {
            small(asked, None, &AtomicBool::new(given_up), &Counts::default()).err().map(|error| error.to_string())
        };
        assert_eq!(told(&asked(&piece, 0, 9_000), true), Some(TranscodeError::Turns.to_string()));
        let mut mp4 = piece.mp4.to_vec();
        let at = mp4.windows(4).position(|word| word == b"mdat").unwrap();
        mp4[at + 4..].fill(0xFF);
        let broken = Piece { mp4: mp4.into(), ..piece };
        assert_eq!(told(&asked(&broken, 0, 9_000), false), Some(TranscodeError::Undecodable.to_string()));
    }

    #[tokio::test]
    async fn what_is_h264_is_left_alone_and_without_a_budget_nothing_is_made_small() {
        let piece = recorded();
        let transcodes = super::super::Transcodes::new(0);
        let span = (camera(), piece.from, piece.to);
        let refused = transcodes.recorded(span, async { Ok(piece.clone()) }).await;
        assert!(matches!(refused, Err(SmallPieceError::Transcode(TranscodeError::Off))));
        let read = Piece { codecs: "avc1.42c00d".into(), ..piece };
        let left = transcodes.recorded(span, async { Ok(read.clone()) }).await.unwrap();
        assert!(left.mp4 == read.mp4 && left.was.is_none());
    }
}
