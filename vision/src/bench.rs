//! Figures of the video path, measured on the cameras given: what ingest costs, how soon viewers see, how soon a clip is cut.

use crate::hub::{Delivery, Hub};
use crate::vision::{CameraConfig, Figures, Vision, VisionConfig, VisionError};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What to measure.
#[derive(Debug, Clone)]
pub struct VideoBench {
    /// Cameras, places and models, as for [`Vision::start`].
    pub vision: VisionConfig,
    /// Viewers of each camera.
    pub viewers: usize,
    /// How long to measure, after every camera is live.
    pub lasts: Duration,
}

/// What was measured. Times in milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VideoFigures {
    /// Cameras that were live, of those given.
    pub live: usize,
    /// Cameras given.
    pub cameras: usize,
    /// Viewers in all.
    pub viewers: usize,
    /// Seconds measured.
    pub seconds: f64,
    /// Processor time of the whole process, seconds.
    pub cpu_s: f64,
    /// The same for one camera, in percent of one core.
    pub cpu_percent_per_camera: f64,
    /// Resident memory at the end, MB.
    pub rss_mb: f64,
    /// From the start to the last camera live.
    pub live_after_ms: f64,
    /// From joining to a viewer's first picture, median and 99th percentile.
    pub first_picture_p50_ms: f64,
    /// 99th percentile of the same.
    pub first_picture_p99_ms: f64,
    /// From a picture's arrival to a viewer having it.
    pub delivery_p50_ms: f64,
    /// 99th percentile of the same.
    pub delivery_p99_ms: f64,
    /// Pictures that viewers got.
    pub delivered: u64,
    /// Pictures that viewers did not get.
    pub lost: u64,
    /// Cutting a clip of the last ten seconds, by camera: median.
    pub clip_p50_ms: f64,
    /// 99th percentile of the same.
    pub clip_p99_ms: f64,
    /// Pictures in those clips.
    pub clip_frames: u64,
    /// The handle's own figures.
    pub vision: Figures,
}

/// Runs the bench. Recordings and pictures go where the configuration says; the caller removes them.
pub async fn run(bench: VideoBench) -> Result<VideoFigures, VisionError> {
    let began = Instant::now();
    let cameras: Vec<CameraConfig> = bench.vision.cameras.clone();
    let tell = |code: &'static str, text: &str| tracing::warn!(code, "{text}");
    let vision = Vision::start(bench.vision, Arc::new(|_| {}), Arc::new(tell))?;
    let patience = began + Duration::from_secs(15);
    let live = loop {
        let live = vision.statuses().iter().filter(|status| status.live).count();
        if live == cameras.len() || Instant::now() > patience {
            break live;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let live_after = began.elapsed();

    let delivered = Arc::new(AtomicU64::new(0));
    let mut first_pictures = JoinSet::new();
    let mut watching = JoinSet::new();
    for camera in &cameras {
        let Some(hub) = vision.hub(camera.id) else { continue };
        for _ in 0..bench.viewers {
            first_pictures.spawn(first_picture(hub.clone()));
            watching.spawn(watch(hub.clone(), delivered.clone()));
        }
    }
    let (cpu_before, start) = (cpu_seconds(), Instant::now());
    tokio::time::sleep(bench.lasts).await;
    let (cpu_s, seconds) = (cpu_seconds() - cpu_before, start.elapsed().as_secs_f64());

    let mut clip_times = Vec::new();
    let mut clip_frames = 0;
    for camera in cameras.iter().filter(|camera| camera.record) {
        let to = Timestamp::now();
        let from = to - SignedDuration::from_secs(10);
        let asked = Instant::now();
        if let Ok(clip) = vision.clip(camera.id, from, to).await {
            clip_times.push(ms(asked.elapsed()));
            clip_frames += clip.frames as u64;
        }
    }
    let mut firsts = Vec::new();
    while let Some(took) = first_pictures.try_join_next() {
        firsts.extend(took.ok().flatten().map(ms));
    }
    let figures = vision.figures();
    let lost = cameras.iter().filter_map(|camera| vision.hub(camera.id)).map(|hub| hub.dropped()).sum();
    watching.abort_all();
    vision.stop().await;
    Ok(VideoFigures {
        live,
        cameras: cameras.len(),
        viewers: cameras.len() * bench.viewers,
        seconds,
        cpu_s,
        cpu_percent_per_camera: 100.0 * cpu_s / seconds / cameras.len().max(1) as f64,
        rss_mb: rss_mb(),
        live_after_ms: ms(live_after),
        first_picture_p50_ms: quantile(&mut firsts, 0.5),
        first_picture_p99_ms: quantile(&mut firsts, 0.99),
        delivery_p50_ms: figures.delivery.p50_ms,
        delivery_p99_ms: figures.delivery.p99_ms,
        delivered: delivered.load(Ordering::Relaxed),
        lost,
        clip_p50_ms: quantile(&mut clip_times, 0.5),
        clip_p99_ms: quantile(&mut clip_times, 0.99),
        clip_frames,
        vision: figures,
    })
}

async fn first_picture(hub: Arc<Hub>) -> Option<Duration> {
    let joined = Instant::now();
    let mut viewer = hub.watch();
    loop {
        if let Delivery::Unit { .. } = viewer.next().await? {
            return Some(joined.elapsed());
        }
    }
}

async fn watch(hub: Arc<Hub>, delivered: Arc<AtomicU64>) {
    let mut viewer = hub.watch();
    while let Some(delivery) = viewer.next().await {
        if let Delivery::Unit { .. } = delivery {
            delivered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(((values.len() as f64 - 1.0) * q).round() as usize).copied().unwrap_or(0.0)
}

/// Processor time of this process so far, seconds; 0 where the system does not say.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15; the second, in parentheses, may hold spaces.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks: u64 = after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

fn rss_mb() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0.0);
    pages * rustix::param::page_size() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let before = cpu_seconds();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(60) {
            std::hint::spin_loop();
        }
        assert!(cpu_seconds() > before);
        assert!(rss_mb() > 1.0);
    }

    #[test]
    fn quantiles_are_of_the_values() {
        assert_eq!(quantile(&mut [], 0.5), 0.0);
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.5), 2.0);
    }
}
