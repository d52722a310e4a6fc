//! What members say: texts and receipts.
//!
//! **Elsewhere**: counters and requests to send again: [`super::receive`]; the format
//! of content: [`crate::content`].
//!
//! **Always**: a message is shown once, told by its MIMI id, whichever group or
//! device's resending it came by. A receipt changes the state of own messages only,
//! and is never answered by a receipt.

use waxwing_protocol::time::Time;

use super::heard::Sender;
use crate::{
    api::{Channel, Direction, Message, MessageChanged, MessageId, MessageState, Notice},
    contact,
    content::{self, Shown, status::Status},
    conversation::{
        self, Conversation,
        groups::Group,
        history::{self, NewMessage},
    },
    mls::Member,
    outbox::receipts,
    settings::{self, Setting},
    turn::{Fault, Turn},
};

/// The room of all conversations: nothing that only one group, or one side, knows may
/// change a message's id.
const ROOM: &str = "waxwing:conversation";

/// What is shown of content that this version cannot show.
const NEEDS_NEWER: &str = "[This message needs a newer version of Waxwing to be shown.]";

/// A sender's clock may be ahead of ours by this much; beyond, our time is shown.
const AHEAD_MAX: u64 = 5 * 60 * 1000;

/// The id of a message of `account` with these encoded bytes.
pub(crate) fn id_of(
    account: waxwing_protocol::ids::AccountId,
    encoded: &[u8],
    salt: &[u8; 16],
) -> MessageId {
    let id = content::MessageId::of(&content::account_uri(account), ROOM, encoded, salt);
    MessageId::from_bytes(*id.as_bytes())
}

/// A member of a group said something.
pub(crate) fn content_came(
    turn: &mut Turn<'_>,
    group: &Group,
    member: &Member,
    encoded: &[u8],
    sent_at: Time,
    fills: Option<Sender>,
) -> Result<(), Fault> {
    let Some(conversation) = group.conversation else {
        return Ok(());
    };
    let Ok(content) = content::decode(encoded) else {
        return Ok(());
    };
    let text = match content.shown() {
        Shown::Statuses(statuses) => return statuses_came(turn, group, member, &statuses),
        Shown::Text(text) => text,
        Shown::NeedsNewer => NEEDS_NEWER.to_owned(),
    };
    let account = turn.account()?;
    let own = member.account == account.id();
    let (from, verified) = if own {
        (account.address().display().to_owned(), true)
    } else {
        let contact = contact::of_account(turn.tx, member.account)?
            .ok_or_else(|| Fault::Broken("a member whose roster is not kept".into()))?;
        if contact.blocked {
            return Ok(());
        }
        (contact.display, contact.verified)
    };
    let id = id_of(member.account, encoded, &content.salt);
    let sent_at = if sent_at.0 == 0 || sent_at.0 > turn.now.0.saturating_add(AHEAD_MAX) {
        turn.now
    } else {
        sent_at
    };
    let direction = if own { Direction::Out } else { Direction::In };
    let reply_to = content
        .in_reply_to
        .map(|id| MessageId::from_bytes(*id.as_bytes()));
    let added = history::add_message(
        turn.tx,
        turn.now,
        &NewMessage {
            id,
            conversation,
            account: member.account,
            address: &from,
            verified,
            direction,
            text: &text,
            content: Some(encoded),
            reply_to,
            sent_at,
            // By another device of this account: the relay handed it on.
            state: MessageState::Accepted,
            fills: fills.map(|sender| (sender.group, sender.device)),
        },
    )?;
    if !added {
        return Ok(());
    }
    let Some(found) = conversation::find(turn.tx, conversation)? else {
        return Ok(());
    };
    turn.notify(Notice::Message(Message {
        id,
        conversation,
        group: (found.kind == conversation::Kind::Group).then(|| found.display.clone()),
        from,
        from_verified: verified,
        text,
        sent_at: sent_at.into(),
        channel: Channel::Waxwing,
        direction,
        state: own.then_some(MessageState::Accepted),
        problem: None,
        reply_to,
        read: own,
    }));
    if own {
        return written_to(turn, &found);
    }
    let tells = settings::read(turn.tx, Setting::TellDelivered)?.unwrap_or(true);
    if tells && may_tell(turn, &found)? {
        receipts::owe(turn.tx, turn.now, conversation, id, false)?;
    }
    Ok(())
}

/// Whether this conversation's other side is told what became of its messages: not before
/// this account has written to them, or has verified them in person. Strangers learn
/// nothing.
pub(crate) fn may_tell(turn: &Turn<'_>, conversation: &Conversation) -> Result<bool, Fault> {
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

/// This account has written to the other side: no stranger any more. What they wrote before
/// is told of now.
pub(crate) fn written_to(turn: &mut Turn<'_>, conversation: &Conversation) -> Result<(), Fault> {
    if conversation.written_to {
        return Ok(());
    }
    let told = may_tell(turn, conversation)?;
    conversation::set_written_to(turn.tx, conversation.id)?;
    if told {
        return Ok(());
    }
    let delivered = settings::read(turn.tx, Setting::TellDelivered)?.unwrap_or(true);
    let read = settings::read(turn.tx, Setting::TellRead)?.unwrap_or(true);
    for (id, was_read) in history::received(turn.tx, conversation.id)? {
        if (was_read && read) || delivered {
            receipts::owe(turn.tx, turn.now, conversation.id, id, was_read && read)?;
        }
    }
    Ok(())
}

fn statuses_came(
    turn: &mut Turn<'_>,
    group: &Group,
    member: &Member,
    statuses: &[(content::MessageId, Status)],
) -> Result<(), Fault> {
    let Some(conversation) = group.conversation else {
        return Ok(());
    };
    // Of this account's own devices nobody else's messages are reported.
    if member.account == turn.account()?.id() {
        return Ok(());
    }
    for (id, status) in statuses {
        let state = match status {
            Status::Delivered => MessageState::Delivered,
            Status::Read => MessageState::Read,
            _ => continue,
        };
        let id = MessageId::from_bytes(*id.as_bytes());
        if history::raise_state(turn.tx, conversation, id, state)? {
            turn.notify(Notice::MessageState(MessageChanged {
                id,
                conversation,
                state,
                problem: None,
            }));
        }
    }
    Ok(())
}
