//! People's requests about messages: react, edit, unsend, set the timer, show details.
//!
//! **Elsewhere**: [`crate::commands`] writes messages.
//!
//! **Always**: a command is checked completely before it changes anything.

use prost::Message as _;
use waxwing_protocol::{
    limits,
    pb::{Envelope, SetTimer, envelope},
};

use super::{
    amendments::{self, Amendment, Amends},
    expiry, reaction,
};
use crate::{
    api::{self, ConversationId, MessageId, MessageState, Notice, Problem, Response, Sent},
    content::{self, Content},
    conversation::{
        self, Conversation, Kind, acceptance, group_commands, history, pages,
        pending_changes::PendingChange,
        target::{self, Target},
        threads,
    },
    inbox::messages,
    outbox,
    turn::{EventError, Fault, Turn},
};

/// Reacts to a message, or takes the reaction back.
pub(crate) fn react(turn: &mut Turn<'_>, react: &api::React) -> Result<Response, EventError> {
    let (conversation, _) = message_meant(turn, react.message)?;
    let emoji = match react.emoji.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(emoji) if reaction::is_reaction(emoji) => Some(emoji.to_owned()),
        Some(_) => return Err(EventError::Refused(Problem::ReactionInvalid)),
    };
    let target = mimi(react.message)?;
    let content = Content::reaction(turn.random(), target, emoji.as_deref());
    amend(
        turn,
        &conversation,
        react.message,
        &content,
        Amends::Reaction(emoji),
    )
}

/// Says something else in place of an own message.
pub(crate) fn edit(turn: &mut Turn<'_>, edit: &api::Edit) -> Result<Response, EventError> {
    let (conversation, message) = own_message_meant(turn, edit.message)?;
    if edit.text.trim().is_empty() {
        return Err(EventError::Refused(Problem::MessageEmpty));
    }
    if edit.text.len() > limits::TEXT_BYTES {
        return Err(EventError::Refused(Problem::MessageTooLarge {
            bytes: edit.text.len() as u64,
            limit: limits::TEXT_BYTES as u64,
        }));
    }
    if message.taken_back {
        return Err(EventError::Refused(Problem::MessageTakenBack));
    }
    let target = mimi(edit.message)?;
    let answers = message.reply_to.map(mimi).transpose()?;
    let mut content = Content::edit(turn.random(), target, &edit.text, answers);
    if history::is_markdown(turn.tx, conversation.id, edit.message)? {
        content = content.in_markdown();
    }
    let amends = Amends::Edit(edit.text.clone());
    amend(turn, &conversation, edit.message, &content, amends)
}

/// The thread in which a message stands.
pub(crate) fn thread(turn: &Turn<'_>, of: &api::MessageOf) -> Result<Response, EventError> {
    let (conversation, _) = message_meant(turn, of.message)?;
    let found = threads::thread(turn.reader(), conversation.id, of.message)?;
    Ok(Response::Found(api::Found { found, next: None }))
}

/// Takes an own message back.
pub(crate) fn take_back(turn: &mut Turn<'_>, of: &api::MessageOf) -> Result<Response, EventError> {
    let (conversation, message) = own_message_meant(turn, of.message)?;
    refuse_sms(&conversation)?;
    if message.taken_back {
        return Err(EventError::Refused(Problem::MessageTakenBack));
    }
    outbox::forget_content(turn.tx, of.message)?;
    turn.erase_content(conversation.id, of.message)?;
    let content = Content::taken_back(turn.random(), mimi(of.message)?);
    amend(turn, &conversation, of.message, &content, Amends::TakenBack)
}

/// Sets a conversation's timer.
pub(crate) fn set_timer(turn: &mut Turn<'_>, set: &api::SetTimer) -> Result<Response, EventError> {
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    let Target::Conversation(found) = target::find(turn.tx, &set.of)? else {
        let name = set.of.clone();
        return Err(EventError::Refused(Problem::ConversationUnknown { name }));
    };
    refuse_sms(&found)?;
    if found.kind == Kind::Group {
        let (state, _) = group_commands::known_group_state(turn, &found)?;
        if !state.is_admin(turn.account()?.id()) {
            return Err(EventError::Refused(Problem::GroupNotAdmin));
        }
        acceptance::written_to(turn, &found, true)?;
        group_commands::add_pending_change(
            turn,
            &found,
            &PendingChange::ExpiresAfter(set.seconds),
        )?;
        return Ok(Response::Done {});
    }
    let own = turn.account()?.address().display().to_owned();
    let now = turn.now;
    expiry::set_timer(turn, found.id, set.seconds, now, &own)?;
    let envelope = Envelope {
        sent_at_ms: now.0,
        body: Some(envelope::Body::SetTimer(SetTimer {
            seconds: set.seconds,
        })),
        ..Envelope::default()
    };
    // As something that a person said: it goes into the next group, if this one ends.
    let id = MessageId::from_bytes(turn.random());
    let bytes = envelope.encode_to_vec();
    outbox::add(turn.tx, now, found.id, Some(id), &bytes, None)?;
    turn.memory.due_mut().conversations.insert(found.id);
    Ok(Response::Done {})
}

