//! `waxwing sms inspect`: decodes text messages and shows the tricks in them.
//!
//! **Elsewhere.** `waxwing_sms` decodes messages and finds the tricks; [`super::input`] reads
//! what is given, and [`super::shown`] has the words.

use std::collections::BTreeMap;

use clap::Args;
use waxwing_sms::{
    Deliver, Direction, Reference, StatusReport, Submit, Tpdu, TypeOfNumber,
    concatenation::Assembly,
    findings::{self, Contact, Finding, Known, Message, Severity},
    pdu::{Pdu, Reading},
};

use super::{
    input::{Given, Input},
    shown::{self, Inspected, Told},
};
use crate::{
    outcome::{Failure, Outcome},
    output::{BAD, BOLD, FAINT, Output, WARN, styled},
    text::one_line,
};

/// `waxwing sms inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// Hexadecimal digits; with -, lines of them are read from standard input
    #[arg(value_name = "HEX", required = true)]
    digits: Vec<String>,
    /// Which way the message went; detected if not given
    #[arg(long, value_name = "WAY", value_parser = ["to-phone", "from-phone"])]
    direction: Option<String>,
    /// Whether the service centre's number is in front; detected if not given
    #[arg(long, value_name = "YES|NO", value_parser = ["yes", "no"])]
    service_centre: Option<String>,
    /// Somebody whom a sender may imitate: a name, or a name with a number or domain
    #[arg(long, value_name = "NAME[=NUMBER|DOMAIN]")]
    known: Vec<String>,
}

/// What is shown as one message.
enum Piece {
    /// A message, or a part of one that is a message to send.
    Single(Box<Pdu>, Vec<Pdu>),
    /// Parts of one message to a phone.
    Parts(Vec<Pdu>),
    /// A line that cannot be read: its number, and why.
    Unreadable(usize, String),
}

impl Inspect {
    pub fn run(self, output: &Output) -> Result<Outcome, Failure> {
        let reading = Reading {
            direction: self.direction.as_deref().map(|way| match way {
                "from-phone" => Direction::FromPhone,
                _ => Direction::ToPhone,
            }),
            service_centre: self.service_centre.as_deref().map(|said| said == "yes"),
        };
        let known = Known {
            contacts: contacts(&self.known),
            short_codes: Vec::new(),
        };
        let input = Input::read(&self.digits, reading)?;
        if let [
            Given {
                ways: Err(error), ..
            },
        ] = input.given.as_slice()
            && !input.lines
        {
            return Err(Failure::Said {
                code: "sms_invalid",
                sentence: format!("This cannot be read: {error}."),
            });
        }
        if input.given.is_empty() {
            return Err(Failure::Said {
                code: "sms_invalid",
                sentence: "There is no message in the input. Give the hexadecimal digits of one, \
                           on a line of its own."
                    .to_owned(),
            });
        }
        let lines = input.lines;
        let mut outcome = Outcome::Shown;
        for piece in pieces(input.given) {
            let is_whole = match piece {
                Piece::Single(unit, others) => show(&unit, &others, &known, output),
                Piece::Parts(units) => show_parts(&units, &known, output),
                Piece::Unreadable(number, why) => {
                    unreadable(lines, number, &why, output);
                    false
                }
            };
            if !is_whole {
                outcome = Outcome::Failed;
            }
        }
        Ok(outcome)
    }
}

/// Parts of one message together, in the place of the first; everything else as it came.
fn pieces(given: Vec<Given>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for one in given {
        let mut ways = match one.ways {
            Ok(ways) => ways,
            Err(error) => {
                pieces.push(Piece::Unreadable(one.number, error.to_string()));
                continue;
            }
        };
        let unit = ways.swap_remove(0);
        let Some(key) = key(&unit) else {
            pieces.push(Piece::Single(Box::new(unit), ways));
            continue;
        };
        let place = places.get(&key).copied();
        match place.and_then(|place| pieces.get_mut(place)) {
            // References come again: what is complete takes no more.
            Some(Piece::Parts(parts)) if !is_complete(parts) => parts.push(unit),
            _ => {
                places.insert(key, pieces.len());
                pieces.push(Piece::Parts(vec![unit]));
            }
        }
    }
    pieces
}

