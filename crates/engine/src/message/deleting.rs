//! Deletes messages, files and whole conversations for oneself, on all of the account's devices.
//! Nobody else learns of it.
//!
//! Other devices learn of it from synced settings, so one that was away does the same when it
//! comes. A conversation is deleted up to its newest messages, which the settings name: what came
//! later stays, whatever the clocks of senders and devices say.
//!
//! **Elsewhere**: [`super::deleted`] keeps what was deleted from coming back; deleting a message
//! for everybody is unsending, in [`super::commands`].
//!
//! **Always**: others can still fetch the files of a message that has left; what has not left does
//! not leave.

use super::{
    commands::{message_meant, tell_changed},
    deleted, scheduled,
};
use crate::{
    api::{
        self, AttachmentState, ConversationId, MessageDeleted, MessageId, Notice, Problem,
        Response, Synced,
    },
    attachment,
    conversation::{
        Conversation, history,
        pages::{self, EntryPosition},
        target::{self, Target},
    },
    inbox::sender_counters::Sender,
    synced_settings::{self, SettingKind},
    turn::{EventError, Fault, Turn},
};

/// Messages that one call deletes, at most.
const AT_ONCE: usize = 1_000;

/// Deletes messages.
pub(crate) fn delete_messages(
    turn: &mut Turn<'_>,
    asked: &api::DeleteMessages,
) -> Result<Response, EventError> {
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    let mut found = Vec::new();
    for id in asked.messages.iter().take(AT_ONCE) {
        match pages::conversation_of(turn.tx, *id)? {
            Some(conversation) => found.push((conversation, *id)),
            None if deleted::is_deleted(turn.tx, *id)? => {}
            None => return Err(EventError::Refused(Problem::MessageUnknown)),
        }
    }
    room_for(turn, found.len())?;
    for (conversation, id) in found {
        synced_settings::set(turn, SettingKind::Starred, id.as_bytes(), &[])?;
        synced_settings::set(turn, SettingKind::Deleted, id.as_bytes(), b"1")?;
        delete_message(turn, conversation, id)?;
    }
    Ok(Response::Done {})
}

/// A message that can be viewed once was opened: tells the other devices.
pub(super) fn tell_viewed(turn: &mut Turn<'_>, id: MessageId) -> Result<(), Fault> {
    synced_settings::set(turn, SettingKind::Deleted, id.as_bytes(), b"1")
}

/// A message that can be viewed once was opened: deletes it.
pub(super) fn delete_viewed(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    id: MessageId,
) -> Result<(), Fault> {
    tell_viewed(turn, id)?;
    delete_message(turn, conversation, id)
}

/// Deletes a file of a message; the message stays.
pub(crate) fn delete_attachment(
    turn: &mut Turn<'_>,
    asked: &api::AttachmentOf,
) -> Result<Response, EventError> {
    let (conversation, message) = message_meant(turn, asked.message)?;
    let file = message
        .attachments
        .iter()
        .find(|one| one.number == asked.number)
        .ok_or(EventError::Refused(Problem::AttachmentUnknown))?;
    if file.state == AttachmentState::Deleted {
        return Ok(Response::Done {});
    }
    if !deleted::has_left(turn.tx, conversation.id, asked.message)? {
        return Err(EventError::Refused(Problem::MessageNotSent));
    }
    room_for(turn, 1)?;
    let key = file_key(asked.message, asked.number);
    synced_settings::set(turn, SettingKind::DeletedFile, &key, b"1")?;
    delete_file(turn, conversation.id, asked.message, asked.number)?;
    Ok(Response::Done {})
}

/// Deletes everything in a conversation. It returns to the list when somebody writes in it.
pub(crate) fn delete_conversation(
    turn: &mut Turn<'_>,
    of: &api::Of,
) -> Result<Response, EventError> {
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    let Target::Conversation(found) = target::find(turn.tx, &of.of)? else {
        let name = of.of.clone();
        return Err(EventError::Refused(Problem::ConversationUnknown { name }));
    };
    let newest = deleted::newest(turn.tx, found.id)?;
    room_for(turn, newest.len())?;
    // Nobody else has heard from somebody of whom the account is not known.
    if let Some(key) = synced_settings::key_of(&found) {
        for id in newest {
            let key = end_key(&key, id);
            synced_settings::set(turn, SettingKind::Cleared, &key, b"1")?;
        }
        synced_settings::set(turn, SettingKind::Draft, &key, &[])?;
        synced_settings::set(turn, SettingKind::Pinned, &key, &[])?;
    }
    clear(turn, found.id, None)?;
    scheduled::cancel_in(turn, found.id)?;
    Ok(Response::Done {})
}

/// Refuses what other devices could not be told of.
fn room_for(turn: &Turn<'_>, settings: usize) -> Result<(), EventError> {
    if synced_settings::has_room_for(turn.tx, settings)? {
        Ok(())
    } else {
        Err(EventError::Refused(Problem::DeletionsTooMany))
    }
}

fn file_key(message: MessageId, number: u32) -> Vec<u8> {
    [message.as_bytes().as_slice(), &number.to_be_bytes()].concat()
}

/// A conversation is deleted up to this message.
fn end_key(conversation: &[u8], message: MessageId) -> Vec<u8> {
    [conversation, message.as_bytes()].concat()
}

