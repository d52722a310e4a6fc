//! Groups of many, as people make, change and leave them.
//!
//! A group begins with its maker alone; the others are brought in by wishes, like those
//! who come later. Where its MLS group cannot be followed any more (somebody broke its
//! rules, or the relay has lost it), an admin's device makes the conversation's next
//! generation, without whoever broke them.
//!
//! **Elsewhere**: what becomes of wishes is [`super::membership`]'s; who may what,
//! [`super::roles`]'s; what members hear of changes, [`super::members`]'s.
//!
//! **Always**: a command is checked against the group as this device knows it; everybody
//! else checks its commit again.

use prost::Message as _;
use waxwing_protocol::{
    address::Address,
    conversation::{ConversationSecrets, ConversationState, MemberAddresses},
    ids::{AccountId, GroupId, PostId},
    limits,
    pb::{CreateGroup, Envelope, Leaving, envelope},
    sealing::RejoinSecret,
    time::Span,
};

use super::{
    Conversation, Kind,
    groups::{self, Group, GroupState},
    history::{self, NewEvent},
    members, start,
    wishes::{self, Wish},
};
use crate::{
    api::{self, ConversationId, EventKind, GroupCreated, Notice, Problem, Response},
    commands::{self, Target},
    contact,
    engine::Stop,
    inbox::receive,
    mls, outbox,
    trust::welcomes,
    turn::{Fault, Turn, Waiting},
};

/// The devices of admins take turns at making a group anew, so far apart.
const NEXT_ADMIN: Span = Span::seconds(30);

/// A relay that says that it has no such group may be wrong for a while.
const DENIED_FOR: Span = Span::minutes(2);

