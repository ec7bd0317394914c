//! `gatehouse.toml`: the machine's facts. Unknown keys are errors; every key has a default, except in a list you begin.
//!
//! The site's facts (doors, cameras, people) are in the file that `site` names. Secrets are given by file, never inline.

use crate::backup::files::Video;
use gatehouse_actors::telemetry::Keep;
use gatehouse_adapters::webhook::WebhookConfig;
use gatehouse_core::alarm::{AlarmKind, Priority};
use gatehouse_core::outbox::kind_words;
use gatehouse_vision::RuntimePaths;
use gatehouse_vision::models::{FaceEmbedderConfig, FieldError, Models, PlateReaderConfig, Provider};
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The machine's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the console listens.
    pub listen: SocketAddr,
    /// Where everything is kept; `--data` and `GATEHOUSE_DATA` win over it.
    pub data: Option<PathBuf>,
    /// The site's definition, relative to this file.
    pub site: Option<PathBuf>,
    /// Store.
    pub database: Database,
    /// MQTT.
    pub broker: Broker,
    /// Recordings.
    pub recording: Recording,
    /// Recognition.
    pub recognition: Recognition,
    /// Backups.
    pub backup: Backup,
    /// Figures for Prometheus.
    pub metrics: Metrics,
    /// Budgets.
    pub limits: Limits,
    /// Systems outside that are told of alarms.
    pub webhooks: Vec<Webhook>,
    /// Traces for a collector of OpenTelemetry.
    pub traces: Traces,
    /// History of readings.
    pub telemetry: Telemetry,
    /// TLS of the console.
    pub tls: Option<Tls>,
    /// Names by which browsers may reach the console besides the listening address, e.g. `https://gate.example`.
    pub origins: Vec<String>,
    /// The file it was read from.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

/// Store: the private PostgreSQL unless a URL is given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// File holding the URL of an external PostgreSQL 14 or later, `postgres://user:password@host/database`.
    pub url_file: Option<PathBuf>,
    /// Megabytes that may wait on the local disk while the database is away; 0 withholds acknowledgements at once instead.
    pub spill_mb: u32,
}

/// MQTT: the embedded broker unless an external one is named.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Broker {
    /// Where the embedded broker listens.
    pub listen: SocketAddr,
    /// An external broker instead: `host:port`.
    pub external: Option<String>,
    /// Account at the external broker.
    pub user: String,
    /// File with its password.
    pub password_file: Option<PathBuf>,
    /// Further accounts of the embedded broker: gateways and sensors that do not speak the native topics.
    pub users: Vec<BrokerUser>,
}

/// An account of the embedded broker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerUser {
    /// User name.
    pub name: String,
    /// File with the password; made with a random one when it does not exist.
    pub password_file: PathBuf,
    /// Topic filters it may publish and subscribe to, e.g. `zigbee2mqtt/#`.
    pub topics: Vec<String>,
}

/// Recordings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recording {
    /// Keep for so many days.
    pub days: u32,
    /// Keep at most so many gigabytes in all.
    pub max_gb: u32,
    /// Directories to record into, each on a disk of its own [default: `recordings` in the data directory].
    pub dirs: Vec<PathBuf>,
}

/// Recognition.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recognition {
    /// Whether plates and faces are read at all.
    pub enabled: bool,
    /// What runs the networks: `cpu`, `cuda`, `tensorrt` or `openvino`.
    pub provider: Provider,
    /// The ONNX Runtime library that can, version 1.24 or later [default: the one that set-up brings, for the processor].
    pub onnxruntime: Option<PathBuf>,
    /// Pictures of reads and faces are kept for so many days; 0: for ever.
    pub picture_days: u32,
    /// Another face embedder than the one set-up brings: faces are then enrolled anew.
    pub face_embedder: Option<FaceEmbedderConfig>,
    /// Another plate reader than the one set-up brings.
    pub plate_reader: Option<PlateReaderConfig>,
    /// Whether a second reader is asked about plates that are not sure; set-up then fetches it.
    pub second_reader: bool,
}

