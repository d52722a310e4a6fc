//! Being re-added: a device that cannot rejoin a group by itself asks another device.
//!
//! This happens when a welcome was lost (posts arrive from an unknown group), when the group's
//! rejoin secret was renewed while the device had lost the group (every commit that adds or
//! removes a leaf renews it), when somebody removed this device and did not add it again, and
//! when only this device judged that a commit broke a rule. It asks the account's other
//! devices in the notes, and an admin or the other side in their conversation, in turn, less
//! and less often and not for ever. A device that is asked removes the device's old leaf and
//! adds it with a new key package, in one commit, which everybody judges like every other
//! commit.
//!
//! A conversation of two, or the notes, does not wait for this: its group is closed, and the
//! next message, beginning with the request, creates another. If no admin can be asked,
//! because this account is the only one, its device sets up the group again.
//!
//! **Elsewhere**: [`super::rejoin`] lets a device rejoin by itself; [`super::membership`]
//! makes the commit.
//!
//! **Always**: only a device that is already in the group, and that its account's roster
//! admits, is re-added; in a group conversation only by an admin or by its own account. A
//! device asks at most [`ASKS_MAX`] times for one group.

use prost::Message as _;
use waxwing_protocol::{
    address::Address,
    ids::{AccountId, GroupId},
    pb::{Envelope, TakeMeIn, envelope},
    time::{Span, Time},
};

use super::{
    Kind, ending, generations,
    group_state::GroupState,
    groups::{self, GroupRecord},
    leaves, lost_groups, members, notes, re_add_queue,
};
use crate::{
    api::{ConversationId, Notice, Problem, Warning},
    contact,
    containment::ErrorOwner,
    mls::{Member, MlsError},
    outbox::{self, progress},
    turn::{Fault, Postponed, Turn},
};

/// A device that did not answer is asked again after this long, then after twice as long, and so
/// on.
const AGAIN: Span = Span::minutes(5);

/// A group is asked for so often: for about a day.
const ASKS_MAX: u32 = 9;

/// An admin who has asked this often without success sets up the group again.
const ASKS_OF_ADMIN: u32 = 4;

/// After all requests were in vain, the relay is asked again this often.
const GIVEN_UP: Span = Span::hours(24);

/// Groups in one request.
const AT_ONCE: u32 = 64;

/// Asks the account's other devices about groups whose welcomes have not come.
fn ask_own_devices(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let late = Time(turn.now.0.saturating_sub(lost_groups::WELCOME_WITHIN.0));
    let groups = lost_groups::not_asked_for(turn.tx, late, AT_ONCE)?;
    if groups.is_empty() || turn.account()?.roster().devices().len() < 2 {
        return Ok(());
    }
    for group in &groups {
        lost_groups::set_asked(turn.tx, *group)?;
    }
    let notes = notes::conversation(turn)?.id;
    send_request(turn, notes, &groups)
}

/// This device has lost a group, and the secret that it has of it is not the group's any
/// more: asks somebody who is in it.
pub(crate) fn request_re_add(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    lost_groups::schedule(turn.tx, turn.now, group.id, turn.now)?;
    let own = turn.account()?;
    let others = own.roster().devices().len() > 1;
    let (asks, _) = lost_groups::asks(turn.tx, group.id)?;
    let in_vain = asks > 0;
    if let Some(account) = group.account
        && (!others || in_vain || account == own.id())
    {
        // Nothing waits for it any more: the next thing that is said makes another group.
        ending::close(turn, group)?;
    }
    ask_next(turn, group)
}

/// Asks for the groups that are due.
pub(crate) fn send_due_requests(turn: &mut Turn<'_>) -> Result<(), Fault> {
    ask_own_devices(turn)?;
    let due = lost_groups::due(turn.tx, turn.now, AT_ONCE)?;
    for id in due {
        let Some(group) = groups::find(turn.tx, id)? else {
            continue;
        };
        if is_replaced(turn, &group)? {
            lost_groups::clear_request(turn.tx, id)?;
        } else if group.state.is_lost() {
            // First it tries by itself.
            turn.memory.due_mut().groups.insert(id);
        } else {
            ask_next(turn, &group)?;
        }
    }
    schedule_next(turn)
}

