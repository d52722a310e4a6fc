//! Text messages of the phone network: the units themselves, and texts that people wrote or were
//! written to trick them.
//!
//! **Always**: whatever is read can be written and is then read as the same; whatever is split
//! is whole again.

use waxwing_sms::{
    Address, Body, DataCoding, Deliver, Direction, ProtocolId, Timestamp, Tpdu, UserData,
    concatenation::{self, Assembly},
    findings::{self, Contact, Known, Message, ShortCode},
    pdu::{self, Reading},
};

use bytes::BytesMut;
use rusmpp::{Pdu, tokio_codec::CommandCodec};
use tokio_util::codec::Decoder as _;
use waxwing_relay::sms::inbound;

use crate::seeds::Seeds;

/// Octets as they may come from a service centre or a modem: several units, one behind the
/// other, which may be parts of one message.
pub fn sms(bytes: &[u8]) {
    let _ = pdu::read(bytes, Reading::default());
    let mut parts = Vec::new();
    let mut rest = bytes;
    while let Some(unit) = one(Direction::FromPhone, rest).or_else(|| one(Direction::ToPhone, rest))
    {
        rest = unit.1;
        if let Tpdu::Deliver(deliver) = unit.0 {
            parts.push(deliver);
        }
    }
    for deliver in &parts {
        look(&deliver.into());
    }
    let assembly = Assembly::of(parts);
    if let Some(joined) = assembly.joined() {
        look(&Message {
            deliver: &joined,
            disagreements: &assembly.disagreements(),
            missing: &assembly.missing(),
        });
    }
}

/// A unit, and what is behind it.
fn one(direction: Direction, bytes: &[u8]) -> Option<(Tpdu, &[u8])> {
    let (unit, left) = Tpdu::decode_with_rest(direction, bytes).ok()?;
    if let Ok(written) = unit.encode() {
        let again = Tpdu::decode_with_rest(direction, &written);
        assert_eq!(
            again.as_ref(),
            Ok(&(unit.clone(), 0)),
            "what is written is read as it was"
        );
    }
    Some((unit, bytes.get(bytes.len() - left..)?))
}

/// A sender on the first line, and a text behind it.
pub fn sms_text(bytes: &[u8]) {
    let all = String::from_utf8_lossy(bytes);
    let (sender, text) = all.split_once('\n').unwrap_or(("", &all));
    let mut deliver = Deliver {
        more_messages: false,
        loop_prevention: false,
        reply_path: false,
        report_requested: false,
        originator: Address::alphanumeric(sender),
        protocol: ProtocolId(0),
        coding: DataCoding::UTF16,
        timestamp: Timestamp::at(0),
        user_data: UserData::text(text),
    };
    look(&(&deliver).into());
    let (Ok(cost), Ok((coding, parts))) =
        (concatenation::cost(text), concatenation::split(text, 1))
    else {
        return;
    };
    assert_eq!(
        (cost.coding, cost.segments),
        (coding, parts.len()),
        "a text costs what it is split into"
    );
    deliver.coding = coding;
    let single = parts.len() == 1;
    let whole: Vec<Deliver> = parts
        .into_iter()
        .map(|user_data| {
            assert!(user_data.packed(coding).is_ok(), "each part fits");
            Deliver {
                user_data,
                ..deliver.clone()
            }
        })
        .collect();
    let body = if single {
        whole.into_iter().next().map(|one| one.user_data.body)
    } else {
        Assembly::of(whole).joined().map(|one| one.user_data.body)
    };
    assert_eq!(body, Some(Body::Text(text.to_owned())), "it is whole again");
}

/// Frames as they may come from an SMSC: each text in them is what a phone would have got.
pub fn sms_inbound(bytes: &[u8]) {
    let mut codec = CommandCodec::new();
    let mut rest = BytesMut::from(bytes);
    while let Ok(Some(command)) = codec.decode(&mut rest) {
        let Some(Pdu::DeliverSm(deliver)) = command.pdu() else {
            continue;
        };
        let Some(inbound) = inbound::read(deliver, 1_700_000_000) else {
            continue;
        };
        assert!(inbound.to.starts_with('+'), "it is for a number");
        assert!(!inbound.tpdus.is_empty(), "it says something");
        for tpdu in &inbound.tpdus {
            let unit = Tpdu::decode(Direction::ToPhone, tpdu);
            assert!(matches!(unit, Ok(Tpdu::Deliver(_))), "a phone can read it");
        }
    }
}

/// Each finding has a sentence.
fn look(message: &Message<'_>) {
    let known = Known {
        contacts: vec![Contact {
            name: "Nordbank".to_owned(),
            numbers: vec!["+358401234567".to_owned()],
            domains: vec!["nordbank.com".to_owned()],
        }],
        short_codes: vec![ShortCode {
            digits: "16007".to_owned(),
            owner: "Posti".to_owned(),
        }],
    };
    for finding in findings::of(message, &known) {
        assert!(!finding.sentence().is_empty(), "a finding says something");
    }
}

