//! Two people and an honest relay.

use waxwing_engine::api::{
    MarkRead, MessageState, Notice, Problem, Register, RegistrationStage, Request, SendText,
    SubmitCode,
};
use waxwing_protocol::{limits, time::Span};
use waxwing_relay::relay::Config;
use waxwing_system_tests::{RealRelay, RelayPort, World, WorldOptions, scenes::alice_and_bob};

fn world(seed: u64) -> World<RealRelay> {
    World::new(seed, RealRelay::default(), WorldOptions::default())
}

#[test]
fn a_message_arrives_verified_and_its_sender_learns_of_it() {
    let (mut world, alice, bob) = alice_and_bob(1);
    let id = world.send(alice, bob, "hello bob");
    world.run_for(Span::seconds(10));
    let got = world.messages(bob, alice);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].text, "hello bob");
    assert_eq!(got[0].from, "alice@example.org");
    assert!(got[0].from_verified);
    // Alice is a stranger to Bob until he answers: then she learns of it.
    assert_eq!(world.state(alice, bob, id), Some(MessageState::Accepted));
    world.send(bob, alice, "hello alice");
    world.run_for(Span::seconds(10));
    assert_eq!(world.state(alice, bob, id), Some(MessageState::Delivered));
    let told = world
        .person(bob)
        .notices
        .iter()
        .filter(|n| matches!(n, Notice::Message(_)))
        .count();
    assert_eq!(told, 1);
    assert_eq!(world.relay.waiting(), 0);
}

#[test]
fn a_conversation_goes_both_ways_and_reading_is_told() {
    let (mut world, alice, bob) = alice_and_bob(2);
    let id = world.send(alice, bob, "ping");
    world.run_for(Span::seconds(10));
    world.send(bob, alice, "pong");
    world.run_for(Span::seconds(10));
    assert_eq!(world.texts(alice, bob), ["ping", "pong"]);
    assert_eq!(world.texts(bob, alice), ["ping", "pong"]);
    let conversation = world.messages(bob, alice)[0].conversation;
    world
        .command(
            bob,
            Request::MarkRead(MarkRead {
                conversation,
                up_to: None,
            }),
        )
        .unwrap();
    world.run_for(Span::seconds(10));
    assert_eq!(world.state(alice, bob, id), Some(MessageState::Read));
}

#[test]
fn a_message_written_offline_leaves_when_there_is_a_network() {
    let (mut world, alice, bob) = alice_and_bob(3);
    world.set_online(alice, false);
    let id = world.send(alice, bob, "later");
    world.run_for(Span::hours(1));
    assert_eq!(world.state(alice, bob, id), Some(MessageState::Queued));
    assert!(world.texts(bob, alice).is_empty());
    world.set_online(alice, true);
    world.run_for(Span::seconds(10));
    assert_eq!(world.texts(bob, alice), ["later"]);
}

#[test]
fn two_who_start_at_once_have_one_conversation() {
    for seed in 0..8 {
        let (mut world, alice, bob) = alice_and_bob(100 + seed);
        for n in 0..5 {
            world.send(alice, bob, &format!("a{n}"));
            world.send(bob, alice, &format!("b{n}"));
            world.run_for(Span(40));
        }
        world.run_for(Span::minutes(2));
        for (of, with) in [(alice, bob), (bob, alice)] {
            let mut texts = world.texts(of, with);
            texts.sort();
            assert_eq!(
                texts,
                ["a0", "a1", "a2", "a3", "a4", "b0", "b1", "b2", "b3", "b4"],
                "seed {seed}"
            );
            let mut conversations: Vec<_> = world
                .messages(of, with)
                .iter()
                .map(|message| message.conversation)
                .collect();
            conversations.dedup();
            assert_eq!(conversations.len(), 1);
        }
        let before = world.relay.posts();
        world.send(alice, bob, "last a");
        world.send(bob, alice, "last b");
        world.run_for(Span::minutes(1));
        assert_eq!(world.texts(bob, alice).len(), 12);
        assert!(
            world.relay.posts() - before <= 4,
            "receipts trigger receipts"
        );
    }
}

#[test]
fn keys_are_made_anew_while_people_go_on_talking() {
    let (mut world, alice, bob) = alice_and_bob(4);
    for n in 0..150 {
        world.send(alice, bob, &format!("a{n}"));
        if n % 2 == 0 {
            world.send(bob, alice, &format!("b{n}"));
        }
        world.run_for(Span(30));
    }
    world.run_for(Span::minutes(2));
    let texts = world.texts(bob, alice);
    assert_eq!(texts.len(), 225);
    let from_alice: Vec<_> = texts
        .iter()
        .filter(|text| text.starts_with('a'))
        .cloned()
        .collect();
    assert_eq!(
        from_alice,
        (0..150).map(|n| format!("a{n}")).collect::<Vec<_>>()
    );
    assert_eq!(world.texts(alice, bob).len(), 225);
}

#[test]
fn an_unknown_recipient_is_told_of() {
    let mut world = world(5);
    let alice = world.add_registered("alice@example.org");
    let nobody = world.add("nobody@example.org");
    let id = world.send(alice, nobody, "anybody there?");
    world.run_for(Span::seconds(10));
    let message = world.messages(alice, nobody).remove(0);
    assert_eq!(
        (message.id, message.state),
        (id, Some(MessageState::Failed))
    );
    assert_eq!(message.problem.unwrap().code, "recipient_unknown");
}

