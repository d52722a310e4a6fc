//! A device loses its rights: at once, everywhere, for good.

use waxwing_engine::api::{Request, SendText};
use waxwing_protocol::time::Span;

use super::scene::{
    alice_and_bob, alice_twice_and_bob, converse, devices, is_alarmed, linked, revoke,
};

#[test]
fn a_revoked_device_reads_nothing_and_nothing_it_says_counts() {
    let (mut scene, first, bob) = alice_and_bob(1);
    converse(&mut scene, first, bob, 5);
    let second = linked(&mut scene, first);
    scene.send(bob, first, "both see this");
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.texts(first, bob).len(), 6);
    assert_eq!(scene.texts(second, bob).len(), 6);
    let listed = devices(&mut scene, second);
    revoke(&mut scene, second, &listed[0].short).unwrap();
    scene.run_for(Span::seconds(30));
    assert_eq!(devices(&mut scene, second).len(), 1);
    // The one that was revoked says so.
    assert!(is_alarmed(&mut scene, first, "device_revoked"));
    let kept = scene.texts(first, bob);
    scene.send(bob, second, "only the tablet sees this");
    let still_here = SendText {
        to: "bob@example.org".into(),
        text: "I am still here".into(),
        ..SendText::default()
    };
    let refused = scene.command(first, Request::Send(still_here));
    assert_eq!(refused.unwrap_err().problem.code(), "device_revoked");
    scene.run_for(Span::hours(2));
    assert_eq!(
        scene.texts(second, bob).last().unwrap(),
        "only the tablet sees this"
    );
    assert!(scene.texts(first, bob) == kept);
    // Bob was not alarmed, and his messages arrive.
    assert!(scene.status(bob).alarms.is_empty());
    assert_eq!(scene.status(bob).outbox, 0);
}

#[test]
fn a_device_revoked_while_away_finds_out_on_its_return() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(2);
    scene.send(bob, first, "both see this");
    scene.run_for(Span::minutes(2));
    scene.set_online(first, false);
    let listed = devices(&mut scene, second);
    revoke(&mut scene, second, &listed[0].id).unwrap();
    scene.run_for(Span::minutes(1));
    scene.send(bob, second, "secret");
    scene.run_for(Span::minutes(1));
    scene.set_online(first, true);
    scene.run_for(Span::minutes(5));
    assert_eq!(scene.texts(second, bob), ["both see this", "secret"]);
    assert_eq!(scene.texts(first, bob), ["both see this"]);
    assert!(is_alarmed(&mut scene, first, "device_revoked"));
}

#[test]
fn a_device_revokes_others_and_not_itself() {
    let (mut scene, _, second, _) = alice_twice_and_bob(3);
    let listed = devices(&mut scene, second);
    let mut refused = |device: &str| {
        let refused = revoke(&mut scene, second, device);
        refused.unwrap_err().problem.code()
    };
    assert_eq!(refused(&listed[1].id[..8]), "device_is_this");
    assert_eq!(refused("00112233"), "device_unknown");
}

#[test]
fn two_devices_that_revoke_each_other_at_once_leave_one() {
    let (mut scene, first, second, _) = alice_twice_and_bob(4);
    let listed = devices(&mut scene, first);
    revoke(&mut scene, first, &listed[1].id).unwrap();
    revoke(&mut scene, second, &listed[0].id).unwrap();
    scene.run_for(Span::minutes(5));
    let alarms = [first, second].map(|id| is_alarmed(&mut scene, id, "device_revoked"));
    assert_eq!(
        alarms.iter().filter(|revoked| **revoked).count(),
        1,
        "{alarms:?}"
    );
}