/// What parts of one message share.
fn key(unit: &Pdu) -> Option<String> {
    let Tpdu::Deliver(deliver) = &unit.tpdu else {
        return None;
    };
    let part = deliver.user_data.header.part().filter(|part| part.of > 1)?;
    let reference = match part.reference {
        Reference::Short(number) => format!("s{number}"),
        Reference::Long(number) => format!("l{number}"),
    };
    let kind = deliver.originator.kind == TypeOfNumber::Alphanumeric;
    Some(format!("{reference} {kind} {}", deliver.originator))
}

fn is_complete(parts: &[Pdu]) -> bool {
    assembly(parts).missing().is_empty()
}

fn assembly(parts: &[Pdu]) -> Assembly {
    Assembly::of(parts.iter().filter_map(|unit| match &unit.tpdu {
        Tpdu::Deliver(deliver) => Some(deliver.clone()),
        _ => None,
    }))
}

fn unreadable(lines: bool, number: usize, why: &str, output: &Output) {
    let place = if lines { "Line" } else { "Message" };
    let sentence = format!("{place} {number} cannot be read: {why}.");
    output.line(format!("{} {}", styled(BAD, "error:"), one_line(&sentence)));
    let place = place.to_lowercase();
    output.object(&serde_json::json!({
        "type": "error", "code": "sms_invalid", place: number, "message": sentence,
    }));
}

/// Contacts with all their numbers and domains: a name can be given several times.
fn contacts(known: &[String]) -> Vec<Contact> {
    let mut contacts: Vec<Contact> = Vec::new();
    for said in known {
        let (name, what) = said.split_once('=').unwrap_or((said, ""));
        let at = contacts.iter().position(|one| one.name == name);
        let at = at.unwrap_or_else(|| {
            contacts.push(Contact {
                name: name.to_owned(),
                ..Contact::default()
            });
            contacts.len() - 1
        });
        let Some(contact) = contacts.get_mut(at) else {
            continue;
        };
        let is_number =
            what.chars().any(char::is_numeric) && !what.chars().any(char::is_alphabetic);
        if is_number {
            contact.numbers.push(what.to_owned());
        } else if let Some(domain) = domain(what) {
            contact.domains.push(domain);
        }
    }
    contacts
}

/// The domain of what may be an address of e-mail or of a page.
fn domain(what: &str) -> Option<String> {
    let what = what.split_once("://").map_or(what, |(_, rest)| rest);
    let what = what.rsplit('@').next().unwrap_or(what);
    let domain = what.split(['/', '?', '#', ':']).next().unwrap_or_default();
    let domain = domain.trim().trim_start_matches("www.");
    (!domain.is_empty()).then(|| domain.to_lowercase())
}

/// Parts of one message, as that. Tells whether all of it is there.
fn show_parts(parts: &[Pdu], known: &Known, output: &Output) -> bool {
    let assembly = assembly(parts);
    let (Some(joined), Some(first)) = (assembly.joined(), parts.first()) else {
        return true;
    };
    let missing = assembly.missing();
    let message = Message {
        deliver: &joined,
        disagreements: &assembly.disagreements(),
        missing: &missing,
    };
    show_deliver(&message, first, &[], known, output);
    let cut_off = parts.iter().find(|part| part.cut_off.is_some());
    shown::ending(cut_off.unwrap_or(first), output);
    cut_off.is_none()
}

/// Tells whether all of it is there.
fn show(unit: &Pdu, others: &[Pdu], known: &Known, output: &Output) -> bool {
    match &unit.tpdu {
        Tpdu::Deliver(deliver) => {
            show_deliver(&deliver.into(), unit, others, known, output);
        }
        Tpdu::Submit(submit) => show_submit(submit, unit, others, known, output),
        Tpdu::StatusReport(report) => show_report(report, unit, output),
    }
    shown::ending(unit, output);
    unit.cut_off.is_none()
}

