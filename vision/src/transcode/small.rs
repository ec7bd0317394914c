//! One picture after the other: decoded, made small, encoded as H.264.

use crate::decode::{Any, Decoder};
use crate::frame::{Frame, FrameError, YuvRange};
use crate::hub::{AccessUnit, StreamConfig};
use bytes::Bytes;
use jiff::Timestamp;
use openh264::OpenH264API;
use openh264::encoder as h264;
use openh264::formats::YUVSource;
use std::sync::Arc;
use std::time::Instant;

/// Lines of the small picture.
pub const HEIGHT: u32 = 360;
/// Pictures a second at most: what a tile needs.
const FPS: u32 = 15;
/// Pictures between key frames: two seconds.
const GROUP: u32 = 2 * FPS;
/// What the encoder plans with, bits a second.
const BITRATE: u32 = 500_000;
/// A picture that is this much older than the last, µs, was reordered on its way and is left out; one that is older still begins anew.
const REORDERED_US: i64 = 1_000_000;

/// Why one picture was left out.
#[derive(Debug, thiserror::Error)]
pub(super) enum SmallError {
    #[error(transparent)]
    Decode(#[from] crate::decode::DecodeError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the H.264 encoder failed: {0}")]
    Encode(#[from] openh264::Error),
}

/// Decoder and encoder of one lane.
#[derive(Default)]
pub(super) struct Small {
    decoder: Any,
    encoder: Option<(h264::Encoder, (u32, u32))>,
    config: Option<Arc<StreamConfig>>,
    shown_us: i64,
}

impl Small {
    /// Decodes a unit of which no picture is wanted.
    pub(super) fn pass(&mut self, unit: &AccessUnit) -> Result<(), SmallError> {
        Ok(self.decoder.decode(unit).map(drop)?)
    }

    /// The same decoder where it stands, for pictures that begin with a key frame again.
    pub(super) fn anew(self) -> Self {
        Self { decoder: self.decoder, ..Self::default() }
    }

    /// The small picture of a unit; `None` where it completes none, or so soon after the last that nobody would miss it.
    pub(super) fn take(&mut self, unit: &AccessUnit) -> Result<Option<AccessUnit>, SmallError> {
        let Some(frame) = self.decoder.decode(unit)? else { return Ok(None) };
        let captured_us = frame.pts().as_micros() as i64;
        // A little early is in time: pictures of 15 a second must not become every second one.
        let apart = 1_000_000 / i64::from(FPS) * 9 / 10;
        if (-REORDERED_US..apart).contains(&(captured_us - self.shown_us)) {
            return Ok(None);
        }
        let Some(picture) = shrink(&frame)? else { return Ok(None) };
        self.shown_us = captured_us;
        self.encode(&picture, captured_us, unit.received)
    }

    fn encode(&mut self, picture: &Frame, us: i64, received: Instant) -> Result<Option<AccessUnit>, SmallError> {
        let size = (picture.width(), picture.height());
        if self.encoder.as_ref().is_none_or(|(_, known)| *known != size) {
            self.encoder = Some((encoder()?, size));
            self.config = None;
        }
        let Some((encoder, _)) = &mut self.encoder else { return Ok(None) };
        let Some(planes) = Planes::of(picture) else { return Ok(None) };
        let stream = encoder.encode(&planes)?;
        let key = matches!(stream.frame_type(), h264::FrameType::IDR);
        let (mut data, mut sets) = (Vec::new(), [None, None]);
        for n in 0..stream.num_layers() {
            let Some(layer) = stream.layer(n) else { continue };
            for nal in (0..layer.nal_count()).filter_map(|n| layer.nal_unit(n)) {
                let start = if nal.starts_with(&[0, 0, 0, 1]) { 4 } else { 3 };
                let Some(nal) = nal.get(start..).filter(|nal| !nal.is_empty()) else { continue };
                match nal[0] & 0x1f {
                    7 => sets[0] = Some(nal.to_vec()),
                    8 => sets[1] = Some(nal.to_vec()),
                    _ => {
                        data.extend_from_slice(&(nal.len() as u32).to_be_bytes());
                        data.extend_from_slice(nal);
                    }
                }
            }
        }
        if let [Some(sps), Some(pps)] = &sets
            && let Some(config) = describe(sps, pps, size)
            && self.config.as_deref() != Some(&config)
        {
            self.config = Some(Arc::new(config));
        }
        let (Some(config), Ok(captured)) = (self.config.clone(), Timestamp::from_microsecond(us)) else {
            return Ok(None);
        };
        let pts = (i128::from(us) * 9 / 100) as i64;
        let unit = AccessUnit { data: data.into(), key, captured, pts, received, config };
        Ok((!unit.data.is_empty()).then_some(unit))
    }
}

fn encoder() -> Result<h264::Encoder, openh264::Error> {
    let config = h264::EncoderConfig::new()
        .bitrate(h264::BitRate::from_bps(BITRATE))
        .max_frame_rate(h264::FrameRate::from_hz(FPS as f32))
        // Quality within bounds: a rate that is kept needs pictures that are left out.
        .rate_control_mode(h264::RateControlMode::Off)
        .qp(h264::QpRange::new(22, 36))
        // A skipped picture would look like a stall to who watches.
        .skip_frames(false)
        .usage_type(h264::UsageType::CameraVideoRealTime)
        .complexity(h264::Complexity::Low)
        .intra_frame_period(h264::IntraFramePeriod::from_num_frames(GROUP))
        .num_threads(1);
    h264::Encoder::with_api_config(OpenH264API::from_source(), config)
}

/// A picture of [`HEIGHT`] lines and a width that keeps its shape, both even; one that is smaller stays as it is.
fn shrink(frame: &Frame) -> Result<Option<Frame>, FrameError> {
    let Some([y, u, v]) = frame.planes() else { return Ok(None) };
    let height = HEIGHT.min(frame.height()) & !1;
    let width = (u64::from(frame.width()) * u64::from(height) / u64::from(frame.height().max(1))) as u32 & !1;
    if width < 16 || height < 16 {
        return Ok(None);
    }
    let luma = y.resize(width, height);
    let chroma = [u, v].map(|plane| plane.resize(width / 2, height / 2));
    let strides = [width as usize, width as usize / 2, width as usize / 2];
    let planes = [luma.data(), chroma[0].data(), chroma[1].data()];
    Frame::from_i420((width, height), planes, strides, YuvRange::Limited, frame.pts()).map(Some)
}

/// The planes of a picture as the encoder wants them.
struct Planes<'a> {
    size: (usize, usize),
    y: &'a [u8],
    u: &'a [u8],
    v: &'a [u8],
}

impl<'a> Planes<'a> {
    /// Rows lie together: the picture was made by [`shrink`].
    fn of(frame: &'a Frame) -> Option<Self> {
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        let (y, chroma) = frame.data().split_at_checked(width * height)?;
        let (u, v) = chroma.split_at_checked(width / 2 * (height / 2))?;
        (v.len() == u.len()).then_some(Self { size: (width, height), y, u, v })
    }
}

impl YUVSource for Planes<'_> {
    fn dimensions(&self) -> (usize, usize) {
        self.size
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.size.0, self.size.0 / 2, self.size.0 / 2)
    }

    fn y(&self) -> &[u8] {
        self.y
    }

    fn u(&self) -> &[u8] {
        self.u
    }

    fn v(&self) -> &[u8] {
        self.v
    }
}

