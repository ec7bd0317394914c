//! `gatehouse bench video`: one live tile, from the virtual camera's clock to the browser's socket.

use super::{Bed, Common, Figures, quantile, with_cost};
use crate::api::health::cpu_seconds;
use crate::client::Client;
use anyhow::Context;
use jiff::Timestamp;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;

/// Live video from the camera to a browser's socket.
#[derive(Debug, clap::Args)]
pub struct Video {
    #[command(flatten)]
    pub common: Common,
    /// Seconds to watch
    #[arg(long, default_value_t = 15)]
    watch_s: u64,
    /// Tiles open at once, over the demo's cameras in turn
    #[arg(long, default_value_t = 4)]
    tiles: usize,
}

impl Video {
    /// `p50_ms`, `p99_ms`: a frame's arrival at the hub → at the browser's socket; `first_ms`: first key frame after opening.
    pub async fn measure(&self) -> anyhow::Result<Figures> {
        let bed = Bed::start(&self.common.data.path(), None).await?;
        let admin = Client::sign_in(bed.running.address, "admin", &bed.password).await?;
        let health = wait_for_streams(&admin).await?;
        let cameras: Vec<String> = health["cameras"]
            .as_array()
            .context("no cameras")?
            .iter()
            .filter_map(|camera| camera["id"].as_str().map(str::to_owned))
            .collect();
        let cpu = cpu_seconds();
        let watch = Duration::from_secs(self.watch_s);
        let mut tiles = Vec::new();
        for n in 0..self.tiles {
            let camera = &cameras[n % cameras.len()];
            let opened = Instant::now();
            let mut live = admin.socket(&format!("/ws/video/{camera}")).await?;
            tiles.push(tokio::spawn(async move {
                let (mut first, mut latencies, mut skipped) = (None, Vec::new(), 0u64);
                while opened.elapsed() < watch {
                    let Message::Binary(frame) = live.frame().await? else { continue };
                    let Some(captured) = frame.get(8..16).and_then(|bytes| bytes.try_into().ok()) else { continue };
                    let captured = Timestamp::from_microsecond(i64::from_be_bytes(captured))?;
                    skipped += u64::from(frame[0] & 2 != 0);
                    if first.is_none() {
                        // The cached picture is old by design.
                        first = Some(opened.elapsed().as_secs_f64() * 1e3);
                    } else if opened.elapsed() > Duration::from_secs(2) {
                        latencies.push(Timestamp::now().duration_since(captured).as_secs_f64() * 1e3);
                    }
                }
                anyhow::Ok((first, latencies, skipped))
            }));
        }
        let (mut firsts, mut latencies, mut skipped) = (Vec::new(), Vec::new(), 0);
        for tile in tiles {
            let (first, measured, jumped) = tile.await??;
            firsts.extend(first);
            latencies.extend(measured);
            skipped += jumped;
        }
        let mut figures = Figures::new();
        figures.insert("tiles".into(), json!(self.tiles));
        figures.insert("frames".into(), json!(latencies.len()));
        figures.insert("lost".into(), json!(skipped));
        figures.insert("rate".into(), json!(latencies.len() as f64 / (self.watch_s.saturating_sub(2).max(1)) as f64));
        figures.insert("first_ms".into(), json!(quantile(&mut firsts, 0.5)));
        figures.insert("p50_ms".into(), json!(quantile(&mut latencies, 0.5)));
        figures.insert("p99_ms".into(), json!(quantile(&mut latencies, 0.99)));
        let figures = with_cost(figures, cpu);
        bed.stop().await;
        Ok(figures)
    }
}

/// Waits until every camera is live; gives the health that says so.
async fn wait_for_streams(admin: &Client) -> anyhow::Result<serde_json::Value> {
    let wait = async {
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        loop {
            tick.tick().await;
            let health = admin.get("/api/health").await?;
            let cameras = health["cameras"].as_array().map(Vec::as_slice).unwrap_or_default();
            if !cameras.is_empty() && cameras.iter().all(|camera| camera["live"] == true) {
                return anyhow::Ok(health);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.context("the cameras did not come up within 30 s")?
}
