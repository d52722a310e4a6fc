//! Invitations: links with which people ask to join a group.
//!
//! An admin's link names the group, the admin's address and a secret, whose hash is in the
//! group's state. A person with the link asks the admin's devices, in the conversation of the
//! two. These compare the secret with the state and add the person by a pending change, or
//! keep the question for the admin to decide. The relay plays no part in this and learns
//! nothing of it.
//!
//! **Elsewhere**: [`super::membership`] adds people; [`super::roles`] makes sure that only
//! admins change the state's invitations.
//!
//! **Always**: the person who asks is the account on the other side of the conversation, whose
//! leaf was verified; a link does not identify anybody. A revoked or expired link does not
//! work, whichever device is asked.

use prost::Message as _;
use rusqlite::OptionalExtension as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use waxwing_protocol::{
    address::Address,
    conversation::Invitation,
    ids::AccountId,
    limits,
    pb::{AskToJoin, Envelope, JoinAnswer, envelope, join_answer},
};

use super::{
    Conversation, Kind, acceptance, acquaintance, group_commands,
    groups::{self, GroupRecord},
    history::{self, NewEvent},
    join_requests, members,
    pending_changes::PendingChange,
};
use crate::{
    api::{self, ConversationId, EventKind, Notice, Problem, Response},
    contact,
    mls::Member,
    outbox, settings,
    turn::{EventError, Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE invitation (               -- links that this device made
    secret_hash BLOB PRIMARY KEY,
    conversation BLOB NOT NULL,
    secret BLOB NOT NULL
) WITHOUT ROWID;
";

/// How a link begins.
const SCHEME: &str = "waxwing:invite/1/";

/// What a link holds.
struct InvitationLink {
    conversation: ConversationId,
    secret: [u8; 32],
    admin: Address,
    relay: String,
}

impl InvitationLink {
    fn text(&self) -> String {
        let group = [self.conversation.as_bytes().as_slice(), &self.secret].concat();
        format!(
            "{SCHEME}{}/{}#{}",
            data_encoding::BASE64URL_NOPAD.encode(&group),
            self.admin.canonical(),
            self.relay,
        )
    }

    fn read(text: &str) -> Option<Self> {
        let rest = text.trim().strip_prefix(SCHEME)?;
        let (rest, relay) = rest.split_once('#')?;
        let (group, admin) = rest.split_once('/')?;
        let group = data_encoding::BASE64URL_NOPAD
            .decode(group.as_bytes())
            .ok()?;
        let (conversation, secret) = group.split_at_checked(16)?;
        Some(Self {
            conversation: ConversationId::from_bytes(conversation.try_into().ok()?),
            secret: secret.try_into().ok()?,
            admin: Address::parse(admin).ok()?,
            relay: relay.to_owned(),
        })
    }
}

fn hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Makes a link.
pub(crate) fn invite(turn: &mut Turn<'_>, invite: &api::Invite) -> Result<Response, EventError> {
    let found = group_commands::group_meant(turn, &invite.group)?;
    let (state, _) = group_commands::known_group_state(turn, &found)?;
    if !state.is_admin(turn.account()?.id()) {
        return Err(EventError::Refused(Problem::GroupNotAdmin));
    }
    if state.invitations.len() >= limits::INVITATIONS {
        let limit = limits::INVITATIONS as u64;
        return Err(EventError::Refused(Problem::InvitationsTooMany { limit }));
    }
    let secret: [u8; 32] = turn.random();
    let secret_hash = hash(&secret);
    let invitation = Invitation {
        secret_hash,
        needs_approval: invite.needs_approval,
        expires_at: invite.expires_at.map(|at| at.0),
    };
    turn.tx.execute(
        "INSERT INTO invitation (secret_hash, conversation, secret) VALUES (?1, ?2, ?3)",
        (secret_hash, found.id.as_bytes(), secret),
    )?;
    // Somebody who changes a group takes part in it.
    acceptance::written_to(turn, &found, true)?;
    group_commands::add_pending_change(turn, &found, &PendingChange::Invite(invitation))?;
    Ok(Response::Invited(api::Invited {
        id: id_of(&secret_hash),
        link: link(turn, found.id, secret)?,
    }))
}

fn link(turn: &Turn<'_>, conversation: ConversationId, secret: [u8; 32]) -> Result<String, Fault> {
    let relay = settings::relay(turn.tx)?;
    let relay = relay.map_or_else(String::new, |relay| match relay.pin {
        Some(pin) if !relay.url.contains('#') => {
            format!("{}/#{pin}", relay.url.trim_end_matches('/'))
        }
        _ => relay.url,
    });
    let link = InvitationLink {
        conversation,
        secret,
        admin: turn.account()?.address().clone(),
        relay,
    };
    Ok(link.text())
}

/// What an invitation is called: the start of its hash.
fn id_of(secret_hash: &[u8; 32]) -> String {
    let (start, _) = secret_hash.split_at(4);
    data_encoding::HEXLOWER.encode(start)
}

/// Takes a link back.
pub(crate) fn revoke(
    turn: &mut Turn<'_>,
    revoke: &api::RevokeInvitation,
) -> Result<Response, EventError> {
    let found = group_commands::group_meant(turn, &revoke.group)?;
    let (state, _) = group_commands::known_group_state(turn, &found)?;
    if !state.is_admin(turn.account()?.id()) {
        return Err(EventError::Refused(Problem::GroupNotAdmin));
    }
    let meant = |invitation: &&Invitation| id_of(&invitation.secret_hash) == revoke.invitation;
    let invitation = state.invitations.iter().find(meant);
    let hash = invitation
        .ok_or(EventError::Refused(Problem::InvitationUnknown))?
        .secret_hash;
    group_commands::add_pending_change(turn, &found, &PendingChange::Revoke(hash))?;
    Ok(Response::Done {})
}

/// The open invitations of a group; the links of those that this device made.
pub(crate) fn list(
    turn: &Turn<'_>,
    conversation: ConversationId,
    invitations: &[Invitation],
) -> Result<Vec<api::GroupInvitation>, Fault> {
    let mut list = Vec::new();
    for invitation in invitations {
        let secret: Option<[u8; 32]> = turn
            .tx
            .prepare_cached("SELECT secret FROM invitation WHERE secret_hash = ?1")?
            .query_row([invitation.secret_hash], |row| row.get(0))
            .optional()?;
        list.push(api::GroupInvitation {
            id: id_of(&invitation.secret_hash),
            needs_approval: invitation.needs_approval,
            expires_at: invitation.expires_at.map(Into::into),
            link: match secret {
                Some(secret) => Some(link(turn, conversation, secret)?),
                None => None,
            },
        });
    }
    Ok(list)
}

/// Asks to be taken in.
pub(crate) fn join(turn: &mut Turn<'_>, join: &api::Join) -> Result<Response, EventError> {
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    let link = InvitationLink::read(&join.link)
        .ok_or(EventError::Refused(Problem::InvitationMalformed))?;
    if let Some(own) = settings::relay(turn.tx)?
        && let (Some(pin), Some((_, there))) = (own.pin, link.relay.split_once('#'))
        && pin != there
    {
        return Err(EventError::Refused(Problem::InvitationElsewhere));
    }
    if link.admin.canonical() == turn.account()?.address().canonical() {
        return Err(EventError::Refused(Problem::RecipientIsSelf));
    }
    if let Some(found) = super::find(turn.tx, link.conversation)?
        && !found.left
    {
        return Ok(Response::GroupCreated(api::GroupCreated {
            conversation: found.id,
        }));
    }
    let direct = match super::with_address(turn.tx, link.admin.canonical())? {
        Some(direct) => direct,
        None => super::start(turn.tx, turn.now, turn.rng, &link.admin, None)?,
    };
    join_requests::set_asked(turn.tx, turn.now, link.conversation, direct.id)?;
    queue_envelope(
        turn,
        direct.id,
        envelope::Body::AskToJoin(AskToJoin {
            conversation_id: link.conversation.as_bytes().to_vec().into(),
            secret: link.secret.to_vec().into(),
        }),
    )?;
    acceptance::written_to(turn, &direct, true)?;
    Ok(Response::GroupCreated(api::GroupCreated {
        conversation: link.conversation,
    }))
}

fn queue_envelope(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    body: envelope::Body,
) -> Result<(), Fault> {
    let envelope = Envelope {
        sent_at_ms: turn.now.0,
        body: Some(body),
        ..Envelope::default()
    };
    let bytes = envelope.encode_to_vec();
    outbox::add_asked(turn.tx, turn.now, conversation, &bytes, None)?;
    turn.memory.due_mut().conversations.insert(conversation);
    Ok(())
}

fn answer(
    turn: &mut Turn<'_>,
    direct: ConversationId,
    conversation: ConversationId,
    answer: join_answer::Answer,
) -> Result<(), Fault> {
    queue_envelope(
        turn,
        direct,
        envelope::Body::JoinAnswer(JoinAnswer {
            conversation_id: conversation.as_bytes().to_vec().into(),
            answer: answer.into(),
        }),
    )
}

/// The other side of a conversation of two, and that conversation.
fn direct_of(
    turn: &Turn<'_>,
    channel: &GroupRecord,
) -> Result<Option<(Conversation, AccountId)>, Fault> {
    let Some(id) = channel.conversation else {
        return Ok(None);
    };
    let found = super::find(turn.tx, id)?.filter(|found| found.kind == Kind::Direct);
    Ok(found.and_then(|found| found.account.map(|account| (found, account))))
}

/// Somebody asks to be taken in.
pub(crate) fn handle_join_request(
    turn: &mut Turn<'_>,
    channel: &GroupRecord,
    member: &Member,
    ask: &AskToJoin,
) -> Result<(), Fault> {
    let Some((direct, account)) = direct_of(turn, channel)? else {
        return Ok(());
    };
    // Asked by another device of this account.
    if member.account != account {
        return Ok(());
    }
    let Some(contact) = contact::of_account(turn.tx, account)?.filter(|one| !one.blocked) else {
        return Ok(());
    };
    let Ok(id) = <[u8; 16]>::try_from(ask.conversation_id.as_ref()) else {
        return Ok(());
    };
    let id = ConversationId::from_bytes(id);
    let Some((found, invitation)) = opened(turn, id, &ask.secret)? else {
        // A stranger who never had a link from this account learns nothing.
        if acquaintance::is_silent(turn, &direct)? && !was_ours(turn, id, &ask.secret)? {
            return Ok(());
        }
        return answer(turn, direct.id, id, join_answer::Answer::Over);
    };
    let already = members::all(turn.tx, id)?;
    if already.iter().any(|member| member.account == account) {
        return Ok(());
    }
    if !invitation.needs_approval {
        let Ok(address) = Address::parse(&contact.display) else {
            return Ok(());
        };
        return group_commands::add_pending_change(
            turn,
            &found,
            &PendingChange::Add(address, Some(account)),
        );
    }
    if join_requests::add_asking(turn.tx, turn.now, id, account, &contact.display)? {
        let (now, event) = (turn.now, EventKind::AsksToJoin);
        let event = history::add_event(turn.tx, now, id, event, &contact.display)?;
        turn.notify(Notice::Event(event));
    }
    Ok(())
}

/// Whether this device made a link with this secret, or one is open or over in the group's
/// state: the person gave it to somebody, who may know what became of it.
fn was_ours(turn: &mut Turn<'_>, id: ConversationId, secret: &[u8]) -> Result<bool, Fault> {
    let hash = hash(secret);
    let made: Option<[u8; 16]> = turn
        .tx
        .prepare_cached("SELECT conversation FROM invitation WHERE secret_hash = ?1")?
        .query_row([hash], |row| row.get(0))
        .optional()?;
    if made == Some(*id.as_bytes()) {
        return Ok(true);
    }
    let Some(found) = super::find(turn.tx, id)? else {
        return Ok(false);
    };
    match group_commands::known_group_state(turn, &found) {
        Ok((state, _)) => Ok(state
            .invitations
            .iter()
            .any(|invitation| bool::from(invitation.secret_hash.ct_eq(&hash)))),
        Err(EventError::Refused(_)) => Ok(false),
        Err(EventError::Fault(fault)) => Err(fault),
    }
}

/// The group and invitation that a secret opens now.
fn opened(
    turn: &mut Turn<'_>,
    id: ConversationId,
    secret: &[u8],
) -> Result<Option<(Conversation, Invitation)>, Fault> {
    let Some(found) = super::find(turn.tx, id)? else {
        return Ok(None);
    };
    if found.kind != Kind::Group || found.left {
        return Ok(None);
    }
    let group = groups::for_sending(turn.tx, id)?;
    if group.is_none_or(|group| !group.state.is_active()) {
        return Ok(None);
    }
    let state = match group_commands::known_group_state(turn, &found) {
        Ok((state, _)) => state,
        Err(EventError::Refused(_)) => return Ok(None),
        Err(EventError::Fault(fault)) => return Err(fault),
    };
    if !state.is_admin(turn.account()?.id()) {
        return Ok(None);
    }
    let hash = hash(secret);
    let now = turn.now;
    let open = state.invitations.into_iter().find(|invitation| {
        bool::from(invitation.secret_hash.ct_eq(&hash))
            && invitation.expires_at.is_none_or(|at| at > now)
    });
    Ok(open.map(|invitation| (found, invitation)))
}

/// The person decides about somebody who asked.
pub(crate) fn decide(
    turn: &mut Turn<'_>,
    decide: &api::DecideJoin,
) -> Result<Response, EventError> {
    let found = group_commands::group_meant(turn, &decide.group)?;
    let (state, _) = group_commands::known_group_state(turn, &found)?;
    if !state.is_admin(turn.account()?.id()) {
        return Err(EventError::Refused(Problem::GroupNotAdmin));
    }
    let address = super::target::parse_address(&decide.address)?;
    let same = |display: &str| {
        Address::parse(display).is_ok_and(|one| one.canonical() == address.canonical())
    };
    let asking = join_requests::asking(turn.tx, found.id)?;
    let account = asking.into_iter().find(|(_, display)| same(display));
    let account = account.map(|(account, _)| account);
    let account = account.ok_or_else(|| {
        let address = address.display().to_owned();
        EventError::Refused(Problem::MemberUnknown { address })
    })?;
    join_requests::forget(turn.tx, found.id, account)?;
    if decide.accept {
        acceptance::written_to(turn, &found, true)?;
        group_commands::add_pending_change(
            turn,
            &found,
            &PendingChange::Add(address, Some(account)),
        )?;
    }
    if let Some(direct) = super::with_account(turn.tx, account)? {
        let word = if decide.accept {
            join_answer::Answer::Accepted
        } else {
            join_answer::Answer::Declined
        };
        answer(turn, direct.id, found.id, word)?;
    }
    Ok(Response::Done {})
}

/// An answer to somebody who asked: to this account, or by another device of it.
pub(crate) fn handle_join_answer(
    turn: &mut Turn<'_>,
    channel: &GroupRecord,
    member: &Member,
    said: &JoinAnswer,
) -> Result<(), Fault> {
    let Some((direct, account)) = direct_of(turn, channel)? else {
        return Ok(());
    };
    let Ok(id) = <[u8; 16]>::try_from(said.conversation_id.as_ref()) else {
        return Ok(());
    };
    let id = ConversationId::from_bytes(id);
    if member.account != account {
        return Ok(join_requests::forget(turn.tx, id, account)?);
    }
    let has_asked = join_requests::take_asked(turn.tx, id, direct.id)?;
    let word = match said.answer() {
        _ if !has_asked => return Ok(()),
        join_answer::Answer::Declined => "declined",
        join_answer::Answer::Over => "over",
        // What comes of it is a group.
        join_answer::Answer::Accepted | join_answer::Answer::Unspecified => return Ok(()),
    };
    let new = NewEvent {
        conversation: direct.id,
        event: EventKind::NotTakenIn,
        address: &direct.display,
        by: None,
        detail: Some(word),
    };
    let event = history::record(turn.tx, turn.now, &new)?;
    turn.notify(Notice::Event(event));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_as_it_was_written() {
        let link = InvitationLink {
            conversation: ConversationId::from_bytes([1; 16]),
            secret: [2; 32],
            admin: Address::parse("Alice@example.org").unwrap(),
            relay: "https://relay.example.org/#sha256/abc".into(),
        };
        let text = link.text();
        let read = InvitationLink::read(&text).unwrap();
        assert_eq!(read.text(), text);
        for end in 0..SCHEME.len() + 66 {
            let cut: String = text.chars().take(end).collect();
            assert!(InvitationLink::read(&cut).is_none(), "{end}");
        }
    }
}
