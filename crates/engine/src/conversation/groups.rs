//! The groups of conversations: what the engine knows about them besides MLS's own state.
//!
//! **Elsewhere**: a group's state and its changes are in [`super::group_state`]; the MLS state is
//! in the tables of [`crate::mls`].
//!
//! **Always**: the rejoin secret is here too, so that a group whose MLS state is gone can
//! still be rejoined.

use rusqlite::{OptionalExtension as _, Row, Transaction};
use waxwing_protocol::{
    ids::{AccountId, GroupId, PostId},
    sealing::RejoinSecret,
    time::Time,
};

use super::group_state::{COLUMNS as STATE_COLUMNS, GroupState, StateKind};
use crate::{api::ConversationId, store::StoreError};

pub(crate) const SCHEMA: &str = "
CREATE TABLE conversation_group (
    group_id BLOB PRIMARY KEY,
    conversation BLOB REFERENCES conversation (id),  -- absent while Checking
    account_id BLOB NOT NULL,                        -- the other side
    state INTEGER NOT NULL,
    rejoin_secret BLOB NOT NULL,
    next_counter INTEGER NOT NULL DEFAULT 1,         -- of this device's envelopes
    since_rekey INTEGER NOT NULL DEFAULT 0,          -- own messages
    rekeyed_at INTEGER NOT NULL,
    request BLOB,            -- Creating: CreateGroup; Active: Post of the pending commit
    commit_post BLOB,        -- of the welcome, the pending commit, or the last one made
    commit_pending INTEGER NOT NULL DEFAULT 0,
    waits_for_lookup INTEGER NOT NULL DEFAULT 0      -- the first held post does
) WITHOUT ROWID;
CREATE INDEX group_conversation ON conversation_group (conversation);
CREATE INDEX group_busy ON conversation_group (state)
    WHERE state != 2 OR commit_pending OR waits_for_lookup;
";

/// The newest head of the key log that a group was told of.
pub(crate) const TOLD_HEAD: &str = "
ALTER TABLE conversation_group ADD COLUMN told_head INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation_group ADD COLUMN told_head_at INTEGER NOT NULL DEFAULT 0;
";

/// Whether the group may lack devices that it should have, or have some that it should not.
pub(crate) const MEMBERSHIP_DUE: &str = "
ALTER TABLE conversation_group ADD COLUMN membership_due INTEGER NOT NULL DEFAULT 0;
DROP INDEX group_busy;
CREATE INDEX group_busy ON conversation_group (state)
    WHERE state != 2 OR commit_pending OR waits_for_lookup OR membership_due;
";

/// Whether the group came with another device's archive, and this one was never in it.
pub(crate) const INHERITED: &str = "
ALTER TABLE conversation_group ADD COLUMN inherited INTEGER NOT NULL DEFAULT 0;
";

/// Which group of a conversation of many it is; such a group has an empty `account_id`.
pub(crate) const GENERATION: &str = "
ALTER TABLE conversation_group ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
";

/// Whose welcome the group came with, and commits that could not be read.
pub(crate) const MADE_BY: &str = "
ALTER TABLE conversation_group ADD COLUMN made_by BLOB;
ALTER TABLE conversation_group ADD COLUMN made_by_device BLOB;
ALTER TABLE conversation_group ADD COLUMN came_again INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation_group ADD COLUMN suspect_epoch INTEGER;    -- lost at its commit
ALTER TABLE conversation_group ADD COLUMN spoilt INTEGER NOT NULL DEFAULT 0;  -- how often
";

/// Who took this device into a group: the account whose device sent the welcome; whether that is
/// a stranger; and the parcel that the welcome came in, while the relay was not told that it is
/// here.
pub(crate) const WELCOMED_BY: &str = "
ALTER TABLE conversation_group ADD COLUMN welcomed_by BLOB;
ALTER TABLE conversation_group ADD COLUMN by_stranger INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation_group ADD COLUMN parcel BLOB;
";

/// One group.
#[derive(Clone)]
pub(crate) struct GroupRecord {
    pub id: GroupId,
    pub conversation: Option<ConversationId>,
    /// The other side of two people's conversation; none in one of many.
    pub account: Option<AccountId>,
    pub state: GroupState,
    pub rejoin_secret: RejoinSecret,
    pub since_rekey: u64,
    pub rekeyed_at: Time,
    /// The post of its welcome, of the pending commit, or of the last one made.
    pub commit_post: Option<PostId>,
    /// Whether its devices are to be looked at.
    pub membership_due: bool,
    /// How often it went on past a commit that could not be read.
    pub spoilt: u32,
}

