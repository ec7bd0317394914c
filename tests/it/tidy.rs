//! The house rules that a compiler cannot see: the dependency star, the headers, where clocks and SQL may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the workspace").to_owned()
}

/// Every file below `dir` with this extension.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<PathBuf> {
    [
        "core/src",
        "actors/src",
        "vision/src",
        "adapters/src",
        "adapters/simcam/src",
        "console/src",
        "tests/src",
        "tests/it",
    ]
    .iter()
    .flat_map(|dir| files(&root().join(dir), "rs"))
    .collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The code of a file without its trailing test module and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_crates_depend_on_each_other_as_a_star() {
    let allowed: [(&str, &[&str]); 6] = [
        ("core", &[]),
        ("actors", &["core"]),
        ("vision", &["core"]),
        ("adapters", &["core", "simcam"]),
        ("adapters/simcam", &[]),
        ("console", &["core", "actors", "vision", "adapters"]),
    ];
    for (package, may) in allowed {
        let manifest = fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = toml::from_str(&manifest).unwrap();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(names) = manifest.get(section).and_then(|section| section.as_table()) else { continue };
            let ours: BTreeSet<&str> = names.keys().filter_map(|name| name.strip_prefix("gatehouse-")).collect();
            let foreign: Vec<_> = ours.difference(&may.iter().copied().collect()).copied().collect();
            assert!(foreign.is_empty(), "{package} may not depend on {foreign:?} ({section})");
        }
    }
}

#[test]
fn core_has_no_runtime_and_reads_no_clock() {
    let manifest = fs::read_to_string(root().join("core/Cargo.toml")).unwrap();
    for runtime in ["tokio", "ractor", "sqlx", "axum", "rand"] {
        assert!(!manifest.contains(runtime), "core depends on {runtime}");
    }
    for path in files(&root().join("core/src"), "rs") {
        let code = code(&path);
        for forbidden in [
            "Timestamp::now",
            "Zoned::now",
            "SystemTime",
            "Instant::now",
            "Uuid::now_v7",
            "Uuid::new_v4",
            "std::thread",
            "std::fs",
            "HashMap",
        ] {
            assert!(!code.contains(forbidden), "{} uses {forbidden}", shown(&path));
        }
    }
}

#[test]
fn only_the_clock_of_the_actors_knows_what_time_it_is() {
    for path in files(&root().join("actors/src"), "rs") {
        if path.ends_with("clock.rs") {
            continue;
        }
        for forbidden in ["Timestamp::now", "SystemTime::now", "Uuid::now_v7"] {
            assert!(!code(&path).contains(forbidden), "{} uses {forbidden}: ask the Clock", shown(&path));
        }
    }
}

#[test]
fn sql_lives_in_the_stores() {
    for path in rust_files() {
        let in_store = path.file_name().is_some_and(|name| name == "store.rs")
            || path.components().any(|part| part.as_os_str() == "store");
        let of_tests = path.starts_with(root().join("tests"));
        // The cluster's supervisor speaks to an empty PostgreSQL that has no store yet.
        let of_cluster = path.starts_with(root().join("console/src/provision"));
        if in_store || of_tests || of_cluster {
            continue;
        }
        for call in ["sqlx::query", "query_as(", "query_scalar("] {
            assert!(
                !code(&path).contains(call),
                "{} holds SQL ({call}): it belongs in the slice's store.rs",
                shown(&path)
            );
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_readable() {
    for path in rust_files() {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} has no module header", shown(&path));
        let lines = text.lines().count();
        assert!(lines <= 800, "{} has {lines} lines: look for the seam", shown(&path));
    }
}

#[test]
fn no_work_is_left_undone_in_the_code() {
    for path in rust_files().into_iter().filter(|path| !path.ends_with("tidy.rs")) {
        let text = fs::read_to_string(&path).unwrap();
        for mark in ["todo!(", "unimplemented!(", "TODO", "FIXME", "#[ignore"] {
            assert!(!text.contains(mark), "{} has {mark}", shown(&path));
        }
    }
}

#[test]
fn every_adapter_and_crate_has_a_readme() {
    for package in ["core", "actors", "vision", "adapters", "adapters/simcam", "migrations", "tests", "benches"] {
        assert!(root().join(package).join("README.md").is_file(), "{package} has no README.md");
    }
    for entry in fs::read_dir(root().join("adapters/src")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert!(path.join("README.md").is_file(), "{} has no README.md", shown(&path));
        }
    }
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let numbers: Vec<u32> = files(&root().join("migrations"), "sql")
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.split('_').next().unwrap().parse().unwrap_or_else(|_| panic!("{name} does not begin with its number"))
        })
        .collect();
    assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>());
}
