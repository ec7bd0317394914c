//! PostgreSQL on this machine: where its programs are and which version they say they are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest PostgreSQL the migrations are written for.
pub const MIN_MAJOR: u32 = 14;

/// Where the programs came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Found on the machine.
    Machine,
    /// Unpacked by set-up.
    Fetched,
}

/// A usable set of PostgreSQL programs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PgPrograms {
    /// The directory of `initdb`, `postgres`, `pg_ctl`.
    pub bin: PathBuf,
    /// What `postgres --version` says, without the product's name: `15.14 (Debian 15.14-0+deb12u1)`.
    pub version: String,
    /// Its first number.
    pub major: u32,
    /// Found or fetched.
    pub origin: Origin,
}

/// Which PostgreSQL to use; the environment variable `GATEHOUSE_PG` sets it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PgChoice {
    /// One found on the machine, else the pinned wheel.
    #[default]
    Auto,
    /// The pinned wheel, whatever the machine has (`GATEHOUSE_PG=wheel`).
    Wheel,
    /// The programs in this directory and no others (`GATEHOUSE_PG=/opt/pg16/bin`).
    Dir(PathBuf),
}

impl PgChoice {
    /// Reads `GATEHOUSE_PG`.
    pub fn from_env() -> Self {
        match std::env::var_os("GATEHOUSE_PG") {
            None => Self::Auto,
            Some(v) if v.is_empty() || v == "auto" => Self::Auto,
            Some(v) if v == "wheel" => Self::Wheel,
            Some(v) => Self::Dir(v.into()),
        }
    }
}

/// The best programs on the machine: of the major version `wanted` when there is one, else the newest.
pub(super) fn on_machine(wanted: Option<u32>, search_path: Option<&OsStr>) -> Option<PgPrograms> {
    let mut found: Vec<PgPrograms> = Vec::new();
    for dir in candidates(search_path) {
        if found.iter().any(|f| f.bin == dir) {
            continue;
        }
        if let Ok(programs) = inspect(&dir, Origin::Machine) {
            // The directories come newest first, so the first match is the answer.
            if wanted.is_none_or(|w| w == programs.major) {
                return Some(programs);
            }
            found.push(programs);
        }
    }
    found.into_iter().max_by_key(|p| p.major)
}

fn candidates(search_path: Option<&OsStr>) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    // Debian and Ubuntu keep versions side by side, off the PATH; so do the RPM packages of the PostgreSQL project.
    for (root, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
        let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(root)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| {
                let name = e.file_name().into_string().ok()?;
                Some((name.strip_prefix(prefix)?.parse().ok()?, e.path().join("bin")))
            })
            .collect();
        versions.sort_by_key(|v| std::cmp::Reverse(v.0));
        dirs.extend(versions.into_iter().map(|(_, dir)| dir));
    }
    if let Some(pg_config) = super::fetch::on_path("pg_config", search_path)
        && let Some(dir) = line_of(Command::new(pg_config).arg("--bindir"))
    {
        dirs.push(dir.into());
    }
    if let Some(postgres) = super::fetch::on_path("postgres", search_path)
        && let Some(dir) = postgres.canonicalize().ok().and_then(|p| p.parent().map(Path::to_path_buf))
    {
        dirs.push(dir);
    }
    dirs
}

/// The programs in `bin`, or what is wrong with them.
pub(super) fn inspect(bin: &Path, origin: Origin) -> Result<PgPrograms, String> {
    for program in ["initdb", "postgres", "pg_ctl"] {
        if !bin.join(program).is_file() {
            return Err(format!("{program} is not there"));
        }
    }
    let said = line_of(Command::new(bin.join("postgres")).arg("--version"))
        .ok_or_else(|| "postgres --version does not run".to_owned())?;
    let (version, major) = parse_version(&said).ok_or_else(|| format!("postgres --version says {said:?}"))?;
    if major < MIN_MAJOR {
        return Err(format!("it is version {version}"));
    }
    Ok(PgPrograms { bin: bin.to_path_buf(), version, major, origin })
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` to version and major; betas say `18beta1`.
fn parse_version(said: &str) -> Option<(String, u32)> {
    let version = said.split_once("(PostgreSQL)")?.1.trim();
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    Some((version.to_owned(), version[..digits].parse().ok()?))
}

fn line_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The names of the extensions whose control files lie with these programs, sorted: what `pg_available_extensions`
/// would list, without a server.
pub fn extensions(programs: &PgPrograms) -> Vec<String> {
    let told = line_of(Command::new(programs.bin.join("pg_config")).arg("--sharedir")).map(PathBuf::from);
    let beside = programs.bin.parent().map(|p| p.join("share"));
    let debian = PathBuf::from(format!("/usr/share/postgresql/{}", programs.major));
    let dir = told.into_iter().chain(beside).chain([debian]).map(|d| d.join("extension")).find(|d| d.is_dir());
    let mut names: Vec<String> = dir
        .and_then(|d| std::fs::read_dir(d).ok())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| Some(e.file_name().into_string().ok()?.strip_suffix(".control")?.to_owned()))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_as_the_distributions_write_it() {
        let debian = parse_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)").unwrap();
        assert_eq!(debian, ("15.14 (Debian 15.14-0+deb12u1)".to_owned(), 15));
        assert_eq!(parse_version("postgres (PostgreSQL) 18beta1").unwrap().1, 18);
        assert_eq!(parse_version("postgres (PostgreSQL) 9.6.24").unwrap().1, 9);
        assert_eq!(parse_version("mysqld 8"), None);
        assert_eq!(parse_version("(PostgreSQL) x"), None);
    }

    #[test]
    fn a_directory_without_the_programs_says_which_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(inspect(dir.path(), Origin::Machine).unwrap_err(), "initdb is not there");
    }

    #[test]
    fn an_old_version_is_refused_with_its_number() {
        let dir = tempfile::tempdir().unwrap();
        for program in ["initdb", "pg_ctl", "postgres"] {
            let text = "echo 'postgres (PostgreSQL) 11.22'";
            crate::provision::testkit::script(&dir.path().join(program), text);
        }
        assert_eq!(inspect(dir.path(), Origin::Machine).unwrap_err(), "it is version 11.22");
    }
}
