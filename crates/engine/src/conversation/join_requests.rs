//! Who has asked to join this account's groups, and which groups this account has asked to join.
//!
//! **Elsewhere**: [`super::invitations`] asks and answers.
//!
//! **Always**: at one group, at most [`ASKING_MAX`] people wait.

use rusqlite::Transaction;
use waxwing_protocol::{ids::AccountId, time::Time};

use super::members;
use crate::{api::ConversationId, store::StoreError};

pub(crate) const SCHEMA: &str = "
CREATE TABLE asking (                   -- who waits for this account's decision
    conversation BLOB NOT NULL,
    account_id BLOB NOT NULL,
    address TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    PRIMARY KEY (conversation, account_id)
) WITHOUT ROWID;
CREATE TABLE joining (                  -- what this account asked for
    conversation BLOB PRIMARY KEY,
    direct BLOB NOT NULL,
    asked_at INTEGER NOT NULL
) WITHOUT ROWID;
";

/// Who waits at one group, at most.
const ASKING_MAX: i64 = 256;

/// Those who wait for this account's decision, with their addresses: the first first.
pub(crate) fn asking(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Vec<(AccountId, String)>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT account_id, address FROM asking WHERE conversation = ?1 ORDER BY asked_at",
    )?;
    let rows = statement.query_map([conversation.as_bytes()], |row| {
        Ok((AccountId(row.get(0)?), row.get(1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Somebody asks; `false` where they wait already, or too many do.
pub(crate) fn add_asking(
    tx: &Transaction<'_>,
    now: Time,
    conversation: ConversationId,
    account: AccountId,
    address: &str,
) -> Result<bool, StoreError> {
    let added = tx.execute(
        "INSERT INTO asking (conversation, account_id, address, asked_at) SELECT ?1, ?2, ?3, ?4
         WHERE (SELECT count(*) FROM asking WHERE conversation = ?1) < ?5
         ON CONFLICT DO NOTHING",
        (
            conversation.as_bytes(),
            account.0,
            address,
            now.0.cast_signed(),
            ASKING_MAX,
        ),
    )?;
    Ok(added > 0)
}

/// Somebody does not wait any more.
pub(crate) fn forget(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    account: AccountId,
) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM asking WHERE conversation = ?1 AND account_id = ?2",
        (conversation.as_bytes(), account.0),
    )?;
    Ok(())
}

/// Whether this account has asked to join a conversation and waits for it.
pub(crate) fn has_asked(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM joining WHERE conversation = ?1")?
        .exists([conversation.as_bytes()])?)
}

/// This account asks to join a conversation, in the one with the admin (`direct`).
pub(crate) fn set_asked(
    tx: &Transaction<'_>,
    now: Time,
    conversation: ConversationId,
    direct: ConversationId,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO joining (conversation, direct, asked_at) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET direct = ?2, asked_at = ?3",
        (
            conversation.as_bytes(),
            direct.as_bytes(),
            now.0.cast_signed(),
        ),
    )?;
    Ok(())
}

/// The admin has answered. Gives whether this account had asked there.
pub(crate) fn take_asked(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    direct: ConversationId,
) -> Result<bool, StoreError> {
    let asked = tx.execute(
        "DELETE FROM joining WHERE conversation = ?1 AND direct = ?2",
        (conversation.as_bytes(), direct.as_bytes()),
    )?;
    Ok(asked > 0)
}

/// A person who is in the group no longer waits, nor does this account.
pub(crate) fn follow(tx: &Transaction<'_>, conversation: ConversationId) -> Result<(), StoreError> {
    for (account, _) in asking(tx, conversation)? {
        if members::is_member(tx, conversation, account)? {
            forget(tx, conversation, account)?;
        }
    }
    tx.prepare_cached("DELETE FROM joining WHERE conversation = ?1")?
        .execute([conversation.as_bytes()])?;
    Ok(())
}
