//! Commits: rekeying with our own, and following those of others.
//!
//! The relay accepts the first commit for an epoch. Ours is stored with the state to which it
//! leads, and posted until the relay has accepted it (its answer, or the commit's echo in our
//! mailbox, says so) or another came first. Then ours is dropped, the other one is processed
//! when it arrives, and the rekeying is tried again.
//!
//! **Elsewhere**: [`super::rejoin`] handles commits of devices that lost the group.
//!
//! **Always**: another device's commit is merged only if every leaf that it adds is admitted
//! by a roster that was looked up after the commit arrived. If a commit removes a device
//! without the right to do so, that device is no more excluded than anybody else: the group is
//! broken for all.

use std::collections::BTreeSet;

use prost::Message as _;
use waxwing_protocol::{
    conversation::ConversationSecrets,
    ids::{AccountId, DeviceId, Epoch, GroupId, PostId},
    limits,
    pb::{Error, ErrorCode, Post as PostRequest, PostKind, client_frame::Body},
    sealing::RejoinSecret,
    time::{Span, Time},
};

use super::{
    above::ConversationHook,
    behind, ending, epoch_keys, epochs, generations,
    group_state::{self, PendingCommit, StateKind},
    groups::{self, GroupRecord},
    join_epochs, leaves, member_changes, members,
    parcels::{self, Readers},
    re_add_queue,
    roles::{self, Broken, Change},
};
use crate::{
    api::RelayMisdeed,
    event::LinkKind,
    inbox::sender_counters::{self, Sender},
    link::{self, Job},
    mls::{self, IncomingCommit},
    trust::{self, Claimed, Judgement, own_history},
    turn::{Fault, Postponed, Turn},
};

/// That somebody leaves comes so long after the commit that takes them out, at most;
/// shorter than `BEHIND_FOR` of [`epochs`].
const LEAVE_WITHIN: Span = Span::seconds(15);

/// A commit that could not be made is tried again after this long.
const NOT_MADE_FOR: Span = Span::minutes(10);

/// A commit that this link may not post is posted again after this long.
const NOT_AUTHORISED_FOR: Span = Span::seconds(2);

/// What became of another's commit.
pub(crate) enum CommitOutcome {
    /// Its epoch has begun.
    Merged,
    /// A leaf of it has to be looked up first; nothing has changed.
    WaitsForLookUp,
    /// Something has to come first; nothing has changed.
    NotYet,
    /// It was refused; the group cannot be followed any more. With the device that made it.
    Refused(Box<mls::Member>),
    /// It was refused, and anybody may have made it: it is to be found out whether the relay
    /// took it.
    Doubtful,
    /// It takes this device out, with every right.
    RemovedUs {
        /// The device that made it.
        by: mls::Member,
        /// Whether the whole account is removed.
        account: bool,
    },
}

/// Up to so many accounts each device rekeys as often as in a conversation of two; in larger
/// groups the rarer, so that the group as a whole is rekeyed as often.
const REKEYS_AS_TWO: u64 = 32;

/// Whether the group's own key has been used for long enough.
pub(crate) fn rekey_due(turn: &Turn<'_>, group: &GroupRecord) -> Result<bool, Fault> {
    let (messages, age) = (group.since_rekey, turn.now.since(group.rekeyed_at));
    if messages < limits::REKEY_MESSAGES && age < limits::REKEY_AGE {
        return Ok(false);
    }
    let accounts = match group.conversation.filter(|_| group.account.is_none()) {
        Some(conversation) => members::count(turn.tx, conversation)?,
        None => 2,
    };
    let rarer = accounts.div_ceil(REKEYS_AS_TWO).max(1);
    Ok(messages >= limits::REKEY_MESSAGES * rarer || age.0 >= limits::REKEY_AGE.0 * rarer)
}

