//! Files that messages bring along: sent, fetched, and gone on with after every crash.

use waxwing_engine::api::{
    AttachmentOf, AttachmentState, MessageId, MessageOf, MessageState, Preview, Request, Response,
    SealedFile, SendText,
};
use waxwing_protocol::time::Span;
use waxwing_system_tests::{
    PersonId, RealRelay, World, WorldOptions,
    devices::linked,
    groups::{create, messages},
    scenes::alice_and_bob_talking,
};

type Scene = World<RealRelay>;

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|at| u8::try_from(at * 31 % 251).unwrap())
        .collect()
}

fn send(
    scene: &mut Scene,
    from: PersonId,
    to: &str,
    text: &str,
    attachments: Vec<SealedFile>,
) -> MessageId {
    let send = SendText {
        to: to.into(),
        text: text.into(),
        attachments,
        ..SendText::default()
    };
    match scene.command(from, Request::Send(send)).unwrap() {
        Response::Sent(sent) => sent.id,
        other => panic!("{other:?}"),
    }
}

fn state(scene: &mut Scene, of: PersonId, with: PersonId, id: MessageId) -> AttachmentState {
    let messages = scene.messages(of, with);
    let message = messages
        .into_iter()
        .find(|message| message.id == id)
        .unwrap();
    message.attachments[0].state
}

#[test]
fn files_arrive_on_all_devices_and_leave_the_relay() {
    let (mut scene, alice, bob) = alice_and_bob_talking(1);
    let tablet = linked(&mut scene, bob);
    scene.run_for(Span::minutes(3));
    let (one, two) = (content(700_000), b"short".to_vec());
    let files = vec![
        scene.seal(alice, "holiday.jpg", &one),
        scene.seal(alice, "note.txt", &two),
    ];
    let id = send(&mut scene, alice, "bob@example.org", "Look at this", files);
    scene.run_for(Span::minutes(2));
    assert!(scene.state(alice, bob, id) >= Some(MessageState::Accepted));
    for device in [bob, tablet] {
        let got = scene.messages(device, alice);
        let got = got.iter().find(|message| message.id == id).unwrap();
        assert_eq!(got.text, "Look at this");
        let names: Vec<_> = got
            .attachments
            .iter()
            .map(|one| (one.name.as_str(), one.size, one.state))
            .collect();
        assert_eq!(
            names,
            [
                ("holiday.jpg", 700_000, AttachmentState::Here),
                ("note.txt", 5, AttachmentState::Here)
            ]
        );
        assert!(scene.open_file(device, id, 0).unwrap() == one);
        assert!(scene.open_file(device, id, 1).unwrap() == two);
    }
    // Everybody has them: nothing of them is left there.
    assert_eq!(scene.relay.blobs(), 0);
}

#[test]
fn a_first_message_has_a_file_that_a_stranger_does_not_fetch() {
    let mut scene = World::new(2, RealRelay::default(), WorldOptions::default());
    let alice = scene.add_registered("alice@example.org");
    let bob = scene.add_registered("bob@example.org");
    let file = scene.seal(alice, "offer.pdf", &content(1_000));
    let id = send(&mut scene, alice, "bob@example.org", "", vec![file]);
    scene.run_for(Span::minutes(1));
    assert_eq!(state(&mut scene, bob, alice, id), AttachmentState::Offered);
    let of = AttachmentOf {
        message: id,
        number: 0,
    };
    scene.command(bob, Request::FetchAttachment(of)).unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(state(&mut scene, bob, alice, id), AttachmentState::Here);
    assert!(scene.open_file(bob, id, 0).unwrap() == content(1_000));
}

#[test]
fn whatever_is_killed_no_part_is_brought_more_than_twice() {
    for seed in 10..16 {
        let (mut scene, alice, bob) = alice_and_bob_talking(seed);
        let file = content(3_000_000);
        let parts = 12;
        let sealed = scene.seal(alice, "film.mp4", &file);
        let id = send(&mut scene, alice, "bob@example.org", "", vec![sealed]);
        let mut killed = 0;
        for _ in 0..40 {
            scene.run_steps(25);
            match seed % 3 {
                0 => {
                    scene.crash(alice);
                    scene.start(alice);
                }
                1 => scene.crash_relay(),
                _ => {
                    scene.crash(bob);
                    scene.start(bob);
                }
            }
            killed += 1;
        }
        scene.run_for(Span::minutes(5));
        assert_eq!(state(&mut scene, bob, alice, id), AttachmentState::Here);
        assert!(scene.open_file(bob, id, 0).unwrap() == file);
        // A kill costs the part that was on its way, no more.
        for person in [alice, bob] {
            let brought = scene.person(person).blobs.parts;
            assert!(brought <= parts + killed, "seed {seed}: {brought} parts");
        }
    }
}

