//! Polls: asked, voted on and closed, between devices of several people; and what a member with a
//! program of their own can do to them.

use waxwing_engine::{
    EventRefused,
    api::{
        Block, ConversationId, MarkRead, Message, MessageId, MessageOf, Notice, Poll, Request,
        Response, Search, SendPoll, SetTimer, Vote,
    },
    content::{self, Content, Part, PartBody, Semantics},
};
use waxwing_protocol::{
    pb::{Envelope, envelope::Body as Say},
    time::Span,
};
use waxwing_system_tests::{
    Dishonest, PersonId, RealRelay, World, WorldOptions,
    devices::{linked, recover, recovering, words},
    groups::{create, messages},
    scenes::alice_and_bob_talking,
};

type Scene = World<RealRelay>;

fn group_of_three(seed: u64) -> (Scene, [PersonId; 3], ConversationId) {
    let mut scene = World::new(seed, RealRelay::default(), WorldOptions::default());
    let people = ["alice", "bob", "mallory"]
        .map(|name| scene.add_registered_on_disk(&format!("{name}@example.org")));
    let [alice, bob, mallory] = people;
    let group = create(&mut scene, alice, "Family", &[bob, mallory]);
    scene.run_for(Span::minutes(2));
    (scene, people, group)
}

fn asked(to: ConversationId) -> SendPoll {
    SendPoll {
        to: to.to_string(),
        question: "Where do we eat?".into(),
        options: vec!["Thai".into(), "Pizza".into()],
        ..SendPoll::default()
    }
}

fn ask(scene: &mut Scene, who: PersonId, poll: SendPoll) -> MessageId {
    match scene.command(who, Request::SendPoll(poll)).unwrap() {
        Response::Sent(sent) => sent.id,
        other => panic!("{other:?}"),
    }
}

fn vote(
    scene: &mut Scene,
    who: PersonId,
    message: MessageId,
    options: &[u32],
) -> Result<Response, EventRefused> {
    let options = options.to_vec();
    scene.command(who, Request::Vote(Vote { message, options }))
}

fn close(scene: &mut Scene, who: PersonId, message: MessageId) -> Result<Response, EventRefused> {
    scene.command(who, Request::ClosePoll(MessageOf { message }))
}

fn shown(scene: &mut Scene, who: PersonId, of: ConversationId, id: MessageId) -> Message {
    let messages = messages(scene, who, of);
    messages.into_iter().find(|one| one.id == id).unwrap()
}

fn poll(scene: &mut Scene, who: PersonId, of: ConversationId, id: MessageId) -> Poll {
    *shown(scene, who, of, id).poll.unwrap()
}

fn votes(scene: &mut Scene, who: PersonId, of: ConversationId, id: MessageId) -> Vec<u64> {
    let poll = poll(scene, who, of, id);
    poll.options.iter().map(|option| option.votes).collect()
}

#[test]
fn votes_are_changed_withdrawn_and_ended_on_all_devices() {
    let (mut scene, [alice, bob, mallory], group) = group_of_three(1);
    let tablet = linked(&mut scene, alice);
    scene.run_for(Span::minutes(3));
    let id = ask(&mut scene, tablet, asked(group));
    scene.run_for(Span::minutes(1));
    assert!(shown(&mut scene, bob, group, id).text.contains("\n• Pizza"));
    // Alice's two devices have one vote.
    vote(&mut scene, alice, id, &[0]).unwrap();
    vote(&mut scene, bob, id, &[0]).unwrap();
    scene.run_for(Span::minutes(1));
    vote(&mut scene, tablet, id, &[1]).unwrap();
    vote(&mut scene, mallory, id, &[1]).unwrap();
    scene.run_for(Span::minutes(1));
    for who in [alice, tablet, bob, mallory] {
        assert_eq!(votes(&mut scene, who, group, id), [1, 2]);
        let poll = poll(&mut scene, who, group, id);
        assert_eq!(poll.voters, 3);
        assert_eq!(poll.options[0].by, ["bob@example.org"]);
        assert_eq!(poll.options[0].own, who == bob);
    }
    let told = scene.person(bob).notices.iter();
    let told = told.filter(|notice| matches!(notice, Notice::MessageChanged(_)));
    assert!(told.count() >= 2);
    vote(&mut scene, mallory, id, &[]).unwrap();
    let refused = vote(&mut scene, bob, id, &[0, 1]).unwrap_err();
    assert_eq!(refused.problem.code(), "vote_invalid");
    let refused = close(&mut scene, bob, id).unwrap_err();
    assert_eq!(refused.problem.code(), "message_not_own");
    scene.run_for(Span::minutes(1));
    close(&mut scene, alice, id).unwrap();
    scene.run_for(Span::minutes(1));
    for who in [alice, tablet, bob, mallory] {
        assert_eq!(votes(&mut scene, who, group, id), [1, 1]);
        let refused = vote(&mut scene, who, id, &[0]).unwrap_err();
        assert_eq!(refused.problem.code(), "poll_closed");
    }
}

