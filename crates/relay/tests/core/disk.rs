//! A disk that is full, fails or has damaged records: nobody is disconnected, and one
//! record costs what it is about.

use bytes::Bytes;
use waxwing_protocol::pb::{self, ErrorCode, relay_frame::Body as Answer};
use waxwing_protocol::time::Span;
use waxwing_relay::relay::{Config, LinkId, SLICE_MOST};
use waxwing_relay::store::{KeySpace, Store as _, Write, key, memory::Fault};

use crate::world::{Members, Person, World, code, message, post_id};

fn bodies(posts: &[pb::Deliver]) -> Vec<&[u8]> {
    posts.iter().map(|post| post.body.as_ref()).collect()
}

/// Alice and Bob, and a link that posts to both.
fn couple() -> (World, Members, [Person; 2], LinkId) {
    let mut world = World::new();
    let people = [
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    ];
    let group = world.group(&[&people[0], &people[1]]);
    let link = world.posting_link(&group);
    (world, group, people, link)
}

fn keys(world: &World, space: KeySpace) -> Vec<Bytes> {
    let records = world.store.scan(space, &[], None, 10_000).unwrap();
    records.into_iter().map(|(key, _)| key).collect()
}

fn is_empty(world: &World, space: KeySpace) -> bool {
    let records = world.store.records();
    !records.iter().any(|(at, ..)| *at == space)
}

#[test]
fn a_batch_that_a_full_disk_refuses_costs_only_its_posts() {
    let (mut world, group, [alice, bob], link) = couple();
    world.ask_durably(link, message(&group, post_id(1), "before"));
    let (alices, _) = world.login(&alice);
    let (bobs, _) = world.login(&bob);
    let first = [world.delivered(alices), world.delivered(bobs)];
    world.write();
    world.store.set_fault(Some(Fault::Full));
    // Acknowledgements and a post in one batch.
    for (at, posts) in [alices, bobs].into_iter().zip(&first) {
        world.acknowledge(at, posts[0].sequence);
    }
    let refused = world.tell(link, message(&group, post_id(2), "refused"));
    world.write();
    assert_eq!(code(world.answer(link, refused)), ErrorCode::Unavailable);
    // It stays so, and each is told at once.
    for _ in 0..3 {
        world.try_again();
        let answer = world.ask(link, message(&group, post_id(3), "also refused"));
        assert_eq!(code(answer), ErrorCode::Unavailable);
    }
    assert!(world.closed.is_empty(), "somebody else paid for it");
    assert!(
        !is_empty(&world, KeySpace::Posts),
        "nothing could be written"
    );
    for at in [alices, bobs] {
        world.delivered(at);
    }
    // There is room again: what was acknowledged goes without being said again.
    world.store.set_fault(None);
    world.try_again();
    assert!(is_empty(&world, KeySpace::Posts));
    assert!(is_empty(&world, KeySpace::Entries));
    let answer = world.ask_durably(link, message(&group, post_id(2), "refused"));
    assert!(matches!(answer, Answer::Posted(_)), "{answer:?}");
    for at in [alices, bobs] {
        assert_eq!(bodies(&world.delivered(at)), [b"refused"]);
    }
    assert!(world.closed.is_empty());
}

#[test]
fn a_store_that_cannot_be_read_for_a_while_disconnects_nobody() {
    let (mut world, group, [alice, _], link) = couple();
    for n in 0..400 {
        world.ask_durably(link, message(&group, post_id(n), "post"));
    }
    let (alices, _) = world.login(&alice);
    let mut came = world.delivered(alices);
    assert!(came.len() < 400, "the window has no end");
    world.store.set_fault(Some(Fault::Broken));
    world.acknowledge(alices, came.last().unwrap().sequence);
    world.try_again();
    assert!(world.closed.is_empty());
    world.store.set_fault(None);
    for _ in 0..5 {
        world.try_again();
        let more = world.delivered(alices);
        if let Some(last) = more.last() {
            world.acknowledge(alices, last.sequence);
        }
        came.extend(more);
    }
    assert_eq!(came.len(), 400);
    assert!(world.closed.is_empty());
}