impl Recognition {
    /// The models it chooses.
    pub fn models(&self) -> Result<Models, FieldError> {
        Models::configured(self.face_embedder.as_ref(), self.plate_reader.as_ref(), self.second_reader)
    }

    /// What runs, where set-up placed the library and the models.
    pub fn paths(&self, library: &Path, models_dir: &Path) -> Result<RuntimePaths, FieldError> {
        let library = self.onnxruntime.as_deref().unwrap_or(library);
        let on_cpu = RuntimePaths::on_cpu(library.to_owned(), models_dir.to_owned());
        Ok(RuntimePaths { provider: self.provider, models: self.models()?, ..on_cpu })
    }
}

/// Backups.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {
    /// Where they lie, better on another disk [default: `backups` in the data directory].
    pub dir: Option<PathBuf>,
    /// One is taken so often by itself; 0: only when asked.
    pub every_hours: u32,
    /// So many are kept, the oldest go.
    pub keep: u32,
    /// Whether the secrets go along: without them face templates cannot be read.
    pub secrets: bool,
    /// Whether all recordings go along, and not only what alarms protect.
    pub video: bool,
}

/// Figures for Prometheus at `/metrics`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// File with the token that a scraper shows [default: `secrets/metrics-token` in the data directory].
    pub token_file: Option<PathBuf>,
    /// Whether a scraper on this machine needs no token. Not behind a proxy: through it everybody comes from this machine.
    pub loopback: bool,
}

/// Budgets of the process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Memory the program is meant to need at most, MB: above four fifths of it an alarm is raised.
    pub memory_mb: u32,
    /// Live streams that may be transcoded at a time for browsers that cannot read them, each a part of a core, and beside them one
    /// piece of a recording; 0: none.
    pub transcodes: u32,
}

impl Backup {
    /// How much video goes along.
    pub fn video(&self) -> Video {
        if self.video { Video::All } else { Video::Protected }
    }

    /// The shelf of a data directory.
    pub fn shelf(&self, data: &Path) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| data.join("backups"))
    }
}

/// A system outside that is told of alarms.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Its name here: lower-case words of a-z, 0-9 and '-'.
    pub name: String,
    /// Where notices are posted to.
    pub url: String,
    /// File with the secret that notices are signed with, `whsec_…`; made with a random one when it does not exist.
    pub secret_file: PathBuf,
    /// Alarms of this priority and above: 1 critical to 4 low.
    #[serde(default = "every_priority")]
    pub min_priority: u8,
    /// Only these kinds of alarm; empty for all.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Whether it may be at a loopback, private or link-local address.
    #[serde(default)]
    pub allow_private: bool,
}

fn every_priority() -> u8 {
    4
}

/// Traces for a collector of OpenTelemetry, by OTLP over HTTP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Traces {
    /// The collector, e.g. `http://127.0.0.1:4318`; without one there are no traces.
    pub endpoint: Option<String>,
    /// Share of chains of events and of requests that are kept, 0 to 1; those of alarms and fire always are.
    pub sample: f64,
    /// What this program is called there: `service.name`.
    pub service: String,
    /// File with headers that the collector wants, `name: value` in a line each.
    pub headers_file: Option<PathBuf>,
}

/// History of readings: how long each resolution is kept. A row a day is kept for good.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Readings as they came, days.
    pub raw_days: u32,
    /// A row a minute, days.
    pub minute_days: u32,
    /// A row an hour, days.
    pub hour_days: u32,
}

/// TLS of the console, in PEM files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            data: None,
            site: None,
            database: Database::default(),
            broker: Broker::default(),
            recording: Recording::default(),
            recognition: Recognition::default(),
            backup: Backup::default(),
            metrics: Metrics::default(),
            limits: Limits::default(),
            webhooks: Vec::new(),
            traces: Traces::default(),
            telemetry: Telemetry::default(),
            tls: None,
            origins: Vec::new(),
            file: None,
        }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self { url_file: None, spill_mb: 256 }
    }
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1883),
            external: None,
            user: String::new(),
            password_file: None,
            users: Vec::new(),
        }
    }
}

