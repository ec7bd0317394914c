//! A camera that sends H.265 and nothing else: recorded as it came, and small in H.264 for browsers that cannot read it.

use super::interop::film_h265;
use super::video::{Compound, PASSWORD, USER, Watch, key, probe, unit};
use anyhow::{Context, Result, ensure};
use gatehouse_adapters::sim::rtsp::clip;
use gatehouse_adapters::sim::scene::SceneKind;
use gatehouse_tests::product::{PATIENCE, Product};
use gatehouse_vision::decode::{Decoder, H264};
use gatehouse_vision::{CameraConfig, Which};
use jiff::{SignedDuration, Timestamp};
use re_mp4::Mp4;
use reqwest::header::CONTENT_TYPE;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn an_h265_camera_is_live_recorded_and_small_in_h264_while_somebody_watches() -> Result<()> {
    let (data, compound) = (tempfile::tempdir()?, Compound::open(SceneKind::Corridor).await?);
    // Another film, to see what larger pictures cost.
    let larger = std::env::var_os("GATEHOUSE_TEST_FILM").map(PathBuf::from);
    let film = clip::play("H.265", &larger.clone().unwrap_or_else(film_h265))?;
    let server = compound.server.as_ref().context("a server")?;
    server.mount("film", film.source());
    let watch = Watch::start(data.path(), CameraConfig { url: server.url("film").parse()?, ..compound.camera(&[])? })?;
    let (from, to) = watch.recorded_for(SignedDuration::from_secs(3)).await?;
    let status = watch.status();
    ensure!(status.live && status.codec.starts_with("hvc1") && (larger.is_some() || status.width == 640), "{status:?}");
    let clip = watch.vision.clip(key().id(), from, to).await?;
    ensure!(clip.complete && probe(&clip.mp4, data.path())?.is_none_or(|frames| frames == clip.frames));

    // Recorded: piece by piece from the beginning, small, without a hole, each picture once.
    let began = Instant::now();
    let first = watch.vision.small_piece(key().id(), from, from + Duration::from_millis(400)).await?;
    println!("a first piece of {} pictures, {} bytes, after {:?}", first.frames, first.mp4.len(), began.elapsed());
    let (mut asked, mut shown) = (from, Vec::new());
    while asked < to {
        let piece = watch.vision.small_piece(key().id(), asked, to).await?;
        ensure!(piece.is_h264() && piece.was.as_deref().is_some_and(|was| was.starts_with("hvc1")), "{}", piece.codecs);
        ensure!(probe(&piece.mp4, data.path())?.is_none_or(|frames| frames == piece.frames));
        let mp4 = Mp4::read_bytes(&piece.mp4)?;
        for sample in &mp4.tracks().values().next().context("a track")?.samples {
            shown.push(piece.from + Duration::from_micros(sample.composition_timestamp as u64 * 100 / 9));
        }
        let Some(next) = piece.next else { break };
        ensure!(next > asked && next.duration_since(piece.to) < SignedDuration::from_millis(1), "{next} {}", piece.to);
        asked = next;
    }
    let apart = shown.windows(2).map(|pair| pair[1].duration_since(pair[0]));
    ensure!(
        apart.clone().all(|apart| apart > SignedDuration::ZERO && apart < SignedDuration::from_millis(200)),
        "{shown:?}"
    );
    ensure!(shown.len() as i64 >= to.duration_since(from).as_secs() * 8, "{} pictures in {from} – {to}", shown.len());
    let told = watch.vision.transcode_figures();
    ensure!(told.pieces > 1 && told.pictures as usize == first.frames + shown.len(), "{told:?}");
    let seconds = to.duration_since(from).as_secs_f64();
    let recorded_s = told.busy_s;
    println!("{seconds:.1} s recorded made small in {recorded_s:.2} s of a core");

    let figures = || watch.vision.transcode_figures();
    ensure!(figures().started == 0, "nobody watched");
    let lane = watch.vision.transcoded(key().id(), Which::Sub).context("the camera is there")??;
    let (mut viewer, mut decoder, mut shown) = (lane.hub().watch(), H264::new(), 0);
    let began = Instant::now();
    while shown < 24 {
        let unit = unit(&mut viewer).await?;
        ensure!(unit.config.is_h264() && (unit.config.width, unit.config.height) == (640, 360), "{:?}", unit.config);
        shown += usize::from(decoder.decode(&unit)?.is_some());
    }
    let told = figures();
    let share = 100.0 * (told.busy_s - recorded_s) / began.elapsed().as_secs_f64();
    println!("24 pictures in {:?}, {:.1} ms each, {share:.1} % of a core", began.elapsed(), told.picture_ms_p50);
    ensure!((told.running, told.started) == (1, 1), "{told:?}");
    drop((viewer, lane));
    let dropped = Instant::now();
    while figures().running > 0 {
        ensure!(dropped.elapsed() < PATIENCE, "it goes on though nobody watches");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    watch.vision.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_asks_gets_it_small_and_one_more_than_the_budget_is_told_why_not() -> Result<()> {
    let compound = Compound::open(SceneKind::Corridor).await?;
    let film = clip::play("H.265", &film_h265())?;
    let server = compound.server.as_ref().context("a server")?;
    server.mount("film", film.source());
    let mut definition = "name = \"Yard\"\n[[places]]\nkey = \"yard\"\nkind = \"site\"\nname = \"Yard\"\n".to_owned();
    for (name, path) in [("one", "film"), ("two", "film"), ("three", "cam")] {
        definition += &format!(
            "[[devices]]\nkey = \"{name}\"\nkind = \"camera\"\nname = \"Camera\"\nplace = \"yard\"\n\
             stream = {{ url = \"{}\", user = \"{USER}\", password = \"{PASSWORD}\" }}\n",
            server.url(path)
        );
    }
    let product = Product::site(&definition, |config| {
        config.recognition.enabled = false;
        config.limits.transcodes = 1;
    })
    .await?;
    let admin = product.admin().await?;
    let began = Instant::now();
    let ids = loop {
        let health = admin.get("/api/health").await?;
        let cameras = health["cameras"].as_array().context("cameras")?;
        if cameras.len() == 3 && cameras.iter().all(|camera| camera["live"] == true) {
            let id =
                |key: &str| cameras.iter().find(|camera| camera["key"] == key).and_then(|camera| camera["id"].as_str());
            break ["one", "two", "three"].map(|key| id(key).unwrap_or_default().to_owned());
        }
        ensure!(began.elapsed() < PATIENCE, "{cameras:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let path = |id: &str| format!("/ws/video/{id}?stream=sub&transcode=true");
    // As it is, where it is asked for as it is.
    let mut plain = admin.socket(&format!("/ws/video/{}", ids[0])).await?;
    ensure!(plain.next().await?["codec"].as_str().is_some_and(|codec| codec.starts_with("hvc1")));
    let mut small = admin.socket(&path(&ids[0])).await?;
    let config = small.next().await?;
    ensure!(
        config["t"] == "config" && config["codec"].as_str().is_some_and(|codec| codec.starts_with("avc1")),
        "{config}"
    );
    ensure!(config["height"] == 360, "{config}");
    let mut refused = admin.socket(&path(&ids[1])).await?;
    let told = refused.next().await?;
    ensure!(told["t"] == "error" && told["code"] == "transcode_busy", "{told}");
    // What is H.264 already costs nothing, and a second viewer of the same stream neither.
    for id in [&ids[2], &ids[0]] {
        let mut live = admin.socket(&path(id)).await?;
        ensure!(live.next().await?["t"] == "config");
    }
    // A recording the same: as it is, or as a browser reads it.
    let recorded = |id: &str, small: bool| {
        let (from, id) = (Timestamp::now() - Duration::from_secs(2), id.to_owned());
        let to = from + Duration::from_secs(1);
        format!("/api/cameras/{id}/playback.mp4?from={from}&to={to}&transcode={small}")
    };
    for (id, small, codec, was) in
        [(&ids[0], false, "hvc1", None), (&ids[0], true, "avc1", Some("hvc1")), (&ids[2], true, "avc1", None)]
    {
        let piece = admin.fetch(&recorded(id, small)).await?;
        let header = |name: &str| piece.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let told = header(CONTENT_TYPE.as_str()).unwrap_or_default();
        ensure!(told.starts_with(&format!("video/mp4; codecs=\"{codec}")), "{told}");
        ensure!(header("gatehouse-transcoded").as_deref().map(|was| &was[..4]) == was, "{:?}", piece.headers());
    }
    let metrics = admin.fetch("/metrics").await?.text().await?;
    for line in [
        "gatehouse_transcodes{kind=\"running\"} 1",
        "gatehouse_transcodes_refused_total 1",
        "gatehouse_transcoded_pieces_total 1",
    ] {
        ensure!(metrics.lines().any(|told| told == line), "{line} in {metrics}");
    }
    drop(small);
    product.stop().await;
    Ok(())
}
