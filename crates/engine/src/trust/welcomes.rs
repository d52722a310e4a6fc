//! Welcomes: groups that others take this device into.
//!
//! A welcome is opened and joined at once, so that a crash cannot lose it, but the
//! group only counts when every leaf in it was looked up and is admitted: until then
//! its posts are held, nobody sees anything of it, and nothing is sent to it.
//!
//! **Elsewhere**: what is done with the held posts is [`crate::inbox::receive`].
//!
//! **Always**: at most [`CHECKING_MAX`] groups are being checked. A group that was meant
//! for another address than this account's is not joined.

use waxwing_protocol::address::Address;

use super::{Claimed, Judgement};
use crate::{
    api::RelayMisdeed,
    contact,
    conversation::{
        self,
        groups::{self, Group, GroupState},
        start,
    },
    inbox::{
        heard::{self, Sender},
        held::Post,
        receive,
    },
    mls::{MlsError, StagedWelcome},
    turn::{Fault, Turn},
};

const CHECKING_MAX: usize = 64;

/// Somebody takes this device into a group.
pub(crate) fn welcomed(turn: &mut Turn<'_>, post: &Post) -> Result<(), Fault> {
    if groups::in_state(turn.tx, GroupState::Checking)?.len() >= CHECKING_MAX {
        return Ok(());
    }
    let opened = turn.with_mls(|provider, leaf| {
        let own_key = leaf.public_key();
        StagedWelcome::open(provider, post.group, &post.body).map(|staged| (staged, own_key))
    })?;
    let (staged, own_key) = match opened {
        Ok(opened) => opened,
        Err(MlsError::Store(error)) => return Err(error.into()),
        // Not for a key package that is here, or not a welcome at all.
        Err(_) => return Ok(()),
    };
    let own = turn.account()?.id();
    let others = start::others(&staged.members, own);
    let has_us = staged
        .members
        .iter()
        .any(|member| member.leaf_key == own_key);
    // Conversations are between two people.
    let [account] = others.as_slice() else {
        return Ok(());
    };
    let account = *account;
    // By the other side, or by another device of this account.
    if !has_us || (staged.sender.account != account && staged.sender.account != own) {
        return Ok(());
    }
    // Whoever wrote to another's address was given this account for it.
    if staged.secrets.addresses.of(own) != Some(turn.account()?.address()) {
        turn.warn_misdeed(RelayMisdeed::AnothersWelcome);
        return Ok(());
    }
    let members = staged.members.clone();
    let secret = staged.secrets.rejoin_secret.clone();
    let accepted = turn.with_mls(|provider, _| staged.accept(provider))?;
    let group = match accepted {
        Ok(group) => group,
        Err(MlsError::Store(error)) => return Err(error.into()),
        Err(_) => return Ok(()),
    };
    groups::add(
        turn.tx,
        turn.now,
        &groups::New {
            id: post.group,
            conversation: None,
            account,
            state: GroupState::Checking,
            rejoin_secret: &secret,
            request: None,
            commit_post: None,
        },
    )?;
    // A group that is older than its first commit has been spoken in.
    if group.epoch().0 > 1 {
        for member in &members {
            let sender = Sender {
                group: post.group,
                device: member.device,
            };
            heard::begins_anywhere(turn.tx, sender)?;
        }
    }
    turn.remember(post.group, group);
    turn.live.lookups.forget_outcomes();
    turn.live.due_groups.insert(post.group);
    Ok(())
}

/// Looks at a group that is being checked.
pub(crate) fn check(turn: &mut Turn<'_>, group: &Group) -> Result<(), Fault> {
    let known = turn.with_group(group.id, |group, _, _| {
        Ok::<_, MlsError>((group.members()?, group.secrets()?.addresses))
    })?;
    let Some(Ok((members, addresses))) = known else {
        return refuse(turn, group);
    };
    match super::judge(turn, &members, Claimed::InWelcome(&addresses))? {
        Judgement::Unknown => Ok(()),
        Judgement::Refused => refuse(turn, group),
        Judgement::Admitted => admit(turn, group),
    }
}

fn admit(turn: &mut Turn<'_>, group: &Group) -> Result<(), Fault> {
    let Some(contact) = contact::of_account(turn.tx, group.account)? else {
        return refuse(turn, group);
    };
    let Ok(address) = Address::parse(&contact.display) else {
        return refuse(turn, group);
    };
    let existing = match conversation::with_account(turn.tx, group.account)? {
        Some(conversation) => Some(conversation),
        // One that waits for the address's owner to be known is theirs.
        None => conversation::with_address(turn.tx, &contact.address)?
            .map(|waiting| super::belongs_to(turn, waiting, group.account))
            .transpose()?,
    };
    let conversation = if let Some(conversation) = existing {
        conversation
    } else {
        let started =
            conversation::start(turn.tx, turn.now, turn.rng, &address, Some(group.account))?;
        super::confusables::point_out(turn, started.id, &address)?;
        started
    };
    groups::set_conversation(turn.tx, group.id, conversation.id)?;
    groups::set_state(turn.tx, group.id, GroupState::Active)?;
    groups::set_membership_due(turn.tx, group.id)?;
    turn.live.due_groups.insert(group.id);
    turn.live.lookups.forget_outcomes();
    turn.live.due_conversations.insert(conversation.id);
    receive::release(turn, group.id)
}

fn refuse(turn: &mut Turn<'_>, group: &Group) -> Result<(), Fault> {
    turn.live.lookups.forget_outcomes();
    turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
    start::close(turn, group)
}
