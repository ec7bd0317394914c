//! What is there and what is not, without fetching anything: the facts behind `gatehouse check` and
//! `gatehouse models`.

use super::pins::{self, Archive};
use super::stamp::{Stamps, sha256_of, sha256_of_tree};
use super::{Account, Origin, PgChoice, PgPrograms, Provision, cluster, fetch, find, home, lock, space};
use gatehouse_vision::models::{ModelSpec, Models, Source, Tensor};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The state of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In place with the pinned bytes.
    Verified,
    /// Found on the machine, not ours to verify.
    Found,
    /// Not there.
    Missing,
    /// There with other bytes.
    Wrong,
}

/// One file or tree the program uses.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it is, or would be.
    pub path: PathBuf,
    /// Package and client it comes from, or "this machine".
    pub source: String,
    /// Its licence.
    pub licence: String,
    /// The pinned sum, where there is one.
    pub sha256: Option<String>,
    /// In place, missing, wrong.
    pub state: State,
    /// What to do when it is not in place.
    pub remedy: Option<String>,
}

/// A model as `gatehouse models` lists it.
#[derive(Debug, Clone, Serialize)]
pub struct ModelRow {
    /// What it is for.
    pub role: &'static str,
    /// What results remember it by.
    pub id: String,
    /// Its file under `models/`, or where the configuration says.
    pub file: String,
    /// Package and client, or the table of the configuration that names it.
    pub source: String,
    /// SPDX id.
    pub licence: String,
    /// Input tensors, and how bytes become their numbers where that belongs to the model.
    pub input: String,
    /// Output tensors.
    pub output: String,
    /// The thresholds that belong to it.
    pub thresholds: String,
    /// The pinned sum.
    pub sha256: String,
    /// Whether the file in place has it; always summed in full.
    pub verified: bool,
}

/// Everything `gatehouse check` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Inventory {
    /// The program's version.
    pub gatehouse: &'static str,
    /// The data directory.
    pub data: PathBuf,
    /// Megabytes free there.
    pub free_mb: u64,
    /// The process that runs on it.
    pub running: Option<String>,
    /// The account PostgreSQL runs as; none: root without such an account.
    pub postgres_account: Option<String>,
    /// Where PostgreSQL's own files are.
    pub postgres_home: PathBuf,
    /// Major version of the cluster, once made.
    pub cluster_major: Option<u32>,
    /// Extensions that come with the programs.
    pub extensions: Vec<String>,
    /// Whether TimescaleDB is among them.
    pub timescaledb: bool,
    /// Whether every sum was taken anew.
    pub deep: bool,
    /// The parts.
    pub parts: Vec<Part>,
}

impl Inventory {
    /// Whether every part the program cannot do without is in place. The demo's photographs can be done without.
    pub fn complete(&self) -> bool {
        let needed = |p: &&Part| !p.path.starts_with(self.data.join("demo"));
        self.postgres_account.is_some()
            && self.parts.iter().filter(needed).all(|p| matches!(p.state, State::Verified | State::Found))
    }
}

impl Provision {
    /// Looks at what is there. `deep`: sums every file instead of trusting size and time of change.
    pub fn inspect(&self, deep: bool) -> Inventory {
        let account = Account::choose();
        let postgres_home = account.as_ref().map_or_else(|| self.data.clone(), |a| home(&self.data, a));
        let stamps = Stamps::load(&self.data);
        let (postgres, programs) = self.postgres_part(&stamps, deep);
        let extensions = programs.as_ref().map(find::extensions).unwrap_or_default();
        let mut parts = vec![postgres];
        let onnxruntime = pins::onnxruntime(std::env::consts::ARCH);
        let models = self.model_archives();
        for archive in onnxruntime.into_iter().chain(&models).chain(pins::FACE_ARCHIVES) {
            parts.extend(self.member_parts(archive, &stamps, deep));
        }
        Inventory {
            gatehouse: env!("CARGO_PKG_VERSION"),
            free_mb: space::free_bytes(&self.data).unwrap_or(0) / 1_000_000,
            running: lock::running_instance(&self.data),
            postgres_account: account.map(|a| a.name),
            cluster_major: cluster::major_of(&postgres_home),
            postgres_home,
            timescaledb: extensions.iter().any(|e| e == "timescaledb"),
            extensions,
            deep,
            parts,
            data: self.data.clone(),
        }
    }

    /// The models with their sums taken now.
    pub fn models(&self, models: &Models) -> Vec<ModelRow> {
        models.all().map(|spec| self.model_row(models, spec)).collect()
    }

