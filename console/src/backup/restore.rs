//! Restoring: checked first, into a place that holds nothing, or one whose content is moved aside.
//!
//! ```text
//!  verify ─▶ schema known? ─▶ place empty, or moved aside ─▶ marker ─▶ database as it was then ─▶ rows ─▶ newer
//!  migrations ─▶ files ─▶ marker removed
//! ```
//! While the marker is there the program does not start, so a restore cut short is never taken for a site.

use super::manifest::{Manifest, Migration, Table, hex};
use super::meter::Meter;
use super::store::{self, Loader};
use super::{HALF_RESTORED, check, files};
use crate::provision::{Cluster, ClusterOptions, Progress, Provision};
use anyhow::{Context, bail};
use flate2::read::GzDecoder;
use gatehouse_actors::staff;
use jiff::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Bytes given to the server at once.
const PIECE: u64 = 256 * 1024;
/// What a restore fills or moves aside, in a data directory.
const PARTS: [&str; 5] = ["secrets", "pictures", "recordings", "config", HALF_RESTORED];

/// Where to restore to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The data directory.
    pub data: PathBuf,
    /// The database, when it is not the private one.
    pub external: Option<PgConnectOptions>,
    /// Whether what is there is moved aside.
    pub replace: bool,
}

/// What a restore did.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The backup.
    pub from: PathBuf,
    /// What it held.
    pub manifest: Manifest,
    /// Where what was there before is now.
    pub moved: Vec<PathBuf>,
    /// Rows of the audit, and whether its chain is unbroken.
    pub audit: staff::AuditCheck,
}

/// Restores the backup in a directory, or the newest of a shelf.
pub async fn restore(
    from: &Path,
    target: &Target,
    meter: &Meter,
    progress: &mut (dyn Progress + Send),
) -> anyhow::Result<Restored> {
    let (from, manifest) = check::verify(from, &Meter::default())?;
    let ours = gatehouse_actors::store::schema();
    let ours: Vec<_> = ours.into_iter().map(|(version, sum)| Migration { version, checksum: hex(&sum) }).collect();
    store::check_schema(&manifest.schema, &ours)?;

    let data = std::path::absolute(&target.data)?;
    let provision = Provision::new(&data);
    let _lock = provision.lock_instance()?;
    let moved = make_way(&data, &provision.postgres_home(), target).await?;
    let marker = data.join(HALF_RESTORED);
    std::fs::write(&marker, from.as_os_str().as_encoded_bytes()).with_context(|| marker.display().to_string())?;
    sync(&data)?;

    meter.expect(manifest.bytes());
    let audit = match &target.external {
        Some(options) => fill(options, &from, &manifest, meter).await?,
        None => {
            let programs = provision.ensure_postgres(progress)?;
            let cluster = Cluster::start(&programs, &data, ClusterOptions::default()).await?;
            cluster.create_database("gatehouse").await?;
            let audit = fill(&cluster.options("gatehouse"), &from, &manifest, meter).await;
            cluster.stop().await?;
            audit?
        }
    };
    let secrets = data.join("secrets");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&secrets)?;
    for row in &manifest.files {
        meter.begin(row.path.split('/').next().unwrap_or_default());
        let to = data.join(&row.path);
        let copied = files::copy(&from.join(&row.path), &to, &row.path, |bytes| meter.add(bytes));
        let copied = copied.with_context(|| to.display().to_string())?;
        if copied.as_ref() != Some(row) {
            bail!("{} changed while it was read", from.join(&row.path).display());
        }
    }
    sync_below(&data)?;
    std::fs::remove_file(&marker).with_context(|| marker.display().to_string())?;
    sync(&data)?;
    Ok(Restored { from, manifest, moved, audit })
}

