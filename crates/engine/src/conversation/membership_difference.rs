//! How a group differs from what the rosters, and the person, say.
//!
//! Everybody in a group could add a device, so each missing device has a time at which it is
//! this device's turn to add it; so have members who leave.
//!
//! **Elsewhere**: [`super::membership`] makes the changes.
//!
//! **Always**: nothing is changed here, except that wishes that are fulfilled or not allowed
//! are forgotten.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_protocol::{
    address::Address,
    conversation::ConversationSecrets,
    ids::{AccountId, DeviceId, Epoch},
    limits,
    time::Span,
};

use super::{
    generations, group_commands,
    groups::GroupRecord,
    leaves, members,
    pending_changes::{self, PendingChange},
    re_add_queue,
};
use crate::{
    api::ConversationId,
    clock::Passed as _,
    contact,
    mls::{self, Member},
    trust::{self, lookups::LookUpOutcome},
    turn::{Fault, Turn},
};

/// The next device of an account does what the one before it has not done, after this long.
const NEXT_DEVICE: Span = Span::seconds(20);

/// The devices that take turns; the rest take the last turn.
const TURNS: u64 = 6;

/// The other side adds its own devices within this time, or it is done for them.
const THEIR_TURN: Span = Span::seconds(60);

/// And within this time in a new group of two people: what is said there waits for them.
const THEIR_FIRST_TURN: Span = Span::seconds(3);

/// A group as it is.
pub(super) struct GroupSnapshot {
    pub members: Vec<Member>,
    pub epoch: Epoch,
    pub secrets: ConversationSecrets,
}

/// Whether nobody has come into a group yet, or out of it, since it was made.
pub(super) const fn is_new(standing: &GroupSnapshot) -> bool {
    standing.epoch.0 <= 1
}

/// Devices of one account that a group lacks.
pub(super) struct Lacking {
    pub account: AccountId,
    /// Canonical form.
    pub address: String,
    /// None: all that there are.
    pub devices: Vec<DeviceId>,
    /// When it is this device's turn to add them, counted from when it was seen.
    pub turn: Span,
}

/// What a group lacks, and what it has too much.
pub(super) struct Difference {
    pub standing: GroupSnapshot,
    /// Leaf keys that are to go at once.
    pub gone: Vec<[u8; 32]>,
    /// Those who leave, and when it is this device's turn to take them out.
    pub leaving: Option<(BTreeSet<AccountId>, Span)>,
    pub lacking: Vec<Lacking>,
    /// Accounts that are members with these.
    pub brought: Vec<(AccountId, Address)>,
    /// Whether to add somebody who is not known yet.
    pub waits_for_look_up: bool,
    /// What all are to know then, but for those who come and go.
    pub wanted: ConversationSecrets,
}

impl Difference {
    pub(super) fn is_none(&self) -> bool {
        self.gone.is_empty()
            && self.leaving.is_none()
            && self.lacking.is_empty()
            && self.brought.is_empty()
            && !self.waits_for_look_up
            && !differ(&self.wanted, &self.standing.secrets)
    }
}

pub(super) fn differ(one: &ConversationSecrets, other: &ConversationSecrets) -> bool {
    one.state != other.state || one.addresses != other.addresses
}

fn group_snapshot(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
) -> Result<Option<GroupSnapshot>, Fault> {
    let known = turn.with_group(group.id, |group, _, _| {
        Ok::<_, mls::MlsError>(GroupSnapshot {
            members: group.members()?,
            epoch: group.epoch(),
            secrets: group.secrets()?,
        })
    })?;
    Ok(known.and_then(Result::ok))
}

