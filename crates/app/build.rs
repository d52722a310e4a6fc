//! Builds again when the page was built again.

use std::path::Path;

fn main() {
    // Cargo would run this each time for a path that is missing.
    let built = Path::new("../../page/dist");
    let watched = if built.exists() {
        built
    } else {
        Path::new("../../page")
    };
    println!("cargo:rerun-if-changed={}", watched.display());
}
