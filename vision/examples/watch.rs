//! Watches cameras and prints what is observed, leaves a clip of each in DATA, then prints the figures of the video path.
//!
//! `cargo run -p gatehouse-vision --example watch -- SECONDS DATA [plates|faces|motion]=URL …` with credentials in the URL.

use gatehouse_vision::pipeline::Role;
use gatehouse_vision::{CameraConfig, Vision, VisionConfig, bench, models::RuntimePaths};
use jiff::{SignedDuration, Timestamp};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let seconds: u64 = args.next().ok_or("SECONDS?")?.parse()?;
    let data = args.next().ok_or("DATA?")?;
    let mut config = VisionConfig::new(Path::new(&data));
    let runtime = RuntimePaths::in_data_dir(Path::new(&data));
    for (n, arg) in args.enumerate() {
        let (role, url) = arg.split_once('=').unwrap_or(("", &arg));
        let mut url: url::Url = url.parse()?;
        let (user, password) = (url.username().to_owned(), url.password().unwrap_or_default().to_owned());
        let _ = (url.set_username(""), url.set_password(None));
        let roles = match role {
            "plates" => vec![Role::Plates],
            "faces" => vec![Role::Faces],
            "motion" => vec![Role::Motion],
            _ => vec![],
        };
        let key = format!("camera-{n}").parse()?;
        config.cameras.push(CameraConfig { user, password, roles, ..CameraConfig::new(key, url) });
    }
    if runtime.missing().is_empty() {
        config.runtime = Some(runtime);
        config.workers = 2;
        let sink = Arc::new(|observation| println!("{observation:?}"));
        let vision = Vision::start(config, sink, Arc::new(|code, text| eprintln!("{code}: {text}")))?;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        for status in vision.statuses() {
            println!("{status:?}");
            // Mid-group on purpose: what decoding needs before it is hidden by the edit list.
            let to = Timestamp::now() - SignedDuration::from_millis(730);
            if let Ok(clip) = vision.clip(status.id, to - SignedDuration::from_secs(5), to).await {
                println!("clip of {} frames, complete: {}", clip.frames, clip.complete);
                std::fs::write(Path::new(&data).join(format!("{}.mp4", status.key)), &clip.mp4)?;
            }
        }
        println!("{:?}", vision.figures());
        vision.stop().await;
    } else {
        let bench = bench::VideoBench { vision: config, viewers: 1, lasts: Duration::from_secs(seconds) };
        println!("{}", serde_json::to_string_pretty(&bench::run(bench).await?)?);
    }
    Ok(())
}