/// Whether a commit of this device can be made now: none is on its way, and it is not
/// behind.
pub(crate) fn may_commit(turn: &Turn<'_>, group: &GroupRecord) -> bool {
    group.state.pending_commit().is_none()
        && !turn.memory.is_behind(group.id)
        && !turn.is_postponed(&Postponed::Group(group.id))
}

/// Renews this device's key in the group, unless the device is behind.
pub(crate) fn rekey(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    commit_change(turn, group, &[], &[], None)
}

/// Adds devices and takes others out, named by their leaf keys, unless this one is behind;
/// `secrets` are what all members know from then on, where that changes. With it this
/// device's key is made anew.
pub(crate) fn commit_change(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    added: &[mls::KeyPackage],
    gone: &[[u8; 32]],
    secrets: Option<&ConversationSecrets>,
) -> Result<(), Fault> {
    if !may_commit(turn, group) {
        return Ok(());
    }
    let own = turn.account()?.device();
    let made = turn.with_group(group.id, |group, provider, leaf| {
        let epoch = group.epoch();
        let before: Vec<DeviceId> = group.members()?.iter().map(|it| it.device).collect();
        group
            .change(provider, leaf, added, gone, secrets)
            .map(|commit| (epoch, commit, before))
    })?;
    let Some(made) = made else {
        return behind::mark_lost(turn, group.id);
    };
    let (epoch, commit, mut before) = match made {
        Ok(made) => made,
        Err(mls::MlsError::Store(error)) => return Err(error.into()),
        // It would be refused by everybody, or by MLS: the group stays as it is.
        Err(_) => {
            turn.postpone(Postponed::Group(group.id), NOT_MADE_FOR);
            return Ok(());
        }
    };
    let post = PostId(turn.random());
    let renews = !added.is_empty() || !gone.is_empty();
    let rejoin_secret = if renews {
        RejoinSecret::from_bytes(commit.next.keys.rejoin_secret)
    } else {
        group.rejoin_secret.clone()
    };
    let mut next = epoch_keys::epoch_keys(turn, group.id, &rejoin_secret, &commit.next);
    if renews {
        let key = rejoin_secret.signing_key().public();
        next.rejoin_key = bytes::Bytes::copy_from_slice(key.as_bytes());
    }
    // A removed member is told as well.
    let next_devices = commit.next.members.iter().map(|member| member.device);
    let newcomers = next_devices.filter(|device| !before.contains(device));
    let newcomers = newcomers.collect();
    before.retain(|device| *device != own);
    let body = parcels::pack(turn, group.id, commit.commit, Readers::Devices(before))?;
    let welcome = commit.welcome.unwrap_or_default();
    let welcome = parcels::pack(turn, group.id, welcome, Readers::Devices(newcomers))?;
    let info = next.sealed_group_info.into();
    next.sealed_group_info = parcels::pack(turn, group.id, info, Readers::Anybody)?.into();
    let request = PostRequest {
        group_id: group.id.to_bytes(),
        epoch: epoch.0,
        kind: PostKind::Commit.into(),
        post_id: post.to_bytes(),
        body: body.into(),
        next: Some(next),
        next_fan_out_key: commit.next.keys.fan_out_key.to_vec().into(),
        welcome: welcome.into(),
        // The request is stored and may be sent any number of times.
        first_attempt: false,
    };
    let request = request.encode_to_vec();
    group_state::begin_commit(turn.tx, group.id, &PendingCommit { post, request })?;
    turn.memory.due_mut().groups.insert(group.id);
    Ok(())
}

/// Posts the pending commit.
pub(crate) fn post(turn: &mut Turn<'_>, id: GroupId, commit: &PendingCommit) -> Result<(), Fault> {
    let job = Job::Commit(id, commit.post);
    if turn.memory.links.posting.awaits(&job) || turn.is_postponed(&Postponed::Group(id)) {
        return Ok(());
    }
    let request = PostRequest::decode(commit.request.as_slice())
        .map_err(|_| Fault::Broken("a pending commit without its request".into()))?;
    if parcels::are_there(turn, id)? && epochs::authorise(turn, id)? {
        turn.send_request(LinkKind::Posting, job, Body::Post(request));
    }
    Ok(())
}

