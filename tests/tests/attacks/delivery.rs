//! Posts that the relay repeats, reorders, drops, holds back or bends.

use std::{cell::RefCell, rc::Rc};

use rand::RngExt as _;
use waxwing_engine::{
    Event, LinkKind,
    api::{Entry, MessageState, Request, SetReceipts},
};
use waxwing_protocol::{
    pb::{
        ClientFrame, Deliver, PostKind, RelayFrame, client_frame::Body as Ask,
        relay_frame::Body as Answer,
    },
    time::Span,
};
use waxwing_system_tests::{Bend, Fate, PersonId, devices::linked};

use super::scene::{Scene, alice_and_bob};

/// Hands somebody deliveries, as many in one batch as a link may bring.
fn hand(scene: &mut Scene, to: PersonId, deliveries: impl IntoIterator<Item = Deliver>) {
    let frames = deliveries.into_iter().map(|deliver| RelayFrame {
        request: 0,
        body: Some(Answer::Deliver(deliver)),
    });
    let received = Event::FramesReceived {
        link: LinkKind::Mailbox,
        frames: frames.collect(),
    };
    scene.event(to, received).unwrap();
}

/// Keeps what is delivered to somebody, and delivers it.
fn keep_deliveries(scene: &mut Scene, of: PersonId) -> Rc<RefCell<Vec<Deliver>>> {
    let kept = Rc::new(RefCell::new(Vec::new()));
    let keeping = kept.clone();
    scene.relay.answers(move |person, frame| {
        if let Some(Answer::Deliver(deliver)) = &frame.body
            && person == of
        {
            keeping.borrow_mut().push(deliver.clone());
        }
        Fate::Pass
    });
    kept
}

#[test]
fn a_message_that_is_replayed_a_million_times_is_shown_once() {
    let (mut scene, alice, bob) = alice_and_bob(301);
    scene.send(alice, bob, "once");
    scene.run_for(Span::seconds(10));
    let kept = keep_deliveries(&mut scene, bob);
    scene.send(alice, bob, "twice?");
    scene.run_for(Span::seconds(10));
    // The first: what follows is the echo of Bob's own receipt.
    let genuine = kept.borrow().first().unwrap().clone();
    let told = scene.person(bob).notices.len();
    // In the place where it was, and in places that it never had.
    for round in 0..1_000 {
        hand(
            &mut scene,
            bob,
            (0..1_000).map(|n| {
                let place = if n % 2 == 0 { 0 } else { round * 1_000 + n };
                Deliver {
                    sequence: genuine.sequence + place,
                    group_sequence: genuine.group_sequence + place,
                    ..genuine.clone()
                }
            }),
        );
    }
    assert_eq!(scene.texts(bob, alice), ["once", "twice?"]);
    // Nor is anything told of, a million times or once.
    assert_eq!(scene.person(bob).notices.len(), told);
    scene.cut(bob);
    scene.send(alice, bob, "and on");
    scene.run_for(Span::minutes(5));
    assert_eq!(scene.texts(bob, alice), ["once", "twice?", "and on"]);
}

#[test]
fn two_thousand_messages_in_reversed_order_all_show_once() {
    let (mut scene, alice, bob) = alice_and_bob(302);
    scene.send(alice, bob, "first");
    scene.run_for(Span::seconds(10));
    // He says nothing: whoever posts learns that he is behind.
    let quiet = SetReceipts {
        delivered: false,
        read: false,
        typing: None,
    };
    scene.command(bob, Request::SetReceipts(quiet)).unwrap();
    scene.accept(bob, alice);
    // What Alice posts is kept in its order, and none of it delivered to Bob.
    let posts = Rc::new(RefCell::new(Vec::new()));
    let keeping = posts.clone();
    scene.relay.requests(move |person, frame| {
        if let Some(Ask::Post(post)) = &frame.body
            && person == alice
        {
            keeping.borrow_mut().push(post.clone());
        }
        Fate::Pass
    });
    scene.relay.answers(move |person, frame| match frame.body {
        Some(Answer::Deliver(_)) if person == bob => Fate::Drop,
        _ => Fate::Pass,
    });
    for batch in 0..40 {
        for n in 0..50 {
            scene.send(alice, bob, &format!("{:04}", batch * 50 + n));
        }
        scene.run_for(Span::seconds(20));
    }
    scene.run_for(Span::minutes(1));
    let mut posts: Vec<_> = posts.borrow().clone();
    let mut seen = std::collections::BTreeSet::new();
    posts.retain(|post| seen.insert(post.post_id.clone()));
    let messages = posts.iter().filter(|post| post.kind() == PostKind::Message);
    assert!(messages.count() >= 2_000);
    scene.relay.requests(|_, _| Fate::Pass);
    let now = scene.now;
    let count = posts.len() as u64;
    for (place, post) in (0_u64..).zip(posts.into_iter().rev()) {
        let deliver = Deliver {
            sequence: 1_000 + place,
            group_id: post.group_id.clone(),
            group_sequence: 1_000 + count - place,
            kind: post.kind,
            epoch: post.epoch,
            post_id: post.post_id.clone(),
            body: post.body.clone(),
            received_at_ms: now.0,
            missed: false,
        };
        hand(&mut scene, bob, [deliver]);
    }
    // Those of the first epoch came when its keys were gone already: they are asked for.
    assert!(scene.texts(bob, alice).len() > 1_900);
    scene.relay.straighten();
    scene.run_for(Span::minutes(10));
    let mut texts = scene.texts(bob, alice);
    texts.sort();
    let mut all: Vec<String> = (0..2_000).map(|n| format!("{n:04}")).collect();
    all.push("first".into());
    assert_eq!(texts.len(), all.len());
    assert!(texts == all);
}

