//! Traces for a collector: OTLP over HTTP, in protobuf.
//!
//! ```text
//! spans ──▶ queue of 8 192 ──▶ up to 512, or what came in a second ──▶ POST …/v1/traces
//!             │ full: the newest is dropped and counted        ▲            │ cannot now: the same again after a pause
//!             ▼                                                └────────────┘ will never: dropped and counted
//! ```
//! Who offers a span never waits. Redirects are not followed, proxies are not used; what the collector wants to be shown comes
//! from a file and is never logged.

mod codec;
mod config;

pub use config::{ConfigError, OtlpConfig};

use crate::reconnect::Backoff;
use gatehouse_core::trace::{Sink, Span};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Spans that may wait, some 500 bytes each.
pub const QUEUE: usize = 8_192;
/// Spans of one request: some 150 kB.
const BATCH: usize = 512;
/// How long the first span of a request waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest pause between two tries, also when the collector asks for a longer one.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long what waits may take when the program stops.
const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;

/// How the exporter does. Field names are the wire's.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OtlpHealth {
    /// The collector: scheme, host and port.
    pub endpoint: String,
    /// Spans that it took since the start.
    pub exported: u64,
    /// Spans that were dropped since the start.
    pub dropped: u64,
    /// Spans that wait.
    pub depth: u64,
    /// Spans that may wait.
    pub limit: u64,
    /// What keeps spans from it, with what to do; empty when nothing does.
    pub error: String,
}

struct Inner {
    config: OtlpConfig,
    client: Client,
    queue: mpsc::Sender<Span>,
    stop: CancellationToken,
    exported: AtomicU64,
    dropped: AtomicU64,
    /// Spans that left the queue and are not with the collector yet.
    in_hand: AtomicU64,
    error: Mutex<String>,
}

/// The exporter.
#[derive(Clone)]
pub struct Exporter(Arc<Inner>);

/// Why a request did not bring its spans home.
enum Failed {
    /// It may another time; the pause that the collector asks for.
    Now(String, Option<Duration>),
    /// It never will.
    Ever(String),
}

impl Exporter {
    /// An exporter, and its work.
    pub fn new(config: OtlpConfig) -> Result<(Self, impl Future<Output = ()> + Send), String> {
        let client = Client::builder()
            .use_preconfigured_tls(crate::tls::client().map_err(|error| error.to_string())?)
            .no_proxy()
            .redirect(Policy::none())
            .timeout(LIMIT)
            .user_agent(concat!("gatehouse/", env!("CARGO_PKG_VERSION")))
            .default_headers(config.headers.clone())
            .build()
            .map_err(|error| error.to_string())?;
        let (queue, spans) = mpsc::channel(QUEUE);
        let exporter = Self(Arc::new(Inner {
            config,
            client,
            queue,
            stop: CancellationToken::new(),
            exported: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            in_hand: AtomicU64::new(0),
            error: Mutex::default(),
        }));
        Ok((exporter.clone(), exporter.work(spans)))
    }

