//! Registration, login, key packages, tokens.

use bytes::Bytes;
use waxwing_protocol::{
    ids::GroupId,
    limits,
    pb::{self, ErrorCode, client_frame::Body as Ask, relay_frame::Body as Answer},
    time::Span,
};
use waxwing_relay::{relay::Config, store::memory::Fault};

use crate::world::{World, code};

#[test]
fn the_answer_is_the_same_whether_an_address_is_known_or_not() {
    let mut world = World::new();
    world.person("alice@example.org");
    let stranger = world.stranger("alice@example.org");
    let nobody = world.stranger("nobody@example.org");
    let mut lengths = Vec::new();
    for person in [stranger, nobody] {
        let link = world.link();
        let answer = world.ask(
            link,
            Ask::StartRegistration(pb::StartRegistration {
                address: person.address.clone(),
                device_id: person.device().to_bytes(),
            }),
        );
        let Some(Answer::RegistrationStarted(started)) = answer else {
            panic!("{answer:?}");
        };
        lengths.push((started.registration_id.len(), started.expires_at_ms));
        assert_eq!(world.codes[&person.address].len(), limits::CODE_DIGITS);
    }
    assert_eq!(lengths[0], lengths[1]);
}

#[test]
fn a_failed_mail_does_not_show_whether_an_address_is_known() {
    let mut world = World::new();
    world.person("alice@example.org");
    let mut told = Vec::new();
    for address in ["alice@example.org", "nobody@example.org"] {
        let person = world.stranger(address);
        let link = world.link();
        let id = world.start_registration(link, &person);
        let (asked_on, request) = *world.code_requests.last().unwrap();
        assert_eq!(asked_on, link);
        world.relay.code_not_sent(link, request);
        world.collect();
        let Some(Answer::Error(error)) = world.next(link) else {
            panic!("{address}: nothing was told");
        };
        assert_eq!(error.code(), ErrorCode::AddressUnreachable);
        assert!(!error.detail.contains(address));
        told.push(error);
        // A mail server that gave no answer may have taken it.
        let code = world.codes[address].clone();
        let finish = world.finish(link, &person, id, &code);
        let answer = world.ask_durably(link, finish);
        assert!(matches!(answer, Answer::Registered(_)), "{answer:?}");
    }
    assert_eq!(told[0], told[1]);
    // Whoever is gone is told nothing.
    let link = world.link();
    world.relay.link_closed(link);
    world.relay.code_not_sent(link, 1);
    world.collect();
    assert!(world.next(link).is_none());
}

#[test]
fn a_code_has_five_tries_and_then_the_right_one_is_refused_too() {
    let mut world = World::new();
    let person = world.stranger("alice@example.org");
    let link = world.link();
    let id = world.start_registration(link, &person);
    let right = world.codes["alice@example.org"].clone();
    let wrong = if right == "00000000" {
        "00000001"
    } else {
        "00000000"
    };
    for tries in (0..limits::CODE_TRIES).rev() {
        let finish = world.finish(link, &person, id, wrong);
        let Answer::Error(error) = world.ask_durably(link, finish) else {
            panic!("a wrong code was taken");
        };
        assert_eq!(error.code(), ErrorCode::CodeRefused);
        assert_eq!(error.tries_left, tries);
    }
    let finish = world.finish(link, &person, id, &right);
    let answer = world.ask_durably(link, finish);
    assert_eq!(code(Some(answer)), ErrorCode::CodeRefused);
}

#[test]
fn a_code_expires() {
    let mut world = World::new();
    let person = world.stranger("alice@example.org");
    let link = world.link();
    let id = world.start_registration(link, &person);
    let right = world.codes["alice@example.org"].clone();
    world.now = world.now.after(limits::CODE_LIFETIME).after(Span(1));
    let finish = world.finish(link, &person, id, &right);
    let answer = world.ask_durably(link, finish);
    assert_eq!(code(Some(answer)), ErrorCode::CodeRefused);
}

