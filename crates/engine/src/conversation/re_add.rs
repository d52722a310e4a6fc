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

use std::collections::HashMap;

use prost::Message as _;
use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{
    address::Address,
    conversation::{ConversationSecrets, ConversationState},
    ids::{AccountId, DeviceId, GroupId},
    pb::{Envelope, TakeMeIn, envelope},
    time::{Span, Time},
};

use super::{
    Kind, epochs, generations,
    groups::{self, GroupRecord, GroupState},
    leaves, members, notes, start,
};
use crate::{
    api::{ConversationId, Notice, Problem, Warning},
    contact,
    containment::ErrorOwner,
    memory::Remembered,
    mls::{Member, MlsError},
    outbox,
    store::StoreError,
    turn::{Fault, Postponed, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE unknown_group (
    group_id BLOB PRIMARY KEY,
    seen_at INTEGER NOT NULL,
    asked INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE again (
    group_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    PRIMARY KEY (group_id, device_id)
) WITHOUT ROWID;
";

/// How often a group was asked for, and when it is asked for again.
pub(crate) const ASKS: &str = "
ALTER TABLE unknown_group ADD COLUMN asks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE unknown_group ADD COLUMN due_at INTEGER;
-- What the group was before a welcome to it came.
ALTER TABLE unknown_group ADD COLUMN conversation BLOB;
ALTER TABLE unknown_group ADD COLUMN account_id BLOB;
ALTER TABLE unknown_group ADD COLUMN generation INTEGER;
ALTER TABLE unknown_group ADD COLUMN rejoin_secret BLOB;
";

/// A group's welcome may come so long after its first post.
const WELCOME_WITHIN: Span = Span::seconds(60);

/// A device that did not answer is asked again after this long, then after twice as long, and so
/// on.
const AGAIN: Span = Span::minutes(5);

/// A group is asked for so often: for about a day.
const ASKS_MAX: u32 = 9;

/// An admin who has asked this often without success sets up the group again.
const ASKS_OF_ADMIN: u32 = 4;

/// An admin may set up a group again that could not continue within this time; if not, it is asked
/// for.
const MADE_ANEW_WITHIN: Span = Span::minutes(10);

/// After all requests were in vain, the relay is asked again this often.
const GIVEN_UP: Span = Span::hours(24);

/// A device that was taken in again is not, for so long; shorter than [`AGAIN`].
const NOT_AGAIN: Span = Span::minutes(4);

/// Devices of which that is remembered.
const REMEMBERED_MAX: usize = 4_096;

/// Groups that are not known and are remembered.
const UNKNOWN_MAX: i64 = 256;

/// Groups in one request.
const AT_ONCE: u32 = 64;

/// A post came of a group that this device does not know.
pub(crate) fn handle_post_of_unknown_group(
    turn: &mut Turn<'_>,
    group: GroupId,
) -> Result<(), Fault> {
    let noted = turn
        .tx
        .prepare_cached(
            "INSERT INTO unknown_group (group_id, seen_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute((group.0, turn.now.0.cast_signed()))?;
    // Anybody can make groups up: the oldest make room, and are noted again with their next
    // post. What this device has lost itself stays.
    turn.tx
        .prepare_cached(
            "DELETE FROM unknown_group WHERE group_id IN (
                 SELECT group_id FROM unknown_group
                 WHERE group_id NOT IN (SELECT group_id FROM conversation_group)
                 ORDER BY seen_at DESC, group_id LIMIT -1 OFFSET ?1)",
        )?
        .execute([UNKNOWN_MAX])?;
    if noted > 0 {
        wake(turn, turn.now.after(WELCOME_WITHIN));
    }
    Ok(())
}

/// Whether this device has asked to be taken into the group, so that it wants to hear what was
/// said before, too.
pub(crate) fn has_requested(tx: &Transaction<'_>, group: GroupId) -> Result<bool, StoreError> {
    let asked: Option<bool> = tx
        .prepare_cached("SELECT asked > 0 FROM unknown_group WHERE group_id = ?1")?
        .query_row([group.0], |row| row.get(0))
        .optional()?;
    Ok(asked.unwrap_or(false))
}

/// The device is in the group.
pub(crate) fn clear_request(tx: &Transaction<'_>, group: GroupId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM unknown_group WHERE group_id = ?1", [group.0])?;
    Ok(())
}

/// Asks the account's other devices about groups whose welcomes have not come.
fn ask_own_devices(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let late = turn.now.0.saturating_sub(WELCOME_WITHIN.0);
    let groups: Vec<GroupId> = {
        let mut statement = turn.tx.prepare_cached(
            "SELECT group_id FROM unknown_group WHERE seen_at <= ?1 AND NOT asked
               AND group_id NOT IN (SELECT group_id FROM conversation_group) LIMIT ?2",
        )?;
        let rows =
            statement.query_map((late.cast_signed(), AT_ONCE), |row| row.get(0).map(GroupId))?;
        rows.collect::<Result<_, _>>()?
    };
    if groups.is_empty() || turn.account()?.roster().devices().len() < 2 {
        return Ok(());
    }
    for group in &groups {
        turn.tx.execute(
            "UPDATE unknown_group SET asked = 1 WHERE group_id = ?1",
            [group.0],
        )?;
    }
    let notes = notes::conversation(turn)?.id;
    send_request(turn, notes, &groups)
}

/// This device has lost a group, and the secret that it has of it is not the group's any
/// more: asks somebody who is in it.
pub(crate) fn request_re_add(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    schedule_request(turn, group.id, turn.now)?;
    let own = turn.account()?;
    let others = own.roster().devices().len() > 1;
    let in_vain = turn
        .tx
        .prepare_cached("SELECT 1 FROM unknown_group WHERE group_id = ?1 AND asks > 0")?
        .exists([group.id.0])?;
    if let Some(account) = group.account
        && (!others || in_vain || account == own.id())
    {
        // Nothing waits for it any more: the next thing that is said makes another group.
        start::close(turn, group)?;
    }
    ask_next(turn, group)
}

/// Somebody has taken this device out of a group, though its account is a member: perhaps to
/// bring it in again, with a welcome that is on its way.
pub(crate) fn handle_own_removal(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    schedule_request(turn, group.id, turn.now)?;
    epochs::mark_lost(turn, group.id)?;
    turn.postpone(Postponed::Group(group.id), WELCOME_WITHIN);
    Ok(())
}

/// A device that is revoked now has brought this one into a group: others think that it is in.
/// Somebody else is to bring it in.
pub(crate) fn handle_revoked_welcomer(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
) -> Result<(), Fault> {
    let due = turn.now.after(WELCOME_WITHIN);
    schedule_request(turn, group.id, due)?;
    wake(turn, due);
    Ok(())
}

/// A group was closed because it could not be followed. If that was not so for others, they
/// can bring this device back.
pub(crate) fn handle_closed_group(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    let due = turn.now.after(MADE_ANEW_WITHIN);
    schedule_request(turn, group.id, due)?;
    wake(turn, due);
    Ok(())
}

/// A welcome to a group has come that this device had lost: what it knows of the group is
/// kept, in case the welcome is worth nothing.
pub(crate) fn keep_lost_group(turn: &Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    turn.tx.execute(
        "INSERT INTO unknown_group
             (group_id, seen_at, conversation, account_id, generation, rejoin_secret)
         SELECT group_id, ?2, conversation, account_id, generation, rejoin_secret
         FROM conversation_group WHERE group_id = ?1
         ON CONFLICT DO UPDATE SET conversation = excluded.conversation,
             account_id = excluded.account_id, generation = excluded.generation,
             rejoin_secret = excluded.rejoin_secret",
        (group.id.0, turn.now.0.cast_signed()),
    )?;
    Ok(())
}

/// That welcome was worth nothing: the group is lost as it was before.
pub(crate) fn restore_lost_group(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    let put_back = turn.tx.execute(
        "UPDATE conversation_group SET conversation = kept.conversation,
             account_id = kept.account_id, generation = kept.generation,
             rejoin_secret = kept.rejoin_secret, state = ?2
         FROM (SELECT * FROM unknown_group WHERE group_id = ?1) AS kept
         WHERE conversation_group.group_id = ?1 AND kept.rejoin_secret IS NOT NULL",
        (group.id.0, GroupState::Lost as u8),
    )?;
    if put_back > 0 {
        turn.postpone(Postponed::Group(group.id), WELCOME_WITHIN);
    }
    Ok(())
}

/// Notes that a group is to be asked for from this time on. When this device is in it, it
/// asks for what was said meanwhile: nothing else tells of those who had not spoken before.
fn schedule_request(turn: &Turn<'_>, group: GroupId, due: Time) -> Result<(), Fault> {
    turn.tx.execute(
        "INSERT INTO unknown_group (group_id, seen_at, asked, due_at) VALUES (?1, ?2, 1, ?3)
         ON CONFLICT DO UPDATE SET asked = 1, due_at = coalesce(due_at, ?3)",
        (group.0, turn.now.0.cast_signed(), due.0.cast_signed()),
    )?;
    Ok(())
}

/// Wakes this device up at a time to ask.
fn wake(turn: &mut Turn<'_>, at: Time) {
    let next = turn
        .volatile
        .postponed
        .entry(Postponed::ReAdd)
        .or_insert(at);
    *next = (*next).min(at);
}

/// Asks for the groups that are due.
pub(crate) fn send_due_requests(turn: &mut Turn<'_>) -> Result<(), Fault> {
    ask_own_devices(turn)?;
    let due: Vec<GroupId> = {
        let mut statement = turn.tx.prepare_cached(
            "SELECT u.group_id FROM unknown_group AS u JOIN conversation_group AS g
                 ON g.group_id = u.group_id
             WHERE u.asked AND u.due_at <= ?1 AND g.state IN (4, 5) LIMIT ?2",
        )?;
        let rows = statement.query_map((turn.now.0.cast_signed(), AT_ONCE), |row| {
            row.get(0).map(GroupId)
        })?;
        rows.collect::<Result<_, _>>()?
    };
    for id in due {
        let Some(group) = groups::find(turn.tx, id)? else {
            continue;
        };
        if is_replaced(turn, &group)? {
            clear_request(turn.tx, id)?;
        } else if group.state == GroupState::Lost {
            // First it tries by itself.
            turn.volatile.due_mut().groups.insert(id);
        } else {
            ask_next(turn, &group)?;
        }
    }
    schedule_next(turn)
}

/// Wakes this device up when the next group is to be asked for.
pub(crate) fn schedule_next(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let next: Option<i64> = turn
        .tx
        .prepare_cached(
            "SELECT min(u.due_at) FROM unknown_group AS u JOIN conversation_group AS g
                 ON g.group_id = u.group_id WHERE u.asked AND g.state = 5",
        )?
        .query_row([], |row| row.get(0))?;
    if let Some(next) = next {
        let soonest = turn.now.after(Span::seconds(1));
        wake(turn, Time(next.cast_unsigned()).max(soonest));
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
    let (asks, due): (u32, Option<i64>) = turn
        .tx
        .prepare_cached("SELECT asks, due_at FROM unknown_group WHERE group_id = ?1")?
        .query_row([group.id.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let due = Time(due.unwrap_or(0).cast_unsigned());
    if due > turn.now {
        turn.postpone(Postponed::Group(group.id), due.since(turn.now));
        return Ok(());
    }
    if asks >= ASKS_MAX {
        turn.postpone(Postponed::Group(group.id), GIVEN_UP);
        turn.tx.execute(
            "UPDATE unknown_group SET due_at = NULL WHERE group_id = ?1",
            [group.id.0],
        )?;
        return warn_given_up(turn, group);
    }
    let span = Span(AGAIN.0 << asks.min(ASKS_MAX));
    let next = turn.now.after(span);
    turn.tx.execute(
        "UPDATE unknown_group SET asks = asks + 1, due_at = ?2 WHERE group_id = ?1",
        (group.id.0, next.0.cast_signed()),
    )?;
    turn.postpone(Postponed::Group(group.id), span);
    wake(turn, next);
    let (whom, is_admin) = candidates(turn, group)?;
    let place = (asks as usize).checked_rem(whom.len());
    match place.and_then(|place| whom.get(place)) {
        _ if is_admin && (whom.is_empty() || asks >= ASKS_OF_ADMIN) => {
            if group.state != GroupState::Closed {
                start::close(turn, group)?;
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
    start::tell_waiting(turn, &found, &problem)?;
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
    turn.volatile.due_mut().conversations.insert(conversation);
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
    if group.state != GroupState::Active {
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
    if !may_re_add(&secrets, own, device.account) || !is_re_add_allowed_now(turn, id, device.device)
    {
        return Ok(());
    }
    turn.tx.execute(
        "INSERT INTO again (group_id, device_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        (id.0, device.device.0),
    )?;
    groups::set_membership_due(turn.tx, id)?;
    turn.volatile.due_mut().groups.insert(id);
    Ok(())
}

/// A member's device is not in the group: if its account has it, it is added.
fn look_at(turn: &mut Turn<'_>, group: &GroupRecord, device: &Member) -> Result<(), Fault> {
    leaves::look_into(turn, std::slice::from_ref(device))?;
    if let Some(conversation) = group.conversation {
        members::set_due(turn.tx, conversation, device.account)?;
    }
    groups::set_membership_due(turn.tx, group.id)?;
    turn.volatile.due_mut().groups.insert(group.id);
    Ok(())
}

/// Whether this account's devices may take a device of that account out and bring it in again.
pub(crate) fn may_re_add(
    secrets: &ConversationSecrets,
    own: AccountId,
    account: AccountId,
) -> bool {
    let is_admin = |state: &ConversationState| state.is_admin(own);
    account == own || secrets.state.as_ref().is_none_or(is_admin)
}

/// Whether a device is to be taken in again now: each time costs a token and an epoch.
fn is_re_add_allowed_now(turn: &mut Turn<'_>, group: GroupId, device: DeviceId) -> bool {
    let now = turn.now;
    let taken = &mut turn.volatile.states.get_mut::<RecentReAdds>().0;
    if taken.len() >= REMEMBERED_MAX {
        taken.retain(|_, at| now.since(*at) < NOT_AGAIN);
    }
    let recently = taken
        .get(&(group, device))
        .is_some_and(|at| now.since(*at) < NOT_AGAIN);
    if recently || taken.len() >= REMEMBERED_MAX {
        return false;
    }
    taken.insert((group, device), now);
    true
}

/// The devices that are to be taken into a group again.
pub(crate) fn devices_to_re_add(
    tx: &Transaction<'_>,
    group: GroupId,
) -> Result<Vec<DeviceId>, StoreError> {
    let mut statement = tx.prepare_cached("SELECT device_id FROM again WHERE group_id = ?1")?;
    let rows = statement.query_map([group.0], |row| row.get(0).map(DeviceId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The device was taken in, or is in the group no more.
pub(crate) fn forget_re_add(
    tx: &Transaction<'_>,
    group: GroupId,
    device: DeviceId,
) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM again WHERE group_id = ?1 AND device_id = ?2",
        (group.0, device.0),
    )?;
    Ok(())
}

/// Whether a leaf goes and comes again with the same commit.
pub(crate) fn is_re_add(removed: &Member, added: &[Member]) -> bool {
    let same =
        |member: &Member| (member.account, member.device) == (removed.account, removed.device);
    added.iter().any(same)
}

/// When a device was last re-added to a group.
#[derive(Default)]
struct RecentReAdds(HashMap<(GroupId, DeviceId), Time>);

impl Remembered for RecentReAdds {
    const OUTLASTS_ERRORS: bool = true;
}
