//! Conversations: one for each pair of people, and one for each group of people, no matter
//! what happens to the MLS groups that carry it.
//!
//! A conversation begins when somebody writes to an address, or when a valid welcome from
//! somebody new arrives. It has one or more *groups* (MLS groups, [`groups`]): two if both
//! sides started at the same time, another one if a group could not be saved. Messages go to
//! the group with the smallest id among those that work ([`groups::for_sending`]); all groups
//! are read. Its *history* ([`history`]) is one list of messages, events and gaps.
//!
//! [`group_state`] draws the states of a group.
//!
//! A message in the outbox is encrypted only when it can be sent, so that it goes to the group
//! that is right at that moment.
//!
//! **Elsewhere**: [`crate::mls`] makes and changes MLS groups; [`crate::trust`] decides who
//! may be in one; [`mod@start`], [`ending`], [`commits`] and [`rejoin`] change the states.
//!
//! **Always**: a conversation has at most one account on the other side at a time; a new
//! account under its verified address is a marked event in its history.

pub(crate) mod above;
pub(crate) mod acceptance;
pub(crate) mod acquaintance;
pub(crate) mod archived;
pub(crate) mod behind;
pub(crate) mod commits;
pub(crate) mod device_claims;
pub(crate) mod display_names;
pub(crate) mod due;
pub(crate) mod ending;
pub(crate) mod epoch_keys;
pub(crate) mod epochs;
pub(crate) mod founding;
pub(crate) mod generations;
pub(crate) mod group_commands;
pub(crate) mod group_state;
pub(crate) mod group_welcomers;
pub(crate) mod groups;
pub(crate) mod history;
pub(crate) mod hooks;
pub(crate) mod imports;
pub(crate) mod invitations;
pub(crate) mod join_epochs;
pub(crate) mod join_requests;
pub(crate) mod leaves;
pub(crate) mod lost_groups;
pub(crate) mod member_changes;
pub(crate) mod members;
pub(crate) mod membership;
pub(crate) mod membership_difference;
pub(crate) mod notes;
pub(crate) mod pages;
pub(crate) mod parcels;
pub(crate) mod pending_changes;
pub(crate) mod quarantine;
pub(crate) mod re_add;
pub(crate) mod re_add_queue;
pub(crate) mod reader;
pub(crate) mod rejoin;
pub(crate) mod requests;
pub(crate) mod roles;
pub(crate) mod search;
pub(crate) mod sms_names;
pub(crate) mod start;
pub(crate) mod target;
pub(crate) mod threads;
pub(crate) mod timer;
pub(crate) mod welcomes;

use rand_core::CryptoRng;
use rusqlite::{OptionalExtension as _, Row, Transaction};
use waxwing_protocol::{address::Address, ids::AccountId, time::Time};

