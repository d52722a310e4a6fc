//! Membership: makes sure that a conversation's groups have exactly the devices of its
//! accounts, and that a group conversation becomes what the person wants.
//!
//! When an account's roster has grown, its groups are checked. Devices that the roster no
//! longer admits are removed at once, with a rekey, so that they cannot read anything sent
//! later. For missing devices, key packages are claimed and the devices added. Everybody in
//! the group could add a device, so they take turns: this account's devices add their own, the
//! one with the smallest id first, and add those of others only if those have not done so for
//! a while. The same holds for members who have said that they leave: admins' devices come
//! first.
//!
//! **Elsewhere**: rosters come from [`crate::trust::lookups`] and
//! [`crate::trust::own_history`]; [`super::commits`] judges what others do; pending changes
//! are in [`super::pending_changes`].
//!
//! **Always**: a device is added only if the roster that the key log proves admits it, and
//! only with the leaf key that the roster certifies.

use std::collections::{BTreeMap, HashMap};

use waxwing_protocol::{
    conversation::ConversationSecrets,
    ids::{AccountId, DeviceId, GroupId, MailboxId},
    time::{Span, Time},
};

use super::{
    acquaintance, commits,
    device_claims::{
        self, AGAIN, claim_what_is_due, claimed_mut, claims_of, has_claimed, has_no_packages,
    },
    group_commands,
    groups::{self, GroupRecord},
    leaves, members,
    membership_difference::{
        Difference, GroupSnapshot, Lacking, asking, differ, difference, is_new, take_out,
    },
    re_add_queue, roles,
};
use crate::{
    memory::{Memory, Remembered},
    mls::{self, Member},
    outbox, trust,
    turn::{Fault, Postponed, Turn},
};

/// In a new group nothing is said before those who are to hear it are in, for so long.
const FIRST: Span = Span::seconds(10);

/// Until then it is looked at again this often.
const FIRST_LOOK: Span = Span(500);

/// A group of which some devices have no key packages is looked at again after this long.
const LOOK_AGAIN: Span = Span::minutes(1);

/// Devices that one commit adds, at most.
const ADDED_AT_ONCE: usize = 250;

/// So many devices more or less at once commit to the same: each waits up to so long.
const STAGGER_EACH: u64 = 100;

/// Makes a group's members what the rosters, and the person, say.
pub(crate) fn pump(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    if acquaintance::is_silent_group(turn, group)? {
        // A commit would show that this device is there. Done when the person accepts; only
        // devices that they have revoked go at once.
        if take_out_revoked(turn, group)? {
            return Ok(());
        }
        groups::membership_done(turn.tx, group.id)?;
        if let Some(conversation) = group.conversation {
            group_commands::leave_if_wished(turn, group, conversation)?;
        }
        return Ok(());
    }
    if !commits::may_commit(turn, group) || turn.is_postponed(&Postponed::Membership(group.id)) {
        return Ok(());
    }
    // Another group holds the conversation now; nothing changes in this one.
    if let Some(conversation) = group.conversation.filter(|_| group.account.is_none())
        && !groups::is_current(turn.tx, conversation, group.id)?
    {
        return Ok(groups::membership_done(turn.tx, group.id)?);
    }
    let Some(difference) = difference(turn, group)? else {
        return Ok(());
    };
    if difference.is_none() {
        turn.memory.forget_lacking(group.id);
        if let Some(conversation) = group.conversation {
            members::looked_at(turn.tx, conversation)?;
            if !group_commands::leave_if_wished(turn, group, conversation)? {
                turn.postpone(Postponed::Membership(group.id), AGAIN);
                return Ok(());
            }
        }
        return Ok(groups::membership_done(turn.tx, group.id)?);
    }
    let now = turn.now;
    let lacking = &mut turn.memory.states.get_mut::<LackingGroups>().0;
    let first_seen = !lacking.contains_key(&group.id);
    let since = *lacking.entry(group.id).or_insert(now);
    let waited = turn.now.since(since);
    // At once, by the first device that can: nothing is sent to the group until they are removed.
    if !difference.gone.is_empty() {
        if first_seen && stagger(turn, group, &difference)? {
            return Ok(());
        }
        return commit(turn, group, difference);
    }
    let due = |span: Span| waited >= span;
    let ready: usize = claims_of(turn, group.id)
        .map(|(_, packages)| packages.len())
        .sum();
    if ready < ADDED_AT_ONCE && claim_what_is_due(turn, group, &difference, waited)? {
        return Ok(());
    }
    let is_full = ready >= ADDED_AT_ONCE;
    if !is_full && awaits_others(turn, group, &difference) && !due(FIRST) {
        turn.postpone(Postponed::Membership(group.id), FIRST_LOOK);
        return Ok(());
    }
    let leaves_now = difference.leaving.as_ref().is_some_and(|(_, at)| due(*at));
    let changes = differ(&difference.wanted, &difference.standing.secrets);
    if ready > 0 || leaves_now || changes {
        let mut difference = difference;
        if !leaves_now {
            difference.leaving = None;
        }
        return commit(turn, group, difference);
    }
    let next = difference
        .lacking
        .iter()
        .map(|lacking| lacking.turn)
        .chain(difference.leaving.as_ref().map(|(_, at)| *at))
        .filter(|span| !due(*span))
        .min();
    let mut left = next.map(|next| Span(next.0.saturating_sub(waited.0).max(1)));
    // Not for longer: other devices may be lacking by then.
    let none = |one: &Lacking| has_no_packages(turn, group.id, one.account);
    if difference.lacking.iter().any(none) {
        left = Some(left.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN)));
    }
    if let Some(left) = left {
        turn.postpone(Postponed::Membership(group.id), left);
    }
    Ok(())
}

