//! kill -9 in the middle of the fire story: afterwards the alarm is there, once, with its acknowledgement state.

use anyhow::{Context, Result};
use gatehouse_tests::product::{Client, PATIENCE, fresh_data_dir};
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Names the data directory for the process that the test kills.
const VICTIM: &str = "GATEHOUSE_KILL_TEST_DATA";

/// Not a test by itself: the program, in a process of its own, when [`VICTIM`] says so.
#[test]
fn the_program_that_is_killed() {
    let Some(data) = std::env::var_os(VICTIM) else { return };
    let arguments = ["gatehouse", "serve", "--quiet", "--listen", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--data"];
    let arguments = arguments.into_iter().map(std::ffi::OsString::from).chain([data.clone()]);
    let file = Path::new(&data).join("gatehouse.toml");
    let config = file.is_file().then(|| ["--config".into(), file.into_os_string()]);
    let arguments = arguments.chain(config.into_iter().flatten());
    let _ = gatehouse_console::cli::run_with(arguments);
}

/// The program in a process of its own.
pub struct Victim {
    pub child: Child,
    pub address: SocketAddr,
    pub password: Option<String>,
}

/// Starts it on a data directory; with the `gatehouse.toml` in there, when there is one.
pub async fn start(data: &Path) -> Result<Victim> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--exact", "kill::the_program_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(VICTIM, data)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
    let read = async {
        let mut password = None;
        while let Some(line) = lines.next_line().await? {
            if let Some((_, rest)) = line.split_once("first-run admin password: ") {
                password = rest.split_whitespace().next().map(str::to_owned);
            }
            if let Some((_, rest)) = line.split_once("console at http://") {
                let address = rest.split_whitespace().next().context("address")?.parse()?;
                return Ok((address, password));
            }
        }
        anyhow::bail!("the program ended before it was ready")
    };
    let (address, password) =
        tokio::time::timeout(PATIENCE * 2, read).await.context("the program was not ready in time")??;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(Victim { child, address, password })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_survives_kill_9_once_with_its_acknowledgement() -> Result<()> {
    let dir = fresh_data_dir()?;
    let mut first = start(dir.path()).await?;
    let password = first.password.take().context("the first run prints the password")?;
    let admin = Client::sign_in(first.address, "admin", &password).await?;
    let mut live = admin.live(&["alarms"]).await?;
    admin.post("/api/demo/play", json!({ "story": "fire" })).await?;
    let alarm = live.object("alarms", |alarm| alarm["type"] == "fire" && alarm["active"] == true).await?;
    let id = alarm["id"].as_str().context("id")?.to_owned();
    admin.post(&format!("/api/alarms/{id}/ack"), json!({ "comment": "on my way" })).await?;
    first.child.kill().await?;

    let mut second = start(dir.path()).await?;
    assert!(second.password.is_none(), "the password is printed once");
    let admin = Client::sign_in(second.address, "admin", &password).await?;
    let all = admin.get("/api/alarms?state=all&limit=1000").await?;
    let fires: Vec<_> =
        all["alarms"].as_array().context("alarms")?.iter().filter(|alarm| alarm["type"] == "fire").collect();
    assert_eq!(fires.len(), 1, "{fires:?}");
    assert_eq!(
        (fires[0]["id"].as_str(), fires[0]["acked"].as_bool(), fires[0]["acked_by"].as_str()),
        (Some(&*id), Some(true), Some("admin"))
    );
    let detail = admin.get(&format!("/api/alarms/{id}")).await?;
    assert!(detail["timeline"].as_array().is_some_and(|timeline| timeline.len() >= 2), "{detail}");
    second.child.kill().await?;
    Ok(())
}
