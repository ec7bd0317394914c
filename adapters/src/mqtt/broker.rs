//! The embedded MQTT broker: devices connect to Gatehouse with nothing else installed.
//!
//! The protocol engine is mqtt5's; this file owns the listening sockets, so that what is not MQTT is turned away (and counted)
//! before it reaches the engine, and every limit has a number. Retained messages live in memory: the truth is in the store,
//! and a device that reconnects publishes its state again.

use super::gate::Gate;
use super::held::{Held, Holding};
use super::users::{Doorkeeper, User, UserError, Users};
use crate::quiet::Quiet;
use mqtt5::QoS;
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::events::{
    BrokerEventHandler, ClientConnectEvent, ClientDisconnectEvent, ClientPublishEvent, PublishAction,
};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, MemoryBackend, QueueLimits, StorageBackend};
use mqtt5::broker::sys_topics::BrokerStats as EngineStats;
use mqtt5::broker::tls_acceptor::{TlsAcceptorConfig, accept_tls_connection};
use mqtt5::broker::transport::BrokerTransport;
use mqtt5::broker::{AuthProvider, ResourceLimits, ResourceMonitor};
use mqtt5::packet::publish::PublishPacket;
use mqtt5::{MqttError as EngineError, broker::BrokerConfig as EngineConfig};
use rumqttc::tokio_rustls::TlsAcceptor;
use std::collections::HashMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Messages kept for a client that is away or slow; beyond them the oldest falls.
const QUEUE_PER_CLIENT: QueueLimits = QueueLimits { max_messages: 1_000, max_bytes: 4 << 20 };
/// A session of a client that went away lasts this long.
const SESSION_EXPIRY: Duration = Duration::from_secs(3600);
/// Retained topics, all clients together: 10 000 devices with status, state and announcements fit.
const MAX_RETAINED: usize = 100_000;
/// A connection must have sent the head of its CONNECT by then.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// Sweep of expired sessions.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Messages given to one client and not yet acknowledged, and the same the other way. The adapter's own bound on events in
/// flight rests on it.
pub const WINDOW: u16 = 1_024;

tokio::task_local! {
    /// What the connection of this task holds back: the engine asks in the task that serves it.
    static HELD: Arc<Held>;
}

/// How the broker listens and for whom.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// Plain TCP address; port 0 takes a free one. Loopback unless the site's network is isolated.
    pub listen: SocketAddr,
    /// TLS beside it.
    pub tls: Option<BrokerTls>,
    /// Who may connect; more by [`Broker::set_user`].
    pub users: Vec<User>,
    /// Connections at once, all addresses together.
    pub max_clients: usize,
    /// Largest packet in bytes.
    pub max_packet: usize,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 1883)),
            tls: None,
            users: Vec::new(),
            max_clients: 12_000,
            max_packet: 256 << 10,
        }
    }
}

/// TLS listener of the broker.
#[derive(Clone, Debug)]
pub struct BrokerTls {
    /// Address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Authority of client certificates, PEM; when given, a client must show one.
    pub client_ca: Option<PathBuf>,
}

/// Why the broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address cannot be listened on.
    #[error("cannot listen for MQTT on {address}: {source}; choose another address with `mqtt.listen`")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("the broker's certificate or key cannot be used: {0}")]
    Tls(String),
    /// The engine refused its settings.
    #[error("the MQTT engine did not start: {0}")]
    Engine(String),
    /// A user cannot be had.
    #[error(transparent)]
    User(#[from] UserError),
}

/// What the broker has seen since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerStats {
    /// Clients connected now.
    pub clients: usize,
    /// Messages published by clients.
    pub messages_in: u64,
    /// Messages delivered to clients.
    pub messages_out: u64,
    /// Bytes of the messages in.
    pub bytes_in: u64,
    /// Logins refused.
    pub refused_logins: u64,
    /// Publications and subscriptions refused by topic.
    pub refused_topics: u64,
    /// Connections that did not speak MQTT, or spoke it wrongly.
    pub garbage: u64,
    /// Connections turned away because `max_clients` were there.
    pub refused_connections: u64,
}

