//! What a person sets on one device is so on the others.

use waxwing_engine::api::{
    Block, Conversation, Decision, KeepConversation, MarkRead, Request, Response, SetReceipts,
    Star, Verify,
};
use waxwing_protocol::time::Span;
use waxwing_system_tests::PersonId;

use super::scene::{Scene, alice_twice_and_bob, linked};

fn bobs(scene: &mut Scene, device: PersonId) -> Conversation {
    let Response::Conversations(waxwing_engine::api::Conversations { conversations }) =
        scene.command(device, Request::Conversations).unwrap()
    else {
        panic!("conversations");
    };
    let bob = |one: &Conversation| one.with == "bob@example.org";
    conversations.into_iter().find(bob).unwrap()
}

fn keep(scene: &mut Scene, device: PersonId, keep: KeepConversation) {
    let keep = KeepConversation {
        of: "bob@example.org".into(),
        ..keep
    };
    scene
        .command(device, Request::KeepConversation(keep))
        .unwrap();
}

#[test]
fn what_is_read_on_one_device_is_read_on_the_other() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(81);
    scene.send(bob, first, "one");
    scene.send(bob, first, "two");
    scene.run_for(Span::minutes(3));
    assert_eq!(bobs(&mut scene, second).unread, 2);
    let conversation = bobs(&mut scene, first).id;
    let read = MarkRead {
        conversation,
        up_to: None,
    };
    scene.command(first, Request::MarkRead(read)).unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(bobs(&mut scene, second).unread, 0);
    // Away meanwhile, it learns of it when it is back.
    scene.crash(second);
    scene.send(bob, first, "three");
    scene.run_for(Span::minutes(1));
    let read = MarkRead {
        conversation,
        up_to: None,
    };
    scene.command(first, Request::MarkRead(read)).unwrap();
    scene.run_for(Span::minutes(1));
    scene.start(second);
    scene.run_for(Span::minutes(1));
    let shown = bobs(&mut scene, second);
    assert_eq!((shown.unread, scene.texts(second, bob).len()), (0, 3));
}

#[test]
fn settings_of_conversations_are_on_all_devices() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(82);
    let id = scene.send(bob, first, "Remember this");
    scene.run_for(Span::minutes(3));
    let nothing = KeepConversation::default;
    keep(
        &mut scene,
        first,
        KeepConversation {
            pinned: Some(true),
            draft: Some("Dear B".into()),
            nickname: Some("Bobby".into()),
            ..nothing()
        },
    );
    let star = Star {
        message: id,
        starred: true,
    };
    scene.command(second, Request::Star(star)).unwrap();
    scene.run_for(Span::minutes(1));
    let third = linked(&mut scene, first);
    scene.run_for(Span::minutes(3));
    for device in [first, second, third] {
        let shown = bobs(&mut scene, device);
        assert!(shown.pinned, "{device:?}");
        assert_eq!(shown.draft.as_deref(), Some("Dear B"));
        assert_eq!(shown.nickname.as_deref(), Some("Bobby"));
        let Response::Found(waxwing_engine::api::Found { found, .. }) =
            scene.command(device, Request::Starred).unwrap()
        else {
            panic!("starred");
        };
        assert_eq!(found.len(), 1, "{device:?}");
        assert_eq!(found[0].text, "Remember this");
    }
    keep(
        &mut scene,
        third,
        KeepConversation {
            draft: Some(String::new()),
            pinned: Some(false),
            archived: Some(true),
            ..nothing()
        },
    );
    scene.run_for(Span::minutes(1));
    for device in [first, second, third] {
        let shown = bobs(&mut scene, device);
        assert_eq!((shown.pinned, shown.draft), (false, None));
    }
    // It comes back when somebody writes, unless it is muted.
    scene.send(bob, first, "Are you there?");
    scene.run_for(Span::minutes(1));
    assert!(!bobs(&mut scene, first).archived);
    keep(
        &mut scene,
        second,
        KeepConversation {
            muted: Some(true),
            ..nothing()
        },
    );
    scene.run_for(Span::minutes(1));
    let shown = bobs(&mut scene, first);
    assert!(shown.archived && shown.muted_until.is_some());
}

#[test]
fn whoever_is_blocked_or_verified_on_one_device_is_on_the_other() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(83);
    scene.send(bob, first, "hello");
    scene.run_for(Span::minutes(3));
    let verify = Verify {
        of: "bob@example.org".into(),
        decision: Decision::Accept,
        scanned: None,
    };
    scene.command(first, Request::Verify(verify)).unwrap();
    let receipts = SetReceipts {
        delivered: false,
        read: false,
        typing: None,
    };
    scene
        .command(first, Request::SetReceipts(receipts))
        .unwrap();
    let block = Block {
        address: "bob@example.org".into(),
        blocked: true,
    };
    scene.command(second, Request::Block(block)).unwrap();
    scene.run_for(Span::minutes(1));
    for device in [first, second] {
        let Response::Contacts(waxwing_engine::api::Contacts { contacts }) =
            scene.command(device, Request::Contacts).unwrap()
        else {
            panic!("contacts");
        };
        assert!(contacts[0].compared && contacts[0].blocked, "{device:?}");
    }
    scene.send(bob, first, "anybody?");
    scene.run_for(Span::minutes(1));
    for device in [first, second] {
        assert_eq!(scene.texts(device, bob), ["hello"]);
    }
}

#[test]
fn a_device_that_was_away_for_two_months_has_what_was_set() {
    let (mut scene, first, second, bob) = alice_twice_and_bob(84);
    scene.send(bob, first, "hello");
    scene.run_for(Span::minutes(3));
    // What waits for it is thrown away after a month.
    scene.crash(second);
    let nickname = KeepConversation {
        nickname: Some("Bobby".into()),
        ..KeepConversation::default()
    };
    keep(&mut scene, first, nickname);
    for _ in 0..62 {
        scene.run_for(Span::minutes(1));
        scene.now = scene.now.after(Span::hours(23));
        scene.send(first, first, "a note");
    }
    scene.run_for(Span::minutes(1));
    scene.start(second);
    scene.run_for(Span::minutes(10));
    let shown = bobs(&mut scene, second);
    assert_eq!(shown.nickname.as_deref(), Some("Bobby"));
    assert_eq!(scene.texts(second, first).len(), 62);
    assert_eq!(scene.status(second).missing, 0);
}