/// Makes a group.
pub(crate) fn create(turn: &mut Turn<'_>, create: &api::CreateGroup) -> Result<Response, Stop> {
    if turn.live.account.is_none() {
        return Err(Stop::Refused(Problem::NotRegistered));
    }
    let name = checked_name(&create.name)?;
    let mut wanted = Vec::new();
    for member in &create.members {
        wanted.push(somebody_else(turn, member)?);
    }
    if wanted.len() >= limits::CONVERSATION_ACCOUNTS {
        let limit = limits::CONVERSATION_ACCOUNTS as u64;
        return Err(Stop::Refused(Problem::GroupFull { limit }));
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
    found(turn, id, addresses, Some(state))?;
    for address in wanted {
        wishes::add(turn.tx, turn.now, id, &Wish::Bring(address))?;
    }
    Ok(Response::GroupCreated(GroupCreated { conversation: id }))
}

/// Makes an MLS group with this device alone in it: of many where there is a state, of this
/// account's devices where there is none.
pub(crate) fn found(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    addresses: MemberAddresses,
    state: Option<ConversationState>,
) -> Result<(), Fault> {
    let generation = state.as_ref().map_or(0, |state| state.generation);
    // The first bears the conversation's id, so that no other has it.
    let id = match generation {
        1 => GroupId(*conversation.as_bytes()),
        _ => GroupId(turn.random()),
    };
    let account = match state {
        Some(_) => None,
        None => Some(turn.account()?.id()),
    };
    let rejoin_secret = RejoinSecret::generate(turn.rng);
    let secrets = ConversationSecrets {
        rejoin_secret: rejoin_secret.clone(),
        addresses,
        state,
    };
    let made = turn.with_mls(|provider, leaf| {
        let group = mls::Group::create(provider, leaf, id, &secrets)?;
        let standing = group.standing(provider, leaf)?;
        Ok::<_, mls::MlsError>((group, standing))
    })?;
    let (group, standing) = made?;
    let post = PostId(turn.random());
    let request = CreateGroup {
        group_id: id.to_bytes(),
        token: None,
        epoch: standing.epoch.0,
        keys: Some(start::epoch_keys(turn, id, &rejoin_secret, &standing)),
        rejoin_key: bytes::Bytes::copy_from_slice(rejoin_secret.signing_key().public().as_bytes()),
        fan_out_key: bytes::Bytes::copy_from_slice(&standing.keys.fan_out_key),
        post_id: post.to_bytes(),
        welcome: bytes::Bytes::new(),
    };
    groups::add(
        turn.tx,
        turn.now,
        &groups::New {
            id,
            conversation: Some(conversation),
            account,
            generation,
            state: GroupState::Creating,
            rejoin_secret: &rejoin_secret,
            request: Some(request.encode_to_vec()),
            commit_post: Some(post),
        },
    )?;
    groups::set_membership_due(turn.tx, id)?;
    members::follow(turn, conversation, None, &secrets, None)?;
    turn.remember(id, group);
    turn.live.due_groups.insert(id);
    turn.live.due_conversations.insert(conversation);
    Ok(())
}

/// Changes a group.
pub(crate) fn change(turn: &mut Turn<'_>, change: &api::ChangeGroup) -> Result<Response, Stop> {
    let conversation = group_meant(turn, &change.group)?;
    let (state, addresses) = standing(turn, &conversation)?;
    let own = turn.account()?.id();
    let is_admin = state.is_admin(own);
    let mut wanted = Vec::new();
    for member in &change.add {
        wanted.push(Wish::Bring(somebody_else(turn, member)?));
    }
    if !wanted.is_empty() && !is_admin && !state.everybody_adds {
        return Err(Stop::Refused(Problem::GroupNotAdmin));
    }
    if addresses.len() + wanted.len() > limits::CONVERSATION_ACCOUNTS {
        let limit = limits::CONVERSATION_ACCOUNTS as u64;
        return Err(Stop::Refused(Problem::GroupFull { limit }));
    }
    let brings = wanted.len();
    let member = |address: &String| -> Result<AccountId, Stop> {
        let parsed = commands::parse(address)?;
        addresses
            .iter()
            .find(|(_, of)| of.canonical() == parsed.canonical())
            .map(|(account, _)| account)
            .ok_or_else(|| {
                let address = parsed.display().to_owned();
                Stop::Refused(Problem::MemberUnknown { address })
            })
    };
    for address in &change.remove {
        let account = member(address)?;
        if account == own {
            return Err(Stop::Refused(Problem::MemberIsSelf));
        }
        wanted.push(Wish::TakeOut(account));
    }
    for address in &change.promote {
        wanted.push(Wish::Admin(member(address)?, true));
    }
    for address in &change.demote {
        let account = member(address)?;
        if state.admins.len() == 1 && state.is_admin(account) {
            return Err(Stop::Refused(Problem::GroupNeedsAdmin));
        }
        wanted.push(Wish::Admin(account, false));
    }
    if let Some(name) = &change.name {
        wanted.push(Wish::Name(checked_name(name)?));
    }
    if let Some(picture) = &change.picture {
        wanted.push(Wish::Picture(checked_picture(picture)?));
    }
    wanted.extend(change.everybody_adds.map(Wish::EverybodyAdds));
    wanted.extend(change.expires_after_s.map(Wish::ExpiresAfter));
    if wanted.len() > brings && !is_admin {
        return Err(Stop::Refused(Problem::GroupNotAdmin));
    }
    for wish in wanted {
        self::want(turn, &conversation, &wish)?;
    }
    Ok(Response::Done {})
}

/// Wants something of a group.
pub(crate) fn want(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    wish: &Wish,
) -> Result<(), Fault> {
    wishes::add(turn.tx, turn.now, conversation.id, wish)?;
    if let Some(group) = groups::for_sending(turn.tx, conversation.id)? {
        groups::set_membership_due(turn.tx, group.id)?;
        turn.live.due_groups.insert(group.id);
    }
    Ok(())
}

/// Leaves a group.
pub(crate) fn leave(turn: &mut Turn<'_>, leave: &api::Of) -> Result<Response, Stop> {
    let conversation = group_meant(turn, &leave.of)?;
    let (state, addresses) = standing(turn, &conversation)?;
    let own = turn.account()?.id();
    members::set_leaving(turn.tx, conversation.id, own)?;
    // Somebody else has to be an admin first.
    if state.is_admin(own) && state.admins.len() == 1 {
        let next = addresses.iter().map(|(account, _)| account);
        let Some(next) = next.filter(|account| *account != own).min() else {
            if let Some(group) = groups::for_sending(turn.tx, conversation.id)? {
                start::close(turn, &group)?;
            }
            end(turn, conversation.id, EventKind::MemberLeft, None)?;
            return Ok(Response::Done {});
        };
        want(turn, &conversation, &Wish::Admin(next, true))?;
    }
    if let Some(group) = groups::for_sending(turn.tx, conversation.id)? {
        groups::set_membership_due(turn.tx, group.id)?;
        turn.live.due_groups.insert(group.id);
    }
    Ok(Response::Done {})
}

/// Says that this account leaves, once nothing is wanted of the group before.
pub(crate) fn leave_if_wished(
    turn: &mut Turn<'_>,
    group: &Group,
    conversation: ConversationId,
) -> Result<(), Fault> {
    let own = turn.account()?.id();
    let wished = group.account.is_none() && members::leaving(turn.tx, conversation)?.contains(&own);
    if !wished || super::find(turn.tx, conversation)?.is_none_or(|found| found.gone) {
        return Ok(());
    }
    let envelope = Envelope {
        body: Some(envelope::Body::Leaving(Leaving {})),
        ..Envelope::default()
    };
    let bytes = envelope.encode_to_vec();
    outbox::add(
        turn.tx,
        turn.now,
        conversation,
        None,
        &bytes,
        Some(group.id),
    )?;
    super::set_gone(turn.tx, conversation, true)?;
    turn.live.due_conversations.insert(conversation);
    Ok(())
}

/// A member has said that they leave.
pub(crate) fn leaves(turn: &mut Turn<'_>, group: &Group, account: AccountId) -> Result<(), Fault> {
    let Some(conversation) = group.conversation.filter(|_| group.account.is_none()) else {
        return Ok(());
    };
    members::set_leaving(turn.tx, conversation, account)?;
    if account == turn.account()?.id() {
        // Another device of this account has said so.
        super::set_gone(turn.tx, conversation, true)?;
    }
    groups::set_membership_due(turn.tx, group.id)?;
    turn.live.due_groups.insert(group.id);
    receive::release(turn, group.id)
}

/// This device was taken out of a group; by whom, and whether the whole account was.
pub(crate) fn removed(
    turn: &mut Turn<'_>,
    group: &Group,
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
    super::set_gone(turn.tx, conversation, true)?;
    wishes::forget_all(turn.tx, conversation)?;
    turn.tx.execute(
        "DELETE FROM member WHERE conversation = ?1",
        [conversation.as_bytes()],
    )?;
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
        start::fail_waiting(turn, &found, &Problem::GroupNotMember)?;
    }
    Ok(())
}

