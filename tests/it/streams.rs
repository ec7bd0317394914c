//! Streams of cameras that are two, change, break, come and go, and die with their recorder.

use super::video::{Compound, PASSWORD, PATIENCE, USER, Watch, key, probe, unit};
use anyhow::{Context, Result, ensure};
use gatehouse_adapters::sim::rtsp::{AccessUnit as SimUnit, Faults, LiveSource};
use gatehouse_adapters::sim::scene::{CameraConfig as SceneConfig, SceneKind, Studio, StudioConfig};
use gatehouse_core::alarm::AlarmKind;
use gatehouse_core::id::DeviceKey;
use gatehouse_tests::product::Product;
use gatehouse_vision::decode::{Decoder, H264};
use gatehouse_vision::frame::Frame;
use gatehouse_vision::pipeline::Role;
use gatehouse_vision::{CameraConfig, CameraStatus, Which};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_stream_is_shown_small_and_looked_at_and_the_main_one_is_recorded() -> Result<()> {
    let (data, mut compound) = (tempfile::tempdir()?, Compound::open(SceneKind::Perimeter).await?);
    let small =
        SceneConfig { width: 400, height: 224, bitrate_kbps: 200, ..SceneConfig::new("sub", SceneKind::Perimeter) };
    let studio = Studio::start(StudioConfig { threads: 1, ..StudioConfig::default() }, vec![small])?;
    let server = compound.server.as_ref().context("a server")?;
    server.mount("sub", studio.scenes()[0].source());
    let sub = Some(server.url("sub").parse()?);
    let watch = Watch::start(data.path(), CameraConfig { sub, ..compound.camera(&[Role::Motion])? })?;
    let both = |status: &CameraStatus| status.live && status.sub.as_ref().is_some_and(|sub| sub.live);
    watch.until("live twice", both).await?;
    let main = watch.vision.hub_of(key().id(), Which::Main).context("the camera is there")?;
    let (mut tile, mut screen, mut second) = (watch.hub().watch(), main.watch(), main.watch());
    ensure!(unit(&mut tile).await?.config.width == 400, "tiles show the sub-stream");
    ensure!(unit(&mut screen).await?.config.width == 640 && unit(&mut second).await?.config.width == 640);
    // One session a stream, however many watch.
    let clients = compound.server.as_ref().map(|server| server.stats().clients);
    ensure!(clients == Some(2), "{clients:?} sessions");
    let status = watch.until("recording", |status| status.recording && status.viewers == 3).await?;
    let told = watch.until("told the camera's time", |status| status.clock_off_ms.is_some()).await?;
    let of_sub = status.sub.context("a sub-stream")?;
    ensure!((of_sub.width, of_sub.viewers, status.width) == (400, 1, 640));
    let clock = told.clock_off_ms.context("a sender report came")?;
    ensure!(clock.abs() < 1_500, "the camera's clock is ours, and yet {clock} ms off");
    let to = Timestamp::now();
    let picture = Frame::from_image_bytes(&watch.vision.snapshot_jpeg(key().id()).await?.0)?;
    ensure!(picture.width() == 400, "what is looked at is the sub-stream");
    sleep(Duration::from_millis(300)).await;
    let clip = watch.vision.clip(key().id(), to - SignedDuration::from_secs(1), to).await?;
    ensure!(width_of(&clip.mp4) == Some(640), "the main stream is recorded");

    // The sub-stream alone goes away: the camera lives, and both are told apart.
    compound.server.as_mut().context("a server")?.unmount("sub");
    drop(studio);
    watch.until("without its sub-stream", |status| status.sub.as_ref().is_some_and(|sub| !sub.live)).await?;
    ensure!(watch.status().live && watch.streams() == ["live"], "{:?}", watch.streams());
    watch.vision.stop().await;
    Ok(())
}

