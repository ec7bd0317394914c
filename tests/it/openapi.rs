//! The committed description of the REST interface is the one the handlers give.

#[test]
fn openapi_json_is_what_the_handlers_say() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../console/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == gatehouse_console::openapi::text(),
        "stale: run `cargo run -- openapi > console/openapi.json`"
    );
}
