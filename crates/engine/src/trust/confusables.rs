//! Look-alikes: an address that a person may mistake for one that they know.
//!
//! At first contact, in either direction, the address is compared with those of all contacts
//! and the account's own (UTS #39). [`crate::message::identity_events`] points a look-alike out
//! once, at the start of the conversation.
//!
//! **Elsewhere**: `waxwing_protocol::address` decides what looks alike; relays refuse to
//! register a look-alike of an address that they have.
//!
//! **Always**: it is a hint, and stops nobody.

use waxwing_protocol::address::Address;

use crate::{
    contact,
    turn::{Fault, Turn},
};

/// The own or a contact's address that this one looks like, if there is one.
pub(crate) fn look_alike(turn: &Turn<'_>, address: &Address) -> Result<Option<Address>, Fault> {
    let own = turn.account()?.address().clone();
    let known = contact::all(turn.tx)?
        .into_iter()
        .filter_map(|contact| Address::parse(&contact.display).ok());
    Ok(std::iter::once(own)
        .chain(known)
        .find(|known| address.imitates(known)))
}
