//! Groups that the relay parts, and keys that are over.

use std::{cell::RefCell, rc::Rc};

use waxwing_engine::{
    Event, LinkKind,
    api::{Entry, MessageState},
};
use waxwing_protocol::{
    pb::{
        Deliver, PostKind, Posted, RelayFrame, client_frame::Body as Ask,
        relay_frame::Body as Answer,
    },
    time::Span,
};
use waxwing_system_tests::Fate;

use crate::scene::alice_and_bob;

#[test]
fn a_group_that_the_relay_forks_comes_together_again_and_loses_nothing() {
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
fn a_message_of_an_epoch_that_is_long_over_is_not_read_by_its_old_key() {
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
