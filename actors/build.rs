//! A new migration means a new program: cargo does not see it by itself.

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
}
