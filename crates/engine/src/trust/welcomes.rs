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

use waxwing_protocol::{address::Address, conversation::ConversationState, ids::AccountId};

use super::{Claimed, Judgement};
use crate::{
    api::{ConversationId, RelayMisdeed},
    contact,
    conversation::{
        self, again,
        groups::{self, Group, GroupState},
        manage, members, notes, start,
    },
    inbox::{
        heard::{self, Sender},
        held::Post,
        receive,
    },
    link::Job,
    mls::{Group as MlsGroup, MlsError, StagedWelcome},
    registers::sync,
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
    let has_us = staged
        .members
        .iter()
        .any(|member| member.leaf_key == own_key);
    let sender = staged.sender.account;
    let (account, generation) = if let Some(state) = &staged.secrets.state {
        let may = state.is_admin(sender) || state.everybody_adds || sender == own;
        if !may || !is_wanted(turn, sender, state)? {
            return Ok(());
        }
        (None, state.generation)
    } else {
        let others = start::others(&staged.members, own);
        let account = match others.as_slice() {
            // This account's notes.
            [] => own,
            [account] => *account,
            _ => return Ok(()),
        };
        // By the other side, or by another device of this account.
        if sender != account && sender != own {
            return Ok(());
        }
        (Some(account), 0)
    };
    if !has_us {
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
            generation,
            state: GroupState::Checking,
            rejoin_secret: &secret,
            request: None,
            commit_post: None,
        },
    )?;
    // A group that is older than its first commit, or began with its maker alone, has been
    // spoken in.
    if (group.epoch().0 > 1 || account.is_none()) && !again::was_asked(turn.tx, post.group)? {
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

/// Somebody takes this device into a group that it was taken out of, or had lost.
pub(crate) fn welcomed_again(turn: &mut Turn<'_>, group: &Group, post: &Post) -> Result<(), Fault> {
    let lost = group.state == GroupState::Lost;
    let gone = match group.conversation.filter(|_| group.account.is_none()) {
        Some(conversation) => conversation::find(turn.tx, conversation)?.is_some_and(|it| it.gone),
        None => false,
    };
    if !gone && !lost {
        return Ok(());
    }
    // This device's own commit is on its way: when the relay takes it, the leaf that the welcome
    // brings is no more; when it does not, this device tries again.
    if lost && turn.live.links.posting.awaits(&Job::Rejoin(group.id)) {
        return Ok(());
    }
    let inherited = groups::take_inherited(turn.tx, group.id)?;
    // Nothing of the old one is of use; if the welcome is not either, all stays as it was.
    turn.tx.execute_batch("SAVEPOINT welcomed_again")?;
    turn.forget(group.id);
    turn.with_mls(|provider, _| {
        MlsGroup::load(provider, group.id)?.map_or(Ok(()), |old| old.delete(provider))
    })??;
    let counter = groups::forget(turn.tx, group.id, lost)?;
    welcomed(turn, post)?;
    // Others know this device's numbers.
    if !groups::count_on(turn.tx, group.id, counter)? {
        turn.tx.execute_batch("ROLLBACK TO welcomed_again")?;
        turn.forget(group.id);
    }
    turn.tx.execute_batch("RELEASE welcomed_again")?;
    if inherited {
        groups::set_inherited(turn.tx, group.id)?;
    }
    Ok(())
}

/// Looks at a group that is being checked.
pub(crate) fn check(turn: &mut Turn<'_>, group: &Group) -> Result<(), Fault> {
    let known = turn.with_group(group.id, |group, _, _| {
        Ok::<_, MlsError>((group.members()?, group.secrets()?))
    })?;
    let Some(Ok((members, secrets))) = known else {
        return refuse(turn, group);
    };
    let claimed = match group.account {
        Some(_) => Claimed::InWelcome(&secrets.addresses),
        None => Claimed::InGroup(&secrets.addresses),
    };
    match super::judge(turn, &members, claimed)? {
        Judgement::Unknown => Ok(()),
        Judgement::Refused => refuse(turn, group),
        Judgement::Admitted => match group.account {
            Some(account) => admit(turn, group, account),
            None => manage::taken_in(turn, group, &secrets),
        },
    }
}

/// Whether a group of many is one to be in: of somebody who is not blocked, and of a
/// conversation that is not there yet, was left, or is made anew by an admin of it.
fn is_wanted(turn: &Turn<'_>, sender: AccountId, state: &ConversationState) -> Result<bool, Fault> {
    if contact::of_account(turn.tx, sender)?.is_some_and(|contact| contact.blocked) {
        return Ok(false);
    }
    let id = ConversationId::from_bytes(state.conversation_id);
    let Some(known) = conversation::find(turn.tx, id)? else {
        return Ok(true);
    };
    if known.kind != conversation::Kind::Group {
        return Ok(false);
    }
    if known.gone {
        return Ok(true);
    }
    let newer = groups::generation(turn.tx, id)? < state.generation;
    let own = turn.account()?.id();
    let admin = members::all(turn.tx, id)?
        .iter()
        .any(|member| member.account == sender && member.admin);
    Ok(sender == own || (newer && admin) || groups::for_sending(turn.tx, id)?.is_none())
}

fn admit(turn: &mut Turn<'_>, group: &Group, account: AccountId) -> Result<(), Fault> {
    if account == turn.account()?.id() {
        let notes = notes::conversation(turn)?;
        return admit_to(turn, group, notes.id);
    }
    let Some(contact) = contact::of_account(turn.tx, account)? else {
        return refuse(turn, group);
    };
    let Ok(address) = Address::parse(&contact.display) else {
        return refuse(turn, group);
    };
    let existing = match conversation::with_account(turn.tx, account)? {
        Some(conversation) => Some(conversation),
        // One that waits for the address's owner to be known is theirs.
        None => conversation::with_address(turn.tx, &contact.address)?
            .map(|waiting| super::belongs_to(turn, waiting, account))
            .transpose()?,
    };
    let conversation = if let Some(conversation) = existing {
        conversation
    } else {
        let started = conversation::start(turn.tx, turn.now, turn.rng, &address, Some(account))?;
        super::confusables::point_out(turn, started.id, &address)?;
        started
    };
    admit_to(turn, group, conversation.id)
}

fn admit_to(turn: &mut Turn<'_>, group: &Group, conversation: ConversationId) -> Result<(), Fault> {
    groups::set_conversation(turn.tx, group.id, conversation)?;
    groups::set_state(turn.tx, group.id, GroupState::Active)?;
    groups::set_membership_due(turn.tx, group.id)?;
    turn.live.due_groups.insert(group.id);
    turn.live.lookups.forget_outcomes();
    turn.live.due_conversations.insert(conversation);
    catch_up(turn, group)?;
    receive::release(turn, group.id)
}

/// A device that has asked to be taken in, or that knows the group from another's archive,
/// wants to hear what was said before.
pub(crate) fn catch_up(turn: &mut Turn<'_>, group: &Group) -> Result<(), Fault> {
    let inherited = groups::take_inherited(turn.tx, group.id)?;
    if !inherited && !again::was_asked(turn.tx, group.id)? {
        return Ok(());
    }
    again::is_in(turn.tx, group.id)?;
    let Some(group) = groups::find(turn.tx, group.id)? else {
        return Ok(());
    };
    sync::ask(turn, &group)?;
    receive::ask_for_all(turn, &group)
}

fn refuse(turn: &mut Turn<'_>, group: &Group) -> Result<(), Fault> {
    turn.live.lookups.forget_outcomes();
    turn.warn_misdeed(RelayMisdeed::MemberNotEntitled);
    start::close(turn, group)
}
