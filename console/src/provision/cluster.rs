//! The private PostgreSQL: made once, started with the program, stopped with it, recovered after a kill.
//!
//! ```text
//!  no pg/ ──▶ initdb beside it, marker, rename ─┐
//!  pg/ with our marker ─────────────────────────┼─▶ end what a kill left ─▶ postgres ─▶ ready ─▶ stop (fast)
//!  pg/ without it, or of another major ─▶ refuse
//! ```
//! It listens on a unix socket only, in a directory no other account can enter, and trusts who gets there. A small
//! shell at the end of a pipe (the tether) stops the server when this process ends in any way, kill -9 included.
//! Should the server outlive even that, the next start stops it first: its data is safe, its settings are ours.

use super::account::{Account, home, short_hash};
use super::find::{PgPrograms, extensions};
use super::postmaster::{self, Cleared, PidFile};
use super::{SetupError, lock};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Row};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// The database role of the program, and its database.
pub const USER: &str = "gatehouse";
/// Only a part of the socket's name: nothing listens on a network port.
const PORT: u16 = 5432;
/// In every data directory this program made.
const MARKER: &str = "gatehouse-cluster";
/// Longest path of a unix socket, bytes (`sun_path` without its NUL).
const SOCKET_PATH_MAX: usize = 107;
/// A start may replay as much log as `max_wal_size` allows.
const START_PATIENCE: Duration = Duration::from_secs(300);
/// A log above this is moved to `pg.log.1` at the next start, bytes.
const LOG_LIMIT: u64 = 8 * 1024 * 1024;

/// Why the private PostgreSQL does not run.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Root, and no account to drop to.
    #[error(
        "PostgreSQL refuses to run as root and there is no account postgres, gatehouse or nobody to run it. Make one: \
         useradd --system gatehouse"
    )]
    NoAccount,
    /// The directory is a cluster, or something else, of somebody else.
    #[error(
        "{} was not made by gatehouse and is left alone. Choose another place with --data DIR, or name the server \
         it belongs to with database.url_file in the configuration", path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// The files are of another major version than the programs.
    #[error(
        "the database in {} was made by PostgreSQL {made}, the programs in {} are {have}. Install PostgreSQL {made} \
         or set GATEHOUSE_PG to its bin directory; to move to {have}, dump with the old and restore with the new",
        path.display(), bin.display()
    )]
    Version {
        /// The cluster's directory.
        path: PathBuf,
        /// The programs' directory.
        bin: PathBuf,
        /// Major version of the files.
        made: u32,
        /// Major version of the programs.
        have: u32,
    },
    /// Another process runs this cluster.
    #[error(
        "another gatehouse (process {pid}) runs the database in {}. Stop it first (kill {pid}), or give this one its \
         own place with --data DIR", path.display()
    )]
    Busy {
        /// Its process id.
        pid: String,
        /// The cluster's directory.
        path: PathBuf,
    },
    /// An earlier server does not end.
    #[error("an earlier PostgreSQL (process {pid}) on {} does not stop. End it (kill -QUIT {pid}) and start again", path.display())]
    Unstoppable {
        /// Its process id.
        pid: i32,
        /// The cluster's directory.
        path: PathBuf,
    },
    /// `initdb` failed.
    #[error("initdb could not make the database in {}: {said}", path.display())]
    Init {
        /// The cluster's directory.
        path: PathBuf,
        /// Its last words.
        said: String,
    },
    /// `postgres` ended before it was ready.
    #[error("PostgreSQL did not start on {}: {said}. The whole story is in {}", path.display(), log.display())]
    Start {
        /// The cluster's directory.
        path: PathBuf,
        /// Its last words.
        said: String,
        /// Its log.
        log: PathBuf,
    },
    /// A name that is not a plain identifier.
    #[error("{0:?} is no database name: a to z, 0 to 9 and _ only, not a digit first, 63 at most")]
    Name(String),
    /// Talking to the server failed.
    #[error("the private PostgreSQL answered: {0}")]
    Sql(#[from] sqlx::Error),
    /// A directory, a file or the room on the disk.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// How a cluster is run.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Off only for throw-away test clusters: commits survive a kill, but need not reach the disk.
    pub durable: bool,
    /// Stop the server when this process ends, however it ends.
    pub tether: bool,
    /// With the tether: remove the whole home directory then. For tests.
    pub ephemeral: bool,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self { durable: true, tether: true, ephemeral: false }
    }
}

