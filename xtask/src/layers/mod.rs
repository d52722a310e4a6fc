//! `cargo xtask layers`: which files of each crate import which, and in which rings.
//!
//! **Always**: it reads the code and not what was built from it, so it needs no build.

mod conditions;
mod names;
mod reader;
mod rings;
mod source;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context, Result, bail};

use self::names::imports;
use self::rings::rings;
use self::source::Source;
use crate::workspace::root;

/// Prints the imports and the rings of all crates.
pub fn run() -> Result<()> {
    let mut text = String::new();
    for source in sources(&root())? {
        describe(&source, &mut text);
    }
    match std::io::stdout().write_all(text.as_bytes()) {
        // Nobody has to read to the end.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn describe(source: &Source, text: &mut String) {
    let (name, imports) = (&source.name, imports(source));
    for ((from, to), import) in &imports {
        let (from, to) = (source.path(*from), source.path(*to));
        let (line, what, uses) = (import.line, &import.what, import.uses);
        let _ = writeln!(
            text,
            "{name}: {from}:{line} -> {to}: {what} ({uses} uses in all)"
        );
    }
    for ring in rings(imports.keys().copied()) {
        let files: Vec<&str> = ring.iter().map(|file| source.path(*file)).collect();
        let (count, files) = (files.len(), files.join(", "));
        let _ = writeln!(text, "{name}: ring of {count} files: {files}");
    }
}

/// Reads all crates, several at a time.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let folder = root.join("crates");
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(&folder).context("cannot read the folder crates")? {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    std::thread::scope(|scope| {
        let readers: Vec<_> = folders
            .iter()
            .map(|folder| scope.spawn(|| Source::read(folder)))
            .collect();
        let read = readers.into_iter().map(|reader| match reader.join() {
            Ok(source) => source,
            Err(_) => bail!("a thread that read a crate panicked"),
        });
        read.collect()
    })
}
