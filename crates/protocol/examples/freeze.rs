//! Writes the files of `vectors/protocol` that are not there yet, and no other: a vector
//! that exists is never changed.
//!
//! `cargo run -p waxwing-protocol --example freeze`

#[path = "../tests/samples/mod.rs"]
mod samples;

use std::fs;

fn main() -> std::io::Result<()> {
    for (name, bytes) in samples::frozen::files() {
        let path = samples::frozen::folder().join(&name);
        if path.exists() {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, bytes)?;
        println!("{name}");
    }
    Ok(())
}
