//! The check of a store: nothing wrong where nothing is, and each damage by its kind.

use bytes::Bytes;
use waxwing_relay::store::check::{Damage, check};
use waxwing_relay::store::{KeySpace, Store as _, Write, key, memory::MemoryStore};

use crate::world::{World, message, post_id};

/// A store in which something of everything waits.
fn busy() -> World {
    let mut world = World::new();
    let (alice, bob) = (
        world.person("alice@a.example"),
        world.person("bob@a.example"),
    );
    let group = world.group(&[&alice, &bob]);
    let link = world.posting_link(&group);
    for n in 0..5 {
        world.ask_durably(link, message(&group, post_id(n), "hello"));
    }
    let (alices, _) = world.login(&alice);
    let posts = world.delivered(alices);
    world.acknowledge(alices, posts[1].sequence);
    world.write();
    world
}

fn first(store: &MemoryStore, space: KeySpace) -> (Bytes, Bytes) {
    store.scan(space, &[], None, 1).unwrap().remove(0)
}

fn put(store: &MemoryStore, space: KeySpace, at: &[u8], value: Option<Bytes>) {
    let key = key(&[at]);
    store.commit(vec![Write { space, key, value }]).unwrap();
}

/// What the check says after one record was changed.
fn after(space: KeySpace, value: Option<&'static [u8]>) -> Vec<(KeySpace, Damage)> {
    let world = busy();
    let (at, _) = first(&world.store, space);
    put(&world.store, space, &at, value.map(Bytes::from_static));
    let report = check(&world.store).unwrap();
    assert!(report.damaged() > 0);
    report.damage.into_keys().collect()
}

#[test]
fn a_sound_store_passes() {
    let world = busy();
    let report = check(&world.store).unwrap();
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    assert_eq!(report.records, world.store.records().len() as u64);
}

#[test]
fn a_record_that_does_not_decode_is_reported() {
    // No protobuf message: a field of an unknown wire type.
    const GARBAGE: &[u8] = &[0xff, 0xff, 0xff];
    for space in [
        KeySpace::Addresses,
        KeySpace::Accounts,
        KeySpace::Devices,
        KeySpace::Mailboxes,
        KeySpace::Groups,
        KeySpace::GroupSequences,
        KeySpace::PostIds,
        KeySpace::TokenBudgets,
        KeySpace::Posts,
    ] {
        let found = after(space, Some(GARBAGE));
        assert!(
            found.contains(&(space, Damage::Malformed)),
            "{}: {found:?}",
            space.name()
        );
    }
}

#[test]
fn a_key_of_the_wrong_length_is_reported() {
    let world = busy();
    put(&world.store, KeySpace::Groups, b"short", Some(Bytes::new()));
    let report = check(&world.store).unwrap();
    assert_eq!(report.damaged(), 1);
}

#[test]
fn a_post_that_is_missing_is_reported() {
    let found = after(KeySpace::Posts, None);
    assert_eq!(found, [(KeySpace::Entries, Damage::Dangling)]);
}

#[test]
fn a_post_that_nobody_waits_for_is_reported() {
    let world = busy();
    let (_, post) = first(&world.store, KeySpace::Posts);
    put(
        &world.store,
        KeySpace::Posts,
        &999u64.to_be_bytes(),
        Some(post),
    );
    let report = check(&world.store).unwrap();
    let found: Vec<_> = report.damage.into_iter().collect();
    assert_eq!(found, [((KeySpace::Posts, Damage::Orphaned), 1)]);
}

#[test]
fn counts_that_contradict_each_other_are_reported() {
    let found = after(KeySpace::Entries, None);
    assert!(
        found
            .iter()
            .any(|(_, damage)| matches!(damage, Damage::Inconsistent | Damage::Orphaned)),
        "{found:?}"
    );
    let found = after(KeySpace::Mailboxes, None);
    assert!(
        found.contains(&(KeySpace::Devices, Damage::Dangling)),
        "{found:?}"
    );
    let found = after(KeySpace::Accounts, None);
    assert!(
        found.contains(&(KeySpace::Addresses, Damage::Dangling)),
        "{found:?}"
    );
}
