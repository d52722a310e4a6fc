//! Reactions, edits, taking back, disappearing: between people with several devices, in two
//! people's conversations and in groups.

use waxwing_engine::{
    EventRefused,
    api::{
        Edit, LinkPreview, MarkRead, Message, MessageId, MessageInfo, MessageOf, MessageState,
        Notice, React, Request, Response, SendText, SetTimer,
    },
};
use waxwing_protocol::time::Span;
use waxwing_system_tests::{
    PersonId, RealRelay, RelayPort as _, World, WorldOptions,
    devices::linked,
    groups::{create, messages, say},
    scenes::alice_and_bob_talking,
};

type Scene = World<RealRelay>;

fn react(scene: &mut Scene, who: PersonId, message: MessageId, emoji: Option<&str>) {
    let emoji = emoji.map(str::to_owned);
    scene
        .command(who, Request::React(React { message, emoji }))
        .unwrap();
}

fn edit(
    scene: &mut Scene,
    who: PersonId,
    message: MessageId,
    text: &str,
) -> Result<Response, EventRefused> {
    let text = text.to_owned();
    scene.command(who, Request::Edit(Edit { message, text }))
}

fn take_back(
    scene: &mut Scene,
    who: PersonId,
    message: MessageId,
) -> Result<Response, EventRefused> {
    scene.command(who, Request::TakeBack(MessageOf { message }))
}

fn info(scene: &mut Scene, who: PersonId, message: MessageId) -> MessageInfo {
    match scene.command(who, Request::MessageInfo(MessageOf { message })) {
        Ok(Response::MessageInfo(info)) => *info,
        other => panic!("{other:?}"),
    }
}

fn shown(scene: &mut Scene, who: PersonId, with: PersonId, id: MessageId) -> Message {
    let messages = scene.messages(who, with);
    messages
        .into_iter()
        .find(|message| message.id == id)
        .unwrap()
}

fn reactions(message: &Message) -> Vec<String> {
    let each = message.reactions.iter();
    each.map(|one| format!("{} {}", one.emoji, one.by.join(" ")))
        .collect()
}

#[test]
fn reactions_and_edits_show_on_all_devices_of_both() {
    let (mut scene, alice, bob) = alice_and_bob_talking(1);
    let tablet = linked(&mut scene, alice);
    scene.run_for(Span::minutes(3));
    let id = scene.send(alice, bob, "At seven?");
    scene.run_for(Span::seconds(10));
    react(&mut scene, bob, id, Some("👍"));
    edit(&mut scene, tablet, id, "At eight?").unwrap();
    scene.run_for(Span::minutes(1));
    for who in [alice, tablet, bob] {
        let other = if who == bob { alice } else { bob };
        let message = shown(&mut scene, who, other, id);
        assert_eq!(message.text, "At eight?");
        assert!(message.edited_at.is_some());
        assert_eq!(reactions(&message), ["👍 bob@example.org"]);
        assert_eq!(message.reactions[0].own, who == bob);
        let versions = info(&mut scene, who, id).versions;
        let versions: Vec<_> = versions.into_iter().map(|version| version.text).collect();
        assert_eq!(versions, ["At seven?", "At eight?"]);
    }
    let told = scene.person(bob).notices.iter();
    let told = told.filter(|notice| matches!(notice, Notice::MessageChanged(_)));
    assert!(told.count() >= 1);
    react(&mut scene, bob, id, Some("🎉"));
    react(&mut scene, alice, id, Some("🎉"));
    scene.run_for(Span::minutes(1));
    let message = shown(&mut scene, tablet, bob, id);
    let both = &message.reactions;
    assert_eq!((both.len(), both[0].by.len(), both[0].own), (1, 2, true));
    react(&mut scene, bob, id, None);
    scene.run_for(Span::minutes(1));
    let message = shown(&mut scene, alice, bob, id);
    assert_eq!(reactions(&message), ["🎉 alice@example.org"]);
}

#[test]
fn only_whoever_wrote_a_message_edits_it_or_takes_it_back() {
    let (mut scene, alice, bob) = alice_and_bob_talking(2);
    let id = scene.send(alice, bob, "Mine");
    scene.run_for(Span::seconds(10));
    let refused = edit(&mut scene, bob, id, "Yours").unwrap_err();
    assert_eq!(refused.problem.code(), "message_not_own");
    let refused = take_back(&mut scene, bob, id).unwrap_err();
    assert_eq!(refused.problem.code(), "message_not_own");
}

