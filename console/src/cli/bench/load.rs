//! The other side of the benches of many devices, in a process of its own: the devices with their connections, and who listens.
//!
//! ```text
//! bench ── one line of JSON: what to do ──▶ load      (standard input)
//!       ◀── "connected" ───────────────────           (standard output)
//!       ── "go" ──▶      … devices speak at the rate, a console or a bare subscriber listens …
//!       ◀── one line of JSON: what was measured ──
//! ```
//! Devices and listener share this process's clock, so a latency is one subtraction; the product's own processor time and
//! memory stay the product's.

use super::process::raise_file_limit;
use super::wire::{self, Ears, Hello, Incoming, Mouth};
use super::{quantile, serde_line};
use crate::api::health::{cpu_seconds, resident_mb};
use crate::client::Client;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections that are being made at the same time.
const CONNECTING: usize = 64;
/// After the last message, what is still on its way is waited for.
const GRACE: Duration = Duration::from_secs(5);

/// The devices and who listens to them: started by other benches.
#[derive(Debug, clap::Args)]
pub struct Load;

/// What to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The broker.
    pub broker: SocketAddr,
    /// The console to follow and the administrator's password; without it a bare subscriber listens at the broker.
    pub console: Option<(SocketAddr, String)>,
    /// Devices, keys `device-0` and so on.
    pub devices: usize,
    /// Connections; devices share them in turn.
    pub connections: usize,
    /// The account: `None` at an open broker; else its password and whether each device has one of its own.
    pub account: Option<(String, bool)>,
    /// Messages a second, all devices together.
    pub rate: u32,
    /// How long.
    pub seconds: u64,
    /// 0 or 1.
    pub qos: u8,
}

/// What was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Messages said.
    pub sent: u64,
    /// Messages acknowledged to their devices.
    pub acknowledged: u64,
    /// Messages heard by the listener.
    pub heard: u64,
    /// Devices whose last message never came.
    pub lost: u64,
    /// Messages that a newer one of the same device overtook.
    pub coalesced: u64,
    /// Messages said a second, over the whole time.
    pub rate: f64,
    /// From a device's socket to the listener, ms.
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// The same minute by minute.
    pub p99_ms_by_minute: Vec<f64>,
    /// From the publication to its acknowledgement, ms.
    pub ack_p50_ms: f64,
    pub ack_p99_ms: f64,
    /// This process.
    pub cpu_s: f64,
    pub rss_mb: f64,
}

impl Load {
    /// Reads its order from standard input, does it, prints what was measured.
    pub async fn run(&self) -> ExitCode {
        match self.obey().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => crate::cli::serve::fail(&error),
        }
    }

    async fn obey(&self) -> Result<()> {
        use tokio::io::{AsyncBufReadExt, BufReader};
        raise_file_limit();
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let order = lines.next_line().await?.context("no order on standard input")?;
        let order: Order = serde_json::from_str(&order)?;
        let field = Arc::new(Field::new(&order));
        let listener = Listener::connect(&order).await?;
        let mouths = connect(&order, &field).await?;
        crate::cli::print("connected\n");
        lines.next_line().await?.context("the bench is gone")?;
        let measured = measure(&order, &field, listener, mouths).await?;
        crate::cli::print(&serde_line(&measured)?);
        Ok(())
    }
}

/// When each message was said, acknowledged and heard; µs since the start, 0 for never.
struct Field {
    began: OnceLock<Instant>,
    said: Vec<AtomicU64>,
    heard: Vec<AtomicU64>,
    /// Number of the message that waits for its acknowledgement, by connection and packet number.
    acks: Vec<AtomicU64>,
    acknowledged: AtomicU64,
    ack_us: Vec<AtomicU64>,
    qos: u8,
}

/// Packet numbers in use on one connection.
const NUMBERS: usize = 64;

