//! `gatehouse eval clips`: labelled films of cars, served over RTSP and read by the pipeline that runs a gate.

use super::{Common, Told};
use crate::cli::check::columns;
use anyhow::{Context, Result};
use gatehouse_adapters::sim::rtsp::{RtspServer, Users, clip};
use gatehouse_core::recognition::{Observation, Seen};
use gatehouse_vision::eval::{self, ClipLabel, RowError};
use gatehouse_vision::pipeline::Role;
use gatehouse_vision::pipeline::pool::Readers;
use gatehouse_vision::{CameraConfig, Vision, VisionConfig};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long a clip may play without a plate being said.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it is listened to after the first, for another text of the same car.
const AFTER: Duration = Duration::from_secs(4);

/// A folder of clips (MP4, H.264 or H.265) with labels.csv: file, plate; each is played as a camera over RTSP
#[derive(Debug, clap::Args)]
pub(super) struct Clips {
    /// The folder with labels.csv
    folder: PathBuf,
    #[command(flatten)]
    pub(super) common: Common,
}

/// What the pipeline said of one clip. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct ClipRead {
    /// The clip.
    file: String,
    /// The label.
    want: String,
    /// The first plate said; empty: none.
    got: String,
    /// Whether they are the same.
    right: bool,
    /// Its confidence.
    confidence: f32,
    /// Whether it is sure.
    sure: bool,
    /// Frames that agreed.
    votes: u32,
    /// From the camera's first picture to the plate being said.
    first_read_ms: Option<u64>,
    /// From the arrival of the deciding frame to the plate being said.
    latency_ms: Option<u32>,
    /// Other plates said afterwards.
    others: Vec<String>,
}

/// The figures of a folder of clips.
#[derive(Debug, Serialize)]
struct ClipsReport {
    /// Rows of labels.csv that were played.
    clips: usize,
    /// Those whose plate was said first and rightly.
    right: usize,
    /// Each of them.
    reads: Vec<ClipRead>,
    /// Rows that could not be played.
    errors: Vec<RowError>,
}

impl Clips {
    pub(super) fn measure(&self) -> Result<Told> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let report = runtime.block_on(self.play())?;
        let rows: Vec<[String; 8]> = report.reads.iter().map(row).collect();
        let mut text = columns(
            &["clip", "plate", "read", "confidence", "votes", "first read ms", "latency ms", "afterwards"],
            &rows,
        );
        text += &format!("\n{} of {} read rightly\n", report.right, report.clips);
        Told::new(&report, &report.errors, text)
    }

    async fn play(&self) -> Result<ClipsReport> {
        let (labels, mut errors) = eval::clips(&self.folder)?;
        let recognizer = Arc::new(self.common.recognizer()?);
        let mut reads = Vec::new();
        for label in &labels {
            match self.play_one(label, recognizer.clone()).await {
                Ok(read) => reads.push(read),
                Err(error) => errors.push(RowError {
                    row: label.row,
                    field: "file".to_owned(),
                    message: format!("{error:#}"),
                    remedy: "put a whole MP4 file of H.264 or H.265 there, or correct the row".to_owned(),
                }),
            }
        }
        let right = reads.iter().filter(|read| read.right).count();
        Ok(ClipsReport { clips: reads.len(), right, reads, errors })
    }

    /// Plays one clip from its beginning to a camera of its own.
    async fn play_one(&self, label: &ClipLabel, readers: Arc<dyn Readers>) -> Result<ClipRead> {
        let server = RtspServer::bind("127.0.0.1:0".parse()?, Users::default()).await?;
        let film = clip::play("Clip", &self.folder.join(&label.file))?;
        server.mount("clip", film.source());
        let dir = tempfile::tempdir()?;
        let (vision, mut said) =
            watch(&format!("rtsp://{}/clip", server.local_addr()), dir.path(), &self.common, readers)?;
        let mut read = ClipRead {
            file: label.file.clone(),
            want: label.plate.clone(),
            got: String::new(),
            right: false,
            confidence: 0.0,
            sure: false,
            votes: 0,
            first_read_ms: None,
            latency_ms: None,
            others: Vec::new(),
        };
        let (mut live, mut until) = (None, Instant::now() + PATIENCE);
        while let Ok(Some((at, seen))) = tokio::time::timeout_at(until.into(), said.recv()).await {
            match seen.seen {
                Seen::Stream { live: true, .. } => live = live.or(Some(at)),
                Seen::Plate { text, confidence, votes, sure, .. } if !text.is_empty() => {
                    if read.got.is_empty() {
                        until = at + AFTER;
                        let first_read_ms = live.map(|live: Instant| (at - live).as_millis() as u64);
                        let (right, latency_ms) = (text == label.plate, Some(seen.latency_ms));
                        read =
                            ClipRead { got: text, right, confidence, sure, votes, first_read_ms, latency_ms, ..read };
                    } else if text != read.got && !read.others.contains(&text) {
                        read.others.push(text);
                    }
                }
                _ => {}
            }
        }
        vision.stop().await;
        Ok(read)
    }
}

type Said = mpsc::UnboundedReceiver<(Instant, Observation)>;

/// A camera that looks for plates, and what is said of it.
fn watch(url: &str, dir: &Path, common: &Common, readers: Arc<dyn Readers>) -> Result<(Vision, Said)> {
    let (sender, said) = mpsc::unbounded_channel();
    let camera = CameraConfig::new("clip".parse()?, url.parse()?);
    let camera = CameraConfig { record: false, audio: false, roles: vec![Role::Plates], ..camera };
    let policies = common.models()?.policies();
    let config = VisionConfig { cameras: vec![camera], policies, ..VisionConfig::new(dir) };
    let sink = Arc::new(move |observation| {
        // Whoever listened has heard enough.
        let _ = sender.send((Instant::now(), observation));
    });
    let errors = Arc::new(|code: &'static str, text: &str| tracing::warn!(code, "{text}"));
    let vision = Vision::start_with(config, Some(Box::new(move || Ok(readers.clone()))), sink, errors)
        .context("starting video")?;
    Ok((vision, said))
}

fn row(read: &ClipRead) -> [String; 8] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let got = match (read.got.is_empty(), read.right) {
        (true, _) => "not read".to_owned(),
        (false, true) => read.got.clone(),
        (false, false) => format!("{} WRONG", read.got),
    };
    [
        read.file.clone(),
        read.want.clone(),
        got,
        format!("{:.2}{}", read.confidence, if read.sure { " sure" } else { "" }),
        read.votes.to_string(),
        or_dash(read.first_read_ms.map(|ms| ms.to_string())),
        or_dash(read.latency_ms.map(|ms| ms.to_string())),
        if read.others.is_empty() { "-".to_owned() } else { read.others.join(", ") },
    ]
}
