//! What every store must do, to be run against each of them, here and in other crates.
//!
//! **Elsewhere**: behaviour of one store alone is tested beside that store.
//!
//! **Always**: a store that passes can be used by the relay.

use std::fmt::Debug;

use bytes::Bytes;

use super::{Key, KeySpace, Store, StoreError, Write, behind, key};

/// What a store did that none may do.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// It failed.
    #[error(transparent)]
    Failed(#[from] StoreError),
    /// It gave something else than it must.
    #[error("{rule}: {expected} was expected, and the store gave {given}")]
    Differs {
        /// What every store does.
        rule: &'static str,
        /// What it had to give.
        expected: String,
        /// What it gave.
        given: String,
    },
}

/// Runs the suite on an empty store; `reopen` opens it again, as after a crash.
///
/// # Errors
/// The first violation.
pub fn run<S: Store>(store: S, reopen: impl Fn(S) -> S) -> Result<(), Violation> {
    what_is_committed_is_read(&store)?;
    the_last_of_two_writes_counts(&store)?;
    scans_are_ordered_and_bounded(&store)?;
    every_key_space_is_its_own(&store)?;
    let store = reopen(store);
    what_was_committed_is_there_after_a_crash(&store)?;
    posts_are_deleted_one_by_one(&store)?;
    batches_are_committed_in_the_order_of_their_numbers(&store)?;
    let store = reopen(store);
    let rule = "posts are there after a crash, unless they were deleted";
    has(rule, &store, KeySpace::Posts, &2u64.to_be_bytes(), "post 2")?;
    has_not(rule, &store, KeySpace::Posts, &1u64.to_be_bytes())?;
    same("a store begins with generation 0", &store.generation(), &0)
}

fn put(space: KeySpace, at: &[u8], value: &[u8]) -> Write {
    Write {
        space,
        key: key(&[at]),
        value: Some(Bytes::copy_from_slice(value)),
    }
}

fn delete(space: KeySpace, at: &[u8]) -> Write {
    Write {
        space,
        key: key(&[at]),
        value: None,
    }
}

fn same<T: PartialEq + Debug>(
    rule: &'static str,
    given: &T,
    expected: &T,
) -> Result<(), Violation> {
    if given == expected {
        return Ok(());
    }
    Err(Violation::Differs {
        rule,
        expected: format!("{expected:?}"),
        given: format!("{given:?}"),
    })
}

fn has(
    rule: &'static str,
    store: &impl Store,
    space: KeySpace,
    at: &[u8],
    value: &str,
) -> Result<(), Violation> {
    let expected = Some(Bytes::copy_from_slice(value.as_bytes()));
    same(rule, &store.get(space, at)?, &expected)
}

fn has_not(
    rule: &'static str,
    store: &impl Store,
    space: KeySpace,
    at: &[u8],
) -> Result<(), Violation> {
    same(rule, &store.get(space, at)?, &None)
}

fn scans(
    store: &impl Store,
    (from, to): (&[u8], Option<&[u8]>),
    limit: usize,
    expected: &[[u8; 2]],
) -> Result<(), Violation> {
    let records = store.scan(KeySpace::Entries, from, to, limit)?;
    let keys: Vec<Key> = records.iter().map(|(at, _)| key(&[at])).collect();
    let expected: Vec<Key> = expected.iter().map(|at| key(&[at])).collect();
    same("scans are ordered and bounded", &keys, &expected)
}

fn what_is_committed_is_read(store: &impl Store) -> Result<(), Violation> {
    let rule = "what is committed is read";
    let space = KeySpace::Accounts;
    has_not(rule, store, space, b"a")?;
    same(rule, &store.last_key(space)?, &None)?;
    store.commit(vec![put(space, b"a", b"1"), put(space, b"b", b"")])?;
    has(rule, store, space, b"a", "1")?;
    has(rule, store, space, b"b", "")?;
    same(
        rule,
        &store.last_key(space)?,
        &Some(Bytes::from_static(b"b")),
    )?;
    Ok(store.commit(Vec::new())?)
}

