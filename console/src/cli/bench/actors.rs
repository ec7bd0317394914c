//! `gatehouse bench actors`: what a device's actor costs, beside bare tasks with a channel each.

use super::{Common, Figures, quantile, with_cost};
use crate::api::health::{cpu_seconds, resident_mb};
use anyhow::{Context, Result};
use gatehouse_actors::yardstick::Yardstick;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The longest that messages may take to be handled.
const HANDLED_WITHIN: Duration = Duration::from_secs(120);

/// What an actor costs: spawning, messages, restarts.
#[derive(Debug, clap::Args)]
pub struct Actors {
    #[command(flatten)]
    pub common: Common,
    /// Actors
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    actors: u32,
    /// Messages in all
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    messages: u32,
    /// Panics to recover from
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    panics: u32,
    /// Multiples of actors, each a row of its own
    #[arg(long, value_delimiter = ',', default_value = "1")]
    scale: Vec<u32>,
}

impl Actors {
    /// `spawn_us`, `actor_kb`: one supervised device shell; `rate`: messages a second of processor time through shells, without
    /// the store; `p50_ms`, `p99_ms`: from a panic to the shell that takes messages again. `bare_…`: tasks and channels alone.
    pub async fn measure(&self) -> Result<Figures> {
        let mut rows = Vec::new();
        for scale in self.scale.iter().map(|scale| (*scale).max(1)) {
            let mut row = self.row(self.actors * scale).await?;
            row.insert("scale".into(), json!(scale));
            rows.push(row);
        }
        Ok(super::growth(rows))
    }

    async fn row(&self, actors: u32) -> Result<Figures> {
        let cpu = cpu_seconds();
        let mut figures = Figures::new();
        figures.insert("actors".into(), json!(actors));
        figures.insert("messages".into(), json!(self.messages));

        let yardstick = Yardstick::start(&toml::from_str(&super::devices::site(actors, true))?).await?;
        let (memory, began) = (resident_mb(), Instant::now());
        yardstick.spawn_all().await?;
        figures.insert("spawn_us".into(), json!(began.elapsed().as_secs_f64() * 1e6 / f64::from(actors)));
        figures.insert("actor_kb".into(), json!((resident_mb() - memory) * 1e3 / f64::from(actors)));
        let before = yardstick.handled();
        let rate =
            per_cpu_second(self.messages, |n| yardstick.tell(n % actors), || yardstick.handled() - before).await?;
        figures.insert("rate".into(), json!(rate));
        let mut restarts = Vec::new();
        for n in 0..self.panics {
            restarts.push(yardstick.fail(n % actors).await.context("an actor did not come back")?.as_secs_f64() * 1e3);
        }
        figures.insert("p50_ms".into(), json!(quantile(&mut restarts, 0.5)));
        figures.insert("p99_ms".into(), json!(quantile(&mut restarts, 0.99)));
        yardstick.stop().await;

        let handled = Arc::new(AtomicU64::new(0));
        let (memory, began) = (resident_mb(), Instant::now());
        let mut tasks: Vec<_> = (0..actors).map(|_| bare(&handled)).collect();
        tokio::task::yield_now().await;
        figures.insert("bare_spawn_us".into(), json!(began.elapsed().as_secs_f64() * 1e6 / f64::from(actors)));
        figures.insert("bare_kb".into(), json!((resident_mb() - memory) * 1e3 / f64::from(actors)));
        let tell = |n: u32| tasks[(n % actors) as usize].0.send(Said::Value(f64::from(n))).is_ok();
        let rate = per_cpu_second(self.messages, tell, || handled.load(Ordering::Relaxed)).await?;
        figures.insert("bare_rate".into(), json!(rate));
        let mut restarts = Vec::new();
        for n in 0..self.panics {
            let task = &mut tasks[(n % actors) as usize];
            let began = Instant::now();
            let _ = task.0.send(Said::Panic);
            let _ = (&mut task.1).await;
            let before = handled.load(Ordering::Relaxed);
            *task = bare(&handled);
            let _ = task.0.send(Said::Value(0.0));
            while handled.load(Ordering::Relaxed) == before {
                tokio::task::yield_now().await;
            }
            restarts.push(began.elapsed().as_secs_f64() * 1e3);
        }
        figures.insert("bare_p50_ms".into(), json!(quantile(&mut restarts, 0.5)));
        figures.insert("bare_p99_ms".into(), json!(quantile(&mut restarts, 0.99)));
        for (_, task) in tasks {
            task.abort();
        }
        Ok(with_cost(figures, cpu))
    }
}

/// Tells so many messages and waits until they are handled; messages a second of processor time.
async fn per_cpu_second(messages: u32, tell: impl Fn(u32) -> bool, handled: impl Fn() -> u64) -> Result<f64> {
    let (cpu, began) = (cpu_seconds(), Instant::now());
    for n in 0..messages {
        anyhow::ensure!(tell(n), "an actor does not take messages");
        // Mailboxes have no bound of their own: the bench keeps some thousands on the way, not a million.
        if n % 4096 == 4095 {
            while handled() + 8192 < u64::from(n) {
                tokio::task::yield_now().await;
            }
        }
    }
    while handled() < u64::from(messages) {
        anyhow::ensure!(began.elapsed() < HANDLED_WITHIN, "messages were not handled in time");
        tokio::task::yield_now().await;
    }
    Ok(f64::from(messages) / (cpu_seconds() - cpu).max(0.01))
}

enum Said {
    Value(f64),
    Panic,
}

/// A bare task with a channel.
fn bare(handled: &Arc<AtomicU64>) -> (mpsc::UnboundedSender<Said>, JoinHandle<f64>) {
    let (tell, mut told) = mpsc::unbounded_channel();
    let handled = handled.clone();
    let task = tokio::spawn(async move {
        let mut sum = 0.0;
        while let Some(said) = told.recv().await {
            match said {
                Said::Value(value) => sum += value,
                Said::Panic => panic!("told to fail"),
            }
            handled.fetch_add(1, Ordering::Relaxed);
        }
        sum
    });
    (tell, task)
}
