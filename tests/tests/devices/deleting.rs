//! What a person deletes for themselves is deleted on all their devices, and on nobody else's.

use waxwing_engine::api::{
    AttachmentOf, AttachmentState, ConversationId, Conversations, DeleteMessages, Entry, EventKind,
    MessageId, MessageState, Of, React, Request, Response, SendText,
};
use waxwing_protocol::time::Span;
use waxwing_system_tests::{PersonId, groups};

use super::scene::{Scene, alice_twice_and_bob, linked, recover, recovering, words};

fn delete(scene: &mut Scene, device: PersonId, messages: &[MessageId]) {
    let messages = messages.to_vec();
    let request = Request::DeleteMessages(DeleteMessages { messages });
    scene.command(device, request).unwrap();
}

fn delete_conversation(scene: &mut Scene, device: PersonId, of: &str) {
    let request = Request::DeleteConversation(Of { of: of.into() });
    scene.command(device, request).unwrap();
}

fn listed(scene: &mut Scene, device: PersonId) -> Vec<String> {
    match scene.command(device, Request::Conversations).unwrap() {
        Response::Conversations(Conversations { conversations }) => {
            conversations.into_iter().map(|one| one.with).collect()
        }
        other => panic!("{other:?}"),
    }
}

const BOB: &str = "bob@example.org";

#[test]
fn a_deleted_message_is_deleted_on_all_own_devices_and_stays_with_others() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(91);
    let theirs = scene.send(bob, first, "one");
    scene.run_for(Span::minutes(3));
    let own = scene.send(first, bob, "two");
    scene.run_for(Span::minutes(1));
    scene.send(bob, first, "three");
    scene.run_for(Span::minutes(1));
    // One device is away.
    scene.crash(second);
    delete(&mut scene, first, &[theirs, own]);
    // Twice is as once.
    delete(&mut scene, first, &[theirs, own]);
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.texts(first, bob), ["three"]);
    scene.start(second);
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.texts(second, bob), ["three"]);
    assert_eq!(scene.texts(bob, first), ["one", "two", "three"]);
    // What is said of it later leaves nothing.
    let react = React {
        message: own,
        emoji: Some("👍".into()),
    };
    scene.command(bob, Request::React(react)).unwrap();
    scene.run_for(Span::minutes(1));
    for device in [first, second] {
        assert_eq!(scene.texts(device, bob), ["three"]);
        let refused = scene.command(
            device,
            Request::MessageInfo(waxwing_engine::api::MessageOf { message: own }),
        );
        assert_eq!(refused.unwrap_err().problem.code(), "message_unknown");
    }
}

#[test]
fn a_message_that_comes_after_it_was_deleted_elsewhere_is_not_shown() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(92);
    scene.send(bob, first, "one");
    scene.run_for(Span::minutes(3));
    scene.crash(second);
    let id = scene.send(bob, first, "two");
    scene.run_for(Span::minutes(1));
    delete(&mut scene, first, &[id]);
    scene.run_for(Span::minutes(1));
    scene.start(second);
    scene.run_for(Span::minutes(2));
    for device in [first, second] {
        assert_eq!(scene.texts(device, bob), ["one"]);
    }
}

#[test]
fn a_queued_message_that_is_deleted_is_not_sent() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(93);
    scene.send(bob, first, "one");
    scene.run_for(Span::minutes(3));
    scene.set_online(first, false);
    let id = scene.send(first, bob, "a mistake");
    assert_eq!(scene.state(first, bob, id), Some(MessageState::Queued));
    delete(&mut scene, first, &[id]);
    scene.set_online(first, true);
    scene.run_for(Span::minutes(1));
    for device in [first, second] {
        assert_eq!(scene.texts(device, bob), ["one"]);
    }
    assert_eq!(scene.texts(bob, first), ["one"]);
    assert_eq!(scene.status(bob).missing, 0);
}

#[test]
fn a_deleted_conversation_is_gone_until_somebody_writes() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(94);
    for text in ["one", "two"] {
        scene.send(bob, first, text);
    }
    scene.run_for(Span::minutes(3));
    scene.send(first, bob, "three");
    scene.run_for(Span::minutes(1));
    scene.crash(second);
    // This device has it, the one that is away has not.
    scene.send(bob, first, "four");
    scene.run_for(Span::minutes(1));
    delete_conversation(&mut scene, first, BOB);
    scene.run_for(Span::minutes(1));
    assert!(!listed(&mut scene, first).contains(&BOB.to_owned()));
    scene.start(second);
    scene.run_for(Span::minutes(2));
    assert!(!listed(&mut scene, second).contains(&BOB.to_owned()));
    assert_eq!(scene.texts(bob, first).len(), 4);
    scene.send(bob, first, "five");
    scene.run_for(Span::minutes(1));
    for device in [first, second] {
        assert_eq!(scene.texts(device, bob), ["five"]);
        assert!(listed(&mut scene, device).contains(&BOB.to_owned()));
    }
}

#[test]
fn what_nobody_had_received_yet_outlives_its_conversation() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(95);
    scene.send(bob, first, "one");
    scene.run_for(Span::minutes(3));
    // Bob writes before Alice deletes, by all clocks; it leaves later.
    scene.set_online(bob, false);
    scene.send(bob, first, "written before");
    scene.run_for(Span::minutes(1));
    delete_conversation(&mut scene, first, BOB);
    scene.run_for(Span::minutes(1));
    scene.set_online(bob, true);
    scene.run_for(Span::minutes(1));
    for device in [first, second] {
        assert_eq!(scene.texts(device, bob), ["written before"]);
    }
}

