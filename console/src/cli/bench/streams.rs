//! `gatehouse bench video --cameras N`: what a stream costs the server, beside as many `ffmpeg -c copy`.
//!
//! The program runs four times on a directory of its own: without cameras, with their streams pulled, recorded too, and
//! watched. What it needs without cameras is taken off, the rest divided by the streams. Database and cameras are other
//! processes and not counted.

use super::cameras::{Crew, Order, Watch};
use super::process::{Process, raise_file_limit};
use super::video::wait_for_streams;
use super::{Bed, Figures};
use crate::api::health::cpu_seconds;
use crate::client::Client;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// What the virtual cameras send.
const FPS: u32 = 25;
const SIZE: (usize, usize) = (1280, 720);
const KBPS: u32 = 2_000;
/// Between the first pictures and the measurement: connections, caches and the allocator settle.
const SETTLE: Duration = Duration::from_secs(3);

/// Measures one row.
pub async fn row(data: &Path, cameras: usize, viewers: usize, seconds: u64) -> Result<Figures> {
    raise_file_limit();
    let order = Order::quiet(cameras, FPS, SIZE, KBPS);
    let mut crew = Crew::start(&order, None).await?;
    let mut figures = Figures::new();
    figures.insert("cameras".into(), json!(cameras));
    figures.insert("stream".into(), json!(format!("{}x{} {FPS}/s {KBPS} kbps", SIZE.0, SIZE.1)));

    let bed = bed(data, &site(crew.address, 0, false)).await?;
    tokio::time::sleep(SETTLE).await;
    let idle = spend(seconds).await?;
    bed.stop().await;
    figures.insert("idle_percent".into(), json!(idle.percent));
    figures.insert("idle_mb".into(), json!(idle.memory_mb));

    for (name, record) in [("ingest", false), ("record", true)] {
        let bed = bed_of(data, &crew, cameras, record).await?;
        let counted = frames(&bed);
        let spent = spend(seconds).await?;
        let (pulled, written, lost) = (frames(&bed), bed.recorded(), bed.unrecorded());
        tell(&mut figures, name, &spent, &idle, cameras);
        let due = cameras as f64 * f64::from(FPS);
        let rate = (pulled - counted) as f64 / spent.seconds;
        figures.insert(format!("{name}_rate"), json!(rate));
        ensure!(rate > due * 0.95, "only {rate:.0} of {due:.0} pictures a second arrived: the machine is overloaded");
        if record {
            ensure!(written > 0 && lost == 0, "{written} pictures were recorded and {lost} lost");
            watch(&mut figures, &bed, &mut crew, (cameras, viewers, seconds), &idle).await?;
        }
        bed.stop().await;
    }
    let baseline = baseline(crew.address, cameras, seconds).await?;
    figures.insert("ffmpeg".into(), baseline.map_or(Value::Null, Value::Object));
    Ok(figures)
}

/// The same bed with viewers.
async fn watch(
    figures: &mut Figures,
    bed: &Bed,
    crew: &mut Crew,
    (cameras, viewers, seconds): (usize, usize, u64),
    idle: &Spent,
) -> Result<()> {
    let ids = bed.cameras();
    let order = Watch {
        console: bed.running.address,
        password: bed.password.clone(),
        cameras: ids,
        viewers,
        seconds: seconds + SETTLE.as_secs() + 1,
    };
    let measure = async {
        tokio::time::sleep(SETTLE).await;
        spend(seconds).await
    };
    let (watched, spent) = tokio::try_join!(crew.watch(&order), measure)?;
    figures.insert("viewers".into(), json!(viewers));
    tell(figures, "watched", &spent, idle, cameras);
    figures.insert("frames".into(), json!(watched.frames));
    figures.insert("skipped".into(), json!(watched.skipped));
    figures.insert("rate".into(), json!(watched.rate));
    figures.insert("first_ms".into(), json!(watched.first_ms));
    figures.insert("p50_ms".into(), json!(watched.p50_ms));
    figures.insert("p99_ms".into(), json!(watched.p99_ms));
    Ok(())
}

/// What a stretch of time cost.
struct Spent {
    /// Processor time, percent of one core.
    percent: f64,
    memory_mb: f64,
    seconds: f64,
}

/// Waits and says what this process spent meanwhile.
async fn spend(seconds: u64) -> Result<Spent> {
    let (began, cpu) = (Instant::now(), cpu_seconds());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let lasted = began.elapsed().as_secs_f64();
    let me = Process::of(std::process::id()).context("this process")?;
    Ok(Spent { percent: 100.0 * (cpu_seconds() - cpu) / lasted, memory_mb: me.memory_mb(), seconds: lasted })
}

