//! Uploads blobs to the relay and fetches them, part by part.
//!
//! The driver reads parts from, and writes them to, the home's `blobs/`, a few at a time. The
//! store counts the finished parts, so that a transfer continues at the next part after a
//! restart. An upload first asks the relay how far it is.
//!
//! **Always**: the next part of a blob is requested once the previous one is safe: for an
//! upload, once the relay has it on disk; for a download, once it is in the file.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    limits,
    pb::{
        BlobPartFetched, BlobRead, BlobStored, DeleteBlob, Error, ErrorCode, FetchBlobPart,
        OpenBlob, PutBlobPart, client_frame::Body,
    },
    time::Span,
};

use super::{
    of_blob,
    reader_marks::{self, ReaderMark},
    tell_changed,
};
use crate::{
    api::ConversationId,
    containment::ErrorOwner,
    conversation::{
        self, Kind,
        groups::{self, GroupState},
    },
    event::{BlobDone, BlobWork, Effect, LinkKind},
    link::{self, Job, tokens},
    memory::Remembered,
    turn::{Fault, Postponed, Turn},
};

/// What did not work is tried again after this long.
const AGAIN: Span = Span::seconds(10);

/// Blobs that are brought at a time.
const AT_ONCE: u32 = 4;

type BlobId = [u8; 32];

/// Parts of a blob of so many bytes.
pub(crate) fn parts_of(bytes: u64) -> u32 {
    let parts = bytes.div_ceil(limits::BLOB_PART_BYTES as u64);
    u32::try_from(parts).unwrap_or(u32::MAX)
}

struct Blob {
    id: BlobId,
    outgoing: bool,
    bytes: u64,
    parts: u32,
    readers: u32,
    secret: Option<[u8; 32]>,
}

impl Blob {
    fn of(&self) -> u32 {
        parts_of(self.bytes)
    }

    /// Where a part begins, and how long it is.
    fn part(&self, index: u32) -> (u64, usize) {
        let part = limits::BLOB_PART_BYTES as u64;
        let begins = u64::from(index).saturating_mul(part);
        let length = self.bytes.saturating_sub(begins).min(part);
        (begins, usize::try_from(length).unwrap_or(0))
    }
}

