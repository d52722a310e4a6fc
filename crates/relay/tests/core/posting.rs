//! Groups: who may post, the order, the fan-out, and what is on disk when.

use bytes::Bytes;
use prost::Message as _;
use waxwing_protocol::{
    ids::{Epoch, GroupId, PostId},
    limits,
    pb::{self, ErrorCode, PostKind, client_frame::Body as Ask, relay_frame::Body as Answer},
    posting::PostingAct,
    time::{Span, Time},
};
use waxwing_relay::relay::{Config, LinkId};
use waxwing_relay::store::{KeySpace, Store as _, Write, memory::Fault, records::EntryRecord};

use crate::world::{
    Members, Person, World, authorise_request, code, exporter_of, fan_out_key, message, post_id,
    rejoin_key,
};

fn bodies(posts: &[pb::Deliver]) -> Vec<&[u8]> {
    posts.iter().map(|post| post.body.as_ref()).collect()
}

fn stored(world: &World, space: KeySpace) -> usize {
    let records = world.store.records();
    records.iter().filter(|(at, _, _)| *at == space).count()
}

fn posted(answer: Option<Answer>) -> pb::Posted {
    match answer {
        Some(Answer::Posted(posted)) => posted,
        other => panic!("not posted: {other:?}"),
    }
}

#[test]
fn a_post_is_delivered_before_and_answered_after_the_disk() {
    let mut world = World::new();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    let (bobs, _) = world.login(&bob);
    let link = world.posting_link(&group);
    let request = world.tell(link, message(&group, post_id(1), "hello"));
    assert_eq!(bodies(&world.delivered(bobs)), [b"hello"]);
    assert!(world.answer(link, request).is_none());
    world.write();
    assert_eq!(posted(world.answer(link, request)).epoch, 1);
}

#[test]
fn a_post_that_all_acknowledged_is_never_written() {
    let mut world = World::new();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    let links = [world.login(&alice).0, world.login(&bob).0];
    let link = world.posting_link(&group);
    let request = world.tell(link, message(&group, post_id(1), "hello"));
    for at in links {
        let post = world.delivered(at).remove(0);
        assert!(world.answer(link, request).is_none());
        world.acknowledge(at, post.sequence);
    }
    posted(world.answer(link, request));
    world.write();
    assert_eq!(stored(&world, KeySpace::Posts), 0);
    assert_eq!(stored(&world, KeySpace::Entries), 0);
}

#[test]
fn what_is_on_its_way_waits_a_moment_and_is_written() {
    let mut world = World::new();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    let (alices, _) = world.login(&alice);
    let (bobs, _) = world.login(&bob);
    world.write();
    let link = world.posting_link(&group);
    world.write();

    // Both acknowledge in time: it never touches the disk.
    let request = world.tell(link, message(&group, post_id(1), "fast"));
    assert!(world.relay.take_batch(world.now).is_none());
    for device in [alices, bobs] {
        assert_eq!(world.answer(link, request), None);
        let sequence = world.delivered(device)[0].sequence;
        world.acknowledge(device, sequence);
    }
    assert!(matches!(
        world.answer(link, request),
        Some(Answer::Posted(_))
    ));
    assert_eq!(world.relay.next_write(), None);

    // One does not: it is written, and its sender is answered then.
    let request = world.tell(link, message(&group, post_id(2), "slow"));
    let sequence = world.delivered(alices)[0].sequence;
    world.acknowledge(alices, sequence);
    let due = world.relay.next_write().unwrap();
    assert!(due > world.now && due.since(world.now) <= Span::seconds(1));
    assert!(world.relay.take_batch(world.now).is_none());
    world.now = due;
    let batch = world.relay.take_batch(world.now).unwrap();
    waxwing_relay::store::Store::commit(&world.store, batch.into_writes()).unwrap();
    assert_eq!(world.answer(link, request), None);
    world.relay.handle_batch_written();
    world.collect();
    assert!(matches!(
        world.answer(link, request),
        Some(Answer::Posted(_))
    ));
    assert_eq!(stored(&world, KeySpace::Entries), 1);
}

