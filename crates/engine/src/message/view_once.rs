//! Messages that can be viewed once: a request that honest devices keep. Nobody can force others.
//!
//! The content wraps what is to be viewed, so that older versions show that they are too old, and
//! keep no file. The history has no text of it. Opening it hands the text out, and what opens the
//! files, and deletes the message on all of the account's devices, as the person deletes messages
//! ([`super::deleting`]); the files stay for [`FILES_STAY`], so that a program can read them.
//!
//! **Elsewhere**: `docs/conversations.md` has the encoding for other programs.
//!
//! **Always**: no text of it is searched, archived, forwarded or edited. The sender's devices do not
//! show it. It counts as read once it was opened.

use rusqlite::Transaction;
use waxwing_protocol::time::Span;

use super::{
    amendments::{self, Amendment, Amends, VIEW_ONCE, is_view_once},
    commands::message_meant,
    content_hook::{ContentHook, ContentOutcome, SaidContent},
    deleted, deleting, expiry,
};
use crate::{
    api::{
        self, AttachmentState, ConversationId, Direction, MessageId, OpenAttachment, Problem,
        Response, ViewedOnce,
    },
    attachment,
    content::{self, Content, PartBody, VisibleContent},
    conversation::{acquaintance, history, reader::MessageHook},
    outbox::{self, receipts},
    settings::{self, Setting},
    store::StoreError,
    turn::{EventError, Fault, Turn},
};

const VIEW_ONCE_TYPE: &str = "application/vnd.waxwing.view-once";

/// Programs have so long to read the files of a message that was opened.
const FILES_STAY: Span = Span::minutes(5);

/// Content that is to be viewed once.
pub(crate) fn wrapped(salt: [u8; 16], inner: &Content) -> Content {
    let mut content = Content::text(salt, "", inner.in_reply_to);
    content.body.body = PartBody::Single {
        content_type: VIEW_ONCE_TYPE.to_owned(),
        content: inner.encode(),
    };
    content
}

/// What is to be viewed once, if content is that: a text, files, or both.
fn inner(content: &Content) -> Option<Content> {
    let PartBody::Single {
        content_type,
        content: encoded,
    } = &content.body.body
    else {
        return None;
    };
    if content_type != VIEW_ONCE_TYPE || content.replaces.is_some() {
        return None;
    }
    let inner = content::decode(encoded).ok()?;
    matches!(inner.shown(), VisibleContent::Text(_)).then_some(inner)
}

/// The room's hooks.
pub(crate) struct ViewOnce;

impl ContentHook for ViewOnce {
    fn handle_content(
        &self,
        _turn: &mut Turn<'_>,
        said: &SaidContent<'_>,
    ) -> Result<ContentOutcome, Fault> {
        Ok(match inner(said.content) {
            Some(_) => ContentOutcome::Message(String::new()),
            None => ContentOutcome::NotOfThisType,
        })
    }

    fn handle_own_message(
        &self,
        turn: &mut Turn<'_>,
        (conversation, id): (ConversationId, MessageId),
        content: &Content,
    ) -> Result<(), Fault> {
        let Some(inner) = inner(content) else {
            return Ok(());
        };
        let own = turn.account()?;
        let amendment = Amendment {
            conversation,
            id: amendments::mark_id(id, VIEW_ONCE),
            target: id,
            account: own.id(),
            address: own.address().display(),
            own: true,
            sent_at: turn.now,
            amends: Amends::Other(VIEW_ONCE, String::new()),
            signed: None,
        };
        amendments::add(turn.tx, &amendment)?;
        let files = content::files(&inner);
        if !files.is_empty() {
            attachment::store_files(turn.tx, conversation, id, &files, true)?;
            outbox::wait_for_files(turn.tx, id)?;
        }
        Ok(())
    }

    fn handle_message_added(
        &self,
        turn: &mut Turn<'_>,
        said: &SaidContent<'_>,
        trusted: bool,
    ) -> Result<(), Fault> {
        let Some(inner) = inner(said.content) else {
            return Ok(());
        };
        let amendment = Amendment {
            conversation: said.conversation,
            id: amendments::mark_id(said.id, VIEW_ONCE),
            target: said.id,
            account: said.member.account,
            address: said.from,
            own: said.own,
            sent_at: said.proof.sent_at,
            amends: Amends::Other(VIEW_ONCE, String::new()),
            signed: None,
        };
        amendments::add(turn.tx, &amendment)?;
        if said.own {
            // Nobody opens what they sent themselves.
            return Ok(deleted::forget_content(
                turn.tx,
                said.conversation,
                said.id,
            )?);
        }
        let place = (said.conversation, said.id);
        attachment::handle_attachments(turn, place.0, place.1, &inner, said.member, trusted)
    }
}

impl MessageHook for ViewOnce {
    /// The files have no names or previews before they are opened.
    fn complete(&self, tx: &Transaction<'_>, message: &mut api::Message) -> Result<(), StoreError> {
        message.view_once = is_view_once(tx, message.conversation, message.id)?;
        if message.view_once {
            for file in &mut message.attachments {
                file.name = String::new();
                file.preview = None;
            }
        }
        Ok(())
    }
}

