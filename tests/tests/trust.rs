//! Who is who, with relays and people that are not honest.

use std::fmt::Write as _;

use waxwing_engine::api::{
    Account, Entry, EventKind, MessageState, NamedAuditor, Notice, Register, RegistrationStage,
    Request, Response, SetAuditors, SubmitCode,
};
use waxwing_protocol::{pb::client_frame::Body as Request_, time::Span};
use waxwing_system_tests::{Fate, HostileRelay, PersonId, World, WorldOptions, auditor_id};

type TestWorld = World<HostileRelay>;

fn world(seed: u64) -> TestWorld {
    World::new(seed, HostileRelay::default(), WorldOptions::default())
}

fn account(world: &mut TestWorld, id: PersonId) -> Account {
    match world.command(id, Request::Account).unwrap() {
        Response::Account(account) => *account,
        other => panic!("{other:?}"),
    }
}

fn problems(world: &TestWorld, id: PersonId) -> Vec<String> {
    let notices = &world.person(id).notices;
    notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Warning(warning) => Some(&warning.problem),
            Notice::Registration(changed) => changed.problem.as_ref(),
            _ => None,
        })
        .map(|problem| problem.code.clone())
        .collect()
}

#[test]
fn a_post_for_another_account_is_not_shown_or_answered() {
    let mut world = world(1);
    let alice = world.add_registered("alice@example.org");
    let bob = world.add_registered("bob@example.org");
    let mallory = world.add_registered("mallory@example.org");
    world
        .relay
        .real()
        .bind_in_log("bob@example.org", "mallory@example.org");
    world.relay.requests(|_, frame| {
        if let Some(Request_::ClaimKeyPackages(claim)) = &mut frame.body {
            claim.address = "mallory@example.org".into();
        }
        Fate::Pass
    });
    let id = world.send(alice, bob, "for bob only");
    world.run_for(Span::minutes(5));
    // The relay has it; nobody else ever does.
    assert_eq!(world.state(alice, bob, id), Some(MessageState::Accepted));
    assert!(world.texts(mallory, alice).is_empty());
    assert!(world.texts(bob, alice).is_empty());
    assert!(problems(&world, mallory).contains(&"relay_misbehaves".to_owned()));
    // And whose address it is learns of it, on the next day at the latest.
    world.run_for(Span::hours(25));
    assert!(problems(&world, bob).contains(&"address_taken".to_owned()));
}

#[test]
fn key_packages_do_not_name_their_owners() {
    let mut world = world(7);
    let alice = world.add_registered("alice@example.org");
    world.add_registered("bob@example.org");
    world.run_for(Span::minutes(1));
    let names = |packages: &[u8]| {
        let text = String::from_utf8_lossy(packages).to_lowercase();
        text.contains("alice") || text.contains("bob") || text.contains("example.org")
    };
    let packages: Vec<_> = world.relay.real().key_packages();
    assert!(packages.len() > 2, "they are published");
    assert!(!packages.iter().any(|package| names(package)));
    // And still everybody knows who writes to them.
    world.send(alice, PersonId(1), "it is me");
    world.run_for(Span::minutes(1));
    let from = |entry: &Entry| match entry {
        Entry::Message(message) => (message.from.clone(), message.from_verified),
        other => panic!("{other:?}"),
    };
    let heard: Vec<_> = world.history(PersonId(1), alice).iter().map(from).collect();
    assert_eq!(heard, [("alice@example.org".to_owned(), true)]);
    let own: Vec<_> = world.history(alice, PersonId(1)).iter().map(from).collect();
    assert_eq!(own, heard);
}

#[test]
fn a_sender_whose_address_is_anothers_is_refused() {
    let mut world = world(2);
    let alice = world.add_registered("alice@example.org");
    let bob = world.add_registered("bob@example.org");
    world.add_registered("mallory@example.org");
    // The log says that Alice's address is Mallory's, and Alice goes on using it.
    world
        .relay
        .real()
        .bind_in_log("alice@example.org", "mallory@example.org");
    world.send(alice, bob, "it is me");
    world.run_for(Span::minutes(1));
    assert!(world.texts(bob, alice).is_empty());
    assert!(problems(&world, bob).contains(&"relay_misbehaves".to_owned()));
    let conversations = match world.command(bob, Request::Conversations).unwrap() {
        Response::Conversations(waxwing_engine::api::Conversations { conversations }) => {
            conversations
        }
        other => panic!("{other:?}"),
    };
    assert!(conversations.is_empty());
}

#[test]
fn who_starts_over_is_marked_and_the_conversation_goes_on() {
    let mut world = world(3);
    let alice = world.add_registered("alice@example.org");
    let bob = world.add_registered("bob@example.org");
    world.send(alice, bob, "one");
    world.run_for(Span::minutes(1));
    world.crash(bob);
    // The same address on a new device with nothing of the old one.
    let again = world.add_registered("bob@example.org");
    world.send(again, alice, "lost my phone");
    world.run_for(Span::minutes(1));
    let history = world.history(alice, again);
    let kinds: Vec<&str> = history
        .iter()
        .map(|entry| match entry {
            Entry::Message(message) => message.text.as_str(),
            Entry::Event(event) if event.event == EventKind::IdentityReset => "(reset)",
            _ => "?",
        })
        .collect();
    assert_eq!(kinds, ["one", "(reset)", "lost my phone"]);
    world.send(alice, again, "welcome back");
    world.run_for(Span::minutes(1));
    assert_eq!(world.texts(again, alice), ["lost my phone", "welcome back"]);
}

