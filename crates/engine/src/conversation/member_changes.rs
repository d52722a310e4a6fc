//! Follows who is in a group conversation, and what it is called.
//!
//! The MLS group holds its members, its name and its admins. This module follows it, commit by
//! commit, and records each change as an event in the history.
//!
//! **Elsewhere**: [`super::members`] lists the members; [`super::roles`] decides what a commit
//! may change.
//!
//! **Always**: a person whom a group names but who has no leaf in it is not a member. A contact
//! is shown with the address under which this account knows them, no matter what a group calls
//! them.

use std::collections::BTreeSet;

use waxwing_protocol::{
    address::Address,
    conversation::{ConversationSecrets, ConversationState},
    ids::{AccountId, GroupId},
};

use super::{
    display_names, groups,
    history::{self, NewEvent},
    join_requests, members, timer,
};
use crate::{
    api::{EventKind, Notice},
    contact,
    turn::{Fault, Turn},
};

/// The address that an account is shown by: the one that this account knows it by, and only
/// where it is not known the one that a group claims.
fn shown(turn: &Turn<'_>, account: AccountId, claimed: Option<&Address>) -> Result<String, Fault> {
    let own = turn.account()?;
    if own.id() == account {
        return Ok(own.address().display().to_owned());
    }
    let contact = contact::of_account(turn.tx, account)?;
    Ok(contact
        .map(|contact| contact.display)
        .or_else(|| claimed.map(|address| address.display().to_owned()))
        .unwrap_or_default())
}

/// A conversation's group is as `after` says from now on, by this account's doing where one is
/// known; `before` is what it was, where that is known. Tells what has changed.
pub(crate) fn follow(
    turn: &mut Turn<'_>,
    group: GroupId,
    before: Option<&ConversationState>,
    after: &ConversationSecrets,
    by: Option<AccountId>,
) -> Result<(), Fault> {
    let Some(state) = &after.state else {
        return Ok(());
    };
    let Some(conversation) = groups::find(turn.tx, group)?.and_then(|group| group.conversation)
    else {
        return Ok(());
    };
    let leaves = turn.with_group(group, |group, _, _| group.members())?;
    let Some(leaves) = leaves.transpose()? else {
        return Ok(());
    };
    let leaves: BTreeSet<AccountId> = leaves.into_iter().map(|leaf| leaf.account).collect();
    let members: Vec<(AccountId, String)> = after
        .addresses
        .iter()
        .filter(|(account, _)| leaves.contains(account))
        .map(|(account, address)| shown(turn, account, Some(address)).map(|shown| (account, shown)))
        .collect::<Result<_, _>>()?;
    let known = members::all(turn.tx, conversation)?;
    let is_new = known.is_empty();
    let by_name = match by {
        Some(account) => {
            let was = known.iter().find(|member| member.account == account);
            let address = shown(turn, account, after.addresses.of(account))?;
            Some(address)
                .filter(|address| !address.is_empty())
                .or_else(|| was.map(|member| member.address.clone()))
        }
        None => None,
    };
    let own = turn.account()?.id();
    let mut events: Vec<(EventKind, String, Option<String>)> = Vec::new();
    for (account, address) in &members {
        let (account, address) = (*account, address.clone());
        let admin = state.is_admin(account);
        members::store_member(turn.tx, conversation, account, &address, admin)?;
        match known.iter().find(|member| member.account == account) {
            None if !is_new || account == own => {
                events.push((EventKind::MemberAdded, address, None));
            }
            Some(member) if member.admin != admin => {
                let event = if admin {
                    EventKind::AdminAdded
                } else {
                    EventKind::AdminRemoved
                };
                events.push((event, address, None));
            }
            _ => {}
        }
    }
    let leaving = members::leaving(turn.tx, conversation)?;
    for member in &known {
        if !members
            .iter()
            .any(|(account, _)| *account == member.account)
        {
            members::remove(turn.tx, conversation, member.account)?;
            let event = if leaving.contains(&member.account) {
                EventKind::MemberLeft
            } else {
                EventKind::MemberRemoved
            };
            events.push((event, member.address.clone(), None));
        }
    }
    timer::follow_state(turn.tx, conversation, state.expires_after_s)?;
    let name = display_names::shown(&state.name);
    if super::rename(turn.tx, conversation, &name)? && !is_new {
        let who = by_name.clone().unwrap_or_default();
        events.push((EventKind::Renamed, who, Some(name)));
    }
    if let Some(before) = before {
        let who = || by_name.clone().unwrap_or_default();
        if before.picture != state.picture {
            events.push((EventKind::PictureChanged, who(), None));
        }
        if before.expires_after_s != state.expires_after_s {
            let seconds = state.expires_after_s.to_string();
            events.push((EventKind::TimerChanged, who(), Some(seconds)));
        }
        if before.everybody_adds != state.everybody_adds {
            let who_adds = if state.everybody_adds {
                "everybody"
            } else {
                "admins"
            };
            events.push((EventKind::AddingChanged, who(), Some(who_adds.to_owned())));
        }
    }
    join_requests::follow(turn.tx, conversation)?;
    for (event, address, detail) in events {
        let by = by_name.as_deref().filter(|by| *by != address);
        let new = NewEvent {
            conversation,
            event,
            address: &address,
            by,
            detail: detail.as_deref(),
        };
        let event = history::record(turn.tx, turn.now, &new)?;
        turn.notify(Notice::Event(event));
    }
    Ok(())
}