/// Nothing of this is known to phones.
fn refuse_sms(conversation: &Conversation) -> Result<(), EventError> {
    if conversation.kind == Kind::Sms {
        Err(EventError::Refused(Problem::SmsConversation))
    } else {
        Ok(())
    }
}

/// Sends an amendment, and makes it here.
pub(crate) fn amend(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    target: MessageId,
    content: &Content,
    amends: Amends,
) -> Result<Response, EventError> {
    refuse_sms(conversation)?;
    if conversation.left {
        return Err(EventError::Refused(Problem::GroupNotMember));
    }
    if conversation.awaiting_decision {
        return Err(EventError::Refused(Problem::ContactChanged {
            address: conversation.display.clone(),
        }));
    }
    let own = turn.account()?;
    let (account, address) = (own.id(), own.address().display().to_owned());
    let encoded = content.encode();
    let id = messages::id_of(account, &encoded, &content.salt);
    let amendment = Amendment {
        conversation: conversation.id,
        id,
        target,
        account,
        address: &address,
        own: true,
        sent_at: turn.now,
        amends,
        signed: None,
    };
    amendments::add(turn.tx, &amendment)?;
    outbox::content::add_content(turn, conversation.id, Some(id), encoded)?;
    tell_changed(turn, conversation.id, target)?;
    Ok(Response::Sent(Sent {
        id,
        conversation: conversation.id,
        state: MessageState::Queued,
    }))
}

/// Tells the programs that listen how a message has changed.
pub(crate) fn tell_changed(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    id: MessageId,
) -> Result<(), Fault> {
    if let Some(message) = pages::message(turn.reader(), conversation, id)? {
        turn.notify(Notice::MessageChanged(message));
    }
    Ok(())
}

/// The message that is meant, with its conversation.
pub(crate) fn message_meant(
    turn: &Turn<'_>,
    id: MessageId,
) -> Result<(Conversation, api::Message), EventError> {
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    find(turn, id)?.ok_or(EventError::Refused(Problem::MessageUnknown))
}

/// A message of this account, with its conversation.
pub(crate) fn own_message_meant(
    turn: &Turn<'_>,
    id: MessageId,
) -> Result<(Conversation, api::Message), EventError> {
    let (conversation, message) = message_meant(turn, id)?;
    if message.direction == api::Direction::Out {
        Ok((conversation, message))
    } else {
        Err(EventError::Refused(Problem::MessageNotOwn))
    }
}

fn find(turn: &Turn<'_>, id: MessageId) -> Result<Option<(Conversation, api::Message)>, Fault> {
    let Some(conversation) = pages::conversation_of(turn.tx, id)? else {
        return Ok(None);
    };
    let message = pages::message(turn.reader(), conversation, id)?;
    Ok(conversation::find(turn.tx, conversation)?.zip(message))
}

/// The messages whose ids begin so: two at most.
pub(crate) fn with_prefix(turn: &Turn<'_>, prefix: &str) -> Result<Response, EventError> {
    let found = pages::with_prefix(turn.tx, prefix.trim())?;
    match found.as_slice() {
        [] => Err(EventError::Refused(Problem::MessageUnknown)),
        [id] => {
            let (_, message) = message_meant(turn, *id)?;
            Ok(Response::Message(Box::new(message)))
        }
        _ => Err(EventError::Refused(Problem::MessageAmbiguous)),
    }
}

/// A message's id, as content has it.
pub(crate) fn mimi(id: MessageId) -> Result<content::MessageId, EventError> {
    content::MessageId::from_bytes(id.as_bytes())
        .ok_or(EventError::Refused(Problem::MessageUnknown))
}
