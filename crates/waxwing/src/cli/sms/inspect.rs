//! `waxwing sms inspect`: decodes a text message and shows the tricks in it.
//!
//! **Elsewhere.** `waxwing_sms` decodes messages and finds the tricks.

use std::io::Read as _;

use clap::Args;
use serde::Serialize;
use waxwing_sms::{
    Body, Deliver, Direction, Outcome as Fate, StatusReport, Submit, Timestamp, Tpdu,
    concatenation::{Assembly, Key},
    findings::{self, Contact, Finding, Known, Message, Severity},
    pdu::{self, Pdu, Reading},
    tpdu::Validity,
};

use crate::{
    outcome::{Failure, Outcome},
    output::{BAD, BOLD, FAINT, Output, WARN, styled},
    text::{harmless, one_line},
};

/// Digits that are read from standard input, at most.
const DIGITS_MAX: u64 = 1 << 20;

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

/// A message as it is shown to programs.
#[derive(Serialize)]
struct Inspected {
    #[serde(rename = "type")]
    kind: &'static str,
    unit: &'static str,
    channel: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// Nothing about a text message is.
    from_verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_centre: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    octets: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    header: Vec<Shown>,
    findings: Vec<Told>,
}

/// An element of the header.
#[derive(Serialize)]
struct Shown {
    identifier: u8,
    name: &'static str,
}

/// A finding with its sentence.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    finding: Finding,
    sentence: String,
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
            contacts: self.known.iter().map(|one| contact(one)).collect(),
            short_codes: Vec::new(),
        };
        let mut units = Vec::new();
        for digits in lines(&self.digits)? {
            let unit = pdu::read_hex(&digits, reading).map_err(|error| Failure::Said {
                code: "sms_invalid",
                sentence: format!("This cannot be read: {error}."),
            })?;
            units.push(unit);
        }
        // Parts of several messages are shown one by one.
        let key = |unit: &Pdu| match &unit.tpdu {
            Tpdu::Deliver(deliver) => Key::of(deliver),
            _ => None,
        };
        let first = units.first().and_then(key);
        let are_one = first.is_some() && units.iter().all(|unit| key(unit) == first);
        if units.len() > 1 && are_one {
            return show_joined(units, &known, output);
        }
        for unit in units {
            show(&unit, &known, output)?;
        }
        Ok(Outcome::Done)
    }
}

/// The digits that were given, a message for each.
fn lines(given: &[String]) -> Result<Vec<String>, Failure> {
    if given != ["-"] {
        return Ok(given.to_vec());
    }
    let mut text = String::new();
    std::io::stdin()
        .take(DIGITS_MAX)
        .read_to_string(&mut text)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.map(str::to_owned).collect())
}

fn contact(said: &str) -> Contact {
    let (name, what) = said.split_once('=').unwrap_or((said, ""));
    let is_number = what.starts_with('+') || what.chars().all(|one| one.is_ascii_digit());
    let all = |is: bool| -> Vec<String> {
        let there = is && !what.is_empty();
        there.then(|| what.to_owned()).into_iter().collect()
    };
    Contact {
        name: name.to_owned(),
        numbers: all(is_number),
        domains: all(!is_number),
    }
}

/// Parts of one message, as that.
fn show_joined(units: Vec<Pdu>, known: &Known, output: &Output) -> Result<Outcome, Failure> {
    let centre = units.first().and_then(|unit| unit.service_centre.clone());
    let delivered = units.into_iter().filter_map(|unit| match unit.tpdu {
        Tpdu::Deliver(deliver) => Some(deliver),
        _ => None,
    });
    let assembly = Assembly::of(delivered);
    let Some(joined) = assembly.joined() else {
        return Ok(Outcome::Done);
    };
    let message = Message {
        deliver: &joined,
        disagreements: &assembly.disagreements(),
        missing: &assembly.missing(),
    };
    let centre = centre.map(|one| one.to_string());
    show_deliver(&message, centre, known, output)?;
    Ok(Outcome::Done)
}

fn show(unit: &Pdu, known: &Known, output: &Output) -> Result<(), Failure> {
    let centre = unit.service_centre.as_ref().map(ToString::to_string);
    match &unit.tpdu {
        Tpdu::Deliver(deliver) => show_deliver(&deliver.into(), centre, known, output)?,
        Tpdu::Submit(submit) => show_submit(submit, centre, output)?,
        Tpdu::StatusReport(report) => show_report(report, centre, output)?,
    }
    if unit.left_over > 0 {
        output.line(styled(
            FAINT,
            format!(
                "{} octets after the message do not belong to it.",
                unit.left_over
            ),
        ))?;
    }
    Ok(())
}

