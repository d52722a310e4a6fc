//! Tells the person what becomes of messages that wait to be sent.
//!
//! **Elsewhere**: [`super`] has what waits; [`crate::conversation::history`] has what is shown
//! of it.
//!
//! **Always**: each message's state, or what stands in its way, is told once.

use crate::{
    api::{ConversationId, MessageChanged, MessageId, MessageState, Notice, Problem},
    conversation::{Conversation, history},
    outbox,
    turn::{Fault, Turn},
};

/// What waits cannot be sent for now: tells why.
pub(crate) fn tell_waiting(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    problem: &Problem,
) -> Result<(), Fault> {
    for (_, message) in outbox::unnumbered(turn.tx, conversation.id)? {
        if let Some(id) = message {
            notify_state(turn, conversation.id, id, MessageState::Queued, problem)?;
        }
    }
    Ok(())
}

/// What is not accepted is not taken by the relay for now: tells why.
pub(crate) fn tell_open(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    problem: &Problem,
) -> Result<(), Fault> {
    for id in outbox::open_messages(turn.tx, conversation.id)? {
        notify_state(turn, conversation.id, id, MessageState::Queued, problem)?;
    }
    Ok(())
}

/// What waits will never be sent.
pub(crate) fn fail_waiting(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    problem: &Problem,
) -> Result<(), Fault> {
    for (row, message) in outbox::unnumbered(turn.tx, conversation.id)? {
        outbox::give_up(turn.tx, row)?;
        if let Some(id) = message {
            notify_state(turn, conversation.id, id, MessageState::Failed, problem)?;
        }
    }
    Ok(())
}

/// A message that waits will never be sent.
pub(crate) fn fail_message(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    id: MessageId,
    problem: &Problem,
) -> Result<(), Fault> {
    if outbox::give_up_waiting(turn.tx, id)? {
        notify_state(turn, conversation, id, MessageState::Failed, problem)?;
    }
    Ok(())
}

/// Nothing that waits anywhere will be sent by this device.
pub(crate) fn fail_all(turn: &mut Turn<'_>, problem: &Problem) -> Result<(), Fault> {
    for conversation in outbox::waiting_conversations(turn.tx)? {
        loop {
            let some = outbox::open_messages(turn.tx, conversation)?;
            if some.is_empty() {
                break;
            }
            for id in some {
                outbox::give_up_message(turn.tx, id)?;
                notify_state(turn, conversation, id, MessageState::Failed, problem)?;
            }
        }
    }
    Ok(outbox::give_up_all(turn.tx)?)
}

fn notify_state(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    id: MessageId,
    state: MessageState,
    problem: &Problem,
) -> Result<(), Fault> {
    let report = problem.report();
    let failed = state == MessageState::Failed;
    if history::set_problem(turn.tx, conversation, id, failed, &report)? {
        turn.notify(Notice::MessageState(MessageChanged {
            id,
            conversation,
            state,
            problem: Some(report),
        }));
    }
    Ok(())
}