/// Makes sure that nothing is overwritten: refuses, or moves what is there aside.
async fn make_way(data: &Path, home: &Path, target: &Target) -> anyhow::Result<Vec<PathBuf>> {
    let filled =
        |path: &PathBuf| path.is_file() || std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    let mut there: Vec<PathBuf> = PARTS.iter().map(|part| data.join(part)).filter(filled).collect();
    let tables = match &target.external {
        Some(options) => store::tables_in_public(options).await?,
        None => {
            there.extend(Some(home.join("pg")).filter(filled));
            0
        }
    };
    if there.is_empty() && tables == 0 {
        return Ok(Vec::new());
    }
    if !target.replace {
        let what = there
            .first()
            .map_or("the database named by database.url_file".to_owned(), |path| path.display().to_string());
        bail!(
            "{what} holds data already: name an empty directory with --data, or --replace to move what is there aside"
        );
    }
    let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let mut moved = Vec::new();
    for path in there {
        let above = path.parent().unwrap_or(data).join(format!("before-restore-{stamp}"));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&above)?;
        let aside = above.join(path.file_name().unwrap_or_default());
        std::fs::rename(&path, &aside).with_context(|| format!("moving {} aside", path.display()))?;
        moved.push(aside);
    }
    if let Some(options) = target.external.as_ref().filter(|_| tables > 0) {
        let name = format!("before_restore_{stamp}").to_lowercase();
        store::move_aside(options, &name).await?;
        moved.push(PathBuf::from(format!("schema {name} of the database")));
    }
    Ok(moved)
}

/// Makes the schema of the backup's time, loads the rows, brings it to this program's.
async fn fill(
    options: &PgConnectOptions,
    from: &Path,
    manifest: &Manifest,
    meter: &Meter,
) -> anyhow::Result<staff::AuditCheck> {
    let pool = PgPoolOptions::new().max_connections(2).connect_with(options.clone()).await?;
    gatehouse_actors::store::migrate_to(&pool, manifest.version()).await?;
    let names: Vec<&str> = manifest.tables.iter().map(|table| table.name.as_str()).collect();
    let mut loader = Loader::open(options, &names, &manifest.partitions).await?;
    for name in loader.order(&names).await? {
        let Some(table) = manifest.tables.iter().find(|table| table.name == name) else { continue };
        if !loader.tables.contains(&name) {
            tracing::warn!("{name} is derived from other tables in this database: it is made anew");
            continue;
        }
        meter.begin(&table.name);
        load(&mut loader, from, table, meter).await.with_context(|| format!("loading the table {name}"))?;
    }
    for table in &manifest.tables {
        if !loader.tables.contains(&table.name) {
            continue;
        }
        let rows = loader.count(&table.name).await?;
        if rows != table.rows {
            bail!("table {}: {rows} rows are there, the backup has {}", table.name, table.rows);
        }
    }
    loader.finish(&manifest.sequences).await?;
    gatehouse_actors::store::migrate(&pool).await?;
    let audit = staff::audit_verify(&pool).await?;
    pool.close().await;
    Ok(audit)
}

async fn load(loader: &mut Loader, from: &Path, table: &Table, meter: &Meter) -> anyhow::Result<()> {
    let mut packed = GzDecoder::new(Counted { file: File::open(from.join(&table.file.path))?, meter });
    let next = |piece: &mut Vec<u8>| packed.by_ref().take(PIECE).read_to_end(piece).map(|read| read > 0);
    let rows = loader.copy_in(&table.name, &table.columns, next).await?;
    if rows != table.rows {
        bail!("the server took {rows} rows, the backup has {}", table.rows);
    }
    Ok(())
}

/// A file whose bytes are counted as done.
struct Counted<'a> {
    file: File,
    meter: &'a Meter,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.meter.add(read as u64);
        Ok(read)
    }
}

fn sync(dir: &Path) -> anyhow::Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| dir.display().to_string())
}

/// Brings the directories that were made through to the disk.
fn sync_below(data: &Path) -> anyhow::Result<()> {
    let mut open: Vec<PathBuf> = PARTS.iter().map(|part| data.join(part)).filter(|part| part.is_dir()).collect();
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir)? {
            open.extend(Some(entry?.path()).filter(|path| path.is_dir()));
        }
        sync(&dir)?;
    }
    Ok(())
}
