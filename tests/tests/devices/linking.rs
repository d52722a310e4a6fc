//! A new device is linked, whatever comes in between; or nobody is.

use waxwing_engine::api::{
    Decision, EventKind, NamedAuditor, Notice, Of, PairingStage, Request, Response, SetAuditors,
    SetLock, Verify,
};
use waxwing_protocol::time::Span;
use waxwing_system_tests::PersonId;

use super::scene::{
    self, ALICE, Scene, alice_and_bob, approve, code, confirm, converse, devices, is_alarmed, link,
    link_all_the_way, newest, pairing, pairing_problem, run_until_frame, stage,
};

#[test]
fn a_new_device_is_linked_and_has_the_history() {
    let (mut scene, old, bob) = alice_and_bob(1);
    converse(&mut scene, old, bob, 200);
    let before = scene.history(old, bob);
    let new = scene.add(ALICE);
    link(&mut scene, new);
    assert_eq!(stage(&scene, new), Some(PairingStage::Code));
    let code = code(&scene, new);
    approve(&mut scene, old, &code).unwrap();
    let asked = pairing(&scene, old).unwrap();
    assert_eq!(asked.stage, PairingStage::Confirm);
    assert_eq!(asked.name.as_deref(), Some("Kitchen tablet"));
    // The code is on the new device only; the short id is the same on both.
    assert_eq!(asked.code, None);
    let shown = pairing(&scene, new).unwrap();
    assert_eq!(shown.stage, PairingStage::Agreed);
    assert_eq!(shown.device, asked.device);
    assert_eq!(devices(&mut scene, old).len(), 1);
    confirm(&mut scene, old, true).unwrap();
    scene.run_for(Span::minutes(4));
    assert_eq!(stage(&scene, new), Some(PairingStage::Done));
    assert_eq!(stage(&scene, old), Some(PairingStage::Done));
    assert!(scene.history(new, bob) == before);
    for (id, this) in [(old, 0), (new, 1)] {
        let devices = devices(&mut scene, id);
        assert_eq!(devices.len(), 2);
        assert!(devices[this].this && !devices[1 - this].this);
        assert_eq!(devices[1].name.as_deref(), Some("Kitchen tablet"));
        assert_eq!(devices[1].added_by.as_ref(), Some(&devices[0].id));
        // Who did it, or is it, needs no alarm.
        assert!(scene.status(id).alarms.is_empty());
    }
    let progress = |id: PersonId| {
        newest(&scene, id, |notice| match notice {
            Notice::Transfer(progress) => Some((progress.done, progress.total)),
            _ => None,
        })
    };
    let (done, total) = progress(new).unwrap();
    assert!(done == total && total > 200);
    assert_eq!(progress(old), Some((done, total)));
    // Bob is told nothing that would alarm him.
    let events = scene.history(bob, old);
    let resets = events.iter().filter(|entry| {
        matches!(entry, waxwing_engine::api::Entry::Event(event)
            if event.event == EventKind::IdentityReset)
    });
    assert_eq!(resets.count(), 0);
}

#[test]
fn the_other_devices_are_told_of_a_new_one_within_five_seconds() {
    let (mut scene, first, second, _) = scene::alice_twice_and_bob(2);
    let third = scene.add(ALICE);
    link(&mut scene, third);
    let code = code(&scene, third);
    approve(&mut scene, first, &code).unwrap();
    // Its code and its name are nowhere but on the two that are being linked.
    assert_eq!(stage(&scene, second), Some(PairingStage::Done));
    confirm(&mut scene, first, true).unwrap();
    assert_eq!(devices(&mut scene, second).len(), 3);
    assert!(is_alarmed(&mut scene, second, "device_added"));
    assert!(!is_alarmed(&mut scene, first, "device_added"));
}

#[test]
fn a_typing_error_does_not_cost_the_code() {
    let (mut scene, old, _) = alice_and_bob(3);
    let new = scene.add(ALICE);
    link(&mut scene, new);
    let good = code(&scene, new);
    let refused = |scene: &mut Scene, code: &str| {
        approve(scene, old, code).map_err(|refused| refused.problem.code())
    };
    let last = if good.ends_with('A') { "B" } else { "A" };
    let mistyped = format!("{}{last}", &good[..good.len() - 1]);
    assert_eq!(refused(&mut scene, &mistyped), Err("pairing_code_mistyped"));
    assert_eq!(refused(&mut scene, "hello"), Err("pairing_code_malformed"));
    approve(&mut scene, old, &good.to_lowercase()).unwrap();
    assert_eq!(stage(&scene, old), Some(PairingStage::Confirm));
}

