//! MQTT: the embedded broker, and the adapter that is a client of it or of any other.
//!
//! ```text
//! device ─ publish ─▶ broker ─▶ run() ─ codec / announced ─▶ lane ─▶ Intake (commit) ─▶ PUBACK
//! actor ─ Downlink ─▶ run() ─▶ gh/<key>/set, or an announced device's own command topic
//! ```

mod announced;
pub mod broker;
pub mod codec;
pub mod config;
pub mod gate;
mod held;
pub mod homeassistant;
mod lanes;
pub mod template;
pub mod users;

use crate::quiet::Quiet;
use crate::reconnect::Backoff;
use announced::{Announced, Changes};
pub use config::{KnownDevices, MqttConfig, MqttHealth, MqttTls};
use gate::Listener;
use gatehouse_core::device::link::{Downlink, Intake, Outcome, PresenceCause, Uplink};
use gatehouse_core::id::{DeviceId, DeviceKey};
use jiff::Timestamp;
use lanes::{Ack, Lanes};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, LastWill, Packet, Publish, PublishProperties, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Gatehouse's own presence, retained; its will says `offline`.
pub const STATUS_TOPIC: &str = "gatehouse/status";
/// Requests to the connection that may wait: acknowledgements (at most the window), commands and subscriptions.
const REQUESTS: usize = 4 * broker::WINDOW as usize;
/// Largest packet taken from a broker, bytes.
const MAX_PACKET: u32 = 256 << 10;
/// The broker keeps our unacknowledged events for so long while we are away, seconds.
const SESSION_SECONDS: u32 = 3600;
/// A silent broker is gone after one and a half of it.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A broker away for longer takes its devices with it.
const GRACE: Duration = Duration::from_secs(5);