#[test]
fn what_is_unsent_is_gone_also_where_it_comes_later() {
    let (mut scene, alice, bob) = alice_and_bob_talking(3);
    let tablet = linked(&mut scene, bob);
    scene.run_for(Span::minutes(3));
    scene.crash(tablet);
    let id = scene.send(alice, bob, "A secret that slipped out");
    scene.run_for(Span::seconds(10));
    assert_eq!(
        shown(&mut scene, bob, alice, id).text,
        "A secret that slipped out"
    );
    take_back(&mut scene, alice, id).unwrap();
    scene.run_for(Span::seconds(10));
    scene.start(tablet);
    scene.run_for(Span::minutes(2));
    for (who, other) in [(alice, bob), (bob, alice), (tablet, alice)] {
        let message = shown(&mut scene, who, other, id);
        assert!(message.taken_back && message.text.is_empty());
        assert!(info(&mut scene, who, id).versions.is_empty());
    }
    let refused = edit(&mut scene, alice, id, "again").unwrap_err();
    assert_eq!(refused.problem.code(), "message_taken_back");
}

#[test]
fn what_is_taken_back_before_it_left_never_leaves() {
    let (mut scene, alice, bob) = alice_and_bob_talking(4);
    scene.set_online(alice, false);
    let id = scene.send(alice, bob, "Never mind");
    take_back(&mut scene, alice, id).unwrap();
    scene.set_online(alice, true);
    scene.run_for(Span::minutes(1));
    assert!(!scene.texts(bob, alice).contains(&"Never mind".to_owned()));
    assert!(shown(&mut scene, alice, bob, id).taken_back);
    assert_eq!(scene.status(bob).missing, 0);
}

#[test]
fn messages_disappear_after_they_were_read_on_each_device() {
    let (mut scene, alice, bob) = alice_and_bob_talking(5);
    let hour = SetTimer {
        of: "bob@example.org".into(),
        seconds: 3_600,
    };
    scene.command(alice, Request::SetTimer(hour)).unwrap();
    scene.run_for(Span::seconds(10));
    let theirs = scene.send(alice, bob, "For an hour");
    let ours = scene.send(bob, alice, "For an hour too");
    scene.run_for(Span::minutes(1));
    let got = shown(&mut scene, bob, alice, theirs);
    assert_eq!((got.expires_after_s, got.expires_at), (Some(3_600), None));
    // Nobody has read anything: what others wrote stays, however long.
    scene.run_for(Span::hours(3));
    assert!(scene.texts(bob, alice).contains(&"For an hour".to_owned()));
    assert!(
        !scene
            .texts(bob, alice)
            .contains(&"For an hour too".to_owned())
    );
    let conversation = got.conversation;
    let read = MarkRead {
        conversation,
        up_to: None,
    };
    scene.command(bob, Request::MarkRead(read)).unwrap();
    scene.run_for(Span::minutes(59));
    assert!(scene.texts(bob, alice).contains(&"For an hour".to_owned()));
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.texts(bob, alice), ["hello", "hello yourself"]);
    let gone = scene
        .person(bob)
        .notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::MessageDeleted(deleted) => Some(deleted.id),
            _ => None,
        });
    assert_eq!(gone.collect::<Vec<_>>(), [ours, theirs]);
    let off = SetTimer {
        of: "alice@example.org".into(),
        seconds: 0,
    };
    scene.command(bob, Request::SetTimer(off)).unwrap();
    scene.run_for(Span::seconds(10));
    let id = scene.send(alice, bob, "To stay");
    scene.run_for(Span::seconds(10));
    assert_eq!(shown(&mut scene, bob, alice, id).expires_after_s, None);
}

