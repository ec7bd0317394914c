//! The files of a backup: which there are, and copying them with their sums.

use super::manifest::{FileRow, hex};
use crate::config::Config;
use anyhow::Context;
use gatehouse_core::site::Site;
use gatehouse_vision::recorder::index;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Of the folder `secrets`, but made anew at each start.
const OF_ONE_RUN: [&str; 1] = ["control.json"];

/// How much of the recordings goes along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Video {
    /// What alarms protect.
    #[default]
    Protected,
    /// Everything.
    All,
}

/// Files to copy: where they lie, by their path in the backup.
pub type Chosen = BTreeMap<String, PathBuf>;

/// The secrets of a data directory.
pub fn secrets(data: &Path) -> anyhow::Result<Chosen> {
    let mut chosen = Chosen::new();
    for path in listed(&data.join("secrets"))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && !name.starts_with('.') && !OF_ONE_RUN.contains(&name.as_str()) {
            chosen.insert(format!("secrets/{name}"), path);
        }
    }
    Ok(chosen)
}

/// The pictures of passages, reads and alarms.
pub fn pictures(data: &Path) -> anyhow::Result<Chosen> {
    let mut chosen = Chosen::new();
    let root = data.join("pictures");
    for day in listed(&root)? {
        for path in if day.is_dir() { listed(&day)? } else { Vec::new() } {
            if path.extension().is_some_and(|extension| extension == "jpg") {
                chosen.insert(below("pictures", &root, &path), path);
            }
        }
    }
    Ok(chosen)
}

/// Segments of the recordings, with the ranges that are kept: those in the data directory and on the disks of their own.
pub fn recordings(data: &Path, disks: &[PathBuf], video: Video) -> anyhow::Result<Chosen> {
    let mut chosen = Chosen::new();
    for root in std::iter::once(&data.join("recordings")).chain(disks) {
        for camera in listed(root)? {
            if !camera.is_dir() {
                continue;
            }
            let known = index::look(&camera).with_context(|| camera.display().to_string())?;
            for segment in known.segments.values() {
                if video == Video::All || known.pinned(&(segment.start_us..segment.end_us)) {
                    chosen.insert(below("recordings", root, &segment.path), segment.path.clone());
                }
            }
            let pins = camera.join("pins");
            if pins.is_file() {
                // The disks in use come last and know the newest.
                chosen.insert(below("recordings", root, &pins), pins);
            }
        }
    }
    Ok(chosen)
}

/// The machine's configuration and the files it names, as far as they lie in its folder; the others in sentences.
pub fn configuration(file: &Path, config: &Config, secrets: bool) -> (Chosen, Vec<String>) {
    let (mut chosen, mut left_out) = (Chosen::new(), Vec::new());
    let base = file.parent().unwrap_or(Path::new(".")).to_owned();
    let mut add = |path: &Path, secret: bool| {
        let Ok(relative) = path.strip_prefix(&base) else {
            left_out.push(format!("{} lies outside the folder of {}", path.display(), file.display()));
            return;
        };
        if secret && !secrets {
            left_out.push(format!("{} is a secret", path.display()));
        } else if path.is_file() {
            chosen.insert(format!("config/{}", relative.to_string_lossy()), path.to_owned());
        }
    };
    add(file, false);
    if let Some(site) = &config.site {
        add(site, false);
        let folder = site.parent().unwrap_or(Path::new("."));
        let definition = std::fs::read_to_string(site).ok().and_then(|text| toml::from_str::<Site>(&text).ok());
        for device in definition.iter().flat_map(|definition| &definition.devices) {
            let stream = device.stream.as_ref().and_then(|stream| stream.password_file.as_ref());
            for password in device.password_file.iter().chain(stream) {
                add(&folder.join(password), true);
            }
        }
    }
    let named = config.broker.users.iter().map(|user| &user.password_file);
    let named = named.chain(&config.database.url_file).chain(&config.broker.password_file);
    let tls = config.tls.iter().flat_map(|tls| [&tls.cert, &tls.key]);
    named
        .chain(&config.metrics.token_file)
        .chain(&config.traces.headers_file)
        .chain(config.webhooks.iter().map(|webhook| &webhook.secret_file))
        .chain(tls)
        .for_each(|path| add(path, true));
    (chosen, left_out)
}

fn below(folder: &str, root: &Path, path: &Path) -> String {
    format!("{folder}/{}", path.strip_prefix(root).unwrap_or(path).to_string_lossy())
}

/// The entries of a directory in order; none when it is missing.
fn listed(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    match std::fs::read_dir(dir) {
        Ok(entries) => {
            let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
            paths.sort();
            Ok(paths)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| dir.display().to_string()),
    }
}

/// A file being written with its sum; readable by its owner alone.
pub struct Summed {
    file: File,
    sum: Sha256,
    bytes: u64,
}

