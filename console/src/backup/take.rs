//! Taking a backup: the tables in one snapshot, then the files they refer to.

use super::files::{self, Chosen, Summed, Video};
use super::manifest::{FORMAT, Manifest, Table};
use super::meter::Meter;
use super::shelf::Shelf;
use super::store::{Listed, Snapshot};
use crate::config::Config;
use crate::provision;
use anyhow::{Context, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use sqlx::postgres::PgConnectOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Rows take about this part of their size on disk once compressed; generous, so that a full disk is told beforehand.
const COMPRESSED_TO: u64 = 3;
/// A recording that is closed meanwhile has another name: it is looked for so often.
const LOOKS: usize = 3;

/// What to back up, and where to.
#[derive(Clone, Debug)]
pub struct Order {
    /// The data directory.
    pub data: PathBuf,
    /// The shelf.
    pub shelf: PathBuf,
    /// The machine's configuration, where there is one, with its file.
    pub config: Option<(PathBuf, Config)>,
    /// Whether the secrets go along.
    pub secrets: bool,
    /// How much video goes along.
    pub video: Video,
    /// How many backups stay on the shelf.
    pub keep: usize,
}

impl Order {
    /// The disks that are recorded on beside the data directory.
    fn disks(&self) -> &[PathBuf] {
        self.config.as_ref().map_or(&[][..], |(_, config)| config.recording.dirs.as_slice())
    }
}

/// A backup that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Where it lies.
    pub path: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
    /// Older ones that went.
    pub removed: Vec<PathBuf>,
}

/// Takes a backup. Reads files and compresses in place: call it on a thread of its own.
pub async fn take(order: &Order, database: &PgConnectOptions, meter: &Meter) -> anyhow::Result<Taken> {
    let began = Instant::now();
    let shelf = Shelf::open(&order.shelf)?;
    let mut snapshot = Snapshot::open(database).await?;
    let partial = shelf.begin(snapshot.taken_at)?;
    let filled = fill(order, &mut snapshot, &partial, meter).await;
    let path = match filled {
        Ok(mut manifest) => {
            snapshot.close().await?;
            manifest.seconds = (began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
            manifest.write(&partial)?;
            shelf.finish(&partial)?
        }
        Err(error) => {
            // Not whole: what is there helps nobody. Should the removal fail, its name still says so.
            let _ = std::fs::remove_dir_all(&partial);
            return Err(error);
        }
    };
    let manifest = Manifest::read(&path)?;
    Ok(Taken { path, manifest, removed: shelf.prune(order.keep)? })
}

async fn fill(order: &Order, snapshot: &mut Snapshot, dir: &Path, meter: &Meter) -> anyhow::Result<Manifest> {
    let tables = snapshot.tables().await?;
    let (mut chosen, mut left_out) = choose(order)?;
    let rows_bytes: u64 = tables.iter().map(|table| table.bytes).sum();
    let files_bytes: u64 = chosen.values().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum();
    room(dir, rows_bytes / COMPRESSED_TO + files_bytes)?;
    meter.expect(rows_bytes + files_bytes);

    let mut manifest = Manifest {
        format: FORMAT,
        taken_at: snapshot.taken_at,
        seconds: 0.0,
        gatehouse: env!("CARGO_PKG_VERSION").to_owned(),
        postgres: snapshot.postgres.clone(),
        timescale: snapshot.timescale,
        site: snapshot.site().await?,
        schema: snapshot.schema().await?,
        partitions: snapshot.partitions().await?,
        sequences: snapshot.sequences().await?,
        tables: Vec::with_capacity(tables.len()),
        files: Vec::new(),
        config: order
            .config
            .as_ref()
            .and_then(|(file, _)| Some(format!("config/{}", file.file_name()?.to_string_lossy()))),
        secrets: order.secrets,
        left_out: Vec::new(),
    };
    let mut before = 0;
    for table in &tables {
        meter.begin(&table.name);
        manifest.tables.push(copy_table(snapshot, table, dir, meter).await?);
        before += table.bytes;
        meter.reach(before);
    }
    // After the snapshot: every file that its rows name is there by now.
    for look in 0..LOOKS {
        let mut gone = Vec::new();
        for (path, from) in &chosen {
            meter.begin(path.split('/').next().unwrap_or_default());
            match files::copy(from, &dir.join(path), path, |bytes| meter.add(bytes)).with_context(|| path.clone())? {
                Some(row) => manifest.files.push(row),
                None => gone.push(path.clone()),
            }
        }
        if gone.is_empty() {
            break;
        }
        if look + 1 == LOOKS {
            left_out.extend(gone.into_iter().map(|path| format!("{path} went away while it was to be copied")));
            break;
        }
        chosen = files::recordings(&order.data, order.disks(), order.video)?;
        chosen.retain(|path, _| !manifest.files.iter().any(|row| row.path == *path));
    }
    manifest.files.sort_by(|a, b| a.path.cmp(&b.path));
    manifest.left_out = left_out;
    Ok(manifest)
}

fn choose(order: &Order) -> anyhow::Result<(Chosen, Vec<String>)> {
    let (mut chosen, mut left_out) = (Chosen::new(), Vec::new());
    if order.secrets {
        chosen.extend(files::secrets(&order.data)?);
    } else {
        left_out.push(
            "the secrets: face templates cannot be read from this backup, and devices need new passwords".to_owned(),
        );
    }
    if let Some((file, config)) = &order.config {
        let (named, without) = files::configuration(file, config, order.secrets);
        chosen.extend(named);
        left_out.extend(without);
    }
    chosen.extend(files::pictures(&order.data)?);
    chosen.extend(files::recordings(&order.data, order.disks(), order.video)?);
    Ok((chosen, left_out))
}

async fn copy_table(snapshot: &mut Snapshot, table: &Listed, dir: &Path, meter: &Meter) -> anyhow::Result<Table> {
    let path = format!("tables/{}.copy.gz", table.name);
    let doing = || format!("copying the table {}", table.name);
    let mut packed = GzEncoder::new(Summed::create(&dir.join(&path)).with_context(doing)?, Compression::fast());
    let mut rows = 0;
    let sink = |piece: &[u8]| {
        // COPY writes a line feed within a value as \n: each one that is there ends a row.
        rows += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        meter.add(piece.len() as u64);
        packed.write_all(piece)
    };
    snapshot.copy_out(table, sink).await.with_context(doing)?;
    let file = packed.finish().and_then(|file| file.finish(path)).with_context(doing)?;
    Ok(Table { name: table.name.clone(), columns: table.columns.clone(), rows, file })
}

fn room(dir: &Path, needed: u64) -> anyhow::Result<()> {
    let free = provision::free_bytes(dir).with_context(|| dir.display().to_string())?;
    if free < needed {
        bail!(
            "the backup needs about {} MB, {} has {} MB free: make room or name another disk",
            needed.div_ceil(1_000_000),
            dir.parent().unwrap_or(dir).display(),
            free / 1_000_000
        );
    }
    Ok(())
}
