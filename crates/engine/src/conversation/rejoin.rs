//! Rejoining: a device whose state of a group is gone or outdated joins again by itself.
//!
//! It fetches the sealed GroupInfo with the rejoin key, checks every leaf in it, makes an
//! external commit that removes its old leaf, and gives that commit, sealed, to the relay.
//! Then it asks every other device for what it missed.
//!
//! **Elsewhere**: [`crate::link::mailbox`] notices the loss after a store was set back,
//! [`crate::inbox::receive`] when messages come from epochs that never began here.
//!
//! **Always**: nothing is sent to a group while it is lost, so that no key is used twice;
//! waiting messages wait. If the relay does not accept the commit, rejoining starts over.

use prost::Message as _;
use waxwing_protocol::{
    ids::{AccountId, Epoch, GroupId, PostId},
    pb::{Error, ErrorCode, FetchGroupInfo, GroupInfoFetched, Rejoin, client_frame::Body},
    posting::PostingAct,
    sealing::Sealed,
    time::Span,
};

use super::{
    above::ConversationHook,
    commits, ending, epoch_keys, generations, group_commands,
    group_state::{self, GroupState, PendingCommit, StateKind},
    groups::{self, GroupRecord},
    history, join_epochs, leaves, lost_groups, member_changes,
    parcels::{self, Opened, Readers},
    re_add,
};
use crate::{
    api::{EventKind, Notice, RelayMisdeed},
    contact,
    event::LinkKind,
    link::{self, Job},
    mls::{self, MlsError},
    trust::{self, Claimed, Judgement},
    turn::{Fault, Postponed, Turn},
};

/// Commits that could not be read past which one group goes on. Whoever makes more of them
/// breaks it.
const SPOILT_MAX: u32 = 3;

/// A group that could not be rejoined is tried again after this long.
const AGAIN: Span = Span::seconds(30);

/// Asks for the group's information.
pub(crate) fn fetch(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    let posting = &turn.memory.links.posting;
    let Some(exporter) = posting.ready() else {
        return Ok(());
    };
    let busy =
        posting.awaits(&Job::FetchGroupInfo(group.id)) || posting.awaits(&Job::Rejoin(group.id));
    if busy || turn.is_postponed(&Postponed::Group(group.id)) {
        return Ok(());
    }
    // Made already, and waiting for its parcels.
    if let Some(commit) = group.state.pending_commit() {
        return post(turn, group.id, commit);
    }
    let signature = group.rejoin_secret.signing_key().sign(
        group.id,
        PostingAct::Fetch {
            exporter: &exporter,
        },
    );
    let request = FetchGroupInfo {
        group_id: group.id.to_bytes(),
        signature: signature.to_vec().into(),
    };
    turn.send_request(
        LinkKind::Posting,
        Job::FetchGroupInfo(group.id),
        Body::FetchGroupInfo(request),
    );
    Ok(())
}

/// Gives the relay the external commit that was made.
fn post(turn: &mut Turn<'_>, id: GroupId, commit: &PendingCommit) -> Result<(), Fault> {
    let Ok(request) = Rejoin::decode(commit.request.as_slice()) else {
        return Err(Fault::Broken(
            "an external commit without its request".into(),
        ));
    };
    if parcels::are_there(turn, id)? {
        let job = Job::Rejoin(id);
        turn.send_request(LinkKind::Posting, job, Body::Rejoin(request));
    }
    Ok(())
}

