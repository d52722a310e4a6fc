//! Converts a text from a phone, as SMPP delivers it, to the SMS-DELIVER that a phone would
//! have received: one form for all readers, with nothing lost.
//!
//! **Elsewhere**: devices read it and find the tricks in it.
//!
//! **Always**: nothing that an SMSC sends can make this panic, and a text that cannot be
//! accepted is refused as a whole.

use rusmpp::pdus::DeliverSm;
use rusmpp::tlvs::TlvValue;
use rusmpp::values::{Npi, Ton};
use waxwing_sms::{
    Address, Body, DataCoding, Deliver, Element, Part, Ports, ProtocolId, Reference, Timestamp,
    Tpdu, TypeOfNumber, UserData, concatenation,
};

/// A text for a number of the relay's people.
pub struct Inbound {
    /// E.164, with the plus sign.
    pub to: String,
    /// SMS-DELIVER; several where it came as one that is longer than the air carries.
    pub tpdus: Vec<Vec<u8>>,
}

/// Reads one; none where it cannot be for anybody here, or is nothing that a phone would get.
pub fn read(deliver: &DeliverSm, unix_seconds: i64) -> Option<Inbound> {
    let to = number(deliver)?;
    let payload = deliver.tlvs().iter().find_map(|tlv| match tlv.value() {
        Some(TlvValue::MessagePayload(payload)) => Some(payload.value.as_ref()),
        _ => None,
    });
    let octets = payload.unwrap_or(deliver.short_message().as_ref());
    let has_header = u8::from(deliver.esm_class) & 0x40 != 0;
    let (coding, mut user_data) = user_data(u8::from(deliver.data_coding), octets, has_header)?;
    user_data.header.elements.extend(said_beside(deliver));
    let unit = |coding, user_data| Deliver {
        more_messages: false,
        loop_prevention: false,
        reply_path: u8::from(deliver.esm_class) & 0x80 != 0,
        report_requested: false,
        originator: originator(deliver),
        protocol: ProtocolId(deliver.protocol_id),
        coding,
        timestamp: Timestamp::at(unix_seconds),
        user_data,
    };
    let whole = Tpdu::Deliver(unit(coding, user_data.clone())).encode();
    if let Ok(tpdu) = whole {
        return Some(Inbound {
            to,
            tpdus: vec![tpdu],
        });
    }
    // Longer than one message, or with characters that its own alphabet has not.
    let Body::Text(text) = &user_data.body else {
        return None;
    };
    let (coding, parts) = concatenation::split(text, reference(octets)).ok()?;
    let beside = user_data.header.elements.into_iter().filter(|element| {
        matches!(
            element,
            Element::ReplyAddress(_) | Element::Ports(_) | Element::Concatenation(_)
        )
    });
    let mut beside: Vec<Element> = beside.collect();
    if parts.len() > 1 {
        beside.retain(|element| !matches!(element, Element::Concatenation(_)));
    }
    let tpdus = parts.into_iter().map(|mut part| {
        part.header.elements.extend(beside.iter().cloned());
        Tpdu::Deliver(unit(coding, part)).encode().ok()
    });
    Some(Inbound {
        to,
        tpdus: tpdus.collect::<Option<_>>()?,
    })
}

/// Parts that are made here need a reference that differs from message to message.
fn reference(octets: &[u8]) -> u16 {
    octets.iter().fold(0x5a17_u16, |sum, octet| {
        sum.rotate_left(5) ^ u16::from(*octet)
    })
}

/// Whom it is for.
fn number(deliver: &DeliverSm) -> Option<String> {
    let said = deliver.destination_addr.to_string();
    let digits = said.strip_prefix('+').unwrap_or(&said);
    let all_digits = !digits.is_empty() && digits.bytes().all(|one| one.is_ascii_digit());
    let international = deliver.dest_addr_ton == Ton::International || said.starts_with('+');
    (all_digits && international).then(|| format!("+{digits}"))
}

