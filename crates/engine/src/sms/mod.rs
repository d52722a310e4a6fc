//! Conversations with phones that are not on Waxwing: a fallback that is shown as what it is.
//!
//! A text message proves nothing. Its claimed sender is shown but never counts as verified,
//! and tricks in it are pointed out beside it. Such a conversation has its own kind
//! ([`crate::conversation::Kind::Sms`]), under the name `sms:` and the number or the sender's name. It never
//! contains anything that is end-to-end encrypted, and none of its messages appear elsewhere.
//!
//! The relay seals everything that it learns about this account's texts to each of its devices
//! (`waxwing_protocol::sms`). All of them therefore learn what arrived ([`receive`]), what
//! another of them wrote, and what happened to it ([`send`]).
//!
//! **Elsewhere**: `waxwing_sms` knows what a text is made of.
//!
//! **Always**: nothing is sent to a phone before the person was told once what that means, and
//! agreed to the number of segments.

pub(crate) mod hooks;
pub(crate) mod parts;
pub(crate) mod receive;
pub(crate) mod send;

use rusqlite::OptionalExtension as _;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    address::AddressKind, ids::AccountId, pb::SetSmsKey, pb::client_frame::Body, sms::SmsOpeningKey,
};

use crate::{
    api::{ConversationId, MessageId},
    conversation::{
        Conversation,
        history::{self, NewText},
        sms_names,
    },
    event::LinkKind,
    link::{Job, LinkPhase},
    memory::{Memory, Remembered},
    message::text_details::{self, TextDetails},
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE sms_key (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seed BLOB NOT NULL
);
CREATE TABLE sms_outgoing (
    id INTEGER PRIMARY KEY,
    sms_id BLOB NOT NULL UNIQUE,
    conversation BLOB NOT NULL,
    number TEXT NOT NULL,
    text TEXT NOT NULL,
    segments INTEGER NOT NULL,
    even_so INTEGER NOT NULL,       -- though the number is on Waxwing
    handed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE sms_part (
    id INTEGER PRIMARY KEY,
    conversation BLOB NOT NULL,
    reference BLOB NOT NULL,
    message BLOB NOT NULL,
    tpdu BLOB NOT NULL UNIQUE,
    came_at INTEGER NOT NULL,
    shown INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX sms_part_reference ON sms_part (conversation, reference);
";

/// What the process remembers of texts.
#[derive(Default)]
pub(crate) struct SmsMemory {
    /// The relay has this device's key, since this login.
    relay_has_key: bool,
}

impl Remembered for SmsMemory {}

impl Memory {
    pub(crate) fn sms_mut(&mut self) -> &mut SmsMemory {
        self.states.get_mut()
    }
}

/// This device has logged in: what may have been lost with the last link is done again.
pub(crate) fn logged_in(turn: &mut Turn<'_>) -> Result<(), Fault> {
    turn.memory.sms_mut().relay_has_key = false;
    turn.tx.execute("UPDATE sms_outgoing SET handed = 0", [])?;
    Ok(())
}

/// Does what is due on the mailbox link.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    if turn.account()?.address().kind() != AddressKind::Phone {
        return Ok(());
    }
    parts::pump(turn)?;
    if turn.memory.links.mailbox.phase != LinkPhase::LoggedIn {
        return Ok(());
    }
    if !turn.memory.sms_mut().relay_has_key && !turn.memory.links.mailbox.awaits(&Job::SetSmsKey) {
        let key = key(turn)?.public();
        let body = Body::SetSmsKey(SetSmsKey { key });
        turn.send_request(LinkKind::Mailbox, Job::SetSmsKey, body);
    }
    send::pump(turn)
}

/// What opens texts for this device.
fn key(turn: &mut Turn<'_>) -> Result<SmsOpeningKey, Fault> {
    let kept: Option<[u8; 32]> = turn
        .tx
        .query_row("SELECT seed FROM sms_key", [], |row| row.get(0))
        .optional()?;
    if let Some(seed) = kept {
        return Ok(SmsOpeningKey::from_bytes(seed));
    }
    let key = SmsOpeningKey::generate(turn.rng);
    turn.tx.execute(
        "INSERT INTO sms_key (id, seed) VALUES (1, ?1)",
        [key.as_bytes()],
    )?;
    Ok(key)
}

/// The conversation that is called so; a new one, if there is none.
fn conversation(turn: &mut Turn<'_>, name: &str) -> Result<Conversation, Fault> {
    if let Some(found) = sms_names::find_sms(turn.tx, name)? {
        return Ok(found);
    }
    let id = ConversationId::from_bytes(turn.random());
    crate::conversation::start_sms(turn.tx, turn.now, id, name)?;
    sms_names::find_sms(turn.tx, name)?
        .ok_or_else(|| Fault::Broken("a conversation that was begun".into()))
}

/// The id of what another device of the account has written, or this one: the same on all.
fn outgoing_id(account: AccountId, sms_id: &[u8]) -> MessageId {
    hashed(&[b"waxwing sms out v1", &account.0, sms_id])
}

/// The id of what a phone has written: the same on all devices, which get the same post.
fn incoming_id(post: &[u8]) -> MessageId {
    hashed(&[b"waxwing sms in v1", post])
}

/// In the form of all message ids (draft-ietf-mimi-content section 3.3): SHA-256's number, and
/// 31 bytes of it.
fn hashed(pieces: &[&[u8]]) -> MessageId {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update(piece);
    }
    let hash: [u8; 32] = hash.finalize().into();
    let mut id = [1; 32];
    for (to, from) in id.iter_mut().skip(1).zip(hash) {
        *to = from;
    }
    MessageId::from_bytes(id)
}

/// Adds a text, with what there is to tell of it. `false` when it is there already.
fn add(turn: &Turn<'_>, new: &NewText<'_>, details: &TextDetails) -> Result<bool, Fault> {
    let added = history::add_text(turn.tx, turn.now, new)?;
    if added {
        text_details::store(turn.tx, (new.conversation, new.id), details)?;
    }
    Ok(added)
}