    /// How it does.
    pub fn health(&self) -> OtlpHealth {
        let waiting = self.0.queue.max_capacity() - self.0.queue.capacity();
        OtlpHealth {
            endpoint: self.0.config.shown(),
            exported: self.0.exported.load(Ordering::Relaxed),
            dropped: self.0.dropped.load(Ordering::Relaxed),
            depth: waiting as u64 + self.0.in_hand.load(Ordering::Relaxed),
            limit: (QUEUE + BATCH) as u64,
            error: self.0.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Has what waits sent, each batch once more, and ends the work.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    async fn work(self, mut spans: mpsc::Receiver<Span>) {
        let mut batch = Vec::with_capacity(BATCH);
        let stop = self.0.stop.clone();
        while !stop.is_cancelled() {
            tokio::select! {
                more = spans.recv_many(&mut batch, BATCH) => if more == 0 { return },
                () = stop.cancelled() => break,
            }
            let gather = tokio::time::sleep(GATHER);
            tokio::pin!(gather);
            while batch.len() < BATCH {
                let room = BATCH - batch.len();
                tokio::select! {
                    more = spans.recv_many(&mut batch, room) => if more == 0 { break },
                    () = &mut gather => break,
                    () = stop.cancelled() => break,
                }
            }
            self.0.in_hand.store(batch.len() as u64, Ordering::Relaxed);
            if self.bring(&batch).await {
                batch.clear();
                self.0.in_hand.store(0, Ordering::Relaxed);
            }
        }
        let farewell = async {
            while !batch.is_empty() || spans.try_recv().map(|span| batch.push(span)).is_ok() {
                while batch.len() < BATCH && spans.try_recv().map(|span| batch.push(span)).is_ok() {}
                match self.send(&batch).await {
                    Ok(()) => batch.clear(),
                    Err(Failed::Now(..) | Failed::Ever(_)) => return,
                }
            }
        };
        let _ = timeout(FAREWELL, farewell).await;
        self.0.in_hand.store(0, Ordering::Relaxed);
    }

    /// Sends a batch until the collector has it or will never take it; false when the program stops meanwhile.
    async fn bring(&self, batch: &[Span]) -> bool {
        let mut backoff = Backoff::new(Duration::from_secs(1), PAUSE_MAX);
        loop {
            let sent = tokio::select! {
                sent = self.send(batch) => sent,
                () = self.0.stop.cancelled() => return false,
            };
            match sent {
                Ok(()) => return true,
                Err(Failed::Ever(why)) => {
                    self.drop_spans(batch.len() as u64);
                    self.trouble(why);
                    return true;
                }
                Err(Failed::Now(why, asked)) => {
                    self.trouble(why);
                    let pause = backoff.next_wait().max(asked.unwrap_or_default()).min(PAUSE_MAX);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.0.stop.cancelled() => return false,
                    }
                }
            }
        }
    }

    /// One request.
    async fn send(&self, batch: &[Span]) -> Result<(), Failed> {
        let config = &self.0.config;
        let request = self.0.client.post(config.url.clone()).header(CONTENT_TYPE, "application/x-protobuf");
        let response = request.body(codec::encode(config, batch)).send().await.map_err(|error| self.explain(error))?;
        if !response.status().is_success() {
            return Err(self.judge(&response));
        }
        let (refused, why) = codec::refused(&head(response).await);
        let refused = refused.min(batch.len() as u64);
        self.drop_spans(refused);
        self.0.exported.fetch_add(batch.len() as u64 - refused, Ordering::Relaxed);
        if refused > 0 {
            let why: String = why.chars().take(200).collect();
            self.trouble(format!(
                "The collector did not take {refused} spans and says {why:?}: look at its own limits"
            ));
        } else {
            self.well();
        }
        Ok(())
    }

    /// What an answer that is no success means.
    fn judge(&self, response: &Response) -> Failed {
        let (at, status) = (self.0.config.shown(), response.status());
        let asked = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
        let what = format!("The collector at {at} answers {status}");
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Failed::Now(
                format!("{what}: it has too much to do or is starting; spans wait. Lower traces.sample if that lasts"),
                asked.map(Duration::from_secs),
            ),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Failed::Ever(format!("{what}: check the token in the file that traces.headers_file names"))
            }
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Failed::Ever(format!(
                    "{what}: traces.endpoint must be where it takes OTLP over HTTP, usually port 4318"
                ))
            }
            status if status.is_redirection() => {
                Failed::Ever(format!("{what}: redirects are not followed; name the final address as traces.endpoint"))
            }
            _ => Failed::Ever(format!("{what}: the reason is in the collector's own log")),
        }
    }

    /// What keeps a request from being answered.
    fn explain(&self, error: reqwest::Error) -> Failed {
        let at = self.0.config.shown();
        if error.is_timeout() {
            let limit = LIMIT.as_secs();
            return Failed::Now(
                format!("The collector at {at} does not answer within {limit} s: check that it runs"),
                None,
            );
        }
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let remedy =
            "check that it runs and takes OTLP over HTTP there, or remove traces.endpoint from the configuration";
        Failed::Now(format!("The collector at {at} cannot be reached ({cause}): {remedy}"), None)
    }

    fn drop_spans(&self, count: u64) {
        self.0.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Keeps what is wrong, and logs it once.
    fn trouble(&self, why: String) {
        let mut error = self.0.error.lock().unwrap_or_else(PoisonError::into_inner);
        if error.is_empty() {
            warn!("{why}");
        }
        *error = why;
    }

    fn well(&self) {
        let mut error = self.0.error.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut *error).is_empty() {
            info!("Traces reach their collector again");
        }
    }
}

impl Sink for Exporter {
    fn offer(&self, span: Span) {
        if self.0.queue.try_send(span).is_err() {
            self.drop_spans(1);
        }
    }

    fn missed(&self) {
        self.drop_spans(1);
    }
}

/// The beginning of an answer.
async fn head(mut response: Response) -> Vec<u8> {
    let mut head = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        head.extend_from_slice(&chunk);
        if head.len() > ANSWER {
            break;
        }
    }
    head
}
