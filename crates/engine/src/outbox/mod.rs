//! The outbox: what this device sends, from the moment it is written until nobody can ask for
//! it again.
//!
//! A row waits without a group. When it can be sent, it takes the group's next counter and is
//! encrypted; the transaction that advances the ratchet also stores the ciphertext and the
//! post id. The relay's answer makes the row accepted (not the post's echo, which can arrive
//! before the relay has it on disk). Its envelope is kept for [`KEPT`], so that a device that
//! missed it can ask for it again.
//!
//! **Elsewhere**: [`crate::outbox::sending`] sends; [`crate::conversation::history`] shows
//! people the state of a message.
//!
//! **Always**: a row has one counter and one MIMI id for ever, no matter how often it is
//! encrypted. The relay does not accept the same post id twice. A sent message is resent only
//! to accounts that were members when it was sent ([`crate::inbox::resending`]).

pub(crate) mod content;
pub(crate) mod progress;
pub(crate) mod receipts;
pub(crate) mod sending;

use rusqlite::{OptionalExtension as _, Row, Transaction};
use waxwing_protocol::{
    ids::{Epoch, GroupId, PostId},
    time::{Span, Time},
};

use crate::{
    api::{ConversationId, MessageId},
    store::StoreError,
    tables::Table,
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE outgoing (
    id INTEGER PRIMARY KEY,
    conversation BLOB NOT NULL,
    message BLOB,                -- the MIMI id of what a person wrote
    body BLOB NOT NULL,          -- Envelope without its counter
    written_at INTEGER NOT NULL,
    state INTEGER NOT NULL,      -- 0 waits, 1 encrypted, 2 accepted
    group_id BLOB,
    counter INTEGER,
    post_id BLOB,
    epoch INTEGER,
    ciphertext BLOB
);
CREATE INDEX outgoing_open ON outgoing (conversation, id) WHERE state < 2;
CREATE INDEX outgoing_post ON outgoing (post_id) WHERE post_id IS NOT NULL;
CREATE INDEX outgoing_counter ON outgoing (group_id, counter) WHERE group_id IS NOT NULL;
CREATE INDEX outgoing_written ON outgoing (written_at) WHERE state = 2;
";

/// Whether a message waits for its files.
pub(crate) const WAITS: &str = "
ALTER TABLE outgoing ADD COLUMN waits INTEGER NOT NULL DEFAULT 0;
";

/// Which draft a row tells other devices of.
pub(crate) const DRAFTS: &str = "
ALTER TABLE outgoing ADD COLUMN draft BLOB;
CREATE INDEX outgoing_draft ON outgoing (draft) WHERE draft IS NOT NULL;
";

/// In which epoch the relay first took a message; whether its content is for one device only, once;
/// and whether it may leave for somebody whom the person has not accepted.
pub(crate) const RESENDING: &str = "
ALTER TABLE outgoing ADD COLUMN sent_in INTEGER;
ALTER TABLE outgoing ADD COLUMN once INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outgoing ADD COLUMN asked INTEGER NOT NULL DEFAULT 0;
";

/// For this long a message can be asked for again: it may wait 30 days at the relay, be lost
/// with a store that is set back, and the request for it may wait as long.
pub(crate) const KEPT: Span = Span::days(90);

/// Messages that may wait to be sent in all.
pub(crate) const WAITING_MAX: u64 = 10_000;

/// Everything that waits to be sent, or may be asked for again.
pub(crate) struct Outbox;

impl Table for Outbox {
    fn merge_conversations(
        &self,
        tx: &Transaction<'_>,
        from: ConversationId,
        into: ConversationId,
    ) -> Result<(), StoreError> {
        tx.execute(
            "UPDATE outgoing SET conversation = ?2 WHERE conversation = ?1",
            (from.as_bytes(), into.as_bytes()),
        )?;
        Ok(())
    }
}

/// One thing to say.
pub(crate) struct OutboxEntry {
    pub row: i64,
    pub body: Vec<u8>,
    /// The group that it belongs into: the one in which it has its counter, or that it is
    /// about; `None` where any will do.
    pub group: Option<GroupId>,
    /// Its counter, once it has one.
    pub counter: Option<u64>,
    /// Its post id, once it was encrypted for the first time: kept when it is encrypted
    /// again, so that the relay, had it taken the first, does not take the second.
    pub post: Option<PostId>,
    /// What was encrypted, if it is good still.
    pub sealed: Option<Ciphertext>,
    /// The epoch in which it was sent, where it is sent again.
    pub sent_in: Option<Epoch>,
}

/// A message that somebody misses.
pub(crate) struct Missed {
    pub counter: u64,
    pub body: Vec<u8>,
}

/// Who may have what is sent again.
#[derive(Clone, Copy)]
pub(crate) struct SentSince {
    /// The group as a whole: what was sent in this epoch and later.
    pub group: Epoch,
    /// The same for everybody who asks for it.
    pub asker: Epoch,
    /// Whether that holds for messages of which the epoch is not known, too.
    pub unknown: bool,
}

/// An encrypted message.
pub(crate) struct Ciphertext {
    pub post: PostId,
    pub epoch: Epoch,
    pub bytes: Vec<u8>,
}

/// A row that a post id belongs to.
pub(crate) struct Posted {
    pub row: i64,
    pub conversation: ConversationId,
    pub message: Option<MessageId>,
    pub accepted: bool,
    /// The group that it was posted to; `None` where that is over before it was known that the
    /// relay took it.
    pub group: Option<GroupId>,
}

/// Something new to say.
pub(crate) fn add(
    tx: &Transaction<'_>,
    now: Time,
    conversation: ConversationId,
    message: Option<MessageId>,
    body: &[u8],
    group: Option<GroupId>,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO outgoing (conversation, message, body, written_at, state, group_id)
         VALUES (?1, ?2, ?3, ?4, 0, ?5)",
    )?
    .execute((
        conversation.as_bytes(),
        message.map(|id| *id.as_bytes()),
        body,
        now.0.cast_signed(),
        group.map(|id| id.0),
    ))?;
    Ok(())
}

