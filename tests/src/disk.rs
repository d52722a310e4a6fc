//! The disk of a simulated relay: in memory, or the store that people run, on a disk that
//! fails.
//!
//! **Elsewhere**: how disks fail is `waxwing_relay::store::faulty`.
//!
//! **Always**: clones are one store. After a crash there is what was committed.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use waxwing_relay::store::{
    KeySpace, Record, Store, StoreError, Usage, Write,
    embedded::EmbeddedStore,
    faulty::{Chances, FaultyDisk, Lost},
    memory::{Fault, MemoryStore},
};

/// Below this much room the disk is nearly full.
const MIN_FREE_BYTES: u64 = 1 << 20;

/// A relay's store.
#[derive(Clone)]
pub enum RelayStore {
    /// In memory.
    Memory(MemoryStore),
    /// In files.
    Files(Arc<Files>),
}

/// A store in files, on a disk that fails.
pub struct Files {
    directory: tempfile::TempDir,
    disk: FaultyDisk,
    /// `None` only while the relay starts again.
    open: RwLock<Option<EmbeddedStore>>,
}

impl RelayStore {
    /// An empty store in files, whose faults follow from `seed`.
    pub fn on_disk(seed: u64) -> Self {
        let directory = crate::world::folder();
        let disk = FaultyDisk::new(seed);
        let files = Files {
            open: RwLock::new(Some(open(&directory, &disk))),
            directory,
            disk,
        };
        Self::Files(Arc::new(files))
    }

    /// The relay's process ends at once, or its machine's power.
    pub(crate) fn crash(&self, lost: Option<Lost>) {
        let Self::Files(files) = self else { return };
        let mut slot = files.open.write();
        // What the relay does while it ends is not done any more.
        files.disk.set_dead(true);
        *slot = None;
        if let Some(lost) = lost {
            files.disk.lose(files.directory.path(), lost).unwrap();
        }
        files.disk.set_chances(Chances::default());
        files.disk.set_dead(false);
        *slot = Some(open(&files.directory, &files.disk));
    }

    /// A copy in memory.
    pub(crate) fn copy(&self) -> MemoryStore {
        match self {
            Self::Memory(store) => store.copy(),
            Self::Files(_) => {
                let copy = MemoryStore::new();
                let writes = self.records().into_iter().map(|(space, key, value)| Write {
                    space,
                    key: waxwing_relay::store::key(&[&key]),
                    value: Some(value),
                });
                copy.commit(writes.collect()).unwrap();
                copy
            }
        }
    }

    /// Everything in it.
    pub(crate) fn records(&self) -> Vec<(KeySpace, Bytes, Bytes)> {
        let Self::Memory(store) = self else {
            let spaces = KeySpace::ALL.into_iter();
            return spaces
                .flat_map(|space| {
                    let records = self.scan(space, &[], None, usize::MAX).unwrap();
                    records
                        .into_iter()
                        .map(move |(key, value)| (space, key, value))
                })
                .collect();
        };
        store.records()
    }

    /// The disk is full from now on, or has room again.
    pub(crate) fn set_full(&self, full: bool) {
        match self {
            Self::Memory(store) => store.set_fault(full.then_some(Fault::Full)),
            Self::Files(files) => files.disk.set_room(full.then_some(0)),
        }
    }

    /// Calls of the disk fail by chance from now on.
    pub(crate) fn set_chances(&self, chances: Chances) {
        if let Self::Files(files) = self {
            files.disk.set_chances(chances);
        }
    }

    fn with<T>(
        &self,
        memory: impl FnOnce(&MemoryStore) -> T,
        files: impl FnOnce(&EmbeddedStore) -> T,
    ) -> T {
        match self {
            Self::Memory(store) => memory(store),
            Self::Files(open) => files(open.open.read().as_ref().expect("it is open")),
        }
    }
}

fn open(directory: &tempfile::TempDir, disk: &FaultyDisk) -> EmbeddedStore {
    let store = EmbeddedStore::open_on(directory.path(), Arc::new(disk.clone())).unwrap();
    store.set_min_free_bytes(MIN_FREE_BYTES);
    store
}

impl Store for RelayStore {
    fn get(&self, space: KeySpace, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.with(|store| store.get(space, key), |store| store.get(space, key))
    }

    fn scan(
        &self,
        space: KeySpace,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.with(
            |store| store.scan(space, from, to, limit),
            |store| store.scan(space, from, to, limit),
        )
    }

    fn last_key(&self, space: KeySpace) -> Result<Option<Bytes>, StoreError> {
        self.with(|store| store.last_key(space), |store| store.last_key(space))
    }

    fn count(&self, space: KeySpace) -> Result<u64, StoreError> {
        self.with(|store| store.count(space), |store| store.count(space))
    }

    fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.commit(writes),
            Self::Files(files) => files
                .open
                .read()
                .as_ref()
                .expect("it is open")
                .commit(writes),
        }
    }

    fn next_batch(&self) -> u64 {
        self.with(Store::next_batch, Store::next_batch)
    }

    fn commit_numbered(&self, number: u64, writes: Vec<Write>) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.commit_numbered(number, writes),
            Self::Files(files) => files
                .open
                .read()
                .as_ref()
                .expect("it is open")
                .commit_numbered(number, writes),
        }
    }

    fn is_nearly_full(&self) -> bool {
        self.with(Store::is_nearly_full, Store::is_nearly_full)
    }

    fn generation(&self) -> u64 {
        self.with(Store::generation, Store::generation)
    }

    fn maintain(&self, now_ms: u64) -> Result<(), StoreError> {
        self.with(
            |store| store.maintain(now_ms),
            |store| store.maintain(now_ms),
        )
    }

    fn erase_now(&self) -> Result<(), StoreError> {
        self.with(Store::erase_now, Store::erase_now)
    }

    fn usage(&self) -> Usage {
        self.with(Store::usage, Store::usage)
    }
}
