//! Messages that are here and are sent again: one that failed.
//!
//! What is sent is a new message with an id of its own. The failed one never left this device, or
//! only to be refused, so nobody gets it twice.
//!
//! **Elsewhere**: [`crate::inbox::resending`] resends what devices of others missed.
//!
//! **Always**: what is sent again is what the message says now, with its files.

use super::{
    commands::{self, own_message_meant},
    deleted, link_preview,
    sending::{self, MessageParts, NewContent},
};
use crate::{
    api::{self, MessageId, MessageState, Problem, Response},
    attachment,
    content::{self, Content},
    conversation::history,
    turn::{EventError, Turn},
};

/// Sends a message of this account that failed.
pub(crate) fn resend(turn: &mut Turn<'_>, id: MessageId) -> Result<Response, EventError> {
    let (conversation, message) = own_message_meant(turn, id)?;
    if message.taken_back {
        return Err(EventError::Refused(Problem::MessageTakenBack));
    }
    if message.state != Some(MessageState::Failed) {
        return Err(EventError::Refused(Problem::MessageNotFailed));
    }
    let conversation = sending::conversation(turn, &conversation.id.to_string())?;
    let files = attachment::take_over(turn.tx, conversation.id, id)?
        .ok_or(EventError::Refused(Problem::AttachmentNotHere))?;
    let (content, is_kept) = match poll_again(turn, &message)? {
        Some(poll) => (poll, true),
        None => {
            let preview = link_preview::kept(turn.tx, conversation.id, id, &message.text)?;
            let parts = MessageParts {
                text: &message.text,
                in_reply_to: message.reply_to.map(commands::mimi).transpose()?,
                files: &files,
                link_preview: preview.as_deref(),
                markdown: history::is_markdown(turn.tx, conversation.id, id)?,
            };
            (parts.content(turn.random()), parts.is_more_than_text())
        }
    };
    let new = NewContent {
        markdown: content.is_markdown(),
        content,
        text: &message.text,
        reply_to: message.reply_to,
        is_kept,
    };
    let new = sending::add(turn, &conversation, new)?;
    deleted::delete_entry(turn.tx, conversation.id, id)?;
    turn.delete_message(conversation.id, id)?;
    turn.notify(api::Notice::MessageDeleted(api::MessageDeleted {
        id,
        conversation: conversation.id,
    }));
    sending::finish(turn, &conversation, new)
}

/// The same poll, which nobody has voted in.
fn poll_again(turn: &mut Turn<'_>, message: &api::Message) -> Result<Option<Content>, EventError> {
    if message.poll.is_none() {
        return Ok(None);
    }
    let kept = deleted::content_of(turn.tx, message.conversation, message.id)?;
    let content = kept.and_then(|encoded| content::decode(&encoded).ok());
    let salt = turn.random();
    Ok(content.map(|content| Content { salt, ..content }))
}
