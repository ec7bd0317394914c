//! How the adapter reaches its broker.

use super::gate::Gate;
use gatehouse_core::id::{DeviceId, DeviceKey};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// How the adapter reaches its broker, embedded or not.
#[derive(Clone)]
pub struct MqttConfig {
    /// Broker's host name or address.
    pub host: String,
    /// Broker's port.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
    /// Client identifier; the broker keeps this identifier's unacknowledged events while Gatehouse is away.
    pub client_id: String,
    /// TLS, where the broker is not on this machine.
    pub tls: Option<MqttTls>,
    /// First level of discovery topics; `None` turns discovery off.
    pub discovery_prefix: Option<String>,
    /// Devices of the native convention; may grow while the adapter runs.
    pub devices: Arc<KnownDevices>,
    /// Where the adapter reports about itself.
    pub health: Arc<MqttHealth>,
    /// The embedded broker's gate: with it a device's event is acknowledged after its commit.
    pub gate: Option<Arc<Gate>>,
}

impl std::fmt::Debug for MqttConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MqttConfig {{ {}@{}:{} as {} }}", self.user, self.host, self.port, self.client_id)
    }
}

impl MqttConfig {
    /// A plain connection, discovery on.
    pub fn new(host: &str, port: u16, user: &str, password: &str) -> Self {
        Self {
            host: host.to_owned(),
            port,
            user: user.to_owned(),
            password: password.to_owned(),
            client_id: "gatehouse".to_owned(),
            tls: None,
            discovery_prefix: Some("homeassistant".to_owned()),
            devices: Arc::default(),
            health: Arc::default(),
            gate: None,
        }
    }

    /// The same behind the embedded broker's gate.
    pub fn with_gate(self, gate: Arc<Gate>) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// The same with these native devices.
    pub fn with_devices(self, keys: impl IntoIterator<Item = DeviceKey>) -> Self {
        keys.into_iter().for_each(|key| self.devices.add(key));
        self
    }
}

/// TLS towards the broker.
#[derive(Clone, Debug, Default)]
pub struct MqttTls {
    /// Authority that signed the broker's certificate, PEM; `None`: the system's.
    pub ca: Option<PathBuf>,
}

/// The native devices, by id: a command must find its topic even when the device has not spoken yet.
#[derive(Debug, Default)]
pub struct KnownDevices(RwLock<HashMap<DeviceId, DeviceKey>>);

impl KnownDevices {
    /// Adds a device.
    pub fn add(&self, key: DeviceKey) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key.id(), key);
    }

    /// The key of an id.
    pub fn key(&self, id: DeviceId) -> Option<DeviceKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

/// The adapter's own state, for the health page.
#[derive(Debug, Default)]
pub struct MqttHealth {
    /// Whether the broker is there and devices are listened to.
    pub connected: AtomicBool,
    /// Messages received.
    pub messages: AtomicU64,
    /// Messages that could not be read.
    pub undecodable: AtomicU64,
    /// Messages of devices that the site does not know.
    pub unknown: AtomicU64,
    /// Telemetry given up because newer came before it could be taken.
    pub dropped: AtomicU64,
    /// Connections made.
    pub connections: AtomicU64,
    last_error: Mutex<String>,
}

impl MqttHealth {
    /// Why the broker is not there, in a sentence; empty when it is.
    pub fn last_error(&self) -> String {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_error(&self, error: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}