fn originator(deliver: &DeliverSm) -> Address {
    let value = deliver.source_addr.to_string();
    let kind = TypeOfNumber::numbered(u8::from(deliver.source_addr_ton));
    let is_number = value
        .bytes()
        .all(|one| one.is_ascii_digit() || b"+*#".contains(&one));
    match (kind, value.strip_prefix('+')) {
        (TypeOfNumber::Alphanumeric, _) => Address::alphanumeric(&value),
        // Letters where a number was announced: a name all the same.
        _ if !is_number => Address::alphanumeric(&value),
        (_, Some(digits)) => Address::international(digits),
        (kind, None) => Address {
            kind,
            plan: u8::from(deliver.source_addr_npi == Npi::Isdn),
            value,
        },
    }
}

/// What SMPP says of codings (section 5.2.19), as phones do (TS 23.038 section 4).
fn user_data(smpp: u8, octets: &[u8], has_header: bool) -> Option<(DataCoding, UserData)> {
    let coding = match smpp {
        0 => DataCoding::SEPTETS,
        8 => DataCoding::UTF16,
        // What has a class, or waits: as phones write it.
        0x10..=0x1f | 0xc0..=0xff => DataCoding(smpp),
        _ => DataCoding::OCTETS,
    };
    let mut data = UserData::of_octets(octets, coding, has_header).ok()?;
    // 1 is ASCII, 3 is Latin-1: of both each octet is its character.
    if !matches!(smpp, 1 | 3) {
        return Some((coding, data));
    }
    if let Body::Octets(latin1) = &data.body {
        let text: String = latin1.iter().map(|octet| char::from(*octet)).collect();
        data.body = Body::Text(text);
    }
    let septets = DataCoding::SEPTETS;
    let fits = data.packed(septets).is_ok();
    Some((if fits { septets } else { DataCoding::UTF16 }, data))
}

/// What SMPP says beside the message, where phones have it in the header.
fn said_beside(deliver: &DeliverSm) -> Vec<Element> {
    let (mut reference, mut of, mut number) = (None, None, None);
    let (mut source, mut destination) = (None, None);
    for tlv in deliver.tlvs() {
        match tlv.value() {
            Some(TlvValue::SarMsgRefNum(said)) => reference = Some(*said),
            Some(TlvValue::SarTotalSegments(said)) => of = Some(*said),
            Some(TlvValue::SarSegmentSeqnum(said)) => number = Some(*said),
            Some(TlvValue::SourcePort(said)) => source = Some(*said),
            Some(TlvValue::DestPort(said)) => destination = Some(*said),
            _ => {}
        }
    }
    let mut elements = Vec::new();
    if let (Some(reference), Some(of), Some(number)) = (reference, of, number)
        && (1..=of).contains(&number)
    {
        elements.push(Element::Concatenation(Part {
            reference: Reference::Long(reference),
            of,
            number,
        }));
    }
    if let Some(destination) = destination {
        elements.push(Element::Ports(Ports {
            destination,
            source: source.unwrap_or(0),
            wide: true,
        }));
    }
    elements
}

#[cfg(test)]
mod tests {
    use rusmpp::types::{COctetString, OctetString};
    use rusmpp::values::{DataCoding as SmppCoding, EsmClass};
    use waxwing_sms::Direction;

    use super::*;

    fn address(text: &str) -> COctetString<1, 21> {
        COctetString::from_vec([text.as_bytes(), &[0]].concat()).unwrap()
    }

    fn deliver(from: (Ton, &str), coding: u8, header: bool, octets: &[u8]) -> DeliverSm {
        DeliverSm::builder()
            .source_addr_ton(from.0)
            .source_addr_npi(Npi::Isdn)
            .source_addr(address(from.1))
            .dest_addr_ton(Ton::International)
            .destination_addr(address("358401234567"))
            .esm_class(EsmClass::from(if header { 0x40 } else { 0 }))
            .data_coding(SmppCoding::from(coding))
            .short_message(OctetString::from_vec(octets.to_vec()).unwrap())
            .build()
    }

