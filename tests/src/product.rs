//! The whole product on loopback, as its users meet it: HTTP with a session, the live feed, MQTT.

use anyhow::{Context, Result};
pub use gatehouse_console::client::{Client, Live, PATIENCE};
use gatehouse_console::compose::{self, Options, Running};
use gatehouse_console::config::Config;
use gatehouse_console::provision::{self, Provision, Silent, testkit};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A running product with its own data directory.
pub struct Product {
    /// The program.
    pub running: Running,
    /// Its data directory.
    pub data: PathBuf,
    password: String,
    _dir: Option<tempfile::TempDir>,
}

/// A data directory that shares what was provisioned and nothing else.
pub fn fresh_data_dir() -> Result<tempfile::TempDir> {
    let shared = testkit::data_dir();
    tokio::task::block_in_place(|| Provision::new(&shared).ensure_all(&mut Silent))
        .context("providing for the tests")?;
    let dir = tempfile::Builder::new().prefix("gatehouse-it-").tempdir()?;
    provision::share(&shared, dir.path())?;
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
        let options = Options { data, config: config(), demo: true, auto: false, cameras: 0 };
        Self::start(options, Some(dir), None).await
    }

    /// Starts a site of its own.
    pub async fn site(definition: &str, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let dir = fresh_data_dir()?;
        let file = dir.path().join("site.toml");
        std::fs::write(&file, definition)?;
        let mut config = Config { site: Some(file), ..config() };
        change(&mut config);
        let options = Options { data: dir.path().to_owned(), config, demo: false, auto: false, cameras: 0 };
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