/// The relay has taken our commit of this post id, and gave it this number in the group.
pub(crate) fn handle_accepted(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    post: PostId,
    sequence: u64,
) -> Result<(), Fault> {
    // Not another one, which the relay has not been given yet: that its epoch began is not
    // so.
    let Some(commit) = pending(group, post) else {
        return Ok(());
    };
    let merged = turn.with_group(group.id, |group, provider, _| {
        let (before, members) = (group.secrets()?, group.members()?);
        group.merge_pending(provider)?;
        let keys = group.keys(provider)?;
        Ok::<_, mls::MlsError>((group.epoch(), keys, before, members, group.secrets()?))
    })?;
    let Some(merged) = merged else {
        return behind::mark_lost(turn, group.id);
    };
    let (epoch, keys, before, members, after) = merged?;
    if renews_secret(commit) {
        let secret = RejoinSecret::from_bytes(keys.rejoin_secret);
        groups::set_rejoin_secret(turn.tx, group.id, &secret)?;
    }
    group_state::end_commit(turn.tx, group.id, Some(turn.now))?;
    parcels::handle_commit_accepted(turn, group.id)?;
    behind::handle_new_epoch(turn, group.id, epoch);
    let own = turn.account()?.id();
    follow(turn, group, &before, &after, Some(own))?;
    leaves::follow(turn, group, &members, sequence)?;
    // Whether this link may post in the new epoch is not known: the relay answers a commit
    // that is posted again after a crash as it did the first time, on another link. So it
    // is asked for.
    turn.memory
        .due_mut()
        .conversations
        .extend(group.conversation);
    Ok(())
}

/// Whether the pending commit adds or removes a leaf.
fn renews_secret(commit: &PendingCommit) -> bool {
    let request = PostRequest::decode(commit.request.as_slice());
    let next = request.ok().and_then(|request| request.next);
    next.is_some_and(|next| !next.rejoin_key.is_empty())
}

/// The pending commit, if it is the one of this post id.
fn pending(group: &GroupRecord, post: PostId) -> Option<&PendingCommit> {
    let commit = group.state.pending_commit();
    commit.filter(|commit| commit.post == post)
}

/// The relay did not take our commit of this post id.
pub(crate) fn handle_refused(
    turn: &mut Turn<'_>,
    id: GroupId,
    post: PostId,
    error: &Error,
) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    if pending(&group, post).is_none() {
        return Ok(());
    }
    match error.code() {
        ErrorCode::EpochConflict => {
            drop_pending(turn, &group)?;
            behind::handle_epoch(turn, id, Epoch(error.epoch))?;
            turn.memory
                .due_mut()
                .conversations
                .extend(group.conversation);
            Ok(())
        }
        // As a rule the epoch is over, and the commit that ended it is on its way.
        ErrorCode::Unauthorised => {
            turn.memory.links.deauthorise(id);
            turn.postpone(Postponed::Group(id), NOT_AUTHORISED_FOR);
            Ok(())
        }
        ErrorCode::GroupUnknown => ending::deny(turn, &group),
        ErrorCode::Malformed | ErrorCode::TooLarge => {
            drop_pending(turn, &group)?;
            turn.postpone(Postponed::Group(id), link::retry_after(error));
            Ok(())
        }
        _ => {
            turn.postpone(Postponed::Group(id), link::retry_after(error));
            Ok(())
        }
    }
}

/// Another commit came first, or ours cannot be posted: it never was.
fn drop_pending(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    group_state::end_commit(turn.tx, group.id, None)?;
    turn.with_group(group.id, |group, provider, _| group.clear_pending(provider))?
        .transpose()?;
    Ok(())
}

