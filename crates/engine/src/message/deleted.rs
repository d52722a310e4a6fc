//! What the person has deleted for themselves: it does not come back, neither with an archive nor
//! when a device of somebody sends it again.
//!
//! The table names every message that this device has deleted, so that an archive that was made
//! before does not restore it. Other devices learn of it from synced settings: of each message
//! that was deleted by itself, and of the newest messages of a conversation that was deleted.
//!
//! **Elsewhere**: [`super::deleting`] carries out what people ask for; messages that disappear by
//! themselves are in [`super::expiry`].
//!
//! **Always**: nothing of a deleted message stays except its id.

use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{
    ids::{DeviceId, GroupId},
    time::Time,
};

use crate::{
    api::{ConversationId, MessageId},
    conversation::pages::EntryPosition,
    store::StoreError,
    synced_settings::{self, SettingKind},
    tables::Table,
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE deleted_message (
    message BLOB PRIMARY KEY
) WITHOUT ROWID;
CREATE TABLE deleted_conversation (
    conversation BLOB PRIMARY KEY,
    at INTEGER NOT NULL             -- by this device's clock
) WITHOUT ROWID;
";

/// Of a conversation that is deleted, so many of its newest messages are named to other devices.
/// One would do, but a device may have lost it, or deleted it before.
const NEWEST: u32 = 8;

/// What was deleted.
pub(crate) struct Deletions;

impl Table for Deletions {
    fn merge_conversations(
        &self,
        tx: &Transaction<'_>,
        from: ConversationId,
        _into: ConversationId,
    ) -> Result<(), StoreError> {
        tx.execute(
            "DELETE FROM deleted_conversation WHERE conversation = ?1",
            [from.as_bytes()],
        )?;
        Ok(())
    }
}

/// Whether the person has deleted a message, on any of their devices.
pub(crate) fn is_deleted(tx: &Transaction<'_>, message: MessageId) -> Result<bool, StoreError> {
    let here = tx
        .prepare_cached("SELECT 1 FROM deleted_message WHERE message = ?1")?
        .exists([message.as_bytes()])?;
    Ok(here || synced_settings::is_set(tx, SettingKind::Deleted, message.as_bytes())?)
}

/// Whether the conversation was deleted, and nothing has come since.
pub(crate) fn is_conversation_deleted(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT 1 FROM deleted_conversation d WHERE conversation = ?1 AND NOT EXISTS (
                 SELECT 1 FROM entry e WHERE e.conversation = d.conversation)",
        )?
        .exists([conversation.as_bytes()])?)
}

/// Whether an event or gap of this time was deleted with its conversation.
pub(crate) fn is_from_before(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    at: i64,
) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM deleted_conversation WHERE conversation = ?1 AND at >= ?2")?
        .exists((conversation.as_bytes(), at))?)
}

/// The conversation is deleted at this time.
pub(super) fn add_conversation(
    tx: &Transaction<'_>,
    now: Time,
    conversation: ConversationId,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO deleted_conversation (conversation, at) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET at = excluded.at",
    )?
    .execute((conversation.as_bytes(), now.0.cast_signed()))?;
    Ok(())
}

/// The message is deleted, and does not come back.
pub(super) fn add(tx: &Transaction<'_>, message: MessageId) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR IGNORE INTO deleted_message (message) VALUES (?1)")?
        .execute([message.as_bytes()])?;
    Ok(())
}

/// Deletes a message from the history.
pub(super) fn delete_entry(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM entry WHERE conversation = ?1 AND message = ?2")?
        .execute((conversation.as_bytes(), message.as_bytes()))?;
    Ok(())
}

/// Deletes the entries of a conversation, up to a place or all. Gives its messages, each with
/// whether it is at the relay, or beyond.
pub(super) fn delete_entries(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    up_to: Option<EntryPosition>,
) -> Result<Vec<(MessageId, bool)>, StoreError> {
    let (place, row) = up_to.unwrap_or((i64::MAX, i64::MAX));
    let mut statement = tx.prepare_cached(
        "DELETE FROM entry WHERE conversation = ?1 AND (place, id) <= (?2, ?3)
         RETURNING message, NOT coalesce(outgoing, 0) OR coalesce(state, 0) >= 2",
    )?;
    let rows = statement.query_map((conversation.as_bytes(), place, row), |row| {
        let id: Option<[u8; 32]> = row.get(0)?;
        Ok((id.map(MessageId::from_bytes), row.get(1)?))
    })?;
    let entries: Vec<(Option<MessageId>, bool)> = rows.collect::<Result<_, _>>()?;
    let messages = entries.into_iter();
    Ok(messages
        .filter_map(|(id, has_left)| Some((id?, has_left)))
        .collect())
}

/// The newest messages of a conversation that other devices have, too.
pub(super) fn newest(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Vec<MessageId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT message FROM entry
         WHERE conversation = ?1 AND kind = 1 AND NOT imported AND (NOT outgoing OR state >= 2)
         ORDER BY place DESC, id DESC LIMIT ?2",
    )?;
    let rows = statement.query_map((conversation.as_bytes(), NEWEST), |row| {
        row.get(0).map(MessageId::from_bytes)
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Where the gap of a device's messages stands.
pub(super) fn place_of_gap(
    tx: &Transaction<'_>,
    (group, device): (GroupId, DeviceId),
) -> Result<Option<EntryPosition>, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT place, id FROM entry WHERE group_id = ?1 AND device_id = ?2 AND kind = 3",
        )?
        .query_row((group.0, device.0), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

/// Whether a message is at the relay, or beyond.
pub(super) fn has_left(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT 1 FROM entry
             WHERE conversation = ?1 AND message = ?2 AND (NOT outgoing OR state >= 2)",
        )?
        .exists((conversation.as_bytes(), message.as_bytes()))?)
}

/// The content of a message, where it holds more than its text.
pub(super) fn content_of(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<Option<Vec<u8>>, StoreError> {
    let content: Option<Option<Vec<u8>>> = tx
        .prepare_cached("SELECT content FROM entry WHERE conversation = ?1 AND message = ?2")?
        .query_row((conversation.as_bytes(), message.as_bytes()), |row| {
            row.get(0)
        })
        .optional()?;
    Ok(content.flatten())
}

/// Keeps only the text of a message: its content holds the keys of its files.
pub(super) fn forget_content(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE entry SET content = NULL, proof = NULL WHERE conversation = ?1 AND message = ?2",
    )?
    .execute((conversation.as_bytes(), message.as_bytes()))?;
    Ok(())
}

/// Deletes a message wherever it stands; for tests of archives.
#[cfg(test)]
pub(crate) fn delete_for_good(tx: &Transaction<'_>, message: MessageId) -> Result<(), StoreError> {
    add(tx, message)?;
    tx.execute("DELETE FROM entry WHERE message = ?1", [message.as_bytes()])?;
    Ok(())
}
