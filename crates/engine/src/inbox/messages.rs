//! What members send: texts and receipts.
//!
//! **Elsewhere**: [`super::receive`] handles counters and resend requests; [`crate::content`]
//! has the format of content.
//!
//! **Always**: a message is shown once, recognised by its MIMI id, whichever group or
//! resending device it came from. A receipt changes only the state of this account's own
//! messages, and is never answered by a receipt.

use waxwing_protocol::time::Time;

use super::sender_counters::Sender;
use crate::{
    api::{Direction, EventKind, MessageChanged, MessageId, MessageState, Notice},
    contact,
    content::{self, Expiration, VisibleContent, status::DeliveryStatus},
    conversation::{
        self, Conversation,
        above::{FirstWritten, Said},
        acceptance, acquaintance,
        groups::GroupRecord,
        history::{self, NewMessage},
        imports, members, pages,
    },
    message::{
        self, amendments,
        content_hook::{ContentHook, ContentOutcome, SaidContent},
        deleting, expiry,
        proof::Proof,
        read_marks,
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
pub(crate) const NEEDS_NEWER: &str = "[This message needs a newer version of Waxwing to be shown.]";

/// Messages that are kept of a request. A person who sends more was told to wait for an answer by
/// the absence of one.
const KEPT_MAX: u64 = 200;

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

/// A member of a group said something, if its proof is good.
pub(crate) fn handle_signed_content(
    turn: &mut Turn<'_>,
    said: &Said<'_>,
    content: &[u8],
) -> Result<(), Fault> {
    let Said { group, member, .. } = *said;
    match Proof::check(member, group.id, said.sent_at, content, said.signature) {
        Some(proof) => handle_content(turn, group, member, content, &proof, said.fills),
        None => Ok(()),
    }
}

/// This account has written for the first time: what the other side wrote before is told of
/// now.
pub(crate) fn tell_what_came_before(
    turn: &mut Turn<'_>,
    written: &FirstWritten<'_>,
) -> Result<(), Fault> {
    let conversation = written.conversation;
    if written.was_told || !acquaintance::may_tell(turn, conversation)? {
        return Ok(());
    }
    let delivered = settings::read(turn.tx, Setting::TellDelivered)?.unwrap_or(true);
    let read = settings::read(turn.tx, Setting::TellRead)?.unwrap_or(true);
    for (id, was_read) in history::received(turn.tx, conversation.id)? {
        if (was_read && read) || delivered {
            receipts::add_owed(turn.tx, turn.now, conversation.id, id, was_read && read)?;
        }
    }
    Ok(())
}

/// A member of a group said something.
fn handle_content(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    member: &Member,
    encoded: &[u8],
    proof: &Proof,
    fills: Option<Sender>,
) -> Result<(), Fault> {
    let Some(conversation) = group.conversation else {
        return Ok(());
    };
    let Ok(content) = content::decode(encoded) else {
        return Ok(());
    };
    // An empty report is what older versions are to see of content that changes a message.
    if let VisibleContent::Statuses(statuses) = content.shown()
        && !statuses.is_empty()
    {
        return handle_statuses(turn, group, member, &statuses);
    }
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
    let said = SaidContent {
        conversation,
        id,
        member,
        own,
        from: &from,
        content: &content,
        encoded,
        proof,
    };
    let Some(text) = text_of(turn, &said)? else {
        return Ok(());
    };
    let expires_after = match content.expires {
        Some(Expiration::AfterReading(seconds)) => Some(seconds),
        Some(Expiration::At(_)) | None => None,
    };
    let sent_at = proof.sent_at;
    let sent_at = if sent_at.0 == 0 || sent_at.0 > turn.now.0.saturating_add(AHEAD_MAX) {
        turn.now
    } else {
        sent_at
    };
    let direction = if own { Direction::Out } else { Direction::In };
    let reply_to = content
        .in_reply_to
        .map(|id| MessageId::from_bytes(*id.as_bytes()));
    let Some(found) = conversation::find(turn.tx, conversation)? else {
        return Ok(());
    };
    if !own && acquaintance::is_request(turn.tx, &found)? && is_full(turn, &found, &from)? {
        return Ok(());
    }
    if deleting::was_deleted(turn, &found, id, fills)? {
        return if own {
            acceptance::written_to(turn, &found, false)
        } else {
            Ok(())
        };
    }
    imports::superseded(turn, conversation, id)?;
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
            markdown: content.is_markdown(),
            content: Some(encoded),
            proof: (!own).then_some(proof),
            reply_to,
            sent_at,
            // By another device of this account: the relay handed it on.
            state: MessageState::Accepted,
            expires_after,
            fills: fills.map(|sender| (sender.group, sender.device)),
        },
    )?;
    if !added {
        return Ok(());
    }
    amendments::apply(turn.tx, conversation, id)?;
    if own {
        expiry::start(turn.tx, turn.now, conversation, &[id])?;
    }
    let quiet = !own
        && turn
            .memory
            .message_rates_mut()
            .is_one(member.account, turn.now);
    let trusted = own || (acquaintance::may_tell(turn, &found)? && !quiet);
    for hook in turn.hooks.of::<dyn ContentHook>() {
        hook.handle_message_added(turn, &said, trusted)?;
    }
    if !own {
        acceptance::apply_setting(turn, &found)?;
        read_marks::apply_to_new_message(turn, &found, id)?;
    }
    if let Some(mut message) = pages::message(turn.reader(), conversation, id)? {
        message.request = !own && acquaintance::is_request(turn.tx, &found)?;
        message.quiet = quiet;
        turn.notify(Notice::Message(message));
    }
    if own {
        return acceptance::written_to(turn, &found, false);
    }
    let tells = settings::read(turn.tx, Setting::TellDelivered)?.unwrap_or(true);
    if tells && acquaintance::may_tell(turn, &found)? {
        receipts::add_owed(turn.tx, turn.now, conversation, id, false)?;
    }
    Ok(())
}