use crate::{
    api::ConversationId,
    contact,
    folding::caseless,
    store::StoreError,
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE conversation (
    id BLOB PRIMARY KEY,
    address TEXT NOT NULL,          -- canonical
    display TEXT NOT NULL,
    account_id BLOB,                -- the other side, once it is known
    written_to INTEGER NOT NULL,    -- whether this account has written
    started_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX conversation_address ON conversation (address);
CREATE INDEX conversation_account ON conversation (account_id);
";

/// Whether the person has to decide before anything is sent.
pub(crate) const STOPPED: &str = "
ALTER TABLE conversation ADD COLUMN stopped INTEGER NOT NULL DEFAULT 0;
";

/// What kind of conversation it is: see [`Kind`].
pub(crate) const KINDS: &str = "
ALTER TABLE conversation ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;  -- left, or taken out
";

/// Who takes part in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// This account and one other.
    Direct = 0,
    /// Any number of accounts; its id is the same for all of them.
    Group = 1,
    /// This account's devices.
    Notes = 2,
    /// A phone that has nothing else, under `sms:` and its number: [`crate::sms`].
    Sms = 3,
}

/// One conversation.
#[derive(Clone)]
pub(crate) struct Conversation {
    pub id: ConversationId,
    pub address: String,
    pub display: String,
    pub account: Option<AccountId>,
    pub written_to: bool,
    /// The contact had been verified in person and has other keys now: nothing is sent
    /// until the person decides.
    pub awaiting_decision: bool,
    pub kind: Kind,
    /// This account has left it, or was removed.
    pub left: bool,
}

const COLUMNS: &str = "id, address, display, account_id, written_to, stopped, kind, gone";

/// The conversation with this id.
pub(crate) fn find(
    tx: &Transaction<'_>,
    id: ConversationId,
) -> Result<Option<Conversation>, StoreError> {
    one(tx, "id = ?1", id.as_bytes().as_slice())
}

/// The conversation with this account.
pub(crate) fn with_account(
    tx: &Transaction<'_>,
    account: AccountId,
) -> Result<Option<Conversation>, StoreError> {
    one(tx, "account_id = ?1", account.0.as_slice())
}

/// The ids of the conversations with this account.
pub(crate) fn ids_with_account(
    tx: &Transaction<'_>,
    account: AccountId,
) -> Result<Vec<ConversationId>, StoreError> {
    let mut statement = tx.prepare_cached("SELECT id FROM conversation WHERE account_id = ?1")?;
    let rows = statement.query_map([account.0], |row| {
        row.get(0).map(ConversationId::from_bytes)
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The conversation that a message to this address belongs to: the one with its
/// verified owner, or the one that waits for the owner to be known.
pub(crate) fn with_address(
    tx: &Transaction<'_>,
    address: &str,
) -> Result<Option<Conversation>, StoreError> {
    let owned = match contact::account_of_owner(tx, address)? {
        Some(owner) => tx
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM conversation WHERE address = ?1 AND account_id = ?2"
            ))?
            .query_row((address, owner.0), read)
            .optional()?,
        None => None,
    };
    match owned {
        Some(conversation) => Ok(Some(conversation)),
        None => one(
            tx,
            "address = ?1 AND (account_id IS NULL AND kind = 0 OR kind = 2)",
            address,
        ),
    }
}

/// Starts a conversation.
pub(crate) fn start(
    tx: &Transaction<'_>,
    now: Time,
    rng: &mut dyn CryptoRng,
    address: &Address,
    account: Option<AccountId>,
) -> Result<Conversation, StoreError> {
    let mut id = [0; 16];
    rng.fill_bytes(&mut id);
    let conversation = Conversation {
        id: ConversationId::from_bytes(id),
        address: address.canonical().to_owned(),
        display: address.display().to_owned(),
        account,
        written_to: false,
        awaiting_decision: false,
        kind: Kind::Direct,
        left: false,
    };
    tx.execute(
        "INSERT INTO conversation (id, address, display, account_id, written_to, started_at)
         VALUES (?1, ?2, ?3, ?4, 0, ?5)",
        (
            id,
            &conversation.address,
            &conversation.display,
            account.map(|account| account.0),
            now.0.cast_signed(),
        ),
    )?;
    Ok(conversation)
}

/// Starts a conversation of many, or takes it up again.
pub(crate) fn start_group(
    tx: &Transaction<'_>,
    now: Time,
    id: ConversationId,
    name: &str,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO conversation (id, address, display, written_to, started_at, kind)
         VALUES (?1, '', ?2, 0, ?3, 1) ON CONFLICT DO UPDATE SET gone = 0",
        (id.as_bytes(), name, now.0.cast_signed()),
    )?;
    Ok(())
}

/// The conversation of this kind that is called so.
pub(crate) fn one_of_kind(
    tx: &Transaction<'_>,
    kind: Kind,
    name: &str,
) -> Result<Option<Conversation>, StoreError> {
    one(tx, &format!("address = ?1 AND kind = {}", kind as u8), name)
}

/// Starts a conversation with a phone.
pub(crate) fn start_sms(
    tx: &Transaction<'_>,
    now: Time,
    id: ConversationId,
    name: &str,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO conversation (id, address, display, written_to, started_at, kind)
         VALUES (?1, ?2, ?2, 0, ?3, ?4) ON CONFLICT DO NOTHING",
        (id.as_bytes(), name, now.0.cast_signed(), Kind::Sms as u8),
    )?;
    Ok(())
}

/// The conversation of many is called so; `false` where it was.
pub(crate) fn rename(
    tx: &Transaction<'_>,
    id: ConversationId,
    name: &str,
) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE conversation SET display = ?2 WHERE id = ?1 AND display != ?2",
        (id.as_bytes(), name),
    )?;
    Ok(changed > 0)
}

/// This account takes no part in it any more, or does again.
pub(crate) fn set_left(
    tx: &Transaction<'_>,
    id: ConversationId,
    left: bool,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation SET gone = ?2 WHERE id = ?1",
        (id.as_bytes(), left),
    )?;
    Ok(())
}

/// The group conversations with this name; capitals and compatibility forms do not matter.
pub(crate) fn named(tx: &Transaction<'_>, name: &str) -> Result<Vec<Conversation>, StoreError> {
    let mut statement = tx.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM conversation WHERE kind = 1"
    ))?;
    let rows = statement.query_map([], read)?;
    let mut found = rows.collect::<Result<Vec<_>, _>>()?;
    let name = caseless(name);
    found.retain(|conversation| caseless(&conversation.display) == name);
    Ok(found)
}

