//! Group conversations: how people create, change and leave them.
//!
//! A group begins with its creator alone; pending changes add the others, like members who
//! join later. If its MLS group cannot continue (somebody broke its rules, or the relay has
//! lost it), an admin's device makes the conversation's next generation, without the devices
//! that broke the rules.
//!
//! **Elsewhere**: [`super::membership`] carries out pending changes; [`super::roles`] decides
//! who may do what; [`super::members`] tells members about changes.
//!
//! **Always**: a command is checked against the group as this device knows it; all other
//! devices check its commit again.

use prost::Message as _;
use waxwing_protocol::{
    address::Address,
    conversation::{ConversationState, MemberAddresses},
    ids::AccountId,
    limits,
    pb::{Envelope, Leaving, envelope},
};

use super::{
    Conversation, Kind, acceptance, ending, founding, generations,
    groups::{self, GroupRecord},
    history::{self, NewEvent},
    members,
    pending_changes::{self, PendingChange},
    roles,
};
use crate::{
    api::{self, ConversationId, EventKind, GroupCreated, Notice, Problem, Response},
    contact,
    conversation::target::{self, Target},
    outbox::{self, progress},
    turn::{EventError, Fault, Turn},
};

/// Makes a group.
pub(crate) fn create(
    turn: &mut Turn<'_>,
    create: &api::CreateGroup,
) -> Result<Response, EventError> {
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    let name = checked_name(&create.name)?;
    let mut wanted = Vec::new();
    for member in &create.members {
        wanted.push(somebody_else(turn, member)?);
    }
    if wanted.len() >= limits::CONVERSATION_ACCOUNTS {
        let limit = limits::CONVERSATION_ACCOUNTS as u64;
        return Err(EventError::Refused(Problem::GroupFull { limit }));
    }
    let id = ConversationId::from_bytes(turn.random());
    super::start_group(turn.tx, turn.now, id, &name)?;
    super::set_written_to(turn.tx, id)?;
    let own = turn.account()?.id();
    let state = ConversationState {
        conversation_id: *id.as_bytes(),
        generation: 1,
        name,
        picture: bytes::Bytes::new(),
        admins: [own].into(),
        everybody_adds: false,
        expires_after_s: 0,
        invitations: Vec::new(),
    };
    let addresses = MemberAddresses::new([(own, turn.account()?.address().clone())]);
    founding::found(turn, id, addresses, Some(state))?;
    for address in wanted {
        pending_changes::add(turn.tx, turn.now, id, &PendingChange::Add(address, None))?;
    }
    Ok(Response::GroupCreated(GroupCreated { conversation: id }))
}