/// Whether a new group conversation has no other members yet, and some of those to be added are not
/// ready. One commit adds all of them if possible: a member who comes with a later commit does not
/// get the messages sent before it.
fn awaits_others(turn: &Turn<'_>, group: &GroupRecord, difference: &Difference) -> bool {
    let is_ready = |account: AccountId| {
        has_claimed(turn, group.id, account) || has_no_packages(turn, group.id, account)
    };
    difference.standing.epoch.0 == 0
        && group.account.is_none()
        && (difference.waits_for_look_up
            || difference
                .brought
                .iter()
                .any(|(account, _)| !is_ready(*account)))
}

/// Takes devices out that this account has revoked, and does nothing else. Gives whether there
/// are any.
fn take_out_revoked(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<bool, Fault> {
    let Some(mut difference) = difference(turn, group)? else {
        return Ok(false);
    };
    let own = turn.account()?.id();
    let members = difference.standing.members.iter();
    let own: Vec<[u8; 32]> = members
        .filter(|member| member.account == own)
        .map(|member| member.leaf_key)
        .collect();
    difference.gone.retain(|leaf| own.contains(leaf));
    if difference.gone.is_empty() {
        return Ok(false);
    }
    if commits::may_commit(turn, group) {
        difference.leaving = None;
        difference.brought = Vec::new();
        difference.wanted = difference.standing.secrets.clone();
        commit(turn, group, difference)?;
    }
    Ok(true)
}

/// Where many could do the same at once, each waits for a while of its own, unless it has
/// something to say. Gives whether it waits.
fn stagger(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    difference: &Difference,
) -> Result<bool, Fault> {
    let devices = difference.standing.members.len() as u64;
    let Some(conversation) = group.conversation.filter(|_| devices > 4) else {
        return Ok(false);
    };
    if !outbox::unnumbered(turn.tx, conversation)?.is_empty() {
        return Ok(false);
    }
    let span = Span(1 + turn.rng.next_u64() % (devices * STAGGER_EACH));
    turn.postpone(Postponed::Membership(group.id), span);
    Ok(true)
}

/// Commits to what is to be changed, with the devices that were claimed.
fn commit(turn: &mut Turn<'_>, group: &GroupRecord, difference: Difference) -> Result<(), Fault> {
    let Difference {
        standing,
        mut gone,
        leaving,
        brought,
        mut wanted,
        ..
    } = difference;
    for account in leaving.into_iter().flat_map(|(accounts, _)| accounts) {
        let theirs = standing.members.iter();
        let theirs = theirs.filter(|member| member.account == account);
        gone.extend(theirs.map(|member| member.leaf_key));
        take_out(&mut wanted, account);
    }
    let accounts: Vec<AccountId> = claims_of(turn, group.id)
        .map(|(account, _)| account)
        .collect();
    let mut packages = Vec::new();
    let of = |member: &Member| (member.mailbox, member.device);
    let mut mailboxes: BTreeMap<MailboxId, DeviceId> = standing.members.iter().map(of).collect();
    for account in accounts {
        let Some(claimed) = claimed_mut(turn).remove(&(group.id, account)) else {
            continue;
        };
        let asking = asking(turn, group, &standing)?;
        // It may have been revoked since it was claimed.
        let roster = leaves::roster_of(turn, account)?;
        let mut claimed = claimed;
        claimed.retain(|package| {
            let new = package.member();
            if roster
                .as_ref()
                .is_some_and(|roster| !trust::admits(roster, new))
            {
                return false;
            }
            let is_it = |member: &Member| member.device == new.device;
            let lacks = !standing.members.iter().any(is_it) || asking.contains(&new.device);
            // No two devices have one mailbox: nobody takes a commit that says so.
            lacks
                && mailboxes
                    .insert(new.mailbox, new.device)
                    .is_none_or(|of| of == new.device)
        });
        if claimed.is_empty() {
            continue;
        }
        if !packages.is_empty() && packages.len() + claimed.len() > ADDED_AT_ONCE {
            // With the next.
            claimed_mut(turn).insert((group.id, account), claimed);
            continue;
        }
        if let Some((account, address)) = brought.iter().find(|(of, _)| *of == account) {
            wanted.addresses.insert(*account, address.clone());
        }
        if wanted.addresses.of(account).is_some() || group.account.is_some() {
            packages.extend(claimed);
        }
    }
    // A device that has lost the group is re-added in place of its old leaf.
    for device in asking(turn, group, &standing)? {
        let comes = packages
            .iter()
            .any(|package: &mls::KeyPackage| package.member().device == device);
        let old = standing
            .members
            .iter()
            .find(|member| member.device == device);
        if comes {
            gone.extend(old.map(|member| member.leaf_key));
        }
        if comes || old.is_none() {
            re_add_queue::forget_re_add(turn.tx, group.id, device)?;
        }
    }
    keep_an_admin(turn, &standing, &gone, &mut wanted)?;
    let secrets = differ(&wanted, &standing.secrets).then_some(&wanted);
    if packages.is_empty() && gone.is_empty() && secrets.is_none() {
        return Ok(());
    }
    commits::commit_change(turn, group, &packages, &gone, secrets)
}

/// Where all admins are to go, the group gets another with the same commit, who is the same
/// for whoever makes it.
fn keep_an_admin(
    turn: &Turn<'_>,
    standing: &GroupSnapshot,
    gone: &[[u8; 32]],
    wanted: &mut ConversationSecrets,
) -> Result<(), Fault> {
    let (Some(was), Some(is)) = (&standing.secrets.state, &mut wanted.state) else {
        return Ok(());
    };
    let own = turn.account()?.id();
    if was.is_admin(own) {
        // Of several wishes that leave none, one is not fulfilled.
        if is.admins.is_empty() {
            is.admins.insert(own);
        }
        return Ok(());
    }
    let members = standing.members.iter();
    let kept: Vec<AccountId> = members
        .filter(|member| !gone.contains(&member.leaf_key))
        .map(|member| member.account)
        .collect();
    is.admins = roles::admins_after(&was.admins, &kept, &wanted.addresses);
    Ok(())
}

/// Whether what is to be sent waits: a device is in the group that no roster admits any
/// more, or somebody is about to come in who is to hear it.
pub(crate) fn holds_back(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<bool, Fault> {
    if !group.membership_due {
        return Ok(false);
    }
    let Some(difference) = difference(turn, group)? else {
        return Ok(false);
    };
    if !difference.gone.is_empty() {
        return Ok(true);
    }
    let now = turn.now;
    let lacking = &mut turn.memory.states.get_mut::<LackingGroups>().0;
    let since = *lacking.entry(group.id).or_insert(now);
    let own = turn.account()?.id();
    // A device that makes a group of two adds its account's other devices. A stolen device may not,
    // and messages sent before they are in the group never reach them.
    let is_awaited = |one: &Lacking| one.account == own || group.account.is_some();
    let lacks = is_new(&difference.standing) && difference.lacking.iter().any(is_awaited);
    let brings = !difference.brought.is_empty() || difference.waits_for_look_up;
    Ok((lacks || brings) && now.since(since) < FIRST)
}

/// Since when a group lacks devices, where others are to add them first.
#[derive(Default)]
struct LackingGroups(HashMap<GroupId, Time>);

impl Remembered for LackingGroups {}

impl Memory {
    fn forget_lacking(&mut self, group: GroupId) {
        self.states.get_mut::<LackingGroups>().0.remove(&group);
    }

    /// Nobody is added to the group for now.
    pub(crate) fn forget_additions(&mut self, group: GroupId) {
        self.forget_lacking(group);
        device_claims::forget_group(self, group);
    }
}
