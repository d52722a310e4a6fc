//! Everyday messages get no alarm, and tricks get the right one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly where it stands"
)]

mod lists;

use std::collections::BTreeSet;

/// Of so many everyday messages one may get more than a note.
const ONE_IN: usize = 200;

#[test]
fn everyday_messages_get_no_alarm() {
    let (list, known) = (lists::list("everyday.txt"), lists::known());
    let languages: BTreeSet<&str> = list.iter().map(|line| line.label.as_str()).collect();
    assert!(list.len() >= 400 && languages.len() >= 20);
    let alarms: Vec<String> = list
        .iter()
        .filter_map(|line| {
            let alarms = line.alarms(&known);
            (!alarms.is_empty()).then(|| format!("{alarms:?}: {}", line.shown))
        })
        .collect();
    assert!(
        alarms.len() * ONE_IN <= list.len(),
        "{} of {}:\n{}",
        alarms.len(),
        list.len(),
        alarms.join("\n")
    );
}

#[test]
fn each_trick_is_found() {
    let (list, known) = (lists::list("tricks.txt"), lists::known());
    assert!(list.len() >= 150);
    let missed: Vec<String> = list
        .iter()
        .filter_map(|line| {
            let alarms = line.alarms(&known);
            (!alarms.contains(&line.label))
                .then(|| format!("{} not in {alarms:?}: {}", line.label, line.shown))
        })
        .collect();
    assert!(
        missed.is_empty(),
        "{}:\n{}",
        missed.len(),
        missed.join("\n")
    );
}