/// What the engine tells of its clients.
#[derive(Default)]
struct Watch {
    /// Client identifiers by user, to end a removed user's connections.
    clients: Mutex<HashMap<String, Vec<String>>>,
    gate: Arc<Gate>,
    router: OnceLock<Arc<MessageRouter>>,
    stopping: CancellationToken,
}

impl Watch {
    /// Routes an event, to be acknowledged when the intake has it. With [`WINDOW`] of the connection waiting, no more is read
    /// from it until then.
    async fn hold(&self, event: ClientPublishEvent) -> PublishAction {
        let Some(router) = self.router.get() else { return PublishAction::Continue };
        let routed = async {
            self.gate.listened().await;
            let taken = self.gate.wait(&event.topic, &event.payload);
            let packet = PublishPacket::new(event.topic.to_string(), event.payload.clone(), event.qos);
            let packet = packet.with_retain(event.retain);
            let held = HELD.try_with(|held| match event.packet_id {
                Some(id) => held.hold(id, taken, usize::from(WINDOW)),
                None => Err(taken),
            });
            router.route_message(&packet, Some(&event.client_id)).await;
            let safe = match held {
                Ok(Ok(())) => true,
                Ok(Err(taken)) => taken.await.is_ok(),
                Err(_) => false,
            };
            if !safe {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = routed => PublishAction::Handled,
            // No acknowledgement while stopping: the device sends it again to the next start.
            () = self.stopping.cancelled() => std::future::pending().await,
        }
    }
}

impl BrokerEventHandler for Watch {
    fn on_client_publish<'a>(
        &'a self,
        event: ClientPublishEvent,
    ) -> Pin<Box<dyn Future<Output = PublishAction> + Send + 'a>> {
        if event.qos == QoS::AtMostOnce || !self.gate.holds(&event.topic) {
            return Box::pin(std::future::ready(PublishAction::Continue));
        }
        Box::pin(self.hold(event))
    }

    fn on_client_connect<'a>(&'a self, event: ClientConnectEvent) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        if let Some(user) = event.user_id {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            clients.entry(user.to_string()).or_default().push(event.client_id.to_string());
        }
        Box::pin(std::future::ready(()))
    }

    fn on_client_disconnect<'a>(
        &'a self,
        event: ClientDisconnectEvent,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        if let Some(user) = event.user_id {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(ids) = clients.get_mut(&*user) {
                if let Some(at) = ids.iter().position(|id| **id == *event.client_id) {
                    ids.swap_remove(at);
                }
                if ids.is_empty() {
                    clients.remove(&*user);
                }
            }
        }
        Box::pin(std::future::ready(()))
    }
}

struct Shared {
    engine: Arc<EngineConfig>,
    router: Arc<MessageRouter>,
    storage: Arc<DynamicStorage>,
    stats: Arc<EngineStats>,
    monitor: Arc<ResourceMonitor>,
    auth: Arc<dyn AuthProvider>,
    users: Arc<Users>,
    watch: Arc<Watch>,
    seats: Arc<Semaphore>,
    stopping: CancellationToken,
    goodbye: broadcast::Sender<()>,
    tasks: TaskTracker,
    garbage: AtomicU64,
    refused_connections: AtomicU64,
    quiet: Quiet,
}

/// A running broker. Dropping it stops it; [`Broker::stop`] also waits.
pub struct Broker {
    shared: Arc<Shared>,
    addr: SocketAddr,
    tls_addr: Option<SocketAddr>,
}

