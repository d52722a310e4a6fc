//! Lies about who is behind an address.

use std::{cell::RefCell, rc::Rc};

use waxwing_engine::api::{Decision, EventKind, MessageState, Request, SendText};
use waxwing_protocol::{
    pb::{LookedUp, relay_frame::Body as Answer},
    time::Span,
};
use waxwing_system_tests::{Fate, RelayPort as _};

use super::scene::{
    Scene, account, alarms, alice_and_bob, events, is_alarmed, problem_of, safety_number, verify,
    warnings, with_mallory,
};

/// What the relay answers to the look-up that is made next.
fn next_look_up(scene: &mut Scene) -> LookedUp {
    let seen = Rc::new(RefCell::new(None));
    let keeps = Rc::clone(&seen);
    scene.relay.answers(move |_, frame| {
        if let Some(Answer::LookedUp(looked_up)) = &frame.body {
            *keeps.borrow_mut() = Some((**looked_up).clone());
        }
        Fate::Pass
    });
    scene.run_for(Span::seconds(20));
    seen.take().expect("somebody was looked up")
}

#[test]
fn a_key_swapped_at_look_up_is_refused_before_the_first_send() {
    let (mut scene, alice, bob, mallory) = with_mallory(1);
    // The relay knows Mallory's roster, with a proof for her own address.
    scene.send(alice, mallory, "to have her look-up seen");
    let hers = next_look_up(&mut scene);
    scene.relay.answers(move |_, frame| {
        if let Some(Answer::LookedUp(looked_up)) = &mut frame.body {
            looked_up.account_id = hers.account_id.clone();
            looked_up.roster = hers.roster.clone();
        }
        Fate::Pass
    });
    let posts = scene.relay.posts();
    let id = scene.send(alice, bob, "for bob only");
    scene.run_for(Span::minutes(5));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Queued));
    assert_eq!(problem_of(&mut scene, alice, bob, id), "relay_misbehaves");
    assert!(is_alarmed(&mut scene, alice, "relay_misbehaves", "roster_"));
    assert!(
        scene
            .texts(mallory, alice)
            .iter()
            .all(|text| text != "for bob only")
    );
    assert_eq!(scene.relay.posts(), posts, "nothing was sent to anybody");
    // An honest answer is believed.
    scene.relay.straighten();
    scene.run_for(Span::minutes(5));
    assert_eq!(scene.texts(bob, alice), ["for bob only"]);
}

#[test]
fn a_proof_for_another_address_is_refused() {
    let (mut scene, alice, bob, mallory) = with_mallory(2);
    scene.send(alice, mallory, "hello");
    let hers = next_look_up(&mut scene);
    scene.relay.answers(move |_, frame| {
        if let Some(Answer::LookedUp(looked_up)) = &mut frame.body {
            **looked_up = hers.clone();
        }
        Fate::Pass
    });
    let id = scene.send(alice, bob, "for bob only");
    scene.run_for(Span::minutes(5));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Queued));
    assert!(is_alarmed(
        &mut scene,
        alice,
        "relay_misbehaves",
        "log_false"
    ));
    assert_eq!(scene.texts(mallory, alice), ["hello"]);
}

#[test]
fn a_reregistered_address_alarms_its_owner_and_is_marked() {
    let (mut scene, alice, bob) = alice_and_bob(3);
    scene.send(alice, bob, "one");
    scene.run_for(Span::minutes(1));
    // Whoever reads Bob's mail registers his address.
    let thief = scene.add_registered("bob@example.org");
    scene.run_for(Span::minutes(1));
    assert!(is_alarmed(&mut scene, bob, "address_taken", ""));
    assert!(alarms(&mut scene, thief).is_empty());
    // Once dismissed it stays so, though every login finds the same again.
    scene.command(bob, Request::DismissAlarms).unwrap();
    for _ in 0..3 {
        scene.run_for(Span::hours(20));
        scene.cut(bob);
        scene.run_for(Span::minutes(1));
        assert!(alarms(&mut scene, bob).is_empty());
    }
    let told = |code: &&String| *code == "address_taken";
    assert_eq!(warnings(&scene, bob).iter().filter(told).count(), 1);
    // Alice writes on the next day.
    scene.run_for(Span::hours(24));
    scene.send(alice, bob, "two");
    scene.run_for(Span::minutes(1));
    scene.send(alice, bob, "three");
    scene.run_for(Span::minutes(1));
    assert_eq!(events(&mut scene, alice, bob), [EventKind::IdentityReset]);
    assert_eq!(scene.texts(thief, alice).last().unwrap(), "three");
    assert!(!scene.texts(thief, alice).contains(&"one".to_owned()));
}

