//! `gatehouse bench start`: from nothing to a console that answers, again with everything there, then a minute of idling.

use super::{Common, Figures, directory};
use crate::api::health::{cpu_seconds, resident_mb};
use crate::compose::{self, Options};
use crate::config::Config;
use crate::provision::Silent;
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Starts the compound from nothing and again, then watches it idle.
#[derive(Debug, clap::Args)]
pub struct Start {
    #[command(flatten)]
    pub common: Common,
    /// Seconds to watch it idle
    #[arg(long, default_value_t = 30)]
    idle_s: u64,
}

impl Start {
    /// `cold_ms`: from an empty data directory (downloads done) to an answering console; `warm_ms`: the same data again.
    pub async fn measure(&self) -> anyhow::Result<Figures> {
        let dir = directory(&self.common.data.path())?;
        let options = || {
            let mut config = Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Config::default() };
            config.broker.listen = SocketAddr::from(([127, 0, 0, 1], 0));
            Options { data: dir.path().to_owned(), config, demo: true, auto: true, cameras: 0 }
        };
        let began = Instant::now();
        let first = compose::start(options(), &mut Silent).await?;
        let cold_ms = began.elapsed().as_secs_f64() * 1e3;
        first.stop().await;
        let began = Instant::now();
        let second = compose::start(options(), &mut Silent).await?;
        let warm_ms = began.elapsed().as_secs_f64() * 1e3;
        let (cpu, clock) = (cpu_seconds(), Instant::now());
        tokio::time::sleep(Duration::from_secs(self.idle_s)).await;
        let idle_cpu_percent = 100.0 * (cpu_seconds() - cpu) / clock.elapsed().as_secs_f64();
        let rss_mb = resident_mb();
        second.stop().await;
        let mut figures = Figures::new();
        figures.insert("cold_ms".into(), json!(cold_ms));
        figures.insert("warm_ms".into(), json!(warm_ms));
        figures.insert("idle_s".into(), json!(self.idle_s));
        figures.insert("idle_cpu_percent".into(), json!(idle_cpu_percent));
        figures.insert("rss_mb".into(), json!(rss_mb));
        figures.insert("cpu_s".into(), json!(cpu_seconds()));
        Ok(figures)
    }
}