/// Refuses what is not done with a message that can be viewed once.
pub(crate) fn refuse(message: &api::Message) -> Result<(), EventError> {
    if message.view_once {
        Err(EventError::Refused(Problem::ViewOnce))
    } else {
        Ok(())
    }
}

/// Refuses to edit one.
pub(crate) fn refuse_edit(turn: &Turn<'_>, edit: &api::Edit) -> Result<(), EventError> {
    let (_, message) = message_meant(turn, edit.message)?;
    refuse(&message)
}

/// The files of an own message are at the relay: this device does not need them any more.
pub(super) fn handle_uploaded(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    id: MessageId,
) -> Result<(), Fault> {
    if !is_view_once(turn.tx, conversation, id)? || !history::is_own(turn.tx, conversation, id)? {
        return Ok(());
    }
    for file in attachment::of_message(turn.tx, conversation, id)? {
        if file.state == AttachmentState::Here {
            attachment::delete_file(turn, conversation, id, file.number)?;
        }
    }
    Ok(())
}

/// Opens a message: it is gone after that, on all devices of the account.
pub(crate) fn open(turn: &mut Turn<'_>, id: MessageId) -> Result<Response, EventError> {
    let (conversation, message) = message_meant(turn, id)?;
    let content = deleted::content_of(turn.tx, conversation.id, id)?;
    let content = content.and_then(|encoded| content::decode(&encoded).ok());
    let inner = content.as_ref().and_then(inner);
    let (Direction::In, true, Some(inner)) = (message.direction, message.view_once, inner) else {
        return Err(EventError::Refused(Problem::NotViewOnce));
    };
    let VisibleContent::Text(text) = inner.shown() else {
        return Err(EventError::Refused(Problem::NotViewOnce));
    };
    let mut files = Vec::new();
    for shown in attachment::of_message(turn.tx, conversation.id, id)? {
        let file = attachment::find(turn.tx, conversation.id, id, shown.number)?;
        match file {
            Some(file) if shown.state == AttachmentState::Here => files.push(OpenAttachment {
                blob: data_encoding::HEXLOWER.encode(&file.blob),
                key: data_encoding::BASE64.encode(&file.key),
                name: file.name,
                media_type: file.media_type,
                size: file.size,
                state: shown.state,
                percent: shown.percent,
                missing: None,
            }),
            _ => return Err(EventError::Refused(Problem::AttachmentNotHere)),
        }
    }
    let tells = settings::read(turn.tx, Setting::TellRead)?.unwrap_or(true);
    if tells && acquaintance::may_tell(turn, &conversation)? {
        receipts::add_owed(turn.tx, turn.now, conversation.id, id, true)?;
    }
    if files.is_empty() {
        deleting::delete_viewed(turn, conversation.id, id)?;
    } else {
        deleting::tell_viewed(turn, id)?;
        deleted::forget_content(turn.tx, conversation.id, id)?;
        expiry::expire_at(turn.tx, turn.now.after(FILES_STAY), conversation.id, id)?;
    }
    Ok(Response::ViewedOnce(Box::new(ViewedOnce {
        text,
        markdown: inner.is_markdown(),
        attachments: files,
    })))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SALT: [u8; 16] = [5; 16];

    fn frozen() -> [(&'static str, Content); 2] {
        let text = Content::text([6; 16], "The code is 1234", None);
        [
            ("view-once", wrapped(SALT, &text)),
            (
                "forwarded",
                Content::text(SALT, "Read this", None).forwarded(),
            ),
        ]
    }

    /// What was sent once must be read for ever.
    #[test]
    fn frozen_content_is_read_and_written_as_ever() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/content");
        for (name, content) in frozen() {
            let bytes = std::fs::read(folder.join(format!("{name}.cbor"))).unwrap();
            assert_eq!(content.encode(), bytes, "{name}");
            let read = content::decode(&bytes).unwrap();
            assert!(read == content);
            assert_eq!(inner(&read).is_some(), name == "view-once");
            assert_eq!(read.is_forwarded(), name == "forwarded");
        }
    }

    #[test]
    fn older_versions_show_nothing_of_what_is_viewed_once_and_keep_no_file() {
        let text = Content::text([6; 16], "secret", None);
        let content = wrapped(SALT, &text);
        assert!(content.shown() == VisibleContent::NeedsNewer);
        assert!(content::files(&content).is_empty());
    }

    #[test]
    fn only_a_text_or_files_can_be_viewed_once() {
        let once = wrapped(SALT, &Content::text([6; 16], "secret", None));
        for inside in [
            once,
            Content::taken_back(SALT, target()),
            Content::edit(SALT, target(), "another", None),
            Content::statuses(SALT, &[]),
        ] {
            assert!(inner(&wrapped(SALT, &inside)).is_none());
        }
        let mut garbage = wrapped(SALT, &Content::text(SALT, "", None));
        garbage.body.body = PartBody::Single {
            content_type: VIEW_ONCE_TYPE.to_owned(),
            content: b"garbage".to_vec(),
        };
        assert!(inner(&garbage).is_none());
    }

    fn target() -> content::MessageId {
        let mut bytes = [6; 32];
        bytes[0] = 1;
        content::MessageId::from_bytes(&bytes).unwrap()
    }
}
