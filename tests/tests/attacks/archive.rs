//! Devices that take, or give, more of the archive than they may.

use std::{cell::Cell, rc::Rc};

use waxwing_engine::api::{Notice, PairingStage};
use waxwing_protocol::{
    pb::{client_frame::Body as Ask, relay_frame::Body as Answer},
    time::Span,
};
use waxwing_system_tests::{
    Fate, Passing, PersonId,
    devices::{self, ALICE, approve, code, converse, devices, link, linked, revoke, stage},
};

use super::scene::{Scene, alice_and_bob, warnings};

/// Begins to link a device, and takes its network away when a part of the history has come.
fn half_linked(scene: &mut Scene, old: PersonId, bob: PersonId) -> PersonId {
    converse(scene, old, bob, 1_200);
    let new = scene.add(ALICE);
    link(scene, new);
    let code = code(scene, new);
    approve(scene, old, &code).unwrap();
    let confirm = waxwing_engine::api::ConfirmDevice { accept: true };
    let confirm = waxwing_engine::api::Request::ConfirmDevice(confirm);
    scene.command(old, confirm).unwrap();
    // Others can take it into new groups from the beginning.
    let reachable = Rc::new(Cell::new(false));
    let published = Rc::clone(&reachable);
    scene.watch(move |who, passing| {
        if let Passing::Came(frame) = passing
            && matches!(frame.body, Some(Answer::KeyPackagesPublished(_)))
            && who == new
        {
            published.set(true);
        }
        false
    });
    for _ in 0..1_000 {
        scene.run_for(Span(20));
        let begun = progress(scene, new).is_some_and(|(done, _)| done > 50);
        if begun && reachable.get() {
            break;
        }
    }
    scene.set_online(new, false);
    let (done, total) = progress(scene, new).unwrap();
    assert!(done < total, "{done} of {total}");
    new
}

fn progress(scene: &Scene, id: PersonId) -> Option<(u64, u64)> {
    devices::newest(scene, id, |notice| match notice {
        Notice::Transfer(progress) => Some((progress.done, progress.total)),
        _ => None,
    })
}

/// Whether somebody was told that a transfer ended early.
fn was_ended(scene: &Scene, id: PersonId) -> bool {
    devices::pairing_problem(scene, id).as_deref() == Some("transfer_ended")
}

/// This device asks for the archive and for nothing else: it is a thief's, who is not
/// interested in whether it was revoked.
fn only_asks_for_the_archive(scene: &mut Scene, thief: PersonId) {
    scene.relay.requests(move |who, frame| {
        let archive = matches!(
            frame.body,
            Some(
                Ask::Open(_)
                    | Ask::Ping(_)
                    | Ask::JoinRendezvous(_)
                    | Ask::SendRendezvous(_)
                    | Ask::LeaveRendezvous(_)
            )
        );
        if who == thief && !archive {
            Fate::Drop
        } else {
            Fate::Pass
        }
    });
}

/// Revokes the device that was added last.
fn revoke_last(scene: &mut Scene, by: PersonId) {
    let last = devices(scene, by).pop().unwrap();
    revoke(scene, by, &last.id).unwrap();
    scene.run_for(Span::seconds(30));
}

#[test]
fn a_revoked_device_gets_no_more_of_the_archive() {
    let (mut scene, old, bob) = alice_and_bob(501);
    let thief = half_linked(&mut scene, old, bob);
    only_asks_for_the_archive(&mut scene, thief);
    revoke_last(&mut scene, old);
    scene.send(bob, old, "said when it was revoked");
    scene.run_for(Span::seconds(30));
    assert!(was_ended(&scene, old));
    let had = scene.texts(thief, bob);
    scene.set_online(thief, true);
    scene.run_for(Span::hours(2));
    assert!(scene.texts(thief, bob) == had);
    // Nor with the old keys when either has been started again.
    scene.crash(old);
    scene.start(old);
    scene.crash(thief);
    scene.start(thief);
    scene.run_for(Span::hours(2));
    assert!(scene.texts(thief, bob) == had);
    // The way is free for another device.
    scene.set_online(thief, false);
    let other = linked(&mut scene, old);
    assert!(scene.texts(other, bob) == scene.texts(old, bob));
}

