//! How far the person has read a conversation, on any of the account's devices.
//!
//! **Elsewhere**: [`crate::synced_settings`] tells the other devices.

use crate::{
    api::MessageId,
    conversation::{Conversation, history},
    message::expiry,
    synced_settings::{self, SettingKind},
    turn::{Fault, Turn},
};

/// A message has come: perhaps it was read on another device already.
pub(crate) fn apply_to_new_message(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    id: MessageId,
) -> Result<(), Fault> {
    let Some(key) = synced_settings::key_of(conversation) else {
        return Ok(());
    };
    let read = synced_settings::value(turn.tx, SettingKind::Read, &key)?;
    if read == id.as_bytes() {
        read_up_to(turn, conversation, &read)?;
    }
    Ok(())
}

/// Everything up to a message was read on another device.
pub(crate) fn read_up_to(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    message: &[u8],
) -> Result<(), Fault> {
    let Ok(id) = MessageId::try_from(message) else {
        return Ok(());
    };
    if history::has_message(turn.tx, conversation.id, id)? {
        let read = history::mark_read(turn.tx, conversation.id, Some(id))?;
        expiry::start(turn.tx, turn.now, conversation.id, &read)?;
    }
    Ok(())
}
