//! The whole product on loopback, as its users meet it: HTTP with a session, the live feed, MQTT.

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use gatehouse_console::compose::{self, Options, Running};
use gatehouse_console::config::Config;
use gatehouse_console::provision::{Provision, Silent, testkit};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Longest that a test waits for something to be told.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running product with its own data directory.
pub struct Product {
    /// The program.
    pub running: Running,
    /// Its data directory.
    pub data: PathBuf,
    password: String,
    _dir: Option<tempfile::TempDir>,
}

/// One user's browser without its screen.
pub struct Client {
    base: String,
    cookie: String,
    http: reqwest::Client,
}

/// The live feed of one user.
pub struct Live {
    socket: tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
}

/// A data directory that shares what was provisioned and nothing else.
pub fn fresh_data_dir() -> Result<tempfile::TempDir> {
    let shared = testkit::data_dir();
    tokio::task::block_in_place(|| Provision::new(&shared).ensure_all(&mut Silent)).context("providing for the tests")?;
    let dir = tempfile::Builder::new().prefix("gatehouse-it-").tempdir()?;
    // PostgreSQL's account must be able to pass through.
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for part in ["cache", "runtime", "models", "demo", "stamps"] {
        let from = shared.join(part);
        if from.exists() {
            std::os::unix::fs::symlink(from, dir.path().join(part))?;
        }
    }
    Ok(dir)
}

/// A machine's configuration with every port chosen by the system.
pub fn config() -> Config {
    let mut config = Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Config::default() };
    config.broker.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config
}

impl Product {
    /// Starts the simulated compound, its timetable off.
    pub async fn demo() -> Result<Self> {
        let dir = fresh_data_dir()?;
        let data = dir.path().to_owned();
        let options = Options { data, config: config(), demo: true, auto: false };
        Self::start(options, Some(dir), None).await
    }

    /// Starts a site of its own.
    pub async fn site(definition: &str, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let dir = fresh_data_dir()?;
        let file = dir.path().join("site.toml");
        std::fs::write(&file, definition)?;
        let mut config = Config { site: Some(file), ..config() };
        change(&mut config);
        let options = Options { data: dir.path().to_owned(), config, demo: false, auto: false };
        Self::start(options, Some(dir), None).await
    }

    /// Starts on a directory that outlives it; `password` is the administrator's when it was made earlier.
    pub async fn start(options: Options, dir: Option<tempfile::TempDir>, password: Option<String>) -> Result<Self> {
        let data = options.data.clone();
        let running = compose::start(options, &mut Silent).await?;
        let password = running.first_password.clone().or(password).context("no administrator's password")?;
        Ok(Self { running, data, password, _dir: dir })
    }

    /// The administrator's password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The first administrator's browser.
    pub async fn admin(&self) -> Result<Client> {
        Client::sign_in(self.running.address, "admin", &self.password).await
    }

    /// The embedded broker's address.
    pub fn broker(&self) -> Result<SocketAddr> {
        Ok(self.running.app.broker().context("no embedded broker")?.addr())
    }

    /// A secret of the data directory, as an integrator would read it.
    pub fn secret(&self, name: &str) -> Result<String> {
        read_secret(&self.data, name)
    }

    /// Stops it and keeps the directory for another start.
    pub async fn stop(mut self) -> Option<tempfile::TempDir> {
        let dir = self._dir.take();
        self.running.stop().await;
        dir
    }
}

/// A secret of a data directory.
pub fn read_secret(data: &Path, name: &str) -> Result<String> {
    std::fs::read_to_string(data.join("secrets").join(name)).with_context(|| format!("secret {name}"))
}

impl Client {
    /// Signs in and keeps the session's cookie.
    pub async fn sign_in(address: SocketAddr, name: &str, password: &str) -> Result<Self> {
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

    /// Sends any request with the session; gives status and body.
    pub async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Result<(StatusCode, Value)> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .header("cookie", &self.cookie)
            .header("origin", &self.base)
            .header("idempotency-key", uuid::Uuid::now_v7().to_string());
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
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
        Ok((response.status(), kind, response.bytes().await?.to_vec()))
    }

    /// Posts photographs for a face enrolment.
    pub async fn enrol(&self, person: &str, photos: &[Vec<u8>], consent: bool) -> Result<(StatusCode, Value)> {
        let mut form = reqwest::multipart::Form::new();
        if consent {
            form = form.text("consent", "yes").text("consent_text", "I agree that my face opens doors here.");
        }
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
