//! A store in memory, for simulations and tests.
//!
//! **Elsewhere**: the store that survives the process is [`super::embedded`]; the conformance
//! suite checks that both behave alike.
//!
//! **Always**: clones share one content, so that a relay can "crash" (be dropped) and another
//! can be opened on what was committed by then. What the relay had not committed is lost, as
//! on a real disk.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Key, KeySpace, Record, Store, StoreError, Usage, Write};

/// A store in memory.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Content>>,
}

#[derive(Default)]
struct Content {
    records: BTreeMap<(KeySpace, Key), Bytes>,
    commits: u64,
    reads: u64,
    fault: Option<Fault>,
    damaged: BTreeSet<(KeySpace, Key)>,
}

/// What goes wrong from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// New posts are not to be taken: the disk is nearly full.
    NearlyFull,
    /// Commits are refused as on a full disk.
    Full,
    /// Commits and reads fail.
    Broken,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes commits (and reads) fail, or work again.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.shared.lock().fault = fault;
    }

    /// Makes a record one that cannot be read as it was written.
    pub fn damage(&self, space: KeySpace, key: &[u8]) {
        let mut content = self.shared.lock();
        content.damaged.insert((space, Key::from_slice(key)));
    }

    /// How many batches were committed.
    pub fn commits(&self) -> u64 {
        self.shared.lock().commits
    }

    /// How often it was read, each record of a scan counted.
    pub fn reads(&self) -> u64 {
        self.shared.lock().reads
    }

    /// A store of its own with the same content: the disk as it is now.
    #[must_use]
    pub fn copy(&self) -> Self {
        let content = self.shared.lock();
        let copy = Content {
            records: content.records.clone(),
            commits: content.commits,
            ..Content::default()
        };
        Self {
            shared: Arc::new(Mutex::new(copy)),
        }
    }

    /// Everything in it, for tests that search what a seized disk would show.
    pub fn records(&self) -> Vec<(KeySpace, Bytes, Bytes)> {
        let content = self.shared.lock();
        content
            .records
            .iter()
            .map(|((space, key), value)| (*space, Bytes::copy_from_slice(key), value.clone()))
            .collect()
    }
}

impl Store for MemoryStore {
    fn get(&self, space: KeySpace, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let mut content = self.shared.lock();
        content.readable()?;
        content.reads += 1;
        let place = (space, Key::from_slice(key));
        content.sound(&place)?;
        Ok(content.records.get(&place).cloned())
    }

    fn scan(
        &self,
        space: KeySpace,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let mut content = self.shared.lock();
        content.readable()?;
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        let start = Bound::Included((space, Key::from_slice(from)));
        let found: Vec<Record> = content
            .records
            .range((start, Bound::Unbounded))
            .take_while(|((at, key), _)| *at == space && to.is_none_or(|to| key.as_slice() < to))
            .take(limit)
            .map(|(place, value)| {
                content.sound(place)?;
                Ok((Bytes::copy_from_slice(&place.1), value.clone()))
            })
            .collect::<Result<_, StoreError>>()?;
        content.reads += 1 + found.len() as u64;
        Ok(found)
    }

    fn last_key(&self, space: KeySpace) -> Result<Option<Bytes>, StoreError> {
        let content = self.shared.lock();
        content.readable()?;
        let from = Bound::Included((space, Key::new()));
        let of_space = content.records.range((from, Bound::Unbounded));
        let last = of_space.take_while(|((at, _), _)| *at == space).last();
        Ok(last.map(|((_, key), _)| Bytes::copy_from_slice(key)))
    }

    fn count(&self, space: KeySpace) -> Result<u64, StoreError> {
        let content = self.shared.lock();
        content.readable()?;
        let of_space = content.records.keys().filter(|(at, _)| *at == space);
        Ok(of_space.count() as u64)
    }

    fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.shared.lock().commit(writes)
    }

    fn next_batch(&self) -> u64 {
        self.shared.lock().commits + 1
    }

    fn commit_numbered(&self, number: u64, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut content = self.shared.lock();
        let next = content.commits + 1;
        if number != next {
            return Err(StoreError::OutOfOrder {
                given: number,
                next,
            });
        }
        content.commit(writes)
    }

    fn check_room(&self, _writes: &[Write]) -> Result<(), StoreError> {
        self.shared.lock().check_room()
    }

    fn is_nearly_full(&self) -> bool {
        self.shared.lock().fault == Some(Fault::NearlyFull)
    }

    fn generation(&self) -> u64 {
        0
    }

    fn maintain(&self, _now_ms: u64) -> Result<(), StoreError> {
        Ok(())
    }

    fn erase_now(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn usage(&self) -> Usage {
        let content = self.shared.lock();
        let size = |((_, key), value): (&(KeySpace, Key), &Bytes)| (key.len() + value.len()) as u64;
        Usage {
            bytes_on_disk: content.records.iter().map(size).sum(),
            live_post_bytes: content
                .records
                .iter()
                .filter(|((space, _), _)| *space == KeySpace::Posts)
                .map(size)
                .sum(),
        }
    }
}

impl Content {
    fn check_room(&self) -> Result<(), StoreError> {
        match self.fault {
            Some(Fault::Full) => Err(StoreError::Full { available: 0 }),
            Some(Fault::Broken) => Err(StoreError::Io("a simulated fault".into())),
            Some(Fault::NearlyFull) | None => Ok(()),
        }
    }

    fn commit(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.check_room()?;
        for write in writes {
            self.damaged.remove(&(write.space, write.key.clone()));
            match write.value {
                Some(value) => self.records.insert((write.space, write.key), value),
                None => self.records.remove(&(write.space, write.key)),
            };
        }
        self.commits += 1;
        Ok(())
    }

    fn readable(&self) -> Result<(), StoreError> {
        match self.fault {
            Some(Fault::Broken) => Err(StoreError::Io("a simulated fault".into())),
            Some(Fault::NearlyFull | Fault::Full) | None => Ok(()),
        }
    }

    fn sound(&self, place: &(KeySpace, Key)) -> Result<(), StoreError> {
        if self.damaged.contains(place) {
            return Err(StoreError::Damaged("a simulated fault".into()));
        }
        Ok(())
    }
}