#[test]
fn a_wrong_code_says_how_many_tries_are_left() {
    let mut world = world(4);
    let alice = world.add("alice@example.org");
    let register = Register {
        address: "alice@example.org".into(),
        relay: "wss://relay.example".into(),
        pin: None,
        name: None,
        device: None,
    };
    world
        .command(alice, Request::Register(register.clone()))
        .unwrap();
    world.run_for(Span::seconds(5));
    let right = world.codes["alice@example.org"].clone();
    let wrong = if right == "00000000" {
        "00000001"
    } else {
        "00000000"
    };
    for _ in 0..5 {
        let code = SubmitCode { code: wrong.into() };
        world.command(alice, Request::SubmitCode(code)).unwrap();
        world.run_for(Span::seconds(5));
    }
    assert_eq!(
        problems(&world, alice),
        [
            "code_wrong",
            "code_wrong",
            "code_wrong",
            "code_wrong",
            "code_used_up"
        ]
    );
    let refused = world
        .command(alice, Request::SubmitCode(SubmitCode { code: right }))
        .unwrap_err();
    assert_eq!(refused.problem.code(), "no_code_asked");
    // From the start, with the same device.
    world.command(alice, Request::Register(register)).unwrap();
    world.run_for(Span::seconds(5));
    let code = world.codes["alice@example.org"].clone();
    let spaced = format!(" {}-{} ", &code[..4], &code[4..]);
    world
        .command(alice, Request::SubmitCode(SubmitCode { code: spaced }))
        .unwrap();
    world.run_for(Span::seconds(5));
    let account = account(&mut world, alice);
    assert_eq!(account.registration, RegistrationStage::Registered);
    assert_eq!(account.recovery_words.unwrap().split(' ').count(), 24);
    world.command(alice, Request::ForgetRecoveryWords).unwrap();
    assert_eq!(self::account(&mut world, alice).recovery_words, None);
}

#[test]
fn a_registration_whose_answer_was_lost_is_found_done() {
    for cut_after in [5, 20, 40, 60, 80, 100] {
        let mut world = world(5);
        let alice = world.add("alice@example.org");
        let register = Register {
            address: "alice@example.org".into(),
            relay: "wss://relay.example".into(),
            pin: None,
            name: None,
            device: None,
        };
        world.command(alice, Request::Register(register)).unwrap();
        world.run_for(Span::seconds(5));
        let code = world.codes["alice@example.org"].clone();
        world
            .command(alice, Request::SubmitCode(SubmitCode { code }))
            .unwrap();
        world.run_for(Span(cut_after));
        world.crash(alice);
        world.start(alice);
        world.run_for(Span::seconds(10));
        assert_eq!(
            account(&mut world, alice).registration,
            RegistrationStage::Registered
        );
    }
}

#[test]
fn nothing_that_is_printed_shows_who_or_what() {
    let mut world = world(6);
    let alice = world.add_registered("alice@example.org");
    let bob = world.add_registered("bob@example.org");
    world.send(alice, bob, "a secret text");
    world.run_for(Span::minutes(1));
    let mut printed = String::new();
    for id in [alice, bob] {
        let own = account(&mut world, id);
        let person = world.person(id);
        write!(printed, "{own:?} {:?} {:?}", person.engine, person.notices).unwrap();
        for with in [alice, bob] {
            write!(printed, "{:?}", world.history(id, with)).unwrap();
        }
        for secret in [own.account_id, own.device_id, own.recovery_words]
            .into_iter()
            .flatten()
        {
            assert!(!printed.contains(&secret));
        }
    }
    for secret in ["alice", "bob", "secret text"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn a_required_auditor_must_have_signed_the_head() {
    let mut world = world(9);
    let alice = world.add_registered("alice@example.org");
    let bob = world.add_registered("bob@example.org");
    let require = Request::SetAuditors(SetAuditors {
        auditors: vec![NamedAuditor {
            id: auditor_id().to_string(),
            name: "Eva".into(),
        }],
        required: 1,
    });
    world.command(alice, require).unwrap();
    let id = world.send(alice, bob, "watched");
    world.run_for(Span::minutes(1));
    assert_eq!(world.state(alice, bob, id), Some(MessageState::Queued));
    let waiting = world.messages(alice, bob).remove(0).problem.unwrap();
    assert_eq!(waiting.code, "auditors_missing");
    world.relay.real().co_sign();
    world.run_for(Span::minutes(1));
    assert_eq!(world.texts(bob, alice), ["watched"]);
    match world.command(alice, Request::Auditors).unwrap() {
        Response::Auditors(waxwing_engine::api::Auditors { auditors, required }) => {
            assert_eq!((auditors[0].name.as_str(), required), ("Eva", 1));
            assert!(auditors[0].head > 0);
        }
        other => panic!("{other:?}"),
    }
}
