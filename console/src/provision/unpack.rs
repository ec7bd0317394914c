//! Files out of wheels and tarballs, each summed before it takes its place.

use super::pins::{Archive, Tree};
use super::stamp::{sha256_bytes, sha256_of_tree};
use super::{SetupError, pins};
use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A larger file inside an archive is not one of ours, bytes.
const MEMBER_LIMIT: u64 = 256 * 1024 * 1024;

/// Takes every member of `archive` out of `file` and places it under `data`.
pub(super) fn members(archive: &Archive, file: &Path, data: &Path) -> Result<(), SetupError> {
    let mut found = if archive.file.ends_with(".whl") { from_zip(archive, file)? } else { from_tgz(archive, file)? };
    for member in archive.members {
        let bytes = found.remove(member.inside).ok_or_else(|| SetupError::NoMember {
            archive: archive.file.to_owned(),
            member: member.inside.to_owned(),
        })?;
        let got = sha256_bytes(&bytes);
        if got != member.sha256 {
            return Err(SetupError::WrongSha256 {
                file: format!("{} in {}", member.inside, archive.file),
                want: member.sha256.to_owned(),
                got,
            });
        }
        place(&data.join(member.placed), &bytes)?;
    }
    Ok(())
}

/// Writes `bytes` beside `path`, flushes them to the disk and renames: the file is whole or absent.
pub(super) fn place(path: &Path, bytes: &[u8]) -> Result<(), SetupError> {
    let dir = path.parent().expect("a placed file is inside the data directory");
    std::fs::create_dir_all(dir).map_err(|e| SetupError::io(dir, e))?;
    // A name of its own for each writer: two threads may place the same file at once, and either is right.
    let written =
        tempfile::Builder::new().prefix(".new-").permissions(Permissions::from_mode(0o644)).tempfile_in(dir).and_then(
            |mut fresh| {
                fresh.write_all(bytes).and_then(|()| fresh.as_file().sync_all())?;
                fresh.persist(path).map(drop).map_err(|e| e.error)
            },
        );
    written.map_err(|e| SetupError::io(path, e))
}

fn from_zip(archive: &Archive, file: &Path) -> Result<BTreeMap<&'static str, Vec<u8>>, SetupError> {
    let mut zip = open_zip(file)?;
    let mut found = BTreeMap::new();
    for member in archive.members {
        let Ok(mut entry) = zip.by_name(member.inside) else { continue };
        found.insert(member.inside, read_limited(&mut entry, file)?);
    }
    Ok(found)
}

fn from_tgz(archive: &Archive, file: &Path) -> Result<BTreeMap<&'static str, Vec<u8>>, SetupError> {
    let reader = BufReader::new(File::open(file).map_err(|e| SetupError::io(file, e))?);
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(reader));
    let mut found = BTreeMap::new();
    for entry in tar.entries().map_err(|e| SetupError::io(file, e))? {
        let mut entry = entry.map_err(|e| SetupError::io(file, e))?;
        let path = entry.path().map_err(|e| SetupError::io(file, e))?.to_string_lossy().into_owned();
        if let Some(member) = archive.members.iter().find(|m| m.inside == path) {
            found.insert(member.inside, read_limited(&mut entry, file)?);
        }
        if found.len() == archive.members.len() {
            break;
        }
    }
    Ok(found)
}

/// Unpacks the files of `tree` that are kept into `into`, which must not exist, and compares the sum of the whole.
pub(super) fn tree(tree: &Tree, file: &Path, into: &Path) -> Result<(), SetupError> {
    let mut zip = open_zip(file)?;
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).map_err(|e| damaged(file, &e))?;
        // enclosed_name: no entry may climb out of the directory.
        let Some(relative) = entry.enclosed_name() else { continue };
        if entry.is_dir() || !pins::postgres_keeps(&relative.to_string_lossy()) {
            continue;
        }
        let mode = if entry.unix_mode().is_some_and(|m| m & 0o111 != 0) { 0o755 } else { 0o644 };
        let path = into.join(relative);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|e| SetupError::io(dir, e))?;
        }
        if entry.is_symlink() {
            // The pinned wheels carry none; a link's target could lead anywhere, so it is left out and the sum of
            // the tree says so.
            continue;
        }
        let bytes = read_limited(&mut entry, file)?;
        std::fs::write(&path, bytes)
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)))
            .map_err(|e| SetupError::io(&path, e))?;
    }
    let got = sha256_of_tree(into).map_err(|e| SetupError::io(into, e))?;
    if got != tree.sha256 {
        return Err(SetupError::WrongSha256 {
            file: format!("the tree of {}", tree.archive.file),
            want: tree.sha256.to_owned(),
            got,
        });
    }
    Ok(())
}

fn open_zip(file: &Path) -> Result<zip::ZipArchive<BufReader<File>>, SetupError> {
    let reader = BufReader::new(File::open(file).map_err(|e| SetupError::io(file, e))?);
    zip::ZipArchive::new(reader).map_err(|e| damaged(file, &e))
}

fn damaged(file: &Path, error: &zip::result::ZipError) -> SetupError {
    SetupError::io(file, std::io::Error::new(std::io::ErrorKind::InvalidData, error.to_string()))
}

fn read_limited(entry: &mut impl Read, file: &Path) -> Result<Vec<u8>, SetupError> {
    let mut bytes = Vec::new();
    entry.take(MEMBER_LIMIT).read_to_end(&mut bytes).map_err(|e| SetupError::io(file, e))?;
    Ok(bytes)
}