/// Tells other devices of a draft. What they were told of it before is not kept any more: the
/// text that a person gave up, or sent, does not stay here for them to ask for.
pub(crate) fn add_draft(
    tx: &Transaction<'_>,
    now: Time,
    conversation: ConversationId,
    draft: &[u8],
    body: &[u8],
) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM outgoing WHERE draft = ?1 AND counter IS NULL")?
        .execute([draft])?;
    tx.prepare_cached(
        "UPDATE outgoing SET body = x'', ciphertext = NULL, state = state & 2 WHERE draft = ?1",
    )?
    .execute([draft])?;
    tx.prepare_cached(
        "INSERT INTO outgoing (conversation, body, written_at, state, draft)
         VALUES (?1, ?2, ?3, 0, ?4)",
    )?
    .execute((conversation.as_bytes(), body, now.0.cast_signed(), draft))?;
    Ok(())
}

/// Something that the person asked for, though they did not write it: it leaves for people whom
/// they have not accepted, too.
pub(crate) fn add_asked(
    tx: &Transaction<'_>,
    now: Time,
    conversation: ConversationId,
    body: &[u8],
    group: Option<GroupId>,
) -> Result<(), StoreError> {
    add(tx, now, conversation, None, body, group)?;
    tx.prepare_cached("UPDATE outgoing SET asked = 1 WHERE id = ?1")?
        .execute([tx.last_insert_rowid()])?;
    Ok(())
}

