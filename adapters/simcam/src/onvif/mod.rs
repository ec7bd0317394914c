//! The ONVIF side of a virtual camera: device, media, PTZ and event services over plain HTTP, and WS-Discovery by unicast.
//!
//! ```text
//!  POST /onvif/{service} ─ digest or WS-UsernameToken ─▶ device · media · media2 · ptz · events
//!                                                                          │       └─ pull points (bounded)
//!                                                                          └─ scene::Head: the window that is seen
//! ```
//! Like many a real camera it names its pull points by reference parameters (WS-Addressing 1.0 §2.2): who does not send them
//! back gets a fault. Like others it can name them by their address instead.

mod device;
mod events;
mod media;
mod ptz;
mod security;
mod soap;
mod xml;

pub use events::Topic;

use crate::rtsp::auth::{Gate, Users, Verdict};
use crate::scene::Head;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use events::PullPoints;
use soap::Fault;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::{CancellationToken, DropGuard};
use xml::Node;

/// Largest request, bytes.
const BODY_MAX: usize = 256 * 1024;

/// One stream that the camera offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name and token.
    pub name: String,
    /// Where it is, `rtsp://…`.
    pub uri: String,
    /// `H264` or `H265`.
    pub codec: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Pictures a second.
    pub fps: u32,
}

/// What a camera is.
#[derive(Debug, Clone)]
pub struct OnvifConfig {
    /// Its name, as scopes and discovery show it.
    pub name: String,
    /// Its serial number.
    pub serial: String,
    /// Its streams.
    pub profiles: Vec<Profile>,
    /// Its head, where it has one.
    pub head: Option<Arc<Head>>,
    /// How far its clock is off, seconds.
    pub clock_off_s: i64,
    /// Whether it has the second media service (Profile T).
    pub media2: bool,
    /// Whether pull points are named by reference parameters alone, and not by their address.
    pub references: bool,
}

impl OnvifConfig {
    /// A camera with these streams, a right clock and no head.
    pub fn new(name: impl Into<String>, profiles: Vec<Profile>) -> Self {
        let name = name.into();
        Self {
            serial: format!("SIM-{name}"),
            name,
            profiles,
            head: None,
            clock_off_s: 0,
            media2: true,
            references: true,
        }
    }
}

/// What a camera has counted since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnvifStats {
    /// Requests answered.
    pub requests: u64,
    /// Requests with wrong or without credentials.
    pub unauthorised: u64,
    /// Pull points that are open.
    pub subscriptions: u64,
    /// Pull points opened since the start.
    pub subscribed: u64,
}

/// The running services of one camera; dropping it closes them.
#[derive(Debug)]
pub struct OnvifCamera {
    local_addr: SocketAddr,
    probe_addr: Option<SocketAddr>,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Debug)]
pub(crate) struct Shared {
    config: OnvifConfig,
    base: String,
    gate: Gate,
    users: Users,
    points: PullPoints,
    requests: AtomicU64,
    unauthorised: AtomicU64,
}

