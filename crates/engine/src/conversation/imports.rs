//! Messages imported from a file, such as an export from another account.
//!
//! They are shown as what they are: words from a file, which anybody can write. None is
//! verified, proves anything, or counts as unread. A message that is already here stays
//! unchanged; if the real message arrives later, it replaces the imported one.
//!
//! **Elsewhere**: the client writes and reads the files.
//!
//! **Always**: nothing of an import is sent to anybody, and importing twice has the same
//! result as importing once.

use waxwing_protocol::{address::Address, limits};

use super::{
    history::{self, ENTRIES_MAX},
    notes,
};
use crate::{
    api::{self, ImportFlaw, Imported, Message, Problem, Response},
    attachment,
    conversation::target::{self, Target},
    message::link_preview,
    turn::{EventError, Fault, Turn},
};

/// Brings messages in, the oldest first.
pub(crate) fn import(
    turn: &mut Turn<'_>,
    asked: &api::ImportEntries,
) -> Result<Response, EventError> {
    let Some(account) = turn.memory.account.as_ref() else {
        return Err(EventError::Refused(Problem::NotRegistered));
    };
    if asked.messages.len() > ENTRIES_MAX as usize {
        return Err(invalid(ImportFlaw::TooManyMessages));
    }
    let own = account.address().clone();
    for imported in &asked.messages {
        check(&imported.message)?;
    }
    let into = match target::find(turn.tx, &asked.into)? {
        Target::Conversation(conversation) => conversation,
        Target::Address(address) if address == own => notes::conversation(turn)?,
        Target::Address(address) => super::start(turn.tx, turn.now, turn.rng, &address, None)?,
    };
    let mut done = Imported { added: 0, known: 0 };
    for imported in &asked.messages {
        let files = attachment::sealed::sealed_files(&imported.files)?;
        if history::add_imported(turn.tx, turn.now, into.id, &imported.message)? {
            attachment::keep_here(turn.tx, into.id, imported.message.id, &files)?;
            let message = &imported.message;
            let preview = message.link_preview.as_ref();
            if let Some(preview) = preview.and_then(|one| link_preview::made(one, &message.text)) {
                link_preview::store_preview(turn.tx, into.id, message.id, &preview)?;
            }
            done.added += 1;
        } else {
            done.known += 1;
        }
    }
    Ok(Response::Imported(done))
}

const fn invalid(reason: ImportFlaw) -> EventError {
    EventError::Refused(Problem::ImportInvalid { reason })
}

fn check(message: &Message) -> Result<(), EventError> {
    if message.text.len() > limits::TEXT_BYTES {
        return Err(invalid(ImportFlaw::MessageTooLong));
    }
    if Address::parse(&message.from).is_err() {
        return Err(invalid(ImportFlaw::SenderMalformed));
    }
    if crate::content::MessageId::from_bytes(message.id.as_bytes()).is_none() {
        return Err(invalid(ImportFlaw::IdMalformed));
    }
    Ok(())
}

/// A message has come by itself: what a file says of it does not count any more.
pub(crate) fn superseded(
    turn: &mut Turn<'_>,
    conversation: api::ConversationId,
    id: api::MessageId,
) -> Result<(), Fault> {
    if history::delete_imported(turn.tx, conversation, id)? {
        turn.erase_content(conversation, id)?;
    }
    Ok(())
}
