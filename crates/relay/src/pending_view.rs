//! The store as the relay sees it: what is on disk, and on top of it what the relay has
//! decided but not written yet.
//!
//! **Elsewhere**: the caller writes, outside the relay's lock: [`crate::batch`].
//!
//! **Always**: a read returns what was decided, whether or not it is on disk yet. When a batch
//! fails, everything since the last durable one is forgotten, so that nothing depends on
//! changes that were lost.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bytes::Bytes;
use prost::Message;

use crate::{
    damage::Damaged,
    store::{Key, KeySpace, Record, Store, StoreError, Write, behind, key},
};

type Layer = BTreeMap<(KeySpace, Key), Option<Bytes>>;

/// The store with what is pending laid over it.
pub(crate) struct PendingView<S> {
    store: Arc<S>,
    /// Being written now.
    writing: Layer,
    is_writing: bool,
    /// Gathered for the next batch.
    gathered: Layer,
    /// Bytes of what is put as bytes: the large part of both.
    writing_bytes: usize,
    gathered_bytes: usize,
    /// Whether writing the last batch failed.
    is_failing: bool,
    /// The store's generation that this shows.
    generation: u64,
    pub(crate) damaged: Damaged,
}

impl<S: Store> PendingView<S> {
    pub(crate) fn new(store: Arc<S>) -> Self {
        Self {
            generation: store.generation(),
            store,
            writing: Layer::new(),
            is_writing: false,
            gathered: Layer::new(),
            writing_bytes: 0,
            gathered_bytes: 0,
            is_failing: false,
            damaged: Damaged::default(),
        }
    }

    pub(crate) const fn store(&self) -> &Arc<S> {
        &self.store
    }

    pub(crate) fn put(&mut self, space: KeySpace, key: Key, value: &impl Message) {
        self.gathered
            .insert((space, key), Some(value.encode_to_vec().into()));
    }

    pub(crate) fn put_bytes(&mut self, space: KeySpace, key: Key, value: Bytes) {
        self.gathered_bytes = self.gathered_bytes.saturating_add(value.len());
        self.gathered.insert((space, key), Some(value));
    }

    /// Bytes that were put as bytes and are not on disk yet; too many where one was
    /// replaced.
    pub(crate) const fn pending_bytes(&self) -> usize {
        self.writing_bytes.saturating_add(self.gathered_bytes)
    }

    pub(crate) fn delete(&mut self, space: KeySpace, key: Key) {
        self.gathered.insert((space, key), None);
    }

    pub(crate) fn get_bytes(
        &self,
        space: KeySpace,
        key: &[u8],
    ) -> Result<Option<Bytes>, StoreError> {
        let at = (space, Key::from_slice(key));
        for layer in [&self.gathered, &self.writing] {
            if let Some(value) = layer.get(&at) {
                return Ok(value.clone());
            }
        }
        self.store.get(space, key)
    }

    pub(crate) fn get<T: Message + Default>(
        &self,
        space: KeySpace,
        key: &[u8],
    ) -> Result<Option<T>, StoreError> {
        self.get_bytes(space, key)?
            .map(|value| decode(space, value))
            .transpose()
    }

    /// Whether a record whose key begins with `prefix` is not on disk as it is now.
    pub(crate) fn has_pending(&self, space: KeySpace, prefix: &[u8]) -> bool {
        let from = Bound::Included((space, Key::from_slice(prefix)));
        [&self.gathered, &self.writing].into_iter().any(|layer| {
            let mut range = layer.range((from.clone(), Bound::Unbounded));
            range
                .next()
                .is_some_and(|((at, key), _)| *at == space && key.starts_with(prefix))
        })
    }

    /// The first `limit` records whose keys begin with `prefix` and are not below `from`.
    pub(crate) fn scan_prefix(
        &self,
        space: KeySpace,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let to = behind(prefix);
        self.scan(space, from, to.as_deref(), limit)
    }

