//! The other side of the benches of streams and recognition, in a process of its own: virtual cameras over RTSP, and who watches.
//!
//! ```text
//! bench ── one line of JSON: which cameras ──▶ cameras      (standard input)
//!       ◀── one line of JSON: where they are ──             (standard output)
//!       ── one line of JSON: who watches, how long ──▶      … WebSockets at the console …
//!       ◀── one line of JSON: what they saw ──
//! ```
//! A few seconds are drawn and encoded once and then played by every camera, each at its own moment, filled up to the bitrate
//! with filler units (H.264 7.3.2.7): so sixty-four cameras cost no more than their sending. It ends when its input does.

use super::crash::program::itself;
use super::process::raise_file_limit;
use super::{quantile, serde_line};
use crate::client::Client;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use gatehouse_adapters::sim::rtsp::{AccessUnit, LiveSource, ParameterSets, RtspServer, Users};
use gatehouse_adapters::sim::scene::{BodyColour, CameraConfig, Cue, PlateColour, SceneKind, Studio, StudioConfig};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio_tungstenite::tungstenite::Message;

/// Beyond the length of what is drawn: the longest that drawing may take.
const DRAWN_WITHIN: Duration = Duration::from_secs(60);
/// Seconds that are drawn where nothing happens.
const QUIET_S: u32 = 4;
/// A visitor comes so long after the beginning, so that the scene is quiet at its end and its beginning.
const COMES_AFTER: Duration = Duration::from_secs(2);
/// And stays: a car before the barrier, driving up included, or somebody before the door.
const STAYS: Duration = Duration::from_secs(8);
/// The plate of every car: letters that the scene's typeface draws apart from digits.
pub const PLATE: &str = "粤B12345";
/// What a tile sees in its first moments is a cached group, old by design: latency counts after them.
const SETTLE: Duration = Duration::from_secs(2);

/// The virtual cameras and who watches: started by other benches.
#[derive(Debug, clap::Args)]
pub struct Cameras;

/// Which cameras there are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Cameras, at `/cam-0` and so on.
    pub cameras: usize,
    /// Pictures a second.
    pub fps: u32,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Bitrate of each, kilobits a second.
    pub kbps: u32,
    /// What they look at.
    pub sight: Sight,
    /// Seconds that are drawn and then played again and again.
    pub lasts_s: u32,
}

impl Order {
    /// Cameras before which nothing happens.
    pub fn quiet(cameras: usize, fps: u32, (width, height): (usize, usize), kbps: u32) -> Self {
        Self { cameras, fps, width, height, kbps, sight: Sight::EmptyGate, lasts_s: QUIET_S }
    }
}

/// What a virtual camera looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Sight {
    /// A gate where nothing happens.
    EmptyGate,
    /// A gate where a car comes, stops and leaves, once in every round.
    Gate,
    /// A door to which somebody comes, once in every round.
    Door {
        /// Folder of photographs.
        faces: PathBuf,
        /// Which of them.
        photo: String,
    },
}

impl Sight {
    fn scene(&self) -> SceneKind {
        match self {
            Sight::EmptyGate | Sight::Gate => SceneKind::Gate,
            Sight::Door { .. } => SceneKind::Lobby,
        }
    }

    fn faces(&self) -> Option<PathBuf> {
        match self {
            Sight::EmptyGate | Sight::Gate => None,
            Sight::Door { faces, .. } => Some(faces.clone()),
        }
    }

    /// What happens, and how long after the beginning.
    fn cues(&self) -> Vec<(Duration, Cue)> {
        match self {
            Sight::EmptyGate => vec![],
            Sight::Gate => {
                let car = Cue::CarArrives { plate: PLATE.into(), colour: PlateColour::Blue, body: BodyColour::Silver };
                vec![(COMES_AFTER, car), (COMES_AFTER + STAYS, Cue::CarLeaves)]
            }
            Sight::Door { photo, .. } => {
                vec![(COMES_AFTER, Cue::PersonAtDoor { photo: photo.clone(), stay: STAYS })]
            }
        }
    }
}

/// Who watches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Watch {
    /// The console.
    pub console: SocketAddr,
    /// Its administrator's password.
    pub password: String,
    /// Ids of the cameras, watched in turn.
    pub cameras: Vec<String>,
    /// Tiles open at once.
    pub viewers: usize,
    /// How long.
    pub seconds: u64,
}

