//! Blobs: sealed bytes that are too large for a post, until everybody has them.
//!
//! A blob is opened with its size, put part by part in order, and read by whoever knows its
//! id. It is deleted when as many readers have said that they have it as were meant, when
//! somebody shows the secret whose hash it was opened with, or after
//! [`limits::BLOB_RETENTION`].
//!
//! **Elsewhere**: what is in it, and for whom it is, is the engine's.
//!
//! **Always**: a part that was answered for is on the disk. What was put is never changed.
//! Deleting goes in bounded steps; from the first on, nobody is given the blob any more.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    limits, pb,
    pb::{ErrorCode, relay_frame::Body as Answer},
    time::{Span, Time},
};

use crate::{
    relay::{Outcome, Refused, Relay, Reply},
    store::{Key, KeySpace, Store, StoreError, key, records::BlobRecord},
};

/// Bytes of a blob's id, and of what its deletion's hash is the hash of.
const ID_BYTES: usize = 32;
/// Bytes by which a reader is told from another.
const READER_BYTES: usize = 16;
/// Blobs that are looked at in one step of the sweep.
const STEP: usize = 64;
/// Parts that are deleted in one step.
const PARTS_AT_ONCE: u32 = 256;

/// How far the sweep has come.
#[derive(Default)]
pub(crate) struct Blobs {
    from: Key,
}

impl BlobRecord {
    /// Parts that it has when it is whole.
    fn of(&self) -> u32 {
        parts_of(self.bytes)
    }

    /// How long a part is.
    fn part_bytes(&self, index: u32) -> u64 {
        let part = limits::BLOB_PART_BYTES as u64;
        let begins = u64::from(index).saturating_mul(part);
        self.bytes.saturating_sub(begins).min(part)
    }

    fn stored(&self) -> Answer {
        Answer::BlobStored(pb::BlobStored {
            parts: self.parts,
            of: self.of(),
        })
    }

    fn is_over(&self, now: Time) -> bool {
        self.over || now.since(Time(self.opened_at_ms)) >= limits::BLOB_RETENTION
    }
}

fn parts_of(bytes: u64) -> u32 {
    let parts = bytes.div_ceil(limits::BLOB_PART_BYTES as u64);
    u32::try_from(parts).unwrap_or(u32::MAX)
}

impl<S: Store> Relay<S> {
    pub(crate) fn open_blob(&mut self, now: Time, open: &pb::OpenBlob) -> Outcome {
        let id = blob_id(&open.blob_id)?;
        if open.delete_hash.len() != ID_BYTES || open.readers == 0 {
            return Err(Refused::malformed(
                "a blob has readers and a deletion's hash",
            ));
        }
        if open.bytes == 0 || open.bytes > limits::BLOB_BYTES || open.readers > limits::BLOB_READERS
        {
            return Err(Refused::new(ErrorCode::TooLarge, "the blob is too large"));
        }
        if let Some(known) = self.view.get::<BlobRecord>(KeySpace::Blobs, id)? {
            // The answer got lost.
            let same = known.bytes == open.bytes && known.delete_hash == open.delete_hash;
            return if same && !known.is_over(now) {
                Ok(Reply::Durable(known.stored()))
            } else {
                Err(Refused::malformed("this blob exists"))
            };
        }
        if !self.has_space() {
            return Err(Refused::unavailable());
        }
        let needed = open.bytes.div_ceil(limits::BLOB_BYTES_PER_TOKEN);
        if open.tokens.len() as u64 != needed {
            return Err(Refused::unauthorised("a token for each 256 MiB is needed"));
        }
        let mut tokens: Vec<pb::Token> = Vec::with_capacity(open.tokens.len());
        for token in &open.tokens {
            let token = self.unspent(Some(token))?;
            if tokens.iter().any(|other| other.input == token.input) {
                return Err(Refused::unauthorised("a token is there twice"));
            }
            tokens.push(token);
        }
        for token in &tokens {
            self.spend(token);
        }
        let record = BlobRecord {
            bytes: open.bytes,
            parts: 0,
            readers: open.readers,
            read_by: Bytes::new(),
            delete_hash: open.delete_hash.clone(),
            opened_at_ms: now.0,
            over: false,
        };
        self.view.put(KeySpace::Blobs, key(&[id]), &record);
        Ok(Reply::Durable(record.stored()))
    }

