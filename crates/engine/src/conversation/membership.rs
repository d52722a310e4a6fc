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

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::RangeInclusive,
};

use waxwing_protocol::{
    address::Address,
    conversation::ConversationSecrets,
    ids::{AccountId, DeviceId, Epoch, GroupId, MailboxId},
    limits,
    pb::{ClaimKeyPackages, Error, ErrorCode, KeyPackagesClaimed, client_frame::Body},
    time::{Span, Time},
};

use super::{
    acquaintance, commits, generations, group_commands,
    groups::{self, GroupRecord},
    leaves, members,
    pending_changes::{self, PendingChange},
    re_add_queue, roles,
};
use crate::{
    api::{ConversationId, RelayMisdeed},
    clock::Passed as _,
    contact,
    event::LinkKind,
    link::{self, Job, tokens},
    memory::{Memory, Remembered},
    mls::{self, Member},
    outbox,
    trust::{self, lookups::LookUpOutcome},
    turn::{Fault, Postponed, Turn},
};

/// The next device of an account does what the one before it has not done, after this long.
const NEXT_DEVICE: Span = Span::seconds(20);

/// The devices that take turns; the rest take the last turn.
const TURNS: u64 = 6;

/// The other side adds its own devices within this time, or it is done for them.
const THEIR_TURN: Span = Span::seconds(60);

/// And within this time in a new group of two people: what is said there waits for them.
const THEIR_FIRST_TURN: Span = Span::seconds(3);

/// In a new group nothing is said before those who are to hear it are in, for so long.
const FIRST: Span = Span::seconds(10);

/// Until then it is looked at again this often.
const FIRST_LOOK: Span = Span(500);

/// Devices that have no key packages yet are asked for again after this long.
const AGAIN: Span = Span::seconds(5);

/// A group of which some devices have no key packages is looked at again after this long.
const LOOK_AGAIN: Span = Span::minutes(1);

/// Claims that may be on their way for one group at a time.
const CLAIMS: usize = 8;

/// Tokens that are left when those who are to come are claimed: the commit that brings them in,
/// its welcome and the group's information may each be a parcel, which costs one.
const KEPT_FOR_PARCELS: u64 = 4;

/// Devices that one commit adds, at most.
const ADDED_AT_ONCE: usize = 250;

/// So many devices more or less at once commit to the same: each waits up to so long.
const STAGGER_EACH: u64 = 100;

/// A group as it is.
struct GroupSnapshot {
    members: Vec<Member>,
    epoch: Epoch,
    secrets: ConversationSecrets,
}

/// Whether nobody has come into a group yet, or out of it, since it was made.
const fn is_new(standing: &GroupSnapshot) -> bool {
    standing.epoch.0 <= 1
}

/// Devices of one account that a group lacks.
struct Lacking {
    account: AccountId,
    /// Canonical form.
    address: String,
    /// None: all that there are.
    devices: Vec<DeviceId>,
    /// When it is this device's turn to add them, counted from when it was seen.
    turn: Span,
}

/// What a group lacks, and what it has too much.
struct Difference {
    standing: GroupSnapshot,
    /// Leaf keys that are to go at once.
    gone: Vec<[u8; 32]>,
    /// Those who leave, and when it is this device's turn to take them out.
    leaving: Option<(BTreeSet<AccountId>, Span)>,
    lacking: Vec<Lacking>,
    /// Accounts that are members with these.
    brought: Vec<(AccountId, Address)>,
    /// Whether to add somebody who is not known yet.
    waits_for_look_up: bool,
    /// What all are to know then, but for those who come and go.
    wanted: ConversationSecrets,
}

impl Difference {
    fn is_none(&self) -> bool {
        self.gone.is_empty()
            && self.leaving.is_none()
            && self.lacking.is_empty()
            && self.brought.is_empty()
            && !self.waits_for_look_up
            && !differ(&self.wanted, &self.standing.secrets)
    }
}

fn differ(one: &ConversationSecrets, other: &ConversationSecrets) -> bool {
    one.state != other.state || one.addresses != other.addresses
}

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

/// The key packages that were claimed for a group and are not added yet.
fn claims_of<'a>(
    turn: &'a Turn<'_>,
    group: GroupId,
) -> impl Iterator<Item = (AccountId, &'a Vec<mls::KeyPackage>)> {
    let claimed = turn.memory.states.get::<ClaimedPackages>();
    claimed
        .into_iter()
        .flat_map(move |claimed| claimed.0.range(of_group(group)))
        .map(|((_, account), packages)| (*account, packages))
}

/// Claims the key packages of devices whose turn it is. Gives whether any are on their way.
fn claim_what_is_due(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    difference: &Difference,
    waited: Span,
) -> Result<bool, Fault> {
    let mut on_their_way = 0;
    let mut wanted = Vec::new();
    for lacking in &difference.lacking {
        let job = Job::ClaimDevices(group.id, lacking.account);
        if turn.memory.links.posting.awaits(&job) {
            on_their_way += 1;
        } else if waited >= lacking.turn
            && !has_no_packages(turn, group.id, lacking.account)
            && !has_claimed(turn, group.id, lacking.account)
        {
            wanted.push(lacking);
        }
    }
    for lacking in wanted {
        if on_their_way >= CLAIMS || !claim(turn, group, lacking)? {
            break;
        }
        on_their_way += 1;
    }
    Ok(on_their_way > 0)
}

