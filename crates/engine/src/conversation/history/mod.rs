//! The history of conversations: messages, events and gaps in one order.
//!
//! **Elsewhere**: [`super::pages`] reads it, [`super::search`] searches it; the types that
//! people and programs see are in [`crate::api`].
//!
//! **Always**: a message is in a conversation once. The order is the order of arrival here,
//! except that what fills a gap takes the gap's place.

mod events;
mod message_states;

use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{
    ids::{AccountId, DeviceId, GroupId},
    time::Time,
};

use self::message_states::state_number;
pub(crate) use self::{
    events::{NewEvent, add_event, event_of, has_event, is_event, record, set_gap},
    message_states::{fail, mark_read, problem, raise_state, set_problem, state_of},
};
use crate::{
    api::{ConversationId, Direction, Message, MessageId, MessageState, Timestamp},
    archive::ArchiveSection,
    message::{deleted, proof::Proof},
    store::StoreError,
    tables::{Table, merge_rows},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    conversation BLOB NOT NULL REFERENCES conversation (id),
    place INTEGER NOT NULL,          -- orders; the id, but for what fills a gap
    kind INTEGER NOT NULL,           -- 1 message, 2 event, 3 gap
    address TEXT NOT NULL,           -- whose, in display form
    at INTEGER NOT NULL,             -- by this device's clock
    message BLOB,                    -- from here on: messages
    account_id BLOB,
    verified INTEGER,
    outgoing INTEGER,
    text TEXT,
    content BLOB,                    -- MIMI content, where it holds more than text
    reply_to BLOB,
    sent_at INTEGER,
    state INTEGER,
    problem TEXT,
    read INTEGER NOT NULL DEFAULT 1,
    event TEXT,                      -- events
    group_id BLOB,                   -- gaps
    device_id BLOB,
    missing INTEGER
);
CREATE UNIQUE INDEX entry_message ON entry (conversation, message) WHERE message IS NOT NULL;
CREATE UNIQUE INDEX entry_gap ON entry (group_id, device_id) WHERE kind = 3;
CREATE INDEX entry_place ON entry (conversation, place, id);
CREATE INDEX entry_unread ON entry (conversation, place) WHERE NOT read;
";

/// What more there is to say of an event.
pub(crate) const DETAILS: &str = "
ALTER TABLE entry ADD COLUMN by_address TEXT;
ALTER TABLE entry ADD COLUMN detail TEXT;
";

/// Whether the text is Markdown.
pub(crate) const FORMATS: &str = "
ALTER TABLE entry ADD COLUMN markdown INTEGER NOT NULL DEFAULT 0;
";

/// Whether a message was imported from a file.
pub(crate) const IMPORTED: &str = "
ALTER TABLE entry ADD COLUMN imported INTEGER NOT NULL DEFAULT 0;
CREATE INDEX entry_imported ON entry (conversation, message) WHERE imported;
";

/// Entries that one query gives, at most.
pub(crate) const ENTRIES_MAX: u32 = 1_000;

/// The entries of all conversations.
pub(crate) struct Entries;

impl Table for Entries {
    fn archived(&self) -> Option<&dyn ArchiveSection> {
        Some(self)
    }

    fn merge_conversations(
        &self,
        tx: &Transaction<'_>,
        from: ConversationId,
        into: ConversationId,
    ) -> Result<(), StoreError> {
        merge_rows(tx, "entry", from, into)
    }
}

/// Somebody's message, to be added.
pub(crate) struct NewMessage<'a> {
    pub id: MessageId,
    pub conversation: ConversationId,
    pub account: AccountId,
    pub address: &'a str,
    pub verified: bool,
    pub direction: Direction,
    pub text: &'a str,
    /// Whether the text is Markdown.
    pub markdown: bool,
    pub content: Option<&'a [u8]>,
    /// That its sender said it, where that is another account.
    pub proof: Option<&'a Proof>,
    pub reply_to: Option<MessageId>,
    pub sent_at: Time,
    /// How far it is, where this account wrote it.
    pub state: MessageState,
    /// So many seconds after it was read it disappears.
    pub expires_after: Option<u32>,
    /// Whose gap it fills, if it does.
    pub fills: Option<(GroupId, DeviceId)>,
}