/// Something that is for one device, once: its content is not kept when it is sent.
pub(crate) fn add_once(
    tx: &Transaction<'_>,
    now: Time,
    conversation: ConversationId,
    body: &[u8],
    group: GroupId,
) -> Result<(), StoreError> {
    add(tx, now, conversation, None, body, Some(group))?;
    tx.prepare_cached("UPDATE outgoing SET once = 1 WHERE id = ?1")?
        .execute([tx.last_insert_rowid()])?;
    Ok(())
}

/// Whether anything waits in a conversation that a person wrote or asked for.
pub(crate) fn any_asked(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT 1 FROM outgoing
             WHERE conversation = ?1 AND state < 2 AND (message IS NOT NULL OR asked)",
        )?
        .exists([conversation.as_bytes()])?)
}

/// What is not accepted yet, in order: what belongs into `group` already, and what
/// may go into any. Of what is encrypted, only rows behind `after` (those before are on
/// their way). `only_asked`: nothing but what a person wrote or asked for.
pub(crate) fn unaccepted(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    group: GroupId,
    after: i64,
    limit: usize,
    only_asked: bool,
) -> Result<Vec<OutboxEntry>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT id, message, body, group_id, counter, post_id, epoch, ciphertext, sent_in
         FROM outgoing
         WHERE conversation = ?1 AND state < 2 AND NOT waits AND (state = 0 OR id > ?3)
           AND (group_id IS NULL OR group_id = ?2)
           AND (NOT ?5 OR message IS NOT NULL OR asked)
         ORDER BY id LIMIT ?4",
    )?;
    let rows = statement.query_map(
        (
            conversation.as_bytes(),
            group.0,
            after,
            i64::try_from(limit).unwrap_or(i64::MAX),
            only_asked,
        ),
        read,
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The groups and conversations with something that is not accepted yet.
pub(crate) fn waiting_conversations(
    tx: &Transaction<'_>,
) -> Result<Vec<ConversationId>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT DISTINCT conversation FROM outgoing WHERE state < 2")?;
    let rows = statement.query_map([], |row| row.get(0).map(ConversationId::from_bytes))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The groups of a conversation with something that belongs into them and is not accepted yet.
pub(crate) fn waiting_groups(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Vec<GroupId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT DISTINCT group_id FROM outgoing
         WHERE conversation = ?1 AND state < 2 AND group_id IS NOT NULL",
    )?;
    let rows = statement.query_map([conversation.as_bytes()], |row| row.get(0).map(GroupId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many messages that people wrote are not accepted yet.
pub(crate) fn waiting(tx: &Transaction<'_>) -> Result<u64, StoreError> {
    let count: i64 = tx
        .prepare_cached("SELECT count(*) FROM outgoing WHERE state < 2 AND message IS NOT NULL")?
        .query_row([], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// A message that the relay has not accepted yet, and that its conversation waits for.
pub(crate) fn first_waiting(
    tx: &Transaction<'_>,
) -> Result<Option<(ConversationId, MessageId)>, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT conversation, message FROM outgoing
             WHERE state < 2 AND message IS NOT NULL ORDER BY conversation, id LIMIT 1",
        )?
        .query_row([], |row| {
            let conversation = ConversationId::from_bytes(row.get(0)?);
            Ok((conversation, MessageId::from_bytes(row.get(1)?)))
        })
        .optional()?)
}

/// How much that nobody wrote (receipts, requests to send again) the relay has not accepted yet,
/// except in these conversations.
pub(crate) fn waiting_unwritten(
    tx: &Transaction<'_>,
    except: &[ConversationId],
) -> Result<u64, StoreError> {
    let all: i64 = tx
        .prepare_cached("SELECT count(*) FROM outgoing WHERE state < 2 AND message IS NULL")?
        .query_row([], |row| row.get(0))?;
    let mut count = all.cast_unsigned();
    for conversation in except {
        let there: i64 = tx
            .prepare_cached(
                "SELECT count(*) FROM outgoing
                 WHERE conversation = ?1 AND state < 2 AND message IS NULL",
            )?
            .query_row([conversation.as_bytes()], |row| row.get(0))?;
        count = count.saturating_sub(there.cast_unsigned());
    }
    Ok(count)
}

/// The row got its counter and ciphertext.
pub(crate) fn store_ciphertext(
    tx: &Transaction<'_>,
    row: i64,
    group: GroupId,
    counter: u64,
    ciphertext: &Ciphertext,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE outgoing SET state = 1, group_id = ?2, counter = ?3, post_id = ?4, epoch = ?5,
             ciphertext = ?6 WHERE id = ?1",
    )?
    .execute((
        row,
        group.0,
        counter.cast_signed(),
        ciphertext.post.0,
        ciphertext.epoch.0.cast_signed(),
        &ciphertext.bytes,
    ))?;
    Ok(())
}

/// The row whose ciphertext was posted under this id.
pub(crate) fn posted_as(tx: &Transaction<'_>, post: PostId) -> Result<Option<Posted>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT id, conversation, message, state, group_id FROM outgoing WHERE post_id = ?1",
    )?;
    Ok(statement.query_row([post.0], read_posted).optional()?)
}

