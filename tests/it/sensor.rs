//! A smoke sensor of somebody else's, announced by Home Assistant discovery over MQTT.

use anyhow::{Context, Result};
use gatehouse_tests::product::{Client, Product};
use rumqttc::{AsyncClient, EventLoop, LastWill, MqttOptions, QoS};
use serde_json::{Value, json};

const TOPIC: &str = "sensors/kitchen/smoke";

fn sensor(product: &Product, password: &str) -> Result<(AsyncClient, EventLoop)> {
    let broker = product.broker()?;
    let mut options = MqttOptions::new("kitchen-smoke", broker.ip().to_string(), broker.port());
    options.set_credentials("integrator", password);
    options.set_last_will(LastWill::new("sensors/kitchen/online", "offline", QoS::AtLeastOnce, true));
    Ok(AsyncClient::new(options, 16))
}

async fn device(client: &Client, name: &str) -> Result<Option<Value>> {
    let devices = client.get("/api/devices").await?;
    Ok(devices["devices"].as_array().context("devices")?.iter().find(|device| device["name"] == name).cloned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_introduces_itself_alarms_with_its_camera_and_goes_offline_by_its_will() -> Result<()> {
    let product = Product::demo().await?;
    let admin = product.admin().await?;
    let mut live = admin.live(&["devices", "alarms", "work_orders"]).await?;
    let (client, mut events) = sensor(&product, &product.secret("mqtt-integrator")?)?;
    let (die, mut dying) = tokio::sync::oneshot::channel::<()>();
    let link = tokio::spawn(async move {
        loop {
            tokio::select! {
                event = events.poll() => if event.is_err() { return },
                // Dropping the socket without a DISCONNECT is what makes the broker publish the will.
                _ = &mut dying => return,
            }
        }
    });
    let corridor = admin.get("/api/devices").await?["devices"]
        .as_array()
        .context("devices")?
        .iter()
        .find(|device| device["kind"] == "camera")
        .cloned()
        .context("a camera")?;
    let places = admin.get("/api/places").await?;
    let area = places["places"]
        .as_array()
        .context("places")?
        .iter()
        .find(|place| place["id"] == corridor["place"])
        .context("its place")?["name"]
        .clone();
    let announcement = json!({
        "name": "Kitchen smoke", "unique_id": "kitchen_smoke_1", "device_class": "smoke", "state_topic": TOPIC,
        "payload_on": "ON", "payload_off": "OFF", "availability_topic": "sensors/kitchen/online",
        "device": { "identifiers": ["k1"], "name": "Kitchen", "suggested_area": area },
    });
    client
        .publish("homeassistant/binary_sensor/kitchen/smoke/config", QoS::AtLeastOnce, true, announcement.to_string())
        .await?;
    client.publish("sensors/kitchen/online", QoS::AtLeastOnce, true, "online").await?;
    let announced =
        live.object("devices", |device| device["name"] == "Kitchen smoke" && device["presence"] == "online").await?;
    assert_eq!((announced["kind"].as_str(), announced["announced"].as_bool()), (Some("sensor"), Some(true)));

    client.publish(TOPIC, QoS::AtLeastOnce, false, "ON").await?;
    let alarm = live.object("alarms", |alarm| alarm["device"] == announced["id"] && alarm["active"] == true).await?;
    assert_eq!(alarm["type"], "smoke");
    assert!(alarm["cameras"].as_array().is_some_and(|cameras| cameras.contains(&corridor["id"])), "{alarm}");
    let id = alarm["id"].as_str().context("id")?.to_owned();
    let acked = admin.post(&format!("/api/alarms/{id}/ack"), json!({})).await?;
    assert!(
        !acked["alarm"]["work_order"].is_null() || !acked["work_orders"].as_array().is_none_or(Vec::is_empty),
        "{acked}"
    );
    client.publish(TOPIC, QoS::AtLeastOnce, false, "OFF").await?;
    live.object("alarms", |alarm| alarm["id"] == *id && alarm["active"] == false).await?;

    die.send(()).ok();
    link.await?;
    live.object("devices", |device| device["name"] == "Kitchen smoke" && device["presence"] == "offline").await?;
    assert!(device(&admin, "Kitchen smoke").await?.is_some_and(|device| device["presence"] == "offline"));
    product.stop().await;
    Ok(())
}