/// Changes a group.
pub(crate) fn change(
    turn: &mut Turn<'_>,
    change: &api::ChangeGroup,
) -> Result<Response, EventError> {
    let conversation = group_meant(turn, &change.group)?;
    let (state, addresses) = known_group_state(turn, &conversation)?;
    let own = turn.account()?.id();
    let is_admin = state.is_admin(own);
    let mut wanted = Vec::new();
    for member in &change.add {
        wanted.push(PendingChange::Add(somebody_else(turn, member)?, None));
    }
    if !wanted.is_empty() && !is_admin && !state.everybody_adds {
        return Err(EventError::Refused(Problem::GroupNotAdmin));
    }
    if addresses.len() + wanted.len() > limits::CONVERSATION_ACCOUNTS {
        let limit = limits::CONVERSATION_ACCOUNTS as u64;
        return Err(EventError::Refused(Problem::GroupFull { limit }));
    }
    let brings = wanted.len();
    let member = |address: &String| -> Result<AccountId, EventError> {
        let parsed = target::person_meant(turn.tx, address)?;
        let known = contact::owner_of(turn.tx, parsed.canonical())?;
        let known = known.map(|contact| contact.account);
        addresses
            .iter()
            .find(|(account, of)| {
                known.map_or(of.canonical() == parsed.canonical(), |known| {
                    known == *account
                })
            })
            .map(|(account, _)| account)
            .ok_or_else(|| {
                let address = parsed.display().to_owned();
                EventError::Refused(Problem::MemberUnknown { address })
            })
    };
    for address in &change.remove {
        let account = member(address)?;
        if account == own {
            return Err(EventError::Refused(Problem::MemberIsSelf));
        }
        wanted.push(PendingChange::Remove(account));
    }
    for address in &change.promote {
        wanted.push(PendingChange::Admin(member(address)?, true));
    }
    for address in &change.demote {
        wanted.push(PendingChange::Admin(member(address)?, false));
    }
    let goes = |admin: &AccountId| {
        let (gone, demoted) = (
            PendingChange::Remove(*admin),
            PendingChange::Admin(*admin, false),
        );
        wanted.contains(&gone) || wanted.contains(&demoted)
    };
    let promotes = wanted
        .iter()
        .any(|wish| matches!(wish, PendingChange::Admin(account, true) if !goes(account)));
    if is_admin && !promotes && state.admins.iter().all(goes) {
        return Err(EventError::Refused(Problem::GroupNeedsAdmin));
    }
    if let Some(name) = &change.name {
        wanted.push(PendingChange::Name(checked_name(name)?));
    }
    if let Some(picture) = &change.picture {
        wanted.push(PendingChange::Picture(checked_picture(picture)?));
    }
    wanted.extend(change.everybody_adds.map(PendingChange::EverybodyAdds));
    wanted.extend(change.expires_after_s.map(PendingChange::ExpiresAfter));
    if wanted.len() > brings && !is_admin {
        return Err(EventError::Refused(Problem::GroupNotAdmin));
    }
    // Somebody who changes a group takes part in it.
    if !wanted.is_empty() {
        acceptance::written_to(turn, &conversation, true)?;
    }
    for wish in wanted {
        if let PendingChange::Add(address, _) = &wish
            && let Some(contact) = contact::owner_of(turn.tx, address.canonical())?
        {
            generations::clear_blame(turn.tx, conversation.id, contact.account)?;
        }
        self::add_pending_change(turn, &conversation, &wish)?;
    }
    Ok(Response::Done {})
}

/// Wants something of a group.
pub(crate) fn add_pending_change(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    wish: &PendingChange,
) -> Result<(), Fault> {
    pending_changes::add(turn.tx, turn.now, conversation.id, wish)?;
    if let Some(group) = groups::for_sending(turn.tx, conversation.id)? {
        groups::set_membership_due(turn.tx, group.id)?;
        turn.memory.due_mut().groups.insert(group.id);
    }
    Ok(())
}

/// Leaves a group.
pub(crate) fn leave(turn: &mut Turn<'_>, leave: &api::LeaveGroup) -> Result<Response, EventError> {
    let conversation = group_meant(turn, &leave.of)?;
    let (state, addresses) = known_group_state(turn, &conversation)?;
    let own = turn.account()?.id();
    let chosen = match &leave.successor {
        Some(name) => Some(successor_meant(turn, name, &state, &addresses)?),
        None => None,
    };
    members::set_leaving(turn.tx, conversation.id, own)?;
    let Some(group) = groups::for_sending(turn.tx, conversation.id)? else {
        // It is said in the next one.
        return Ok(Response::Done {});
    };
    let leaves = turn.with_group(group.id, |group, _, _| group.members())?;
    let leaves = leaves.transpose().map_err(Fault::from)?.unwrap_or_default();
    if leaves.len() < 2 {
        ending::close(turn, &group)?;
        end(turn, conversation.id, EventKind::MemberLeft, None)?;
        return Ok(Response::Done {});
    }
    // The role goes on before this account does, so that the group has somebody with it at once. If
    // that is too late, the member who removes this account names the same one.
    let next = if chosen.is_some() {
        chosen
    } else if state.is_admin(own) && state.admins.len() == 1 {
        let leaving = members::leaving(turn.tx, conversation.id)?;
        let stay = leaves.iter().map(|member| member.account);
        let stay: Vec<AccountId> = stay.filter(|one| !leaving.contains(one)).collect();
        roles::successor(&stay, &addresses)
    } else {
        None
    };
    if let Some(next) = next {
        add_pending_change(turn, &conversation, &PendingChange::Admin(next, true))?;
    }
    groups::set_membership_due(turn.tx, group.id)?;
    turn.memory.due_mut().groups.insert(group.id);
    Ok(Response::Done {})
}

