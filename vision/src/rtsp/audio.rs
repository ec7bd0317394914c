//! Audio of a session: which track is taken, and its frames on our clock, in step with the pictures.
//!
//! The two tracks have clocks of their own. Sender reports tie both to the camera's clock (RFC 3550 §6.4.1), so what is heard is
//! placed where the pictures of that moment are; until both have come, by its own arrivals. Frames follow each other without a
//! seam as long as they lie within [`SEAM_US`] of where they belong: below what anybody hears or sees (ITU-R BT.1359).

use super::timeline::Timeline;
use crate::audio::{AudioConfig, AudioFrame, aac, flac, g711};
use bytes::Bytes;
use jiff::Timestamp;
use retina::client::Stream;
use retina::codec::{AudioFrame as Packet, ParametersRef};
use std::sync::Arc;

/// Further than this off, µs, a frame does not follow the one before.
const SEAM_US: i64 = 40_000;
/// Reports of two tracks that differ by more than this from what arrives, µs, are not of one clock.
const DISAGREE_US: i64 = 2_000_000;
/// A frame so much earlier than the one before, µs, is of a clock that was set.
const SET_BACK_US: i64 = 10_000_000;

/// How packets become frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Aac,
    ALaw,
    MuLaw,
    L16,
}

/// The audio track of one session.
#[derive(Debug)]
pub struct Ear {
    /// Its number among the session's tracks.
    pub stream: usize,
    coding: Coding,
    config: Arc<AudioConfig>,
    timeline: Timeline,
    /// The camera's clock minus the track's, µs, by its last sender report.
    reported: Option<i64>,
    /// When the newest frame ends, µs.
    next_us: Option<i64>,
    /// Samples so far.
    samples: u64,
}

impl Ear {
    /// The first track that is recorded; `None` where the camera offers none.
    pub fn choose(streams: &[Stream]) -> Option<Self> {
        streams.iter().enumerate().filter(|(_, stream)| stream.media() == "audio").find_map(|(n, stream)| {
            let coding = match stream.encoding_name() {
                "mpeg4-generic" => Coding::Aac,
                "pcma" => Coding::ALaw,
                "pcmu" => Coding::MuLaw,
                "l16" => Coding::L16,
                _ => return None,
            };
            let Some(ParametersRef::Audio(parameters)) = stream.parameters() else { return None };
            let (rate, channels) = (parameters.clock_rate(), parameters.channels().get());
            let config = match coding {
                Coding::Aac => AudioConfig {
                    codec: parameters.rfc6381_codec()?.to_owned(),
                    description: Bytes::copy_from_slice(parameters.extra_data()),
                    rate: aac::parameters(parameters.extra_data()).map_or(rate, |told| told.rate),
                    channels,
                },
                Coding::ALaw | Coding::MuLaw | Coding::L16 => AudioConfig {
                    codec: "flac".into(),
                    description: flac::stream_info(rate, channels).into(),
                    rate,
                    channels,
                },
            };
            Some(Self {
                stream: n,
                coding,
                config: Arc::new(config),
                timeline: Timeline::default(),
                reported: None,
                next_us: None,
                samples: 0,
            })
        })
    }

    /// Takes a sender report: the camera's clock minus the track's, µs.
    pub fn report(&mut self, off_us: i64) {
        self.reported = Some(off_us);
    }

    /// A packet as a frame; `None` for one that is empty, or of a time that has been heard already.
    ///
    /// `clock_us`: ours minus the camera's clock, as the pictures tell it.
    pub fn frame(&mut self, packet: &Packet, clock_us: Option<i64>) -> Option<AudioFrame> {
        let samples = packet.frame_length().get();
        let rate = i64::from(self.config.rate.max(1));
        let lasts_us = i64::from(samples) * 1_000_000 / rate;
        let arrived_us = Timestamp::now().as_microsecond() - packet.ctx().received().elapsed().as_micros() as i64;
        let stamp = packet.timestamp();
        let stream_us = i128::from(stamp.elapsed()) * 1_000_000 / i128::from(stamp.clock_rate().get());
        let stream_us = i64::try_from(stream_us).ok()?;
        // Its first sample was heard at least its length before it was sent.
        let by_arrival = self.timeline.place(stream_us, arrived_us.saturating_sub(lasts_us)).captured_us;
        let by_report =
            self.reported.zip(clock_us).map(|(off, clock)| stream_us.saturating_add(off).saturating_add(clock));
        let at =
            by_report.filter(|at| at.saturating_sub(by_arrival).saturating_abs() < DISAGREE_US).unwrap_or(by_arrival);
        let at = match self.next_us {
            Some(next) if (at - next).abs() <= SEAM_US => next,
            Some(next) if at < next && next - at < SET_BACK_US => return None,
            Some(_) | None => at,
        };
        let data = self.encode(packet.data())?;
        self.samples += u64::from(samples);
        self.next_us = Some(at.saturating_add(lasts_us));
        let captured = Timestamp::from_microsecond(at).ok()?;
        Some(AudioFrame { data, captured, samples, config: self.config.clone() })
    }

    fn encode(&self, data: &[u8]) -> Option<Bytes> {
        let linear: Vec<i16> = match self.coding {
            Coding::Aac => return (!data.is_empty()).then(|| Bytes::copy_from_slice(data)),
            Coding::ALaw => data.iter().map(|byte| g711::a_law(*byte)).collect(),
            Coding::MuLaw => data.iter().map(|byte| g711::mu_law(*byte)).collect(),
            Coding::L16 => data.as_chunks::<2>().0.iter().map(|sample| i16::from_be_bytes(*sample)).collect(),
        };
        flac::frame(&linear, self.config.channels, self.config.rate, self.samples).map(Bytes::from)
    }
}
