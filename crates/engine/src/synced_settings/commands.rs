//! What people set: pins, mutes, archived conversations, drafts, stars, nicknames.

use super::{SettingKind, is_set, key_of, set, starred, value};
use crate::{
    api::{self, Problem, Response},
    contact,
    conversation::target::{self, Target},
    conversation::{Conversation, history, pages},
    message,
    turn::{EventError, Fault, Turn},
};

/// Bytes of a draft that other devices get; a longer one stays here.
const DRAFT_BYTES: usize = 8 << 10;
/// Bytes of a nickname.
const NICKNAME_BYTES: usize = 128;
/// Nobody mutes for longer.
const FOR_EVER: u64 = i64::MAX as u64;

/// How this account keeps a conversation.
#[derive(Default)]
pub(crate) struct ConversationSettings {
    pub pinned: bool,
    pub archived: bool,
    /// In milliseconds since 1970; 0 where it is not.
    pub muted_until: u64,
    pub draft: Option<String>,
    pub nickname: Option<String>,
}

/// How this account keeps a conversation.
pub(crate) fn conversation_settings(
    tx: &rusqlite::Transaction<'_>,
    conversation: &Conversation,
) -> Result<ConversationSettings, Fault> {
    let Some(key) = key_of(conversation) else {
        return Ok(ConversationSettings::default());
    };
    let muted = value(tx, SettingKind::Muted, &key)?;
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes)
            .ok()
            .filter(|text| !text.is_empty())
    };
    let nickname = match conversation.account {
        Some(account) => text(value(tx, SettingKind::Nickname, &account.0)?),
        None => None,
    };
    Ok(ConversationSettings {
        pinned: is_set(tx, SettingKind::Pinned, &key)?,
        archived: is_set(tx, SettingKind::Archived, &key)?,
        muted_until: <[u8; 8]>::try_from(muted.as_slice()).map_or(0, u64::from_be_bytes),
        draft: text(value(tx, SettingKind::Draft, &key)?),
        nickname,
    })
}

/// Changes how this account keeps a conversation.
pub(crate) fn change_conversation_settings(
    turn: &mut Turn<'_>,
    keep: &api::KeepConversation,
) -> Result<Response, EventError> {
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    let unknown = || {
        let name = keep.of.clone();
        EventError::Refused(Problem::ConversationUnknown { name })
    };
    let Target::Conversation(found) = target::find(turn.tx, &keep.of)? else {
        return Err(unknown());
    };
    let key = key_of(&found).ok_or_else(unknown)?;
    let yes = |yes: bool| if yes { b"1".to_vec() } else { Vec::new() };
    if let Some(draft) = &keep.draft
        && draft.len() > DRAFT_BYTES
    {
        return Err(EventError::Refused(Problem::MessageTooLarge {
            bytes: draft.len() as u64,
            limit: DRAFT_BYTES as u64,
        }));
    }
    if let Some(pinned) = keep.pinned {
        set(turn, SettingKind::Pinned, &key, &yes(pinned))?;
    }
    if let Some(archived) = keep.archived {
        set(turn, SettingKind::Archived, &key, &yes(archived))?;
    }
    match (keep.muted, keep.muted_until) {
        (Some(false), _) => set(turn, SettingKind::Muted, &key, &[])?,
        (_, Some(until)) => set(turn, SettingKind::Muted, &key, &until.0.0.to_be_bytes())?,
        (Some(true), None) => set(turn, SettingKind::Muted, &key, &FOR_EVER.to_be_bytes())?,
        (None, None) => {}
    }
    if let Some(draft) = &keep.draft {
        set(turn, SettingKind::Draft, &key, draft.as_bytes())?;
    }
    if let Some(nickname) = &keep.nickname {
        let nickname = nickname.trim();
        let well = nickname.len() <= NICKNAME_BYTES && !nickname.chars().any(char::is_control);
        let account = found.account.filter(|_| well).ok_or_else(unknown)?;
        set(turn, SettingKind::Nickname, &account.0, nickname.as_bytes())?;
    }
    Ok(Response::Done {})
}

/// Stars a message, or does not any more.
pub(crate) fn star(turn: &mut Turn<'_>, star: &api::Star) -> Result<Response, EventError> {
    let (conversation, _) = message::commands::message_meant(turn, star.message)?;
    let value: &[u8] = if star.starred { b"1" } else { &[] };
    set(turn, SettingKind::Starred, star.message.as_bytes(), value)?;
    message::commands::tell_changed(turn, conversation.id, star.message)?;
    Ok(Response::Done {})
}

/// The starred messages, the latest first.
pub(crate) fn list_starred(turn: &Turn<'_>) -> Result<Response, EventError> {
    let mut found = Vec::new();
    for id in starred(turn.tx, history::ENTRIES_MAX)? {
        if let Some(conversation) = pages::conversation_of(turn.tx, id)?
            && let Some(message) = pages::message(turn.reader(), conversation, id)?
        {
            found.push(message);
        }
    }
    Ok(Response::Found(crate::api::Found { found, next: None }))
}

/// Everything up to a message was read on this device; tells the other devices.
pub(crate) fn set_read_mark(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    last: Option<api::MessageId>,
) -> Result<(), Fault> {
    if let (Some(key), Some(last)) = (key_of(conversation), last) {
        set(turn, SettingKind::Read, &key, last.as_bytes())?;
    }
    Ok(())
}

/// Contacts with an address are blocked or unblocked; tells the other devices.
pub(crate) fn set_blocked(turn: &mut Turn<'_>, address: &str, blocked: bool) -> Result<(), Fault> {
    for contact in contact::all(turn.tx)? {
        if contact.address == address {
            let value: &[u8] = if blocked { b"1" } else { &[] };
            set(turn, SettingKind::Blocked, &contact.account.0, value)?;
        }
    }
    Ok(())
}
