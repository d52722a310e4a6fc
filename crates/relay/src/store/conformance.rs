//! What every store must do, run against each of them.
//!
//! **Elsewhere**: behaviour of one store alone is tested beside that store.
//!
//! **Always**: a store that passes can be used by the relay.

use bytes::Bytes;

use super::{KeySpace, Store, Write, behind, key};

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

fn keys(store: &impl Store, from: &[u8], to: Option<&[u8]>, limit: usize) -> Vec<Bytes> {
    let records = store.scan(KeySpace::Entries, from, to, limit).unwrap();
    records.into_iter().map(|(key, _)| key).collect()
}

/// Runs the suite on an empty store; `reopen` opens it again, as after a crash.
pub(crate) fn run<S: Store>(store: S, reopen: impl Fn(S) -> S) {
    what_is_committed_is_read(&store);
    the_last_of_two_writes_counts(&store);
    scans_are_ordered_and_bounded(&store);
    every_key_space_is_its_own(&store);
    let store = reopen(store);
    what_was_committed_is_there_after_a_crash(&store);
    posts_are_deleted_one_by_one(&store);
    let store = reopen(store);
    assert_eq!(
        store
            .get(KeySpace::Posts, &2u64.to_be_bytes())
            .unwrap()
            .unwrap(),
        "post 2"
    );
    assert!(
        store
            .get(KeySpace::Posts, &1u64.to_be_bytes())
            .unwrap()
            .is_none()
    );
    assert_eq!(store.generation(), 0);
}

fn what_is_committed_is_read(store: &impl Store) {
    assert!(store.get(KeySpace::Accounts, b"a").unwrap().is_none());
    assert!(store.last_key(KeySpace::Accounts).unwrap().is_none());
    store
        .commit(vec![
            put(KeySpace::Accounts, b"a", b"1"),
            put(KeySpace::Accounts, b"b", b""),
        ])
        .unwrap();
    assert_eq!(store.get(KeySpace::Accounts, b"a").unwrap().unwrap(), "1");
    assert_eq!(store.get(KeySpace::Accounts, b"b").unwrap().unwrap(), "");
    assert_eq!(store.last_key(KeySpace::Accounts).unwrap().unwrap(), "b");
    store.commit(Vec::new()).unwrap();
}

fn the_last_of_two_writes_counts(store: &impl Store) {
    store
        .commit(vec![
            put(KeySpace::Groups, b"kept", b"1"),
            put(KeySpace::Groups, b"kept", b"2"),
            put(KeySpace::Groups, b"gone", b"1"),
            delete(KeySpace::Groups, b"gone"),
            delete(KeySpace::Groups, b"back"),
            put(KeySpace::Groups, b"back", b"3"),
        ])
        .unwrap();
    assert_eq!(store.get(KeySpace::Groups, b"kept").unwrap().unwrap(), "2");
    assert!(store.get(KeySpace::Groups, b"gone").unwrap().is_none());
    assert_eq!(store.get(KeySpace::Groups, b"back").unwrap().unwrap(), "3");
}

fn scans_are_ordered_and_bounded(store: &impl Store) {
    let all = [[1, 255], [2, 0], [2, 1], [2, 255], [3, 0]].map(|at| Bytes::copy_from_slice(&at));
    let writes = all.iter().rev();
    store
        .commit(writes.map(|at| put(KeySpace::Entries, at, at)).collect())
        .unwrap();
    assert_eq!(keys(store, &[], None, 10), all);
    assert_eq!(keys(store, &[2], behind(&[2]).as_deref(), 10), all[1..4]);
    assert_eq!(keys(store, &[2], behind(&[2]).as_deref(), 2), all[1..3]);
    assert_eq!(keys(store, &[2, 1], None, 10), all[2..]);
    assert!(keys(store, &[4], None, 10).is_empty());
    assert!(keys(store, &[2, 1], Some(&[2, 1]), 10).is_empty());
    assert!(keys(store, &[3], Some(&[1]), 10).is_empty());
    assert!(keys(store, &[], None, 0).is_empty());
    assert_eq!(
        store.last_key(KeySpace::Entries).unwrap().unwrap().as_ref(),
        [3, 0]
    );
}

fn every_key_space_is_its_own(store: &impl Store) {
    let writes = KeySpace::ALL.iter().filter(|space| {
        // The store keeps its own records there.
        **space != KeySpace::Meta
    });
    let writes: Vec<Write> = writes
        .map(|space| put(*space, &[0xee], space.name().as_bytes()))
        .collect();
    store.commit(writes.clone()).unwrap();
    for write in writes {
        assert_eq!(
            store.get(write.space, &[0xee]).unwrap().unwrap(),
            write.space.name()
        );
    }
}

fn what_was_committed_is_there_after_a_crash(store: &impl Store) {
    assert_eq!(store.get(KeySpace::Groups, b"kept").unwrap().unwrap(), "2");
    assert!(store.get(KeySpace::Groups, b"gone").unwrap().is_none());
    assert_eq!(keys(store, &[], Some(&[0xee]), 10).len(), 5);
}

fn posts_are_deleted_one_by_one(store: &impl Store) {
    let at = |number: u64| number.to_be_bytes();
    let writes = (1..=3).map(|n| put(KeySpace::Posts, &at(n), format!("post {n}").as_bytes()));
    store.commit(writes.collect()).unwrap();
    let live = store.usage().live_post_bytes;
    store.commit(vec![delete(KeySpace::Posts, &at(1))]).unwrap();
    assert!(store.usage().live_post_bytes < live);
    store.erase_now().unwrap();
    store.maintain(1).unwrap();
    let records = store.scan(KeySpace::Posts, &[], Some(&at(9)), 10).unwrap();
    let posts: Vec<Bytes> = records.into_iter().map(|(_, post)| post).collect();
    assert_eq!(posts, ["post 2", "post 3"]);
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
        run(MemoryStore::new(), |store| store.clone());
    }

    #[test]
    fn the_embedded_store_conforms() {
        let directory = tempfile::tempdir().unwrap();
        let open = || EmbeddedStore::open(directory.path()).unwrap();
        run(open(), |store| {
            drop(store);
            open()
        });
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
            });
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
