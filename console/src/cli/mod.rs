//! The command line: one file per command, each a function from its arguments to an exit code.

mod check;
mod models;
mod setup;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Watches, opens and records a compound: doors, gates, cameras, alarms.
#[derive(Debug, Parser)]
#[command(name = "gatehouse", version, about)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Provides what the program needs: PostgreSQL, ONNX Runtime, the models, the demo's photographs.
    Setup(DataDir),
    /// Prints what is there, its version and licence, and what to do about what is not.
    Check(check::Check),
    /// Lists the models: role, source, licence, tensors, sha256.
    Models(models::Models),
}

/// The data directory, on every command that has one.
#[derive(Debug, clap::Args)]
pub struct DataDir {
    /// The data directory [default: /var/lib/gatehouse for root, else ~/.local/share/gatehouse]
    #[arg(long, value_name = "DIR", env = "GATEHOUSE_DATA")]
    data: Option<PathBuf>,
}

impl DataDir {
    /// The directory named, or the default one.
    pub fn path(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(crate::provision::default_data_dir)
    }
}

/// Parses the arguments and does what they say.
pub fn run() -> ExitCode {
    match Arguments::parse().verb {
        Verb::Setup(data) => setup::run(&data.path()),
        Verb::Check(check) => check.run(),
        Verb::Models(models) => models.run(),
    }
}

/// Prints to standard output; a closed pipe (`gatehouse check | head`) is a quiet end.
fn print(text: &str) -> ExitCode {
    use std::io::Write;
    let written = std::io::stdout().lock().write_all(text.as_bytes());
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