/// A welcome to a group of many is in order: this device is a member.
pub(crate) fn taken_in(
    turn: &mut Turn<'_>,
    group: &Group,
    secrets: &ConversationSecrets,
) -> Result<(), Fault> {
    let Some(state) = &secrets.state else {
        return Ok(());
    };
    let conversation = ConversationId::from_bytes(state.conversation_id);
    let known = super::find(turn.tx, conversation)?;
    let anew = known.as_ref().is_some_and(|known| !known.gone) && state.generation > 1;
    super::start_group(turn.tx, turn.now, conversation, &state.name)?;
    groups::set_conversation(turn.tx, group.id, conversation)?;
    groups::set_state(turn.tx, group.id, GroupState::Active)?;
    groups::set_membership_due(turn.tx, group.id)?;
    members::follow(turn, conversation, None, secrets, None)?;
    if anew {
        let name = state.name.clone();
        let event =
            history::add_event(turn.tx, turn.now, conversation, EventKind::MadeAnew, &name)?;
        turn.notify(Notice::Event(event));
    }
    turn.live.due_groups.insert(group.id);
    turn.live.due_conversations.insert(conversation);
    welcomes::catch_up(turn, group)?;
    receive::release(turn, group.id)
}

/// A group cannot be followed any more, because of somebody, where that is known: an
/// admin's device is to make it anew.
pub(crate) fn broken(
    turn: &mut Turn<'_>,
    group: &Group,
    by: Option<AccountId>,
) -> Result<(), Fault> {
    let Some(conversation) = group.conversation.filter(|_| group.account.is_none()) else {
        return Ok(());
    };
    if let Some(by) = by {
        turn.tx.execute(
            "UPDATE member SET leaving = 2 WHERE conversation = ?1 AND account_id = ?2",
            (conversation.as_bytes(), by.0),
        )?;
    }
    make_anew_in_turn(turn, conversation)
}

