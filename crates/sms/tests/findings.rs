//! Tricks that are found, and messages in which there are none.

#![cfg(test)]

use waxwing_sms::{
    Address, Body, DataCoding, Deliver, Element, Header, Ports, ProtocolId, Timestamp, Tpdu,
    TypeOfNumber, UserData,
    concatenation::Disagreement,
    findings::{self, Contact, Finding, Known, Message, Severity, ShortCode, What},
    pdu::{self, Reading},
};

fn known() -> Known {
    let contact = |name: &str, number: &str, domain: &str| Contact {
        name: name.to_owned(),
        numbers: vec![number.to_owned()],
        domains: vec![domain.to_owned()],
    };
    Known {
        contacts: vec![
            contact("Mum", "+358401234567", "family.example"),
            contact("Nordbank", "+46708251358", "nordbank.com"),
        ],
        short_codes: vec![ShortCode {
            digits: "16007".to_owned(),
            owner: "Posti".to_owned(),
        }],
    }
}

fn message(originator: Address, text: &str) -> Deliver {
    Deliver {
        more_messages: false,
        loop_prevention: false,
        reply_path: false,
        report_requested: false,
        originator,
        protocol: ProtocolId(0),
        coding: DataCoding::UTF16,
        timestamp: Timestamp::at(0),
        user_data: UserData::text(text),
    }
}

fn someone(text: &str) -> Deliver {
    message(Address::international("4915112345678"), text)
}

fn look(deliver: &Deliver) -> Vec<Finding> {
    findings::of(&deliver.into(), &known())
}

fn of_text(text: &str) -> Vec<What> {
    let found = look(&someone(text));
    found.into_iter().map(|finding| finding.what).collect()
}

fn of_sender(sender: Address) -> Vec<What> {
    let found = look(&message(sender, "Hello"));
    found.into_iter().map(|finding| finding.what).collect()
}

fn named(name: &str) -> Vec<What> {
    let mut found = of_sender(Address::alphanumeric(name));
    let cannot = What::CannotBeAnswered {
        sender: name.to_owned(),
    };
    assert!(found.contains(&cannot));
    found.retain(|what| *what != cannot);
    found
}

#[test]
fn the_attack_of_2012_shows_its_true_sender_and_its_request() {
    let mut deliver = someone("Answer with your PIN");
    let reply = Element::ReplyAddress(Address::international("46708251358"));
    deliver.user_data.header.elements.push(reply);
    let found = look(&deliver);
    let first = found.first().unwrap();
    assert_eq!(first.severity, Severity::Danger);
    assert_eq!(
        first.what,
        What::RepliesElsewhere {
            originator: "+4915112345678".to_owned(),
            reply_to: "+46708251358".to_owned(),
        }
    );
    let sentence = first.sentence();
    assert!(
        sentence.starts_with("It is from +4915112345678, but"),
        "{sentence}"
    );

    // Who asks for answers to their own number asks for nothing.
    let own = Element::ReplyAddress(deliver.originator.clone());
    deliver.user_data.header.elements = vec![own];
    assert_eq!(look(&deliver), []);
}

#[test]
fn an_honest_message_has_nothing_to_tell() {
    assert_eq!(
        of_text("Dinner at 7? Version 1.5 is out, e.g. at 12.30. Ask a@b.com!"),
        []
    );
    assert_eq!(
        of_text("See https://nordbank.com/help and www.family.example."),
        []
    );
    assert_eq!(of_text("Здравствуйте! 👩‍👩‍👧 नमस्ते"), []);
    assert_eq!(of_sender(Address::international("358401234567")), []);
    // As networks write a number at home.
    let home = Address {
        kind: TypeOfNumber::National,
        plan: 1,
        value: "0401234567".to_owned(),
    };
    assert_eq!(of_sender(home), []);
    assert_eq!(named("Vodafone"), []);
}

#[test]
fn a_sender_that_calls_itself_as_a_contact_is_found() {
    for name in [
        "Mum",
        "MUM",
        "Nordbank",
        "N0RDBANK",
        "NordBank.",
        "Nord Bank",
    ] {
        let found = named(name);
        assert!(
            found
                .iter()
                .any(|what| matches!(what, What::ImitatesContact { .. })),
            "{name}: {found:?}"
        );
    }
    // Their number, written as a name.
    let found = named("+3584012345");
    assert!(
        matches!(found.first(), Some(What::NameLikeNumber { .. })),
        "{found:?}"
    );
    // The same subscriber in another country.
    let found = of_sender(Address::international("234401234567"));
    assert!(
        matches!(found.first(), Some(What::ImitatesContact { .. })),
        "{found:?}"
    );
}

