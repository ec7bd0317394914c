//! `gatehouse bench soak`: many devices for a long time, at half the load of `bench devices`; whether memory and delay stay.

use super::devices::{Loader, account, connections, site, told};
use super::load::Order;
use super::{Bed, Common, Figures};
use crate::api::health::{cpu_seconds, resident_mb};
use anyhow::{Context, Result};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// Buffers, caches and pools fill in this time; the line is laid through what comes after.
const WARM_S: f64 = 120.0;
/// Flat: memory rises by less than this part of itself in an hour.
const FLAT_PER_HOUR: f64 = 0.05;

/// Many devices for a long time.
#[derive(Debug, clap::Args)]
pub struct Soak {
    #[command(flatten)]
    pub common: Common,
    /// Minutes
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
    /// Devices
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    devices: u32,
    /// Messages a second, all devices together
    #[arg(long, default_value_t = 2_500, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    rate: u32,
    /// Quality of service of the messages
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: u8,
}

/// What was seen at each look.
#[derive(Default)]
struct Seen {
    memory: Vec<(f64, f64)>,
    deepest: BTreeMap<String, usize>,
}

impl Soak {
    /// `flat`: the line through memory after the second minute rises by less than 5 % of it an hour, and the last minute's
    /// p99 is at most twice the median minute's.
    pub async fn measure(&self) -> Result<Figures> {
        let connections = connections(self.devices as usize, None);
        let own = connections == self.devices as usize;
        let bed = Bed::start(&self.common.data.path(), Some(&site(self.devices, own))).await?;
        let order = Order {
            broker: bed.running.app.broker().context("no embedded broker")?.addr(),
            console: Some((bed.running.address, bed.password.clone())),
            devices: self.devices as usize,
            connections,
            account: account(own),
            rate: self.rate,
            seconds: self.minutes * 60,
            qos: self.qos,
        };
        let mut load = Loader::start(&order).await?;
        let cpu = cpu_seconds();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let looking = tokio::spawn(look(bed.running.app.system().clone(), seen.clone()));
        let measured = load.go(order.seconds).await?;
        looking.abort();
        let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));

        let at = |wanted: f64| seen.memory.iter().rev().find(|(s, _)| *s <= wanted).map_or(0.0, |(_, mb)| *mb);
        let warm: Vec<_> = seen.memory.iter().copied().filter(|(s, _)| *s >= WARM_S).collect();
        let slope = slope(&warm) * 3600.0;
        let mut minutes = measured.p99_ms_by_minute.clone();
        let (last, median) = (minutes.last().copied().unwrap_or(0.0), super::quantile(&mut minutes, 0.5));
        let flat = warm.len() > 2 && slope < FLAT_PER_HOUR * at(WARM_S) && last <= 2.0 * median;
        let mut figures = Figures::new();
        figures.insert("minutes".into(), json!(self.minutes));
        figures.insert("devices".into(), json!(self.devices));
        told(&mut figures, &measured);
        figures.insert("p99_ms_by_minute".into(), json!(measured.p99_ms_by_minute));
        figures.insert("rss_start_mb".into(), json!(at(LOOK.as_secs_f64())));
        figures.insert("rss_2min_mb".into(), json!(at(WARM_S)));
        figures.insert("rss_end_mb".into(), json!(at(f64::INFINITY)));
        figures.insert("slope_mb_h".into(), json!(slope));
        figures.insert("deepest".into(), json!(seen.deepest));
        figures.insert("flat".into(), json!(flat));
        let figures = super::with_cost(figures, cpu);
        drop(load);
        bed.stop().await;
        Ok(figures)
    }
}

/// Looks at memory and queues again and again.
async fn look(system: gatehouse_actors::System, seen: Arc<Mutex<Seen>>) {
    let began = Instant::now();
    let mut every = tokio::time::interval(LOOK);
    loop {
        every.tick().await;
        let queues = system.ingress().into_iter().map(|source| (source.source, source.depth));
        let mailboxes = system.actors().into_iter().map(|actor| actor.depth).max().unwrap_or(0);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.memory.push((began.elapsed().as_secs_f64(), resident_mb()));
        for (name, depth) in queues.chain([("mailbox".to_owned(), mailboxes)]) {
            let deepest = seen.deepest.entry(name).or_default();
            *deepest = depth.max(*deepest);
        }
    }
}

/// The slope of the line through these points by least squares; zero for fewer than two.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (mean_x, mean_y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), (x, y)| {
        (over + (x - mean_x) * (y - mean_y), under + (x - mean_x) * (x - mean_x))
    });
    if under > 0.0 { over / under } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_line() {
        let points: Vec<_> = (0..10).map(|x| (f64::from(x), 3.0 + 0.5 * f64::from(x))).collect();
        assert!((slope(&points) - 0.5).abs() < 1e-9);
        assert_eq!(slope(&[(1.0, 2.0)]), 0.0);
    }
}