    pub(crate) fn put_blob_part(&mut self, now: Time, put: pb::PutBlobPart) -> Outcome {
        let id = blob_id(&put.blob_id)?;
        let mut record = self.blob(now, id)?;
        // Not the next: whoever puts learns where to go on.
        if put.index != record.parts || record.parts >= record.of() {
            return Ok(Reply::Durable(record.stored()));
        }
        if put.part.len() as u64 != record.part_bytes(put.index) {
            return Err(Refused::malformed("a part of a blob has another length"));
        }
        if !self.has_space() {
            return Err(Refused::unavailable());
        }
        if self.view.pending_bytes().saturating_add(put.part.len())
            > self.config.unwritten_backup_bytes
        {
            return Err(Refused::rate_limited(Span::seconds(1)));
        }
        record.parts += 1;
        self.view
            .put_bytes(KeySpace::BlobParts, part_key(id, put.index), put.part);
        self.view.put(KeySpace::Blobs, key(&[id]), &record);
        Ok(Reply::Durable(record.stored()))
    }

    pub(crate) fn fetch_blob_state(&mut self, now: Time, fetch: &pb::FetchBlobState) -> Outcome {
        let record = self.blob(now, blob_id(&fetch.blob_id)?)?;
        Ok(Reply::Durable(record.stored()))
    }

    pub(crate) fn fetch_blob_part(&mut self, now: Time, fetch: &pb::FetchBlobPart) -> Outcome {
        let id = blob_id(&fetch.blob_id)?;
        let record = self.blob(now, id)?;
        if fetch.index >= record.parts {
            return Err(unknown());
        }
        let part = self
            .view
            .get_bytes(KeySpace::BlobParts, &part_key(id, fetch.index))?
            .ok_or_else(Refused::unavailable)?;
        Ok(Reply::Now(Answer::BlobPartFetched(pb::BlobPartFetched {
            part,
            of: record.of(),
        })))
    }

    pub(crate) fn blob_read(&mut self, now: Time, read: &pb::BlobRead) -> Outcome {
        let done = Ok(Reply::Durable(Answer::Done(pb::Done {})));
        let id = blob_id(&read.blob_id)?;
        if read.reader.len() != READER_BYTES {
            return Err(Refused::malformed("a reader has 16 bytes"));
        }
        let Ok(mut record) = self.blob(now, id) else {
            return done;
        };
        let mut known = record.read_by.chunks_exact(READER_BYTES);
        if known.any(|reader| reader == read.reader) {
            return done;
        }
        record.read_by = [&record.read_by[..], &read.reader[..]].concat().into();
        let readers = record.read_by.len() / READER_BYTES;
        record.over = readers as u64 >= u64::from(record.readers);
        self.view.put(KeySpace::Blobs, key(&[id]), &record);
        if record.over {
            self.drop_blob(id, record);
        }
        done
    }

    pub(crate) fn delete_blob(&mut self, now: Time, delete: &pb::DeleteBlob) -> Outcome {
        let done = Ok(Reply::Durable(Answer::Done(pb::Done {})));
        let id = blob_id(&delete.blob_id)?;
        let Ok(mut record) = self.blob(now, id) else {
            return done;
        };
        if Sha256::digest(&delete.secret).as_slice() != record.delete_hash.as_ref() {
            return Err(Refused::unauthorised("this is not the blob's secret"));
        }
        record.over = true;
        self.drop_blob(id, record);
        done
    }

    /// Deletes some of the blobs whose time is over.
    pub(crate) fn sweep_blobs(&mut self, now: Time) -> Result<(), StoreError> {
        let from = std::mem::take(&mut self.blobs.from);
        let page = self.page(KeySpace::Blobs, &from, STEP)?;
        self.blobs.from = page.next;
        for (at, value) in page.records {
            let Some(mut record) = self.sound::<BlobRecord>(KeySpace::Blobs, &at, value) else {
                continue;
            };
            if record.is_over(now) {
                record.over = true;
                self.drop_blob(&at, record);
            }
        }
        Ok(())
    }

    /// Deletes a blob that is over, or as much of it as one step may.
    fn drop_blob(&mut self, id: &[u8], mut record: BlobRecord) {
        let left = record.parts.saturating_sub(PARTS_AT_ONCE);
        for index in left..record.parts {
            self.view.delete(KeySpace::BlobParts, part_key(id, index));
        }
        if left == 0 {
            self.view.delete(KeySpace::Blobs, key(&[id]));
        } else {
            record.parts = left;
            self.view.put(KeySpace::Blobs, key(&[id]), &record);
        }
    }

    /// A blob that is not over.
    fn blob(&self, now: Time, id: &[u8]) -> Result<BlobRecord, Refused> {
        self.view
            .get(KeySpace::Blobs, id)?
            .filter(|record: &BlobRecord| !record.is_over(now))
            .ok_or_else(unknown)
    }
}

fn part_key(id: &[u8], index: u32) -> Key {
    key(&[id, &index.to_be_bytes()])
}

fn blob_id(id: &Bytes) -> Result<&[u8], Refused> {
    if id.len() == ID_BYTES {
        Ok(id)
    } else {
        Err(Refused::malformed("a blob's id has 32 bytes"))
    }
}

fn unknown() -> Refused {
    Refused::new(ErrorCode::BlobUnknown, "there is no such blob")
}
