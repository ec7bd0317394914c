//! `gatehouse bench telemetry`: readings into the history by the writer's batches, and beside them COPY in the binary format
//! into the same table, on a private durable PostgreSQL of the bench's own.

use super::{Common, Figures, quantile, with_cost};
use crate::api::health::cpu_seconds;
use crate::provision::{Cluster, ClusterOptions, Provision, Silent};
use anyhow::Context;
use gatehouse_actors::telemetry::drill::{BATCH_ROWS, Batches, Report, size_and_empty};
use gatehouse_actors::telemetry::{History, Keep};
use gatehouse_actors::{Clock, store};
use gatehouse_core::device::telemetry::Value;
use gatehouse_core::id::DeviceId;
use serde_json::json;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use std::time::{Duration, Instant};

/// Connections that write, as in the product.
const WRITERS: usize = 2;
/// Points of one device.
const POINTS: usize = 10;

/// Readings into the history.
#[derive(Debug, clap::Args)]
pub struct Telemetry {
    #[command(flatten)]
    pub common: Common,
    /// Readings to write in each part
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// Devices, of 10 points each
    #[arg(long, default_value_t = 100)]
    devices: usize,
    /// Times the rows that are there already before a part: how the rate grows with the table
    #[arg(long, value_delimiter = ',', default_value = "0")]
    scale: Vec<usize>,
}

/// How a part writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Brin,
    Latest,
    Copy,
}

impl Telemetry {
    /// `rate_brin`, `rate_latest`, `rate_copy`: readings a second, two connections each; `p50_ms`, `p99_ms`: one batch with its
    /// latest values. With `--scale` each rate again, with so many times the rows in the table.
    pub async fn measure(&self) -> anyhow::Result<Figures> {
        anyhow::ensure!(self.rows >= BATCH_ROWS && self.devices > 0, "rows must be at least {BATCH_ROWS}, devices 1");
        let data = self.common.data.path();
        let programs = tokio::task::block_in_place(|| Provision::new(&data).ensure_postgres(&mut Silent))?;
        let dir = tempfile::Builder::new().prefix("gatehouse-bench-").tempdir()?;
        let cluster = Cluster::start(&programs, dir.path(), ClusterOptions::default()).await?;
        cluster.create_database("bench").await?;
        let pool = PgPoolOptions::new().max_connections(4).connect_with(cluster.options("bench")).await?;
        store::migrate(&pool).await?;
        let (_history, _work) = History::open(pool.clone(), Clock::real(), Keep::default()).await?;

        let cpu = cpu_seconds();
        let mut figures = Figures::new();
        figures.insert("rows".into(), json!(self.rows));
        figures.insert("batch".into(), json!(BATCH_ROWS));
        figures.insert("series".into(), json!(self.devices * POINTS));
        for scale in &self.scale {
            let mut batches = Vec::new();
            for (name, way) in [("rate_copy", Way::Copy), ("rate_brin", Way::Brin), ("rate_latest", Way::Latest)] {
                if *scale > 0 {
                    self.part(&pool, Way::Copy, self.rows * scale).await?;
                }
                let (rate, times) = self.part(&pool, way, self.rows).await?;
                let bytes = size_and_empty(&pool).await?;
                figures.insert(keyed(name, *scale), json!(rate));
                if way == Way::Brin && *scale == 0 {
                    figures.insert("bytes_per_row".into(), json!(bytes as f64 / self.rows as f64));
                }
                batches = times;
            }
            figures.insert(keyed("p50_ms", *scale), json!(quantile(&mut batches, 0.5)));
            figures.insert(keyed("p99_ms", *scale), json!(quantile(&mut batches, 0.99)));
        }
        pool.close().await;
        cluster.stop().await?;
        Ok(with_cost(figures, cpu))
    }

    /// Writes so many readings; gives the rate and the milliseconds of each batch.
    async fn part(&self, pool: &PgPool, way: Way, rows: usize) -> anyhow::Result<(f64, Vec<f64>)> {
        let each = rows.div_ceil(BATCH_ROWS * WRITERS).max(1);
        let began = Instant::now();
        let mut writing = Vec::new();
        for _ in 0..WRITERS {
            let (pool, reports) = (pool.clone(), reports(self.devices));
            writing.push(tokio::spawn(async move {
                let clock = Clock::real();
                let mut batches = Batches::new(pool, clock.uuid());
                let mut times: Vec<Duration> = Vec::with_capacity(each);
                for _ in 0..each {
                    let began = Instant::now();
                    match way {
                        Way::Copy => batches.copy(BATCH_ROWS, clock.now()).await?,
                        Way::Brin | Way::Latest => {
                            batches.write(&reports, clock.now(), way == Way::Latest).await?;
                        }
                    }
                    times.push(began.elapsed());
                }
                anyhow::Ok(times)
            }));
        }
        let mut times = Vec::new();
        for written in writing {
            times.extend(written.await.context("a writer ended")??);
        }
        let rate = (times.len() * BATCH_ROWS) as f64 / began.elapsed().as_secs_f64();
        Ok((rate, times.into_iter().map(|time| time.as_secs_f64() * 1e3).collect()))
    }
}

/// A figure's name, with the scale where there is one.
fn keyed(name: &str, scale: usize) -> String {
    if scale == 0 { name.to_owned() } else { format!("{name}_x{scale}") }
}

/// One batch: every device reports its points, again and again.
fn reports(devices: usize) -> Vec<Report> {
    (0..BATCH_ROWS / POINTS)
        .map(|n| {
            let device = DeviceId::from_key(&format!("meter-{}", n % devices));
            let points = (0..POINTS).map(|p| (format!("point.{p}"), Value::Number((n * p) as f64 / 7.0))).collect();
            (device, points)
        })
        .collect()
}
