//! Garbage on every listener: a counted, named error; nothing stops.

use anyhow::{Context, Result};
use gatehouse_tests::product::Product;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_mqtt_http_and_rtsp_is_counted_and_nothing_stops() -> Result<()> {
    // A camera that answers RTSP with noise.
    let noise = TcpListener::bind("127.0.0.1:0").await?;
    let port = noise.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = noise.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 1024];
                // Whatever it asks.
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(b"\x00\xff$garbage RTSP/9.9 200\r\n\r\n").await;
            });
        }
    });
    let site = format!(
        r#"
name = "Noise"
[[places]]
key = "site"
kind = "site"
name = "Noise"
[[devices]]
key = "door"
kind = "door"
name = "Door"
place = "site"
[[devices]]
key = "cam"
kind = "camera"
name = "Camera"
place = "site"
stream = {{ url = "rtsp://127.0.0.1:{port}/x" }}
"#
    );
    let product = Product::site(&site, |_| {}).await?;
    let admin = product.admin().await?;

    // Raw bytes on the broker's port.
    let mut raw = TcpStream::connect(product.broker()?).await?;
    raw.write_all(&[0xff; 300]).await?;
    drop(raw);
    // Payloads that no decoder takes, from a device that may publish them.
    let broker = product.broker()?;
    let mut options = MqttOptions::new("door", broker.ip().to_string(), broker.port());
    options.set_credentials("door", product.secret("mqtt-door")?);
    let (client, mut events) = AsyncClient::new(options, 16);
    let payloads: [&[u8]; 4] = [b"{", b"\xff\xfe\x00", br#"{"seq":-1,"points":7}"#, br#"{"type":"card_read"}"#];
    for payload in payloads {
        client.publish("gh/door/state", QoS::AtLeastOnce, false, payload).await?;
        client.publish("gh/door/event", QoS::AtLeastOnce, false, payload).await?;
    }
    let mut acknowledged = 0;
    while acknowledged < payloads.len() * 2 {
        if let Event::Incoming(Packet::PubAck(_)) = events.poll().await? {
            acknowledged += 1;
        }
    }
    // Bodies that are no JSON, or not the right one.
    for body in ["{", "[]", "\u{0}", "{\"name\":7}"] {
        let response = reqwest::Client::new()
            .post(format!("http://{}/api/session", product.running.address))
            .header("origin", format!("http://{}", product.running.address))
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await?;
        assert!(response.status().is_client_error(), "{body:?}: {}", response.status());
        let answer: serde_json::Value = response.json().await?;
        assert_eq!(answer["error"]["code"], "bad_body", "{answer}");
    }

    let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
    let counted = async {
        loop {
            tick.tick().await;
            let health = admin.get("/api/health").await?;
            let undecodable = |source: &str| {
                let entries = health["ingress"].as_array().into_iter().flatten();
                entries
                    .filter(|entry| entry["source"].as_str().is_some_and(|s| s.starts_with(source)))
                    .map(|e| e["undecodable"].as_u64().unwrap_or(0))
                    .sum::<u64>()
            };
            let camera = &health["cameras"][0];
            let rtsp = camera["errors"].as_object().is_some_and(|errors| !errors.is_empty());
            if undecodable("mqtt") >= 8
                && rtsp
                && camera["live"] == false
                && health["broker"]["refused"].as_u64() >= Some(1)
            {
                return anyhow::Ok(health);
            }
        }
    };
    let health = tokio::time::timeout(gatehouse_tests::product::PATIENCE, counted)
        .await
        .context("garbage was not counted")??;
    assert!(
        health["ingress"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|entry| !entry["last_error"].as_str().unwrap_or_default().is_empty())
    );

    // And it still works: the same device reports, the board follows.
    let mut live = admin.live(&["devices"]).await?;
    client
        .publish(
            "gh/door/state",
            QoS::AtLeastOnce,
            false,
            json!({ "seq": 1, "points": { "contact": "open", "lock": "locked" } }).to_string(),
        )
        .await?;
    tokio::spawn(async move { while events.poll().await.is_ok() {} });
    live.object("devices", |device| device["key"] == "door" && device["state"] == "forced_open").await?;
    product.stop().await;
    Ok(())
}
