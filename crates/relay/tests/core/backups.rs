//! What an account keeps on the relay.

use bytes::Bytes;
use waxwing_protocol::{
    limits,
    pb::{self, ErrorCode, client_frame::Body as Ask, relay_frame::Body as Answer},
    time::Span,
};
use waxwing_relay::{
    rate_limit::Rate,
    relay::{Config, LinkId},
    store::{KeySpace, Store as _, check::check, memory::Fault},
};

use crate::world::{World, code};

fn put(id: u8, index: u32, part: &[u8]) -> Ask {
    Ask::PutBackup(pb::PutBackup {
        backup_id: Bytes::copy_from_slice(&[id; 16]),
        index,
        part: Bytes::copy_from_slice(part),
    })
}

fn finish(id: u8, parts: u32) -> Ask {
    Ask::FinishBackup(pb::FinishBackup {
        backup_id: Bytes::copy_from_slice(&[id; 16]),
        parts,
    })
}

fn fetch(index: u32) -> Ask {
    Ask::FetchBackup(pb::FetchBackup { index })
}

const DONE: Answer = Answer::Done(pb::Done {});

/// Puts and finishes a backup of these parts.
fn back_up(world: &mut World, link: LinkId, id: u8, parts: &[&[u8]]) {
    for (index, part) in (0..).zip(parts) {
        assert_eq!(world.ask_durably(link, put(id, index, part)), DONE);
    }
    let finish = finish(id, u32::try_from(parts.len()).unwrap());
    assert_eq!(world.ask_durably(link, finish), DONE);
}

fn fetched(world: &mut World, link: LinkId, index: u32) -> pb::BackupFetched {
    match world.ask(link, fetch(index)) {
        Some(Answer::BackupFetched(fetched)) => fetched,
        other => panic!("{other:?}"),
    }
}

fn parts_stored(world: &World) -> u64 {
    world.store.count(KeySpace::Backups).unwrap()
}

#[test]
fn a_finished_backup_is_fetched_whole_even_after_a_crash() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    // In any order.
    assert_eq!(world.ask_durably(link, put(1, 1, b"two")), DONE);
    assert_eq!(world.ask_durably(link, put(1, 0, b"one")), DONE);
    assert_eq!(
        code(world.ask(link, fetch(0))),
        ErrorCode::BackupUnknown,
        "it is not finished"
    );
    assert_eq!(world.ask_durably(link, finish(1, 2)), DONE);
    world.crash();
    let (link, _) = world.login(&alice);
    let first = fetched(&mut world, link, 0);
    assert_eq!((first.part.as_ref(), first.parts), (&b"one"[..], 2));
    assert_eq!(first.made_at_ms, world.now.0);
    assert_eq!(first.backup_id, vec![1; 16]);
    assert_eq!(fetched(&mut world, link, 1).part, "two");
    assert_eq!(code(world.ask(link, fetch(2))), ErrorCode::BackupUnknown);
    assert_eq!(check(&world.store).unwrap().damaged(), 0);
}

#[test]
fn a_backup_with_a_hole_or_a_part_too_many_is_not_finished() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    world.ask_durably(link, put(1, 0, b"one"));
    world.ask_durably(link, put(1, 2, b"three"));
    for parts in [0, 1, 2, 3, 4, u32::MAX] {
        assert_eq!(
            code(world.ask(link, finish(1, parts))),
            ErrorCode::BackupUnknown,
            "{parts}"
        );
    }
    world.ask_durably(link, put(1, 1, b"two"));
    assert_eq!(world.ask_durably(link, finish(1, 3)), DONE);
}

#[test]
fn a_backup_is_kept_whole_until_the_next_one_is_complete() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    back_up(&mut world, link, 1, &[b"old 1", b"old 2", b"old 3"]);
    world.ask_durably(link, put(2, 0, b"new"));
    assert_eq!(fetched(&mut world, link, 2).part, "old 3");
    // The batch that replaces it is lost in a crash: the old one stays, whole.
    world.store.set_fault(Some(Fault::Full));
    let answer = world.ask_durably(link, finish(2, 1));
    assert_eq!(code(Some(answer)), ErrorCode::Unavailable);
    world.store.set_fault(None);
    world.crash();
    let (link, _) = world.login(&alice);
    assert_eq!(fetched(&mut world, link, 2).part, "old 3");
    assert_eq!(world.ask_durably(link, finish(2, 1)), DONE);
    assert_eq!(fetched(&mut world, link, 0).part, "new");
    assert_eq!(parts_stored(&world), 1);
    assert_eq!(check(&world.store).unwrap().damaged(), 0);
}

#[test]
fn another_upload_drops_the_unfinished_one() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    for index in 0..10 {
        world.ask_durably(link, put(1, index, b"first"));
    }
    assert_eq!(parts_stored(&world), 10);
    world.ask_durably(link, put(2, 0, b"second"));
    assert_eq!(parts_stored(&world), 1);
    assert_eq!(
        code(world.ask(link, finish(1, 10))),
        ErrorCode::BackupUnknown
    );
    assert_eq!(world.ask_durably(link, finish(2, 1)), DONE);
}

