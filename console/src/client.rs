//! A user's browser without its screen: requests with a session, the live feed, live video. For benches and tests.

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Longest that the next message is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One user's browser without its screen.
#[derive(Clone)]
pub struct Client {
    base: String,
    cookie: String,
    http: reqwest::Client,
}

/// The live feed of one user.
pub struct Live {
    socket: tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
}

impl Client {
    /// Signs in and keeps the session's cookie.
    pub async fn sign_in(address: SocketAddr, name: &str, password: &str) -> Result<Self> {
        // A client asks for the process's TLS provider even where it speaks plain HTTP; one that is there already stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build()?;
        let base = format!("http://{address}");
        let response = http
            .post(format!("{base}/api/session"))
            .header("origin", &base)
            .json(&json!({ "name": name, "password": password }))
            .send()
            .await?;
        let status = response.status();
        let cookie = response.headers().get("set-cookie").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let Some(cookie) = cookie else { bail!("sign-in of {name}: {status} {}", response.text().await?) };
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Ok(Self { base, cookie, http })
    }

    /// The same session at a program that listens elsewhere now.
    pub fn moved(&self, address: SocketAddr) -> Self {
        Self { base: format!("http://{address}"), ..self.clone() }
    }

    /// Sends any request with the session; gives status and body.
    pub async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Result<(StatusCode, Value)> {
        self.request_once(method, path, body, uuid::Uuid::now_v7()).await
    }

    /// The same under a key: what has the same key is done once.
    pub async fn request_once(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        key: uuid::Uuid,
    ) -> Result<(StatusCode, Value)> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .header("cookie", &self.cookie)
            .header("origin", &self.base)
            .header("idempotency-key", key.to_string());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// Gets what must be there.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = self.request(Method::GET, path, None).await?;
        if !status.is_success() {
            bail!("GET {path}: {status} {body}");
        }
        Ok(body)
    }

    /// Posts what must be taken.
    pub async fn post(&self, path: &str, body: Value) -> Result<Value> {
        let (status, answer) = self.request(Method::POST, path, Some(body)).await?;
        if !status.is_success() {
            bail!("POST {path}: {status} {answer}");
        }
        Ok(answer)
    }

    /// Gets bytes with their content type.
    pub async fn bytes(&self, path: &str) -> Result<(StatusCode, String, Vec<u8>)> {
        let response = self.http.get(format!("{}{path}", self.base)).header("cookie", &self.cookie).send().await?;
        let kind =
            response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
        Ok((response.status(), kind, response.bytes().await?.to_vec()))
    }

    /// Gets an answer with its headers.
    pub async fn fetch(&self, path: &str) -> Result<reqwest::Response> {
        Ok(self.http.get(format!("{}{path}", self.base)).header("cookie", &self.cookie).send().await?)
    }

    /// Posts a picture to be judged for a face enrolment.
    pub async fn judge(&self, person: &str, photo: Vec<u8>) -> Result<(StatusCode, Value)> {
        let response = self
            .http
            .post(format!("{}/api/people/{person}/face/check", self.base))
            .header("cookie", &self.cookie)
            .header("origin", &self.base)
            .body(photo)
            .send()
            .await?;
        let status = response.status();
        Ok((status, response.json().await.unwrap_or_default()))
    }

    /// Posts photographs for a face enrolment.
    pub async fn enrol(&self, person: &str, photos: &[Vec<u8>]) -> Result<(StatusCode, Value)> {
        let mut form = reqwest::multipart::Form::new();
        for photo in photos {
            form = form.part("photo", reqwest::multipart::Part::bytes(photo.clone()).file_name("photo"));
        }
        let response = self
            .http
            .post(format!("{}/api/people/{person}/face", self.base))
            .header("cookie", &self.cookie)
            .header("origin", &self.base)
            .header("idempotency-key", uuid::Uuid::now_v7().to_string())
            .multipart(form)
            .send()
            .await?;
        let status = response.status();
        Ok((status, response.json().await.unwrap_or_default()))
    }

    /// Opens a WebSocket of this session.
    pub async fn socket(&self, path: &str) -> Result<Live> {
        let mut request = format!("{}{path}", self.base.replace("http://", "ws://")).into_client_request()?;
        request.headers_mut().insert("cookie", self.cookie.parse()?);
        request.headers_mut().insert("origin", self.base.parse()?);
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Live { socket })
    }

    /// Follows topics of the live feed; the ids are their places in the list.
    pub async fn live(&self, topics: &[&str]) -> Result<Live> {
        let mut live = self.socket("/ws").await?;
        for (id, topic) in topics.iter().enumerate() {
            live.send(json!({ "t": "sub", "id": id, "topic": topic })).await?;
        }
        Ok(live)
    }
}

impl Live {
    /// Sends a message.
    pub async fn send(&mut self, message: Value) -> Result<()> {
        Ok(self.socket.send(Message::Text(message.to_string().into())).await?)
    }

    /// The next frame, text or binary.
    pub async fn frame(&mut self) -> Result<Message> {
        match tokio::time::timeout(PATIENCE, self.socket.next()).await.context("the live feed said nothing in time")? {
            Some(frame) => Ok(frame?),
            None => bail!("the live feed ended"),
        }
    }

    /// The next text message.
    pub async fn next(&mut self) -> Result<Value> {
        loop {
            if let Message::Text(text) = self.frame().await? {
                return Ok(serde_json::from_str(&text)?);
            }
        }
    }

    /// Reads on until `find` finds something.
    pub async fn until<T>(&mut self, mut find: impl FnMut(&Value) -> Option<T>) -> Result<T> {
        let search = async {
            loop {
                let message = self.next().await?;
                if let Some(found) = find(&message) {
                    return Ok(found);
                }
            }
        };
        tokio::time::timeout(PATIENCE * 2, search).await.context("the live feed never told what was waited for")?
    }

    /// Reads on until an object of a state topic, in a snapshot or a delta, satisfies `is`.
    pub async fn object(&mut self, list: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        self.until(|message| {
            let objects = message["u"].as_array().or_else(|| message["data"][list].as_array())?;
            objects.iter().find(|object| is(object)).cloned()
        })
        .await
    }
}