#[test]
fn a_file_that_was_taken_back_is_gone_at_the_relay_too() {
    let (mut scene, alice, bob) = alice_and_bob_talking(3);
    scene.set_online(bob, false);
    let file = scene.seal(alice, "oops.txt", &content(1_000));
    let id = send(&mut scene, alice, "bob@example.org", "", vec![file]);
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.relay.blobs(), 1);
    let of = MessageOf { message: id };
    scene.command(alice, Request::TakeBack(of)).unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.relay.blobs(), 0);
    assert!(scene.person(alice).blobs.is_empty());
    scene.set_online(bob, true);
    scene.run_for(Span::minutes(1));
    let got = scene.messages(bob, alice);
    let got = got.iter().find(|message| message.id == id).unwrap();
    assert!(got.taken_back && got.attachments.is_empty());
    assert!(scene.person(bob).blobs.is_empty());
}

#[test]
fn what_is_not_what_the_sender_sealed_is_not_here() {
    let (mut scene, alice, bob) = alice_and_bob_talking(4);
    let mut file = scene.seal(alice, "file", &content(1_000));
    file.sha256 = "00".repeat(32);
    let id = send(&mut scene, alice, "bob@example.org", "", vec![file]);
    scene.run_for(Span::minutes(1));
    assert_eq!(state(&mut scene, bob, alice, id), AttachmentState::Gone);
    assert!(scene.open_file(bob, id, 0).is_none());
    assert!(scene.person(bob).blobs.is_empty());
}

#[test]
fn a_group_gets_one_blob_for_all() {
    let mut scene = World::new(5, RealRelay::default(), WorldOptions::default());
    let names = ["alice", "bob", "carol", "dora"];
    let people = names.map(|name| scene.add_registered(&format!("{name}@example.org")));
    let group = create(&mut scene, people[0], "Family", &people[1..]);
    scene.run_for(Span::seconds(30));
    for person in people {
        let text = SendText {
            to: group.to_string(),
            text: "hi".into(),
            ..SendText::default()
        };
        scene.command(person, Request::Send(text)).unwrap();
    }
    scene.run_for(Span::seconds(30));
    let file = scene.seal(people[0], "tree.png", &content(500_000));
    send(&mut scene, people[0], &group.to_string(), "", vec![file]);
    scene.run_for(Span::minutes(1));
    for person in &people[1..] {
        let got = messages(&mut scene, *person, group);
        let attached = got.iter().flat_map(|message| &message.attachments);
        let states: Vec<_> = attached.map(|one| one.state).collect();
        assert_eq!(states, [AttachmentState::Here]);
    }
    assert_eq!(scene.relay.blobs(), 0);
}

#[test]
fn what_a_file_looks_like_is_seen_before_it_is_fetched() {
    let (mut scene, alice, bob) = alice_and_bob_talking(9);
    let preview = Preview {
        width: 640,
        height: 480,
        blurhash: "LEHV6nWB2yk8pyo0adR*.7kCMdnj".into(),
        thumbnail: "/9j/4AA=".into(),
        duration_ms: 2_000,
        waveform: vec![1, 255],
    };
    let files: Vec<SealedFile> = [true, false, true]
        .map(|has| SealedFile {
            preview: has.then(|| preview.clone()),
            ..scene.seal(alice, "a.jpg", b"a")
        })
        .into();
    let id = send(&mut scene, alice, "bob@example.org", "look", files);
    scene.run_for(Span::minutes(1));
    for (who, with) in [(alice, bob), (bob, alice)] {
        let all = scene.messages(who, with);
        let message = all.into_iter().find(|message| message.id == id).unwrap();
        let previews: Vec<_> = message
            .attachments
            .into_iter()
            .map(|one| one.preview)
            .collect();
        assert_eq!(
            previews,
            [Some(preview.clone()), None, Some(preview.clone())]
        );
        assert_eq!(message.text, "look");
    }
    // What is no picture is not sent as one.
    let bent = SealedFile {
        preview: Some(Preview {
            thumbnail: "PHN2Zz4=".into(),
            ..preview
        }),
        ..scene.seal(alice, "a.jpg", b"a")
    };
    let send = SendText {
        to: "bob@example.org".into(),
        attachments: vec![bent],
        ..SendText::default()
    };
    let refused = scene.command(alice, Request::Send(send)).unwrap_err();
    assert_eq!(refused.problem.code(), "attachment_invalid");
}
