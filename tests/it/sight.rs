//! A camera looks where its site file says: the road behind the gate is nobody's business.

use crate::video::{PASSWORD, USER};
use anyhow::{Context, Result};
use gatehouse_adapters::sim::rtsp::{RtspServer, Users};
use gatehouse_adapters::sim::scene::{BodyColour, CameraConfig, Cue, PlateColour, SceneKind, Studio, StudioConfig};
use gatehouse_core::id::DeviceId;
use gatehouse_tests::product::Product;
use serde_json::Value;

/// Three cameras on one stream: everywhere, above where cars stop, only what is very wide.
fn site(url: &str) -> String {
    let camera = |key: &str, looks: &str| {
        format!(
            "[[devices]]\nkey = \"{key}\"\nkind = \"camera\"\nname = \"{key}\"\nplace = \"yard\"\n\
             stream = {{ url = \"{url}\", user = \"{USER}\", password = \"{PASSWORD}\", record = false, \
             look_for = [\"plates\"]{looks} }}\n"
        )
    };
    let cameras = [
        camera("gate", ", look_in = [[0, 0.3], [1, 0.3], [1, 1], [0, 1]], min_width_px = 60"),
        camera("sky", ", look_in = [[0, 0], [1, 0], [1, 0.1], [0, 0.1]]"),
        camera("lorries", ", min_width_px = 900"),
    ];
    format!("name = \"Yard\"\nplaces = [{{ key = \"yard\", kind = \"site\", name = \"Yard\" }}]\n{}", cameras.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_in_the_region_and_wide_enough_is_read() -> Result<()> {
    let camera = CameraConfig::new("Gate", SceneKind::Gate);
    let studio = Studio::start(StudioConfig { threads: 1, ..StudioConfig::default() }, vec![camera])?;
    let server = RtspServer::bind("127.0.0.1:0".parse()?, Users::one(USER, PASSWORD)).await?;
    server.mount("cam", studio.scenes()[0].source());
    let product = Product::site(&site(&format!("rtsp://{}/cam", server.local_addr())), |_| {}).await?;
    let admin = product.admin().await?;
    let mut live = admin.live(&["events"]).await?;
    let car = Cue::CarArrives { plate: "粤B12345".into(), colour: PlateColour::Blue, body: BodyColour::White };
    assert!(studio.scenes()[0].cue(car));
    let read = |message: &Value| (message["data"]["code"] == "plate.read").then(|| message["data"]["device"].clone());
    let first = live.until(read).await.context("the car is read")?;
    assert_eq!(first, serde_json::to_value(DeviceId::from_key("gate"))?);
    // The others see the same pictures; after a second car they have looked at more than the first needed.
    let car = Cue::CarArrives { plate: "粤B67890".into(), colour: PlateColour::Blue, body: BodyColour::Navy };
    assert!(studio.scenes()[0].cue(car));
    let second = |message: &Value| read(message).filter(|_| message["data"]["params"]["text"] == "粤B67890");
    live.until(second).await.context("the second car is read")?;
    for camera in ["sky", "lorries"] {
        let path = format!("/api/events?code=plate.read&device={}", DeviceId::from_key(camera));
        assert_eq!(admin.get(&path).await?["events"], serde_json::json!([]), "{camera}");
    }
    Ok(())
}