/// The member whom an admin who leaves makes admin.
fn successor_meant(
    turn: &Turn<'_>,
    name: &str,
    state: &ConversationState,
    addresses: &MemberAddresses,
) -> Result<AccountId, EventError> {
    if !state.is_admin(turn.account()?.id()) {
        return Err(EventError::Refused(Problem::GroupNotAdmin));
    }
    let address = somebody_else(turn, name)?;
    let known = contact::owner_of(turn.tx, address.canonical())?;
    let known = known.map(|contact| contact.account);
    addresses
        .iter()
        .find(|(account, of)| {
            known.map_or(of.canonical() == address.canonical(), |known| {
                known == *account
            })
        })
        .map(|(account, _)| account)
        .ok_or_else(|| {
            let address = address.display().to_owned();
            EventError::Refused(Problem::MemberUnknown { address })
        })
}

/// Says that this account leaves, once nothing is wanted of the group before; and ends the
/// conversation when it has said so and nobody is there who could take it out. Gives whether
/// nothing is left to be done.
pub(crate) fn leave_if_wished(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    conversation: ConversationId,
) -> Result<bool, Fault> {
    let own = turn.account()?.id();
    let wished = group.account.is_none() && members::leaving(turn.tx, conversation)?.contains(&own);
    let Some(found) = super::find(turn.tx, conversation)?.filter(|_| wished) else {
        return Ok(true);
    };
    if found.left {
        let members = turn.with_group(group.id, |group, _, _| group.members())?;
        let members = members.transpose()?.unwrap_or_default();
        if members.iter().any(|member| member.account != own) {
            return Ok(true);
        }
        // This account's other devices hear of it first.
        if !outbox::unaccepted(turn.tx, conversation, group.id, 0, 1, false)?.is_empty() {
            return Ok(false);
        }
        ending::close(turn, group)?;
        end(turn, conversation, EventKind::MemberLeft, None)?;
        return Ok(true);
    }
    let envelope = Envelope {
        body: Some(envelope::Body::Leaving(Leaving {})),
        ..Envelope::default()
    };
    let bytes = envelope.encode_to_vec();
    outbox::add_asked(turn.tx, turn.now, conversation, &bytes, Some(group.id))?;
    super::set_left(turn.tx, conversation, true)?;
    turn.memory.due_mut().conversations.insert(conversation);
    let leaves = turn.with_group(group.id, |group, _, _| group.members())?;
    let leaves = leaves.transpose()?.unwrap_or_default();
    Ok(leaves.iter().any(|member| member.account != own))
}

/// A member has said that they leave.
pub(crate) fn leaves(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    account: AccountId,
) -> Result<(), Fault> {
    let Some(conversation) = group.conversation.filter(|_| group.account.is_none()) else {
        return Ok(());
    };
    members::set_leaving(turn.tx, conversation, account)?;
    if account == turn.account()?.id() {
        // Another device of this account has said so.
        super::set_left(turn.tx, conversation, true)?;
    }
    groups::set_membership_due(turn.tx, group.id)?;
    turn.memory.due_mut().groups.insert(group.id);
    Ok(())
}

/// This device was removed from a group; by whom, and whether the whole account was removed.
pub(crate) fn removed(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    by: AccountId,
    account: bool,
) -> Result<(), Fault> {
    let Some(conversation) = group.conversation.filter(|_| group.account.is_none()) else {
        return Ok(());
    };
    if !account {
        return Ok(());
    }
    let own = turn.account()?.id();
    let left = members::leaving(turn.tx, conversation)?.contains(&own);
    let by = match contact::of_account(turn.tx, by)? {
        Some(contact) if !left => Some(contact.display),
        _ => None,
    };
    let event = if left {
        EventKind::MemberLeft
    } else {
        EventKind::MemberRemoved
    };
    end(turn, conversation, event, by.as_deref())
}