/// What [`read`] reads, without the columns of the state, which follow.
const OWN_COLUMNS: &str = "group_id, conversation, account_id, rejoin_secret, since_rekey, \
                           rekeyed_at, membership_due, spoilt";

/// The group with this id.
pub(crate) fn find(tx: &Transaction<'_>, id: GroupId) -> Result<Option<GroupRecord>, StoreError> {
    let mut statement = tx.prepare_cached(&format!(
        "SELECT {OWN_COLUMNS}, {STATE_COLUMNS} FROM conversation_group WHERE group_id = ?1"
    ))?;
    Ok(statement.query_row([id.0], read).optional()?)
}

/// What is known of a group without reading what may be broken.
pub(crate) struct PlainGroup {
    pub state: StateKind,
    pub conversation: Option<ConversationId>,
}

/// The group with this id, as far as plain columns tell.
pub(crate) fn plain(tx: &Transaction<'_>, id: GroupId) -> Result<Option<PlainGroup>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT state, conversation FROM conversation_group WHERE group_id = ?1")?
        .query_row([id.0], |row| {
            Ok(PlainGroup {
                state: StateKind::from_number(row.get(0)?),
                conversation: row
                    .get::<_, Option<[u8; 16]>>(1)?
                    .map(ConversationId::from_bytes),
            })
        })
        .optional()?)
}

/// Whether something that this device asks of a group waits for the relay's answer.
pub(crate) fn has_request(tx: &Transaction<'_>, id: GroupId) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT 1 FROM conversation_group WHERE group_id = ?1 AND request IS NOT NULL",
        )?
        .exists([id.0])?)
}

/// The group that a conversation's messages go to now: of those with the account on
/// the other side that are not over (lost ones last), the one with the smallest id in which somebody was
/// heard (nobody is in a group whose welcome was lost), or else the one with the smallest
/// id. Both sides choose the same once both have both.
pub(crate) fn for_sending(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Option<GroupRecord>, StoreError> {
    let mut statement = tx.prepare_cached(&format!(
        "SELECT {OWN_COLUMNS}, {STATE_COLUMNS} FROM conversation_group AS g WHERE conversation = ?1 AND state < 5
         AND account_id = coalesce((SELECT account_id FROM conversation WHERE id = ?1), x'')
         ORDER BY generation DESC, state = 4, NOT EXISTS (SELECT 1 FROM heard WHERE heard.group_id = g.group_id), group_id
         LIMIT 1"
    ))?;
    Ok(statement
        .query_row([conversation.as_bytes()], read)
        .optional()?)
}

/// Whether this is the group that a conversation's members and rules are taken from: the one
/// that its messages go to.
pub(crate) fn is_current(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    group: GroupId,
) -> Result<bool, StoreError> {
    Ok(for_sending(tx, conversation)?.is_none_or(|current| current.id == group))
}

/// The newest generation of a conversation of many; 0 where there is no group of it.
pub(crate) fn generation(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<u64, StoreError> {
    let newest: Option<i64> = tx
        .prepare_cached("SELECT max(generation) FROM conversation_group WHERE conversation = ?1")?
        .query_row([conversation.as_bytes()], |row| row.get(0))?;
    Ok(newest.unwrap_or(0).cast_unsigned())
}

/// The newest group of a conversation of many, however it is.
pub(crate) fn newest(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Option<GroupId>, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT group_id FROM conversation_group WHERE conversation = ?1
             ORDER BY generation DESC, group_id LIMIT 1",
        )?
        .query_row([conversation.as_bytes()], |row| row.get(0).map(GroupId))
        .optional()?)
}