/// The text of the message that some content is; `None` where it is not a message.
fn text_of(turn: &mut Turn<'_>, said: &SaidContent<'_>) -> Result<Option<String>, Fault> {
    for hook in turn.hooks.of::<dyn ContentHook>() {
        match hook.handle_content(turn, said)? {
            ContentOutcome::NotOfThisType => {}
            ContentOutcome::Message(text) => return Ok(Some(text)),
            ContentOutcome::Done => return Ok(None),
        }
    }
    Ok(match said.content.shown() {
        VisibleContent::Statuses(_) => None,
        _ => Some(NEEDS_NEWER.to_owned()),
    })
}

/// Whether a further message of a request is not kept. It is said once.
fn is_full(turn: &mut Turn<'_>, conversation: &Conversation, from: &str) -> Result<bool, Fault> {
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

/// The other side of two has set the timer, or another device of this account.
pub(crate) fn handle_timer_change(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    member: &Member,
    seconds: u32,
    set_at: Time,
) -> Result<(), Fault> {
    let Some(conversation) = group.conversation.filter(|_| group.account.is_some()) else {
        return Ok(());
    };
    let account = turn.account()?;
    let by = if member.account == account.id() {
        account.address().display().to_owned()
    } else {
        match contact::of_account(turn.tx, member.account)? {
            Some(contact) if !contact.blocked => contact.display,
            _ => return Ok(()),
        }
    };
    // By a clock that is far ahead it would count for ever.
    let set_at = Time(set_at.0.min(turn.now.0.saturating_add(AHEAD_MAX)));
    expiry::set_timer(turn, conversation, seconds, set_at, &by)
}

fn handle_statuses(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    member: &Member,
    statuses: &[(content::MessageId, DeliveryStatus)],
) -> Result<(), Fault> {
    let Some(conversation) = group.conversation else {
        return Ok(());
    };
    // Of this account's own devices nobody else's messages are reported.
    if member.account == turn.account()?.id() {
        return Ok(());
    }
    let of = match group.account {
        Some(_) => 1,
        None => members::count(turn.tx, conversation)?.saturating_sub(1),
    };
    for (id, status) in statuses {
        let read = match status {
            DeliveryStatus::Delivered => false,
            DeliveryStatus::Read => true,
            _ => continue,
        };
        let id = MessageId::from_bytes(*id.as_bytes());
        if !history::is_own(turn.tx, conversation, id)? {
            continue;
        }
        let place = (conversation, id);
        let state = message::receipts::note(turn.tx, turn.now, place, member.account, read, of)?;
        if group.account.is_none() {
            message::commands::tell_changed(turn, conversation, id)?;
        }
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
