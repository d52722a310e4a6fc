//! Uploads files to the relay and fetches them, part by part.
//!
//! The driver reads parts from, and writes them to, the home's `blobs/`, a few at a time. The
//! table counts the parts that are safe.
//!
//! **Elsewhere**: what the relay is told and asked is in [`crate::link::blob`].
//!
//! **Always**: a part of an upload is safe once the relay has it on disk, one of a download
//! once it is in the file.

use std::collections::HashSet;

use rusqlite::OptionalExtension as _;
use waxwing_protocol::{
    limits,
    pb::{BlobPartFetched, BlobStored, Error},
    time::Span,
};

use super::{
    of_blob,
    own_devices::{self, ASKED, DAMAGED, GONE},
    tell_changed,
};
use crate::{
    api::ConversationId,
    containment::ErrorOwner,
    conversation::{self, Kind, groups},
    event::{BlobDone, BlobWork, Effect},
    link::{
        blob::{self, AGAIN, Blob, BlobId, BlobKind, BlobSecret, Refused},
        reader_marks::{self, ReaderMark},
    },
    memory::Remembered,
    turn::{Fault, Postponed, Turn},
};

/// Blobs that are brought at a time.
const AT_ONCE: u32 = 4;

/// A file on its way, as the table has it.
struct Transfer {
    blob: Blob,
    readers: u32,
    secret: Option<BlobSecret>,
    /// Whose file it is, where it is a copy for another device of the account.
    source: Option<BlobId>,
}