#[test]
fn what_may_wait_is_written_at_once_when_the_clock_was_set_back() {
    let mut world = World::new();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    world.login(&alice);
    world.login(&bob);
    let link = world.posting_link(&group);
    world.write();
    world.tell(link, message(&group, post_id(1), "hello"));
    assert!(world.relay.take_batch(world.now).is_none());
    world.now = Time(world.now.0 - Span::hours(1).0);
    assert!(world.relay.take_batch(world.now).is_some());
}

#[test]
fn a_post_does_not_wait_behind_a_newer_one_on_disk() {
    let mut world = World::new();
    let [alice, bob, carol, dave, erin, frank] = ["alice", "bob", "carol", "dave", "erin", "frank"]
        .map(|name| world.person(&format!("{name}@a.example")));
    let groups = [
        [&bob, &dave],
        [&alice, &bob],
        [&erin, &frank],
        [&alice, &carol],
    ]
    .map(|members| world.group(&members));
    // Everybody is there but Carol.
    for person in [&alice, &bob, &dave, &erin, &frank] {
        world.login(person);
    }
    let links = [0, 1, 2, 3].map(|at: usize| world.posting_link(&groups[at]));
    world.write();
    for at in 0..4 {
        let body = message(&groups[at], post_id(at as u64), "hello");
        world.tell(links[at], body);
    }
    let batch = world.relay.take_batch(world.now).unwrap();
    waxwing_relay::store::Store::commit(&world.store, batch.into_writes()).unwrap();
    world.relay.handle_batch_written();
    // Carol's is written; before it the one that Alice has in front of it, and before that
    // the one that Bob has. Erin's and Frank's has nothing to do with them.
    assert_eq!(stored(&world, KeySpace::Posts), 3);
    assert!(world.relay.next_write().unwrap() > world.now);
}

#[test]
fn an_early_acknowledgement_takes_a_post_from_nobody_else() {
    let mut world = World::new();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    let (alices, _) = world.login(&alice);
    let link = world.posting_link(&group);
    world.tell(link, message(&group, post_id(1), "hello"));
    let batch = world.relay.take_batch(world.now).unwrap();
    // Alice's device is faster than the disk.
    let sequence = world.delivered(alices)[0].sequence;
    world.acknowledge(alices, sequence);
    waxwing_relay::store::Store::commit(&world.store, batch.into_writes()).unwrap();
    world.relay.handle_batch_written();
    world.collect();
    world.write();
    assert_eq!(stored(&world, KeySpace::Entries), 1);
    let (bobs, _) = world.login(&bob);
    let posts = world.delivered(bobs);
    assert_eq!(bodies(&posts), [b"hello"]);
    world.acknowledge(bobs, posts[0].sequence);
    world.write();
    for space in [KeySpace::Entries, KeySpace::Posts, KeySpace::Holders] {
        assert_eq!(stored(&world, space), 0, "{}", space.name());
    }
}

#[test]
fn waiting_posts_are_delivered_in_order_at_the_next_login() {
    let mut world = World::new();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    let link = world.posting_link(&group);
    for n in 1..=3 {
        world.ask_durably(link, message(&group, post_id(n), &format!("message {n}")));
    }
    world.crash();
    for person in [&bob, &alice] {
        let (link, _) = world.login(person);
        let posts = world.delivered(link);
        assert_eq!(
            bodies(&posts),
            [b"message 1".as_slice(), b"message 2", b"message 3"]
        );
        assert!(posts.is_sorted_by(|a, b| a.sequence < b.sequence));
        assert!(posts.is_sorted_by(|a, b| a.group_sequence < b.group_sequence));
        world.acknowledge(link, posts[2].sequence);
        world.write();
        let (_, logged_in) = world.login(person);
        assert_eq!(logged_in.acknowledged, posts[2].sequence);
    }
    for space in [KeySpace::Entries, KeySpace::Posts, KeySpace::Holders] {
        assert_eq!(stored(&world, space), 0, "{}", space.name());
    }
}

