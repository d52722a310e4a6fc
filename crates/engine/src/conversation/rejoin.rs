//! Rejoining: a device whose state of a group is gone or behind takes itself in again.
//!
//! It fetches the sealed GroupInfo with the rejoin key, checks every leaf of it,
//! makes an external commit that takes its old leaf away, and gives that, sealed, to
//! the relay. Then it asks every other device for what it missed.
//!
//! **Elsewhere**: noticing the loss: [`crate::link::mailbox`] (a store that was set
//! back) and [`crate::inbox::receive`] (messages of epochs that never began here).
//!
//! **Always**: nothing is sent to a group while it is lost, so that no key is used
//! twice; what was written waits. If the relay does not take the commit, the group is
//! rejoined from the start.

use prost::Message as _;
use waxwing_protocol::{
    ids::{AccountId, Epoch, GroupId, PostId},
    pb::{Error, ErrorCode, FetchGroupInfo, GroupInfoFetched, Rejoin, client_frame::Body},
    posting::PostingAct,
    sealing::Sealed,
    time::Span,
};

use super::{
    again,
    groups::{self, Group, GroupState},
    history, joined, manage, members,
    parcels::{self, Opened, Readers},
    start,
};
use crate::{
    api::{EventKind, Notice, RelayMisdeed},
    contact,
    event::LinkKind,
    inbox::receive,
    link::Job,
    mls::{self, MlsError},
    registers::sync,
    trust::{self, Claimed, Judgement},
    turn::{Fault, Turn, Waiting},
};

/// A group that could not be rejoined is tried again after this long.
const AGAIN: Span = Span::seconds(30);

/// Asks for the group's information.
pub(crate) fn fetch(turn: &mut Turn<'_>, group: &Group) -> Result<(), Fault> {
    let posting = &turn.live.links.posting;
    let Some(exporter) = posting.ready() else {
        return Ok(());
    };
    let busy =
        posting.awaits(&Job::FetchGroupInfo(group.id)) || posting.awaits(&Job::Rejoin(group.id));
    if busy || turn.waits(&Waiting::Group(group.id)) {
        return Ok(());
    }
    // Made already, and waiting for its parcels.
    if group.commit_pending {
        return post(turn, group);
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
    turn.ask(
        LinkKind::Posting,
        Job::FetchGroupInfo(group.id),
        Body::FetchGroupInfo(request),
    );
    Ok(())
}

/// Gives the relay the external commit that was made.
fn post(turn: &mut Turn<'_>, group: &Group) -> Result<(), Fault> {
    let request = group.request.as_deref();
    let Some(request) = request.and_then(|bytes| Rejoin::decode(bytes).ok()) else {
        return Err(Fault::Broken(
            "an external commit without its request".into(),
        ));
    };
    if parcels::are_there(turn, group.id)? {
        let job = Job::Rejoin(group.id);
        turn.ask(LinkKind::Posting, job, Body::Rejoin(request));
    }
    Ok(())
}

/// The group's information has come: commits to joining.
pub(crate) fn fetched(
    turn: &mut Turn<'_>,
    id: GroupId,
    fetched: &GroupInfoFetched,
) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    if group.state != GroupState::Lost {
        return Ok(());
    }
    let epoch = Epoch(fetched.epoch);
    let sealing = group.rejoin_secret.sealing_key();
    let sealed = match parcels::open_info(turn, id, &fetched.sealed_group_info)? {
        Opened::Here(None) => fetched.sealed_group_info.to_vec(),
        Opened::Here(Some(bytes)) => bytes,
        Opened::Coming => return Ok(()),
        Opened::Gone => {
            turn.wait(Waiting::Group(id), AGAIN);
            return Ok(());
        }
    };
    let Ok(info) = sealing.open(Sealed::GroupInfo, id, epoch, &sealed) else {
        // As good as none: it is not waited for.
        turn.warn_misdeed(RelayMisdeed::Malformed);
        return start::deny(turn, &group);
    };
    turn.forget(id);
    let joined = turn.with_mls(|provider, leaf| mls::Group::rejoin(provider, leaf, id, &info))?;
    let (mls_group, commit) = match joined {
        Ok(joined) => joined,
        Err(MlsError::Store(error)) => return Err(error.into()),
        // Nothing good will come of this group.
        Err(_) => return start::close(turn, &group),
    };
    let own = turn.account()?.id();
    let secrets = mls_group.secrets();
    let judgement = match (group.account, secrets) {
        (Some(account), Ok(_)) if is_between(&commit.next.members, own, account) => {
            trust::judge(turn, &commit.next.members, Claimed::Known)?
        }
        (None, Ok(secrets)) => {
            // Taken out while this device was away: there is no place for it any more.
            if secrets.addresses.of(own).is_none() {
                start::close(turn, &group)?;
                return manage::removed(turn, &group, own, true);
            }
            let is_it = secrets.state.as_ref().is_some_and(|state| {
                group.conversation.map(|id| *id.as_bytes()) == Some(state.conversation_id)
            });
            if is_it {
                let claimed = Claimed::InGroup(&secrets.addresses);
                trust::judge(turn, &commit.next.members, claimed)?
            } else {
                Judgement::Refused
            }
        }
        _ => Judgement::Refused,
    };
    match judgement {
        Judgement::Admitted => {}
        // Joined again when the look-ups are there; what was joined now never was.
        Judgement::Unknown => return Ok(()),
        Judgement::Refused => {
            turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
            return start::close(turn, &group);
        }
    }
    let body = sealing.seal(turn.rng, Sealed::ExternalCommit, id, epoch, &commit.commit);
    let post = PostId(turn.random());
    let others = commit.next.members.len().saturating_sub(1);
    let mut next = start::epoch_keys(turn, id, &group.rejoin_secret, &commit.next);
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
    groups::begin_commit(turn.tx, id, post, &request.encode_to_vec())?;
    turn.live.due_groups.insert(id);
    Ok(())
}