fn under_way(turn: &Turn<'_>) -> Result<Vec<Transfer>, Fault> {
    let mut statement = turn.tx.prepare_cached(
        "SELECT id, outgoing, bytes, parts, readers, secret, source FROM blob
         WHERE state = 1 LIMIT ?1",
    )?;
    let rows = statement.query_map([AT_ONCE], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn find(turn: &Turn<'_>, id: BlobId) -> Result<Option<Transfer>, Fault> {
    let mut statement = turn.tx.prepare_cached(
        "SELECT id, outgoing, bytes, parts, readers, secret, source FROM blob
         WHERE id = ?1 AND state = 1",
    )?;
    let mut rows = statement.query_map([id], read)?;
    Ok(rows.next().transpose()?)
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Transfer> {
    Ok(Transfer {
        blob: Blob {
            kind: BlobKind::Attachment,
            id: row.get(0)?,
            outgoing: row.get(1)?,
            bytes: row.get::<_, i64>(2)?.cast_unsigned(),
            parts: row.get(3)?,
        },
        readers: row.get(4)?,
        secret: row.get(5)?,
        source: row.get(6)?,
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

/// It is to be fetched, unless it is here or on its way. Where the relay does not have it any more,
/// the account's other devices are asked.
pub(crate) fn request_download(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    let is_damaged = turn
        .tx
        .prepare_cached("SELECT 1 FROM blob WHERE id = ?1 AND NOT outgoing AND state = ?2")?
        .exists((id, DAMAGED))?;
    if is_damaged && own_devices::ask(turn, id)? {
        set_state(turn, id, ASKED)?;
        return tell_changed(turn, id);
    }
    turn.tx.execute(
        "UPDATE blob SET state = 1, parts = 0
         WHERE id = ?1 AND NOT outgoing AND state NOT IN (1, 2)",
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
    if turn.memory.links.posting.ready().is_none() {
        return Ok(());
    }
    for transfer in under_way(turn)? {
        let blob = transfer.blob;
        if blob.is_busy(turn) || is_file_busy(turn, blob.id) {
            continue;
        }
        let brought = turn.run_contained(ErrorOwner::Part("attachment"), |turn| {
            if blob.outgoing {
                put(turn, &transfer)
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

fn put(turn: &mut Turn<'_>, transfer: &Transfer) -> Result<(), Fault> {
    let blob = &transfer.blob;
    if !blob.is_opened(turn) {
        return open(turn, transfer);
    }
    let (offset, length) = blob.next_part();
    work(
        turn,
        BlobWork::Read {
            blob: blob.id,
            file: transfer.source.unwrap_or(blob.id),
            part: blob.parts,
            offset,
            length,
        },
    );
    Ok(())
}

fn work(turn: &mut Turn<'_>, work: BlobWork) {
    if let Some(blob) = work.waits_for() {
        busy_files(turn).insert(blob);
    }
    turn.out.push(Effect::Blob(work));
}

fn open(turn: &mut Turn<'_>, transfer: &Transfer) -> Result<(), Fault> {
    let blob = &transfer.blob;
    let (readers, marks) = if transfer.secret.is_some() {
        // The relay has the marks, or takes the blob from the start.
        (transfer.readers, Vec::new())
    } else {
        let found = match transfer.source {
            Some(_) => own_devices::reader(turn, blob.id)?,
            None => readers(turn, blob.id)?,
        };
        let Some((readers, marks)) = found else {
            turn.postpone(Postponed::Blob(blob.id), Span::seconds(1));
            return Ok(());
        };
        // Nobody but this device is to have it.
        if readers == 0 {
            if own_devices::end_copy(turn, blob.id, false)? {
                return Ok(());
            }
            set_state(turn, blob.id, 2)?;
            return tell_changed(turn, blob.id);
        }
        (readers, reader_marks::registered(marks))
    };
    if let Some(secret) = blob.open(turn, readers, marks, transfer.secret)? {
        turn.tx.execute(
            "UPDATE blob SET readers = ?2, secret = ?3 WHERE id = ?1",
            (blob.id, readers, secret),
        )?;
    }
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
        let Some(group) = group.filter(|group| group.state.is_active()) else {
            let alone = turn.account()?.roster().devices().len() < 2;
            if found.kind == Kind::Notes && alone {
                continue;
            }
            turn.memory.due_mut().conversations.insert(conversation);
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
    let Some(Transfer { blob, .. }) = find(turn, id)? else {
        return Ok(());
    };
    if stored.of != blob.all_parts() {
        return mark_unavailable(turn, id);
    }
    let parts = blob.handle_stored(turn, stored);
    set_parts(turn, id, parts)?;
    if parts >= blob.all_parts() {
        blob::close(turn, id);
        if own_devices::end_copy(turn, id, true)? {
            return Ok(());
        }
        set_state(turn, id, 2)?;
        return tell_changed(turn, id);
    }
    tell_some(turn, id, parts)
}

fn fetch(turn: &mut Turn<'_>, blob: &Blob) -> Result<(), Fault> {
    if blob.is_whole() {
        return check(turn, blob.id);
    }
    blob.fetch(turn);
    Ok(())
}

/// A part has come from the relay.
pub(crate) fn handle_blob_part(
    turn: &mut Turn<'_>,
    id: BlobId,
    fetched: BlobPartFetched,
) -> Result<(), Fault> {
    let Some(Transfer { blob, .. }) = find(turn, id)? else {
        return Ok(());
    };
    if !blob.is_next(&fetched) || fetched.of != blob.all_parts() {
        return mark_unavailable(turn, id);
    }
    let (offset, _) = blob.next_part();
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
    let Some(Transfer { blob, .. }) = find(turn, id)? else {
        blob::close(turn, id);
        return Ok(());
    };
    match blob.handle_refusal(turn, error) {
        Refused::Gone if own_devices::ask(turn, id)? => {
            set_state(turn, id, ASKED)?;
            turn.out.push(Effect::Blob(BlobWork::Delete { blob: id }));
            tell_changed(turn, id)
        }
        Refused::Gone | Refused::Invalid => mark_unavailable(turn, id),
        Refused::FromStart => {
            turn.tx.execute(
                "UPDATE blob SET parts = 0, secret = NULL WHERE id = ?1 AND state = 1",
                [id],
            )?;
            Ok(())
        }
        Refused::Later => Ok(()),
    }
}

/// It cannot be brought.
fn mark_unavailable(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    lose(turn, id, GONE)
}

fn lose(turn: &mut Turn<'_>, id: BlobId, state: u8) -> Result<(), Fault> {
    if own_devices::end_copy(turn, id, false)? {
        blob::close(turn, id);
        return Ok(());
    }
    set_state(turn, id, state)?;
    turn.out.push(Effect::Blob(BlobWork::Delete { blob: id }));
    tell_changed(turn, id)
}

/// It failed by an error of this program's: it is not brought, unless the person asks again.
pub(crate) fn give_up(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    blob::close(turn, id);
    match find(turn, id)? {
        Some(_) => mark_unavailable(turn, id),
        None => Ok(()),
    }
}

/// The driver has done something with a file.
pub(crate) fn handle_file_done(turn: &mut Turn<'_>, done: BlobDone) -> Result<(), Fault> {
    let blob = done.blob();
    busy_files(turn).remove(&blob);
    let went_on = turn.run_contained(ErrorOwner::Part("attachment"), |turn| go_on(turn, done))?;
    if went_on.is_none() {
        give_up(turn, blob)?;
    }
    Ok(())
}

fn go_on(turn: &mut Turn<'_>, done: BlobDone) -> Result<(), Fault> {
    match done {
        BlobDone::Read { blob, part, bytes } => {
            let Some(found) = waiting_for(turn, blob, part)? else {
                return Ok(());
            };
            let (_, length) = found.next_part();
            let Some(bytes) = bytes.filter(|bytes| bytes.len() == length) else {
                return mark_unavailable(turn, blob);
            };
            if turn.memory.links.posting.ready().is_some() {
                found.put(turn, bytes);
            }
            Ok(())
        }
        BlobDone::Written { blob, part, ok } => {
            let Some(found) = waiting_for(turn, blob, part)? else {
                return Ok(());
            };
            if !ok {
                turn.postpone(Postponed::Blob(blob), AGAIN);
                return Ok(());
            }
            set_parts(turn, blob, part.saturating_add(1))?;
            if part.saturating_add(1) < found.all_parts() {
                tell_some(turn, blob, part)?;
            }
            Ok(())
        }
        BlobDone::Checked { blob, whole } => {
            if find(turn, blob)?.is_none() {
                return Ok(());
            }
            if !whole {
                return lose(turn, blob, DAMAGED);
            }
            set_state(turn, blob, 2)?;
            own_devices::handle_here(turn, blob)?;
            acknowledge(turn, blob)?;
            tell_changed(turn, blob)
        }
    }
}

/// The blob, if this part of it is the next.
fn waiting_for(turn: &Turn<'_>, id: BlobId, part: u32) -> Result<Option<Blob>, Fault> {
    let found = find(turn, id)?.map(|transfer| transfer.blob);
    Ok(found.filter(|blob| blob.parts == part))
}

/// The relay may forget it, as far as this device goes.
fn acknowledge(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    let mark: Option<Option<ReaderMark>> = turn
        .tx
        .prepare_cached("SELECT mark FROM blob WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    // Without one, its sender did not mean this device, or is older.
    if let Some(Some(mark)) = mark {
        blob::acknowledge(turn, id, mark);
    }
    Ok(())
}

/// Nobody here needs it any more.
pub(crate) fn forget(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    let secret: Option<Option<BlobSecret>> = turn
        .tx
        .prepare_cached("DELETE FROM blob WHERE id = ?1 RETURNING secret")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    turn.out.push(Effect::Blob(BlobWork::Delete { blob: id }));
    if let Some(Some(secret)) = secret {
        blob::delete(turn, id, secret);
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

/// Blobs whose files the driver is busy with.
#[derive(Default)]
struct BusyFiles(HashSet<BlobId>);

impl Remembered for BusyFiles {}

fn busy_files<'t>(turn: &'t mut Turn<'_>) -> &'t mut HashSet<BlobId> {
    &mut turn.memory.states.get_mut::<BusyFiles>().0
}

fn is_file_busy(turn: &Turn<'_>, blob: BlobId) -> bool {
    let busy = turn.memory.states.get::<BusyFiles>();
    busy.is_some_and(|busy| busy.0.contains(&blob))
}

/// The driver does not work on the blob's file after all.
pub(crate) fn handle_file_work_undone(turn: &mut Turn<'_>, blob: BlobId) {
    busy_files(turn).remove(&blob);
}
