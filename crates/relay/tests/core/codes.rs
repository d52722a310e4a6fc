//! Codes: how many are sent, and that nobody is kept from theirs.
//!
//! **Elsewhere**: what a code proves is in `accounts.rs`.

use std::net::IpAddr;

use waxwing_protocol::{
    ids::RegistrationId,
    limits,
    pb::{self, ErrorCode, client_frame::Body as Ask, relay_frame::Body as Answer},
    time::Span,
};
use waxwing_relay::{
    rate_limit::Rate,
    relay::{Config, LinkId, TextLimits},
};

use crate::world::{Person, World, code};

const ADDRESS: &str = "alice@example.org";

/// One address in network `n`.
fn from(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    [10, high, low, 7].into()
}

fn ask(world: &mut World, source: IpAddr, person: &Person) -> (LinkId, Option<Answer>) {
    let link = world.link_from(source);
    let start = Ask::StartRegistration(pb::StartRegistration {
        address: person.address.clone(),
        device_id: person.device().to_bytes(),
    });
    let answer = world.ask(link, start);
    (link, answer)
}

/// Asks for codes until it is refused; gives how many requests were answered.
fn exhaust(world: &mut World, source: IpAddr, address: &str) -> usize {
    let person = world.stranger(address);
    let answered = (0..1_000).take_while(|_| {
        let (link, answer) = ask(world, source, &person);
        world.relay.link_closed(link);
        matches!(answer, Some(Answer::RegistrationStarted(_)))
    });
    answered.count()
}

/// Registers with the newest code in the mailbox.
fn register(world: &mut World, source: IpAddr, person: &Person) -> Answer {
    let (link, answer) = ask(world, source, person);
    let Some(Answer::RegistrationStarted(started)) = answer else {
        panic!("shut out: {answer:?}");
    };
    let id = RegistrationId::try_from(&started.registration_id).unwrap();
    let newest = world.codes[&person.address].clone();
    let finish = world.finish(link, person, id, &newest);
    world.ask_durably(link, finish)
}

#[test]
fn a_stranger_keeps_no_address_from_being_registered() {
    let mut world = World::new();
    assert!(exhaust(&mut world, from(1), ADDRESS) < 20);
    let alice = world.stranger(ADDRESS);
    let answer = register(&mut world, from(2), &alice);
    assert!(matches!(answer, Answer::Registered(_)), "{answer:?}");
}

#[test]
fn many_strangers_keep_no_address_and_fill_no_letter_box() {
    let mut world = World::new();
    for minute in 0..60 {
        world.wait(Span::minutes(1));
        // From another network each time.
        exhaust(&mut world, from(minute), ADDRESS);
        if minute % 11 == 0 {
            let alice = world.stranger(ADDRESS);
            let answer = register(&mut world, from(60_000 + minute), &alice);
            assert!(matches!(answer, Answer::Registered(_)), "{answer:?}");
        }
    }
    // 15 at once, and one in ten minutes: for the person among them.
    assert!(
        world.code_requests.len() <= 15 + 6,
        "{}",
        world.code_requests.len()
    );
}

#[test]
fn a_code_in_hand_is_good_whatever_others_do() {
    let mut world = World::new();
    let alice = world.stranger(ADDRESS);
    let (link, answer) = ask(&mut world, from(1), &alice);
    let Some(Answer::RegistrationStarted(started)) = answer else {
        panic!("{answer:?}");
    };
    let id = RegistrationId::try_from(&started.registration_id).unwrap();
    let in_hand = world.codes[ADDRESS].clone();
    for n in 2..40 {
        exhaust(&mut world, from(n), ADDRESS);
        let mallory = world.stranger(ADDRESS);
        let (link, answer) = ask(&mut world, from(n + 100), &mallory);
        if let Some(Answer::RegistrationStarted(started)) = answer {
            let id = RegistrationId::try_from(&started.registration_id).unwrap();
            for guess in 0..8 {
                let wrong = world.finish(link, &mallory, id, &guess.to_string());
                world.tell(link, wrong);
            }
        }
    }
    let finish = world.finish(link, &alice, id, &in_hand);
    let answer = world.ask_durably(link, finish);
    assert!(matches!(answer, Answer::Registered(_)), "{answer:?}");
}

#[test]
fn a_registration_code_works_once_and_has_few_tries() {
    let mut world = World::new();
    let mut guesses = 0;
    for n in 0..200 {
        let mallory = world.stranger(ADDRESS);
        for _ in 0..20 {
            let (link, answer) = ask(&mut world, from(n), &mallory);
            let Some(Answer::RegistrationStarted(started)) = answer else {
                break;
            };
            let id = RegistrationId::try_from(&started.registration_id).unwrap();
            for _ in 0..10 {
                let wrong = world.finish(link, &mallory, id, "none");
                let answer = world.ask(link, wrong);
                let Some(Answer::Error(error)) = answer else {
                    panic!("{answer:?}");
                };
                guesses += 1;
                if error.tries_left == 0 {
                    break;
                }
            }
        }
    }
    // 15 codes are sent, each with five tries; each is shared until the next one comes.
    assert!(guesses <= 15 * 5 + (32 + 2 * 2) * 3, "{guesses}");
    // Two wait with one code; the first who enters it has it.
    let mut world = World::new();
    exhaust(&mut world, from(1), ADDRESS);
    exhaust(&mut world, from(2), ADDRESS);
    exhaust(&mut world, from(3), ADDRESS);
    let (alice, mallory) = (world.stranger(ADDRESS), world.stranger(ADDRESS));
    let (mallorys, answer) = ask(&mut world, from(4), &mallory);
    let Some(Answer::RegistrationStarted(started)) = answer else {
        panic!("{answer:?}");
    };
    assert!(started.sent_before);
    let id = RegistrationId::try_from(&started.registration_id).unwrap();
    let newest = world.codes[ADDRESS].clone();
    let answer = register(&mut world, from(5), &alice);
    assert!(matches!(answer, Answer::Registered(_)), "{answer:?}");
    let finish = world.finish(mallorys, &mallory, id, &newest);
    let answer = world.ask_durably(mallorys, finish);
    assert_eq!(code(Some(answer)), ErrorCode::CodeRefused);
}

