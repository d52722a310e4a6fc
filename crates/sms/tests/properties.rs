//! What holds for all messages, and for all octets.

#![cfg(test)]

use proptest::{collection::vec, option, prelude::*, sample::select};
use waxwing_sms::{
    Address, Body, DataCoding, Deliver, Direction, Element, Header, ProtocolId, Status,
    StatusReport, Submit, Timestamp, Tpdu, TypeOfNumber, UserData,
    alphabet::{Alphabet, Language},
    concatenation::{self, Assembly},
    findings::{self, Contact, Known, ShortCode},
    pdu::{self, Reading},
    tpdu::Validity,
};

fn addresses() -> impl Strategy<Value = Address> {
    let numbers = (0_u8..8, 0_u8..16, "[0-9*#abc]{0,20}")
        .prop_filter("a name", |(kind, ..)| *kind != 5)
        .prop_map(|(kind, plan, value)| Address {
            kind: TypeOfNumber::numbered(kind),
            plan,
            value,
        });
    // A name of eight letters may end in one that its length says nothing of.
    let names = "[A-Za-z0-9 _!@$]{0,11}"
        .prop_filter("ambiguous", |name| name.len() % 8 != 7)
        .prop_map(|name| Address::alphanumeric(&name));
    prop_oneof![numbers, names]
}

fn elements() -> impl Strategy<Value = Element> {
    let of_numbers = (any::<u8>(), vec(any::<u8>(), 0..8))
        .prop_map(|(identifier, data)| Element::read(identifier, &data));
    prop_oneof![
        of_numbers,
        addresses().prop_map(Element::ReplyAddress),
        select(&Language::ALL[..]).prop_map(Element::SingleShift),
        select(&Language::ALL[..]).prop_map(Element::LockingShift),
    ]
}

/// A coding, and what is written so.
fn contents() -> impl Strategy<Value = (DataCoding, UserData)> {
    let headers = vec(elements(), 0..3).prop_map(|elements| Header {
        elements,
        malformed: None,
    });
    (headers, any::<u8>(), vec(any::<u8>(), 0..60)).prop_map(|(header, kind, noise)| {
        let (coding, body) = match kind % 3 {
            0 => {
                // What the alphabet of this header has.
                let alphabet = header.alphabet();
                let septets = noise.iter().map(|one| one & 0x7f);
                let text = alphabet.decode(septets.filter(|one| *one != 0x1b));
                let text = text.replace(char::REPLACEMENT_CHARACTER, "");
                (DataCoding::SEPTETS, Body::Text(text))
            }
            1 => {
                let text: String = noise.iter().map(|one| char::from(*one)).collect();
                let text: String = format!("😀{text}").chars().take(30).collect();
                (DataCoding::UTF16, Body::Text(text))
            }
            _ => (DataCoding::OCTETS, Body::Octets(noise)),
        };
        let split = None;
        (
            coding,
            UserData {
                header,
                body,
                split,
            },
        )
    })
}

fn timestamps() -> impl Strategy<Value = Timestamp> {
    any::<[u8; 7]>().prop_map(Timestamp)
}

fn delivers() -> impl Strategy<Value = Deliver> {
    (
        any::<[bool; 4]>(),
        addresses(),
        any::<u8>(),
        timestamps(),
        contents(),
    )
        .prop_map(
            |([more, looping, path, report], originator, protocol, timestamp, what)| Deliver {
                more_messages: more,
                loop_prevention: looping,
                reply_path: path,
                report_requested: report,
                originator,
                protocol: ProtocolId(protocol),
                coding: what.0,
                timestamp,
                user_data: what.1,
            },
        )
}

fn submits() -> impl Strategy<Value = Submit> {
    let validity = prop_oneof![
        Just(Validity::Unsaid),
        any::<u8>().prop_map(Validity::Relative),
        timestamps().prop_map(Validity::Absolute),
        any::<[u8; 7]>().prop_map(Validity::Enhanced),
    ];
    (
        any::<[bool; 3]>(),
        any::<[u8; 2]>(),
        addresses(),
        validity,
        contents(),
    )
        .prop_map(
            |([reject, path, report], [reference, protocol], destination, validity, what)| Submit {
                reject_duplicates: reject,
                reply_path: path,
                report_requested: report,
                reference,
                destination,
                protocol: ProtocolId(protocol),
                coding: what.0,
                validity,
                user_data: what.1,
            },
        )
}