/// The width in the first sample entry of a clip (ISO 14496-12 §12.1.3).
fn width_of(mp4: &[u8]) -> Option<u16> {
    // `avc1` alone is also a brand in the file's first box.
    let table = mp4.windows(4).position(|word| word == b"stsd")?;
    let entry = table + mp4.get(table..)?.windows(4).position(|word| word == b"avc1")? + 4;
    Some(u16::from_be_bytes(mp4.get(entry + 24..entry + 26)?.try_into().ok()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_changes_its_size_goes_on_live_and_recorded() -> Result<()> {
    let (data, compound) = (tempfile::tempdir()?, Compound::open(SceneKind::Corridor).await?);
    let small = SceneConfig { width: 400, height: 224, ..SceneConfig::new("small", SceneKind::Corridor) };
    let studio = Studio::start(StudioConfig { threads: 1, ..StudioConfig::default() }, vec![small])?;
    // A camera that sends one scene's pictures and then the other's.
    let source = LiveSource::new("changing", 12.0);
    let scenes = [compound.studio.scenes()[0].source(), studio.scenes()[0].source()];
    let large = scenes[0].wait_parameter_sets(PATIENCE).await.context("parameter sets")?;
    source.set_parameter_sets(large);
    let out = source.clone();
    let feed = tokio::spawn(async move {
        let began = Instant::now();
        for (n, scene) in scenes.iter().enumerate() {
            let mut listener = scene.listen().context("room")?;
            let sets = scene.wait_parameter_sets(PATIENCE).await.context("parameter sets")?;
            let mut sent = 0;
            while let Some(unit) = listener.next().await {
                if unit.key {
                    out.set_parameter_sets(sets.clone());
                }
                // Those that had been kept come at once and are of before.
                if (sent > 0 || unit.key) && unit.captured.elapsed().unwrap_or_default() < Duration::from_millis(100) {
                    sent += 1;
                    let pts = (began.elapsed().as_micros() * 9 / 100) as u64;
                    out.publish(SimUnit { pts, ..SimUnit::clone(&unit) });
                }
                if n == 0 && sent >= 72 && !unit.key {
                    break;
                }
            }
        }
        anyhow::Ok(())
    });
    let server = compound.server.as_ref().context("a server")?;
    server.mount("changing", source);
    let camera = CameraConfig { url: server.url("changing").parse()?, ..compound.camera(&[])? };
    let watch = Watch::start(data.path(), camera)?;
    let mut viewer = watch.hub().watch();
    let (mut decoder, mut sizes, mut after) = (H264::new(), Vec::new(), 0);
    while after < 24 {
        let unit = unit(&mut viewer).await?;
        let Some(frame) = decoder.decode(&unit)? else { continue };
        let size = (frame.width(), frame.height());
        if sizes.last() != Some(&size) {
            sizes.push(size);
        }
        after += u32::from(sizes.len() > 1);
    }
    ensure!(sizes == [(640, 360), (400, 224)], "{sizes:?}");
    let status = watch.status();
    ensure!(status.live && status.recording && status.restarts == 0 && status.width == 400, "{status:?}");
    let (from, to) = watch.vision.recorded(key().id()).context("something was recorded")?;
    let clip = watch.vision.clip(key().id(), from, to).await?;
    ensure!(probe(&clip.mp4, data.path())?.is_none_or(|frames| frames > 30), "one clip over both sizes");
    watch.vision.stop().await;
    feed.abort();
    Ok(())
}

/// Stands between camera and program and spoils some of what the camera says.
async fn spoil(to: String, wrong: Arc<AtomicBool>) -> Result<std::net::SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (to, wrong) = (to.clone(), wrong.clone());
            tokio::spawn(async move {
                let far = tokio::net::TcpStream::connect(&to).await?;
                let ((mut hears, mut says), (mut from, mut asks)) = (near.into_split(), far.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut hears, &mut asks).await });
                let (mut bytes, mut seen, mut next, mut pictures) = (vec![0; 4096], 0_usize, 6_000_usize, 0_usize);
                loop {
                    let count = from.read(&mut bytes).await?;
                    if count == 0 {
                        return anyhow::Ok(());
                    }
                    // The frame's mark before a packet (RFC 2326 §10.12), every two seconds or so.
                    pictures += usize::from(bytes[0] == b'$');
                    if wrong.load(Ordering::Relaxed) && bytes[0] == b'$' && pictures % 25 == 0 {
                        bytes[0] ^= 0xA5;
                    }
                    // A byte every few thousand, at places that differ: payload mostly, at times an RTP header.
                    while wrong.load(Ordering::Relaxed) && next < seen + count {
                        if let Some(byte) = next.checked_sub(seen).and_then(|at| bytes.get_mut(at)) {
                            *byte ^= 0xA5;
                        }
                        next += 1_000 + next % 1_777;
                    }
                    seen += count;
                    says.write_all(&bytes[..count]).await?;
                }
            });
        }
    });
    Ok(address)
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_packets_are_named_errors_and_the_picture_comes_back() -> Result<()> {
    let (data, compound) = (tempfile::tempdir()?, Compound::open(SceneKind::Lobby).await?);
    let wrong = Arc::new(AtomicBool::new(true));
    let address = spoil(compound.addr(), wrong.clone()).await?;
    let camera = CameraConfig { url: format!("rtsp://{address}/cam").parse()?, ..compound.camera(&[Role::Motion])? };
    let watch = Watch::start(data.path(), camera)?;
    let named = |status: &CameraStatus| status.errors.values().sum::<u64>() >= 6 && status.restarts >= 2;
    let status = watch.until("in trouble", named).await?;
    let known = ["rtsp_loss", "rtsp_refused", "rtsp_undecodable", "rtsp_stalled", "decode_failed", "decode_panicked"];
    ensure!(!status.errors.contains_key("rtsp_panic"), "{status:?}");
    ensure!(status.errors.keys().all(|code| known.contains(code)), "{status:?}");
    println!("damaged packets: {:?}", status.errors);
    wrong.store(false, Ordering::Relaxed);
    let since = Timestamp::now();
    watch.until("live", |status| status.live && status.last_frame_at.is_some_and(|at| at > since)).await?;
    let mut viewer = watch.hub().watch();
    let mut decoder = H264::new();
    let mut whole = 0;
    while whole < 24 {
        let next = unit(&mut viewer).await?;
        match decoder.decode(&next) {
            Ok(frame) => whole += u32::from(frame.is_some()),
            // What was spoiled before is still in the group.
            Err(_) => whole = 0,
        }
    }
    watch.vision.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_clock_is_wrong_is_remarked_and_recorded_by_ours() -> Result<()> {
    let (data, compound) = (tempfile::tempdir()?, Compound::open(SceneKind::Corridor).await?);
    compound.studio.scenes()[0].source().set_faults(Faults { clock_off_s: 3_600, ..Faults::default() });
    let watch = Watch::start(data.path(), compound.camera(&[])?)?;
    let told = watch.until("remarked", |status| status.remarks.contains(&"clock_off") && status.recording).await?;
    let off = told.clock_off_ms.context("a sender report came")?;
    ensure!((off - 3_600_000).abs() < 2_000, "{off} ms off");
    let taken = told.last_frame_at.context("a picture came")?;
    ensure!(
        Timestamp::now().duration_since(taken).abs() < SignedDuration::from_secs(5),
        "{taken} by the camera's clock"
    );
    watch.vision.stop().await;
    Ok(())
}

/// How often a camera restarts in the next test; a longer run asks for more.
fn restarts() -> usize {
    std::env::var("GATEHOUSE_TEST_RESTARTS").ok().and_then(|count| count.parse().ok()).unwrap_or(3)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_restarts_again_and_again_is_live_within_two_seconds_each_time() -> Result<()> {
    let (data, mut compound) = (tempfile::tempdir()?, Compound::open(SceneKind::Corridor).await?);
    let watch = Watch::start(data.path(), compound.camera(&[])?)?;
    watch.until("live", |status| status.live).await?;
    let (addr, mut worst) = (compound.addr(), Duration::ZERO);
    for n in 0..restarts() {
        drop(compound.server.take());
        // Away for different times: it comes back before, between and after attempts.
        sleep(Duration::from_millis(400 + 700 * (n as u64 % 4))).await;
        compound.listen(&addr).await?;
        let (back, since) = (Instant::now(), Timestamp::now());
        watch.until("live again", |status| status.live && status.last_frame_at.is_some_and(|at| at >= since)).await?;
        worst = worst.max(back.elapsed());
    }
    println!("{} restarts, live again after {worst:?} at most", restarts());
    // The longest pause between attempts is 1.5 s, a quarter more at most by its jitter.
    ensure!(worst < Duration::from_millis(2_500), "{worst:?}");
    let status = watch.status();
    ensure!(status.restarts >= restarts() as u64 && status.recording, "{status:?}");
    watch.vision.stop().await;
    Ok(())
}

/// Streams that the child of the next test records.
const STREAMS: usize = 4;

fn nth_key(n: usize) -> DeviceKey {
    format!("door-{n}.camera").parse().expect("a key")
}

/// Not a test by itself: what the next one starts and kills.
#[tokio::test(flavor = "multi_thread")]
async fn recorder_child() -> Result<()> {
    let (Ok(url), Ok(data)) = (std::env::var("GATEHOUSE_TEST_CAMERA"), std::env::var("GATEHOUSE_TEST_RECORDINGS"))
    else {
        return Ok(());
    };
    let camera = |n| -> Result<CameraConfig> {
        Ok(CameraConfig { user: USER.into(), password: PASSWORD.into(), ..CameraConfig::new(nth_key(n), url.parse()?) })
    };
    let watch = Watch::start(Path::new(&data), camera(0)?)?;
    for n in 1..STREAMS {
        watch.vision.add_camera(camera(n)?)?;
    }
    sleep(Duration::from_secs(60)).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_loses_less_than_half_a_second_of_every_recording() -> Result<()> {
    let (data, compound) = (tempfile::tempdir()?, Compound::open(SceneKind::Corridor).await?);
    let camera = compound.camera(&[])?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--exact", "streams::recorder_child", "--nocapture"])
        .env("GATEHOUSE_TEST_CAMERA", camera.url.as_str())
        .env("GATEHOUSE_TEST_RECORDINGS", data.path())
        .stdout(Stdio::null())
        .spawn()?;
    // It dies in the middle of recordings that have all been seen to grow.
    let began = Instant::now();
    let mut sizes = vec![std::collections::BTreeSet::new(); STREAMS];
    while sizes.iter().any(|seen| seen.len() < 6) {
        ensure!(began.elapsed() < PATIENCE, "the child records too little: sizes seen {sizes:?}");
        sleep(Duration::from_millis(20)).await;
        for (n, seen) in sizes.iter_mut().enumerate() {
            seen.insert(size_of_files(&data.path().join("recordings").join(nth_key(n).as_str())));
        }
    }
    child.kill()?;
    let died = Timestamp::now();
    child.wait()?;

    let again = |n| CameraConfig { key: nth_key(n), id: nth_key(n).id(), record: false, ..camera.clone() };
    let watch = Watch::start(data.path(), again(0))?;
    for n in 0..STREAMS {
        let id = nth_key(n).id();
        if n > 0 {
            watch.vision.add_camera(again(n))?;
        }
        let (first, last) = watch.vision.recorded(id).context("something was recorded")?;
        let clip = watch.vision.clip(id, first, died).await?;
        let lost = died.duration_since(last);
        println!("kill -9 lost {lost:#} of {} frames of stream {n}", clip.frames);
        // One frame more than half a second: the camera gives twelve a second and the newest may not have been sent yet.
        ensure!(lost < SignedDuration::from_millis(600), "{lost:#}");
        ensure!(probe(&clip.mp4, data.path())?.is_none_or(|frames| frames == clip.frames));
    }
    watch.vision.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unplugged_disk_is_an_alarm_within_ten_seconds_and_recording_goes_on_elsewhere() -> Result<()> {
    let (compound, disks) = (Compound::open(SceneKind::Corridor).await?, tempfile::tempdir()?);
    let small = SceneConfig { width: 400, height: 224, ..SceneConfig::new("sub", SceneKind::Corridor) };
    let studio = Studio::start(StudioConfig { threads: 1, ..StudioConfig::default() }, vec![small])?;
    let server = compound.server.as_ref().context("a server")?;
    server.mount("sub", studio.scenes()[0].source());
    let definition = format!(
        "name = \"Yard\"\n[[places]]\nkey = \"yard\"\nkind = \"site\"\nname = \"Yard\"\n\
         [[devices]]\nkey = \"{}\"\nkind = \"camera\"\nname = \"Camera\"\nplace = \"yard\"\n\
         stream = {{ url = \"{}\", sub = \"{}\", user = \"{USER}\", password = \"{PASSWORD}\" }}\n",
        key(),
        server.url("cam"),
        server.url("sub"),
    );
    let (one, two, away) = (disks.path().join("one"), disks.path().join("two"), disks.path().join("away"));
    let dirs = vec![one.clone(), two.clone()];
    let product = Product::site(&definition, |config| {
        config.recognition.enabled = false;
        config.recording.dirs = dirs;
    })
    .await?;
    let admin = product.admin().await?;
    let health = async |is: &dyn Fn(&Value) -> bool| -> Result<Value> {
        let began = Instant::now();
        loop {
            let health = admin.get("/api/health").await?;
            if is(&health) {
                return Ok(health);
            }
            ensure!(began.elapsed() < PATIENCE, "{} {}", health["cameras"], health["recording"]);
            sleep(Duration::from_millis(50)).await;
        }
    };
    let camera = |health: &Value| health["cameras"][0].clone();
    let seen = health(&|health| camera(health)["recording"] == true && camera(health)["sub"]["live"] == true).await?;
    ensure!(size_of_files(&one) > 0, "the first disk is its home");

    // The browser's socket gives what it asks for.
    for (asked, width) in [("", 400), ("?stream=sub", 400), ("?stream=main", 640)] {
        let id = camera(&seen)["id"].as_str().context("an id")?.to_owned();
        let mut live = admin.socket(&format!("/ws/video/{id}{asked}")).await?;
        let config = live.next().await?;
        ensure!(config["t"] == "config" && config["width"] == width, "{asked}: {config}");
    }

    let open = || {
        let alarms = product.running.app.system().open_alarms();
        alarms.iter().filter(|alarm| alarm.kind == AlarmKind::RecordingFailed && alarm.active).count()
    };
    std::fs::rename(&one, &away)?;
    std::fs::create_dir(&one)?;
    let unplugged = Instant::now();
    while open() == 0 {
        ensure!(unplugged.elapsed() < Duration::from_secs(10), "no alarm");
        sleep(Duration::from_millis(50)).await;
    }
    println!("an unplugged disk was an alarm after {:?}", unplugged.elapsed());
    let elsewhere = size_of_files(&two);
    health(&|health| camera(health)["recording"] == true && size_of_files(&two) > elsewhere + 10_000).await?;
    ensure!(size_of_files(&one) == 0, "the disk below the mount point is not filled");

    std::fs::remove_dir(&one)?;
    std::fs::rename(&away, &one)?;
    let (before, back) = (size_of_files(&one), Instant::now());
    while open() > 0 || size_of_files(&one) < before + 10_000 {
        ensure!(back.elapsed() < PATIENCE, "not home again: {} alarms, {} bytes", open(), size_of_files(&one));
        sleep(Duration::from_millis(50)).await;
    }
    println!("its alarm ended and it was recorded on again within {:?}", back.elapsed());
    product.stop().await;
    Ok(())
}

/// Bytes of all files below a folder; 0 when there is none.
fn size_of_files(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size_of_files(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}