/// The group's information has come: commits to joining.
pub(crate) fn handle_group_info(
    turn: &mut Turn<'_>,
    id: GroupId,
    fetched: &GroupInfoFetched,
) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    let GroupState::Lost { unreadable, .. } = group.state else {
        return Ok(());
    };
    let epoch = Epoch(fetched.epoch);
    // The commit that could not be read was never taken.
    if unreadable == Some(epoch) && commits::continue_after_unreadable_commit(turn, &group)? {
        for hook in turn.hooks.of::<dyn ConversationHook>() {
            hook.handle_readable(turn, id)?;
        }
        return Ok(());
    }
    let is_suspect = unreadable.is_some();
    if is_suspect && group.spoilt >= SPOILT_MAX {
        return no_way_back(turn, &group);
    }
    let sealing = group.rejoin_secret.sealing_key();
    let sealed = match parcels::open_info(turn, id, &fetched.sealed_group_info)? {
        Opened::Here(None) => fetched.sealed_group_info.to_vec(),
        Opened::Here(Some(bytes)) => bytes,
        Opened::Coming => return Ok(()),
        Opened::Gone => {
            turn.postpone(Postponed::Group(id), AGAIN);
            return Ok(());
        }
    };
    let Ok(info) = sealing.open(Sealed::GroupInfo, id, epoch, &sealed) else {
        if is_suspect {
            return no_way_back(turn, &group);
        }
        // As good as none: it is not waited for.
        turn.warn_misdeed(RelayMisdeed::Malformed);
        return ending::deny(turn, &group);
    };
    // Who changed what cannot be seen from the group's information: past a commit that could
    // not be read this device goes only where nothing has changed.
    let before = if is_suspect {
        turn.with_group(id, |group, _, _| group.secrets())?
    } else {
        None
    };
    let before = before.and_then(Result::ok);
    turn.forget(id);
    turn.tx.execute_batch("SAVEPOINT rejoin")?;
    let joined = turn.with_mls(|provider, leaf| mls::Group::rejoin(provider, leaf, id, &info))?;
    let (mls_group, commit) = match joined {
        Ok(joined) => joined,
        Err(MlsError::Store(error)) => return Err(error.into()),
        // Nothing good will come of this group.
        Err(_) => {
            undo(turn, id)?;
            return no_way_back(turn, &group);
        }
    };
    let own = turn.account()?.id();
    let secrets = mls_group.secrets();
    let judgement = match (group.account, secrets) {
        (Some(account), Ok(_)) if is_between(&commit.next.members, own, account) => {
            judge(turn, id, &commit.next.members, Claimed::Known)?
        }
        (None, Ok(secrets)) => {
            // Taken out while this device was away: there is no place for it any more.
            if secrets.addresses.of(own).is_none() && !is_suspect {
                undo(turn, id)?;
                ending::close(turn, &group)?;
                return group_commands::removed(turn, &group, own, true);
            }
            let is_it = secrets.state.as_ref().is_some_and(|state| {
                group.conversation.map(|id| *id.as_bytes()) == Some(state.conversation_id)
            });
            let changed = before.is_some_and(|before| {
                before.state != secrets.state || before.addresses != secrets.addresses
            });
            if changed {
                undo(turn, id)?;
                return no_way_back(turn, &group);
            }
            if is_it {
                let claimed = Claimed::InGroup(&secrets.addresses);
                judge(turn, id, &commit.next.members, claimed)?
            } else {
                Judgement::Refused
            }
        }
        _ => Judgement::Refused,
    };
    match judgement {
        Judgement::Admitted => turn.tx.execute_batch("RELEASE rejoin")?,
        // Joined again when the look-ups are there; what was joined now never was.
        Judgement::Unknown => return undo(turn, id),
        Judgement::Refused | Judgement::Denied => {
            turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
            undo(turn, id)?;
            return no_way_back(turn, &group);
        }
    }
    let body = sealing.seal(turn.rng, Sealed::ExternalCommit, id, epoch, &commit.commit);
    let post = PostId(turn.random());
    let own = turn.account()?.device();
    let devices = commit.next.members.iter().map(|member| member.device);
    let others = devices.filter(|device| *device != own).collect();
    let mut next = epoch_keys::epoch_keys(turn, id, &group.rejoin_secret, &commit.next);
    let info = next.sealed_group_info.into();
    next.sealed_group_info = parcels::pack(turn, id, info, Readers::Anybody)?.into();
    let body = parcels::pack(turn, id, body, Readers::Devices(others))?;
    let signature = group
        .rejoin_secret
        .signing_key()
        .sign(id, PostingAct::Rejoin { epoch, body: &body });
    let request = Rejoin {
        group_id: id.to_bytes(),
        epoch: epoch.0,
        post_id: post.to_bytes(),
        body: body.into(),
        next: Some(next),
        next_fan_out_key: commit.next.keys.fan_out_key.to_vec().into(),
        signature: signature.to_vec().into(),
    };
    turn.remember(id, mls_group);
    let request = request.encode_to_vec();
    group_state::begin_commit(turn.tx, id, &PendingCommit { post, request })?;
    turn.memory.due_mut().groups.insert(id);
    Ok(())
}

/// Judges the leaves of the group by what was looked up since each was first seen: the group
/// may be fetched again until all look-ups are there.
fn judge(
    turn: &mut Turn<'_>,
    id: GroupId,
    members: &[mls::Member],
    claimed: Claimed<'_>,
) -> Result<Judgement, Fault> {
    if !leaves::are_distinct(members) {
        return Ok(Judgement::Refused);
    }
    let mut judgement = Judgement::Admitted;
    for member in members {
        let now = turn.now;
        let since = turn.memory.lookups_mut().first_seen(id, member, now);
        match trust::judge_one(turn, member, claimed, since)? {
            Judgement::Admitted => {}
            Judgement::Unknown => judgement = Judgement::Unknown,
            refused => return Ok(refused),
        }
    }
    Ok(judgement)
}

