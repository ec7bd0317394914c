//! An RTSP camera: session, watchdog, reconnect; access units out.
//!
//! ```text
//!  connect ──▶ play ──▶ units ──no unit for 4 s, error, end──▶ wait (0.5 s doubling to 15 s, jittered) ──▶ connect …
//! ```
//! One session per stream, however many watch. TCP unless told otherwise: UDP loses packets and retina does not reorder.
//! What a camera hears comes with it, where it is to be recorded; a session that breaks with it is opened again without.
//! retina has no stall timeout of its own and does not reconnect; both are here. Whatever a camera answers ends in a
//! counted, named error, never in a panic.

mod audio;
pub mod timeline;

use crate::audio::AudioFrame;
use crate::hub::{AccessUnit, Hub, Loss, StreamConfig};
use audio::Ear;
use bytes::Bytes;
use futures_util::{FutureExt, Stream};
use jiff::Timestamp;
use retina::client::{
    Credentials, InitialTimestampPolicy, PlayOptions, Session, SessionOptions, SetupOptions, TcpTransportOptions,
};
use retina::client::{Demuxed, UdpTransportOptions};
use retina::codec::{CodecItem, FrameFormat, ParametersRef, VideoFrame};
use retina::rtcp::ReceivedCompoundPacket;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hasher};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use timeline::Timeline;
use tokio::time::{sleep, timeout, timeout_at};
use url::Url;

/// Silence after which a stream is stalled. Key frames of slow cameras come every 1–2 s, so their frames do too.
pub const WATCHDOG: Duration = Duration::from_secs(4);
/// Longest wait for each answer while connecting.
const ANSWER_MAX: Duration = Duration::from_secs(4);
/// Pauses between attempts.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// Longest pause while the connection itself is refused or not answered, and after a session that gave pictures: asking costs
/// nothing, and the picture should be back within two seconds of the camera.
const PAUSE_MAX_ABSENT: Duration = Duration::from_millis(1500);
/// After a stall a stream is live again when its pictures go on for so long: a camera that hangs, or the server in front of it,
/// may give whoever connects the pictures it kept and then nothing.
const PROOF: Duration = Duration::from_secs(1);
/// Pictures held until then; more of them prove it too.
const HELD_MAX: usize = 512;
/// A session that lived this long makes the next pause short again.
const GOOD_SESSION: Duration = Duration::from_secs(10);
/// How long a stream does without audio after a session that broke with it: a camera's bad audio must not cost its pictures.
const DEAF: Duration = Duration::from_secs(600);
/// Largest access unit taken: far above any camera's key frame, below what would hurt.
const UNIT_MAX: usize = 16 << 20;

/// How RTP travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Interleaved in the RTSP connection.
    #[default]
    Tcp,
    /// Datagrams; loses frames on a busy network.
    Udp,
}

/// Where a stream is.
#[derive(Clone)]
pub struct Source {
    /// `rtsp://host:port/path`, without credentials.
    pub url: Url,
    /// User, empty for none.
    pub user: String,
    /// Password.
    pub password: String,
    /// How RTP travels.
    pub transport: Transport,
    /// Whether audio is taken, too, where there is any.
    pub audio: bool,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?}, user {:?})", self.url, self.transport, self.user)
    }
}

/// Who is told what a stream does. Called from the stream's task: must not wait.
pub trait Listener: Send + Sync + 'static {
    /// A picture came; `late` is how far behind its own clock.
    fn unit(&self, unit: &Arc<AccessUnit>, late: Duration);
    /// Something was heard.
    fn audio(&self, frame: &Arc<AudioFrame>) {
        let _ = frame;
    }
    /// The stream is live (`None`) or lost. Once per change.
    fn state(&self, lost: Option<Loss>);
    /// Something went wrong: a code to count, a sentence to read.
    fn error(&self, code: &'static str, text: &str);
    /// A session was opened again.
    fn restarted(&self);
    /// The camera said what time it is: its clock minus ours, ms.
    fn clock(&self, off_ms: i64) {
        let _ = off_ms;
    }
}