/// Looks at another's commit, which came at this time and has this number in the group, and
/// merges it.
pub(crate) fn handle_commit(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    commit: IncomingCommit,
    (came_at, sequence): (Time, u64),
) -> Result<CommitOutcome, Fault> {
    let before = turn.with_group(group.id, |group, _, _| {
        Ok::<_, mls::MlsError>((group.secrets()?, group.members()?))
    })?;
    let Some(Ok((before, members))) = before else {
        return Ok(CommitOutcome::Doubtful);
    };
    let by = commit.committer.clone();
    // Who joins by an external commit is known only when that leaf was judged.
    let mut culprit = (!commit.external).then(|| by.clone());
    match allowed(turn, group, &commit, &before, &members)? {
        Ok(()) => {}
        // That they leave may be on its way.
        Err(Broken::TakeOut) if !is_late(turn, group.id) => {
            behind::handle_epoch(turn, group.id, commit.epoch)?;
            turn.postpone(Postponed::Group(group.id), LEAVE_WITHIN);
            return Ok(CommitOutcome::NotYet);
        }
        Err(_) => return Ok(refuse(turn, culprit)),
    }
    if !leaves::fit(&members, &commit) || does_too_much(turn, group, &commit)? {
        return Ok(refuse(turn, culprit));
    }
    let after = commit.secrets.clone().unwrap_or_else(|| before.clone());
    if !commit.removes_us {
        match judge_leaves(turn, group, &commit, &after, came_at)? {
            Judgement::Admitted => culprit = Some(by.clone()),
            Judgement::Unknown => return Ok(CommitOutcome::WaitsForLookUp),
            // The device that made it may have known more than the relay says now.
            Judgement::Denied => return Ok(refuse(turn, None)),
            Judgement::Refused => return Ok(refuse(turn, culprit)),
        }
    }
    match judge_removals(turn, group, &commit, (&before, &after), came_at)? {
        Judgement::Admitted => {}
        Judgement::Unknown => return Ok(CommitOutcome::WaitsForLookUp),
        Judgement::Refused | Judgement::Denied => return Ok(refuse(turn, culprit)),
    }
    if commit.removes_us {
        // By this account's own doing, perhaps, which the log then tells.
        own_history::request_check(turn);
        let own = turn.account()?.id();
        let account = group.account.is_none() && after.addresses.of(own).is_none();
        return Ok(CommitOutcome::RemovedUs { by, account });
    }
    let left: Vec<DeviceId> = commit
        .removed
        .iter()
        .filter(|member| !re_add_queue::is_re_add(member, &commit.leaves))
        .map(|member| member.device)
        .collect();
    if group.state.pending_commit().is_some() {
        group_state::end_commit(turn.tx, group.id, None)?;
    }
    let removed = commit.removed.clone();
    let came: Vec<DeviceId> = commit.leaves.iter().map(|leaf| leaf.device).collect();
    let renews = !commit.external && (!commit.leaves.is_empty() || !removed.is_empty());
    let merged = turn.with_group(group.id, |group, provider, _| {
        group.merge(provider, commit)?;
        Ok::<_, mls::MlsError>((group.epoch(), group.keys(provider)?))
    })?;
    let Some(merged) = merged else {
        return Ok(CommitOutcome::Doubtful);
    };
    let (epoch, keys) = match merged {
        Ok(merged) => merged,
        Err(mls::MlsError::Store(error)) => return Err(error.into()),
        Err(_) => return Ok(CommitOutcome::Doubtful),
    };
    if renews {
        let secret = RejoinSecret::from_bytes(keys.rejoin_secret);
        groups::set_rejoin_secret(turn.tx, group.id, &secret)?;
    }
    parcels::handle_new_epoch(turn, group.id)?;
    behind::handle_new_epoch(turn, group.id, epoch);
    for device in left {
        let group = group.id;
        sender_counters::give_up(turn.tx, Sender { group, device })?;
    }
    follow(turn, group, &before, &after, Some(by.account))?;
    leaves::follow(turn, group, &members, sequence)?;
    for device in came {
        re_add_queue::forget_re_add(turn.tx, group.id, device)?;
    }
    let others = removed
        .into_iter()
        .filter(|gone| group.account.is_some() || after.addresses.of(gone.account).is_some());
    let others: Vec<mls::Member> = others.collect();
    leaves::look_into(turn, &others)?;
    // Devices that their accounts still have are to come back: a thief may have taken them out
    // by the device that is theirs now.
    for gone in &others {
        if let Some(conversation) = group.conversation {
            members::set_due(turn.tx, conversation, gone.account)?;
        }
        groups::set_membership_due(turn.tx, group.id)?;
        turn.memory.due_mut().groups.insert(group.id);
    }
    turn.memory
        .due_mut()
        .conversations
        .extend(group.conversation);
    Ok(CommitOutcome::Merged)
}

