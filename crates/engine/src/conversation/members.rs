//! The members of group conversations, as the store lists them.
//!
//! **Elsewhere**: [`super::member_changes`] follows the MLS group, which has the members;
//! [`super::roles`] decides what a commit may change; [`super::membership`] knows which devices
//! an account has in the group.
//!
//! **Always**: nothing here admits anybody. If this list differs from the MLS group, this list
//! is wrong.

use std::collections::BTreeSet;

use rusqlite::Transaction;
use waxwing_protocol::ids::AccountId;

use crate::{api::ConversationId, store::StoreError};

pub(crate) const SCHEMA: &str = "
CREATE TABLE member (
    conversation BLOB NOT NULL REFERENCES conversation (id),
    account_id BLOB NOT NULL,
    address TEXT NOT NULL,              -- display form
    admin INTEGER NOT NULL,
    leaving INTEGER NOT NULL DEFAULT 0, -- has said so
    due INTEGER NOT NULL DEFAULT 0,     -- its devices are to be looked at
    PRIMARY KEY (conversation, account_id)
) WITHOUT ROWID;
CREATE INDEX member_account ON member (account_id);
";

/// A member.
#[derive(Clone)]
pub(crate) struct MemberRow {
    pub account: AccountId,
    /// In display form.
    pub address: String,
    pub admin: bool,
}

/// All of them, by address.
pub(crate) fn all(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Vec<MemberRow>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT account_id, address, admin FROM member WHERE conversation = ?1 ORDER BY address",
    )?;
    let rows = statement.query_map([conversation.as_bytes()], |row| {
        Ok(MemberRow {
            account: AccountId(row.get(0)?),
            address: row.get(1)?,
            admin: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The account is a member, with this address.
pub(crate) fn store_member(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    account: AccountId,
    address: &str,
    admin: bool,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO member (conversation, account_id, address, admin) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET address = ?3, admin = ?4 WHERE address != ?3 OR admin != ?4",
    )?
    .execute((conversation.as_bytes(), account.0, address, admin))?;
    Ok(())
}

/// Whether the account is a member.
pub(crate) fn is_member(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    account: AccountId,
) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM member WHERE conversation = ?1 AND account_id = ?2")?
        .exists((conversation.as_bytes(), account.0))?)
}

/// How many there are.
pub(crate) fn count(tx: &Transaction<'_>, conversation: ConversationId) -> Result<u64, StoreError> {
    let count: i64 = tx
        .prepare_cached("SELECT count(*) FROM member WHERE conversation = ?1")?
        .query_row([conversation.as_bytes()], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// The accounts that have said that they leave.
pub(crate) fn leaving(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<BTreeSet<AccountId>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT account_id FROM member WHERE conversation = ?1 AND leaving")?;
    let rows = statement.query_map([conversation.as_bytes()], |row| row.get(0).map(AccountId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The account has said that it leaves.
pub(crate) fn set_leaving(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    account: AccountId,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE member SET leaving = 1 WHERE conversation = ?1 AND account_id = ?2",
        (conversation.as_bytes(), account.0),
    )?;
    Ok(())
}

/// The account is not a member any more.
pub(crate) fn remove(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    account: AccountId,
) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM member WHERE conversation = ?1 AND account_id = ?2",
        (conversation.as_bytes(), account.0),
    )?;
    Ok(())
}

/// Nobody is a member any more.
pub(crate) fn forget_all(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM member WHERE conversation = ?1",
        [conversation.as_bytes()],
    )?;
    Ok(())
}

/// The accounts whose devices are to be looked at.
pub(crate) fn due(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Vec<AccountId>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT account_id FROM member WHERE conversation = ?1 AND due")?;
    let rows = statement.query_map([conversation.as_bytes()], |row| row.get(0).map(AccountId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// This account's devices are to be looked at.
pub(crate) fn set_due(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    account: AccountId,
) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE member SET due = 1 WHERE conversation = ?1 AND account_id = ?2")?
        .execute((conversation.as_bytes(), account.0))?;
    Ok(())
}

/// Those have been looked at.
pub(crate) fn looked_at(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE member SET due = 0 WHERE conversation = ?1 AND due",
        [conversation.as_bytes()],
    )?;
    Ok(())
}
