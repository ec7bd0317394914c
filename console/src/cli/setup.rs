//! `gatehouse setup`: provides everything the program needs beside itself.

use crate::provision::{Lines, Provided, Provision, SetupError};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Provides into `data`, telling each step on standard error.
pub fn run(data: &Path) -> ExitCode {
    let began = Instant::now();
    eprintln!("Setting up {}", data.display());
    match provide(data) {
        Ok(provided) => super::print(&summary(&provided, began.elapsed().as_secs_f32())),
        Err(error) => {
            eprintln!("gatehouse setup: {error}");
            ExitCode::FAILURE
        }
    }
}

fn provide(data: &Path) -> Result<Provided, SetupError> {
    let provision = Provision::new(data);
    provision.forget_failures();
    provision.ensure_all(&mut Lines::stderr())
}

fn summary(provided: &Provided, seconds: f32) -> String {
    format!(
        "PostgreSQL   {} in {}\nONNX Runtime {}\nModels       {}\nDemo         {}\nEverything is in place ({seconds:.1} s).\n",
        provided.postgres.version,
        provided.postgres.bin.display(),
        provided.onnxruntime.display(),
        provided.models.display(),
        provided.demo.display(),
    )
}
