//! People who have not been answered yet; threads, mentions, formatted text.

use waxwing_engine::{
    EventRefused,
    api::{
        AskProfile, Conversation, Decline, Edit, EventKind, Message, MessageId, MessageOf,
        MessageState, Notice, Of, Request, Response, SendText, SetProfile, SetReceipts, SetTyping,
    },
};
use waxwing_protocol::time::Span;
use waxwing_system_tests::{
    PersonId, RealRelay, RelayPort as _, World, WorldOptions,
    devices::linked,
    groups::{create, messages, say},
    scenes::alice_and_bob_on,
};

type Scene = World<RealRelay>;

fn who_accept_no_groups(seed: u64) -> (Scene, PersonId, PersonId) {
    let options = WorldOptions {
        accepts_groups: false,
        ..WorldOptions::default()
    };
    alice_and_bob_on(RealRelay::default(), seed, options)
}

fn conversations(scene: &mut Scene, who: PersonId) -> Vec<Conversation> {
    match scene.command(who, Request::Conversations) {
        Ok(Response::Conversations(waxwing_engine::api::Conversations { conversations })) => {
            conversations
        }
        other => panic!("{other:?}"),
    }
}

fn requests(scene: &mut Scene, who: PersonId) -> Vec<String> {
    let all = conversations(scene, who).into_iter();
    all.filter(|one| one.request).map(|one| one.with).collect()
}

fn accept(scene: &mut Scene, who: PersonId, of: &str) -> Result<Response, EventRefused> {
    scene.command(who, Request::AcceptRequest(Of { of: of.into() }))
}

fn decline(scene: &mut Scene, who: PersonId, of: &str, block: bool) {
    let of = of.to_owned();
    let request = Request::DeclineRequest(Decline { of, block });
    scene.command(who, request).unwrap();
}

fn send(scene: &mut Scene, who: PersonId, text: SendText) -> MessageId {
    match scene.command(who, Request::Send(text)) {
        Ok(Response::Sent(sent)) => sent.id,
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

#[test]
fn a_stranger_learns_nothing_until_they_are_accepted() {
    let (mut scene, alice, bob) = who_accept_no_groups(1601);
    let id = scene.send(alice, bob, "hello, stranger");
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Accepted));
    let listed = conversations(&mut scene, bob);
    assert!(listed[0].request);
    assert_eq!(listed[0].last, None);
    let told = scene.person(bob).notices.iter().any(
        |notice| matches!(notice, Notice::Message(message) if message.id == id && message.request),
    );
    assert!(told);
    accept(&mut scene, bob, "alice@example.org").unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Delivered));
    assert!(requests(&mut scene, bob).is_empty());
    let refused = accept(&mut scene, bob, "alice@example.org").unwrap_err();
    assert_eq!(refused.problem.code(), "not_a_request");
}

#[test]
fn to_answer_is_to_accept() {
    let (mut scene, alice, bob) = who_accept_no_groups(1602);
    scene.send(alice, bob, "hello");
    scene.run_for(Span::seconds(10));
    assert_eq!(requests(&mut scene, bob), ["alice@example.org"]);
    scene.send(bob, alice, "yes?");
    assert!(requests(&mut scene, bob).is_empty());
    scene.run_for(Span::seconds(10));
    assert!(requests(&mut scene, alice).is_empty());
}

#[test]
fn what_is_declined_is_gone_and_a_block_is_for_good() {
    let (mut scene, alice, bob) = who_accept_no_groups(1603);
    scene.send(alice, bob, "buy this");
    scene.run_for(Span::seconds(10));
    decline(&mut scene, bob, "alice@example.org", false);
    assert!(conversations(&mut scene, bob).is_empty());
    assert!(scene.texts(bob, alice).is_empty());
    // They try again: another request.
    scene.send(alice, bob, "buy that");
    scene.run_for(Span::seconds(10));
    assert_eq!(requests(&mut scene, bob), ["alice@example.org"]);
    assert_eq!(scene.texts(bob, alice), ["buy that"]);
    decline(&mut scene, bob, "alice@example.org", true);
    scene.send(alice, bob, "buy anything");
    scene.run_for(Span::seconds(10));
    assert!(scene.texts(bob, alice).is_empty());
    assert!(conversations(&mut scene, bob).is_empty());
}