/// The row, as [`posted_as`] gives it.
pub(crate) fn by_row(tx: &Transaction<'_>, row: i64) -> Result<Option<Posted>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT id, conversation, message, state, group_id FROM outgoing WHERE id = ?1",
    )?;
    Ok(statement.query_row([row], read_posted).optional()?)
}

/// The relay took it.
pub(crate) fn mark_accepted(tx: &Transaction<'_>, row: i64) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE outgoing SET state = 2, ciphertext = NULL, sent_in = coalesce(sent_in, epoch),
             body = CASE WHEN once THEN x'' ELSE body END WHERE id = ?1",
    )?
    .execute([row])?;
    Ok(())
}

/// It was to be sent again, and is not: somebody has joined who must not read it.
pub(crate) fn drop_resend(tx: &Transaction<'_>, row: i64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE outgoing SET state = 2, ciphertext = NULL WHERE id = ?1")?
        .execute([row])?;
    Ok(())
}

/// What of a group was encrypted and not accepted is encrypted again: its ratchet is
/// another.
pub(crate) fn unseal_group(tx: &Transaction<'_>, group: GroupId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE outgoing SET state = 0, ciphertext = NULL WHERE group_id = ?1 AND state = 1",
        [group.0],
    )?;
    Ok(())
}

/// What a closed group did not send may go into another, under another counter. What was to be
/// sent again was sent: those in another group may be others.
pub(crate) fn release_group(tx: &Transaction<'_>, group: GroupId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE outgoing SET state = 2, ciphertext = NULL
         WHERE group_id = ?1 AND state < 2 AND sent_in IS NOT NULL",
        [group.0],
    )?;
    tx.execute(
        "UPDATE outgoing SET state = 0, ciphertext = NULL, post_id = NULL, epoch = NULL,
             group_id = NULL, counter = NULL
         WHERE group_id = ?1 AND state < 2 AND message IS NOT NULL",
        [group.0],
    )?;
    tx.execute(
        "DELETE FROM outgoing WHERE group_id = ?1 AND state < 2",
        [group.0],
    )?;
    Ok(())
}

/// The same for a group that this device may come back to: the numbers that were used are
/// kept, so that others who miss them are sent something, and no gap stays.
pub(crate) fn release_for_now(tx: &Transaction<'_>, group: GroupId) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO outgoing (conversation, body, written_at, state, group_id, counter)
         SELECT conversation, x'', written_at, 2, group_id, counter FROM outgoing
         WHERE group_id = ?1 AND state < 2 AND counter IS NOT NULL",
        [group.0],
    )?;
    release_group(tx, group)
}