    fn model_row(&self, models: &Models, spec: &ModelSpec) -> ModelRow {
        let tensors = |tensors: &[Tensor]| {
            let shape = |shape: &[usize]| {
                shape.iter().map(|d| if *d == 0 { "?".into() } else { d.to_string() }).collect::<Vec<_>>()
            };
            let each = tensors.iter().map(|tensor| format!("{} {}", tensor.name, shape(tensor.shape).join("x")));
            if tensors.is_empty() { "-".to_owned() } else { each.collect::<Vec<_>>().join(", ") }
        };
        ModelRow {
            role: spec.role,
            id: spec.id.to_string(),
            file: spec.file.to_string(),
            source: match spec.source {
                Source::Package { registry: "npm", package, .. } => format!("npm {package}"),
                Source::Package { package, .. } => format!("PyPI {package}"),
                Source::Configured { table, .. } => table.to_owned(),
            },
            licence: spec.licence.to_string(),
            input: models.prepared(spec).unwrap_or_else(|| tensors(spec.inputs)),
            output: tensors(spec.outputs),
            thresholds: models.thresholds(spec).unwrap_or_else(|| "-".to_owned()),
            sha256: spec.sha256.to_string(),
            verified: sha256_of(&self.data.join("models").join(&*spec.file)).is_ok_and(|sum| sum == spec.sha256),
        }
    }

    fn postgres_part(&self, stamps: &Stamps, deep: bool) -> (Part, Option<PgPrograms>) {
        let search_path = self.search_path.as_deref();
        let root = self.postgres_home().join(pins::POSTGRES_PLACED);
        let found = match &self.postgres {
            PgChoice::Dir(bin) => find::inspect(bin, Origin::Machine).ok(),
            PgChoice::Wheel => None,
            PgChoice::Auto => find::on_machine(cluster::major_of(&self.postgres_home()), search_path),
        };
        let part = |version: String, path: PathBuf, state: State| Part {
            name: "PostgreSQL".to_owned(),
            version,
            path,
            source: "this machine".to_owned(),
            licence: "PostgreSQL".to_owned(),
            sha256: None,
            state,
            remedy: None,
        };
        if let Some(programs) = found {
            return (part(programs.version.clone(), programs.bin.clone(), State::Found), Some(programs));
        }
        if let PgChoice::Dir(bin) = &self.postgres {
            let remedy = "set GATEHOUSE_PG to a directory with initdb, postgres and pg_ctl, or unset it".to_owned();
            return (Part { remedy: Some(remedy), ..part(String::new(), bin.clone(), State::Missing) }, None);
        }
        let Some(tree) = pins::postgres(std::env::consts::ARCH) else {
            let remedy = "install PostgreSQL 14 or newer and set GATEHOUSE_PG to its bin directory".to_owned();
            return (Part { remedy: Some(remedy), ..part(String::new(), root, State::Missing) }, None);
        };
        let bin = root.join(pins::POSTGRES_BIN);
        let state = if !bin.is_dir() {
            State::Missing
        } else if (!deep && stamps.vouches(&bin.join("postgres"), tree.sha256))
            || sha256_of_tree(&root).is_ok_and(|sum| sum == tree.sha256)
        {
            State::Verified
        } else {
            State::Wrong
        };
        let part = Part {
            source: tree.archive.source(),
            licence: tree.archive.licence.to_owned(),
            sha256: Some(tree.sha256.to_owned()),
            remedy: self.remedy(&tree.archive, &root, state),
            ..part(tree.archive.version.to_owned(), bin.clone(), state)
        };
        (part, find::inspect(&bin, Origin::Fetched).ok())
    }

    fn member_parts<'a>(
        &'a self,
        archive: &'a Archive,
        stamps: &'a Stamps,
        deep: bool,
    ) -> impl Iterator<Item = Part> + 'a {
        archive.members.iter().map(move |member| {
            let path = self.data.join(member.placed);
            let state = if !path.is_file() {
                State::Missing
            } else if (!deep && stamps.vouches(&path, member.sha256))
                || sha256_of(&path).is_ok_and(|sum| sum == member.sha256)
            {
                State::Verified
            } else {
                State::Wrong
            };
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            Part {
                name,
                version: archive.version.to_owned(),
                source: archive.source(),
                licence: archive.licence.to_owned(),
                sha256: Some(member.sha256.to_owned()),
                remedy: self.remedy(archive, &path, state),
                state,
                path,
            }
        })
    }

    /// What to do about a part that is not in place: the missing client first, where one is missing.
    fn remedy(&self, archive: &Archive, path: &Path, state: State) -> Option<String> {
        let search_path = self.search_path.as_deref();
        let client = match archive.registry {
            pins::Registry::Npm => ("npm", "install npm (Debian: apt-get install npm), then "),
            pins::Registry::Wheel { .. } => {
                ("python3", "install python3 and pip (Debian: apt-get install python3 python3-pip), then ")
            }
        };
        let first = if fetch::on_path(client.0, search_path).is_some() { "" } else { client.1 };
        match state {
            State::Verified | State::Found => None,
            State::Missing => Some(format!("{first}run `gatehouse setup`")),
            State::Wrong => Some(format!("delete {}, then {first}run `gatehouse setup`", path.display())),
        }
    }
}