/// Why the adapter does not run.
#[derive(Debug, thiserror::Error)]
pub enum MqttError {
    /// The authority's certificate cannot be read.
    #[error("cannot read the MQTT broker's authority {path}: {source}; check `mqtt.tls.ca`")]
    Authority {
        /// Which file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

struct Link {
    config: MqttConfig,
    lanes: Arc<Lanes>,
    intake: Arc<dyn Intake>,
    announced: Mutex<Announced>,
    client: Mutex<Option<AsyncClient>>,
    online: Mutex<HashSet<DeviceId>>,
    quiet: Quiet,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Speaks with one broker until cancelled; connects again for as long as it takes.
///
/// Uplinks are offered in order per device and acknowledged to the broker once the intake has them. Downlinks past their
/// deadline, or while the broker is away, are answered `failed` at once; nothing is queued for later.
pub async fn run(
    config: MqttConfig,
    intake: Arc<dyn Intake>,
    downlinks: mpsc::Receiver<Downlink>,
    stop: CancellationToken,
) -> Result<(), MqttError> {
    let options = options(&config)?;
    let tasks = TaskTracker::new();
    let lanes = Lanes::new(
        Arc::clone(&intake),
        Arc::clone(&config.devices),
        Arc::clone(&config.health),
        tasks.clone(),
        stop.clone(),
    );
    let prefix = config.discovery_prefix.clone().unwrap_or_default();
    let link = Arc::new(Link {
        config,
        lanes,
        intake,
        announced: Mutex::new(Announced::new(&prefix)),
        client: Mutex::new(None),
        online: Mutex::default(),
        quiet: Quiet::every(Duration::from_secs(10)),
        tasks,
        stop,
    });
    link.listener(Listener::Away);
    link.tasks.spawn(Arc::clone(&link).carry_downlinks(downlinks));
    link.tasks.spawn(Arc::clone(&link).watch_silence());
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
    while !link.stop.is_cancelled() {
        // A client of its own for each connection: an acknowledgement of the last one must not reach the next, where its
        // packet identifier means another message.
        let (client, events) = AsyncClient::new(options.clone(), REQUESTS);
        let stood = link.connection(client, events).await;
        if stood {
            backoff.reset();
        }
        tokio::select! {
            () = link.stop.cancelled() => {}
            () = tokio::time::sleep(backoff.next_wait()) => {}
        }
    }
    link.tasks.close();
    let _ = tokio::time::timeout(Duration::from_secs(2), link.tasks.wait()).await;
    Ok(())
}

fn options(config: &MqttConfig) -> Result<MqttOptions, MqttError> {
    let mut options = MqttOptions::new(&config.client_id, &config.host, config.port);
    options.set_credentials(&config.user, &config.password);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_connection_timeout(5);
    options.set_clean_start(false);
    options.set_session_expiry_interval(Some(SESSION_SECONDS));
    options.set_receive_maximum(Some(broker::WINDOW));
    options.set_max_packet_size(Some(MAX_PACKET));
    options.set_manual_acks(true);
    options.set_last_will(LastWill::new(STATUS_TOPIC, "offline", QoS::AtLeastOnce, true, None));
    if let Some(tls) = &config.tls {
        let tls = match &tls.ca {
            Some(path) => {
                let ca = std::fs::read(path)
                    .map_err(|source| MqttError::Authority { path: path.display().to_string(), source })?;
                TlsConfiguration::Simple { ca, alpn: None, client_auth: None }
            }
            None => TlsConfiguration::default(),
        };
        options.set_transport(Transport::Tls(tls));
    }
    Ok(options)
}

impl Link {
    /// One connection's life. Returns whether it stood.
    async fn connection(self: &Arc<Self>, client: AsyncClient, mut events: EventLoop) -> bool {
        let mut stood = false;
        loop {
            let event = tokio::select! {
                () = self.stop.cancelled() => {
                    self.leave(&client, &mut events).await;
                    break;
                }
                event = events.poll() => event,
            };
            match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    stood = true;
                    self.arrived(&client);
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => self.receive(&client, publish),
                Ok(Event::Incoming(Packet::SubAck(ack))) => {
                    let refused =
                        ack.return_codes.iter().filter(|c| !matches!(c, SubscribeReasonCode::Success(_))).count();
                    if refused > 0 {
                        tracing::error!(
                            refused,
                            "The MQTT broker refused {refused} subscriptions: give user {} the right to them",
                            self.config.user
                        );
                        self.config.health.set_error(format!("the broker refused {refused} subscriptions"));
                    } else if !self.config.health.connected.swap(true, Ordering::Relaxed) {
                        // From here on nothing that a device says is missed.
                        self.listener(Listener::There);
                        self.config.health.set_error(String::new());
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    self.lost(&error, stood);
                    break;
                }
            }
        }
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
        stood
    }

    fn arrived(self: &Arc<Self>, client: &AsyncClient) {
        self.config.health.connections.fetch_add(1, Ordering::Relaxed);
        tracing::info!("Connected to the MQTT broker at {}:{}", self.config.host, self.config.port);
        // Status before state: a device is there before it speaks.
        let mut topics: Vec<String> = ["status", "event", "result", "state"].map(|leaf| format!("gh/+/{leaf}")).into();
        if let Some(prefix) = &self.config.discovery_prefix {
            topics.push(format!("{prefix}/+/+/config"));
            topics.push(format!("{prefix}/+/+/+/config"));
        }
        topics.extend(self.announced.lock().unwrap_or_else(PoisonError::into_inner).topics());
        self.subscribe(client, topics);
        let _ = client.try_publish(STATUS_TOPIC, QoS::AtLeastOnce, true, "online");
        if let Some(prefix) = &self.config.discovery_prefix {
            // Home Assistant's birth message: zigbee2mqtt, ESPHome and Tasmota announce their devices again when they hear it.
            let _ = client.try_publish(format!("{prefix}/status"), QoS::AtLeastOnce, false, "online");
        }
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
    }

    fn subscribe(self: &Arc<Self>, client: &AsyncClient, topics: Vec<String>) {
        let client = client.clone();
        // Apart from the connection's loop: that must go on to make room for them.
        self.tasks.spawn(async move {
            for some in topics.chunks(64) {
                let filters = some.iter().map(|topic| Filter::new(topic.clone(), QoS::AtLeastOnce));
                if client.subscribe_many(filters).await.is_err() {
                    return;
                }
            }
        });
    }

    fn unsubscribe(self: &Arc<Self>, client: &AsyncClient, topics: Vec<String>) {
        let client = client.clone();
        self.tasks.spawn(async move {
            for topic in topics {
                if client.unsubscribe(topic).await.is_err() {
                    return;
                }
            }
        });
    }

    async fn leave(&self, client: &AsyncClient, events: &mut EventLoop) {
        let _ = client.try_publish(STATUS_TOPIC, QoS::AtLeastOnce, true, "offline");
        let _ = client.try_disconnect();
        let goodbye = async { while events.poll().await.is_ok() {} };
        let _ = tokio::time::timeout(Duration::from_millis(500), goodbye).await;
    }

    fn lost(self: &Arc<Self>, error: &ConnectionError, stood: bool) {
        let (host, port) = (&self.config.host, self.config.port);
        self.config.health.connected.store(false, Ordering::Relaxed);
        self.listener(Listener::Away);
        self.config.health.set_error(error.to_string());
        if self.quiet.speak() {
            tracing::warn!(%error, "No connection to the MQTT broker at {host}:{port}; trying again");
        }
        if stood {
            let link = Arc::clone(self);
            self.tasks.spawn(async move {
                tokio::select! {
                    () = link.stop.cancelled() => return,
                    () = tokio::time::sleep(GRACE) => {}
                }
                if link.config.health.connected.load(Ordering::Relaxed) {
                    return;
                }
                let online = std::mem::take(&mut *link.online.lock().unwrap_or_else(PoisonError::into_inner));
                for device in online {
                    link.push(Uplink::Presence { device, online: false, cause: PresenceCause::Connection }, None, None);
                }
            });
        }
    }

    fn listener(&self, state: Listener) {
        if let Some(gate) = &self.config.gate {
            gate.listener(state);
        }
    }

    fn receive(self: &Arc<Self>, client: &AsyncClient, publish: Publish) {
        self.config.health.messages.fetch_add(1, Ordering::Relaxed);
        let ack = Ack::new(client.clone(), publish.clone(), self.config.gate.clone());
        let Ok(topic) = std::str::from_utf8(&publish.topic) else { return self.undecodable("topic is not text") };
        if topic.starts_with("gh/") {
            match codec::decode(topic, &publish.payload) {
                Ok(uplink) => {
                    let key = codec::parse_topic(topic).ok().map(|(key, _)| key);
                    self.push(uplink, key, Some(ack));
                }
                Err(error) => self.undecodable(&error.to_string()),
            }
            return;
        }
        let now = Instant::now();
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        if self.config.discovery_prefix.is_some() && announced.is_announcement(topic) {
            let changes = announced.configure(topic, &publish.payload, now);
            drop(announced);
            match changes {
                Ok(Changes { uplinks, subscribe, unsubscribe }) => {
                    uplinks.into_iter().for_each(|uplink| self.push(uplink, None, Some(Arc::clone(&ack))));
                    self.unsubscribe(client, unsubscribe);
                    self.subscribe(client, subscribe);
                }
                Err(error) => self.undecodable(&error),
            }
            return;
        }
        let said = announced.message(topic, &publish.payload, now);
        drop(announced);
        for uplink in said {
            match uplink {
                Ok(uplink) => self.push(uplink, None, Some(Arc::clone(&ack))),
                Err(error) => self.undecodable(&error),
            }
        }
    }

    fn push(&self, uplink: Uplink, native: Option<DeviceKey>, ack: Option<Arc<Ack>>) {
        if let Uplink::Presence { device, online, .. } = &uplink {
            let mut known = self.online.lock().unwrap_or_else(PoisonError::into_inner);
            if *online {
                known.insert(*device)
            } else {
                known.remove(device)
            };
        }
        self.lanes.push(uplink, native, ack);
    }

    fn undecodable(&self, reason: &str) {
        self.config.health.undecodable.fetch_add(1, Ordering::Relaxed);
        self.intake.undecodable("mqtt", reason);
    }

    async fn watch_silence(self: Arc<Self>) {
        let mut every = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = every.tick() => {}
            }
            let gone = self.announced.lock().unwrap_or_else(PoisonError::into_inner).expire(Instant::now());
            gone.into_iter().for_each(|uplink| self.push(uplink, None, None));
        }
    }

    async fn carry_downlinks(self: Arc<Self>, mut downlinks: mpsc::Receiver<Downlink>) {
        loop {
            let downlink = tokio::select! {
                () = self.stop.cancelled() => return,
                downlink = downlinks.recv() => downlink,
            };
            let Some(downlink) = downlink else { return };
            if let Err(reason) = self.send(&downlink) {
                let Downlink { device, command, .. } = downlink;
                tracing::debug!(device.id = %device, command = %command, %reason, "command not sent");
                self.push(Uplink::CommandResult { device, command, outcome: Outcome::Failed { reason } }, None, None);
            }
        }
    }

    fn send(self: &Arc<Self>, downlink: &Downlink) -> Result<(), String> {
        let left = downlink.deadline.duration_since(Timestamp::now());
        if !left.is_positive() {
            return Err("expired before it was sent".to_owned());
        }
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let client = client.ok_or_else(|| "the MQTT broker is away".to_owned())?;
        let order = self.announced.lock().unwrap_or_else(PoisonError::into_inner).order(downlink);
        let (topic, payload, then) = match (order, self.config.devices.key(downlink.device)) {
            (Some(order), _) => {
                let order = order?;
                (order.topic, order.payload.into_bytes(), order.then)
            }
            (None, Some(key)) => (format!("gh/{key}/set"), codec::encode(downlink), None),
            (None, None) => return Err("no MQTT device of this id".to_owned()),
        };
        // The broker too forgets it at the deadline.
        let expiry = u32::try_from(left.as_secs() + 1).unwrap_or(u32::MAX);
        let properties = PublishProperties { message_expiry_interval: Some(expiry), ..PublishProperties::default() };
        client
            .try_publish_with_properties(topic.clone(), QoS::AtLeastOnce, false, payload, properties)
            .map_err(|_| "the link to the MQTT broker is full".to_owned())?;
        if let Some((after, payload)) = then {
            self.tasks.spawn(Arc::clone(self).relock(downlink.device, topic, after, payload));
        }
        Ok(())
    }

    /// Tells a lock to lock again, for as long as it takes to be heard by the broker.
    async fn relock(self: Arc<Self>, device: DeviceId, topic: String, after: Duration, payload: String) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(after) => {}
        }
        loop {
            let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let sent = client.is_some_and(|client| {
                client.try_publish(topic.as_str(), QoS::AtLeastOnce, false, payload.clone()).is_ok()
            });
            if sent {
                return;
            }
            if self.stop.is_cancelled() {
                tracing::error!(device.id = %device, "Announced lock {device} was not told to lock again before the stop");
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

#[cfg(test)]
mod tests;
