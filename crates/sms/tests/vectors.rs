//! Messages that must be read as they are for ever, and octets that must be refused.
//!
//! The first ones have been in the handbooks of modems and in their programs' tests for twenty
//! years; others are made by hand after TS 23.040 and TS 23.038, each named by what it is for.

#![cfg(test)]

use data_encoding::HEXLOWER_PERMISSIVE;
use waxwing_sms::{
    Body, Class, Deliver, Direction, Field, Outcome, Reference, StatusReport, Submit, Tpdu,
    TpduError, TypeOfNumber,
    concatenation::Assembly,
    pdu::{self, Pdu, PduError, Reading},
    tpdu::Validity,
};

fn read(digits: &str) -> Pdu {
    let pdu = pdu::read_hex(digits, Reading::default()).unwrap();
    assert_eq!(pdu.left_over, 0, "{digits}");
    pdu
}

fn deliver(digits: &str) -> Deliver {
    match read(digits).tpdu {
        Tpdu::Deliver(deliver) => deliver,
        other => panic!("{other:?}"),
    }
}

fn submit(digits: &str) -> Submit {
    match read(digits).tpdu {
        Tpdu::Submit(submit) => submit,
        other => panic!("{other:?}"),
    }
}

fn report(digits: &str) -> StatusReport {
    match read(digits).tpdu {
        Tpdu::StatusReport(report) => report,
        other => panic!("{other:?}"),
    }
}

