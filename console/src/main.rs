//! The program.

use std::process::ExitCode;

fn main() -> ExitCode {
    gatehouse_console::cli::run()
}
