//! H.264 in Rust.

use super::{DecodeError, Decoder, append, nal_units};
use crate::frame::{Frame, YuvRange};
use crate::hub::{AccessUnit, StreamConfig};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

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
        let picture = decoded.map_err(|error| DecodeError::Bits(error.to_string()))?;
        self.intact = true;
        let Some(picture) = picture else { return Ok(None) };
        let (width, height) = (picture.width, picture.height);
        let chroma = width.div_ceil(2);
        Ok(Some(Frame::from_i420(
            (width as u32, height as u32),
            [&picture.y, &picture.u, &picture.v],
            [width, chroma, chroma],
            YuvRange::Limited,
            super::time_of(unit),
        )?))
    }
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
    use crate::decode::tests::unit;
    use crate::recorder::fmp4::tests::config;
    use bytes::Bytes;
    use proptest::prelude::*;

    #[test]
    fn the_parameter_sets_of_an_avcc_are_found() {
        let config = config();
        let sets = parameter_sets(&config.description).unwrap();
        assert_eq!(sets.iter().map(|set| set[0] & 0x1F).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(parameter_sets(&config.description[..20]), None);
    }

    #[test]
    fn a_delta_without_its_key_frame_is_nothing() {
        let mut decoder = H264::new();
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
