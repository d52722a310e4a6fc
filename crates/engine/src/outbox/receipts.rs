//! Receipts to send: gathered, so that one message reports many.
//!
//! **Always**: a receipt is sent only for a message from a person, never for a receipt; "read"
//! replaces "delivered" while neither was sent.

use rusqlite::Transaction;
use waxwing_protocol::time::{Span, Time};

use crate::{
    api::{ConversationId, MessageId},
    store::StoreError,
    tables::{Table, merge_rows},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE receipt_due (
    conversation BLOB NOT NULL,
    message BLOB NOT NULL,
    read INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    PRIMARY KEY (conversation, message)
) WITHOUT ROWID;
";

/// The receipts that this account owes others.
pub(crate) struct OwedReceipts;

impl Table for OwedReceipts {
    fn merge_conversations(
        &self,
        tx: &Transaction<'_>,
        from: ConversationId,
        into: ConversationId,
    ) -> Result<(), StoreError> {
        merge_rows(tx, "receipt_due", from, into)
    }
}

/// Receipts are gathered for this long.
pub(crate) const GATHERED_FOR: Span = Span(1_500);

/// Messages that one receipt reports, at most.
pub(crate) const PER_MESSAGE: usize = 128;

/// A receipt is owed.
pub(crate) fn add_owed(
    tx: &Transaction<'_>,
    now: Time,
    conversation: ConversationId,
    message: MessageId,
    read: bool,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO receipt_due (conversation, message, read, due_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET read = max(read, ?3)",
    )?
    .execute((
        conversation.as_bytes(),
        message.as_bytes(),
        read,
        now.after(GATHERED_FOR).0.cast_signed(),
    ))?;
    Ok(())
}

/// How many receipts are owed and not in the outbox yet, except in these conversations.
pub(crate) fn count_owed(
    tx: &Transaction<'_>,
    except: &[ConversationId],
) -> Result<u64, StoreError> {
    let all: i64 = tx
        .prepare_cached("SELECT count(*) FROM receipt_due")?
        .query_row([], |row| row.get(0))?;
    let mut count = all.cast_unsigned();
    for conversation in except {
        let there: i64 = tx
            .prepare_cached("SELECT count(*) FROM receipt_due WHERE conversation = ?1")?
            .query_row([conversation.as_bytes()], |row| row.get(0))?;
        count = count.saturating_sub(there.cast_unsigned());
    }
    Ok(count)
}

/// When the first receipt is to leave.
pub(crate) fn next_due(tx: &Transaction<'_>) -> Result<Option<Time>, StoreError> {
    let due: Option<i64> = tx
        .prepare_cached("SELECT min(due_at) FROM receipt_due")?
        .query_row([], |row| row.get(0))?;
    Ok(due.map(|at| Time(at.cast_unsigned())))
}

/// Conversations with receipts that are due.
pub(crate) fn due_conversations(
    tx: &Transaction<'_>,
    now: Time,
) -> Result<Vec<ConversationId>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT DISTINCT conversation FROM receipt_due WHERE due_at <= ?1")?;
    let rows = statement.query_map([now.0.cast_signed()], |row| {
        row.get(0).map(ConversationId::from_bytes)
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Takes a conversation's receipts, each with whether the message was read.
pub(crate) fn take(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Vec<(MessageId, bool)>, StoreError> {
    let mut statement = tx.prepare_cached(
        "DELETE FROM receipt_due WHERE conversation = ?1 RETURNING message, read",
    )?;
    let rows = statement.query_map([conversation.as_bytes()], |row| {
        Ok((MessageId::from_bytes(row.get(0)?), row.get(1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
