//! An integrator's system: an HTTP server on loopback that checks every signature itself and keeps what it was told.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONNECTION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatehouse_actors::OutboxConfig;
use gatehouse_console::config::Webhook;
use gatehouse_console::webhooks;
use gatehouse_core::outbox::Origin;
use ring::hmac;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long a test waits for a notice.
const PATIENCE: Duration = Duration::from_secs(20);
/// What notices are signed with.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Told {
    /// The header `webhook-id`.
    pub id: String,
    /// The header `webhook-timestamp`.
    pub timestamp: i64,
    /// The body as it came.
    pub text: String,
    /// The body read.
    pub notice: serde_json::Value,
    /// What it was answered; nothing when it was left without an answer.
    pub answer: Option<u16>,
}

impl Told {
    /// The notice's type.
    pub fn kind(&self) -> &str {
        self.notice["type"].as_str().unwrap()
    }
}

type Choice = Box<dyn Fn(&Told) -> Option<u16> + Send>;

struct Desk {
    told: Mutex<Vec<Told>>,
    forged: Mutex<Vec<String>>,
    choice: Mutex<Choice>,
}

/// The receiver.
pub struct Receiver {
    address: SocketAddr,
    desk: Arc<Desk>,
    server: Option<JoinHandle<()>>,
    secret: tempfile::NamedTempFile,
}

impl Receiver {
    /// One that takes everything, on a port of its own.
    pub async fn start() -> Self {
        let choice: Choice = Box::new(|_| Some(204));
        let desk = Arc::new(Desk { told: Mutex::default(), forged: Mutex::default(), choice: Mutex::new(choice) });
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), SECRET).unwrap();
        let mut receiver = Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), desk, server: None, secret };
        receiver.up().await;
        receiver
    }

    /// Listens, on the same port as before.
    pub async fn up(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the receiver's port is free");
        self.address = listener.local_addr().unwrap();
        let router = Router::new().route("/alarms", post(take)).with_state(self.desk.clone());
        self.server = Some(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    }

    /// Stops listening.
    pub async fn down(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            let _ = server.await;
        }
    }

    /// Chooses answers: a status, or none at all.
    pub fn answer(&self, choice: impl Fn(&Told) -> Option<u16> + Send + 'static) {
        *self.desk.choice.lock().unwrap() = Box::new(choice);
    }

    /// How the program knows it.
    pub fn webhook(&self) -> Webhook {
        Webhook {
            name: "integrator".into(),
            url: format!("http://{}/alarms", self.address),
            secret_file: self.secret.path().to_owned(),
            min_priority: 4,
            kinds: Vec::new(),
            allow_private: true,
        }
    }

    /// The outbox of a compound that tells it.
    pub fn outbox(&self, change: impl FnOnce(&mut Webhook)) -> OutboxConfig {
        let mut webhook = self.webhook();
        change(&mut webhook);
        let origin = Origin { site: "Test compound".into(), console: "https://gate.example".into() };
        webhooks::open(&[webhook], origin).expect("the webhook opens")
    }

    /// Everything it was told so far, each attempt.
    pub fn told(&self) -> Vec<Told> {
        assert!(self.desk.forged.lock().unwrap().is_empty(), "badly signed: {:?}", self.desk.forged.lock().unwrap());
        self.desk.told.lock().unwrap().clone()
    }

    /// What it took, in the order of its answers.
    pub fn taken(&self) -> Vec<Told> {
        self.told().into_iter().filter(|told| told.answer.is_some_and(|status| status < 300)).collect()
    }

    /// Waits until what it was told fits.
    pub async fn until<T>(&self, what: &str, look: impl Fn(&[Told]) -> Option<T>) -> T {
        let waited = async {
            loop {
                if let Some(found) = look(&self.told()) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, waited).await {
            Ok(found) => found,
            Err(_) => panic!("never: {what}; told {:#?}", self.told()),
        }
    }

    /// Waits for its nth request, the first being 1.
    pub async fn nth(&self, n: usize) -> Told {
        self.until(&format!("request {n}"), |told| told.get(n - 1).cloned()).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }
}

/// Answers and hangs up: a connection that is kept would outlive [`Receiver::down`].
async fn take(state: State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    ([(CONNECTION, "close")], judge(state, headers, body).await)
}

async fn judge(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let text = String::from_utf8(body.to_vec()).unwrap();
    // Written out here, not with the program's own code: what an integrator would write.
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap());
    let signed = format!("{id}.{timestamp}.{text}");
    let valid = header("webhook-signature").split(' ').any(|one| {
        let tag = one.strip_prefix("v1,").and_then(|tag| STANDARD.decode(tag).ok()).unwrap_or_default();
        hmac::verify(&key, signed.as_bytes(), &tag).is_ok()
    });
    if !valid || header("content-type") != "application/json" {
        desk.forged.lock().unwrap().push(signed);
        return StatusCode::BAD_REQUEST;
    }
    let notice = serde_json::from_str(&text).unwrap();
    let mut told = Told { id, timestamp: timestamp.parse().unwrap(), text, notice, answer: None };
    told.answer = (desk.choice.lock().unwrap())(&told);
    let answer = told.answer;
    desk.told.lock().unwrap().push(told);
    match answer {
        Some(status) => StatusCode::from_u16(status).unwrap(),
        None => std::future::pending().await,
    }
}
