//! `gatehouse models`: the models, where they come from and whether the files are the pinned ones.

use super::Machine;
use super::check::columns;
use super::serve::fail;
use crate::provision::Provision;
use std::process::ExitCode;

/// The arguments of `gatehouse models`.
#[derive(Debug, clap::Args)]
pub struct Models {
    #[command(flatten)]
    machine: Machine,
    /// One JSON object on standard output.
    #[arg(long)]
    json: bool,
}

impl Models {
    /// Prints the list; fails when a file is missing or not the pinned one.
    pub fn run(&self) -> ExitCode {
        let chosen = self.machine.config().map_err(anyhow::Error::from).and_then(|config| {
            let provision = Provision::new(self.machine.data(&config));
            Ok(provision.models(&config.recognition.models()?))
        });
        let rows = match chosen {
            Ok(rows) => rows,
            Err(error) => return fail(&error),
        };
        let whole = rows.iter().all(|r| r.verified);
        let text = if self.json {
            format!("{:#}\n", serde_json::json!({ "models": rows, "verified": whole }))
        } else {
            let cells: Vec<[String; 10]> = rows
                .iter()
                .map(|r| {
                    let verified = if r.verified { "yes" } else { "NO" };
                    let known = [&r.id, &r.file, &r.source, &r.licence, &r.input, &r.output, &r.thresholds, &r.sha256];
                    let mut cells = known.map(String::as_str).into_iter();
                    let mut next = || cells.next().unwrap_or_default().to_owned();
                    [
                        r.role.to_owned(),
                        next(),
                        next(),
                        next(),
                        next(),
                        next(),
                        next(),
                        next(),
                        next(),
                        verified.to_owned(),
                    ]
                })
                .collect();
            columns(
                &["role", "id", "file", "source", "licence", "input", "output", "thresholds", "sha256", "verified"],
                &cells,
            )
        };
        let printed = super::print(&text);
        if whole { printed } else { ExitCode::FAILURE }
    }
}
