//! What happens when a stranger becomes somebody known: this account has written to them, or
//! the person has accepted or verified them, or blocks them no more.
//!
//! Until then nothing leaves for their conversations, so much is put off: devices that the
//! groups lack, requests for what is missing, receipts. Now it is done.
//!
//! **Elsewhere**: [`super::acquaintance`] says who is a stranger; [`super::requests`] has the
//! person's decisions.
//!
//! **Always**: what was put off is done once, on each of the account's devices.

use waxwing_protocol::ids::{AccountId, GroupId};

use super::{
    Conversation,
    above::{ConversationHook, FirstWritten},
    acquaintance::{is_known, is_silent, is_silent_group, may_tell},
    group_welcomers,
    groups::{self, GroupRecord},
    join_requests, parcels,
};
use crate::{
    api::ConversationId,
    inbox::sender_counters,
    synced_settings::{self, SettingKind},
    turn::{Fault, Turn},
};

/// This account has written to the other side, or accepts it: no stranger any more. What they
/// wrote before is told of now.
pub(crate) fn written_to(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    by_this_device: bool,
) -> Result<(), Fault> {
    if conversation.written_to {
        return Ok(());
    }
    let was_told = may_tell(turn, conversation)?;
    super::set_written_to(turn.tx, conversation.id)?;
    match conversation.account {
        Some(account) => opened(turn, account)?,
        None => catch_up(turn, conversation.id)?,
    }
    let conversation = Conversation {
        written_to: true,
        ..conversation.clone()
    };
    let written = FirstWritten {
        conversation: &conversation,
        by_this_device,
        was_told,
    };
    for hook in turn.hooks.of::<dyn ConversationHook>() {
        hook.handle_first_written(turn, &written)?;
    }
    Ok(())
}

/// Perhaps a conversation was accepted on another device before it was known on this one.
pub(crate) fn apply_setting(turn: &mut Turn<'_>, conversation: &Conversation) -> Result<(), Fault> {
    let key = synced_settings::key_of(conversation).filter(|_| !conversation.written_to);
    match key {
        Some(key) if synced_settings::is_set(turn.tx, SettingKind::Accepted, &key)? => {
            written_to(turn, conversation, false)
        }
        _ => Ok(()),
    }
}

/// The person has accepted somebody, or blocks them no more: what was put off for their
/// conversation, and for the groups that they brought this account into, is done.
pub(crate) fn opened(turn: &mut Turn<'_>, account: AccountId) -> Result<(), Fault> {
    let mut conversations = super::ids_with_account(turn.tx, account)?;
    conversations.extend(group_welcomers::welcomed_into(turn.tx, account)?);
    conversations.sort_unstable();
    conversations.dedup();
    for conversation in conversations {
        catch_up(turn, conversation)?;
    }
    Ok(())
}

/// What was put off for a conversation is done: devices that its groups lack, what is missing
/// of it, a group that was lost.
fn catch_up(turn: &mut Turn<'_>, conversation: ConversationId) -> Result<(), Fault> {
    let silent = match super::find(turn.tx, conversation)? {
        Some(found) => is_silent(turn, &found)?,
        None => true,
    };
    if silent {
        return Ok(());
    }
    group_welcomers::set_known(turn.tx, conversation)?;
    for group in groups::of_conversation(turn.tx, conversation)? {
        groups::set_membership_due(turn.tx, group)?;
        sender_counters::request_now(turn.tx, turn.now, group)?;
        acknowledge_welcome(turn, group)?;
        if let Some(group) = groups::find(turn.tx, group)? {
            for hook in turn.hooks.of::<dyn ConversationHook>() {
                hook.handle_accepted(turn, &group)?;
            }
        }
        turn.memory.due_mut().groups.insert(group);
    }
    turn.memory.due_mut().conversations.insert(conversation);
    Ok(())
}

/// Tells the relay that the parcel of a group's welcome is here; the relay then deletes it, which
/// whoever put it there can see.
pub(crate) fn acknowledge_welcome(turn: &mut Turn<'_>, group: GroupId) -> Result<(), Fault> {
    let silent = match groups::find(turn.tx, group)? {
        Some(group) => is_silent_group(turn, &group)?,
        None => true,
    };
    if !silent && let Some(parcel) = group_welcomers::take_parcel(turn.tx, group)? {
        parcels::acknowledge(turn, parcel)?;
    }
    Ok(())
}

/// A welcome to a group conversation is valid; its sender is known by now. A conversation that this
/// account had left, or was removed from, counts as new, unless the person asked to join it.
pub(crate) fn handle_valid_welcome(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    conversation: ConversationId,
) -> Result<(), Fault> {
    if join_requests::has_asked(turn.tx, conversation)? {
        return Ok(group_welcomers::set_welcomed_by(
            turn.tx,
            group.id,
            group_welcomers::OURSELVES,
        )?);
    }
    let Some(by) = group_welcomers::welcomed_by(turn.tx, group.id)? else {
        return Ok(());
    };
    let Some(known) = super::find(turn.tx, conversation)?.filter(|known| known.left) else {
        return Ok(());
    };
    if by == group_welcomers::OURSELVES || is_known(turn.tx, by)? {
        return Ok(());
    }
    group_welcomers::forget_welcomers(turn.tx, conversation)?;
    super::forget_written_to(turn.tx, conversation)?;
    if let Some(key) = synced_settings::key_of(&known) {
        synced_settings::set(turn, SettingKind::Accepted, &key, &[])?;
    }
    Ok(())
}