#[test]
fn an_intercepted_code_verifies_nobody_elses_device() {
    let mut world = World::new();
    let person = world.stranger("alice@example.org");
    let thief = world.stranger("alice@example.org");
    let link = world.link();
    let id = world.start_registration(link, &person);
    let right = world.codes["alice@example.org"].clone();
    let finish = world.finish(link, &thief, id, &right);
    let answer = world.ask_durably(link, finish);
    assert!(matches!(answer, Answer::Error(_)), "{answer:?}");
}

#[test]
fn a_repeated_registration_gets_the_same_answer() {
    let mut world = World::new();
    let person = world.stranger("alice@example.org");
    let link = world.link();
    let id = world.start_registration(link, &person);
    let right = world.codes["alice@example.org"].clone();
    let finish = world.finish(link, &person, id, &right);
    let first = world.ask_durably(link, finish);
    assert!(matches!(first, Answer::Registered(_)), "{first:?}");
    world.crash();
    let link = world.link();
    let finish = world.finish(link, &person, id, &right);
    assert_eq!(world.ask_durably(link, finish), first);
}

#[test]
fn codes_are_rate_limited_for_an_address() {
    let mut world = World::new();
    let person = world.stranger("alice@example.org");
    let link = world.link();
    let start = Ask::StartRegistration(pb::StartRegistration {
        address: person.address.clone(),
        device_id: person.device().to_bytes(),
    });
    let mut asked = 0;
    let error = loop {
        match world.ask(link, start.clone()) {
            Some(Answer::RegistrationStarted(_)) => asked += 1,
            Some(Answer::Error(error)) => break error,
            other => panic!("{other:?}"),
        }
        assert!(asked < 100, "no limit");
    };
    assert_eq!(error.code(), ErrorCode::RateLimited);
    assert!(error.retry_after_ms > 0);
    // Twice the newest one would have done.
    let sent = world.code_requests.len();
    assert_eq!(sent, world.config.codes_per_address.burst as usize);
    assert_eq!(asked, sent + 2);
}

#[test]
fn people_who_wait_for_codes_are_bounded() {
    let mut world = World::with(Config {
        pending_registrations: 2,
        ..Config::default()
    });
    for n in 0..5 {
        world.person(&format!("registered{n}@example.org"));
    }
    let link = world.link();
    for n in 0..2 {
        let waiting = world.stranger(&format!("waiting{n}@example.org"));
        world.start_registration(link, &waiting);
    }
    let one_more = world.stranger("more@example.org");
    let start = Ask::StartRegistration(pb::StartRegistration {
        address: one_more.address.clone(),
        device_id: one_more.device().to_bytes(),
    });
    let refused = world.ask(link, start.clone());
    assert_eq!(code(refused), ErrorCode::RateLimited);
    world.wait(limits::CODE_LIFETIME);
    let link = world.link();
    assert!(matches!(
        world.ask(link, start),
        Some(Answer::RegistrationStarted(_))
    ));
}

#[test]
fn a_login_that_was_signed_for_another_connection_fails() {
    let mut world = World::new();
    let person = world.person("alice@example.org");
    let (link, other) = (world.link(), world.link());
    let relayed = world.login_request(link, other, &person);
    let answer = world.ask(link, relayed);
    assert_eq!(code(answer), ErrorCode::Unauthorised);
    let login = world.login_request(link, link, &person);
    assert!(matches!(world.ask(link, login), Some(Answer::LoggedIn(_))));
}

#[test]
fn a_second_login_replaces_the_first() {
    let mut world = World::new();
    let person = world.person("alice@example.org");
    let (first, _) = world.login(&person);
    let (second, _) = world.login(&person);
    assert!(world.closed.contains(&first));
    assert!(!world.closed.contains(&second));
    assert_eq!(world.relay.counts().logged_in, 1);
}

#[test]
fn requests_on_the_wrong_kind_of_link_are_refused() {
    let mut world = World::new();
    let person = world.person("alice@example.org");
    let (logged_in, _) = world.login(&person);
    let look_up = Ask::LookUp(pb::LookUp {
        address: person.address.clone(),
        known_head: 0,
    });
    let answer = world.ask(logged_in, look_up.clone());
    assert_eq!(code(answer), ErrorCode::WrongLink);
    let anonymous = world.link();
    let publish = Ask::PublishKeyPackages(pb::PublishKeyPackages::default());
    let answer = world.ask(anonymous, publish);
    assert_eq!(code(answer), ErrorCode::WrongLink);
    let answer = world.ask(anonymous, look_up);
    let Some(Answer::LookedUp(found)) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(found.account_id, person.account.to_bytes());
    assert_eq!(found.roster, person.roster);
}