#[test]
fn a_sender_that_looks_like_a_short_number_is_found() {
    let is_it = |found: &[What]| {
        found.iter().any(|what| {
            matches!(what, What::ImitatesShortCode { short_code, .. }
            if short_code == "16007")
        })
    };
    assert!(is_it(&named("16OO7")));
    assert!(is_it(&named("Posti")));
    assert!(is_it(&of_sender(Address::international("16007"))));
    let itself = Address {
        kind: TypeOfNumber::Abbreviated,
        plan: 1,
        value: "16007".to_owned(),
    };
    assert_eq!(of_sender(itself), []);
}

#[test]
fn letters_that_look_like_others_are_found_in_a_sender() {
    let reads = |name: &str| {
        named(name).into_iter().find_map(|what| match what {
            What::ConfusableSender { reads_as, .. } => Some(reads_as),
            _ => None,
        })
    };
    assert_eq!(reads("P0STEN").as_deref(), Some("POSTEN"));
    assert!(reads("Аmazon").is_some());
    assert_eq!(reads("Amazon"), None);
    assert_eq!(reads("Почта"), None);
}

#[test]
fn links_are_read_as_browsers_read_them() {
    let first = |text: &str| of_text(text).into_iter().next();
    let number = |host: &str| {
        Some(What::LinkToNumber {
            host: host.to_owned(),
        })
    };
    assert_eq!(first("go http://192.0.2.7/login"), number("192.0.2.7"));
    assert_eq!(first("go https://3221225991"), number("192.0.2.7"));
    assert_eq!(first("go http://0xc0.0.2.7:8080/"), number("192.0.2.7"));
    assert_eq!(first("go 192.0.2.7/x"), number("192.0.2.7"));
    assert_eq!(first("go http://[2001:db8::1]/"), number("[2001:db8::1]"));
    assert_eq!(
        first("go HTTPS://bit.ly/3xYz."),
        Some(What::LinkShortened {
            host: "bit.ly".to_owned()
        })
    );
    assert_eq!(
        first("(tinyurl.com/abc)"),
        Some(What::LinkShortened {
            host: "tinyurl.com".to_owned()
        })
    );
    // What stands before an @ leads nowhere.
    let found = of_text("https://nordbank.com@evil.net/login");
    assert!(
        found.contains(&What::LinkShowsOther {
            shown: "nordbank.com".to_owned(),
            host: "evil.net".to_owned(),
        }),
        "{found:?}"
    );
}

#[test]
fn a_domain_that_imitates_a_known_one_is_found() {
    for link in [
        "https://nordbank.com.login.net/",
        "nordbank-secure.net/x",
        "http://nordbnak.com",
        "n0rdbank.com",
        "https://my.nordbank.co/",
        "https://nördbank.com/",
        "https://xn--nrdbank-90a.com/",
        "https://nоrdbank.com/",
    ] {
        let found = of_text(link);
        assert!(
            found
                .iter()
                .any(|what| matches!(what, What::LinkImitates { domain, .. }
                if domain == "nordbank.com")),
            "{link}: {found:?}"
        );
    }
}

#[test]
fn names_in_ascii_for_other_letters_are_told() {
    let found = of_text("https://xn--mnchen-3ya.de/");
    assert_eq!(
        found,
        [What::LinkPunycode {
            host: "xn--mnchen-3ya.de".to_owned(),
            shows_as: "münchen.de".to_owned(),
        }]
    );
    // аррӏе in Cyrillic letters.
    let found = of_text("https://xn--80ak6aa92e.com/");
    assert!(
        found
            .iter()
            .any(|what| matches!(what, What::LinkConfusable { reads_as, .. }
            if reads_as == "apple.com")),
        "{found:?}"
    );
}