impl Broker {
    /// Listens and begins to serve.
    pub async fn start(config: BrokerConfig) -> Result<Self, BrokerError> {
        let listener = listen(config.listen).await?;
        let addr = listener.local_addr().map_err(|source| BrokerError::Listen { address: config.listen, source })?;
        let tls = match &config.tls {
            Some(tls) => Some((listen(tls.listen).await?, acceptor(tls).await?)),
            None => None,
        };
        let tls_addr = tls.as_ref().and_then(|(listener, _)| listener.local_addr().ok());

        let users = Arc::new(Users::default());
        config.users.into_iter().for_each(|user| users.set(user));
        let stopping = CancellationToken::new();
        let watch = Arc::new(Watch { stopping: stopping.clone(), ..Watch::default() });
        let storage = Arc::new(DynamicStorage::Memory(MemoryBackend::with_queue_limits(QUEUE_PER_CLIENT)));
        let router = MessageRouter::with_storage(Arc::clone(&storage))
            .with_fallback_queue_limits(QUEUE_PER_CLIENT)
            .with_retained_limits(MAX_RETAINED, config.max_packet);
        let router = Arc::new(router);
        router.initialize().await.map_err(|e| BrokerError::Engine(e.to_string()))?;

        let _ = watch.router.set(Arc::clone(&router));

        let engine = EngineConfig {
            bind_addresses: Vec::new(),
            max_clients: config.max_clients,
            max_packet_size: config.max_packet,
            session_expiry_interval: SESSION_EXPIRY,
            max_subscriptions_per_client: 0,
            topic_alias_maximum: 16,
            max_retained_messages: MAX_RETAINED,
            max_retained_message_size: config.max_packet,
            client_channel_capacity: 4 * usize::from(WINDOW),
            max_outbound_inflight: WINDOW,
            server_receive_maximum: Some(WINDOW),
            sys_topics_enabled: false,
            event_handler: Some(Arc::clone(&watch) as Arc<dyn BrokerEventHandler>),
            ..EngineConfig::default()
        };
        let monitor = ResourceMonitor::new(ResourceLimits {
            max_connections: config.max_clients,
            max_connections_per_ip: config.max_clients,
            max_message_rate_per_client: 0,
            max_bandwidth_per_client: 0,
            max_connection_rate: u32::MAX,
            rate_limit_window: Duration::from_secs(1),
        });

        let shared = Arc::new(Shared {
            engine: Arc::new(engine),
            router,
            storage,
            stats: Arc::new(EngineStats::new()),
            monitor: Arc::new(monitor),
            auth: Arc::new(Doorkeeper(Arc::clone(&users))),
            users,
            watch,
            seats: Arc::new(Semaphore::new(config.max_clients)),
            stopping,
            goodbye: broadcast::channel(1).0,
            tasks: TaskTracker::new(),
            garbage: AtomicU64::new(0),
            refused_connections: AtomicU64::new(0),
            quiet: Quiet::every(Duration::from_secs(10)),
        });
        shared.tasks.spawn(accept(Arc::clone(&shared), listener, None));
        if let Some((listener, acceptor)) = tls {
            shared.tasks.spawn(accept(Arc::clone(&shared), listener, Some(acceptor)));
        }
        shared.tasks.spawn(sweep(Arc::clone(&shared)));
        tracing::info!(%addr, "MQTT broker listens on {addr}");
        Ok(Self { shared, addr, tls_addr })
    }

