//! Webhooks: notices as signed HTTP POSTs, after the Standard Webhooks scheme.
//!
//! One attempt per call; when to try again is not decided here. The address is resolved once, checked, and that very address
//! is connected to; redirects are not followed, proxies are not used, the answer's body is not read.

mod address;
mod config;
mod sign;

pub use address::refuse;
pub use config::{ConfigError, WebhookConfig};
pub use sign::{Secret, SecretError, new_secret, signature};

use gatehouse_core::outbox::{Answer, Parcel};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::lookup_host;
use url::{Host, Url};

/// How long an attempt may take, from resolving the name to the status line.
const LIMIT: Duration = Duration::from_secs(10);

/// The targets that parcels go to.
#[derive(Clone, Default)]
pub struct Webhooks(Arc<BTreeMap<String, Endpoint>>);

struct Endpoint {
    config: WebhookConfig,
    tls: ClientConfig,
    /// The client of the addresses it was made for: kept while the name resolves to the same, so that connections are reused.
    client: Mutex<Option<(Vec<SocketAddr>, Client)>>,
}

impl Webhooks {
    /// The targets as configured.
    pub fn new(configs: Vec<WebhookConfig>) -> Result<Self, rustls::Error> {
        if configs.is_empty() {
            return Ok(Self::default());
        }
        let tls = crate::tls::client()?;
        let endpoint = |config: WebhookConfig| {
            (config.name.clone(), Endpoint { config, tls: tls.clone(), client: Mutex::default() })
        };
        Ok(Self(Arc::new(configs.into_iter().map(endpoint).collect())))
    }

    /// Makes one attempt.
    pub async fn send(&self, parcel: Parcel) -> Answer {
        let Some(endpoint) = self.0.get(&parcel.target) else {
            return Answer::Failed { reason: "the target is not configured".into() };
        };
        match tokio::time::timeout(LIMIT, endpoint.send(parcel)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => Answer::Failed { reason },
            Err(_) => Answer::Failed { reason: format!("no answer within {} s", LIMIT.as_secs()) },
        }
    }
}

impl Endpoint {
    async fn send(&self, parcel: Parcel) -> Result<Answer, String> {
        let client = self.client().await?;
        let (id, timestamp) = (parcel.id.to_string(), parcel.at.as_second());
        let signature = signature(&self.config.secret, &id, timestamp, &parcel.body);
        let request = client
            .post(self.config.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", signature)
            .body(parcel.body);
        let response = request.send().await.map_err(|error| self.explain(error))?;
        Ok(match response.status() {
            status if status.is_success() => Answer::Taken,
            StatusCode::GONE => Answer::Gone,
            status if status.is_redirection() => {
                Answer::Failed { reason: format!("the receiver answered {status}: redirects are not followed") }
            }
            status => Answer::Failed { reason: format!("the receiver answered {status}") },
        })
    }

    /// A client that can connect to the checked addresses of the target and to nothing else.
    async fn client(&self) -> Result<Client, String> {
        let addresses = self.addresses().await?;
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, client)) = &*kept
            && *of == addresses
        {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .use_preconfigured_tls(self.tls.clone())
            .no_proxy()
            .redirect(Policy::none())
            .timeout(LIMIT)
            .user_agent(concat!("gatehouse/", env!("CARGO_PKG_VERSION")))
            .resolve_to_addrs(&self.config.host(), &addresses)
            .build()
            .map_err(|error| self.explain(error))?;
        *kept = Some((addresses, client.clone()));
        Ok(client)
    }

    /// Resolves the target's host. One address that is not allowed spoils them all.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let (host, port) = (self.config.host(), self.config.url.port_or_known_default().unwrap_or(443));
        let mut addresses: Vec<SocketAddr> = match literal(&self.config.url) {
            Some(ip) => vec![SocketAddr::new(ip, port)],
            None => lookup_host((host.as_str(), port))
                .await
                .map_err(|error| format!("{host} cannot be resolved: {error}"))?
                .collect(),
        };
        if let Some((address, why)) =
            addresses.iter().find_map(|address| Some((address.ip(), refuse(address.ip(), self.config.allow_private)?)))
        {
            let remedy = match self.config.allow_private {
                false if refuse(address, true).is_none() => {
                    ": if that is meant, set allow_private = true for this target"
                }
                _ => "",
            };
            return Err(format!("{host} is at {address}, {why} address, and is not connected to{remedy}"));
        }
        if addresses.is_empty() {
            return Err(format!("{host} has no address"));
        }
        addresses.sort();
        Ok(addresses)
    }

    /// What went wrong, without the URL: its path may be a secret.
    fn explain(&self, error: reqwest::Error) -> String {
        if error.is_timeout() {
            return format!("no answer within {} s", LIMIT.as_secs());
        }
        let what = if error.is_connect() { "cannot be connected to" } else { "was lost during the attempt" };
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        format!("{} {what}: {cause}", self.config.host())
    }
}

/// The address that a URL names without a name.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
        Host::Domain(_) => None,
    }
}
