//! `gatehouse bench`: measures the product and prints figures, for people or as one JSON object.
//!
//! A bench runs the product in this process on a directory of its own, over real sockets, and ends by itself.

mod actors;
mod alarms;
mod cameras;
mod crash;
mod devices;
mod doors;
mod load;
mod process;
mod recording;
mod soak;
mod start;
mod store;
mod streams;
mod telemetry;
mod video;
mod vision;
mod wire;

use super::DataDir;
use super::serve::fail;
use crate::compose::{self, Options, Running};
use crate::config::Config;
use crate::provision::{self, Provision, Silent};
use anyhow::Context;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

/// Measures the product.
#[derive(Debug, clap::Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Starts the compound from nothing and again, then watches it idle
    Start(start::Start),
    /// What an actor costs: spawning, messages, restarts
    Actors(actors::Actors),
    /// Alarms from a device's socket to the operators' browsers
    Alarms(alarms::Alarms),
    /// kill -9 at random, and whether anything acknowledged is missing or there twice
    Crash(crash::Crash),
    /// Thousands of devices, from their sockets to a console
    Devices(devices::Devices),
    /// Many devices for a long time: whether memory and delay stay
    Soak(soak::Soak),
    /// The devices and who listens to them: started by other benches
    #[command(hide = true)]
    Load(load::Load),
    /// Virtual cameras and who watches them: started by `video` and `vision`
    #[command(hide = true)]
    Cameras(cameras::Cameras),
    /// Decisions at a door
    Doors(doors::Doors),
    /// kill -9 while cameras are recorded, and what plays afterwards
    Recording(recording::Recording),
    /// Readings into the history
    Telemetry(telemetry::Telemetry),
    /// Live video from the camera to a browser's socket
    Video(video::Video),
    /// Plates and faces: processor time per frame and stage, and how many cameras a machine carries
    Vision(vision::Vision),
}

/// What every bench takes.
#[derive(Debug, clap::Args)]
pub struct Common {
    #[command(flatten)]
    data: DataDir,
    /// Prints one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

impl Bench {
    /// Runs the bench; succeeds only when it ran whole.
    pub fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return fail(&anyhow::anyhow!("the runtime cannot start: {error}")),
        };
        if let What::Load(load) = &self.what {
            return runtime.block_on(load.run());
        }
        if let What::Cameras(cameras) = &self.what {
            return runtime.block_on(cameras.run());
        }
        let (json, outcome) = runtime.block_on(async {
            match self.what {
                What::Load(_) | What::Cameras(_) => (true, Ok(Figures::new())),
                What::Actors(bench) => (bench.common.json, bench.measure().await),
                What::Devices(bench) => (bench.common.json, bench.measure().await),
                What::Soak(bench) => (bench.common.json, bench.measure().await),
                What::Start(bench) => (bench.common.json, bench.measure().await),
                What::Alarms(bench) => (bench.common.json, bench.measure().await),
                What::Crash(bench) => (bench.common.json, bench.measure().await),
                What::Doors(bench) => (bench.common.json, bench.measure()),
                What::Recording(bench) => (bench.common.json, bench.measure().await),
                What::Telemetry(bench) => (bench.common.json, bench.measure().await),
                What::Video(bench) => (bench.common.json, bench.measure().await),
                What::Vision(bench) => (bench.common.json, bench.measure().await),
            }
        });
        match outcome {
            Ok(figures) => {
                let text = if json { format!("{}\n", Value::Object(figures.clone())) } else { table(&figures) };
                let printed = super::print(&text);
                match broken(&figures) {
                    None => printed,
                    Some(promise) => fail(&anyhow::anyhow!("{promise}")),
                }
            }
            Err(error) => fail(&error),
        }
    }
}

/// The promise that these figures break, if they do.
fn broken(figures: &Figures) -> Option<String> {
    ["missing", "doubled", "claimed"].iter().find_map(|name| {
        let count = figures.get(*name)?.as_u64().filter(|count| *count > 0)?;
        Some(format!("{count} {name}: what was acknowledged or recorded is not there exactly once"))
    })
}

/// Figures by their plain names, in the order they are read.
pub type Figures = Map<String, Value>;

fn table(figures: &Figures) -> String {
    let width = figures.keys().map(String::len).max().unwrap_or(0);
    figures
        .iter()
        .map(|(name, value)| match value.as_f64() {
            Some(number) if !value.is_i64() && !value.is_u64() => format!("{name:width$}  {number:.3}\n"),
            _ => format!("{name:width$}  {}\n", value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        })
        .collect()
}

/// One row as it is; several as a list.
pub fn growth(mut rows: Vec<Figures>) -> Figures {
    if rows.len() < 2 {
        return rows.pop().unwrap_or_default();
    }
    let rows: Vec<_> = rows.into_iter().map(Value::Object).collect();
    Figures::from_iter([("rows".to_owned(), Value::Array(rows))])
}

/// One line of JSON, for another process.
pub fn serde_line(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string(value)? + "\n")
}

/// A quantile of measured values by the nearest rank; zero when there are none.
pub fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (q * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1).min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

/// A compound of the bench's own, on a directory that shares only what was provisioned.
pub struct Bed {
    /// The running product.
    pub running: Running,
    /// The first administrator's password.
    pub password: String,
    options: Options,
    // The directory goes with it.
    _dir: tempfile::TempDir,
}

impl Bed {
    /// Starts the demo, or a site of this definition.
    pub async fn start(data: &Path, site: Option<&str>) -> anyhow::Result<Self> {
        Self::start_with(data, site, |_| {}).await
    }

    /// The same with some of the configuration changed.
    pub async fn start_with(data: &Path, site: Option<&str>, change: impl FnOnce(&mut Config)) -> anyhow::Result<Self> {
        let dir = directory(data)?;
        let mut config = Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Config::default() };
        config.broker.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        if let Some(site) = site {
            let file = dir.path().join("site.toml");
            std::fs::write(&file, site)?;
            config.site = Some(file);
        }
        change(&mut config);
        let options = Options { data: dir.path().to_owned(), config, demo: site.is_none(), auto: false, cameras: 0 };
        let running = compose::start(options.clone(), &mut Silent).await?;
        let password = running.first_password.clone().context("a fresh directory has no administrator")?;
        Ok(Self { running, password, options, _dir: dir })
    }

    /// Stops it, starts it on the same directory and stops it again; how long the start took, ms.
    pub async fn start_again(self) -> anyhow::Result<f64> {
        self.running.stop().await;
        let began = std::time::Instant::now();
        let again = compose::start(self.options, &mut Silent).await?;
        let took = began.elapsed().as_secs_f64() * 1e3;
        again.stop().await;
        Ok(took)
    }

    /// Stops it.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// A directory that shares with `data` what was provisioned and nothing else; provisions first where needed.
pub fn directory(data: &Path) -> anyhow::Result<tempfile::TempDir> {
    tokio::task::block_in_place(|| Provision::new(data).ensure_all(&mut Silent))?;
    let dir = tempfile::Builder::new().prefix("gatehouse-bench-").tempdir()?;
    provision::share(data, dir.path())?;
    Ok(dir)
}

/// What every bench says of itself: processor time of the program and its memory at the end.
pub fn with_cost(mut figures: Figures, cpu_before: f64) -> Figures {
    figures.insert("cpu_s".to_owned(), json!(crate::api::health::cpu_seconds() - cpu_before));
    figures.insert("rss_mb".to_owned(), json!(crate::api::health::resident_mb()));
    figures
}
