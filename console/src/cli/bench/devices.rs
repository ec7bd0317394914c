//! `gatehouse bench devices`: thousands of devices, each on its own connection → broker → actor → store → a console; beside
//! the same clients at mosquitto with a bare subscriber.

use super::load::{Measured, Order};
use super::process::{Database, Process, raise_file_limit};
use super::{Bed, Common, Figures, serde_line};
use crate::api::health::{cpu_seconds, resident_mb};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The password of every device of the bench's site.
const PASSWORD: &str = "a-device-of-the-bench";
/// Files of a process beside its connections.
const OTHER_FILES: u64 = 500;
/// The longest that all connections may take.
const CONNECTED_WITHIN: Duration = Duration::from_secs(300);

/// Thousands of devices, from their sockets to a console.
#[derive(Debug, clap::Args)]
pub struct Devices {
    #[command(flatten)]
    pub common: Common,
    /// Devices
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    devices: u32,
    /// Messages a second, all devices together
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    rate: u32,
    /// Seconds to speak
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Connections; devices share them in turn [default: one a device, as far as the limit of open files allows]
    #[arg(long)]
    connections: Option<usize>,
    /// Quality of service of the messages
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: u8,
    /// Multiples of devices and rate, each a row of its own
    #[arg(long, value_delimiter = ',', default_value = "1")]
    scale: Vec<u32>,
    /// Leaves mosquitto out
    #[arg(long)]
    no_baseline: bool,
}

impl Devices {
    /// `p50_ms`, `p99_ms`: from a device's socket to the console; `lost`: devices whose last value never came there;
    /// `baseline`: mosquitto and a bare subscriber with the same clients.
    pub async fn measure(&self) -> Result<Figures> {
        let mut rows = Vec::new();
        for scale in &self.scale {
            let scale = (*scale).max(1);
            let mut row = self.row(self.devices * scale, self.rate * scale).await?;
            row.insert("scale".into(), json!(scale));
            rows.push(row);
        }
        Ok(super::growth(rows))
    }

    async fn row(&self, devices: u32, rate: u32) -> Result<Figures> {
        let connections = connections(devices as usize, self.connections);
        let own = connections == devices as usize;
        // The product around one device: what more there is belongs to the others.
        let alone = Bed::start(&self.common.data.path(), Some(&site(1, own))).await?;
        let alone_mb = resident_mb();
        alone.stop().await;
        let began = Instant::now();
        let bed = Bed::start(&self.common.data.path(), Some(&site(devices, own))).await?;
        let first_start_ms = began.elapsed().as_secs_f64() * 1e3;
        let started_mb = resident_mb();
        let broker = bed.running.app.broker().context("no embedded broker")?.addr();
        let order = Order {
            broker,
            console: Some((bed.running.address, bed.password.clone())),
            devices: devices as usize,
            connections,
            account: Some((PASSWORD.to_owned(), own)),
            rate,
            seconds: self.seconds,
            qos: self.qos,
        };
        let mut load = Loader::start(&order).await?;
        let me = Process::of(std::process::id()).context("this process")?;
        let database = Database::of(me);
        let (cpu, database_cpu) = (cpu_seconds(), database.cpu_s());
        let connect_ms = load.connect_ms;
        let measured = load.go(self.seconds).await?;
        let mut figures = Figures::new();
        figures.insert("devices".into(), json!(devices));
        figures.insert("connections".into(), json!(connections));
        figures.insert("qos".into(), json!(self.qos));
        told(&mut figures, &measured);
        figures.insert("cpu_s".into(), json!(cpu_seconds() - cpu));
        figures.insert("database_cpu_s".into(), json!(database.cpu_s() - database_cpu));
        figures.insert("rss_mb".into(), json!(resident_mb()));
        figures.insert("database_mb".into(), json!(Database::of(me).memory_mb()));
        figures.insert("device_kb".into(), json!((resident_mb() - alone_mb) * 1e3 / f64::from(devices)));
        figures.insert("started_mb".into(), json!(started_mb));
        figures.insert("connect_ms".into(), json!(connect_ms));
        figures.insert("first_start_ms".into(), json!(first_start_ms));
        drop(load);
        figures.insert("start_again_ms".into(), json!(bed.start_again().await?));
        let baseline = if self.no_baseline { None } else { baseline(&order).await? };
        figures.insert("baseline".into(), baseline.map_or(Value::Null, Value::Object));
        Ok(figures)
    }
}