/// Adds a message. `false` when it is there already, or the person has deleted it.
pub(crate) fn add_message(
    tx: &Transaction<'_>,
    now: Time,
    message: &NewMessage<'_>,
) -> Result<bool, StoreError> {
    if deleted::is_deleted(tx, message.id)? {
        return Ok(false);
    }
    let outgoing = message.direction == Direction::Out;
    let place: Option<i64> = match message.fills {
        None => None,
        Some((group, device)) => tx
            .prepare_cached(
                "SELECT place FROM entry WHERE group_id = ?1 AND device_id = ?2 AND kind = 3",
            )?
            .query_row((group.0, device.0), |row| row.get(0))
            .optional()?,
    };
    let added = tx
        .prepare_cached(
            "INSERT INTO entry (conversation, place, kind, address, at, message, account_id,
                 verified, outgoing, text, content, reply_to, sent_at, state, read, expires_after,
                 markdown, proof)
             VALUES (?1, coalesce(?2, (SELECT coalesce(max(id), 0) + 1 FROM entry)), 1, ?3, ?4, ?5,
                 ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?8, ?14, ?15, ?16)
             ON CONFLICT DO NOTHING",
        )?
        .execute(rusqlite::params![
            message.conversation.as_bytes(),
            place,
            message.address,
            signed(now),
            message.id.as_bytes(),
            message.account.0,
            message.verified,
            outgoing,
            message.text,
            message.content,
            message.reply_to.map(|id| *id.as_bytes()),
            signed(message.sent_at),
            outgoing.then_some(state_number(message.state)),
            message.expires_after,
            message.markdown,
            message.proof.map(Proof::to_bytes),
        ])?;
    Ok(added > 0)
}

/// A text message of the phone network, to be added.
pub(crate) struct NewText<'a> {
    pub id: MessageId,
    pub conversation: ConversationId,
    /// Who claims to have sent it.
    pub from: &'a str,
    pub direction: Direction,
    pub text: &'a str,
    pub sent_at: Time,
}

/// Adds a text message, which proves nothing. `false` when it is there already, or the person has
/// deleted it.
pub(crate) fn add_text(
    tx: &Transaction<'_>,
    now: Time,
    new: &NewText<'_>,
) -> Result<bool, StoreError> {
    if deleted::is_deleted(tx, new.id)? {
        return Ok(false);
    }
    let outgoing = new.direction == Direction::Out;
    let added = tx
        .prepare_cached(
            "INSERT INTO entry (conversation, place, kind, address, at, message, verified,
                 outgoing, text, sent_at, state, read)
             VALUES (?1, (SELECT coalesce(max(id), 0) + 1 FROM entry), 1, ?2, ?3, ?4, 0, ?5, ?6,
                 ?7, ?8, ?5)
             ON CONFLICT DO NOTHING",
        )?
        .execute((
            new.conversation.as_bytes(),
            new.from,
            signed(now),
            new.id.as_bytes(),
            outgoing,
            new.text,
            signed(new.sent_at),
            outgoing.then_some(state_number(MessageState::Queued)),
        ))?;
    Ok(added > 0)
}

/// More of a text message is here: it says this now. `false` where it did already.
pub(crate) fn set_text(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
    text: &str,
) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE entry SET text = ?3 WHERE conversation = ?1 AND message = ?2 AND text != ?3",
        (conversation.as_bytes(), message.as_bytes(), text),
    )?;
    Ok(changed > 0)
}

/// Whether the text of a message is Markdown.
pub(crate) fn is_markdown(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    id: MessageId,
) -> Result<bool, StoreError> {
    let found: Option<bool> = tx
        .prepare_cached("SELECT markdown FROM entry WHERE conversation = ?1 AND message = ?2")?
        .query_row((conversation.as_bytes(), id.as_bytes()), |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(false))
}

