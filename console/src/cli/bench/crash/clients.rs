//! The clients of the crash bench: readers, sensors, operators. Each says a thing until it is acknowledged, then notes it.

use super::ledger::Ledger;
use super::{Addresses, PASSWORD};
use crate::cli::bench::wire::{self, Ears, Hello, Incoming, Mouth};
use crate::client::Client;
use anyhow::{Context, Result};
use gatehouse_core::id::{CommandId, DeviceId};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

/// An acknowledgement that takes longer is not waited for: the connection is made anew and the thing said again.
const ACK_WITHIN: Duration = Duration::from_secs(15);
/// Between two things a client says.
const BREATH: Duration = Duration::from_millis(25);
/// Between two attempts of an operator.
const AGAIN: Duration = Duration::from_millis(100);

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// When the latest thing that is acknowledged was said, µs.
#[derive(Default)]
pub struct Pulse(AtomicU64);

impl Pulse {
    fn acknowledged(&self, said: Instant) {
        let said = said.duration_since(*BEGAN).as_micros();
        self.0.fetch_max(u64::try_from(said).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Waits until something said after a moment is acknowledged; ms since that moment.
    pub async fn after(&self, moment: Instant, within: Duration) -> Result<f64> {
        let wanted = u64::try_from(moment.duration_since(*BEGAN).as_micros()).unwrap_or(u64::MAX);
        while self.0.load(Ordering::Relaxed) <= wanted {
            anyhow::ensure!(moment.elapsed() < within, "no acknowledgement within {} s", within.as_secs());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(moment.elapsed().as_secs_f64() * 1e3)
    }
}

/// What all clients share.
#[derive(Clone)]
pub struct Load {
    pub places: watch::Receiver<Option<Addresses>>,
    pub admin: Client,
    pub ledger: Arc<Ledger>,
    pub pulse: Arc<Pulse>,
}

impl Load {
    /// The operator's browser, on the program where it is now.
    pub fn now_at(&self, http: std::net::SocketAddr) -> Client {
        self.admin.moved(http)
    }

    async fn place(&mut self) -> Result<Addresses> {
        let place = *self.places.wait_for(Option::is_some).await.context("the bench ends")?;
        place.context("there is an address")
    }

    /// Starts every client; each ends when told, after what it is at.
    pub async fn start(&self, readers: usize, sensors: usize, stopped: &watch::Receiver<bool>) -> Result<JoinSet<()>> {
        LazyLock::force(&BEGAN);
        let mut clients = JoinSet::new();
        for n in 0..readers {
            let key = format!("reader-{n}");
            let device = Device::new(self.clone(), &key, true);
            clients.spawn(read_cards(device, n, stopped.clone()));
            clients.spawn(command(self.clone(), DeviceId::from_key(&key), stopped.clone()));
        }
        for n in 0..sensors {
            let key = format!("leak-{n}");
            let device = Device::new(self.clone(), &key, false);
            clients.spawn(leak(device, DeviceId::from_key(&key), stopped.clone()));
        }
        Ok(clients)
    }
}

/// A device and its connection.
struct Device {
    load: Load,
    key: String,
    listens: bool,
    link: Option<(Ears, Mouth)>,
    number: u16,
}

impl Device {
    fn new(load: Load, key: &str, listens: bool) -> Self {
        Self { load, key: key.to_owned(), listens, link: None, number: 0 }
    }

    fn next_number(&mut self) -> u16 {
        self.number = self.number % u16::MAX + 1;
        self.number
    }

    /// Says a thing until it is acknowledged.
    async fn say(&mut self, leaf: &str, payload: &str, retain: bool) -> Result<()> {
        loop {
            let said = Instant::now();
            match tokio::time::timeout(ACK_WITHIN, self.say_once(leaf, payload, retain)).await {
                Ok(Ok(())) => {
                    self.load.pulse.acknowledged(said);
                    return Ok(());
                }
                Ok(Err(_)) | Err(_) => {
                    self.link = None;
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn say_once(&mut self, leaf: &str, payload: &str, retain: bool) -> Result<()> {
        self.connect().await?;
        let number = self.next_number();
        let topic = format!("gh/{}/{leaf}", self.key);
        let (_, mouth) = self.link.as_mut().context("no connection")?;
        mouth.publish(&topic, payload.as_bytes(), retain, Some(number)).await?;
        while self.hear().await? != Some(number) {}
        Ok(())
    }

    /// Hears one packet, and does as it is told; the number of an acknowledgement.
    async fn hear(&mut self) -> Result<Option<u16>> {
        let (ears, _) = self.link.as_mut().context("no connection")?;
        let message = match ears.next().await? {
            Incoming::Ack(number) => return Ok(Some(number)),
            Incoming::Other => return Ok(None),
            Incoming::Message { payload, number, .. } => (payload, number),
        };
        let answer = self.next_number();
        let (topic, order) = (format!("gh/{}/result", self.key), serde_json::from_slice::<Value>(&message.0)?);
        let result = json!({ "id": order["id"], "outcome": "executed" }).to_string();
        let (_, mouth) = self.link.as_mut().context("no connection")?;
        if let Some(number) = message.1 {
            mouth.ack(number).await?;
        }
        mouth.publish(&topic, result.as_bytes(), false, Some(answer)).await?;
        Ok(None)
    }

    async fn connect(&mut self) -> Result<()> {
        if self.link.is_some() {
            return Ok(());
        }
        let place = self.load.place().await?;
        let status = format!("gh/{}/status", self.key);
        let hello = Hello {
            client: self.key.clone(),
            account: Some((self.key.clone(), PASSWORD.to_owned())),
            will: Some((status.clone(), "offline".to_owned())),
        };
        let (ears, mut mouth) = wire::connect(place.mqtt, &hello).await?;
        if self.listens {
            mouth.subscribe(&format!("gh/{}/set", self.key)).await?;
        }
        mouth.publish(&status, b"online", true, None).await?;
        self.link = Some((ears, mouth));
        Ok(())
    }

    /// Listens for a while.
    async fn rest(&mut self, time: Duration) {
        let listen = async {
            while self.hear().await.is_ok() {}
            // The connection broke: the next thing said makes it anew.
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(time, listen).await;
    }
}

/// Reads cards that nobody has; the number of each is its card.
async fn read_cards(mut device: Device, reader: usize, stopped: watch::Receiver<bool>) {
    let mut nth = 0_u64;
    while !*stopped.borrow() {
        nth += 1;
        let card = format!("{:03}{nth:09}", reader + 100);
        let read = json!({ "seq": nth, "ts": Timestamp::now(), "type": "card_read", "card": card }).to_string();
        if device.say("event", &read, false).await.is_err() {
            return;
        }
        device.load.ledger.note(|noted| noted.reads.push(card));
        device.rest(BREATH).await;
    }
}

/// Raises an alarm, waits until an operator has seen it, clears it, waits until it is over; again.
async fn leak(mut device: Device, id: DeviceId, stopped: watch::Receiver<bool>) {
    let mut seq = 0_u64;
    let mut report = |leak: bool| {
        seq += 1;
        json!({ "seq": seq, "ts": Timestamp::now(), "points": { "leak": leak } }).to_string()
    };
    while !*stopped.borrow() {
        device.load.ledger.note(|noted| noted.alarms.entry(id).or_default().0 += 1);
        if device.say("state", &report(true), true).await.is_err() {
            return;
        }
        device.load.ledger.note(|noted| noted.alarms.entry(id).or_default().1 += 1);
        let Ok(alarm) = see(&mut device.load, id).await else { return };
        if device.say("state", &report(false), true).await.is_err() || over(&mut device.load, alarm).await.is_err() {
            return;
        }
        device.rest(BREATH).await;
    }
}

/// Finds the open alarm of a device and acknowledges it.
async fn see(load: &mut Load, device: DeviceId) -> Result<Uuid> {
    let mut found = None;
    loop {
        let place = load.place().await?;
        let admin = load.now_at(place.http);
        if found.is_none()
            && let Ok(list) = admin.get("/api/alarms?state=open&limit=1000").await
        {
            let mut alarms = list["alarms"].as_array().into_iter().flatten();
            let own = alarms.find(|alarm| alarm["device"] == json!(device) && alarm["acked"] == false);
            found = own.and_then(|alarm| alarm["id"].as_str()?.parse::<Uuid>().ok());
        }
        if let Some(alarm) = found {
            let said = Instant::now();
            let answer = admin.request(Method::POST, &format!("/api/alarms/{alarm}/ack"), Some(json!({}))).await;
            match answer {
                Ok((status, _)) if status.is_success() => {
                    load.pulse.acknowledged(said);
                    load.ledger.note(|noted| noted.acks.push(alarm));
                    return Ok(alarm);
                }
                // The first attempt was heard, its answer was not.
                Ok((status, _)) if status == reqwest::StatusCode::CONFLICT => return Ok(alarm),
                Ok(_) | Err(_) => {}
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Waits until an alarm is over.
async fn over(load: &mut Load, alarm: Uuid) -> Result<()> {
    loop {
        let place = load.place().await?;
        let admin = load.now_at(place.http);
        if let Ok(detail) = admin.get(&format!("/api/alarms/{alarm}")).await
            && !detail["alarm"]["closed_at"].is_null()
        {
            return Ok(());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Orders a door to lock, each order under its own key until it is entered.
async fn command(mut load: Load, door: DeviceId, stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let key = Uuid::now_v7();
        loop {
            let Ok(place) = load.place().await else { return };
            let admin = load.now_at(place.http);
            let said = Instant::now();
            let (path, body) = (format!("/api/devices/{door}/commands"), json!({ "verb": "lock" }));
            match admin.request_once(Method::POST, &path, Some(body), key).await {
                Ok((status, _)) if status.is_success() => {
                    load.pulse.acknowledged(said);
                    let id = CommandId::from_key(&format!("{door}:admin:{key}"));
                    load.ledger.note(|noted| noted.commands.push(id));
                    break;
                }
                // Refused for a reason (the door is offline): another order will do.
                Ok((status, _)) if status.is_client_error() => break,
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
        tokio::time::sleep(BREATH * 4).await;
    }
}
