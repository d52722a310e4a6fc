//! Lies about the key log itself.

use prost::Message as _;
use waxwing_engine::api::{Request, Response};
use waxwing_protocol::{
    pb::{Evidence, LookedUp, relay_frame::Body as Answer},
    time::Span,
};
use waxwing_system_tests::Fate;
use waxwing_transparency::evidence::{self, Misdeed};

use super::scene::{Scene, alice_and_bob, is_alarmed, problem_of};
use waxwing_engine::api::{MessageId, MessageState};
use waxwing_system_tests::{
    PersonId,
    devices::{devices, linked, revoke},
};

fn evidence_of(scene: &mut Scene, id: PersonId) -> Vec<Vec<u8>> {
    match scene.command(id, Request::Evidence).unwrap() {
        Response::Evidence(waxwing_engine::api::EvidenceFiles { evidence }) => evidence
            .iter()
            .map(|one| data_encoding::BASE64.decode(one.file.as_bytes()).unwrap())
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_that_stands_still_is_refused_with_its_age() {
    let (mut scene, alice, bob) = alice_and_bob(11);
    let carol = scene.add_registered("carol@example.org");
    scene.relay.real().set_log_stands_still(true);
    scene.run_for(Span::minutes(50));
    scene.send(alice, bob, "fresh enough");
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.texts(bob, alice), ["fresh enough"]);
    scene.run_for(Span::hours(2));
    // Somebody new is not written to, while what is known goes on.
    let id = scene.send(alice, carol, "too old");
    scene.send(alice, bob, "between us");
    scene.run_for(Span::minutes(5));
    assert_eq!(scene.state(alice, carol, id), Some(MessageState::Queued));
    assert_eq!(problem_of(&mut scene, alice, carol, id), "log_stale");
    assert_eq!(scene.texts(bob, alice), ["fresh enough", "between us"]);
    // A standstill proves nothing.
    assert!(evidence_of(&mut scene, alice).is_empty());
    scene.relay.real().set_log_stands_still(false);
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.texts(carol, alice), ["too old"]);
}

#[test]
fn two_people_shown_two_logs_find_out_by_the_next_message() {
    let (mut scene, alice, bob) = alice_and_bob(12);
    scene.send(alice, bob, "one");
    scene.run_for(Span::minutes(1));
    scene.send(bob, alice, "two");
    scene.run_for(Span::minutes(1));
    // From here on Alice is shown another log, whose heads say something else.
    let (fork, mut rng) = scene.relay.real().fork_log();
    fork.refresh(scene.now.after(Span::minutes(11)), &mut rng)
        .unwrap();
    scene.relay.fork(alice, fork);
    scene.add_registered("carol@example.org");
    scene.add_registered("dave@example.org");
    scene.run_for(Span::hours(7));
    if let Some(fork) = scene.relay.forked(alice) {
        fork.refresh(scene.now, &mut rng).unwrap();
    }
    scene.send(alice, bob, "three");
    scene.run_for(Span::minutes(5));
    scene.send(alice, bob, "four");
    scene.run_for(Span::minutes(20));
    assert!(is_alarmed(&mut scene, bob, "relay_misbehaves", "log_split"));
    let files = evidence_of(&mut scene, bob);
    assert!(!files.is_empty());
    for file in files {
        let proven = evidence::check(&file).unwrap();
        assert!(matches!(proven.misdeed, Misdeed::TwoHistories { .. }));
    }
}

#[test]
fn a_forged_head_is_refused() {
    let (mut scene, alice, bob) = alice_and_bob(13);
    scene.relay.answers(|_, frame| {
        if let Some(Answer::LookedUp(looked_up)) = &mut frame.body
            && let Some(head) = looked_up.log.as_mut().and_then(|log| log.head.as_mut())
        {
            let mut bytes = head.head.to_vec();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            head.head = bytes.into();
        }
        Fate::Pass
    });
    let id = scene.send(alice, bob, "one");
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Queued));
    assert_eq!(problem_of(&mut scene, alice, bob, id), "relay_misbehaves");
    assert!(is_alarmed(
        &mut scene,
        alice,
        "relay_misbehaves",
        "log_false"
    ));
    scene.relay.straighten();
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.texts(bob, alice), ["one"]);
}