/// The groups of a conversation of many that are older than this one and not over.
pub(crate) fn older_open(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    than: GroupId,
) -> Result<Vec<GroupId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT group_id FROM conversation_group WHERE conversation = ?1 AND state != 5
           AND generation < (SELECT generation FROM conversation_group WHERE group_id = ?2)",
    )?;
    let rows = statement.query_map((conversation.as_bytes(), than.0), |row| {
        row.get(0).map(GroupId)
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The groups of a conversation of many that are over, the newest first.
pub(crate) fn ended(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Vec<GroupId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT group_id FROM conversation_group WHERE conversation = ?1 AND state = 5
         ORDER BY generation DESC, group_id LIMIT 8",
    )?;
    let rows = statement.query_map([conversation.as_bytes()], |row| row.get(0).map(GroupId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The groups of a conversation of many that are newer than this one, not over, and were made
/// by others: with who made them.
pub(crate) fn newer_open(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    than: GroupId,
) -> Result<Vec<(GroupId, AccountId)>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT group_id, made_by FROM conversation_group
         WHERE conversation = ?1 AND state < 5 AND made_by IS NOT NULL
           AND generation > (SELECT generation FROM conversation_group WHERE group_id = ?2)",
    )?;
    let rows = statement.query_map((conversation.as_bytes(), than.0), |row| {
        Ok((GroupId(row.get(0)?), AccountId(row.get(1)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The group goes on past a commit that could not be read.
pub(crate) fn count_unreadable_commit(tx: &Transaction<'_>, id: GroupId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET spoilt = spoilt + 1 WHERE group_id = ?1",
        [id.0],
    )?;
    Ok(())
}

/// The groups of a conversation that are not over.
pub(crate) fn of_conversation(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Vec<GroupId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT group_id FROM conversation_group WHERE conversation = ?1 AND state < 5",
    )?;
    let rows = statement.query_map([conversation.as_bytes()], |row| row.get(0).map(GroupId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All groups in a state.
pub(crate) fn in_state(
    tx: &Transaction<'_>,
    state: StateKind,
) -> Result<Vec<GroupRecord>, StoreError> {
    let mut statement = tx.prepare_cached(&format!(
        "SELECT {OWN_COLUMNS}, {STATE_COLUMNS} FROM conversation_group WHERE state = ?1"
    ))?;
    let rows = statement.query_map([state as u8], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The groups that have something to do without any message: all but those that are
/// in order or over, those with a pending commit, those that wait for a look-up, those
/// whose devices are to be looked at.
pub(crate) fn needing_work(tx: &Transaction<'_>) -> Result<Vec<GroupId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT group_id FROM conversation_group
         WHERE (state != 2 OR commit_pending OR waits_for_lookup OR membership_due) AND state < 5",
    )?;
    let rows = statement.query_map([], |row| row.get(0).map(GroupId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// An account's devices have changed (`None`: this one's): the groups with it are to be
/// looked at. Gives them.
pub(crate) fn membership_due(
    tx: &Transaction<'_>,
    account: Option<AccountId>,
) -> Result<Vec<GroupId>, StoreError> {
    if let Some(account) = account {
        tx.execute(
            "UPDATE member SET due = 1 WHERE account_id = ?1",
            [account.0],
        )?;
    }
    let mut statement = tx.prepare_cached(
        "UPDATE conversation_group SET membership_due = 1
         WHERE state != 5 AND (?1 IS NULL OR account_id = ?1 OR (account_id = x'' AND
             conversation IN (SELECT conversation FROM member WHERE account_id = ?1)))
         RETURNING group_id",
    )?;
    let rows = statement.query_map([account.map(|account| account.0)], |row| {
        row.get(0).map(GroupId)
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The group's devices are to be looked at.
pub(crate) fn set_membership_due(tx: &Transaction<'_>, id: GroupId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET membership_due = 1 WHERE group_id = ?1",
        [id.0],
    )?;
    Ok(())
}

/// How many groups' devices are to be looked at.
pub(crate) fn members_due(tx: &Transaction<'_>) -> Result<u64, StoreError> {
    let count: i64 = tx
        .prepare_cached(
            "SELECT count(*) FROM conversation_group
             WHERE (commit_pending OR membership_due) AND state <= 2",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// The group has the devices that it should have.
pub(crate) fn membership_done(tx: &Transaction<'_>, id: GroupId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET membership_due = 0 WHERE group_id = ?1",
        [id.0],
    )?;
    Ok(())
}

/// The number of the newest head of the key log that the group was told of, and when.
pub(crate) fn last_shown_head(
    tx: &Transaction<'_>,
    id: GroupId,
) -> Result<(u64, Time), StoreError> {
    let (number, at): (i64, i64) = tx
        .prepare_cached(
            "SELECT told_head, told_head_at FROM conversation_group WHERE group_id = ?1",
        )?
        .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((number.cast_unsigned(), Time(at.cast_unsigned())))
}

/// Tells the group about a head.
pub(crate) fn set_told_head(
    tx: &Transaction<'_>,
    id: GroupId,
    number: u64,
    now: Time,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET told_head = ?2, told_head_at = ?3 WHERE group_id = ?1",
        (id.0, number.cast_signed(), now.0.cast_signed()),
    )?;
    Ok(())
}

/// A group, to be kept.
pub(crate) struct NewGroup<'a> {
    pub id: GroupId,
    pub conversation: Option<ConversationId>,
    /// The other side of two people's conversation; none in one of many.
    pub account: Option<AccountId>,
    /// Which group of its conversation it is, where there are many members.
    pub generation: u64,
    pub state: GroupState,
    pub rejoin_secret: &'a RejoinSecret,
    /// The post of its welcome.
    pub commit_post: Option<PostId>,
}

/// Keeps a new group.
pub(crate) fn add(tx: &Transaction<'_>, now: Time, group: &NewGroup<'_>) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO conversation_group
         (group_id, conversation, account_id, state, rejoin_secret, rekeyed_at, request,
             commit_post, generation)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (
            group.id.0,
            group.conversation.map(|id| *id.as_bytes()),
            account_bytes(group.account),
            group.state.kind() as u8,
            group.rejoin_secret.as_bytes(),
            now.0.cast_signed(),
            group.state.request(),
            group.commit_post.map(|post| post.0),
            group.generation.cast_signed(),
        ),
    )?;
    Ok(())
}

/// Nothing is known of the group any more. Gives the next counter of this device's envelopes.
pub(crate) fn forget(tx: &Transaction<'_>, id: GroupId) -> Result<i64, StoreError> {
    let counter = tx
        .query_row(
            "SELECT next_counter FROM conversation_group WHERE group_id = ?1",
            [id.0],
            |row| row.get(0),
        )
        .optional()?
        .unwrap_or(1);
    tx.execute("DELETE FROM conversation_group WHERE group_id = ?1", [id.0])?;
    Ok(counter)
}

/// This device's envelopes are counted from here on; `false` where there is no such group.
pub(crate) fn set_own_counter(
    tx: &Transaction<'_>,
    id: GroupId,
    counter: i64,
) -> Result<bool, StoreError> {
    let there = tx.execute(
        "UPDATE conversation_group SET next_counter = ?2 WHERE group_id = ?1",
        (id.0, counter),
    )?;
    Ok(there > 0)
}

/// The group came with an archive; this device was never in it.
pub(crate) fn set_inherited(tx: &Transaction<'_>, id: GroupId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET inherited = 1 WHERE group_id = ?1",
        [id.0],
    )?;
    Ok(())
}

/// This device is in the group. Gives whether it is for the first time, in one that came
/// with an archive.
pub(crate) fn take_inherited(tx: &Transaction<'_>, id: GroupId) -> Result<bool, StoreError> {
    let inherited = tx.execute(
        "UPDATE conversation_group SET inherited = 0 WHERE group_id = ?1 AND inherited",
        [id.0],
    )?;
    Ok(inherited > 0)
}

/// The groups of one conversation belong to another now.
pub(crate) fn merge_conversations(
    tx: &Transaction<'_>,
    from: ConversationId,
    into: ConversationId,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET conversation = ?2 WHERE conversation = ?1",
        (from.as_bytes(), into.as_bytes()),
    )?;
    Ok(())
}

/// Binds a group to its conversation.
pub(crate) fn set_conversation(
    tx: &Transaction<'_>,
    id: GroupId,
    conversation: ConversationId,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET conversation = ?2 WHERE group_id = ?1",
        (id.0, conversation.as_bytes()),
    )?;
    Ok(())
}

/// Takes the next counter of this device's envelopes.
pub(crate) fn take_counter(tx: &Transaction<'_>, id: GroupId) -> Result<u64, StoreError> {
    let next: i64 = tx
        .prepare_cached(
            "UPDATE conversation_group
             SET next_counter = next_counter + 1, since_rekey = since_rekey + 1
             WHERE group_id = ?1 RETURNING next_counter - 1",
        )?
        .query_row([id.0], |row| row.get(0))?;
    Ok(next.cast_unsigned())
}

/// The secret that the group is rejoined with is another from now on.
pub(crate) fn set_rejoin_secret(
    tx: &Transaction<'_>,
    id: GroupId,
    secret: &RejoinSecret,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET rejoin_secret = ?2 WHERE group_id = ?1",
        (id.0, secret.as_bytes()),
    )?;
    Ok(())
}

/// As the table has it.
fn account_bytes(account: Option<AccountId>) -> Vec<u8> {
    account.map_or_else(Vec::new, |account| account.0.to_vec())
}

fn read(row: &Row<'_>) -> rusqlite::Result<GroupRecord> {
    let rejoin_secret: Vec<u8> = row.get(3)?;
    let rejoin_secret = RejoinSecret::from_slice(&rejoin_secret)
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(3, 0))?;
    Ok(GroupRecord {
        id: GroupId(row.get(0)?),
        conversation: row
            .get::<_, Option<[u8; 16]>>(1)?
            .map(ConversationId::from_bytes),
        account: AccountId::try_from(row.get::<_, Vec<u8>>(2)?.as_slice()).ok(),
        state: GroupState::read(row, 8)?,
        rejoin_secret,
        since_rekey: row.get::<_, i64>(4)?.cast_unsigned(),
        rekeyed_at: Time(row.get::<_, i64>(5)?.cast_unsigned()),
        commit_post: row.get::<_, Option<[u8; 16]>>("commit_post")?.map(PostId),
        membership_due: row.get(6)?,
        spoilt: row.get(7)?,
    })
}
