//! Another program's player at our virtual cameras: GStreamer, over TCP and UDP, with digest authentication.

use super::video::{Compound, PASSWORD, USER};
use anyhow::{Context, Result, ensure};
use gatehouse_adapters::sim::rtsp::{SoundCoding, clip};
use gatehouse_adapters::sim::scene::SceneKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// The longest that a few seconds of playing may take.
const PLAYED_WITHIN: Duration = Duration::from_secs(60);

/// The film of a camera that sends H.265.
pub fn film_h265() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/simcam/src/rtsp/testdata/film_h265.mp4")
}

/// Plays a stream to the end of its sinks; what it said when it could not. `None` where GStreamer is not installed.
async fn play(url: &str, password: &str, protocol: &str, sinks: &[&str]) -> Result<Option<Result<(), String>>> {
    let mut command = Command::new("gst-launch-1.0");
    command.args([
        "-q",
        "rtspsrc",
        "name=s",
        "latency=100",
        &format!("location={url}"),
        &format!("protocols={protocol}"),
    ]);
    command.args([format!("user-id={USER}"), format!("user-pw={password}")]);
    for sink in sinks {
        command.args(["s.", "!"]).args(sink.split(' '));
    }
    let run = tokio::time::timeout(PLAYED_WITHIN, command.kill_on_drop(true).output()).await;
    let output = match run.with_context(|| format!("{protocol}: {sinks:?} did not end"))? {
        Ok(output) => output,
        Err(_) => {
            ensure!(std::env::var_os("CI").is_none(), "gst-launch-1.0 is not installed: see .ci/run");
            println!("skipped: GStreamer's gst-launch-1.0 is not installed");
            return Ok(None);
        }
    };
    // It ends with 0 also after some errors: what it says counts.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let fine = output.status.success() && !said.contains("ERROR");
    Ok(Some(if fine { Ok(()) } else { Err(said) }))
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_decodes_our_pictures_and_sound_over_tcp_and_udp() -> Result<()> {
    let pictures = "rtph264depay ! h264parse ! openh264dec ! fakesink num-buffers=24 sync=false";
    for (sound, heard) in [
        (SoundCoding::ALaw, "rtppcmadepay ! alawdec ! fakesink num-buffers=60 sync=false"),
        (SoundCoding::Aac, "rtpmp4gdepay ! aacparse ! faad ! fakesink num-buffers=20 sync=false"),
    ] {
        let compound = Compound::hearing(SceneKind::Perimeter, Some(sound)).await?;
        let url = compound.camera(&[])?.url;
        for protocol in ["tcp", "udp"] {
            let Some(played) = play(url.as_str(), PASSWORD, protocol, &[pictures, heard]).await? else { return Ok(()) };
            played.map_err(|said| anyhow::anyhow!("{protocol} {sound:?}: {said}"))?;
        }
        if let Some(refused) = play(url.as_str(), "guess", "tcp", &[pictures]).await? {
            let said = refused.err().context("a wrong password plays")?;
            ensure!(said.contains("Unauthorized"), "{said}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_takes_our_h265_over_tcp_and_udp() -> Result<()> {
    let mut compound = Compound::open(SceneKind::Corridor).await?;
    let film = clip::play("H.265", &film_h265())?;
    let server = compound.server.as_mut().context("a server")?;
    server.mount("film", film.source());
    for protocol in ["tcp", "udp"] {
        let sink = "rtph265depay ! h265parse ! video/x-h265,alignment=au,width=640,height=360 ! fakesink num-buffers=24 sync=false";
        let Some(played) = play(&server.url("film"), PASSWORD, protocol, &[sink]).await? else { return Ok(()) };
        played.map_err(|said| anyhow::anyhow!("{protocol}: {said}"))?;
    }
    Ok(())
}