#[test]
fn a_window_that_is_full_waits_for_acknowledgements() {
    let mut world = World::new();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    let link = world.posting_link(&group);
    let all = limits::DELIVERY_WINDOW_FRAMES as u64 + 50;
    for n in 0..all {
        world.tell(link, message(&group, post_id(n), &n.to_string()));
    }
    world.write();
    let (bobs, _) = world.login(&bob);
    let mut received = world.delivered(bobs);
    assert_eq!(received.len(), limits::DELIVERY_WINDOW_FRAMES);
    world.acknowledge(bobs, received[99].sequence);
    received.extend(world.delivered(bobs));
    let expected: Vec<String> = (0..all).map(|n| n.to_string()).collect();
    let bodies: Vec<&[u8]> = bodies(&received);
    assert_eq!(
        bodies,
        expected.iter().map(String::as_bytes).collect::<Vec<_>>()
    );
}

#[test]
fn a_repeated_post_is_answered_alike_and_delivered_once() {
    let mut world = World::new();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    let link = world.posting_link(&group);
    let first = world.tell(link, message(&group, post_id(1), "hello"));
    let again = world.tell(link, message(&group, post_id(1), "hello"));
    world.write();
    let answer = posted(world.answer(link, first));
    assert_eq!(posted(world.answer(link, again)), answer);
    world.crash();
    world.wait(Span::hours(24));
    let link = world.posting_link(&group);
    let after = world.ask_durably(link, message(&group, post_id(1), "hello"));
    assert_eq!(posted(Some(after)), answer);
    let (bobs, _) = world.login(&bob);
    assert_eq!(world.delivered(bobs).len(), 1);
}

#[test]
fn the_first_commit_of_an_epoch_wins_once_on_disk() {
    let mut world = World::new();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let carol = world.person("carol@a.example");
    let group = world.group(&[&alice, &bob]);
    let (bobs, _) = world.login(&bob);
    let (carols, _) = world.login(&carol);
    let (one, two) = (world.posting_link(&group), world.posting_link(&group));
    let mut everybody = group.mailboxes.clone();
    everybody.push(carol.mailbox);
    let winner = world.commit_request(&group, post_id(1), &everybody, b"welcome, carol");
    let loser = world.commit_request(&group, post_id(2), &group.mailboxes, b"");
    let request = world.tell(one, winner);
    let Some(Answer::Error(conflict)) = world.ask(two, loser) else {
        panic!("two commits for one epoch");
    };
    assert_eq!(conflict.code(), ErrorCode::EpochConflict);
    assert_eq!(conflict.epoch, 2);
    // A message of the old epoch stays behind the commit.
    world.tell(two, message(&group, post_id(3), "late"));
    assert!(world.delivered(bobs).is_empty());
    world.write();
    assert_eq!(posted(world.answer(one, request)).epoch, 2);
    let at_bob = world.delivered(bobs);
    assert_eq!(
        bodies(&at_bob),
        [b"commit".as_slice(), b"welcome, carol", b"late"]
    );
    let kinds: Vec<PostKind> = at_bob.iter().map(pb::Deliver::kind).collect();
    assert_eq!(
        kinds,
        [PostKind::Commit, PostKind::Welcome, PostKind::Message]
    );
    assert_eq!(
        bodies(&world.delivered(carols)),
        [b"commit".as_slice(), b"welcome, carol"]
    );
    // The committer's link may post to the new epoch at once.
    let next = Members {
        id: group.id,
        epoch: Epoch(2),
        mailboxes: everybody,
    };
    world.tell(one, message(&next, post_id(4), "new"));
    assert_eq!(bodies(&world.delivered(carols)), [b"new"]);
}

