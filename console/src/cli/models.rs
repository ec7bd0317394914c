//! `gatehouse models`: the models, where they come from and whether the files are the pinned ones.

use super::DataDir;
use super::check::columns;
use crate::provision::Provision;
use std::process::ExitCode;

/// The arguments of `gatehouse models`.
#[derive(Debug, clap::Args)]
pub struct Models {
    #[command(flatten)]
    data: DataDir,
    /// One JSON object on standard output.
    #[arg(long)]
    json: bool,
}

impl Models {
    /// Prints the list; fails when a file is missing or not the pinned one.
    pub fn run(&self) -> ExitCode {
        let rows = Provision::new(self.data.path()).models();
        let whole = rows.iter().all(|r| r.verified);
        let text = if self.json {
            format!("{:#}\n", serde_json::json!({ "models": rows, "verified": whole }))
        } else {
            let cells: Vec<[String; 8]> = rows
                .iter()
                .map(|r| {
                    let verified = if r.verified { "yes" } else { "NO" };
                    [r.role, r.file, &r.source, r.licence, r.input, r.output, r.sha256, verified].map(str::to_owned)
                })
                .collect();
            columns(&["role", "file", "source", "licence", "input", "output", "sha256", "verified"], &cells)
        };
        let printed = super::print(&text);
        if whole { printed } else { ExitCode::FAILURE }
    }
}