fn tell(figures: &mut Figures, name: &str, spent: &Spent, idle: &Spent, cameras: usize) {
    let each = (spent.percent - idle.percent).max(0.0) / cameras as f64;
    figures.insert(format!("{name}_percent_per_stream"), json!(each));
    figures.insert(format!("{name}_percent"), json!(spent.percent));
    figures.insert(format!("{name}_mb"), json!(spent.memory_mb));
}

/// The product without recognition, which has a bench of its own.
async fn bed(data: &Path, site: &str) -> Result<Bed> {
    Bed::start_with(data, Some(site), |config| config.recognition.enabled = false).await
}

async fn bed_of(data: &Path, crew: &Crew, cameras: usize, record: bool) -> Result<Bed> {
    let bed = bed(data, &site(crew.address, cameras, record)).await?;
    let admin = Client::sign_in(bed.running.address, "admin", &bed.password).await?;
    wait_for_streams(&admin).await?;
    tokio::time::sleep(SETTLE).await;
    Ok(bed)
}

impl Bed {
    fn cameras(&self) -> Vec<String> {
        let statuses = self.running.app.vision().map(|vision| vision.statuses()).unwrap_or_default();
        statuses.iter().map(|camera| camera.id.to_string()).collect()
    }

    fn recorded(&self) -> u64 {
        self.running.app.vision().map_or(0, |vision| vision.figures().recorded)
    }

    fn unrecorded(&self) -> u64 {
        self.running.app.vision().map_or(0, |vision| vision.figures().unrecorded)
    }
}

/// Pictures that arrived so far.
fn frames(bed: &Bed) -> u64 {
    bed.running.app.vision().map_or(0, |vision| vision.figures().arrived)
}

/// A site of so many cameras; without any a sensor keeps it company.
fn site(server: SocketAddr, cameras: usize, record: bool) -> String {
    let mut text = String::from(
        "name = \"Bench\"\n[[places]]\nkey = \"site\"\nkind = \"site\"\nname = \"Bench\"\n\
         [[devices]]\nkey = \"sensor\"\nkind = \"sensor\"\nclass = \"humidity\"\nname = \"Sensor\"\nplace = \"site\"\n",
    );
    for n in 0..cameras {
        text += &format!(
            "[[devices]]\nkey = \"cam-{n}\"\nkind = \"camera\"\nname = \"Camera {n}\"\nplace = \"site\"\n\
             stream = {{ url = \"rtsp://{server}/cam-{n}\", record = {record} }}\n"
        );
    }
    text
}

/// As many processes of ffmpeg, each recording one stream as it comes; nothing where it is not installed.
async fn baseline(server: SocketAddr, cameras: usize, seconds: u64) -> Result<Option<Figures>> {
    let Some(program) = ["/usr/bin/ffmpeg", "/usr/local/bin/ffmpeg"].into_iter().find(|path| Path::new(path).exists())
    else {
        eprintln!("ffmpeg is not installed: no baseline; on Debian: apt-get install ffmpeg");
        return Ok(None);
    };
    let dir = tempfile::Builder::new().prefix("gatehouse-bench-").tempdir()?;
    let mut children: Vec<Child> = Vec::new();
    for n in 0..cameras {
        let url = format!("rtsp://{server}/cam-{n}");
        let child = Command::new(program)
            .args(["-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp", "-i", &url])
            .args(["-c", "copy", "-f", "segment", "-segment_time", "60", "-reset_timestamps", "1"])
            .arg(dir.path().join(format!("cam-{n}-%03d.mp4")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        children.push(child);
    }
    // Each analyses its stream for some seconds before it writes.
    let written = || std::fs::read_dir(dir.path()).map_or(0, |files| files.flatten().count());
    let began = Instant::now();
    while written() < cameras {
        ensure!(began.elapsed() < Duration::from_secs(60), "{} of {cameras} ffmpeg write", written());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    tokio::time::sleep(SETTLE).await;
    let processes: Vec<_> = children.iter().filter_map(|child| child.id().and_then(Process::of)).collect();
    let cpu = || processes.iter().map(|process| process.cpu_s()).sum::<f64>();
    let (began, before) = (Instant::now(), cpu());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let percent = 100.0 * (cpu() - before) / began.elapsed().as_secs_f64();
    let memory: f64 = processes.iter().map(|process| process.memory_mb()).sum();
    let alive = processes.iter().filter(|process| process.is_alive()).count();
    ensure!(alive == cameras, "only {alive} of {cameras} ffmpeg kept recording");
    for child in &mut children {
        child.kill().await?;
    }
    let mut figures = Figures::new();
    figures.insert("record_percent_per_stream".into(), json!(percent / cameras as f64));
    figures.insert("record_percent".into(), json!(percent));
    figures.insert("record_mb".into(), json!(memory));
    Ok(Some(figures))
}
