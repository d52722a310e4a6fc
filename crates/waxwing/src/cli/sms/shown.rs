//! How `waxwing sms inspect` shows a message: for people in words, for programs as an object.
//!
//! **Elsewhere.** The sentences of findings are `waxwing_sms`'s.
//!
//! **Always.** Of a message that is cut off only what is there is shown.

use serde::Serialize;
use waxwing_sms::{
    Body, Class, CutOff, DataCoding, Element, Field, Outcome as Fate, ProtocolId, Reference,
    Service, Status, Timestamp, Tpdu, UserData, findings::Finding, pdu::Pdu, push, tpdu::Validity,
};

use crate::{
    output::{BAD, FAINT, Output, WARN, styled},
    text::{harmless, one_line},
};

/// A message as it is shown to programs.
#[derive(Default, Serialize)]
pub struct Inspected {
    #[serde(rename = "type")]
    kind: &'static str,
    unit: &'static str,
    channel: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Nothing about a text message is.
    from_verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_centre: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
    /// A time that the calendar does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at_as_written: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discharged_at: Option<String>,
    #[serde(flatten)]
    pub content: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<Ports>,
    /// Where it is to be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dcs: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validity: Option<Valid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_requested: Option<bool>,
    /// The sender's number for it, which a report has too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u8>,
    header: Vec<Shown>,
    pub findings: Vec<Told>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_off: Option<Ends>,
    #[serde(skip_serializing_if = "is_zero")]
    left_over: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_readings: Vec<Short>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Which part it is of a long message, and which are missing.
#[derive(Serialize)]
struct Part {
    number: u8,
    of: u8,
    reference: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Vec<u8>>,
}

/// Between which programs it goes.
#[derive(Serialize)]
struct Ports {
    destination: u16,
    source: u16,
}

/// An element of the header.
#[derive(Serialize)]
struct Shown {
    identifier: u8,
    name: &'static str,
}

/// A finding with its sentence.
#[derive(Serialize)]
pub struct Told {
    #[serde(flatten)]
    pub finding: Finding,
    pub sentence: String,
}

/// Where it ends before its end.
#[derive(Serialize)]
struct Ends {
    within: String,
    missing: usize,
}

/// Until when a message is worth delivering.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Valid {
    Minutes(u32),
    Until(String),
    Enhanced(String),
}

/// Another way in which the same digits can be read.
#[derive(Serialize)]
pub struct Short {
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_centre: Option<String>,
    #[serde(flatten)]
    content: Content,
}

impl Inspected {
    pub fn of(unit: &Pdu, kind: &'static str) -> Self {
        Self {
            kind: "sms",
            unit: kind,
            channel: "sms",
            service_centre: unit.service_centre.as_ref().map(ToString::to_string),
            cut_off: unit.cut_off.map(|cut_off| Ends {
                within: cut_off.within.to_string(),
                missing: cut_off.missing,
            }),
            left_over: unit.left_over,
            ..Self::default()
        }
    }

    pub fn set_time(&mut self, timestamp: Timestamp) {
        self.sent_at = time(timestamp);
        if self.sent_at.is_none() {
            self.sent_at_as_written = timestamp.as_written();
        }
    }

    pub fn set_user_data(
        &mut self,
        data: &UserData,
        coding: DataCoding,
        protocol: ProtocolId,
        has: &Has,
    ) {
        if has.coding() {
            self.dcs = Some(coding.0);
            self.pid = Some(protocol.0);
            self.class = coding.class().map(|class| match class {
                Class::Flash => 0,
                Class::Phone => 1,
                Class::Sim => 2,
                Class::Equipment => 3,
            });
        }
        self.part = data.header.part().map(|part| Part {
            number: part.number,
            of: part.of,
            reference: match part.reference {
                Reference::Short(number) => number.into(),
                Reference::Long(number) => number,
            },
            missing: None,
        });
        self.ports = data.header.ports().map(|ports| Ports {
            destination: ports.destination,
            source: ports.source,
        });
        let shown = |element: &Element| Shown {
            identifier: element.identifier(),
            name: element.name(),
        };
        self.header = data.header.elements.iter().map(shown).collect();
    }

    pub fn set_missing(&mut self, missing: &[u8]) {
        if let Some(part) = &mut self.part {
            part.missing = Some(missing.to_vec());
        }
    }
}

/// Which fields of a message are there.
pub struct Has(Option<CutOff>);

impl Has {
    pub fn of(unit: &Pdu) -> Self {
        Self(unit.cut_off)
    }

    fn is_there(&self, field: Field) -> bool {
        self.0.is_none_or(|cut_off| cut_off.within > field)
    }

    pub fn address(&self) -> bool {
        self.is_there(Field::Address)
    }