impl Default for Recording {
    fn default() -> Self {
        Self { days: 7, max_gb: 20, dirs: Vec::new() }
    }
}

impl Default for Backup {
    fn default() -> Self {
        Self { dir: None, every_hours: 0, keep: 7, secrets: true, video: false }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_mb: 2048, transcodes: 2 }
    }
}

impl Default for Recognition {
    fn default() -> Self {
        Self {
            enabled: true,
            provider: Provider::Cpu,
            onnxruntime: None,
            picture_days: 90,
            face_embedder: None,
            plate_reader: None,
            second_reader: false,
        }
    }
}

impl Default for Traces {
    fn default() -> Self {
        Self { endpoint: None, sample: 0.01, service: "gatehouse".to_owned(), headers_file: None }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        let Keep { raw_days, minute_days, hour_days } = Keep::default();
        Self { raw_days, minute_days, hour_days }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}; check the path and its permissions")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file does not fit.
    #[error("{path}: {error}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Line, column and field.
        error: Box<toml::de::Error>,
    },
    /// A value does not fit.
    #[error("{path}: {field}: {problem}")]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which key.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

impl Config {
    /// Reads and checks a file; relative paths in it are relative to its folder.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        let mut config: Config = toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), error: Box::new(error) })?;
        let base = path.parent().unwrap_or(Path::new(".")).to_owned();
        let mut resolve = |p: &mut PathBuf| *p = base.join(&*p);
        config.site.iter_mut().for_each(&mut resolve);
        config.data.iter_mut().for_each(&mut resolve);
        config.recording.dirs.iter_mut().for_each(&mut resolve);
        config.backup.dir.iter_mut().for_each(&mut resolve);
        config.metrics.token_file.iter_mut().for_each(&mut resolve);
        config.traces.headers_file.iter_mut().for_each(&mut resolve);
        config.database.url_file.iter_mut().for_each(&mut resolve);
        config.broker.password_file.iter_mut().for_each(&mut resolve);
        config.broker.users.iter_mut().for_each(|user| resolve(&mut user.password_file));
        config.webhooks.iter_mut().for_each(|webhook| resolve(&mut webhook.secret_file));
        let Recognition { face_embedder, plate_reader, .. } = &mut config.recognition;
        face_embedder.iter_mut().filter_map(|model| model.file.as_mut()).for_each(&mut resolve);
        if let Some(reader) = plate_reader {
            reader.file.iter_mut().chain(&mut reader.alphabet).for_each(&mut resolve);
        }
        if let Some(tls) = &mut config.tls {
            resolve(&mut tls.cert);
            resolve(&mut tls.key);
        }
        config.check(path)?;
        config.file = Some(path.to_owned());
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let wrong = |field: &str, problem: &str| ConfigError::Value {
            path: path.to_owned(),
            field: field.to_owned(),
            problem: problem.to_owned(),
        };
        if self.site.is_none() {
            return Err(wrong("site", "name the file that describes the site, e.g. site = \"site.toml\""));
        }
        if !self.listen.ip().is_loopback() && self.tls.is_none() {
            return Err(wrong(
                "listen",
                "an address that others can reach needs [tls] with cert and key, or listen on 127.0.0.1 behind a proxy that has TLS",
            ));
        }
        if self.recording.days == 0 || self.recording.max_gb == 0 {
            return Err(wrong("recording", "days and max_gb must be at least 1"));
        }
        for (nth, dir) in self.recording.dirs.iter().enumerate() {
            if self.recording.dirs.iter().skip(nth + 1).any(|other| other.starts_with(dir) || dir.starts_with(other)) {
                let problem = format!("{} lies in another of them: name each disk once", dir.display());
                return Err(wrong("recording.dirs", &problem));
            }
        }
        self.recognition.models().map_err(|error| wrong(&error.field, &error.problem))?;
        if self.backup.keep == 0 {
            return Err(wrong("backup.keep", "must be at least 1: the newest backup stays"));
        }
        if self.limits.transcodes > 64 {
            return Err(wrong("limits.transcodes", "must be at most 64: each takes a part of a core"));
        }
        if self.limits.memory_mb < 256 {
            return Err(wrong("limits.memory_mb", "must be at least 256: the program needs that much by itself"));
        }
        self.traces.check().map_err(|(field, problem)| wrong(field, &problem))?;
        let Telemetry { raw_days, minute_days, hour_days } = self.telemetry;
        if raw_days < 4 || minute_days < raw_days || hour_days < minute_days || hour_days > 36_500 {
            return Err(wrong(
                "telemetry",
                &format!(
                    "raw_days {raw_days}, minute_days {minute_days}, hour_days {hour_days}: raw_days must be at least 4, and \
                     none more than the next (36500 at most)"
                ),
            ));
        }
        if let Some(user) = self.broker.users.iter().find(|user| user.topics.is_empty()) {
            return Err(wrong(
                "broker.users.topics",
                &format!("user {:?} may use no topic: list its topic filters", user.name),
            ));
        }
        for (nth, webhook) in self.webhooks.iter().enumerate() {
            if self.webhooks.iter().take(nth).any(|other| other.name == webhook.name) {
                return Err(wrong(
                    "webhooks.name",
                    &format!("{:?} is there twice: give one another name", webhook.name),
                ));
            }
            webhook
                .check()
                .map_err(|(field, problem)| wrong(field, &format!("target {:?}: {problem}", webhook.name)))?;
        }
        Ok(())
    }
}

