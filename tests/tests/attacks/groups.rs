//! Groups that the relay parts, and keys that are over.

use std::{cell::RefCell, rc::Rc};

use waxwing_engine::{
    Event, LinkKind,
    api::{ChangeGroup, ConversationId, Entry, EventKind, MessageState},
};
use waxwing_protocol::{
    pb::{
        Deliver, Error, ErrorCode, PostKind, Posted, RelayFrame, client_frame::Body as Ask,
        relay_frame::Body as Answer,
    },
    time::Span,
};
use waxwing_system_tests::{
    Fate, PersonId,
    groups::{addresses, change, create, events, leave, members, say, show, texts},
};

use super::scene::{Scene, alice_and_bob, empty};

#[test]
fn a_forked_group_comes_together_and_loses_nothing() {
    let (mut scene, alice, bob) = alice_and_bob(601);
    scene.send(alice, bob, "before");
    scene.send(bob, alice, "before, too");
    scene.run_for(Span::minutes(1));
    // Alice's next rekeying is taken, the relay says, and nobody else hears of it: from then
    // on she is in an epoch of her own.
    let taken = Rc::new(RefCell::new(None));
    let taking = taken.clone();
    scene.relay.requests(move |person, frame| {
        if let Some(Ask::Post(post)) = &frame.body
            && person == alice
            && post.kind() == PostKind::Commit
            && taking.borrow().is_none()
        {
            *taking.borrow_mut() = Some(frame.request);
            return Fate::Drop;
        }
        Fate::Pass
    });
    let mut sent = vec!["before".to_owned(), "before, too".to_owned()];
    for n in 0..120 {
        let text = format!("{n:03}");
        let (from, to) = if n % 2 == 0 {
            (alice, bob)
        } else {
            (bob, alice)
        };
        scene.send(from, to, &text);
        sent.push(text);
        scene.run_for(Span(500));
        if let Some(request) = taken.borrow_mut().take_if(|request| *request > 0) {
            let frame = RelayFrame {
                request,
                body: Some(Answer::Posted(Posted::default())),
            };
            let received = Event::FramesReceived {
                link: LinkKind::Posting,
                frames: vec![frame],
            };
            scene.event(alice, received).unwrap();
            scene.relay.requests(|_, _| Fate::Pass);
        }
    }
    scene.relay.straighten();
    scene.run_for(Span::hours(3));
    sent.sort();
    for (of, with) in [(alice, bob), (bob, alice)] {
        let mut texts = scene.texts(of, with);
        texts.sort();
        assert!(texts == sent, "{} of {}", texts.len(), sent.len());
        assert_eq!(scene.status(of).outbox, 0);
        let gaps = scene.history(of, with);
        assert!(!gaps.iter().any(|entry| matches!(entry, Entry::Gap(_))));
    }
}

#[test]
fn a_key_of_an_old_epoch_reads_nothing_new() {
    let (mut scene, alice, bob) = alice_and_bob(602);
    scene.send(alice, bob, "one");
    scene.run_for(Span::minutes(1));
    let kept = Rc::new(RefCell::new(None::<Deliver>));
    let keeping = kept.clone();
    scene.relay.answers(move |person, frame| {
        if let Some(Answer::Deliver(deliver)) = &frame.body
            && person == bob
            && deliver.kind() == PostKind::Message
            && keeping.borrow().is_none()
        {
            *keeping.borrow_mut() = Some(deliver.clone());
            return Fate::Drop;
        }
        Fate::Pass
    });
    let id = scene.send(alice, bob, "old");
    scene.run_for(Span::seconds(5));
    let old = kept.borrow().clone().unwrap();
    // Alice, who would send it again, is away; the keys go on without it by Bob's doing.
    scene.set_online(alice, false);
    for n in 0..400 {
        scene.send(bob, alice, &format!("{n:03}"));
        scene.run_for(Span::seconds(1));
    }
    scene.run_for(Span::minutes(1));
    let before = scene.texts(bob, alice).len();
    scene
        .relay
        .say(bob, LinkKind::Mailbox, Answer::Deliver(old));
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.texts(bob, alice).len(), before);
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Accepted));
    // It comes when she is there again, under a key of today.
    scene.set_online(alice, true);
    scene.run_for(Span::hours(3));
    let texts = scene.texts(bob, alice);
    assert_eq!(texts.iter().filter(|text| *text == "old").count(), 1);
}

/// A group of five, in which Alice and Bob are admins, with a picture and a timer.
fn five(seed: u64) -> (Scene, [PersonId; 5], ConversationId) {
    let mut scene = empty(seed);
    let people = ["alice", "bob", "carol", "dora", "mallory"]
        .map(|name| scene.add_registered(&format!("{name}@example.org")));
    let [alice, bob, ..] = people;
    let group = create(&mut scene, alice, "Five", &people[1..]);
    scene.run_for(Span::minutes(1));
    let described = ChangeGroup {
        promote: addresses(&scene, &[bob]),
        picture: Some(PICTURE.to_owned()),
        everybody_adds: Some(true),
        ..ChangeGroup::default()
    };
    change(&mut scene, alice, group, described).unwrap();
    say(&mut scene, alice, group, "before").unwrap();
    scene.run_for(Span::minutes(1));
    (scene, people, group)
}