#[test]
fn a_commit_is_delivered_without_being_read_from_the_disk() {
    let mut world = World::new();
    let people = ["alice", "bob", "carol"].map(|name| world.person(&format!("{name}@a.example")));
    let group = world.group(&people.each_ref());
    let links = people.each_ref().map(|person| world.login(person).0);
    let posting = world.posting_link(&group);
    let commit = world.commit_request(&group, post_id(1), &group.mailboxes, b"");
    let request = world.tell(posting, commit);
    for link in links {
        assert!(world.delivered(link).is_empty(), "before it is on disk");
    }
    let batch = world.relay.take_batch(Time(u64::MAX)).unwrap();
    world.store.commit(batch.into_writes()).unwrap();
    let before = world.store.reads();
    world.relay.handle_batch_written();
    world.collect();
    assert_eq!(world.store.reads(), before, "with the lock");
    posted(world.answer(posting, request));
    for link in links {
        let posts = world.delivered(link);
        assert_eq!(bodies(&posts), [b"commit"]);
        world.acknowledge(link, posts[0].sequence);
    }
    world.write();
    for space in [KeySpace::Posts, KeySpace::Entries, KeySpace::Holders] {
        assert_eq!(world.store.count(space).unwrap(), 0, "{}", space.name());
    }
}

#[test]
fn a_commit_that_the_disk_did_not_take_comes_once_when_it_does() {
    let mut world = World::new();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    let link = world.posting_link(&group);
    world.store.set_fault(Some(Fault::Full));
    let commit = world.commit_request(&group, post_id(1), &group.mailboxes, b"");
    let answer = world.ask_durably(link, commit.clone());
    assert_eq!(code(Some(answer)), ErrorCode::Unavailable);
    let (bobs, _) = world.login(&bob);
    let again = world.tell(link, commit.clone());
    world.try_again();
    assert_eq!(code(world.answer(link, again)), ErrorCode::Unavailable);
    assert!(world.delivered(bobs).is_empty());
    world.store.set_fault(None);
    world.try_again();
    assert!(world.closed.is_empty(), "somebody paid for it");
    assert_eq!(bodies(&world.delivered(bobs)), [b"commit"]);
    let answer = world.ask_durably(link, commit);
    assert_eq!(posted(Some(answer)).epoch, 2);
    assert!(world.delivered(bobs).is_empty());
}

#[test]
fn a_nearly_full_disk_refuses_posts_and_everything_else_goes_on() {
    let mut world = World::new();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    let link = world.posting_link(&group);
    world.ask_durably(link, message(&group, post_id(1), "before"));
    let (alices, _) = world.login(&alice);
    world.store.set_fault(Some(Fault::NearlyFull));
    let answer = world.ask(link, message(&group, post_id(2), "refused"));
    assert_eq!(code(answer), ErrorCode::Unavailable);
    let (bobs, _) = world.login(&bob);
    for at in [alices, bobs] {
        let posts = world.delivered(at);
        assert_eq!(bodies(&posts), [b"before"]);
        world.acknowledge(at, posts[0].sequence);
    }
    world.write();
    assert_eq!(stored(&world, KeySpace::Posts), 0);
    assert!(world.closed.is_empty(), "somebody else paid for it");
    world.store.set_fault(None);
    let answer = world.ask_durably(link, message(&group, post_id(2), "after"));
    posted(Some(answer));
}

