//! Has the embedded migrations built again when one is added or removed; edits alone are seen without this.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