#[test]
fn a_person_who_says_no_admits_nobody() {
    let (mut scene, old, _) = alice_and_bob(4);
    let new = scene.add(ALICE);
    link(&mut scene, new);
    let code = code(&scene, new);
    approve(&mut scene, old, &code).unwrap();
    confirm(&mut scene, old, false).unwrap();
    assert_eq!(stage(&scene, old), Some(PairingStage::Refused));
    assert_eq!(
        pairing_problem(&scene, new).as_deref(),
        Some("pairing_refused")
    );
    assert_eq!(devices(&mut scene, old).len(), 1);
    let again = confirm(&mut scene, old, true);
    assert_eq!(again.unwrap_err().problem.code(), "pairing_not_asked");
}

/// What comes in between.
#[derive(Clone, Copy)]
enum Disturbance {
    Cut,
    Kill,
}

/// Disturbs the linking when the `at`-th frame has come to one side; `None` when there is
/// no such frame.
fn disturbed(which: usize, at: usize, what: Disturbance) -> Option<bool> {
    let (mut scene, old, bob) = alice_and_bob(5);
    converse(&mut scene, old, bob, 30);
    let new = scene.add(ALICE);
    let victim = [old, new][which];
    // People do their part as soon as they can, while the frames are counted.
    link(&mut scene, new);
    let code = code(&scene, new);
    approve(&mut scene, old, &code).unwrap();
    let confirm_it = waxwing_engine::api::ConfirmDevice { accept: true };
    let confirm_it = waxwing_engine::api::Request::ConfirmDevice(confirm_it);
    scene.command(old, confirm_it).unwrap();
    if !run_until_frame(&mut scene, victim, at, Span::minutes(3)) {
        return None;
    }
    match what {
        Disturbance::Cut => scene.cut(victim),
        Disturbance::Kill => {
            scene.crash(victim);
            scene.start(victim);
        }
    }
    scene.run_for(Span::minutes(50));
    let linked = devices(&mut scene, old).len() == 2;
    if !linked {
        link_all_the_way(&mut scene, old, new);
    }
    assert_eq!(devices(&mut scene, old).len(), 2, "{at}");
    assert_eq!(devices(&mut scene, new).len(), 2, "{at}");
    assert!(
        scene.history(old, bob) == scene.history(new, bob),
        "after frame {at}"
    );
    Some(linked)
}

/// Disturbs a linking at each frame there is. In the end the device is linked, or both
/// know that it is not and a second attempt works.
fn survives(which: usize, what: Disturbance) {
    let outcomes: Vec<bool> = (1..).map_while(|at| disturbed(which, at, what)).collect();
    assert!(outcomes.len() > 10, "{}", outcomes.len());
    let went_through = outcomes.iter().filter(|linked| **linked).count();
    assert!(went_through > 5, "{went_through} of {}", outcomes.len());
}

#[test]
fn linking_survives_a_kill_of_the_new_device_at_any_frame() {
    survives(1, Disturbance::Kill);
}

#[test]
fn linking_survives_a_kill_of_the_old_device_at_any_frame() {
    survives(0, Disturbance::Kill);
}

#[test]
fn linking_survives_cut_links_at_any_frame() {
    survives(0, Disturbance::Cut);
    survives(1, Disturbance::Cut);
}

#[test]
fn what_a_person_decided_counts_on_a_new_device_too() {
    let (mut scene, old, bob) = alice_and_bob(6);
    converse(&mut scene, old, bob, 3);
    let verify = Request::Verify(Verify {
        of: "bob@example.org".into(),
        decision: Decision::Accept,
        scanned: None,
    });
    scene.command(old, verify).unwrap();
    let auditor =
        "waxwing-auditor-5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f";
    let name = Request::SetAuditors(SetAuditors {
        auditors: vec![NamedAuditor {
            id: auditor.into(),
            name: "Eva".into(),
        }],
        required: 0,
    });
    scene.command(old, name).unwrap();
    let lock = Request::SetLock(SetLock { locked: true });
    scene.command(old, lock).unwrap();
    scene.run_for(Span::minutes(1));
    let new = scene::linked(&mut scene, old);
    for id in [old, new] {
        let of = "bob@example.org".into();
        match scene.command(id, Request::SafetyNumber(Of { of })).unwrap() {
            Response::SafetyNumber(number) => assert!(number.compared),
            _ => panic!("a safety number"),
        }
        match scene.command(id, Request::Auditors).unwrap() {
            Response::Auditors(waxwing_engine::api::Auditors { auditors, .. }) => {
                assert_eq!(auditors[0].name, "Eva");
            }
            _ => panic!("auditors"),
        }
        let status = scene.status(id);
        assert!(status.locked && status.alarms.is_empty());
    }
}
