//! `gatehouse bench recording`: kill -9 at random while cameras are recorded; then the recordings are played.
//!
//! ```text
//! cameras, in a process ──RTSP──▶ the program, in another ◀─ kill -9 at a random moment, started again
//!                                    ▲ a sensor's alarm in every life: its clips are taken down as far as they reach
//! at the end, of every camera and every life: what is claimed up to its kill, and whether it plays; of every clip, whether all
//! that was served of it before the kill is there
//! ```
//! A camera sends all the time, so whatever lies before a kill and is not played is lost. A life that ended while a camera was
//! not live yet says nothing about that camera and is not counted.

mod clips;

use super::cameras::{Crew, Order};
use super::crash::program::Program;
use super::process::raise_file_limit;
use super::{Common, Figures, quantile};
use crate::client::Client;
use anyhow::{Context, Result, ensure};
use clips::{Served, Taken};
use gatehouse_core::id::DeviceKey;
use gatehouse_vision::recorder::fmp4;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::io::Cursor;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What a kill may cost: a part that is not written yet, and the picture on its way.
const MAY_LOSE: SignedDuration = SignedDuration::from_millis(500);
/// What is played of each life: its end.
const PLAYED: SignedDuration = SignedDuration::from_secs(3);
/// The longest that all cameras may take to be recorded again.
const RECORDED_WITHIN: Duration = Duration::from_secs(60);
const FPS: u32 = 12;
/// Longest pause between an alarm's clips and the kill, ms: most are killed while they are being written.
const AFTER_ALARM_MS: u64 = 700;

/// kill -9 at random while cameras are recorded, and what of their recordings plays afterwards.
#[derive(Debug, clap::Args)]
pub struct Recording {
    #[command(flatten)]
    pub common: Common,
    /// Kills in all
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    kills: u32,
    /// Cameras that are recorded
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    cameras: u32,
    /// Longest pause between all cameras being recorded and the next kill, ms
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pause_ms: u64,
    /// Seed of the random moments; without it a new one, printed
    #[arg(long)]
    seed: Option<u64>,
    /// Name of a test of the running binary that is the program; without it the binary itself
    #[arg(long, hide = true)]
    harness: Option<String>,
}

/// One life of the program.
struct Life {
    /// When every camera was seen to be recorded.
    recorded_at: Timestamp,
    killed_at: Timestamp,
}

/// What was found of the ends of all lives.
#[derive(Default)]
struct Found {
    /// Between what plays last and the kill, ms.
    lost: Vec<f64>,
    /// Ends of which something older than [`MAY_LOSE`] does not play.
    missing: u64,
    /// Ends of which something is claimed that does not play.
    claimed: u64,
    pictures: u64,
}

impl Recording {
    /// `lost_*_ms`: of a recording before a kill; `missing`, `claimed`, `clips_torn`: must be 0; `recovery_*_ms`: until all are
    /// recorded again.
    pub async fn measure(&self) -> Result<Figures> {
        raise_file_limit();
        let seed = self.seed.unwrap_or_else(|| rand::rng().random_range(1..1_000_000_000));
        eprintln!("seed {seed}");
        let mut dice = StdRng::seed_from_u64(seed);
        let order = Order::quiet(self.cameras as usize, FPS, (640, 360), 400);
        let crew = Crew::start(&order, self.harness.as_deref()).await?;
        let dir = super::directory(&self.common.data.path())?;
        let mut program =
            Program::new(dir.path(), &site(crew.address, self.cameras, self.kills), self.harness.as_deref())?;
        let first = program.start().await?;
        let admin = Client::sign_in(first.http, "admin", program.password()?).await?;
        let (mut lives, mut recoveries) = (Vec::new(), Vec::new());
        let mut served: Vec<Served> = Vec::new();
        recorded(&admin).await?;
        for n in 1..=self.kills {
            let recorded_at = Timestamp::now();
            tokio::time::sleep(Duration::from_millis(dice.random_range(5..=self.pause_ms))).await;
            let alarmed = clips::alarm(&admin.moved(program.address()?), n).await;
            served.extend(alarmed.with_context(|| format!("the alarm before kill {n}"))?);
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..=AFTER_ALARM_MS))).await;
            let killed_at = Timestamp::now();
            program.kill().await?;
            lives.push(Life { recorded_at, killed_at });
            let again = Instant::now();
            let started = program.start().await.with_context(|| format!("starting again after kill {n}"))?;
            recorded(&admin.moved(started.http)).await.with_context(|| format!("after kill {n}"))?;
            recoveries.push(again.elapsed().as_secs_f64() * 1e3);
        }
        let mut found = Found::default();
        let admin = admin.moved(program.address()?);
        for life in &lives {
            for n in 0..self.cameras {
                look(&admin, &camera(n)?, life, &mut found).await?;
            }
        }
        let mut torn = 0_u64;
        for clip in &served {
            if let Taken::Torn(why) = clip.again(&admin).await? {
                torn += 1;
                eprintln!("{why}");
            }
        }
        program.stop().await?;
        let mut figures = Figures::new();
        figures.insert("seed".into(), json!(seed));
        figures.insert("kills".into(), json!(self.kills));
        figures.insert("cameras".into(), json!(self.cameras));
        figures.insert("ends_played".into(), json!(found.lost.len()));
        figures.insert("pictures_played".into(), json!(found.pictures));
        figures.insert("lost_p50_ms".into(), json!(quantile(&mut found.lost, 0.5)));
        figures.insert("lost_p99_ms".into(), json!(quantile(&mut found.lost, 0.99)));
        figures.insert("lost_max_ms".into(), json!(quantile(&mut found.lost, 1.0)));
        figures.insert("missing".into(), json!(found.missing));
        figures.insert("claimed".into(), json!(found.claimed));
        figures.insert("clips".into(), json!(served.len()));
        figures.insert("clips_torn".into(), json!(torn));
        figures.insert("recovery_p50_ms".into(), json!(quantile(&mut recoveries, 0.5)));
        figures.insert("recovery_p99_ms".into(), json!(quantile(&mut recoveries, 0.99)));
        Ok(figures)
    }
}