/// A group of many has no generation that this device can follow: the next one is made when
/// it is this device's turn, if it ever is.
pub(crate) fn make_anew_in_turn(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
) -> Result<(), Fault> {
    let is_group = super::find(turn.tx, conversation)?
        .is_some_and(|found| found.kind == Kind::Group && !found.gone);
    if is_group && let Some(span) = turn_at_making_anew(turn, conversation)? {
        turn.wait(Waiting::Anew(conversation), span);
    }
    Ok(())
}

/// The relay says that it has no such group.
pub(crate) fn denied(turn: &mut Turn<'_>, group: &Group) -> Result<(), Fault> {
    let Some(conversation) = group.conversation.filter(|_| group.account.is_none()) else {
        return Ok(());
    };
    if let Some(span) = turn_at_making_anew(turn, conversation)? {
        let span = Span(span.0.saturating_add(DENIED_FOR.0));
        turn.wait(Waiting::Anew(conversation), span);
    }
    Ok(())
}

/// When it is this device's turn; never, where its account is no admin.
fn turn_at_making_anew(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
) -> Result<Option<Span>, Fault> {
    let own = turn.account()?.id();
    let members = members::all(turn.tx, conversation)?;
    let admins = members.iter().filter(|member| member.admin);
    let Some(rank) = admins
        .map(|member| member.account)
        .filter(|account| *account <= own)
        .max_by_key(|account| *account == own)
        .filter(|account| *account == own)
        .map(|_| {
            members
                .iter()
                .filter(|one| one.admin && one.account < own)
                .count() as u64
        })
    else {
        return Ok(None);
    };
    // Devices of one account do not make it at once either.
    let own_devices = turn.account()?.roster().devices();
    let device = turn.account()?.device();
    let place = own_devices.iter().filter(|one| one.id < device).count() as u64;
    let jitter = turn.rng.next_u64() % 5_000;
    let step = NEXT_ADMIN
        .0
        .saturating_mul(rank.saturating_add(place).min(20));
    Ok(Some(Span(step.saturating_add(jitter))))
}

/// It is this device's turn to make a conversation's group anew, if nobody has.
pub(crate) fn make_anew(turn: &mut Turn<'_>, id: ConversationId) -> Result<(), Fault> {
    let Some(conversation) = super::find(turn.tx, id)? else {
        return Ok(());
    };
    if conversation.gone || groups::for_sending(turn.tx, id)?.is_some() {
        return Ok(());
    }
    let own = turn.account()?.id();
    let members = members::all(turn.tx, id)?;
    let broke: Vec<AccountId> = {
        let mut statement = turn
            .tx
            .prepare("SELECT account_id FROM member WHERE conversation = ?1 AND leaving > 0")?;
        let rows = statement.query_map([id.as_bytes()], |row| row.get(0).map(AccountId))?;
        rows.collect::<Result<_, _>>()?
    };
    let stays = |member: &&members::Member| !broke.contains(&member.account);
    if !members
        .iter()
        .any(|member| member.account == own && member.admin)
    {
        return Ok(());
    }
    // As it was when it was last in order. Links are not: whoever broke it knows them.
    let before = last_state(turn, id)?;
    let state = ConversationState {
        conversation_id: *id.as_bytes(),
        generation: groups::generation(turn.tx, id)?.saturating_add(1),
        name: conversation.display.clone(),
        picture: before
            .as_ref()
            .map(|state| state.picture.clone())
            .unwrap_or_default(),
        admins: [own].into(),
        everybody_adds: before.as_ref().is_some_and(|state| state.everybody_adds),
        expires_after_s: before.as_ref().map_or(0, |state| state.expires_after_s),
        invitations: Vec::new(),
    };
    turn.tx.execute(
        "DELETE FROM member WHERE conversation = ?1",
        [id.as_bytes()],
    )?;
    wishes::forget_all(turn.tx, id)?;
    let addresses = MemberAddresses::new([(own, turn.account()?.address().clone())]);
    found(turn, id, addresses, Some(state))?;
    let name = conversation.display;
    let event = history::add_event(turn.tx, turn.now, id, EventKind::MadeAnew, &name)?;
    turn.notify(Notice::Event(event));
    for member in members.iter().filter(stays) {
        if member.account == own {
            continue;
        }
        if let Ok(address) = Address::parse(&member.address) {
            wishes::add(turn.tx, turn.now, id, &Wish::Bring(address))?;
        }
        if member.admin {
            let wish = Wish::Admin(member.account, true);
            wishes::add(turn.tx, turn.now, id, &wish)?;
        }
    }
    Ok(())
}

