//! Key packages, signing keys and versions that the relay chooses.

use std::{cell::RefCell, rc::Rc};

use bytes::Bytes;
use waxwing_engine::api::MessageState;
use waxwing_protocol::{
    pb::{ClaimedKeyPackage, client_frame::Body as Ask, relay_frame::Body as Answer},
    time::Span,
};
use waxwing_system_tests::{Fate, PersonId};

use super::scene::{Scene, account, alice_and_bob, is_alarmed, problem_of, warnings, with_mallory};

/// Keeps the last resorts that somebody publishes.
fn keep_last_resorts(scene: &mut Scene, of: PersonId) -> Rc<RefCell<Vec<Bytes>>> {
    let kept = Rc::new(RefCell::new(Vec::new()));
    let keeping = kept.clone();
    scene.relay.requests(move |person, frame| {
        if let Some(Ask::PublishKeyPackages(publish)) = &frame.body
            && person == of
            && !publish.last_resort.is_empty()
        {
            keeping.borrow_mut().push(publish.last_resort.clone());
        }
        Fate::Pass
    });
    kept
}

#[test]
fn a_last_resort_served_for_ever_is_replaced_within_a_day() {
    let (mut scene, alice, bob) = alice_and_bob(401);
    let carol = scene.add_registered("carol@example.org");
    let published = keep_last_resorts(&mut scene, bob);
    scene.run_for(Span::hours(24));
    assert_eq!(published.borrow().len(), 1);
    let last_resort = published.borrow()[0].clone();
    // The relay hands out nothing else, to everybody.
    scene.relay.answers(move |_, frame| {
        if let Some(Answer::KeyPackagesClaimed(claimed)) = &mut frame.body {
            for one in &mut claimed.key_packages {
                one.key_package = last_resort.clone();
            }
        }
        Fate::Pass
    });
    scene.send(alice, bob, "from Alice");
    scene.send(carol, bob, "from Carol");
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.texts(bob, alice), ["from Alice"]);
    assert_eq!(scene.texts(bob, carol), ["from Carol"]);
    // And that one, too, goes within the day, served or not.
    scene.run_for(Span::hours(24));
    assert_eq!(published.borrow().len(), 2);
    // What it had served goes on, under keys of its own by now.
    scene.send(alice, bob, "and on");
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.texts(bob, alice), ["from Alice", "and on"]);
}

#[test]
fn a_key_package_given_out_twice_exposes_no_message() {
    let (mut scene, alice, bob) = alice_and_bob(402);
    let carol = scene.add_registered("carol@example.org");
    let first = Rc::new(RefCell::new(None::<Vec<ClaimedKeyPackage>>));
    scene.relay.answers(move |_, frame| {
        if let Some(Answer::KeyPackagesClaimed(claimed)) = &mut frame.body {
            let mut first = first.borrow_mut();
            match first.as_ref() {
                Some(first) => claimed.key_packages.clone_from(first),
                None => *first = Some(claimed.key_packages.clone()),
            }
        }
        Fate::Pass
    });
    scene.send(alice, bob, "from Alice");
    scene.run_for(Span::minutes(1));
    let id = scene.send(carol, bob, "from Carol");
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.texts(bob, alice), ["from Alice"]);
    // The key was used up by the first: Carol's message is not opened, and nobody tells her
    // that it arrived.
    assert!(scene.texts(bob, carol).is_empty());
    assert_eq!(scene.state(carol, bob, id), Some(MessageState::Accepted));
    assert!(scene.texts(alice, carol).is_empty());
    // Bob's answer, in a conversation of his own making, brings them together.
    scene.relay.straighten();
    scene.send(bob, carol, "are you there?");
    scene.run_for(Span::minutes(2));
    assert!(
        scene
            .texts(carol, bob)
            .contains(&"are you there?".to_owned())
    );
}

#[test]
fn a_device_that_the_relay_adds_is_refused() {
    let (mut scene, alice, bob, mallory) = with_mallory(403);
    let listening = Rc::new(RefCell::new(None::<ClaimedKeyPackage>));
    let kept = listening.clone();
    // A key package of Mallory's, whose device is in nobody's roster but its own.
    scene.relay.answers(move |person, frame| {
        if let Some(Answer::KeyPackagesClaimed(claimed)) = &mut frame.body {
            if person == bob {
                *kept.borrow_mut() = claimed.key_packages.first().cloned();
            } else if let Some(ghost) = kept.borrow().clone() {
                claimed.key_packages.push(ghost);
            }
        }
        Fate::Pass
    });
    scene.send(bob, mallory, "hello Mallory");
    scene.run_for(Span::minutes(1));
    assert!(listening.borrow().is_some());
    let id = scene.send(alice, bob, "for Bob only");
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Queued));
    assert_eq!(
        problem_of(&mut scene, alice, bob, id),
        "recipient_not_proven"
    );
    assert!(warnings(&scene, alice).contains(&"relay_misbehaves".to_owned()));
    assert!(scene.texts(mallory, alice).is_empty());
    scene.relay.straighten();
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.texts(bob, alice), ["for Bob only"]);
    assert!(scene.texts(mallory, alice).is_empty());
}

