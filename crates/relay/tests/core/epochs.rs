//! Epochs that are over: for how long they take messages, and from whom.

use bytes::Bytes;
use waxwing_protocol::{
    ids::Epoch,
    limits,
    pb::{self, ErrorCode, client_frame::Body as Ask, relay_frame::Body as Answer},
    posting::PostingKey,
    time::Span,
};
use waxwing_relay::relay::LinkId;

use crate::world::{Members, World, authorise_request, code, message, post_id};

/// Commits in a group of one, and gives the group as it is then.
fn commit(world: &mut World, group: &Members, post: u64, renews: bool) -> Members {
    let link = world.posting_link(group);
    let mut commit = world.commit_request(group, post_id(post), &group.mailboxes, b"");
    if let Ask::Post(pb::Post {
        next: Some(next), ..
    }) = &mut commit
        && renews
    {
        let seed = [u8::try_from(post).unwrap(); 32];
        let key = PostingKey::from_seed(&seed).public();
        next.rejoin_key = Bytes::copy_from_slice(key.as_bytes());
    }
    let Answer::Posted(posted) = world.ask_durably(link, commit) else {
        panic!("the commit was refused");
    };
    Members {
        id: group.id,
        epoch: Epoch(posted.epoch),
        mailboxes: group.mailboxes.clone(),
    }
}

/// A group in its first epoch, and a link that may post in that.
fn group(world: &mut World) -> (Members, LinkId) {
    let alice = world.person("alice@a.example");
    let group = world.group(&[&alice]);
    let link = world.posting_link(&group);
    (group, link)
}

fn refused_for_good(world: &mut World, old: &Members, link: LinkId, current: Epoch) {
    let answer = world.ask(link, message(old, post_id(1000), "again"));
    let Some(Answer::Error(error)) = answer else {
        panic!("taken: {answer:?}");
    };
    // What a client needs to encrypt it again.
    assert_eq!(error.code(), ErrorCode::EpochConflict);
    assert_eq!(error.epoch, current.0);
    let signal = Ask::Signal(pb::Signal {
        group_id: old.id.to_bytes(),
        epoch: old.epoch.0,
        body: Bytes::from_static(b"typing"),
    });
    assert_eq!(code(world.ask(link, signal)), ErrorCode::EpochConflict);
    let another = world.link();
    let authorise = authorise_request(another, old.id, old.epoch);
    let answer = world.ask(another, authorise);
    assert_eq!(code(answer), ErrorCode::EpochConflict);
}

#[test]
fn a_removed_member_posts_nothing_after_the_commit() {
    let mut world = World::new();
    let (first, link) = group(&mut world);
    let second = commit(&mut world, &first, 1, true);
    refused_for_good(&mut world, &first, link, second.epoch);
    // Nor after a restart, nor in any epoch before the one in which they were removed.
    let third = commit(&mut world, &second, 2, false);
    let fourth = commit(&mut world, &third, 3, true);
    world.crash();
    for old in [first, second, third] {
        let another = world.link();
        let authorise = authorise_request(another, old.id, old.epoch);
        let answer = world.ask(another, authorise);
        assert_eq!(code(answer), ErrorCode::EpochConflict);
    }
    world.posting_link(&fourth);
}

#[test]
fn what_was_taken_before_the_commit_is_answered_after_it() {
    let mut world = World::new();
    let (first, link) = group(&mut world);
    let taken = world.ask_durably(link, message(&first, post_id(1), "before"));
    let second = commit(&mut world, &first, 2, true);
    let Answer::Posted(again) = world.ask_durably(link, message(&first, post_id(1), "before"))
    else {
        panic!("not answered again");
    };
    assert_eq!(again.epoch, second.epoch.0);
    let Answer::Posted(taken) = taken else {
        panic!("{taken:?}");
    };
    assert_eq!(again.group_sequence, taken.group_sequence);
}

#[test]
fn an_epoch_that_is_over_takes_posts_for_a_minute() {
    let mut world = World::new();
    let (first, link) = group(&mut world);
    let second = commit(&mut world, &first, 1, false);
    world.now = world.now.after(Span(limits::PAST_EPOCH_KEPT.0 - 1));
    let answer = world.ask_durably(link, message(&first, post_id(2), "in flight"));
    assert!(matches!(answer, Answer::Posted(_)), "{answer:?}");
    world.now = world.now.after(Span(1));
    refused_for_good(&mut world, &first, link, second.epoch);
}

#[test]
fn a_clock_that_is_set_back_opens_no_epoch_again() {
    let mut world = World::new();
    let (first, link) = group(&mut world);
    let second = commit(&mut world, &first, 1, false);
    world.now.0 -= Span::seconds(1).0;
    refused_for_good(&mut world, &first, link, second.epoch);
}

#[test]
fn a_refused_post_does_not_renew_an_authorisation() {
    let mut world = World::new();
    let (group, link) = group(&mut world);
    for _ in 0..2 {
        world.wait(Span(limits::POSTING_IDLE.0 / 2));
        let answer = world.ask(link, message(&group, post_id(1), ""));
        assert!(matches!(answer, Some(Answer::Error(_))), "{answer:?}");
    }
    let answer = world.ask(link, message(&group, post_id(2), "hello"));
    assert_eq!(code(answer), ErrorCode::Unauthorised);
}
