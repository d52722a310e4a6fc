//! Since when each account is in a group conversation.
//!
//! A message is resent only to accounts that were members when it was sent. Each device
//! therefore records, as it follows a group's epochs, in which epoch an account's first device
//! joined.
//!
//! **Elsewhere**: [`crate::inbox::resending`] resends.
//!
//! **Always**: an account that left and came back joined when it came back. If this device
//! does not know the epoch, it uses the later one.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::ids::{AccountId, Epoch, GroupId};

use crate::{
    conversation::groups::GroupRecord,
    store::StoreError,
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE joined (
    group_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    epoch INTEGER NOT NULL,     -- 0: before this device sent anything in the group
    PRIMARY KEY (group_id, account_id)
) WITHOUT ROWID;
";

/// This device begins to take part in a group: all current members may have everything that it
/// sends.
pub(crate) fn begin(turn: &mut Turn<'_>, id: GroupId) -> Result<(), Fault> {
    record(turn, id, true)
}

/// An epoch has begun in a group.
pub(crate) fn follow(turn: &mut Turn<'_>, group: &GroupRecord) -> Result<(), Fault> {
    // Nobody joins two people's conversation.
    if group.account.is_some() {
        return Ok(());
    }
    record(turn, group.id, false)
}

fn record(turn: &mut Turn<'_>, id: GroupId, begins: bool) -> Result<(), Fault> {
    let standing = turn.with_group(id, |group, _, _| {
        group.members().map(|members| (group.epoch(), members))
    })?;
    let Some((epoch, members)) = standing.transpose()? else {
        return Ok(());
    };
    let there: BTreeSet<AccountId> = members.iter().map(|member| member.account).collect();
    let known = all(turn.tx, id)?;
    // A store of an earlier version has recorded nothing: then everybody joined just now.
    let first = if begins && known.is_empty() {
        0
    } else {
        epoch.0
    };
    let mut add = turn
        .tx
        .prepare_cached("INSERT INTO joined (group_id, account_id, epoch) VALUES (?1, ?2, ?3)")?;
    for account in there.iter().filter(|account| !known.contains_key(account)) {
        add.execute((id.0, account.0, first.cast_signed()))?;
    }
    let mut remove = turn
        .tx
        .prepare_cached("DELETE FROM joined WHERE group_id = ?1 AND account_id = ?2")?;
    for account in known.keys().filter(|account| !there.contains(account)) {
        remove.execute((id.0, account.0))?;
    }
    Ok(())
}

fn all(tx: &Transaction<'_>, id: GroupId) -> Result<BTreeMap<AccountId, Epoch>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT account_id, epoch FROM joined WHERE group_id = ?1")?;
    let rows = statement.query_map([id.0], |row| {
        let epoch = row.get::<_, i64>(1)?.cast_unsigned();
        Ok((AccountId(row.get(0)?), Epoch(epoch)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The epoch in which the account joined; `None` where it is not in the group.
pub(crate) fn join_epoch(
    tx: &Transaction<'_>,
    id: GroupId,
    account: AccountId,
) -> Result<Option<Epoch>, StoreError> {
    let epoch: Option<i64> = tx
        .prepare_cached("SELECT epoch FROM joined WHERE group_id = ?1 AND account_id = ?2")?
        .query_row((id.0, account.0), |row| row.get(0))
        .optional()?;
    Ok(epoch.map(|epoch| Epoch(epoch.cast_unsigned())))
}

/// The epoch in which the last of those who are there joined: what was sent before, somebody
/// must not read.
pub(crate) fn last(tx: &Transaction<'_>, id: GroupId) -> Result<Epoch, StoreError> {
    let epoch: Option<i64> = tx
        .prepare_cached("SELECT max(epoch) FROM joined WHERE group_id = ?1")?
        .query_row([id.0], |row| row.get(0))?;
    Ok(Epoch(epoch.unwrap_or(0).cast_unsigned()))
}