fn text(body: &Body) -> &str {
    match body {
        Body::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

/// What is behind the service centre's address is written again as it was.
fn comes_back(digits: &str) {
    let octets = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).unwrap();
    let pdu = read(digits);
    let unit = pdu.tpdu.encode().unwrap();
    assert!(octets.ends_with(&unit), "{digits}\n{unit:02x?}");
}

#[test]
fn a_message_of_the_handbooks_is_read() {
    let digits = "07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37";
    let centre = read(digits).service_centre.unwrap();
    assert_eq!(centre.to_string(), "+27381000015");
    let message = deliver(digits);
    assert_eq!(message.originator.to_string(), "27838890001");
    assert_eq!(message.originator.kind, TypeOfNumber::Subscriber);
    assert_eq!(text(&message.user_data.body), "hellohello");
    // 1999-03-29 15:16:59 +02:00.
    assert_eq!(message.timestamp.unix_seconds(), Some(922_713_419));
    assert!(!message.more_messages);
    comes_back(digits);
}

#[test]
fn a_name_instead_of_a_number_is_read() {
    let digits = "0791448720003023240DD0E474D81C0EBB010000111011315214000BE474D81C0EBB5DE3771B";
    let message = deliver(digits);
    assert_eq!(message.originator.kind, TypeOfNumber::Alphanumeric);
    assert_eq!(message.originator.to_string(), "diafaan");
    assert_eq!(text(&message.user_data.body), "diafaan.com");
    assert!(message.report_requested);
    comes_back(digits);
}

#[test]
fn a_message_to_be_sent_is_read() {
    let digits = "0011000B916407281553F80000AA0AE8329BFD4697D9EC37";
    let message = submit(digits);
    assert_eq!(read(digits).service_centre, None);
    assert_eq!(message.destination.to_string(), "+46708251358");
    assert_eq!(message.validity, Validity::Relative(0xaa));
    assert_eq!(message.validity.minutes(), Some(4 * 24 * 60));
    assert_eq!(text(&message.user_data.body), "hellohello");
    comes_back(digits);
}

#[test]
fn a_report_is_read() {
    // Reference 0x2a, to +31641600986, delivered eight seconds after it was there.
    let digits = "0006 2A 0B 91 1346610089F6 42117211030040 42117211038040 00".replace(' ', "");
    let told = report(&digits);
    assert_eq!(
        (told.reference, told.status.outcome()),
        (0x2a, Outcome::Delivered)
    );
    assert_eq!(told.recipient.to_string(), "+31641600986");
    let waited = told.discharged.unix_seconds().unwrap() - told.timestamp.unix_seconds().unwrap();
    assert_eq!(waited, 8);
    comes_back(&digits);
    // With what may follow: a protocol, a coding, and a text.
    let more = format!("{digits}07 00 00 02 E834").replace(' ', "");
    let told = report(&more);
    let user_data = told.more.unwrap().user_data.unwrap();
    assert_eq!(text(&user_data.body), "hi");
    comes_back(&more);
}

/// The attack of 2012: from +46708251358, with the wish that answers go to +358401234567.
const SPOOF: &str = concat!(
    "440B916407281553F80000218081710214403A0A22080C91534810325476C8BE",
    "EB7250783C7ED7DD74507A0E62BFC7EB32D9050ABAE7F7B21C744FD3D1A0FCBB",
    "2E0741934E17",
);

#[test]
fn the_reply_address_is_read_beside_the_true_sender() {
    let message = deliver(SPOOF);
    assert_eq!(message.originator.to_string(), "+46708251358");
    let reply_to = message.asks_reply_to().unwrap();
    assert_eq!(reply_to.to_string(), "+358401234567");
    assert_eq!(
        text(&message.user_data.body),
        "Your account is locked. Answer with your PIN."
    );
    comes_back(SPOOF);
}

#[test]
fn characters_of_sixteen_bits_are_read_with_their_pairs() {
    let digits = "00 04 04 81 2143 00 08 21808171021440 06 0048 D83DDE00".replace(' ', "");
    let message = deliver(&digits);
    assert_eq!(text(&message.user_data.body), "H😀");
    comes_back(&digits);
}

#[test]
fn a_part_with_a_long_reference_is_read() {
    let digits =
        "00 44 04 81 2143 00 08 21808171021440 0B 06 08 04 01 2C 03 02 0048 0049".replace(' ', "");
    let message = deliver(&digits);
    let part = message.user_data.header.part().unwrap();
    assert_eq!(part.reference, Reference::Long(300));
    assert_eq!((part.number, part.of), (2, 3));
    assert_eq!(text(&message.user_data.body), "HI");
    comes_back(&digits);
}

#[test]
fn turkish_is_read_by_its_tables() {
    // Locking shift to Turkish: 0x07 is ı, 0x1d is ş.
    let digits = "00 44 04 81 2143 00 00 21808171021440 07 03 25 01 01 38 74 00".replace(' ', "");
    let message = deliver(&digits);
    assert_eq!(text(&message.user_data.body), "ış");
    comes_back(&digits);
}

#[test]
fn a_flash_and_a_silent_message_are_known() {
    let flash = deliver(
        "00040481214300 10 21808171021440 02 E834"
            .replace(' ', "")
            .as_str(),
    );
    assert_eq!(flash.coding.class(), Some(Class::Flash));
    let silent = deliver(
        "000404812143 40 00 21808171021440 00"
            .replace(' ', "")
            .as_str(),
    );
    assert!(silent.protocol.silent());
}

#[test]
fn a_message_without_a_service_centre_has_its_true_sender() {
    // As if it had one, it would be from "5".
    let digits = "040B913774980208F500005220411103834002ED32";
    let pdu = read(digits);
    assert_eq!(pdu.service_centre, None);
    let message = deliver(digits);
    assert_eq!(message.originator.to_string(), "+73478920805");
    assert_eq!(text(&message.user_data.body), "me");
    comes_back(digits);
}

/// Whatever the sender, the text and the centre are: with the centre and without, the sender is
/// who it is.
#[test]
fn a_sender_does_not_depend_on_what_stands_in_front() {
    let centres = [
        "",
        "00",
        "07917283010010F5",
        "06914487200030",
        "0791448720003023",
    ];
    let senders = [
        "0B913774980208F5",
        "0BC87238880900F1",
        "0481 2143",
        "0DD0E474D81C0EBB01",
        "0A8170428513 00",
    ];
    let firsts = ["00", "04", "24", "44"];
    for first in firsts {
        for sender in senders {
            let header = if first == "44" {
                "0B 06 08 04 01 2C 03 02 0048 0049"
            } else {
                "04 0048 0049"
            };
            let unit = format!("{first} {sender} 00 08 21808171021440 {header}").replace(' ', "");
            let alone = deliver(&unit);
            for centre in centres {
                let digits = format!("{centre}{unit}");
                let all = pdu::ways(&pdu::octets(&digits).unwrap(), Reading::default()).unwrap();
                assert_eq!(all.len(), 1, "{digits}");
                assert_eq!(deliver(&digits), alone, "{digits}");
                let expected = centre.len() > 2;
                assert_eq!(read(&digits).service_centre.is_some(), expected, "{digits}");
            }
        }
    }
}

#[test]
fn where_two_readings_are_as_good_both_are_given() {
    // A message to send with the reference 0x91 to sixteen digits, of which some make a message
    // to a phone behind a service centre of eight.
    let both = "059110912143040481214300000010102143500009E8329BFD4697D9EC";
    let all = pdu::ways(&pdu::octets(both).unwrap(), Reading::default()).unwrap();
    assert_eq!(all.len(), 2);
    assert!(matches!(&all[0].tpdu, Tpdu::Deliver(one) if one.originator.value == "1234"));
    assert!(
        matches!(&all[1].tpdu, Tpdu::Submit(one) if one.destination.value == "1234404018123400")
    );
    let unit = "01 91 04 81 2143 00 00 02 E834".replace(' ', "");
    assert_eq!(submit(&unit).reference, 0x91);
    // A report with the reference 0x91 whose number makes a unit behind six octets.
    let report = format!("0691{}", "0B911346610089F6421172110300404211721103804000");
    let all = pdu::ways(&pdu::octets(&report).unwrap(), Reading::default()).unwrap();
    assert_eq!(all.len(), 1);
    assert!(matches!(all[0].tpdu, Tpdu::StatusReport(_)));
}

#[test]
fn a_time_with_a_bad_digit_is_shown() {
    let message = deliver("00040C914477000910320000112113112391E102C834");
    assert_eq!(message.originator.to_string(), "+447700900123");
    assert_eq!(text(&message.user_data.body), "Hi");
    // 2011-12-31 11:32:19 +02:30.
    assert_eq!(message.timestamp.unix_seconds(), Some(1_325_322_139));
}

#[test]
fn what_is_there_of_a_message_that_is_cut_off_is_read() {
    let pdu = pdu::read_hex(
        "00440C9144770009103200045201518130340811060504",
        Reading::default(),
    )
    .unwrap();
    let cut_off = pdu.cut_off.unwrap();
    assert_eq!((cut_off.within, cut_off.missing), (Field::Header, 14));
    let Tpdu::Deliver(message) = pdu.tpdu else {
        panic!("{pdu:?}");
    };
    assert_eq!(message.originator.to_string(), "+447700900123");
    assert!(message.timestamp.unix_seconds().is_some());

    // A whole message, cut off anywhere behind its first octets: what is there stays what it is.
    let whole = "0791448720003023240DD0E474D81C0EBB010000111011315214000BE474D81C0EBB5DE3771B";
    let octets = pdu::octets(whole).unwrap();
    let full = deliver(whole);
    for end in 11..octets.len() {
        let pdu = pdu::read(&octets[..end], Reading::default()).unwrap();
        let cut_off = pdu.cut_off.unwrap();
        assert_eq!(
            pdu.service_centre.unwrap().to_string(),
            "+447802000332",
            "{end}"
        );
        let Tpdu::Deliver(message) = pdu.tpdu else {
            panic!("{end}");
        };
        if cut_off.within > Field::Address {
            assert_eq!(message.originator, full.originator, "{end}");
        }
        if cut_off.within > Field::Timestamp {
            assert_eq!(message.timestamp, full.timestamp, "{end}");
        }
        if cut_off.within == Field::Content {
            let beginning = text(&message.user_data.body);
            assert!(text(&full.user_data.body).starts_with(beginning), "{end}");
        }
    }
}

#[test]
fn a_pair_that_two_parts_share_is_one_character() {
    let parts = [
        "00440C9144770009103200085201518130340808050003090201D83D",
        "00440C9144770009103200085201518130340808050003090202DE01",
    ];
    let assembly = Assembly::of(parts.map(deliver));
    let joined = assembly.joined().unwrap();
    assert_eq!(text(&joined.user_data.body), "😁");
    for part in parts {
        comes_back(part);
    }
}

#[test]
fn of_two_reply_addresses_the_other_one_is_told() {
    let message =
        deliver("00440C91447700091032000052015181303408150F220302819922080C91447700091032009906");
    assert_eq!(message.asks_reply_to().unwrap().to_string(), "99");
}

#[test]
fn what_is_cut_off_anywhere_is_refused() {
    let whole = "040BC87238880900F10000993092516195800AE8329BFD4697D9EC37";
    let octets = HEXLOWER_PERMISSIVE.decode(whole.as_bytes()).unwrap();
    assert!(Tpdu::decode(Direction::ToPhone, &octets).is_ok());
    for end in 0..octets.len() {
        let cut = octets.get(..end).unwrap();
        let error = Tpdu::decode(Direction::ToPhone, cut).unwrap_err();
        assert!(
            matches!(error, TpduError::Truncated { .. }),
            "{end}: {error}"
        );
    }
}

#[test]
fn what_lies_about_its_lengths_is_refused() {
    let refused = |digits: &str| {
        let octets = HEXLOWER_PERMISSIVE
            .decode(digits.replace(' ', "").as_bytes())
            .unwrap();
        Tpdu::decode(Direction::ToPhone, &octets).unwrap_err()
    };
    // An address of 22 digits.
    assert_eq!(
        refused("04 16 91 0000000000000000000000 00 00 21808171021440 00"),
        TpduError::AddressTooLong { semi_octets: 22 }
    );
    // 161 septets, 141 octets.
    assert_eq!(
        refused("04 00 91 00 00 21808171021440 A1"),
        TpduError::UserDataTooLong { octets: 141 }
    );
    assert_eq!(
        refused("04 00 91 00 04 21808171021440 8D"),
        TpduError::UserDataTooLong { octets: 141 }
    );
    // A header that is longer than all of it, and none where one is announced.
    assert_eq!(
        refused("44 00 91 00 04 21808171021440 02 05 00"),
        TpduError::Truncated {
            field: Field::Header
        }
    );
    assert_eq!(
        refused("44 00 91 00 04 21808171021440 00"),
        TpduError::Truncated {
            field: Field::HeaderLength
        }
    );
    // A report of an extension that never ends.
    assert!(matches!(
        refused("06 01 00 91 21808171021440 21808171021440 00 80 80 80"),
        TpduError::Truncated { .. }
    ));
    // A command's answer is no message.
    assert!(matches!(refused("01"), TpduError::Kind { .. }));
}

#[test]
fn what_is_not_hexadecimal_is_told() {
    let read = |text: &str| pdu::read_hex(text, Reading::default()).unwrap_err();
    assert_eq!(read("04g1"), PduError::NotHex('g'));
    assert_eq!(read("041"), PduError::Odd);
    assert_eq!(read(" \n"), PduError::Empty);
    assert_eq!(read(&"00".repeat(600)), PduError::TooLong);
}