    /// As [`Store::scan`].
    pub(crate) fn scan(
        &self,
        space: KeySpace,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        // What is pending may delete records of the store, so that many more must be read.
        let mut pending: BTreeMap<&[u8], Option<&Bytes>> = BTreeMap::new();
        let start = Bound::Included((space, Key::from_slice(from)));
        for layer in [&self.writing, &self.gathered] {
            let range = layer.range((start.clone(), Bound::Unbounded));
            let within = range.take_while(|((at, key), _)| {
                *at == space && to.is_none_or(|to| key.as_slice() < to)
            });
            for ((_, key), value) in within {
                pending.insert(key.as_slice(), value.as_ref());
            }
        }
        let deleted = pending.values().filter(|value| value.is_none()).count();
        let stored = self
            .store
            .scan(space, from, to, limit.saturating_add(deleted))?;
        if pending.is_empty() {
            return Ok(stored);
        }
        // Behind the last record that was read there may be more of the store; pending
        // ones behind it must wait, or the order would have holes.
        let end = (stored.len() == limit.saturating_add(deleted))
            .then(|| stored.last().map(|(key, _)| key.clone()))
            .flatten();
        let mut merged: BTreeMap<Bytes, Bytes> = stored.into_iter().collect();
        for (key, value) in pending {
            if end.as_ref().is_some_and(|end| key > end.as_ref()) {
                continue;
            }
            match value {
                Some(value) => merged.insert(Bytes::copy_from_slice(key), value.clone()),
                None => merged.remove(key),
            };
        }
        Ok(merged.into_iter().take(limit).collect())
    }

    /// The next records from `from` on, for a sweep: no more than `most` of the store and of
    /// each layer are touched, however many there are. Gives with them where to go on;
    /// `None` at the end.
    pub(crate) fn slice(
        &self,
        space: KeySpace,
        from: &[u8],
        most: usize,
    ) -> Result<(Vec<Record>, Option<Key>), StoreError> {
        let stored = self.store.scan(space, from, None, most)?;
        // What lies at this key or behind it has not been seen.
        let mut next = stored
            .last()
            .filter(|_| stored.len() >= most)
            .map(|(at, _)| key(&[at, &[0]]));
        let mut merged: BTreeMap<Bytes, Option<Bytes>> = stored
            .into_iter()
            .map(|(at, value)| (at, Some(value)))
            .collect();
        let start = Bound::Included((space, Key::from_slice(from)));
        for layer in [&self.writing, &self.gathered] {
            let range = layer.range((start.clone(), Bound::Unbounded));
            let within = range.take_while(|((at, _), _)| *at == space);
            for (seen, ((_, at), value)) in within.enumerate() {
                if next.as_ref().is_some_and(|next| at >= next) {
                    break;
                }
                if seen >= most {
                    next = Some(at.clone());
                    break;
                }
                merged.insert(Bytes::copy_from_slice(at), value.clone());
            }
        }
        let records = merged
            .into_iter()
            .filter(|(at, _)| {
                next.as_ref()
                    .is_none_or(|next| at.as_ref() < next.as_slice())
            })
            .filter_map(|(at, value)| Some((at, value?)))
            .collect();
        Ok((records, next))
    }

    pub(crate) fn has_gathered(&self) -> bool {
        !self.gathered.is_empty()
    }

    /// Begins a batch: what was gathered is being written.
    pub(crate) fn begin(&mut self) -> Vec<Write> {
        self.is_writing = true;
        self.writing = std::mem::take(&mut self.gathered);
        self.writing_bytes = std::mem::take(&mut self.gathered_bytes);
        self.rebuild_batch()
    }

    /// The batch that was begun, once more.
    pub(crate) fn rebuild_batch(&self) -> Vec<Write> {
        let writing = self.writing.iter();
        writing
            .map(|((space, key), value)| Write {
                space: *space,
                key: key.clone(),
                value: value.clone(),
            })
            .collect()
    }

    /// Whether a batch is being written, and nobody has said what it came to.
    pub(crate) const fn is_writing(&self) -> bool {
        self.is_writing
    }

