//! Attachments: files that messages carry.
//!
//! A file is sealed before the engine learns about it, and stays sealed in the home's `blobs/`
//! under a random id, both on the sender's device and on devices that fetched it. Its key,
//! size and hash are in the message. The relay has the sealed bytes, part by part, until every
//! reader has them. [`transfer`] uploads and fetches them; [`own_devices`] gets those that the
//! relay no longer has from the account's other devices.
//!
//! **Elsewhere**: `waxwing_protocol::blob` seals and opens; the driver reads and writes files
//! ([`crate::event::BlobWork`]).
//!
//! **Always**: a message is sent once its files are at the relay. A fetched file counts only
//! if its hash, and the tag of each chunk, match the message.

pub(crate) mod hooks;
pub(crate) mod own_devices;
pub(crate) mod preview;
pub(crate) mod sealed;
pub(crate) mod transfer;

use rusqlite::{OptionalExtension as _, Transaction};

use crate::{
    api::{self, AttachmentState, ConversationId, Message, MessageId},
    content::{self, Content, File},
    conversation::reader::MessageHook,
    event::{BlobWork, Effect},
    link::{blob, reader_marks},
    mls::Member,
    store::StoreError,
    tables::{Table, merge_rows},
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE attachment (
    conversation BLOB NOT NULL,
    message BLOB NOT NULL,
    number INTEGER NOT NULL,        -- its place in the message
    blob_id BLOB NOT NULL,
    media_type TEXT NOT NULL,
    name TEXT NOT NULL,             -- as the sender called it
    size INTEGER NOT NULL,          -- of the file
    key BLOB NOT NULL,
    hash BLOB NOT NULL,             -- SHA-256 of the sealed bytes
    preview BLOB,                   -- Preview
    PRIMARY KEY (conversation, message, number)
) WITHOUT ROWID;
CREATE INDEX attachment_blob ON attachment (blob_id);
CREATE TABLE blob (
    id BLOB PRIMARY KEY,
    outgoing INTEGER NOT NULL,      -- put by this device
    state INTEGER NOT NULL,         -- 0 offered, 1 under way, 2 whole, 3 gone
    bytes INTEGER NOT NULL,         -- sealed
    parts INTEGER NOT NULL,         -- that are there: at the relay, or here
    readers INTEGER NOT NULL DEFAULT 0,
    secret BLOB                     -- deletes it at the relay
) WITHOUT ROWID;
CREATE INDEX blob_under_way ON blob (id) WHERE state = 1;
";

/// By what this device says that it has a blob: see [`reader_marks`].
pub(crate) const MARKS: &str = "
ALTER TABLE blob ADD COLUMN mark BLOB;
";

/// The state of a blob whose message is to be sent later.
const FOR_LATER: u8 = 4;

/// Files up to this size are fetched by themselves, from people who were written to.
const FETCHED_BY_ITSELF: u64 = 16 << 20;

/// The files of all messages.
pub(crate) struct Attachments;

impl MessageHook for Attachments {
    fn complete(&self, tx: &Transaction<'_>, message: &mut Message) -> Result<(), StoreError> {
        message.attachments = of_message(tx, message.conversation, message.id)?;
        Ok(())
    }
}

impl Table for Attachments {
    fn merge_conversations(
        &self,
        tx: &Transaction<'_>,
        from: ConversationId,
        into: ConversationId,
    ) -> Result<(), StoreError> {
        merge_rows(tx, "attachment", from, into)
    }

    fn restore_content(
        &self,
        tx: &Transaction<'_>,
        conversation: ConversationId,
        message: MessageId,
        content: &Content,
    ) -> Result<(), StoreError> {
        store_files(tx, conversation, message, &content::files(content), false)
    }

    /// Here and, if this device put them there, at the relay.
    fn erase_content(
        &self,
        turn: &mut Turn<'_>,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), Fault> {
        let blobs: Vec<[u8; 32]> = {
            let mut statement = turn.tx.prepare_cached(
                "DELETE FROM attachment WHERE conversation = ?1 AND message = ?2
                 RETURNING blob_id",
            )?;
            let key = (conversation.as_bytes(), message.as_bytes());
            let rows = statement.query_map(key, |row| row.get(0))?;
            rows.collect::<Result<_, _>>()?
        };
        for blob in blobs {
            if of_blob(turn.tx, blob)?.is_none() {
                transfer::forget(turn, blob)?;
            }
        }
        Ok(())
    }
}

/// Keeps the files of a message; those of others are offered.
pub(crate) fn store_files(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
    files: &[File],
    outgoing: bool,
) -> Result<(), StoreError> {
    for (number, file) in files.iter().enumerate() {
        tx.prepare_cached(
            "INSERT INTO attachment
                 (conversation, message, number, blob_id, media_type, name, size, key, hash,
                  preview)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
        )?
        .execute((
            conversation.as_bytes(),
            message.as_bytes(),
            i64::try_from(number).unwrap_or(i64::MAX),
            file.blob,
            &file.media_type,
            &file.name,
            signed(file.size),
            file.key,
            file.hash,
            (!file.preview.is_empty()).then_some(&file.preview),
        ))?;
        tx.prepare_cached(
            "INSERT INTO blob (id, outgoing, state, bytes, parts) VALUES (?1, ?2, ?3, ?4, 0)
             ON CONFLICT DO NOTHING",
        )?
        .execute((
            file.blob,
            outgoing,
            u8::from(outgoing),
            signed(file.sealed_bytes()),
        ))?;
    }
    Ok(())
}

/// Keeps the files of a message that was imported: they are here already.
pub(crate) fn keep_here(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
    files: &[File],
) -> Result<(), StoreError> {
    store_files(tx, conversation, message, files, false)?;
    for file in files {
        tx.prepare_cached("UPDATE blob SET state = 2 WHERE id = ?1 AND state = 0")?
            .execute([file.blob])?;
    }
    Ok(())
}

/// A message of somebody has come, perhaps with files: small files of people whom this
/// account has written to are fetched at once.
pub(crate) fn handle_attachments(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    message: MessageId,
    content: &Content,
    sender: &Member,
    trusted: bool,
) -> Result<(), Fault> {
    let files = content::files(content);
    store_files(turn.tx, conversation, message, &files, false)?;
    for file in files {
        keep_mark(turn, file.blob, sender)?;
        if trusted && file.size <= FETCHED_BY_ITSELF {
            transfer::request_download(turn, file.blob)?;
        }
    }
    Ok(())
}

/// Keeps by what this device tells the relay that it has a file, once it has it.
fn keep_mark(turn: &Turn<'_>, blob: [u8; 32], sender: &Member) -> Result<(), Fault> {
    let account = turn.account()?;
    let own = account.device();
    let Some(mark) = reader_marks::mark_for(account.leaf(), sender, blob, sender.device, own)
    else {
        return Ok(());
    };
    turn.tx
        .prepare_cached("UPDATE blob SET mark = ?2 WHERE id = ?1 AND mark IS NULL")?
        .execute((blob, mark))?;
    Ok(())
}

/// A message's attachments, as people see them.
pub(crate) fn of_message(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<Vec<api::Attachment>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT number, media_type, name, size, state, coalesce(bytes, 0), coalesce(parts, 0),
             outgoing, preview, w.devices,
             (SELECT count(*) FROM file_answer f WHERE f.hash = a.hash AND NOT f.is_coming),
             (SELECT count(*) FROM file_answer f WHERE f.hash = a.hash AND f.is_coming)
         FROM attachment a LEFT JOIN blob b ON b.id = a.blob_id
             LEFT JOIN file_wanted w ON w.hash = a.hash
         WHERE conversation = ?1 AND message = ?2 ORDER BY number",
    )?;
    let rows = statement.query_map((conversation.as_bytes(), message.as_bytes()), |row| {
        let bytes = row.get::<_, i64>(5)?.cast_unsigned();
        let parts: u32 = row.get(6)?;
        let size = row.get::<_, i64>(3)?.cast_unsigned();
        let kept: Option<u8> = row.get(4)?;
        let state = match kept {
            None => AttachmentState::Deleted,
            Some(0) => AttachmentState::Offered,
            Some(1) if row.get(7)? => AttachmentState::Sending,
            Some(1 | own_devices::ASKED) => AttachmentState::Fetching,
            Some(2) => AttachmentState::Here,
            Some(_) => AttachmentState::Gone,
        };
        let of = blob::parts_of(bytes).max(1);
        Ok(api::Attachment {
            number: row.get(0)?,
            media_type: row.get(1)?,
            name: row.get(2)?,
            size,
            state,
            percent: (u64::from(parts) * 100 / u64::from(of)).min(100),
            preview: row
                .get::<_, Option<Vec<u8>>>(8)?
                .and_then(|bytes| preview::shown(&bytes)),
            missing: own_devices::missing(
                kept.unwrap_or(0),
                row.get(9)?,
                (row.get(10)?, row.get(11)?),
            ),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Keeps the files of a message that is to be sent later.
pub(crate) fn keep_for_later(tx: &Transaction<'_>, files: &[File]) -> Result<(), StoreError> {
    for file in files {
        tx.prepare_cached(
            "INSERT INTO blob (id, outgoing, state, bytes, parts) VALUES (?1, 1, ?3, ?2, 0)
             ON CONFLICT DO NOTHING",
        )?
        .execute((file.blob, signed(file.sealed_bytes()), FOR_LATER))?;
    }
    Ok(())
}

/// The message of these files is about to be sent. Gives those that waited for it.
pub(crate) fn release_kept(
    tx: &Transaction<'_>,
    files: &[File],
) -> Result<Vec<[u8; 32]>, StoreError> {
    let mut kept = Vec::new();
    for file in files {
        let released = tx
            .prepare_cached("DELETE FROM blob WHERE id = ?1 AND state = ?2")?
            .execute((file.blob, FOR_LATER))?;
        if released > 0 {
            kept.push(file.blob);
        }
    }
    Ok(kept)
}

/// The message of these files is not sent after all.
pub(crate) fn forget_kept(turn: &mut Turn<'_>, files: &[File]) -> Result<(), Fault> {
    for blob in release_kept(turn.tx, files)? {
        turn.out.push(Effect::Blob(BlobWork::Delete { blob }));
    }
    Ok(())
}

/// The relay keeps the files of a message, though this device forgets them.
pub(crate) fn leave_at_relay(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE blob SET secret = NULL WHERE state = 2 AND id IN (
             SELECT blob_id FROM attachment WHERE conversation = ?1 AND message = ?2)",
    )?
    .execute((conversation.as_bytes(), message.as_bytes()))?;
    Ok(())
}

/// Deletes a file from this device, with all that opens it; that it was there stays.
pub(crate) fn delete_file(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    message: MessageId,
    number: u32,
) -> Result<(), Fault> {
    let Some(file) = find(turn.tx, conversation, message, number)? else {
        return Ok(());
    };
    leave_at_relay(turn.tx, conversation, message)?;
    turn.tx
        .prepare_cached(
            "UPDATE attachment SET blob_id = zeroblob(32), key = zeroblob(32),
                 hash = zeroblob(32), preview = NULL
             WHERE conversation = ?1 AND message = ?2 AND number = ?3",
        )?
        .execute((conversation.as_bytes(), message.as_bytes(), number))?;
    if of_blob(turn.tx, file.blob)?.is_none() {
        transfer::forget(turn, file.blob)?;
    }
    Ok(())
}

/// The files of a message of this account that failed, to be sent with another; `None` if one of
/// them is not on this device any more.
pub(crate) fn take_over(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<Option<Vec<File>>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT blob_id, key, hash, size, media_type, name, preview, state
         FROM attachment a LEFT JOIN blob b ON b.id = a.blob_id
         WHERE conversation = ?1 AND message = ?2 ORDER BY number",
    )?;
    let rows = statement.query_map((conversation.as_bytes(), message.as_bytes()), |row| {
        let preview: Option<Vec<u8>> = row.get(6)?;
        let file = File {
            preview: preview.unwrap_or_default(),
            ..read_file(row)?
        };
        let is_here = matches!(row.get::<_, Option<u8>>(7)?, Some(1 | 2));
        Ok(is_here.then_some(file))
    })?;
    let files: Option<Vec<File>> = rows.collect::<Result<_, _>>()?;
    for file in files.iter().flatten() {
        // The relay says how much of it it has still.
        tx.prepare_cached("UPDATE blob SET state = 1 WHERE id = ?1 AND outgoing")?
            .execute([file.blob])?;
    }
    Ok(files)
}

/// One attachment, to be opened.
pub(crate) fn find(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
    number: u32,
) -> Result<Option<File>, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT blob_id, key, hash, size, media_type, name FROM attachment
             WHERE conversation = ?1 AND message = ?2 AND number = ?3",
        )?
        .query_row(
            (conversation.as_bytes(), message.as_bytes(), number),
            read_file,
        )
        .optional()?)
}

