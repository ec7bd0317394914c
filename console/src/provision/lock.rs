//! Locks on the data directory: one running gatehouse, and one set-up at a time.
//!
//! Both are `flock`s on a file that holds the owner's process id: the kernel lets go of them when the process ends,
//! however it ends, so nothing stale has to be cleaned up. The id in the file is only for the message.

use super::SetupError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Why the data directory is not ours to use.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another gatehouse runs on it.
    #[error(
        "another gatehouse (process {pid}) is running on {}. Stop it first (kill {pid}), or give this one its own \
         place with --data DIR", data.display()
    )]
    Held {
        /// The data directory.
        data: PathBuf,
        /// The owner's process id, "unknown" when it could not be read.
        pid: String,
    },
    /// The lock file cannot be made.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// Held by the one gatehouse that runs on a data directory; let go of on drop or at the process's end.
#[derive(Debug)]
pub struct InstanceLock {
    _file: File,
    path: PathBuf,
}

impl InstanceLock {
    /// Takes `<data>/lock` or says which process has it.
    pub fn acquire(data: &Path) -> Result<Self, LockError> {
        let path = data.join("lock");
        let file = Self::take(&path)?;
        Ok(Self { _file: file, path })
    }

    /// The same on any file; the error names its directory.
    pub(super) fn take(path: &Path) -> Result<File, LockError> {
        let mut file = open(path)?;
        match patiently(|| file.try_lock()) {
            Ok(()) => {
                write_pid(&mut file, path)?;
                Ok(file)
            }
            Err(TryLockError::WouldBlock) => {
                let data = path.parent().unwrap_or(path).to_path_buf();
                Err(LockError::Held { data, pid: read_pid(&mut file) })
            }
            Err(TryLockError::Error(e)) => Err(SetupError::io(path, e).into()),
        }
    }

    /// The lock's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The process that runs gatehouse on `data`, when there is one.
pub fn running_instance(data: &Path) -> Option<String> {
    let mut file = File::open(data.join("lock")).ok()?;
    match patiently(|| file.try_lock_shared()) {
        Err(TryLockError::WouldBlock) => Some(read_pid(&mut file)),
        _ => None,
    }
}

/// Takes `<dir>/<name>` for the length of a piece of work, waiting for its turn.
///
/// `waiting` is called once, with the owner's process id, when somebody else is at it.
pub(super) fn wait_for(path: &Path, waiting: impl FnOnce(&str)) -> Result<File, SetupError> {
    let mut file = open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            waiting(&read_pid(&mut file));
            file.lock().map_err(|e| SetupError::io(path, e))?;
        }
        Err(TryLockError::Error(e)) => return Err(SetupError::io(path, e)),
    }
    write_pid(&mut file, path)?;
    Ok(file)
}

/// Tries a lock for a tenth of a second: a look by `gatehouse check`, or a child process between fork and exec,
/// has the lock for a moment and is not an owner.
fn patiently(mut attempt: impl FnMut() -> Result<(), TryLockError>) -> Result<(), TryLockError> {
    for _ in 0..10 {
        match attempt() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(10)),
            settled => return settled,
        }
    }
    attempt()
}

fn open(path: &Path) -> Result<File, SetupError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(|e| SetupError::io(path, e))
}

fn write_pid(file: &mut File, path: &Path) -> Result<(), SetupError> {
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()))
        .map_err(|e| SetupError::io(path, e))
}

fn read_pid(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(32).read_to_string(&mut text));
    let pid = text.trim();
    if !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()) { pid.to_owned() } else { "unknown".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_is_told_which_process_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = InstanceLock::acquire(dir.path()).unwrap();
        let said = InstanceLock::acquire(dir.path()).unwrap_err().to_string();
        assert!(said.contains(&format!("process {}", std::process::id())) && said.contains("--data DIR"), "{said}");
        assert_eq!(running_instance(dir.path()), Some(std::process::id().to_string()));
        drop(first);
        assert_eq!(running_instance(dir.path()), None);
        InstanceLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn a_lock_left_by_a_dead_process_does_not_stand_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("lock"), "4194304\n").unwrap();
        InstanceLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_is_a_sentence() {
        let said = InstanceLock::acquire(Path::new("/proc/nowhere")).unwrap_err().to_string();
        assert!(said.contains("/proc/nowhere/lock"), "{said}");
    }

    #[test]
    fn set_ups_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("setup.lock");
        let held = wait_for(&path, |_| panic!("nobody has it")).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let second = std::thread::spawn({
            let path = path.clone();
            move || wait_for(&path, |pid| tell.send(pid.to_owned()).unwrap()).unwrap()
        });
        assert_eq!(told.recv().unwrap(), std::process::id().to_string());
        drop(held);
        second.join().unwrap();
    }
}