/// The other side is this account from now on.
pub(crate) fn set_account(
    tx: &Transaction<'_>,
    id: ConversationId,
    account: AccountId,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation SET account_id = ?2 WHERE id = ?1",
        (id.as_bytes(), account.0),
    )?;
    Ok(())
}

/// Nothing is sent until the person decides, or again after they have.
pub(crate) fn set_awaiting_decision(
    tx: &Transaction<'_>,
    id: ConversationId,
    awaiting_decision: bool,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation SET stopped = ?2 WHERE id = ?1",
        (id.as_bytes(), awaiting_decision),
    )?;
    Ok(())
}

/// Two conversations turned out to be one: `from` becomes part of `into`.
pub(crate) fn merge(
    turn: &Turn<'_>,
    from: ConversationId,
    into: ConversationId,
) -> Result<(), StoreError> {
    for table in turn.tables().0 {
        table.merge_conversations(turn.tx, from, into)?;
    }
    groups::merge_conversations(turn.tx, from, into)?;
    lost_groups::merge_conversations(turn.tx, from, into)?;
    for statement in [
        "UPDATE conversation SET written_to = written_to
             OR (SELECT written_to FROM conversation WHERE id = ?1),
             stopped = stopped OR (SELECT stopped FROM conversation WHERE id = ?1) WHERE id = ?2",
        "DELETE FROM conversation WHERE id = ?1 AND ?2 IS NOT NULL",
    ] {
        turn.tx
            .execute(statement, (from.as_bytes(), into.as_bytes()))?;
    }
    Ok(())
}

/// The conversations in which nothing is sent until the person decides.
pub(crate) fn awaiting_decision(tx: &Transaction<'_>) -> Result<Vec<ConversationId>, StoreError> {
    let mut statement = tx.prepare_cached("SELECT id FROM conversation WHERE stopped")?;
    let rows = statement.query_map([], |row| row.get(0).map(ConversationId::from_bytes))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// This account has written in it.
pub(crate) fn set_written_to(tx: &Transaction<'_>, id: ConversationId) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE conversation SET written_to = 1 WHERE id = ?1")?
        .execute([id.as_bytes()])?;
    Ok(())
}

/// This account counts as not having written in it: it is somebody else's now.
pub(crate) fn forget_written_to(
    tx: &Transaction<'_>,
    id: ConversationId,
) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE conversation SET written_to = 0 WHERE id = ?1")?
        .execute([id.as_bytes()])?;
    Ok(())
}

/// The account's notes, if there are any.
pub(crate) fn notes(tx: &Transaction<'_>) -> Result<Option<Conversation>, StoreError> {
    one(tx, "kind = ?1", Kind::Notes as u8)
}

/// Makes a conversation the account's notes.
pub(crate) fn set_notes(tx: &Transaction<'_>, id: ConversationId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation SET kind = ?2, written_to = 1 WHERE id = ?1",
        (id.as_bytes(), Kind::Notes as u8),
    )?;
    Ok(())
}

/// All of them, by id.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<Conversation>, StoreError> {
    let mut statement =
        tx.prepare_cached(&format!("SELECT {COLUMNS} FROM conversation ORDER BY id"))?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn one(
    tx: &Transaction<'_>,
    condition: &str,
    value: impl rusqlite::ToSql,
) -> Result<Option<Conversation>, StoreError> {
    let mut statement = tx.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM conversation WHERE {condition}"
    ))?;
    Ok(statement.query_row([value], read).optional()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Conversation> {
    Ok(Conversation {
        id: ConversationId::from_bytes(row.get(0)?),
        address: row.get(1)?,
        display: row.get(2)?,
        account: row.get::<_, Option<[u8; 32]>>(3)?.map(AccountId),
        written_to: row.get(4)?,
        awaiting_decision: row.get(5)?,
        kind: match row.get::<_, u8>(6)? {
            1 => Kind::Group,
            2 => Kind::Notes,
            3 => Kind::Sms,
            _ => Kind::Direct,
        },
        left: row.get(7)?,
    })
}

/// The conversation turned out to be with this account: gives the one that holds its
/// history.
pub(crate) fn belongs_to(
    turn: &mut Turn<'_>,
    conversation: Conversation,
    account: AccountId,
) -> Result<Conversation, Fault> {
    if conversation.account == Some(account) {
        return Ok(conversation);
    }
    if let Some(other) = with_account(turn.tx, account)? {
        if other.id != conversation.id {
            merge(turn, conversation.id, other.id)?;
        }
        return Ok(other);
    }
    set_account(turn.tx, conversation.id, account)?;
    Ok(Conversation {
        account: Some(account),
        ..conversation
    })
}