#[test]
fn key_packages_that_run_out_cost_nobody_a_message() {
    let (mut scene, alice, bob) = alice_and_bob(404);
    // Somebody drains them faster than Bob, who is away, can bring new ones.
    scene.set_online(bob, false);
    let mut others = Vec::new();
    for n in 0..60 {
        let other = scene.add_registered(&format!("p{n}@example.org"));
        scene.send(other, bob, "mine");
        scene.run_for(Span::seconds(5));
        others.push(other);
    }
    scene.send(alice, bob, "and mine");
    scene.run_for(Span::minutes(1));
    scene.set_online(bob, true);
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.texts(bob, alice), ["and mine"]);
    for other in others {
        assert_eq!(scene.texts(bob, other), ["mine"]);
    }
}

#[test]
fn a_weaker_suite_in_a_key_package_is_refused() {
    let (mut scene, alice, bob) = alice_and_bob(405);
    scene.relay.answers(|_, frame| {
        if let Some(Answer::KeyPackagesClaimed(claimed)) = &mut frame.body {
            for one in &mut claimed.key_packages {
                // MLSMessage: version, wire format; KeyPackage: version, suite. X25519 alone.
                let mut bent = one.key_package.to_vec();
                bent[6..8].copy_from_slice(&[0x00, 0x03]);
                one.key_package = bent.into();
            }
        }
        Fate::Pass
    });
    let id = scene.send(alice, bob, "for later centuries");
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Queued));
    assert_eq!(
        problem_of(&mut scene, alice, bob, id),
        "recipient_not_proven"
    );
    assert!(scene.status(alice).suite.contains("XWING"));
    scene.relay.straighten();
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.texts(bob, alice), ["for later centuries"]);
}

#[test]
fn a_version_that_this_client_does_not_speak_is_not_spoken() {
    let (mut scene, alice, bob) = alice_and_bob(406);
    scene.relay.answers(|_, frame| {
        if let Some(Answer::Hello(hello)) = &mut frame.body {
            hello.versions = vec![0, 99];
        }
        Fate::Pass
    });
    scene.cut_all();
    scene.run_for(Span::minutes(1));
    assert!(warnings(&scene, alice).contains(&"relay_too_different".to_owned()));
    let id = scene.send(alice, bob, "later");
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Queued));
    scene.relay.straighten();
    scene.cut_all();
    scene.run_for(Span::minutes(10));
    assert_eq!(scene.texts(bob, alice), ["later"]);
}

#[test]
fn signing_keys_of_low_order_and_malformed_ones_are_refused() {
    let (mut scene, alice, bob) = alice_and_bob(407);
    // The neutral element, points of order 2, 4 and 8, encodings that are not canonical, no
    // point at all; and ML-DSA keys that are too short or too long.
    let mut low = vec![[0; 32]; 4];
    low[0][0] = 1;
    low[1] = [0xff; 32];
    low[1][0] = 0xec;
    low[1][31] = 0x7f;
    low[3] = [0xff; 32];
    let mut eight = [0; 32];
    eight.copy_from_slice(
        &data_encoding::HEXLOWER
            .decode(b"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
            .unwrap(),
    );
    low.push(eight);
    for key in low.into_iter().map(|key| key.to_vec()).chain([vec![7; 31]]) {
        bend_identity(&mut scene, move |identity| {
            identity.ed25519 = key.clone().into();
        });
        refused(&mut scene, alice, bob);
    }
    for length in [0, 1951, 1953] {
        bend_identity(&mut scene, move |identity| {
            identity.ml_dsa_65 = vec![3; length].into();
        });
        refused(&mut scene, alice, bob);
    }
    scene.relay.straighten();
    scene.run_for(Span::minutes(5));
    assert_eq!(scene.texts(bob, alice).len(), 9);
}

/// Changes the identity key in the first statement of every roster that is looked up, as
/// whoever also made the signatures anew could.
fn bend_identity(
    scene: &mut Scene,
    bend: impl Fn(&mut waxwing_protocol::pb::HybridPublicKey) + 'static,
) {
    use prost::Message as _;
    use waxwing_protocol::pb::{Statement, statement::Change};
    scene.relay.answers(move |_, frame| {
        if let Some(Answer::LookedUp(found)) = &mut frame.body {
            for signed in &mut found.roster {
                let mut statement = Statement::decode(signed.statement.clone()).unwrap();
                if let Some(Change::CreateAccount(create)) = &mut statement.change
                    && let Some(identity) = create
                        .device
                        .as_mut()
                        .and_then(|device| device.identity.as_mut())
                {
                    bend(identity);
                }
                signed.statement = statement.encode_to_vec().into();
            }
        }
        Fate::Pass
    });
}

fn refused(scene: &mut Scene, from: PersonId, to: PersonId) {
    let id = scene.send(from, to, "to honest keys only");
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.state(from, to, id), Some(MessageState::Queued));
    assert!(!problem_of(scene, from, to, id).is_empty());
    assert!(is_alarmed(scene, from, "relay_misbehaves", "roster_"));
    assert!(scene.texts(to, from).is_empty());
    assert!(
        !account(scene, from)
            .account_id
            .unwrap_or_default()
            .is_empty()
    );
}