#[test]
fn a_key_package_is_handed_out_once_and_the_last_resort_always() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    let publish = Ask::PublishKeyPackages(pb::PublishKeyPackages {
        key_packages: vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")],
        last_resort: Bytes::from_static(b"last"),
        replace: false,
    });
    let answer = world.ask_durably(link, publish);
    assert_eq!(
        answer,
        Answer::KeyPackagesPublished(pb::KeyPackagesPublished {
            key_packages_left: 2
        })
    );
    let tokens = world.tokens(link, 4);
    let anonymous = world.link();
    let mut claimed = Vec::new();
    for token in tokens {
        let claim = Ask::ClaimKeyPackages(pb::ClaimKeyPackages {
            address: alice.address.clone(),
            token: Some(token),
            device_ids: Vec::new(),
        });
        let request = world.tell(anonymous, claim);
        assert!(
            world.answer(anonymous, request).is_none(),
            "answered before it was durable"
        );
        world.write();
        let answer = world.answer(anonymous, request);
        let Some(Answer::KeyPackagesClaimed(answer)) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(answer.key_packages[0].mailbox_id, alice.mailbox.to_bytes());
        claimed.push(answer.key_packages[0].key_package.clone());
    }
    assert_eq!(claimed, ["one", "two", "last", "last"]);
    let low = std::iter::from_fn(|| world.next(link))
        .any(|answer| matches!(answer, Answer::KeyPackagesLow(_)));
    assert!(low, "the device was not told that they run out");
}

#[test]
fn a_token_is_spent_once_even_across_a_crash() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let token = world.token(&alice);
    let claim = Ask::ClaimKeyPackages(pb::ClaimKeyPackages {
        address: alice.address.clone(),
        token: Some(token.clone()),
        device_ids: Vec::new(),
    });
    let link = world.link();
    let answer = world.ask_durably(link, claim.clone());
    assert!(
        matches!(answer, Answer::KeyPackagesClaimed(_)),
        "{answer:?}"
    );
    let answer = world.ask_durably(link, claim.clone());
    assert_eq!(code(Some(answer)), ErrorCode::Unauthorised);
    world.crash();
    let link = world.link();
    let create = world.create_request(token, GroupId([1; 16]), &[alice.mailbox]);
    let answer = world.ask_durably(link, create);
    assert_eq!(code(Some(answer)), ErrorCode::Unauthorised);
}

#[test]
fn an_account_gets_so_many_tokens_a_day() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    for _ in 0..limits::TOKENS_PER_DAY / limits::TOKENS_PER_REQUEST {
        world.tokens(link, limits::TOKENS_PER_REQUEST);
    }
    let (_, request) = waxwing_protocol::token::request(&mut world.rng, 1).unwrap();
    let answer = world.ask_durably(link, Ask::IssueTokens(request));
    assert_eq!(code(Some(answer)), ErrorCode::RateLimited);
    world.wait(Span::days(1));
    world.tokens(link, 1);
}

#[test]
fn a_registration_on_a_full_disk_is_refused_and_succeeds_later() {
    let mut world = World::new();
    let person = world.stranger("alice@example.org");
    let link = world.link();
    let id = world.start_registration(link, &person);
    let right = world.codes["alice@example.org"].clone();
    world.write();
    world.store.set_fault(Some(Fault::Full));
    let finish = world.finish(link, &person, id, &right);
    let answer = world.ask_durably(link, finish.clone());
    assert_eq!(code(Some(answer)), ErrorCode::Unavailable);
    world.store.set_fault(None);
    let answer = world.ask_durably(link, finish);
    assert!(matches!(answer, Answer::Registered(_)), "{answer:?}");
}

#[test]
fn the_store_holds_no_address() {
    let mut world = World::new();
    world.person("alice@example.org");
    for (_, key, value) in world.store.records() {
        for bytes in [key, value] {
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains("alice") && !text.contains("example"));
        }
    }
}
