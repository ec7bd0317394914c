//! Which account runs PostgreSQL, and a home for its files that this account can reach.
//!
//! PostgreSQL refuses to run as root. As root, the `postgres` account of the distribution is used, else one named
//! `gatehouse`, else `nobody`. Its directory must be reachable: below `/root` (mode 0700) it is not, so the cluster
//! goes to `/var/lib/gatehouse-pg-<hash>` then.

use super::SetupError;
use super::stamp::sha256_bytes;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Accounts tried for PostgreSQL when the program runs as root, in this order.
const CANDIDATES: [&str; 3] = ["postgres", "gatehouse", "nobody"];

/// The account PostgreSQL runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Whether it is another account than the one this program runs as, so that children must change to it.
    pub other: bool,
}

impl Account {
    /// The account for this process: itself, or when it is root the first of `postgres`, `gatehouse`, `nobody`.
    pub fn choose() -> Option<Self> {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        if uid != 0 {
            let name = name_of(&passwd, uid).unwrap_or_else(|| format!("user {uid}"));
            return Some(Self { name, uid, gid, other: false });
        }
        CANDIDATES.iter().find_map(|name| by_name(&passwd, name))
    }

    /// Makes `command` run as this account, in a process group of its own so that Ctrl-C at the terminal reaches
    /// only us, and with a clean environment.
    pub fn wear(&self, command: &mut Command) {
        use std::os::unix::process::CommandExt;
        command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/local/bin:/usr/bin:/bin").process_group(0);
        if self.other {
            // With a uid and no groups of its own, the standard library also drops root's supplementary groups.
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Makes `dir` (and nothing above it) with mode 0700, owned by this account; an existing one must already be so.
    pub fn own_dir(&self, dir: &Path) -> Result<(), SetupError> {
        match std::fs::DirBuilder::new().mode(0o700).create(dir) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                let meta = std::fs::symlink_metadata(dir).map_err(|e| SetupError::io(dir, e))?;
                let ours = meta.uid() == self.uid || meta.uid() == rustix::process::geteuid().as_raw();
                if !meta.is_dir() || !ours {
                    return Err(SetupError::NotWritable {
                        path: dir.to_path_buf(),
                        reason: format!("it exists and does not belong to {}", self.name),
                    });
                }
            }
            Err(e) => return Err(SetupError::io(dir, e)),
        }
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).map_err(|e| SetupError::io(dir, e))?;
        if self.other {
            std::os::unix::fs::chown(dir, Some(self.uid), Some(self.gid)).map_err(|e| SetupError::io(dir, e))?;
        }
        Ok(())
    }

    /// Whether this account can walk down to `dir`; directories that are not there yet are taken as ours to make.
    pub fn reaches(&self, dir: &Path) -> bool {
        let Ok(dir) = std::path::absolute(dir) else { return false };
        let dir = dir.ancestors().find_map(|a| a.canonicalize().ok()).unwrap_or(dir);
        dir.ancestors().all(|step| {
            step.metadata().is_ok_and(|m| {
                let needed = match (m.uid() == self.uid, m.gid() == self.gid) {
                    (true, _) => 0o100,
                    (_, true) => 0o010,
                    _ => 0o001,
                };
                m.mode() & needed != 0
            })
        })
    }
}

/// Where PostgreSQL's own files go for a data directory: the directory itself when the account reaches it, else
/// `/var/lib/gatehouse-pg-<hash of its path>`.
pub fn home(data: &Path, account: &Account) -> PathBuf {
    if !account.other || account.reaches(data) {
        return data.to_path_buf();
    }
    Path::new("/var/lib").join(format!("gatehouse-pg-{}", short_hash(data)))
}

/// Twelve hex digits that stand for a path in short names.
pub(super) fn short_hash(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut sum = sha256_bytes(whole.as_os_str().as_encoded_bytes());
    sum.truncate(12);
    sum
}

fn by_name(passwd: &str, name: &str) -> Option<Account> {
    let fields = rows(passwd).find(|f| f.0 == name)?;
    (fields.1 != 0).then(|| Account { name: name.to_owned(), uid: fields.1, gid: fields.2, other: true })
}

fn name_of(passwd: &str, uid: u32) -> Option<String> {
    rows(passwd).find(|f| f.1 == uid).map(|f| f.0.to_owned())
}

/// name, uid and gid of each line of `/etc/passwd`.
fn rows(passwd: &str) -> impl Iterator<Item = (&str, u32, u32)> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some((name, uid, gid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        broken line\n\
        nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n\
        postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash\n\
        toor:x:0:0::/root:/bin/sh\n";

    #[test]
    fn accounts_are_read_from_passwd_and_root_by_another_name_is_refused() {
        let postgres = by_name(PASSWD, "postgres").unwrap();
        assert_eq!((postgres.uid, postgres.gid, postgres.other), (101, 104, true));
        assert_eq!(by_name(PASSWD, "toor"), None);
        assert_eq!(by_name(PASSWD, "gatehouse"), None);
        assert_eq!(name_of(PASSWD, 65534).as_deref(), Some("nobody"));
    }

    #[test]
    fn a_directory_below_a_closed_one_is_not_reached() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("closed/inner");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let stranger = Account { name: "stranger".into(), uid: 4_000_001, gid: 4_000_001, other: true };
        assert!(stranger.reaches(&inner) && stranger.reaches(&inner.join("not/yet")));
        assert_eq!(home(&inner, &stranger), inner);
        std::fs::set_permissions(dir.path().join("closed"), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!stranger.reaches(&inner) && !stranger.reaches(&inner.join("not/yet")));
        let away = home(&inner, &stranger);
        assert!(away.starts_with("/var/lib") && away.to_string_lossy().contains("gatehouse-pg-"), "{away:?}");
        assert_ne!(away, home(&dir.path().join("closed"), &stranger));
    }

    #[test]
    fn a_directory_that_is_a_link_or_anothers_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let me = Account { other: false, ..Account::choose().unwrap() };
        std::os::unix::fs::symlink("/tmp", dir.path().join("link")).unwrap();
        let said = me.own_dir(&dir.path().join("link")).unwrap_err().to_string();
        assert!(said.contains("does not belong to"), "{said}");
        me.own_dir(&dir.path().join("new")).unwrap();
        assert_eq!(dir.path().join("new").metadata().unwrap().mode() & 0o777, 0o700);
    }
}
