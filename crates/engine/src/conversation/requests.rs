//! Requests: conversations with people whom this account has not answered yet.
//!
//! Whoever knows an address can write to it. Until the person accepts (or answers, or has
//! compared safety numbers), a stranger's conversation is a request: nothing is fetched for
//! it, nobody learns that anything arrived or was read, it is shown apart, and only so
//! much of it is kept. A group is a request when none of its admins is known.
//!
//! **Elsewhere**: who is told of what: [`crate::inbox::messages::may_tell`]; blocking:
//! [`crate::contact`].
//!
//! **Always**: accepted on one device is accepted on all; so is declined.

use rusqlite::Transaction;
use waxwing_protocol::{ids::AccountId, time::Time};

use super::{Conversation, Kind, history, manage, members};
use crate::{
    api::{self, ConversationId, EventKind, MessageId, Notice, Problem, Response, Synced},
    attachment,
    commands::{self, Target},
    contact,
    engine::Stop,
    inbox::messages,
    message::{amendments, receipts},
    registers::{self, About},
    store::StoreError,
    turn::{Fault, Turn},
};

/// Messages that are kept of a request. Whoever sends more was told to wait for an answer by
/// the absence of one.
const KEPT_MAX: i64 = 200;

/// Whether the person has yet to decide about it.
pub(crate) fn is_request(
    tx: &Transaction<'_>,
    conversation: &Conversation,
) -> Result<bool, StoreError> {
    if conversation.written_to || conversation.gone {
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
            for member in members::all(tx, conversation.id)? {
                if member.admin && is_known(tx, member.account)? {
                    return Ok(false);
                }
            }
            Ok(true)
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
        Some(found) if found.kind == Kind::Group && !found.gone => Ok(!is_request(tx, &found)?),
        _ => Ok(false),
    }
}

/// Whether a further message of a request is not kept. It is said once.
pub(crate) fn is_full(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    from: &str,
) -> Result<bool, Fault> {
    let count = |kind: &str| -> Result<i64, StoreError> {
        let query = format!("SELECT count(*) FROM entry WHERE conversation = ?1 AND {kind}");
        Ok(turn
            .tx
            .prepare_cached(&query)?
            .query_row([conversation.id.as_bytes()], |row| row.get(0))?)
    };
    if count("kind = 1")? < KEPT_MAX {
        return Ok(false);
    }
    if count("event = 'held_back'")? == 0 {
        let id = conversation.id;
        let event = history::add_event(turn.tx, turn.now, id, EventKind::HeldBack, from)?;
        turn.notify(Notice::Event(event));
    }
    Ok(true)
}

/// The person accepts.
pub(crate) fn accept(turn: &mut Turn<'_>, of: &api::Of) -> Result<Response, Stop> {
    let (found, key) = meant(turn, &of.of)?;
    registers::set(turn, About::Accepted, &key, b"1")?;
    messages::written_to(turn, &found, true)?;
    Ok(Response::Done {})
}

/// The person declines: what is there goes, a group is left. Without a block, another
/// message is another request.
pub(crate) fn decline(turn: &mut Turn<'_>, decline: &api::Decline) -> Result<Response, Stop> {
    let (found, key) = meant(turn, &decline.of)?;
    let now = turn.now;
    registers::set(turn, About::Declined, &key, &now.0.to_be_bytes())?;
    clear(turn, found.id, now)?;
    if found.kind == Kind::Group {
        let of = found.id.to_string();
        return manage::leave(turn, &api::Of { of });
    }
    if decline.block
        && let Some(account) = found.account
    {
        contact::set_blocked(turn.tx, account, true)?;
        registers::set(turn, About::Blocked, &account.0, b"1")?;
    }
    Ok(Response::Done {})
}

fn meant(turn: &Turn<'_>, of: &str) -> Result<(Conversation, Vec<u8>), Stop> {
    if turn.live.account.is_none() {
        return Err(Stop::Refused(Problem::NotRegistered));
    }
    let unknown = || {
        Stop::Refused(Problem::ConversationUnknown {
            name: of.to_owned(),
        })
    };
    let Target::Conversation(found) = commands::target(turn.tx, of)? else {
        return Err(unknown());
    };
    if !is_request(turn.tx, &found)? {
        return Err(Stop::Refused(Problem::NotARequest));
    }
    let key = registers::key_of(&found).ok_or_else(unknown)?;
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
    let messages: Vec<MessageId> = {
        let mut statement = turn.tx.prepare_cached(
            "SELECT message FROM entry
             WHERE conversation = ?1 AND message IS NOT NULL AND at <= ?2",
        )?;
        let at = i64::try_from(until.0).unwrap_or(i64::MAX);
        let rows = statement.query_map((conversation.as_bytes(), at), |row| {
            row.get(0).map(MessageId::from_bytes)
        })?;
        rows.collect::<Result<_, _>>()?
    };
    for id in messages {
        attachment::forget(turn, conversation, id)?;
        amendments::forget(turn.tx, conversation, id)?;
        receipts::forget(turn.tx, conversation, id)?;
    }
    let at = i64::try_from(until.0).unwrap_or(i64::MAX);
    turn.tx.execute(
        "DELETE FROM entry WHERE conversation = ?1 AND at <= ?2",
        (conversation.as_bytes(), at),
    )?;
    turn.notify(Notice::Synced(Synced {
        conversation: Some(conversation),
    }));
    Ok(())
}
