//! Disappearing messages: deletes the expired ones, and tells who has set a timer.
//!
//! A message says how long it stays after it was read (`expires`, which its sender takes from
//! the conversation's timer). This device deletes it that long after this account has read it;
//! a message of this account, that long after the relay accepted it.
//!
//! **Elsewhere**: the timer itself is in [`crate::conversation::timer`].
//!
//! **Always**: an expired message is deleted from the disk in one transaction, with its
//! amendments and the copy kept for resending (`secure_delete` overwrites it). Others' devices
//! decide for themselves.

use rusqlite::Transaction;
use waxwing_protocol::time::{Span, Time};

use crate::{
    api::{ConversationId, EventKind, MessageDeleted, MessageId, Notice},
    containment::ErrorOwner,
    conversation::{
        history::{self, NewEvent},
        timer,
    },
    store::StoreError,
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
ALTER TABLE entry ADD COLUMN expires_after INTEGER;  -- seconds
ALTER TABLE entry ADD COLUMN expires_at INTEGER;
CREATE INDEX entry_expires ON entry (expires_at) WHERE expires_at IS NOT NULL;
";

/// What could not be deleted is tried again after this long.
const AGAIN: Span = Span::hours(1);

/// Messages that are deleted in one transaction, at most.
const AT_ONCE: u32 = 256;

/// The timer was set at this time by somebody; an earlier setting than the one that is known
/// does not count.
pub(crate) fn set_timer(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    seconds: u32,
    set_at: Time,
    by: &str,
) -> Result<(), Fault> {
    if timer::set_if_later(turn.tx, conversation, seconds, set_at)? {
        let detail = seconds.to_string();
        let new = NewEvent {
            conversation,
            event: EventKind::TimerChanged,
            address: by,
            by: None,
            detail: Some(&detail),
        };
        let event = history::record(turn.tx, turn.now, &new)?;
        turn.notify(Notice::Event(event));
    }
    Ok(())
}

/// These messages of others were read, or this own one was taken by the relay: their time
/// runs.
pub(crate) fn start(
    tx: &Transaction<'_>,
    now: Time,
    conversation: ConversationId,
    messages: &[MessageId],
) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached(
        "UPDATE entry SET expires_at = ?3 + expires_after * 1000
         WHERE conversation = ?1 AND message = ?2 AND expires_after IS NOT NULL
           AND expires_at IS NULL",
    )?;
    for message in messages {
        statement.execute((
            conversation.as_bytes(),
            message.as_bytes(),
            now.0.cast_signed(),
        ))?;
    }
    Ok(())
}

/// A message is deleted at this time.
pub(crate) fn expire_at(
    tx: &Transaction<'_>,
    at: Time,
    conversation: ConversationId,
    message: MessageId,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE entry SET expires_at = ?3, read = 1 WHERE conversation = ?1 AND message = ?2",
    )?
    .execute((
        conversation.as_bytes(),
        message.as_bytes(),
        at.0.cast_signed(),
    ))?;
    Ok(())
}

/// When the next is over.
pub(crate) fn next_due(tx: &Transaction<'_>) -> Result<Option<Time>, StoreError> {
    let at: Option<i64> = tx
        .prepare_cached("SELECT min(expires_at) FROM entry WHERE expires_at IS NOT NULL")?
        .query_row([], |row| row.get(0))?;
    Ok(at.map(|at| Time(at.cast_unsigned())))
}

/// Deletes what is over.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let over: Vec<(i64, ConversationId, MessageId)> = {
        let mut statement = turn.tx.prepare_cached(
            "SELECT id, conversation, message FROM entry
             WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2",
        )?;
        let rows = statement.query_map((turn.now.0.cast_signed(), AT_ONCE), |row| {
            Ok((
                row.get(0)?,
                ConversationId::from_bytes(row.get(1)?),
                MessageId::from_bytes(row.get(2)?),
            ))
        })?;
        rows.collect::<Result<_, _>>()?
    };
    for (row, conversation, id) in over {
        let deleted = turn.run_contained(ErrorOwner::Part("disappearing messages"), |turn| {
            delete(turn, row, conversation, id)
        })?;
        if deleted.is_none() {
            // Others are not to wait for it.
            turn.tx.execute(
                "UPDATE entry SET expires_at = ?2 WHERE id = ?1",
                (row, turn.now.after(AGAIN).0.cast_signed()),
            )?;
        }
    }
    Ok(())
}

fn delete(
    turn: &mut Turn<'_>,
    row: i64,
    conversation: ConversationId,
    id: MessageId,
) -> Result<(), Fault> {
    turn.tx
        .prepare_cached("DELETE FROM entry WHERE id = ?1")?
        .execute([row])?;
    turn.delete_message(conversation, id)?;
    turn.notify(Notice::MessageDeleted(MessageDeleted { id, conversation }));
    Ok(())
}
