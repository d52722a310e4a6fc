//! That a message is forwarded: its sender says so, and not by whom it was first.
//!
//! An extension of the content says it, and an amendment of the message's own keeps it: so it is
//! archived, merged and deleted with the others.
//!
//! **Elsewhere**: [`super::again`] forwards messages.

use rusqlite::Transaction;

use super::{
    amendments::{self, Amendment, Amends},
    content_hook::{ContentHook, SaidContent},
};
use crate::{
    api::{self, ConversationId, MessageId},
    content::Content,
    conversation::reader::MessageHook,
    store::StoreError,
    turn::{Fault, Turn},
};

/// The amendment that says it.
const FORWARDED: u8 = amendments::OTHERS + 3;

/// The room's hooks.
pub(crate) struct Forwarded;

impl ContentHook for Forwarded {
    fn handle_own_message(
        &self,
        turn: &mut Turn<'_>,
        (conversation, id): (ConversationId, MessageId),
        content: &Content,
    ) -> Result<(), Fault> {
        if content.is_forwarded() {
            let own = turn.account()?;
            let amendment = Amendment {
                conversation,
                id: amendments::mark_id(id, FORWARDED),
                target: id,
                account: own.id(),
                address: own.address().display(),
                own: true,
                sent_at: turn.now,
                amends: Amends::Other(FORWARDED, String::new()),
                signed: None,
            };
            amendments::add(turn.tx, &amendment)?;
        }
        Ok(())
    }

    fn handle_message_added(
        &self,
        turn: &mut Turn<'_>,
        said: &SaidContent<'_>,
        _trusted: bool,
    ) -> Result<(), Fault> {
        if said.content.is_forwarded() {
            let amendment = Amendment {
                conversation: said.conversation,
                id: amendments::mark_id(said.id, FORWARDED),
                target: said.id,
                account: said.member.account,
                address: said.from,
                own: said.own,
                sent_at: said.proof.sent_at,
                amends: Amends::Other(FORWARDED, String::new()),
                signed: None,
            };
            amendments::add(turn.tx, &amendment)?;
        }
        Ok(())
    }
}

impl MessageHook for Forwarded {
    fn complete(&self, tx: &Transaction<'_>, message: &mut api::Message) -> Result<(), StoreError> {
        let mark = amendments::mark(tx, message.conversation, message.id, FORWARDED)?;
        message.forwarded = mark.is_some();
        Ok(())
    }
}
