//! `gatehouse bench vision`: what recognition costs a frame, stage by stage, beside the bare networks; what a search among
//! many faces takes; and what gates and doors with traffic need of a machine while only what moves is looked at.

use super::cameras::{Crew, Order, PLATE, Sight};
use super::process::raise_file_limit;
use super::video::wait_for_streams;
use super::{Bed, Common, Figures, store, with_cost};
use crate::api::health::cpu_seconds;
use crate::client::Client;
use crate::provision::{Lines, Provision};
use anyhow::{Context, Result, ensure};
use gatehouse_vision::cost;
use gatehouse_vision::eval::Spread;
use gatehouse_vision::models::RuntimePaths;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Looks a second of a camera before which something moves.
const LOOKS: f64 = 5.0;
/// Between the first pictures and the measurement: a start counts as movement.
const SETTLE: Duration = Duration::from_secs(8);

/// Plates and faces: processor time per frame and stage, and how many cameras a machine carries.
#[derive(Debug, clap::Args)]
pub struct Vision {
    #[command(flatten)]
    pub common: Common,
    /// Frames to time of each sort
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    frames: u32,
    /// Long side plates are searched at, pixels
    #[arg(long, default_value_t = 960, value_parser = clap::value_parser!(u32).range(320..=3840))]
    long_side: u32,
    /// People among whom a face is looked for
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    people: u32,
    /// Gate cameras with traffic, 720p at 12 pictures a second; 0 leaves this part out
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=64))]
    gates: u16,
    /// Door cameras with visitors, 360p at 12 pictures a second
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(0..=64))]
    doors: u16,
    /// Seconds from one car or visitor to the next, at each camera
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(16..=300))]
    every: u32,
    /// Seconds to measure gates and doors for
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(10..=3_600))]
    seconds: u64,
}

impl Vision {
    /// `…_ms_p50`, `…_ms_p99`: CPU milliseconds of one thread. `site_percent`: the whole program with gates and doors, percent of one
    /// core; `cars`, `reads`, `right`: cars that stopped, plates told of, plates told rightly.
    pub async fn measure(&self) -> Result<Figures> {
        let cpu = cpu_seconds();
        let mut figures = tokio::task::block_in_place(|| self.frame())?;
        if self.gates + self.doors > 0 {
            self.site(&mut figures).await?;
        }
        Ok(with_cost(figures, cpu))
    }

    fn frame(&self) -> Result<Figures> {
        let provision = Provision::new(self.common.data.path());
        let paths = RuntimePaths::on_cpu(
            provision.ensure_onnxruntime(&mut Lines::stderr())?,
            provision.ensure_models(&mut Lines::stderr())?,
        );
        let measured = cost::recognition(&paths, self.frames as usize, self.long_side)
            .context("running the recognition models")?;
        let mut figures = Figures::new();
        figures.insert("frames".into(), json!(measured.frames));
        figures.insert("long_side".into(), json!(measured.long_side));
        let mut tell = |name: &str, spread: Spread| {
            figures.insert(format!("{name}_p50"), json!(spread.p50));
            figures.insert(format!("{name}_p99"), json!(spread.p99));
        };
        tell("plate_frame_ms", measured.plate_frame_ms);
        tell("plate_find_ms", measured.plate_find_ms);
        tell("plate_read_ms", measured.plate_read_ms);
        tell("plate_bare_ms", measured.plate_bare_ms);
        tell("face_frame_ms", measured.face_frame_ms);
        tell("face_find_ms", measured.face_find_ms);
        tell("face_read_ms", measured.face_read_ms);
        tell("face_bare_ms", measured.face_bare_ms);
        for (network, spread) in &measured.bare_ms {
            tell(&format!("bare_{network}_ms"), *spread);
        }
        tell("search_ms", cost::search(self.people as usize));
        figures.insert("people".into(), json!(self.people));
        for (name, frame) in [("plate", measured.plate_frame_ms), ("face", measured.face_frame_ms)] {
            figures.insert(format!("{name}_frames_per_core_s"), json!(1_000.0 / frame.mean));
            // Were every camera looked at all the time.
            figures.insert(format!("{name}_percent_ungated"), json!(frame.mean * LOOKS / 10.0));
        }
        Ok(figures)
    }