/// A commit breaks a rule. Whoever makes an external one names themselves, so that nobody is to
/// blame for one whose leaf was not proved.
fn refuse(turn: &mut Turn<'_>, culprit: Option<mls::Member>) -> CommitOutcome {
    turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
    culprit.map_or(CommitOutcome::Doubtful, |culprit| {
        CommitOutcome::Refused(Box::new(culprit))
    })
}

/// What the roles say.
fn allowed(
    turn: &Turn<'_>,
    group: &GroupRecord,
    commit: &IncomingCommit,
    before: &ConversationSecrets,
    members: &[mls::Member],
) -> Result<Result<(), Broken>, Fault> {
    let leaving = match group.conversation {
        Some(conversation) => members::leaving(turn.tx, conversation)?,
        None => BTreeSet::new(),
    };
    let by = &commit.committer;
    let is_by = |gone: &mls::Member| (gone.account, gone.device) == (by.account, by.device);
    let leaves = commit.leaves.iter().chain(&commit.changed);
    let added: Vec<AccountId> = leaves.map(|leaf| leaf.account).collect();
    Ok(roles::check(&Change {
        before,
        after: commit.secrets.as_ref(),
        committer: by.account,
        external: commit.external,
        removes_others: !commit.removed.iter().all(is_by),
        added: &added,
        kept: &kept_by(members, commit),
        leaving: &leaving,
    }))
}

/// Whether the committer is a device that had been revoked when it came into the group, and does
/// more than renew its own key.
fn does_too_much(
    turn: &Turn<'_>,
    group: &GroupRecord,
    commit: &IncomingCommit,
) -> Result<bool, Fault> {
    let changes_nothing = commit.leaves.is_empty()
        && commit.changed.is_none()
        && commit.removed.is_empty()
        && commit.secrets.is_none();
    if commit.external || changes_nothing {
        return Ok(false);
    }
    Ok(leaves::came_revoked(
        turn.tx,
        group.id,
        commit.committer.device,
    )?)
}

fn judge_leaves(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    commit: &IncomingCommit,
    after: &ConversationSecrets,
    came_at: Time,
) -> Result<Judgement, Fault> {
    let claimed = match group.account {
        Some(_) => Claimed::Known,
        None => Claimed::InGroup(&after.addresses),
    };
    let new: Vec<mls::Member> = commit
        .leaves
        .iter()
        .chain(&commit.changed)
        .cloned()
        .collect();
    // In a conversation of two, somebody who names another mailbox than before harms nobody else.
    if group.account.is_some() {
        for leaf in &new {
            if leaves::has_another_mailbox(turn.tx, leaf)? {
                return Ok(Judgement::Refused);
            }
        }
    }
    trust::judge(turn, &new, claimed, came_at)
}