/// What was joined never was.
fn undo(turn: &mut Turn<'_>, id: GroupId) -> Result<(), Fault> {
    turn.tx
        .execute_batch("ROLLBACK TO rejoin; RELEASE rejoin")?;
    turn.forget(id);
    Ok(())
}

/// What the relay has of the group is not a group that this device can be in. Where this
/// account may make the conversation's next group, it does; others ask to be added again,
/// because for them the relay alone may have spoilt it.
fn no_way_back(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    let Some(conversation) = group.conversation.filter(|_| group.account.is_none()) else {
        ending::close(turn, group)?;
        return generations::handle_broken_group(turn, group, None);
    };
    if generations::is_heir(turn, conversation)? {
        ending::close(turn, group)?;
        return generations::handle_broken_group(turn, group, None);
    }
    generations::handle_disturbed_group(turn, conversation, group.id)?;
    re_add::request_re_add(turn, group)
}

/// Whether nobody is in it but these two, or this account alone in its notes.
fn is_between(members: &[mls::Member], own: AccountId, other: AccountId) -> bool {
    let others = leaves::other_accounts(members, own);
    if other == own {
        others.is_empty()
    } else {
        others == [other]
    }
}

/// The relay has taken the external commit.
pub(crate) fn rejoined(turn: &mut Turn<'_>, id: GroupId) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    let GroupState::Lost { unreadable, .. } = group.state else {
        return Ok(());
    };
    group_state::enter(turn.tx, id, StateKind::Active)?;
    if unreadable.is_some() {
        groups::count_unreadable_commit(turn.tx, id)?;
    }
    group_state::end_commit(turn.tx, id, Some(turn.now))?;
    parcels::handle_commit_accepted(turn, id)?;
    turn.memory.forget_behind(id);
    turn.memory.lookups_mut().forget_seen(id);
    // What it lacked when it was lost, it may lack still.
    turn.memory.due_mut().groups.insert(id);
    join_epochs::follow(turn, &group)?;
    if group.account.is_none() {
        let secrets = turn.with_group(id, |group, _, _| group.secrets())?;
        if let Some(secrets) = secrets.transpose()?
            && let Some(conversation) = group.conversation
            && groups::is_current(turn.tx, conversation, id)?
        {
            member_changes::follow(turn, id, None, &secrets, None)?;
        }
    }
    leaves::joined(turn, id)?;
    // Whoever is there for the first time has nothing to say about it.
    let first = groups::take_inherited(turn.tx, id)?;
    if let Some(conversation) = group.conversation {
        turn.memory.due_mut().conversations.insert(conversation);
    }
    if let Some(conversation) = group.conversation.filter(|_| !first) {
        let contact = match group.account {
            Some(account) => contact::of_account(turn.tx, account)?,
            None => None,
        };
        let address = match contact {
            Some(contact) => contact.display,
            None => turn.account()?.address().display().to_owned(),
        };
        let event = history::add_event(
            turn.tx,
            turn.now,
            conversation,
            EventKind::Rejoined,
            &address,
        )?;
        turn.notify(Notice::Event(event));
    }
    lost_groups::clear_request(turn.tx, id)?;
    for hook in turn.hooks.of::<dyn ConversationHook>() {
        hook.handle_readable(turn, id)?;
    }
    for hook in turn.hooks.of::<dyn ConversationHook>() {
        hook.handle_members_changed(turn, &group)?;
        hook.handle_rejoined(turn, &group)?;
    }
    Ok(())
}

/// The relay refused a step.
pub(crate) fn handle_refusal(turn: &mut Turn<'_>, id: GroupId, error: &Error) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    let GroupState::Lost { unreadable, .. } = group.state else {
        return Ok(());
    };
    turn.forget(id);
    // What was made is of no use: from the start.
    group_state::enter_lost(turn.tx, id, unreadable)?;
    match error.code() {
        // Another commit came first: from the start.
        ErrorCode::EpochConflict => {
            turn.memory.due_mut().groups.insert(id);
            Ok(())
        }
        ErrorCode::GroupUnknown => ending::deny(turn, &group),
        // The group's rejoin secret is another than this device knows.
        ErrorCode::Unauthorised => re_add::request_re_add(turn, &group),
        ErrorCode::Malformed | ErrorCode::TooLarge => {
            turn.postpone(Postponed::Group(id), AGAIN);
            Ok(())
        }
        _ => {
            turn.postpone(Postponed::Group(id), link::retry_after(error));
            Ok(())
        }
    }
}
