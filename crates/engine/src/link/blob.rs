//! What the relay is told and asked about a blob: makes room for one, puts and fetches its
//! parts, says that it is here, and deletes it.
//!
//! Attachments and parcels travel as blobs. Each of the two rooms keeps in its own table how
//! far a blob is, and where its parts are; what both say to the relay, and how they read its
//! answers, is here. On each new link, the relay is first asked how much of an upload it has.
//!
//! **Elsewhere**: files are in [`crate::attachment::transfer`], parcels in
//! [`crate::conversation::parcels`]; what a reader says is made in [`super::reader_marks`].
//!
//! **Always**: one request for a blob is under way at a time, and only on the posting link. The
//! next part is asked for once the previous one is safe, so a transfer continues at that part
//! after a restart.

use std::collections::HashSet;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    limits,
    pb::{
        BlobPartFetched, BlobRead, BlobStored, DeleteBlob, Error, ErrorCode, FetchBlobPart,
        OpenBlob, PutBlobPart, client_frame::Body,
    },
    time::Span,
};

use super::{Job, reader_marks::ReaderMark, retry_after, tokens};
use crate::{
    containment::UndoHook,
    event::LinkKind,
    memory::Remembered,
    turn::{Fault, Postponed, Turn},
};

/// What did not work is tried again after this long.
pub(crate) const AGAIN: Span = Span::seconds(10);

/// The id of a blob, which is random.
pub(crate) type BlobId = [u8; 32];

/// What deletes a blob at the relay.
pub(crate) type BlobSecret = [u8; 32];

/// Whose a blob is: who handles the relay's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlobKind {
    Attachment,
    Parcel,
}

impl BlobKind {
    const fn open(self, id: BlobId) -> Job {
        match self {
            Self::Attachment => Job::OpenBlob(id),
            Self::Parcel => Job::OpenParcel(id),
        }
    }

    const fn part(self, id: BlobId) -> Job {
        match self {
            Self::Attachment => Job::BlobPart(id),
            Self::Parcel => Job::ParcelPart(id),
        }
    }
}

/// A blob on its way, as far as the relay is concerned.
#[derive(Clone, Copy)]
pub(crate) struct Blob {
    pub kind: BlobKind,
    pub id: BlobId,
    /// Whether this device uploads it.
    pub outgoing: bool,
    pub bytes: u64,
    /// The parts that are safe: at the relay, or here.
    pub parts: u32,
}

/// What a refusal means for a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The relay does not have it, and this device cannot change that.
    Gone,
    /// It is malformed or too large.
    Invalid,
    /// The relay does not have it any more, or its tokens were not good: it is to be uploaded
    /// from the start. It is postponed already.
    FromStart,
    /// The same again, later.
    Later,
}

/// Parts of a blob of so many bytes.
pub(crate) fn parts_of(bytes: u64) -> u32 {
    let parts = bytes.div_ceil(limits::BLOB_PART_BYTES as u64);
    u32::try_from(parts).unwrap_or(u32::MAX)
}

impl Blob {
    /// How many parts it has.
    pub(crate) fn all_parts(&self) -> u32 {
        parts_of(self.bytes)
    }

    /// Whether all its parts are safe.
    pub(crate) fn is_whole(&self) -> bool {
        self.parts >= self.all_parts()
    }

    /// Where the next part begins, and how long it is.
    pub(crate) fn next_part(&self) -> (u64, usize) {
        let part = limits::BLOB_PART_BYTES as u64;
        let begins = u64::from(self.parts).saturating_mul(part);
        let length = self.bytes.saturating_sub(begins).min(part);
        (begins, usize::try_from(length).unwrap_or(0))
    }

    /// Whether nothing may be asked about it now.
    pub(crate) fn is_busy(&self, turn: &Turn<'_>) -> bool {
        let posting = &turn.memory.links.posting;
        posting.awaits(&self.kind.open(self.id))
            || posting.awaits(&self.kind.part(self.id))
            || turn.is_postponed(&Postponed::Blob(self.id))
    }

    /// Whether the relay has said, on this link, how much of an upload it has.
    pub(crate) fn is_opened(&self, turn: &Turn<'_>) -> bool {
        let opened = turn.memory.states.get::<OpenedBlobs>();
        opened.is_some_and(|opened| opened.0.contains(&self.id))
    }