/// Whether an account's devices had no key packages a while ago.
fn has_no_packages(turn: &Turn<'_>, group: GroupId, account: AccountId) -> bool {
    let without = turn.memory.states.get::<WithoutPackages>();
    let refusal = without.and_then(|without| without.0.get(&(group, account)));
    refusal.is_some_and(|(_, at)| *at > turn.now)
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

/// An account's key packages have come: they are added with the next commit.
pub(crate) fn handle_key_packages(
    turn: &mut Turn<'_>,
    id: GroupId,
    account: AccountId,
    claimed: &KeyPackagesClaimed,
) -> Result<(), Fault> {
    turn.memory.due_mut().groups.insert(id);
    let Some(roster) = leaves::roster_of(turn, account)? else {
        return Ok(());
    };
    let blamed = match groups::find(turn.tx, id)?.and_then(|group| group.conversation) {
        Some(conversation) => generations::blamed_devices(turn.tx, conversation)?,
        None => BTreeSet::new(),
    };
    let mut packages = Vec::new();
    for one in claimed.key_packages.iter().take(limits::DEVICES) {
        let package =
            turn.with_mls(|provider, _| mls::KeyPackage::check(provider, &one.key_package))?;
        let Ok(package) = package else {
            turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
            continue;
        };
        let member = package.member();
        let fits = member.device.as_bytes().as_slice() == one.device_id
            && member.mailbox.as_bytes().as_slice() == one.mailbox_id;
        let moved = leaves::has_another_mailbox(turn.tx, member)?;
        if fits && !moved && trust::admits(&roster, member) {
            if !blamed.contains(&member.device) {
                packages.push(package);
            }
        } else {
            turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
        }
    }
    if packages.is_empty() {
        // Each time costs a token: rarer and rarer.
        let now = turn.now;
        let none = without_packages_mut(turn).entry((id, account));
        let (times, at) = none.or_insert((0, now));
        let span = Span(AGAIN.0.saturating_mul(1 << (2 * (*times).min(5))));
        *times = times.saturating_add(1);
        *at = now.after(span.min(Span::hours(1)));
        turn.postpone(Postponed::Membership(id), AGAIN);
    } else {
        without_packages_mut(turn).remove(&(id, account));
        claimed_mut(turn).insert((id, account), packages);
    }
    Ok(())
}

/// The relay gave none.
pub(crate) fn handle_claim_refused(
    turn: &mut Turn<'_>,
    id: GroupId,
    account: AccountId,
    error: &Error,
) -> Result<(), Fault> {
    // Looked up a moment ago, and now gone: the person is not added.
    if error.code() == ErrorCode::AddressUnknown
        && let Some(group) = groups::find(turn.tx, id)?
        && let Some(conversation) = group.conversation
        && let Some(contact) = contact::of_account(turn.tx, account)?
    {
        for kept in pending_changes::of_conversation(turn.tx, conversation)? {
            if let PendingChange::Add(address, _) = &kept.change
                && address.canonical() == contact.address
            {
                group_commands::not_brought(turn, conversation, &kept)?;
            }
        }
    }
    turn.postpone(Postponed::Membership(id), link::retry_after(error));
    Ok(())
}

/// Asks for an account's key packages; `false` where that cannot be done now.
fn claim(turn: &mut Turn<'_>, group: &GroupRecord, lacking: &Lacking) -> Result<bool, Fault> {
    let unknown = Address::parse(&lacking.address).is_err();
    if unknown || turn.memory.links.posting.ready().is_none() {
        return Ok(false);
    }
    let left = tokens::spendable(turn)? > KEPT_FOR_PARCELS;
    let token = if left { tokens::take(turn)? } else { None };
    let Some(token) = token else {
        turn.postpone(Postponed::Membership(group.id), AGAIN);
        return Ok(false);
    };
    let claim = ClaimKeyPackages {
        address: lacking.address.clone(),
        token: Some(token),
        device_ids: lacking.devices.iter().map(|id| id.to_bytes()).collect(),
    };
    turn.send_request(
        LinkKind::Posting,
        Job::ClaimDevices(group.id, lacking.account),
        Body::ClaimKeyPackages(claim),
    );
    Ok(true)
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

fn difference(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<Option<Difference>, Fault> {
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
fn asking(
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

fn take_out(wanted: &mut ConversationSecrets, account: AccountId) {
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

/// Key packages that were claimed for a group, until they are added.
#[derive(Default)]
struct ClaimedPackages(BTreeMap<(GroupId, AccountId), Vec<mls::KeyPackage>>);

impl Remembered for ClaimedPackages {}

/// Accounts whose devices had no key packages for a group: how often in a row, and when they
/// are asked for again.
#[derive(Default)]
struct WithoutPackages(HashMap<(GroupId, AccountId), (u32, Time)>);

impl Remembered for WithoutPackages {
    const OUTLASTS_ERRORS: bool = true;
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
        let claimed = &mut self.states.get_mut::<ClaimedPackages>().0;
        claimed.retain(|(of, _), _| *of != group);
    }
}

fn claimed_mut<'t>(
    turn: &'t mut Turn<'_>,
) -> &'t mut BTreeMap<(GroupId, AccountId), Vec<mls::KeyPackage>> {
    &mut turn.memory.states.get_mut::<ClaimedPackages>().0
}

fn has_claimed(turn: &Turn<'_>, group: GroupId, account: AccountId) -> bool {
    let claimed = turn.memory.states.get::<ClaimedPackages>();
    claimed.is_some_and(|claimed| claimed.0.contains_key(&(group, account)))
}

fn without_packages_mut<'t>(
    turn: &'t mut Turn<'_>,
) -> &'t mut HashMap<(GroupId, AccountId), (u32, Time)> {
    &mut turn.memory.states.get_mut::<WithoutPackages>().0
}

/// The keys of all accounts of a group.
fn of_group(group: GroupId) -> RangeInclusive<(GroupId, AccountId)> {
    (group, AccountId([0; 32]))..=(group, AccountId([255; 32]))
}
