//! Every way a client can fail becomes a sentence with a remedy. The clients here are scripts that behave like the
//! real ones; their words are what pip 23.0 to 26 and npm 9 to 11 were seen to say.

use super::*;
use crate::provision::progress::Silent;
use crate::provision::stamp::sha256_bytes;

const WHEEL: Archive = Archive {
    package: "parcel",
    version: "1.0",
    registry: Registry::Wheel { platform: "any" },
    file: "parcel-1.0-py3-none-any.whl",
    sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", // of "abc"
    size: 3,
    licence: "MIT",
    members: &[],
};
const TARBALL: Archive = Archive { registry: Registry::Npm, file: "parcel-1.0.tgz", ..WHEEL };

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    /// A cache and a search path on which `program` is a shell script; no other program is there but the shell's own.
    fn with(program: &str, script: &str) -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(bench.dir.path().join("cache")).unwrap();
        std::fs::create_dir(bench.dir.path().join("bin")).unwrap();
        if !program.is_empty() {
            crate::provision::testkit::script(&bench.dir.path().join("bin").join(program), script);
        }
        bench
    }

    fn obtain(&self, archive: &Archive) -> Result<PathBuf, SetupError> {
        let path = self.dir.path().join("bin").into_os_string();
        Fetcher { cache: self.dir.path().join("cache"), search_path: Some(&path) }.obtain(archive, &mut Silent)
    }

    fn cache(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("cache")).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[test]
fn what_arrives_with_the_right_sum_is_kept_and_not_fetched_again() {
    let script = r#"[ -e ../../fetched ] && exit 9; : > ../../fetched; printf abc > parcel-1.0-py3-none-any.whl"#;
    let bench = Bench::with("python3", script);
    let file = bench.obtain(&WHEEL).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"abc");
    assert_eq!(bench.obtain(&WHEEL).unwrap(), file);
    assert_eq!(bench.cache(), [WHEEL.file]);
}

#[test]
fn a_wrong_sum_is_fetched_once_more_past_the_clients_cache() {
    let script = r#"case "$*" in *--no-cache-dir*) printf abc;; *) printf bad;; esac > parcel-1.0-py3-none-any.whl"#;
    let bench = Bench::with("python3", script);
    assert_eq!(std::fs::read(bench.obtain(&WHEEL).unwrap()).unwrap(), b"abc");
}

#[test]
fn a_sum_wrong_twice_names_both_sums_and_keeps_nothing() {
    let script = r#"printf x >> ../../tries; printf bad > parcel-1.0-py3-none-any.whl"#;
    let bench = Bench::with("python3", script);
    let said = bench.obtain(&WHEEL).unwrap_err().to_string();
    assert!(said.contains(WHEEL.sha256) && said.contains(&sha256_bytes(b"bad")) && said.contains("mirror"), "{said}");
    assert_eq!(std::fs::read(bench.dir.path().join("tries")).unwrap(), b"xx");
    assert!(bench.cache().is_empty());
}

#[test]
fn a_damaged_file_in_the_cache_is_replaced() {
    let bench = Bench::with("npm", "printf abc > parcel-1.0.tgz");
    std::fs::write(bench.dir.path().join("cache/parcel-1.0.tgz"), b"half a file").unwrap();
    assert_eq!(std::fs::read(bench.obtain(&TARBALL).unwrap()).unwrap(), b"abc");
}

#[test]
fn every_failure_says_what_to_do() {
    let cases: &[(&str, &str, &Archive, &[&str])] = &[
        ("", "", &WHEEL, &["python3 is missing", "apt-get install python3 python3-pip", "parcel 1.0"]),
        ("", "", &TARBALL, &["npm is missing", "apt-get install npm"]),
        (
            "python3",
            "echo '/usr/bin/python3: No module named pip' >&2; exit 1",
            &WHEEL,
            &["has no pip", "apt-get install python3-pip"],
        ),
        (
            "python3",
            "echo 'WARNING: Retrying (Retry(total=0)) after connection broken by NewConnectionError(<HTTPSConnection>: Failed to establish a new connection: [Errno 111] Connection refused)' >&2\n\
             echo 'ERROR: Could not find a version that satisfies the requirement parcel==1.0 (from versions: none)' >&2; exit 1",
            &WHEEL,
            &["did not answer ([Errno 111] Connection refused", "settings of pip", "gatehouse setup"],
        ),
        (
            "npm",
            "echo 'npm error code EAI_AGAIN' >&2; echo 'npm error FetchError: request failed, reason: getaddrinfo EAI_AGAIN' >&2; exit 1",
            &TARBALL,
            &["did not answer (getaddrinfo EAI_AGAIN)", "settings of npm"],
        ),
        (
            "python3",
            "echo 'ERROR: Could not find a version that satisfies the requirement parcel==1.0 (from versions: 0.9)' >&2\n\
             echo 'ERROR: No matching distribution found for parcel==1.0' >&2; exit 1",
            &WHEEL,
            &["could not be downloaded", "No matching distribution", "by hand"],
        ),
        ("npm", "echo 'npm error code ENOSPC' >&2; exit 1", &TARBALL, &["disk of", "is full", "--data DIR"]),
        ("npm", "exit 0", &TARBALL, &["left no parcel-1.0.tgz"]),
    ];
    for (program, script, archive, wanted) in cases {
        let said = Bench::with(program, script).obtain(archive).unwrap_err().to_string();
        for part in *wanted {
            assert!(said.contains(part), "wanted {part:?} in: {said}");
        }
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_a_sentence() {
    let bench = Bench::with("npm", "exit 0");
    let cache = bench.dir.path().join("cache");
    std::fs::remove_dir(&cache).unwrap();
    std::fs::write(&cache, b"a file where the directory should be").unwrap();
    let said = bench.obtain(&TARBALL).unwrap_err().to_string();
    assert!(said.contains("cannot be written") && said.contains("GATEHOUSE_DATA"), "{said}");
}