/// Wakes this device up when the next group is to be asked for.
pub(crate) fn schedule_next(turn: &mut Turn<'_>) -> Result<(), Fault> {
    if let Some(next) = lost_groups::next_due(turn.tx)? {
        let soonest = turn.now.after(Span::seconds(1));
        lost_groups::wake(turn, next.max(soonest));
    }
    Ok(())
}

/// Whether a conversation of many goes on in another group, or not at all.
fn is_replaced(turn: &Turn<'_>, group: &GroupRecord) -> Result<bool, Fault> {
    let Some(conversation) = group.conversation.filter(|_| group.account.is_none()) else {
        return Ok(false);
    };
    let gone = super::find(turn.tx, conversation)?.is_none_or(|found| found.left);
    let other = groups::for_sending(turn.tx, conversation)?;
    Ok(gone || other.is_some_and(|other| other.id != group.id))
}

/// Whom to ask.
#[derive(Clone, Copy)]
enum Whom {
    OwnDevices,
    Account(AccountId),
}

/// Asks the next of those who can bring this device in.
fn ask_next(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    let (asks, due) = lost_groups::asks(turn.tx, group.id)?;
    if due > turn.now {
        turn.postpone(Postponed::Group(group.id), due.since(turn.now));
        return Ok(());
    }
    if asks >= ASKS_MAX {
        turn.postpone(Postponed::Group(group.id), GIVEN_UP);
        lost_groups::give_up(turn.tx, group.id)?;
        return warn_given_up(turn, group);
    }
    let span = Span(AGAIN.0 << asks.min(ASKS_MAX));
    let next = turn.now.after(span);
    lost_groups::count_ask(turn.tx, group.id, next)?;
    turn.postpone(Postponed::Group(group.id), span);
    lost_groups::wake(turn, next);
    let (whom, is_admin) = candidates(turn, group)?;
    let place = (asks as usize).checked_rem(whom.len());
    match place.and_then(|place| whom.get(place)) {
        _ if is_admin && (whom.is_empty() || asks >= ASKS_OF_ADMIN) => {
            if group.state != GroupState::Closed {
                ending::close(turn, group)?;
            }
            generations::handle_broken_group(turn, group, None)
        }
        Some(Whom::OwnDevices) => {
            let notes = notes::conversation(turn)?.id;
            send_request(turn, notes, &[group.id])
        }
        Some(Whom::Account(account)) => match direct_with(turn, *account)? {
            Some(direct) => send_request(turn, direct, &[group.id]),
            None => Ok(()),
        },
        None => Ok(()),
    }
}

