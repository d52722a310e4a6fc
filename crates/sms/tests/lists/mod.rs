//! The lists in `vectors/sms`: everyday messages in many languages, and tricks with the finding
//! that each must get.
//!
//! **Elsewhere**: `../everyday_and_tricks.rs` holds what they promise, and the example `bench_sms`
//! prints them as a table.

use std::{fs, path::Path};

use waxwing_sms::{
    Address, DataCoding, Deliver, ProtocolId, Timestamp, Tpdu, TypeOfNumber, UserData,
    concatenation::Assembly,
    findings::{self, Contact, Finding, Known, Message, Severity, ShortCode},
    pdu::{self, Reading},
};

/// A message of a list.
pub struct Line {
    /// Its language, or the kind of the finding that it must get.
    pub label: String,
    /// As it stands in the list, without the label.
    pub shown: String,
    deliver: Deliver,
    disagreements: Vec<waxwing_sms::concatenation::Disagreement>,
    missing: Vec<u8>,
}

impl Line {
    fn read(line: &str) -> Self {
        let mut fields = line.splitn(3, '\t');
        let mut field = || fields.next().unwrap_or_else(|| panic!("too short: {line}"));
        let (label, sender, text) = (field(), field(), field());
        let shown = format!("{sender}  {text}");
        let (deliver, disagreements, missing) = if sender == "pdu" {
            joined(text)
        } else {
            (message(sender, &unescaped(text)), Vec::new(), Vec::new())
        };
        Self {
            label: label.to_owned(),
            shown,
            deliver,
            disagreements,
            missing,
        }
    }

    /// What is found in it.
    pub fn findings(&self, known: &Known) -> Vec<Finding> {
        let message = Message {
            deliver: &self.deliver,
            disagreements: &self.disagreements,
            missing: &self.missing,
        };
        findings::of(&message, known)
    }

    /// The kinds of what is found in it and is more than a note.
    pub fn alarms(&self, known: &Known) -> Vec<String> {
        let found = self.findings(known).into_iter();
        found
            .filter(|finding| finding.severity > Severity::Note)
            .map(|finding| {
                let json = serde_json::to_value(&finding).unwrap();
                json["kind"].as_str().unwrap().to_owned()
            })
            .collect()
    }
}

/// A list by its name.
pub fn list(name: &str) -> Vec<Line> {
    lines(name).iter().map(|line| Line::read(line)).collect()
}

/// Whom the reader of the lists knows.
pub fn known() -> Known {
    let mut known = Known::default();
    for line in lines("known.txt") {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut field = || fields.next().unwrap_or_default();
        let (name, second, third) = (field(), field(), field());
        if name == "short" {
            known.short_codes.push(ShortCode {
                digits: second,
                owner: third,
            });
        } else {
            let all = |one: String| {
                Some(one)
                    .filter(|one| !one.is_empty())
                    .into_iter()
                    .collect()
            };
            known.contacts.push(Contact {
                name,
                numbers: all(second),
                domains: all(third),
            });
        }
    }
    known
}

fn lines(name: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/sms");
    let text = fs::read_to_string(folder.join(name)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

fn message(sender: &str, text: &str) -> Deliver {
    let digits = |sender: &str| {
        sender
            .chars()
            .filter(char::is_ascii_digit)
            .collect::<String>()
    };
    let is_digits = sender.bytes().all(|one| one.is_ascii_digit());
    let originator = if let Some(name) = sender.strip_prefix("name:") {
        Address::alphanumeric(name)
    } else if sender.starts_with('+') {
        Address::international(&digits(sender))
    } else if is_digits {
        Address {
            kind: TypeOfNumber::Unknown,
            plan: 1,
            value: sender.to_owned(),
        }
    } else {
        Address::alphanumeric(sender)
    };
    Deliver {
        more_messages: false,
        loop_prevention: false,
        reply_path: false,
        report_requested: false,
        originator,
        protocol: ProtocolId(0),
        coding: DataCoding::UTF16,
        timestamp: Timestamp::at(1_700_000_000),
        user_data: UserData::text(text),
    }
}

fn joined(
    units: &str,
) -> (
    Deliver,
    Vec<waxwing_sms::concatenation::Disagreement>,
    Vec<u8>,
) {
    let mut parts: Vec<Deliver> = Vec::new();
    for unit in units.split('|') {
        let pdu = pdu::read_hex(unit, Reading::default()).unwrap_or_else(|e| panic!("{unit}: {e}"));
        assert_eq!((pdu.cut_off, pdu.left_over), (None, 0), "{unit}");
        match pdu.tpdu {
            Tpdu::Deliver(deliver) => parts.push(deliver),
            other => panic!("{unit}: {other:?}"),
        }
    }
    if parts.len() == 1 {
        return (parts.remove(0), Vec::new(), Vec::new());
    }
    let assembly = Assembly::of(parts);
    (
        assembly.joined().unwrap(),
        assembly.disagreements(),
        assembly.missing(),
    )
}

/// `\n` and `\u{…}`.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        plain.push_str(before);
        if let Some(behind) = behind.strip_prefix('n') {
            plain.push('\n');
            rest = behind;
        } else if let Some((code, behind)) = behind
            .strip_prefix("u{")
            .and_then(|code| code.split_once('}'))
        {
            plain.extend(u32::from_str_radix(code, 16).ok().and_then(char::from_u32));
            rest = behind;
        } else {
            plain.push('\\');
            rest = behind;
        }
    }
    plain + rest
}
