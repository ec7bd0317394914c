//! `gatehouse validate`: checks a site's definition, and the machine's configuration with the models it chooses, and says what is
//! wrong, field by field.

use super::Machine;
use super::serve::fail;
use crate::config::Config;
use crate::provision::Provision;
use crate::site;
use anyhow::Context;
use gatehouse_vision::models::{Source, read_verified};
use gatehouse_vision::recognizer::Recognizer;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Checks a site's definition, or with `--config` the whole configuration: the site it names, and that its models are the files it
/// names, load, and are what recognition can use.
#[derive(Debug, clap::Args)]
pub struct Validate {
    /// The site's definition, TOML [default: the one that the configuration names]
    #[arg(required_unless_present = "config")]
    file: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
}

impl Validate {
    /// Checks.
    pub fn run(self) -> ExitCode {
        match self.check() {
            Ok(said) => super::print(&said),
            Err(error) => fail(&error),
        }
    }

    fn check(&self) -> anyhow::Result<String> {
        let config = self.machine.config()?;
        let file = self.file.as_deref().or(config.site.as_deref());
        let mut said = String::new();
        if let Some(file) = file {
            said += &definition(file)?;
        }
        if let Some(file) = &config.file {
            writeln!(said, "{}: {}", file.display(), self.models(&config)?)?;
        }
        Ok(said)
    }

    /// What the configuration's models are, after each was held to what it must be.
    fn models(&self, config: &Config) -> anyhow::Result<String> {
        if !config.recognition.enabled {
            return Ok("recognition is off: good".to_owned());
        }
        let data = self.machine.data(config);
        let provided = gatehouse_vision::RuntimePaths::in_data_dir(Provision::new(data).data());
        let paths = config.recognition.paths(&provided.onnxruntime, &provided.models_dir)?;
        let own = paths.models.all().filter(|spec| matches!(spec.source, Source::Configured { .. }));
        for spec in own {
            read_verified(spec, &paths.models_dir)?;
        }
        if let Some(missing) = paths.missing().first() {
            let missing = missing.display();
            return Ok(format!(
                "good as far as it goes: {missing} is missing, so no model was loaded; run `gatehouse setup`"
            ));
        }
        let recognizer = Recognizer::open(&paths).context("opening the recognition models")?;
        let (face, plate) = (&paths.models.face_embedder.spec.id, &paths.models.plate_reader.network.spec.id);
        let second = paths.models.second_reader.as_ref().map(|second| format!(", in doubt {}", second.spec.id));
        let (dimension, second) = (recognizer.face_dimension(), second.unwrap_or_default());
        Ok(format!("faces by {face} ({dimension} numbers), plates by {plate}{second}: good"))
    }
}

fn definition(file: &Path) -> anyhow::Result<String> {
    let site = site::read(Some(file))?;
    Ok(format!(
        "{}: {} places, {} devices, {} lanes, {} people: good\n",
        file.display(),
        site.places.len(),
        site.devices.len(),
        site.lanes.len(),
        site.people.len()
    ))
}