/// What starting took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct StartReport {
    /// Whether the files had to be made first.
    pub made: bool,
    /// Whether something an earlier kill left had to be ended or removed.
    pub recovered: bool,
    /// From the call until the server took connections, milliseconds.
    pub ready_ms: u64,
}

/// A running private PostgreSQL. Shared by reference; stopped by [`Cluster::stop`] or on drop.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    report: StartReport,
    state: Mutex<State>,
    _lock: File,
}

#[derive(Debug)]
struct State {
    running: Option<Running>,
    /// Cleared by a stop that was asked for; without it a server that is not there is one to start again.
    wanted: bool,
}

#[derive(Debug)]
struct Running {
    server: Child,
    tether: Option<Child>,
}

#[derive(Debug, Clone)]
struct Place {
    programs: PgPrograms,
    options: ClusterOptions,
    account: Account,
    home: PathBuf,
    pgdata: PathBuf,
    sockets: PathBuf,
    log: PathBuf,
}

/// The major version of the cluster in a PostgreSQL home, when there is one.
pub fn major_of(home: &Path) -> Option<u32> {
    std::fs::read_to_string(home.join("pg/PG_VERSION")).ok()?.trim().parse().ok()
}

/// How to connect to a database of the private PostgreSQL that another process runs on a data directory, when one does.
pub fn reach(data: &Path, database: &str) -> Option<PgConnectOptions> {
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_path_buf());
    let homes = [Some(data.clone()), Account::choose().map(|account| home(&data, &account))];
    let ready = |home: &PathBuf| PidFile::read(&home.join("pg")).is_some_and(|file| file.status == "ready");
    let home = homes.into_iter().flatten().find(ready)?;
    Some(connect_options(&socket_dir(&home), database))
}

fn connect_options(sockets: &Path, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(sockets)
        .port(PORT)
        .username(USER)
        .database(database)
        .application_name("gatehouse")
}

impl Cluster {
    /// Starts the cluster of a data directory, made on first use.
    pub async fn start(programs: &PgPrograms, data: &Path, options: ClusterOptions) -> Result<Self, ClusterError> {
        let (programs, data) = (programs.clone(), data.to_path_buf());
        blocking(move || Self::start_now(programs, &data, options)).await
    }

    fn start_now(programs: PgPrograms, data: &Path, options: ClusterOptions) -> Result<Self, ClusterError> {
        let began = Instant::now();
        let place = Place::find(programs, data, options)?;
        let lock = place.take_lock()?;
        let made = place.make_if_missing()?;
        let cleared = place.clear()?;
        let running = place.launch()?;
        let ready_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let report = StartReport { made, recovered: cleared != Cleared::Nothing, ready_ms };
        info!(made, recovered = report.recovered, ready_ms, "PostgreSQL {} is ready", place.programs.version);
        let state = Mutex::new(State { running: Some(running), wanted: true });
        Ok(Self { place, report, state, _lock: lock })
    }

    /// What starting took.
    pub fn report(&self) -> StartReport {
        self.report
    }

    /// The cluster's files.
    pub fn pgdata(&self) -> &Path {
        &self.place.pgdata
    }

    /// The server's log.
    pub fn log(&self) -> &Path {
        &self.place.log
    }

    /// The directory of the server's socket.
    pub fn socket_dir(&self) -> &Path {
        &self.place.sockets
    }

    /// The programs it runs.
    pub fn programs(&self) -> &PgPrograms {
        &self.place.programs
    }

    /// The account it runs as.
    pub fn account(&self) -> &str {
        &self.place.account.name
    }

