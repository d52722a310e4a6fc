//! The whole chore on small made-up crates.

use super::*;

/// A repository with one crate of these files.
fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "crates/small/Cargo.toml",
        "[package]\nname = \"waxwing-small\"\n",
    );
    let defaults = [
        ("lib.rs", "mod letters; mod pictures; mod store;"),
        ("letters/mod.rs", "pub mod envelope; pub fn write() {}"),
        ("letters/envelope.rs", "pub fn seal() {} pub struct Stamp;"),
        ("pictures.rs", "pub fn paint() {} pub struct Paint;"),
        ("store.rs", "pub fn keep() {} pub struct Store;"),
    ];
    for (path, text) in defaults.iter().chain(files) {
        write(&format!("crates/small/src/{path}"), text);
    }
    folder
}

/// The imports of a crate with these files, but for those of `lib.rs`.
fn imports_of(files: &[(&str, &str)]) -> Vec<String> {
    let sources = sources(repository(files).path()).unwrap();
    let source = &sources[0];
    let imports = imports(source).into_keys();
    let pairs = imports.map(|(from, to)| (source.path(from), source.path(to)));
    pairs
        .filter(|(from, _)| *from != "lib.rs")
        .map(|(from, to)| format!("small: {from} -> {to}"))
        .collect()
}

/// The only import in a crate with this `store.rs`.
fn import_of_store(store: &str) -> Option<String> {
    let found = imports_of(&[("store.rs", store)]);
    assert!(found.len() < 2, "{found:?}");
    found.into_iter().next()
}

#[test]
fn an_import_is_found_however_it_is_written() {
    for store in [
        "fn keep() { crate::pictures::paint() }",
        "fn keep() { super::pictures::paint() }",
        "use crate::pictures; fn keep() { pictures::paint() }",
        "use crate::pictures::{self as art}; fn keep() { art::paint() }",
        "fn keep() { use crate::pictures::*; }",
        "fn keep() -> Option<crate::pictures::Paint> { None }",
        "fn keep() { assert!(crate::pictures::paint() == ()) }",
        "macro_rules! keep { () => { $crate::pictures::paint() } }",
        "mod inside { use super::super::pictures::Paint; }",
        "#[cfg(not(test))] use crate::pictures::Paint;",
    ] {
        let found = import_of_store(store);
        let found = found.unwrap_or_else(|| panic!("not found: {store}"));
        assert_eq!(found, "small: store.rs -> pictures.rs", "{store}");
    }
}

#[test]
fn a_name_counts_as_of_the_file_that_defines_it() {
    let files = [
        (
            "letters/mod.rs",
            "pub mod envelope; pub use envelope::Stamp;",
        ),
        ("store.rs", "use crate::letters::Stamp;"),
    ];
    assert_eq!(
        imports_of(&files),
        ["small: store.rs -> letters/envelope.rs"]
    );
}

#[test]
fn code_for_tests_is_left_out() {
    for store in [
        "#[cfg(test)] use crate::pictures::Paint;",
        "#[cfg(test)] mod tests { use crate::pictures::Paint; }",
        "#[cfg(test)] mod tests;",
        "fn keep() { #[cfg(test)] crate::pictures::paint(); }",
        "struct Store; impl Store { #[cfg(test)] fn keep() { crate::pictures::paint() } }",
        "/// See [`crate::pictures::paint`].\nfn keep() {}",
        "use std::pictures::Paint; fn keep() { let pictures = 1; }",
    ] {
        assert_eq!(import_of_store(store), None, "{store}");
    }
}
