//! Blobs: sealed bytes that are too large for a post, stored until every reader has them.
//!
//! A device opens a blob with its size, uploads it part by part in order, and anybody who
//! knows its id can read it. The relay deletes a blob when all readers whose marks it was
//! opened with have said that they have it, when somebody shows the secret whose hash it was
//! opened with, or after [`limits::BLOB_RETENTION`].
//!
//! **Elsewhere**: the engine decides what is in a blob, and who reads it.
//!
//! **Always**: a part is on disk before the relay confirms it. Uploaded parts never change.
//! Deleting takes bounded steps; from the first step on, nobody can read the blob.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    limits, pb,
    pb::{ErrorCode, relay_frame::Body as Answer},
    time::{Span, Time},
};

use crate::{
    answer::{Refused, Reply, RequestResult},
    checker::{Checker, PartCheck, PartRead},
    context::Context,
    directory::tokens::{TokenKeys, Tokens},
    rate_limit::{Bucket, Rate},
    store::{Key, KeySpace, Store, StoreError, key, records::BlobRecord},
    sweep::{Done, Round},
};

/// Bytes of a blob's id, and of what its deletion's hash is the hash of.
const ID_BYTES: usize = 32;
/// Bytes by which a reader says that they have it.
const READER_BYTES: usize = 16;
/// Bytes of the hash of them, which the uploader registered.
const MARK_BYTES: usize = 12;
/// Blobs that may wait in memory to be deleted; others are found in the next round.
const GOING: usize = 4096;
/// Blobs that are looked at in one slice of the sweep: each record may have the marks of
/// [`limits::BLOB_READERS`].
const BLOBS: usize = 16;
/// Parts that are deleted in one step.
const PARTS_AT_ONCE: u32 = 256;

/// Blobs, and how many may be opened.
#[derive(Default)]
pub(crate) struct Blobs {
    /// Mebibytes that were opened, in all.
    opened: Bucket,
    going: VecDeque<Bytes>,
    /// How far the sweep has come.
    pub(crate) round: Round,
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

    fn is_over(&self, date: Time) -> bool {
        self.over || date.since(Time(self.opened_at_ms)) >= limits::BLOB_RETENTION
    }
}

fn parts_of(bytes: u64) -> u32 {
    let parts = bytes.div_ceil(limits::BLOB_PART_BYTES as u64);
    u32::try_from(parts).unwrap_or(u32::MAX)
}

/// That the tokens are good.
pub(crate) struct BlobCheck {
    keys: Arc<TokenKeys>,
}

impl BlobCheck {
    pub(crate) fn run(
        self,
        checker: &mut Checker<'_, impl Store>,
        open: &pb::OpenBlob,
    ) -> Result<TokensChecked, Refused> {
        for token in &open.tokens {
            self.keys.check(checker, Some(token))?;
        }
        Ok(TokensChecked)
    }
}

/// The tokens are good.
pub(crate) struct TokensChecked;

impl Blobs {
    /// What the tokens of a blob have to be verified by; nothing where it is known.
    pub(crate) fn blob_to_verify(
        context: &Context<impl Store>,
        tokens: &Tokens,
        now: Time,
        open: &pb::OpenBlob,
        keys: Arc<TokenKeys>,
    ) -> Result<Option<BlobCheck>, Refused> {
        if Self::may_open(context, now, open)?.is_some() {
            return Ok(None);
        }
        Self::unspent_all(context, tokens, open)?;
        Ok(Some(BlobCheck { keys }))
    }

    /// Whether a blob may be opened; its record, if it was before.
    fn may_open(
        context: &Context<impl Store>,
        now: Time,
        open: &pb::OpenBlob,
    ) -> Result<Option<BlobRecord>, Refused> {
        let id = blob_id(&open.blob_id)?;
        if open.delete_hash.len() != ID_BYTES || open.readers == 0 {
            return Err(Refused::malformed(
                "a blob has readers and a deletion's hash",
            ));
        }
        let marks = open.reader_marks.len() / MARK_BYTES;
        if !open.reader_marks.len().is_multiple_of(MARK_BYTES) {
            return Err(Refused::malformed("a reader's mark has 12 bytes"));
        }
        if open.bytes == 0
            || open.bytes > limits::BLOB_BYTES
            || open.readers > limits::BLOB_READERS
            || marks > limits::BLOB_READERS as usize
        {
            return Err(Refused::new(ErrorCode::TooLarge, "the blob is too large"));
        }
        if let Some(known) = context.view.get::<BlobRecord>(KeySpace::Blobs, id)? {
            // The answer got lost.
            let same = known.bytes == open.bytes && known.delete_hash == open.delete_hash;
            return if same && !known.is_over(context.expiry_date(now)) {
                Ok(Some(known))
            } else {
                Err(Refused::malformed("this blob exists"))
            };
        }
        if !context.has_space() {
            return Err(Refused::unavailable());
        }
        context
            .quotas
            .has_room_for_blob(&context.config, open.bytes)?;
        let needed = open.bytes.div_ceil(limits::BLOB_BYTES_PER_TOKEN);
        if open.tokens.len() as u64 != needed {
            return Err(Refused::unauthorised("a token for each 16 MiB is needed"));
        }
        Ok(None)
    }