impl Webhook {
    /// The field that does not fit, and what to do about it.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > 40 || !self.name.chars().all(word) {
            return Err(("webhooks.name", "a name is 1 to 40 of a-z, 0-9 and '-', e.g. property-system".to_owned()));
        }
        WebhookConfig::url(&self.url).map_err(|error| ("webhooks.url", error.to_string()))?;
        Priority::try_from(self.min_priority).map_err(|error| ("webhooks.min_priority", error.to_string()))?;
        match self.kinds.iter().find(|kind| AlarmKind::parse(kind).is_none()) {
            Some(kind) => Err(("webhooks.kinds", format!("{kind:?} is no kind of alarm; there are {}", kind_words()))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gatehouse.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = read("site = \"site.toml\"\nlissten = \"127.0.0.1:1\"\n").unwrap_err();
        assert!(error.contains("lissten") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn an_open_listener_without_tls_is_refused_with_the_remedy() {
        let error = read("site = \"site.toml\"\nlisten = \"0.0.0.0:8080\"\n").unwrap_err();
        assert!(error.contains("listen") && error.contains("[tls]"), "{error}");
        assert!(read("site = \"site.toml\"\nlisten = \"127.0.0.1:8080\"\n").is_ok());
    }

    #[test]
    fn the_spill_has_a_bound_unless_it_is_switched_off() {
        assert_eq!(read("site = \"site.toml\"\n").unwrap().database.spill_mb, 256);
        assert_eq!(read("site = \"site.toml\"\n[database]\nspill_mb = 0\n").unwrap().database.spill_mb, 0);
    }

    #[test]
    fn a_webhook_that_does_not_fit_is_named_with_its_field_and_the_remedy() {
        let check = |more: &str, field: &str, remedy: &str| {
            let text = format!("site = \"site.toml\"\n[[webhooks]]\nname = \"a\"\nsecret_file = \"s\"\n{more}");
            let error = read(&text).unwrap_err();
            assert!(error.contains(field) && error.contains(remedy), "{error}");
        };
        check("url = \"ftp://x\"", "webhooks.url", "https://");
        check("url = \"https://u:hunter2@x\"", "webhooks.url", "must not hold a user or password");
        check("url = \"https://x\"\nmin_priority = 5", "webhooks.min_priority", "1 critical");
        check("url = \"https://x\"\nkinds = [\"fier\"]", "webhooks.kinds", "fire, ");
        check("url = \"https://x\"\nurll = \"y\"", "urll", "line");
        let twice = "[[webhooks]]\nname = \"a\"\nsecret_file = \"s\"\nurl = \"https://x\"";
        check(&format!("url = \"https://x\"\n{twice}"), "webhooks.name", "another name");
        let config = read(&format!("site = \"site.toml\"\n{twice}")).unwrap();
        assert!(config.webhooks[0].secret_file.is_absolute() && config.webhooks[0].min_priority == 4);
    }

    #[test]
    fn a_model_of_the_sites_own_needs_its_own_thresholds_and_its_files_lie_beside_the_configuration() {
        let own = "site = \"site.toml\"\n[recognition.face_embedder]\nfile = \"own.onnx\"\nsha256 = \"00\"\n";
        let error = read(own).unwrap_err();
        assert!(error.contains("recognition.face_embedder.sha256: is no sha256"), "{error}");
        let sum = "0".repeat(64);
        let own = own.replace("\"00\"", &format!("\"{sum}\""))
            + "id = \"own/1\"\nlicence = \"MIT\"\nchannels = \"rgb\"\n\
            mean = [1, 2.5, 3]\nscale = 128\ndoor = 0.6\none_person = 0.3\none_picture = 0.99\n";
        let error = read(&own).unwrap_err();
        assert!(error.contains("recognition.face_embedder.candidate: is missing") && error.contains("eval"), "{error}");
        let error = read(&(own.clone() + "candidat = 0.5\n")).unwrap_err();
        assert!(error.contains("candidat") && error.contains("line"), "{error}");
        let config = read(&(own + "candidate = 0.5\n")).unwrap();
        let models = config.recognition.models().unwrap();
        assert!(Path::new(&*models.face_embedder.spec.file).is_absolute());
        assert_eq!(models.face_embedder.scaling.mean, [1.0, 2.5, 3.0]);
        assert_eq!(models.plate_reader, Models::default().plate_reader);
    }

    #[test]
    fn a_history_that_forgets_the_coarse_before_the_fine_is_refused() {
        let error = read("site = \"site.toml\"\n[telemetry]\nraw_days = 400\n").unwrap_err();
        assert!(error.contains("telemetry") && error.contains("minute_days 180"), "{error}");
        let config = read("site = \"site.toml\"\n[telemetry]\nraw_days = 14\n").unwrap();
        assert_eq!((config.telemetry.raw_days, config.telemetry.minute_days), (14, 180));
    }

    #[test]
    fn relative_paths_start_at_the_file() {
        let config = read("site = \"sub/site.toml\"\n[backup]\ndir = \"../disk2\"\n").unwrap();
        assert!(config.site.unwrap().is_absolute() && config.backup.dir.unwrap().is_absolute());
    }

    #[test]
    fn a_disk_is_recorded_on_once() {
        let check = |dirs: &str| read(&format!("site = \"site.toml\"\n[recording]\ndirs = {dirs}\n"));
        let error = check("[\"/mnt/a\", \"/mnt/b\", \"/mnt/a/more\"]").unwrap_err();
        assert!(error.contains("recording.dirs") && error.contains("/mnt/a"), "{error}");
        let config = check("[\"/mnt/a\", \"b\"]").unwrap();
        assert!(config.recording.dirs.iter().all(|dir| dir.is_absolute()));
    }

    #[test]
    fn budgets_and_backups_that_cannot_work_are_refused_by_name() {
        let error = read("site = \"site.toml\"\n[backup]\nkeep = 0\n").unwrap_err();
        assert!(error.contains("backup.keep"), "{error}");
        let error = read("site = \"site.toml\"\n[limits]\nmemory_mb = 100\n").unwrap_err();
        assert!(error.contains("limits.memory_mb"), "{error}");
    }
}
