//! SOAP 1.2 over HTTP to one camera: envelope out, element in; who we are proven as the camera asks.

use super::auth::{Account, authorization, security};
use super::xml::{BYTES_MAX, Element, XmlError, escaped};
use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use reqwest::{Client, StatusCode, header};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use url::Url;

/// A camera has so long to answer, apart from a pull that it holds open.
pub const ANSWER_MAX: Duration = Duration::from_secs(5);
/// And so long to be reached at all.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Why a camera gave no answer that can be used. Sentences never hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OnvifError {
    /// Nothing answers.
    #[error("no answer from {0}: is the camera reachable, and is ONVIF switched on?")]
    Unreachable(String),
    /// It answers, but too late.
    #[error("{0} gave no answer in time")]
    Silent(String),
    /// User or password is wrong, or the account may not do that.
    #[error(
        "{0} refused user or password: check the camera's ONVIF account, often one of its own beside the web account"
    )]
    Unauthorised(String),
    /// It has no such function.
    #[error("the camera does not offer {0}")]
    Unsupported(String),
    /// It refuses, in its own words.
    #[error("the camera refused {what}: {reason}")]
    Fault {
        /// The operation.
        what: String,
        /// Its subcode and text.
        reason: String,
    },
    /// What came is not what the operation answers.
    #[error("the answer to {what} cannot be read: {why}")]
    Undecodable {
        /// The operation.
        what: String,
        /// Why.
        why: String,
    },
    /// What is asked makes no sense for this camera.
    #[error("{0}")]
    Invalid(String),
}

impl OnvifError {
    pub(crate) fn undecodable(what: &str, why: impl std::fmt::Display) -> Self {
        OnvifError::Undecodable { what: what.to_owned(), why: why.to_string() }
    }

    /// The word of a stream that is not there for this reason, as cameras' states have it.
    pub fn word(&self) -> &'static str {
        match self {
            OnvifError::Unauthorised(_) => "unauthorised",
            OnvifError::Undecodable { .. } => "undecodable",
            OnvifError::Unreachable(_)
            | OnvifError::Silent(_)
            | OnvifError::Unsupported(_)
            | OnvifError::Fault { .. }
            | OnvifError::Invalid(_) => "refused",
        }
    }
}

/// A client of one camera's services.
#[derive(Debug)]
pub struct Soap {
    http: Client,
    account: Account,
    /// The device service as configured.
    base: Url,
    /// The camera's clock minus ours, ms.
    clock_off_ms: AtomicI64,
    /// Whether the camera asked for HTTP digest: tokens in the envelope are left out then.
    digest: AtomicBool,
}

