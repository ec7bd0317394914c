//! `gatehouse setup`: provides everything the program needs beside itself.

use super::Machine;
use super::serve::fail;
use crate::provision::{Lines, Provided, Provision};
use std::process::ExitCode;
use std::time::Instant;

/// Provides what the program needs: PostgreSQL, ONNX Runtime, the models, the demo's photographs.
#[derive(Debug, clap::Args)]
pub struct Setup {
    #[command(flatten)]
    machine: Machine,
}

impl Setup {
    /// Provides, telling each step on standard error.
    pub fn run(&self) -> ExitCode {
        let began = Instant::now();
        match self.provide() {
            Ok(provided) => super::print(&summary(&provided, began.elapsed().as_secs_f32())),
            Err(error) => fail(&error.context("setup")),
        }
    }

    fn provide(&self) -> anyhow::Result<Provided> {
        let config = self.machine.config()?;
        let data = self.machine.data(&config);
        eprintln!("Setting up {}", data.display());
        let provision = Provision::new(data).with_second_reader(config.recognition.second_reader);
        provision.forget_failures();
        Ok(provision.ensure_all(&mut Lines::stderr())?)
    }
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
