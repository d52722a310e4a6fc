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

use prost::Message as _;
use waxwing_protocol::{
    ids::{GroupId, PostId},
    limits,
    pb::{Error, ErrorCode, Post as PostRequest, PostKind, client_frame::Body},
};

use super::{
    groups::{self, Group},
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

/// What became of another's commit.
pub(crate) enum Taken {
    /// Its epoch has begun.
    Merged,
    /// A leaf of it has to be looked up first; nothing has changed.
    WaitsForLookUp,
    /// It was refused; the group cannot be followed any more.
    Refused,
    /// It takes this device out.
    RemovedUs,
}

/// Whether the group's own key has been used for long enough.
pub(crate) fn rekey_due(turn: &Turn<'_>, group: &Group) -> bool {
    group.since_rekey >= limits::REKEY_MESSAGES
        || turn.now.since(group.rekeyed_at) >= limits::REKEY_AGE
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
    change(turn, group, &[], &[])
}

/// Adds devices and takes others out, named by their leaf keys, unless this one is behind;
/// with it this device's key is made anew.
pub(crate) fn change(
    turn: &mut Turn<'_>,
    group: &Group,
    added: &[mls::KeyPackage],
    gone: &[[u8; 32]],
) -> Result<(), Fault> {
    if !may_commit(turn, group) {
        return Ok(());
    }
    let made = turn.with_group(group.id, |group, provider, leaf| {
        let epoch = group.epoch();
        group
            .change(provider, leaf, added, gone)
            .map(|commit| (epoch, commit))
    })?;
    let Some(made) = made else {
        return turn.lose_group(group.id);
    };
    let (epoch, commit) = made?;
    let post = PostId(turn.random());
    let request = PostRequest {
        group_id: group.id.to_bytes(),
        epoch: epoch.0,
        kind: PostKind::Commit.into(),
        post_id: post.to_bytes(),
        body: commit.commit.clone().into(),
        next: Some(start::epoch_keys(
            turn,
            group.id,
            &group.rejoin_secret,
            &commit,
        )),
        next_fan_out_key: commit.keys.fan_out_key.to_vec().into(),
        welcome: commit.welcome.clone().unwrap_or_default().into(),
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
    if posting::authorise(turn, group.id)? {
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
        group.merge_pending(provider).map(|()| group.epoch())
    })?;
    let Some(merged) = merged else {
        return turn.lose_group(group.id);
    };
    let epoch = merged?;
    groups::end_commit(turn.tx, group.id, Some(turn.now))?;
    posting::epoch_began(turn, group.id, epoch);
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
        // By this account's own doing, which the log then tells; or by nobody's right.
        own_history::want(turn);
        return Ok(Taken::RemovedUs);
    }
    // Two people's conversation stays between them.
    let own = turn.account()?.id();
    let stays = commit
        .leaves
        .iter()
        .all(|leaf| leaf.account == own || leaf.account == group.account);
    if !stays {
        turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
        return Ok(Taken::Refused);
    }
    let arrives = trust::judge(turn, &commit.leaves, Claimed::Known)?;
    let judgement = match arrives {
        Judgement::Admitted => trust::judge_removal(turn, &commit.committer, &commit.removed)?,
        other => other,
    };
    match judgement {
        Judgement::Admitted => {}
        Judgement::Unknown => return Ok(Taken::WaitsForLookUp),
        Judgement::Refused => {
            turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
            return Ok(Taken::Refused);
        }
    }
    if group.commit_pending {
        groups::end_commit(turn.tx, group.id, None)?;
    }
    let merged = turn.with_group(group.id, |group, provider, _| {
        group.merge(provider, commit).map(|()| group.epoch())
    })?;
    let Some(merged) = merged else {
        return Ok(Taken::Refused);
    };
    let epoch = match merged {
        Ok(epoch) => epoch,
        Err(mls::MlsError::Store(error)) => return Err(error.into()),
        Err(_) => return Ok(Taken::Refused),
    };
    posting::epoch_began(turn, group.id, epoch);
    turn.live.due_conversations.extend(group.conversation);
    Ok(Taken::Merged)
}