fn the_last_of_two_writes_counts(store: &impl Store) -> Result<(), Violation> {
    let rule = "the last of two writes counts";
    let space = KeySpace::Groups;
    store.commit(vec![
        put(space, b"kept", b"1"),
        put(space, b"kept", b"2"),
        put(space, b"gone", b"1"),
        delete(space, b"gone"),
        delete(space, b"back"),
        put(space, b"back", b"3"),
    ])?;
    has(rule, store, space, b"kept", "2")?;
    has_not(rule, store, space, b"gone")?;
    has(rule, store, space, b"back", "3")
}

fn scans_are_ordered_and_bounded(store: &impl Store) -> Result<(), Violation> {
    const ALL: [[u8; 2]; 5] = [[1, 255], [2, 0], [2, 1], [2, 255], [3, 0]];
    let [first, of_two @ .., last] = &ALL;
    let [of_two_first, of_two_behind @ ..] = of_two;
    let writes = ALL.iter().rev();
    store.commit(writes.map(|at| put(KeySpace::Entries, at, at)).collect())?;
    let two = behind(&[2]);
    scans(store, (&[], None), 10, &ALL)?;
    scans(store, (first, Some(of_two_first)), 10, &[*first])?;
    scans(store, (&[2], two.as_deref()), 10, of_two)?;
    scans(store, (&[2], two.as_deref()), 1, &[*of_two_first])?;
    scans(store, (&[2, 1], two.as_deref()), 10, of_two_behind)?;
    scans(store, (&[2, 255, 0], None), 10, &[*last])?;
    scans(store, (&[4], None), 10, &[])?;
    scans(store, (&[2, 1], Some(&[2, 1])), 10, &[])?;
    scans(store, (&[3], Some(&[1])), 10, &[])?;
    scans(store, (&[], None), 0, &[])?;
    let found = store.last_key(KeySpace::Entries)?;
    let expected = Some(Bytes::copy_from_slice(last));
    same("the last key is found", &found, &expected)
}

fn every_key_space_is_its_own(store: &impl Store) -> Result<(), Violation> {
    // The store keeps its own records in `Meta`.
    let spaces = KeySpace::ALL
        .iter()
        .filter(|space| **space != KeySpace::Meta);
    let writes = spaces
        .clone()
        .map(|space| put(*space, &[0xee], space.name().as_bytes()));
    store.commit(writes.collect())?;
    for space in spaces {
        let rule = "every key space is its own";
        has(rule, store, *space, &[0xee], space.name())?;
    }
    Ok(())
}

fn what_was_committed_is_there_after_a_crash(store: &impl Store) -> Result<(), Violation> {
    let rule = "what was committed is there after a crash";
    has(rule, store, KeySpace::Groups, b"kept", "2")?;
    has_not(rule, store, KeySpace::Groups, b"gone")?;
    let entries = store.scan(KeySpace::Entries, &[], Some(&[0xee]), 10)?;
    same(rule, &entries.len(), &5)
}

fn posts_are_deleted_one_by_one(store: &impl Store) -> Result<(), Violation> {
    let rule = "posts are deleted one by one";
    let at = |number: u64| number.to_be_bytes();
    let writes = (1..=3).map(|n| put(KeySpace::Posts, &at(n), format!("post {n}").as_bytes()));
    store.commit(writes.collect())?;
    let live = store.usage().live_post_bytes;
    store.commit(vec![delete(KeySpace::Posts, &at(1))])?;
    let deleted = store.usage().live_post_bytes < live;
    same(rule, &deleted, &true)?;
    store.erase_now()?;
    store.maintain(1)?;
    let records = store.scan(KeySpace::Posts, &[], Some(&at(9)), 10)?;
    let posts: Vec<Bytes> = records.into_iter().map(|(_, post)| post).collect();
    let left = ["post 2", "post 3"].map(|post| Bytes::copy_from_slice(post.as_bytes()));
    same(rule, &posts, &left.to_vec())
}

