//! Where openmls keeps its state: a table of our store, inside the transaction of
//! the event that is being handled.
//!
//! **Elsewhere**: the store itself and its encryption: [`crate::store`].
//!
//! **Always**: values are CBOR, so that a later openmls can add fields. A value is
//! cut into chunks and only those that changed are written: openmls hands over all
//! of a group's message secrets for each message, of which few bytes differ.

mod methods;

use std::cell::RefCell;

use ciborium::Value;
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::store::StoreError;

/// `value` is one chunk of a value; `key` is CBOR.
pub(crate) const SCHEMA: &str = "
    CREATE TABLE mls (
        id    INTEGER PRIMARY KEY,
        label INTEGER NOT NULL,
        key   BLOB NOT NULL,
        chunk INTEGER NOT NULL,
        value BLOB NOT NULL,
        UNIQUE (label, key, chunk)
    ) STRICT;
";

/// Bytes of a chunk: four of them fit on a page with what belongs to them.
const CHUNK: usize = 880;

/// What a value is. The numbers are in stores: never used again for another kind.
#[derive(Clone, Copy)]
enum Label {
    KeyPackage = 1,
    SignatureKeyPair = 2,
    EncryptionKeyPair = 3,
    EpochKeyPairs = 4,
    Psk = 5,
    Tree = 6,
    GroupContext = 7,
    InterimTranscriptHash = 8,
    ConfirmationTag = 9,
    JoinConfig = 10,
    OwnLeafNodes = 11,
    GroupState = 12,
    Proposals = 13,
    OwnLeafIndex = 14,
    EpochSecrets = 15,
    ResumptionPsks = 16,
    MessageSecrets = 17,
}

/// The state of all groups, as one transaction sees and changes it.
pub struct Storage<'a> {
    transaction: &'a Transaction<'a>,
    failure: RefCell<Option<StoreError>>,
}

/// The store failed; [`Storage::take_failure`] has the reason. (openmls wraps this
/// in its own errors, out of which it would be hard to get again.)
#[derive(Debug, thiserror::Error)]
#[error("the store failed")]
pub struct StorageError;

impl<'a> Storage<'a> {
    pub(super) const fn new(transaction: &'a Transaction<'a>) -> Self {
        Self {
            transaction,
            failure: RefCell::new(None),
        }
    }

    /// What failed since the last call.
    pub(super) fn take_failure(&self) -> Option<StoreError> {
        self.failure.take()
    }

    /// What a key package of ours can be forgotten by.
    pub(super) fn reference(hash: &impl Serialize) -> Result<Vec<u8>, StoreError> {
        cbor4ii::serde::to_vec(Vec::new(), hash).map_err(|_| unencodable())
    }

    /// Deletes the private keys of one key package.
    pub(super) fn forget_key_package(&self, reference: &[u8]) -> Result<(), StoreError> {
        self.delete_from(Label::KeyPackage as i64, reference, 0)
    }

    /// Deletes the private keys of all key packages.
    pub(super) fn forget_key_packages(&self) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("DELETE FROM mls WHERE label = ?1")?
            .execute([Label::KeyPackage as i64])?;
        Ok(())
    }

    /// Deletes all that is kept of a group, without reading it.
    pub(super) fn delete_group(&self, id: &impl Serialize) -> Result<(), StoreError> {
        let id = cbor4ii::serde::to_vec(Vec::new(), id).map_err(|_| unencodable())?;
        self.transaction.execute(
            "DELETE FROM mls WHERE label >= ?1 AND key = ?2",
            params![Label::Tree as i64, id],
        )?;
        // Their key is a list that begins with the group's id.
        self.transaction.execute(
            "DELETE FROM mls WHERE label = ?1 AND substr(key, 2, length(?2)) = ?2",
            params![Label::EpochKeyPairs as i64, id],
        )?;
        Ok(())
    }

    fn write(
        &self,
        label: Label,
        key: &impl Serialize,
        value: &impl Serialize,
    ) -> Result<(), StorageError> {
        let key = self.encode(key)?;
        let value = self.encode(value)?;
        let written = self.write_chunks(label, &key, &value);
        self.noted(written)
    }

    fn write_chunks(&self, label: Label, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let label = label as i64;
        let mut read = self
            .transaction
            .prepare_cached("SELECT value FROM mls WHERE label = ?1 AND key = ?2 AND chunk = ?3")?;
        let mut kept = 0_i64;
        for chunk in value.chunks(CHUNK) {
            let same = read
                .query_row(params![label, key, kept], |row| {
                    Ok(row.get_ref(0)?.as_blob()? == chunk)
                })
                .optional()?;
            match same {
                Some(true) => {}
                Some(false) => {
                    self.transaction
                        .prepare_cached(
                            "UPDATE mls SET value = ?4 \
                             WHERE label = ?1 AND key = ?2 AND chunk = ?3",
                        )?
                        .execute(params![label, key, kept, chunk])?;
                }
                None => {
                    self.transaction
                        .prepare_cached(
                            "INSERT INTO mls (label, key, chunk, value) VALUES (?1, ?2, ?3, ?4)",
                        )?
                        .execute(params![label, key, kept, chunk])?;
                }
            }
            kept += 1;
        }
        self.delete_from(label, key, kept)
    }

    fn read<V: DeserializeOwned>(
        &self,
        label: Label,
        key: &impl Serialize,
    ) -> Result<Option<V>, StorageError> {
        let key = self.encode(key)?;
        let read = self.read_chunks(label, &key);
        let Some(value) = self.noted(read)? else {
            return Ok(None);
        };
        let decoded = cbor4ii::serde::from_slice(&value).map_err(|_| StoreError::Undecodable {
            found: "MLS state that does not decode",
        });
        self.noted(decoded).map(Some)
    }

    fn read_chunks(
        &self,
        label: Label,
        key: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT value FROM mls WHERE label = ?1 AND key = ?2 ORDER BY chunk")?;
        let mut rows = statement.query(params![label as i64, key])?;
        let mut value = None;
        while let Some(row) = rows.next()? {
            let chunk = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
            value
                .get_or_insert_with(|| Zeroizing::new(Vec::new()))
                .extend_from_slice(chunk);
        }
        Ok(value)
    }

    fn delete(&self, label: Label, key: &impl Serialize) -> Result<(), StorageError> {
        let key = self.encode(key)?;
        let deleted = self.delete_from(label as i64, &key, 0);
        self.noted(deleted)
    }

    fn delete_from(&self, label: i64, key: &[u8], chunk: i64) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("DELETE FROM mls WHERE label = ?1 AND key = ?2 AND chunk >= ?3")?
            .execute(params![label, key, chunk])?;
        Ok(())
    }

    fn encode(&self, value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, StorageError> {
        let room = Vec::with_capacity(16 * CHUNK);
        let encoded = cbor4ii::serde::to_vec(room, value).map_err(|_| unencodable());
        self.noted(encoded).map(Zeroizing::new)
    }

    fn encoded(&self, value: Result<Value, ciborium::value::Error>) -> Result<Value, StorageError> {
        self.noted(value.map_err(|_| unencodable()))
    }

    fn noted<T>(&self, result: Result<T, StoreError>) -> Result<T, StorageError> {
        result.map_err(|error| {
            self.failure.replace(Some(error));
            StorageError
        })
    }
}

fn unencodable() -> StoreError {
    StoreError::Undecodable {
        found: "MLS state that does not encode",
    }
}