    /// Its tokens, if none was spent and none is there twice.
    fn unspent_all(
        context: &Context<impl Store>,
        tokens: &Tokens,
        open: &pb::OpenBlob,
    ) -> Result<Vec<pb::Token>, Refused> {
        let mut unspent: Vec<pb::Token> = Vec::with_capacity(open.tokens.len());
        for token in &open.tokens {
            let token = tokens.unspent(context, Some(token))?;
            if unspent.iter().any(|other| other.input == token.input) {
                return Err(Refused::unauthorised("a token is there twice"));
            }
            unspent.push(token);
        }
        Ok(unspent)
    }

    pub(crate) fn open_blob(
        &mut self,
        context: &mut Context<impl Store>,
        tokens: &Tokens,
        now: Time,
        open: &pb::OpenBlob,
        tokens_are_good: bool,
    ) -> RequestResult {
        let id = blob_id(&open.blob_id)?;
        if let Some(known) = Self::may_open(context, now, open)? {
            return Ok(Reply::Durable(known.stored()));
        }
        let unspent = Self::unspent_all(context, tokens, open)?;
        if !tokens_are_good {
            return Err(Refused::unavailable());
        }
        // The last that may refuse it: what counts as opened today is opened.
        let mib = u32::try_from(open.bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX);
        let a_day = Rate::a_day(context.config.blob_mib_per_day);
        self.opened
            .take(now, a_day, mib)
            .map_err(Refused::rate_limited)?;
        for token in &unspent {
            tokens.spend(context, token);
        }
        context.count(|usage| usage.blob_bytes = usage.blob_bytes.saturating_add(open.bytes));
        let record = BlobRecord {
            bytes: open.bytes,
            parts: 0,
            readers: open.readers,
            read_by: Bytes::new(),
            delete_hash: open.delete_hash.clone(),
            opened_at_ms: context.date(now).0,
            over: false,
            unread_by: open.reader_marks.clone(),
        };
        context.view.put(KeySpace::Blobs, key(&[id]), &record);
        Ok(Reply::Durable(record.stored()))
    }

    pub(crate) fn put_blob_part(
        context: &mut Context<impl Store>,
        now: Time,
        put: pb::PutBlobPart,
    ) -> RequestResult {
        let id = blob_id(&put.blob_id)?;
        let mut record = Self::blob(context, now, id)?;
        // It is not the next part: the uploader learns where to continue.
        if put.index != record.parts || record.parts >= record.of() {
            return Ok(Reply::Durable(record.stored()));
        }
        if put.part.len() as u64 != record.part_bytes(put.index) {
            return Err(Refused::malformed("a part of a blob has another length"));
        }
        if !context.has_space() {
            return Err(Refused::unavailable());
        }
        if context.view.pending_bytes().saturating_add(put.part.len())
            > context.config.unwritten_backup_bytes
        {
            return Err(Refused::rate_limited(Span::seconds(1)));
        }
        record.parts += 1;
        context
            .view
            .put_bytes(KeySpace::BlobParts, part_key(id, put.index), put.part);
        context.view.put(KeySpace::Blobs, key(&[id]), &record);
        Ok(Reply::Durable(record.stored()))
    }

    pub(crate) fn fetch_blob_state(
        context: &Context<impl Store>,
        now: Time,
        fetch: &pb::FetchBlobState,
    ) -> RequestResult {
        let record = Self::blob(context, now, blob_id(&fetch.blob_id)?)?;
        Ok(Reply::Durable(record.stored()))
    }

    /// What is to be read before a part is given: it is large, and read without the lock.
    pub(crate) fn blob_part_to_read(
        context: &Context<impl Store>,
        now: Time,
        fetch: &pb::FetchBlobPart,
    ) -> Result<Option<PartCheck>, Refused> {
        let id = blob_id(&fetch.blob_id)?;
        if fetch.index >= Self::blob(context, now, id)?.parts {
            return Err(unknown());
        }
        Ok(PartCheck::of(
            &context.view,
            KeySpace::BlobParts,
            part_key(id, fetch.index),
        ))
    }

    pub(crate) fn fetch_blob_part(
        context: &Context<impl Store>,
        now: Time,
        fetch: &pb::FetchBlobPart,
        read: Option<PartRead>,
    ) -> RequestResult {
        let id = blob_id(&fetch.blob_id)?;
        let record = Self::blob(context, now, id)?;
        if fetch.index >= record.parts {
            return Err(unknown());
        }
        let at = part_key(id, fetch.index);
        let part = match read {
            Some(read) if read.at == at => read.part,
            _ => context.view.get_bytes(KeySpace::BlobParts, &at)?,
        };
        let part = part.ok_or_else(Refused::unavailable)?;
        Ok(Reply::Now(Answer::BlobPartFetched(pb::BlobPartFetched {
            part,
            of: record.of(),
        })))
    }