/// What was measured, by its plain names.
pub fn told(figures: &mut Figures, measured: &Measured) {
    figures.insert("sent".into(), json!(measured.sent));
    figures.insert("acknowledged".into(), json!(measured.acknowledged));
    figures.insert("rate".into(), json!(measured.rate));
    figures.insert("lost".into(), json!(measured.lost));
    figures.insert("coalesced".into(), json!(measured.coalesced));
    figures.insert("p50_ms".into(), json!(measured.p50_ms));
    figures.insert("p99_ms".into(), json!(measured.p99_ms));
    figures.insert("ack_p50_ms".into(), json!(measured.ack_p50_ms));
    figures.insert("ack_p99_ms".into(), json!(measured.ack_p99_ms));
    figures.insert("load_cpu_s".into(), json!(measured.cpu_s));
    figures.insert("load_rss_mb".into(), json!(measured.rss_mb));
}

/// One connection a device, as far as this process may open files.
pub fn connections(devices: usize, asked: Option<usize>) -> usize {
    let room = usize::try_from(raise_file_limit().saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX).max(1);
    let wanted = asked.unwrap_or(devices).clamp(1, devices);
    if wanted > room {
        eprintln!("{room} connections for {devices} devices: the limit of open files allows no more");
    }
    wanted.min(room)
}

/// A site of so many level sensors, each with an account of its own or all behind one gateway.
pub fn site(devices: u32, own: bool) -> String {
    let mut text = String::from("name = \"Bench\"\n[[places]]\nkey = \"site\"\nkind = \"site\"\nname = \"Bench\"\n");
    let account = if own { "" } else { "account = \"bench\"\n" };
    for n in 0..devices {
        text += &format!(
            "[[devices]]\nkey = \"device-{n}\"\nkind = \"sensor\"\nclass = \"humidity\"\nname = \"Device {n}\"\n\
             place = \"site\"\n{account}password = \"{PASSWORD}\"\n"
        );
    }
    text
}

/// The account's password, for the load.
pub fn account(own: bool) -> Option<(String, bool)> {
    Some((PASSWORD.to_owned(), own))
}

/// The process of the load.
pub struct Loader {
    // Ends with this.
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// Until every connection stood.
    pub connect_ms: f64,
}

impl Loader {
    /// Starts it and waits until every device is connected.
    pub async fn start(order: &Order) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", "load"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut input = child.stdin.take().context("no standard input")?;
        let mut output = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let began = Instant::now();
        input.write_all(serde_line(order)?.as_bytes()).await?;
        let said = tokio::time::timeout(CONNECTED_WITHIN, output.next_line());
        let said = said.await.context("the devices were not connected in time")??;
        anyhow::ensure!(said.as_deref() == Some("connected"), "the load ended before every device was connected");
        Ok(Self { _child: child, input, output, connect_ms: began.elapsed().as_secs_f64() * 1e3 })
    }

    /// Lets the devices speak; what was measured.
    pub async fn go(&mut self, seconds: u64) -> Result<Measured> {
        self.input.write_all(b"go\n").await?;
        let patience = Duration::from_secs(seconds + 120);
        let line = tokio::time::timeout(patience, self.output.next_line()).await.context("the load does not end")??;
        Ok(serde_json::from_str(&line.context("the load ended without a word")?)?)
    }
}

/// Mosquitto with a bare subscriber and the same clients; nothing where it is not installed.
async fn baseline(order: &Order) -> Result<Option<Figures>> {
    let Some(program) = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
    else {
        eprintln!("mosquitto is not installed: no baseline");
        return Ok(None);
    };
    let dir = tempfile::Builder::new().prefix("gatehouse-bench-").tempdir()?;
    // Mosquitto takes no port of the system's choice: one that was free a moment ago is given.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = dir.path().join("mosquitto.conf");
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 1024\n\
         max_queued_messages 0\nset_tcp_nodelay true\nlog_type none\n"
    );
    std::fs::write(&config, text)?;
    let quiet = || Stdio::null();
    let mut server = Command::new(program);
    let mut server =
        server.arg("-c").arg(&config).stdin(quiet()).stdout(quiet()).stderr(quiet()).kill_on_drop(true).spawn()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let order = Order { broker: address, console: None, account: None, ..order.clone() };
    let mut load = Loader::start(&order).await?;
    let process = server.id().and_then(Process::of).context("mosquitto ended by itself")?;
    let cpu = process.cpu_s();
    let measured = load.go(order.seconds).await?;
    let mut figures = Figures::new();
    told(&mut figures, &measured);
    figures.insert("cpu_s".into(), json!(process.cpu_s() - cpu));
    figures.insert("rss_mb".into(), json!(process.memory_mb()));
    server.kill().await?;
    Ok(Some(figures))
}
