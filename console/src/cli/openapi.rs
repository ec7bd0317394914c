//! `gatehouse openapi`: the description of the REST interface, as committed in `console/openapi.json`.

use std::process::ExitCode;

/// Prints it.
pub fn run() -> ExitCode {
    super::print(&crate::openapi::text())
}