#[test]
fn a_link_that_shows_one_place_and_leads_to_another_is_found() {
    let other = What::LinkShowsOther {
        shown: "www.nordbank.com".to_owned(),
        host: "evil.net".to_owned(),
    };
    let text = "[www.nordbank.com](https://evil.net/)";
    assert!(of_text(text).contains(&other));
    let text = "<a href=\"https://evil.net/\">www.nordbank.com</a>";
    assert!(of_text(text).contains(&other));
    // By the header's element: sixteen characters that are shown, sixteen that are led to.
    let mut deliver = someone("See www.nordbank.comhttp://evil.net/ now");
    deliver.user_data.header = Header::read(&[0x21, 4, 0, 4, 16, 16]);
    let found = look(&deliver);
    assert!(found.iter().any(|one| one.what == other), "{found:?}");
    assert!(!of_text("[here](https://example.net/)").contains(&other));
}

#[test]
fn what_is_for_no_person_is_told() {
    let with = |change: fn(&mut Deliver)| {
        let mut deliver = someone("x");
        change(&mut deliver);
        look(&deliver)
    };
    let first = |change| with(change).into_iter().next().unwrap();
    let silent = first(|one| one.protocol = ProtocolId(0x40));
    assert_eq!(
        (silent.severity, silent.what),
        (Severity::Danger, What::Silent)
    );
    let flash = first(|one| one.coding = DataCoding(0x18));
    assert_eq!(flash.what, What::Flash);
    let sim = first(|one| one.protocol = ProtocolId(0x7f));
    assert_eq!(sim.what, What::ForTheDevice);
    let push = first(|one| {
        one.user_data.header.elements.push(Element::Ports(Ports {
            destination: 2948,
            source: 9200,
            wide: true,
        }));
        one.user_data.body = Body::Octets(vec![1, 6, 3]);
    });
    assert!(matches!(push.what, What::Push { port: 2948, .. }));
    let port = first(|one| one.user_data.header = Header::read(&[5, 4, 0x3e, 0x94, 0, 0]));
    assert_eq!(port.what, What::Port { port: 16020 });
    let broken = first(|one| one.user_data.header = Header::read(&[0x22, 200, 1]));
    assert_eq!(broken.what, What::BrokenHeader);
    let hidden = first(|one| one.user_data = UserData::text("abc\u{202e}txt.exe"));
    assert_eq!(hidden.what, What::HiddenCharacters);
    let email = first(|one| one.protocol = ProtocolId(0x32));
    assert_eq!(email.what, What::FromEmail);
    let replaces = first(|one| one.protocol = ProtocolId(0x42));
    assert_eq!(replaces.what, What::Replaces);
}

#[test]
fn parts_that_do_not_fit_or_have_not_come_are_told() {
    let deliver = someone("x […]");
    let message = Message {
        deliver: &deliver,
        disagreements: &[Disagreement::Count, Disagreement::Content],
        missing: &[2],
    };
    let found = findings::of(&message, &known());
    assert!(matches!(found[0].what, What::PartsDisagree { .. }));
    assert_eq!(found[1].what, What::PartsMissing { parts: vec![2] });
    assert!(found[1].sentence().contains("part 2"));
}

/// A message as its digits, without what is over.
fn read(digits: &str) -> Tpdu {
    let pdu = pdu::read_hex(digits, Reading::default()).unwrap();
    assert_eq!((pdu.left_over, pdu.cut_off), (0, None));
    pdu.tpdu
}

fn found_in(digits: &str) -> Vec<Finding> {
    match read(digits) {
        Tpdu::Deliver(deliver) => look(&deliver),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_contacts_own_number_is_theirs_however_it_is_written() {
    let own = Address::international("4687654321");
    for written in [
        "+46 8 765 43 21",
        "+46 (0)8-765 43 21",
        "0046-8-765 43 21",
        "+46\u{a0}8\u{a0}7654321",
        "\u{200e}+46 8 765 43 21",
    ] {
        let known = Known {
            contacts: vec![Contact {
                name: "Nordbank".to_owned(),
                numbers: vec![written.to_owned()],
                domains: Vec::new(),
            }],
            short_codes: Vec::new(),
        };
        let deliver = message(own.clone(), "Hello");
        assert_eq!(findings::of(&(&deliver).into(), &known), [], "{written}");
        // The same subscriber in another country is found, however it is written.
        let other = message(Address::international("4787654321"), "Hello");
        let found = findings::of(&(&other).into(), &known);
        assert!(
            matches!(found[0].what, What::ImitatesContact { .. }),
            "{written}: {found:?}"
        );
    }
}

#[test]
fn what_is_for_people_is_not_said_to_be_for_a_device() {
    // Text of class 2, which is kept on the SIM card.
    assert_eq!(found_in("00040C9144770009103200125201518130340802C834"), []);
    // A vCard and a vCalendar are no push.
    for (port, what) in [("23F4", What::ContactCard), ("23F5", What::Appointment)] {
        let digits = format!(
            "00440C91447700091032000452015181303408120605 04{port}0000424547494E3A5643415244"
        );
        let found = found_in(&digits);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].severity, &found[0].what), (Severity::Note, &what));
    }
    // Octets of class 2 for the card are for the card.
    let found = found_in("00040C914477000910327FF6520151813034080402700000");
    assert_eq!(found[0].what, What::ForTheDevice);
}

