//! Epochs: the right to post in a group's epoch, and what the relay says about epochs.
//!
//! If the relay knows of a later epoch than this device, a commit is on its way here, or was
//! lost. A group that stays behind for [`BEHIND_FOR`] is lost, and the device rejoins it.
//!
//! **Elsewhere**: [`super::commits`] begins epochs; [`super::rejoin`] rejoins lost groups.
//!
//! **Always**: a group that is lost has nothing on its way to the relay, and no MLS state in
//! memory.

use waxwing_protocol::{
    ids::{Epoch, GroupId},
    pb::{AuthorisePosting, Error, ErrorCode, client_frame::Body},
    posting::{PostingAct, PostingKey},
    time::{Span, Time},
};

use super::{behind, ending, groups};
use crate::{
    containment::ErrorOwner,
    event::LinkKind,
    link::{Job, LinkPhase, retry_after},
    turn::{Fault, Postponed, Turn},
};

/// A device that is behind the relay's epoch for this long while its mailbox is empty
/// has missed a commit.
const BEHIND_FOR: Span = Span::seconds(30);

/// Asks for the right to post, unless the link has it; `false` where it cannot be
/// asked for.
pub(crate) fn authorise(turn: &mut Turn<'_>, id: GroupId) -> Result<bool, Fault> {
    let Some(exporter) = turn.memory.links.posting.ready() else {
        return Ok(false);
    };
    let Some(epoch) = turn.with_group(id, |group, _, _| Ok::<_, Fault>(group.epoch()))? else {
        behind::mark_lost(turn, id)?;
        return Ok(false);
    };
    let epoch = epoch?;
    let now = turn.now;
    if turn.memory.links.is_authorised(now, id, epoch) {
        return Ok(true);
    }
    let keys = turn.with_group(id, |group, provider, _| group.keys(provider))?;
    let Some(keys) = keys else { return Ok(false) };
    let keys = keys?;
    let act = PostingAct::Authorise {
        exporter: &exporter,
        epoch,
    };
    let request = AuthorisePosting {
        group_id: id.to_bytes(),
        epoch: epoch.0,
        fan_out_key: keys.fan_out_key.to_vec().into(),
        signature: PostingKey::from_seed(&keys.send_key)
            .sign(id, act)
            .to_vec()
            .into(),
    };
    turn.send_request(
        LinkKind::Posting,
        Job::Authorise(id, epoch),
        Body::AuthorisePosting(request),
    );
    // What is posted right behind it is judged by the relay after it.
    turn.memory.links.authorise(now, id, epoch);
    Ok(true)
}

/// The right to post in this epoch was refused.
pub(crate) fn handle_unauthorised(
    turn: &mut Turn<'_>,
    id: GroupId,
    epoch: Epoch,
    error: &Error,
) -> Result<(), Fault> {
    turn.memory.links.deauthorise(id);
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    match error.code() {
        // An epoch that the relay does not have yet (its disk was set back, say): waiting
        // for it would be for ever.
        ErrorCode::EpochConflict if group.state.is_active() && Epoch(error.epoch) < epoch => {
            behind::mark_lost(turn, id)
        }
        ErrorCode::EpochConflict => behind::handle_epoch(turn, id, Epoch(error.epoch)),
        ErrorCode::GroupUnknown if group.state.is_active() => ending::deny(turn, &group),
        // Our keys of this epoch are not the relay's: what we have is not the group.
        ErrorCode::Unauthorised if group.state.is_active() => {
            turn.postpone(Postponed::Group(id), Span::seconds(2));
            behind::mark_lost(turn, id)
        }
        _ => {
            if let Some(conversation) = group.conversation {
                turn.postpone(Postponed::Conversation(conversation), retry_after(error));
            }
            turn.postpone(Postponed::Group(id), retry_after(error));
            Ok(())
        }
    }
}

/// Groups that have been behind for too long are lost.
pub(crate) fn check_behind(turn: &mut Turn<'_>) -> Result<(), Fault> {
    if turn.memory.links.mailbox.phase != LinkPhase::LoggedIn {
        return Ok(());
    }
    let now = turn.now;
    let groups = &turn.memory.states.get_mut::<behind::GroupsBehind>().0;
    let late: Vec<GroupId> = groups
        .iter()
        .filter(|(_, behind)| now.since(behind.since) >= BEHIND_FOR)
        .map(|(id, _)| *id)
        .collect();
    for id in late {
        turn.memory.forget_behind(id);
        turn.run_contained(ErrorOwner::Group(id), |turn| {
            let group = groups::find(turn.tx, id)?;
            if group.is_some_and(|group| group.state.is_active()) {
                behind::mark_lost(turn, id)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// When a group will have been behind for too long.
pub(crate) fn next_due(turn: &Turn<'_>) -> Option<Time> {
    if turn.memory.links.mailbox.phase != LinkPhase::LoggedIn {
        return None;
    }
    let groups = &turn.memory.states.get::<behind::GroupsBehind>()?.0;
    let since = groups.values().map(|behind| behind.since).min()?;
    Some(since.after(BEHIND_FOR))
}
