//! Files of messages on devices that came later: another device of the account has them.

use waxwing_engine::api::{
    AttachmentOf, AttachmentState, MessageId, MissingFile, MissingReason, Request, Response,
    SendText,
};
use waxwing_protocol::time::Span;
use waxwing_system_tests::{PersonId, scenes::alice_and_bob_talking};

use super::scene::{Scene, linked_as};

const BOB: &str = "bob@example.org";

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|at| u8::try_from(at * 31 % 251).unwrap())
        .collect()
}

fn send_file(scene: &mut Scene, from: PersonId, to: &str, file: &[u8]) -> MessageId {
    let sealed = scene.seal(from, "holiday.jpg", file);
    let send = SendText {
        to: to.into(),
        attachments: vec![sealed],
        ..SendText::default()
    };
    let Response::Sent(sent) = scene.command(from, Request::Send(send)).unwrap() else {
        panic!("sent");
    };
    scene.run_for(Span::minutes(2));
    sent.id
}

fn fetch(scene: &mut Scene, who: PersonId, message: MessageId) {
    let of = AttachmentOf { message, number: 0 };
    scene.command(who, Request::FetchAttachment(of)).unwrap();
}

fn state(
    scene: &mut Scene,
    who: PersonId,
    message: MessageId,
) -> (AttachmentState, Option<MissingFile>) {
    let of = AttachmentOf { message, number: 0 };
    match scene.command(who, Request::Attachment(of)).unwrap() {
        Response::OpenAttachment(open) => (open.state, open.missing),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_from_before_a_tablet_was_linked_opens_on_it() {
    let (mut scene, alice, bob) = alice_and_bob_talking(1);
    let file = content(700_000);
    let to_bob = send_file(&mut scene, alice, BOB, &file);
    let by_bob = send_file(&mut scene, bob, "alice@example.org", b"short");
    assert_eq!(scene.relay.blobs(), 0);
    let tablet = linked_as(&mut scene, bob, BOB);
    for (message, file) in [(to_bob, file.as_slice()), (by_bob, b"short")] {
        assert_eq!(
            state(&mut scene, tablet, message).0,
            AttachmentState::Offered
        );
        fetch(&mut scene, tablet, message);
        scene.run_for(Span::minutes(2));
        assert_eq!(
            state(&mut scene, tablet, message),
            (AttachmentState::Here, None)
        );
        assert!(scene.open_file(tablet, message, 0).unwrap() == file);
    }
    // Whoever gave it keeps it, and nothing is left at the relay.
    assert!(scene.open_file(bob, to_bob, 0).unwrap() == file);
    assert_eq!(scene.relay.blobs(), 0);
    // The next device may get it from either.
    scene.set_online(bob, false);
    let phone = linked_as(&mut scene, tablet, BOB);
    fetch(&mut scene, phone, to_bob);
    scene.run_for(Span::minutes(4));
    assert!(scene.open_file(phone, to_bob, 0).unwrap() == file);
}

#[test]
fn one_device_uploads_a_file_that_several_have() {
    let (mut scene, alice, bob) = alice_and_bob_talking(2);
    let tablet = linked_as(&mut scene, bob, BOB);
    let id = send_file(&mut scene, alice, BOB, &content(700_000));
    let parts = |scene: &Scene| [bob, tablet].map(|who| scene.person(who).blobs.parts);
    let phone = linked_as(&mut scene, bob, BOB);
    let before = parts(&scene);
    fetch(&mut scene, phone, id);
    scene.run_for(Span::minutes(10));
    assert_eq!(state(&mut scene, phone, id).0, AttachmentState::Here);
    let after = parts(&scene);
    let uploads = before
        .iter()
        .zip(after)
        .filter(|(before, after)| *before != after);
    assert_eq!(uploads.count(), 1);
}

#[test]
fn a_device_that_is_offline_gives_the_file_when_it_is_back() {
    let (mut scene, alice, bob) = alice_and_bob_talking(3);
    let id = send_file(&mut scene, alice, BOB, &content(300_000));
    let tablet = linked_as(&mut scene, bob, BOB);
    scene.set_online(bob, false);
    fetch(&mut scene, tablet, id);
    scene.run_for(Span::minutes(5));
    let asked = MissingFile {
        reason: MissingReason::DevicesAsked,
        devices_asked: 1,
        devices_without: 0,
    };
    let waits = (AttachmentState::Fetching, Some(asked));
    assert_eq!(state(&mut scene, tablet, id), waits);
    // Asking again, and a restart, change nothing.
    fetch(&mut scene, tablet, id);
    scene.crash(tablet);
    scene.start(tablet);
    scene.run_for(Span::minutes(1));
    assert_eq!(state(&mut scene, tablet, id), waits);
    scene.set_online(bob, true);
    scene.run_for(Span::minutes(3));
    assert_eq!(state(&mut scene, tablet, id).0, AttachmentState::Here);
    assert_eq!(scene.relay.blobs(), 0);
}

#[test]
fn what_no_device_has_is_said_to_be_nowhere() {
    let (mut scene, alice, bob) = alice_and_bob_talking(4);
    let id = send_file(&mut scene, alice, BOB, &content(1_000));
    let tablet = linked_as(&mut scene, bob, BOB);
    // The phone believes that it has the file, and somebody deleted it there.
    scene.forget_files(bob);
    fetch(&mut scene, tablet, id);
    scene.run_for(Span::minutes(3));
    let nowhere = MissingFile {
        reason: MissingReason::NoDeviceHasIt,
        devices_asked: 1,
        devices_without: 1,
    };
    let gone = (AttachmentState::Gone, Some(nowhere));
    assert_eq!(state(&mut scene, tablet, id), gone);
    // At once, nobody is asked again; the answer is the same.
    fetch(&mut scene, tablet, id);
    scene.run_for(Span::minutes(1));
    assert_eq!(state(&mut scene, tablet, id), gone);
}

#[test]
fn a_copy_goes_on_after_a_kill_at_any_time() {
    for seed in 5..9 {
        let (mut scene, alice, bob) = alice_and_bob_talking(seed);
        let file = content(1_500_000);
        let id = send_file(&mut scene, alice, BOB, &file);
        let tablet = linked_as(&mut scene, bob, BOB);
        fetch(&mut scene, tablet, id);
        for _ in 0..30 {
            scene.run_steps(20);
            match seed % 3 {
                0 => scene.crash_relay(),
                1 => {
                    scene.crash(bob);
                    scene.start(bob);
                }
                _ => {
                    scene.crash(tablet);
                    scene.start(tablet);
                }
            }
        }
        scene.run_for(Span::minutes(15));
        assert_eq!(
            state(&mut scene, tablet, id),
            (AttachmentState::Here, None),
            "{seed}"
        );
        assert!(scene.open_file(tablet, id, 0).unwrap() == file);
    }
}

#[test]
fn an_account_with_one_device_is_told_that_the_relay_has_nothing() {
    let (mut scene, alice, bob) = alice_and_bob_talking(10);
    let id = send_file(&mut scene, alice, BOB, &content(1_000));
    let tablet = linked_as(&mut scene, bob, BOB);
    let phone = super::scene::devices(&mut scene, tablet)
        .into_iter()
        .find(|device| !device.this)
        .unwrap();
    super::scene::revoke(&mut scene, tablet, &phone.id).unwrap();
    scene.run_for(Span::minutes(2));
    fetch(&mut scene, tablet, id);
    scene.run_for(Span::minutes(2));
    let alone = MissingFile {
        reason: MissingReason::RelayDoesNotHaveIt,
        devices_asked: 0,
        devices_without: 0,
    };
    assert_eq!(
        state(&mut scene, tablet, id),
        (AttachmentState::Gone, Some(alone))
    );
}
