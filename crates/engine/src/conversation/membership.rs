//! Membership: that a conversation's groups hold the devices of both accounts, and no
//! others.
//!
//! When an account's roster has grown, its groups are looked at: devices that no roster
//! admits any more are taken out at once, with a rekey, so that they read nothing sent
//! after; devices that a group lacks are claimed and added. Everybody in the group could do
//! add one, so they take turns: this account's devices look after their own, the one with
//! the smallest id first, and after the other side's only when those have not for a while.
//!
//! **Elsewhere**: rosters come by [`crate::trust::lookups`] and
//! [`crate::trust::own_history`]; what others do is judged in [`super::commits`].
//!
//! **Always**: only devices are added that the roster which the log vouches for admits, with
//! the leaf key that it certifies.

use waxwing_protocol::{
    address::Address,
    ids::{DeviceId, GroupId},
    pb::{ClaimKeyPackages, Error, KeyPackagesClaimed, client_frame::Body},
    roster::Roster,
    time::Span,
};

use super::{
    commits,
    groups::{self, Group, GroupState},
    start,
};
use crate::{
    api::RelayMisdeed,
    contact,
    event::LinkKind,
    link::{Job, tokens},
    mls::{self, Member},
    trust,
    turn::{Fault, Turn, Waiting},
};

/// The next device of an account does what the one before it has not done, after this long.
const NEXT_DEVICE: Span = Span::seconds(20);

/// The other side adds its own devices within this time, or it is done for them.
const THEIR_TURN: Span = Span::seconds(60);

/// In a new group nothing is said before this account's other devices are in, for so long.
const OWN_FIRST: Span = Span::seconds(10);

/// Devices that have no key packages yet are asked for again after this long.
const AGAIN: Span = Span::seconds(5);

/// What a group lacks, and what it has too much.
struct Difference {
    /// Leaf keys that no roster admits.
    gone: Vec<[u8; 32]>,
    /// Devices of this account.
    own: Vec<DeviceId>,
    /// Devices of the other side.
    theirs: Vec<DeviceId>,
    /// Whether the other side has a device in it that may stay.
    has_them: bool,
    /// Whether nobody but its founders was ever in it.
    is_new: bool,
    /// This device's place among those of its account in the group.
    rank: u64,
}

/// Makes a group's members what the rosters say.
pub(crate) fn pump(turn: &mut Turn<'_>, group: &Group) -> Result<(), Fault> {
    if !commits::may_commit(turn, group)
        || turn.waits(&Waiting::Membership(group.id))
        || turn.live.links.posting.awaits(&Job::ClaimDevices(group.id))
    {
        return Ok(());
    }
    let Some(difference) = difference(turn, group)? else {
        return Ok(());
    };
    if difference.gone.is_empty() && difference.own.is_empty() && difference.theirs.is_empty() {
        turn.live.lacking.remove(&group.id);
        return Ok(groups::membership_done(turn.tx, group.id)?);
    }
    let now = turn.now;
    let since = *turn.live.lacking.entry(group.id).or_insert(now);
    let turn_of_own = Span(NEXT_DEVICE.0.saturating_mul(difference.rank));
    let turn_of_theirs = if difference.has_them {
        Span(turn_of_own.0.saturating_add(THEIR_TURN.0))
    } else {
        turn_of_own
    };
    // At once, by whoever comes first: nothing is sent to the group until they are out.
    if !difference.gone.is_empty() {
        return commits::change(turn, group, &[], &difference.gone);
    }
    let waited = turn.now.since(since);
    if waited >= turn_of_own && !difference.own.is_empty() {
        let address = turn.account()?.address().canonical().to_owned();
        return claim(turn, group, address, &difference.own);
    }
    if waited >= turn_of_theirs && !difference.theirs.is_empty() {
        let Some(contact) = contact::of_account(turn.tx, group.account)? else {
            return Ok(());
        };
        return claim(turn, group, contact.address, &difference.theirs);
    }
    let next = if difference.own.is_empty() {
        turn_of_theirs
    } else {
        turn_of_own
    };
    turn.wait(
        Waiting::Membership(group.id),
        Span(next.0.saturating_sub(waited.0).max(1)),
    );
    Ok(())
}