#[test]
fn a_second_reply_address_hides_no_first_one() {
    let digits = "00440C91447700091032000052015181303408150F220302819922080C91447700091032009906";
    let elsewhere = What::RepliesElsewhere {
        originator: "+447700900123".to_owned(),
        reply_to: "99".to_owned(),
    };
    assert_eq!(found_in(digits)[0].what, elsewhere);
}

#[test]
fn a_message_to_send_is_looked_at_too() {
    // With a link to a number, and the wish that replies go elsewhere.
    let mut submit = match read("0011000B916407281553F80000AA0AE8329BFD4697D9EC37") {
        Tpdu::Submit(submit) => submit,
        other => panic!("{other:?}"),
    };
    assert_eq!(findings::of_submit(&submit, &known()), []);
    submit.user_data = UserData::text("go http://192.0.2.7/login");
    let reply = Element::ReplyAddress(Address::international("46708251358"));
    submit.user_data.header.elements.push(reply);
    let found = findings::of_submit(&submit, &known());
    let kinds: Vec<&What> = found.iter().map(|finding| &finding.what).collect();
    assert!(matches!(kinds[0], What::AsksForRepliesTo { reply_to } if reply_to == "+46708251358"));
    assert!(matches!(kinds[1], What::LinkToNumber { .. }), "{kinds:?}");
}

#[test]
fn a_voice_mail_sign_is_a_trick_only_with_a_link_or_number() {
    let severity = |octet: u8, text: &str| {
        let mut deliver = someone(text);
        deliver.coding = DataCoding(octet);
        let found = look(&deliver);
        let waiting = found
            .iter()
            .find(|one| matches!(one.what, What::MessageWaiting { .. }));
        waiting.unwrap_or_else(|| panic!("{found:?}")).severity
    };
    for octet in [0xc0, 0xc8, 0xd8, 0xe8] {
        assert_eq!(
            severity(octet, "You have 2 new messages. Dial 121."),
            Severity::Note
        );
        assert_eq!(severity(octet, "Call +46 700 000 001"), Severity::Caution);
        assert_eq!(severity(octet, "Listen: evil.net/v"), Severity::Caution);
    }
}

#[test]
fn what_everyday_messages_have_gets_a_note_at_most() {
    let worst = |text: &str| {
        let found = look(&someone(text));
        found.into_iter().map(|finding| finding.severity).max()
    };
    for text in [
        "https://xn--mnchen-3ya.de/",
        "http://192.168.1.1",
        "https://amzn.to/abc",
    ] {
        assert_eq!(worst(text), Some(Severity::Note), "{text}");
    }
    for text in [
        "10.1.1.4",
        "v1.2.3.4",
        "1.2.3.4/24",
        "müller.de",
        "Donau\u{ad}dampf",
    ] {
        assert_eq!(worst(text), None, "{text}");
    }
}

#[test]
fn a_person_at_a_company_does_not_make_its_messages_false() {
    let known = Known {
        contacts: vec![Contact {
            name: "Bob Smith".to_owned(),
            numbers: Vec::new(),
            domains: vec!["amazon.com".to_owned()],
        }],
        short_codes: Vec::new(),
    };
    let worst = |name: &str| {
        let deliver = message(Address::alphanumeric(name), "Hello");
        let found = findings::of(&(&deliver).into(), &known);
        found.into_iter().map(|finding| finding.severity).max()
    };
    assert_eq!(worst("Amazon"), Some(Severity::Note));
    for name in ["Amaz0n", "AMAZ0N", "Amazon-SE", "Arnazon"] {
        assert_eq!(worst(name), Some(Severity::Danger), "{name}");
    }
}