fn show_deliver(
    message: &Message<'_>,
    centre: Option<String>,
    known: &Known,
    output: &Output,
) -> Result<(), Failure> {
    let deliver = message.deliver;
    let findings = findings::of(message, known);
    let (text, octets) = content(&deliver.user_data.body);
    let from = deliver.originator.to_string();
    let reply_to = deliver.asks_reply_to().map(ToString::to_string);
    output.line(format!(
        "From      {}  {}",
        styled(BOLD, one_line(&from)),
        styled(WARN, "not verified: anybody can forge the sender of an SMS"),
    ))?;
    if let Some(reply_to) = &reply_to {
        field(output, "Reply to", &asked(reply_to))?;
    }
    header_lines(deliver, centre.as_deref(), output)?;
    body_lines(text.as_deref(), octets.as_deref(), output)?;
    for finding in &findings {
        let (style, word) = match finding.severity {
            Severity::Danger => (BAD, "DANGER "),
            Severity::Caution => (WARN, "CAUTION"),
            Severity::Note => (FAINT, "NOTE   "),
        };
        output.line(format!(
            "  {}  {}",
            styled(style, word),
            one_line(&finding.sentence())
        ))?;
    }
    if findings.is_empty() {
        output.line(styled(
            FAINT,
            "  No tricks were found. That does not mean that the message is true.",
        ))?;
    }
    output.object(&Inspected {
        kind: "sms",
        unit: "deliver",
        channel: "sms",
        from: Some(from),
        from_verified: false,
        to: None,
        reply_to,
        service_centre: centre,
        sent_at: time(deliver.timestamp),
        text,
        octets,
        status: None,
        header: elements(&deliver.user_data.header),
        findings: findings
            .into_iter()
            .map(|finding| Told {
                sentence: finding.sentence(),
                finding,
            })
            .collect(),
    })?;
    Ok(())
}

fn asked(reply_to: &str) -> String {
    format!("{} (the message asks for this)", one_line(reply_to))
}

fn header_lines(deliver: &Deliver, centre: Option<&str>, output: &Output) -> Result<(), Failure> {
    if let Some(centre) = centre {
        field(output, "Through", centre)?;
    }
    if let Some(time) = time(deliver.timestamp) {
        field(output, "Sent", &time)?;
    }
    for element in &deliver.user_data.header.elements {
        let identifier = element.identifier();
        field(
            output,
            "Header",
            &format!("{} ({identifier:#04x})", element.name()),
        )?;
    }
    Ok(())
}

fn body_lines(text: Option<&str>, octets: Option<&str>, output: &Output) -> Result<(), Failure> {
    output.line("")?;
    for line in text.unwrap_or_default().lines() {
        output.line(format!("    {}", harmless(line)))?;
    }
    if let Some(octets) = octets {
        output.line(format!("    {}", styled(FAINT, octets)))?;
    }
    output.line("")?;
    Ok(())
}

fn show_submit(submit: &Submit, centre: Option<String>, output: &Output) -> Result<(), Failure> {
    let to = submit.destination.to_string();
    let (text, octets) = content(&submit.user_data.body);
    field(output, "To", &one_line(&to))?;
    if let Some(centre) = &centre {
        field(output, "Through", centre)?;
    }
    match submit.validity {
        Validity::Absolute(until) => {
            field(output, "Until", &time(until).unwrap_or_default())?;
        }
        validity => {
            if let Some(minutes) = validity.minutes() {
                field(output, "Valid for", &format!("{minutes} minutes"))?;
            }
        }
    }
    body_lines(text.as_deref(), octets.as_deref(), output)?;
    output.object(&Inspected {
        kind: "sms",
        unit: "submit",
        channel: "sms",
        from: None,
        from_verified: false,
        to: Some(to),
        reply_to: None,
        service_centre: centre,
        sent_at: None,
        text,
        octets,
        status: None,
        header: elements(&submit.user_data.header),
        findings: Vec::new(),
    })?;
    Ok(())
}

fn show_report(
    report: &StatusReport,
    centre: Option<String>,
    output: &Output,
) -> Result<(), Failure> {
    let to = report.recipient.to_string();
    let (status, sentence) = match report.status.outcome() {
        Fate::Delivered => (
            "delivered",
            "The service centre says that it was delivered.",
        ),
        Fate::Forwarded => (
            "forwarded",
            "It was passed on to another network; nothing more is known.",
        ),
        Fate::StillTrying => ("still_trying", "The service centre is still trying."),
        Fate::Failed => ("failed", "It cannot be delivered."),
        Fate::GivenUp => ("given_up", "The service centre has given up."),
    };
    field(output, "Sent to", &one_line(&to))?;
    if let Some(time) = time(report.discharged) {
        field(output, "At", &time)?;
    }
    field(output, "Result", sentence)?;
    output.object(&Inspected {
        kind: "sms",
        unit: "status_report",
        channel: "sms",
        from: None,
        from_verified: false,
        to: Some(to),
        reply_to: None,
        service_centre: centre,
        sent_at: time(report.timestamp),
        text: None,
        octets: None,
        status: Some(status),
        header: Vec::new(),
        findings: Vec::new(),
    })?;
    Ok(())
}

fn field(output: &Output, name: &str, value: &str) -> Result<(), Failure> {
    Ok(output.line(format!("{name:<9} {value}"))?)
}

/// The text, or the octets.
fn content(body: &Body) -> (Option<String>, Option<String>) {
    match body {
        Body::Text(text) => (Some(text.clone()), None),
        Body::Octets(octets) | Body::Compressed(octets) => {
            (None, Some(data_encoding::HEXLOWER.encode(octets)))
        }
    }
}

fn elements(header: &waxwing_sms::Header) -> Vec<Shown> {
    let shown = |element: &waxwing_sms::Element| Shown {
        identifier: element.identifier(),
        name: element.name(),
    };
    header.elements.iter().map(shown).collect()
}

fn time(timestamp: Timestamp) -> Option<String> {
    let seconds = timestamp.unix_seconds()?;
    let moment = jiff::Timestamp::from_second(seconds).ok()?;
    Some(moment.to_string())
}
