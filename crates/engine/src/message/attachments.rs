//! Messages with files: they leave when their files are at the relay, and people fetch and open
//! the files of others.
//!
//! **Elsewhere**: [`crate::attachment`] keeps and transfers files.

use super::{
    commands::{message_meant, tell_changed},
    content_hook::{ContentHook, SaidContent},
    deleting, view_once,
};
use crate::{
    api::{self, AttachmentState, ConversationId, MessageId, OpenAttachment, Problem, Response},
    attachment::{self, find, of_message, transfer},
    content::{self, Content},
    outbox::{self, progress},
    tables::Table,
    turn::{EventError, Fault, Turn},
};

/// Messages with files.
pub(crate) struct MessagesWithFiles;

impl ContentHook for MessagesWithFiles {
    /// It leaves once its files are at the relay.
    fn handle_own_message(
        &self,
        turn: &mut Turn<'_>,
        (conversation, id): (ConversationId, MessageId),
        content: &Content,
    ) -> Result<(), Fault> {
        let files = content::files(content);
        if files.is_empty() {
            return Ok(());
        }
        attachment::store_files(turn.tx, conversation, id, &files, true)?;
        Ok(outbox::wait_for_files(turn.tx, id)?)
    }

    fn handle_message_added(
        &self,
        turn: &mut Turn<'_>,
        said: &SaidContent<'_>,
        trusted: bool,
    ) -> Result<(), Fault> {
        let place = (said.conversation, said.id);
        attachment::handle_attachments(turn, place.0, place.1, said.content, said.member, trusted)?;
        deleting::delete_known_files(turn, place.0, place.1)
    }
}

impl Table for MessagesWithFiles {
    fn handle_files_changed(
        &self,
        turn: &mut Turn<'_>,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), Fault> {
        let all = of_message(turn.tx, conversation, message)?;
        if all.iter().any(|one| one.state == AttachmentState::Gone) {
            // It would wait for ever. What has left is not touched.
            progress::fail_message(turn, conversation, message, &Problem::AttachmentLost)?;
        }
        if all.iter().all(|one| one.state == AttachmentState::Here) {
            outbox::release_with_files(turn.tx, message)?;
            turn.memory.due_mut().conversations.insert(conversation);
            view_once::handle_uploaded(turn, conversation, message)?;
        }
        tell_changed(turn, conversation, message)
    }
}

/// Fetches an attachment that was offered.
pub(crate) fn fetch(
    turn: &mut Turn<'_>,
    asked: &api::AttachmentOf,
) -> Result<Response, EventError> {
    let (conversation, _) = message_meant(turn, asked.message)?;
    let file = find(turn.tx, conversation.id, asked.message, asked.number)?
        .ok_or(EventError::Refused(Problem::AttachmentUnknown))?;
    let shown = of_message(turn.tx, conversation.id, asked.message)?;
    let is_it = |one: &api::Attachment| one.number == asked.number;
    if shown.iter().find(|one| is_it(one)).map(|one| one.state) == Some(AttachmentState::Deleted) {
        return Err(EventError::Refused(Problem::AttachmentDeleted));
    }
    transfer::request_download(turn, file.blob)?;
    Ok(Response::Done {})
}

/// What opens an attachment.
pub(crate) fn open(turn: &Turn<'_>, asked: &api::AttachmentOf) -> Result<Response, EventError> {
    let (conversation, message) = message_meant(turn, asked.message)?;
    view_once::refuse(&message)?;
    let unknown = || EventError::Refused(Problem::AttachmentUnknown);
    let file = find(turn.tx, conversation.id, asked.message, asked.number)?.ok_or_else(unknown)?;
    let shown = of_message(turn.tx, conversation.id, asked.message)?;
    let shown = shown
        .into_iter()
        .find(|one| one.number == asked.number)
        .ok_or_else(unknown)?;
    Ok(Response::OpenAttachment(Box::new(OpenAttachment {
        blob: data_encoding::HEXLOWER.encode(&file.blob),
        key: data_encoding::BASE64.encode(&file.key),
        name: file.name.clone(),
        media_type: file.media_type.clone(),
        size: file.size,
        state: shown.state,
        percent: shown.percent,
        missing: shown.missing,
    })))
}