#[test]
fn marks_of_missing_posts_that_a_relay_makes_up_cost_little() {
    let (mut scene, alice, bob) = alice_and_bob(313);
    let group = Rc::new(RefCell::new(bytes::Bytes::new()));
    let posted = Rc::new(RefCell::new(0));
    let (noting, counting) = (group.clone(), posted.clone());
    scene.relay.requests(move |person, frame| {
        if let Some(Ask::Post(post)) = &frame.body {
            noting.replace(post.group_id.clone());
            if person == bob {
                *counting.borrow_mut() += 1;
            }
        }
        Fate::Pass
    });
    scene.send(alice, bob, "one");
    scene.run_for(Span::minutes(1));
    let shown = scene.history(bob, alice).len();
    posted.replace(0);
    for n in 0..500_u64 {
        let now = scene.now;
        let made_up = |group_id: bytes::Bytes, place: u64| Deliver {
            sequence: 1_000 + 3 * n + place,
            group_id,
            group_sequence: 1_000,
            kind: PostKind::Message.into(),
            epoch: n,
            post_id: vec![7; 16].into(),
            received_at_ms: now.0,
            missed: true,
            ..Deliver::default()
        };
        let of_a_group = made_up(group.borrow().clone(), 0);
        let of_nobodys = made_up(vec![9; 16].into(), 1);
        let of_all = made_up(vec![0; 16].into(), 2);
        hand(&mut scene, bob, [of_a_group, of_nobodys, of_all]);
        scene.run_for(Span::seconds(1));
    }
    assert!(*posted.borrow() <= 2, "{}", posted.borrow());
    assert_eq!(scene.history(bob, alice).len(), shown);
    assert!(scene.status(bob).alarms.is_empty());
    scene.send(alice, bob, "two");
    scene.run_for(Span::minutes(1));
    assert!(scene.texts(bob, alice).contains(&"two".to_owned()));
}

#[test]
fn a_message_that_comes_twice_is_shown_once() {
    let (mut scene, alice, bob) = alice_and_bob(303);
    scene.relay.bend(|_| Bend::Twice);
    for n in 0..20 {
        scene.send(alice, bob, &format!("{n:02}"));
        scene.send(bob, alice, &format!("{:02}", n + 20));
        scene.run_for(Span(70));
    }
    scene.run_for(Span::minutes(1));
    assert_eq!(scene.texts(bob, alice).len(), 40);
    assert_eq!(scene.texts(alice, bob).len(), 40);
}

#[test]
fn messages_that_the_relay_drops_show_as_a_gap() {
    let (mut scene, alice, bob) = alice_and_bob(304);
    scene.send(alice, bob, "one");
    scene.run_for(Span::seconds(10));
    scene.relay.bend(|deliver| match deliver.kind() {
        PostKind::Message => Bend::Drop,
        _ => Bend::Honest,
    });
    let dropped = scene.send(alice, bob, "two");
    scene.run_for(Span::seconds(5));
    // The relay says that it has it; nobody says that it arrived.
    assert_eq!(
        scene.state(alice, bob, dropped),
        Some(MessageState::Accepted)
    );
    scene.relay.straighten();
    scene.send(alice, bob, "three");
    scene.run_for(Span::seconds(40));
    // Alice is not there to send it again: the gap stays in sight.
    scene.set_online(alice, false);
    scene.run_for(Span::minutes(10));
    let history = scene.history(bob, alice);
    let gap = history.iter().find_map(|entry| match entry {
        Entry::Gap(gap) => Some((gap.missing, gap.from.clone())),
        _ => None,
    });
    let texts = scene.texts(bob, alice);
    if !texts.contains(&"two".to_owned()) {
        assert_eq!(gap, Some((1, "alice@example.org".into())));
    }
    scene.set_online(alice, true);
    // She is a stranger to him: his device asks for it once he has accepted her.
    scene.accept(bob, alice);
    scene.run_for(Span::hours(3));
    let mut texts = scene.texts(bob, alice);
    texts.sort();
    assert_eq!(texts, ["one", "three", "two"]);
}

