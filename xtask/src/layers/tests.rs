//! The whole chore on small made-up crates.

use std::path::Path;

use super::*;

const TARGET: &str = r#"
[[small]]
layer = "top"
rooms.top = ["lib.rs"]

[[small]]
layer = "features"
rooms.letters = ["letters/"]
rooms.pictures = ["pictures.rs"]

[[small]]
layer = "leaves"
rooms.store = ["store.rs"]
"#;

/// A repository with one crate of these files.
fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("layers.toml", TARGET);
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

fn findings(root: &Path) -> Vec<Finding> {
    let sources = sources(root).unwrap();
    let targets = Target::read(root).unwrap();
    let crates = held(&sources, &targets).unwrap();
    crates.into_iter().flat_map(|held| held.findings).collect()
}

/// The debts that a crate with these files has.
fn debts(files: &[(&str, &str)]) -> Vec<String> {
    let found = findings(repository(files).path());
    found
        .into_iter()
        .filter_map(|finding| finding.debt)
        .collect()
}

/// The only import that points up in a crate with this `store.rs`, and its line.
fn import_of_store(store: &str) -> Option<(String, String)> {
    let found = findings(repository(&[("store.rs", store)]).path());
    assert!(found.len() < 2, "{found:?}");
    let found = found.into_iter().next()?;
    Some((found.place, found.debt?))
}

#[test]
fn imports_that_point_down_are_fine() {
    assert!(
        debts(&[
            (
                "lib.rs",
                "mod letters; mod pictures; mod store; use letters::write as _;"
            ),
            (
                "pictures.rs",
                "use crate::store; pub fn paint() { store::keep() }"
            ),
        ])
        .is_empty()
    );
}

#[test]
fn an_upward_import_is_found_with_its_line() {
    let store = "//! Keeps.\n\nuse crate::{\n    pictures::Paint,\n};\npub fn keep(_: Paint) {}";
    let (place, debt) = import_of_store(store).unwrap();
    assert_eq!(place, "crates/small/src/store.rs:4");
    assert_eq!(debt, "small: store.rs -> pictures.rs");
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
        let found = import_of_store(store).map(|(_, debt)| debt);
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
    assert_eq!(debts(&files), ["small: store.rs -> letters/envelope.rs"]);
}

#[test]
fn a_name_that_is_handed_on_from_another_crate_is_no_import() {
    let root = "mod letters; mod pictures; mod store; pub use large_ink as ink;";
    let store = "use crate::{ink, ink::Pen}; fn keep(_: crate::ink::Pot) {}";
    assert!(debts(&[("lib.rs", root), ("store.rs", store)]).is_empty());
}

#[test]
fn a_method_in_another_file_than_its_type_is_an_import() {
    let files = [
        (
            "store.rs",
            "pub struct Store; impl Store { fn keep(&self) { self.paint() } }",
        ),
        (
            "pictures.rs",
            "use crate::store::Store; impl Store { pub fn paint(&self) {} }",
        ),
    ];
    assert_eq!(debts(&files), ["small: store.rs -> pictures.rs"]);
    let files = [
        (
            "pictures.rs",
            "use crate::store::Store; impl Store { pub fn paint(&self) {} }",
        ),
        (
            "letters/mod.rs",
            "fn write(store: &mut crate::store::Store) { store.paint() }",
        ),
    ];
    assert_eq!(debts(&files), ["small: letters/mod.rs -> pictures.rs"]);
}

