//! Every attack that a relay which was taken over could try, and some of other people's.
//!
//! Each test is one attack over the real protocol, by the relay that people run with a
//! test's say in everything that passes, and asserts on what the people see.
//! `docs/threat-model.md` lists them all with what the client does and shows; a test holds
//! the list to the code.
//!
//! **Elsewhere**: the hostile relay is `waxwing_system_tests::HostileRelay`; faults that
//! nobody intends are in `faults.rs`.

mod archive;
mod delivery;
mod devices;
mod groups;
mod keys;
mod log;
mod look_ups;
mod members;
mod people;
mod refusals;
mod revoked;
mod scene;
mod silence;
mod strangers;
mod tokens;

use std::{collections::BTreeSet, fs};

#[test]
fn the_threat_model_lists_every_attack_and_no_other() {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut tried = BTreeSet::new();
    for entry in fs::read_dir(format!("{root}/tests/attacks")).unwrap() {
        let path = entry.unwrap().path();
        // This file holds no attack.
        if path.file_name().is_some_and(|name| name == "mod.rs") {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        let tests = text.split("#[test]\nfn ").skip(1);
        tried.extend(tests.map(|rest| rest.split('(').next().unwrap().to_owned()));
    }
    let document = fs::read_to_string(format!("{root}/../docs/threat-model.md")).unwrap();
    let (_, table) = document.split_once("## Attacks that are tried").unwrap();
    let listed: BTreeSet<String> = table
        .lines()
        .take_while(|line| !line.ends_with("are tests there:"))
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert!(tried.len() >= 40);
    assert_eq!(listed, tried);
}

#[test]
fn what_the_threat_model_says_is_tried_elsewhere_is() {
    let root = format!("{}/..", env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(format!("{root}/docs/threat-model.md")).unwrap();
    let (_, table) = document.split_once("are tests there:").unwrap();
    let rows = table
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("| `")?.split_once("` | `")?;
            Some((name, rest.split_once('`')?.0))
        });
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() >= 7);
    for (name, file) in rows {
        let text = fs::read_to_string(format!("{root}/{file}")).unwrap();
        // Tests in modules are indented.
        let text: Vec<&str> = text.lines().map(str::trim_start).collect();
        let text = text.join("\n");
        let test = format!("test]\n{{async}}fn {name}(");
        let is_there = ["", "async "]
            .iter()
            .any(|word| text.contains(&test.replace("{async}", word)));
        assert!(is_there, "{name} is not in {file}");
    }
}
