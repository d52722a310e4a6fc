//! Generations: the MLS groups that follow one another in a group conversation.
//!
//! If a group cannot continue (a device broke its rules, somebody damaged it, or the relay
//! does not have it), an admin's device makes the conversation's next group, with everybody in
//! it except the devices that are to blame. Blame falls on devices, not on accounts, because a
//! device may be stolen. An account is left out if all its devices, or two of them, are to
//! blame.
//!
//! It is not always known who damaged a group: anybody who may post to it can post something
//! that no device can read. Then nobody is left out, and each next group is made after a
//! longer pause.
//!
//! **Elsewhere**: [`super::roles`] and [`crate::trust`] decide which commits break a rule;
//! [`crate::conversation::welcomes`] opens welcomes.
//!
//! **Always**: a new generation counts only if it comes from an account among the [`successors`] of
//! the generation that is known here. The time at which it will be made survives a restart.

use std::collections::BTreeSet;

use rusqlite::Transaction;
use waxwing_protocol::{
    address::Address,
    conversation::{ConversationSecrets, ConversationState, MemberAddresses},
    ids::{AccountId, DeviceId, GroupId},
    limits,
    time::{Span, Time},
};

use super::{
    Kind, acquaintance, ending, founding,
    group_state::StateKind,
    group_welcomers::Welcomer,
    groups::{self, GroupRecord},
    history, join_requests, leaves, lost_groups, members,
    pending_changes::{self, PendingChange},
};
use crate::{
    api::{ConversationId, EventKind, Notice},
    contact,
    mls::Member,
    store::StoreError,
    turn::{Fault, Postponed, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE blamed_device (            -- broke a group's rules
    conversation BLOB NOT NULL,
    device_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    leaf_key BLOB NOT NULL,
    PRIMARY KEY (conversation, device_id)
) WITHOUT ROWID;
CREATE TABLE group_break (              -- groups that ended, nobody knows by whose doing
    group_id BLOB PRIMARY KEY,
    conversation BLOB NOT NULL,
    at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX group_break_conversation ON group_break (conversation, at);
CREATE TABLE next_generation (          -- to be made by this device
    conversation BLOB PRIMARY KEY,
    due_at INTEGER NOT NULL
) WITHOUT ROWID;
";

/// The devices of heirs take turns at making the next group, so far apart.
const NEXT_HEIR: Span = Span::seconds(30);

/// A relay that says that it has no such group may be wrong for a while.
const DENIED_FOR: Span = Span::minutes(2);

/// An heir who was not an admin leaves admins' devices so much time to say otherwise.
const NOT_AN_ADMIN: Span = Span::minutes(1);

/// The roster of the blamed account is looked up first.
const LOOK_UP_FIRST: Span = Span::seconds(5);

/// The pause before a conversation's group is made again for the second time; four times as
/// long each time after.
const FIRST_PAUSE: Span = Span::minutes(1);

/// No pause is longer.
const LONGEST_PAUSE: Span = Span::days(1);

/// Breaks are counted for so long.
const BREAKS_COUNT_FOR: Span = Span::days(30);

/// A new generation's number is greater by this much at most.
pub(crate) const JUMP: u64 = 64;

/// No conversation has so many generations.
const GENERATIONS: u64 = 1 << 32;

/// A device that is to blame.
struct Blamed {
    device: DeviceId,
    account: AccountId,
    leaf_key: [u8; 32],
}

/// Whether a welcome's group may hold a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It may.
    Good,
    /// Not as far as is known here; what makes it good may be on its way.
    NotYet,
    /// It may not.
    Bad,
}

fn blamed(tx: &Transaction<'_>, conversation: ConversationId) -> Result<Vec<Blamed>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT device_id, account_id, leaf_key FROM blamed_device WHERE conversation = ?1",
    )?;
    let rows = statement.query_map([conversation.as_bytes()], |row| {
        Ok(Blamed {
            device: DeviceId(row.get(0)?),
            account: AccountId(row.get(1)?),
            leaf_key: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The devices that are no longer added to the conversation's groups.
pub(crate) fn blamed_devices(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<BTreeSet<DeviceId>, StoreError> {
    let blamed = blamed(tx, conversation)?.into_iter();
    Ok(blamed.map(|blamed| blamed.device).collect())
}

fn blame(turn: &mut Turn<'_>, conversation: ConversationId, device: &Member) -> Result<(), Fault> {
    turn.tx.execute(
        "INSERT INTO blamed_device (conversation, device_id, account_id, leaf_key)
         VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET account_id = ?3, leaf_key = ?4",
        (
            conversation.as_bytes(),
            device.device.0,
            device.account.0,
            device.leaf_key,
        ),
    )?;
    // It may have been revoked: then it is not its account's any more.
    if let Some(contact) = contact::of_account(turn.tx, device.account)? {
        turn.memory.lookups_mut().request_look_up(&contact.address);
    }
    Ok(())
}

/// The person adds the account, no matter what its devices did.
pub(crate) fn clear_blame(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    account: AccountId,
) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM blamed_device WHERE conversation = ?1 AND account_id = ?2",
        (conversation.as_bytes(), account.0),
    )?;
    Ok(())
}

/// The accounts that are out: all their devices are to blame, or two. Devices that an
/// account's roster does not have any more do not count against it.
fn excluded_accounts(
    turn: &Turn<'_>,
    conversation: ConversationId,
) -> Result<BTreeSet<AccountId>, Fault> {
    let own = turn.account()?.id();
    let blamed = blamed(turn.tx, conversation)?;
    let accounts: BTreeSet<AccountId> = blamed.iter().map(|blamed| blamed.account).collect();
    let mut out = BTreeSet::new();
    for account in accounts.into_iter().filter(|account| *account != own) {
        let Some(roster) = leaves::roster_of(turn, account)? else {
            out.insert(account);
            continue;
        };
        let is_theirs = |blamed: &&Blamed| {
            let device = roster.device(blamed.device);
            blamed.account == account && device.is_some_and(|it| it.leaf_key == blamed.leaf_key)
        };
        let guilty = blamed.iter().filter(is_theirs).count();
        if guilty >= 2 || (guilty > 0 && guilty >= roster.devices().len()) {
            out.insert(account);
        }
    }
    Ok(out)
}

/// The accounts that may make the conversation's next group: the admins of the one that is
/// known here who have not left and are not out; where none is left, the account of the first
/// leaf that is left.
fn successors(turn: &mut Turn<'_>, conversation: ConversationId) -> Result<Vec<AccountId>, Fault> {
    let out = excluded_accounts(turn, conversation)?;
    let left = members::leaving(turn.tx, conversation)?;
    let mut members = members::all(turn.tx, conversation)?;
    members.retain(|member| !out.contains(&member.account) && !left.contains(&member.account));
    let admins = members.iter().filter(|member| member.admin);
    let mut admins: Vec<AccountId> = admins.map(|member| member.account).collect();
    admins.sort_unstable();
    if !admins.is_empty() {
        return Ok(admins);
    }
    let Some(group) = groups::newest(turn.tx, conversation)? else {
        return Ok(Vec::new());
    };
    let leaves =
        turn.run_in_savepoint(|turn| turn.with_group(group, |group, _, _| group.members()))?;
    let leaves = leaves
        .ok()
        .flatten()
        .and_then(Result::ok)
        .unwrap_or_default();
    let is_left = |account: &AccountId| members.iter().any(|member| member.account == *account);
    Ok(leaves
        .into_iter()
        .map(|leaf| leaf.account)
        .find(is_left)
        .into_iter()
        .collect())
}

/// Whether this account may make the conversation's next group.
pub(crate) fn is_heir(turn: &mut Turn<'_>, conversation: ConversationId) -> Result<bool, Fault> {
    let own = turn.account()?.id();
    Ok(successors(turn, conversation)?.contains(&own))
}

/// Whether somebody's welcome may bring this device into a group of many.
pub(crate) fn check_welcome(
    turn: &mut Turn<'_>,
    by: Welcomer,
    group: GroupId,
    state: &ConversationState,
) -> Result<Claim, Fault> {
    let Welcomer { account, again, .. } = by;
    if contact::of_account(turn.tx, account)?.is_some_and(|contact| contact.blocked) {
        return Ok(Claim::Bad);
    }
    // The first group bears the conversation's id, which the relay gives to one group only.
    let is_first = state.generation == 1;
    if state.generation >= GENERATIONS || (is_first && group.0 != state.conversation_id) {
        return Ok(Claim::Bad);
    }
    let id = ConversationId::from_bytes(state.conversation_id);
    let Some(known) = super::find(turn.tx, id)? else {
        return Ok(Claim::Good);
    };
    if known.kind != Kind::Group {
        return Ok(Claim::Bad);
    }
    let newest = groups::generation(turn.tx, id)?;
    let next = newest..=newest.saturating_add(JUMP);
    // Where nothing is known of its groups, any is the first.
    if newest > 0 && !next.contains(&state.generation) {
        return Ok(Claim::Bad);
    }
    if account == turn.account()?.id() {
        return Ok(Claim::Good);
    }
    if known.left {
        return may_return(turn, id, account, again);
    }
    if blamed_devices(turn.tx, id)?.contains(&by.device) {
        return Ok(Claim::Bad);
    }
    if successors(turn, id)?.contains(&account) {
        return Ok(Claim::Good);
    }
    let is_member = members::all(turn.tx, id)?
        .iter()
        .any(|member| member.account == account);
    // This device's own place in a group that continues: the accounts that may do so are known
    // already.
    Ok(if is_member && !again {
        Claim::NotYet
    } else {
        Claim::Bad
    })
}

/// Whether somebody may bring this account back into a conversation that it is not in any
/// more: into the same group, or as a member of the last one that was known here, or because
/// this account has asked.
fn may_return(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    by: AccountId,
    again: bool,
) -> Result<Claim, Fault> {
    if again {
        return Ok(Claim::Good);
    }
    let has_asked = join_requests::has_asked(turn.tx, conversation)?;
    let last = last_secrets(turn, conversation)?;
    let was_member = last.is_none_or(|secrets| secrets.addresses.of(by).is_some());
    Ok(if has_asked || was_member {
        Claim::Good
    } else {
        Claim::Bad
    })
}

/// This device is in a group of the conversation: what came before it is not waited for.
pub(crate) fn handle_joined_generation(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    group: GroupId,
) -> Result<(), Fault> {
    unschedule(turn, conversation)?;
    for old in groups::older_open(turn.tx, conversation, group)? {
        if let Some(old) = groups::find(turn.tx, old)?
            && old.state.is_lost()
        {
            ending::close(turn, &old)?;
        }
    }
    // Those of the last one may be needed still.
    for old in groups::ended(turn.tx, conversation)?
        .into_iter()
        .skip(1)
        .take(2)
    {
        ending::forget_keys(turn, old)?;
    }
    Ok(())
}

/// A commit came in a group that goes on: a newer generation of somebody who is not an admin
/// of it any more was made by nobody's right.
pub(crate) fn handle_newer_generations(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    group: GroupId,
    after: &ConversationSecrets,
) -> Result<(), Fault> {
    let Some(state) = &after.state else {
        return Ok(());
    };
    let own = turn.account()?.id();
    let mut closed = false;
    for (newer, made_by) in groups::newer_open(turn.tx, conversation, group)? {
        if made_by == own || state.is_admin(made_by) {
            continue;
        }
        if let Some(newer) = groups::find(turn.tx, newer)? {
            ending::close(turn, &newer)?;
            closed = true;
        }
    }
    if closed {
        groups::set_membership_due(turn.tx, group)?;
        turn.memory.due_mut().groups.insert(group);
    }
    Ok(())
}

/// A group cannot be followed any more, because of a device, where that is known: an heir's
/// device is to make the next one.
pub(crate) fn handle_broken_group(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    by: Option<&Member>,
) -> Result<(), Fault> {
    // Perhaps it is in order for others, and they can bring this device back.
    lost_groups::handle_closed_group(turn, group)?;
    let Some(conversation) = group.conversation.filter(|_| group.account.is_none()) else {
        return Ok(());
    };
    match by {
        Some(device) => {
            blame(turn, conversation, device)?;
            let whose = address_of(turn, conversation, device.account)?;
            add_event(turn, conversation, EventKind::RulesBroken, &whose)?;
        }
        None => handle_disturbed_group(turn, conversation, group.id)?,
    }
    // Somebody may have been faster.
    let checking = groups::in_state(turn.tx, StateKind::Checking)?;
    let checking = checking.into_iter().map(|group| group.id);
    turn.memory.due_mut().groups.extend(checking);
    schedule(turn, conversation, LOOK_UP_FIRST)
}

/// Somebody has spoilt a group, nobody knows who. Says so once.
pub(crate) fn handle_disturbed_group(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    group: GroupId,
) -> Result<(), Fault> {
    if count_break(turn, conversation, group)? {
        add_event(turn, conversation, EventKind::Disturbed, "")?;
    }
    Ok(())
}

/// A group of many has no generation that this device can follow: it makes the next one when it
/// is its turn, if it may.
pub(crate) fn schedule_next_generation(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
) -> Result<(), Fault> {
    let found = super::find(turn.tx, conversation)?;
    if found.is_some_and(|found| found.kind == Kind::Group && !found.left) {
        schedule(turn, conversation, Span(0))?;
    }
    Ok(())
}

/// The relay says that it has no such group.
pub(crate) fn handle_unknown_group(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    let Some(conversation) = group.conversation.filter(|_| group.account.is_none()) else {
        return Ok(());
    };
    count_break(turn, conversation, group.id)?;
    schedule(turn, conversation, DENIED_FOR)
}

fn add_event(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    event: EventKind,
    address: &str,
) -> Result<(), Fault> {
    let event = history::add_event(turn.tx, turn.now, conversation, event, address)?;
    turn.notify(Notice::Event(event));
    Ok(())
}

/// As this person knows the account.
fn address_of(
    turn: &Turn<'_>,
    conversation: ConversationId,
    account: AccountId,
) -> Result<String, Fault> {
    if let Some(contact) = contact::of_account(turn.tx, account)? {
        return Ok(contact.display);
    }
    let mut members = members::all(turn.tx, conversation)?.into_iter();
    let member = members.find(|one| one.account == account);
    Ok(member.map(|member| member.address).unwrap_or_default())
}

/// `false` where it was counted before.
fn count_break(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    group: GroupId,
) -> Result<bool, StoreError> {
    let counted = turn.tx.execute(
        "INSERT INTO group_break (group_id, conversation, at) VALUES (?1, ?2, ?3)
         ON CONFLICT DO NOTHING",
        (group.0, conversation.as_bytes(), turn.now.0.cast_signed()),
    )?;
    Ok(counted > 0)
}

fn count_recent_breaks(
    tx: &Transaction<'_>,
    now: Time,
    of: ConversationId,
) -> Result<u32, StoreError> {
    let since = now.0.saturating_sub(BREAKS_COUNT_FOR.0);
    Ok(tx
        .prepare_cached("SELECT count(*) FROM group_break WHERE conversation = ?1 AND at >= ?2")?
        .query_row((of.as_bytes(), since.cast_signed()), |row| row.get(0))?)
}

/// How long is waited before a group is made again after so many breaks.
fn pause(breaks: u32) -> Span {
    let Some(more) = breaks.checked_sub(2) else {
        return Span(0);
    };
    let times = 4_u64.saturating_pow(more);
    Span(FIRST_PAUSE.0.saturating_mul(times).min(LONGEST_PAUSE.0))
}

/// Has the next group made by this device, if it may, when it is its turn.
fn schedule(turn: &mut Turn<'_>, conversation: ConversationId, after: Span) -> Result<(), Fault> {
    let Some(turns) = delay_until_own_turn(turn, conversation)? else {
        return Ok(());
    };
    let pause = pause(count_recent_breaks(turn.tx, turn.now, conversation)?);
    let span = Span(turns.0.saturating_add(after.0).saturating_add(pause.0));
    let due = turn.now.after(span);
    turn.tx.execute(
        "INSERT INTO next_generation (conversation, due_at) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET due_at = ?2",
        (conversation.as_bytes(), due.0.cast_signed()),
    )?;
    turn.postpone(Postponed::NextGeneration(conversation), span);
    Ok(())
}

fn unschedule(turn: &mut Turn<'_>, conversation: ConversationId) -> Result<(), StoreError> {
    turn.tx.execute(
        "DELETE FROM next_generation WHERE conversation = ?1",
        [conversation.as_bytes()],
    )?;
    turn.memory
        .postponed
        .remove(&Postponed::NextGeneration(conversation));
    Ok(())
}

/// What the store has to be made is waited for again.
pub(crate) fn reschedule(turn: &mut Turn<'_>) -> Result<(), StoreError> {
    let due: Vec<(ConversationId, Time)> = {
        let mut statement = turn
            .tx
            .prepare_cached("SELECT conversation, due_at FROM next_generation")?;
        let rows = statement.query_map([], |row| {
            let at: i64 = row.get(1)?;
            let conversation = ConversationId::from_bytes(row.get(0)?);
            Ok((conversation, Time(at.cast_unsigned())))
        })?;
        rows.collect::<Result<_, _>>()?
    };
    for (conversation, at) in due {
        let waiting = Postponed::NextGeneration(conversation);
        turn.memory.postponed.entry(waiting).or_insert(at);
    }
    Ok(())
}

/// When it is this device's turn; never, where its account is not an heir.
fn delay_until_own_turn(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
) -> Result<Option<Span>, Fault> {
    let own = turn.account()?.id();
    let heirs = successors(turn, conversation)?;
    let Some(rank) = heirs.iter().position(|heir| *heir == own) else {
        return Ok(None);
    };
    // Devices of one account do not make it at once either.
    let own_devices = turn.account()?.roster().devices();
    let device = turn.account()?.device();
    let place = own_devices.iter().filter(|one| one.id < device).count();
    let steps = rank.saturating_add(place).min(20) as u64;
    let is_admin = members::all(turn.tx, conversation)?
        .iter()
        .any(|member| member.account == own && member.admin);
    let later = if is_admin { Span(0) } else { NOT_AN_ADMIN };
    let jitter = turn.rng.next_u64() % 5_000;
    let span = NEXT_HEIR.0.saturating_mul(steps).saturating_add(jitter);
    Ok(Some(Span(span.saturating_add(later.0))))
}

/// It is this device's turn to make a conversation's next group, if nobody has.
pub(crate) fn make_next(turn: &mut Turn<'_>, id: ConversationId) -> Result<(), Fault> {
    unschedule(turn, id)?;
    if turn.memory.account.is_none() || turn.memory.is_revoked() {
        return Ok(());
    }
    let Some(conversation) = super::find(turn.tx, id)? else {
        return Ok(());
    };
    if conversation.left
        || groups::for_sending(turn.tx, id)?.is_some()
        || acquaintance::is_silent(turn, &conversation)?
    {
        return Ok(());
    }
    let generation = groups::generation(turn.tx, id)?.saturating_add(1);
    if generation >= GENERATIONS || !is_heir(turn, id)? {
        return Ok(());
    }
    let own = turn.account()?.id();
    let (out, left) = (excluded_accounts(turn, id)?, members::leaving(turn.tx, id)?);
    // The person's pending changes still apply; a member who is to be removed is not added.
    let mut removed = BTreeSet::new();
    for kept in pending_changes::of_conversation(turn.tx, id)? {
        if let PendingChange::Remove(account) = kept.change {
            removed.insert(account);
        }
    }
    let mut stay = members::all(turn.tx, id)?;
    stay.retain(|member| {
        let goes = [&out, &left, &removed]
            .iter()
            .any(|accounts| accounts.contains(&member.account));
        member.account != own && !goes
    });
    // As it was when it could last be followed. Links are not: whoever broke it knows them.
    let before = last_secrets(turn, id)?.and_then(|secrets| secrets.state);
    let name = match &before {
        Some(state) => state.name.clone(),
        None => conversation.display.clone(),
    };
    let state = ConversationState {
        conversation_id: *id.as_bytes(),
        generation,
        name,
        picture: before
            .as_ref()
            .map(|state| state.picture.clone())
            .unwrap_or_default(),
        admins: [own].into(),
        everybody_adds: before.as_ref().is_some_and(|state| state.everybody_adds),
        expires_after_s: before.as_ref().map_or(0, |state| state.expires_after_s),
        invitations: Vec::new(),
    };
    if state.name.is_empty() || state.name.len() > limits::GROUP_NAME_BYTES {
        return Ok(());
    }
    members::forget_all(turn.tx, id)?;
    let addresses = MemberAddresses::new([(own, turn.account()?.address().clone())]);
    founding::found(turn, id, addresses, Some(state))?;
    let name = conversation.display;
    add_event(turn, id, EventKind::MadeAnew, &name)?;
    for member in stay {
        if let Ok(address) = Address::parse(&member.address) {
            let wish = PendingChange::Add(address, Some(member.account));
            pending_changes::add(turn.tx, turn.now, id, &wish)?;
        }
        if member.admin {
            let wish = PendingChange::Admin(member.account, true);
            pending_changes::add(turn.tx, turn.now, id, &wish)?;
        }
    }
    Ok(())
}

/// What the members of a conversation's last group knew, as far as this device followed it.
pub(crate) fn last_secrets(
    turn: &mut Turn<'_>,
    id: ConversationId,
) -> Result<Option<ConversationSecrets>, Fault> {
    let Some(group) = groups::newest(turn.tx, id)? else {
        return Ok(None);
    };
    // That group's state may be what cannot be read.
    let secrets =
        turn.run_in_savepoint(|turn| turn.with_group(group, |group, _, _| group.secrets()))?;
    Ok(secrets.ok().flatten().and_then(Result::ok))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_day() {
        let minutes = |breaks| pause(breaks).0 / 60_000;
        let pauses: Vec<u64> = (0..9).map(minutes).collect();
        assert_eq!(pauses, [0, 0, 1, 4, 16, 64, 256, 1_024, 1_440]);
        assert_eq!(minutes(u32::MAX), 1_440);
    }
}