#[test]
fn a_new_device_and_a_backup_have_polls_and_votes_and_find_them() {
    let (mut scene, [alice, bob, _], group) = group_of_three(2);
    let id = ask(&mut scene, bob, asked(group));
    scene.run_for(Span::minutes(1));
    vote(&mut scene, alice, id, &[1]).unwrap();
    scene.run_for(Span::minutes(1));
    close(&mut scene, bob, id).unwrap();
    scene.run_for(Span::minutes(1));
    let tablet = linked(&mut scene, alice);
    let (words, _) = words(&mut scene, alice);
    scene.command(alice, Request::Backup).unwrap();
    scene.run_for(Span::minutes(2));
    let before = poll(&mut scene, alice, group, id);
    assert!(before.closed_at.is_some() && before.options[1].own);
    assert_eq!(poll(&mut scene, tablet, group, id), before);
    scene.crash(alice);
    let new = scene.add("alice@example.org");
    recover(&mut scene, new, recovering(&words));
    scene.run_for(Span::minutes(2));
    assert_eq!(poll(&mut scene, new, group, id), before);
    for text in ["where eat", "pizza"] {
        let search = Search {
            text: text.into(),
            ..Search::default()
        };
        match scene.command(new, Request::Search(search)).unwrap() {
            Response::Found(found) => assert_eq!(found.found[0].id, id),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn nothing_is_left_of_a_poll_that_is_unsent_or_has_expired() {
    let (mut scene, [alice, bob, _], group) = group_of_three(3);
    let unsent = ask(&mut scene, alice, asked(group));
    scene.run_for(Span::minutes(1));
    vote(&mut scene, bob, unsent, &[0]).unwrap();
    scene.run_for(Span::minutes(1));
    let of = MessageOf { message: unsent };
    scene.command(alice, Request::TakeBack(of)).unwrap();
    scene.run_for(Span::minutes(1));
    for who in [alice, bob] {
        let message = shown(&mut scene, who, group, unsent);
        assert!(message.taken_back && message.poll.is_none() && message.text.is_empty());
        let refused = vote(&mut scene, who, unsent, &[0]).unwrap_err();
        assert_eq!(refused.problem.code(), "not_a_poll");
    }
    let timer = SetTimer {
        of: group.to_string(),
        seconds: 60,
    };
    scene.command(alice, Request::SetTimer(timer)).unwrap();
    scene.run_for(Span::minutes(1));
    let expires = ask(&mut scene, alice, asked(group));
    scene.run_for(Span::seconds(5));
    vote(&mut scene, bob, expires, &[0]).unwrap();
    let read = MarkRead {
        conversation: group,
        up_to: None,
    };
    scene.command(bob, Request::MarkRead(read)).unwrap();
    scene.run_for(Span::minutes(3));
    for who in [alice, bob] {
        let left = messages(&mut scene, who, group);
        assert!(left.iter().all(|message| message.id != expires));
    }
}

/// A vote or a closing, of a program of one's own.
fn answer(poll: MessageId, kind: &str, bytes: &[u8], salt: u8) -> Envelope {
    let mut content = Content::statuses([salt; 16], &[]);
    content.in_reply_to = content::MessageId::from_bytes(poll.as_bytes());
    let nothing = content.body.clone();
    let answer = Part {
        body: PartBody::Single {
            content_type: format!("application/vnd.waxwing.{kind}"),
            content: bytes.to_vec(),
        },
        ..nothing.clone()
    };
    content.body.body = PartBody::Multi {
        semantics: Semantics::ChooseOne,
        parts: vec![answer, nothing],
    };
    Envelope {
        body: Some(Say::Mimi(content.encode().into())),
        ..Envelope::default()
    }
}

#[test]
fn a_dishonest_member_has_one_vote_and_closes_nothing() {
    let (mut scene, [alice, bob, mallory], group) = group_of_three(4);
    let id = ask(&mut scene, alice, asked(group));
    let elsewhere = create(&mut scene, alice, "Without Mallory", &[bob]);
    scene.run_for(Span::minutes(2));
    let other = ask(&mut scene, alice, asked(elsewhere));
    scene.run_for(Span::minutes(1));
    let before = [alice, bob].map(|who| messages(&mut scene, who, group).len());
    let mut client = Dishonest::takes_over(&mut scene, mallory);
    let mls = client.group_of(group);
    let lies: [(MessageId, &str, &[u8]); 9] = [
        // Options that do not exist, too many, none that can be read.
        (id, "poll-vote", &[0x0a, 1, 7]),
        (id, "poll-vote", &[0x0a, 2, 0, 1]),
        (id, "poll-vote", &[0x0a, 2, 1, 1]),
        (id, "poll-vote", &[0xff; 9]),
        (id, "poll-vote", &[0; 4_096]),
        // A poll of another conversation, somebody else's poll.
        (other, "poll-vote", &[0x0a, 1, 1]),
        (id, "poll-closing", &[]),
        // Twice.
        (id, "poll-vote", &[0x0a, 1, 0]),
        (id, "poll-vote", &[0x0a, 1, 0]),
    ];
    for (salt, (poll, kind, bytes)) in (0..).zip(lies) {
        let lie = answer(poll, kind, bytes, salt);
        client.say(&mut scene, mls, lie).unwrap();
    }
    scene.run_for(Span::minutes(1));
    for (who, before) in [alice, bob].into_iter().zip(before) {
        assert_eq!(votes(&mut scene, who, group, id), [1, 0]);
        assert!(poll(&mut scene, who, group, id).closed_at.is_none());
        assert_eq!(votes(&mut scene, who, elsewhere, other), [0, 0]);
        assert_eq!(messages(&mut scene, who, group).len(), before);
    }
    // After the end, a true time does not help, and a false one does: as the documentation says.
    let in_time = scene.now.0;
    scene.run_for(Span::seconds(1));
    close(&mut scene, alice, id).unwrap();
    scene.run_for(Span::minutes(1));
    let late = answer(id, "poll-vote", &[0x0a, 1, 1], 20);
    client.say(&mut scene, mls, late).unwrap();
    scene.run_for(Span::minutes(1));
    for who in [alice, bob] {
        assert_eq!(votes(&mut scene, who, group, id), [1, 0]);
    }
    let dated_back = Envelope {
        sent_at_ms: in_time,
        ..answer(id, "poll-vote", &[0x0a, 1, 1], 21)
    };
    client.say(&mut scene, mls, dated_back).unwrap();
    scene.run_for(Span::minutes(1));
    for who in [alice, bob] {
        assert_eq!(votes(&mut scene, who, group, id), [0, 1]);
    }
}

#[test]
fn a_vote_of_somebody_who_is_blocked_does_not_count_here() {
    let (mut scene, [alice, bob, mallory], group) = group_of_three(5);
    let id = ask(&mut scene, alice, asked(group));
    scene.run_for(Span::minutes(1));
    let block = Block {
        address: "mallory@example.org".into(),
        blocked: true,
    };
    scene.command(bob, Request::Block(block)).unwrap();
    vote(&mut scene, mallory, id, &[1]).unwrap();
    scene.run_for(Span::minutes(1));
    assert_eq!(votes(&mut scene, alice, group, id), [0, 1]);
    assert_eq!(votes(&mut scene, bob, group, id), [0, 0]);
}

#[test]
fn a_poll_is_refused_beyond_its_limits_and_never_edited() {
    let (mut scene, alice, bob) = alice_and_bob_talking(6);
    let to = scene.person(bob).address.clone();
    let valid = SendPoll {
        to,
        question: "At seven?".into(),
        options: vec!["Yes".into(), "No".into()],
        ..SendPoll::default()
    };
    let one = SendPoll {
        options: vec!["Yes".into()],
        ..valid.clone()
    };
    let refused = scene.command(alice, Request::SendPoll(one)).unwrap_err();
    assert_eq!(refused.problem.code(), "poll_invalid");
    let message = ask(&mut scene, alice, valid);
    let text = "At eight?".to_owned();
    let edit = waxwing_engine::api::Edit { message, text };
    let refused = scene.command(alice, Request::Edit(edit)).unwrap_err();
    assert_eq!(refused.problem.code(), "poll_not_editable");
    let hello = scene.send(alice, bob, "hello");
    let refused = vote(&mut scene, alice, hello, &[0]).unwrap_err();
    assert_eq!(refused.problem.code(), "not_a_poll");
}
