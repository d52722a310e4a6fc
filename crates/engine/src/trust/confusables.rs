//! Look-alikes: an address that a person may mistake for one that they know.
//!
//! At first contact, in either direction, the address is compared with those of all contacts
//! and the account's own (UTS #39). A look-alike is pointed out once, as an event at the start
//! of the conversation.
//!
//! **Elsewhere**: `waxwing_protocol::address` decides what looks alike; relays refuse to
//! register a look-alike of an address that they have.
//!
//! **Always**: it is a hint, and stops nobody.

use waxwing_protocol::address::Address;

use crate::{
    api::{ConversationId, EventKind, Notice},
    contact,
    conversation::history,
    turn::{Fault, Turn},
};

/// A conversation has begun with this address.
pub(crate) fn warn_of_look_alike(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    address: &Address,
) -> Result<(), Fault> {
    let own = turn.account()?.address().clone();
    let known = contact::all(turn.tx)?
        .into_iter()
        .filter_map(|contact| Address::parse(&contact.display).ok());
    let Some(imitated) = std::iter::once(own)
        .chain(known)
        .find(|known| address.imitates(known))
    else {
        return Ok(());
    };
    let event = history::add_event(
        turn.tx,
        turn.now,
        conversation,
        EventKind::LooksLikeAnother,
        imitated.display(),
    )?;
    turn.notify(Notice::Event(event));
    Ok(())
}
