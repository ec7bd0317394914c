//! Access units to frames.
//!
//! The decoders are pure Rust, or FFmpeg's with the feature `ffmpeg`, and tolerate what a network does to a stream: after a lost or broken unit they give nothing
//! until the next key frame, which is fine for analysis.

#[cfg(feature = "ffmpeg")]
mod ffmpeg;
mod h264;
mod h265;

#[cfg(feature = "ffmpeg")]
pub use ffmpeg::Ffmpeg;
pub use h264::H264;
pub use h265::H265;
#[cfg(test)]
pub(crate) use h265::tests::film;

use crate::frame::{Frame, FrameError};
use crate::hub::AccessUnit;
use std::time::Duration;

/// Why a unit gave no frame.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The codec is not decoded here.
    #[error(
        "codec {0} is recorded and passed on but not analysed; set the camera, or its sub-stream, to H.264 or H.265"
    )]
    Codec(String),
    /// The parameters are damaged.
    #[error("the stream's parameter sets are damaged")]
    Parameters,
    /// The lengths inside the unit do not add up.
    #[error("the lengths inside a picture do not add up")]
    Framing,
    /// The bits are damaged, or use what the decoder does not know.
    #[error("a picture could not be decoded: {0}")]
    Bits(String),
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

/// Decodes whatever a stream sends, also when a camera is set to another codec while it runs: by FFmpeg where the program was built
/// with it, else in Rust.
#[cfg(feature = "ffmpeg")]
pub type Any = Ffmpeg;

/// Decodes whatever a stream sends, also when a camera is set to another codec while it runs: by FFmpeg where the program was built
/// with it, else in Rust.
#[cfg(not(feature = "ffmpeg"))]
pub type Any = Pure;

/// The same in Rust, in every build.
#[derive(Debug, Default)]
pub struct Pure(Option<Known>);

#[derive(Debug)]
enum Known {
    H264(Box<H264>),
    H265(Box<H265>),
}

impl Decoder for Pure {
    fn decode(&mut self, unit: &AccessUnit) -> Result<Option<Frame>, DecodeError> {
        let config = &unit.config;
        match &mut self.0 {
            Some(Known::H264(decoder)) if config.is_h264() => return decoder.decode(unit),
            Some(Known::H265(decoder)) if config.is_h265() => return decoder.decode(unit),
            Some(_) | None => {}
        }
        let known = match (config.is_h264(), config.is_h265()) {
            (true, _) => Known::H264(Box::default()),
            (_, true) => Known::H265(Box::default()),
            (false, false) => return Err(DecodeError::Codec(config.codec.clone())),
        };
        match self.0.insert(known) {
            Known::H264(decoder) => decoder.decode(unit),
            Known::H265(decoder) => decoder.decode(unit),
        }
    }
}

/// When the camera took a picture, as frames carry it.
fn time_of(unit: &AccessUnit) -> Duration {
    Duration::from_micros(u64::try_from(unit.captured.as_microsecond()).unwrap_or(0))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::StreamConfig;
    use crate::recorder::fmp4::tests::config;
    use bytes::Bytes;
    use jiff::Timestamp;
    use std::sync::Arc;
    use std::time::Instant;

    pub(super) fn unit(config: &Arc<StreamConfig>, data: Vec<u8>, key: bool) -> AccessUnit {
        let captured = Timestamp::from_microsecond(1).expect("small");
        AccessUnit { data: Bytes::from(data), key, captured, pts: 0, received: Instant::now(), config: config.clone() }
    }

    #[test]
    fn a_codec_that_is_not_decoded_is_named() {
        let av1 = Arc::new(StreamConfig { codec: "av01.0.04M.08".into(), ..config() });
        let error = Any::default().decode(&unit(&av1, vec![], true)).unwrap_err();
        assert!(error.to_string().contains("av01.0.04M.08"), "{error}");
    }
}
