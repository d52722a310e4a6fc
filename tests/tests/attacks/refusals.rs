//! Refusals that are false: of tokens, posts, groups and what is needed to come back.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use waxwing_engine::api::MessageState;
use waxwing_protocol::{
    pb::{Error, ErrorCode, PostKind, client_frame::Body as Asked, relay_frame::Body as Answer},
    time::Span,
};
use waxwing_system_tests::{Fate, PersonId};

use super::scene::{Scene, alice_and_bob, problem_of};

fn refusal(code: ErrorCode) -> Answer {
    Answer::Error(Error {
        code: code.into(),
        ..Error::default()
    })
}

/// Alice and Bob, who have written to each other.
fn acquainted(seed: u64) -> (Scene, PersonId, PersonId) {
    let (mut scene, alice, bob) = alice_and_bob(seed);
    for (from, to) in [(alice, bob), (bob, alice)] {
        scene.send(from, to, "before");
        scene.run_for(Span::minutes(1));
    }
    (scene, alice, bob)
}

/// Both write, and both are heard.
fn both_are_heard(scene: &mut Scene, alice: PersonId, bob: PersonId) {
    for (from, to) in [(bob, alice), (alice, bob), (bob, alice), (alice, bob)] {
        let id = scene.send(from, to, "after");
        scene.run_for(Span::minutes(5));
        assert_eq!(scene.state(from, to, id), Some(MessageState::Delivered));
    }
}

#[test]
fn a_relay_that_refuses_every_token_is_not_given_them_all() {
    let (mut scene, alice, bob) = alice_and_bob(901);
    let given = Rc::new(RefCell::new(0));
    let counts = Rc::clone(&given);
    scene.relay.answers(move |_, frame| {
        if matches!(frame.body, Some(Answer::KeyPackagesClaimed(_))) {
            *counts.borrow_mut() += 1;
            frame.body = Some(refusal(ErrorCode::Unauthorised));
        }
        Fate::Pass
    });
    let id = scene.send(alice, bob, "hello");
    scene.run_for(Span::minutes(10));
    assert!(*given.borrow() <= 11, "{given:?}");
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Queued));
    assert_eq!(problem_of(&mut scene, alice, bob, id), "relay_refused");
    scene.relay.straighten();
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.texts(bob, alice), ["hello"]);
}

#[test]
fn a_post_refused_again_and_again_uses_up_no_keys() {
    let (mut scene, alice, bob) = acquainted(902);
    scene.set_online(bob, false);
    let posts = Rc::new(RefCell::new(Vec::new()));
    let keeps = Rc::clone(&posts);
    scene.relay.requests(move |whose, frame| {
        if let Some(Asked::Post(post)) = &frame.body
            && whose == alice
        {
            keeps.borrow_mut().push(post.body.clone());
        }
        Fate::Pass
    });
    scene.relay.answers(move |whose, frame| {
        if matches!(frame.body, Some(Answer::Posted(_))) && whose == alice {
            frame.body = Some(refusal(ErrorCode::EpochConflict));
        }
        Fate::Pass
    });
    let id = scene.send(alice, bob, "hello");
    scene.run_for(Span::minutes(10));
    let (tries, different) = {
        let posts = posts.borrow();
        (posts.len(), posts.iter().collect::<BTreeSet<_>>().len())
    };
    assert!((2..=310).contains(&tries), "{tries} tries");
    assert_eq!(different, 1, "of {tries}");
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Queued));
    scene.relay.straighten();
    scene.set_online(bob, true);
    both_are_heard(&mut scene, alice, bob);
}

#[test]
fn a_group_that_the_relay_denies_once_is_still_read() {
    // Which of two groups has the smaller id is chance.
    for seed in 910..916 {
        let (mut scene, alice, bob) = acquainted(seed);
        scene.run_for(Span::minutes(5));
        let denied = Rc::new(RefCell::new(false));
        let denies = Rc::clone(&denied);
        scene.relay.answers(move |whose, frame| {
            let asks = matches!(frame.body, Some(Answer::PostingAuthorised(_)));
            if asks && whose == alice && !denies.replace(true) {
                frame.body = Some(refusal(ErrorCode::GroupUnknown));
            }
            Fate::Pass
        });
        scene.send(alice, bob, "denied");
        scene.run_for(Span::minutes(5));
        assert!(*denied.borrow());
        assert_eq!(scene.texts(bob, alice).last().unwrap(), "denied", "{seed}");
        both_are_heard(&mut scene, alice, bob);
    }
}

#[test]
fn an_invitation_that_is_withheld_parts_nobody_for_good() {
    for seed in 920..926 {
        let (mut scene, alice, bob) = alice_and_bob(seed);
        scene.relay.answers(move |whose, frame| match &frame.body {
            Some(Answer::Deliver(deliver))
                if whose == bob && deliver.kind() == PostKind::Welcome =>
            {
                Fate::Drop
            }
            _ => Fate::Pass,
        });
        let id = scene.send(alice, bob, "hello?");
        scene.run_for(Span::hours(1));
        assert_eq!(scene.state(alice, bob, id), Some(MessageState::Accepted));
        assert!(scene.texts(bob, alice).is_empty());
        scene.relay.straighten();
        both_are_heard(&mut scene, alice, bob);
    }
}

#[test]
fn group_information_that_is_spoilt_stops_no_conversation() {
    let (mut scene, alice, bob) = acquainted(930);
    let mut told = false;
    scene.relay.answers(move |whose, frame| {
        match &mut frame.body {
            // Alice is told once to come in again, and never can.
            Some(Answer::PostingAuthorised(_)) if whose == alice && !told => {
                told = true;
                frame.body = Some(refusal(ErrorCode::Unauthorised));
            }
            Some(Answer::GroupInfoFetched(fetched)) => {
                let mut bytes = fetched.sealed_group_info.to_vec();
                bytes[20] ^= 1;
                fetched.sealed_group_info = bytes.into();
            }
            _ => {}
        }
        Fate::Pass
    });
    scene.run_for(Span::minutes(5));
    scene.send(alice, bob, "spoilt");
    scene.run_for(Span::minutes(5));
    assert!(scene.texts(bob, alice).contains(&"spoilt".to_owned()));
    both_are_heard(&mut scene, alice, bob);
}
