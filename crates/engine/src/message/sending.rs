//! Sends what a person says: finds the conversation, and puts the message into the history and
//! the outbox.
//!
//! **Elsewhere**: [`crate::outbox`] keeps it until the relay has it; what becomes of a message is
//! changed in [`super::commands`].
//!
//! **Always**: a message is in the history and in the outbox, or in neither.

use waxwing_protocol::limits;

use crate::{
    api::{self, Direction, MessageId, MessageState, Problem, Response, Sent},
    attachment, contact,
    content::{self, Content, Expiration, File},
    conversation::{
        self, Conversation, Kind, acceptance,
        history::{self, NewMessage},
        notes,
        target::{self, Target},
        timer,
    },
    inbox::messages,
    message::{content_hook::ContentHook, identity_events, link_preview, view_once},
    outbox,
    turn::{EventError, Turn},
};

/// A text message that a person wants to send, checked as far as it can be without its
/// conversation.
pub(crate) struct Checked {
    files: Vec<File>,
    link_preview: Option<Vec<u8>>,
    in_reply_to: Option<content::MessageId>,
}

impl Checked {
    /// Its files.
    pub(crate) fn files(&self) -> &[File] {
        &self.files
    }
}

/// Checks what a person wants to send.
pub(crate) fn check(turn: &Turn<'_>, send: &api::SendText) -> Result<Checked, EventError> {
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    let bytes = send.text.len();
    if bytes > limits::TEXT_BYTES {
        return Err(EventError::Refused(Problem::MessageTooLarge {
            bytes: bytes as u64,
            limit: limits::TEXT_BYTES as u64,
        }));
    }
    let files = attachment::sealed::sealed_files(&send.attachments)?;
    if send.text.trim().is_empty() && files.is_empty() {
        return Err(EventError::Refused(Problem::MessageEmpty));
    }
    let link_preview = match &send.link_preview {
        None => None,
        Some(preview) => Some(
            link_preview::made(preview, &send.text)
                .ok_or(EventError::Refused(Problem::LinkPreviewInvalid))?,
        ),
    };
    let in_reply_to = match send.reply_to {
        None => None,
        Some(id) => Some(
            content::MessageId::from_bytes(id.as_bytes())
                .ok_or(EventError::Refused(Problem::MessageUnknown))?,
        ),
    };
    Ok(Checked {
        files,
        link_preview,
        in_reply_to,
    })
}

/// Sends a text, with files or without.
pub(crate) fn send(turn: &mut Turn<'_>, send: &api::SendText) -> Result<Response, EventError> {
    let checked = check(turn, send)?;
    let conversation = self::conversation(turn, &send.to)?;
    // Nobody views what they sent themselves.
    if send.view_once && conversation.kind == Kind::Notes {
        return Err(EventError::Refused(Problem::ViewOnce));
    }
    let parts = MessageParts {
        text: &send.text,
        in_reply_to: checked.in_reply_to,
        files: &checked.files,
        link_preview: checked.link_preview.as_deref(),
        markdown: send.markdown,
    };
    let content = parts.content(turn.random());
    let new = if send.view_once {
        NewContent {
            content: view_once::wrapped(turn.random(), &content),
            text: "",
            markdown: false,
            reply_to: send.reply_to,
            is_kept: false,
        }
    } else {
        NewContent {
            content,
            text: &send.text,
            markdown: send.markdown,
            reply_to: send.reply_to,
            is_kept: parts.is_more_than_text(),
        }
    };
    let id = add(turn, &conversation, new)?;
    finish(turn, &conversation, id)
}

/// The conversation that a person means, ready for a message; it begins if there was none.
pub(crate) fn conversation(turn: &mut Turn<'_>, to: &str) -> Result<Conversation, EventError> {
    if outbox::waiting(turn.tx)? >= outbox::WAITING_MAX {
        return Err(EventError::Refused(Problem::OutboxFull {
            limit: outbox::WAITING_MAX,
        }));
    }
    let own = turn.memory.account.as_ref();
    let own = own.ok_or(EventError::Refused(Problem::NotRegistered))?;
    let own = own.address().clone();
    match target::find(turn.tx, to)? {
        Target::Conversation(conversation) => {
            refuse(turn, &conversation)?;
            Ok(conversation)
        }
        Target::Address(address) if address == own => Ok(notes::conversation(turn)?),
        Target::Address(address) => {
            let started = conversation::start(turn.tx, turn.now, turn.rng, &address, None)?;
            identity_events::warn_of_look_alike(turn, started.id, &address)?;
            Ok(started)
        }
    }
}

