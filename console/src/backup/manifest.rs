//! The manifest: what a backup holds, so that it can be checked without a database and loaded without guessing.

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};

/// The layout this program writes and reads.
pub const FORMAT: u32 = 1;
/// The manifest's file, and that of its sum.
pub const FILE: &str = "manifest.json";
/// The sum of the manifest.
pub const SUM: &str = "manifest.sha256";

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout.
    pub format: u32,
    /// When its snapshot of the database was taken: what was committed before is in it.
    pub taken_at: Timestamp,
    /// How long taking it took, seconds.
    pub seconds: f64,
    /// The program that took it.
    pub gatehouse: String,
    /// The database server it came from.
    pub postgres: String,
    /// Whether readings were in TimescaleDB.
    pub timescale: bool,
    /// The site's name.
    pub site: String,
    /// The migrations the database had, oldest first.
    pub schema: Vec<Migration>,
    /// The tables, a partitioned one as one.
    pub tables: Vec<Table>,
    /// Partitions of the partitioned tables, those of others first.
    pub partitions: Vec<Partition>,
    /// Sequences that were used.
    pub sequences: Vec<Sequence>,
    /// Other files.
    pub files: Vec<FileRow>,
    /// The machine's configuration among them.
    pub config: Option<String>,
    /// Whether the secrets are among them: without the master key face templates cannot be read.
    pub secrets: bool,
    /// What was to be in it and is not, in sentences.
    pub left_out: Vec<String>,
}

/// A migration of the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// Its number.
    pub version: i64,
    /// Its sum, hex.
    pub checksum: String,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name in the schema `public`.
    pub name: String,
    /// The columns in the file, in order.
    pub columns: Vec<String>,
    /// Rows in the file.
    pub rows: u64,
    /// Where its rows are.
    #[serde(flatten)]
    pub file: FileRow,
}

/// A partition of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// The table it is a part of.
    pub parent: String,
    /// `for values from (…) to (…)`, as the catalogue says it.
    pub bound: String,
    /// How it is itself partitioned, if it is.
    pub by: Option<String>,
}

/// A sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its name.
    pub name: String,
    /// The last value it gave.
    pub last: i64,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRow {
    /// Its path below the backup, with `/`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its sum, hex.
    pub sha256: String,
}

impl Manifest {
    /// Every file the backup holds besides the manifest and its sum.
    pub fn all_files(&self) -> impl Iterator<Item = &FileRow> {
        self.tables.iter().map(|table| &table.file).chain(&self.files)
    }

    /// The newest migration.
    pub fn version(&self) -> i64 {
        self.schema.last().map_or(0, |step| step.version)
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.all_files().map(|file| file.bytes).sum()
    }

    /// Rows in all.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// Writes it and its sum, both through to the disk.
    pub fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        durable(&dir.join(FILE), &text)?;
        durable(&dir.join(SUM), format!("{}  {FILE}\n", hex(&Sha256::digest(&text))).as_bytes())
    }

    /// Reads it, checking its sum, its layout and that no path in it leads elsewhere.
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(FILE);
        let text =
            std::fs::read(&path).with_context(|| format!("{} is no backup: {FILE} cannot be read", dir.display()))?;
        let sum = std::fs::read_to_string(dir.join(SUM))
            .with_context(|| format!("{} cannot be read: the backup is not whole", dir.join(SUM).display()))?;
        if sum != format!("{}  {FILE}\n", hex(&Sha256::digest(&text))) {
            bail!("{} is not what was written: its sum differs from {SUM}", path.display());
        }
        #[derive(Deserialize)]
        struct Layout {
            format: u32,
        }
        let Layout { format } = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        if format != FORMAT {
            bail!("{}: layout {format}, this program reads {FORMAT}: use the program that took it", path.display());
        }
        let manifest: Self = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        for file in manifest.all_files() {
            let plain = Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_)));
            if !plain || file.path.is_empty() {
                bail!("{}: the path {:?} leads out of the backup", path.display(), file.path);
            }
        }
        Ok(manifest)
    }
}

/// Writes a file that only its owner reads, through to the disk.
fn durable(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().with_context(|| path.display().to_string())
}

/// Bytes as hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn small() -> Manifest {
        Manifest {
            format: FORMAT,
            taken_at: "2026-11-25T10:15:00Z".parse().unwrap(),
            seconds: 0.5,
            gatehouse: "0.1.0".into(),
            postgres: "15.14".into(),
            timescale: false,
            site: "Test".into(),
            schema: vec![Migration { version: 6, checksum: "ab".into() }],
            tables: Vec::new(),
            partitions: Vec::new(),
            sequences: Vec::new(),
            files: Vec::new(),
            config: None,
            secrets: true,
            left_out: Vec::new(),
        }
    }

    #[test]
    fn a_manifest_comes_back_and_a_changed_byte_in_it_or_its_sum_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = small();
        manifest.write(dir.path()).unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), manifest);
        for name in [FILE, SUM] {
            let path = dir.path().join(name);
            let whole = std::fs::read(&path).unwrap();
            let mut bytes = whole.clone();
            bytes[3] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            assert!(Manifest::read(dir.path()).unwrap_err().to_string().contains(FILE), "{name}");
            std::fs::write(&path, whole).unwrap();
        }
        assert!(Manifest::read(dir.path()).is_ok());
    }

    #[test]
    fn a_path_that_leads_out_of_the_backup_is_refused() {
        for path in ["../../etc/passwd", "/etc/passwd", "", "secrets/../../x"] {
            let dir = tempfile::tempdir().unwrap();
            let row = FileRow { path: path.into(), bytes: 1, sha256: String::new() };
            Manifest { files: vec![row], ..small() }.write(dir.path()).unwrap();
            assert!(Manifest::read(dir.path()).unwrap_err().to_string().contains("leads out"), "{path:?}");
        }
    }
}