#[test]
fn a_verified_person_with_new_keys_gets_nothing_undecided() {
    let (mut scene, alice, bob) = alice_and_bob(4);
    scene.send(alice, bob, "one");
    scene.run_for(Span::minutes(1));
    let number = safety_number(&mut scene, alice, bob);
    assert_eq!(number, {
        let mut theirs = safety_number(&mut scene, bob, alice);
        theirs.address.clone_from(&number.address);
        theirs.account_id.clone_from(&number.account_id);
        theirs
    });
    let compared = verify(
        &mut scene,
        alice,
        bob,
        Decision::Accept,
        Some(number.qr_text.clone()),
    )
    .unwrap();
    assert!(compared.compared && !compared.awaiting_decision);
    let thief = scene.add_registered("bob@example.org");
    scene.run_for(Span::hours(24));
    // What Alice wrote before she knows goes to the Bob whom she verified.
    scene.send(alice, bob, "two");
    scene.run_for(Span::minutes(1));
    scene.send(thief, alice, "it is me, bob");
    scene.run_for(Span::minutes(1));
    let refused = scene
        .command(
            alice,
            Request::Send(SendText {
                to: "bob@example.org".into(),
                text: "three".into(),
                ..SendText::default()
            }),
        )
        .unwrap_err();
    assert_eq!(refused.problem.code(), "contact_changed");
    assert!(is_alarmed(
        &mut scene,
        alice,
        "contact_changed",
        "bob@example.org"
    ));
    assert_eq!(scene.texts(thief, alice), ["it is me, bob"]);
    // No receipt waits to leave either.
    assert_eq!(scene.status(alice).receipts, 0);
    // Comparing with the thief's number does not help the thief.
    let theirs = safety_number(&mut scene, thief, alice);
    let differs = verify(
        &mut scene,
        alice,
        bob,
        Decision::Accept,
        Some(number.qr_text.clone()),
    );
    assert_eq!(differs.unwrap_err().problem.code(), "safety_number_differs");
    let accepted = verify(
        &mut scene,
        alice,
        bob,
        Decision::Accept,
        Some(theirs.qr_text),
    )
    .unwrap();
    assert!(accepted.compared && !accepted.awaiting_decision);
    // Decided: nothing more to warn of.
    assert!(alarms(&mut scene, alice).is_empty());
    scene.send(alice, bob, "four");
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.texts(thief, alice), ["it is me, bob", "four"]);
}

#[test]
fn nothing_is_sent_to_an_address_called_unknown() {
    let (mut scene, alice, bob) = alice_and_bob(5);
    scene.relay.answers(|_, frame| {
        if matches!(frame.body, Some(Answer::LookedUp(_))) {
            frame.body = Some(Answer::Error(waxwing_protocol::pb::Error {
                code: waxwing_protocol::pb::ErrorCode::AddressUnknown.into(),
                ..Default::default()
            }));
        }
        Fate::Pass
    });
    let id = scene.send(alice, bob, "hello");
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Failed));
    assert_eq!(problem_of(&mut scene, alice, bob, id), "recipient_unknown");
    assert!(warnings(&scene, alice).is_empty());
    assert!(account(&mut scene, alice).address.is_some());
}
