//! Messages that are here and are sent again: one that failed, and one that is forwarded.
//!
//! What is sent is a new message with an id of its own. One that failed never left this device, so
//! nobody gets it twice. Files are forwarded under other keys: the relay could recognise them.
//!
//! **Elsewhere**: [`crate::inbox::resending`] resends what devices of others missed; that a message
//! is forwarded is kept in [`super::forwarded`].
//!
//! **Always**: what is sent again is what the message says now. A forwarded message does not say by
//! whom it was first, nor what it replied to.

use super::{
    commands::{self, message_meant, own_message_meant},
    deleted, link_preview,
    sending::{self, MessageParts, NewContent},
    view_once,
};
use crate::{
    api::{self, AttachmentState, MessageId, MessageState, Problem, Response},
    attachment,
    content::{self, Content, VisibleContent},
    conversation::history,
    turn::{EventError, Turn},
};

/// Sends a message of this account that failed.
pub(crate) fn resend(turn: &mut Turn<'_>, id: MessageId) -> Result<Response, EventError> {
    let (conversation, message) = own_message_meant(turn, id)?;
    if message.taken_back {
        return Err(EventError::Refused(Problem::MessageTakenBack));
    }
    // Its text is not kept.
    view_once::refuse(&message)?;
    if message.state != Some(MessageState::Failed) {
        return Err(EventError::Refused(Problem::MessageNotFailed));
    }
    let conversation = sending::conversation(turn, &conversation.id.to_string())?;
    let files = attachment::take_over(turn.tx, conversation.id, id)?
        .ok_or(EventError::Refused(Problem::AttachmentNotHere))?;
    let (mut content, mut is_kept) = if let Some(poll) = poll_again(turn, &message)? {
        (poll, true)
    } else {
        let preview = link_preview::kept(turn.tx, conversation.id, id, &message.text)?;
        let parts = MessageParts {
            text: &message.text,
            in_reply_to: message.reply_to.map(commands::mimi).transpose()?,
            files: &files,
            link_preview: preview.as_deref(),
            markdown: history::is_markdown(turn.tx, conversation.id, id)?,
        };
        (parts.content(turn.random()), parts.is_more_than_text())
    };
    if message.forwarded {
        (content, is_kept) = (content.forwarded(), true);
    }
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

/// Sends a message of anybody to another conversation. Its files were sealed for that.
pub(crate) fn forward(turn: &mut Turn<'_>, forward: &api::Forward) -> Result<Response, EventError> {
    let (_, message) = message_meant(turn, forward.message)?;
    if message.taken_back {
        return Err(EventError::Refused(Problem::MessageTakenBack));
    }
    view_once::refuse(&message)?;
    let files = attachment::sealed::sealed_files(&forward.attachments)?;
    let deleted = |one: &&api::Attachment| one.state == AttachmentState::Deleted;
    let left = message.attachments.len() - message.attachments.iter().filter(deleted).count();
    if files.len() != left {
        return Err(EventError::Refused(Problem::AttachmentInvalid));
    }
    let place = (message.conversation, message.id);
    let content = match poll_again(turn, &message)? {
        Some(poll) => poll,
        None if needs_newer(turn, &message)? || (message.text.trim().is_empty() && left == 0) => {
            return Err(EventError::Refused(Problem::MessageNotForwardable));
        }
        None => {
            let preview = link_preview::kept(turn.tx, place.0, place.1, &message.text)?;
            let parts = MessageParts {
                text: &message.text,
                in_reply_to: None,
                files: &files,
                link_preview: preview.as_deref(),
                markdown: history::is_markdown(turn.tx, place.0, place.1)?,
            };
            parts.content(turn.random())
        }
    };
    let conversation = sending::conversation(turn, &forward.to)?;
    let new = NewContent {
        markdown: content.is_markdown(),
        content: content.forwarded(),
        text: &message.text,
        reply_to: None,
        is_kept: true,
    };
    let id = sending::add(turn, &conversation, new)?;
    sending::finish(turn, &conversation, id)
}

/// Whether this version shows only that a newer one is needed.
fn needs_newer(turn: &Turn<'_>, message: &api::Message) -> Result<bool, EventError> {
    let kept = deleted::content_of(turn.tx, message.conversation, message.id)?;
    let content = kept.and_then(|encoded| content::decode(&encoded).ok());
    Ok(content.is_some_and(|content| content.shown() == VisibleContent::NeedsNewer))
}

/// The same poll, which nobody has voted in; as a message of this account.
fn poll_again(turn: &mut Turn<'_>, message: &api::Message) -> Result<Option<Content>, EventError> {
    if message.poll.is_none() {
        return Ok(None);
    }
    let kept = deleted::content_of(turn.tx, message.conversation, message.id)?;
    let content = kept.and_then(|encoded| content::decode(&encoded).ok());
    let salt = turn.random();
    Ok(content.map(|content| Content {
        salt,
        in_reply_to: None,
        ..content
    }))
}
