//! Typing notices: members who are online learn that somebody is typing.
//!
//! A notice is sealed under a key of the group's epoch (MLS exporter, RFC 9420 section 8.5),
//! and the relay passes it to the links that are open. Nothing numbers or stores it, and
//! nobody misses one that is lost. All have the same size, and say only who and when.
//!
//! **Elsewhere**: a notice needs the authorisation to post: [`crate::outbox::sending`].
//!
//! **Always**: strangers get no notices, nor do people to whom the person does not want to
//! send any. Any member of the group can forge a notice, also in a group of two; nothing
//! depends on it.

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use waxwing_protocol::{
    ids::{DeviceId, Epoch, GroupId},
    pb::{Signal, Signalled, client_frame::Body},
    time::{Span, Time},
};

use crate::{
    api::{self, ConversationId, Notice, Problem, Response, Typing},
    contact,
    containment::ErrorOwner,
    conversation::{
        self, Kind, acquaintance, epochs,
        group_state::GroupState,
        groups,
        target::{self, Target},
    },
    event::LinkKind,
    link::Job,
    memory::{Memory, Remembered},
    settings::{self, Setting},
    turn::{EventError, Fault, Turn},
};

/// The same is not told again within this time.
const NOT_AGAIN: Span = Span::seconds(3);
/// A notice that could not leave within this time is not worth telling.
const STALE: Span = Span::seconds(5);
/// Clocks differ by so much, at most, for a notice to count.
const CLOCKS: Span = Span::minutes(5);

const NONCE_BYTES: usize = 24;
/// A device's id, whether it begins or ends, and when.
const PLAIN_BYTES: usize = 32 + 1 + 8;

/// What is to be told, and what was.
#[derive(Default)]
pub(crate) struct Signals {
    pub(crate) due: std::collections::BTreeMap<ConversationId, (bool, Time)>,
    told: std::collections::HashMap<ConversationId, (bool, Time)>,
    /// When the last notice of a device was made: a relay may repeat one.
    heard: std::collections::HashMap<DeviceId, u64>,
}

impl Remembered for Signals {
    const OUTLASTS_ERRORS: bool = true;
}

impl Memory {
    pub(crate) fn signals_mut(&mut self) -> &mut Signals {
        self.states.get_mut()
    }
}

/// Devices and conversations that are remembered.
const REMEMBERED: usize = 4_096;

/// The person begins to write, goes on, or stops.
pub(crate) fn set(turn: &mut Turn<'_>, set: &api::SetTyping) -> Result<Response, EventError> {
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    let Target::Conversation(found) = target::find(turn.tx, &set.of)? else {
        let name = set.of.clone();
        return Err(EventError::Refused(Problem::ConversationUnknown { name }));
    };
    let tells = settings::read(turn.tx, Setting::TellTyping)?.unwrap_or(true)
        && found.kind != Kind::Notes
        && acquaintance::may_tell(turn, &found)?;
    let told = turn.memory.signals_mut().told.get(&found.id);
    let again =
        told.is_some_and(|(typing, at)| *typing == set.typing && turn.now.since(*at) < NOT_AGAIN);
    // Nobody was told that it began.
    let ends_nothing = !set.typing && told.is_none_or(|(typing, _)| !typing);
    if tells && !again && !ends_nothing {
        turn.memory
            .signals_mut()
            .due
            .insert(found.id, (set.typing, turn.now));
    }
    Ok(Response::Done {})
}

/// Tells what is to be told; what cannot be is dropped.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    for (conversation, (typing, at)) in std::mem::take(&mut turn.memory.signals_mut().due) {
        if turn.now.since(at) > STALE {
            continue;
        }
        let Some(group) = groups::for_sending(turn.tx, conversation)? else {
            continue;
        };
        if !group.state.is_active() {
            continue;
        }
        turn.run_contained(ErrorOwner::Group(group.id), |turn| {
            if epochs::authorise(turn, group.id)? {
                send_typing(turn, group.id, typing)?;
            }
            Ok(())
        })?;
        let told = &mut turn.memory.signals_mut().told;
        if told.len() >= REMEMBERED {
            told.clear();
        }
        told.insert(conversation, (typing, turn.now));
    }
    Ok(())
}

