//! Commits: rekeying by our own, and taking part in those of others.
//!
//! The relay takes the first commit for an epoch. Ours is stored with the state that
//! it would lead to and posted until the relay has taken it (its answer, or the
//! commit's echo in our mailbox, says so) or another came first: then ours is
//! dropped, the other is processed when it comes, and the rekeying is tried again.
//!
//! **Elsewhere**: commits of devices that lost the group: [`super::rejoin`].
//!
//! **Always**: a commit of another device is merged only when every leaf that it
//! brings is admitted by a roster.

use std::collections::BTreeSet;

use prost::Message as _;
use waxwing_protocol::{
    conversation::ConversationSecrets,
    ids::{AccountId, GroupId, PostId},
    limits,
    pb::{Error, ErrorCode, Post as PostRequest, PostKind, client_frame::Body},
    time::Span,
};

use super::{
    again,
    groups::{self, Group},
    joined, members,
    parcels::{self, Readers},
    roles::{self, Broken, Change},
    start,
};
use crate::{
    api::RelayMisdeed,
    event::LinkKind,
    link::{Job, posting},
    mls::{self, IncomingCommit},
    trust::{self, Claimed, Judgement, own_history},
    turn::{Fault, Turn, Waiting},
};

/// That somebody leaves comes so long after the commit that takes them out, at most;
/// shorter than [`posting::BEHIND_FOR`].
const LEAVE_WITHIN: Span = Span::seconds(15);

/// What became of another's commit.
pub(crate) enum Taken {
    /// Its epoch has begun.
    Merged,
    /// A leaf of it has to be looked up first; nothing has changed.
    WaitsForLookUp,
    /// Something has to come first; nothing has changed.
    NotYet,
    /// It was refused; the group cannot be followed any more. With whose doing it was,
    /// where it breaks a rule.
    Refused(Option<AccountId>),
    /// It takes this device out.
    RemovedUs {
        /// Whose doing.
        by: AccountId,
        /// Whether the whole account is taken out, with every right.
        account: bool,
    },
}

/// Up to so many accounts each device rekeys as often as in a conversation of two; in larger
/// groups the rarer, so that the group as a whole is rekeyed as often.
const REKEYS_AS_TWO: u64 = 32;

