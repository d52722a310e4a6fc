//! How far a local store follows the log: the number of its last batch, and that record's hash.
//!
//! **Elsewhere**: the store itself keeps the number ([`Store::next_batch`]).
//!
//! **Always**: the hash is written in the batch that it belongs to, by leader and standby
//! alike, so that their stores stay equal and a crash separates neither from its batch.

use bytes::Bytes;
use waxwing_relay::store::{Key, KeySpace, Store, StoreError, Write};

use crate::record::{Record, RecordError, RecordHash};

/// Under which key of [`KeySpace::Meta`] the hash is kept.
const KEPT_AT: &[u8] = b"cluster";

/// The place of a local store in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The number of the store's last batch.
    pub number: u64,
    /// The hash of that record; zero where the store has none from a log.
    pub hash: RecordHash,
    /// Whether the store has taken part in a cluster.
    pub is_member: bool,
}

/// Why a record cannot be applied here.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Its bytes.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It continues another history than the one that this store has.
    #[error(
        "batch {number} of the log does not follow what this node has: it needs the store of a \
         node that is right"
    )]
    Diverged {
        /// Of the record.
        number: u64,
    },
    /// The local store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Chain {
    /// Reads where a store is.
    pub fn read(store: &impl Store) -> Result<Self, StoreError> {
        let kept = store.get(KeySpace::Meta, KEPT_AT)?;
        let hash = match &kept {
            None => RecordHash::default(),
            Some(kept) => RecordHash(kept.as_ref().try_into().map_err(|_| {
                StoreError::Damaged("its place in the cluster's log is not readable".into())
            })?),
        };
        Ok(Self {
            number: store.next_batch() - 1,
            hash,
            is_member: kept.is_some(),
        })
    }

    /// Commits a record's batch locally. `encoded` are the record's bytes.
    pub(crate) fn apply(
        &mut self,
        store: &impl Store,
        record: Record,
        encoded: &[u8],
    ) -> Result<(), ApplyError> {
        let number = record.number;
        if number != self.number + 1 || record.previous != self.hash {
            return Err(ApplyError::Diverged { number });
        }
        let hash = RecordHash::of(encoded);
        let mut writes = record.writes;
        writes.push(Write {
            space: KeySpace::Meta,
            key: Key::from_slice(KEPT_AT),
            value: Some(Bytes::copy_from_slice(&hash.0)),
        });
        store.commit_numbered(number, writes)?;
        *self = Self {
            number,
            hash,
            is_member: true,
        };
        Ok(())
    }
}

/// SHA-256 over everything in a store: equal on two nodes that are at the same number.
pub fn digest(store: &impl Store) -> Result<[u8; 32], StoreError> {
    use sha2::{Digest as _, Sha256};

    const PAGE: usize = 1000;
    let mut hash = Sha256::new();
    for space in KeySpace::ALL {
        let mut from = Key::new();
        loop {
            let page = store.scan(space, &from, None, PAGE)?;
            for (key, value) in &page {
                hash.update(space.name());
                for part in [key, value] {
                    hash.update((part.len() as u64).to_be_bytes());
                    hash.update(part);
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => {
                    // The first key that is greater.
                    from = Key::from_slice(last);
                    from.push(0);
                }
                _ => break,
            }
        }
    }
    Ok(hash.finalize().into())
}