/// Those who can bring this device into a group, and whether its account is an admin of it.
fn candidates(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(Vec<Whom>, bool), Fault> {
    let own = turn.account()?.id();
    let mut whom = Vec::new();
    if turn.account()?.roster().devices().len() > 1 {
        whom.push(Whom::OwnDevices);
    }
    if let Some(account) = group.account {
        whom.extend((account != own).then_some(Whom::Account(account)));
        return Ok((whom, false));
    }
    let Some(conversation) = group.conversation else {
        return Ok((whom, false));
    };
    let mut admins: Vec<AccountId> = members::all(turn.tx, conversation)?
        .into_iter()
        .filter(|member| member.admin)
        .map(|member| member.account)
        .collect();
    let is_admin = admins.contains(&own);
    admins.retain(|account| *account != own);
    let mut there = Vec::with_capacity(admins.len());
    for account in admins {
        if contact::of_account(turn.tx, account)?.is_some_and(|contact| !contact.blocked) {
            there.push(account);
        }
    }
    let mut admins = there;
    // Not all devices ask the same one first.
    let first = turn.account()?.device().0.first().copied().unwrap_or(0);
    if let Some(first) = usize::from(first).checked_rem(admins.len()) {
        admins.rotate_left(first);
    }
    whom.extend(admins.into_iter().map(Whom::Account));
    Ok((whom, is_admin))
}

/// The conversation with an account that is known.
fn direct_with(turn: &mut Turn<'_>, account: AccountId) -> Result<Option<ConversationId>, Fault> {
    if let Some(direct) = super::with_account(turn.tx, account)? {
        return Ok(Some(direct.id));
    }
    let Some(contact) = contact::of_account(turn.tx, account)? else {
        return Ok(None);
    };
    let Ok(address) = Address::parse(&contact.display) else {
        return Ok(None);
    };
    let started = super::start(turn.tx, turn.now, turn.rng, &address, Some(account))?;
    Ok(Some(started.id))
}

/// Nobody has re-added this device to a group conversation; tells the person.
fn warn_given_up(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    let Some(conversation) = group.conversation.filter(|_| group.account.is_none()) else {
        return Ok(());
    };
    let Some(found) = super::find(turn.tx, conversation)? else {
        return Ok(());
    };
    let problem = Problem::GroupLost {
        name: found.display.clone(),
    };
    progress::tell_waiting(turn, &found, &problem)?;
    turn.notify(Notice::Warning(Warning {
        problem: problem.report(),
    }));
    Ok(())
}

fn send_request(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    groups: &[GroupId],
) -> Result<(), Fault> {
    let envelope = Envelope {
        sent_at_ms: turn.now.0,
        body: Some(envelope::Body::TakeMeIn(TakeMeIn {
            group_ids: groups.iter().map(|group| group.to_bytes()).collect(),
        })),
        ..Envelope::default()
    };
    let bytes = envelope.encode_to_vec();
    // For a conversation that the person takes part in, of somebody whom they may not know.
    outbox::add_asked(turn.tx, turn.now, conversation, &bytes, None)?;
    turn.memory.due_mut().conversations.insert(conversation);
    Ok(())
}

/// A device asks to be taken in again.
pub(crate) fn handle_re_add_request(
    turn: &mut Turn<'_>,
    channel: &GroupRecord,
    device: &Member,
    request: &TakeMeIn,
) -> Result<(), Fault> {
    let conversation = match channel.conversation {
        Some(id) => super::find(turn.tx, id)?,
        None => None,
    };
    if conversation.is_none_or(|found| found.kind == Kind::Group) {
        return Ok(());
    }
    for id in request.group_ids.iter().take(AT_ONCE as usize) {
        let Ok(id) = GroupId::try_from(id) else {
            continue;
        };
        // Of another group than the one that it was asked in.
        turn.run_contained(ErrorOwner::Group(id), |turn| queue_re_add(turn, id, device))?;
    }
    Ok(())
}

fn queue_re_add(turn: &mut Turn<'_>, id: GroupId, device: &Member) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    if !group.state.is_active() {
        return Ok(());
    }
    let own = turn.account()?.id();
    let known = turn.with_group(id, |group, _, _| {
        Ok::<_, MlsError>((group.members()?, group.secrets()?))
    })?;
    let Some((members, secrets)) = known.transpose()? else {
        return Ok(());
    };
    let same = |member: &Member| member.device == device.device && member.account == device.account;
    if !members.iter().any(same) {
        // One of their devices that this one does not know, perhaps.
        if group.account.is_some() || secrets.addresses.of(device.account).is_some() {
            look_at(turn, &group, device)?;
        }
        return Ok(());
    }
    if !re_add_queue::may_re_add(&secrets, own, device.account)
        || !re_add_queue::is_re_add_allowed_now(turn, id, device.device)
    {
        return Ok(());
    }
    re_add_queue::add(turn.tx, id, device.device)?;
    groups::set_membership_due(turn.tx, id)?;
    turn.memory.due_mut().groups.insert(id);
    Ok(())
}

/// A member's device is not in the group: if its account has it, it is added.
fn look_at(turn: &mut Turn<'_>, group: &GroupRecord, device: &Member) -> Result<(), Fault> {
    leaves::look_into(turn, std::slice::from_ref(device))?;
    if let Some(conversation) = group.conversation {
        members::set_due(turn.tx, conversation, device.account)?;
    }
    groups::set_membership_due(turn.tx, group.id)?;
    turn.memory.due_mut().groups.insert(group.id);
    Ok(())
}
