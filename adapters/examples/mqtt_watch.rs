//! Prints what the MQTT adapter makes of what devices say, one JSON object per line.
//!
//! ```text
//! cargo run -p gatehouse-adapters --example mqtt_watch                        an embedded broker with a few accounts
//! cargo run -p gatehouse-adapters --example mqtt_watch -- HOST:PORT USER PW   any other broker
//! ```
//! Lines on standard input are commands: `door-1 unlock`, `door-1 lock`, `gate-1 open`. Accounts of the embedded broker, all
//! with the password `a password for trials`: `door-1`, `gate-1`, and `sensors` for `homeassistant/#` and `sensors/#`.

use gatehouse_adapters::mqtt::broker::{Broker, BrokerConfig};
use gatehouse_adapters::mqtt::users::User;
use gatehouse_adapters::mqtt::{MqttConfig, run};
use gatehouse_core::device::link::{Downlink, Intake, Refused, Uplink, Verb};
use gatehouse_core::id::{CommandId, DeviceKey};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const PASSWORD: &str = "a password for trials";

struct Print;

impl Intake for Print {
    fn offer(&self, uplink: Uplink) -> Pin<Box<dyn Future<Output = Result<(), Refused>> + Send + '_>> {
        println!("{}", serde_json::to_string(&uplink).unwrap_or_else(|error| error.to_string()));
        Box::pin(std::future::ready(Ok(())))
    }

    fn undecodable(&self, source: &'static str, reason: &str) {
        println!("undecodable {source}: {reason}");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let keys: Vec<DeviceKey> = vec!["door-1".parse()?, "gate-1".parse()?];
    let (broker, config) = match args.as_slice() {
        [address, user, password] => {
            let (host, port) = address.rsplit_once(':').ok_or("write HOST:PORT")?;
            (None, MqttConfig::new(host, port.parse()?, user, password))
        }
        _ => {
            let mut users = vec![User::server("gatehouse", PASSWORD)?];
            for key in &keys {
                users.push(User::device(key, PASSWORD)?);
            }
            let topics = vec!["homeassistant/#".to_owned(), "sensors/#".to_owned()];
            users.push(User::integrator("sensors", PASSWORD, topics.clone(), topics)?);
            let listen = "127.0.0.1:0".parse()?;
            let broker = Broker::start(BrokerConfig { listen, users, ..BrokerConfig::default() }).await?;
            println!("broker {}", broker.addr());
            let config =
                MqttConfig::new("127.0.0.1", broker.addr().port(), "gatehouse", PASSWORD).with_gate(broker.gate());
            (Some(broker), config)
        }
    };
    let (orders, downlinks) = mpsc::channel(16);
    let stop = CancellationToken::new();
    let adapter = tokio::spawn(run(config.with_devices(keys), Arc::new(Print), downlinks, stop.clone()));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let Some((key, verb)) = line.trim().split_once(' ') else { continue };
        let verb = match verb {
            "unlock" => Verb::Unlock { for_ms: 3000 },
            "lock" => Verb::Lock,
            "open" => Verb::Open,
            "close" => Verb::Close,
            other => {
                println!("no verb {other}");
                continue;
            }
        };
        let deadline = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(5);
        let command = CommandId(uuid::Uuid::now_v7());
        orders.send(Downlink { device: key.parse::<DeviceKey>()?.id(), command, verb, deadline }).await?;
    }
    stop.cancel();
    adapter.await??;
    if let Some(broker) = broker {
        println!("{:?}", broker.stats());
        broker.stop().await;
    }
    Ok(())
}