/// Somebody misses these: they are sent again to the group, under the same counter. Gives how
/// many.
pub(crate) fn send_again(
    tx: &Transaction<'_>,
    group: GroupId,
    (from, to): (u64, u64),
    since: SentSince,
    limit: u64,
) -> Result<usize, StoreError> {
    Ok(tx.execute(
        "UPDATE outgoing SET state = 0, post_id = NULL WHERE id IN (
             SELECT id FROM outgoing WHERE group_id = ?1 AND counter BETWEEN ?2 AND ?3 AND state = 2
             AND coalesce(sent_in, ?5) >= ?4 ORDER BY counter LIMIT ?6)",
        (
            group.0,
            signed(from),
            signed(to),
            signed(since.group.0.max(since.asker.0)),
            since.default_epoch(),
            signed(limit),
        ),
    )?)
}

/// Those of them that the requester may have, but the group as a whole may not.
pub(crate) fn resendable_to_device(
    tx: &Transaction<'_>,
    group: GroupId,
    (from, to): (u64, u64),
    since: SentSince,
    limit: u64,
) -> Result<Vec<Missed>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT counter, body FROM outgoing
         WHERE group_id = ?1 AND counter BETWEEN ?2 AND ?3 AND state = 2
           AND sent_in >= ?4 AND sent_in < ?5 ORDER BY counter LIMIT ?6",
    )?;
    let rows = statement.query_map(
        (
            group.0,
            signed(from),
            signed(to),
            signed(since.asker.0),
            signed(since.group.0),
            signed(limit),
        ),
        |row| {
            Ok(Missed {
                counter: row.get::<_, i64>(0)?.cast_unsigned(),
                body: row.get(1)?,
            })
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The last of a group's messages that was sent; 0 where there is none.
pub(crate) fn last_in(
    tx: &Transaction<'_>,
    group: GroupId,
    (from, to): (u64, u64),
) -> Result<u64, StoreError> {
    let last: Option<i64> = tx
        .prepare_cached(
            "SELECT max(counter) FROM outgoing
             WHERE group_id = ?1 AND counter BETWEEN ?2 AND ?3 AND state = 2",
        )?
        .query_row((group.0, signed(from), signed(to)), |row| row.get(0))?;
    Ok(last.unwrap_or(0).cast_unsigned())
}

/// The last of them that was sent before the requester joined; 0 if there is none.
pub(crate) fn last_before(
    tx: &Transaction<'_>,
    group: GroupId,
    (from, to): (u64, u64),
    since: SentSince,
) -> Result<u64, StoreError> {
    let last: Option<i64> = tx
        .prepare_cached(
            "SELECT max(counter) FROM outgoing
             WHERE group_id = ?1 AND counter BETWEEN ?2 AND ?3 AND state = 2
               AND coalesce(sent_in, ?5) < ?4",
        )?
        .query_row(
            (
                group.0,
                signed(from),
                signed(to),
                signed(since.asker.0),
                since.default_epoch(),
            ),
            |row| row.get(0),
        )?;
    Ok(last.unwrap_or(0).cast_unsigned())
}

impl SentSince {
    /// When a message counts as sent of which that is not known.
    const fn default_epoch(self) -> i64 {
        if self.unknown { 0 } else { -1 }
    }
}

const fn signed(number: u64) -> i64 {
    if number > i64::MAX as u64 {
        i64::MAX
    } else {
        number.cast_signed()
    }
}

/// The message will not be sent.
pub(crate) fn give_up(tx: &Transaction<'_>, row: i64) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM outgoing WHERE id = ?1 AND counter IS NULL",
        [row],
    )?;
    Ok(())
}

/// The message will not be sent, or not again.
pub(crate) fn give_up_message(tx: &Transaction<'_>, id: MessageId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM outgoing WHERE message = ?1", [id.as_bytes()])?;
    Ok(())
}

/// Gives up a message that waits for its files; whether one did.
pub(crate) fn give_up_waiting(tx: &Transaction<'_>, id: MessageId) -> Result<bool, StoreError> {
    let given_up = tx.execute(
        "DELETE FROM outgoing WHERE message = ?1 AND waits = 1 AND counter IS NULL",
        [id.as_bytes()],
    )?;
    Ok(given_up > 0)
}

/// The message leaves when its files are at the relay.
pub(crate) fn wait_for_files(tx: &Transaction<'_>, id: MessageId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE outgoing SET waits = 1 WHERE message = ?1",
        [id.as_bytes()],
    )?;
    Ok(())
}