/// Runs a stream for ever; dropping the future ends the session.
pub async fn run(source: Source, hub: Arc<Hub>, listener: Arc<dyn Listener>) {
    let mut pause = PAUSE_MIN;
    let mut lost: Option<Option<Loss>> = None;
    let mut first = true;
    let mut deaf: Option<Instant> = None;
    loop {
        if !std::mem::take(&mut first) {
            listener.restarted();
        }
        let started = Instant::now();
        let mut live =
            Live { hub: &hub, listener: &*listener, state: &mut lost, units: 0, first: None, held: Vec::new() };
        // A panic inside the protocol code must cost one session, not the camera.
        let hears = source.audio && deaf.is_none_or(|since| since.elapsed() >= DEAF);
        let ended = AssertUnwindSafe(session(&source, hears, &mut live)).catch_unwind().await;
        let units = live.units;
        let end = ended.unwrap_or_else(|_| End {
            loss: Loss::Undecodable,
            code: "rtsp_panic",
            text: "the protocol code panicked on the camera's answer; please report it with a packet capture".into(),
            absent: false,
        });
        listener.error(end.code, &end.text);
        if hears && end.loss == Loss::Undecodable {
            deaf = Some(Instant::now());
        }
        // A session that was live may come back at once: a loss is told when it stalled or the next attempt fails too.
        let gone = units == 0 || end.loss == Loss::Stalled || started.elapsed() < Duration::from_secs(2);
        if gone && lost != Some(Some(end.loss)) {
            lost = Some(Some(end.loss));
            hub.lose(end.loss);
            listener.state(Some(end.loss));
        }
        if units > 0 {
            // A camera that gave pictures restarts, or its link does: it is to be live soon after it is back.
            let longest = if started.elapsed() >= GOOD_SESSION { PAUSE_MIN } else { PAUSE_MAX_ABSENT };
            pause = pause.min(longest);
        }
        sleep(jittered(pause)).await;
        pause = next_pause(pause, &end, units > 0);
    }
}

fn next_pause(pause: Duration, end: &End, pictures: bool) -> Duration {
    match end.loss {
        // Cameras lock an account after a few wrong passwords.
        Loss::Unauthorised => PAUSE_MAX,
        _ if end.absent || pictures => (pause * 2).min(PAUSE_MAX_ABSENT),
        _ => (pause * 2).min(PAUSE_MAX),
    }
}

/// Between 75 % and 125 %, so that cameras behind one switch do not all come back in the same instant.
fn jittered(pause: Duration) -> Duration {
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish() % 512;
    pause * (768 + random as u32) / 1024
}

/// Why a session ended.
#[derive(Debug)]
struct End {
    loss: Loss,
    code: &'static str,
    text: String,
    /// Whether nobody was there to answer.
    absent: bool,
}

impl End {
    fn new(loss: Loss, text: impl Into<String>) -> Self {
        let code = match loss {
            Loss::Stalled => "rtsp_stalled",
            Loss::Refused => "rtsp_refused",
            Loss::Unauthorised => "rtsp_unauthorised",
            Loss::Undecodable => "rtsp_undecodable",
        };
        Self { loss, code, text: text.into(), absent: false }
    }

    fn silent(step: &str) -> Self {
        let text = format!("no answer to {step} within {} s: is the camera reachable?", ANSWER_MAX.as_secs());
        Self { absent: true, ..Self::new(Loss::Refused, text) }
    }

    /// Sorts a protocol error. retina's errors show a status and a text only; its wording is pinned by a test.
    fn of(step: &str, error: &retina::Error) -> Self {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        match error.status_code() {
            Some(401 | 403) => Self::new(Loss::Unauthorised, format!("{step}: the camera refused user or password")),
            // A 2xx that is an error: the answer could not be understood.
            Some(status) if (200..300).contains(&status) => Self::new(Loss::Undecodable, format!("{step}: {line}")),
            Some(status) => Self::new(Loss::Refused, format!("{step}: the camera answered {status}: {line}")),
            None if line.starts_with("Unable to connect") => {
                Self { absent: true, ..Self::new(Loss::Refused, format!("{step}: {line}")) }
            }
            None if ["Error reading", "Error writing", "Error receiving", "Timeout"]
                .iter()
                .any(|p| line.starts_with(p)) =>
            {
                Self::new(Loss::Refused, format!("{step}: {line}"))
            }
            None if line.starts_with("Unsupported") || line.contains("credentials") => {
                Self::new(Loss::Unauthorised, format!("{step}: {line}"))
            }
            None => Self::new(Loss::Undecodable, format!("{step}: {line}")),
        }
    }
}

/// What a session reports to.
struct Live<'a> {
    hub: &'a Hub,
    listener: &'a dyn Listener,
    state: &'a mut Option<Option<Loss>>,
    units: u64,
    /// When the session's first unit came.
    first: Option<Instant>,
    /// Units since the last key frame, while a stream that had stalled proves itself.
    held: Vec<(AccessUnit, Duration)>,
}