fn delete_message(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    id: MessageId,
) -> Result<(), Fault> {
    // Others fetch the files of a message that has left.
    if deleted::has_left(turn.tx, conversation, id)? {
        attachment::leave_at_relay(turn.tx, conversation, id)?;
    }
    deleted::delete_entry(turn.tx, conversation, id)?;
    deleted::add(turn.tx, id)?;
    turn.delete_message(conversation, id)?;
    turn.notify(Notice::MessageDeleted(MessageDeleted { id, conversation }));
    Ok(())
}

fn delete_file(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    id: MessageId,
    number: u32,
) -> Result<(), Fault> {
    attachment::delete_file(turn, conversation, id, number)?;
    deleted::forget_content(turn.tx, conversation, id)?;
    tell_changed(turn, conversation, id)
}

/// Deletes what is in a conversation, up to a place or all of it.
fn clear(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    up_to: Option<EntryPosition>,
) -> Result<(), Fault> {
    for (id, has_left) in deleted::delete_entries(turn.tx, conversation, up_to)? {
        if has_left {
            attachment::leave_at_relay(turn.tx, conversation, id)?;
        }
        deleted::add(turn.tx, id)?;
        turn.delete_message(conversation, id)?;
    }
    deleted::add_conversation(turn.tx, turn.now, conversation)?;
    turn.notify(Notice::Synced(Synced {
        conversation: Some(conversation),
    }));
    Ok(())
}

// What other devices of this account have deleted.

/// A message was deleted on another device.
pub(crate) fn apply_message(turn: &mut Turn<'_>, key: &[u8]) -> Result<(), Fault> {
    let Ok(id) = MessageId::try_from(key) else {
        return Ok(());
    };
    match pages::conversation_of(turn.tx, id)? {
        Some(conversation) => delete_message(turn, conversation, id),
        None => Ok(()),
    }
}

/// A file was deleted on another device.
pub(crate) fn apply_file(turn: &mut Turn<'_>, key: &[u8]) -> Result<(), Fault> {
    let Some((id, number)) = key.split_at_checked(32) else {
        return Ok(());
    };
    let (Ok(id), Ok(number)) = (MessageId::try_from(id), <[u8; 4]>::try_from(number)) else {
        return Ok(());
    };
    match pages::conversation_of(turn.tx, id)? {
        Some(conversation) => delete_file(turn, conversation, id, u32::from_be_bytes(number)),
        None => Ok(()),
    }
}

/// A conversation was deleted on another device, up to a message.
pub(crate) fn apply_conversation(turn: &mut Turn<'_>, key: &[u8]) -> Result<(), Fault> {
    let Some((key, id)) = key
        .len()
        .checked_sub(32)
        .and_then(|at| key.split_at_checked(at))
    else {
        return Ok(());
    };
    let Ok(id) = MessageId::try_from(id) else {
        return Ok(());
    };
    if let Some(found) = synced_settings::conversation_of(turn.tx, key)?
        && let Some(place) = pages::place_of(turn.tx, found.id, id)?
    {
        clear(turn, found.id, Some(place))?;
    }
    Ok(())
}

/// An archive has been restored, which may be older than what was deleted.
pub(crate) fn apply_all(turn: &mut Turn<'_>) -> Result<(), Fault> {
    /// Settings that are read at a time.
    const PAGE: u32 = 512;
    for kind in [
        SettingKind::Deleted,
        SettingKind::DeletedFile,
        SettingKind::Cleared,
    ] {
        let mut key = Vec::new();
        loop {
            let some = synced_settings::settings_after(turn.tx, (kind as u32, &key), PAGE)?;
            let mut of_kind = some.into_iter().filter(|one| one.kind == kind as u32);
            let mut last = None;
            for setting in &mut of_kind {
                match kind {
                    SettingKind::Deleted => apply_message(turn, &setting.key)?,
                    SettingKind::DeletedFile => apply_file(turn, &setting.key)?,
                    _ => apply_conversation(turn, &setting.key)?,
                }
                last = Some(setting.key);
            }
            match last {
                Some(last) => key = last,
                None => break,
            }
        }
    }
    Ok(())
}

/// A message has come. Gives whether the person has deleted it on another device, or before.
pub(crate) fn was_deleted(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    id: MessageId,
    fills: Option<Sender>,
) -> Result<bool, Fault> {
    if deleted::is_deleted(turn.tx, id)? {
        return Ok(true);
    }
    let Some(key) = synced_settings::key_of(conversation) else {
        return Ok(false);
    };
    if history::has_message(turn.tx, conversation.id, id)?
        || !synced_settings::is_set(turn.tx, SettingKind::Cleared, &end_key(&key, id))?
    {
        return Ok(false);
    }
    // The conversation was deleted with it: up to where it would stand.
    let gap = match fills {
        Some(sender) => deleted::place_of_gap(turn.tx, (sender.group, sender.device))?,
        None => None,
    };
    clear(turn, conversation.id, gap)?;
    deleted::add(turn.tx, id)?;
    Ok(true)
}

/// A message with files has come: those that the person has deleted on another device go.
pub(super) fn delete_known_files(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    id: MessageId,
) -> Result<(), Fault> {
    for file in attachment::of_message(turn.tx, conversation, id)? {
        let key = file_key(id, file.number);
        if synced_settings::is_set(turn.tx, SettingKind::DeletedFile, &key)? {
            delete_file(turn, conversation, id, file.number)?;
        }
    }
    Ok(())
}
