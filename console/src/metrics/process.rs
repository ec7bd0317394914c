//! What the kernel says of this process.

/// The process now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// Processor time so far, user and system, seconds.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub resident_bytes: f64,
    /// Open file descriptors.
    pub open_fds: f64,
    /// File descriptors that may be open.
    pub max_fds: f64,
    /// Threads.
    pub threads: f64,
}

/// Looks at this process.
pub fn look() -> Process {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok());
    Process {
        cpu_seconds: cpu_seconds(),
        resident_bytes: resident_bytes(),
        // Reading the directory opens one more.
        open_fds: std::fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count().saturating_sub(1)) as f64,
        max_fds: limits.current.map_or(f64::INFINITY, |most| most as f64),
        threads: threads.unwrap_or(0.0),
    }
}

/// Resident memory of this process, bytes.
pub fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0);
    pages * rustix::param::page_size() as f64
}

/// Processor time of this process so far, user and system, seconds.
pub fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field may hold spaces: count from its closing bracket. Fields 14 and 15 are ticks of 1/100 s.
    let after = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks: f64 = after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let process = look();
        assert!(process.resident_bytes > 1e6 && process.threads >= 1.0, "{process:?}");
        assert!(process.open_fds >= 3.0 && process.max_fds > process.open_fds, "{process:?}");
    }
}