impl Live<'_> {
    fn take(&mut self, unit: AccessUnit, late: Duration) {
        self.units += 1;
        let first = *self.first.get_or_insert_with(Instant::now);
        let unproven = *self.state == Some(Some(Loss::Stalled)) && first.elapsed() < PROOF;
        if unproven && self.held.len() < HELD_MAX {
            if unit.key {
                self.held.clear();
            }
            self.held.push((unit, late));
            return;
        }
        if *self.state != Some(None) {
            *self.state = Some(None);
            self.listener.state(None);
        }
        for (unit, late) in std::mem::take(&mut self.held) {
            self.publish(unit, late);
        }
        self.publish(unit, late);
    }

    fn publish(&self, unit: AccessUnit, late: Duration) {
        let unit = Arc::new(unit);
        self.hub.publish(&unit, late);
        self.listener.unit(&unit, late);
    }
}

/// Opens a session and gives its units until it ends.
async fn session(source: &Source, hears: bool, live: &mut Live<'_>) -> End {
    let (mut stream, track, mut ear) = match open(source, hears, live.listener).await {
        Ok(open) => open,
        Err(end) => return end,
    };
    let mut assembler = Assembler::default();
    let mut deadline = tokio::time::Instant::now() + WATCHDOG;
    let mut discarded = 0_u64;
    loop {
        let item = match timeout_at(deadline, poll_fn(|cx| Pin::new(&mut stream).poll_next(cx))).await {
            Ok(item) => item,
            Err(_) if discarded > 0 => {
                let text = format!("{discarded} frames came in {} s, none to start decoding from", WATCHDOG.as_secs());
                return End::new(Loss::Undecodable, text);
            }
            Err(_) => return End::new(Loss::Stalled, format!("no frame for {} s", WATCHDOG.as_secs())),
        };
        match item {
            Some(Ok(CodecItem::VideoFrame(frame))) => {
                if frame.loss() > 0 {
                    live.listener.error("rtsp_loss", &format!("{} packets lost", frame.loss()));
                }
                if frame.has_new_parameters() || assembler.config.is_none() {
                    assembler.configure(&stream, track);
                }
                match assembler.unit(frame) {
                    Some((unit, late)) => {
                        live.take(unit, late);
                        discarded = 0;
                        deadline = tokio::time::Instant::now() + WATCHDOG;
                    }
                    None => discarded += 1,
                }
            }
            Some(Ok(CodecItem::AudioFrame(packet))) => {
                let frame = ear.as_mut().and_then(|ear| ear.frame(&packet, assembler.clock_us()));
                if let Some(frame) = frame {
                    live.listener.audio(&Arc::new(frame));
                }
            }
            Some(Ok(CodecItem::Rtcp(report))) => {
                match &mut ear {
                    Some(ear) if report.stream_id() == ear.stream => {
                        report_off(&report).into_iter().for_each(|off| ear.report(off))
                    }
                    Some(_) | None => assembler.reported = report_off(&report).or(assembler.reported),
                }
                if let Some(off_ms) = clock_off(&report) {
                    live.listener.clock(off_ms);
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return End::of("stream", &error),
            None => return End::new(Loss::Refused, "the camera ended the stream"),
        }
    }
}

/// The camera's clock by a sender report, µs since 1970; `None` where the camera does not know the time (RFC 3550 §6.4.1).
fn camera_us(report: &ReceivedCompoundPacket) -> Option<i64> {
    let ntp = report.pkts().next()?.as_sender_report().ok()??.ntp_timestamp().0;
    if ntp == 0 {
        return None;
    }
    let since = i128::from(ntp) - i128::from(retina::UNIX_EPOCH.0);
    i64::try_from((since * 1_000_000) >> 32).ok()
}

/// The camera's clock minus ours by a sender report, ms.
fn clock_off(report: &ReceivedCompoundPacket) -> Option<i64> {
    let received = report.ctx().received().elapsed().as_millis();
    Some(camera_us(report)? / 1_000 - (Timestamp::now().as_millisecond() - i64::try_from(received).ok()?))
}

/// The camera's clock minus its track's by a sender report, µs.
fn report_off(report: &ReceivedCompoundPacket) -> Option<i64> {
    let stamp = report.rtp_timestamp()?;
    let stream_us = i128::from(stamp.elapsed()) * 1_000_000 / i128::from(stamp.clock_rate().get());
    camera_us(report)?.checked_sub(i64::try_from(stream_us).ok()?)
}

/// DESCRIBE, SETUP of the one video stream and of audio where there is some to be heard, PLAY.
async fn open(source: &Source, hears: bool, listener: &dyn Listener) -> Result<(Demuxed, usize, Option<Ear>), End> {
    let credentials = (!source.user.is_empty())
        .then(|| Credentials { username: source.user.clone(), password: source.password.clone() });
    let options = SessionOptions::default().creds(credentials).user_agent("gatehouse".into());
    let mut session = answer("DESCRIBE", Session::describe(source.url.clone(), options)).await?;
    let known = |name: &str| session.streams().iter().position(|s| s.media() == "video" && s.encoding_name() == name);
    let Some(track) = known("h264").or_else(|| known("h265")) else {
        return Err(End::new(Loss::Undecodable, "the camera offers no H.264 or H.265 video"));
    };
    let setup = || {
        let transport = match source.transport {
            Transport::Tcp => retina::client::Transport::Tcp(TcpTransportOptions::default()),
            Transport::Udp => retina::client::Transport::Udp(UdpTransportOptions::default()),
        };
        SetupOptions::default().transport(transport).frame_format(FrameFormat::MP4)
    };
    answer("SETUP", session.setup(track, setup())).await?;
    let mut ear = if hears { Ear::choose(session.streams()) } else { None };
    if let Some(heard) = &ear
        && let Err(end) = answer("SETUP of audio", session.setup(heard.stream, setup())).await
    {
        // It is a camera all the same.
        listener.error("rtsp_audio_refused", &end.text);
        ear = None;
    }
    // The tracks are tied by their sender reports; many cameras leave out `rtptime` or get it wrong.
    let options = PlayOptions::default().initial_timestamp(InitialTimestampPolicy::Ignore);
    let playing = answer("PLAY", session.play(options)).await?;
    Ok((playing.demuxed().map_err(|error| End::of("PLAY", &error))?, track, ear))
}

async fn answer<T>(step: &str, call: impl Future<Output = Result<T, retina::Error>>) -> Result<T, End> {
    match timeout(ANSWER_MAX, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(End::of(step, &error)),
        Err(_) => Err(End::silent(step)),
    }
}

/// Frames of one session to access units.
#[derive(Default)]
struct Assembler {
    config: Option<Arc<StreamConfig>>,
    timeline: Timeline,
    started: bool,
    /// The camera's clock minus the pictures', µs, by the last sender report.
    reported: Option<i64>,
    /// Our clock minus the pictures', µs, by the newest one.
    placed: Option<i64>,
}

impl Assembler {
    /// Our clock minus the camera's, µs, once a sender report and a picture have come.
    fn clock_us(&self) -> Option<i64> {
        self.placed?.checked_sub(self.reported?)
    }

    fn configure(&mut self, stream: &Demuxed, track: usize) {
        let Some(ParametersRef::Video(parameters)) = stream.streams().get(track).and_then(|s| s.parameters()) else {
            return;
        };
        let (width, height) = parameters.pixel_dimensions();
        let config = StreamConfig {
            codec: parameters.rfc6381_codec().to_owned(),
            description: Bytes::copy_from_slice(parameters.extra_data()),
            width,
            height,
        };
        // Cameras that repeat equal parameters with every key frame must not look like a change.
        if self.config.as_deref() != Some(&config) {
            self.config = Some(Arc::new(config));
            self.started = false;
        }
    }

    /// `None` before the first key frame, without parameters, and for what cannot be a picture.
    fn unit(&mut self, frame: VideoFrame) -> Option<(AccessUnit, Duration)> {
        let config = self.config.clone()?;
        let key = frame.is_random_access_point();
        self.started |= key;
        if !self.started || frame.data().is_empty() || frame.data().len() > UNIT_MAX {
            return None;
        }
        let received = frame.end_ctx().received();
        let received_us = Timestamp::now().as_microsecond() - received.elapsed().as_micros() as i64;
        let stamp = frame.timestamp();
        let stream_us = i128::from(stamp.elapsed()) * 1_000_000 / i128::from(stamp.clock_rate().get());
        let stream_us = i64::try_from(stream_us).ok()?;
        let mapped = self.timeline.place(stream_us, received_us);
        self.placed = mapped.captured_us.checked_sub(stream_us);
        let captured = Timestamp::from_microsecond(mapped.captured_us).ok()?;
        // 90 kHz of our clock's µs: one line over reconnects, within i64 for 3 million years.
        let pts = (i128::from(mapped.captured_us) * 9 / 100) as i64;
        let late = Duration::from_micros(mapped.late_us.max(0) as u64);
        let data = Bytes::from(frame.into_data());
        Some((AccessUnit { data, key, captured, pts, received, config }, late))
    }
}

#[cfg(test)]
mod tests;