impl Summed {
    /// Makes a new file, and the directories above it.
    pub fn create(path: &Path) -> io::Result<Self> {
        if let Some(above) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(above)?;
        }
        let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { file, sum: Sha256::new(), bytes: 0 })
    }

    /// Brings it to the disk and says what was written.
    pub fn finish(self, path: String) -> io::Result<FileRow> {
        self.file.sync_all()?;
        Ok(FileRow { path, bytes: self.bytes, sha256: hex(&self.sum.finalize()) })
    }
}

impl Write for Summed {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let written = self.file.write(piece)?;
        self.sum.update(&piece[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Copies a file; `None` when it is gone by now.
pub fn copy(from: &Path, to: &Path, path: &str, mut passed: impl FnMut(u64)) -> io::Result<Option<FileRow>> {
    let mut source = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut target = Summed::create(to)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match source.read(&mut buffer)? {
            0 => return target.finish(path.to_owned()).map(Some),
            n => {
                target.write_all(&buffer[..n])?;
                passed(n as u64);
            }
        }
    }
}

/// The size and sum of a file.
pub fn sum(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut sum, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 256 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, hex(&sum.finalize()))),
            n => {
                sum.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn put(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }

    #[test]
    fn secrets_are_chosen_without_what_belongs_to_one_run() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["master-key", "mqtt-door", "control.json", ".secretabc"] {
            put(&dir.path().join("secrets").join(name));
        }
        let names: Vec<_> = secrets(dir.path()).unwrap().into_keys().collect();
        assert_eq!(names, ["secrets/master-key", "secrets/mqtt-door"]);
        assert!(secrets(&dir.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn of_the_recordings_only_protected_segments_go_unless_all_are_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let camera = dir.path().join("recordings/gate");
        let day = camera.join("20260314");
        put(&day.join("20260314T101500.000000Z+60000.mp4"));
        put(&day.join("20260314T101600.000000Z+60000.mp4"));
        put(&day.join("20260314T101700.000000Z.open.mp4"));
        let pin = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_microsecond();
        let pinned = pin("2026-03-14T10:16:10Z")..pin("2026-03-14T10:17:10Z");
        index::save_pins(&camera, std::slice::from_ref(&pinned)).unwrap();
        let chosen: Vec<_> = recordings(dir.path(), &[], Video::Protected).unwrap().into_keys().collect();
        assert_eq!(
            chosen,
            [
                "recordings/gate/20260314/20260314T101600.000000Z+60000.mp4",
                "recordings/gate/20260314/20260314T101700.000000Z.open.mp4",
                "recordings/gate/pins"
            ]
        );
        assert_eq!(recordings(dir.path(), &[], Video::All).unwrap().len(), 4);
        assert!(day.join("20260314T101700.000000Z.open.mp4").exists(), "looking changes nothing");
    }

    #[test]
    fn a_copy_has_the_sum_of_what_was_read_and_its_owner_alone_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("deep/b"));
        std::fs::write(&from, b"abc").unwrap();
        let row = copy(&from, &to, "deep/b", |_| {}).unwrap().unwrap();
        assert_eq!((row.bytes, row.sha256.clone()), sum(&from).unwrap());
        assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(copy(&dir.path().join("gone"), &dir.path().join("c"), "c", |_| {}).unwrap().is_none());
    }

    #[test]
    fn the_configuration_goes_with_what_it_names_in_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        let text = "site = \"site.toml\"\n[tls]\ncert = \"cert.pem\"\nkey = \"/etc/elsewhere.pem\"\n\
                    [traces]\nendpoint = \"http://127.0.0.1:4318\"\nheaders_file = \"otlp\"\n\
                    [[webhooks]]\nname = \"a\"\nurl = \"https://x\"\nsecret_file = \"hook\"\n";
        std::fs::write(base.join("gatehouse.toml"), text).unwrap();
        for secret in ["cert.pem", "otlp", "hook"] {
            std::fs::write(base.join(secret), "authorization: x").unwrap();
        }
        std::fs::write(base.join("site.toml"), "name = \"S\"\nzone = \"Asia/Shanghai\"\n").unwrap();
        let file = base.join("gatehouse.toml");
        let config = Config::read(&file).unwrap();
        let (chosen, left_out) = configuration(&file, &config, true);
        assert_eq!(
            chosen.into_keys().collect::<Vec<_>>(),
            ["config/cert.pem", "config/gatehouse.toml", "config/hook", "config/otlp", "config/site.toml"]
        );
        assert!(left_out.len() == 1 && left_out[0].contains("elsewhere.pem"), "{left_out:?}");
        let (chosen, left_out) = configuration(&file, &config, false);
        assert_eq!((chosen.len(), left_out.len()), (2, 4));
    }
}