    /// The plain listener's address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The TLS listener's address.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls_addr
    }

    /// Counters since the start.
    pub fn stats(&self) -> BrokerStats {
        let s = &self.shared;
        BrokerStats {
            clients: s.stats.clients_connected.load(Ordering::Relaxed),
            messages_in: s.stats.publish_received.load(Ordering::Relaxed),
            messages_out: s.stats.publish_sent.load(Ordering::Relaxed),
            bytes_in: s.stats.bytes_received.load(Ordering::Relaxed),
            refused_logins: s.users.refused_logins.load(Ordering::Relaxed),
            refused_topics: s.users.refused_topics.load(Ordering::Relaxed),
            garbage: s.garbage.load(Ordering::Relaxed),
            refused_connections: s.refused_connections.load(Ordering::Relaxed),
        }
    }

    /// What holds events back until they are committed: hand it to the adapter's configuration.
    pub fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.shared.watch.gate)
    }

    /// Adds a user, or gives one a new password and new rights; takes effect at once.
    pub fn set_user(&self, user: User) {
        self.shared.users.set(user);
    }

    /// Removes a user and ends its connections. Returns whether there was one.
    pub async fn remove_user(&self, name: &str) -> bool {
        let known = self.shared.users.remove(name);
        let ids = {
            let mut clients = self.shared.watch.clients.lock().unwrap_or_else(PoisonError::into_inner);
            clients.remove(name).unwrap_or_default()
        };
        for id in ids {
            self.shared.router.disconnect_client(&id).await;
        }
        known
    }

    /// Says goodbye to every client and waits until they are gone, at most 3 s.
    pub async fn stop(&self) {
        self.shared.stop();
        if tokio::time::timeout(Duration::from_secs(3), self.shared.tasks.wait()).await.is_err() {
            tracing::warn!("MQTT broker stopped before every connection had ended");
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Shared {
    fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        let _ = self.goodbye.send(());
    }

    fn garbage(&self, from: SocketAddr, what: &str) {
        let n = self.garbage.fetch_add(1, Ordering::Relaxed) + 1;
        if self.quiet.speak() {
            tracing::warn!(address = %from, garbage = n, "Not MQTT from {from}: {what}; {n} such connections so far");
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, BrokerError> {
    TcpListener::bind(address).await.map_err(|source| BrokerError::Listen { address, source })
}

async fn acceptor(tls: &BrokerTls) -> Result<Arc<TlsAcceptor>, BrokerError> {
    let fail = |e: EngineError| BrokerError::Tls(e.to_string());
    let chain = TlsAcceptorConfig::load_cert_chain_from_file(&tls.cert).await.map_err(fail)?;
    let key = TlsAcceptorConfig::load_private_key_from_file(&tls.key).await.map_err(fail)?;
    let mut config = TlsAcceptorConfig::new(chain, key);
    if let Some(ca) = &tls.client_ca {
        let ca = TlsAcceptorConfig::load_cert_chain_from_file(ca).await.map_err(fail)?;
        config = config.with_client_ca_certs(ca).with_require_client_cert(true);
    }
    Ok(Arc::new(config.build_acceptor().map_err(fail)?))
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, tls: Option<Arc<TlsAcceptor>>) {
    loop {
        let accepted = tokio::select! {
            () = shared.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: others will end, then there is room again.
                if shared.quiet.speak() {
                    tracing::error!(%error, "MQTT broker cannot accept a connection");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(seat) = Arc::clone(&shared.seats).try_acquire_owned() else {
            let n = shared.refused_connections.fetch_add(1, Ordering::Relaxed) + 1;
            if shared.quiet.speak() {
                tracing::warn!(
                    refused = n,
                    "MQTT broker is full: {n} connections turned away; raise `mqtt.max_clients`"
                );
            }
            continue;
        };
        let (serving, tls) = (Arc::clone(&shared), tls.clone());
        shared.tasks.spawn(async move {
            serve(&serving, stream, from, tls).await;
            drop(seat);
        });
    }
}

async fn serve(shared: &Arc<Shared>, stream: TcpStream, from: SocketAddr, tls: Option<Arc<TlsAcceptor>>) {
    let _ = stream.set_nodelay(true);
    let held = Arc::new(Held::default());
    let transport = match tls {
        None => match tokio::time::timeout(HELLO_WITHIN, hello(&stream)).await {
            Ok(Hello::Mqtt) => BrokerTransport::WebSocket(Box::new(Holding::new(stream, from, Arc::clone(&held)))),
            Ok(Hello::Gone) => return,
            Ok(Hello::Other(what)) => return shared.garbage(from, what),
            Err(_) => return shared.garbage(from, "silence"),
        },
        Some(tls) => match tokio::time::timeout(HELLO_WITHIN, accept_tls_connection(&tls, stream, from)).await {
            Ok(Ok(stream)) => BrokerTransport::WebSocket(Box::new(Holding::new(stream, from, Arc::clone(&held)))),
            Ok(Err(error)) => return shared.garbage(from, &error.to_string()),
            Err(_) => return shared.garbage(from, "no TLS handshake"),
        },
    };
    let handler = ClientHandler::new(
        transport,
        from,
        Arc::clone(&shared.engine),
        Arc::clone(&shared.router),
        Arc::clone(&shared.auth),
        Some(Arc::clone(&shared.storage)),
        Arc::clone(&shared.stats),
        Arc::clone(&shared.monitor),
        shared.goodbye.subscribe(),
    );
    // A connection that arrives while the goodbye is said does not hear it.
    let overtime = async {
        shared.stopping.cancelled().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let outcome = tokio::select! {
        outcome = HELD.scope(held, handler.run()) => outcome,
        () = overtime => return,
    };
    match outcome {
        Ok(()) => {}
        Err(
            error @ (EngineError::MalformedPacket(_)
            | EngineError::ProtocolError(_)
            | EngineError::PacketTooLarge { .. }
            | EngineError::InvalidPacketType(_)
            | EngineError::InvalidQoS(_)
            | EngineError::InvalidPropertyId(_)
            | EngineError::DuplicatePropertyId(_)
            | EngineError::InvalidTopicName(_)
            | EngineError::InvalidTopicFilter(_)
            | EngineError::UnsupportedProtocolVersion),
        ) => shared.garbage(from, &error.to_string()),
        Err(error) => tracing::debug!(address = %from, %error, "MQTT connection from {from} ended"),
    }
}

enum Hello {
    Mqtt,
    Other(&'static str),
    Gone,
}

/// Looks at the first bytes without taking them: a CONNECT packet begins `0x10`, its length, `00 04 "MQTT"`.
async fn hello(stream: &TcpStream) -> Hello {
    let mut head = [0u8; 11];
    let mut seen = 0;
    loop {
        match stream.peek(&mut head).await {
            Ok(0) | Err(_) => return Hello::Gone,
            Ok(n) => {
                if let Some(answer) = is_connect(&head[..n]) {
                    return if answer { Hello::Mqtt } else { Hello::Other("the first bytes are no CONNECT packet") };
                }
                // `peek` returns at once with what it returned before; give the rest time to arrive.
                if n == seen {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                seen = n;
            }
        }
    }
}

/// Whether these bytes begin a CONNECT packet; `None` while too few to tell.
fn is_connect(head: &[u8]) -> Option<bool> {
    const NAME: &[u8; 6] = b"\x00\x04MQTT";
    const OLD_NAME: &[u8; 6] = b"\x00\x06MQIs";
    let (&kind, rest) = head.split_first()?;
    if kind != 0x10 {
        return Some(false);
    }
    let Some(length_bytes) = rest.iter().take(4).position(|b| b & 0x80 == 0) else {
        return (rest.len() >= 4).then_some(false);
    };
    let name = &rest[length_bytes + 1..];
    let seen = name.len().min(6);
    match NAME[..seen] == name[..seen] || OLD_NAME[..seen] == name[..seen] {
        true if seen == 6 => Some(true),
        true => None,
        false => Some(false),
    }
}

async fn sweep(shared: Arc<Shared>) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    every.tick().await;
    loop {
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            _ = every.tick() => {}
        }
        if let Err(error) = shared.storage.cleanup_expired().await {
            tracing::warn!(%error, "MQTT sessions were not swept");
        }
        shared.router.sweep_sessions().await;
        shared.monitor.cleanup_expired_windows().await;
    }
}