    pub(crate) fn blob_read(
        context: &mut Context<impl Store>,
        now: Time,
        read: &pb::BlobRead,
    ) -> RequestResult {
        let done = Ok(Reply::Durable(Answer::Done(pb::Done {})));
        let id = blob_id(&read.blob_id)?;
        if read.reader.len() != READER_BYTES {
            return Err(Refused::malformed("a reader has 16 bytes"));
        }
        let Ok(mut record) = Self::blob(context, now, id) else {
            return done;
        };
        // Anybody who knows the id could invent other marks: those cost no disk space.
        let hash = Sha256::digest(&read.reader);
        let mark = hash.as_slice().split_at(MARK_BYTES).0;
        let mut left = record.unread_by.chunks_exact(MARK_BYTES);
        let Some(at) = left.position(|unread| unread == mark) else {
            return Ok(Reply::Now(Answer::Done(pb::Done {})));
        };
        let (before, from) = record.unread_by.split_at(at * MARK_BYTES);
        let behind = from.get(MARK_BYTES..).unwrap_or_default();
        record.unread_by = [before, behind].concat().into();
        record.over = record.unread_by.is_empty();
        context.view.put(KeySpace::Blobs, key(&[id]), &record);
        if record.over {
            Self::drop_blob(context, id, record);
        }
        done
    }

    pub(crate) fn delete_blob(
        context: &mut Context<impl Store>,
        now: Time,
        delete: &pb::DeleteBlob,
    ) -> RequestResult {
        let done = Ok(Reply::Durable(Answer::Done(pb::Done {})));
        let id = blob_id(&delete.blob_id)?;
        let Ok(mut record) = Self::blob(context, now, id) else {
            return done;
        };
        if Sha256::digest(&delete.secret).as_slice() != record.delete_hash.as_ref() {
            return Err(Refused::unauthorised("this is not the blob's secret"));
        }
        record.over = true;
        Self::drop_blob(context, id, record);
        done
    }

    /// Finds some of the blobs whose time is over: from then on nobody is given them.
    pub(crate) fn sweep_blobs(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        most: usize,
    ) -> Result<Done, StoreError> {
        let date = context.expiry_date(now);
        let (records, done) =
            context.next_of_round(KeySpace::Blobs, &mut self.round, now, most.min(BLOBS))?;
        for (at, value) in records {
            let Some(mut record) = context
                .view
                .sound::<BlobRecord>(KeySpace::Blobs, &at, value)
            else {
                continue;
            };
            if record.is_over(date) && self.going.len() < GOING {
                record.over = true;
                context.view.put(KeySpace::Blobs, key(&[&at]), &record);
                self.going.push_back(at);
            }
        }
        Ok(done)
    }

    /// Deletes some of what was found. Of a large blob each slice deletes a piece.
    pub(crate) fn delete_blobs(&mut self, context: &mut Context<impl Store>, most: usize) -> Done {
        let mut touched = 0;
        while touched < most {
            let Some(id) = self.going.pop_front() else {
                return Done::all(touched);
            };
            touched += 1;
            let record = context.view.get::<BlobRecord>(KeySpace::Blobs, &id);
            // What a request has deleted meanwhile is gone, and what the disk has refused to
            // delete is found again.
            let Ok(Some(record)) = record else { continue };
            if !record.over {
                continue;
            }
            touched += record.parts.min(PARTS_AT_ONCE) as usize;
            if record.parts > PARTS_AT_ONCE {
                self.going.push_front(id.clone());
            }
            Self::drop_blob(context, &id, record);
        }
        Done::some(touched)
    }

    /// Deletes a blob that is over, or as much of it as one step may.
    fn drop_blob(context: &mut Context<impl Store>, id: &[u8], mut record: BlobRecord) {
        let left = record.parts.saturating_sub(PARTS_AT_ONCE);
        for index in left..record.parts {
            context
                .view
                .delete(KeySpace::BlobParts, part_key(id, index));
        }
        if left == 0 {
            context.view.delete(KeySpace::Blobs, key(&[id]));
            let bytes = record.bytes;
            context.count(|usage| usage.blob_bytes = usage.blob_bytes.saturating_sub(bytes));
        } else {
            record.parts = left;
            context.view.put(KeySpace::Blobs, key(&[id]), &record);
        }
    }

    /// A blob that is not over.
    fn blob(context: &Context<impl Store>, now: Time, id: &[u8]) -> Result<BlobRecord, Refused> {
        let date = context.expiry_date(now);
        context
            .view
            .get(KeySpace::Blobs, id)?
            .filter(|record: &BlobRecord| !record.is_over(date))
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