#[test]
fn messages_of_the_last_epochs_are_taken_and_older_ones_are_not() {
    let mut world = World::new();
    let alice = world.person("alice@a.example");
    let mut group = world.group(&[&alice]);
    let old = world.posting_link(&group);
    for n in 0..=limits::PAST_EPOCHS {
        let first = Members {
            id: group.id,
            epoch: Epoch(1),
            mailboxes: Vec::new(),
        };
        let answer = world.ask_durably(old, message(&first, post_id(100 + n), "old"));
        posted(Some(answer));
        let link = world.posting_link(&group);
        let commit = world.commit_request(&group, post_id(n), &group.mailboxes, b"");
        let answer = world.ask_durably(link, commit);
        group.epoch = Epoch(posted(Some(answer)).epoch);
    }
    let first = Members {
        id: group.id,
        epoch: Epoch(1),
        mailboxes: Vec::new(),
    };
    let answer = world.ask(old, message(&first, post_id(200), "old"));
    assert_eq!(code(answer), ErrorCode::EpochConflict);
    let link = world.link();
    let authorise = authorise_request(link, group.id, Epoch(1));
    let answer = world.ask(link, authorise);
    assert_eq!(code(answer), ErrorCode::EpochConflict);
}

#[test]
fn a_permission_to_post_is_one_links_and_ends_when_unused() {
    let mut world = World::new();
    let alice = world.person("alice@a.example");
    let group = world.group(&[&alice]);
    let (link, other) = (world.link(), world.link());
    let stolen = authorise_request(other, group.id, group.epoch);
    let answer = world.ask(link, stolen);
    assert_eq!(code(answer), ErrorCode::Unauthorised);
    let answer = world.ask(link, message(&group, post_id(1), "hello"));
    assert_eq!(code(answer), ErrorCode::Unauthorised);
    let link = world.posting_link(&group);
    for n in 0..3 {
        world.wait(Span(limits::POSTING_IDLE.0 / 2));
        posted(Some(
            world.ask_durably(link, message(&group, post_id(n), "hello")),
        ));
    }
    world.wait(limits::POSTING_IDLE);
    let answer = world.ask(link, message(&group, post_id(9), "hello"));
    assert_eq!(code(answer), ErrorCode::Unauthorised);
}

#[test]
fn a_group_is_made_once_and_a_repetition_is_answered() {
    let mut world = World::new();
    let alice = world.person("alice@a.example");
    let (token, other) = (world.token(&alice), world.token(&alice));
    let link = world.link();
    let id = GroupId([4; 16]);
    let create = world.create_request(token, id, &[alice.mailbox]);
    let answer = world.ask_durably(link, create.clone());
    assert_eq!(world.ask_durably(link, create.clone()), answer);
    world.crash();
    let link = world.link();
    assert_eq!(world.ask_durably(link, create), answer);
    let another = world.create_request(other, id, &[alice.mailbox]);
    let answer = world.ask_durably(link, another);
    assert_eq!(code(Some(answer)), ErrorCode::GroupExists);
    let (alices, _) = world.login(&alice);
    assert_eq!(bodies(&world.delivered(alices)), [b"welcome"]);
}

#[test]
fn a_device_that_lost_its_state_fetches_the_group_and_rejoins() {
    let mut world = World::new();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    let link = world.link();
    let exporter = exporter_of(link);
    let fetch = |exporter: &[u8; 32]| {
        let signature = rejoin_key().sign(group.id, PostingAct::Fetch { exporter });
        Ask::FetchGroupInfo(pb::FetchGroupInfo {
            group_id: group.id.to_bytes(),
            signature: Bytes::copy_from_slice(&signature),
        })
    };
    let answer = world.ask(link, fetch(&[0; 32]));
    assert_eq!(code(answer), ErrorCode::Unauthorised);
    let answer = world.ask_durably(link, fetch(&exporter));
    let Answer::GroupInfoFetched(fetched) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(fetched.sealed_group_info, "group info 1");
    let body = Bytes::from_static(b"external commit");
    let act = PostingAct::Rejoin {
        epoch: Epoch(1),
        body: &body,
    };
    let rejoin = Ask::Rejoin(pb::Rejoin {
        group_id: group.id.to_bytes(),
        epoch: 1,
        post_id: post_id(1).to_bytes(),
        next: Some(world.keys(group.id, Epoch(2), &group.mailboxes)),
        next_fan_out_key: Bytes::copy_from_slice(fan_out_key(Epoch(2)).as_bytes()),
        signature: Bytes::copy_from_slice(&rejoin_key().sign(group.id, act)),
        body: body.clone(),
    });
    let first = posted(Some(world.ask_durably(link, rejoin.clone())));
    assert_eq!(first.epoch, 2);
    assert_eq!(posted(Some(world.ask_durably(link, rejoin))), first);
    let (bobs, _) = world.login(&bob);
    assert_eq!(bodies(&world.delivered(bobs)), [b"external commit"]);
}

