//! What is left running of a PostgreSQL on a data directory: its pid file and its processes.
//!
//! A kill -9 of this program or of the postmaster leaves `postmaster.pid` and the lock of its socket behind, perhaps with
//! processes that still write. Removing them while any lives would let two servers write the same files, so the processes
//! are looked for first: every process of a PostgreSQL has its data directory as working directory. Left there, they keep
//! PostgreSQL from starting for as long as their number lives, be it as a process not yet reaped or as another program.

use super::account::Account;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often a process that should end is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// The lines of `postmaster.pid` that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: i32,
    /// `starting`, `ready`, `stopping`, `standby`; empty when that line is not written yet.
    pub(super) status: String,
}

impl PidFile {
    /// Reads `<pgdata>/postmaster.pid`; none when it is missing or not written yet.
    pub(super) fn read(pgdata: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(pgdata.join("postmaster.pid")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        // A standalone backend writes its own id negated.
        let pid = lines.next()?.trim().parse::<i32>().ok()?.checked_abs().filter(|pid| *pid > 0)?;
        Some(Self { pid, status: lines.nth(6).unwrap_or_default().trim().to_owned() })
    }
}

/// The processes of a PostgreSQL whose working directory is `pgdata`.
///
/// `account`: whose they are. Root without CAP_SYS_PTRACE (a container's root) may not read the working directory of
/// another account's process, so that account itself is asked then.
pub(super) fn processes_in(pgdata: &Path, account: &Account) -> Vec<i32> {
    let Ok(pgdata) = pgdata.canonicalize() else { return Vec::new() };
    let (mut ours, mut hidden) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if !std::fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.starts_with("postgres")) {
            continue;
        }
        match std::fs::read_link(entry.path().join("cwd")) {
            Ok(cwd) if cwd == pgdata => ours.push(pid),
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied && account.other => hidden.push(pid),
            // Elsewhere, gone by now, or waiting to be reaped.
            _ => {}
        }
    }
    if !hidden.is_empty() {
        ours.extend(ask_the_account(&pgdata, account, &hidden));
    }
    ours
}

fn ask_the_account(pgdata: &Path, account: &Account, pids: &[i32]) -> Vec<i32> {
    let script = "for pid do printf '%s %s\\n' \"$pid\" \"$(readlink /proc/$pid/cwd)\"; done";
    let mut command = Command::new("/bin/sh");
    account.wear(&mut command);
    command.current_dir("/").args(["-c", script, "sh"]).args(pids.iter().map(i32::to_string));
    let told = command.stderr(Stdio::null()).output().map(|o| o.stdout).unwrap_or_default();
    String::from_utf8_lossy(&told)
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, cwd)| Path::new(cwd) == pgdata)
        .filter_map(|(pid, _)| pid.parse().ok())
        .collect()
}

/// Ends what still runs on `pgdata` and removes its stale files: the pid file, and the socket with its lock (`socket`, a
/// path without `.lock`). Says what was found.
pub(super) fn clear(pgdata: &Path, socket: &Path, account: &Account) -> Result<Cleared, i32> {
    let file = PidFile::read(pgdata);
    let running = processes_in(pgdata, account);
    let remove_stale = || {
        let _ = std::fs::remove_file(pgdata.join("postmaster.pid"));
        let _ = std::fs::remove_file(socket);
        let _ = std::fs::remove_file(socket.with_added_extension("lock"));
    };
    if running.is_empty() {
        remove_stale();
        return Ok(if file.is_none() { Cleared::Nothing } else { Cleared::StaleFile });
    }
    match file.map(|f| f.pid).filter(|pid| running.contains(pid)) {
        Some(postmaster) => stop(pgdata, account, postmaster)?,
        // The postmaster is gone; its backends notice within moments.
        None => {
            if !gone_within(pgdata, account, Duration::from_secs(5)) {
                signal_all(pgdata, account, Signal::QUIT);
                if !gone_within(pgdata, account, Duration::from_secs(5)) {
                    return Err(processes_in(pgdata, account).first().copied().unwrap_or_default());
                }
            }
        }
    }
    remove_stale();
    Ok(Cleared::Survivor)
}

/// What [`clear`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cleared {
    Nothing,
    /// A pid file without processes.
    StaleFile,
    /// A server or backends of one, ended now.
    Survivor,
}

/// Ends a postmaster: fast, then immediately, which recovery at the next start makes good.
pub(super) fn stop(pgdata: &Path, account: &Account, postmaster: i32) -> Result<(), i32> {
    for (signal, patience) in [(Signal::INT, Duration::from_secs(30)), (Signal::QUIT, Duration::from_secs(10))] {
        if let Some(pid) = Pid::from_raw(postmaster) {
            let _ = kill_process(pid, signal);
        }
        if gone_within(pgdata, account, patience) {
            return Ok(());
        }
    }
    Err(postmaster)
}

fn signal_all(pgdata: &Path, account: &Account, signal: Signal) {
    for pid in processes_in(pgdata, account).into_iter().filter_map(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

fn gone_within(pgdata: &Path, account: &Account, patience: Duration) -> bool {
    let began = Instant::now();
    while !processes_in(pgdata, account).is_empty() {
        if began.elapsed() > patience {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_is_read_in_every_state_it_is_written() {
        let ready = "4711\n/data/pg\n1763924000\n5432\n/data/run\n\n  12345   678\nready   \n";
        assert_eq!(PidFile::parse(ready), Some(PidFile { pid: 4711, status: "ready".into() }));
        assert_eq!(PidFile::parse("4711\n/data/pg\n"), Some(PidFile { pid: 4711, status: String::new() }));
        assert_eq!(PidFile::parse("-12\n"), Some(PidFile { pid: 12, status: String::new() }));
        for nothing in ["", "\n", "x\n", "0\n", "99999999999\n"] {
            assert_eq!(PidFile::parse(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn what_a_killed_postgres_left_is_removed_even_when_its_number_lives_again() {
        let dir = tempfile::tempdir().unwrap();
        let me = Account::choose().unwrap();
        let (pid, socket) = (dir.path().join("postmaster.pid"), dir.path().join(".s.PGSQL.5432"));
        let lock = dir.path().join(".s.PGSQL.5432.lock");
        assert_eq!(clear(dir.path(), &socket, &me), Ok(Cleared::Nothing));
        // This test's own process: alive, and no postgres.
        for file in [&pid, &socket, &lock] {
            std::fs::write(file, format!("{}\n", std::process::id())).unwrap();
        }
        assert_eq!(clear(dir.path(), &socket, &me), Ok(Cleared::StaleFile));
        assert!([pid, socket, lock].iter().all(|file| !file.exists()));
    }
}