    /// Makes room for an upload, or asks how much of it the relay has if it has a secret
    /// already. Returns its secret; `None` where there are not enough tokens yet.
    pub(crate) fn open(
        &self,
        turn: &mut Turn<'_>,
        readers: u32,
        marks: Vec<u8>,
        secret: Option<BlobSecret>,
    ) -> Result<Option<BlobSecret>, Fault> {
        let (secret, tokens) = if let Some(secret) = secret {
            // The relay has it, or has spent the tokens.
            (secret, Vec::new())
        } else {
            let needed = self.bytes.div_ceil(limits::BLOB_BYTES_PER_TOKEN);
            let needed = usize::try_from(needed).unwrap_or(usize::MAX);
            let Some(tokens) = tokens::take_many(turn, needed)? else {
                turn.postpone(Postponed::Blob(self.id), AGAIN);
                return Ok(None);
            };
            (turn.random(), tokens)
        };
        let request = OpenBlob {
            blob_id: self.id.to_vec().into(),
            bytes: self.bytes,
            readers,
            delete_hash: Sha256::digest(secret).to_vec().into(),
            tokens,
            reader_marks: marks.into(),
        };
        ask(turn, self.kind.open(self.id), Body::OpenBlob(request));
        Ok(Some(secret))
    }

    /// Uploads the next part.
    pub(crate) fn put(&self, turn: &mut Turn<'_>, part: Bytes) {
        let request = PutBlobPart {
            blob_id: self.id.to_vec().into(),
            index: self.parts,
            part,
        };
        ask(turn, self.kind.part(self.id), Body::PutBlobPart(request));
    }

    /// Asks for the next part.
    pub(crate) fn fetch(&self, turn: &mut Turn<'_>) {
        let request = FetchBlobPart {
            blob_id: self.id.to_vec().into(),
            index: self.parts,
        };
        ask(turn, self.kind.part(self.id), Body::FetchBlobPart(request));
    }

    /// The relay has so much of an upload. Returns how many of its parts are safe.
    pub(crate) fn handle_stored(&self, turn: &mut Turn<'_>, stored: BlobStored) -> u32 {
        opened(turn).insert(self.id);
        stored.parts.min(self.all_parts())
    }

    /// Whether what the relay gave can be the next part.
    pub(crate) fn is_next(&self, fetched: &BlobPartFetched) -> bool {
        fetched.part.len() == self.next_part().1
    }

    /// The relay refused something about it.
    pub(crate) fn handle_refusal(&self, turn: &mut Turn<'_>, error: &Error) -> Refused {
        close(turn, self.id);
        let refused = match error.code() {
            ErrorCode::BlobUnknown if !self.outgoing => Refused::Gone,
            ErrorCode::BlobUnknown | ErrorCode::Unauthorised => Refused::FromStart,
            ErrorCode::Malformed | ErrorCode::TooLarge => Refused::Invalid,
            _ => Refused::Later,
        };
        match refused {
            Refused::Gone | Refused::Invalid => {}
            Refused::FromStart => turn.postpone(Postponed::Blob(self.id), AGAIN),
            Refused::Later => turn.postpone(Postponed::Blob(self.id), retry_after(error)),
        }
        refused
    }
}

fn ask(turn: &mut Turn<'_>, job: Job, body: Body) {
    turn.send_request(LinkKind::Posting, job, body);
}

/// Tells the relay that a blob is here, so that it may forget it as far as this device goes.
/// Otherwise the relay deletes it by itself, later.
pub(crate) fn acknowledge(turn: &mut Turn<'_>, id: BlobId, mark: ReaderMark) {
    if turn.memory.links.posting.ready().is_none() {
        return;
    }
    let read = BlobRead {
        blob_id: id.to_vec().into(),
        reader: mark.to_vec().into(),
    };
    turn.send_request(LinkKind::Posting, Job::BlobRead(id), Body::BlobRead(read));
}

/// Deletes a blob that this device uploaded. Otherwise the relay deletes it by itself, later.
pub(crate) fn delete(turn: &mut Turn<'_>, id: BlobId, secret: BlobSecret) {
    if turn.memory.links.posting.ready().is_none() {
        return;
    }
    let delete = DeleteBlob {
        blob_id: id.to_vec().into(),
        secret: secret.to_vec().into(),
    };
    let delete = Body::DeleteBlob(delete);
    turn.send_request(LinkKind::Posting, Job::BlobRead(id), delete);
}

/// What the relay said of how much it has of a blob does not count any more.
pub(crate) fn close(turn: &mut Turn<'_>, id: BlobId) {
    opened(turn).remove(&id);
}

/// Blobs of which the relay said how much it has, on this link.
#[derive(Default)]
struct OpenedBlobs(HashSet<BlobId>);

impl Remembered for OpenedBlobs {
    fn handle_link_lost(&mut self, _: LinkKind) {
        self.0.clear();
    }
}

fn opened<'t>(turn: &'t mut Turn<'_>) -> &'t mut HashSet<BlobId> {
    &mut turn.memory.states.get_mut::<OpenedBlobs>().0
}

/// Asks the relay again how much of each upload it has, once work was undone.
pub(crate) struct Blobs;

impl UndoHook for Blobs {
    fn handle_undone(&self, turn: &mut Turn<'_>) {
        opened(turn).clear();
    }
}