#[test]
fn a_message_held_back_for_a_day_is_not_called_delivered() {
    let (mut scene, alice, bob) = alice_and_bob(305);
    scene.send(bob, alice, "hello");
    scene.run_for(Span::seconds(10));
    scene.relay.answers(move |person, frame| match frame.body {
        Some(Answer::Deliver(_)) if person == bob => Fate::Later(Span::hours(24)),
        _ => Fate::Pass,
    });
    let id = scene.send(alice, bob, "by yesterday");
    scene.run_for(Span::hours(23));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Accepted));
    assert_eq!(scene.texts(bob, alice), ["hello"]);
    scene.relay.answers(|_, _| Fate::Pass);
    scene.run_for(Span::hours(2));
    assert_eq!(scene.texts(bob, alice), ["hello", "by yesterday"]);
    let messages = scene.messages(bob, alice);
    // When it was sent is what its sender says, and not when the relay let it go.
    let late = &messages[1];
    assert!(scene.now.since(late.sent_at.0) > Span::hours(24));
    assert_eq!(scene.state(alice, bob, id), Some(MessageState::Delivered));
}

#[test]
fn a_commit_kept_from_half_of_a_group_parts_nobody_for_good() {
    let (mut scene, alice, bob) = alice_and_bob(306);
    scene.send(alice, bob, "before");
    scene.run_for(Span::seconds(10));
    let tablet = linked(&mut scene, alice);
    scene.run_for(Span::minutes(1));
    // Alice's tablet is given no commit; the others go on.
    scene.relay.answers(move |person, frame| match &frame.body {
        Some(Answer::Deliver(deliver))
            if person == tablet && deliver.kind() == PostKind::Commit =>
        {
            Fate::Drop
        }
        _ => Fate::Pass,
    });
    for n in 0..120 {
        scene.send(bob, alice, &format!("{n:03}"));
        scene.run_for(Span::seconds(1));
    }
    scene.relay.straighten();
    scene.send(bob, alice, "last");
    scene.run_for(Span::hours(3));
    for device in [alice, tablet] {
        let mut texts = scene.texts(device, bob);
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 122, "each once, on each device");
    }
    scene.send(tablet, bob, "here");
    scene.run_for(Span::minutes(2));
    assert!(scene.texts(bob, alice).contains(&"here".to_owned()));
}

/// Changes one bit of a frame, somewhere; `false` when it is no frame then.
fn flip<M: prost::Message + Default>(frame: &mut M, rng: &mut impl rand::Rng) -> bool {
    let mut bytes = frame.encode_to_vec();
    if bytes.is_empty() {
        return true;
    }
    let at = rng.random_range(0..bytes.len());
    bytes[at] ^= 1 << rng.random_range(0..8);
    if rng.random_bool(0.3) {
        bytes.truncate(at);
    }
    match M::decode(bytes.as_slice()) {
        Ok(bent) => {
            *frame = bent;
            true
        }
        Err(_) => false,
    }
}

#[test]
fn truncated_or_altered_frames_show_nothing_false() {
    let (mut scene, alice, bob) = alice_and_bob(307);
    scene.send(alice, bob, "0");
    scene.run_for(Span::seconds(10));
    let mut sent = vec!["0".to_owned()];
    for round in 1..60_u64 {
        let mut rng = scene.rng.clone();
        let mut left = 3;
        scene.relay.answers(move |_, frame: &mut RelayFrame| {
            let request = frame.request;
            if left > 0 && rng.random_bool(0.3) {
                left -= 1;
                if !flip(frame, &mut rng) {
                    return Fate::Drop;
                }
                frame.request = request;
            }
            Fate::Pass
        });
        let mut rng = scene.rng.clone();
        let mut left = 2;
        scene.relay.requests(move |_, frame: &mut ClientFrame| {
            if left > 0 && rng.random_bool(0.2) {
                left -= 1;
                if !flip(frame, &mut rng) {
                    return Fate::Drop;
                }
            }
            Fate::Pass
        });
        let (from, to) = if round % 2 == 0 {
            (alice, bob)
        } else {
            (bob, alice)
        };
        scene.send(from, to, &round.to_string());
        sent.push(round.to_string());
        scene.run_for(Span::seconds(3));
        if round % 7 == 0 {
            scene.cut_all();
        }
    }
    for (of, with) in [(alice, bob), (bob, alice)] {
        for text in scene.texts(of, with) {
            assert!(sent.contains(&text), "{text:?} was never written");
        }
    }
    scene.relay.straighten();
    scene.cut_all();
    scene.run_for(Span::hours(12));
    for (of, with) in [(alice, bob), (bob, alice)] {
        let mut texts = scene.texts(of, with);
        texts.sort();
        let mut all = sent.clone();
        all.sort();
        assert_eq!(texts, all);
    }
}