#[test]
fn an_engine_with_nothing_to_do_sleeps() {
    let (mut world, alice, bob) = alice_and_bob(6);
    world.send(alice, bob, "hello");
    world.run_for(Span::minutes(10));
    for online in [true, false] {
        world.set_online(alice, online);
        world.send(alice, bob, "and again");
        world.run_for(Span::minutes(10));
        let before = world.timers;
        world.run_for(Span::hours(10));
        // A ping for each of two people every four minutes.
        assert!(world.timers - before <= 320, "{}", world.timers - before);
    }
    world.set_online(alice, true);
    world.run_for(Span::minutes(1));
    assert_eq!(world.texts(bob, alice).len(), 3);
}

#[test]
fn a_code_that_cannot_be_mailed_is_told_and_may_still_be_given() {
    let mut world = world(70);
    let alice = world.add("alice@example.org");
    world.relay.set_mail_fails(true);
    world
        .command(
            alice,
            Request::Register(Register {
                address: "alice@example.org".into(),
                relay: "wss://relay.example".into(),
                pin: None,
                name: None,
                device: None,
            }),
        )
        .unwrap();
    world.run_for(Span::seconds(5));
    let told: Vec<_> = world
        .person(alice)
        .notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Registration(changed) => Some((
                changed.stage,
                changed
                    .problem
                    .as_ref()
                    .map(|problem| problem.code.as_str()),
            )),
            _ => None,
        })
        .collect();
    assert_eq!(
        told,
        [
            (RegistrationStage::CodeSent, None),
            (RegistrationStage::CodeSent, Some("address_unreachable")),
        ]
    );
    // Asked for again when mail works, it goes on as if nothing had been.
    world.relay.set_mail_fails(false);
    world.register(alice);
}

#[test]
fn a_code_that_is_given_too_late_is_refused_with_advice() {
    let mut world = world(71);
    let alice = world.add("alice@example.org");
    let register = Register {
        address: "alice@example.org".into(),
        relay: "wss://relay.example".into(),
        pin: None,
        name: None,
        device: None,
    };
    world.command(alice, Request::Register(register)).unwrap();
    world.run_for(limits::CODE_LIFETIME);
    world.run_for(Span::seconds(5));
    let code = world.codes.remove("alice@example.org").unwrap();
    world
        .command(alice, Request::SubmitCode(SubmitCode { code }))
        .unwrap();
    world.run_for(Span::seconds(5));
    let notices = &world.person(alice).notices;
    let problem = notices.iter().rev().find_map(|notice| match notice {
        Notice::Registration(changed) => changed.problem.as_ref(),
        _ => None,
    });
    assert_eq!(problem.expect("nothing was told").code, "code_expired");
    world.register(alice);
}

#[test]
fn a_full_outbox_refuses_with_advice_and_empties_later() {
    let (mut world, alice, bob) = alice_and_bob(72);
    world.send(alice, bob, "first");
    world.run_for(Span::seconds(10));
    world.accept(bob, alice);
    world.set_online(alice, false);
    let mut taken = 0;
    let refused = loop {
        let send = SendText {
            to: "bob@example.org".into(),
            text: format!("{taken}"),
            ..SendText::default()
        };
        match world.command(alice, Request::Send(send)) {
            Ok(_) => taken += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(taken, 10_000);
    assert_eq!(refused.problem, Problem::OutboxFull { limit: 10_000 });
    assert_eq!(world.status(alice).outbox, 10_000);
    world.set_online(alice, true);
    world.run_for(Span::minutes(5));
    assert_eq!(world.status(alice).outbox, 0);
    assert_eq!(world.texts(bob, alice).len(), 10_001);
}

#[test]
fn a_full_mailbox_is_explained_and_the_message_goes_later() {
    let relay = RealRelay::with(&Config {
        // One group may have an eighth of it.
        mailbox_posts: 64,
        ..Config::default()
    });
    let mut world = World::new(73, relay, WorldOptions::default());
    let alice = world.add_registered("alice@example.org");
    let bob = world.add_registered("bob@example.org");
    world.send(alice, bob, "first");
    world.run_for(Span::seconds(10));
    world.set_online(bob, false);
    let mut texts = vec!["first".to_owned()];
    for n in 0..20 {
        let text = format!("{n:02}");
        world.send(alice, bob, &text);
        texts.push(text);
    }
    world.run_for(Span::minutes(1));
    assert_eq!(world.status(alice).outbox, 12);
    let notices = &world.person(alice).notices;
    let problem = notices.iter().rev().find_map(|notice| match notice {
        Notice::MessageState(changed) => changed.problem.as_ref(),
        _ => None,
    });
    assert_eq!(problem.expect("nothing was told").code, "recipient_full");
    world.set_online(bob, true);
    world.run_for(Span::minutes(10));
    assert_eq!(world.status(alice).outbox, 0);
    let mut got = world.texts(bob, alice);
    got.sort();
    texts.sort();
    assert_eq!(got, texts);
}
