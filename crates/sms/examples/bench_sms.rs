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
    reason = "a measurement looks at the clock, prints, and fails loudly"
)]

use std::{hint::black_box, time::Instant};

use waxwing_sms::{
    Address, DataCoding, Deliver, Direction, Element, Header, ProtocolId, Timestamp, Tpdu,
    UserData, concatenation,
    findings::{self, Contact, Known},
};

const ROUNDS: usize = 7;
const ONE_ROUND: usize = 400_000;

fn main() {
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
