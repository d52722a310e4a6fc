//! Message requests: conversations with people whom this account has not answered yet.
//!
//! Anybody who knows an address can write to it. Until the person accepts (or replies, or has
//! compared safety numbers), a stranger's conversation is a request: nothing is fetched for
//! it, nobody learns that anything arrived or was read, it is shown separately, and only a
//! limited amount of it is kept. A group is a request unless somebody known added this device
//! to it, because a stranger may have added the other people whom the group names.
//!
//! Nothing is sent for a request, or to people who are blocked, except what the person wrote
//! or asked for ([`is_silent`]).
//!
//! **Elsewhere**: [`crate::inbox::messages::may_tell`] decides who is told what; blocking is
//! in [`crate::contact`].
//!
//! **Always**: accepting or declining on one device does so on all.

use rusqlite::Transaction;
use waxwing_protocol::{
    ids::{AccountId, GroupId},
    time::Time,
};

use super::{
    Conversation, Kind, group_commands,
    groups::{self, GroupRecord},
    history, invitations, members,
};
use crate::{
    api::{self, ConversationId, EventKind, Notice, Problem, Response, Synced},
    attachment, contact,
    conversation::target::{self, Target},
    inbox::{earlier_generations, messages, missed_posts, sender_counters},
    store::StoreError,
    synced_settings::{self, SettingKind},
    turn::{EventError, Fault, Turn},
};

/// Messages that are kept of a request. A person who sends more was told to wait for an answer by
/// the absence of one.
const KEPT_MAX: u64 = 200;

