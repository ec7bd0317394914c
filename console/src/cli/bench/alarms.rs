//! `gatehouse bench alarms`: smoke sensors over MQTT → broker → adapter → actor → rule → committed → WebSocket, and beside
//! it what the same round trip costs without us: a row committed by PostgreSQL alone.

use super::{Bed, Common, Figures, quantile, with_cost};
use crate::api::health::cpu_seconds;
use crate::client::Client;
use anyhow::Context;
use gatehouse_core::device::link::Uplink;
use gatehouse_core::id::DeviceId;
use jiff::Timestamp;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Alarms from a device's socket to the operators' browsers.
#[derive(Debug, clap::Args)]
pub struct Alarms {
    #[command(flatten)]
    pub common: Common,
    /// Alarms a second
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Browsers that follow
    #[arg(long, default_value_t = 20)]
    consoles: usize,
    /// Connections that the sensors share; a device's next message waits for the acknowledgement of its last
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    connections: u32,
    /// Alarms in all
    #[arg(long, default_value_t = 500)]
    alarms: u32,
    /// The most that is taken durably: offered at the intake as fast as it takes them, without broker and consoles
    #[arg(long)]
    burst: bool,
    /// Devices that offer at the same time, in a burst
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    devices: u32,
    /// Multiples of a burst's devices and alarms, each a row of its own
    #[arg(long, value_delimiter = ',', default_value = "1")]
    scale: Vec<u32>,
}