#[test]
fn what_is_decided_on_one_device_holds_on_the_others() {
    let (mut scene, alice, bob) = who_accept_no_groups(1604);
    let laptop = linked(&mut scene, bob);
    let carol = scene.add_registered("carol@example.org");
    scene.send(alice, bob, "hello");
    scene.send(carol, bob, "hello too");
    scene.run_for(Span::minutes(1));
    assert_eq!(requests(&mut scene, laptop).len(), 2);
    accept(&mut scene, bob, "alice@example.org").unwrap();
    decline(&mut scene, laptop, "carol@example.org", true);
    scene.run_for(Span::minutes(2));
    for device in [bob, laptop] {
        assert!(requests(&mut scene, device).is_empty());
        let with: Vec<String> = conversations(&mut scene, device)
            .into_iter()
            .map(|one| one.with)
            .collect();
        assert!(with.contains(&"alice@example.org".to_owned()), "{with:?}");
        assert!(!with.contains(&"carol@example.org".to_owned()), "{with:?}");
        assert!(scene.texts(device, carol).is_empty());
    }
}

#[test]
fn so_much_of_a_stranger_is_kept_and_no_more() {
    let (mut scene, alice, bob) = who_accept_no_groups(1605);
    for number in 0..210 {
        scene.send(alice, bob, &format!("{number}"));
        if number % 20 == 0 {
            scene.run_for(Span::seconds(5));
        }
    }
    scene.run_for(Span::minutes(2));
    assert_eq!(scene.texts(bob, alice).len(), 200);
    let held = scene.person(bob).notices.iter().filter(
        |notice| matches!(notice, Notice::Event(event) if event.event == EventKind::HeldBack),
    );
    assert_eq!(held.count(), 1);
    accept(&mut scene, bob, "alice@example.org").unwrap();
    scene.send(alice, bob, "at last");
    scene.run_for(Span::seconds(10));
    assert_eq!(scene.texts(bob, alice).last().unwrap(), "at last");
}

#[test]
fn a_group_of_strangers_is_a_request_and_one_of_a_friend_is_not() {
    let (mut scene, alice, bob) = who_accept_no_groups(1606);
    let carol = scene.add_registered("carol@example.org");
    scene.send(bob, carol, "I know you");
    scene.run_for(Span::seconds(10));
    let of_alice = create(&mut scene, alice, "Winners", &[bob]);
    let of_carol = create(&mut scene, carol, "Friends", &[bob]);
    scene.run_for(Span::minutes(1));
    say(&mut scene, alice, of_alice, "you have won").unwrap();
    say(&mut scene, carol, of_carol, "dinner?").unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(requests(&mut scene, bob), ["Winners"]);
    decline(&mut scene, bob, "Winners", false);
    scene.run_for(Span::minutes(2));
    assert!(requests(&mut scene, bob).is_empty());
    let texts = messages(&mut scene, bob, of_carol);
    assert_eq!(texts.len(), 1);
}

#[test]
fn a_thread_is_what_a_message_answers_and_what_answers_it() {
    let (mut scene, alice, bob) = who_accept_no_groups(1607);
    let reply = |to: &str, text: &str, reply_to| SendText {
        to: to.into(),
        text: text.into(),
        reply_to,
        ..SendText::default()
    };
    let root = scene.send(alice, bob, "where do we meet?");
    scene.send(alice, bob, "unrelated");
    scene.run_for(Span::seconds(10));
    let first = send(
        &mut scene,
        bob,
        reply("alice@example.org", "at mine", Some(root)),
    );
    scene.run_for(Span::seconds(10));
    send(
        &mut scene,
        alice,
        reply("bob@example.org", "when?", Some(first)),
    );
    send(
        &mut scene,
        alice,
        reply("bob@example.org", "or at mine", Some(root)),
    );
    scene.run_for(Span::seconds(10));
    for who in [alice, bob] {
        let found = match scene.command(who, Request::Thread(MessageOf { message: first })) {
            Ok(Response::Found(waxwing_engine::api::Found { found, .. })) => found,
            other => panic!("{other:?}"),
        };
        let texts: Vec<&str> = found.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(
            texts,
            ["where do we meet?", "at mine", "when?", "or at mine"]
        );
    }
}