/// This account is no member any more.
fn end(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    event: EventKind,
    by: Option<&str>,
) -> Result<(), Fault> {
    super::set_left(turn.tx, conversation, true)?;
    pending_changes::forget_all(turn.tx, conversation)?;
    members::forget_all(turn.tx, conversation)?;
    let address = turn.account()?.address().display().to_owned();
    let new = NewEvent {
        conversation,
        event,
        address: &address,
        by,
        detail: None,
    };
    let event = history::record(turn.tx, turn.now, &new)?;
    turn.notify(Notice::Event(event));
    if let Some(found) = super::find(turn.tx, conversation)? {
        progress::fail_waiting(turn, &found, &Problem::GroupNotMember)?;
    }
    Ok(())
}

/// Somebody cannot be added: no account has the address, or the group is full.
pub(crate) fn not_brought(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    kept: &pending_changes::StoredChange,
) -> Result<(), Fault> {
    pending_changes::forget(turn.tx, kept.row)?;
    if let PendingChange::Add(address, _) = &kept.change {
        let event = history::add_event(
            turn.tx,
            turn.now,
            conversation,
            EventKind::NotAdded,
            address.display(),
        )?;
        turn.notify(Notice::Event(event));
    }
    Ok(())
}

/// The group that is meant.
pub(crate) fn group_meant(turn: &Turn<'_>, name: &str) -> Result<Conversation, EventError> {
    match target::find(turn.tx, name)? {
        Target::Conversation(found) if found.kind == Kind::Group => Ok(found),
        _ => Err(EventError::Refused(Problem::GroupUnknown {
            name: name.trim().to_owned(),
        })),
    }
}

/// What a group is, as this device knows it.
pub(crate) fn known_group_state(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
) -> Result<(ConversationState, MemberAddresses), EventError> {
    let not_member = || EventError::Refused(Problem::GroupNotMember);
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    if conversation.left {
        return Err(not_member());
    }
    // While the next group is being made, what the last one was.
    let secrets = match groups::for_sending(turn.tx, conversation.id)? {
        Some(group) => {
            let secrets = turn.with_group(group.id, |group, _, _| group.secrets())?;
            secrets.transpose().map_err(Fault::from)?
        }
        None => generations::last_secrets(turn, conversation.id)?,
    };
    let secrets = secrets.ok_or_else(not_member)?;
    let state = secrets.state.ok_or_else(not_member)?;
    Ok((state, secrets.addresses))
}

fn somebody_else(turn: &Turn<'_>, name: &str) -> Result<Address, EventError> {
    let address = target::person_meant(turn.tx, name)?;
    if turn.account()?.address().canonical() == address.canonical() {
        return Err(EventError::Refused(Problem::MemberIsSelf));
    }
    Ok(address)
}

/// Without blanks around it.
fn checked_name(name: &str) -> Result<String, EventError> {
    let name = name.trim();
    let well = !name.is_empty()
        && name.len() <= limits::GROUP_NAME_BYTES
        && super::display_names::shown(name) == name;
    if well {
        Ok(name.to_owned())
    } else {
        Err(EventError::Refused(Problem::GroupNameInvalid))
    }
}

/// Base64 of an image that is small enough; empty for none.
pub(crate) fn checked_picture(picture: &str) -> Result<Vec<u8>, EventError> {
    data_encoding::BASE64
        .decode(picture.as_bytes())
        .ok()
        .filter(|bytes| bytes.len() <= limits::PICTURE_BYTES)
        .ok_or(EventError::Refused(Problem::PictureInvalid {
            limit: limits::PICTURE_BYTES as u64,
        }))
}
