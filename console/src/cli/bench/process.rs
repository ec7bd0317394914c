//! What benches ask of processes: their memory, their processor time, their children, and the end of those they started.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Any process of this machine, by its number and the moment it began: a number is given away again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    began: u64,
}

impl Process {
    /// The process of a number, while there is one.
    pub fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        Some(Self { pid, began: fields(pid)?.get(19)?.parse().ok()? })
    }

    /// Whether it still runs; a zombie does not.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid.unsigned_abs()) == Some(self)
            && fields(self.pid).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z"))
    }

    /// Ends it at once, unless its number is another's by now.
    pub fn kill(self) -> bool {
        self.is_alive() && self.signal(rustix::process::Signal::KILL)
    }

    /// Asks it to end.
    pub fn terminate(self) -> bool {
        self.is_alive() && self.signal(rustix::process::Signal::TERM)
    }

    fn signal(self, signal: rustix::process::Signal) -> bool {
        rustix::process::Pid::from_raw(self.pid).is_some_and(|pid| rustix::process::kill_process(pid, signal).is_ok())
    }

    /// Its children of this name.
    pub fn children(self, name: &str) -> Vec<Self> {
        let mut children = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let Some(fields) = i32::try_from(pid).ok().and_then(fields) else { continue };
            let parent = fields.get(1).and_then(|parent| parent.parse::<i32>().ok());
            let named = std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name);
            if parent == Some(self.pid) && named {
                children.extend(Self::of(pid));
            }
        }
        children.sort_by_key(|child| child.pid);
        children
    }

    /// Processor time, seconds.
    pub fn cpu_s(self) -> f64 {
        let fields = fields(self.pid).unwrap_or_default();
        let ticks: f64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        ticks / rustix::param::clock_ticks_per_second() as f64
    }

    /// Memory, MB; pages shared with others count by their share.
    pub fn memory_mb(self) -> f64 {
        let text =
            std::fs::read_to_string(PathBuf::from(format!("/proc/{}/smaps_rollup", self.pid))).unwrap_or_default();
        let sizes: BTreeMap<&str, f64> = text
            .lines()
            .filter_map(|line| {
                let (name, rest) = line.split_once(':')?;
                Some((name, rest.trim().strip_suffix(" kB")?.parse().ok()?))
            })
            .collect();
        sizes.get("Pss").map_or(0.0, |kb| kb * 1024.0 / 1e6)
    }
}

/// The fields of `/proc/PID/stat` from the third on: the second may hold spaces.
fn fields(pid: i32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// The PostgreSQL that a process runs: its server and that server's own processes.
pub struct Database(Vec<Process>);

impl Database {
    /// The database of a process.
    pub fn of(program: Process) -> Self {
        let servers = program.children("postgres");
        let workers = servers.iter().flat_map(|server| server.children("postgres")).collect::<Vec<_>>();
        Self(servers.into_iter().chain(workers).collect())
    }

    /// Its memory, MB.
    pub fn memory_mb(&self) -> f64 {
        self.0.iter().map(|process| process.memory_mb()).sum()
    }

    /// Its processor time, seconds.
    pub fn cpu_s(&self) -> f64 {
        self.0.iter().map(|process| process.cpu_s()).sum()
    }
}

/// Opens as many files at once as this machine allows; says how many.
pub fn raise_file_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_has_memory() {
        let me = Process::of(std::process::id()).unwrap();
        assert!(me.is_alive());
        assert!(me.memory_mb() > 0.1);
        assert_eq!(Process::of(u32::MAX), None);
    }
}
