//! Live pictures for browsers that cannot read a stream: decoded, made small, encoded as H.264, only while somebody watches.
//!
//! ```text
//!  hub of an H.265 stream ─▶ decode ─▶ 360 lines ─▶ H.264 (OpenH264) ─▶ a hub of its own ─▶ viewers
//!                            └───────── one thread per stream, as many as the budget ────────┘
//! ```
//! A camera with an H.264 sub-stream never comes here. One lane serves all who watch the same stream; it ends with the last of
//! them. Beyond the budget a viewer is refused and told so: a machine that decodes everything records nothing in time.

use crate::decode::{Any, Decoder};
use crate::feed::Which;
use crate::figures::Latency;
use crate::frame::{Frame, FrameError, YuvRange};
use crate::hub::{AccessUnit, Delivery, Hub, StreamConfig, Viewer};
use bytes::Bytes;
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use openh264::OpenH264API;
use openh264::encoder as h264;
use openh264::formats::YUVSource;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Lines of the small picture.
pub const HEIGHT: u32 = 360;
/// Pictures a second at most: what a tile needs.
const FPS: u32 = 15;
/// Pictures between key frames: two seconds.
const GROUP: u32 = 2 * FPS;
/// What the encoder plans with, bits a second.
const BITRATE: u32 = 500_000;
/// How often a lane without pictures looks whether anybody still watches.
const LOOK: Duration = Duration::from_millis(500);

/// Why there is no small picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TranscodeError {
    /// As many streams are transcoded as may be.
    #[error("{0} streams are transcoded already; give the camera an H.264 sub-stream, or raise limits.transcodes")]
    Busy(usize),
    /// The system gave no thread.
    #[error("the system gives no more threads")]
    Thread,
}

/// What all lanes did since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct TranscodeFigures {
    /// Streams that are transcoded now.
    pub running: u64,
    /// How many may be at a time.
    pub budget: u64,
    /// Lanes started.
    pub started: u64,
    /// Viewers refused for want of budget.
    pub refused: u64,
    /// Pictures encoded.
    pub pictures: u64,
    /// Time spent on an encoded picture, all of it on one core, median, ms.
    pub picture_ms_p50: f64,
    /// Time spent in all, on pictures that were encoded and on those that were only decoded, seconds of a core.
    pub busy_s: f64,
}

/// The lanes of a site.
#[derive(Debug)]
pub struct Transcodes {
    budget: usize,
    lanes: Mutex<BTreeMap<(DeviceId, Which), Weak<Lane>>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    running: AtomicU64,
    started: AtomicU64,
    refused: AtomicU64,
    pictures: AtomicU64,
    spent: Latency,
    busy_us: AtomicU64,
}

/// One stream that is transcoded as long as this is held.
#[derive(Debug)]
pub struct Lane {
    hub: Arc<Hub>,
}

impl Lane {
    /// The small pictures.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}

impl Transcodes {
    /// None yet; `budget`: how many at a time.
    pub fn new(budget: usize) -> Self {
        Self { budget, lanes: Mutex::default(), counts: Arc::default() }
    }

