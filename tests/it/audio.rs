//! What cameras hear: recorded with their pictures, in step with them, and played by other programs.

use super::video::{Compound, Watch, burnt_in, key, probe, unit};
use anyhow::{Context, Result, ensure};
use gatehouse_adapters::sim::rtsp::SoundCoding;
use gatehouse_adapters::sim::scene::SceneKind;
use gatehouse_vision::CameraConfig;
use gatehouse_vision::decode::{Decoder, H264};
use gatehouse_vision::rtsp::Transport;
use jiff::{SignedDuration, Timestamp};
use std::path::Path;
use std::process::Command;

/// Samples a second that the other program is asked for.
const RATE: i64 = 8_000;
/// Sound and picture further apart than this are seen (ITU-R BT.1359: from 45 ms).
const APART_MS: i64 = 45;

/// What another program hears in a file from its first picture on, 16-bit mono; `None` where it is not installed.
fn played(mp4: &[u8], dir: &Path) -> Result<Option<Vec<i16>>> {
    let path = dir.join("heard.mp4");
    std::fs::write(&path, mp4)?;
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&path)
        // The times of the file count: what begins later begins after silence.
        .args(["-map", "0:a:0", "-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", &RATE.to_string()])
        .args(["-f", "s16le", "-"])
        .output();
    let Ok(run) = run else {
        ensure!(std::env::var_os("CI").is_none(), "ffmpeg is not installed: see .ci/run");
        println!("skipped: ffmpeg is not installed");
        return Ok(None);
    };
    ensure!(run.status.success() && run.stderr.is_empty(), "{}", String::from_utf8_lossy(&run.stderr));
    Ok(Some(run.stdout.as_chunks::<2>().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect()))
}

/// Where beeps begin after half a second of quiet, samples from the start.
fn onsets(heard: &[i16]) -> Vec<i64> {
    let (mut found, mut quiet) = (Vec::new(), 0);
    for (n, sample) in (0..).zip(heard) {
        match sample.unsigned_abs() > 2_000 {
            true if quiet > RATE / 2 => {
                found.push(n);
                quiet = 0;
            }
            true => quiet = 0,
            false => quiet += 1,
        }
    }
    found
}

/// Records a virtual camera that beeps with every second of its clock, and holds the beeps in a clip against the time burnt into
/// its pictures.
async fn is_heard_in_step(sound: SoundCoding, transport: Transport, codec: &str) -> Result<()> {
    let (data, compound) = (tempfile::tempdir()?, Compound::hearing(SceneKind::Corridor, Some(sound)).await?);
    let watch = Watch::start(data.path(), CameraConfig { transport, ..compound.camera(&[])? })?;
    let status = watch.until("heard", |status| status.recording && !status.audio.is_empty()).await?;
    ensure!(status.audio == codec, "{status:?}");
    // How far the pictures' times are from what is burnt into them: the time it takes to draw and encode one.
    let (mut viewer, mut decoder, mut off) = (watch.hub().watch(), H264::new(), Vec::new());
    while off.len() < 36 {
        let unit = unit(&mut viewer).await?;
        if let Some(shown) = decoder.decode(&unit)?.as_ref().and_then(burnt_in) {
            off.push(unit.captured.as_millisecond() - shown as i64);
        }
    }
    off.sort_unstable();
    let picture_ms = off[off.len() / 2];

    let from = Timestamp::now() - SignedDuration::from_millis(700);
    let to = from + SignedDuration::from_millis(4_900);
    while watch.vision.recorded(key().id()).is_none_or(|(_, last)| last < to) {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let clip = watch.vision.clip(key().id(), from, to).await?;
    ensure!(clip.complete && probe(&clip.mp4, data.path())?.is_none_or(|frames| frames == clip.frames));
    if let Some(heard) = played(&clip.mp4, data.path())? {
        let lasts = clip.to.duration_since(clip.from).as_millis() as i64;
        let sounds = heard.len() as i64 * 1_000 / RATE;
        ensure!((sounds - lasts).abs() <= 130, "{sounds} ms are heard of {lasts} ms");
        let beeps = onsets(&heard);
        ensure!((4..=5).contains(&beeps.len()), "{beeps:?}");
        for beep in &beeps {
            let at_ms = clip.from.as_millisecond() + beep * 1_000 / RATE;
            let sound_ms = (at_ms + 500).rem_euclid(1_000) - 500;
            ensure!((sound_ms - picture_ms).abs() <= APART_MS, "sound {sound_ms} ms, picture {picture_ms} ms off");
        }
        println!("{sound:?}: {} beeps, pictures {picture_ms} ms off", beeps.len());
    }
    watch.vision.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_law_is_recorded_without_loss_and_in_step_with_the_pictures() -> Result<()> {
    is_heard_in_step(SoundCoding::ALaw, Transport::Tcp, "flac").await
}

#[tokio::test(flavor = "multi_thread")]
async fn mu_law_over_udp_is_recorded_in_step_with_the_pictures() -> Result<()> {
    is_heard_in_step(SoundCoding::MuLaw, Transport::Udp, "flac").await
}

#[tokio::test(flavor = "multi_thread")]
async fn aac_is_recorded_as_it_came_and_in_step_with_the_pictures() -> Result<()> {
    is_heard_in_step(SoundCoding::Aac, Transport::Tcp, "mp4a.40.2").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_must_not_be_heard_is_not_and_one_without_a_microphone_records_as_ever() -> Result<()> {
    for sound in [Some(SoundCoding::ALaw), None] {
        let (data, compound) = (tempfile::tempdir()?, Compound::hearing(SceneKind::Corridor, sound).await?);
        let audio = sound.is_none();
        let watch = Watch::start(data.path(), CameraConfig { audio, ..compound.camera(&[])? })?;
        let (from, to) = watch.recorded_for(SignedDuration::from_secs(2)).await?;
        let clip = watch.vision.clip(key().id(), from, to).await?;
        let tracks = clip.mp4.windows(4).filter(|word| word == b"trak").count();
        ensure!(tracks == 1 && watch.status().audio.is_empty(), "{tracks} tracks, {:?}", watch.status());
        let piece = watch.vision.piece(key().id(), from, to).await.context("a piece")?;
        ensure!(piece.codecs.starts_with("avc1.") && !piece.codecs.contains(','), "{}", piece.codecs);
        watch.vision.stop().await;
    }
    Ok(())
}
