//! The program in a process of its own, on a directory of the bench.

use crate::cli::bench::process::Process;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The longest that a start may take: recovery of the database included.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// The variable that a test binary finds the program's arguments in, one a line.
pub const ARGUMENTS: &str = "GATEHOUSE_ARGUMENTS";

/// The program.
pub struct Program {
    data: PathBuf,
    config: PathBuf,
    harness: Option<String>,
    password: Option<String>,
    running: Option<(Child, SocketAddr)>,
}

/// The running binary with these arguments; with `harness` it is a test binary, and that test of it the program.
pub fn itself(arguments: &[OsString], harness: Option<&str>) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    match harness {
        None => command.args(arguments),
        Some(test) => {
            let lines: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
            command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(ARGUMENTS, lines.join("\n"))
        }
    };
    Ok(command)
}

/// A start's outcome.
pub struct Started {
    pub http: SocketAddr,
}

impl Program {
    /// A program on this directory with this site; nothing runs yet.
    pub fn new(data: &Path, site: &str, harness: Option<&str>) -> Result<Self> {
        let config = data.join("gatehouse.toml");
        std::fs::write(data.join("site.toml"), site)?;
        std::fs::write(&config, "site = \"site.toml\"\n[recognition]\nenabled = false\n")?;
        let harness = harness.map(str::to_owned);
        Ok(Self { data: data.to_owned(), config, harness, password: None, running: None })
    }

    fn command(&self) -> Result<Command> {
        let fixed = ["serve", "--quiet", "--listen", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--config"];
        let mut arguments: Vec<OsString> = fixed.into_iter().map(OsString::from).collect();
        arguments.extend([self.config.clone().into(), "--data".into(), self.data.clone().into()]);
        itself(&arguments, self.harness.as_deref())
    }

    /// Starts it and waits until its console answers.
    pub async fn start(&mut self) -> Result<Started> {
        let mut command = self.command()?;
        if std::env::var_os("RUST_LOG").is_none() {
            // It is killed all the time and says so; what it says must not bury the bench.
            command.env("RUST_LOG", "off");
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let mut password = None;
        let read = async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, rest)) = line.split_once("first-run admin password: ") {
                    password = rest.split_whitespace().next().map(str::to_owned);
                }
                if let Some((_, rest)) = line.split_once("console at http://") {
                    return Ok(rest.split_whitespace().next().context("no address")?.parse()?);
                }
            }
            bail!("the program ended before it was ready; RUST_LOG=info shows what it says")
        };
        let address: SocketAddr =
            tokio::time::timeout(READY_WITHIN, read).await.context("the program was not ready in time")??;
        // Read on, so that it never waits for a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        if password.is_some() {
            self.password = password;
        }
        self.running = Some((child, address));
        Ok(Started { http: address })
    }

    /// The first administrator's password.
    pub fn password(&self) -> Result<&str> {
        self.password.as_deref().context("the first run printed no password")
    }

    /// Where its console is.
    pub fn address(&self) -> Result<SocketAddr> {
        self.running.as_ref().map(|(_, address)| *address).context("the program does not run")
    }

    /// Its process.
    pub fn process(&self) -> Result<Process> {
        let pid = self.running.as_ref().and_then(|(child, _)| child.id());
        pid.and_then(Process::of).context("the program ended by itself")
    }

    /// kill -9, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        let (mut child, _) = self.running.take().context("the program does not run")?;
        if let Some(status) = child.try_wait()? {
            bail!("the program ended by itself: {status}");
        }
        Ok(child.kill().await?)
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(&mut self) -> Result<()> {
        anyhow::ensure!(self.process()?.terminate(), "the program cannot be asked to stop");
        let (mut child, _) = self.running.take().context("the program does not run")?;
        let status = tokio::time::timeout(READY_WITHIN, child.wait()).await.context("the program does not stop")??;
        anyhow::ensure!(status.success(), "the program stopped with {status}");
        Ok(())
    }
}
