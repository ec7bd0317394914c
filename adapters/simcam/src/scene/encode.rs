//! Pictures in, H.264 access units out (OpenH264, one thread, low complexity).

use super::canvas::I420;
use crate::rtsp::source::{AccessUnit, LiveSource, ParameterSets, split_annex_b};
use bytes::Bytes;
use openh264::OpenH264API;
use openh264::encoder as h264;
use std::time::SystemTime;

/// An encoder would not start or would not take a picture.
#[derive(Debug, thiserror::Error)]
#[error("the H.264 encoder failed: width and height must be even and at most 3840 × 2160")]
pub struct EncodeError(#[from] openh264::Error);

/// One camera's encoder.
pub struct Encoder {
    inner: h264::Encoder,
    sets: Option<ParameterSets>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder for this rate, with a key frame every `group` pictures.
    pub fn new(fps: f32, bitrate_kbps: u32, group: u32) -> Result<Self, EncodeError> {
        let config = h264::EncoderConfig::new()
            .bitrate(h264::BitRate::from_bps(bitrate_kbps * 1_000))
            .max_frame_rate(h264::FrameRate::from_hz(fps))
            .rate_control_mode(h264::RateControlMode::Off)
            // A skipped picture would look like a stall to who watches the camera.
            .skip_frames(false)
            .usage_type(h264::UsageType::CameraVideoRealTime)
            .complexity(h264::Complexity::Low)
            .qp(h264::QpRange::new(18, 36))
            .scene_change_detect(false)
            .adaptive_quantization(false)
            .background_detection(false)
            .intra_frame_period(h264::IntraFramePeriod::from_num_frames(group))
            .num_threads(1)
            .vui(h264::VuiConfig::bt601());
        Ok(Self { inner: h264::Encoder::with_api_config(OpenH264API::from_source(), config)?, sets: None })
    }

    /// Makes the next picture a key frame.
    pub fn restart_group(&mut self) {
        // Before the first picture the library is not initialised, and that picture is a key frame anyway.
        if self.sets.is_some() {
            self.inner.force_intra_frame();
        }
    }

    /// Encodes a picture and publishes it; returns its size in bytes.
    pub fn publish(
        &mut self,
        picture: &I420,
        pts: u64,
        captured: SystemTime,
        to: &LiveSource,
    ) -> Result<usize, EncodeError> {
        let stream = self.inner.encode(picture)?;
        let key = matches!(stream.frame_type(), h264::FrameType::IDR);
        let bytes = Bytes::from(stream.to_vec());
        let (mut sps, mut pps, mut nals) = (None, None, Vec::new());
        for nal in split_annex_b(&bytes) {
            let nal = bytes.slice_ref(nal);
            match nal[0] & 0x1f {
                7 => sps = Some(nal),
                8 => pps = Some(nal),
                _ => nals.push(nal),
            }
        }
        if let Some(sets) = sps.zip(pps).and_then(|(s, p)| ParameterSets::new(s, p))
            && self.sets.as_ref() != Some(&sets)
        {
            to.set_parameter_sets(sets.clone());
            self.sets = Some(sets);
        }
        if !nals.is_empty() {
            to.publish(AccessUnit { nals, key, pts, captured });
        }
        Ok(bytes.len())
    }
}