    /// The server's process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.state().running.as_ref().map(|r| r.server.id())
    }

    /// Where to connect for a database.
    pub fn options(&self, database: &str) -> PgConnectOptions {
        connect_options(&self.place.sockets, database)
    }

    /// The same as a URL, for other programs.
    pub fn url(&self, database: &str) -> String {
        let host = percent_encode(self.place.sockets.as_os_str().as_encoded_bytes());
        format!("postgres:///{database}?host={host}&port={PORT}&user={USER}")
    }

    /// Makes a database out of `template0` when it is not there; says whether it was made.
    pub async fn create_database(&self, name: &str) -> Result<bool, ClusterError> {
        let head = |b: u8| b.is_ascii_lowercase() || b == b'_';
        let plain = name.len() <= 63 && name.bytes().all(|b| head(b) || b.is_ascii_digit());
        if !plain || !name.bytes().next().is_some_and(head) {
            return Err(ClusterError::Name(name.to_owned()));
        }
        let mut connection = PgConnection::connect_with(&self.options("postgres")).await?;
        let there = sqlx::query("select 1 from pg_database where datname = $1").bind(name);
        let missing = there.fetch_optional(&mut connection).await?.is_none();
        if missing {
            // Audited: the name is a plain identifier, checked above; `create database` takes no parameters.
            let sql = AssertSqlSafe(format!("create database \"{name}\" template template0"));
            sqlx::query(sql).execute(&mut connection).await?;
        }
        connection.close().await?;
        Ok(missing)
    }

    /// Names and default versions in `pg_available_extensions`.
    pub async fn available_extensions(&self) -> Result<Vec<(String, String)>, ClusterError> {
        let mut connection = PgConnection::connect_with(&self.options("postgres")).await?;
        let rows = sqlx::query("select name::text, default_version from pg_available_extensions order by name")
            .fetch_all(&mut connection)
            .await?;
        connection.close().await?;
        Ok(rows.iter().map(|r| (r.get(0), r.get(1))).collect())
    }

    /// Whether the server process still runs.
    pub fn is_running(&self) -> bool {
        self.state().is_alive()
    }

    /// Starts the server again when it ended without being asked; says whether it had to.
    pub async fn restart_if_dead(self: &Arc<Self>) -> Result<bool, ClusterError> {
        let cluster = Arc::clone(self);
        blocking(move || {
            let mut state = cluster.state();
            if !state.wanted || state.is_alive() {
                return Ok(false);
            }
            if let Some(mut ended) = state.running.take() {
                ended.untie();
            }
            cluster.place.clear()?;
            state.running = Some(cluster.place.launch()?);
            Ok(true)
        })
        .await
    }

    /// Watches the server and starts it again when it dies, with growing patience when that fails. The task ends with
    /// the cluster; after [`Cluster::stop`] it does nothing.
    pub fn supervise(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let weak = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut wait = Duration::from_millis(500);
            loop {
                tokio::time::sleep(wait).await;
                let Some(cluster) = weak.upgrade() else { return };
                match cluster.restart_if_dead().await {
                    Ok(false) => wait = Duration::from_millis(500),
                    Ok(true) => warn!("PostgreSQL had ended and was started again"),
                    Err(error) => {
                        wait = (wait * 2).min(Duration::from_secs(30));
                        tracing::error!(%error, "PostgreSQL had ended and does not start: {error}");
                    }
                }
            }
        })
    }

    /// Stops the server: open transactions are rolled back, everything committed is on disk.
    pub async fn stop(&self) -> Result<(), ClusterError> {
        let running = self.give_up();
        let place = self.place.clone();
        blocking(move || running.map_or(Ok(()), |r| r.stop(&place))).await
    }

    fn give_up(&self) -> Option<Running> {
        let mut state = self.state();
        state.wanted = false;
        state.running.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(running) = self.give_up()
            && let Err(error) = running.stop(&self.place)
        {
            warn!(%error, "PostgreSQL was left running: {error}");
        }
        if self.place.options.ephemeral {
            let _ = std::fs::remove_dir_all(&self.place.home);
        }
    }
}

impl State {
    fn is_alive(&mut self) -> bool {
        self.running.as_mut().is_some_and(|r| matches!(r.server.try_wait(), Ok(None)))
    }
}

