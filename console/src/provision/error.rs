//! Why set-up stopped, each with what to do about it.

use std::path::{Path, PathBuf};

/// A reason set-up cannot go on. `Display` says what failed and the remedy, for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// `python3` is not on the search path.
    #[error(
        "python3 is missing; it fetches {what}. Install it (Debian: apt-get install python3 python3-pip), \
         then run `gatehouse setup` again"
    )]
    NoPython {
        /// The package that was wanted.
        what: String,
    },
    /// Python is there, its `pip` module is not.
    #[error(
        "python3 has no pip; it fetches {what}. Install it (Debian: apt-get install python3-pip), \
         then run `gatehouse setup` again"
    )]
    NoPip {
        /// The package that was wanted.
        what: String,
    },
    /// `npm` is not on the search path.
    #[error(
        "npm is missing; it fetches {what}. Install it (Debian: apt-get install npm), \
         then run `gatehouse setup` again; npm is not needed after that"
    )]
    NoNpm {
        /// The package that was wanted.
        what: String,
    },
    /// The registry could not be reached.
    #[error(
        "{what} could not be downloaded: the package registry did not answer ({detail}). Check the network, \
         or the proxy and mirror in the settings of {tool}, then run `gatehouse setup` again; what has arrived is kept"
    )]
    Offline {
        /// The package that was wanted.
        what: String,
        /// `pip` or `npm`.
        tool: &'static str,
        /// The client's own words.
        detail: String,
    },
    /// The client ran and failed for another reason.
    #[error(
        "{what} could not be downloaded: {tool} said: {detail}. Run `gatehouse setup` again; if it stays, try \
         the same package with {tool} by hand"
    )]
    Download {
        /// The package that was wanted.
        what: String,
        /// `pip` or `npm`.
        tool: &'static str,
        /// The client's own words.
        detail: String,
    },
    /// The bytes are not the pinned ones, twice.
    #[error(
        "{file} is not the file this program was built for: sha256 {got}, wanted {want}. It was deleted and fetched \
         again with the same result: a proxy or mirror changes it, or the package was replaced. Fetch from another \
         mirror, then run `gatehouse setup` again"
    )]
    WrongSha256 {
        /// The archive, or the member inside it.
        file: String,
        /// The pinned sum.
        want: String,
        /// The sum of what arrived.
        got: String,
    },
    /// The archive has the right sum but not the member: a fault of the table of pins.
    #[error("{archive} has no {member}; this is a fault of this version of gatehouse: please report it")]
    NoMember {
        /// The archive's file name.
        archive: String,
        /// The path wanted inside it.
        member: String,
    },
    /// Not enough room for what is still to be fetched and unpacked.
    #[error(
        "the disk of {} is full: {needed_mb} MB needed, {free_mb} MB free. Make room there, or choose another \
         place with --data DIR", path.display()
    )]
    DiskFull {
        /// Where the room is wanted.
        path: PathBuf,
        /// Megabytes (10^6) still to be written, with a margin.
        needed_mb: u64,
        /// Megabytes (10^6) free to this account.
        free_mb: u64,
    },
    /// The data directory cannot be made or written.
    #[error(
        "{} cannot be written ({reason}). Give this account the right to it, or choose another place with \
         --data DIR or GATEHOUSE_DATA", path.display()
    )]
    NotWritable {
        /// The directory or file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// No pinned build for this machine.
    #[error(
        "there is no pinned {what} for {os} on {arch}. Gatehouse runs on Linux (glibc 2.28 or newer) on x86_64 and \
         aarch64{hint}"
    )]
    Platform {
        /// What is missing.
        what: String,
        /// The operating system of this build.
        os: &'static str,
        /// The processor of this build.
        arch: &'static str,
        /// A further remedy, or nothing.
        hint: &'static str,
    },
    /// `GATEHOUSE_PG` names a directory that has no usable PostgreSQL.
    #[error(
        "GATEHOUSE_PG={} has no usable PostgreSQL: {reason}. It must hold initdb, postgres and pg_ctl of version \
         {min} or newer; unset it to let the program find or fetch one", path.display(),
        min = super::find::MIN_MAJOR
    )]
    NoPostgres {
        /// The directory named.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Any other failure of the file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

impl SetupError {
    /// Sorts a file-system error into the sentence that fits: full disk, no right to write, or the rest.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        match source.kind() {
            K::StorageFull | K::QuotaExceeded => Self::DiskFull {
                path: path.to_path_buf(),
                needed_mb: 1,
                free_mb: super::space::free_bytes(path).unwrap_or(0) / 1_000_000,
            },
            K::PermissionDenied | K::ReadOnlyFilesystem | K::NotADirectory | K::AlreadyExists => {
                Self::NotWritable { path: path.to_path_buf(), reason: source.to_string() }
            }
            _ => Self::Io { path: path.to_path_buf(), source },
        }
    }
}

/// Says what to do when a listening address cannot be had.
///
/// ```
/// let taken = std::io::Error::from(std::io::ErrorKind::AddrInUse);
/// let said = gatehouse_console::provision::explain_bind_error("127.0.0.1:8080", &taken);
/// assert!(said.contains("127.0.0.1:8080") && said.contains("--listen"));
/// ```
pub fn explain_bind_error(address: &str, error: &std::io::Error) -> String {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::AddrInUse => {
            let port = address.rsplit(':').next().unwrap_or(address);
            format!(
                "{address} is in use by another program (see which with: ss -ltnp 'sport = :{port}'). Stop that one, \
                 or choose another address with --listen or in gatehouse.toml"
            )
        }
        K::PermissionDenied => format!(
            "this account may not listen on {address}; ports below 1024 need root or CAP_NET_BIND_SERVICE. Choose a \
             higher port with --listen or in gatehouse.toml"
        ),
        K::AddrNotAvailable => format!(
            "{address} is not an address of this machine. Choose one of its own (0.0.0.0 for all) with --listen or \
             in gatehouse.toml"
        ),
        _ => format!("cannot listen on {address}: {error}"),
    }
}