#[test]
fn formatted_text_stays_formatted_when_it_is_edited() {
    let (mut scene, alice, bob) = who_accept_no_groups(1608);
    let text = SendText {
        to: "bob@example.org".into(),
        text: "**Now**, @bob@example.org".into(),
        markdown: true,
        ..SendText::default()
    };
    let id = send(&mut scene, alice, text);
    let plain = scene.send(alice, bob, "**not** so");
    scene.run_for(Span::seconds(10));
    for (who, with) in [(alice, bob), (bob, alice)] {
        let message = shown(&mut scene, who, with, id);
        assert_eq!(message.formatted.len(), 2);
        assert!(message.formatted[0].strong);
        assert_eq!(message.mentions, ["bob@example.org"]);
        assert!(shown(&mut scene, who, with, plain).formatted.is_empty());
    }
    let edit = Edit {
        message: id,
        text: "*later*".into(),
    };
    scene.command(alice, Request::Edit(edit)).unwrap();
    scene.run_for(Span::seconds(10));
    for (who, with) in [(alice, bob), (bob, alice)] {
        let message = shown(&mut scene, who, with, id);
        assert!(message.formatted[0].emphasis);
        assert!(message.mentions.is_empty());
    }
    // A device that comes later has it as well.
    let laptop = linked(&mut scene, bob);
    assert!(shown(&mut scene, laptop, alice, id).formatted[0].emphasis);
}