/// Whether the person has yet to decide about it.
pub(crate) fn is_request(
    tx: &Transaction<'_>,
    conversation: &Conversation,
) -> Result<bool, StoreError> {
    if conversation.written_to || conversation.left {
        return Ok(false);
    }
    match conversation.kind {
        Kind::Notes | Kind::Sms => Ok(false),
        Kind::Direct => match conversation.account {
            None => Ok(false),
            Some(account) => {
                let contact = contact::of_account(tx, account)?;
                Ok(contact.is_some_and(|contact| !contact.compared && !contact.blocked))
            }
        },
        Kind::Group => {
            let mut vouch = groups::welcomers(tx, conversation.id)?;
            if vouch.is_empty() {
                // It came with another device's archive, or to an earlier version.
                let admins = members::all(tx, conversation.id)?.into_iter();
                vouch = admins
                    .filter(|member| member.admin)
                    .map(|member| member.account)
                    .collect();
            }
            for account in vouch {
                if account == groups::OURSELVES || is_known(tx, account)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

/// Whether nothing leaves for a conversation but what the person wrote or asked for: they have
/// not accepted it, have left it unaccepted, or have blocked everybody else in it. So nobody
/// there learns that a device received anything.
pub(crate) fn is_silent(turn: &Turn<'_>, conversation: &Conversation) -> Result<bool, Fault> {
    if is_blocked(turn, conversation)? {
        return Ok(true);
    }
    let left = conversation.kind == Kind::Group && conversation.left && !conversation.written_to;
    Ok(left || is_request(turn.tx, conversation)?)
}

/// The same of a group's conversation.
pub(crate) fn is_silent_group(turn: &Turn<'_>, group: &GroupRecord) -> Result<bool, Fault> {
    let conversation = match group.conversation {
        Some(id) => super::find(turn.tx, id)?,
        None => None,
    };
    conversation.map_or(Ok(false), |found| is_silent(turn, &found))
}

/// Whether the person has blocked everybody else in a conversation.
pub(crate) fn is_blocked(turn: &Turn<'_>, conversation: &Conversation) -> Result<bool, Fault> {
    let blocked = |account| -> Result<bool, StoreError> {
        Ok(contact::of_account(turn.tx, account)?.is_some_and(|contact| contact.blocked))
    };
    match conversation.kind {
        Kind::Notes | Kind::Sms => Ok(false),
        Kind::Direct => match conversation.account {
            Some(account) => Ok(blocked(account)?),
            None => Ok(false),
        },
        Kind::Group => {
            let own = turn.account()?.id();
            let mut others = 0_usize;
            for member in members::all(turn.tx, conversation.id)? {
                if member.account != own {
                    others += 1;
                    if !blocked(member.account)? {
                        return Ok(false);
                    }
                }
            }
            Ok(others > 0)
        }
    }
}

/// The person has accepted somebody, or blocks them no more: what was put off for their
/// conversation, and for the groups that they brought this account into, is done.
pub(crate) fn opened(turn: &mut Turn<'_>, account: AccountId) -> Result<(), Fault> {
    let conversations: Vec<ConversationId> = {
        let mut statement = turn.tx.prepare_cached(
            "SELECT id FROM conversation WHERE account_id = ?1
             UNION SELECT conversation FROM conversation_group
                 WHERE welcomed_by = ?1 AND conversation IS NOT NULL",
        )?;
        let rows = statement.query_map([account.0], |row| {
            row.get(0).map(ConversationId::from_bytes)
        })?;
        rows.collect::<Result<_, _>>()?
    };
    for conversation in conversations {
        catch_up(turn, conversation)?;
    }
    Ok(())
}

/// What was put off for a conversation is done: devices that its groups lack, what is missing
/// of it, a group that was lost.
pub(crate) fn catch_up(turn: &mut Turn<'_>, conversation: ConversationId) -> Result<(), Fault> {
    let silent = match super::find(turn.tx, conversation)? {
        Some(found) => is_silent(turn, &found)?,
        None => true,
    };
    if silent {
        return Ok(());
    }
    groups::set_known(turn.tx, conversation)?;
    for group in groups::of_conversation(turn.tx, conversation)? {
        groups::set_membership_due(turn.tx, group)?;
        sender_counters::request_now(turn.tx, turn.now, group)?;
        missed_posts::ask_now(turn.tx, turn.now, group)?;
        say_read(turn, group)?;
        if let Some(group) = groups::find(turn.tx, group)? {
            earlier_generations::ask(turn, &group)?;
        }
        turn.volatile.due_mut().groups.insert(group);
    }
    turn.volatile.due_mut().conversations.insert(conversation);
    Ok(())
}

/// Tells the relay that the parcel of a group's welcome is here; the relay then deletes it, which
/// whoever put it there can see.
pub(crate) fn say_read(turn: &mut Turn<'_>, group: GroupId) -> Result<(), Fault> {
    let silent = match groups::find(turn.tx, group)? {
        Some(group) => is_silent_group(turn, &group)?,
        None => true,
    };
    if !silent && let Some(parcel) = groups::take_parcel(turn.tx, group)? {
        attachment::transfer::acknowledge_parcel(turn, parcel)?;
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
    if invitations::has_asked(turn.tx, conversation)? {
        return Ok(groups::set_welcomed_by(
            turn.tx,
            group.id,
            groups::OURSELVES,
        )?);
    }
    let Some(by) = groups::welcomed_by(turn.tx, group.id)? else {
        return Ok(());
    };
    let Some(known) = super::find(turn.tx, conversation)?.filter(|known| known.left) else {
        return Ok(());
    };
    if by == groups::OURSELVES || is_known(turn.tx, by)? {
        return Ok(());
    }
    groups::forget_welcomers(turn.tx, conversation)?;
    turn.tx.execute(
        "UPDATE conversation SET written_to = 0 WHERE id = ?1",
        [conversation.as_bytes()],
    )?;
    if let Some(key) = synced_settings::key_of(&known) {
        synced_settings::set(turn, SettingKind::Accepted, &key, &[])?;
    }
    Ok(())
}

/// Whether this account has written to another, or compared safety numbers with it.
pub(crate) fn is_known(tx: &Transaction<'_>, account: AccountId) -> Result<bool, StoreError> {
    if super::with_account(tx, account)?.is_some_and(|direct| direct.written_to) {
        return Ok(true);
    }
    Ok(contact::of_account(tx, account)?.is_some_and(|contact| contact.compared))
}

/// Whether an account that writes in a conversation is no stranger: it is known, or the
/// conversation is a group that this person has accepted. A blocked one counts as a stranger.
pub(crate) fn is_acquainted(
    tx: &Transaction<'_>,
    conversation: Option<ConversationId>,
    account: AccountId,
) -> Result<bool, StoreError> {
    if contact::of_account(tx, account)?.is_some_and(|contact| contact.blocked) {
        return Ok(false);
    }
    if is_known(tx, account)? {
        return Ok(true);
    }
    let found = match conversation {
        Some(conversation) => super::find(tx, conversation)?,
        None => None,
    };
    match found {
        Some(found) if found.kind == Kind::Group && !found.left => Ok(!is_request(tx, &found)?),
        _ => Ok(false),
    }
}

/// Whether a further message of a request is not kept. It is said once.
pub(crate) fn is_full(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    from: &str,
) -> Result<bool, Fault> {
    let id = conversation.id;
    if history::count_messages(turn.tx, id)? < KEPT_MAX {
        return Ok(false);
    }
    if !history::has_event(turn.tx, id, EventKind::HeldBack)? {
        let event = history::add_event(turn.tx, turn.now, id, EventKind::HeldBack, from)?;
        turn.notify(Notice::Event(event));
    }
    Ok(true)
}

/// The person accepts.
pub(crate) fn accept(turn: &mut Turn<'_>, of: &api::Of) -> Result<Response, EventError> {
    let (found, key) = meant(turn, &of.of)?;
    synced_settings::set(turn, SettingKind::Accepted, &key, b"1")?;
    messages::written_to(turn, &found, true)?;
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
        return group_commands::leave(turn, &api::Of { of });
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
    if turn.volatile.account.is_none() {
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
    if !is_request(turn.tx, &found)? {
        return Err(EventError::Refused(Problem::NotARequest));
    }
    let key = synced_settings::key_of(&found).ok_or_else(unknown)?;
    Ok((found, key))
}

/// It was accepted on another device of this account.
pub(crate) fn accepted(turn: &mut Turn<'_>, conversation: &Conversation) -> Result<(), Fault> {
    messages::written_to(turn, conversation, false)
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