    /// Joins the lane of a stream, or starts one that takes its pictures from `source`.
    pub fn join(
        &self,
        stream: (DeviceId, Which),
        source: &Arc<Hub>,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Arc<Lane>, TranscodeError> {
        let mut lanes = self.lock();
        lanes.retain(|_, lane| lane.strong_count() > 0);
        if let Some(lane) = lanes.get(&stream).and_then(Weak::upgrade) {
            return Ok(lane);
        }
        if lanes.len() >= self.budget {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return Err(TranscodeError::Busy(self.budget));
        }
        let lane = Arc::new(Lane { hub: Arc::new(Hub::new()) });
        let (held, viewer) = (Arc::downgrade(&lane), source.watch());
        let (counts, runtime) = (self.counts.clone(), runtime.clone());
        let work = move || {
            counts.running.fetch_add(1, Ordering::Relaxed);
            run(&held, viewer, &counts, &runtime);
            counts.running.fetch_sub(1, Ordering::Relaxed);
        };
        std::thread::Builder::new().name("transcode".into()).spawn(work).map_err(|_| TranscodeError::Thread)?;
        self.counts.started.fetch_add(1, Ordering::Relaxed);
        lanes.insert(stream, Arc::downgrade(&lane));
        Ok(lane)
    }

    /// What was done so far.
    pub fn figures(&self) -> TranscodeFigures {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        TranscodeFigures {
            running: get(&counts.running),
            budget: self.budget as u64,
            started: get(&counts.started),
            refused: get(&counts.refused),
            pictures: get(&counts.pictures),
            picture_ms_p50: counts.spent.spread().p50_ms,
            busy_s: get(&counts.busy_us) as f64 / 1e6,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(DeviceId, Which), Weak<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works until nobody watches or the camera is gone.
fn run(held: &Weak<Lane>, mut viewer: Viewer, counts: &Counts, runtime: &tokio::runtime::Handle) {
    let mut lane = Small::default();
    loop {
        let next = runtime.block_on(async { tokio::time::timeout(LOOK, viewer.next()).await });
        let Some(hub) = held.upgrade().map(|lane| lane.hub.clone()) else { return };
        match next {
            Err(_) | Ok(Some(Delivery::Config(_))) => {}
            Ok(None) => return hub.close(),
            Ok(Some(Delivery::Lost(loss))) => {
                lane = Small::default();
                hub.lose(loss);
            }
            Ok(Some(Delivery::Unit { unit, .. })) => {
                let began = Instant::now();
                let taken = lane.take(&unit);
                counts.busy_us.fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
                match taken {
                    Ok(Some(small)) => {
                        counts.pictures.fetch_add(1, Ordering::Relaxed);
                        counts.spent.record(began.elapsed());
                        hub.publish(&Arc::new(small), Duration::ZERO);
                    }
                    Ok(None) => {}
                    // Decoding goes on at the next key frame.
                    Err(error) => tracing::debug!("A picture was not transcoded: {error}"),
                }
            }
        }
    }
}

/// Why one picture was left out.
#[derive(Debug, thiserror::Error)]
enum SmallError {
    #[error(transparent)]
    Decode(#[from] crate::decode::DecodeError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the H.264 encoder failed: {0}")]
    Encode(#[from] openh264::Error),
}

/// Decoder and encoder of one lane.
#[derive(Default)]
struct Small {
    decoder: Any,
    encoder: Option<(h264::Encoder, (u32, u32))>,
    config: Option<Arc<StreamConfig>>,
    shown_us: i64,
}

impl Small {
    /// The small picture of a unit; `None` where it completes none, or so soon after the last that nobody would miss it.
    fn take(&mut self, unit: &AccessUnit) -> Result<Option<AccessUnit>, SmallError> {
        let Some(frame) = self.decoder.decode(unit)? else { return Ok(None) };
        let captured_us = frame.pts().as_micros() as i64;
        // A little early is in time: pictures of 15 a second must not become every second one.
        let apart = 1_000_000 / i64::from(FPS) * 9 / 10;
        if (0..apart).contains(&(captured_us - self.shown_us)) {
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

    #[tokio::test]
    async fn lanes_are_bounded_shared_and_end_with_who_watches() {
        let (runtime, source) = (tokio::runtime::Handle::current(), Arc::new(Hub::new()));
        let transcodes = Transcodes::new(1);
        let id = |name: &str| name.parse::<gatehouse_core::id::DeviceKey>().unwrap().id();
        let lane = transcodes.join((id("a"), Which::Main), &source, &runtime).unwrap();
        let same = transcodes.join((id("a"), Which::Main), &source, &runtime).unwrap();
        assert!(Arc::ptr_eq(&lane, &same));
        assert_eq!(transcodes.join((id("b"), Which::Main), &source, &runtime).unwrap_err(), TranscodeError::Busy(1));
        drop((lane, same));
        assert!(transcodes.join((id("b"), Which::Main), &source, &runtime).is_ok());
        assert_eq!((transcodes.figures().started, transcodes.figures().refused), (2, 1));
    }
}
