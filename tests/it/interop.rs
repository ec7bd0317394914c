//! Another program's player at our virtual cameras: GStreamer, over TCP and UDP, with digest authentication.

use super::video::{Compound, PASSWORD, USER};
use anyhow::{Context, Result, ensure};
use gatehouse_adapters::sim::rtsp::{SoundCoding, clip};
use gatehouse_adapters::sim::scene::SceneKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// The longest that a few seconds of playing may take.
const PLAYED_WITHIN: Duration = Duration::from_secs(60);

/// The film of a camera that sends H.265.
pub fn film_h265() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/simcam/src/rtsp/testdata/film_h265.mp4")
}

/// What follows the source for one track, and how many of its pictures or sounds are to arrive.
type Track = (&'static str, usize);

/// Plays until every track has told its number; what it said when it ended before. `None` where GStreamer is not installed.
///
/// It is ended from here: by itself it stops all tracks with the first one that has enough, and then its own end sometimes
/// cuts off the PAUSE it just began, which it calls an error.
async fn play(url: &str, password: &str, protocol: &str, tracks: &[Track]) -> Result<Option<Result<(), String>>> {
    let mut command = Command::new("gst-launch-1.0");
    command.args(["-v", "rtspsrc", "name=s", "latency=100"]);
    command.args([format!("location={url}"), format!("protocols={protocol}")]);
    command.args([format!("user-id={USER}"), format!("user-pw={password}")]);
    for (n, (chain, _)) in tracks.iter().enumerate() {
        command.args(["s.", "!"]).args(chain.split(' ')).args(["!", "fakesink", "sync=false", "silent=false"]);
        command.arg(format!("name=sink{n}"));
    }
    let mut player = match command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn() {
        Ok(player) => player,
        Err(_) => {
            ensure!(std::env::var_os("CI").is_none(), "gst-launch-1.0 is not installed: see .ci/run");
            println!("skipped: GStreamer's gst-launch-1.0 is not installed");
            return Ok(None);
        }
    };
    let mut lines = BufReader::new(player.stdout.take().context("its output")?).split(b'\n');
    let mut heard = vec![0; tracks.len()];
    let run = tokio::time::timeout(PLAYED_WITHIN, async {
        while let Some(line) = lines.next_segment().await? {
            let line = String::from_utf8_lossy(&line);
            for (n, pieces) in heard.iter_mut().enumerate() {
                *pieces += usize::from(line.contains(&format!("sink{n}: last-message = chain ")));
            }
            if heard.iter().zip(tracks).all(|(heard, (_, enough))| heard >= enough) {
                return Ok(Ok(()));
            }
        }
        let said = player.wait_with_output().await?.stderr;
        Ok(Err(String::from_utf8_lossy(&said).into_owned()))
    });
    let ended = run.await;
    ended.with_context(|| format!("{protocol}: {heard:?} of {tracks:?} arrived within {PLAYED_WITHIN:?}"))?.map(Some)
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_decodes_our_pictures_and_sound_over_tcp_and_udp() -> Result<()> {
    let pictures = ("rtph264depay ! h264parse ! openh264dec", 24);
    for (sound, heard) in [
        (SoundCoding::ALaw, ("rtppcmadepay ! alawdec", 60)),
        (SoundCoding::Aac, ("rtpmp4gdepay ! aacparse ! faad", 20)),
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
    let clip = clip::play("H.265", &film_h265())?;
    let server = compound.server.as_mut().context("a server")?;
    server.mount("film", clip.source());
    for protocol in ["tcp", "udp"] {
        let film = ("rtph265depay ! h265parse ! video/x-h265,alignment=au,width=640,height=360", 24);
        let Some(played) = play(&server.url("film"), PASSWORD, protocol, &[film]).await? else { return Ok(()) };
        played.map_err(|said| anyhow::anyhow!("{protocol}: {said}"))?;
    }
    Ok(())
}