/// How to decode what the encoder makes (ISO/IEC 14496-15 §5.3.3.1).
fn describe(sps: &[u8], pps: &[u8], (width, height): (u32, u32)) -> Option<StreamConfig> {
    let [_, profile, constraints, level, ..] = *sps else { return None };
    let mut description = vec![1, profile, constraints, level, 0xFF, 0xE1];
    for (set, count) in [(sps, None), (pps, Some(1))] {
        description.extend(count);
        description.extend_from_slice(&u16::try_from(set.len()).ok()?.to_be_bytes());
        description.extend_from_slice(set);
    }
    let codec = format!("avc1.{profile:02x}{constraints:02x}{level:02x}");
    Some(StreamConfig { codec, description: Bytes::from(description), width, height })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::H264;
    use std::time::Duration;

    fn grey(width: u32, height: u32, us: u64) -> Frame {
        let shade = (us / 40_000 % 100) as u8 + 60;
        let (y, c) = (vec![shade; (width * height) as usize], vec![128; (width / 2 * (height / 2)) as usize]);
        let strides = [width as usize, width as usize / 2, width as usize / 2];
        Frame::from_i420((width, height), [&y, &c, &c], strides, YuvRange::Limited, Duration::from_micros(us)).unwrap()
    }

    #[test]
    fn a_picture_keeps_its_shape_and_a_small_one_its_size() {
        let size =
            |width, height| shrink(&grey(width, height, 0)).unwrap().map(|small| (small.width(), small.height()));
        assert_eq!(
            (size(1280, 720), size(704, 576), size(320, 240)),
            (Some((640, 360)), Some((440, 360)), Some((320, 240)))
        );
        assert_eq!(size(8, 8), None);
    }

    #[test]
    fn what_is_encoded_is_decoded_with_its_time() {
        let (mut lane, mut decoder, mut seen) = (Small::default(), H264::new(), 0);
        for n in 0..10_u64 {
            let us = 1_700_000_000_000_000 + n * 80_000;
            let small = shrink(&grey(1280, 720, us)).unwrap().unwrap();
            let unit = lane.encode(&small, us as i64, Instant::now()).unwrap().unwrap();
            assert_eq!((unit.key, unit.captured.as_microsecond()), (n == 0, us as i64));
            assert!(unit.config.is_h264() && unit.config.height == HEIGHT);
            let frame = decoder.decode(&unit).unwrap().unwrap();
            let (is, was) = (i32::from(frame.luma().data()[5_000]), i32::from(small.luma().data()[5_000]));
            assert!((is - was).abs() < 6, "{is} for {was}");
            seen += 1;
        }
        assert_eq!(seen, 10);
    }
}