    /// Whether more may be stored: there is room, and earlier changes could be written.
    pub(crate) fn has_space(&self) -> bool {
        !self.is_failing && !self.store.is_nearly_full()
    }

    /// The batch is on disk.
    pub(crate) fn written(&mut self) {
        self.is_failing = false;
        self.is_writing = false;
        self.writing.clear();
        self.writing_bytes = 0;
    }

    /// The batch is not on disk yet, and will be tried again.
    pub(crate) const fn delayed(&mut self) {
        self.is_failing = true;
    }

    /// The batch never gets onto the disk: what stood on it goes as well.
    pub(crate) fn forget_unwritten(&mut self) {
        self.is_failing = false;
        self.is_writing = false;
        self.writing.clear();
        self.gathered.clear();
        self.writing_bytes = 0;
        self.gathered_bytes = 0;
    }

    /// The store's generation that this shows.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// A store that was opened again may show what a failed batch left behind: whether what
    /// was read before no longer counts.
    pub(crate) fn follow_generation(&mut self) -> bool {
        let generation = self.store.generation();
        std::mem::replace(&mut self.generation, generation) != generation
    }
}

/// Decodes a record; one that does not decode is damage, not absence.
pub(crate) fn decode<T: Message + Default>(space: KeySpace, value: Bytes) -> Result<T, StoreError> {
    T::decode(value)
        .map_err(|error| StoreError::Damaged(format!("a record of {}: {error}", space.name())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    fn keys(view: &PendingView<MemoryStore>, limit: usize) -> Vec<u8> {
        view.scan(KeySpace::Entries, &[], None, limit)
            .unwrap()
            .into_iter()
            .map(|(key, _)| key[0])
            .collect()
    }

    fn put(view: &mut PendingView<MemoryStore>, at: u8) {
        view.put_bytes(KeySpace::Entries, key(&[&[at]]), Bytes::from_static(b"x"));
    }

    #[test]
    fn slices_see_every_record_once_whatever_is_pending() {
        let store = Arc::new(MemoryStore::new());
        let mut view = PendingView::new(Arc::clone(&store));
        for at in (0..60).step_by(2) {
            put(&mut view, at);
        }
        store.commit(view.begin()).unwrap();
        view.written();
        for at in (1..60).step_by(6) {
            put(&mut view, at);
        }
        for at in 10..30 {
            view.delete(KeySpace::Entries, key(&[&[at]]));
        }
        let _ = view.begin();
        put(&mut view, 59);
        view.delete(KeySpace::Entries, key(&[&[40]]));
        for most in 1..10 {
            let mut from = Key::new();
            let mut seen = Vec::new();
            loop {
                let (records, next) = view.slice(KeySpace::Entries, &from, most).unwrap();
                assert!(records.len() <= 3 * most, "{} of {most}", records.len());
                seen.extend(records.into_iter().map(|(key, _)| key[0]));
                let Some(next) = next else { break };
                assert!(next > from);
                from = next;
            }
            assert_eq!(seen, keys(&view, 100), "{most} at a time");
        }
    }

    #[test]
    fn pending_records_are_seen_in_order_and_failed_ones_never() {
        let store = Arc::new(MemoryStore::new());
        let mut view = PendingView::new(Arc::clone(&store));
        for at in [1, 3, 5] {
            put(&mut view, at);
        }
        let writes = view.begin();
        store.commit(writes).unwrap();
        view.written();
        put(&mut view, 2);
        view.delete(KeySpace::Entries, key(&[&[3]]));
        let writes = view.begin();
        assert_eq!(writes.len(), 2);
        put(&mut view, 4);
        view.delete(KeySpace::Entries, key(&[&[1]]));
        assert_eq!(keys(&view, 10), [2, 4, 5]);
        assert_eq!(keys(&view, 2), [2, 4]);
        view.forget_unwritten();
        assert_eq!(keys(&view, 10), [1, 3, 5]);
    }
}
