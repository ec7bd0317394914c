//! Access units to frames.
//!
//! The decoder is pure Rust and tolerates what a network does to a stream: after a lost or broken unit it gives errors
//! until the next key frame, which is fine for analysis. H.265 is recorded and passed on, not decoded.

use crate::frame::{Frame, FrameError, YuvRange};
use crate::hub::{AccessUnit, StreamConfig};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// Why a unit gave no frame.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The codec is not decoded here.
    #[error("codec {0} is recorded and shown but not analysed; give the camera an H.264 sub-stream")]
    Codec(String),
    /// The parameters are damaged.
    #[error("the stream's parameter sets are damaged")]
    Parameters,
    /// The lengths inside the unit do not add up.
    #[error("the lengths inside a picture do not add up")]
    Framing,
    /// The bits are damaged, or use what the decoder does not know.
    #[error("a picture could not be decoded: {0}")]
    Bits(rusty_h264_decoder::DecodeError),
    /// The decoder panicked; it was replaced.
    #[error("the decoder panicked on a picture")]
    Panicked,
    /// The decoded planes do not make a frame.
    #[error("a decoded picture has an impossible size")]
    Frame(#[from] FrameError),
}

/// Access units in decoding order to frames.
pub trait Decoder: Send {
    /// Decodes one unit. `None` where it completes no picture, and before the first key frame.
    fn decode(&mut self, unit: &AccessUnit) -> Result<Option<Frame>, DecodeError>;
}

/// H.264 in Rust: some 360 frames of 720p a second on one core.
#[derive(Default)]
pub struct H264 {
    inner: rusty_h264_decoder::Decoder,
    config: Option<Arc<StreamConfig>>,
    /// Whether the last key frame and all since were decoded.
    intact: bool,
    annex_b: Vec<u8>,
}

impl H264 {
    /// A decoder that waits for a key frame.
    pub fn new() -> Self {
        Self::default()
    }

    fn restart(&mut self, config: &Arc<StreamConfig>) -> Result<(), DecodeError> {
        self.config = None;
        self.intact = false;
        if !config.is_h264() {
            return Err(DecodeError::Codec(config.codec.clone()));
        }
        self.inner = rusty_h264_decoder::Decoder::new();
        self.annex_b.clear();
        for set in parameter_sets(&config.description).ok_or(DecodeError::Parameters)? {
            append(&mut self.annex_b, set);
        }
        self.config = Some(config.clone());
        Ok(())
    }
}

impl std::fmt::Debug for H264 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H264").field("config", &self.config).field("intact", &self.intact).finish_non_exhaustive()
    }
}

impl Decoder for H264 {
    fn decode(&mut self, unit: &AccessUnit) -> Result<Option<Frame>, DecodeError> {
        let known = self.config.as_ref().is_some_and(|known| Arc::ptr_eq(known, &unit.config));
        if !known {
            self.restart(&unit.config)?;
        } else {
            self.annex_b.clear();
        }
        if !unit.key && !self.intact {
            return Ok(None);
        }
        self.intact = false;
        for nal in nal_units(&unit.data) {
            append(&mut self.annex_b, nal.ok_or(DecodeError::Framing)?);
        }
        let (inner, bytes) = (&mut self.inner, &self.annex_b);
        let decoded = std::panic::catch_unwind(AssertUnwindSafe(|| inner.decode(bytes)));
        let Ok(decoded) = decoded else {
            self.config = None;
            return Err(DecodeError::Panicked);
        };
        let picture = decoded.map_err(DecodeError::Bits)?;
        self.intact = true;
        let Some(picture) = picture else { return Ok(None) };
        let (width, height) = (picture.width, picture.height);
        let chroma = width.div_ceil(2);
        let pts = Duration::from_micros(u64::try_from(unit.captured.as_microsecond()).unwrap_or(0));
        Ok(Some(Frame::from_i420(
            (width as u32, height as u32),
            [&picture.y, &picture.u, &picture.v],
            [width, chroma, chroma],
            YuvRange::Limited,
            pts,
        )?))
    }
}

fn append(annex_b: &mut Vec<u8>, nal: &[u8]) {
    annex_b.extend_from_slice(&[0, 0, 0, 1]);
    annex_b.extend_from_slice(nal);
}

/// The NAL units of an access unit with 4-byte lengths; a last `None` where the lengths do not add up.
pub fn nal_units(mut data: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        if data.is_empty() {
            return None;
        }
        let nal = data.split_first_chunk::<4>().and_then(|(length, rest)| {
            let length = u32::from_be_bytes(*length) as usize;
            Some((rest.get(..length)?, &rest[length..]))
        });
        Some(match nal {
            Some((nal, rest)) => {
                data = rest;
                Some(nal)
            }
            None => {
                data = &[];
                None
            }
        })
    })
}

/// Sequence and picture parameter sets of an `avcC` body.
pub fn parameter_sets(avcc: &[u8]) -> Option<Vec<&[u8]>> {
    let mut sets = Vec::new();
    let mut rest = avcc.get(5..)?;
    for mask in [0x1F, 0xFF] {
        let (count, after) = rest.split_first()?;
        rest = after;
        for _ in 0..count & mask {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            sets.push(after.get(..length)?);
            rest = &after[length..];
        }
    }
    Some(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::fmp4::tests::config;
    use bytes::Bytes;
    use jiff::Timestamp;
    use proptest::prelude::*;
    use std::time::Instant;

    fn unit(config: &Arc<StreamConfig>, data: Vec<u8>, key: bool) -> AccessUnit {
        let captured = Timestamp::from_microsecond(1).expect("small");
        AccessUnit { data: Bytes::from(data), key, captured, pts: 0, received: Instant::now(), config: config.clone() }
    }

    #[test]
    fn the_parameter_sets_of_an_avcc_are_found() {
        let config = config();
        let sets = parameter_sets(&config.description).unwrap();
        assert_eq!(sets.iter().map(|set| set[0] & 0x1F).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(parameter_sets(&config.description[..20]), None);
    }

    #[test]
    fn h265_is_named_and_a_delta_without_its_key_frame_is_nothing() {
        let mut decoder = H264::new();
        let hevc = Arc::new(StreamConfig { codec: "hvc1.1.6.L93.90".into(), ..config() });
        assert!(matches!(decoder.decode(&unit(&hevc, vec![], true)), Err(DecodeError::Codec(_))));
        let avc = Arc::new(config());
        assert!(matches!(decoder.decode(&unit(&avc, vec![0, 0, 0, 1, 0x41], false)), Ok(None)));
        assert!(matches!(decoder.decode(&unit(&avc, vec![0, 0, 0, 9, 0x65], true)), Err(DecodeError::Framing)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            avcc in proptest::collection::vec(any::<u8>(), 0..40),
            data in proptest::collection::vec(any::<u8>(), 0..200),
            body in proptest::collection::vec(any::<u8>(), 1..200),
        ) {
            let _ = parameter_sets(&avcc);
            let mut decoder = H264::new();
            let broken = Arc::new(StreamConfig { description: Bytes::from(avcc), ..config() });
            let _ = decoder.decode(&unit(&broken, data.clone(), true));
            let whole = Arc::new(config());
            let _ = decoder.decode(&unit(&whole, data, true));
            let mut framed = (body.len() as u32 + 1).to_be_bytes().to_vec();
            framed.push(0x65);
            framed.extend(body);
            let _ = decoder.decode(&unit(&whole, framed.clone(), true));
            let _ = decoder.decode(&unit(&whole, framed, false));
        }
    }
}
