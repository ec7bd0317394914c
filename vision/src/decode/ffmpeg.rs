//! H.264 and H.265 by the system's FFmpeg, where the program was built with the feature `ffmpeg`: about twice as fast as the
//! decoders in Rust, for a library of the system's to trust with what a camera sends.

use super::{DecodeError, Decoder, append, h264, h265, nal_units};
use crate::frame::{Frame, YuvRange};
use crate::hub::{AccessUnit, StreamConfig};
use ffmpeg_next as ff;
use std::sync::Arc;
use std::time::Duration;

/// What FFmpeg decodes.
#[derive(Default)]
pub struct Ffmpeg {
    inner: Option<ff::decoder::Video>,
    config: Option<Arc<StreamConfig>>,
    /// Whether the last key frame and all since were decoded.
    intact: bool,
    annex_b: Vec<u8>,
}

impl Ffmpeg {
    /// A decoder that waits for a key frame.
    pub fn new() -> Self {
        Self::default()
    }

    fn restart(&mut self, config: &Arc<StreamConfig>) -> Result<(), DecodeError> {
        *self = Self::new();
        let (id, sets) = match (config.is_h264(), config.is_h265()) {
            (true, _) => (ff::codec::Id::H264, h264::parameter_sets(&config.description)),
            (_, true) => (ff::codec::Id::HEVC, h265::parameter_sets(&config.description)),
            (false, false) => return Err(DecodeError::Codec(config.codec.clone())),
        };
        for set in sets.ok_or(DecodeError::Parameters)? {
            append(&mut self.annex_b, set);
        }
        ff::init().map_err(bits)?;
        ff::log::set_level(ff::log::Level::Fatal); // What is damaged is told by our errors.
        let codec = ff::decoder::find(id).ok_or_else(|| DecodeError::Codec(config.codec.clone()))?;
        let mut context = ff::codec::context::Context::new_with_codec(codec);
        // A picture is wanted when its unit is in, not when others follow; cores are shared out by camera.
        context.set_flags(ff::codec::Flags::LOW_DELAY);
        context.set_threading(ff::codec::threading::Config { count: 1, ..Default::default() });
        self.inner = Some(context.decoder().video().map_err(bits)?);
        self.config = Some(config.clone());
        Ok(())
    }
}

impl std::fmt::Debug for Ffmpeg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ffmpeg").field("config", &self.config).field("intact", &self.intact).finish_non_exhaustive()
    }
}

impl Decoder for Ffmpeg {
    fn decode(&mut self, unit: &AccessUnit) -> Result<Option<Frame>, DecodeError> {
        if self.config.as_ref().is_some_and(|known| Arc::ptr_eq(known, &unit.config)) {
            self.annex_b.clear();
        } else {
            self.restart(&unit.config)?;
        }
        if !unit.key && !self.intact {
            return Ok(None);
        }
        self.intact = false;
        for nal in nal_units(&unit.data) {
            append(&mut self.annex_b, nal.ok_or(DecodeError::Framing)?);
        }
        let Some(inner) = &mut self.inner else { return Ok(None) };
        let mut packet = ff::Packet::copy(&self.annex_b);
        packet.set_pts(Some(unit.captured.as_microsecond()));
        inner.send_packet(&packet).map_err(bits)?;
        let mut newest = None;
        let mut picture = ff::frame::Video::empty();
        while inner.receive_frame(&mut picture).is_ok() {
            newest = Some(std::mem::replace(&mut picture, ff::frame::Video::empty()));
        }
        self.intact = true;
        newest.map(|picture| frame(&picture, super::time_of(unit))).transpose()
    }
}

fn bits(error: ff::Error) -> DecodeError {
    DecodeError::Bits(error.to_string())
}

/// A picture with eight bits a sample.
fn frame(picture: &ff::frame::Video, pushed: Duration) -> Result<Frame, DecodeError> {
    use ff::format::Pixel;
    let (range, deep) = match picture.format() {
        Pixel::YUV420P => (YuvRange::Limited, 0),
        Pixel::YUVJ420P => (YuvRange::Full, 0),
        Pixel::YUV420P10LE => (YuvRange::Limited, 2),
        other => return Err(DecodeError::Bits(format!("pictures of the form {other:?} are not looked at"))),
    };
    let size = (picture.width(), picture.height());
    let pts = picture.timestamp().and_then(|us| u64::try_from(us).ok()).map_or(pushed, Duration::from_micros);
    if deep == 0 {
        let planes = [picture.data(0), picture.data(1), picture.data(2)];
        return Ok(Frame::from_i420(size, planes, [0, 1, 2].map(|plane| picture.stride(plane)), range, pts)?);
    }
    let planes = [0, 1, 2].map(|plane| -> Vec<u8> {
        let samples = picture.data(plane).chunks_exact(2);
        samples.map(|two| (u16::from_le_bytes([two[0], two[1]]) >> deep) as u8).collect()
    });
    let strides = [0, 1, 2].map(|plane| picture.stride(plane) / 2);
    Ok(Frame::from_i420(size, [&planes[0], &planes[1], &planes[2]], strides, range, pts)?)
}
