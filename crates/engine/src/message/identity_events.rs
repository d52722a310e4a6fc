//! Events of a history that say who somebody is: an address has a new owner, or looks like
//! another address, or its owner has deleted the account.
//!
//! **Elsewhere**: [`crate::trust`] finds out.
//!
//! **Always**: a new owner is marked in the conversation with the old one; where the old one
//! had been verified in person, nothing more is sent until the person decides.

use waxwing_protocol::{address::Address, ids::AccountId};

use crate::{
    api::{ConversationId, EventKind, Notice, Problem},
    conversation::{self, history},
    outbox::progress,
    trust::{OwnerChange, alarm, confusables},
    turn::{Fault, Turn},
};

/// The address of a conversation has a new owner.
pub(crate) fn handle_owner_changed(
    turn: &mut Turn<'_>,
    change: &OwnerChange<'_>,
) -> Result<(), Fault> {
    let address = change.address.display();
    let Some(old) = conversation::with_account(turn.tx, change.before)? else {
        return Ok(());
    };
    let kept = if let Some(other) = conversation::with_account(turn.tx, change.now)? {
        // Known before, under another address: one history.
        conversation::merge(turn, old.id, other.id)?;
        other.id
    } else {
        conversation::set_account(turn.tx, old.id, change.now)?;
        old.id
    };
    add_event(turn, kept, EventKind::IdentityReset, address)?;
    if change.compared {
        conversation::set_awaiting_decision(turn.tx, kept, true)?;
        if let Some(found) = conversation::find(turn.tx, kept)? {
            let problem = Problem::ContactChanged {
                address: address.to_owned(),
            };
            progress::tell_waiting(turn, &found, &problem)?;
            alarm::raise(turn, &problem)?;
        }
    }
    turn.memory.due_mut().conversations.insert(kept);
    Ok(())
}

/// A contact has deleted their account: what waits for them is not sent.
pub(crate) fn handle_account_closed(turn: &mut Turn<'_>, account: AccountId) -> Result<(), Fault> {
    let Some(found) = conversation::with_account(turn.tx, account)? else {
        return Ok(());
    };
    add_event(turn, found.id, EventKind::AccountDeleted, &found.display)?;
    let address = found.display.clone();
    progress::fail_waiting(turn, &found, &Problem::RecipientUnknown { address })
}

/// A conversation has begun with this address.
pub(crate) fn warn_of_look_alike(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    address: &Address,
) -> Result<(), Fault> {
    match confusables::look_alike(turn, address)? {
        Some(imitated) => add_event(
            turn,
            conversation,
            EventKind::LooksLikeAnother,
            imitated.display(),
        ),
        None => Ok(()),
    }
}

fn add_event(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    kind: EventKind,
    about: &str,
) -> Result<(), Fault> {
    let event = history::add_event(turn.tx, turn.now, conversation, kind, about)?;
    turn.notify(Notice::Event(event));
    Ok(())
}
