//! `gatehouse backup`: backs up a running or stopped system, or checks a backup.

use super::DataDir;
use super::serve::fail;
use crate::backup::files::Video;
use crate::backup::{self, Manifest, Meter, Order, Taken};
use crate::config::Config;
use crate::provision::progress::Lines;
use crate::provision::{Cluster, ClusterOptions, Provision, cluster, running_instance};
use anyhow::{Context, bail};
use sqlx::postgres::PgConnectOptions;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Backs up everything a site cannot make again; the system may run meanwhile.
#[derive(Debug, clap::Args)]
pub struct Backup {
    #[command(flatten)]
    data: DataDir,
    /// The configuration of the site, when it has one: it goes along, and says where the database and the backups are
    #[arg(long, value_name = "FILE", env = "GATEHOUSE_CONFIG")]
    config: Option<PathBuf>,
    /// Where backups lie, each under the moment it was taken [default: backup.dir of the configuration, else `backups` in
    /// the data directory]
    dir: Option<PathBuf>,
    /// So many are kept, the oldest go [default: backup.keep, else 7]
    #[arg(long, value_name = "N")]
    keep: Option<u32>,
    /// Leaves the secrets out: face templates cannot be read from such a backup
    #[arg(long)]
    without_secrets: bool,
    /// Takes all recordings along, not only what alarms protect
    #[arg(long)]
    video: bool,
    /// Checks a backup (or the newest in DIR) instead of taking one
    #[arg(long, conflicts_with_all = ["keep", "without_secrets", "video"])]
    verify: bool,
}

impl Backup {
    /// Takes or checks a backup.
    pub fn run(self) -> ExitCode {
        let told = if self.verify { self.verify() } else { self.take() };
        match told {
            Ok(text) => super::print(&text),
            Err(error) => fail(&error),
        }
    }

    fn place(&self) -> anyhow::Result<(PathBuf, Config)> {
        let config = self.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
        let data = self.data.named().or(config.data.clone()).unwrap_or_else(|| self.data.path());
        Ok((data, config))
    }

    fn verify(self) -> anyhow::Result<String> {
        let (data, config) = self.place()?;
        let dir = self.dir.unwrap_or_else(|| config.backup.shelf(&data));
        let (path, manifest) = watched("checking", |meter| backup::verify(&dir, &meter))?;
        Ok(format!("{} is whole: {}\n", path.display(), summary(&manifest)))
    }

    fn take(self) -> anyhow::Result<String> {
        let (data, config) = self.place()?;
        let order = Order {
            shelf: self.dir.unwrap_or_else(|| config.backup.shelf(&data)),
            secrets: config.backup.secrets && !self.without_secrets,
            video: if self.video { Video::All } else { config.backup.video() },
            keep: self.keep.unwrap_or(config.backup.keep) as usize,
            config: config.file.clone().map(|file| (file, config.clone())),
            data,
        };
        let taken = watched("backing up", |meter| take(&order, &config, &meter))?;
        Ok(told(&order, &taken))
    }
}

/// Takes a backup by way of the running system's database, or of the private one started for the time.
fn take(order: &Order, config: &Config, meter: &Meter) -> anyhow::Result<Taken> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        if let Some(options) = external(config)? {
            return backup::take(order, &options, meter).await;
        }
        if running_instance(&order.data).is_some() {
            let options = cluster::reach(&order.data, "gatehouse").with_context(|| {
                format!("the system on {} runs, its database is not ready: try again in a moment", order.data.display())
            })?;
            return backup::take(order, &options, meter).await;
        }
        let provision = Provision::new(&order.data);
        if cluster::major_of(&provision.postgres_home()).is_none() {
            bail!(
                "there is no database in {}: name the data directory with --data, and run this as the account that the \
                 system runs as",
                order.data.display()
            );
        }
        let _lock = provision.lock_instance()?;
        let programs = tokio::task::block_in_place(|| provision.ensure_postgres(&mut Lines::stderr()))?;
        let cluster = Cluster::start(&programs, &order.data, ClusterOptions::default()).await?;
        let taken = backup::take(order, &cluster.options("gatehouse"), meter).await;
        cluster.stop().await?;
        taken
    })
}

/// How to connect to the external database of a configuration, when it names one.
pub(super) fn external(config: &Config) -> anyhow::Result<Option<PgConnectOptions>> {
    let Some(file) = &config.database.url_file else { return Ok(None) };
    let url = std::fs::read_to_string(file).with_context(|| format!("database.url_file {}", file.display()))?;
    Ok(Some(url.trim().parse().with_context(|| format!("database.url_file {} holds no URL", file.display()))?))
}

/// Does a piece of work on a thread of its own and tells every two seconds how far it is.
pub(super) fn watched<T: Send>(
    what: &str,
    work: impl FnOnce(Arc<Meter>) -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let meter = Arc::new(Meter::default());
    std::thread::scope(|scope| {
        let (done, over) = std::sync::mpsc::channel::<()>();
        let worker = scope.spawn({
            let meter = meter.clone();
            move || {
                // Dropped when the work ends, however it ends.
                let _done = done;
                work(meter)
            }
        });
        while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = over.recv_timeout(Duration::from_secs(2)) {
            eprintln!("{what}: {} % ({})", meter.percent(), meter.what());
        }
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What a backup holds, in a line.
pub(super) fn summary(manifest: &Manifest) -> String {
    format!(
        "{}, taken {}, {} rows of {} tables, {} files, {:.1} MB, secrets {}",
        if manifest.site.is_empty() { "no site" } else { &manifest.site },
        manifest.taken_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        manifest.rows(),
        manifest.tables.len(),
        manifest.files.len(),
        manifest.bytes() as f64 / 1e6,
        if manifest.secrets { "included" } else { "left out" },
    )
}

fn told(order: &Order, taken: &Taken) -> String {
    let mut text =
        format!("{}: {}, in {:.1} s\n", taken.path.display(), summary(&taken.manifest), taken.manifest.seconds);
    if order.secrets {
        text += "KEEP IT SAFE: it holds the secrets of the site (passwords of devices, the key of the face templates) for \
                 whoever can read it\n";
    }
    for without in &taken.manifest.left_out {
        text += &format!("not in it: {without}\n");
    }
    for gone in &taken.removed {
        text += &format!("removed {}: the newest {} are kept\n", gone.display(), order.keep);
    }
    text
}
