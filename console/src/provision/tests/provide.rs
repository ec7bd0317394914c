//! Set-up as a whole. The real packages come through the real clients once and stay in the tests' data directory.

use super::*;
use crate::config::Recognition;
use gatehouse_vision::models::Models;
use gatehouse_vision::recognizer::Recognizer;
use std::os::unix::fs::PermissionsExt;

/// Collects what set-up tells.
#[derive(Default)]
struct Told(Vec<String>);

impl Progress for Told {
    fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Begin { what, .. } => self.0.push(format!("begin {what}")),
            Step::Warn { text } => self.0.push(format!("warn {text}")),
            Step::Tick { .. } | Step::Done { .. } => {}
        }
    }
}

/// A data directory that shares the tests' cache of archives by links, so that placing can be watched without
/// fetching.
fn fresh_beside(provided: &Provided) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("cache")).unwrap();
    let archives = pins::MODEL_ARCHIVES
        .iter()
        .chain([&pins::SECOND_READER_ARCHIVE])
        .chain(pins::FACE_ARCHIVES)
        .chain(pins::onnxruntime(std::env::consts::ARCH));
    for archive in archives {
        let cached = provided.data.join("cache").join(archive.file);
        if cached.is_file() {
            std::os::unix::fs::symlink(cached, dir.path().join("cache").join(archive.file)).unwrap();
        }
    }
    dir
}

#[test]
fn everything_is_provided_and_the_second_time_takes_milliseconds() {
    let provided = testkit::provided();
    let began = std::time::Instant::now();
    let again = Provision::new(testkit::data_dir()).ensure_all(&mut Silent).unwrap();
    println!("warm: {} ms", began.elapsed().as_millis());
    assert_eq!(provided.onnxruntime, again.onnxruntime);
    let inventory = Provision::new(testkit::data_dir()).inspect(true);
    assert!(inventory.complete(), "{:#?}", inventory.parts);
    assert!(Provision::new(testkit::data_dir()).models(&Models::default()).iter().all(|m| m.verified));
}

#[test]
fn the_second_reader_is_fetched_only_where_it_is_wanted_and_reads_plates() {
    let provided = testkit::provided();
    let dir = fresh_beside(&provided);
    let paths = |provided: &Path| {
        let recognition = Recognition { second_reader: true, ..Recognition::default() };
        recognition.paths(provided, &dir.path().join("models")).unwrap()
    };
    let without = Provision::new(dir.path());
    without.ensure_models(&mut Silent).unwrap();
    assert!(!dir.path().join("models/ch_PP-OCRv4_rec_infer.onnx").exists());
    let error = Recognizer::open(&paths(&provided.onnxruntime)).unwrap_err().to_string();
    assert!(error.contains("ch_PP-OCRv4_rec_infer.onnx") && error.contains("gatehouse setup"), "{error}");
    let with = without.with_second_reader(true);
    with.ensure_models(&mut Silent).unwrap();
    assert!(with.models(&paths(&provided.onnxruntime).models).iter().all(|model| model.verified));
    assert!(with.inspect(false).parts.iter().any(|part| part.name == "ch_PP-OCRv4_rec_infer.onnx"));
    Recognizer::open(&paths(&provided.onnxruntime)).unwrap();
    // Kept for the next run of the tests.
    let cached = dir.path().join("cache").join(pins::SECOND_READER_ARCHIVE.file);
    let kept = provided.data.join("cache").join(pins::SECOND_READER_ARCHIVE.file);
    if !kept.exists() {
        std::fs::copy(cached, kept).unwrap();
    }
}

#[test]
fn a_file_that_was_changed_is_replaced_out_of_the_cache_without_a_client() {
    let provided = testkit::provided();
    let dir = fresh_beside(&provided);
    let provision = Provision::new(dir.path()).with_search_path("/nowhere");
    let models = provision.ensure_models(&mut Silent).unwrap();
    let eye = models.join("fr_eye.onnx");
    let whole = std::fs::read(&eye).unwrap();
    std::fs::write(&eye, b"cut").unwrap();
    provision.ensure_models(&mut Silent).unwrap();
    assert_eq!(std::fs::read(&eye).unwrap(), whole);
}

