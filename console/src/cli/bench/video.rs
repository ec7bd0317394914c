//! `gatehouse bench video`: live tiles, from the virtual camera's clock to the browser's socket.

use super::cameras::Tile;
use super::{Bed, Common, Figures, quantile, streams, with_cost};
use crate::api::health::cpu_seconds;
use crate::client::Client;
use anyhow::Context;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;

/// Live video from the camera to a browser's socket; with `--cameras` what a stream costs the server.
#[derive(Debug, clap::Args)]
pub struct Video {
    #[command(flatten)]
    pub common: Common,
    /// Seconds to watch, and to measure each state for
    #[arg(long, alias = "watch-s", default_value_t = 15, value_parser = clap::value_parser!(u64).range(3..=3_600))]
    seconds: u64,
    /// Tiles open at once, over the cameras in turn [default: 4, with --cameras one a camera]
    #[arg(long, alias = "tiles", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    viewers: Option<u16>,
    /// Virtual cameras of 720p25 in a process of their own, each number a row, beside as many ffmpeg: e.g. 1,4,16,64
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=100))]
    cameras: Vec<u16>,
}

impl Video {
    /// `p50_ms`, `p99_ms`: a frame's arrival at the hub → at the browser's socket; `first_ms`: first key frame after opening.
    pub async fn measure(&self) -> anyhow::Result<Figures> {
        if self.cameras.is_empty() {
            return self.demo().await;
        }
        let mut rows = Vec::new();
        for cameras in &self.cameras {
            let viewers = self.viewers.unwrap_or(*cameras).into();
            rows.push(streams::row(&self.common.data.path(), (*cameras).into(), viewers, self.seconds).await?);
        }
        Ok(super::growth(rows))
    }

    async fn demo(&self) -> anyhow::Result<Figures> {
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
        let watch = Duration::from_secs(self.seconds);
        let count = usize::from(self.viewers.unwrap_or(4));
        let mut tiles = Vec::new();
        for n in 0..count {
            let camera = &cameras[n % cameras.len()];
            let opened = Instant::now();
            let mut live = admin.socket(&format!("/ws/video/{camera}")).await?;
            tiles.push(tokio::spawn(async move {
                let mut tile = Tile::default();
                while opened.elapsed() < watch {
                    if let Message::Binary(frame) = live.frame().await? {
                        tile.take(&frame, opened)?;
                    }
                }
                anyhow::Ok(tile)
            }));
        }
        let mut all = Tile::default();
        for tile in tiles {
            let tile = tile.await??;
            all.firsts.extend(tile.firsts);
            all.delays.extend(tile.delays);
            all.skipped += tile.skipped;
        }
        let mut figures = Figures::new();
        figures.insert("tiles".into(), json!(count));
        figures.insert("frames".into(), json!(all.delays.len()));
        figures.insert("lost".into(), json!(all.skipped));
        figures.insert("rate".into(), json!(all.delays.len() as f64 / (self.seconds.saturating_sub(2).max(1)) as f64));
        figures.insert("first_ms".into(), json!(quantile(&mut all.firsts, 0.5)));
        figures.insert("p50_ms".into(), json!(quantile(&mut all.delays, 0.5)));
        figures.insert("p99_ms".into(), json!(quantile(&mut all.delays, 0.99)));
        let figures = with_cost(figures, cpu);
        bed.stop().await;
        Ok(figures)
    }
}

/// Waits until every camera is live; gives the health that says so.
pub async fn wait_for_streams(admin: &Client) -> anyhow::Result<serde_json::Value> {
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
