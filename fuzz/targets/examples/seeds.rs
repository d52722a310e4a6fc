//! Writes the inputs that each target's corpus starts from, where they are not there yet.
//!
//! `cargo run -p waxwing-fuzz-targets --example seeds`

use std::fs;

use waxwing_fuzz_targets::{TARGETS, replay::corpus_folder};

fn main() -> std::io::Result<()> {
    for target in TARGETS {
        let folder = corpus_folder(target);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in (target.seeds)() {
            let path = folder.join(&name);
            if !path.exists() {
                fs::write(&path, bytes)?;
                println!("{}/{name}", target.name);
            }
        }
    }
    Ok(())
}