/// Units to start from.
pub fn units() -> Seeds {
    let deliver = |originator: Address, octets: &[u8], coding: u8| {
        let header_and_text = [&[0x44][..], &written(&originator), &[0, coding], &[0x21; 7]];
        let length = u8::try_from(octets.len()).unwrap_or_default();
        [header_and_text.concat(), vec![length], octets.to_vec()].concat()
    };
    let number = || Address::international("46708251358");
    let reply = b"\x0a\x22\x08\x0c\x91\x53\x48\x10\x32\x54\x76\x00h\x00i";
    let part = b"\x05\x00\x03\x07\x02\x01\x00h\x00i";
    let other = b"\x05\x00\x03\x07\x02\x02\xd8\x3d\xde\x00";
    let link = b"\x06\x21\x04\x00\x00\x01\x01\x00a\x00b";
    let two = [deliver(number(), part, 8), deliver(number(), other, 8)];
    [
        ("reply_address", deliver(number(), reply, 8)),
        ("name", deliver(Address::alphanumeric("Nordbank"), part, 8)),
        ("two_parts", two.concat()),
        ("hyperlink", deliver(number(), link, 8)),
        ("push", deliver(number(), b"\x06\x05\x04\x0b\x84\x23\xf0\x01\x06", 4)),
        ("submit", b"\x11\x00\x0b\x91\x64\x07\x28\x15\x53\xf8\x00\x00\xaa\x0a\xe8\x32\x9b\xfd\x46\x97\xd9\xec\x37".to_vec()),
        ("report", b"\x06\x2a\x0b\x91\x13\x46\x61\x00\x89\xf6\x42\x11\x72\x11\x03\x00\x40\x42\x11\x72\x11\x03\x80\x40\x00\x07\x00\x00\x02\xe8\x34".to_vec()),
        ("turkish", b"\x44\x04\x81\x21\x43\x00\x00\x21\x80\x81\x71\x02\x14\x40\x07\x03\x25\x01\x01\x38\x74\x00".to_vec()),
    ]
    .into_iter()
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .collect()
}

/// As an address is written in a unit.
fn written(address: &Address) -> Vec<u8> {
    let unit = Tpdu::Deliver(Deliver {
        more_messages: false,
        loop_prevention: false,
        reply_path: false,
        report_requested: false,
        originator: address.clone(),
        protocol: ProtocolId(0),
        coding: DataCoding::SEPTETS,
        timestamp: Timestamp::at(0),
        user_data: UserData::default(),
    });
    let unit = unit.encode().unwrap_or_default();
    // Between the first octet, and two of kind, seven of time, and one of length.
    unit.get(1..unit.len().saturating_sub(10))
        .map(<[u8]>::to_vec)
        .unwrap_or_default()
}

/// An SMSC's frames to start from.
pub fn frames() -> Seeds {
    let frame = |header: &[u8], coding: u8, text: &[u8]| {
        let class = if header.is_empty() { 0 } else { 0x40 };
        let length = u8::try_from(header.len() + text.len()).unwrap_or_default();
        let body = [
            b"\0\x01\x0146708251358\0\x01\x01358401234567\0",
            &[class, 0, 0, 0, 0, 0, 0, coding, 0, length][..],
            header,
            text,
        ]
        .concat();
        let whole = u32::try_from(body.len() + 16).unwrap_or_default();
        [
            &whole.to_be_bytes()[..],
            &[0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 7],
            &body,
        ]
        .concat()
    };
    [
        ("plain", frame(&[], 0, b"hello")),
        ("emoji", frame(&[], 8, b"\xd8\x3d\xde\x00")),
        (
            "reply_address",
            frame(b"\x0a\x22\x08\x0b\x91\x64\x07\x28\x15\x53\xf8", 0, b"hi"),
        ),
        ("part", frame(b"\x05\x00\x03\x07\x02\x01", 0, b"one")),
        ("latin", frame(&[], 3, b"\xe4\xf6")),
        ("long", frame(&[], 0, &[b'a'; 200])),
    ]
    .into_iter()
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .collect()
}

/// Texts to start from.
pub fn texts() -> Seeds {
    [
        ("plain", "Mum\nDinner at 7?"),
        (
            "bank",
            "N0rdbank\nVerify now: https://xn--nrdbank-90a.com/login",
        ),
        (
            "shown",
            "x\n[www.nordbank.com](https://evil.net) <a href=\"http://1.2.3.4\">nordbank.com</a>",
        ),
        (
            "user",
            "+16007\nhttps://nordbank.com@0x7f.1/ bit.ly/abc \u{202e}moc",
        ),
        ("emoji", "🏳️‍🌈\n👩‍👩‍👧😀€[]{}~^ő"),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .collect()
}
