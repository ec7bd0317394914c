//! `gatehouse bench crash`: the program and its database killed at random under load; then what was acknowledged is looked for.
//!
//! ```text
//! readers, sensors (MQTT QoS 1) ─┐                     ┌─ kill -9 of the program, its PostgreSQL, or one of its backends
//! operators (HTTP)               ├─▶ the program, in ◀─┤
//!    each remembers what was     │   a process of its  └─ started again; the clients connect again and say again
//!    acknowledged ───────────────┘   own
//! at the end: acknowledged and not in the store: missing; there more than once: doubled
//! ```

mod clients;
mod ledger;
pub(super) mod program;
mod store;

use super::process::Process;
use super::{Common, Figures, quantile};
use crate::client::Client;
use anyhow::{Context, bail};
use clients::{Load, Pulse};
use ledger::Ledger;
use program::Program;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The longest that the system may take to acknowledge something again after a kill.
const RECOVERED_WITHIN: Duration = Duration::from_secs(90);
/// The longest that clients may take to finish what they began.
const FINISHED_WITHIN: Duration = Duration::from_secs(120);
/// A database whose program was killed ends by itself within this time.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// kill -9 at random, and whether anything acknowledged is missing or there twice.
#[derive(Debug, clap::Args)]
pub struct Crash {
    #[command(flatten)]
    pub common: Common,
    /// Kills in all: half of them the program, the others its database
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    kills: u32,
    /// Seed of the random moments and choices; without it a new one, printed
    #[arg(long)]
    seed: Option<u64>,
    /// Card readers that read all the time
    #[arg(long, default_value_t = 6)]
    readers: usize,
    /// Sensors that raise alarms and clear them
    #[arg(long, default_value_t = 12)]
    sensors: usize,
    /// Longest pause between a recovery and the next kill, ms
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pause_ms: u64,
    /// Runs the program as this test of a test binary, its arguments in the environment
    #[arg(long, hide = true, value_name = "TEST")]
    harness: Option<String>,
}

/// Where the program is now.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub http: std::net::SocketAddr,
    pub mqtt: std::net::SocketAddr,
}

#[derive(Default)]
struct Kills {
    program: u32,
    database: u32,
    left_behind: u32,
    recoveries: Vec<f64>,
}

impl Crash {
    /// `missing`, `doubled`: must be 0; `recovery_p50_ms`, `recovery_p99_ms`: from a kill to the first acknowledgement of
    /// something said after it.
    pub async fn measure(&self) -> anyhow::Result<Figures> {
        anyhow::ensure!(self.readers > 0 && self.sensors > 0, "readers and sensors must be at least 1");
        let seed = self.seed.unwrap_or_else(|| rand::rng().random_range(1..1_000_000_000));
        eprintln!("seed {seed}");
        let dir = super::directory(&self.common.data.path())?;
        let mut program = Program::new(dir.path(), &site(self.readers, self.sensors), self.harness.as_deref())?;
        let first = program.start().await?;
        let admin = Client::sign_in(first.http, "admin", program.password()?).await?;
        let first = Addresses { mqtt: mqtt_address(&admin).await?, http: first.http };
        let (place, places) = watch::channel(Some(first));
        let (ledger, pulse) = (Arc::new(Ledger::default()), Arc::new(Pulse::default()));
        let load = Load { places, admin, ledger: ledger.clone(), pulse: pulse.clone() };
        let (stop, stopped) = watch::channel(false);
        let clients = load.start(self.readers, self.sensors, &stopped).await?;
        pulse
            .after(Instant::now(), RECOVERED_WITHIN)
            .await
            .context("nothing was acknowledged before the first kill")?;

        let began = Instant::now();
        let kills = self.kill_about(&mut program, &place, &load, &mut StdRng::seed_from_u64(seed)).await?;
        let killed_for = began.elapsed();
        let _ = stop.send(true);
        tokio::time::timeout(FINISHED_WITHIN, clients.join_all())
            .await
            .context("the clients did not come to an end")?;
        settled(&load.now_at(program.address()?)).await?;
        let (cpu_s, rss_mb) = (program.process()?.cpu_s(), program.process()?.memory_mb());
        program.stop().await?;
        let found = store::look(&self.common.data.path(), dir.path(), &ledger).await?;

        let mut recoveries = kills.recoveries;
        let mut figures = Figures::new();
        figures.insert("seed".into(), json!(seed));
        figures.insert("kills".into(), json!(self.kills));
        figures.insert("kills_program".into(), json!(kills.program));
        figures.insert("kills_database".into(), json!(kills.database));
        figures.insert("seconds".into(), json!(killed_for.as_secs_f64()));
        for (name, count) in ledger.counts() {
            figures.insert(format!("acknowledged_{name}"), json!(count));
        }
        figures.insert("acknowledged".into(), json!(ledger.counts().iter().map(|(_, count)| count).sum::<usize>()));
        figures.insert("missing".into(), json!(found.missing));
        figures.insert("doubled".into(), json!(found.doubled));
        figures.insert("databases_left_behind".into(), json!(kills.left_behind));
        figures.insert("recovery_p50_ms".into(), json!(quantile(&mut recoveries, 0.5)));
        figures.insert("recovery_p99_ms".into(), json!(quantile(&mut recoveries, 0.99)));
        figures.insert("cpu_s".into(), json!(cpu_s));
        figures.insert("rss_mb".into(), json!(rss_mb));
        for sentence in &found.sentences {
            eprintln!("{sentence}");
        }
        Ok(figures)
    }