#[test]
fn in_a_group_each_members_receipts_are_counted() {
    let mut scene = World::new(6, RealRelay::default(), WorldOptions::default());
    scene.accepts_no_groups();
    let alice = scene.add_registered("alice@example.org");
    let bob = scene.add_registered("bob@example.org");
    let carol = scene.add_registered("carol@example.org");
    let group = create(&mut scene, alice, "Three", &[bob, carol]);
    scene.run_for(Span::seconds(30));
    // Carol has not accepted the group: she tells nothing.
    say(&mut scene, bob, group, "hi").unwrap();
    scene.run_for(Span::seconds(10));
    let id = say(&mut scene, alice, group, "Who is here?").unwrap();
    scene.run_for(Span::seconds(30));
    let own = messages(&mut scene, alice, group)
        .into_iter()
        .find(|one| one.id == id);
    let own = own.unwrap();
    let came = own.receipts.unwrap();
    assert_eq!((came.delivered, came.read, came.of), (1, 0, 2));
    assert_eq!(own.state, Some(MessageState::Accepted));
    say(&mut scene, carol, group, "me").unwrap();
    scene.run_for(Span::seconds(10));
    let read = MarkRead {
        conversation: group,
        up_to: None,
    };
    scene.command(bob, Request::MarkRead(read)).unwrap();
    scene.run_for(Span::seconds(10));
    let info = info(&mut scene, alice, id);
    assert_eq!(info.message.state, Some(MessageState::Delivered));
    let came = info.message.receipts.unwrap();
    assert_eq!((came.delivered, came.read, came.of), (2, 1, 2));
    let read: Vec<_> = info
        .receipts
        .iter()
        .map(|one| (one.address.as_str(), one.read_at.is_some()))
        .collect();
    assert_eq!(
        read,
        [("bob@example.org", true), ("carol@example.org", false)]
    );
}

#[test]
fn a_new_device_has_the_amendments_too() {
    let (mut scene, alice, bob) = alice_and_bob_talking(7);
    let id = scene.send(bob, alice, "First");
    scene.run_for(Span::seconds(10));
    edit(&mut scene, bob, id, "Second").unwrap();
    react(&mut scene, alice, id, Some("❤"));
    let gone = scene.send(bob, alice, "Gone");
    scene.run_for(Span::seconds(10));
    take_back(&mut scene, bob, gone).unwrap();
    scene.run_for(Span::seconds(10));
    let tablet = linked(&mut scene, alice);
    scene.run_for(Span::minutes(3));
    let message = shown(&mut scene, tablet, bob, id);
    assert_eq!(message.text, "Second");
    assert_eq!(reactions(&message), ["❤ alice@example.org"]);
    assert!(message.reactions[0].own);
    assert_eq!(info(&mut scene, tablet, id).versions.len(), 2);
    assert!(shown(&mut scene, tablet, bob, gone).taken_back);
    assert_eq!(scene.relay.waiting(), 0);
}

#[test]
fn a_link_preview_stays_as_long_as_its_link() {
    let (mut world, alice, bob) = alice_and_bob_talking(17);
    let link = "https://example.org/waxwings";
    let preview = LinkPreview {
        url: link.to_owned(),
        title: "Waxwings".to_owned(),
        description: "They eat berries.".to_owned(),
        thumbnail: String::new(),
    };
    let to = world.person(bob).address.clone();
    let send = |text: &str| {
        Request::Send(SendText {
            to: to.clone(),
            text: text.to_owned(),
            link_preview: Some(Box::new(preview.clone())),
            ..SendText::default()
        })
    };
    // Of another link than one in the text it would be a lie.
    let refused = world.command(alice, send("See https://example.org/waxwings2"));
    assert_eq!(refused.unwrap_err().problem.code(), "link_preview_invalid");
    let text = format!("See {link}!");
    let Response::Sent(sent) = world.command(alice, send(&text)).unwrap() else {
        panic!("not sent");
    };
    world.run_for(Span::seconds(10));
    for (of, with) in [(alice, bob), (bob, alice)] {
        let message = world.messages(of, with).pop().unwrap();
        assert_eq!(message.text, text);
        assert!(message.link_preview.as_deref() == Some(&preview));
    }
    let edit = Edit {
        message: sent.id,
        text: "Never mind".to_owned(),
    };
    world.command(alice, Request::Edit(edit)).unwrap();
    world.run_for(Span::seconds(10));
    for (of, with) in [(alice, bob), (bob, alice)] {
        let message = world.messages(of, with).pop().unwrap();
        assert!(message.link_preview.is_none());
    }
}