/// What all tiles saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Watched {
    /// Pictures whose delay was measured.
    pub frames: u64,
    /// Times a tile was told that pictures were left out before one.
    pub skipped: u64,
    /// Pictures a second, all tiles together.
    pub rate: f64,
    /// First picture after opening, median, ms.
    pub first_ms: f64,
    /// Arrival at the program to the browser's socket, ms.
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Cameras {
    /// Reads its order from standard input, serves, and watches when asked, until the input ends.
    pub async fn run(&self) -> ExitCode {
        match self.obey().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => crate::cli::serve::fail(&error),
        }
    }

    async fn obey(&self) -> Result<()> {
        raise_file_limit();
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let order = lines.next_line().await?.context("no order on standard input")?;
        let order: Order = serde_json::from_str(&order)?;
        let server = RtspServer::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Users::default()).await?;
        let film = Arc::new(Film::draw(&order).await?);
        for n in 0..order.cameras {
            let source = LiveSource::new(format!("cam-{n}"), order.fps as f32);
            source.set_parameter_sets(film.sets.clone());
            server.mount(&format!("cam-{n}"), source.clone());
            // Key frames of all cameras do not come in the same moment.
            let after = Duration::from_secs(1) * n as u32 / order.cameras.max(1) as u32;
            tokio::spawn(film.clone().play(source, after));
        }
        crate::cli::print(&serde_line(&server.local_addr())?);
        while let Some(line) = lines.next_line().await? {
            let watched = watch(&serde_json::from_str(&line)?).await?;
            crate::cli::print(&serde_line(&watched)?);
        }
        Ok(())
    }
}

/// Some seconds of one scene, encoded.
struct Film {
    sets: ParameterSets,
    units: Vec<AccessUnit>,
    period: Duration,
}

impl Film {
    async fn draw(order: &Order) -> Result<Self> {
        let camera = CameraConfig {
            width: order.width,
            height: order.height,
            fps: order.fps,
            bitrate_kbps: order.kbps,
            ..CameraConfig::new("Bench", order.sight.scene())
        };
        let config = StudioConfig { threads: 1, faces: order.sight.faces(), ..StudioConfig::default() };
        let studio = Studio::start(config, vec![camera])?;
        let scene = studio.scenes().first().context("no scene")?;
        let source = scene.source();
        let mut listener = source.listen().context("the scene takes no listener")?;
        let count = (order.fps * order.lasts_s) as usize;
        let mut cues: VecDeque<_> = order.sight.cues().into();
        let gather = async {
            let mut units = Vec::new();
            while units.len() < count {
                let unit = listener.next().await.context("the scene ended")?;
                if unit.key || !units.is_empty() {
                    units.push(AccessUnit::clone(&unit));
                }
                let drawn = Duration::from_secs(units.len() as u64) / order.fps.max(1);
                while cues.front().is_some_and(|(at, _)| *at <= drawn) {
                    let taken = cues.pop_front().is_some_and(|(_, cue)| scene.cue(cue));
                    ensure!(taken, "the scene does not take its cue");
                }
            }
            Ok(units)
        };
        let within = DRAWN_WITHIN + Duration::from_secs(order.lasts_s.into());
        let mut units = tokio::time::timeout(within, gather).await.context("the scene was not drawn in time")??;
        let sets = source.parameter_sets().context("no parameter sets")?;
        let wanted = order.kbps as usize * 125 * order.lasts_s as usize;
        let drawn: usize = units.iter().flat_map(|unit| &unit.nals).map(Bytes::len).sum();
        let filler = filler(wanted.saturating_sub(drawn) / count);
        units.iter_mut().for_each(|unit| unit.nals.extend(filler.clone()));
        Ok(Self { sets, units, period: Duration::from_secs(1) / order.fps.max(1) })
    }

    async fn play(self: Arc<Self>, to: Arc<LiveSource>, after: Duration) {
        let began = tokio::time::Instant::now() + after;
        for n in 0_u32.. {
            let at = self.period.saturating_mul(n);
            tokio::time::sleep_until(began + at).await;
            let Some(unit) = self.units.get(n as usize % self.units.len().max(1)) else { return };
            let pts = (at.as_micros() * 9 / 100) as u64;
            to.publish(AccessUnit { pts, captured: SystemTime::now(), ..unit.clone() });
        }
    }
}

/// A filler unit of about so many bytes; none for fewer than one needs.
fn filler(bytes: usize) -> Option<Bytes> {
    (bytes > 2).then(|| {
        let mut unit = vec![0xFF; bytes];
        unit[0] = 12;
        unit[bytes - 1] = 0x80;
        unit.into()
    })
}

