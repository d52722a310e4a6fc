//! Holds `docs/rpc.md` to the code: every method, notice and problem is there, and its
//! examples are what the types read and write.

#![cfg(test)]
#![allow(clippy::string_slice)]

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use waxwing_client::{
    doctor::DoctorReport,
    rpc::{METHODS, RpcError},
};
use waxwing_engine::api::{
    Account, Auditor, BackupPart, CheckedReport, Contact, Conversation, Device, Entry, EventKind,
    Evidence, Group, GroupCreated, Imported, Invited, LinkPreview, Message, MessageInfo, Notice,
    OpenAttachment, Problem, Profile, Report, Request, SafetyNumber, SealedFile, Sent, SmsQuote,
    Status,
};

const DOCS: &str = include_str!("../../../docs/rpc.md");
const EVENTS: &str = include_str!("../../api/src/message.rs");

/// The JSON examples below each `###` heading, with the word in the line above.
fn examples() -> BTreeMap<String, Vec<(String, Value)>> {
    let mut sections: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
    let (mut heading, mut label, mut json) = (String::new(), String::new(), None::<String>);
    for line in DOCS.lines() {
        match (&mut json, line) {
            (Some(text), "```") => {
                let value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{heading}: {e}"));
                if let Some(examples) = sections.get_mut(&heading) {
                    examples.push((label.clone(), value));
                }
                json = None;
            }
            (Some(text), line) => text.push_str(line),
            (None, "```json") => json = Some(String::new()),
            (None, line) if line.starts_with('#') => {
                heading = line.trim_start_matches(['#', ' ']).replace('`', "");
                if line.starts_with("###") {
                    sections.entry(heading.clone()).or_default();
                }
            }
            (None, line) => line.trim_end_matches(':').clone_into(&mut label),
        }
    }
    sections
}

/// Whether the example reads as a `T` and is written the same again.
fn is<T: DeserializeOwned + Serialize>(example: &Value) {
    let read: T =
        serde_json::from_value(example.clone()).unwrap_or_else(|e| panic!("{e}: {example}"));
    assert_eq!(&serde_json::to_value(read).unwrap(), example);
}

fn is_each<T: DeserializeOwned + Serialize>(example: &Value, field: &str) {
    example[field].as_array().unwrap().iter().for_each(is::<T>);
}

#[test]
fn every_method_is_documented_with_examples_that_the_types_accept() {
    let examples = examples();
    let documented: BTreeSet<_> = examples
        .keys()
        .filter(|name| !name.starts_with("Notice "))
        .map(String::as_str)
        .collect();
    assert_eq!(documented, METHODS.iter().copied().collect::<BTreeSet<_>>());
    for method in METHODS {
        for (label, example) in &examples[*method] {
            match (label.as_str(), *method) {
                // Of this process, not of the engine.
                ("Params", "preview_link" | "seal_file" | "save_attachment") => {}
                ("Result", "preview_link") => is::<LinkPreview>(example),
                ("Result", "seal_file") => is::<SealedFile>(example),
                ("Result", "save_attachment") => assert!(example["path"].is_string()),
                ("Params", _) => is::<Request>(&json!({ "method": method, "params": example })),
                ("Result", "send" | "send_sms" | "react" | "edit" | "take_back") => {
                    is::<Sent>(example);
                }
                ("Result", "quote_sms") => is::<SmsQuote>(example),
                ("Result", "attachment") => is::<OpenAttachment>(example),
                ("Result", "message_info") => is::<MessageInfo>(example),
                ("Result", "find_message") => is::<Message>(example),
                ("Result", "create_group" | "join") => is::<GroupCreated>(example),
                ("Result", "invite") => is::<Invited>(example),
                ("Result", "profile") => is::<Profile>(example),
                ("Result", "report") => is::<Report>(example),
                ("Result", "check_report") => is::<CheckedReport>(example),
                ("Result", "import_entries") => is::<Imported>(example),
                ("Result", "group") => is::<Group>(example),
                ("Result", "history") => is_each::<Entry>(example, "entries"),
                ("Result", "search" | "starred" | "thread") => is_each::<Message>(example, "found"),
                ("Result", "contacts") => is_each::<Contact>(example, "contacts"),
                ("Result", "conversations") => is_each::<Conversation>(example, "conversations"),
                ("Result", "account") => is::<Account>(example),
                ("Result", "verify" | "safety_number") => is::<SafetyNumber>(example),
                ("Result", "auditors") => is_each::<Auditor>(example, "auditors"),
                ("Result", "evidence") => is_each::<Evidence>(example, "evidence"),
                ("Result", "devices") => is_each::<Device>(example, "devices"),
                ("Result", "read_backup") => is::<BackupPart>(example),
                ("Result", "status") => is::<Status>(example),
                ("Result", "doctor") => is::<DoctorReport>(example),
                ("Result", "version") => {
                    assert_eq!(example, &json!({ "version": env!("CARGO_PKG_VERSION") }));
                }
                ("Result", _) => assert_eq!(example, &json!({}), "{method}"),
                (other, _) => panic!("{method}: what is {other:?}?"),
            }
        }
    }
}