/// A relay whose mailboxes hold little; one group may have four posts.
fn small_mailboxes() -> World {
    World::with(Config {
        mailbox_posts: 32,
        ..Config::default()
    })
}

/// Everything that waits on a link is acknowledged; gives it.
fn take_all(world: &mut World, link: LinkId) -> Vec<pb::Deliver> {
    let mut taken = Vec::new();
    loop {
        world.write();
        let posts = world.delivered(link);
        let Some(last) = posts.last() else {
            return taken;
        };
        world.acknowledge(link, last.sequence);
        taken.extend(posts);
    }
}

#[test]
fn a_post_that_would_reach_nobody_is_refused_without_a_change() {
    let mut world = small_mailboxes();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    let (alices, _) = world.login(&alice);
    let link = world.posting_link(&group);
    for n in 0..4 {
        posted(Some(
            world.ask_durably(link, message(&group, post_id(n), "hello")),
        ));
        take_all(&mut world, alices);
    }
    let answer = world.ask(link, message(&group, post_id(4), "too much"));
    assert_eq!(code(answer), ErrorCode::MailboxFull);
    assert!(world.delivered(alices).is_empty());
    let (bobs, _) = world.login(&bob);
    assert_eq!(take_all(&mut world, bobs).len(), 4);
    posted(Some(
        world.ask_durably(link, message(&group, post_id(4), "room")),
    ));
}

#[test]
fn whoever_has_no_room_is_taken_out_all_the_same() {
    let mut world = small_mailboxes();
    let (alice, mallory) = (
        world.person("alice@a.example"),
        world.person("mallory@a.example"),
    );
    let group = world.group(&[&alice, &mallory]);
    let (alices, _) = world.login(&alice);
    let link = world.posting_link(&group);
    for n in 0..4 {
        posted(Some(
            world.ask_durably(link, message(&group, post_id(n), "hello")),
        ));
        take_all(&mut world, alices);
    }
    let commit = world.commit_request(&group, post_id(4), &[alice.mailbox], b"");
    posted(Some(world.ask_durably(link, commit)));
    assert_eq!(bodies(&take_all(&mut world, alices)), [b"commit"]);
    let (mallorys, _) = world.login(&mallory);
    assert!(take_all(&mut world, mallorys)[4].missed);
}

#[test]
fn others_get_what_one_has_no_room_for_and_that_one_is_told() {
    let mut world = small_mailboxes();
    let people: Vec<Person> = ["alice@a.example", "bob@a.example", "carol@a.example"]
        .iter()
        .map(|address| world.person(address))
        .collect();
    let group = world.group(&people.iter().collect::<Vec<_>>());
    let (alices, _) = world.login(&people[0]);
    let (bobs, _) = world.login(&people[1]);
    let link = world.posting_link(&group);
    for n in 0..10 {
        posted(Some(
            world.ask_durably(link, message(&group, post_id(n), "hello")),
        ));
        for there in [alices, bobs] {
            let taken = take_all(&mut world, there);
            assert_eq!(taken.len(), 1);
            assert!(!taken[0].missed);
        }
    }
    assert_eq!(world.relay.counts().left_out, 6);
    // It lasts, and is told once, behind what was there before it.
    world.crash();
    let (carols, _) = world.login(&people[2]);
    let taken = take_all(&mut world, carols);
    let missed: Vec<bool> = taken.iter().map(|post| post.missed).collect();
    assert_eq!(missed, [false, false, false, false, true]);
    let mark = &taken[4];
    assert_eq!(mark.group_id, group.id.to_bytes());
    assert!(mark.body.is_empty());
    assert_eq!(mark.kind(), PostKind::Message);
    for space in [KeySpace::Entries, KeySpace::Posts, KeySpace::Holders] {
        assert_eq!(stored(&world, space), 0, "{}", space.name());
    }
    let link = world.posting_link(&group);
    posted(Some(
        world.ask_durably(link, message(&group, post_id(10), "room")),
    ));
    assert!(!take_all(&mut world, carols)[0].missed);
}

