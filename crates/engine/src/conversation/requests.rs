//! Message requests: what the person decides about people whom this account has not answered
//! yet.
//!
//! A request is shown separately, and only a limited amount of it is kept. Accepting it makes
//! the other side somebody known; declining deletes what is there.
//!
//! **Elsewhere**: [`super::acquaintance`] says what is a request, and [`super::acceptance`]
//! what happens when it is accepted; blocking is in [`crate::contact`].
//!
//! **Always**: accepting or declining on one device does so on all.

use waxwing_protocol::time::Time;

use super::{Conversation, Kind, acceptance, acquaintance, group_commands, history};
use crate::{
    api::{self, ConversationId, Notice, Problem, Response, Synced},
    contact,
    conversation::target::{self, Target},
    synced_settings::{self, SettingKind},
    turn::{EventError, Fault, Turn},
};

/// The person accepts.
pub(crate) fn accept(turn: &mut Turn<'_>, of: &api::Of) -> Result<Response, EventError> {
    let (found, key) = meant(turn, &of.of)?;
    synced_settings::set(turn, SettingKind::Accepted, &key, b"1")?;
    acceptance::written_to(turn, &found, true)?;
    Ok(Response::Done {})
}

/// The person declines: what is there goes, a group is left. Without a block, another
/// message is another request.
pub(crate) fn decline(turn: &mut Turn<'_>, decline: &api::Decline) -> Result<Response, EventError> {
    let (found, key) = meant(turn, &decline.of)?;
    let now = turn.now;
    synced_settings::set(turn, SettingKind::Declined, &key, &now.0.to_be_bytes())?;
    clear(turn, found.id, now)?;
    if found.kind == Kind::Group {
        let of = found.id.to_string();
        let successor = None;
        return group_commands::leave(turn, &api::LeaveGroup { of, successor });
    }
    if decline.block
        && let Some(account) = found.account
    {
        contact::set_blocked(turn.tx, account, true)?;
        synced_settings::set(turn, SettingKind::Blocked, &account.0, b"1")?;
    }
    Ok(Response::Done {})
}

fn meant(turn: &Turn<'_>, of: &str) -> Result<(Conversation, Vec<u8>), EventError> {
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    let unknown = || {
        EventError::Refused(Problem::ConversationUnknown {
            name: of.to_owned(),
        })
    };
    let Target::Conversation(found) = target::find(turn.tx, of)? else {
        return Err(unknown());
    };
    if !acquaintance::is_request(turn.tx, &found)? {
        return Err(EventError::Refused(Problem::NotARequest));
    }
    let key = synced_settings::key_of(&found).ok_or_else(unknown)?;
    Ok((found, key))
}

/// It was declined on another device of this account, at this time.
pub(crate) fn declined(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    value: &[u8],
) -> Result<(), Fault> {
    let Ok(at) = <[u8; 8]>::try_from(value) else {
        return Ok(());
    };
    // They may have been blocked with it; answered on this device, it stays.
    if !conversation.written_to {
        clear(turn, conversation.id, Time(u64::from_be_bytes(at)))?;
    }
    Ok(())
}

/// Deletes what came until then, from the disk too.
fn clear(turn: &mut Turn<'_>, conversation: ConversationId, until: Time) -> Result<(), Fault> {
    for id in history::messages_until(turn.tx, conversation, until)? {
        turn.delete_message(conversation, id)?;
    }
    history::delete_until(turn.tx, conversation, until)?;
    turn.notify(Notice::Synced(Synced {
        conversation: Some(conversation),
    }));
    Ok(())
}
