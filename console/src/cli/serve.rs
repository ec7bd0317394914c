//! `gatehouse` and `gatehouse serve`: runs the product until it is told to stop.

use super::DataDir;
use crate::compose::{self, Options};
use crate::config::Config;
use crate::provision::progress::Lines;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Runs the product: the simulated compound, or the site of a configuration file.
#[derive(Debug, Default, clap::Args)]
pub struct Serve {
    #[command(flatten)]
    data: DataDir,
    /// Runs the site that this file describes instead of the simulated compound
    #[arg(long, value_name = "FILE", env = "GATEHOUSE_CONFIG")]
    config: Option<PathBuf>,
    /// Where the console listens [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where the embedded MQTT broker listens [default: 127.0.0.1:1883]
    #[arg(long, value_name = "ADDRESS")]
    mqtt: Option<SocketAddr>,
    /// The compound plays stories only when asked, not by its timetable
    #[arg(long)]
    quiet: bool,
    /// The compound has at least this many virtual cameras, to try a large wall
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "config", hide_default_value = true,
        value_parser = clap::value_parser!(u8).range(..=64))]
    cameras: u8,
}

impl Serve {
    /// Runs until SIGINT or SIGTERM.
    pub fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return fail(&anyhow::anyhow!("the runtime cannot start: {error}")),
        };
        let options = match self.options() {
            Ok(options) => options,
            Err(error) => return fail(&error),
        };
        runtime.block_on(async {
            match serve(options).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error),
            }
        })
    }

    fn options(self) -> anyhow::Result<Options> {
        let demo = self.config.is_none();
        let mut config = self.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        if let Some(listen) = self.mqtt {
            config.broker.listen = listen;
        }
        let data = self.data.named().or(config.data.clone()).unwrap_or_else(|| self.data.path());
        Ok(Options { data, config, demo, auto: demo && !self.quiet, cameras: usize::from(self.cameras) })
    }
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let began = Instant::now();
    let demo = options.demo;
    let data = options.data.display().to_string();
    let running = compose::start(options, &mut Lines::stderr()).await?;
    let mut lines = String::new();
    if let Some(password) = &running.first_password {
        lines += &format!("first-run admin password: {password}  (user admin; shown only now)\n");
    }
    let scheme = if running.tls { "https" } else { "http" };
    lines += &format!("console at {scheme}://{}\n", running.address);
    lines += &format!("data in {data}; ready in {:.1} s\n", began.elapsed().as_secs_f64());
    if demo {
        lines += "this is the simulated compound; try `gatehouse play fire`, or `--config FILE` for a real site\n";
    }
    super::print(&lines);
    stop_signal().await?;
    tracing::info!("Stopping");
    running.stop().await;
    Ok(())
}

async fn stop_signal() -> std::io::Result<()> {
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => outcome,
        _ = term.recv() => Ok(()),
    }
}

/// Prints what failed and why, and what to do, for a person at a terminal.
pub fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("gatehouse: {error:#}");
    ExitCode::FAILURE
}