impl Running {
    fn stop(mut self, place: &Place) -> Result<(), ClusterError> {
        self.untie();
        let pid = i32::try_from(self.server.id()).unwrap_or_default();
        if matches!(self.server.try_wait(), Ok(None)) {
            // The child is reaped while it is waited for: a zombie has no working directory, so it counts as gone.
            postmaster::stop(&place.pgdata, &place.account, pid)
                .map_err(|pid| ClusterError::Unstoppable { pid, path: place.pgdata.clone() })?;
        }
        let _ = self.server.wait();
        Ok(())
    }

    /// Ends the tether first, so that it cannot signal a stranger who got the server's number.
    fn untie(&mut self) {
        if let Some(mut tether) = self.tether.take() {
            let _ = tether.kill();
            let _ = tether.wait();
        }
    }
}

impl Place {
    fn find(programs: PgPrograms, data: &Path, options: ClusterOptions) -> Result<Self, ClusterError> {
        let account = Account::choose().ok_or(ClusterError::NoAccount)?;
        let data = std::path::absolute(data).unwrap_or_else(|_| data.to_path_buf());
        let home = home(&data, &account);
        let mode = if account.other { 0o711 } else { 0o700 };
        if options.ephemeral {
            // The tether, which runs as the account, removes it.
            account.own_dir(&home)?;
        } else if !home.is_dir() {
            let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(&home);
            made.map_err(|e| SetupError::io(&home, e))?;
        }
        if home != data {
            let note = home.join("belongs-to");
            std::fs::write(&note, data.as_os_str().as_encoded_bytes()).map_err(|e| SetupError::io(&note, e))?;
        }
        let sockets = socket_dir(&home);
        account.own_dir(&sockets)?;
        let (pgdata, log) = (home.join("pg"), home.join("pg.log"));
        Ok(Self { programs, options, account, home, pgdata, sockets, log })
    }

    fn take_lock(&self) -> Result<File, ClusterError> {
        match lock::InstanceLock::take(&self.home.join("pg.lock")) {
            Ok(file) => Ok(file),
            Err(lock::LockError::Held { pid, .. }) => Err(ClusterError::Busy { pid, path: self.pgdata.clone() }),
            Err(lock::LockError::Setup(e)) => Err(e.into()),
        }
    }

