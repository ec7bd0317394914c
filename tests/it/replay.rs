//! What was recorded, as a browser meets it: a timeline, pieces to play, exact exports, an alarm's seconds before it.

use anyhow::{Context, Result, ensure};
use gatehouse_core::id::DeviceId;
use gatehouse_core::recognition::{Observation, Seen};
use gatehouse_tests::product::{Client, PATIENCE, Product};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use std::time::Instant;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn moment(value: &Value) -> Timestamp {
    text(value).parse().unwrap_or_default()
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn time_of(response: &Response, name: &str) -> Result<Timestamp> {
    header(response, name).parse().with_context(|| format!("{name} of {:?}", response.headers()))
}

fn path(camera: &str, what: &str, from: Timestamp, to: Timestamp) -> String {
    format!("/api/cameras/{camera}/{what}?from={from}&to={to}")
}

async fn camera(admin: &Client, key: &str) -> Result<String> {
    let devices = admin.get("/api/devices").await?;
    let found = devices["devices"].as_array().into_iter().flatten().find(|device| device["key"] == key);
    Ok(text(&found.with_context(|| format!("no camera {key}"))?["id"]).to_owned())
}

/// Waits until so much of a camera is recorded without a hole, and says from when to when.
async fn recorded(admin: &Client, camera: &str, lasts: SignedDuration) -> Result<(Timestamp, Timestamp)> {
    let wait = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(200));
        loop {
            tick.tick().await;
            let told = admin.get(&format!("/api/cameras/{camera}/recording")).await?;
            if let Some(last) = told["stretches"].as_array().and_then(|stretches| stretches.last())
                && moment(&last["to"]).duration_since(moment(&last["from"])) >= lasts
            {
                return anyhow::Ok((moment(&last["from"]), moment(&last["to"])));
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.with_context(|| format!("less than {lasts:#} was recorded"))?
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_told_played_piece_by_piece_and_exported_to_the_picture() -> Result<()> {
    let product = Product::demo().await?;
    let admin = product.admin().await?;
    let camera = camera(&admin, "fence-east.camera").await?;
    let (first, last) = recorded(&admin, &camera, SignedDuration::from_secs(9)).await?;

    // The timeline: one stretch, the time before it a gap, nothing after now.
    let told = admin.get(&path(&camera, "recording", first - SignedDuration::from_mins(5), Timestamp::now())).await?;
    ensure!(told["stretches"].as_array().is_some_and(|list| list.len() == 1), "{told}");
    ensure!(moment(&told["gaps"][0]["to"]) == first && moment(&told["first"]) == first, "{told}");

    // Playing begins at the key frame at or before the moment, and every piece joins the one before without a hole.
    let asked = first + SignedDuration::from_millis(3_700);
    let (mut at, mut joined, mut pieces, mut slowest) = (asked, None, 0, std::time::Duration::ZERO);
    let live = loop {
        let began = Instant::now();
        let piece = admin.fetch(&path(&camera, "playback.mp4", at, at + SignedDuration::from_secs(2))).await?;
        ensure!(piece.status() == StatusCode::OK, "{}", piece.text().await?);
        slowest = slowest.max(began.elapsed());
        ensure!(header(&piece, "content-type").starts_with("video/mp4; codecs=\"avc1."), "{:?}", piece.headers());
        let (from, to) = (time_of(&piece, "gatehouse-from")?, time_of(&piece, "gatehouse-to")?);
        ensure!(from <= at + SignedDuration::from_millis(1) && to > at, "{from} – {to} for {at}");
        if let Some(joined) = joined {
            ensure!(from.duration_since(joined).abs() < SignedDuration::from_millis(1), "{joined} then {from}");
        }
        let next = header(&piece, "gatehouse-next");
        let bytes = piece.bytes().await?;
        ensure!(bytes.get(4..8) == Some(b"ftyp"), "a piece stands for itself");
        pieces += 1;
        if next.is_empty() {
            break to;
        }
        (at, joined) = (next.parse()?, Some(to));
    };
    println!("{pieces} pieces up to the live edge, the slowest in {slowest:?}");
    ensure!(pieces >= 2 && live >= last - SignedDuration::from_secs(1), "{pieces} pieces up to {live}");
    ensure!(slowest < std::time::Duration::from_millis(500), "a picture waits {slowest:?}");

    // In the gap before, what comes after it; the file says when that is.
    let before = first - SignedDuration::from_secs(30);
    let piece = admin.fetch(&path(&camera, "playback.mp4", before, before + SignedDuration::from_secs(2))).await?;
    ensure!(time_of(&piece, "gatehouse-from")?.duration_since(first).abs() < SignedDuration::from_millis(1));

    // The export: exact, with its hash, and in the audit log.
    let (from, to) = (first + SignedDuration::from_secs(2), first + SignedDuration::from_secs(7));
    let export = admin.fetch(&path(&camera, "export.mp4", from, to)).await?;
    ensure!(export.status() == StatusCode::OK, "{}", export.text().await?);
    let (starts, ends) = (time_of(&export, "gatehouse-from")?, time_of(&export, "gatehouse-to")?);
    ensure!(starts >= from - SignedDuration::from_millis(1) && ends <= to + SignedDuration::from_millis(300));
    ensure!(ends.duration_since(starts) > SignedDuration::from_millis(4_600), "{starts} – {ends}");
    ensure!(header(&export, "gatehouse-complete") == "true", "{:?}", export.headers());
    ensure!(header(&export, "content-disposition").contains("fence-east.camera_"), "{:?}", export.headers());
    let hash = header(&export, "gatehouse-sha256");
    let bytes = export.bytes().await?;
    let own = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let own: String = own.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    ensure!(hash == own, "{hash} is not the hash of what came: {own}");
    let audit = admin.get("/api/audit").await?;
    let noted = audit["rows"].as_array().into_iter().flatten().find(|row| text(&row["target"]).contains(&hash));
    let noted = noted.context("the export is in the audit log")?;
    ensure!(noted["by"] == "admin" && text(&noted["target"]).starts_with("fence-east.camera "), "{noted}");

    // What does not fit is named.
    let long = path(&camera, "export.mp4", from, from + SignedDuration::from_mins(16));
    let nothing = path(&camera, "export.mp4", before, before + SignedDuration::from_secs(2));
    let nowhere = path(&DeviceId::from_key("nowhere").to_string(), "recording", from, to);
    for (path, status, code, field) in [
        (long, StatusCode::UNPROCESSABLE_ENTITY, "too_long", "to"),
        (nothing, StatusCode::NOT_FOUND, "not_recorded", "from"),
        (nowhere, StatusCode::NOT_FOUND, "not_found", ""),
        (format!("/api/cameras/{camera}/playback.mp4?from=noon"), StatusCode::UNPROCESSABLE_ENTITY, "missing", "to"),
    ] {
        let (answered, body) = admin.request(Method::GET, &path, None).await?;
        let error = &body["error"];
        ensure!((answered, text(&error["code"]), text(&error["field"])) == (status, code, field), "{path}: {body}");
        ensure!(field.is_empty() || !text(&error["remedy"]).is_empty(), "{body}");
    }
    product.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_plates_and_motion_are_marks_and_the_seconds_before_an_alarm_are_there_at_once() -> Result<()> {
    let product = Product::demo().await?;
    let admin = product.admin().await?;
    let mut live = admin.live(&["alarms", "passages"]).await?;
    let (gate, fence) = (camera(&admin, "gate-1.camera").await?, camera(&admin, "fence-east.camera").await?);
    let began = Timestamp::now();
    let marks = async |camera: &str| {
        admin.get(&path(camera, "recording", began, Timestamp::now() + SignedDuration::from_mins(1))).await
    };
    let of = |told: &Value, kind: &str| -> Vec<Value> {
        told["marks"].as_array().into_iter().flatten().filter(|mark| mark["kind"] == kind).cloned().collect()
    };

    admin.post("/api/demo/play", json!({ "story": "car_known" })).await?;
    let passage =
        live.until(|message| (message["data"]["decision"] == "opened").then(|| message["data"].clone())).await?;
    let seen_by = text(&passage["camera"]).to_owned();
    let plates = of(&marks(&seen_by).await?, "plate");
    let own = plates.iter().find(|mark| mark["text"] == passage["plate"] && mark["word"] == "opened");
    let own = own.with_context(|| format!("{plates:?}"))?;
    ensure!(moment(&own["at"]) == moment(&passage["at"]), "{own} {passage}");

    // Motion is what the camera's pipeline said, from its beginning to its end.
    let fence_id: DeviceId = fence.parse()?;
    let at = Timestamp::now();
    for (after_ms, active) in [(0, true), (1_500, false)] {
        let observed_at = at + SignedDuration::from_millis(after_ms);
        let seen = Seen::Motion { active };
        let observation = Observation { camera: fence_id, observed_at, latency_ms: 0, picture: None, seen };
        product.running.app.system().observe(observation).await?;
        // Of one point the newest value counts until its device has it: the second word comes after the first was taken.
        let taken = async {
            loop {
                let points = product.running.app.system().device(fence_id).map(|device| device.points.clone());
                let value = points.and_then(|points| points.get("motion").map(|reading| reading.value.clone()));
                if value == Some(gatehouse_core::device::telemetry::Value::Bool(active)) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, taken).await.context("the camera's motion")?;
    }
    let mut last = Vec::new();
    let told = async {
        loop {
            let motion = of(&marks(&fence).await?, "motion");
            last.clone_from(&motion);
            let is = |mark: &&Value| moment(&mark["at"]).duration_since(at).abs() < SignedDuration::from_millis(2);
            if let Some(mark) = motion.iter().find(is)
                && moment(&mark["to"]).duration_since(moment(&mark["at"])) < SignedDuration::from_secs(2)
            {
                return anyhow::Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await;
    told.with_context(|| format!("motion from {at} on the timeline, not {last:?}"))??;

    // The alarm: its mark, and its recording before the clip is whole.
    recorded(&admin, &fence, SignedDuration::from_secs(12)).await?;
    admin.post("/api/demo/play", json!({ "story": "intrusion" })).await?;
    let seen = |alarm: &Value| alarm["cameras"].as_array().is_some_and(|cameras| cameras.iter().any(|id| *id == fence));
    let alarm = live.object("alarms", |alarm| alarm["active"] == true && seen(alarm)).await?;
    let raised = Instant::now();
    let detail = admin.get(&format!("/api/alarms/{}", text(&alarm["id"]))).await?;
    let clips = detail["clips"].as_array().context("clips")?;
    let clip = clips.iter().find(|clip| clip["camera"] == *fence).with_context(|| format!("{detail}"))?;
    ensure!(clip["ready"] == false, "the clip is not whole yet: {clip}");
    let part = admin.fetch(text(&clip["url"])).await?;
    ensure!(part.status() == StatusCode::OK, "{}", part.text().await?);
    let (from, to) = (time_of(&part, "gatehouse-from")?, time_of(&part, "gatehouse-to")?);
    ensure!(header(&part, "gatehouse-complete") == "false");
    let size = part.bytes().await?.len();
    println!("{:#} before the alarm, {size} bytes, {:?} after it was told", to.duration_since(from), raised.elapsed());
    ensure!(to.duration_since(from) > SignedDuration::from_millis(9_500), "{from} – {to}");
    ensure!(raised.elapsed() < std::time::Duration::from_secs(2), "{:?}", raised.elapsed());
    let alarms = of(&marks(&fence).await?, "alarm");
    let own = alarms.iter().find(|mark| mark["id"] == alarm["id"]).with_context(|| format!("{alarms:?}"))?;
    ensure!(own["priority"] == alarm["priority"] && own["word"] == alarm["type"], "{own} {alarm}");
    ensure!(of(&marks(&gate).await?, "alarm").iter().all(|mark| mark["id"] != alarm["id"]), "not on another camera");
    product.stop().await;
    Ok(())
}
