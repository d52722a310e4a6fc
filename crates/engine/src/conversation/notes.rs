//! Notes: the conversation that an account has with itself.
//!
//! It holds what a person writes to their own address, and what their devices tell each other.
//! While there is one device, none of it is sent. With the second device it gets an MLS group
//! like every other conversation, so that the relay sees only a group with some mailboxes.
//!
//! **Elsewhere**: [`super::membership`] adds and removes devices.
//!
//! **Always**: only this account's devices are in it.

use waxwing_protocol::conversation::MemberAddresses;

use super::{Conversation, Kind, founding, history};
use crate::{
    api::{MessageChanged, MessageState, Notice},
    outbox,
    turn::{Fault, Turn},
};

/// The conversation.
pub(crate) fn conversation(turn: &mut Turn<'_>) -> Result<Conversation, Fault> {
    if let Some(found) = super::notes(turn.tx)? {
        return Ok(found);
    }
    let own = turn.account()?;
    let (address, account) = (own.address().clone(), own.id());
    let started = super::start(turn.tx, turn.now, turn.rng, &address, Some(account))?;
    super::set_notes(turn.tx, started.id)?;
    Ok(Conversation {
        kind: Kind::Notes,
        written_to: true,
        ..started
    })
}

/// Something waits, and there is no group: makes one, if there is another device.
pub(crate) fn pump(turn: &mut Turn<'_>, conversation: &Conversation) -> Result<(), Fault> {
    let own = turn.account()?;
    if own.roster().devices().len() > 1 {
        let addresses = MemberAddresses::new([(own.id(), own.address().clone())]);
        return founding::found(turn, conversation.id, addresses, None);
    }
    // All there are have it.
    for (row, message) in outbox::unnumbered(turn.tx, conversation.id)? {
        outbox::give_up(turn.tx, row)?;
        let Some(id) = message else { continue };
        let state = MessageState::Read;
        if history::raise_state(turn.tx, conversation.id, id, state)? {
            turn.notify(Notice::MessageState(MessageChanged {
                id,
                conversation: conversation.id,
                state,
                problem: None,
            }));
        }
    }
    Ok(())
}
