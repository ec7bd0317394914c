//! The command line: one file per command, each a function from its arguments to an exit code.

mod backup;
mod bench;
mod check;
mod eval;
mod models;
mod onvif;
mod openapi;
mod play;
mod restore;
mod serve;
mod setup;
mod validate;

use crate::config::{Config, ConfigError};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Watches, opens and records a compound: doors, gates, cameras, alarms.
#[derive(Debug, Parser)]
#[command(name = "gatehouse", version, about, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    serve: serve::Serve,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs the product (the default): the simulated compound, or the site of `--config`.
    Serve(serve::Serve),
    /// Provides what the program needs: PostgreSQL, ONNX Runtime, the models, the demo's photographs.
    Setup(setup::Setup),
    /// Prints what is there, its version and licence, and what to do about what is not.
    Check(check::Check),
    /// Lists the models in use: role, source, licence, tensors, thresholds, sha256.
    Models(models::Models),
    /// Plays a story in the running compound: fire, car_known, resident_face, …
    Play(play::Play),
    /// Backs up a running or stopped system, or checks a backup.
    Backup(backup::Backup),
    /// Restores a backup into an empty data directory.
    Restore(restore::Restore),
    /// Checks a site's definition, or a whole configuration with its models, and says what is wrong, field by field.
    Validate(validate::Validate),
    /// Measures recognition on labelled pictures.
    Eval(eval::Eval),
    /// Measures the product and prints figures.
    Bench(bench::Bench),
    /// Looks for cameras on the network.
    Onvif(onvif::Onvif),
    /// Prints the description of the REST interface.
    Openapi,
}

/// The data directory, on every command that has one.
#[derive(Debug, Default, clap::Args)]
pub struct DataDir {
    /// The data directory [default: /var/lib/gatehouse for root, else ~/.local/share/gatehouse]
    #[arg(long, value_name = "DIR", env = "GATEHOUSE_DATA")]
    data: Option<PathBuf>,
}

impl DataDir {
    /// The directory named on the command line or by the environment.
    pub fn named(&self) -> Option<PathBuf> {
        self.data.clone()
    }

    /// The directory named, or the default one.
    pub fn path(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(crate::provision::default_data_dir)
    }
}

/// The data directory and the machine's configuration, on commands that do not serve.
#[derive(Debug, Default, clap::Args)]
pub struct Machine {
    #[command(flatten)]
    data: DataDir,
    /// The machine's configuration, for the models it chooses
    #[arg(long, value_name = "FILE", env = "GATEHOUSE_CONFIG")]
    config: Option<PathBuf>,
}

impl Machine {
    /// The configuration, or the defaults where none is named.
    pub fn config(&self) -> Result<Config, ConfigError> {
        self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::read)
    }

    /// The data directory named on the command line, else by the configuration, else the default one.
    pub fn data(&self, config: &Config) -> PathBuf {
        self.data.named().or_else(|| config.data.clone()).unwrap_or_else(|| self.data.path())
    }
}

/// Parses the process's arguments and does what they say.
pub fn run() -> ExitCode {
    run_with(std::env::args_os())
}

/// Parses arguments, the program's name first, and does what they say.
pub fn run_with(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let arguments = Arguments::parse_from(arguments);
    log_to_stderr();
    // Two TLS providers are linked; without a choice rustls panics at its first use.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("A TLS provider was chosen already");
    }
    match arguments.verb.unwrap_or(Verb::Serve(arguments.serve)) {
        Verb::Serve(serve) => serve.run(),
        Verb::Play(play) => play.run(),
        Verb::Backup(backup) => backup.run(),
        Verb::Restore(restore) => restore.run(),
        Verb::Validate(validate) => validate.run(),
        Verb::Eval(eval) => eval.run(),
        Verb::Bench(bench) => bench.run(),
        Verb::Onvif(onvif) => onvif.run(),
        Verb::Openapi => openapi::run(),
        Verb::Setup(setup) => setup.run(),
        Verb::Check(check) => check.run(),
        Verb::Models(models) => models.run(),
    }
}

/// Logs go to standard error; `RUST_LOG` chooses how much.
fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let usual = "info,sqlx=warn,mqtt5=error,rumqttc=error,retina=warn,ort=warn";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(std::io::stderr).init();
}

/// Prints to standard output; a closed pipe (`gatehouse check | head`) is a quiet end.
fn print(text: &str) -> ExitCode {
    use std::io::Write;
    let written = std::io::stdout().lock().write_all(text.as_bytes());
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
