//! Who is known to this account, who is a stranger, and who is left without a word.
//!
//! Anybody who knows an address can write to it. Until the person accepts (or replies, or has
//! compared safety numbers), a stranger's conversation is a *request*. A group is a request
//! unless somebody known added this device to it, because a stranger may have added the other
//! people whom the group names.
//!
//! Nothing is sent for a request, or to people who are blocked, except what the person wrote
//! or asked for ([`is_silent`]).
//!
//! **Elsewhere**: [`super::acceptance`] makes a stranger known; [`super::requests`] has the
//! person's decisions.
//!
//! **Always**: nothing here changes anything: the answers follow from the tables.

use rusqlite::Transaction;
use waxwing_protocol::ids::AccountId;

use super::{Conversation, Kind, group_welcomers, groups::GroupRecord, members};
use crate::{
    api::ConversationId,
    contact,
    store::StoreError,
    turn::{Fault, Turn},
};

/// Members of groups with more accounts are not told what became of their messages: each
/// receipt goes to all.
pub(crate) const RECEIPTS_MAX: u64 = 32;

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
            let mut vouch = group_welcomers::welcomers(tx, conversation.id)?;
            if vouch.is_empty() {
                // It came with another device's archive, or to an earlier version.
                let admins = members::all(tx, conversation.id)?.into_iter();
                vouch = admins
                    .filter(|member| member.admin)
                    .map(|member| member.account)
                    .collect();
            }
            for account in vouch {
                if account == group_welcomers::OURSELVES || is_known(tx, account)? {
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

/// Whether this conversation's other side learns what happened to its messages: not before this
/// account has written to them, or has verified them in person. Strangers learn nothing.
pub(crate) fn may_tell(turn: &Turn<'_>, conversation: &Conversation) -> Result<bool, Fault> {
    // A phone is told nothing, nor is anybody who is blocked.
    if conversation.kind == Kind::Sms || is_blocked(turn, conversation)? {
        return Ok(false);
    }
    if conversation.kind == Kind::Group {
        let few = members::count(turn.tx, conversation.id)? <= RECEIPTS_MAX;
        return Ok(few && conversation.written_to);
    }
    if conversation.written_to {
        return Ok(true);
    }
    Ok(match conversation.account {
        Some(account) => {
            contact::of_account(turn.tx, account)?.is_some_and(|contact| contact.compared)
        }
        None => false,
    })
}