/// Opens tiles and looks at what comes.
async fn watch(order: &Watch) -> Result<Watched> {
    let admin = Client::sign_in(order.console, "admin", &order.password).await?;
    let seconds = Duration::from_secs(order.seconds);
    let mut tiles = Vec::new();
    for n in 0..order.viewers {
        let camera = order.cameras.get(n % order.cameras.len().max(1)).context("no cameras to watch")?;
        let opened = Instant::now();
        let mut live = admin.socket(&format!("/ws/video/{camera}")).await?;
        tiles.push(tokio::spawn(async move {
            let mut seen = Tile::default();
            while opened.elapsed() < seconds {
                if let Message::Binary(frame) = live.frame().await? {
                    seen.take(&frame, opened)?;
                }
            }
            anyhow::Ok(seen)
        }));
    }
    let mut all = Tile::default();
    for tile in tiles {
        let tile = tile.await??;
        all.firsts.extend(tile.firsts);
        all.delays.extend(tile.delays);
        all.skipped += tile.skipped;
    }
    let span = seconds.saturating_sub(SETTLE).max(Duration::from_secs(1));
    Ok(Watched {
        frames: all.delays.len() as u64,
        skipped: all.skipped,
        rate: all.delays.len() as f64 / span.as_secs_f64(),
        first_ms: quantile(&mut all.firsts, 0.5),
        p50_ms: quantile(&mut all.delays, 0.5),
        p99_ms: quantile(&mut all.delays, 0.99),
    })
}

/// What one tile saw.
#[derive(Debug, Default)]
pub struct Tile {
    /// First picture after opening, ms.
    pub firsts: Vec<f64>,
    /// Capture time as told → here, ms.
    pub delays: Vec<f64>,
    /// Gaps told.
    pub skipped: u64,
}

impl Tile {
    /// Takes a binary message of a live socket.
    pub fn take(&mut self, frame: &[u8], opened: Instant) -> Result<()> {
        let Some(captured) = frame.get(8..16).and_then(|bytes| bytes.try_into().ok()) else { return Ok(()) };
        let captured = Timestamp::from_microsecond(i64::from_be_bytes(captured))?;
        self.skipped += u64::from(frame[0] & 2 != 0);
        if self.firsts.is_empty() {
            self.firsts.push(opened.elapsed().as_secs_f64() * 1e3);
        } else if opened.elapsed() > SETTLE {
            self.delays.push(Timestamp::now().duration_since(captured).as_secs_f64() * 1e3);
        }
        Ok(())
    }
}

/// The process of the cameras.
pub struct Crew {
    // Ends with this.
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// Where the cameras are.
    pub address: SocketAddr,
}

impl Crew {
    /// Starts it and waits until every camera plays; `harness`: the test of the running binary that is the program.
    pub async fn start(order: &Order, harness: Option<&str>) -> Result<Self> {
        let mut child = itself(&["bench".into(), "cameras".into()], harness)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut input = child.stdin.take().context("no standard input")?;
        let mut output = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        input.write_all(serde_line(order)?.as_bytes()).await?;
        let within = DRAWN_WITHIN + Duration::from_secs(order.lasts_s.into());
        let said = async {
            while let Some(line) = output.next_line().await? {
                // A test runner writes before it, on the same line.
                if let Some(address) = line.find('"').and_then(|at| serde_json::from_str(line.get(at..)?).ok()) {
                    return Ok(address);
                }
            }
            anyhow::bail!("the cameras ended without a word")
        };
        let address = tokio::time::timeout(within, said).await.context("the cameras do not start")??;
        Ok(Self { _child: child, input, output, address })
    }

    /// Opens tiles for so long; what they saw.
    pub async fn watch(&mut self, order: &Watch) -> Result<Watched> {
        self.input.write_all(serde_line(order)?.as_bytes()).await?;
        let patience = Duration::from_secs(order.seconds + 60);
        let line = tokio::time::timeout(patience, self.output.next_line()).await.context("the tiles do not end")??;
        Ok(serde_json::from_str(&line.context("the tiles ended without a word")?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filler_unit_has_its_length_and_ends_as_the_standard_says() {
        assert_eq!(filler(2), None);
        assert_eq!(filler(5).as_deref(), Some(&[12, 0xFF, 0xFF, 0xFF, 0x80][..]));
    }
}
