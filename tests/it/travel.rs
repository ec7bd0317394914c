//! A gate camera that also sees the other lane: who comes is read, who drives away is not.

use crate::video::{PASSWORD, USER};
use anyhow::{Context, Result};
use gatehouse_adapters::sim::rtsp::{RtspServer, Users};
use gatehouse_adapters::sim::scene::{BodyColour, CameraConfig, Cue, PlateColour, SceneKind, Studio, StudioConfig};
use gatehouse_tests::product::{Client, PATIENCE, Product};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A gate whose camera reads who comes.
fn site(url: &str) -> String {
    format!(
        r#"
name = "Yard"
places = [{{ key = "yard", kind = "site", name = "Yard" }}]
lanes = [{{ key = "in", camera = "gate", barrier = "boom", direction = "in" }}]

[[devices]]
key = "gate"
kind = "camera"
name = "Gate"
place = "yard"
stream = {{ url = "{url}", user = "{USER}", password = "{PASSWORD}", record = false, look_for = ["plates"], moves = "towards" }}

[[devices]]
key = "boom"
kind = "barrier"
name = "Boom"
place = "yard"
"#
    )
}

async fn wrong_way(admin: &Client) -> Result<Option<u64>> {
    let health = admin.get("/api/health").await?;
    let gate = health["cameras"].as_array().and_then(|all| all.iter().find(|camera| camera["key"] == "gate").cloned());
    Ok(gate.and_then(|camera| camera["wrong_way"].as_u64()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_car_that_drives_away_is_no_arrival_and_one_that_comes_is_let_ask() -> Result<()> {
    let camera = CameraConfig::new("Gate", SceneKind::Gate);
    let studio = Studio::start(StudioConfig { threads: 1, ..StudioConfig::default() }, vec![camera])?;
    let server = RtspServer::bind("127.0.0.1:0".parse()?, Users::one(USER, PASSWORD)).await?;
    server.mount("cam", studio.scenes()[0].source());
    let product = Product::site(&site(&format!("rtsp://{}/cam", server.local_addr())), |_| {}).await?;
    let admin = product.admin().await?;
    let mut live = admin.live(&["passages"]).await?;
    let departs = || {
        let departs = Cue::CarDeparts { plate: "京A67890".into(), colour: PlateColour::Blue, body: BodyColour::Navy };
        assert!(studio.scenes()[0].cue(departs));
        Instant::now()
    };
    let mut departed = departs();
    let counted = async {
        loop {
            if let Some(n) = wrong_way(&admin).await?.filter(|n| *n > 0) {
                return anyhow::Ok(n);
            }
            // A busy machine may have looked too seldom as it drove: it comes by again.
            if departed.elapsed() > Duration::from_secs(10) {
                departed = departs();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let left_out = tokio::time::timeout(PATIENCE, counted).await.context("it is counted")??;

    let arrives = Cue::CarArrives { plate: "京A12345".into(), colour: PlateColour::Blue, body: BodyColour::White };
    assert!(studio.scenes()[0].cue(arrives));
    let passage = |m: &Value| m["data"]["plate"].is_string().then(|| m["data"].clone());
    let one = live.until(passage).await.context("who comes is read")?;
    let seen = (&one["plate"], &one["decision"], &one["travel"]);
    assert_eq!(seen, (&json!("京A12345"), &json!("asked"), &json!("towards")), "and nobody before");
    // On a busy machine the car that came by again may have been counted meanwhile, too.
    let counted = wrong_way(&admin).await?.filter(|n| *n >= left_out).context("who was left out stays counted")?;
    let (_, _, metrics) = admin.bytes("/metrics").await?;
    let metrics = String::from_utf8(metrics)?;
    assert!(
        metrics.contains(&format!("gatehouse_plates_wrong_way_total{{camera=\"gate\"}} {counted}")),
        "it is a number of the product's too"
    );
    product.stop().await;
    Ok(())
}
