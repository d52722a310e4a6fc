//! A locked address: nobody else gets it at once.

use waxwing_engine::api::{
    Notice, Problem, Register, RegistrationChanged, RegistrationStage, Request, SetLock, SubmitCode,
};
use waxwing_protocol::time::Span;
use waxwing_system_tests::PersonId;

use super::scene::{
    ALICE, RELAY, Scene, alice_and_bob, alice_twice_and_bob, converse, is_alarmed, newest, outcome,
    recover, recovering, words,
};

fn lock(scene: &mut Scene, id: PersonId, locked: bool) {
    scene
        .command(id, Request::SetLock(SetLock { locked }))
        .unwrap();
    scene.run_for(Span::seconds(20));
    assert_eq!(scene.status(id).locked, locked);
}

/// Somebody who reads Alice's mail registers her address. Gives how it ended.
fn register(scene: &mut Scene, id: PersonId) -> RegistrationChanged {
    let register = Register {
        address: ALICE.into(),
        relay: RELAY.into(),
        pin: Some(waxwing_system_tests::pin()),
        name: None,
        device: None,
    };
    scene.command(id, Request::Register(register)).unwrap();
    scene.run_for(Span::seconds(5));
    let code = scene.codes.remove(ALICE).expect("a code was sent");
    let submit = Request::SubmitCode(SubmitCode { code });
    scene.command(id, submit).unwrap();
    scene.run_for(Span::seconds(15));
    newest(scene, id, |notice| match notice {
        Notice::Registration(changed) => Some(changed.clone()),
        _ => None,
    })
    .unwrap()
}

fn refusal(changed: &RegistrationChanged) -> Problem {
    changed.problem.as_ref().unwrap().problem().unwrap()
}

#[test]
fn nobody_gets_a_locked_address_while_a_device_objects() {
    let (mut scene, alice, _) = alice_and_bob(1);
    lock(&mut scene, alice, true);
    let mallory = scene.add(ALICE);
    for week in 0..3 {
        let refused = register(&mut scene, mallory);
        let wait_ms = Some(Span::days(7).0);
        assert_eq!(refusal(&refused), Problem::AddressLocked { wait_ms });
        // At once, and again on each day.
        assert!(is_alarmed(&mut scene, alice, "address_contested"), "{week}");
        scene.run_for(Span::days(5));
        scene.command(alice, Request::KeepAddress).unwrap();
        scene.run_for(Span::seconds(20));
        assert!(!is_alarmed(&mut scene, alice, "address_contested"));
        scene.run_for(Span::days(3));
        assert!(!is_alarmed(&mut scene, alice, "address_taken"));
    }
}

#[test]
fn a_locked_address_is_free_after_a_week_of_silence() {
    let (mut scene, alice, bob) = alice_and_bob(2);
    converse(&mut scene, alice, bob, 3);
    lock(&mut scene, alice, true);
    let anew = scene.add(ALICE);
    let refused = register(&mut scene, anew);
    assert_eq!(refusal(&refused).code(), "address_locked");
    scene.run_for(Span::days(6));
    assert_eq!(
        refusal(&register(&mut scene, anew)).code(),
        "address_locked"
    );
    scene.run_for(Span::days(1));
    scene.run_for(Span::minutes(5));
    let registered = register(&mut scene, anew);
    assert_eq!(registered.stage, RegistrationStage::Registered);
    scene.run_for(Span::hours(25));
    assert!(is_alarmed(&mut scene, alice, "address_taken"));
    // Nothing of what was the old account's is the new one's.
    assert!(scene.texts(anew, bob).is_empty());
}

#[test]
fn an_address_that_is_not_locked_is_had_at_once() {
    let (mut scene, alice, _) = alice_and_bob(3);
    lock(&mut scene, alice, true);
    lock(&mut scene, alice, false);
    let anew = scene.add(ALICE);
    let registered = register(&mut scene, anew);
    assert_eq!(registered.stage, RegistrationStage::Registered);
    scene.run_for(Span::minutes(1));
    assert!(is_alarmed(&mut scene, alice, "address_taken"));
}

#[test]
fn the_recovery_key_opens_a_locked_address_at_once() {
    let (mut scene, alice, _) = alice_and_bob(4);
    lock(&mut scene, alice, true);
    let (words, _) = words(&mut scene, alice);
    let new = scene.add(ALICE);
    recover(&mut scene, new, recovering(&words));
    assert_eq!(
        outcome(&scene, new).0,
        waxwing_engine::api::RecoveryStage::Done
    );
    assert!(scene.status(new).locked);
    assert!(!is_alarmed(&mut scene, alice, "address_contested"));
}

#[test]
fn the_other_devices_are_told_when_one_changes_the_lock() {
    let (mut scene, first, second, _) = alice_twice_and_bob(5);
    lock(&mut scene, first, true);
    assert!(scene.status(second).locked);
    assert!(is_alarmed(&mut scene, second, "lock_changed"));
    assert!(!is_alarmed(&mut scene, first, "lock_changed"));
}