    async fn site(&self, figures: &mut Figures) -> Result<()> {
        raise_file_limit();
        let data = self.common.data.path();
        let order = |cameras, sight, (width, height, kbps)| Order {
            cameras: usize::from(cameras),
            fps: 12,
            width,
            height,
            kbps,
            sight,
            lasts_s: self.every,
        };
        let gates = order(self.gates, Sight::Gate, (1280, 720, 1_500));
        let (faces, photo) = photograph(&data)?;
        let doors = order(self.doors, Sight::Door { faces, photo }, (640, 360, 400));
        let (gates, doors) = tokio::try_join!(Crew::start(&gates, None), Crew::start(&doors, None))?;
        let site = site(self.gates, gates.address, self.doors, doors.address);
        let bed = Bed::start_with(&data, Some(&site), |_| {}).await?;
        let admin = Client::sign_in(bed.running.address, "admin", &bed.password).await?;
        wait_for_streams(&admin).await?;
        tokio::time::sleep(SETTLE).await;

        let vision = bed.running.app.vision().context("no video path")?.clone();
        let pool = bed.running.app.system().pool().clone();
        let (began, cpu, before) = (Instant::now(), cpu_seconds(), vision.figures());
        let since = jiff::Timestamp::now();
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;
        let seconds = began.elapsed().as_secs_f64();
        let (spent, after) = (cpu_seconds() - cpu, vision.figures());
        let reads = store::plates(&pool, since).await?;
        bed.stop().await;

        let cameras = f64::from(self.gates + self.doors);
        let percent = 100.0 * spent / seconds;
        let cores = std::thread::available_parallelism()?.get();
        let (looked, decoded) = (after.frames - before.frames, after.decoded - before.decoded);
        ensure!(looked > 0, "nothing was looked at: neither car nor visitor was seen");
        figures.insert("gates".into(), json!(self.gates));
        figures.insert("doors".into(), json!(self.doors));
        figures.insert("every_s".into(), json!(self.every));
        figures.insert("site_percent".into(), json!(percent));
        figures.insert("percent_per_camera".into(), json!(percent / cameras));
        // At three quarters of the machine, the rest for the database and what is sudden.
        figures.insert("cameras_per_box".into(), json!((75.0 * cores as f64 / (percent / cameras)).floor()));
        figures.insert("cores".into(), json!(cores));
        figures.insert("looks_per_s".into(), json!(looked as f64 / seconds));
        figures.insert("decoded_per_s".into(), json!(decoded as f64 / seconds));
        figures.insert("dropped".into(), json!(after.dropped - before.dropped));
        figures.insert("cars".into(), json!((f64::from(self.gates) * seconds / f64::from(self.every)).round()));
        figures.insert("reads".into(), json!(reads.len()));
        figures.insert("right".into(), json!(reads.iter().filter(|(text, _)| text == PLATE).count()));
        let mut delays: Vec<f64> = reads.iter().map(|(_, delay)| *delay).collect();
        figures.insert("read_p50_ms".into(), json!(super::quantile(&mut delays, 0.5)));
        figures.insert("read_p99_ms".into(), json!(super::quantile(&mut delays, 0.99)));
        Ok(())
    }
}

/// The demo's folder of photographs and the first of them.
fn photograph(data: &Path) -> Result<(PathBuf, String)> {
    let folder = data.join("demo/faces");
    let names = std::fs::read_dir(&folder).with_context(|| format!("no photographs in {}", folder.display()))?;
    let names = names.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let photo = names.filter(|name| name.ends_with(".png") || name.ends_with(".jpg")).min();
    Ok((folder, photo.context("the demo has no photograph: run `gatehouse setup`")?))
}

fn site(gates: u16, at_gates: SocketAddr, doors: u16, at_doors: SocketAddr) -> String {
    let mut text = String::from("name = \"Bench\"\n[[places]]\nkey = \"site\"\nkind = \"site\"\nname = \"Bench\"\n");
    for (what, count, server, look_for) in [("gate", gates, at_gates, "plates"), ("door", doors, at_doors, "faces")] {
        for n in 0..count {
            text += &format!(
                "[[devices]]\nkey = \"{what}-{n}\"\nkind = \"camera\"\nname = \"{what} {n}\"\nplace = \"site\"\n\
                 stream = {{ url = \"rtsp://{server}/cam-{n}\", look_for = [\"{look_for}\"] }}\n"
            );
        }
    }
    text
}
