//! Measures reading messages, and looking for tricks in them: `cargo xtask bench sms`.
//!
//! **Elsewhere**: what the figures mean is `docs/benchmarks.md`.
//!
//! **Always**: JSON on standard output, one object a line; the median of several rounds on one
//! core. The messages are of all kinds, and as long as such messages are.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a measurement looks at the clock, prints, and fails loudly"
)]

use std::{collections::BTreeMap, hint::black_box, time::Instant};

use waxwing_sms::{
    Address, DataCoding, Deliver, Direction, Element, Header, ProtocolId, Timestamp, Tpdu,
    UserData, concatenation,
    findings::{self, Contact, Known},
};

#[path = "../tests/lists/mod.rs"]
mod lists;

const ROUNDS: usize = 7;
const ONE_ROUND: usize = 400_000;

fn main() {
    print_lists();
    let units = units();
    let octets: Vec<Vec<u8>> = units
        .iter()
        .map(|unit| Tpdu::Deliver(unit.clone()).encode().unwrap())
        .collect();
    let bytes: usize = octets.iter().map(Vec::len).sum();
    let decoded = rate(ONE_ROUND, |n| {
        let octets = &octets[n % octets.len()];
        black_box(Tpdu::decode(Direction::ToPhone, black_box(octets)).unwrap());
    });
    let known = Known {
        contacts: (0..200)
            .map(|n| Contact {
                name: format!("Contact {n}"),
                numbers: vec![format!("+35840{n:07}")],
                domains: vec![format!("domain{n}.example")],
            })
            .collect(),
        short_codes: Vec::new(),
    };
    let looked = rate(ONE_ROUND / 400, |n| {
        let unit = &units[n % units.len()];
        black_box(findings::of(&unit.into(), &known));
    });
    println!(
        "{{\"bench\":\"sms\",\"units\":{},\"mean_octets\":{},\"decoded_per_second\":{decoded},\
         \"looked_at_per_second_with_200_contacts\":{looked}}}",
        units.len(),
        bytes / units.len(),
    );
}

/// A table for people, and a line for programs: of each kind of trick how many are found and
/// missed, and of the everyday messages how many get more than a note.
fn print_lists() {
    let known = lists::known();
    let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut missed = Vec::new();
    for line in lists::list("tricks.txt") {
        let found = line.alarms(&known).contains(&line.label);
        let (all, right) = kinds.entry(line.label.clone()).or_default();
        *all += 1;
        *right += usize::from(found);
        if !found {
            missed.push(format!("missed {}: {}", line.label, line.shown));
        }
    }
    eprintln!(
        "{:<22} {:>6} {:>6} {:>6}",
        "trick", "all", "found", "missed"
    );
    for (kind, (all, found)) in &kinds {
        eprintln!("{kind:<22} {all:>6} {found:>6} {:>6}", all - found);
    }
    let tricks: usize = kinds.values().map(|(all, _)| all).sum();
    let found: usize = kinds.values().map(|(_, found)| found).sum();
    eprintln!("{:<22} {tricks:>6} {found:>6} {:>6}", "all", tricks - found);
    let everyday = lists::list("everyday.txt");
    let mut languages: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for line in &everyday {
        let alarms = line.alarms(&known);
        let (all, false_alarms) = languages.entry(line.label.as_str()).or_default();
        *all += 1;
        *false_alarms += usize::from(!alarms.is_empty());
        if !alarms.is_empty() {
            missed.push(format!("false alarm {alarms:?}: {}", line.shown));
        }
    }
    eprintln!(
        "\n{:<22} {:>6} {:>13}",
        "everyday messages", "all", "false alarms"
    );
    for (language, (all, false_alarms)) in &languages {
        eprintln!("{language:<22} {all:>6} {false_alarms:>13}");
    }
    let false_alarms: usize = languages.values().map(|(_, alarms)| alarms).sum();
    eprintln!("{:<22} {:>6} {false_alarms:>13}\n", "all", everyday.len());
    for line in missed {
        eprintln!("{line}");
    }
    println!(
        "{{\"bench\":\"sms_findings\",\"tricks\":{tricks},\"found\":{found},\"missed\":{},\
         \"everyday\":{},\"false_alarms\":{false_alarms}}}",
        tricks - found,
        everyday.len(),
    );
}

/// How often a second, on one core.
fn rate(count: usize, mut work: impl FnMut(usize)) -> u64 {
    let mut rates: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            for n in 0..count {
                work(n);
            }
            count as f64 / began.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    let median = rates.get(ROUNDS / 2).copied().unwrap_or_default();
    format!("{median:.0}").parse().unwrap_or_default()
}

/// Short and long, of septets, of UTF-16 and in parts, with a reply address and a link.
fn units() -> Vec<Deliver> {
    let short = "Your code is 482913. It is good for ten minutes.";
    let long = "Dear customer, your parcel is at the pick-up point in the station until Friday. \
                Bring an identity card. Opening hours: 7 to 22, on Sundays 10 to 18. Thank you!";
    let emoji = "Hyvää syntymäpäivää! 🎂🎉 Nähdään illalla kahdeksalta, tuo kakku mukanasi 😀";
    let link = "Your account is locked, see https://xn--nrdbank-90a.com/login";
    let mut units = Vec::new();
    for text in [short, long, emoji, link, &emoji.repeat(3)] {
        let (coding, parts) = concatenation::split(text, 7).unwrap();
        units.extend(parts.into_iter().map(|part| deliver(coding, part)));
    }
    let mut spoof = deliver(DataCoding::SEPTETS, UserData::text(short));
    let reply = Element::ReplyAddress(Address::international("358401234567"));
    spoof.user_data.header = Header {
        elements: vec![reply],
        malformed: None,
    };
    units.push(spoof);
    let mut named = deliver(DataCoding::SEPTETS, UserData::text(long));
    named.originator = Address::alphanumeric("Nordbank");
    units.push(named);
    units
}

fn deliver(coding: DataCoding, user_data: UserData) -> Deliver {
    Deliver {
        more_messages: false,
        loop_prevention: false,
        reply_path: false,
        report_requested: false,
        originator: Address::international("46708251358"),
        protocol: ProtocolId(0),
        coding,
        timestamp: Timestamp::at(1_345_000_000),
        user_data,
    }
}
