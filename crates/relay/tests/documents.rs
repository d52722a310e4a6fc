//! That the documents tell all of what the relay stores.

#![cfg(test)]

use std::collections::BTreeSet;

use waxwing_relay::store::KeySpace;

/// Names in the first column of the threat model's table of key spaces.
fn documented() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/threat-model.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, table) = text.split_once("### Key spaces").unwrap();
    table
        .lines()
        .take_while(|line| !line.starts_with('#'))
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[test]
fn the_threat_model_names_every_key_space_and_no_other() {
    let stored = KeySpace::ALL.map(|space| space.name().to_owned());
    assert_eq!(documented(), BTreeSet::from(stored));
}

#[test]
fn every_key_space_is_described_in_four_columns() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/threat-model.md");
    let text = std::fs::read_to_string(path).unwrap();
    for name in KeySpace::ALL.map(KeySpace::name) {
        let start = format!("| `{name}` |");
        let row = text.lines().find(|line| line.starts_with(&start)).unwrap();
        let columns: Vec<&str> = row.trim_matches('|').split('|').collect();
        assert_eq!(columns.len(), 4, "{name}");
        assert!(
            columns.iter().all(|column| column.trim().len() > 1),
            "{name}"
        );
    }
}
