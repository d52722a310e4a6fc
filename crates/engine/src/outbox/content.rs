//! What people say, on its way into the outbox.

use prost::Message as _;
use waxwing_protocol::pb::{Envelope, envelope};

use super::add;
use crate::{
    api::{ConversationId, MessageId},
    turn::{Fault, Turn},
};

/// Puts content into the outbox.
pub(crate) fn add_content(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    message: Option<MessageId>,
    encoded: Vec<u8>,
) -> Result<(), Fault> {
    let envelope = Envelope {
        sent_at_ms: turn.now.0,
        body: Some(envelope::Body::Mimi(encoded.into())),
        ..Envelope::default()
    };
    add(
        turn.tx,
        turn.now,
        conversation,
        message,
        &envelope.encode_to_vec(),
        None,
    )?;
    turn.memory.due_mut().conversations.insert(conversation);
    Ok(())
}