fn reports() -> impl Strategy<Value = StatusReport> {
    let more = option::of((option::of(any::<u8>()), option::of(contents())));
    (
        any::<[bool; 3]>(),
        any::<[u8; 2]>(),
        addresses(),
        timestamps(),
        timestamps(),
        more,
    )
        .prop_map(
            |(
                [more_messages, looping, command],
                [reference, status],
                recipient,
                at,
                done,
                more,
            )| {
                StatusReport {
                    more_messages,
                    loop_prevention: looping,
                    of_command: command,
                    reference,
                    recipient,
                    timestamp: at,
                    discharged: done,
                    status: Status(status),
                    more: more.map(|(protocol, what)| waxwing_sms::tpdu::ReportedUserData {
                        reserved: 0,
                        protocol: protocol.map(ProtocolId),
                        coding: what.as_ref().map(|(coding, _)| *coding),
                        user_data: what.map(|(_, data)| data),
                    }),
                }
            },
        )
}

fn known() -> Known {
    Known {
        contacts: vec![Contact {
            name: "Anna".to_owned(),
            numbers: vec!["+358401234567".to_owned()],
            domains: vec!["nordbank.example".to_owned()],
        }],
        short_codes: vec![ShortCode {
            digits: "12345".to_owned(),
            owner: "Nordbank".to_owned(),
        }],
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_it_was(deliver in delivers(), submit in submits(), report in reports()) {
        for (direction, unit) in [
            (Direction::ToPhone, Tpdu::Deliver(deliver)),
            (Direction::FromPhone, Tpdu::Submit(submit)),
            (Direction::ToPhone, Tpdu::StatusReport(report)),
        ] {
            if let Ok(octets) = unit.encode() {
                prop_assert_eq!(Tpdu::decode_with_rest(direction, &octets).unwrap(), (unit, 0));
            }
        }
    }

    #[test]
    fn no_octets_make_it_panic_and_what_is_read_can_be_written(octets in vec(any::<u8>(), 0..200)) {
        for direction in [Direction::ToPhone, Direction::FromPhone] {
            let Ok(unit) = Tpdu::decode(direction, &octets) else {
                continue;
            };
            // All but what could not be read as text.
            if let Ok(written) = unit.encode() {
                let again = Tpdu::decode(direction, &written).unwrap();
                prop_assert_eq!(again, unit.clone());
            }
            if let Tpdu::Deliver(deliver) = &unit {
                for finding in findings::of(&deliver.into(), &known()) {
                    prop_assert!(!finding.sentence().is_empty());
                }
            }
        }
        let _ = pdu::read(&octets, Reading::default());
    }

    #[test]
    fn any_text_is_looked_at(text in "\\PC{0,200}", name in "\\PC{0,20}") {
        let deliver = Deliver {
            more_messages: false,
            loop_prevention: false,
            reply_path: false,
            report_requested: false,
            originator: Address::alphanumeric(&name),
            protocol: ProtocolId(0),
            coding: DataCoding::UTF16,
            timestamp: Timestamp::at(0),
            user_data: UserData::text(&text),
        };
        let found = findings::of(&(&deliver).into(), &known());
        prop_assert!(found.is_sorted_by(|one, other| one.severity >= other.severity));
    }

    #[test]
    fn a_text_that_is_split_is_whole_again(text in "([a-z ]|€|ő|😀|\\PC){0,900}") {
        let (coding, parts) = concatenation::split(&text, 7).unwrap();
        let cost = concatenation::cost(&text).unwrap();
        prop_assert_eq!((cost.coding, cost.segments), (coding, parts.len()));
        let mut delivered = Vec::new();
        for part in parts {
            let submit = Tpdu::Submit(Submit {
                reject_duplicates: false,
                reply_path: false,
                report_requested: true,
                reference: 0,
                destination: Address::international("358401234567"),
                protocol: ProtocolId(0),
                coding,
                validity: Validity::Unsaid,
                user_data: part,
            });
            let octets = submit.encode().unwrap();
            let Tpdu::Submit(sent) = Tpdu::decode(Direction::FromPhone, &octets).unwrap() else {
                panic!("no submit");
            };
            delivered.push(Deliver {
                more_messages: false,
                loop_prevention: false,
                reply_path: false,
                report_requested: false,
                originator: sent.destination,
                protocol: sent.protocol,
                coding: sent.coding,
                timestamp: Timestamp::at(0),
                user_data: sent.user_data,
            });
        }
        let body = if delivered.len() == 1 {
            delivered.pop().unwrap().user_data.body
        } else {
            delivered.reverse();
            let assembly = Assembly::of(delivered);
            prop_assert_eq!(assembly.disagreements(), []);
            assembly.joined().unwrap().user_data.body
        };
        prop_assert_eq!(body, Body::Text(text));
    }

    #[test]
    fn a_texts_length_is_what_it_is_packed_to(text in "[a-zA-Z €\\[\\]]{0,150}") {
        if let Some(length) = Alphabet::DEFAULT.length(&text) {
            let data = UserData::text(&text);
            match data.packed(DataCoding::SEPTETS) {
                Ok((septets, octets)) => {
                    prop_assert_eq!(septets, length);
                    prop_assert_eq!(octets.len(), (length * 7).div_ceil(8));
                }
                Err(_) => prop_assert!(length > 160),
            }
        }
    }
}