fn profile(scene: &mut Scene, who: PersonId, of: Option<&str>) -> (String, String) {
    let of = of.map(str::to_owned);
    match scene.command(who, Request::Profile(AskProfile { of })) {
        Ok(Response::Profile(profile)) => (profile.profile_name, profile.picture),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_profile_goes_only_to_those_who_were_written_to() {
    let (mut scene, alice, bob) = who_accept_no_groups(1609);
    let carol = scene.add_registered("carol@example.org");
    let laptop = linked(&mut scene, bob);
    scene.send(alice, bob, "hello");
    scene.send(carol, alice, "hello, stranger");
    scene.run_for(Span::minutes(1));
    let set = |name: &str| SetProfile {
        name: Some(name.into()),
        picture: Some("iVBORw0KGgo=".into()),
    };
    scene
        .command(alice, Request::SetProfile(set("Alice \u{202e}B.")))
        .unwrap();
    scene.run_for(Span::minutes(1));
    let seen = ("Alice B.".to_owned(), "iVBORw0KGgo=".to_owned());
    for device in [bob, laptop] {
        assert_eq!(profile(&mut scene, device, Some("alice@example.org")), seen);
        let named: Vec<_> = conversations(&mut scene, device)
            .into_iter()
            .filter(|one| one.with == "alice@example.org")
            .map(|one| one.name)
            .collect();
        // Not while they are a stranger.
        assert_eq!(named, [None]);
    }
    let nothing = (String::new(), String::new());
    assert_eq!(
        profile(&mut scene, carol, Some("alice@example.org")),
        nothing
    );
    // Carol is answered, and is told then.
    scene.send(alice, carol, "yes?");
    scene.send(bob, alice, "who are you?");
    scene.run_for(Span::minutes(1));
    assert_eq!(profile(&mut scene, carol, Some("alice@example.org")), seen);
    let listed = conversations(&mut scene, laptop);
    let alices = listed.iter().find(|one| one.with == "alice@example.org");
    assert_eq!(alices.unwrap().name.as_deref(), Some("Alice B."));
    // Both have it on a device that comes later.
    let phone = linked(&mut scene, alice);
    assert_eq!(profile(&mut scene, phone, None), seen);
    let tablet = linked(&mut scene, bob);
    assert_eq!(profile(&mut scene, tablet, Some("alice@example.org")), seen);
    let long = "x".repeat(200);
    let refused = scene.command(alice, Request::SetProfile(set(&long)));
    assert_eq!(refused.unwrap_err().problem.code(), "profile_name_invalid");
}

fn typing(scene: &mut Scene, who: PersonId, of: &str, typing: bool) {
    let of = of.to_owned();
    scene
        .command(who, Request::SetTyping(SetTyping { of, typing }))
        .unwrap();
}

fn seen_typing(scene: &Scene, who: PersonId) -> Vec<(String, bool)> {
    let notices = scene.person(who).notices.iter();
    let seen = notices.filter_map(|notice| match notice {
        Notice::Typing(typing) => Some((typing.address.clone(), typing.typing)),
        _ => None,
    });
    seen.collect()
}

#[test]
fn typing_is_seen_by_who_is_there_and_not_by_a_stranger() {
    let (mut scene, alice, bob) = who_accept_no_groups(1610);
    scene.send(alice, bob, "hello");
    scene.run_for(Span::seconds(10));
    // Bob has not answered: Alice is told nothing, and what she tells is not shown.
    typing(&mut scene, bob, "alice@example.org", true);
    typing(&mut scene, alice, "bob@example.org", true);
    scene.run_for(Span::seconds(10));
    assert!(seen_typing(&scene, alice).is_empty());
    assert!(seen_typing(&scene, bob).is_empty());
    scene.send(bob, alice, "hello yourself");
    scene.run_for(Span::minutes(10));
    let posts = scene.relay.posts();
    typing(&mut scene, bob, "alice@example.org", true);
    scene.run_for(Span::seconds(1));
    // The same again is not told again; that it ended is.
    typing(&mut scene, bob, "alice@example.org", true);
    scene.run_for(Span::seconds(1));
    typing(&mut scene, bob, "alice@example.org", false);
    scene.run_for(Span::seconds(1));
    let bobs = |typing| ("bob@example.org".to_owned(), typing);
    assert_eq!(seen_typing(&scene, alice), [bobs(true), bobs(false)]);
    // Whoever is not there does not hear of it later, and the relay has kept nothing.
    scene.set_online(alice, false);
    typing(&mut scene, bob, "alice@example.org", true);
    scene.run_for(Span::seconds(10));
    scene.set_online(alice, true);
    scene.run_for(Span::minutes(1));
    assert_eq!(seen_typing(&scene, alice).len(), 2);
    assert_eq!(scene.relay.posts(), posts);
    // Nor does anybody whom the person does not want told.
    let nobody = SetReceipts {
        delivered: true,
        read: true,
        typing: Some(false),
    };
    scene.command(bob, Request::SetReceipts(nobody)).unwrap();
    typing(&mut scene, bob, "alice@example.org", true);
    scene.run_for(Span::seconds(10));
    assert_eq!(seen_typing(&scene, alice).len(), 2);
}

#[test]
fn in_a_group_it_is_seen_who_writes() {
    let (mut scene, alice, bob) = who_accept_no_groups(1611);
    let carol = scene.add_registered("carol@example.org");
    let group = create(&mut scene, alice, "Family", &[bob, carol]);
    scene.run_for(Span::minutes(1));
    say(&mut scene, bob, group, "here").unwrap();
    say(&mut scene, carol, group, "here too").unwrap();
    scene.run_for(Span::minutes(1));
    typing(&mut scene, bob, &group.to_string(), true);
    scene.run_for(Span::seconds(1));
    for person in [alice, carol] {
        assert_eq!(
            seen_typing(&scene, person),
            [("bob@example.org".to_owned(), true)]
        );
    }
    assert!(seen_typing(&scene, bob).is_empty());
}
