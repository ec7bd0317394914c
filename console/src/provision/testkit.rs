//! A real PostgreSQL for tests: one throw-away cluster per test process, a fresh database per test.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let db = gatehouse_console::provision::testkit::database().await;
//! let pool = sqlx::PgPool::connect_with(db.options.clone()).await?;
//! # Ok(()) }
//! ```
//! The first process of a machine fetches what is missing into the shared data directory, the others wait for it.
//! The cluster itself lies in the directory for temporary files and goes away with the process.

use super::{Cluster, ClusterOptions, Lines, Provided, Provision};
use sqlx::postgres::PgConnectOptions;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::OnceCell;

/// A database of one's own.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    /// Its name.
    pub name: String,
    /// How to connect.
    pub options: PgConnectOptions,
    /// The same as a URL.
    pub url: String,
}

/// The data directory tests share: `GATEHOUSE_DATA`, else `gatehouse-data` in cargo's target directory.
pub fn data_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("GATEHOUSE_DATA").filter(|d| !d.is_empty()) {
        return dir.into();
    }
    let exe = std::env::current_exe().unwrap_or_default();
    let target = exe.ancestors().find(|a| a.file_name().is_some_and(|n| n == "target"));
    target.map_or_else(super::default_data_dir, |t| t.join("gatehouse-data"))
}

/// Everything set-up provides, in [`data_dir`]; fetched on first use.
///
/// # Panics
/// With set-up's own sentence, when something cannot be provided.
pub fn provided() -> Provided {
    match Provision::new(data_dir()).ensure_all(&mut Lines::stderr()) {
        Ok(provided) => provided,
        Err(error) => panic!("{error}"),
    }
}

/// The cluster of this test process, started on first use.
///
/// # Panics
/// With the cluster's own sentence, when it does not start.
pub async fn cluster() -> &'static Cluster {
    // A static is never dropped: the cluster's tether ends it and removes its files when the process is gone.
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    CLUSTER
        .get_or_init(|| async {
            let programs =
                tokio::task::spawn_blocking(|| Provision::new(data_dir()).ensure_postgres(&mut Lines::stderr()))
                    .await
                    .expect("set-up does not panic")
                    .unwrap_or_else(|error| panic!("{error}"));
            let home = std::env::temp_dir().join(format!("gatehouse-test-{}", std::process::id()));
            let options = ClusterOptions { durable: false, ephemeral: true, ..ClusterOptions::default() };
            Cluster::start(&programs, &home, options).await.unwrap_or_else(|error| panic!("{error}"))
        })
        .await
}

/// A fresh, empty database in the shared cluster.
///
/// # Panics
/// When the cluster does not start or the database cannot be made.
pub async fn database() -> TestDatabase {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let cluster = cluster().await;
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    cluster.create_database(&name).await.unwrap_or_else(|error| panic!("{error}"));
    TestDatabase { options: cluster.options(&name), url: cluster.url(&name), name }
}

/// Writes a shell script as an executable file, by way of a child process: a file this process had open for writing
/// cannot be run while another thread is between fork and exec.
#[cfg(test)]
pub(super) fn script(path: &std::path::Path, text: &str) {
    use std::io::Write;
    let mut child = std::process::Command::new("/bin/sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{text}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}