fn show_deliver(message: &Message<'_>, unit: &Pdu, others: &[Pdu], known: &Known, output: &Output) {
    let deliver: &Deliver = message.deliver;
    let has = shown::Has::of(unit);
    let findings = if has.coding() {
        findings::of(message, known)
    } else {
        Vec::new()
    };
    if has.address() {
        output.line(format!(
            "From      {}  {}",
            styled(BOLD, one_line(&deliver.originator.to_string())),
            styled(WARN, "not verified: anybody can forge the sender of an SMS"),
        ));
    }
    for reply_to in deliver.user_data.header.reply_addresses() {
        let reply_to = one_line(&reply_to.to_string());
        shown::field(
            output,
            "Reply to",
            &format!("{reply_to} (the message asks for this)"),
        );
    }
    shown::through(unit, output);
    if has.time() {
        shown::time_line("Sent", deliver.timestamp, output);
    }
    shown::part_line(&deliver.user_data, Some(message.missing), output);
    shown::handling_lines(&deliver.user_data, deliver.coding, output);
    let content = shown::Content::of(&deliver.user_data);
    if has.any_content() {
        content.show(output);
    }
    show_findings(&findings, has.content(), output);
    shown::other_readings(others, output);
    let mut inspected = Inspected::of(unit, "deliver");
    inspected.from = has.address().then(|| deliver.originator.to_string());
    inspected.reply_to = deliver.asks_reply_to().map(ToString::to_string);
    inspected.report_requested = Some(deliver.report_requested);
    if has.time() {
        inspected.set_time(deliver.timestamp);
    }
    inspected.set_user_data(&deliver.user_data, deliver.coding, deliver.protocol, &has);
    inspected.set_missing(message.missing);
    inspected.content = content;
    inspected.findings = told(findings);
    inspected.other_readings = shown::short(others);
    output.object(&inspected);
}

fn show_submit(submit: &Submit, unit: &Pdu, others: &[Pdu], known: &Known, output: &Output) {
    let has = shown::Has::of(unit);
    let findings = if has.coding() {
        findings::of_submit(submit, known)
    } else {
        Vec::new()
    };
    if has.address() {
        shown::field(output, "To", &one_line(&submit.destination.to_string()));
    }
    for reply_to in submit.user_data.header.reply_addresses() {
        shown::field(output, "Reply to", &one_line(&reply_to.to_string()));
    }
    shown::through(unit, output);
    shown::validity_line(submit.validity, output);
    shown::part_line(&submit.user_data, None, output);
    shown::handling_lines(&submit.user_data, submit.coding, output);
    let content = shown::Content::of(&submit.user_data);
    if has.any_content() {
        content.show(output);
    }
    if !findings.is_empty() {
        show_findings(&findings, has.content(), output);
    }
    shown::other_readings(others, output);
    let mut inspected = Inspected::of(unit, "submit");
    inspected.to = has.address().then(|| submit.destination.to_string());
    inspected.reference = Some(submit.reference);
    inspected.report_requested = Some(submit.report_requested);
    inspected.validity = shown::Valid::of(submit.validity);
    inspected.set_user_data(&submit.user_data, submit.coding, submit.protocol, &has);
    inspected.content = content;
    inspected.findings = told(findings);
    inspected.other_readings = shown::short(others);
    output.object(&inspected);
}

fn show_report(report: &StatusReport, unit: &Pdu, output: &Output) {
    let has = shown::Has::of(unit);
    let (status, sentence) = shown::outcome(report.status);
    if has.address() {
        shown::field(output, "Sent to", &one_line(&report.recipient.to_string()));
    }
    shown::through(unit, output);
    if has.discharge() {
        shown::time_line("At", report.discharged, output);
    }
    if has.status() {
        shown::field(output, "Result", sentence);
    }
    let text = report
        .more
        .as_ref()
        .and_then(|more| more.user_data.as_ref());
    let content = text.map(shown::Content::of).unwrap_or_default();
    if content.text.is_some() {
        content.show(output);
    }
    let mut inspected = Inspected::of(unit, "status_report");
    inspected.to = has.address().then(|| report.recipient.to_string());
    inspected.reference = Some(report.reference);
    if has.time() {
        inspected.set_time(report.timestamp);
    }
    if has.discharge() {
        inspected.discharged_at = shown::time(report.discharged);
    }
    inspected.status = has.status().then_some(status);
    inspected.status_code = has.status().then_some(report.status.0);
    inspected.content = content;
    output.object(&inspected);
}

/// `whole`: whether all of it was there to be looked at.
fn show_findings(findings: &[Finding], whole: bool, output: &Output) {
    for finding in findings {
        let (style, word) = match finding.severity {
            Severity::Danger => (BAD, "DANGER "),
            Severity::Caution => (WARN, "CAUTION"),
            Severity::Note => (FAINT, "NOTE   "),
        };
        output.line(format!(
            "  {}  {}",
            styled(style, word),
            one_line(&finding.sentence())
        ));
    }
    if findings.is_empty() && whole {
        output.line(styled(
            FAINT,
            "  No tricks were found. That does not mean that the message is true.",
        ));
    }
}

fn told(findings: Vec<Finding>) -> Vec<Told> {
    let told = |finding: Finding| Told {
        sentence: finding.sentence(),
        finding,
    };
    findings.into_iter().map(told).collect()
}