    fn make_if_missing(&self) -> Result<bool, ClusterError> {
        if self.pgdata.join(MARKER).is_file() {
            let made = major_of(&self.home).unwrap_or_default();
            if made != self.programs.major {
                let (path, bin, have) = (self.pgdata.clone(), self.programs.bin.clone(), self.programs.major);
                return Err(ClusterError::Version { path, bin, made, have });
            }
            return Ok(false);
        }
        if std::fs::read_dir(&self.pgdata).is_ok_and(|mut entries| entries.next().is_some()) || self.pgdata.is_file() {
            return Err(ClusterError::Foreign { path: self.pgdata.clone() });
        }
        super::space::require(&self.home, 64_000_000)?;
        let fresh = self.home.join("pg.new");
        let io = |e| SetupError::io(&fresh, e);
        match std::fs::remove_dir_all(&fresh) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(e).into()),
            _ => {}
        }
        self.account.own_dir(&fresh)?;
        self.initdb(&fresh)?;
        std::fs::write(fresh.join(MARKER), "made by gatehouse\n").map_err(io)?;
        let _ = std::fs::remove_dir(&self.pgdata);
        std::fs::rename(&fresh, &self.pgdata).map_err(io)?;
        self.flush_in_background();
        Ok(true)
    }

    fn initdb(&self, fresh: &Path) -> Result<(), ClusterError> {
        let mut command = Command::new(self.programs.bin.join("initdb"));
        self.account.wear(&mut command);
        command.current_dir(fresh).arg("--pgdata").arg(fresh).args(["--username", USER]);
        // C sorts by code point, the same on every machine and version; words are sorted for people in the console.
        command.args(["--encoding=UTF8", "--locale=C", "--auth-local=trust", "--auth-host=reject"]);
        // The files are flushed all at once afterwards: one by one they take seconds.
        command.args(["--no-sync", "--no-instructions"]);
        let output = command.stdin(Stdio::null()).output().map_err(|e| SetupError::io(&self.programs.bin, e))?;
        if output.status.success() {
            return Ok(());
        }
        let said = telling_line(&String::from_utf8_lossy(&output.stderr));
        let _ = std::fs::remove_dir_all(fresh);
        Err(ClusterError::Init { path: self.pgdata.clone(), said })
    }

    /// Flushes the new files while the server already starts. Until then (a second or so, once in the life of a data
    /// directory) a power cut may ask for a new one; every commit after it is as durable as PostgreSQL makes it.
    fn flush_in_background(&self) {
        if !self.options.durable {
            return;
        }
        if let Ok(dir) = File::open(&self.pgdata) {
            std::thread::spawn(move || rustix::fs::syncfs(&dir));
        }
    }

    fn clear(&self) -> Result<Cleared, ClusterError> {
        let socket = self.sockets.join(format!(".s.PGSQL.{PORT}"));
        let cleared = postmaster::clear(&self.pgdata, &socket, &self.account)
            .map_err(|pid| ClusterError::Unstoppable { pid, path: self.pgdata.clone() })?;
        match cleared {
            Cleared::Nothing => {}
            Cleared::StaleFile => warn!("PostgreSQL was not stopped properly last time; it recovers by itself"),
            Cleared::Survivor => warn!("A PostgreSQL of an earlier gatehouse was still running and was stopped"),
        }
        Ok(cleared)
    }

    fn launch(&self) -> Result<Running, ClusterError> {
        let (log, told) = self.open_log()?;
        let error_log = log.try_clone().map_err(|e| SetupError::io(&self.log, e))?;
        let mut command = Command::new(self.programs.bin.join("postgres"));
        self.account.wear(&mut command);
        command.current_dir(&self.pgdata).arg("-D").arg(&self.pgdata);
        for setting in self.settings() {
            command.arg("-c").arg(setting);
        }
        command.stdin(Stdio::null()).stdout(log).stderr(error_log);
        let mut server = command.spawn().map_err(|e| SetupError::io(&self.programs.bin, e))?;
        let tether = match self.tie(server.id()) {
            Ok(tether) => tether,
            Err(error) => {
                let _ = Running { server, tether: None }.stop(self);
                return Err(error);
            }
        };
        let began = Instant::now();
        let mine = i32::try_from(server.id()).unwrap_or_default();
        loop {
            if PidFile::read(&self.pgdata).is_some_and(|f| f.pid == mine && f.status == "ready") {
                return Ok(Running { server, tether });
            }
            let ended = !matches!(server.try_wait(), Ok(None));
            if ended || began.elapsed() > START_PATIENCE {
                let _ = Running { server, tether }.stop(self);
                let said = if ended { self.said_since(told) } else { "it is not ready after five minutes".to_owned() };
                return Err(ClusterError::Start { path: self.pgdata.clone(), said, log: self.log.clone() });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn settings(&self) -> Vec<String> {
        let mut settings: Vec<String> = [
            "listen_addresses=",
            "unix_socket_permissions=0700",
            "max_connections=60",
            "shared_buffers=64MB",
            "effective_cache_size=512MB",
            "random_page_cost=1.1",
            "jit=off",
            "max_worker_processes=16",
            "max_locks_per_transaction=256", // a day partition and its indexes each take one
            "wal_compression=on",
            "min_wal_size=80MB",
            "max_wal_size=512MB",
            "checkpoint_timeout=10min",
            "timezone=UTC",
            "log_timezone=UTC",
            "logging_collector=off",
            "log_checkpoints=off",
            "log_min_error_statement=panic", // statements carry names and plates: never in a log
        ]
        .map(str::to_owned)
        .into();
        settings.push(format!("port={PORT}"));
        settings.push(format!("unix_socket_directories={}", quoted_list_item(&self.sockets)));
        let safe = if self.options.durable { "on" } else { "off" };
        settings.push(format!("fsync={safe}"));
        settings.push(format!("full_page_writes={safe}"));
        // On even in a throw-away cluster: off would lose commits to a mere kill of the process.
        settings.push("synchronous_commit=on".to_owned());
        // TimescaleDB works only when it is loaded with the server.
        if extensions(&self.programs).iter().any(|name| name == "timescaledb") {
            settings.push("shared_preload_libraries=timescaledb".to_owned());
            settings.push("timescaledb.telemetry_level=off".to_owned());
        }
        settings
    }

    /// The shell that waits for the end of our pipe and then stops the server.
    fn tie(&self, server: u32) -> Result<Option<Child>, ClusterError> {
        if !self.options.tether {
            return Ok(None);
        }
        // Gone is told by the working directory, which a process not yet reaped has no more.
        let script = "read -r _; kill -INT \"$1\" 2>/dev/null; [ -n \"$2\" ] || exit 0; n=0; \
                      while [ -d /proc/$1/cwd ] && [ $n -lt 600 ]; do sleep 0.05; n=$((n+1)); done; rm -rf -- \"$2\"";
        let mut command = Command::new("/bin/sh");
        self.account.wear(&mut command);
        command.current_dir("/").args(["-c", script, "gatehouse-tether", &server.to_string()]);
        command.arg(if self.options.ephemeral { self.home.as_os_str() } else { "".as_ref() });
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Some(command.spawn().map_err(|e| SetupError::io(Path::new("/bin/sh"), e))?))
    }

    /// The log, open for appending, and its length now.
    fn open_log(&self) -> Result<(File, u64), ClusterError> {
        if self.log.metadata().is_ok_and(|m| m.len() > LOG_LIMIT) {
            let _ = std::fs::rename(&self.log, self.log.with_extension("log.1"));
        }
        let open = File::options().create(true).append(true).mode(0o600).open(&self.log);
        let file = open.map_err(|e| SetupError::io(&self.log, e))?;
        let told = file.metadata().map_or(0, |m| m.len());
        Ok((file, told))
    }

    fn said_since(&self, told: u64) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.log).and_then(|mut f| {
            f.seek(SeekFrom::Start(told))?;
            f.take(64 * 1024).read_to_end(&mut text)
        });
        if read.is_err() {
            return "its log cannot be read".to_owned();
        }
        telling_line(&String::from_utf8_lossy(&text))
    }
}

