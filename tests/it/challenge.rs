//! The active challenge at a door: what its screen asks, and that a photograph held before the camera opens nothing.

use crate::video::{PASSWORD, USER};
use anyhow::{Context, Result};
use gatehouse_actors::FaceInput;
use gatehouse_adapters::sim::rtsp::{RtspServer, Users};
use gatehouse_adapters::sim::scene::{CameraConfig, Cue, SceneKind, Studio, StudioConfig};
use gatehouse_core::id::{DeviceId, PersonId};
use gatehouse_tests::compound::consented;
use gatehouse_tests::product::{Client, Product};
use gatehouse_vision::enrol;
use reqwest::{Method, StatusCode};
use serde_json::json;

/// A door that a face opens only after the challenge.
fn site(camera: &str) -> String {
    format!(
        r#"
name = "Yard"
zone = "Asia/Shanghai"
face_consent = {{ controller = "Yard Property Ltd", contact = "the desk" }}
places = [{{ key = "yard", kind = "site", name = "Yard" }}]
face_doors = [{{ camera = "door-1.camera", door = "door-1", challenge = true }}]
levels = [{{ key = "all", name = "All", doors = ["*"] }}]
people = [{{ key = "eileen", name = "Eileen", kind = "resident", levels = ["all"] }}]

[[devices]]
key = "door-1.camera"
kind = "camera"
name = "Camera at the door"
place = "yard"
stream = {{ url = "{camera}", user = "{USER}", password = "{PASSWORD}", record = false, look_for = ["faces"] }}

[[devices]]
key = "door-1"
kind = "door"
name = "Door"
place = "yard"
methods = ["card", "intercom"]
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photograph_is_asked_to_turn_its_head_and_opens_nothing() -> Result<()> {
    let faces = gatehouse_tests::product::fresh_data_dir()?;
    let portraits = faces.path().join("demo/faces");
    let photo = std::fs::read(portraits.join("collins_1.png"))?;
    let config = StudioConfig { threads: 1, faces: Some(portraits), ..StudioConfig::default() };
    let camera =
        CameraConfig { width: 640, height: 360, bitrate_kbps: 600, ..CameraConfig::new("Door", SceneKind::Lobby) };
    let studio = Studio::start(config, vec![camera])?;
    let server = RtspServer::bind("127.0.0.1:0".parse()?, Users::one(USER, PASSWORD)).await?;
    server.mount("cam", studio.scenes()[0].source());
    let product = Product::site(&site(&format!("rtsp://{}/cam", server.local_addr())), |_| {}).await?;
    let (app, admin) = (&product.running.app, product.admin().await?);

    // Enrolled from the very picture that is held before the camera: nothing matches better.
    let eileen = PersonId::from_key("eileen");
    consented(app.system(), eileen).await;
    let template = enrol::template(app.recognizer().context("recognition runs")?, &photo)?;
    let face = FaceInput { templates: vec![template], model: enrol::MODEL.to_owned() };
    app.system().face_set(eileen, face, "wang").await?;

    // The screen's account shows the screen and sees nothing else.
    let password = "a password for tests";
    admin.post("/api/users", json!({ "name": "door-1", "password": password, "role": "screen" })).await?;
    let screen = Client::sign_in(product.running.address, "door-1", password).await?;
    for path in ["/api/devices", "/api/people", "/api/alarms", "/api/events"] {
        assert_eq!(screen.request(Method::GET, path, None).await?.0, StatusCode::FORBIDDEN, "{path}");
    }
    let door = DeviceId::from_key("door-1");
    let (own, other) = (format!("screen/{door}"), format!("screen/{}", DeviceId::from_key("door-2")));
    let mut live = screen.live(&[&own, &other, "devices"]).await?;
    let (mut unknown, mut forbidden) = (false, false);
    live.until(|m| {
        unknown |= m["id"] == 1 && m["code"] == "unknown_topic";
        forbidden |= m["id"] == 2 && m["code"] == "forbidden";
        (unknown && forbidden).then_some(())
    })
    .await?;

    studio.scenes()[0].cue(Cue::PersonAtDoor { photo: "collins_1".into(), stay: std::time::Duration::from_secs(120) });
    let asked = live.until(|m| (m["data"]["say"] == "ask").then(|| m["data"].clone())).await?;
    assert_eq!(asked["step_of"], json!([1, 3]), "{asked}");
    assert!(["turn_left", "turn_right", "close_eyes"].iter().any(|action| asked["action"] == *action), "{asked}");
    assert!(asked["left_ms"].as_u64().is_some_and(|ms| ms <= 6_000), "{asked}");
    let ended = live
        .until(|m| ["passed", "failed", "paused"].iter().any(|say| m["data"]["say"] == *say).then(|| m["data"].clone()))
        .await?;
    assert_eq!(ended["say"], "failed", "{ended}");
    assert!(!ended.to_string().contains("Eileen") && !asked.to_string().contains("Eileen"), "the screen knows nobody");
    let seen = async {
        loop {
            let events = admin.get("/api/events?code=face.seen&limit=10").await?;
            if let Some(event) = events["events"].as_array().and_then(|events| events.first()).cloned() {
                return anyhow::Ok(event);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let seen = tokio::time::timeout(gatehouse_tests::product::PATIENCE, seen).await.context("it is told")??;
    assert_eq!(seen["params"]["accepted"], false, "{seen}");
    let records = admin.get("/api/access?limit=50").await?;
    assert_eq!(records["records"], json!([]), "the door was not even asked");
    product.stop().await;
    Ok(())
}