#[test]
fn a_damaged_post_is_left_out_and_its_mailbox_gets_the_others() {
    for is_decodable in [false, true] {
        let (mut world, group, people, link) = couple();
        for n in 0..4 {
            world.ask_durably(link, message(&group, post_id(n), &n.to_string()));
        }
        let posts = keys(&world, KeySpace::Posts);
        if is_decodable {
            let garbage = Write {
                space: KeySpace::Posts,
                key: key(&[&posts[1]]),
                value: Some(Bytes::from_static(&[0xff; 3])),
            };
            world.store.commit(vec![garbage]).unwrap();
        } else {
            world.store.damage(KeySpace::Posts, &posts[1]);
        }
        for person in &people {
            let (at, _) = world.login(person);
            let came = world.delivered(at);
            assert_eq!(bodies(&came), [b"0", b"2", b"3"]);
            world.acknowledge(at, came[2].sequence);
            world.write();
        }
        assert!(world.closed.is_empty());
        assert_eq!(world.relay.counts().damaged, 1, "each is counted once");
        for space in [KeySpace::Posts, KeySpace::Entries, KeySpace::Holders] {
            assert!(is_empty(&world, space), "{} are left", space.name());
        }
    }
}

#[test]
fn a_damaged_entry_is_left_out_and_its_mailbox_gets_the_others() {
    let (mut world, group, [alice, bob], link) = couple();
    for n in 0..4 {
        world.ask_durably(link, message(&group, post_id(n), &n.to_string()));
    }
    world.crash();
    let entries = keys(&world, KeySpace::Entries);
    let mut alices = entries
        .iter()
        .filter(|key| key.starts_with(alice.mailbox.as_bytes()));
    world
        .store
        .damage(KeySpace::Entries, alices.nth(1).unwrap());
    for (person, expected) in [
        (&alice, &["0", "2", "3"][..]),
        (&bob, &["0", "1", "2", "3"]),
    ] {
        let (at, _) = world.login(person);
        assert_eq!(
            bodies(&world.delivered(at)),
            expected
                .iter()
                .map(|text| text.as_bytes())
                .collect::<Vec<_>>()
        );
    }
    assert!(world.closed.is_empty());
    assert!(world.relay.counts().damaged > 0);
}

#[test]
fn damaged_records_keep_nothing_behind_them_from_expiring() {
    let (mut world, group, _, link) = couple();
    for n in 0..4 {
        world.ask_durably(link, message(&group, post_id(n), &n.to_string()));
    }
    let entries = keys(&world, KeySpace::Entries);
    assert_eq!(entries.len(), 8);
    let garbage = Write {
        space: KeySpace::Entries,
        key: key(&[&entries[0]]),
        value: Some(Bytes::from_static(&[0xff; 3])),
    };
    world.store.commit(vec![garbage]).unwrap();
    world.store.damage(KeySpace::Entries, &entries[2]);
    world.crash();
    world.wait(Span::days(31));
    for _ in 0..20 {
        world.try_again();
    }
    let left = world.store.records();
    let left = left
        .iter()
        .filter(|(space, ..)| *space == KeySpace::Entries);
    let left: Vec<&Bytes> = left.map(|(_, key, _)| key).collect();
    assert_eq!(left, [&entries[0], &entries[2]]);
    assert!(world.relay.counts().damaged >= 2);
}

#[test]
fn what_failed_batches_held_is_free_again() {
    let mut world = World::with(Config {
        unwritten_bytes: 2_000,
        ..Config::default()
    });
    let people = [
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    ];
    let group = world.group(&[&people[0], &people[1]]);
    let link = world.posting_link(&group);
    for n in 0..10 {
        world.store.set_fault(None);
        world.try_again();
        world.store.set_fault(Some(Fault::Full));
        let refused = world.tell(link, message(&group, post_id(n), "refused"));
        world.write();
        assert_eq!(code(world.answer(link, refused)), ErrorCode::Unavailable);
    }
    world.store.set_fault(None);
    world.try_again();
    let answer = world.ask_durably(link, message(&group, post_id(99), "taken"));
    assert!(matches!(answer, Answer::Posted(_)), "{answer:?}");
}