/// A directory for the socket: in the home, or a short one when the path would be too long for a socket.
fn socket_dir(home: &Path) -> PathBuf {
    let name = format!("/.s.PGSQL.{PORT}");
    let fits = |dir: &Path| dir.as_os_str().len() + name.len() <= SOCKET_PATH_MAX;
    let own = home.join("run");
    if fits(&own) {
        return own;
    }
    let short = format!("gatehouse-{}", short_hash(home));
    let root = rustix::process::geteuid().is_root();
    let runtime = if root { Some(PathBuf::from("/run")) } else { std::env::var_os("XDG_RUNTIME_DIR").map(Into::into) };
    runtime
        .filter(|dir| dir.is_dir())
        .map(|dir| dir.join(&short))
        .filter(|dir| fits(dir))
        .unwrap_or_else(|| Path::new("/tmp").join(&short))
}

/// The line of a server's words that says most: the first FATAL, PANIC or error, else the last.
fn telling_line(text: &str) -> String {
    let lines = || text.lines().map(str::trim).filter(|l| !l.is_empty());
    let line =
        lines().find(|l| ["FATAL:", "PANIC:", "error:"].iter().any(|s| l.contains(s))).or_else(|| lines().next_back());
    line.unwrap_or("it said nothing").trim_end_matches('.').to_owned()
}

/// A path as one item of a list setting: quoted, so that commas and blanks in it are part of the name.
fn quoted_list_item(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('"', "\"\""))
}

fn percent_encode(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ClusterError> + Send + 'static,
) -> Result<T, ClusterError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
        Err(_) => Err(ClusterError::Sql(sqlx::Error::WorkerCrashed)),
    }
}

#[cfg(test)]
#[path = "tests/cluster.rs"]
mod tests;
