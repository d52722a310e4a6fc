//! Types of content: what becomes of what members say.
//!
//! Content that no [`ContentHook`] knows is a message with a text, or one that needs a newer
//! version. A type of content may be a message of its own, as a poll, or concern a message
//! that is there, as a reaction.
//!
//! **Elsewhere**: [`crate::content`] has the format of content; [`crate::inbox::messages`]
//! calls the hooks; [`crate::conversation::reader`] shows what a type has of a message;
//! [`crate::engine`] lists the types.
//!
//! **Always**: a hook leaves alone what is not of its type. People whom the person has blocked
//! are not heard.

use crate::{
    api::{ConversationId, MessageId},
    content::Content,
    message::proof::Proof,
    mls::Member,
    turn::{Fault, Turn},
};

/// A type of content.
pub(crate) trait ContentHook: Sync {
    /// A member has said something.
    fn handle_content(
        &self,
        _turn: &mut Turn<'_>,
        _said: &SaidContent<'_>,
    ) -> Result<ContentOutcome, Fault> {
        Ok(ContentOutcome::NotOfThisType)
    }

    /// This device has added a message of this account to the history and the outbox: keeps what
    /// this type has of it.
    fn handle_own_message(
        &self,
        _turn: &mut Turn<'_>,
        _place: (ConversationId, MessageId),
        _content: &Content,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// A message of another device was added to the history: keeps what this type has of it.
    /// `trusted`: it is by
    /// somebody from whom files are fetched at once.
    fn handle_message_added(
        &self,
        _turn: &mut Turn<'_>,
        _said: &SaidContent<'_>,
        _trusted: bool,
    ) -> Result<(), Fault> {
        Ok(())
    }
}

/// What a type of content makes of something.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ContentOutcome {
    /// Nothing: it is of another type.
    NotOfThisType,
    /// A message with this text.
    Message(String),
    /// It concerned something that is there, and was dealt with.
    Done,
}

/// Content, and who has said it where.
pub(crate) struct SaidContent<'a> {
    pub conversation: ConversationId,
    /// Of the message that it is, or would be.
    pub id: MessageId,
    pub member: &'a Member,
    /// Whether this account's devices said it.
    pub own: bool,
    /// The sender's address, in display form.
    pub from: &'a str,
    pub content: &'a Content,
    /// As it came.
    pub encoded: &'a [u8],
    /// That its sender said it.
    pub proof: &'a Proof,
}
