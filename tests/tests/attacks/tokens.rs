//! Token keys: what an honest relay does with them, and how one would follow people by them.

use std::{cell::Cell, rc::Rc};

use waxwing_engine::api::{MessageState, Notice, Problem, RelayMisdeed};
use waxwing_protocol::{
    limits,
    pb::{Hello, relay_frame::Body as Answer},
    time::Span,
    token::TokenIssuer,
};
use waxwing_system_tests::{BEGINS, Fate, PersonId};

use super::scene::{Scene, alice_and_bob};

/// Whether somebody was told that the relay has a token key for them alone.
fn is_warned(scene: &Scene, id: PersonId) -> bool {
    scene.person(id).notices.iter().any(|notice| {
        matches!(notice, Notice::Warning(warning)
        if warning.problem.problem() == Some(Problem::RelayMisbehaves {
            what: RelayMisdeed::TokenKeysDiffer,
        }))
    })
}

/// Changes each greeting of `victim`, counted from 0.
fn greets(scene: &mut Scene, victim: PersonId, change: impl Fn(u32, &mut Hello) + 'static) {
    let count = Cell::new(0);
    scene.relay.answers(move |whose, frame| {
        if let Some(Answer::Hello(hello)) = &mut frame.body
            && whose == victim
        {
            change(count.replace(count.get() + 1), hello);
        }
        Fate::Pass
    });
}

/// Nobody has a network for so long, so that the test is quick.
fn rests(scene: &mut Scene, people: [PersonId; 2], span: Span) {
    for id in people {
        scene.set_online(id, false);
    }
    scene.run_for(span);
    for id in people {
        scene.set_online(id, true);
    }
}

fn key(number: u8) -> bytes::Bytes {
    let issuer = TokenIssuer::from_seed(&[number; 32]).unwrap();
    issuer.public_key().to_vec().into()
}

#[test]
fn a_token_key_that_changes_for_everybody_alarms_nobody() {
    let (mut scene, alice, bob) = alice_and_bob(1601);
    let others: Vec<PersonId> = (0..8)
        .map(|n| {
            let id = scene.add_registered(&format!("other{n}@example.org"));
            scene.set_online(id, false);
            id
        })
        .collect();
    scene.run_for(Span::minutes(5));
    let period = limits::TOKEN_PERIOD.0;
    let shown = scene.relay.real().shown_token_key();
    // Both links are there when the period ends, and are used all the time after it.
    let first_end = period - BEGINS.0 % period;
    rests(
        &mut scene,
        [alice, bob],
        Span(first_end - Span::minutes(75).0),
    );
    scene.run_for(Span::hours(1));
    let mut sent = Vec::new();
    for other in others {
        sent.push((other, scene.send(alice, other, "hello")));
        scene.run_for(Span::minutes(10));
    }
    assert_eq!(
        scene.relay.real().shown_token_key().period,
        shown.period + 1
    );
    scene.run_for(Span::minutes(30));
    for (to, id) in sent {
        assert_eq!(scene.state(alice, to, id), Some(MessageState::Accepted));
    }
    let id = scene.send(alice, bob, "hello");
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Accepted));
    for id in [alice, bob] {
        assert!(!is_warned(&scene, id));
    }
}

#[test]
fn tokens_that_are_too_old_are_replaced_without_a_word() {
    let (mut scene, alice, bob) = alice_and_bob(1602);
    scene.run_for(Span::minutes(5));
    let before = scene.status(alice).tokens;
    assert!(before > 10);
    rests(&mut scene, [alice, bob], Span::days(32));
    let id = scene.send(alice, bob, "hello");
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Accepted));
    assert!(scene.status(alice).tokens > 10);
    assert!(!is_warned(&scene, alice));
}

#[test]
fn a_relay_that_shows_one_person_another_token_key_is_seen() {
    let (mut scene, alice, bob) = alice_and_bob(1603);
    scene.run_for(Span::minutes(5));
    // On every other link of hers.
    greets(&mut scene, alice, |number, hello| {
        if number % 2 == 0 {
            hello.token_key = key(99);
        }
    });
    scene.cut(alice);
    let id = scene.send(alice, bob, "hello");
    scene.run_for(Span::minutes(30));
    assert!(is_warned(&scene, alice));
    assert!(!is_warned(&scene, bob));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Queued));
    scene.relay.straighten();
    scene.cut(alice);
    scene.run_for(Span::minutes(30));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Accepted));
}

#[test]
fn a_relay_that_makes_up_a_period_to_try_a_key_is_seen() {
    for (seed, ahead) in [(1604, 1_000), (1606, 2)] {
        let (mut scene, alice, bob) = alice_and_bob(seed);
        scene.run_for(Span::minutes(5));
        let tried = Rc::new(Cell::new(false));
        let is_tried = Rc::clone(&tried);
        greets(&mut scene, alice, move |_, hello| {
            // Once: to see whether whoever opened this link has a token of that key.
            if !is_tried.replace(true) {
                hello.token_period += ahead;
                hello.token_key = key(99);
            }
        });
        scene.cut(alice);
        scene.run_for(Span::minutes(5));
        assert!(tried.get());
        assert!(is_warned(&scene, alice), "{ahead}");
        scene.relay.straighten();
        scene.cut(alice);
        let id = scene.send(alice, bob, "hello");
        scene.run_for(Span::minutes(30));
        assert_eq!(scene.state(alice, bob, id), Some(MessageState::Accepted));
    }
}

#[test]
fn a_relay_without_periods_and_its_people_go_on_as_before() {
    let (mut scene, alice, bob) = alice_and_bob(1607);
    let one = Rc::new(Cell::new(0));
    let count = Rc::clone(&one);
    scene.relay.answers(move |_, frame| {
        if let Some(Answer::Hello(hello)) = &mut frame.body {
            count.set(count.get() + 1);
            hello.token_period = 0;
        }
        Fate::Pass
    });
    let carol = scene.add_registered("carol@example.org");
    scene.send(carol, bob, "hello");
    scene.run_for(Span::minutes(5));
    assert!(one.get() > 1);
    assert_eq!(scene.texts(bob, carol), ["hello"]);
    assert!(!is_warned(&scene, carol));
    // The relay is replaced by one that has them.
    scene.relay.straighten();
    scene.cut(carol);
    let id = scene.send(carol, alice, "hello");
    scene.run_for(Span::minutes(5));
    assert_eq!(scene.state(carol, alice, id), Some(MessageState::Accepted));
    assert!(!is_warned(&scene, carol));
}