/// Alice, who followed one log, is shown another in which nothing of what she saw happened.
/// Gives the message that she wrote then, too.
fn shown_a_rewritten_log(seed: u64) -> (Scene, PersonId, PersonId, MessageId) {
    let (mut scene, alice, bob) = alice_and_bob(seed);
    let (rewritten, mut rng) = scene.relay.real().fork_log();
    let carol = scene.add_registered("carol@example.org");
    scene.send(alice, carol, "one");
    scene.run_for(Span::minutes(30));
    for _ in 0..6 {
        scene.run_for(Span::minutes(11));
        rewritten.refresh(scene.now, &mut rng).unwrap();
    }
    scene.relay.fork(alice, rewritten);
    let id = scene.send(alice, bob, "under which log?");
    scene.run_for(Span::minutes(2));
    (scene, alice, bob, id)
}

#[test]
fn a_log_that_is_rewritten_is_refused_by_whoever_saw_it_before() {
    let (mut scene, alice, bob, id) = shown_a_rewritten_log(15);
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Queued));
    assert_eq!(problem_of(&mut scene, alice, bob, id), "relay_misbehaves");
    assert!(is_alarmed(&mut scene, alice, "relay_misbehaves", ""));
    let files = evidence_of(&mut scene, alice);
    assert!(!files.is_empty());
    for file in files {
        assert!(evidence::check(&file).is_ok());
    }
}

#[test]
fn evidence_that_was_forged_convicts_nobody() {
    let (mut scene, alice, ..) = shown_a_rewritten_log(14);
    let genuine = evidence_of(&mut scene, alice).remove(0);
    let proven = evidence::check(&genuine).unwrap();
    // One bit is another, anywhere; or the end is missing.
    for at in (0..genuine.len()).step_by(7) {
        let mut forged = genuine.clone();
        forged[at] ^= 1 << (at % 8);
        // What is not needed for the proof may be anything; it proves the same then.
        if let Ok(still) = evidence::check(&forged) {
            assert!(still == proven, "byte {at}");
        }
        assert!(evidence::check(&genuine[..at]).is_err(), "{at} bytes");
    }
    // Twice the same head contradicts nothing.
    let mut same = Evidence::decode(genuine.as_slice()).unwrap();
    same.second = same.first.clone();
    assert!(evidence::check(&same.encode_to_vec()).is_err());
}

#[test]
fn a_roster_rolled_back_before_a_revocation_is_refused() {
    let (mut scene, alice, bob) = alice_and_bob(16);
    let carol = scene.add_registered("carol@example.org");
    let tablet = linked(&mut scene, alice);
    // What the relay says of Alice while she has two devices.
    let kept = std::rc::Rc::new(std::cell::RefCell::new(None::<Box<LookedUp>>));
    let keeping = kept.clone();
    scene.relay.answers(move |person, frame| {
        if let Some(Answer::LookedUp(found)) = &frame.body
            && person == bob
        {
            *keeping.borrow_mut() = Some(found.clone());
        }
        Fate::Pass
    });
    scene.send(bob, alice, "to both");
    scene.run_for(Span::minutes(1));
    let old = kept.borrow().clone().unwrap();
    let listed = devices(&mut scene, alice);
    revoke(&mut scene, alice, &listed[1].id).unwrap();
    scene.run_for(Span::hours(2));
    // Carol, who has seen a newer head at her daily check, is told the old story.
    scene.cut(carol);
    scene.run_for(Span::seconds(30));
    scene.relay.answers(move |person, frame| {
        if let Some(Answer::LookedUp(found)) = &mut frame.body
            && person == carol
        {
            *found = old.clone();
        }
        Fate::Pass
    });
    let id = scene.send(carol, alice, "to the devices that she has");
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.state(carol, alice, id), Some(MessageState::Queued));
    assert!(!problem_of(&mut scene, carol, alice, id).is_empty());
    assert!(scene.texts(tablet, carol).is_empty());
    scene.relay.straighten();
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.texts(alice, carol), ["to the devices that she has"]);
    assert!(scene.texts(tablet, carol).is_empty());
}