/// The text of a message is Markdown.
pub(crate) fn set_markdown(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    id: MessageId,
) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE entry SET markdown = 1 WHERE conversation = ?1 AND message = ?2")?
        .execute((conversation.as_bytes(), id.as_bytes()))?;
    Ok(())
}

/// Adds a message from a file before all that are younger. `false` when it is there, or the person
/// has deleted it.
pub(crate) fn add_imported(
    tx: &Transaction<'_>,
    now: Time,
    into: ConversationId,
    message: &Message,
) -> Result<bool, StoreError> {
    if deleted::is_deleted(tx, message.id)? {
        return Ok(false);
    }
    let sent_at = message.sent_at.0.min(now);
    let time = |time: Time| time.0.min(i64::MAX as u64).cast_signed();
    let outgoing = message.direction == Direction::Out;
    let added = tx
        .prepare_cached(
            "INSERT INTO entry (conversation, place, kind, address, at, message, verified,
                 outgoing, text, reply_to, sent_at, state, read, markdown, imported,
                 edited_at, taken_back_at)
             VALUES (?1, coalesce(?12, (SELECT coalesce(max(id), 0) + 1 FROM entry)),
                 1, ?3, ?2, ?4, 0, ?5, ?6, ?7, ?2, ?8, 1, ?9, 1, ?10, ?11)
             ON CONFLICT DO NOTHING",
        )?
        .execute((
            into.as_bytes(),
            time(sent_at),
            &message.from,
            message.id.as_bytes(),
            outgoing,
            if message.taken_back {
                ""
            } else {
                &message.text
            },
            message.reply_to.map(|id| *id.as_bytes()),
            outgoing.then_some(state_number(MessageState::Accepted)),
            !message.formatted.is_empty(),
            message.edited_at.map(|at| time(at.0)),
            message.taken_back.then_some(time(sent_at)),
            place_by_time(tx, into, time(sent_at))?,
        ))?;
    Ok(added > 0)
}

/// Where a message stands that was sent at a time: behind the last that was sent before, or
/// before all; `None` for the end.
fn place_by_time(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    sent_at: i64,
) -> Result<Option<i64>, StoreError> {
    let (first, last): (Option<i64>, Option<i64>) = tx
        .prepare_cached(
            "SELECT (SELECT min(place) FROM entry WHERE conversation = ?1),
                    (SELECT max(place) FROM entry WHERE conversation = ?1)",
        )?
        .query_row([conversation.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let before: Option<i64> = tx
        .prepare_cached(
            "SELECT place FROM entry WHERE conversation = ?1 AND sent_at <= ?2
             ORDER BY place DESC LIMIT 1",
        )?
        .query_row((conversation.as_bytes(), sent_at), |row| row.get(0))
        .optional()?;
    Ok(match before {
        None => first.map(|first| first.saturating_sub(1)),
        place if place == last => None,
        place => place,
    })
}

/// A message has come by itself: what a file says of it does not count any more. Gives whether
/// there was anything.
pub(crate) fn delete_imported(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<bool, StoreError> {
    let gone = tx
        .prepare_cached(
            "DELETE FROM entry WHERE conversation = ?1 AND message = ?2 AND imported = 1",
        )?
        .execute((conversation.as_bytes(), message.as_bytes()))?;
    Ok(gone > 0)
}

/// Whether the conversation has this message.
pub(crate) fn has_message(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<bool, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT 1 FROM entry WHERE conversation = ?1 AND message = ?2")?;
    Ok(statement.exists((conversation.as_bytes(), message.as_bytes()))?)
}

/// What can be disclosed of a message.
pub(crate) enum Disclosed {
    /// Nothing: it was taken back.
    TakenBack,
    /// Nothing that others could check: it is this account's, or came without a proof.
    Unproven,
    /// Its author, their proof, and what they signed.
    Proven(AccountId, Proof, Vec<u8>),
}

/// What can be disclosed of a message of this conversation.
pub(crate) fn disclosed(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<Option<Disclosed>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT taken_back_at IS NOT NULL, outgoing, account_id, proof, content FROM entry
         WHERE conversation = ?1 AND message = ?2",
    )?;
    let key = (conversation.as_bytes(), message.as_bytes());
    let found = statement.query_row(key, |row| {
        if row.get(0)? {
            return Ok(Disclosed::TakenBack);
        }
        let own: Option<bool> = row.get(1)?;
        let account: Option<[u8; 32]> = row.get(2)?;
        let proof: Option<Vec<u8>> = row.get(3)?;
        let proof = proof.as_deref().and_then(Proof::from_bytes);
        Ok(match (account, proof, row.get(4)?, own) {
            (Some(account), Some(proof), Some(content), Some(false)) => {
                Disclosed::Proven(AccountId(account), proof, content)
            }
            _ => Disclosed::Unproven,
        })
    });
    Ok(found.optional()?)
}

/// Whether this account wrote the message.
pub(crate) fn is_own(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<bool, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT 1 FROM entry WHERE conversation = ?1 AND message = ?2 AND outgoing",
    )?;
    Ok(statement.exists((conversation.as_bytes(), message.as_bytes()))?)
}

/// The newest message of others.
pub(crate) fn newest_of_others(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Option<MessageId>, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT message FROM entry WHERE conversation = ?1 AND kind = 1 AND NOT outgoing
             ORDER BY place DESC, id DESC LIMIT 1",
        )?
        .query_row([conversation.as_bytes()], |row| {
            row.get(0).map(MessageId::from_bytes)
        })
        .optional()?)
}

