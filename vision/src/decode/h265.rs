//! H.265 in Rust: Main and Main 10, 4:2:0.

use super::{DecodeError, Decoder, nal_units, time_of};
use crate::frame::{Frame, YuvRange};
use crate::hub::{AccessUnit, StreamConfig};
use rusty_h265::Plane;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// A slice that begins a picture by a parameter set nobody has. The decoder finishes a picture when the next begins; this one is
/// refused, but by then the picture before it is finished and need not wait for the camera's next.
const NEXT: [u8; 5] = [0x02, 0x01, 0x80, 0x80, 0x80];

/// H.265 in Rust: some 200 frames of 720p a second on one core.
pub struct H265 {
    inner: rusty_h265::Decoder,
    config: Option<Arc<StreamConfig>>,
    /// Whether the last key frame and all since were decoded.
    intact: bool,
}

impl H265 {
    /// A decoder that waits for a key frame.
    pub fn new() -> Self {
        Self { inner: rusty_h265::Decoder::new(), config: None, intact: false }
    }

    fn restart(&mut self, config: &Arc<StreamConfig>) -> Result<(), DecodeError> {
        *self = Self::new();
        for set in parameter_sets(&config.description).ok_or(DecodeError::Parameters)? {
            self.inner.push_nal(set, None).map_err(bits)?;
        }
        self.config = Some(config.clone());
        Ok(())
    }

    /// Feeds a unit and takes the newest picture that is complete.
    fn feed(&mut self, unit: &AccessUnit) -> Result<Option<rusty_h265::Frame>, DecodeError> {
        let taken = unit.captured.as_microsecond();
        for nal in nal_units(&unit.data) {
            self.inner.push_nal(nal.ok_or(DecodeError::Framing)?, Some(taken)).map_err(bits)?;
        }
        // Refused, as it must be.
        let _ = self.inner.push_nal(&NEXT, None);
        let mut newest = None;
        while let Ok(frame) = self.inner.next_frame() {
            newest = Some(frame);
        }
        Ok(newest)
    }
}

impl Default for H265 {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for H265 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H265").field("config", &self.config).field("intact", &self.intact).finish_non_exhaustive()
    }
}

impl Decoder for H265 {
    fn decode(&mut self, unit: &AccessUnit) -> Result<Option<Frame>, DecodeError> {
        if !self.config.as_ref().is_some_and(|known| Arc::ptr_eq(known, &unit.config)) {
            self.restart(&unit.config)?;
        }
        if !unit.key && !self.intact {
            return Ok(None);
        }
        self.intact = false;
        let fed = std::panic::catch_unwind(AssertUnwindSafe(|| self.feed(unit)));
        let Ok(fed) = fed else {
            self.config = None;
            return Err(DecodeError::Panicked);
        };
        let picture = fed?;
        self.intact = true;
        picture.map(|picture| frame(&picture, time_of(unit))).transpose()
    }
}

fn bits(error: rusty_h265::Error) -> DecodeError {
    DecodeError::Bits(error.to_string())
}

/// The shown part of a picture, with eight bits a sample.
fn frame(shown: &rusty_h265::Frame, pushed: Duration) -> Result<Frame, DecodeError> {
    let picture = &shown.picture;
    let (left, top, width, height) = picture.crop;
    let chroma = (left / 2, top / 2, width.div_ceil(2), height.div_ceil(2));
    let luma = eight_bits(&picture.planes[0], (left, top, width, height), picture.bit_depth_luma);
    let [u, v] = [&picture.planes[1], &picture.planes[2]].map(|plane| match picture.chroma_format_idc {
        0 => vec![0x80; chroma.2 * chroma.3],
        _ => eight_bits(plane, chroma, picture.bit_depth_chroma),
    });
    let pts = shown.pts.and_then(|us| u64::try_from(us).ok()).map_or(pushed, Duration::from_micros);
    let strides = [width, chroma.2, chroma.2];
    Ok(Frame::from_i420((width as u32, height as u32), [&luma, &u, &v], strides, YuvRange::Limited, pts)?)
}

fn eight_bits(plane: &Plane, (left, top, width, height): (usize, usize, usize, usize), depth: u8) -> Vec<u8> {
    let shift = depth.saturating_sub(8);
    let mut out = Vec::with_capacity(width * height);
    for row in plane.data.chunks(plane.stride.max(1)).skip(top).take(height) {
        out.extend(row.iter().skip(left).take(width).map(|sample| (sample >> shift) as u8));
    }
    out
}