#[test]
fn a_file_copied_by_hand_is_taken_as_it_is() {
    let provided = testkit::provided();
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join(pins::ONNXRUNTIME_LIBRARY);
    std::fs::create_dir_all(library.parent().unwrap()).unwrap();
    std::fs::copy(&provided.onnxruntime, &library).unwrap();
    let provision = Provision::new(dir.path()).with_search_path("/nowhere");
    assert_eq!(provision.ensure_onnxruntime(&mut Silent).unwrap(), library);
}

#[test]
fn photographs_that_do_not_come_are_left_out_with_a_warning_and_not_tried_every_time() {
    let provided = testkit::provided();
    let dir = fresh_beside(&provided);
    let portraits = &pins::FACE_ARCHIVES[1];
    let _ = std::fs::remove_file(dir.path().join("cache").join(portraits.file));
    let provision = Provision::new(dir.path()).with_search_path("/nowhere");
    let mut told = Told::default();
    let demo = provision.ensure_demo_faces(&mut told).unwrap();
    assert!(told.0.iter().any(|t| t.starts_with("warn matplotlib 3.10.0 is left out: python3")), "{:?}", told.0);
    assert!(demo.join("faces/collins_1.png").is_file() && !demo.join("faces/hopper_1.jpg").exists());
    assert!(std::fs::read_to_string(demo.join("faces/LICENCES.txt")).unwrap().contains("NASA"));
    let mut told = Told::default();
    provision.ensure_demo_faces(&mut told).unwrap();
    assert_eq!(told.0, Vec::<String>::new());
    provision.forget_failures();
    provision.ensure_demo_faces(&mut told).unwrap();
    assert!(!told.0.is_empty());
}

#[test]
fn without_clients_an_empty_directory_says_what_to_install() {
    let dir = tempfile::tempdir().unwrap();
    let provision = Provision::new(dir.path().join("data")).with_search_path("/nowhere");
    let said = provision.ensure_onnxruntime(&mut Silent).unwrap_err().to_string();
    assert!(said.contains("python3 is missing") && said.contains("onnxruntime 1.32.0"), "{said}");
    let said = provision.ensure_models(&mut Silent).unwrap_err().to_string();
    assert!(said.contains("npm is missing") && said.contains("faceplugin-face-recognition-js 0.0.1"), "{said}");
}

#[test]
fn a_data_directory_that_cannot_be_made_is_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), b"").unwrap();
    let said = Provision::new(dir.path().join("file/data")).ensure_models(&mut Silent).unwrap_err().to_string();
    assert!(said.contains("cannot be written") && said.contains("--data DIR"), "{said}");
}

#[test]
fn a_data_directory_of_another_account_is_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("cache")).unwrap();
    std::fs::set_permissions(dir.path().join("cache"), std::fs::Permissions::from_mode(0o500)).unwrap();
    if rustix::process::geteuid().is_root() {
        // Root may write anywhere but on a read-only file system.
        let said = Provision::new("/proc/gatehouse").ensure_models(&mut Silent).unwrap_err().to_string();
        assert!(said.contains("/proc/gatehouse"), "{said}");
    } else {
        let said = Provision::new(dir.path()).ensure_models(&mut Silent).unwrap_err().to_string();
        assert!(said.contains("cannot be written"), "{said}");
    }
}

#[test]
fn a_named_postgresql_that_is_none_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let provision = Provision::new(dir.path()).with_postgres(PgChoice::Dir(dir.path().to_path_buf()));
    let said = provision.ensure_postgres(&mut Silent).unwrap_err().to_string();
    assert!(said.contains("GATEHOUSE_PG=") && said.contains("initdb is not there"), "{said}");
}

#[test]
fn an_address_in_use_names_the_port_and_the_other_way() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = std::net::TcpListener::bind(&address).unwrap_err();
    let said = explain_bind_error(&address, &error);
    assert!(said.contains(&address) && said.contains("in use") && said.contains("--listen"), "{said}");
    let low = explain_bind_error("0.0.0.0:80", &std::io::ErrorKind::PermissionDenied.into());
    assert!(low.contains("CAP_NET_BIND_SERVICE"), "{low}");
    let foreign = std::net::TcpListener::bind("192.0.2.1:0").unwrap_err();
    assert!(explain_bind_error("192.0.2.1:0", &foreign).contains("not an address of this machine"));
}