#[test]
fn two_devices_delete_a_conversation_at_once_and_end_alike() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(96);
    let third = linked(&mut scene, first);
    scene.send(bob, first, "one");
    scene.run_for(Span::minutes(3));
    scene.set_online(second, false);
    scene.send(bob, first, "two");
    scene.run_for(Span::minutes(1));
    delete_conversation(&mut scene, first, BOB);
    // Later, but of less.
    scene.run_for(Span::seconds(30));
    delete_conversation(&mut scene, second, BOB);
    scene.set_online(second, true);
    scene.run_for(Span::minutes(2));
    for device in [first, second, third] {
        assert!(scene.texts(device, bob).is_empty(), "{device:?}");
    }
}

#[test]
fn a_deleted_group_is_not_left() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(97);
    let group: ConversationId = groups::create(&mut scene, first, "Family", &[bob]);
    scene.run_for(Span::minutes(3));
    groups::say(&mut scene, bob, group, "hello").unwrap();
    scene.run_for(Span::minutes(1));
    delete_conversation(&mut scene, second, "Family");
    scene.run_for(Span::minutes(1));
    for device in [first, second] {
        assert!(!listed(&mut scene, device).contains(&"Family".to_owned()));
        let entries = groups::entries(&mut scene, device, group);
        let added = |entry: &Entry| matches!(entry, Entry::Event(event) if event.event == EventKind::MemberAdded);
        assert!(!entries.iter().any(added));
    }
    groups::say(&mut scene, first, group, "hello again").unwrap();
    scene.run_for(Span::minutes(1));
    for device in [first, second] {
        assert_eq!(groups::texts(&mut scene, device, group), ["hello again"]);
    }
    assert_eq!(
        groups::texts(&mut scene, bob, group),
        ["hello", "hello again"]
    );
}

#[test]
fn a_backup_from_before_ends_as_the_other_devices_are() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(98);
    let one = scene.send(bob, first, "one");
    scene.send(bob, first, "two");
    scene.run_for(Span::minutes(3));
    scene.send(first, bob, "three");
    scene.run_for(Span::minutes(1));
    let (words, _) = words(&mut scene, first);
    scene.command(first, Request::Backup).unwrap();
    scene.run_for(Span::minutes(2));
    delete(&mut scene, second, &[one]);
    scene.run_for(Span::minutes(1));
    let third = scene.add("alice@example.org");
    recover(&mut scene, third, recovering(&words));
    scene.run_for(Span::minutes(5));
    assert_eq!(scene.texts(third, bob), ["two", "three"]);
    delete_conversation(&mut scene, third, BOB);
    scene.run_for(Span::minutes(2));
    for device in [first, second, third] {
        assert!(scene.texts(device, bob).is_empty(), "{device:?}");
    }
}

fn send_file(scene: &mut Scene, from: PersonId, to: &str, content: &[u8]) -> MessageId {
    let file = scene.seal(from, "holiday.jpg", content);
    let send = SendText {
        to: to.into(),
        text: "Look".into(),
        attachments: vec![file],
        ..SendText::default()
    };
    match scene.command(from, Request::Send(send)).unwrap() {
        Response::Sent(sent) => sent.id,
        other => panic!("{other:?}"),
    }
}

fn file_state(
    scene: &mut Scene,
    device: PersonId,
    with: PersonId,
    id: MessageId,
) -> AttachmentState {
    let messages = scene.messages(device, with);
    let message = messages.into_iter().find(|one| one.id == id).unwrap();
    assert_eq!(message.text, "Look");
    message.attachments[0].state
}

#[test]
fn a_deleted_file_is_deleted_on_all_own_devices_and_others_can_fetch_it() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(99);
    scene.send(first, bob, "hello");
    scene.run_for(Span::minutes(3));
    scene.send(bob, first, "hello yourself");
    scene.run_for(Span::minutes(1));
    scene.crash(second);
    // Bob has not fetched it when Alice deletes her copy.
    scene.set_online(bob, false);
    let id = send_file(&mut scene, first, BOB, &[7; 5_000]);
    scene.run_for(Span::minutes(1));
    let of = AttachmentOf {
        message: id,
        number: 0,
    };
    let request = Request::DeleteAttachment(of.clone());
    scene.command(first, request).unwrap();
    scene.start(second);
    scene.set_online(bob, true);
    scene.run_for(Span::minutes(2));
    for device in [first, second] {
        let state = file_state(&mut scene, device, bob, id);
        assert_eq!(state, AttachmentState::Deleted, "{device:?}");
        assert!(scene.open_file(device, id, 0).is_none());
        let refused = scene.command(device, Request::FetchAttachment(of.clone()));
        assert_eq!(refused.unwrap_err().problem.code(), "attachment_deleted");
    }
    assert_eq!(scene.open_file(bob, id, 0).unwrap(), [7; 5_000]);
}

#[test]
fn deleting_a_sent_message_leaves_its_file_to_others() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(100);
    scene.send(first, bob, "hello");
    scene.run_for(Span::minutes(3));
    scene.send(bob, first, "hello yourself");
    scene.run_for(Span::minutes(1));
    scene.set_online(bob, false);
    let id = send_file(&mut scene, first, BOB, &[9; 5_000]);
    scene.run_for(Span::minutes(1));
    delete(&mut scene, second, &[id]);
    scene.run_for(Span::minutes(1));
    scene.set_online(bob, true);
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.open_file(bob, id, 0).unwrap(), [9; 5_000]);
    for device in [first, second] {
        assert_eq!(scene.texts(device, bob), ["hello", "hello yourself"]);
    }
}