/// What a crash left in the home's `blobs/`, and nothing here knows, goes.
pub(crate) fn sweep(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let blobs = {
        let mut statement = turn.tx.prepare("SELECT id FROM blob")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    turn.out.push(Effect::Blob(BlobWork::Keep { blobs }));
    Ok(())
}

/// Files of messages, which archives and backups do not have; `None` where there are none.
pub(crate) fn not_in_archives(
    tx: &Transaction<'_>,
) -> Result<Option<api::FilesLeftOut>, StoreError> {
    let (files, bytes) = tx.query_row(
        "SELECT count(*), coalesce(sum(size), 0)
         FROM (SELECT DISTINCT hash, size FROM attachment)",
        [],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
    )?;
    Ok((files > 0).then_some(api::FilesLeftOut {
        files: files.cast_unsigned(),
        bytes: bytes.cast_unsigned(),
    }))
}

fn of_blob(tx: &Transaction<'_>, blob: [u8; 32]) -> Result<Option<File>, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT blob_id, key, hash, size, media_type, name FROM attachment
             WHERE blob_id = ?1 LIMIT 1",
        )?
        .query_row([blob], read_file)
        .optional()?)
}

fn read_file(row: &rusqlite::Row<'_>) -> rusqlite::Result<File> {
    Ok(File {
        blob: row.get(0)?,
        key: row.get(1)?,
        hash: row.get(2)?,
        size: row.get::<_, i64>(3)?.cast_unsigned(),
        media_type: row.get(4)?,
        name: row.get(5)?,
        preview: Vec::new(),
    })
}

/// The messages that have this file.
fn messages_with(
    tx: &Transaction<'_>,
    blob: [u8; 32],
) -> Result<Vec<(ConversationId, MessageId)>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT conversation, message FROM attachment WHERE blob_id = ?1")?;
    let rows = statement.query_map([blob], |row| {
        Ok((
            ConversationId::from_bytes(row.get(0)?),
            MessageId::from_bytes(row.get(1)?),
        ))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// More of a file is there, or it is lost: what waits for it is told.
fn tell_changed(turn: &mut Turn<'_>, blob: [u8; 32]) -> Result<(), Fault> {
    for (conversation, message) in messages_with(turn.tx, blob)? {
        turn.handle_files_changed(conversation, message)?;
    }
    Ok(())
}

const fn signed(number: u64) -> i64 {
    number.cast_signed()
}