/// Whether nobody is in it but these two, or this account alone in its notes.
fn is_between(members: &[mls::Member], own: AccountId, other: AccountId) -> bool {
    let others = start::others(members, own);
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
    if group.state != GroupState::Lost {
        return Ok(());
    }
    groups::set_state(turn.tx, id, GroupState::Active)?;
    groups::end_commit(turn.tx, id, Some(turn.now))?;
    parcels::commit_taken(turn, id)?;
    turn.live.behind.remove(&id);
    // What it lacked when it was lost, it may lack still.
    turn.live.due_groups.insert(id);
    joined::follow(turn, &group)?;
    if group.account.is_none() {
        let secrets = turn.with_group(id, |group, _, _| group.secrets())?;
        if let Some(secrets) = secrets.transpose()? {
            members::follow(turn, id, None, &secrets, None)?;
        }
    }
    // Whoever is there for the first time has nothing to say about it.
    let first = groups::take_inherited(turn.tx, id)?;
    if let Some(conversation) = group.conversation {
        turn.live.due_conversations.insert(conversation);
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
    again::is_in(turn.tx, id)?;
    receive::release(turn, id)?;
    sync::ask(turn, &group)?;
    receive::ask_for_all(turn, &group)
}

/// The relay refused a step.
pub(crate) fn refused(turn: &mut Turn<'_>, id: GroupId, error: &Error) -> Result<(), Fault> {
    let Some(group) = groups::find(turn.tx, id)? else {
        return Ok(());
    };
    if group.state != GroupState::Lost {
        return Ok(());
    }
    turn.forget(id);
    // What was made is of no use: from the start.
    groups::set_state(turn.tx, id, GroupState::Lost)?;
    match error.code() {
        // Another commit came first: from the start.
        ErrorCode::EpochConflict => {
            turn.live.due_groups.insert(id);
            Ok(())
        }
        ErrorCode::GroupUnknown => start::deny(turn, &group),
        // The group's rejoin secret is another than this device knows.
        ErrorCode::Unauthorised => again::ask_for(turn, &group),
        ErrorCode::Malformed | ErrorCode::TooLarge => {
            turn.wait(Waiting::Group(id), AGAIN);
            Ok(())
        }
        _ => {
            turn.wait(Waiting::Group(id), start::retry_after(error));
            Ok(())
        }
    }
}