    pub fn coding(&self) -> bool {
        self.is_there(Field::Coding)
    }

    pub fn time(&self) -> bool {
        self.is_there(Field::Timestamp)
    }

    pub fn discharge(&self) -> bool {
        self.is_there(Field::Discharge)
    }

    pub fn status(&self) -> bool {
        self.is_there(Field::Status)
    }

    /// Some of the content at least.
    pub fn any_content(&self) -> bool {
        self.is_there(Field::Header)
    }

    /// All of the content.
    pub fn content(&self) -> bool {
        self.is_there(Field::Content)
    }
}

/// The text, or the octets, and what a push leads to.
#[derive(Default, Serialize)]
pub struct Content {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    octets: Option<String>,
    /// Where a push asks the phone to go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<String>,
}

impl Content {
    pub fn of(data: &UserData) -> Self {
        let octets = match &data.body {
            Body::Text(text) => {
                return Self {
                    text: Some(text.clone()),
                    ..Self::default()
                };
            }
            Body::Octets(octets) | Body::Compressed(octets) => octets,
        };
        let hex = Some(data_encoding::HEXLOWER.encode(octets));
        match data.header.ports().map(waxwing_sms::Ports::service) {
            Some(Service::ContactCard | Service::Appointment) => Self {
                text: Some(push::text(octets)),
                ..Self::default()
            },
            Some(Service::Push) => {
                let push = push::read(octets);
                Self {
                    text: Some(push.texts.join("\n")).filter(|text| !text.is_empty()),
                    octets: hex,
                    links: push.links,
                }
            }
            _ => Self {
                octets: hex,
                ..Self::default()
            },
        }
    }

    pub fn show(&self, output: &Output) {
        for link in &self.links {
            field(output, "Leads to", &one_line(link));
        }
        output.line("");
        for line in self.text.as_deref().unwrap_or_default().lines() {
            output.line(format!("    {}", harmless(line)));
        }
        if let Some(octets) = &self.octets {
            output.line(format!("    {}", styled(FAINT, octets)));
        }
        output.line("");
    }
}

/// The other readings of the same digits, for programs.
pub fn short(others: &[Pdu]) -> Vec<Short> {
    let short = |unit: &Pdu| {
        let (kind, from, to, data) = match &unit.tpdu {
            Tpdu::Deliver(one) => ("deliver", Some(&one.originator), None, Some(&one.user_data)),
            Tpdu::Submit(one) => ("submit", None, Some(&one.destination), Some(&one.user_data)),
            Tpdu::StatusReport(one) => ("status_report", None, Some(&one.recipient), None),
        };
        Short {
            unit: kind,
            from: from.map(ToString::to_string),
            to: to.map(ToString::to_string),
            service_centre: unit.service_centre.as_ref().map(ToString::to_string),
            content: data.map(Content::of).unwrap_or_default(),
        }
    };
    others.iter().map(short).collect()
}

/// The same for people.
pub fn other_readings(others: &[Pdu], output: &Output) {
    for other in short(others) {
        let who = match (&other.from, &other.to) {
            (Some(from), _) => format!("a message from {from}"),
            (None, Some(to)) if other.unit == "submit" => format!("a message to {to}"),
            (None, to) => format!("a report about {}", to.as_deref().unwrap_or_default()),
        };
        let text = other.content.text.unwrap_or_default();
        output.line(format!(
            "  {}  The same digits can also be read as {}: “{}”. --service-centre and \
             --direction choose.",
            styled(WARN, "CAUTION"),
            one_line(&who),
            one_line(&text)
        ));
    }
}

/// Where a message ends too early, and what is behind it.
pub fn ending(unit: &Pdu, output: &Output) {
    if let Some(cut_off) = unit.cut_off {
        let CutOff { within, missing } = cut_off;
        let octets = match missing {
            1 => "1 more octet".to_owned(),
            more => format!("{more} more octets"),
        };
        output.line(format!(
            "{} The message is cut off within {within}: at least {octets} should follow.",
            styled(BAD, "✗")
        ));
    }
    if unit.left_over > 0 {
        let after = match unit.left_over {
            1 => "1 octet after the message does not belong to it.".to_owned(),
            more => format!("{more} octets after the message do not belong to it."),
        };
        output.line(styled(FAINT, after));
    }
}

pub fn field(output: &Output, name: &str, value: &str) {
    output.line(format!("{name:<9} {value}"));
}

pub fn through(unit: &Pdu, output: &Output) {
    if let Some(centre) = &unit.service_centre {
        field(output, "Through", &one_line(&centre.to_string()));
    }
}