/// Whether what is to be sent waits: a device is in the group that no roster admits any
/// more, or nothing was said in it yet and this account's other devices are about to come
/// in, so that they have it all.
pub(crate) fn holds_back(turn: &mut Turn<'_>, group: &Group) -> Result<bool, Fault> {
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
    let since = *turn.live.lacking.entry(group.id).or_insert(now);
    Ok(!difference.own.is_empty() && difference.is_new && now.since(since) < OWN_FIRST)
}

/// The devices' key packages have come: adds them.
pub(crate) fn claimed(
    turn: &mut Turn<'_>,
    id: GroupId,
    claimed: &KeyPackagesClaimed,
) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    if group.state != GroupState::Active || !commits::may_commit(turn, &group) {
        return Ok(());
    }
    let Some(difference) = difference(turn, &group)? else {
        return Ok(());
    };
    let own = turn.account()?.roster().clone();
    let theirs = match contact::of_account(turn.tx, group.account)? {
        Some(contact) => contact.roster()?,
        None => return Ok(()),
    };
    let mut packages = Vec::new();
    for one in claimed
        .key_packages
        .iter()
        .take(waxwing_protocol::limits::DEVICES)
    {
        let package =
            turn.with_mls(|provider, _| mls::KeyPackage::check(provider, &one.key_package))?;
        let Ok(package) = package else {
            turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
            continue;
        };
        let member = package.member();
        let lacking =
            difference.own.contains(&member.device) || difference.theirs.contains(&member.device);
        let fits = member.device.as_bytes().as_slice() == one.device_id
            && member.mailbox.as_bytes().as_slice() == one.mailbox_id;
        let admitted = trust::admits(&own, member) || trust::admits(&theirs, member);
        if lacking && fits && admitted {
            packages.push(package);
        } else if lacking {
            turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
        }
    }
    if packages.is_empty() {
        turn.wait(Waiting::Membership(id), AGAIN);
        return Ok(());
    }
    commits::change(turn, &group, &packages, &difference.gone)
}

/// The relay gave none.
pub(crate) fn claim_refused(turn: &mut Turn<'_>, id: GroupId, error: &Error) {
    turn.wait(Waiting::Membership(id), start::retry_after(error));
}

fn claim(
    turn: &mut Turn<'_>,
    group: &Group,
    address: String,
    devices: &[DeviceId],
) -> Result<(), Fault> {
    if Address::parse(&address).is_err() || turn.live.links.posting.ready().is_none() {
        return Ok(());
    }
    let Some(token) = tokens::take(turn)? else {
        turn.wait(Waiting::Membership(group.id), AGAIN);
        return Ok(());
    };
    let claim = ClaimKeyPackages {
        address,
        token: Some(token),
        device_ids: devices.iter().map(|device| device.to_bytes()).collect(),
    };
    turn.ask(
        LinkKind::Posting,
        Job::ClaimDevices(group.id),
        Body::ClaimKeyPackages(claim),
    );
    Ok(())
}

fn difference(turn: &mut Turn<'_>, group: &Group) -> Result<Option<Difference>, Fault> {
    let known = turn.with_group(group.id, |group, _, _| {
        group.members().map(|members| (members, group.epoch()))
    })?;
    let Some(Ok((members, epoch))) = known else {
        return Ok(None);
    };
    let Some(contact) = contact::of_account(turn.tx, group.account)? else {
        return Ok(None);
    };
    let theirs = contact.roster()?;
    let own = turn.account()?;
    let roster = own.roster();
    // A device that was removed itself has nothing to say.
    if !own.is_admitted() {
        return Ok(None);
    }
    let admitted =
        |member: &Member| trust::admits(roster, member) || trust::admits(&theirs, member);
    let lacking = |roster: &Roster| -> Vec<DeviceId> {
        roster
            .devices()
            .iter()
            .map(|device| device.id)
            .filter(|id| !members.iter().any(|member| member.device == *id))
            .collect()
    };
    let rank = members
        .iter()
        .filter(|member| member.account == own.id() && admitted(member))
        .filter(|member| member.device < own.device())
        .count();
    Ok(Some(Difference {
        gone: members
            .iter()
            .filter(|member| !admitted(member))
            .map(|member| member.leaf_key)
            .collect(),
        own: lacking(roster),
        theirs: lacking(&theirs),
        has_them: members.iter().any(|member| trust::admits(&theirs, member)),
        is_new: epoch.0 <= 1,
        rank: rank as u64,
    }))
}
