//! Lies about the key log itself.

use waxwing_engine::api::{Request, Response};
use waxwing_protocol::{pb::relay_frame::Body as Answer, time::Span};
use waxwing_system_tests::Fate;
use waxwing_transparency::evidence::{self, Misdeed};

use super::scene::{Scene, alice_and_bob, is_alarmed, problem_of};
use waxwing_engine::api::MessageState;
use waxwing_system_tests::PersonId;

fn evidence_of(scene: &mut Scene, id: PersonId) -> Vec<Vec<u8>> {
    match scene.command(id, Request::Evidence).unwrap() {
        Response::Evidence { evidence } => evidence
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
fn two_people_who_are_shown_two_logs_find_out_by_their_next_message() {
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
    assert!(is_alarmed(
        &mut scene,
        bob,
        "relay_misbehaves",
        "different key logs"
    ));
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
        "does not prove"
    ));
    scene.relay.straighten();
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.texts(bob, alice), ["one"]);
}