/// Refuses a conversation in which this account may not write.
pub(crate) fn refuse(turn: &Turn<'_>, conversation: &Conversation) -> Result<(), EventError> {
    let problem = if conversation.kind == Kind::Sms {
        Problem::SmsConversation
    } else if conversation.left {
        Problem::GroupNotMember
    } else if conversation.awaiting_decision {
        Problem::ContactChanged {
            address: conversation.display.clone(),
        }
    } else if let Some(account) = conversation.account
        && contact::of_account(turn.tx, account)?.is_some_and(|contact| contact.blocked)
    {
        Problem::RecipientBlocked
    } else {
        return Ok(());
    };
    Err(EventError::Refused(problem))
}

/// The parts of a message that is a text, files, or both.
pub(crate) struct MessageParts<'a> {
    pub text: &'a str,
    pub in_reply_to: Option<content::MessageId>,
    pub files: &'a [File],
    /// As [`link_preview::made`] makes it.
    pub link_preview: Option<&'a [u8]>,
    pub markdown: bool,
}

impl MessageParts<'_> {
    /// As they are sent.
    pub(crate) fn content(&self, salt: [u8; 16]) -> Content {
        let mut content = if self.files.is_empty() {
            Content::text(salt, self.text, self.in_reply_to)
        } else {
            let parts = content::parts(self.files);
            Content::with_files(salt, self.text.trim(), self.in_reply_to, parts)
        };
        if let Some(preview) = self.link_preview {
            content = content.with_part(link_preview::part(preview));
        }
        if self.markdown {
            content = content.in_markdown();
        }
        content
    }

    /// Whether the content holds more than a plain text.
    pub(crate) const fn is_more_than_text(&self) -> bool {
        self.markdown || self.link_preview.is_some() || !self.files.is_empty()
    }
}

/// What somebody wants to say.
pub(crate) struct NewContent<'a> {
    pub content: Content,
    /// Of the message.
    pub text: &'a str,
    pub markdown: bool,
    pub reply_to: Option<MessageId>,
    /// Whether the content holds more than the text.
    pub is_kept: bool,
}

/// Adds a message of this account. Gives its id.
pub(crate) fn add(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    mut new: NewContent<'_>,
) -> Result<MessageId, EventError> {
    let own = turn.account()?;
    let (account, address) = (own.id(), own.address().display().to_owned());
    let timer = timer::seconds(turn.tx, conversation.id)?;
    new.content.expires = (timer > 0).then_some(Expiration::AfterReading(timer));
    let encoded = new.content.encode();
    let id = messages::id_of(account, &encoded, &new.content.salt);
    history::add_message(
        turn.tx,
        turn.now,
        &NewMessage {
            id,
            conversation: conversation.id,
            account,
            address: &address,
            verified: true,
            direction: Direction::Out,
            text: new.text,
            markdown: new.markdown,
            content: new.is_kept.then_some(&encoded),
            proof: None,
            reply_to: new.reply_to,
            sent_at: turn.now,
            state: MessageState::Queued,
            expires_after: (timer > 0).then_some(timer),
            fills: None,
        },
    )?;
    outbox::content::add_content(turn, conversation.id, Some(id), encoded)?;
    for hook in turn.hooks.of::<dyn ContentHook>() {
        hook.handle_own_message(turn, (conversation.id, id), &new.content)?;
    }
    Ok(id)
}

/// The message is complete: the conversation is one that this account has written to.
pub(crate) fn finish(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    id: MessageId,
) -> Result<Response, EventError> {
    acceptance::written_to(turn, conversation, true)?;
    Ok(Response::Sent(Sent {
        id,
        conversation: conversation.id,
        state: MessageState::Queued,
    }))
}
