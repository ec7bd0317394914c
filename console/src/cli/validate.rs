//! `gatehouse validate FILE`: checks a site's definition and says what is wrong, field by field.

use super::serve::fail;
use crate::site;
use std::path::PathBuf;
use std::process::ExitCode;

/// Checks a site's definition. The program reads it at its next start through `site` in its configuration.
#[derive(Debug, clap::Args)]
pub struct Validate {
    /// The definition, TOML
    file: PathBuf,
}

impl Validate {
    /// Checks.
    pub fn run(self) -> ExitCode {
        match site::read(Some(&self.file)) {
            Ok(site) => super::print(&format!(
                "{}: {} places, {} devices, {} lanes, {} people: good\n",
                self.file.display(),
                site.places.len(),
                site.devices.len(),
                site.lanes.len(),
                site.people.len()
            )),
            Err(error) => fail(&error),
        }
    }
}