#[test]
fn an_unfinished_backup_is_dropped_after_a_day_without_a_part() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    back_up(&mut world, link, 1, &[b"finished"]);
    world.ask_durably(link, put(2, 0, b"one"));
    world.wait(Span::hours(23));
    world.ask_durably(link, put(2, 1, b"two"));
    world.wait(Span::hours(23));
    world.write();
    assert_eq!(parts_stored(&world), 3);
    world.wait(Span::hours(1));
    world.write();
    assert_eq!(parts_stored(&world), 1);
    assert_eq!(world.store.count(KeySpace::BackupUploads).unwrap(), 0);
    assert_eq!(fetched(&mut world, link, 0).part, "finished");
}

#[test]
fn finishing_a_backup_again_changes_nothing() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    back_up(&mut world, link, 1, &[b"one", b"two"]);
    assert_eq!(world.ask_durably(link, finish(1, 2)), DONE);
    assert_eq!(code(world.ask(link, finish(1, 1))), ErrorCode::Malformed);
    assert_eq!(
        code(world.ask(link, put(1, 0, b"other"))),
        ErrorCode::Malformed
    );
    assert_eq!(fetched(&mut world, link, 0).part, "one");
}

#[test]
fn accounts_have_backups_of_their_own_and_only_with_a_name() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let bob = world.person("bob@example.org");
    let (alices, _) = world.login(&alice);
    let (bobs, _) = world.login(&bob);
    back_up(&mut world, alices, 1, &[b"alice's"]);
    assert_eq!(code(world.ask(bobs, fetch(0))), ErrorCode::BackupUnknown);
    // The same id is another backup.
    back_up(&mut world, bobs, 1, &[b"bob's"]);
    assert_eq!(fetched(&mut world, alices, 0).part, "alice's");
    let anonymous = world.link();
    for ask in [put(1, 0, b"x"), finish(1, 1), fetch(0)] {
        assert_eq!(code(world.ask(anonymous, ask)), ErrorCode::WrongLink);
    }
}

#[test]
fn backups_are_bounded() {
    let mut world = World::with(Config {
        backup_parts: 4,
        unwritten_backup_bytes: limits::BACKUP_PART_BYTES + 1000,
        ..Config::default()
    });
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    let largest = vec![0; limits::BACKUP_PART_BYTES];
    let too_large = vec![0; limits::BACKUP_PART_BYTES + 1];
    for ask in [
        put(1, 0, &too_large),
        put(1, 4, b"x"),
        put(1, u32::MAX, b"x"),
    ] {
        assert_eq!(code(world.ask(link, ask)), ErrorCode::TooLarge);
    }
    assert_eq!(code(world.ask(link, put(1, 0, b""))), ErrorCode::Malformed);
    let short = Ask::PutBackup(pb::PutBackup {
        backup_id: Bytes::from_static(b"short"),
        index: 0,
        part: Bytes::from_static(b"x"),
    });
    assert_eq!(code(world.ask(link, short)), ErrorCode::Malformed);
    let first = world.tell(link, put(1, 0, &largest));
    assert_eq!(
        code(world.ask(link, put(1, 1, &largest))),
        ErrorCode::RateLimited,
        "too much is not on disk yet"
    );
    world.write();
    assert_eq!(world.answer(link, first), Some(DONE));
    assert_eq!(world.ask_durably(link, put(1, 1, &largest)), DONE);
    world.store.set_fault(Some(Fault::NearlyFull));
    assert_eq!(
        code(world.ask(link, put(1, 2, b"x"))),
        ErrorCode::Unavailable
    );
    // What makes room is not refused.
    assert_eq!(world.ask_durably(link, finish(1, 2)), DONE);
}

#[test]
fn an_account_puts_and_fetches_only_so_often() {
    let rate = Rate {
        burst: 2,
        every: Span::minutes(1),
    };
    let mut world = World::with(Config {
        backup_puts_per_account: rate,
        backup_fetches_per_account: rate,
        ..Config::default()
    });
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    back_up(&mut world, link, 1, &[b"one", b"two"]);
    assert_eq!(
        code(world.ask(link, put(2, 0, b"x"))),
        ErrorCode::RateLimited
    );
    fetched(&mut world, link, 0);
    fetched(&mut world, link, 1);
    assert_eq!(code(world.ask(link, fetch(0))), ErrorCode::RateLimited);
    world.wait(Span::minutes(1));
    fetched(&mut world, link, 0);
    assert_eq!(world.ask_durably(link, put(2, 0, b"x")), DONE);
}

#[test]
fn a_largest_backup_is_kept() {
    let mut world = World::new();
    let alice = world.person("alice@example.org");
    let (link, _) = world.login(&alice);
    for index in 0..limits::BACKUP_PARTS {
        assert_eq!(
            world.ask_durably(link, put(1, index, &index.to_be_bytes())),
            DONE
        );
    }
    assert_eq!(
        world.ask_durably(link, finish(1, limits::BACKUP_PARTS)),
        DONE
    );
    let last = limits::BACKUP_PARTS - 1;
    assert_eq!(fetched(&mut world, link, last).part, last.to_be_bytes()[..]);
}