#[test]
fn what_is_missed_after_a_device_was_told_is_told_again() {
    let mut world = small_mailboxes();
    let people: Vec<Person> = ["alice@a.example", "bob@a.example", "carol@a.example"]
        .iter()
        .map(|address| world.person(address))
        .collect();
    let group = world.group(&people.iter().collect::<Vec<_>>());
    let (alices, _) = world.login(&people[0]);
    let (bobs, _) = world.login(&people[1]);
    let (carols, _) = world.login(&people[2]);
    let link = world.posting_link(&group);
    let mut sent = 0;
    let mut post = |world: &mut World, times: u64| {
        for _ in 0..times {
            sent += 1;
            posted(Some(
                world.ask_durably(link, message(&group, post_id(sent), "hello")),
            ));
            take_all(world, alices);
            take_all(world, bobs);
        }
    };
    // Carol's device is there, and acknowledges nothing.
    post(&mut world, 5);
    let missed = |world: &mut World| {
        world.write();
        let posts = world.delivered(carols);
        posts.iter().filter(|post| post.missed).count()
    };
    assert_eq!(missed(&mut world), 1);
    post(&mut world, 1);
    assert_eq!(missed(&mut world), 1);
}

#[test]
fn one_group_fills_no_mailbox_for_the_others() {
    let mut world = small_mailboxes();
    let (alice, bob, mallory) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
        world.person("mallory@a.example"),
    );
    let friends = world.group(&[&alice, &bob]);
    let strangers = world.group(&[&mallory, &bob]);
    let (mallorys, _) = world.login(&mallory);
    let link = world.posting_link(&strangers);
    let refused = (0..20)
        .filter(|n| {
            let answer = world.ask_durably(link, message(&strangers, post_id(*n), "spam"));
            take_all(&mut world, mallorys);
            matches!(answer, Answer::Error(_))
        })
        .count();
    assert_eq!(refused, 16);
    let link = world.posting_link(&friends);
    for n in 0..3 {
        posted(Some(
            world.ask_durably(link, message(&friends, post_id(n), "hello")),
        ));
    }
}

#[test]
fn what_an_earlier_version_stored_is_counted_and_delivered() {
    let mut world = small_mailboxes();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    let link = world.posting_link(&group);
    for n in 0..3 {
        posted(Some(
            world.ask_durably(link, message(&group, post_id(n), "hello")),
        ));
    }
    for (space, at, value) in world.store.records() {
        if space == KeySpace::Entries {
            let old = EntryRecord {
                group_id: Bytes::new(),
                ..EntryRecord::decode(value).unwrap()
            };
            let write = Write {
                space,
                key: at.as_ref().into(),
                value: Some(old.encode_to_vec().into()),
            };
            world.store.commit(vec![write]).unwrap();
        }
    }
    world.crash();
    let (bobs, _) = world.login(&bob);
    assert_eq!(take_all(&mut world, bobs).len(), 3);
}

#[test]
fn what_nobody_fetches_for_thirty_days_is_deleted() {
    let mut world = World::new();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    let link = world.posting_link(&group);
    world.ask_durably(link, message(&group, post_id(1), "hello"));
    world.wait(Span::days(29));
    world.write();
    assert_eq!(stored(&world, KeySpace::Entries), 2);
    world.wait(Span::days(2));
    world.write();
    for space in [KeySpace::Entries, KeySpace::Posts, KeySpace::Holders] {
        assert_eq!(stored(&world, space), 0, "{}", space.name());
    }
    assert_eq!(stored(&world, KeySpace::PostIds), 0);
}