#[test]
fn a_device_revoked_elsewhere_gets_no_more_of_the_archive() {
    let (mut scene, old, bob) = alice_and_bob(502);
    let second = linked(&mut scene, old);
    let thief = half_linked(&mut scene, old, bob);
    only_asks_for_the_archive(&mut scene, thief);
    // Not by the device that hands over.
    revoke_last(&mut scene, second);
    assert!(was_ended(&scene, old));
    let had = scene.texts(thief, bob);
    scene.set_online(thief, true);
    scene.run_for(Span::hours(2));
    assert!(scene.texts(thief, bob) == had);
}

#[test]
fn nothing_more_is_taken_from_a_device_that_was_revoked() {
    let (mut scene, old, bob) = alice_and_bob(503);
    let second = linked(&mut scene, old);
    let new = half_linked(&mut scene, old, bob);
    // The one that hands over is the thief's.
    only_asks_for_the_archive(&mut scene, old);
    let first = devices(&mut scene, second).remove(0);
    revoke(&mut scene, second, &first.id).unwrap();
    scene.run_for(Span::seconds(30));
    scene.relay.answers(move |who, frame| {
        let chunk = matches!(frame.body, Some(Answer::RendezvousMessage(_)));
        if who == new && chunk {
            // Until it has heard of the revocation.
            Fate::Later(Span::seconds(20))
        } else {
            Fate::Pass
        }
    });
    let had = scene.texts(new, bob).len();
    scene.set_online(new, true);
    scene.run_for(Span::seconds(15));
    assert!(was_ended(&scene, new));
    scene.run_for(Span::hours(1));
    assert_eq!(scene.texts(new, bob).len(), had);
}

#[test]
fn what_is_said_after_a_transfer_began_is_not_in_it() {
    let (mut scene, old, bob) = alice_and_bob(504);
    let carol = scene.add_registered("carol@example.org");
    let new = half_linked(&mut scene, old, bob);
    only_asks_for_the_archive(&mut scene, new);
    let before = scene.texts(old, bob);
    scene.send(bob, old, "said later");
    scene.send(old, bob, "and answered");
    scene.send(carol, old, "from somebody new");
    scene.run_for(Span::minutes(1));
    scene.set_online(new, true);
    scene.run_for(Span::minutes(10));
    // All of the archive, and nothing else.
    assert!(scene.texts(new, bob) == before);
    assert!(progress(&scene, new).is_some_and(|(done, total)| done == total));
    let known = scene
        .command(new, waxwing_engine::api::Request::Contacts)
        .unwrap();
    let known = serde_json::to_string(&known).unwrap();
    assert!(
        known.contains("bob@") && !known.contains("carol@"),
        "{known}"
    );
    // What it is entitled to comes to it as to every device, once it is in the groups.
    scene.relay.straighten();
    scene.cut(new);
    scene.run_for(Span::hours(1));
    assert_eq!(scene.texts(new, bob).len(), before.len() + 2);
    assert_eq!(scene.texts(old, bob).len(), before.len() + 2);
    assert_eq!(scene.texts(new, carol), ["from somebody new"]);
    assert_eq!(stage(&scene, old), Some(PairingStage::Done));
}

#[test]
fn a_device_that_asks_for_ever_is_not_given_it_for_ever() {
    let (mut scene, old, bob) = alice_and_bob(505);
    let new = half_linked(&mut scene, old, bob);
    // Nothing of what it asks for reaches it, and it asks again and again.
    scene.relay.answers(move |who, frame| {
        if who == new && matches!(frame.body, Some(Answer::RendezvousMessage(_))) {
            Fate::Drop
        } else {
            Fate::Pass
        }
    });
    scene.relay.requests(move |who, frame| {
        if who == new && matches!(frame.body, Some(Ask::SendRendezvous(_))) {
            Fate::Times(200)
        } else {
            Fate::Pass
        }
    });
    scene.set_online(new, true);
    scene.run_for(Span::seconds(40));
    assert!(!was_ended(&scene, old), "{:?}", warnings(&scene, old));
    scene.run_for(Span::minutes(20));
    assert!(was_ended(&scene, old));
    let had = scene.texts(new, bob).len();
    scene.relay.straighten();
    scene.cut_all();
    scene.run_for(Span::minutes(10));
    // It is a device of the account, and gets what is said now.
    scene.send(bob, old, "hello both");
    scene.run_for(Span::minutes(5));
    assert_eq!(scene.texts(new, bob).last().unwrap(), "hello both");
    assert!(scene.texts(new, bob).len() <= had + 4);
}