impl OnvifCamera {
    /// Listens on `addr` (port 0: any) and serves; without users everybody may command. Must be called inside a Tokio runtime.
    pub async fn bind(addr: SocketAddr, users: Users, config: OnvifConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let local_addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            base: format!("http://{local_addr}/onvif"),
            gate: Gate::new(users.clone()),
            points: PullPoints::new(),
            users,
            config,
            requests: AtomicU64::new(0),
            unauthorised: AtomicU64::new(0),
        });
        let stop = CancellationToken::new();
        let router = Router::new()
            .route("/onvif/{service}", post(serve))
            .layer(DefaultBodyLimit::max(BODY_MAX))
            .with_state(shared.clone());
        let stopped = stop.clone();
        tokio::spawn(async move {
            let serving = axum::serve(listener, router).into_future();
            // Cut, not drained: a camera that loses its power says no goodbye.
            tokio::select! {
                _ = serving => {}
                () = stopped.cancelled() => {}
            }
        });
        Ok(Self { local_addr, probe_addr: None, shared, _stop: stop.drop_guard() })
    }

    /// Also answers WS-Discovery probes that are sent to this UDP address (port 0: any; the standard's is 3702).
    pub async fn discoverable(mut self, addr: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(addr).await?;
        self.probe_addr = Some(socket.local_addr()?);
        let (shared, stop) = (self.shared.clone(), self.shared.points.closing());
        tokio::spawn(async move {
            tokio::select! {
                () = device::answer_probes(&socket, &shared) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(self)
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where it answers probes, if it does.
    pub fn probe_addr(&self) -> Option<SocketAddr> {
        self.probe_addr
    }

    /// The address of its device service.
    pub fn device_service(&self) -> String {
        format!("{}/device_service", self.shared.base)
    }

    /// Something the camera notices begins or ends; told to every pull point when it is news.
    pub fn tell(&self, topic: Topic, active: bool) {
        self.shared.points.tell(topic, active);
    }

    /// Says again what is already so, as cameras do that repeat themselves.
    pub fn repeat(&self, topic: Topic) {
        self.shared.points.repeat(topic);
    }

    /// The counters.
    pub fn stats(&self) -> OnvifStats {
        let (subscriptions, subscribed) = self.shared.points.count();
        OnvifStats {
            requests: self.shared.requests.load(Ordering::Relaxed),
            unauthorised: self.shared.unauthorised.load(Ordering::Relaxed),
            subscriptions,
            subscribed,
        }
    }
}

impl Drop for OnvifCamera {
    fn drop(&mut self) {
        self.shared.points.close();
    }
}

impl Shared {
    /// The refusal of a request that may not have its answer.
    fn refusal(&self, path: &str, headers: &HeaderMap, envelope: &Node) -> Option<Response> {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let by_digest = self.gate.judge("POST", path, authorization);
        if by_digest == Verdict::Granted {
            return None;
        }
        let by_token = security::judge(&self.users, envelope, self.now());
        if by_digest == Verdict::Missing && by_token == Verdict::Granted {
            return None;
        }
        self.unauthorised.fetch_add(1, Ordering::Relaxed);
        if by_digest == Verdict::Missing && by_token == Verdict::Wrong {
            return Some(Fault::sender("ter:NotAuthorized", "Sender not Authorized").into_response());
        }
        let challenge = self.gate.challenge(by_digest == Verdict::Stale);
        Some((StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response())
    }

    /// Now, by the camera's clock.
    fn now(&self) -> jiff::Timestamp {
        let off = jiff::SignedDuration::from_secs(self.config.clock_off_s);
        jiff::Timestamp::now().saturating_add(off).unwrap_or(jiff::Timestamp::MAX)
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    Path(service): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let Some(envelope) = Node::read(&body).filter(|node| node.name == "Envelope") else {
        return Fault::sender("ter:WellFormed", "Well-formed Error").into_response();
    };
    let Some(request) = envelope.child("Body").and_then(|body| body.children.first()) else {
        return Fault::sender("ter:InvalidArgs", "The body is empty").into_response();
    };
    if !device::open_to_all(&request.name)
        && let Some(refused) = shared.refusal(&format!("/onvif/{service}"), &headers, &envelope)
    {
        return refused;
    }
    let answer = match service.as_str() {
        "device_service" => device::answer(&shared, request),
        "media_service" => media::answer(&shared, request),
        "media2_service" if shared.config.media2 => media::answer2(&shared, request),
        "ptz_service" => ptz::answer(&shared, request),
        "event_service" => events::answer(&shared, request),
        "subscription" => events::pull(&shared, &envelope, query.get("id").map(String::as_str), request).await,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    match answer {
        Ok(body) => soap::envelope(&body),
        Err(fault) => fault.into_response(),
    }
}

#[cfg(test)]
mod tests;