/// Base64 of what need not be a picture to be one to the group.
const PICTURE: &str = "/9j/4AAQ";

fn is_as_it_was(scene: &mut Scene, people: &[PersonId], group: ConversationId) {
    for person in people {
        let shown = show(scene, *person, group).unwrap();
        assert_eq!(
            (shown.name.as_str(), shown.picture.as_deref()),
            ("Five", Some(PICTURE))
        );
        assert!(shown.everybody_adds);
    }
}

#[test]
fn a_group_that_the_relay_denies_is_replaced_without_loss() {
    let (mut scene, people, group) = five(603);
    let [alice, .., dora, _] = people;
    // The relay has never heard of it, it says, and hands nothing of it on.
    let denied = Rc::new(RefCell::new(None));
    let denying = denied.clone();
    scene.relay.requests(move |_, frame| {
        if let Some(Ask::Post(post)) = &frame.body {
            denying.borrow_mut().get_or_insert(post.group_id.clone());
        }
        Fate::Pass
    });
    say(&mut scene, alice, group, "first").unwrap();
    scene.run_for(Span::seconds(20));
    let id = denied.borrow().clone().unwrap();
    let of = Rc::new(RefCell::new(std::collections::BTreeSet::new()));
    let asked = of.clone();
    let denied_id = id.clone();
    scene.relay.requests(move |person, frame| {
        let about = match &frame.body {
            Some(Ask::Post(post)) => Some(&post.group_id),
            Some(Ask::AuthorisePosting(authorise)) => Some(&authorise.group_id),
            _ => None,
        };
        if about == Some(&denied_id) {
            asked.borrow_mut().insert((person, frame.request));
        }
        Fate::Pass
    });
    let answered = of.clone();
    scene.relay.answers(move |person, frame| {
        if answered.borrow().contains(&(person, frame.request)) && frame.request > 0 {
            frame.body = Some(Answer::Error(Error {
                code: ErrorCode::GroupUnknown.into(),
                ..Error::default()
            }));
        }
        match &frame.body {
            Some(Answer::Deliver(deliver)) if deliver.group_id == id => Fate::Drop,
            _ => Fate::Pass,
        }
    });
    say(&mut scene, dora, group, "while it was denied").unwrap();
    say(&mut scene, alice, group, "and another").unwrap();
    scene.run_for(Span::hours(2));
    say(&mut scene, dora, group, "after").unwrap();
    scene.run_for(Span::minutes(5));
    for person in people {
        let mut heard = texts(&mut scene, person, group);
        heard.sort();
        assert_eq!(
            heard,
            [
                "after",
                "and another",
                "before",
                "first",
                "while it was denied"
            ],
            "{person:?}"
        );
        assert_eq!(
            members(&mut scene, person, group),
            ["alice*", "bob*", "carol", "dora", "mallory"]
        );
    }
    is_as_it_was(&mut scene, &people, group);
}

#[test]
fn a_rule_breaker_is_not_in_the_next_generation() {
    let (mut scene, people, group) = five(604);
    let [alice, bob, carol, dora, mallory] = people;
    // Carol leaves, and only Mallory hears of it, for whom the relay works: nobody but admins
    // may take somebody out who has not said that they leave.
    scene.set_online(alice, false);
    scene.set_online(bob, false);
    scene.set_online(dora, false);
    leave(&mut scene, carol, group).unwrap();
    scene.relay.answers(move |person, frame| match &frame.body {
        Some(Answer::Deliver(deliver))
            if deliver.kind() == PostKind::Message && person != mallory =>
        {
            Fate::Drop
        }
        _ => Fate::Pass,
    });
    scene.run_for(Span::minutes(10));
    for person in [alice, bob, dora] {
        scene.set_online(person, true);
    }
    scene.run_for(Span::minutes(3));
    scene.relay.straighten();
    scene.run_for(Span::hours(1));
    let stay = [alice, bob, dora];
    for person in stay {
        let names = members(&mut scene, person, group);
        assert!(
            !names.iter().any(|name| name.starts_with("mallory")),
            "{names:?}"
        );
        assert!(
            events(&mut scene, person, group)
                .iter()
                .any(|event| event.0 == EventKind::MadeAnew),
            "{person:?}"
        );
    }
    say(&mut scene, dora, group, "after").unwrap();
    scene.run_for(Span::minutes(1));
    for person in stay {
        assert_eq!(texts(&mut scene, person, group).last().unwrap(), "after");
    }
    assert_ne!(texts(&mut scene, mallory, group).last().unwrap(), "after");
    is_as_it_was(&mut scene, &stay, group);
}