fn under_way(turn: &Turn<'_>) -> Result<Vec<Blob>, Fault> {
    let mut statement = turn.tx.prepare_cached(
        "SELECT id, outgoing, bytes, parts, readers, secret FROM blob WHERE state = 1 LIMIT ?1",
    )?;
    let rows = statement.query_map([AT_ONCE], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn find(turn: &Turn<'_>, id: BlobId) -> Result<Option<Blob>, Fault> {
    let mut statement = turn.tx.prepare_cached(
        "SELECT id, outgoing, bytes, parts, readers, secret FROM blob
         WHERE id = ?1 AND state = 1",
    )?;
    let mut rows = statement.query_map([id], read)?;
    Ok(rows.next().transpose()?)
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Blob> {
    Ok(Blob {
        id: row.get(0)?,
        outgoing: row.get(1)?,
        bytes: row.get::<_, i64>(2)?.cast_unsigned(),
        parts: row.get(3)?,
        readers: row.get(4)?,
        secret: row.get(5)?,
    })
}

fn set_parts(turn: &Turn<'_>, id: BlobId, parts: u32) -> Result<(), Fault> {
    turn.tx
        .prepare_cached("UPDATE blob SET parts = ?2 WHERE id = ?1")?
        .execute((id, parts))?;
    Ok(())
}

fn set_state(turn: &Turn<'_>, id: BlobId, state: u8) -> Result<(), Fault> {
    turn.tx
        .execute("UPDATE blob SET state = ?2 WHERE id = ?1", (id, state))?;
    Ok(())
}

/// It is to be fetched, unless it is here or on its way.
pub(crate) fn request_download(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    turn.tx.execute(
        "UPDATE blob SET state = 1, parts = 0 WHERE id = ?1 AND NOT outgoing AND state IN (0, 3)",
        [id],
    )?;
    Ok(())
}

/// Whether anything is to be brought.
pub(crate) fn any(turn: &Turn<'_>) -> Result<bool, Fault> {
    Ok(turn
        .tx
        .prepare_cached("SELECT 1 FROM blob WHERE state = 1")?
        .exists([])?)
}

/// Brings what is to be brought.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    if turn.volatile.links.posting.ready().is_none() {
        return Ok(());
    }
    for blob in under_way(turn)? {
        let jobs = [Job::OpenBlob(blob.id), Job::BlobPart(blob.id)];
        let busy = jobs
            .iter()
            .any(|job| turn.volatile.links.posting.awaits(job));
        if busy || is_file_busy(turn, blob.id) || turn.is_postponed(&Postponed::Blob(blob.id)) {
            continue;
        }
        let brought = turn.run_contained(ErrorOwner::Part("attachment"), |turn| {
            if blob.outgoing {
                put(turn, &blob)
            } else {
                fetch(turn, &blob)
            }
        })?;
        if brought.is_none() {
            give_up(turn, blob.id)?;
        }
    }
    Ok(())
}

fn put(turn: &mut Turn<'_>, blob: &Blob) -> Result<(), Fault> {
    // On each link, this device asks again how much of it the relay has.
    if !is_opened(turn, blob.id) {
        return open(turn, blob);
    }
    let (offset, length) = blob.part(blob.parts);
    work(
        turn,
        BlobWork::Read {
            blob: blob.id,
            part: blob.parts,
            offset,
            length,
        },
    );
    Ok(())
}

fn work(turn: &mut Turn<'_>, work: BlobWork) {
    if let Some(blob) = work.waits_for() {
        transfers(turn).files.insert(blob);
    }
    turn.out.push(Effect::Blob(work));
}

fn open(turn: &mut Turn<'_>, blob: &Blob) -> Result<(), Fault> {
    let (readers, reader_marks, secret) = if let Some(secret) = blob.secret {
        // The relay has the marks, or takes the blob from the start.
        (blob.readers, Vec::new(), secret)
    } else {
        let Some((readers, marks)) = readers(turn, blob.id)? else {
            turn.postpone(Postponed::Blob(blob.id), Span::seconds(1));
            return Ok(());
        };
        // Nobody but this device is to have it.
        if readers == 0 {
            set_state(turn, blob.id, 2)?;
            return tell_changed(turn, blob.id);
        }
        let secret: [u8; 32] = turn.random();
        (readers, reader_marks::registered(marks), secret)
    };
    let needed = blob.bytes.div_ceil(limits::BLOB_BYTES_PER_TOKEN);
    let tokens = if blob.secret.is_none() {
        let count = usize::try_from(needed).unwrap_or(usize::MAX);
        let Some(tokens) = tokens::take_many(turn, count)? else {
            turn.postpone(Postponed::Blob(blob.id), AGAIN);
            return Ok(());
        };
        tokens
    } else {
        // The relay has it, or has spent them: it is asked what it has.
        Vec::new()
    };
    turn.tx.execute(
        "UPDATE blob SET readers = ?2, secret = ?3 WHERE id = ?1",
        (blob.id, readers, secret),
    )?;
    let request = OpenBlob {
        blob_id: blob.id.to_vec().into(),
        bytes: blob.bytes,
        readers,
        delete_hash: Sha256::digest(secret).to_vec().into(),
        tokens,
        reader_marks: reader_marks.into(),
    };
    turn.send_request(
        LinkKind::Posting,
        Job::OpenBlob(blob.id),
        Body::OpenBlob(request),
    );
    Ok(())
}

/// How many devices are to have a blob besides this one, and their marks; `None` while that is
/// not known.
fn readers(turn: &mut Turn<'_>, id: BlobId) -> Result<Option<(u32, Vec<ReaderMark>)>, Fault> {
    let conversations: Vec<ConversationId> = {
        let mut statement = turn
            .tx
            .prepare_cached("SELECT DISTINCT conversation FROM attachment WHERE blob_id = ?1")?;
        let rows = statement.query_map([id], |row| row.get(0).map(ConversationId::from_bytes))?;
        rows.collect::<Result<_, _>>()?
    };
    let own = turn.account()?.device();
    let mut all = 0_u32;
    let mut marks = Vec::new();
    for conversation in conversations {
        let Some(found) = conversation::find(turn.tx, conversation)? else {
            continue;
        };
        let group = groups::for_sending(turn.tx, conversation)?;
        let Some(group) = group.filter(|group| group.state == GroupState::Active) else {
            let alone = turn.account()?.roster().devices().len() < 2;
            if found.kind == Kind::Notes && alone {
                continue;
            }
            turn.volatile.due_mut().conversations.insert(conversation);
            return Ok(None);
        };
        let found = turn.with_group(group.id, |group, _, leaf| {
            let mut members = group.members()?;
            members.retain(|member| member.device != own);
            let marks = members
                .iter()
                .filter_map(|member| reader_marks::mark_for(leaf, member, id, own, member.device));
            Ok::<_, Fault>((members.len(), marks.collect::<Vec<_>>()))
        })?;
        let (others, theirs) = found.transpose()?.unwrap_or_default();
        let others = u32::try_from(others).unwrap_or(u32::MAX);
        all = all.saturating_add(others.max(1));
        marks.extend(theirs);
    }
    // A device in two conversations has one mark.
    marks.sort_unstable();
    marks.dedup();
    if marks.len() > limits::BLOB_READERS as usize {
        // It goes after a month: with some of the marks it could go too early.
        marks.clear();
    }
    Ok(Some((all.min(limits::BLOB_READERS), marks)))
}

/// The relay has so much of a blob.
pub(crate) fn handle_blob_stored(
    turn: &mut Turn<'_>,
    id: BlobId,
    stored: BlobStored,
) -> Result<(), Fault> {
    let Some(blob) = find(turn, id)? else {
        return Ok(());
    };
    if stored.of != blob.of() {
        return mark_unavailable(turn, id);
    }
    transfers(turn).opened.insert(id);
    set_parts(turn, id, stored.parts.min(blob.of()))?;
    if stored.parts >= blob.of() {
        set_state(turn, id, 2)?;
        transfers(turn).opened.remove(&id);
        return tell_changed(turn, id);
    }
    tell_some(turn, id, stored.parts)
}

fn fetch(turn: &mut Turn<'_>, blob: &Blob) -> Result<(), Fault> {
    if blob.parts >= blob.of() {
        return check(turn, blob.id);
    }
    let request = FetchBlobPart {
        blob_id: blob.id.to_vec().into(),
        index: blob.parts,
    };
    turn.send_request(
        LinkKind::Posting,
        Job::BlobPart(blob.id),
        Body::FetchBlobPart(request),
    );
    Ok(())
}

/// A part has come from the relay.
pub(crate) fn handle_blob_part(
    turn: &mut Turn<'_>,
    id: BlobId,
    fetched: BlobPartFetched,
) -> Result<(), Fault> {
    let Some(blob) = find(turn, id)? else {
        return Ok(());
    };
    let (offset, length) = blob.part(blob.parts);
    if fetched.part.len() != length || fetched.of != blob.of() {
        return mark_unavailable(turn, id);
    }
    work(
        turn,
        BlobWork::Write {
            blob: id,
            part: blob.parts,
            offset,
            bytes: fetched.part,
        },
    );
    Ok(())
}

fn check(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    let Some(file) = of_blob(turn.tx, id)? else {
        return mark_unavailable(turn, id);
    };
    work(
        turn,
        BlobWork::Check {
            blob: id,
            key: file.key.into(),
            size: file.size,
            hash: file.hash,
        },
    );
    Ok(())
}

/// The relay refused.
pub(crate) fn handle_refusal(turn: &mut Turn<'_>, id: BlobId, error: &Error) -> Result<(), Fault> {
    transfers(turn).opened.remove(&id);
    match error.code() {
        ErrorCode::BlobUnknown => {
            let Some(blob) = find(turn, id)? else {
                return Ok(());
            };
            if blob.outgoing {
                // It was opened, and is not there any more: from the start.
                restart(turn, id)
            } else {
                mark_unavailable(turn, id)
            }
        }
        // The tokens were not good: others, with the same blob.
        ErrorCode::Unauthorised => restart(turn, id),
        ErrorCode::Malformed | ErrorCode::TooLarge => mark_unavailable(turn, id),
        _ => {
            let span = link::retry_after(error);
            turn.postpone(Postponed::Blob(id), span);
            Ok(())
        }
    }
}

fn restart(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    turn.postpone(Postponed::Blob(id), AGAIN);
    turn.tx.execute(
        "UPDATE blob SET parts = 0, secret = NULL WHERE id = ?1 AND state = 1",
        [id],
    )?;
    Ok(())
}

/// It cannot be brought.
fn mark_unavailable(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    set_state(turn, id, 3)?;
    turn.out.push(Effect::Blob(BlobWork::Delete { blob: id }));
    tell_changed(turn, id)
}

/// It failed by an error of this program's: it is not brought, unless the person asks again.
pub(crate) fn give_up(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    transfers(turn).opened.remove(&id);
    match find(turn, id)? {
        Some(_) => mark_unavailable(turn, id),
        None => Ok(()),
    }
}

/// The driver has done something with a file.
pub(crate) fn handle_file_done(turn: &mut Turn<'_>, done: BlobDone) -> Result<(), Fault> {
    let blob = done.blob();
    transfers(turn).files.remove(&blob);
    let went_on = turn.run_contained(ErrorOwner::Part("attachment"), |turn| go_on(turn, done))?;
    if went_on.is_none() {
        give_up(turn, blob)?;
    }
    Ok(())
}

fn go_on(turn: &mut Turn<'_>, done: BlobDone) -> Result<(), Fault> {
    match done {
        BlobDone::Read { blob, part, bytes } => {
            let Some(found) = find(turn, blob)?.filter(|found| found.parts == part) else {
                return Ok(());
            };
            let (_, length) = found.part(part);
            let Some(bytes) = bytes.filter(|bytes| bytes.len() == length) else {
                return mark_unavailable(turn, blob);
            };
            if turn.volatile.links.posting.ready().is_none() {
                return Ok(());
            }
            let request = PutBlobPart {
                blob_id: blob.to_vec().into(),
                index: part,
                part: bytes,
            };
            turn.send_request(
                LinkKind::Posting,
                Job::BlobPart(blob),
                Body::PutBlobPart(request),
            );
            Ok(())
        }
        BlobDone::Written { blob, part, ok } => {
            let Some(found) = find(turn, blob)?.filter(|found| found.parts == part) else {
                return Ok(());
            };
            if !ok {
                turn.postpone(Postponed::Blob(blob), AGAIN);
                return Ok(());
            }
            set_parts(turn, blob, part.saturating_add(1))?;
            if part.saturating_add(1) < found.of() {
                tell_some(turn, blob, part)?;
            }
            Ok(())
        }
        BlobDone::Checked { blob, whole } => {
            if find(turn, blob)?.is_none() {
                return Ok(());
            }
            if !whole {
                return mark_unavailable(turn, blob);
            }
            set_state(turn, blob, 2)?;
            acknowledge_blob(turn, blob)?;
            tell_changed(turn, blob)
        }
    }
}

/// The relay may forget it, as far as this device goes.
pub(crate) fn acknowledge_blob(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    if turn.volatile.links.posting.ready().is_none() {
        return Ok(());
    }
    let mark: Option<Option<ReaderMark>> = {
        let mut statement = turn
            .tx
            .prepare_cached("SELECT mark FROM blob WHERE id = ?1")?;
        let mut rows = statement.query_map([id], |row| row.get(0))?;
        rows.next().transpose()?
    };
    // Without one, its sender did not mean this device, or is older.
    if let Some(Some(mark)) = mark {
        tell_read(turn, id, mark);
    }
    Ok(())
}

fn tell_read(turn: &mut Turn<'_>, id: BlobId, mark: ReaderMark) {
    let read = BlobRead {
        blob_id: id.to_vec().into(),
        reader: mark.to_vec().into(),
    };
    turn.send_request(LinkKind::Posting, Job::BlobRead(id), Body::BlobRead(read));
}

/// Nobody here needs it any more.
pub(crate) fn forget(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    let secret: Option<Option<[u8; 32]>> = {
        let mut statement = turn
            .tx
            .prepare_cached("DELETE FROM blob WHERE id = ?1 RETURNING secret")?;
        let mut rows = statement.query_map([id], |row| row.get(0))?;
        rows.next().transpose()?
    };
    turn.out.push(Effect::Blob(BlobWork::Delete { blob: id }));
    if let Some(Some(secret)) = secret
        && turn.volatile.links.posting.ready().is_some()
    {
        let delete = DeleteBlob {
            blob_id: id.to_vec().into(),
            secret: secret.to_vec().into(),
        };
        turn.send_request(
            LinkKind::Posting,
            Job::BlobRead(id),
            Body::DeleteBlob(delete),
        );
    }
    Ok(())
}

/// Tells of progress now and then.
fn tell_some(turn: &mut Turn<'_>, id: BlobId, parts: u32) -> Result<(), Fault> {
    if !parts.is_multiple_of(16) {
        return Ok(());
    }
    tell_changed(turn, id)
}

/// Blobs whose transfer has gone some way.
#[derive(Default)]
struct BlobsUnderWay {
    /// Those whose files the driver is busy with.
    files: HashSet<BlobId>,
    /// Those of which the relay said how much it has, on this link.
    opened: HashSet<BlobId>,
}

impl Remembered for BlobsUnderWay {
    fn handle_link_lost(&mut self, _: LinkKind) {
        self.opened.clear();
    }
}

fn transfers<'t>(turn: &'t mut Turn<'_>) -> &'t mut BlobsUnderWay {
    turn.volatile.states.get_mut()
}

fn is_file_busy(turn: &Turn<'_>, blob: BlobId) -> bool {
    let under_way = turn.volatile.states.get::<BlobsUnderWay>();
    under_way.is_some_and(|blobs| blobs.files.contains(&blob))
}

fn is_opened(turn: &Turn<'_>, blob: BlobId) -> bool {
    let under_way = turn.volatile.states.get::<BlobsUnderWay>();
    under_way.is_some_and(|blobs| blobs.opened.contains(&blob))
}

/// Asks the relay again how much of each blob it has.
pub(crate) fn forget_opened(turn: &mut Turn<'_>) {
    transfers(turn).opened.clear();
}

/// The driver does not work on the blob's file after all.
pub(crate) fn handle_file_work_undone(turn: &mut Turn<'_>, blob: BlobId) {
    transfers(turn).files.remove(&blob);
}