fn send_typing(turn: &mut Turn<'_>, id: GroupId, typing: bool) -> Result<(), Fault> {
    let Some((epoch, key)) = key(turn, id)? else {
        return Ok(());
    };
    let device = turn.account()?.device();
    let mut plain = Vec::with_capacity(PLAIN_BYTES);
    plain.extend_from_slice(device.as_bytes());
    plain.push(typing.into());
    plain.extend_from_slice(&turn.now.0.to_be_bytes());
    let nonce: [u8; NONCE_BYTES] = turn.random();
    let aad = aad(id, epoch);
    let payload = Payload {
        msg: &plain,
        aad: &aad,
    };
    let Ok(ciphertext) = XChaCha20Poly1305::new(&key.into()).encrypt(&XNonce::from(nonce), payload)
    else {
        return Ok(());
    };
    let signal = Signal {
        group_id: id.to_bytes(),
        epoch: epoch.0,
        body: [nonce.as_slice(), &ciphertext].concat().into(),
    };
    turn.send_request(LinkKind::Posting, Job::Signal, Body::Signal(signal));
    Ok(())
}

fn key(turn: &mut Turn<'_>, id: GroupId) -> Result<Option<(Epoch, [u8; 32])>, Fault> {
    let key = turn.with_group(id, |group, provider, _| {
        let epoch = group.epoch();
        group.keys(provider).map(|keys| (epoch, keys.signal_key))
    })?;
    Ok(key.transpose()?)
}

fn aad(id: GroupId, epoch: Epoch) -> Vec<u8> {
    [
        b"waxwing typing v1",
        id.as_bytes().as_slice(),
        &epoch.0.to_be_bytes(),
    ]
    .concat()
}

/// Somebody who is there writes.
pub(crate) fn handle_typing(turn: &mut Turn<'_>, signal: &Signalled) -> Result<(), Fault> {
    let Ok(id) = GroupId::try_from(&signal.group_id) else {
        return Ok(());
    };
    let group = groups::find(turn.tx, id)?.filter(|group| group.state != GroupState::Quarantined);
    let Some(conversation) = group.and_then(|group| group.conversation) else {
        return Ok(());
    };
    let Some((epoch, key)) = key(turn, id)?.filter(|(epoch, _)| epoch.0 == signal.epoch) else {
        return Ok(());
    };
    let Some((device, typing, at)) = open(&signal.body, &key, &aad(id, epoch)) else {
        return Ok(());
    };
    let far = at.0.abs_diff(turn.now.0) > CLOCKS.0;
    let before = turn.memory.signals_mut().heard.get(&device).copied();
    if far || before.is_some_and(|before| before >= at.0) {
        return Ok(());
    }
    let members = turn.with_group(id, |group, _, _| group.members())?;
    let members = members.transpose()?.unwrap_or_default();
    let Some(member) = members.into_iter().find(|member| member.device == device) else {
        return Ok(());
    };
    if turn.memory.signals_mut().heard.len() >= REMEMBERED {
        turn.memory.signals_mut().heard.clear();
    }
    turn.memory.signals_mut().heard.insert(device, at.0);
    let Some(contact) = contact::of_account(turn.tx, member.account)? else {
        return Ok(());
    };
    let Some(found) = conversation::find(turn.tx, conversation)? else {
        return Ok(());
    };
    if !contact.blocked && !acquaintance::is_request(turn.tx, &found)? {
        turn.notify(Notice::Typing(Typing {
            conversation,
            address: contact.display,
            typing,
        }));
    }
    Ok(())
}

fn open(sealed: &[u8], key: &[u8; 32], aad: &[u8]) -> Option<(DeviceId, bool, Time)> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let payload = Payload {
        msg: ciphertext,
        aad,
    };
    let plain = XChaCha20Poly1305::new(&(*key).into())
        .decrypt(&XNonce::from(*nonce), payload)
        .ok()?;
    let (device, rest) = plain.split_first_chunk::<32>()?;
    let (typing, at) = rest.split_first()?;
    let at = u64::from_be_bytes(at.try_into().ok()?);
    let typing = match typing {
        0 => false,
        1 => true,
        _ => return None,
    };
    Some((DeviceId(*device), typing, Time(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_notice_says_nothing() {
        let aad = aad(GroupId([1; 16]), Epoch(2));
        for length in 0..120 {
            assert!(open(&vec![7; length], &[3; 32], &aad).is_none());
        }
    }
}
