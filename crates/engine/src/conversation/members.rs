//! The members of group conversations, as the store lists them.
//!
//! The MLS group holds its members, its name and its admins. This module follows it, commit by
//! commit, and records each change as an event in the history.
//!
//! **Elsewhere**: [`super::roles`] decides what a commit may change; [`super::membership`]
//! knows which devices an account has in the group.
//!
//! **Always**: nothing here admits anybody. If this list differs from the MLS group, this list
//! is wrong. A person whom a group names but who has no leaf in it is not a member. A contact
//! is shown with the address under which this account knows them, no matter what a group calls
//! them.

use std::collections::BTreeSet;

use rusqlite::Transaction;
use waxwing_protocol::{
    address::Address,
    conversation::{ConversationSecrets, ConversationState},
    ids::{AccountId, GroupId},
};

use super::{
    groups,
    history::{self, NewEvent},
    invitations, timer,
};
use crate::{
    api::{ConversationId, EventKind, Notice},
    contact,
    store::StoreError,
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE member (
    conversation BLOB NOT NULL REFERENCES conversation (id),
    account_id BLOB NOT NULL,
    address TEXT NOT NULL,              -- display form
    admin INTEGER NOT NULL,
    leaving INTEGER NOT NULL DEFAULT 0, -- has said so
    due INTEGER NOT NULL DEFAULT 0,     -- its devices are to be looked at
    PRIMARY KEY (conversation, account_id)
) WITHOUT ROWID;
CREATE INDEX member_account ON member (account_id);
";

/// A member.
#[derive(Clone)]
pub(crate) struct MemberRow {
    pub account: AccountId,
    /// In display form.
    pub address: String,
    pub admin: bool,
}

/// All of them, by address.
pub(crate) fn all(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Vec<MemberRow>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT account_id, address, admin FROM member WHERE conversation = ?1 ORDER BY address",
    )?;
    let rows = statement.query_map([conversation.as_bytes()], |row| {
        Ok(MemberRow {
            account: AccountId(row.get(0)?),
            address: row.get(1)?,
            admin: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The account is a member, with this address.
pub(crate) fn store_member(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    account: AccountId,
    address: &str,
    admin: bool,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO member (conversation, account_id, address, admin) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET address = ?3, admin = ?4 WHERE address != ?3 OR admin != ?4",
    )?
    .execute((conversation.as_bytes(), account.0, address, admin))?;
    Ok(())
}

/// How many there are.
pub(crate) fn count(tx: &Transaction<'_>, conversation: ConversationId) -> Result<u64, StoreError> {
    let count: i64 = tx
        .prepare_cached("SELECT count(*) FROM member WHERE conversation = ?1")?
        .query_row([conversation.as_bytes()], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// The accounts that have said that they leave.
pub(crate) fn leaving(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<BTreeSet<AccountId>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT account_id FROM member WHERE conversation = ?1 AND leaving")?;
    let rows = statement.query_map([conversation.as_bytes()], |row| row.get(0).map(AccountId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The account has said that it leaves.
pub(crate) fn set_leaving(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    account: AccountId,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE member SET leaving = 1 WHERE conversation = ?1 AND account_id = ?2",
        (conversation.as_bytes(), account.0),
    )?;
    Ok(())
}

/// The accounts whose devices are to be looked at.
pub(crate) fn due(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Vec<AccountId>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT account_id FROM member WHERE conversation = ?1 AND due")?;
    let rows = statement.query_map([conversation.as_bytes()], |row| row.get(0).map(AccountId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// This account's devices are to be looked at.
pub(crate) fn set_due(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    account: AccountId,
) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE member SET due = 1 WHERE conversation = ?1 AND account_id = ?2")?
        .execute((conversation.as_bytes(), account.0))?;
    Ok(())
}

/// Those have been looked at.
pub(crate) fn looked_at(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE member SET due = 0 WHERE conversation = ?1 AND due",
        [conversation.as_bytes()],
    )?;
    Ok(())
}

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
    let known = all(turn.tx, conversation)?;
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
        store_member(turn.tx, conversation, account, &address, admin)?;
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
    let leaving = leaving(turn.tx, conversation)?;
    for member in &known {
        if !members
            .iter()
            .any(|(account, _)| *account == member.account)
        {
            turn.tx.execute(
                "DELETE FROM member WHERE conversation = ?1 AND account_id = ?2",
                (conversation.as_bytes(), member.account.0),
            )?;
            let event = if leaving.contains(&member.account) {
                EventKind::MemberLeft
            } else {
                EventKind::MemberRemoved
            };
            events.push((event, member.address.clone(), None));
        }
    }
    timer::follow_state(turn.tx, conversation, state.expires_after_s)?;
    let name = super::display_names::shown(&state.name);
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
    invitations::follow(turn.tx, conversation)?;
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
