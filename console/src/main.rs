//! The program.

use std::process::ExitCode;

/// Half of the time an alarm takes was spent in the C library's; benches/README.md has the figures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gatehouse_console::cli::run()
}