/// The files of a message are at the relay: it may leave.
pub(crate) fn release_with_files(tx: &Transaction<'_>, id: MessageId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE outgoing SET waits = 0 WHERE message = ?1",
        [id.as_bytes()],
    )?;
    Ok(())
}

/// What was said in a message is not kept any more: what never left does not leave; what
/// has a number goes again without a word, if it is asked for.
pub(crate) fn forget_content(tx: &Transaction<'_>, id: MessageId) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM outgoing WHERE message = ?1 AND counter IS NULL")?
        .execute([id.as_bytes()])?;
    tx.prepare_cached(
        "UPDATE outgoing SET body = x'', ciphertext = NULL, state = state & 2
         WHERE message = ?1",
    )?
    .execute([id.as_bytes()])?;
    Ok(())
}

/// Nothing that waits will be sent.
pub(crate) fn give_up_all(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM outgoing WHERE state < 2", [])?;
    Ok(())
}

/// What of a person's messages is not accepted in a conversation.
pub(crate) fn open_messages(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Vec<MessageId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT message FROM outgoing
         WHERE conversation = ?1 AND state < 2 AND message IS NOT NULL LIMIT 256",
    )?;
    let rows = statement.query_map([conversation.as_bytes()], |row| {
        row.get(0).map(MessageId::from_bytes)
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What waits in a conversation without a counter, as rows.
pub(crate) fn unnumbered(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Vec<(i64, Option<MessageId>)>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT id, message FROM outgoing WHERE conversation = ?1 AND state = 0 AND counter IS NULL",
    )?;
    let rows = statement.query_map([conversation.as_bytes()], |row| {
        Ok((
            row.get(0)?,
            row.get::<_, Option<[u8; 32]>>(1)?
                .map(MessageId::from_bytes),
        ))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Forgets what is too old to be asked for.
pub(crate) fn prune(tx: &Transaction<'_>, now: Time) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM outgoing WHERE state = 2 AND written_at < ?1",
        [now.0.saturating_sub(KEPT.0).cast_signed()],
    )?;
    Ok(())
}

fn read_posted(row: &Row<'_>) -> rusqlite::Result<Posted> {
    Ok(Posted {
        row: row.get(0)?,
        conversation: ConversationId::from_bytes(row.get(1)?),
        message: row
            .get::<_, Option<[u8; 32]>>(2)?
            .map(MessageId::from_bytes),
        accepted: row.get::<_, u8>(3)? == 2,
        group: row.get::<_, Option<[u8; 16]>>(4)?.map(GroupId),
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<OutboxEntry> {
    let post = row.get::<_, Option<[u8; 16]>>(5)?.map(PostId);
    let epoch = row
        .get::<_, Option<i64>>(6)?
        .map(|epoch| Epoch(epoch.cast_unsigned()));
    let bytes: Option<Vec<u8>> = row.get(7)?;
    Ok(OutboxEntry {
        row: row.get(0)?,
        body: row.get(2)?,
        group: row.get::<_, Option<[u8; 16]>>(3)?.map(GroupId),
        counter: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
        post,
        sealed: post
            .zip(epoch)
            .zip(bytes)
            .map(|((post, epoch), bytes)| Ciphertext { post, epoch, bytes }),
        sent_in: row
            .get::<_, Option<i64>>(8)?
            .map(|epoch| Epoch(epoch.cast_unsigned())),
    })
}