pub(super) fn difference(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
) -> Result<Option<Difference>, Fault> {
    let Some(standing) = group_snapshot(turn, group)? else {
        return Ok(None);
    };
    let own = turn.account()?;
    // A device that was removed itself has nothing to say.
    if !own.is_admitted() {
        return Ok(None);
    }
    let (own_id, own_device) = (own.id(), own.device());
    let mut difference = Difference {
        gone: Vec::new(),
        leaving: None,
        lacking: Vec::new(),
        brought: Vec::new(),
        waits_for_look_up: false,
        wanted: standing.secrets.clone(),
        standing,
    };
    let accounts = match (group.account, group.conversation) {
        (Some(account), _) => vec![own_id, account],
        (None, Some(conversation)) => {
            wanted(turn, conversation, &mut difference)?;
            let mut accounts = members::due(turn.tx, conversation)?;
            accounts.push(own_id);
            let asking = asking(turn, group, &difference.standing)?;
            let members = difference.standing.members.iter();
            let asking = members.filter(|member| asking.contains(&member.device));
            accounts.extend(asking.map(|member| member.account));
            accounts.extend(without_a_leaf(&difference.standing));
            accounts
        }
        (None, None) => return Ok(None),
    };
    let asking = asking(turn, group, &difference.standing)?;
    let blamed = match group.conversation {
        Some(conversation) => generations::blamed_devices(turn.tx, conversation)?,
        None => BTreeSet::new(),
    };
    let members = &difference.standing.members;
    let rank_among = |is_meant: &dyn Fn(&Member) -> bool| -> u64 {
        let before = members.iter().filter(|member| member.device < own_device);
        (before.filter(|member| is_meant(member)).count() as u64).min(TURNS)
    };
    let own_rank = rank_among(&|member| member.account == own_id);
    let mut looked_at = BTreeSet::new();
    for account in accounts {
        if !looked_at.insert(account) {
            continue;
        }
        let Some(roster) = leaves::roster_of(turn, account)? else {
            // The other side of two is not known yet: nothing can be said.
            if group.account.is_some() {
                return Ok(None);
            }
            continue;
        };
        let theirs: Vec<&Member> = members
            .iter()
            .filter(|member| member.account == account)
            .collect();
        let (stay, go): (Vec<&Member>, Vec<&Member>) = theirs
            .into_iter()
            .filter(|member| !asking.contains(&member.device))
            .partition(|member| trust::admits(&roster, member));
        difference
            .gone
            .extend(go.iter().map(|member| member.leaf_key));
        if difference.wanted.addresses.of(account).is_none() && group.account.is_none() {
            continue;
        }
        let devices: Vec<DeviceId> = roster
            .devices()
            .iter()
            .map(|device| device.id)
            .filter(|id| !stay.iter().any(|member| member.device == *id))
            .filter(|id| !blamed.contains(id))
            .collect();
        if devices.is_empty() {
            continue;
        }
        let address = if account == own_id {
            turn.account()?.address().canonical().to_owned()
        } else {
            match contact::of_account(turn.tx, account)? {
                Some(contact) => contact.address,
                None => continue,
            }
        };
        let turn_of = if account == own_id {
            Span(NEXT_DEVICE.0.saturating_mul(own_rank))
        } else {
            let rank = rank_among(&|member| member.account != account);
            let rank = if group.account.is_some() {
                own_rank
            } else {
                rank
            };
            let after = if stay.is_empty() {
                Span(0)
            } else if group.account.is_some() && is_new(&difference.standing) {
                THEIR_FIRST_TURN
            } else {
                THEIR_TURN
            };
            Span(NEXT_DEVICE.0.saturating_mul(rank).saturating_add(after.0))
        };
        difference.lacking.push(Lacking {
            account,
            address,
            devices,
            turn: turn_of,
        });
    }
    if group.account.is_some() {
        let known: BTreeSet<AccountId> = looked_at;
        let strangers = members
            .iter()
            .filter(|member| !known.contains(&member.account));
        difference
            .gone
            .extend(strangers.map(|member| member.leaf_key));
    }
    Ok(Some(difference))
}

/// The accounts that belong to a group and have no device in it any more: a device that its
/// account has revoked since may have taken the others out.
fn without_a_leaf(standing: &GroupSnapshot) -> impl Iterator<Item = AccountId> {
    let has_leaf = |account: AccountId| {
        let mut members = standing.members.iter();
        members.any(|member| member.account == account)
    };
    let accounts = standing.secrets.addresses.iter();
    accounts
        .map(|(account, _)| account)
        .filter(move |account| !has_leaf(*account))
}

/// The devices that have asked to be re-added, and that this device may add; the others are
/// forgotten.
pub(super) fn asking(
    turn: &Turn<'_>,
    group: &GroupRecord,
    standing: &GroupSnapshot,
) -> Result<Vec<DeviceId>, Fault> {
    let own = turn.account()?.id();
    let mut asking = Vec::new();
    for device in re_add_queue::devices_to_re_add(turn.tx, group.id)? {
        let leaf = standing.members.iter().find(|one| one.device == device);
        // One that its account has revoked since it asked does not come back: it goes.
        let may = match leaf {
            Some(leaf) => {
                re_add_queue::may_re_add(&standing.secrets, own, leaf.account)
                    && leaves::roster_of(turn, leaf.account)?
                        .is_none_or(|roster| trust::admits(&roster, leaf))
            }
            None => false,
        };
        if may {
            asking.push(device);
        } else {
            re_add_queue::forget_re_add(turn.tx, group.id, device)?;
        }
    }
    Ok(asking)
}