#[test]
fn a_damaged_mailbox_keeps_no_post_from_other_members() {
    let mut world = World::new();
    let people = ["alice", "bob", "carol"].map(|name| world.person(&format!("{name}@a.example")));
    let group = world.group(&people.each_ref());
    world
        .store
        .damage(KeySpace::Mailboxes, people[1].mailbox.as_bytes());
    world.crash();
    let link = world.posting_link(&group);
    let before = world.store.reads();
    let answer = world.ask_durably(link, message(&group, post_id(1), "hello"));
    assert!(matches!(answer, Answer::Posted(_)), "{answer:?}");
    assert!(world.store.reads() - before < 50, "it is read for ever");
    for person in [&people[0], &people[2]] {
        let (at, _) = world.login(person);
        assert_eq!(bodies(&world.delivered(at)), [b"hello"]);
    }
    assert_eq!(world.relay.counts().damaged, 1);
}

#[test]
fn a_damaged_record_of_the_relays_own_keeps_it_from_nothing() {
    for is_decodable in [false, true] {
        let (mut world, group, people, link) = couple();
        world.ask_durably(link, message(&group, post_id(1), "before"));
        world.wait(Span::minutes(31));
        let own = keys(&world, KeySpace::Meta);
        assert!(own.len() >= 2, "{own:?}");
        for at in own {
            if is_decodable {
                let garbage = Write {
                    space: KeySpace::Meta,
                    key: key(&[&at]),
                    value: Some(Bytes::from_static(&[0xff; 3])),
                };
                world.store.commit(vec![garbage]).unwrap();
            } else {
                world.store.damage(KeySpace::Meta, &at);
            }
        }
        world.crash();
        assert!(world.relay.counts().damaged >= 2);
        let link = world.posting_link(&group);
        let answer = world.ask_durably(link, message(&group, post_id(2), "after"));
        assert!(matches!(answer, Answer::Posted(_)), "{answer:?}");
        for person in &people {
            let (at, _) = world.login(person);
            assert_eq!(bodies(&world.delivered(at)), [&b"before"[..], b"after"]);
        }
    }
}

#[test]
fn what_could_not_be_read_is_tried_again_in_small_pieces() {
    let (mut world, group, [alice, bob], link) = couple();
    for n in 0..200 {
        world.ask_durably(link, message(&group, post_id(n), "post"));
    }
    let devices = [&alice, &bob].map(|person| world.login(person).0);
    let came = devices.map(|at| world.delivered(at));
    world.store.set_fault(Some(Fault::Broken));
    for (at, posts) in devices.into_iter().zip(&came) {
        world.acknowledge(at, posts.last().unwrap().sequence);
    }
    world.store.set_fault(None);
    world.now = world.now.after(Span::seconds(1));
    let mut before = world.store.reads();
    world.relay.begin_sweep();
    assert_eq!(world.store.reads(), before, "all at once");
    while world.relay.sweep_slice(world.now) {
        let read = world.store.reads() - before;
        assert!(read <= SLICE_MOST as u64, "{read} at once");
        before = world.store.reads();
    }
    world.write();
    for space in [KeySpace::Posts, KeySpace::Entries, KeySpace::Holders] {
        assert!(is_empty(&world, space), "{} are left", space.name());
    }
}

#[test]
fn a_full_disk_is_not_written_to_for_a_login() {
    let (mut world, _, [alice, _], _) = couple();
    world.crash();
    world.store.set_fault(Some(Fault::NearlyFull));
    let before = world.store.commits();
    world.login(&alice);
    assert_eq!(world.store.commits(), before);
}

#[test]
fn damaged_post_ids_keep_no_others_from_being_deleted() {
    let (mut world, group, _, link) = couple();
    for n in 0..6 {
        world.ask_durably(link, message(&group, post_id(n), "post"));
    }
    let ids = keys(&world, KeySpace::PostIds);
    world.store.damage(KeySpace::PostIds, &ids[2]);
    world.wait(Span::days(9));
    for _ in 0..5 {
        world.try_again();
    }
    assert_eq!(world.store.count(KeySpace::PostIds).unwrap(), 1);
}

#[test]
fn a_relay_with_damaged_records_of_few_things_starts() {
    let (mut world, ..) = couple();
    let garbage = |space| Write {
        space,
        key: key(&[&[7; 32]]),
        value: Some(Bytes::from_static(&[0xff; 3])),
    };
    let writes = [KeySpace::Revoked, KeySpace::SmsSpending].map(garbage);
    world.config.texts = Some(waxwing_relay::relay::TextLimits::default());
    world.store.commit(writes.into()).unwrap();
    world.crash();
    assert_eq!(world.relay.counts().damaged, 2);
}
