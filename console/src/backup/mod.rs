//! Backup and restore: everything a site cannot make again, in plain files that say what they hold.
//!
//! ```text
//!  DIR/                              a shelf: backups side by side, the oldest go
//!    .gatehouse-backups              says whose it is; locked while one is taken
//!    20261125T101500Z.partial/       being taken, or interrupted: nobody accepts it
//!    20261125T101500Z/
//!      manifest.json                 what is here: rows, bytes and sha256 of each file; written last
//!      manifest.sha256               the sum of the manifest itself
//!      tables/<name>.copy.gz         one table, as PostgreSQL's COPY writes it
//!      secrets/ config/ pictures/ recordings/
//! ```
//! The tables are read in one repeatable-read transaction: what was committed before it began is there, whole, whatever
//! is written meanwhile. Nothing of PostgreSQL's own tools is needed, so a backup taken from one version loads into another.

pub mod check;
pub mod files;
pub mod keeper;
pub mod manifest;
pub mod meter;
pub mod restore;
pub mod shelf;
mod store;
pub mod take;

pub use check::verify;
pub use keeper::{BackupHealth, Keeper};
pub use manifest::Manifest;
pub use meter::Meter;
pub use restore::restore;
pub use take::{Order, Taken, take};

use std::path::Path;

/// In a data directory that a restore has not finished filling.
const HALF_RESTORED: &str = "restore.incomplete";

/// Refuses a data directory that a restore began to fill and did not finish.
pub fn refuse_half_restored(data: &Path) -> anyhow::Result<()> {
    if data.join(HALF_RESTORED).exists() {
        anyhow::bail!(
            "a restore into {} did not finish: run `gatehouse restore --replace` again, which moves what is there aside",
            data.display()
        );
    }
    Ok(())
}