impl Alarms {
    /// `p50_ms`, `p99_ms`: from the publish to the message at every console; `lost`: alarms × consoles never told.
    pub async fn measure(&self) -> anyhow::Result<Figures> {
        anyhow::ensure!(
            self.rate > 0 && self.alarms > 0 && self.consoles > 0,
            "rate, alarms and consoles must be at least 1"
        );
        if self.burst {
            let mut rows = Vec::new();
            for scale in self.scale.iter().map(|scale| (*scale).max(1)) {
                let mut row = self.taken(self.devices * scale, self.alarms * scale).await?;
                row.insert("scale".into(), json!(scale));
                rows.push(row);
            }
            return Ok(super::growth(rows));
        }
        let bed = Bed::start(&self.common.data.path(), Some(&site(self.alarms))).await?;
        let admin = Client::sign_in(bed.running.address, "admin", &bed.password).await?;
        let devices = admin.get("/api/devices").await?;
        let keys: HashMap<String, usize> = devices["devices"]
            .as_array()
            .context("no devices")?
            .iter()
            .filter_map(|device| {
                let key = device["key"].as_str()?;
                Some((device["id"].as_str()?.to_owned(), key.strip_prefix("smoke-")?.parse().ok()?))
            })
            .collect();
        let keys = Arc::new(keys);
        let sent: Arc<Mutex<Vec<Option<Instant>>>> = Arc::new(Mutex::new(vec![None; self.alarms as usize]));

        let mut consoles = Vec::new();
        for _ in 0..self.consoles {
            let mut live = admin.live(&["alarms"]).await?;
            // The snapshot first: what comes after it is news.
            live.until(|message| (message["t"] == "snap").then_some(())).await?;
            let (keys, sent, wanted) = (keys.clone(), sent.clone(), self.alarms as usize);
            consoles.push(tokio::spawn(async move {
                let mut told: HashMap<usize, f64> = HashMap::new();
                let collect = async {
                    while told.len() < wanted {
                        let Ok(message) = live.next().await else { return };
                        let arrived = Instant::now();
                        for alarm in message["u"].as_array().into_iter().flatten() {
                            let Some(n) = alarm["device"].as_str().and_then(|id| keys.get(id)) else { continue };
                            let began = sent.lock().unwrap_or_else(PoisonError::into_inner)[*n];
                            if let Some(began) = began {
                                told.entry(*n).or_insert(arrived.duration_since(began).as_secs_f64() * 1e3);
                            }
                        }
                    }
                };
                // A console that is not told everything ends by the clock, and counts as lost.
                let _ = tokio::time::timeout(Duration::from_secs(120), collect).await;
                told
            }));
        }

        let broker = bed.running.app.broker().context("no embedded broker")?.addr();
        let secret = std::fs::read_to_string(bed.running.app.data().join("secrets/mqtt-bench"))?;
        let (mut sensors, mut polls) = (Vec::new(), tokio::task::JoinSet::new());
        for n in 0..self.connections {
            let mut options = MqttOptions::new(format!("bench-{n}"), broker.ip().to_string(), broker.port());
            options.set_credentials("bench", secret.clone()).set_keep_alive(Duration::from_secs(30));
            let (mqtt, mut events) = AsyncClient::new(options, 1000);
            sensors.push(mqtt);
            polls.spawn(async move {
                loop {
                    match events.poll().await {
                        Ok(Event::Incoming(Packet::Disconnect)) | Err(_) => return,
                        Ok(_) => {}
                    }
                }
            });
        }
        let cpu = cpu_seconds();
        let began = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / f64::from(self.rate)));
        for n in 0..self.alarms as usize {
            tick.tick().await;
            let payload = json!({ "seq": 1, "points": { "smoke": true } }).to_string();
            sent.lock().unwrap_or_else(PoisonError::into_inner)[n] = Some(Instant::now());
            let mqtt = &sensors[n % sensors.len()];
            mqtt.publish(format!("gh/smoke-{n}/state"), QoS::AtLeastOnce, false, payload).await?;
        }
        let mut latencies = Vec::new();
        let mut complete = Duration::ZERO;
        for console in consoles {
            latencies.extend(console.await?.into_values());
            complete = complete.max(began.elapsed());
        }
        let expected = self.alarms as usize * self.consoles;
        let mut figures = Figures::new();
        figures.insert("alarms".into(), json!(self.alarms));
        figures.insert("consoles".into(), json!(self.consoles));
        figures.insert("connections".into(), json!(self.connections));
        figures.insert("rate".into(), json!(f64::from(self.alarms) / complete.as_secs_f64()));
        figures.insert("lost".into(), json!(expected - latencies.len()));
        figures.insert("p50_ms".into(), json!(quantile(&mut latencies, 0.5)));
        figures.insert("p99_ms".into(), json!(quantile(&mut latencies, 0.99)));
        let figures = with_cost(figures, cpu);
        polls.abort_all();
        bed.stop().await;
        Ok(figures)
    }

    /// `ack_rate`, `p50_ms`, `p99_ms`: alarms taken durably; `rate`: until every alarm is in the book and the log too;
    /// `bare_rate`: as many rows of the same size committed by PostgreSQL in groups made by hand.
    async fn taken(&self, devices: u32, alarms: u32) -> anyhow::Result<Figures> {
        let bed = Bed::start(&self.common.data.path(), Some(&site(devices))).await?;
        let system = bed.running.app.system().clone();
        let each = alarms.div_ceil(devices);
        let cpu = cpu_seconds();
        let began = Instant::now();
        let mut offering = tokio::task::JoinSet::new();
        for n in 0..devices {
            let (intake, device) = (system.intake(), DeviceId::from_key(&format!("smoke-{n}")));
            offering.spawn(async move {
                let mut times = Vec::new();
                for seq in 1..=u64::from(each) {
                    let what = "help_call".to_owned();
                    let call = Uplink::Happening { device, seq: Some(seq), observed_at: Some(Timestamp::now()), what };
                    let said = Instant::now();
                    while intake.offer(call.clone()).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    times.push(said.elapsed().as_secs_f64() * 1e3);
                }
                times
            });
        }
        let mut acks = offering.join_all().await.concat();
        let acked_s = began.elapsed().as_secs_f64();
        system.drill_settle().await;
        let settled_s = began.elapsed().as_secs_f64();
        let cpu_s = cpu_seconds() - cpu;
        let total = f64::from(each * devices);
        let raised = super::store::occurrences(system.pool()).await?;
        let (bare_s, mut bare) = super::store::bare(system.pool(), devices, each).await?;
        let mut figures = Figures::new();
        figures.insert("alarms".into(), json!(each * devices));
        figures.insert("devices".into(), json!(devices));
        figures.insert("ack_rate".into(), json!(total / acked_s));
        figures.insert("p50_ms".into(), json!(quantile(&mut acks, 0.5)));
        figures.insert("p99_ms".into(), json!(quantile(&mut acks, 0.99)));
        figures.insert("rate".into(), json!(total / settled_s));
        figures.insert("lost".into(), json!(i64::from(each * devices) - raised));
        figures.insert("bare_rate".into(), json!(total / bare_s));
        figures.insert("bare_p50_ms".into(), json!(quantile(&mut bare, 0.5)));
        figures.insert("bare_p99_ms".into(), json!(quantile(&mut bare, 0.99)));
        figures.insert("cpu_s".into(), json!(cpu_s));
        figures.insert("rss_mb".into(), json!(crate::api::health::resident_mb()));
        bed.stop().await;
        Ok(figures)
    }
}

/// A site of so many smoke sensors behind one gateway account.
fn site(sensors: u32) -> String {
    let mut text = String::from("name = \"Bench\"\n[[places]]\nkey = \"site\"\nkind = \"site\"\nname = \"Bench\"\n");
    for n in 0..sensors {
        text += &format!(
            "[[devices]]\nkey = \"smoke-{n}\"\nkind = \"sensor\"\nclass = \"smoke\"\nname = \"Smoke {n}\"\nplace = \"site\"\naccount = \"bench\"\n"
        );
    }
    text
}