fn camera(n: u32) -> Result<String> {
    Ok(format!("cam-{n}").parse::<DeviceKey>().map(|key| key.id().to_string())?)
}

/// Plays the end of a camera's recording in one life.
async fn look(admin: &Client, camera: &str, life: &Life, found: &mut Found) -> Result<()> {
    let from = life.recorded_at.max(life.killed_at - PLAYED);
    let span = format!("from={from}&to={}", life.killed_at);
    let told = admin.get(&format!("/api/cameras/{camera}/recording?{span}")).await?;
    let stretches = told["stretches"].as_array().context("no stretches")?;
    let claimed = stretches.last().and_then(|last| last["to"].as_str()).map(str::parse::<Timestamp>).transpose()?;
    let (mut played, mut at) = (from, from);
    // Pieces end at key frames: the next one is asked for until what comes is of another life.
    loop {
        let piece = admin.fetch(&format!("/api/cameras/{camera}/playback.mp4?from={at}&to={}", life.killed_at)).await?;
        if !piece.status().is_success() {
            break;
        }
        let header = |name: &str| piece.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let began: Timestamp = header("gatehouse-from").context("gatehouse-from")?.parse()?;
        let next = header("gatehouse-next").map(|next| next.parse::<Timestamp>()).transpose()?;
        if began > life.killed_at {
            break;
        }
        let (pictures, lasts) = pictures(&piece.bytes().await?)?;
        found.pictures += pictures;
        played = played.max((began + lasts).min(life.killed_at));
        match next {
            Some(next) if next > at && next < life.killed_at => at = next,
            Some(_) | None => break,
        }
    }
    let lost = life.killed_at.duration_since(played);
    found.lost.push(lost.as_secs_f64() * 1e3);
    // One more picture: the newest may not have been sent when the program was killed.
    let picture = SignedDuration::from_millis(1_000 / i64::from(FPS) + 1);
    if lost > MAY_LOSE + picture {
        found.missing += 1;
        eprintln!("{camera}: the last {lost:#} before the kill at {} do not play", life.killed_at);
    }
    if claimed.is_some_and(|claimed| claimed > played + picture) {
        found.claimed += 1;
        eprintln!("{camera}: recorded until {claimed:?} as it says, and plays until {played}");
    }
    Ok(())
}

/// Whole pictures in a piece, and when its last one ends. That one counts for its usual time: a piece that another follows
/// within a second shows its last picture until then.
fn pictures(mp4: &[u8]) -> Result<(u64, SignedDuration)> {
    let scan = fmp4::scan(&mut Cursor::new(mp4), true)?.context("a piece without pictures")?;
    let last = scan.samples.last().context("a piece without pictures")?;
    let began = Duration::from_micros(last.dts * 100 / 9);
    Ok((scan.samples.len() as u64, SignedDuration::try_from(began + Duration::from_secs(1) / FPS)?))
}

/// Waits until every camera is recorded.
async fn recorded(admin: &Client) -> Result<()> {
    let began = Instant::now();
    loop {
        let health = admin.get("/api/health").await.unwrap_or(Value::Null);
        let cameras = health["cameras"].as_array().cloned().unwrap_or_default();
        let is = |camera: &Value| camera["live"] == true && camera["recording"] == true;
        if !cameras.is_empty() && cameras.iter().all(is) {
            return Ok(());
        }
        ensure!(began.elapsed() < RECORDED_WITHIN, "not all cameras are recorded: {cameras:?}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

fn site(server: SocketAddr, cameras: u32, kills: u32) -> String {
    let mut text = String::from("name = \"Bench\"\n[[places]]\nkey = \"site\"\nkind = \"site\"\nname = \"Bench\"\n");
    for n in 0..cameras {
        text += &format!(
            "[[devices]]\nkey = \"cam-{n}\"\nkind = \"camera\"\nname = \"Camera {n}\"\nplace = \"site\"\n\
             stream = {{ url = \"rtsp://{server}/cam-{n}\" }}\n"
        );
    }
    // A sensor for every life: its alarm is a new one, with clips of two cameras.
    for n in 1..=kills {
        let (one, other) = (n % cameras, (n + 1) % cameras);
        text += &format!(
            "[[devices]]\nkey = \"leak-{n}\"\nkind = \"sensor\"\nclass = \"leak\"\nname = \"Leak {n}\"\nplace = \"site\"\n\
             password = \"{PASSWORD}\"\ncameras = [\"cam-{one}\", \"cam-{other}\"]\n"
        );
    }
    text
}

/// The password of every sensor.
const PASSWORD: &str = "a-sensor-of-the-bench";
