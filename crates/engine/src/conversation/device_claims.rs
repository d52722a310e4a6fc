//! Key packages of devices that a group lacks: claimed, and kept until a commit adds them.
//!
//! **Elsewhere**: [`super::membership`] decides whose are claimed, and adds them.
//!
//! **Always**: a claim costs a token. An account whose devices have no key packages is asked
//! again more and more rarely.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::RangeInclusive,
};

use waxwing_protocol::{
    address::Address,
    ids::{AccountId, GroupId},
    limits,
    pb::{ClaimKeyPackages, Error, ErrorCode, KeyPackagesClaimed, client_frame::Body},
    time::{Span, Time},
};

use super::{
    generations, group_commands,
    groups::{self, GroupRecord},
    leaves,
    membership_difference::{Difference, Lacking},
    pending_changes::{self, PendingChange},
};
use crate::{
    api::RelayMisdeed,
    contact,
    event::LinkKind,
    link::{self, Job, tokens},
    memory::{Memory, Remembered},
    mls, trust,
    turn::{Fault, Postponed, Turn},
};

/// Devices that have no key packages yet are asked for again after this long.
pub(super) const AGAIN: Span = Span::seconds(5);

/// Claims that may be on their way for one group at a time.
const CLAIMS: usize = 8;

/// Tokens that are left when those who are to come are claimed: the commit that brings them in,
/// its welcome and the group's information may each be a parcel, which costs one.
const KEPT_FOR_PARCELS: u64 = 4;

/// The key packages that were claimed for a group and are not added yet.
pub(super) fn claims_of<'a>(
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
pub(super) fn claim_what_is_due(
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
pub(super) fn has_no_packages(turn: &Turn<'_>, group: GroupId, account: AccountId) -> bool {
    let without = turn.memory.states.get::<WithoutPackages>();
    let refusal = without.and_then(|without| without.0.get(&(group, account)));
    refusal.is_some_and(|(_, at)| *at > turn.now)
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
pub(super) fn claim(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    lacking: &Lacking,
) -> Result<bool, Fault> {
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

pub(super) fn claimed_mut<'t>(
    turn: &'t mut Turn<'_>,
) -> &'t mut BTreeMap<(GroupId, AccountId), Vec<mls::KeyPackage>> {
    &mut turn.memory.states.get_mut::<ClaimedPackages>().0
}

pub(super) fn has_claimed(turn: &Turn<'_>, group: GroupId, account: AccountId) -> bool {
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

/// What was claimed for a group is not added.
pub(super) fn forget_group(memory: &mut Memory, group: GroupId) {
    let claimed = &mut memory.states.get_mut::<ClaimedPackages>().0;
    claimed.retain(|(of, _), _| *of != group);
}
