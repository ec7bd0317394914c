//! What this crate's own tests share: where the models lie, and small pictures drawn here.

use std::path::{Path, PathBuf};

use crate::models::RuntimePaths;

/// The data directory of the tests: `GATEHOUSE_DATA`, else `target/gatehouse-data` of the workspace.
pub(crate) fn data() -> PathBuf {
    std::env::var_os("GATEHOUSE_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/gatehouse-data"))
}

/// The runtime files of the data directory; without them the test fails and says what to run.
pub(crate) fn runtime() -> RuntimePaths {
    let paths = RuntimePaths::in_data_dir(&data());
    let missing = paths.missing();
    assert!(
        missing.is_empty(),
        "{} is not there: run `cargo run -- setup --data target/gatehouse-data` first",
        missing[0].display()
    );
    paths
}