#[test]
fn the_store_holds_no_list_of_a_groups_mailboxes_in_the_clear() {
    let mut world = World::new();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    let link = world.posting_link(&group);
    world.ask_durably(link, message(&group, post_id(1), "hello"));
    for (space, _, value) in world.store.records() {
        let names = |mailbox: &[u8]| value.windows(16).any(|window| window == mailbox);
        let both = group
            .mailboxes
            .iter()
            .all(|mailbox| names(mailbox.as_bytes()));
        assert!(!both, "a record of {} names both", space.name());
    }
}

#[test]
fn malformed_requests_are_refused_and_change_nothing() {
    let mut world = World::new();
    let alice = world.person("alice@a.example");
    let group = world.group(&[&alice]);
    let link = world.posting_link(&group);
    let before = world.store.records();
    let Ask::Post(good) = message(&group, PostId([1; 16]), "hello") else {
        unreachable!()
    };
    let short = Bytes::from_static(b"short");
    let bad = [
        pb::Post {
            post_id: short.clone(),
            ..good.clone()
        },
        pb::Post {
            group_id: short.clone(),
            ..good.clone()
        },
        pb::Post {
            body: Bytes::new(),
            ..good.clone()
        },
        pb::Post {
            body: vec![0; limits::POST_BYTES + 1].into(),
            ..good.clone()
        },
        pb::Post {
            kind: PostKind::Welcome.into(),
            ..good.clone()
        },
        pb::Post {
            kind: 77,
            ..good.clone()
        },
        pb::Post {
            kind: PostKind::Commit.into(),
            ..good.clone()
        },
        pb::Post {
            epoch: u64::MAX,
            ..good.clone()
        },
    ];
    for post in bad {
        let answer = world.ask(link, Ask::Post(post));
        assert!(matches!(answer, Some(Answer::Error(_))), "{answer:?}");
    }
    world.write();
    assert_eq!(world.store.records(), before);
}

#[test]
fn a_signal_goes_to_who_is_there_and_leaves_nothing_behind() {
    let mut world = World::new();
    let (alice, bob, carol) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
        world.person("carol@a.example"),
    );
    let group = world.group(&[&alice, &bob, &carol]);
    let (bobs, _) = world.login(&bob);
    world.write();
    world.delivered(bobs);
    let before = world.store.records();
    let signal = |body: &[u8]| {
        Ask::Signal(pb::Signal {
            group_id: group.id.to_bytes(),
            epoch: group.epoch.0,
            body: Bytes::copy_from_slice(body),
        })
    };
    // Whoever may not post there may not tell either.
    let stranger = world.link();
    let answer = world.ask(stranger, signal(b"psst"));
    assert_eq!(code(answer), ErrorCode::Unauthorised);
    let link = world.posting_link(&group);
    for body in [b"".as_slice(), &[0; limits::SIGNAL_BYTES + 1]] {
        let answer = world.ask(link, signal(body));
        assert_eq!(code(answer), ErrorCode::TooLarge);
    }
    world.signalled(bobs);
    for _ in 0..5 {
        let answer = world.ask(link, signal(b"typing"));
        assert_eq!(answer, Some(Answer::Done(pb::Done {})));
    }
    // Too many at once are not handed on.
    assert_eq!(world.signalled(bobs), [Bytes::from_static(b"typing")]);
    world.wait(limits::SIGNALS_APART);
    world.ask(link, signal(b"again"));
    assert_eq!(world.signalled(bobs), [Bytes::from_static(b"again")]);
    // Carol, who was away, gets nothing; nothing was written.
    let (carols, _) = world.login(&carol);
    assert!(world.delivered(carols).len() <= 1);
    assert!(world.signalled(carols).is_empty());
    world.write();
    assert_eq!(world.store.records().len(), before.len());
}