    fn one(deliver: &DeliverSm) -> Deliver {
        let inbound = read(deliver, 1_700_000_000).unwrap();
        assert_eq!(inbound.to, "+358401234567");
        let [tpdu] = inbound.tpdus.as_slice() else {
            panic!("several");
        };
        match Tpdu::decode(Direction::ToPhone, tpdu).unwrap() {
            Tpdu::Deliver(deliver) => deliver,
            other => panic!("{other:?}"),
        }
    }

    fn text(deliver: &Deliver) -> &str {
        match &deliver.user_data.body {
            Body::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_spoof_of_2012_keeps_both_addresses() {
        let reply = [0x22, 0x08, 0x0b, 0x91, 0x64, 0x07, 0x28, 0x15, 0x53, 0xf8];
        let mut octets = vec![u8::try_from(reply.len()).unwrap()];
        octets.extend(reply);
        octets.extend(b"Call your bank");
        let got = one(&deliver(
            (Ton::International, "46700000001"),
            0,
            true,
            &octets,
        ));
        assert_eq!(got.originator, Address::international("46700000001"));
        let reply = got.asks_reply_to().unwrap();
        assert_eq!(reply.value, "46708251358");
        assert_eq!(text(&got), "Call your bank");
    }

    #[test]
    fn senders_are_what_they_are() {
        let from = |kind, said: &str| one(&deliver((kind, said), 0, false, b"x")).originator;
        assert_eq!(
            from(Ton::Alphanumeric, "N0RDBANK"),
            Address::alphanumeric("N0RDBANK")
        );
        assert_eq!(
            from(Ton::Unknown, "Nordbank"),
            Address::alphanumeric("Nordbank")
        );
        assert_eq!(
            from(Ton::Unknown, "+46708251358"),
            Address::international("46708251358")
        );
        assert_eq!(from(Ton::Abbreviated, "16400").value, "16400");
    }

    #[test]
    fn every_coding_becomes_what_phones_read() {
        let read = |coding, octets: &[u8]| {
            text(&one(&deliver((Ton::Unknown, "1"), coding, false, octets))).to_owned()
        };
        assert_eq!(read(0, &[0x00, 0x1b, 0x65]), "@€");
        assert_eq!(read(8, &[0xd8, 0x3d, 0xde, 0x00]), "😀");
        assert_eq!(read(3, &[0xe4, 0xe7]), "äç");
        assert_eq!(read(1, b"plain"), "plain");
        let flash = one(&deliver((Ton::Unknown, "1"), 0x10, false, b"now"));
        assert_eq!(flash.coding, DataCoding(0x10));
        let octets = one(&deliver((Ton::Unknown, "1"), 4, false, &[1, 2]));
        assert_eq!(octets.user_data.body, Body::Octets(vec![1, 2]));
    }

    #[test]
    fn a_long_one_becomes_parts() {
        let long: Vec<u8> = (0..250_u8).map(|n| b'a' + n % 26).collect();
        let inbound = read(&deliver((Ton::Unknown, "1"), 0, false, &long), 0).unwrap();
        assert_eq!(inbound.tpdus.len(), 2);
        let parts = inbound.tpdus.iter().map(|tpdu| {
            match Tpdu::decode(Direction::ToPhone, tpdu).unwrap() {
                Tpdu::Deliver(deliver) => deliver,
                other => panic!("{other:?}"),
            }
        });
        let joined = concatenation::Assembly::of(parts).joined().unwrap();
        assert_eq!(text(&joined).as_bytes(), long);
    }

    #[test]
    fn what_is_for_no_number_is_not_taken() {
        let mut odd = deliver((Ton::Unknown, "1"), 0, false, b"x");
        odd.dest_addr_ton = Ton::Alphanumeric;
        odd.destination_addr = address("WAXWING");
        assert!(read(&odd, 0).is_none());
        let broken = deliver((Ton::Unknown, "1"), 0, true, &[200, 1]);
        assert!(read(&broken, 0).is_none());
    }
}