impl Field {
    fn new(order: &Order) -> Self {
        let messages = order.rate as usize * order.seconds as usize;
        let zeros = |n: usize| (0..n).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
        let qos = usize::from(order.qos);
        Self {
            began: OnceLock::new(),
            said: zeros(messages),
            heard: zeros(messages),
            acks: zeros(order.connections * NUMBERS * qos),
            acknowledged: AtomicU64::new(0),
            ack_us: zeros(messages * qos),
            qos: order.qos,
        }
    }

    fn now(&self) -> u64 {
        let began = self.began.get_or_init(Instant::now);
        u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }

    fn hear(&self, message: usize, now: u64) {
        if let Some(heard) = self.heard.get(message) {
            let _ = heard.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn acked(&self, connection: usize, number: u16) {
        let slot = connection * NUMBERS + (usize::from(number) - 1) % NUMBERS;
        let message = self.acks.get(slot).map_or(0, |slot| slot.swap(0, Ordering::Relaxed));
        if let Some(at) = message.checked_sub(1).and_then(|message| self.ack_us.get(message as usize)) {
            at.store(self.now(), Ordering::Relaxed);
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Connects every device's connection.
async fn connect(order: &Order, field: &Arc<Field>) -> Result<Vec<Mouth>> {
    let (room, mut connecting) = (Arc::new(Semaphore::new(CONNECTING)), JoinSet::new());
    for n in 0..order.connections {
        let (room, broker) = (room.clone(), order.broker);
        let own = order.account.as_ref().is_some_and(|(_, own)| *own);
        let name = if own { format!("device-{n}") } else { "bench".to_owned() };
        let account = order.account.as_ref().map(|(password, _)| (name, password.clone()));
        let client = if own { format!("device-{n}") } else { format!("bench-{n}") };
        connecting.spawn(async move {
            let _seat = room.acquire().await;
            let link = wire::connect(broker, &Hello { client, account, will: None }).await;
            (n, link)
        });
    }
    let mut mouths: Vec<Option<Mouth>> = (0..order.connections).map(|_| None).collect();
    while let Some(connected) = connecting.join_next().await {
        let (n, link) = connected?;
        let (ears, mouth) = link.with_context(|| format!("connection {n}"))?;
        mouths[n] = Some(mouth);
        tokio::spawn(hear_acks(ears, n, field.clone()));
    }
    Ok(mouths.into_iter().flatten().collect())
}

async fn hear_acks(mut ears: Ears, connection: usize, field: Arc<Field>) {
    while let Ok(incoming) = ears.next().await {
        if let (Incoming::Ack(number), 1) = (incoming, field.qos) {
            field.acked(connection, number);
        }
    }
}

/// Who listens.
enum Listener {
    Console(Box<crate::client::Live>),
    Bare(Ears, Mouth),
}

impl Listener {
    async fn connect(order: &Order) -> Result<Self> {
        let Some((address, password)) = &order.console else {
            let hello = Hello { client: "listener".into(), account: None, will: None };
            let (ears, mut mouth) = wire::connect(order.broker, &hello).await?;
            mouth.subscribe("gh/+/state").await?;
            return Ok(Self::Bare(ears, mouth));
        };
        let console = Client::sign_in(*address, "admin", password).await?;
        let mut live = console.live(&["devices"]).await?;
        // The snapshot first: what comes after it is news.
        live.until(|message| (message["t"] == "snap").then_some(())).await?;
        Ok(Self::Console(Box::new(live)))
    }

    async fn hear(&mut self, field: &Field) -> Result<()> {
        match self {
            Self::Console(live) => {
                let message = live.next().await?;
                let now = field.now();
                for device in message["u"].as_array().into_iter().flatten() {
                    // The value is the number of the message.
                    if let Some(n) = device["points"]["level"]["value"].as_f64() {
                        field.hear(n as usize, now);
                    }
                }
            }
            Self::Bare(ears, mouth) => {
                let Incoming::Message { payload, number, .. } = ears.next().await? else { return Ok(()) };
                if let Some(number) = number {
                    mouth.ack(number).await?;
                }
                let message: serde_json::Value = serde_json::from_slice(&payload)?;
                if let Some(n) = message["points"]["level"].as_f64() {
                    field.hear(n as usize, field.now());
                }
            }
        }
        Ok(())
    }
}

async fn measure(
    order: &Order,
    field: &Arc<Field>,
    mut listener: Listener,
    mut mouths: Vec<Mouth>,
) -> Result<Measured> {
    let cpu = cpu_seconds();
    let hearing = field.clone();
    let listening = tokio::spawn(async move { while listener.hear(&hearing).await.is_ok() {} });
    let sent = speak(order, field, &mut mouths).await?;
    let spoken_us = field.now();
    let last = |device: usize| -> Option<usize> {
        let said = sent.checked_sub(device + 1)?;
        Some(device + said / order.devices * order.devices)
    };
    let arrived = || (0..order.devices).filter_map(last).all(|n| field.heard[n].load(Ordering::Relaxed) > 0);
    let waited = Instant::now();
    while !arrived() && waited.elapsed() < GRACE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    listening.abort();

    let read = |at: &AtomicU64| at.load(Ordering::Relaxed);
    let (mut all, mut minutes) = (Vec::new(), vec![Vec::new(); (order.seconds as usize).div_ceil(60)]);
    for (said, heard) in field.said.iter().zip(&field.heard).take(sent) {
        let (said, heard) = (read(said), read(heard));
        if heard > 0 {
            let ms = heard.saturating_sub(said) as f64 / 1e3;
            all.push(ms);
            if let Some(minute) = minutes.get_mut((said / 60_000_000) as usize) {
                minute.push(ms);
            }
        }
    }
    let mut acks: Vec<f64> = field
        .said
        .iter()
        .zip(&field.ack_us)
        .filter(|(_, acked)| read(acked) > 0)
        .map(|(said, acked)| read(acked).saturating_sub(read(said)) as f64 / 1e3)
        .collect();
    let lost = (0..order.devices).filter_map(last).filter(|n| read(&field.heard[*n]) == 0).count() as u64;
    Ok(Measured {
        sent: sent as u64,
        acknowledged: field.acknowledged.load(Ordering::Relaxed),
        heard: all.len() as u64,
        lost,
        coalesced: sent as u64 - all.len() as u64 - lost,
        rate: sent as f64 / (spoken_us as f64 / 1e6),
        p50_ms: quantile(&mut all, 0.5),
        p99_ms: quantile(&mut all, 0.99),
        p99_ms_by_minute: minutes.iter_mut().map(|minute| quantile(minute, 0.99)).collect(),
        ack_p50_ms: quantile(&mut acks, 0.5),
        ack_p99_ms: quantile(&mut acks, 0.99),
        cpu_s: cpu_seconds() - cpu,
        rss_mb: resident_mb(),
    })
}

/// Speaks at the rate, the devices in turn; how many messages.
async fn speak(order: &Order, field: &Field, mouths: &mut [Mouth]) -> Result<usize> {
    let total = order.rate as usize * order.seconds as usize;
    let mut numbers = vec![0_u16; mouths.len()];
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    let end = order.seconds * 1_000_000;
    let mut n = 0;
    field.now();
    while n < total {
        tick.tick().await;
        let now = field.now();
        if now >= end {
            break;
        }
        let due = (now as f64 / 1e6 * f64::from(order.rate)) as usize;
        while n < due.min(total) {
            let device = n % order.devices;
            let connection = device % mouths.len();
            let number = (order.qos > 0).then(|| {
                let number = &mut numbers[connection];
                *number = *number % u16::MAX + 1;
                let slot = connection * NUMBERS + (usize::from(*number) - 1) % NUMBERS;
                field.acks[slot].store(n as u64 + 1, Ordering::Relaxed);
                *number
            });
            let payload = json!({ "points": { "level": n } }).to_string();
            field.said[n].store(field.now(), Ordering::Relaxed);
            mouths[connection].publish(&format!("gh/device-{device}/state"), payload.as_bytes(), false, number).await?;
            n += 1;
        }
    }
    Ok(n)
}
