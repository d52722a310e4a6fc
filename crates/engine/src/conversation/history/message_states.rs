//! How far own messages are, what stands in their way, and which messages of others were read.

use rusqlite::{OptionalExtension as _, Transaction};

use crate::{
    api::{ConversationId, MessageId, MessageState, ProblemReport},
    store::StoreError,
};

/// Raises the state of an own message; `false` where it was that far already.
pub(crate) fn raise_state(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
    state: MessageState,
) -> Result<bool, StoreError> {
    let raised = tx
        .prepare_cached(
            "UPDATE entry SET state = ?3, problem = NULL
             WHERE conversation = ?1 AND message = ?2 AND outgoing AND state < ?3",
        )?
        .execute((
            conversation.as_bytes(),
            message.as_bytes(),
            state_number(state),
        ))?;
    Ok(raised > 0)
}

/// What stands in the way of an own message, or why it failed.
pub(crate) fn set_problem(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
    failed: bool,
    problem: &ProblemReport,
) -> Result<bool, StoreError> {
    let problem = serde_json::to_string(problem).unwrap_or_default();
    let state = if failed {
        MessageState::Failed
    } else {
        MessageState::Queued
    };
    let changed = tx.execute(
        "UPDATE entry SET state = ?3, problem = ?4
         WHERE conversation = ?1 AND message = ?2 AND outgoing AND state = 0
           AND (problem IS NOT ?4 OR state != ?3)",
        (
            conversation.as_bytes(),
            message.as_bytes(),
            state_number(state),
            problem,
        ),
    )?;
    Ok(changed > 0)
}

/// What stands in the way of an own message, or why it failed.
pub(crate) fn problem(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<Option<ProblemReport>, StoreError> {
    let problem: Option<Option<String>> = tx
        .prepare_cached(
            "SELECT problem FROM entry WHERE conversation = ?1 AND message = ?2 AND outgoing",
        )?
        .query_row((conversation.as_bytes(), message.as_bytes()), |row| {
            row.get(0)
        })
        .optional()?;
    Ok(problem
        .flatten()
        .and_then(|problem| serde_json::from_str(&problem).ok()))
}

/// An own message failed after all, however far it seemed to be.
pub(crate) fn fail(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
    problem: &ProblemReport,
) -> Result<(), StoreError> {
    let problem = serde_json::to_string(problem).unwrap_or_default();
    tx.execute(
        "UPDATE entry SET state = ?3, problem = ?4
         WHERE conversation = ?1 AND message = ?2 AND outgoing",
        (
            conversation.as_bytes(),
            message.as_bytes(),
            state_number(MessageState::Failed),
            problem,
        ),
    )?;
    Ok(())
}

/// Marks the messages of others up to one (or all) as read and gives those that were
/// not.
pub(crate) fn mark_read(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    up_to: Option<MessageId>,
) -> Result<Vec<MessageId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "UPDATE entry SET read = 1
         WHERE conversation = ?1 AND NOT read AND (?2 IS NULL OR (place, id) <=
             (SELECT place, id FROM entry WHERE conversation = ?1 AND message = ?2))
         RETURNING message",
    )?;
    let rows = statement.query_map(
        (conversation.as_bytes(), up_to.map(|id| *id.as_bytes())),
        |row| row.get(0).map(MessageId::from_bytes),
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) const fn state_number(state: MessageState) -> u8 {
    match state {
        MessageState::Queued => 0,
        MessageState::Failed => 1,
        MessageState::Accepted => 2,
        MessageState::Delivered => 3,
        MessageState::Read => 4,
    }
}

pub(crate) const fn state_of(number: u8) -> MessageState {
    match number {
        0 => MessageState::Queued,
        1 => MessageState::Failed,
        2 => MessageState::Accepted,
        3 => MessageState::Delivered,
        _ => MessageState::Read,
    }
}