#[test]
fn no_network_takes_all_mails_or_all_places() {
    let mut world = World::with(Config {
        mailed_codes: Rate {
            burst: 80,
            every: Span::hours(1),
        },
        pending_registrations: 200,
        ..Config::default()
    });
    let from_sources = |world: &mut World, network: u16| {
        let [high, low] = network.to_be_bytes();
        let mut got = 0;
        for n in 0..60 {
            let somebody = world.stranger(&format!("nobody{network}-{n}@example.org"));
            let (_, answer) = ask(world, [10, high, low, n].into(), &somebody);
            got += usize::from(matches!(answer, Some(Answer::RegistrationStarted(_))));
        }
        got
    };
    let mut all = 0;
    for network in 0..15 {
        let got = from_sources(&mut world, network);
        assert!(got <= 10, "{network}: {got}");
        all += got;
    }
    assert!(all < 80, "{all}");
    let alice = world.stranger(ADDRESS);
    let answer = register(&mut world, from(40_000), &alice);
    assert!(matches!(answer, Answer::Registered(_)), "{answer:?}");
}

#[test]
fn ipv6_networks_and_made_up_sources_are_counted_together() {
    let mut world = World::with(Config {
        codes_per_network: Rate {
            burst: 5,
            every: Span::minutes(1),
        },
        ..Config::default()
    });
    for prefix in [0x2001_0db8_0001_u128 << 80, 0x0100 << 112] {
        let got = (0..20_u128)
            .filter(|n| {
                let somebody = world.stranger(&format!("nobody{n}@example.org"));
                let source = IpAddr::V6((prefix | (n << 64)).into());
                let (_, answer) = ask(&mut world, source, &somebody);
                matches!(answer, Some(Answer::RegistrationStarted(_)))
            })
            .count();
        assert_eq!(got, 5);
    }
}

#[test]
fn codes_and_peoples_own_texts_use_up_nothing_of_each_other() {
    let mut world = World::with(Config {
        texts: Some(TextLimits {
            per_prefix_per_day: 40,
            ..TextLimits::default()
        }),
        texts_of_accounts: true,
        ..Config::default()
    });
    world.relay.sms_report(
        world.now,
        &mut world.rng,
        waxwing_relay::relay::SmsReport::Connected(true),
    );
    let alice = world.person("+358401234567");
    let mut got = 0;
    for network in 0..12 {
        for n in 0..10 {
            let number = format!("+3584012{network:02}{n:03}");
            let somebody = world.stranger(&number);
            let (_, answer) = ask(&mut world, from(network), &somebody);
            got += usize::from(matches!(answer, Some(Answer::RegistrationStarted(_))));
        }
        if network == 0 {
            assert!(got <= 5, "{got}");
        }
    }
    // Her own texts go there all the same, and so does a code for somebody from elsewhere.
    let bob = world.stranger("+358407654321");
    let answer = register(&mut world, from(40_000), &bob);
    assert!(matches!(answer, Answer::Registered(_)), "{answer:?}");
    let (link, _) = world.login(&alice);
    for id in 0..20 {
        let send = pb::SendSms {
            sms_id: vec![id; 16].into(),
            from: "+358401234567".to_owned(),
            to: "+358409999999".to_owned(),
            text: "hello".to_owned(),
            segments: 1,
        };
        let answer = world.ask_durably(link, Ask::SendSms(send));
        assert!(matches!(answer, Answer::Done(_)), "{answer:?}");
    }
}

#[test]
fn what_codes_cost_is_known_after_a_restart() {
    let mut world = World::with(Config {
        texts: Some(TextLimits {
            per_prefix_per_day: 1,
            ..TextLimits::default()
        }),
        ..Config::default()
    });
    let (one, other) = (
        world.stranger("+358401234567"),
        world.stranger("+358401234568"),
    );
    let (_, answer) = ask(&mut world, from(1), &one);
    assert!(matches!(answer, Some(Answer::RegistrationStarted(_))));
    world.write();
    world.crash();
    let (_, answer) = ask(&mut world, from(2), &other);
    assert_eq!(code(answer), ErrorCode::RateLimited);
    world.wait(Span::days(1));
    world.wait(limits::CODE_LIFETIME);
    let (_, answer) = ask(&mut world, from(2), &other);
    assert!(matches!(answer, Some(Answer::RegistrationStarted(_))));
}