#[test]
fn a_field_that_is_reached_is_an_import_of_its_type() {
    let lib = "mod letters; mod pictures; mod store; pub struct Turn<'a> { pub live: &'a Live }
        pub struct Live { pub paint: Option<pictures::Paint>, pub store: store::Store }";
    let reaching = |code: &str| {
        let letters = format!("fn write(turn: &mut crate::Turn<'_>) {{ {code} }}");
        let mut debts = debts(&[("lib.rs", lib), ("letters/mod.rs", &letters)]);
        debts.retain(|debt| !debt.ends_with("lib.rs"));
        debts
    };
    let debt = ["small: letters/mod.rs -> pictures.rs"];
    assert_eq!(reaching("turn.live.paint = None;"), debt);
    assert_eq!(reaching("if let Some(_) = &turn.live.paint {}"), debt);
    assert_eq!(reaching("turn.live.paint.take();"), debt);
    assert!(reaching("turn.live.store.keep();").is_empty());
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

#[test]
fn rooms_of_one_layer_do_not_know_each_other() {
    let files = [("pictures.rs", "use crate::letters::write as _;")];
    assert_eq!(debts(&files), ["small: pictures.rs -> letters/mod.rs"]);
}

#[test]
fn a_large_ring_inside_a_room_is_found() {
    let ring = |files: usize| {
        let names: Vec<String> = (0..files).map(|file| format!("f{file}")).collect();
        let modules = format!("pub mod {};", names.join("; pub mod "));
        let mut texts = vec![("letters/mod.rs".to_owned(), modules)];
        for (at, name) in names.iter().enumerate() {
            let next = (at + 1) % files;
            let text = format!("pub struct A; use super::f{next}::A as B;");
            texts.push((format!("letters/{name}.rs"), text));
        }
        let texts: Vec<_> = texts
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        debts(&texts)
    };
    assert!(ring(9).is_empty());
    assert_eq!(ring(10), ["small: ring of 10 files in letters"]);
}

#[test]
fn a_ring_across_rooms_is_found_by_its_upward_import() {
    let repository = repository(&[
        ("letters/mod.rs", "pub fn write() { crate::store::keep() }"),
        ("store.rs", "pub fn keep() { crate::letters::write() }"),
    ]);
    let sources = sources(repository.path()).unwrap();
    let targets = Target::read(repository.path()).unwrap();
    let crates = held(&sources, &targets).unwrap();
    let [small] = crates.as_slice() else { panic!() };
    let [ring] = small.rings.as_slice() else {
        panic!()
    };
    assert!(small.is_across(ring));
    let debts: Vec<_> = small
        .findings
        .iter()
        .filter_map(|f| f.debt.as_deref())
        .collect();
    assert_eq!(debts, ["small: store.rs -> letters/mod.rs"]);
}

#[test]
fn foreign_sql_is_found_and_the_owners_is_not() {
    let files = [
        (
            "store.rs",
            r#"const S: &str = "CREATE TABLE paper (x)"; const Q: &str = "SELECT x FROM paper";"#,
        ),
        (
            "pictures.rs",
            "fn paint() {\n    execute!(\"DELETE\n FROM paper\");\n}",
        ),
        (
            "letters/mod.rs",
            r#"#[cfg(test)] const Q: &str = "DELETE FROM paper"; // FROM paper"#,
        ),
    ];
    let found = findings(repository(&files).path());
    let [found] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        found.debt.as_deref(),
        Some("small: pictures.rs -> table paper")
    );
    assert_eq!(found.place, "crates/small/src/pictures.rs:3");
}

#[test]
fn a_foreign_key_or_a_trigger_may_point_down_but_not_up() {
    let store = r#"const S: &str = "CREATE TABLE paper (x)";"#;
    let points = r#"const S: &str = "CREATE TABLE page (x REFERENCES paper (x));
        CREATE TRIGGER watch AFTER INSERT ON paper BEGIN DELETE FROM page; END";"#;
    assert!(debts(&[("store.rs", store), ("pictures.rs", points)]).is_empty());
    assert_eq!(
        debts(&[("store.rs", points), ("pictures.rs", store)]),
        ["small: store.rs -> table paper"]
    );
}

