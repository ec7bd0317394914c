//! Secrets that the program makes for itself, each in a file of the data directory that only its owner reads.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The `secrets` folder of the data directory.
#[derive(Clone, Debug)]
pub struct Secrets {
    dir: PathBuf,
}

/// A secret that cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file system says no.
    #[error("secret {path}: {error}; check the folder's owner and free space")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is not what was written.
    #[error("secret {path} is damaged: restore it from a backup; what it protects cannot be read without it")]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

impl Secrets {
    /// Opens the folder, making it when missing.
    pub fn open(data: &Path) -> Result<Self, SecretError> {
        let dir = data.join("secrets");
        match fs::DirBuilder::new().mode(0o700).recursive(true).create(&dir) {
            Ok(()) => Ok(Self { dir }),
            Err(error) => Err(SecretError::Io { path: dir, error }),
        }
    }

    /// The password kept under this name, made at first use.
    pub fn password(&self, name: &str) -> Result<String, SecretError> {
        password_file(&self.dir.join(name))
    }

    /// The 32-byte key kept under this name, made at first use.
    pub fn key(&self, name: &str) -> Result<[u8; 32], SecretError> {
        let path = self.dir.join(name);
        let text = password_file(&path)?;
        let bytes = URL_SAFE_NO_PAD.decode(&text).map_err(|_| SecretError::Damaged { path: path.clone() })?;
        bytes.try_into().map_err(|_| SecretError::Damaged { path })
    }

    /// Where the secret of this name lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Reads a password file; makes it with 32 random bytes when there is none.
pub fn password_file(path: &Path) -> Result<String, SecretError> {
    file_or(path, || URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

/// Reads a secret's file; makes it when there is none.
pub fn file_or(path: &Path, make: impl FnOnce() -> String) -> Result<String, SecretError> {
    let io = |error| SecretError::Io { path: path.to_owned(), error };
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => Err(SecretError::Damaged { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = make();
            let dir = path.parent().unwrap_or(Path::new("."));
            // Whole or not at all: a key cut short by a crash would lock its data away for ever.
            let mut file = tempfile::Builder::new().prefix(".secret").tempfile_in(dir).map_err(io)?;
            file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(io)?;
            file.persist_noclobber(path).map_err(|error| io(error.error))?;
            fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
            Ok(text)
        }
        Err(error) => Err(io(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(dir.path()).unwrap();
        let first = secrets.key("master").unwrap();
        assert_eq!(first, Secrets::open(dir.path()).unwrap().key("master").unwrap());
        assert_eq!(fs::metadata(secrets.path("master")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_is_refused_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(dir.path()).unwrap();
        fs::write(secrets.path("master"), "short").unwrap();
        assert!(matches!(secrets.key("master"), Err(SecretError::Damaged { .. })));
        assert_eq!(fs::read_to_string(secrets.path("master")).unwrap(), "short");
    }
}