/// What the person, and those who leave, want of a group of many.
fn wanted(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    difference: &mut Difference,
) -> Result<(), Fault> {
    let own = turn.account()?;
    let (own_id, own_device) = (own.id(), own.device());
    let state = &difference.standing.secrets.state;
    let is_admin = state.as_ref().is_some_and(|state| state.is_admin(own_id));
    let may_bring = is_admin || state.as_ref().is_some_and(|state| state.everybody_adds);
    let mut out: BTreeSet<AccountId> = BTreeSet::new();
    for kept in pending_changes::of_conversation(turn.tx, conversation)? {
        let mut known = BTreeMap::new();
        if let PendingChange::Add(address, _) = &kept.change
            && let Some(contact) = contact::owner_of(turn.tx, address.canonical())?
        {
            known.insert(address.canonical().to_owned(), contact.account);
        }
        if let PendingChange::Add(address, _) = &kept.change
            && turn.account()?.address().canonical() == address.canonical()
        {
            known.insert(address.canonical().to_owned(), own_id);
        }
        let account_of = |address: &Address| known.get(address.canonical()).copied();
        let allowed = match kept.change {
            PendingChange::Add(..) => may_bring,
            _ => is_admin,
        };
        if kept
            .change
            .is_fulfilled(&difference.standing.secrets, account_of)
            || !allowed
        {
            pending_changes::forget(turn.tx, kept.row)?;
            continue;
        }
        match &kept.change {
            // Not yet, or no more.
            PendingChange::Admin(account, true)
                if difference.standing.secrets.addresses.of(*account).is_none() =>
            {
                if turn.now.since(kept.since) > Span::days(1) {
                    pending_changes::forget(turn.tx, kept.row)?;
                }
            }
            PendingChange::Add(address, account) => {
                bring(turn, conversation, difference, &kept, (address, *account))?;
            }
            PendingChange::Remove(account) => _ = out.insert(*account),
            describe => {
                if let Some(state) = &mut difference.wanted.state {
                    describe.apply(state);
                }
            }
        }
    }
    let all_leaving = members::leaving(turn.tx, conversation)?;
    let leaving: BTreeSet<AccountId> = all_leaving
        .iter()
        .copied()
        .filter(|account| *account != own_id && !out.contains(account))
        .filter(|account| difference.standing.secrets.addresses.of(*account).is_some())
        .collect();
    if !leaving.is_empty() {
        let members = &difference.standing.members;
        let state = &difference.standing.secrets.state;
        let is_admins = |member: &Member| {
            let admin = state
                .as_ref()
                .is_some_and(|state| state.is_admin(member.account));
            admin && !all_leaving.contains(&member.account)
        };
        let before = members
            .iter()
            .filter(|member| member.device < own_device && is_admins(member))
            .count() as u64;
        let admins = members.iter().filter(|member| is_admins(member)).count() as u64;
        let rank = if is_admin && !all_leaving.contains(&own_id) {
            before
        } else {
            // Devices of others come after all admins', and those who leave last.
            let stays = |member: &&Member| !leaving.contains(&member.account);
            let others = members.iter().filter(stays);
            let others = others.filter(|member| !is_admins(member) && member.device < own_device);
            admins.max(2) + others.count() as u64
        };
        let at = Span(NEXT_DEVICE.0.saturating_mul(rank.min(2 * TURNS)));
        difference.leaving = Some((leaving, at));
    }
    let theirs = difference.standing.members.iter();
    let theirs = theirs.filter(|member| out.contains(&member.account));
    difference.gone.extend(theirs.map(|member| member.leaf_key));
    for account in out {
        take_out(&mut difference.wanted, account);
    }
    Ok(())
}

pub(super) fn take_out(wanted: &mut ConversationSecrets, account: AccountId) {
    wanted.addresses.remove(account);
    if let Some(state) = &mut wanted.state {
        state.admins.remove(&account);
    }
}

/// Somebody is to be a member: looks them up, and says which devices are lacking.
fn bring(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    difference: &mut Difference,
    kept: &pending_changes::StoredChange,
    (address, meant): (&Address, Option<AccountId>),
) -> Result<(), Fault> {
    let now = turn.now;
    let account = match turn.memory.lookups_mut().outcome(address.canonical(), now) {
        Some(LookUpOutcome::Nobody) => {
            return group_commands::not_brought(turn, conversation, kept);
        }
        Some(LookUpOutcome::Account(account)) => account,
        None => match contact::owner_of(turn.tx, address.canonical())? {
            // Looked up not long ago.
            Some(known) if !now.has_passed(known.looked_up_at, trust::GOOD_FOR) => known.account,
            _ => {
                turn.memory
                    .lookups_mut()
                    .request_look_up(address.canonical());
                difference.waits_for_look_up = true;
                return Ok(());
            }
        },
    };
    // The address has another owner by now, whom nobody meant.
    if meant.is_some_and(|meant| meant != account) {
        return group_commands::not_brought(turn, conversation, kept);
    }
    let members = difference.wanted.addresses.len() + difference.brought.len();
    if members >= limits::CONVERSATION_ACCOUNTS {
        return group_commands::not_brought(turn, conversation, kept);
    }
    let blamed = generations::blamed_devices(turn.tx, conversation)?;
    let mut devices = Vec::new();
    if let Some(roster) = leaves::roster_of(turn, account)?
        && roster.devices().iter().any(|one| blamed.contains(&one.id))
    {
        let theirs = roster.devices().iter().map(|device| device.id);
        devices.extend(theirs.filter(|device| !blamed.contains(device)));
        if devices.is_empty() {
            return group_commands::not_brought(turn, conversation, kept);
        }
    }
    difference.brought.push((account, address.clone()));
    difference.lacking.push(Lacking {
        account,
        address: address.canonical().to_owned(),
        devices,
        turn: Span(0),
    });
    Ok(())
}
