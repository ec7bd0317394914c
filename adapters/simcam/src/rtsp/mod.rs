//! An RTSP server (RFC 2326): what the virtual cameras speak on the wire.
//!
//! One port, many mounts; digest authentication; H.264 or H.265, and G.711 or AAC beside it, over TCP (interleaved) and UDP
//! unicast; RTCP sender reports.
//! Clients are bounded, each has a bounded queue that drops to the next key frame ([`source`]).
//!
//! ```text
//!  scene::Studio ─▶ LiveSource ─▶ Listener (bounded) ─▶ client task ─▶ RTP
//!  clip::play    ─▶      └─ group of pictures for those who join
//! ```

pub mod auth;
mod client;
pub mod clip;
pub mod message;
pub mod rtp;
pub mod sound;
pub mod source;

pub use auth::Users;
pub use sound::SoundCoding;
pub use source::{AccessUnit, Faults, LiveSource, ParameterSets};

use auth::Gate;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, warn};

/// Connections at a time; one more is answered 503.
pub const CLIENTS_MAX: usize = 128;

/// A running RTSP server; dropping it closes every connection.
#[derive(Debug)]
pub struct RtspServer {
    local_addr: SocketAddr,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

/// What a server has counted since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtspStats {
    /// Connections open now.
    pub clients: u64,
    /// Connections refused because [`CLIENTS_MAX`] were open.
    pub refused: u64,
    /// Requests with wrong credentials.
    pub unauthorized: u64,
    /// Connections closed because they did not speak RTSP.
    pub malformed: u64,
    /// Pictures sent, over all clients.
    pub sent: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    clients: AtomicU64,
    refused: AtomicU64,
    unauthorized: AtomicU64,
    malformed: AtomicU64,
    sent: AtomicU64,
}

impl Counters {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    mounts: RwLock<BTreeMap<String, Arc<LiveSource>>>,
    gate: Gate,
    counters: Counters,
}

impl Shared {
    fn find(&self, path: &str) -> Option<Arc<LiveSource>> {
        self.mounts.read().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }
}

impl RtspServer {
    /// Listens on `addr` (port 0: any) and serves; without users everybody may watch. Must be called inside a Tokio runtime.
    pub async fn bind(addr: SocketAddr, users: Users) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let local_addr = listener.local_addr()?;
        let shared =
            Arc::new(Shared { mounts: RwLock::default(), gate: Gate::new(users), counters: Counters::default() });
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, shared.clone(), stop.clone()));
        Ok(Self { local_addr, shared, _stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves `source` at `path` (`/gate-east` or `gate-east`); replaces what was there for clients that come from now on.
    pub fn mount(&self, path: &str, source: Arc<LiveSource>) {
        let path = format!("/{}", path.trim_matches('/'));
        self.shared.mounts.write().unwrap_or_else(PoisonError::into_inner).insert(path, source);
    }

    /// Takes a mount away; its clients end when the source is dropped.
    pub fn unmount(&self, path: &str) -> bool {
        let path = format!("/{}", path.trim_matches('/'));
        self.shared.mounts.write().unwrap_or_else(PoisonError::into_inner).remove(&path).is_some()
    }

    /// The URL of a mount, without credentials.
    pub fn url(&self, path: &str) -> String {
        format!("rtsp://{}/{}", self.local_addr, path.trim_matches('/'))
    }

    /// The counters.
    pub fn stats(&self) -> RtspStats {
        let c = &self.shared.counters;
        let get = |a: &AtomicU64| a.load(Ordering::Relaxed);
        RtspStats {
            clients: get(&c.clients),
            refused: get(&c.refused),
            unauthorized: get(&c.unauthorized),
            malformed: get(&c.malformed),
            sent: get(&c.sent),
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: it passes, and a busy loop would not help.
                warn!(%error, "The RTSP server could not accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(seat) = room.clone().try_acquire_owned() else {
            Counters::count(&shared.counters.refused);
            tokio::spawn(refuse(stream));
            continue;
        };
        let (shared, stop) = (shared.clone(), stop.clone());
        tokio::spawn(async move {
            let _seat = seat;
            shared.counters.clients.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                result = client::serve(stream, peer, &shared) => {
                    if let Err(error) = result {
                        debug!(%peer, %error, "An RTSP connection broke");
                    }
                }
                () = stop.cancelled() => {}
            }
            shared.counters.clients.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn refuse(mut stream: TcpStream) {
    let answer = message::Response::new(503, None).header("Retry-After", 5).encode();
    let written = tokio::time::timeout(std::time::Duration::from_secs(1), stream.write_all(&answer)).await;
    if matches!(written, Ok(Ok(()))) {
        let _ = client::close(stream).await;
    }
}

#[cfg(test)]
mod tests;
