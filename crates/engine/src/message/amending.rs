//! Content that changes a message: reactions, edits and unsending.
//!
//! **Elsewhere**: [`super::amendments`] keeps them, and decides what a message is by them.

use waxwing_protocol::limits;

use super::{
    amendments::{self, Amendment, Amends},
    commands,
    content_hook::{ContentHook, ContentOutcome, SaidContent},
    reaction,
};
use crate::{
    api::MessageId,
    content::VisibleContent,
    conversation::pages,
    turn::{Fault, Turn},
};

/// The type of this content.
pub(crate) struct AmendingContent;

impl ContentHook for AmendingContent {
    fn handle_content(
        &self,
        turn: &mut Turn<'_>,
        said: &SaidContent<'_>,
    ) -> Result<ContentOutcome, Fault> {
        let (target, amends) = match said.content.shown() {
            VisibleContent::Reaction(_, Some(emoji)) if !reaction::is_reaction(&emoji) => {
                return Ok(ContentOutcome::Done);
            }
            VisibleContent::Edit(_, text) if text.len() > limits::TEXT_BYTES => {
                return Ok(ContentOutcome::Done);
            }
            VisibleContent::Reaction(to, emoji) => (to, Amends::Reaction(emoji)),
            VisibleContent::Edit(of, text) => (of, Amends::Edit(text)),
            VisibleContent::TakenBack(of) => (of, Amends::TakenBack),
            VisibleContent::Text(_) | VisibleContent::Statuses(_) | VisibleContent::NeedsNewer => {
                return Ok(ContentOutcome::NotOfThisType);
            }
        };
        let target = MessageId::from_bytes(*target.as_bytes());
        add_amendment(turn, said, target, amends)?;
        Ok(ContentOutcome::Done)
    }
}

/// Somebody has said this of a message: keeps it, and tells how the message has changed.
pub(crate) fn add_amendment(
    turn: &mut Turn<'_>,
    said: &SaidContent<'_>,
    target: MessageId,
    amends: Amends,
) -> Result<(), Fault> {
    let conversation = said.conversation;
    let changed = amendments::add(
        turn.tx,
        &Amendment {
            conversation,
            id: said.id,
            target,
            account: said.member.account,
            address: said.from,
            own: said.own,
            // Not by this device's clock: all are to order them alike.
            sent_at: said.proof.sent_at,
            signed: (!said.own).then_some((said.proof, said.encoded)),
            amends,
        },
    )?;
    if changed {
        let shown = pages::message(turn.reader(), conversation, target)?;
        if shown.is_some_and(|message| message.taken_back) {
            turn.erase_content(conversation, target)?;
        }
        commands::tell_changed(turn, conversation, target)?;
    }
    Ok(())
}