#[test]
fn a_table_with_two_owners_is_found() {
    let files = [
        ("store.rs", r#"const S: &str = "CREATE TABLE paper (x)";"#),
        (
            "pictures.rs",
            r#"const S: &str = "CREATE TABLE paper (x)";"#,
        ),
    ];
    assert_eq!(debts(&files)[0], "small: two owners of table paper");
}

#[test]
fn a_file_in_no_room_and_a_path_without_a_file_are_found() {
    let repository = repository(&[
        ("lib.rs", "mod letters; mod store; mod ink;"),
        ("ink.rs", ""),
    ]);
    let found = findings(repository.path());
    let places: Vec<_> = found
        .iter()
        .map(|f| (f.place.as_str(), f.what.as_str()))
        .collect();
    assert_eq!(
        places,
        [
            ("crates/small/src/ink.rs:1", "is in no room"),
            ("layers.toml", "names `pictures.rs` of crate small"),
        ]
    );
}

#[test]
fn a_program_uses_its_library_by_the_packages_name() {
    let files = [
        (
            "lib.rs",
            "pub mod letters; pub mod pictures; pub mod store;",
        ),
        (
            "store.rs",
            "pub fn keep() { waxwing_small::pictures::paint() }",
        ),
        (
            "bin/printer.rs",
            "fn main() { waxwing_small::store::keep() }",
        ),
    ];
    let repository = repository(&files);
    let path = repository.path().join("layers.toml");
    std::fs::write(
        &path,
        TARGET.replace("[\"lib.rs\"]", "[\"lib.rs\", \"bin/\"]"),
    )
    .unwrap();
    let found = findings(repository.path());
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn new_debts_and_paid_ones_fail_until_the_list_is_right() {
    let repository = repository(&[("store.rs", "use crate::pictures::Paint;")]);
    let root = repository.path();
    let agrees = |write, add| {
        let options = Options {
            write,
            add,
            ..Options::default()
        };
        run_in(root, &options, &mut String::new()).unwrap()
    };
    assert!(!agrees(false, false), "a new debt");
    assert!(!agrees(true, false), "writing adds nothing by itself");
    assert!(agrees(true, true));
    assert!(agrees(false, false), "a known debt");

    std::fs::write(root.join("crates/small/src/store.rs"), "").unwrap();
    assert!(!agrees(false, false), "a paid debt that is still listed");
    assert!(agrees(true, false));
    assert!(agrees(false, false));
    let list = std::fs::read_to_string(root.join(debts::FILE)).unwrap();
    assert!(!list.contains("->"), "{list}");
}

#[test]
fn each_line_of_json_is_an_object_with_a_type() {
    let repository = repository(&[("store.rs", "use crate::pictures::Paint;")]);
    let options = Options {
        json: true,
        ..Options::default()
    };
    let mut text = String::new();
    assert!(!run_in(repository.path(), &options, &mut text).unwrap());
    let lines = text.lines().map(serde_json::from_str::<serde_json::Value>);
    let types: Vec<String> = lines
        .map(|line| line.unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(types, ["import", "crate", "finding"]);
}

#[test]
fn the_sentences_say_where_what_why_and_what_to_do() {
    let repository = repository(&[("store.rs", "use crate::pictures::Paint;")]);
    let found = findings(repository.path());
    let found: Vec<&Finding> = found.iter().collect();
    let list = Debts::parse("# a comment\n\nsmall: gone.rs -> pictures.rs\n");
    let text = report::sentences(&list.difference(&found));
    for part in [
        "crates/small/src/store.rs:1: uses `crate::pictures::Paint` from pictures.rs",
        "store (leaves) stands below pictures (features), and imports point down only.",
        "or call the upper room through a hook.",
        "layers-debts.txt: `small: gone.rs -> pictures.rs`",
        "Remove this line",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn the_drawing_has_each_layer_and_dots_what_breaks_the_target() {
    let repository = repository(&[("store.rs", "use crate::pictures::Paint;")]);
    let sources = sources(repository.path()).unwrap();
    let targets = Target::read(repository.path()).unwrap();
    let crates = held(&sources, &targets).unwrap();
    let drawing = report::drawing(&crates[0]);
    assert!(
        drawing.contains("subgraph layer1[\"features\"]"),
        "{drawing}"
    );
    assert!(drawing.contains("room3 -.->|1| room2"), "{drawing}");
}