/// How many messages there are.
pub(crate) fn count_messages(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<u64, StoreError> {
    let count: i64 = tx
        .prepare_cached("SELECT count(*) FROM entry WHERE conversation = ?1 AND kind = 1")?
        .query_row([conversation.as_bytes()], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// The messages that came until then.
pub(crate) fn messages_until(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    until: Time,
) -> Result<Vec<MessageId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT message FROM entry
         WHERE conversation = ?1 AND message IS NOT NULL AND at <= ?2",
    )?;
    let at = i64::try_from(until.0).unwrap_or(i64::MAX);
    let rows = statement.query_map((conversation.as_bytes(), at), |row| {
        row.get(0).map(MessageId::from_bytes)
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Deletes all that came until then, from the disk too.
pub(crate) fn delete_until(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    until: Time,
) -> Result<(), StoreError> {
    let at = i64::try_from(until.0).unwrap_or(i64::MAX);
    tx.execute(
        "DELETE FROM entry WHERE conversation = ?1 AND at <= ?2",
        (conversation.as_bytes(), at),
    )?;
    Ok(())
}

/// How many messages are unread.
pub(crate) fn unread(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<u64, StoreError> {
    let count: i64 = tx
        .prepare_cached("SELECT count(*) FROM entry WHERE conversation = ?1 AND NOT read")?
        .query_row([conversation.as_bytes()], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// Ids of all messages, wherever they stand.
pub(crate) const MESSAGE_IDS: &str = "
CREATE INDEX entry_message_id ON entry (message) WHERE message IS NOT NULL;
";

/// The newest messages from the other side, and whether each was read; as many as one page.
pub(crate) fn received(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Vec<(MessageId, bool)>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT message, read FROM entry
         WHERE conversation = ?1 AND kind = 1 AND NOT outgoing
         ORDER BY place DESC, id DESC LIMIT ?2",
    )?;
    let rows = statement.query_map((conversation.as_bytes(), ENTRIES_MAX), |row| {
        Ok((MessageId::from_bytes(row.get(0)?), row.get(1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) const fn signed(time: Time) -> i64 {
    time.0.cast_signed()
}

pub(super) const fn time(ms: i64) -> Timestamp {
    Timestamp(Time(ms.cast_unsigned()))
}