/// Whether the group's own key has been used for long enough.
pub(crate) fn rekey_due(turn: &Turn<'_>, group: &Group) -> Result<bool, Fault> {
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
pub(crate) fn may_commit(turn: &Turn<'_>, group: &Group) -> bool {
    !group.commit_pending
        && !turn.live.behind.contains_key(&group.id)
        && !turn.waits(&Waiting::Group(group.id))
}

/// Makes this device's key in the group anew, unless it is behind.
pub(crate) fn rekey(turn: &mut Turn<'_>, group: &Group) -> Result<(), Fault> {
    change(turn, group, &[], &[], None)
}

/// Adds devices and takes others out, named by their leaf keys, unless this one is behind;
/// `secrets` are what all members know from then on, where that changes. With it this
/// device's key is made anew.
pub(crate) fn change(
    turn: &mut Turn<'_>,
    group: &Group,
    added: &[mls::KeyPackage],
    gone: &[[u8; 32]],
    secrets: Option<&ConversationSecrets>,
) -> Result<(), Fault> {
    if !may_commit(turn, group) {
        return Ok(());
    }
    let made = turn.with_group(group.id, |group, provider, leaf| {
        let epoch = group.epoch();
        group
            .change(provider, leaf, added, gone, secrets)
            .map(|commit| (epoch, commit))
    })?;
    let Some(made) = made else {
        return turn.lose_group(group.id);
    };
    let (epoch, commit) = made?;
    let post = PostId(turn.random());
    let rejoin_secret = secrets.map_or(&group.rejoin_secret, |secrets| &secrets.rejoin_secret);
    let mut next = start::epoch_keys(turn, group.id, rejoin_secret, &commit.next);
    if rejoin_secret.as_bytes() != group.rejoin_secret.as_bytes() {
        let key = rejoin_secret.signing_key().public();
        next.rejoin_key = bytes::Bytes::copy_from_slice(key.as_bytes());
    }
    // Whoever is taken out is told as well.
    let told = commit.next.members.len() + gone.len();
    let others = told.saturating_sub(added.len() + 1);
    let body = parcels::pack(turn, group.id, commit.commit, Readers::Devices(others))?;
    let welcome = commit.welcome.unwrap_or_default();
    let welcome = parcels::pack(turn, group.id, welcome, Readers::Devices(added.len()))?;
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
    groups::begin_commit(turn.tx, group.id, post, &request.encode_to_vec())?;
    turn.live.due_groups.insert(group.id);
    Ok(())
}

/// Posts the pending commit.
pub(crate) fn post(turn: &mut Turn<'_>, group: &Group) -> Result<(), Fault> {
    let Some(id) = group.commit_post else {
        return Err(Fault::Broken("a pending commit without its post id".into()));
    };
    let job = Job::Commit(group.id, id);
    if turn.live.links.posting.awaits(&job) || turn.waits(&Waiting::Group(group.id)) {
        return Ok(());
    }
    let request = group
        .request
        .as_deref()
        .and_then(|bytes| PostRequest::decode(bytes).ok())
        .ok_or_else(|| Fault::Broken("a pending commit without its request".into()))?;
    if parcels::are_there(turn, group.id)? && posting::authorise(turn, group.id)? {
        turn.ask(LinkKind::Posting, job, Body::Post(request));
    }
    Ok(())
}

/// The relay has taken our commit of this post id.
pub(crate) fn accepted(turn: &mut Turn<'_>, group: &Group, post: PostId) -> Result<(), Fault> {
    // Not another one, which the relay has not been given yet: that its epoch began is not
    // so.
    if !is_pending(group, post) {
        return Ok(());
    }
    let merged = turn.with_group(group.id, |group, provider, _| {
        let before = group.secrets()?;
        group.merge_pending(provider)?;
        Ok::<_, mls::MlsError>((group.epoch(), before, group.secrets()?))
    })?;
    let Some(merged) = merged else {
        return turn.lose_group(group.id);
    };
    let (epoch, before, after) = merged?;
    groups::end_commit(turn.tx, group.id, Some(turn.now))?;
    parcels::commit_taken(turn, group.id)?;
    posting::epoch_began(turn, group.id, epoch);
    let own = turn.account()?.id();
    follow(turn, group, &before, &after, Some(own))?;
    // Whether this link may post in the new epoch is not known: the relay answers a commit
    // that is posted again after a crash as it did the first time, on another link. So it
    // is asked for.
    turn.live.due_conversations.extend(group.conversation);
    Ok(())
}

/// Whether the commit of this post id is the one that waits.
fn is_pending(group: &Group, post: PostId) -> bool {
    group.commit_pending && group.commit_post == Some(post)
}

/// The relay did not take our commit of this post id.
pub(crate) fn refused(
    turn: &mut Turn<'_>,
    id: GroupId,
    post: PostId,
    error: &Error,
) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    if !is_pending(&group, post) {
        return Ok(());
    }
    match error.code() {
        ErrorCode::EpochConflict => {
            drop_pending(turn, &group)?;
            posting::heard_epoch(turn, id, waxwing_protocol::ids::Epoch(error.epoch))?;
            turn.live.due_conversations.extend(group.conversation);
            Ok(())
        }
        ErrorCode::Unauthorised => {
            turn.live.links.deauthorise(id);
            turn.wait(Waiting::Group(id), start::retry_after(error));
            Ok(())
        }
        ErrorCode::GroupUnknown => start::deny(turn, &group),
        ErrorCode::Malformed | ErrorCode::TooLarge => {
            drop_pending(turn, &group)?;
            turn.wait(Waiting::Group(id), start::retry_after(error));
            Ok(())
        }
        _ => {
            turn.wait(Waiting::Group(id), start::retry_after(error));
            Ok(())
        }
    }
}

/// Another commit came first, or ours cannot be posted: it never was.
fn drop_pending(turn: &mut Turn<'_>, group: &Group) -> Result<(), Fault> {
    groups::end_commit(turn.tx, group.id, None)?;
    turn.with_group(group.id, |group, provider, _| group.clear_pending(provider))?
        .transpose()?;
    Ok(())
}