    async fn kill_about(
        &self,
        program: &mut Program,
        place: &watch::Sender<Option<Addresses>>,
        load: &Load,
        dice: &mut StdRng,
    ) -> anyhow::Result<Kills> {
        let mut kills = Kills::default();
        for n in 1..=self.kills {
            tokio::time::sleep(Duration::from_millis(dice.random_range(5..=self.pause_ms))).await;
            let servers = servers_of(program.process()?).await?;
            let at = Instant::now();
            if dice.random_bool(0.5) {
                kills.program += 1;
                let _ = place.send(None);
                program.kill().await?;
                kills.left_behind += u32::from(!gone(&servers).await);
                let started = program.start().await.with_context(|| format!("starting again after kill {n}"))?;
                let mqtt = mqtt_address(&load.now_at(started.http)).await?;
                let _ = place.send(Some(Addresses { http: started.http, mqtt }));
            } else {
                kills.database += 1;
                let Some(server) = servers.first() else { bail!("the program has no PostgreSQL") };
                let backends = server.children("postgres");
                // Half of them one of its own processes: PostgreSQL then starts over by itself.
                match backends.get(dice.random_range(0..backends.len().max(1))) {
                    Some(backend) if dice.random_bool(0.5) => backend.kill(),
                    Some(_) | None => server.kill(),
                };
            }
            let after = load.pulse.after(at, RECOVERED_WITHIN).await;
            kills.recoveries.push(after.with_context(|| format!("after kill {n} nothing is acknowledged any more"))?);
        }
        Ok(kills)
    }
}

/// The program's PostgreSQL. After a kill the spill acknowledges before there is one again.
async fn servers_of(program: Process) -> anyhow::Result<Vec<Process>> {
    let began = Instant::now();
    loop {
        let servers = program.children("postgres");
        if !servers.is_empty() {
            return Ok(servers);
        }
        anyhow::ensure!(began.elapsed() < RECOVERED_WITHIN, "the program does not start its PostgreSQL again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether these processes have ended by themselves.
async fn gone(servers: &[Process]) -> bool {
    let began = Instant::now();
    while began.elapsed() < GONE_WITHIN {
        if servers.iter().all(|server| !server.is_alive()) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

async fn mqtt_address(admin: &Client) -> anyhow::Result<std::net::SocketAddr> {
    let health = admin.get("/api/health").await?;
    health["broker"]["listen"].as_str().context("no embedded broker")?.parse().context("the broker's address")
}

/// Waits until every mailbox is empty and everything queued is written.
async fn settled(admin: &Client) -> anyhow::Result<()> {
    let (mut quiet, mut last) = (0, String::new());
    let began = Instant::now();
    while quiet < 3 {
        anyhow::ensure!(began.elapsed() < FINISHED_WITHIN, "the actors do not come to rest: {last}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let health = match admin.get("/api/health").await {
            Ok(health) => health,
            Err(error) => {
                last = error.to_string();
                continue;
            }
        };
        let actors = health["actors"].as_array().context("no actors")?;
        let busy: Vec<_> = actors.iter().filter(|actor| actor["depth"] != 0 || actor["state"] != "running").collect();
        quiet = if busy.is_empty() { quiet + 1 } else { 0 };
        last = json!(busy).to_string();
    }
    Ok(())
}

/// The password of every device of the bench's site.
const PASSWORD: &str = "a-device-of-the-bench";

fn site(readers: usize, sensors: usize) -> String {
    let mut text = String::from("name = \"Bench\"\n[[places]]\nkey = \"site\"\nkind = \"site\"\nname = \"Bench\"\n");
    let mut device = |key: String, kind: &str| {
        text += &format!(
            "[[devices]]\nkey = \"{key}\"\n{kind}\nname = \"{key}\"\nplace = \"site\"\npassword = \"{PASSWORD}\"\n"
        );
    };
    (0..readers).for_each(|n| device(format!("reader-{n}"), "kind = \"door\""));
    (0..sensors).for_each(|n| device(format!("leak-{n}"), "kind = \"sensor\"\nclass = \"leak\""));
    text
}