/// What the last group of a conversation was, as far as this device followed it.
fn last_state(turn: &mut Turn<'_>, id: ConversationId) -> Result<Option<ConversationState>, Fault> {
    let Some(group) = groups::newest(turn.tx, id)? else {
        return Ok(None);
    };
    // That group's state may be what cannot be read.
    let secrets = turn.attempt(|turn| turn.with_group(group, |group, _, _| group.secrets()))?;
    Ok(secrets
        .ok()
        .flatten()
        .and_then(Result::ok)
        .and_then(|secrets| secrets.state))
}

/// Somebody cannot be brought in: no account has the address, or there is no room.
pub(crate) fn not_brought(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    kept: &wishes::Kept,
) -> Result<(), Fault> {
    wishes::forget(turn.tx, kept.row)?;
    if let Wish::Bring(address) = &kept.wish {
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
pub(crate) fn group_meant(turn: &Turn<'_>, name: &str) -> Result<Conversation, Stop> {
    match commands::target(turn.tx, name)? {
        Target::Conversation(found) if found.kind == Kind::Group => Ok(found),
        _ => Err(Stop::Refused(Problem::GroupUnknown {
            name: name.trim().to_owned(),
        })),
    }
}

/// What a group is, as this device knows it.
pub(crate) fn standing(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
) -> Result<(ConversationState, MemberAddresses), Stop> {
    let not_member = || Stop::Refused(Problem::GroupNotMember);
    if turn.live.account.is_none() {
        return Err(Stop::Refused(Problem::NotRegistered));
    }
    if conversation.gone {
        return Err(not_member());
    }
    let group = groups::for_sending(turn.tx, conversation.id)?.ok_or_else(not_member)?;
    let secrets = turn.with_group(group.id, |group, _, _| group.secrets())?;
    let secrets = secrets.ok_or_else(not_member)?.map_err(Fault::from)?;
    let state = secrets.state.ok_or_else(not_member)?;
    Ok((state, secrets.addresses))
}

fn somebody_else(turn: &Turn<'_>, name: &str) -> Result<Address, Stop> {
    let address = commands::parse(name)?;
    if turn.account()?.address().canonical() == address.canonical() {
        return Err(Stop::Refused(Problem::MemberIsSelf));
    }
    Ok(address)
}

/// Without blanks around it.
fn checked_name(name: &str) -> Result<String, Stop> {
    let name = name.trim();
    let well = !name.is_empty()
        && name.len() <= limits::GROUP_NAME_BYTES
        && !name.chars().any(char::is_control);
    if well {
        Ok(name.to_owned())
    } else {
        Err(Stop::Refused(Problem::GroupNameInvalid))
    }
}

/// Base64 of an image that is small enough; empty for none.
pub(crate) fn checked_picture(picture: &str) -> Result<Vec<u8>, Stop> {
    data_encoding::BASE64
        .decode(picture.as_bytes())
        .ok()
        .filter(|bytes| bytes.len() <= limits::PICTURE_BYTES)
        .ok_or(Stop::Refused(Problem::PictureInvalid {
            limit: limits::PICTURE_BYTES as u64,
        }))
}