/// Looks at another's commit and merges it.
pub(crate) fn take(
    turn: &mut Turn<'_>,
    group: &Group,
    commit: IncomingCommit,
) -> Result<Taken, Fault> {
    if commit.removes_us {
        // By this account's own doing, which the log then tells; by an admin's; or by
        // nobody's right.
        own_history::want(turn);
        let own = turn.account()?.id();
        let account = match (&commit.secrets, group.account) {
            (Some(after), None) => after.addresses.of(own).is_none(),
            _ => false,
        };
        let by = commit.committer.account;
        return Ok(Taken::RemovedUs { by, account });
    }
    let before = turn.with_group(group.id, |group, _, _| group.secrets())?;
    let Some(Ok(before)) = before else {
        return Ok(Taken::Refused(None));
    };
    let leaving = match group.conversation {
        Some(conversation) => members::leaving(turn.tx, conversation)?,
        None => BTreeSet::new(),
    };
    let added: Vec<AccountId> = commit.leaves.iter().map(|leaf| leaf.account).collect();
    let allowed = roles::check(&Change {
        before: &before,
        after: commit.secrets.as_ref(),
        committer: commit.committer.account,
        removes: !commit.removed.is_empty(),
        added: &added,
        leaving: &leaving,
    });
    match allowed {
        Ok(()) => {}
        // That they leave may be on its way.
        Err(Broken::TakeOut) if !is_late(turn, group.id) => {
            posting::heard_epoch(turn, group.id, commit.epoch)?;
            turn.wait(Waiting::Group(group.id), LEAVE_WITHIN);
            return Ok(Taken::NotYet);
        }
        Err(_) => {
            turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
            return Ok(Taken::Refused(Some(commit.committer.account)));
        }
    }
    let after = commit.secrets.clone().unwrap_or_else(|| before.clone());
    let claimed = match group.account {
        Some(_) => Claimed::Known,
        None => Claimed::InGroup(&after.addresses),
    };
    let arrives = trust::judge(turn, &commit.leaves, claimed)?;
    let judgement = match arrives {
        Judgement::Admitted => {
            // Whoever is no member any more has no say in which devices go.
            let stays = |member: &&mls::Member| after.addresses.of(member.account).is_some();
            let again = |member: &&mls::Member| again::comes_again(member, &commit.leaves);
            let is_group = group.account.is_none();
            let removed = commit.removed.iter();
            let removed: Vec<mls::Member> = removed
                .filter(|member| (!is_group || stays(member)) && !again(member))
                .cloned()
                .collect();
            trust::judge_removal(turn, &commit.committer, &removed)?
        }
        other => other,
    };
    match judgement {
        Judgement::Admitted => {}
        Judgement::Unknown => return Ok(Taken::WaitsForLookUp),
        Judgement::Refused => {
            turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
            return Ok(Taken::Refused(Some(commit.committer.account)));
        }
    }
    let by = commit.committer.account;
    if group.commit_pending {
        groups::end_commit(turn.tx, group.id, None)?;
    }
    let merged = turn.with_group(group.id, |group, provider, _| {
        group.merge(provider, commit).map(|()| group.epoch())
    })?;
    let Some(merged) = merged else {
        return Ok(Taken::Refused(None));
    };
    let epoch = match merged {
        Ok(epoch) => epoch,
        Err(mls::MlsError::Store(error)) => return Err(error.into()),
        Err(_) => return Ok(Taken::Refused(None)),
    };
    parcels::epoch_began(turn, group.id)?;
    posting::epoch_began(turn, group.id, epoch);
    follow(turn, group, &before, &after, Some(by))?;
    turn.live.due_conversations.extend(group.conversation);
    Ok(Taken::Merged)
}

/// What all members know of the group may be another from now on.
fn follow(
    turn: &mut Turn<'_>,
    group: &Group,
    before: &ConversationSecrets,
    after: &ConversationSecrets,
    by: Option<AccountId>,
) -> Result<(), Fault> {
    if before.rejoin_secret.as_bytes() != after.rejoin_secret.as_bytes() {
        groups::set_rejoin_secret(turn.tx, group.id, &after.rejoin_secret)?;
    }
    joined::follow(turn, group)?;
    if group.account.is_none() {
        members::follow(turn, group.id, before.state.as_ref(), after, by)?;
    }
    // What is still wanted is made from what the group is now.
    if group.membership_due {
        turn.live.due_groups.insert(group.id);
    }
    Ok(())
}

/// Whether this device has waited long enough for what explains a commit.
fn is_late(turn: &Turn<'_>, group: GroupId) -> bool {
    let since = turn.live.behind.get(&group).map(|(_, since)| *since);
    since.is_some_and(|since| turn.now.since(since) >= LEAVE_WITHIN)
}