impl Soap {
    /// A client; nothing is sent yet.
    pub fn new(base: Url, account: Account) -> Result<Self, OnvifError> {
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(OnvifError::Invalid(format!("{base} is not an address like http://host/onvif/device_service")));
        }
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_MAX)
            .pool_max_idle_per_host(2)
            // Cameras sign their own certificates. The password does not travel: digests do.
            .danger_accept_invalid_certs(true)
            .build()
            .map_err(|error| OnvifError::Invalid(format!("no HTTP client: {error}")))?;
        let (clock_off_ms, digest) = (AtomicI64::new(0), AtomicBool::new(false));
        Ok(Self { http, account, base, clock_off_ms, digest })
    }

    /// The device service.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Host and port, as they are shown.
    pub fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The camera's clock minus ours, ms.
    pub fn clock_off_ms(&self) -> i64 {
        self.clock_off_ms.load(Ordering::Relaxed)
    }

    /// Takes over the camera's clock.
    pub fn set_clock(&self, theirs: Timestamp) {
        let off = theirs.duration_since(Timestamp::now()).as_millis();
        self.clock_off_ms.store(i64::try_from(off).unwrap_or_default(), Ordering::Relaxed);
    }

    /// A service's address on the host that we were given: an address that the camera names may be one of another network,
    /// or of another machine altogether. Its port counts only when its host is the one we know.
    pub fn here(&self, address: &str) -> Url {
        let mut here = self.base.clone();
        if let Ok(theirs) = Url::parse(address.trim()) {
            here.set_path(theirs.path());
            here.set_query(theirs.query());
            if theirs.host() == self.base.host() && theirs.scheme() == self.base.scheme() {
                let _ = here.set_port(theirs.port());
            }
        }
        here
    }

    /// Calls an operation: `body` is its element with namespaces declared; gives the first element of the answer's body.
    pub async fn call(&self, to: &Url, operation: &str, body: &str) -> Result<Element, OnvifError> {
        self.call_with(to, operation, body, "", ANSWER_MAX).await
    }

    /// As [`call`](Self::call), with more headers and another patience.
    pub async fn call_with(
        &self,
        to: &Url,
        operation: &str,
        body: &str,
        headers: &str,
        patience: Duration,
    ) -> Result<Element, OnvifError> {
        let calling = self.exchange(to, operation, body, headers);
        match tokio::time::timeout(patience, calling).await {
            Ok(answer) => answer,
            Err(_) => Err(OnvifError::Silent(self.host())),
        }
    }

    async fn exchange(&self, to: &Url, operation: &str, body: &str, headers: &str) -> Result<Element, OnvifError> {
        let by_token = !self.account.user.is_empty() && !self.digest.load(Ordering::Relaxed);
        let envelope = self.envelope(body, headers, by_token);
        let (status, challenge, answer) = self.post(to, &envelope, None).await?;
        if status != StatusCode::UNAUTHORIZED {
            return self.answered(operation, status, &answer);
        }
        // Digest is answered with a fresh challenge each time: many cameras give a nonce to one request only.
        let path = match to.query() {
            Some(query) => format!("{}?{query}", to.path()),
            None => to.path().to_owned(),
        };
        let envelope = self.envelope(body, headers, false);
        let proof = challenge
            .filter(|_| !self.account.user.is_empty())
            .and_then(|challenge| authorization(&self.account, &challenge, &path, envelope.as_bytes()))
            .ok_or_else(|| OnvifError::Unauthorised(self.host()))?;
        let (status, _, answer) = self.post(to, &envelope, Some(&proof)).await?;
        if status == StatusCode::UNAUTHORIZED {
            return Err(OnvifError::Unauthorised(self.host()));
        }
        self.digest.store(true, Ordering::Relaxed);
        self.answered(operation, status, &answer)
    }

    fn envelope(&self, body: &str, headers: &str, by_token: bool) -> String {
        let security = match by_token {
            true => {
                let nonce: [u8; 16] = rand::rng().random();
                let off = SignedDuration::from_millis(self.clock_off_ms());
                let created = Timestamp::now().saturating_add(off).unwrap_or(Timestamp::MAX);
                security(&self.account, &nonce, created)
            }
            false => String::new(),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
             xmlns:wsa=\"http://www.w3.org/2005/08/addressing\"><s:Header>{security}{headers}</s:Header>\
             <s:Body>{body}</s:Body></s:Envelope>"
        )
    }

    /// Posts once; status, digest challenge, body.
    async fn post(
        &self,
        to: &Url,
        envelope: &str,
        proof: Option<&str>,
    ) -> Result<(StatusCode, Option<String>, Vec<u8>), OnvifError> {
        let away = |error: &reqwest::Error| match error.is_timeout() && !error.is_connect() {
            true => OnvifError::Silent(self.host()),
            false => OnvifError::Unreachable(self.host()),
        };
        let mut request = self
            .http
            .post(to.clone())
            .header(header::CONTENT_TYPE, "application/soap+xml; charset=utf-8")
            .body(envelope.to_owned());
        if let Some(proof) = proof {
            request = request.header(header::AUTHORIZATION, proof);
        }
        let mut response = request.send().await.map_err(|error| away(&error))?;
        let challenges = response.headers().get_all(header::WWW_AUTHENTICATE);
        let digests = challenges.iter().filter_map(|value| value.to_str().ok());
        let digest =
            digests.filter(|text| text.len() > 7 && text.is_ascii() && text[..7].eq_ignore_ascii_case("digest "));
        let challenge = digest.map(str::to_owned).next();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| away(&error))? {
            if body.len() + chunk.len() > BYTES_MAX {
                return Err(OnvifError::undecodable("the request", XmlError::TooLarge("1 MiB")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response.status(), challenge, body))
    }

    fn answered(&self, operation: &str, status: StatusCode, body: &[u8]) -> Result<Element, OnvifError> {
        if status == StatusCode::FORBIDDEN {
            return Err(OnvifError::Unauthorised(self.host()));
        }
        match body_of(body) {
            Ok(element) if element.name == "Fault" => Err(self.fault(operation, &element)),
            Ok(element) if status.is_success() => Ok(element),
            Ok(_) => Err(OnvifError::undecodable(operation, format!("HTTP {status}"))),
            Err(_) if status == StatusCode::NOT_FOUND => Err(OnvifError::Unsupported(operation.to_owned())),
            Err(error) if status.is_success() => Err(OnvifError::undecodable(operation, error)),
            Err(_) => Err(OnvifError::undecodable(operation, format!("HTTP {status}"))),
        }
    }

    fn fault(&self, operation: &str, fault: &Element) -> OnvifError {
        let Fault { codes, reason } = Fault::of(fault);
        let has = |word: &str| codes.iter().any(|code| code.contains(word));
        // ipycam 1.3.0 gives no subcode, only the text.
        if has("NotAuthorized") || has("FailedAuthentication") || reason.to_ascii_lowercase().contains("not authorized")
        {
            return OnvifError::Unauthorised(self.host());
        }
        if has("ActionNotSupported") || has("NotSupported") {
            return OnvifError::Unsupported(operation.to_owned());
        }
        let code = codes.last().cloned().unwrap_or_default();
        let reason: String = format!("{reason} ({code})").chars().take(200).collect();
        OnvifError::Fault { what: operation.to_owned(), reason }
    }
}

