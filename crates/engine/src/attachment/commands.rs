//! People's requests about attachments.

use super::{find, of_message, transfer};
use crate::{
    api::{self, OpenAttachment, Problem, Response},
    message,
    turn::{EventError, Turn},
};

/// Fetches an attachment that was offered.
pub(crate) fn fetch(
    turn: &mut Turn<'_>,
    asked: &api::AttachmentOf,
) -> Result<Response, EventError> {
    let (conversation, _) = message::commands::message_meant(turn, asked.message)?;
    let file = find(turn.tx, conversation.id, asked.message, asked.number)?
        .ok_or(EventError::Refused(Problem::AttachmentUnknown))?;
    transfer::request_download(turn, file.blob)?;
    Ok(Response::Done {})
}

/// What opens an attachment.
pub(crate) fn open(turn: &Turn<'_>, asked: &api::AttachmentOf) -> Result<Response, EventError> {
    let (conversation, _) = message::commands::message_meant(turn, asked.message)?;
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
    })))
}