fn judge_removals(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    commit: &IncomingCommit,
    (before, after): (&ConversationSecrets, &ConversationSecrets),
    came_at: Time,
) -> Result<Judgement, Fault> {
    let by = &commit.committer;
    let is_group = group.account.is_none();
    let is_admin = before
        .state
        .as_ref()
        .is_some_and(|state| state.is_admin(by.account));
    // Whoever is no member any more has no say in which devices go; and whoever may bring a
    // device back takes its old leaf out with the same commit.
    let goes = |member: &mls::Member| is_group && after.addresses.of(member.account).is_none();
    let comes_back = |member: &mls::Member| {
        (is_admin || !is_group) && re_add_queue::is_re_add(member, &commit.leaves)
    };
    let removed: Vec<mls::Member> = commit
        .removed
        .iter()
        .filter(|member| !goes(member) && !comes_back(member))
        .cloned()
        .collect();
    trust::judge_removal(turn, by, &removed, came_at)
}

/// A commit came that this device cannot read, or that breaks a rule by nobody knows whose
/// doing. Whether the relay took it shows when the group's information is fetched: see
/// [`super::rejoin`].
pub(crate) fn handle_unreadable_commit(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    epoch: Epoch,
) -> Result<(), Fault> {
    let ours = turn.with_group(group.id, |group, _, _| Ok::<_, Fault>(group.epoch()))?;
    // An epoch that is over had its commit.
    if !group.state.is_active() || ours.transpose()? != Some(epoch) {
        return Ok(());
    }
    behind::lose(turn, group.id, Some(epoch))
}

/// The relay has not taken the commit that could not be read: the group is as it was. `false`
/// where this device has it no more.
pub(crate) fn continue_after_unreadable_commit(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
) -> Result<bool, Fault> {
    let cleared = turn.with_group(group.id, |group, provider, _| group.clear_pending(provider))?;
    match cleared {
        Some(Ok(())) => {}
        Some(Err(mls::MlsError::Store(error))) => return Err(error.into()),
        Some(Err(_)) | None => return Ok(false),
    }
    group_state::enter(turn.tx, group.id, StateKind::Active)?;
    turn.memory.due_mut().groups.insert(group.id);
    turn.memory
        .due_mut()
        .conversations
        .extend(group.conversation);
    Ok(true)
}

/// The accounts of the leaves that a commit keeps, in the order of the tree.
fn kept_by(members: &[mls::Member], commit: &IncomingCommit) -> Vec<AccountId> {
    let goes = |member: &&mls::Member| {
        let mut removed = commit.removed.iter();
        removed.any(|gone| gone.leaf_key == member.leaf_key)
    };
    let kept = members.iter().filter(|member| !goes(member));
    kept.map(|member| member.account).collect()
}

/// What all members know of the group may be another from now on.
fn follow(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    before: &ConversationSecrets,
    after: &ConversationSecrets,
    by: Option<AccountId>,
) -> Result<(), Fault> {
    join_epochs::follow(turn, group)?;
    if let Some(conversation) = group.conversation.filter(|_| group.account.is_none()) {
        generations::handle_newer_generations(turn, conversation, group.id, after)?;
        if groups::is_current(turn.tx, conversation, group.id)? {
            member_changes::follow(turn, group.id, before.state.as_ref(), after, by)?;
            for hook in turn.hooks.of::<dyn ConversationHook>() {
                hook.handle_members_changed(turn, group)?;
            }
        }
    }
    // What is still wanted is made from what the group is now; and whoever leaves may be
    // alone in it.
    let own = turn.account()?.id();
    let leaves = match group.conversation {
        Some(conversation) => members::leaving(turn.tx, conversation)?.contains(&own),
        None => false,
    };
    if leaves {
        groups::set_membership_due(turn.tx, group.id)?;
    }
    if group.membership_due || leaves {
        turn.memory.due_mut().groups.insert(group.id);
    }
    Ok(())
}

/// Whether this device has waited long enough for what explains a commit.
fn is_late(turn: &Turn<'_>, group: GroupId) -> bool {
    let since = turn.memory.behind_since(group);
    since.is_some_and(|since| turn.now.since(since) >= LEAVE_WITHIN)
}
