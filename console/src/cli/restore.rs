//! `gatehouse restore`: loads a backup into an empty data directory.

use super::DataDir;
use super::backup::{external, summary, watched};
use super::serve::fail;
use crate::backup::restore::{Restored, Target};
use crate::config::Config;
use crate::provision::progress::Lines;
use std::path::PathBuf;
use std::process::ExitCode;

/// Restores a backup: everything in it is checked before anything is touched.
#[derive(Debug, clap::Args)]
pub struct Restore {
    #[command(flatten)]
    data: DataDir,
    /// A configuration that names another database than the private one
    #[arg(long, value_name = "FILE", env = "GATEHOUSE_CONFIG")]
    config: Option<PathBuf>,
    /// The backup, or the directory in which backups lie: the newest of them
    dir: PathBuf,
    /// Moves what the data directory holds aside, into `before-restore-<moment>`; nothing is deleted
    #[arg(long)]
    replace: bool,
}

impl Restore {
    /// Restores.
    pub fn run(self) -> ExitCode {
        match self.restore() {
            Ok(text) => super::print(&text),
            Err(error) => fail(&error),
        }
    }

    fn restore(self) -> anyhow::Result<String> {
        let config = self.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
        let data = self.data.named().or(config.data.clone()).unwrap_or_else(|| self.data.path());
        let target = Target { data, external: external(&config)?, replace: self.replace };
        let restored = watched("restoring", |meter| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            runtime.block_on(crate::backup::restore(&self.dir, &target, &meter, &mut Lines::stderr()))
        })?;
        Ok(told(&target, &restored))
    }
}

fn told(target: &Target, restored: &Restored) -> String {
    let Restored { from, manifest, moved, audit } = restored;
    let mut text = format!("restored {}: {}\n", from.display(), summary(manifest));
    text += &match audit.broken_at {
        None => format!("audit: {} rows, the chain is unbroken\n", audit.rows),
        Some(row) => format!("AUDIT: the chain is broken at row {row}, as it was when the backup was taken\n"),
    };
    for aside in moved {
        text += &format!("what was there before is in {}\n", aside.display());
    }
    if !manifest.secrets {
        text +=
            "the backup has no secrets: enrol faces anew, and give devices the passwords that the next start makes\n";
    }
    let data = target.data.display();
    text += &match &manifest.config {
        Some(file) => format!("start it: gatehouse --data {data} --config {data}/{file}\n"),
        None => format!("start it: gatehouse --data {data}\n"),
    };
    text
}