pub fn time_line(name: &str, timestamp: Timestamp, output: &Output) {
    if let Some(time) = time(timestamp) {
        return field(output, name, &time);
    }
    if let Some(written) = timestamp.as_written() {
        let written = format!("{written} (the message says so, but there is no such time)");
        field(output, name, &written);
    }
}

pub fn time(timestamp: Timestamp) -> Option<String> {
    let seconds = timestamp.unix_seconds()?;
    let moment = jiff::Timestamp::from_second(seconds).ok()?;
    Some(moment.to_string())
}

/// Which part it is; `missing` where all parts that were given are shown as one.
pub fn part_line(data: &UserData, missing: Option<&[u8]>, output: &Output) {
    let Some(part) = data.header.part().filter(|part| part.of > 1) else {
        return;
    };
    let of = part.of;
    let Some(missing) = missing else {
        return field(output, "Part", &format!("{} of {of}", part.number));
    };
    if missing.is_empty() {
        return field(output, "Parts", &format!("{of}, all of them are here"));
    }
    let here: Vec<String> = (1..=of)
        .filter(|number| !missing.contains(number))
        .map(|number| number.to_string())
        .collect();
    let name = if here.len() == 1 { "Part" } else { "Parts" };
    let here = here.join(", ");
    field(
        output,
        name,
        &format!("{here} of {of}; the rest is missing"),
    );
}

/// Who it is for and where it is to be kept, where that is not as usual.
pub fn handling_lines(data: &UserData, coding: DataCoding, output: &Output) {
    if let Some(ports) = data.header.ports() {
        let what = match ports.service() {
            Service::Push => "the phone's browser, or its program for picture messages",
            Service::Settings => "the phone's settings",
            Service::ContactCard => "the phone's address book",
            Service::Appointment => "the phone's calendar",
            Service::Picture => "the phone's ringing tones and pictures",
            Service::Other => "a program",
        };
        field(
            output,
            "For",
            &format!("{what} (port {})", ports.destination),
        );
    }
    match coding.class() {
        Some(Class::Flash) => field(output, "Kept", "nowhere: it is shown at once (class 0)"),
        Some(Class::Sim) => field(output, "Kept", "on the SIM card (class 2)"),
        Some(Class::Equipment) => {
            field(output, "Kept", "in a device beside the phone (class 3)");
        }
        Some(Class::Phone) | None => {}
    }
    for element in &data.header.elements {
        if matches!(
            element,
            Element::Concatenation(_) | Element::Ports(_) | Element::ReplyAddress(_)
        ) {
            continue;
        }
        let identifier = element.identifier();
        field(
            output,
            "Header",
            &format!("{} ({identifier:#04x})", element.name()),
        );
    }
}

pub fn validity_line(validity: Validity, output: &Output) {
    match Valid::of(validity) {
        None => {}
        Some(Valid::Until(until)) => field(output, "Until", &until),
        Some(Valid::Minutes(minutes)) => field(output, "Valid for", &span(minutes)),
        Some(Valid::Enhanced(octets)) => field(output, "Valid for", &octets),
    }
}

impl Valid {
    pub fn of(validity: Validity) -> Option<Self> {
        match validity {
            Validity::Unsaid => None,
            Validity::Absolute(until) => {
                time(until).or_else(|| until.as_written()).map(Self::Until)
            }
            Validity::Enhanced(octets) => {
                Some(Self::Enhanced(data_encoding::HEXLOWER.encode(&octets)))
            }
            Validity::Relative(_) => validity.minutes().map(Self::Minutes),
        }
    }
}

/// Minutes in the largest unit that has a whole number of them.
fn span(minutes: u32) -> String {
    const HOUR: u32 = 60;
    const DAY: u32 = 24 * HOUR;
    const WEEK: u32 = 7 * DAY;
    let (count, unit) = match minutes {
        _ if minutes.is_multiple_of(WEEK) => (minutes / WEEK, "week"),
        _ if minutes.is_multiple_of(DAY) => (minutes / DAY, "day"),
        _ if minutes.is_multiple_of(HOUR) => (minutes / HOUR, "hour"),
        _ if minutes > HOUR => {
            return format!("{} h {} min", minutes / HOUR, minutes % HOUR);
        }
        _ => (minutes, "minute"),
    };
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{s}")
}

/// What became of a message, as a word and as a sentence.
pub fn outcome(status: Status) -> (&'static str, &'static str) {
    match status.outcome() {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_said_in_its_largest_unit() {
        for (minutes, said) in [
            (5, "5 minutes"),
            (60, "1 hour"),
            (750, "12 h 30 min"),
            (1_440, "1 day"),
            (5_760, "4 days"),
            (10_080, "1 week"),
        ] {
            assert_eq!(span(minutes), said);
        }
    }
}
