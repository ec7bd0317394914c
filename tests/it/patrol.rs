//! A video patrol, as the one who walks it and the one who reads it meet it.

use anyhow::{Context, Result, ensure};
use gatehouse_tests::product::{Client, PATIENCE, Product};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const PASSWORD: &str = "a password for tests";

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

async fn camera(admin: &Client, key: &str) -> Result<String> {
    let devices = admin.get("/api/devices").await?;
    let found = devices["devices"].as_array().into_iter().flatten().find(|device| device["key"] == key);
    Ok(text(&found.with_context(|| format!("no camera {key}"))?["id"]).to_owned())
}

/// What is refused, with which code and field.
async fn refused(client: &Client, path: &str, body: Value, code: &str, field: &str) -> Result<()> {
    let (status, answer) = client.request(Method::POST, path, Some(body)).await?;
    let error = &answer["error"];
    ensure!(status.is_client_error() && error["code"] == code, "{path}: {status} {answer}");
    ensure!(text(&error["field"]) == field && !text(&error["message"]).is_empty(), "{path}: {answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_is_walked_attested_kept_and_told() -> Result<()> {
    let product = Product::demo().await?;
    let admin = product.admin().await?;
    admin.post("/api/users", json!({ "name": "wu", "password": PASSWORD, "role": "guard" })).await?;
    let guard = Client::sign_in(product.running.address, "wu", PASSWORD).await?;
    let (gate, fence) = (camera(&admin, "gate-1.camera").await?, camera(&admin, "fence-east.camera").await?);
    let door = camera(&admin, "door-lobby").await?;

    // Routes are planned by operators, with cameras that there are.
    let stops = json!([{ "camera": gate, "look": "boom down" }, { "camera": fence }, { "camera": gate }]);
    let plan = json!({ "name": "Night", "stops": stops });
    let (status, _) = guard.request(Method::POST, "/api/patrol/routes", Some(plan.clone())).await?;
    ensure!(status == StatusCode::FORBIDDEN, "{status}");
    refused(&admin, "/api/patrol/routes", json!({ "name": " ", "stops": stops }), "empty", "name").await?;
    refused(&admin, "/api/patrol/routes", json!({ "name": "Day", "stops": [] }), "stops", "stops").await?;
    let at_door = json!({ "name": "Day", "stops": [{ "camera": door }] });
    refused(&admin, "/api/patrol/routes", at_door, "unknown_camera", "stops").await?;
    let route = admin.post("/api/patrol/routes", plan.clone()).await?;
    refused(&admin, "/api/patrol/routes", plan, "name_taken", "").await?;

    // The guard walks it.
    let round = guard.post("/api/patrol/rounds", json!({ "route": route["id"] })).await?;
    let again = guard.post("/api/patrol/rounds", json!({ "route": route["id"] })).await?;
    ensure!(again["id"] == round["id"], "who walks a round goes on with it");
    let stop = |n: usize| format!("/api/patrol/rounds/{}/stops/{n}", text(&round["id"]));
    refused(&guard, &stop(0), json!({ "verdict": "in_order" }), "no_picture", "").await?;
    refused(&admin, &format!("{}/picture", stop(0)), json!({}), "anothers_round", "").await?;
    let mut seen = Value::Null;
    let looked = async {
        // The camera may not have sent its first picture yet.
        loop {
            let (status, answer) =
                guard.request(Method::POST, &format!("{}/picture", stop(0)), Some(json!({}))).await?;
            if status == StatusCode::OK {
                seen = answer;
                return anyhow::Ok(());
            }
            ensure!(status == StatusCode::SERVICE_UNAVAILABLE, "{status} {answer}");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.context("the first stop's picture")??;
    let picture = &seen["stops"][0]["picture"];
    let path = format!("/api/patrol/pictures/{}.jpg", text(&picture["id"]));
    let kept = guard.fetch(&path).await?;
    ensure!(kept.headers()["content-type"] == "image/jpeg");
    let jpeg = kept.bytes().await?;
    let hash = ring::digest::digest(&ring::digest::SHA256, &jpeg);
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    ensure!(picture["sha256"] == hash.as_str(), "{picture}");
    ensure!(image::load_from_memory(&jpeg)?.width() == 1280, "the main stream's picture is kept");

    guard.post(&stop(0), json!({ "verdict": "in_order" })).await?;
    refused(&guard, &stop(0), json!({ "verdict": "abnormal", "note": "no" }), "attested", "").await?;
    refused(&guard, &stop(1), json!({ "verdict": "unseen" }), "empty", "note").await?;
    guard.post(&stop(1), json!({ "verdict": "unseen", "note": "wiper stuck" })).await?;
    guard.request(Method::POST, &format!("{}/picture", stop(2)), Some(json!({}))).await?;
    let said = json!({ "verdict": "abnormal", "note": "boom is bent", "work_order": true });
    let done = guard.post(&stop(2), said).await?;
    ensure!(done["ended_at"].is_string(), "the last stop ends the round: {done}");
    let order = text(&done["stops"][2]["attest"]["work_order"]).to_owned();
    let orders = admin.get("/api/work-orders").await?;
    let opened = orders["work_orders"].as_array().into_iter().flatten().find(|known| known["id"] == order.as_str());
    let opened = opened.with_context(|| format!("{orders}"))?;
    ensure!(opened["device"] == gate.as_str(), "{opened}");
    ensure!(text(&opened["title"]["text"]).contains("boom is bent"), "{opened}");

    // Told to others, also after the route is gone; the deletion can be undone.
    let csv = admin.fetch("/api/patrol/rounds.csv").await?.text().await?;
    ensure!(csv.lines().count() == 4 && csv.contains("wiper stuck") && csv.contains(&hash), "{csv}");
    let id = text(&route["id"]);
    let (status, _) = admin.request(Method::DELETE, &format!("/api/patrol/routes/{id}"), None).await?;
    ensure!(status == StatusCode::NO_CONTENT);
    ensure!(admin.get("/api/patrol/routes").await?["routes"] == json!([]));
    ensure!(admin.get("/api/patrol/rounds").await?["rounds"][0]["id"] == round["id"]);
    let back = admin.post(&format!("/api/patrol/routes/{id}/undo"), json!({})).await?;
    ensure!(back["walked_at"].is_string(), "{back}");

    // A stop may be a preset: the head is turned before the picture is taken, and one that is not there is named.
    let turned = json!([{ "camera": fence, "preset": "Left" }, { "camera": fence, "preset": "Moon" }]);
    let heads = admin.post("/api/patrol/routes", json!({ "name": "Heads", "stops": turned })).await?;
    let round = admin.post("/api/patrol/rounds", json!({ "route": heads["id"] })).await?;
    let stop = |n: usize| format!("/api/patrol/rounds/{}/stops/{n}/picture", text(&round["id"]));
    let before = admin.get(&format!("/api/cameras/{fence}/ptz")).await?["position"]["pan"].as_f64();
    let (status, seen) = admin.request(Method::POST, &stop(0), Some(json!({}))).await?;
    ensure!(status == StatusCode::OK && seen["stops"][0]["picture"]["sha256"].is_string(), "{status} {seen}");
    let after = admin.get(&format!("/api/cameras/{fence}/ptz")).await?["position"]["pan"].as_f64();
    ensure!(before == Some(0.0) && after == Some(-1.0), "{before:?} {after:?}");
    let (status, answer) = admin.request(Method::POST, &stop(1), Some(json!({}))).await?;
    ensure!(!status.is_success() && text(&answer["error"]["message"]).contains("Moon"), "{status} {answer}");

    // Another round ends early, with its reason.
    let second = guard.post("/api/patrol/rounds", json!({ "route": id })).await?;
    let end = format!("/api/patrol/rounds/{}/end", text(&second["id"]));
    refused(&guard, &end, json!({}), "empty", "note").await?;
    let ended = guard.post(&end, json!({ "note": "fire alarm" })).await?;
    ensure!(ended["note"] == "fire alarm" && ended["stops"][0]["attest"].is_null(), "{ended}");
    product.stop().await;
    Ok(())
}