/// Video, sequence and picture parameter sets of an `hvcC` body.
pub fn parameter_sets(hvcc: &[u8]) -> Option<Vec<&[u8]>> {
    let mut sets = Vec::new();
    let (arrays, mut rest) = hvcc.get(22..)?.split_first()?;
    for _ in 0..*arrays {
        let ([_, high, low], after) = rest.split_first_chunk::<3>()?;
        rest = after;
        for _ in 0..u16::from_be_bytes([*high, *low]) {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            sets.push(after.get(..length)?);
            rest = &after[length..];
        }
    }
    Some(sets)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::decode::tests::unit;
    use crate::recorder::fmp4::tests::config;
    use bytes::Bytes;
    use proptest::prelude::*;

    /// Two seconds of a moving test card, 96 × 64 at 10 fps, x265, a key frame a second.
    const FILM: &[u8] = include_bytes!("../recorder/testdata/testsrc_96x64_h265.mp4");

    /// Its parameters, and its pictures with whether they are key frames.
    pub(crate) fn film() -> (Arc<StreamConfig>, Vec<(Vec<u8>, bool)>) {
        let at = FILM.windows(4).position(|word| word == b"hvcC").unwrap();
        let size = u32::from_be_bytes(FILM[at - 4..at].try_into().unwrap()) as usize;
        let description = Bytes::from_static(&FILM[at + 4..at - 4 + size]);
        let config = StreamConfig { codec: "hvc1.1.6.L30.90".into(), description, width: 96, height: 64 };
        let mp4 = re_mp4::Mp4::read_bytes(FILM).unwrap();
        let track = mp4.tracks().values().next().unwrap();
        let units = track.samples.iter().map(|sample| {
            let range = sample.offset as usize..(sample.offset + sample.size) as usize;
            (FILM[range].to_vec(), sample.is_sync)
        });
        (Arc::new(config), units.collect())
    }

    #[test]
    fn every_picture_comes_with_its_own_unit() {
        let (config, units) = film();
        let mut decoder = H265::new();
        let mut sums: Vec<u64> = Vec::new();
        for (data, key) in units {
            let frame = decoder.decode(&unit(&config, data, key)).unwrap().expect("no reordering: a picture a unit");
            assert_eq!((frame.width(), frame.height()), (96, 64));
            sums.push(frame.luma().data().iter().map(|y| u64::from(*y)).sum());
        }
        assert_eq!(sums.len(), 20);
        assert!(sums.windows(2).all(|pair| pair[0] != pair[1]), "the card moves: {sums:?}");
    }

    #[test]
    fn a_lost_unit_is_nothing_until_the_next_key_frame() {
        let (config, units) = film();
        let mut decoder = H265::new();
        let mut seen = Vec::new();
        for (n, (data, key)) in units.into_iter().enumerate() {
            let data = if n == 4 { data[..data.len() / 2].to_vec() } else { data };
            seen.push(decoder.decode(&unit(&config, data, key)));
        }
        assert!(seen[..4].iter().all(|frame| matches!(frame, Ok(Some(_)))));
        assert!(matches!(seen[4], Err(DecodeError::Framing)));
        assert!(seen[5..10].iter().all(|frame| matches!(frame, Ok(None))));
        assert!(seen[10..].iter().all(|frame| matches!(frame, Ok(Some(_)))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            hvcc in proptest::collection::vec(any::<u8>(), 0..60),
            body in proptest::collection::vec(any::<u8>(), 2..200),
            at in 0_usize..400,
        ) {
            let _ = parameter_sets(&hvcc);
            let (whole, units) = film();
            let mut decoder = H265::new();
            let broken = Arc::new(StreamConfig { description: Bytes::from(hvcc), ..config() });
            let _ = decoder.decode(&unit(&broken, body.clone(), true));
            let mut key = units[0].0.clone();
            for (into, byte) in key.iter_mut().skip(at).zip(&body) {
                *into ^= byte;
            }
            let _ = decoder.decode(&unit(&whole, key, true));
            let _ = decoder.decode(&unit(&whole, units[1].0.clone(), false));
        }
    }
}
