//! A collector of traces: takes OTLP over HTTP as a Jaeger or Grafana would, and has it read by another program's definitions.

use crate::product::PATIENCE;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

/// A span as the other program read it.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Seen {
    pub resource: BTreeMap<String, Value>,
    pub scope: String,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub kind: String,
    pub began: u64,
    pub ended: u64,
    pub failed: bool,
    pub links: Vec<String>,
    pub attributes: BTreeMap<String, Value>,
}

impl Seen {
    /// An attribute that is text; empty when it is not there.
    pub fn text(&self, name: &str) -> &str {
        self.attributes.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The other program.
struct Reader {
    _child: Child,
    give: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
}

#[derive(Default)]
struct Desk {
    bodies: Mutex<Vec<Bytes>>,
    headers: Mutex<Vec<HeaderMap>>,
    answers: Mutex<VecDeque<(StatusCode, Vec<u8>)>>,
}

/// The collector.
pub struct Collector {
    address: SocketAddr,
    desk: Arc<Desk>,
    server: Option<JoinHandle<()>>,
    reader: Reader,
    read: usize,
    seen: Vec<Seen>,
}

/// Where the other program is. Nothing when it is not installed and this is no CI machine: said loudly.
fn peer() -> Option<PathBuf> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/otlp");
    let python = home.join("venv/bin/python");
    if python.exists() {
        return Some(home);
    }
    // Where the gate runs, its peers are installed: a check that is left out there is one that cannot fail.
    assert!(std::env::var_os("CI").is_none(), "OpenTelemetry's definitions for Python are not installed: see .ci/run");
    println!("skipped: {} is not there", python.display());
    None
}

impl Collector {
    /// One that takes everything, on a port of its own; nothing when the other program is not there.
    pub async fn start() -> Option<Self> {
        let home = peer()?;
        let mut child = Command::new(home.join("venv/bin/python"))
            .arg(home.join("decode.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the other program starts");
        let give = child.stdin.take().expect("its input is piped");
        let told = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let reader = Reader { _child: child, give, told };
        let mut collector = Self { address, desk: Arc::default(), server: None, reader, read: 0, seen: Vec::new() };
        collector.up().await;
        Some(collector)
    }

    /// Listens, on the same port as before.
    pub async fn up(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the collector's port is free");
        self.address = listener.local_addr().unwrap();
        let router = Router::new().route("/v1/traces", post(take)).with_state(self.desk.clone());
        self.server = Some(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    }

    /// Stops listening.
    pub async fn down(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            let _ = server.await;
        }
    }

    /// What the configuration names.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers the next request so; those after it are taken again.
    pub fn answer(&self, status: StatusCode, body: &[u8]) {
        self.desk.answers.lock().unwrap().push_back((status, body.to_vec()));
    }

    /// The headers of every request.
    pub fn headers(&self) -> Vec<HeaderMap> {
        self.desk.headers.lock().unwrap().clone()
    }

    /// Every byte it took.
    pub fn bytes(&self) -> Vec<u8> {
        self.desk.bodies.lock().unwrap().concat()
    }

    /// Every span it took so far.
    pub async fn seen(&mut self) -> &[Seen] {
        let bodies: Vec<_> = self.desk.bodies.lock().unwrap().iter().skip(self.read).cloned().collect();
        for body in bodies {
            let line = format!("{}\n", STANDARD.encode(&body));
            self.reader.give.write_all(line.as_bytes()).await.expect("the other program reads");
            let told = tokio::time::timeout(PATIENCE, self.reader.told.next_line()).await.expect("it answers in time");
            let told = told.unwrap().expect("the other program can read it");
            self.seen.extend(serde_json::from_str::<Vec<Seen>>(&told).unwrap());
            self.read += 1;
        }
        &self.seen
    }

    /// Waits until the spans it took fit.
    pub async fn until<T>(&mut self, what: &str, look: impl Fn(&[Seen]) -> Option<T>) -> T {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        let began = std::time::Instant::now();
        loop {
            tick.tick().await;
            if let Some(found) = look(self.seen().await) {
                return found;
            }
            let names: Vec<_> = self.seen.iter().map(|span| (&span.trace, &span.name)).collect();
            assert!(began.elapsed() < PATIENCE, "never: {what}; seen {names:#?}");
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }
}

/// Answers and hangs up: a connection that is kept would outlive [`Collector::down`].
async fn take(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    assert_eq!(headers[CONTENT_TYPE], "application/x-protobuf");
    desk.headers.lock().unwrap().push(headers);
    let (status, answer) = desk.answers.lock().unwrap().pop_front().unwrap_or((StatusCode::OK, Vec::new()));
    if status.is_success() {
        desk.bodies.lock().unwrap().push(body);
    }
    (status, [(CONNECTION, "close")], answer)
}