#[test]
fn a_method_has_params_in_the_docs_exactly_if_it_needs_some() {
    let examples = examples();
    for method in METHODS {
        let takes_none = serde_json::from_value::<Request>(json!({ "method": method })).is_ok();
        let engine = !matches!(*method, "subscribe" | "unsubscribe" | "doctor" | "version");
        let has = examples[*method].iter().any(|(label, _)| label == "Params");
        assert_eq!(has, engine && !takes_none, "{method}");
    }
}

#[test]
fn every_notice_is_documented_with_an_example() {
    let examples = examples();
    let mut seen = BTreeSet::new();
    for (heading, examples) in &examples {
        let Some(kind) = heading.strip_prefix("Notice ") else {
            continue;
        };
        assert!(!examples.is_empty(), "{heading}");
        for (_, example) in examples {
            assert_eq!(example["type"], kind);
            if kind != "missed" {
                is::<Notice>(example);
            }
        }
        seen.insert(kind);
    }
    let mut all = BTreeSet::from(["missed"]);
    // Adding a notice makes this match incomplete.
    let name = |notice: &Notice| match notice {
        Notice::Message(_) => "message",
        Notice::MessageState(_) => "message_state",
        Notice::MessageChanged(_) => "message_changed",
        Notice::MessageDeleted(_) => "message_deleted",
        Notice::Synced(_) => "synced",
        Notice::Typing(_) => "typing",
        Notice::Event(_) => "event",
        Notice::Gap(_) => "gap",
        Notice::Registration(_) => "registration",
        Notice::Connection(_) => "connection",
        Notice::Pairing(_) => "pairing",
        Notice::Devices(_) => "devices",
        Notice::Transfer(_) => "transfer",
        Notice::Backup(_) => "backup",
        Notice::Recovery(_) => "recovery",
        Notice::Lock(_) => "lock",
        Notice::Warning(_) => "warning",
    };
    for (_, example) in examples.values().flatten() {
        if let Ok(notice) = serde_json::from_value::<Notice>(example.clone()) {
            all.insert(name(&notice));
        }
    }
    assert_eq!(seen, all);
    assert_eq!(seen.len(), 18);
}

#[test]
fn every_problem_is_in_the_table_and_nothing_else_is() {
    let problems = Problem::examples();
    let mut codes: Vec<_> = problems.iter().map(Problem::code).collect();
    codes.sort_unstable();
    assert!(codes.len() > 30);
    let table = DOCS.split("| `error.data.code` |").nth(1).unwrap();
    let mut documented: Vec<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    documented.sort_unstable();
    assert_eq!(documented, codes);
}

#[test]
fn every_event_of_a_conversation_is_in_the_table() {
    let body = EVENTS.split("pub enum EventKind {").nth(1).unwrap();
    let mut kinds: Vec<String> = body
        .lines()
        .take_while(|line| *line != "}")
        .filter_map(|line| line.trim().strip_suffix(','))
        .filter(|line| !line.starts_with("//"))
        .map(|name| {
            let mut words = String::new();
            for (index, c) in name.chars().enumerate() {
                if c.is_uppercase() && index > 0 {
                    words.push('_');
                }
                words.extend(c.to_lowercase());
            }
            words
        })
        .collect();
    assert!(kinds.len() > 20);
    for kind in &kinds {
        let read = serde_json::from_value::<EventKind>(json!(kind));
        assert!(read.is_ok(), "{kind} is not how the kind is written");
    }
    let table = DOCS.split("| `event` | what happened |").nth(1).unwrap();
    let mut documented: Vec<String> = table
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| line.split('|').nth(1))
        .filter(|cell| cell.contains('`'))
        .flat_map(|cell| cell.split(','))
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect();
    kinds.sort_unstable();
    documented.sort_unstable();
    assert_eq!(documented, kinds);
}

#[test]
fn the_error_example_is_one() {
    let example = DOCS
        .split("## Errors")
        .nth(1)
        .unwrap()
        .split("```json\n")
        .nth(1)
        .unwrap();
    is::<RpcError>(&serde_json::from_str(example.split("```").next().unwrap()).unwrap());
}