fn batches_are_committed_in_the_order_of_their_numbers(
    store: &impl Store,
) -> Result<(), Violation> {
    let rule = "batches are committed in the order of their numbers";
    let space = KeySpace::Groups;
    let next = store.next_batch();
    for number in [next.wrapping_sub(1), next + 1] {
        let refused = store.commit_numbered(number, vec![put(space, b"number", b"no")]);
        let is_refused = matches!(
            refused,
            Err(StoreError::OutOfOrder { given, next: expected })
                if given == number && expected == next
        );
        same(rule, &is_refused, &true)?;
        has_not(rule, store, space, b"number")?;
    }
    store.commit_numbered(next, vec![put(space, b"number", b"yes")])?;
    has(rule, store, space, b"number", "yes")?;
    let is_used = store.next_batch() > next;
    same(rule, &is_used, &true)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::embedded::EmbeddedStore;
    use crate::store::faulty::{Chances, FaultyDisk};
    use crate::store::memory::MemoryStore;
    use crate::store::{Record, StoreError, Usage};

    #[test]
    fn the_memory_store_conforms() {
        run(MemoryStore::new(), |store| store.clone()).unwrap();
    }

    #[test]
    fn the_embedded_store_conforms() {
        let directory = tempfile::tempdir().unwrap();
        let open = || EmbeddedStore::open(directory.path()).unwrap();
        run(open(), |store| {
            drop(store);
            open()
        })
        .unwrap();
    }

    /// A store on a disk that fails now and then: what fails is tried again, and there is
    /// housekeeping before and after everything.
    struct Stubborn(EmbeddedStore);

    impl Stubborn {
        fn keep_up(&self) {
            stubbornly(|| self.0.erase_now());
            stubbornly(|| self.0.maintain(1));
        }
    }

    fn stubbornly<T>(mut work: impl FnMut() -> Result<T, StoreError>) -> T {
        for _ in 0..1000 {
            if let Ok(done) = work() {
                return done;
            }
        }
        panic!("it never worked");
    }

    impl Store for Stubborn {
        fn get(&self, space: KeySpace, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
            self.0.get(space, key)
        }

        fn scan(
            &self,
            space: KeySpace,
            from: &[u8],
            to: Option<&[u8]>,
            limit: usize,
        ) -> Result<Vec<Record>, StoreError> {
            self.0.scan(space, from, to, limit)
        }

        fn last_key(&self, space: KeySpace) -> Result<Option<Bytes>, StoreError> {
            self.0.last_key(space)
        }

        fn count(&self, space: KeySpace) -> Result<u64, StoreError> {
            self.0.count(space)
        }

        fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
            self.keep_up();
            stubbornly(|| self.0.commit(writes.clone()));
            self.keep_up();
            Ok(())
        }

        fn next_batch(&self) -> u64 {
            self.0.next_batch()
        }

        fn commit_numbered(&self, number: u64, writes: Vec<Write>) -> Result<(), StoreError> {
            if number != self.next_batch() {
                return self.0.commit_numbered(number, writes);
            }
            // Each attempt that fails uses up a number.
            self.commit(writes)
        }

        fn is_nearly_full(&self) -> bool {
            self.0.is_nearly_full()
        }

        fn generation(&self) -> u64 {
            self.0.generation()
        }

        fn maintain(&self, now_ms: u64) -> Result<(), StoreError> {
            stubbornly(|| self.0.maintain(now_ms));
            Ok(())
        }

        fn erase_now(&self) -> Result<(), StoreError> {
            stubbornly(|| self.0.erase_now());
            Ok(())
        }

        fn usage(&self) -> Usage {
            self.0.usage()
        }
    }

    #[test]
    fn the_embedded_store_conforms_on_a_disk_that_fails() {
        for seed in 0..8 {
            let directory = tempfile::tempdir().unwrap();
            let disk = FaultyDisk::new(seed);
            let open = || {
                let open = || EmbeddedStore::open_on(directory.path(), Arc::new(disk.clone()));
                let store = stubbornly(open);
                store.set_min_free_bytes(0);
                Stubborn(store)
            };
            let store = open();
            disk.set_chances(Chances {
                fails: 150,
                read_fails: 0,
            });
            run(store, |store| {
                drop(store);
                open()
            })
            .unwrap();
            assert!(disk.calls() > 50);
        }
    }

    #[test]
    fn key_space_names_differ() {
        let names: std::collections::HashSet<_> =
            KeySpace::ALL.iter().map(|space| space.name()).collect();
        assert_eq!(names.len(), KeySpace::ALL.len());
    }
}
