//! Incoming receipts: which member has which of this account's messages, and who has read
//! them.
//!
//! **Elsewhere**: [`crate::outbox::receipts`] has receipts that this account owes others.
//!
//! **Always**: kept only for messages of this account, one row for each member. A receipt's
//! state only moves forward.

use rusqlite::Transaction;
use waxwing_protocol::{ids::AccountId, time::Time};

use crate::{
    api::{ConversationId, MessageId, MessageState},
    store::StoreError,
    tables::{Table, merge_rows},
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE receipt (
    conversation BLOB NOT NULL,
    message BLOB NOT NULL,
    account_id BLOB NOT NULL,
    delivered_at INTEGER NOT NULL,  -- by this device's clock
    read_at INTEGER,
    PRIMARY KEY (conversation, message, account_id)
) WITHOUT ROWID;
";

/// The receipts for all messages.
pub(crate) struct Receipts;

impl Table for Receipts {
    fn merge_conversations(
        &self,
        tx: &Transaction<'_>,
        from: ConversationId,
        into: ConversationId,
    ) -> Result<(), StoreError> {
        merge_rows(tx, "receipt", from, into)
    }

    fn delete_message(
        &self,
        turn: &mut Turn<'_>,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), Fault> {
        turn.tx
            .prepare_cached("DELETE FROM receipt WHERE conversation = ?1 AND message = ?2")?
            .execute((conversation.as_bytes(), message.as_bytes()))?;
        Ok(())
    }
}

/// Groups of more accounts tell nobody what became of messages: each receipt goes to all.
pub(crate) const ACCOUNTS_MAX: u64 = 32;

/// A member has a message, or has read it. Gives how far all are who are to get it, of whom
/// there are `of`.
pub(crate) fn note(
    tx: &Transaction<'_>,
    now: Time,
    (conversation, message): (ConversationId, MessageId),
    account: AccountId,
    read: bool,
    of: u64,
) -> Result<MessageState, StoreError> {
    let at = now.0.cast_signed();
    tx.prepare_cached(
        "INSERT INTO receipt (conversation, message, account_id, delivered_at, read_at)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET read_at = coalesce(read_at, excluded.read_at)",
    )?
    .execute((
        conversation.as_bytes(),
        message.as_bytes(),
        account.0,
        at,
        read.then_some(at),
    ))?;
    let (delivered, read) = count(tx, conversation, message)?;
    Ok(if read >= of {
        MessageState::Read
    } else if delivered >= of {
        MessageState::Delivered
    } else {
        MessageState::Accepted
    })
}

/// How many have a message, and how many have read it.
pub(crate) fn count(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<(u64, u64), StoreError> {
    let (delivered, read): (i64, i64) = tx
        .prepare_cached(
            "SELECT count(*), count(read_at) FROM receipt
             WHERE conversation = ?1 AND message = ?2",
        )?
        .query_row((conversation.as_bytes(), message.as_bytes()), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    Ok((delivered.cast_unsigned(), read.cast_unsigned()))
}

/// Who has a message since when, and has read it when.
pub(crate) fn of_message(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<Vec<(AccountId, Time, Option<Time>)>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT account_id, delivered_at, read_at FROM receipt
         WHERE conversation = ?1 AND message = ?2",
    )?;
    let time = |at: i64| Time(at.cast_unsigned());
    let rows = statement.query_map((conversation.as_bytes(), message.as_bytes()), |row| {
        Ok((
            AccountId(row.get(0)?),
            time(row.get(1)?),
            row.get::<_, Option<i64>>(2)?.map(time),
        ))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