/// A fault's words.
struct Fault {
    codes: Vec<String>,
    reason: String,
}

impl Fault {
    /// Of SOAP 1.2, or of 1.1 as older cameras send it.
    fn of(fault: &Element) -> Self {
        let mut codes = vec![fault.text_at(&["faultcode"]).to_owned()];
        let mut at = fault.child("Code");
        while let Some(code) = at {
            codes.push(code.text_at(&["Value"]).to_owned());
            at = code.child("Subcode");
        }
        codes.retain(|code| !code.is_empty());
        let reason = [fault.text_at(&["Reason", "Text"]), fault.text_at(&["faultstring"])];
        Self { codes, reason: reason.into_iter().find(|text| !text.is_empty()).unwrap_or("no reason given").to_owned() }
    }
}

/// The first element of an envelope's body.
pub fn body_of(bytes: &[u8]) -> Result<Element, XmlError> {
    let mut envelope = Element::read(bytes)?;
    let body = envelope.children.iter_mut().find(|child| child.name == "Body").ok_or(XmlError::Empty)?;
    if body.children.is_empty() { Err(XmlError::Empty) } else { Ok(body.children.swap_remove(0)) }
}

/// An element with text, for requests.
pub fn tag(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escaped(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn soap() -> Soap {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Soap::new("http://10.0.0.5:8000/onvif/device_service".parse().unwrap(), Account::default()).unwrap()
    }

    #[test]
    fn an_address_of_another_network_is_looked_for_where_the_camera_is() {
        let soap = soap();
        let check = |theirs: &str, here: &str| assert_eq!(soap.here(theirs).as_str(), here);
        check("http://10.0.0.5/onvif/media?x=1", "http://10.0.0.5/onvif/media?x=1");
        check("http://192.168.1.64:80/onvif/media", "http://10.0.0.5:8000/onvif/media");
        check("http://169.254.169.254/latest/meta-data", "http://10.0.0.5:8000/latest/meta-data");
        check("no address", "http://10.0.0.5:8000/onvif/device_service");
        assert!(Soap::new("file:///etc/passwd".parse().unwrap(), Account::default()).is_err());
    }

    #[test]
    fn faults_are_sorted_by_their_subcodes() {
        let soap = soap();
        let fault = |code: &str| {
            let text = format!(
                "<Envelope><Body><Fault><Code><Value>s:Sender</Value><Subcode><Value>{code}</Value></Subcode></Code>\
                 <Reason><Text>why not</Text></Reason></Fault></Body></Envelope>"
            );
            soap.answered("GotoPreset", StatusCode::BAD_REQUEST, text.as_bytes()).unwrap_err()
        };
        assert_eq!(fault("ter:NotAuthorized"), OnvifError::Unauthorised("10.0.0.5:8000".into()));
        let bare = b"<E><Body><Fault><Code><Value>s:Receiver</Value></Code><Reason><Text>Sender not authorized</Text></Reason></Fault></Body></E>";
        let error = soap.answered("x", StatusCode::INTERNAL_SERVER_ERROR, bare).unwrap_err();
        assert_eq!(error, OnvifError::Unauthorised("10.0.0.5:8000".into()));
        assert_eq!(fault("ter:ActionNotSupported"), OnvifError::Unsupported("GotoPreset".into()));
        let reason = "why not (ter:NoToken)".to_owned();
        assert_eq!(fault("ter:NoToken"), OnvifError::Fault { what: "GotoPreset".into(), reason });
        let old =
            b"<E><Body><Fault><faultcode>SOAP-ENV:Server</faultcode><faultstring>busy</faultstring></Fault></Body></E>";
        let error = soap.answered("Stop", StatusCode::INTERNAL_SERVER_ERROR, old).unwrap_err();
        assert_eq!(error.to_string(), "the camera refused Stop: busy (SOAP-ENV:Server)");
    }

    proptest! {
        #[test]
        fn arbitrary_answers_are_no_panic(status in 100u16..600, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(status) = StatusCode::from_u16(status) {
                let _ = soap().answered("x", status, &bytes);
            }
        }
    }
}
