//! `gatehouse check`: what is there, versions, licences, and what to do about what is not.

use super::Machine;
use super::serve::fail;
use crate::provision::Provision;
use crate::provision::inventory::{Inventory, State};
use std::fmt::Write;
use std::process::ExitCode;

/// The arguments of `gatehouse check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    #[command(flatten)]
    machine: Machine,
    /// One JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// Take every sha256 anew instead of trusting size and time of change.
    #[arg(long)]
    deep: bool,
}

impl Check {
    /// Prints the inventory; fails when a part the program needs is missing or wrong.
    pub fn run(&self) -> ExitCode {
        let config = match self.machine.config() {
            Ok(config) => config,
            Err(error) => return fail(&error.into()),
        };
        let provision = Provision::new(self.machine.data(&config)).with_second_reader(config.recognition.second_reader);
        let inventory = provision.inspect(self.deep);
        let text = if self.json {
            let mut value = serde_json::to_value(&inventory).expect("the inventory is strings, numbers and paths");
            value["complete"] = inventory.complete().into();
            format!("{value:#}\n")
        } else {
            table(&inventory)
        };
        let printed = super::print(&text);
        if inventory.complete() { printed } else { ExitCode::FAILURE }
    }
}

fn table(inventory: &Inventory) -> String {
    let mut text = format!("gatehouse {}\n", inventory.gatehouse);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<14}{value}");
    };
    let running = inventory.running.as_ref().map_or("not running".to_owned(), |pid| format!("running, process {pid}"));
    line("data", format!("{} ({} MB free, {running})", inventory.data.display(), inventory.free_mb));
    let account = inventory.postgres_account.as_deref().unwrap_or("none: useradd --system gatehouse");
    let made = inventory.cluster_major.map_or("made at the first start".to_owned(), |m| format!("PostgreSQL {m}"));
    line("database", format!("{}/pg ({made}), account {account}", inventory.postgres_home.display()));
    let timescale = if inventory.timescaledb { "available" } else { "not there; plain partitions are used" };
    line("TimescaleDB", timescale.to_owned());
    line("extensions", inventory.extensions.join(" "));
    text.push('\n');
    let rows: Vec<[String; 5]> = inventory
        .parts
        .iter()
        .map(|part| {
            let state = match part.state {
                State::Verified => "ok",
                State::Found => "found",
                State::Missing => "MISSING",
                State::Wrong => "WRONG",
            };
            let short = part.version.split(' ').next().unwrap_or_default();
            [state, &part.name, short, &part.source, &part.licence].map(str::to_owned)
        })
        .collect();
    text.push_str(&columns(&["state", "part", "version", "source", "licence"], &rows));
    for part in &inventory.parts {
        if let Some(remedy) = &part.remedy {
            let _ = write!(text, "\n{}: {remedy}", part.name);
        }
    }
    text.push_str(match (inventory.complete(), inventory.deep) {
        (true, true) => "\nEverything needed is in place; every sha256 was taken now.\n",
        (true, false) => "\nEverything needed is in place.\n",
        (false, _) => "\n\nNot ready: see above.\n",
    });
    text
}

/// Rows under a heading, each column as wide as its widest cell.
pub(super) fn columns<const N: usize>(heading: &[&str; N], rows: &[[String; N]]) -> String {
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).chain([heading[i].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in std::iter::once(&heading.map(str::to_owned)).chain(rows) {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_lists_what_is_missing_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let provision = Provision::new(dir.path()).with_search_path("/nowhere");
        let inventory = provision.inspect(false);
        assert!(!inventory.complete());
        let text = table(&inventory);
        for part in ["MISSING", "fr_detect.onnx", "Apache-2.0", "install npm", "run `gatehouse setup`", "Not ready"] {
            assert!(text.contains(part), "wanted {part:?} in\n{text}");
        }
    }

    #[test]
    fn a_changed_model_is_wrong_and_its_remedy_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("models")).unwrap();
        std::fs::write(dir.path().join("models/fr_eye.onnx"), b"not a model").unwrap();
        let inventory = Provision::new(dir.path()).inspect(false);
        let part = inventory.parts.iter().find(|p| p.name == "fr_eye.onnx").unwrap();
        assert_eq!(part.state, State::Wrong);
        assert!(part.remedy.as_ref().unwrap().contains("models/fr_eye.onnx, then"), "{:?}", part.remedy);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "bb".to_owned()], ["cccc".to_owned(), String::new()]];
        assert_eq!(columns(&["x", "y"], &rows), "x     y\na     bb\ncccc\n");
    }
}
