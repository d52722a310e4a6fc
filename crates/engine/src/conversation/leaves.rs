//! Leaves: what this device remembers about the leaves of its groups, in addition to what MLS
//! keeps.
//!
//! A leaf in a group is active until a commit removes it: that commit is the only moment that
//! all members see alike. When an account's devices learn of a revocation they therefore
//! remove the leaf, and nobody sends anything before that. A post of the removed device counts
//! only if the relay numbered it before the commit that removed the device; keys of past
//! epochs do not help the device after that. (Only the relay's numbers tell "before" from
//! "after": MLS orders epochs, and messages only within one epoch. A relay that works for the
//! removed device could let it send something late; but it could also deliver an earlier post
//! late.)
//!
//! A leaf may also enter a group after its account has revoked it: the device joined before,
//! and this device learns of both now; or it was quick. Nobody can tell which. The commit is
//! therefore accepted, the next commit removes the leaf, and nothing that it sends or does in
//! between counts here.
//!
//! **Elsewhere**: [`crate::trust`] decides whether an account admits a leaf; [`super::roles`]
//! decides what a commit may do.
//!
//! **Always**: a device has one leaf in a group and one mailbox, and no two devices of a group
//! have the same mailbox.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{
    ids::{AccountId, DeviceId, GroupId, MailboxId},
    limits,
    roster::Roster,
};

use super::{
    groups::{self, GroupRecord},
    members, re_add_queue,
};
use crate::{
    contact,
    mls::{IncomingCommit, Member, MlsError},
    store::StoreError,
    trust::{self, own_history},
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE device_mailbox (           -- as its first leaf that was admitted here says
    device_id BLOB PRIMARY KEY,
    mailbox_id BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE former_leaf (
    group_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    account_id BLOB NOT NULL,
    mailbox_id BLOB NOT NULL,
    leaf_key BLOB NOT NULL,
    came_revoked INTEGER NOT NULL,      -- its account had revoked it when it came
    gone_in INTEGER,                    -- the epoch that began without it; none while it is there
    counts_below INTEGER NOT NULL,      -- posts with this number and later ones do not count
    PRIMARY KEY (group_id, device_id)
) WITHOUT ROWID;
";

/// Whether a commit's leaves fit the group: each device has one, each mailbox one device, and
/// a device keeps its account and mailbox.
pub(crate) fn fit(before: &[Member], commit: &IncomingCommit) -> bool {
    let own = &commit.committer;
    let is_own = |new: &Member| {
        (new.account, new.device, new.mailbox) == (own.account, own.device, own.mailbox)
    };
    if !commit.changed.as_ref().is_none_or(is_own) {
        return false;
    }
    let old: BTreeMap<DeviceId, &Member> = before.iter().map(|one| (one.device, one)).collect();
    let keeps = |new: &Member| {
        old.get(&new.device)
            .is_none_or(|old| (old.account, old.mailbox) == (new.account, new.mailbox))
    };
    if !commit.leaves.iter().all(keeps) {
        return false;
    }
    let gone: BTreeSet<[u8; 32]> = commit.removed.iter().map(|gone| gone.leaf_key).collect();
    let stay = before.iter().filter(|one| !gone.contains(&one.leaf_key));
    are_distinct(stay.chain(&commit.leaves))
}

/// An account's roster, as it is known here.
pub(super) fn roster_of(turn: &Turn<'_>, account: AccountId) -> Result<Option<Roster>, Fault> {
    let own = turn.account()?;
    if own.id() == account {
        return Ok(Some(own.roster().clone()));
    }
    Ok(contact::of_account(turn.tx, account)?
        .map(|contact| contact.roster())
        .transpose()?)
}

/// Whether each device has one leaf, and each mailbox one device.
pub(crate) fn are_distinct<'a>(members: impl IntoIterator<Item = &'a Member>) -> bool {
    let mut devices = BTreeSet::new();
    let mut mailboxes = BTreeSet::new();
    members
        .into_iter()
        .all(|one| devices.insert(one.device) && mailboxes.insert(one.mailbox))
}

/// The accounts that have leaves besides this one.
pub(crate) fn other_accounts(members: &[Member], own: AccountId) -> Vec<AccountId> {
    let others: BTreeSet<AccountId> = members
        .iter()
        .map(|member| member.account)
        .filter(|account| *account != own)
        .collect();
    others.into_iter().collect()
}

/// Whether this device knows another mailbox as this device's.
pub(crate) fn has_another_mailbox(
    tx: &Transaction<'_>,
    member: &Member,
) -> Result<bool, StoreError> {
    let known: Option<[u8; 16]> = tx
        .prepare_cached("SELECT mailbox_id FROM device_mailbox WHERE device_id = ?1")?
        .query_row([member.device.0], |row| row.get(0))
        .optional()?;
    Ok(known.is_some_and(|known| known != member.mailbox.0))
}

/// Whether what a device of the group posted under this number counts.
pub(crate) fn counts(
    tx: &Transaction<'_>,
    group: GroupId,
    device: DeviceId,
    sequence: u64,
) -> Result<bool, StoreError> {
    let below: Option<i64> = tx
        .prepare_cached(
            "SELECT counts_below FROM former_leaf WHERE group_id = ?1 AND device_id = ?2",
        )?
        .query_row((group.0, device.0), |row| row.get(0))
        .optional()?;
    Ok(below.is_none_or(|below| sequence < below.cast_unsigned()))
}

/// The leaf that a device had in a group, if it is remembered.
pub(crate) fn former(
    tx: &Transaction<'_>,
    group: GroupId,
    account: AccountId,
    device: DeviceId,
) -> Result<Option<Member>, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT mailbox_id, leaf_key FROM former_leaf
             WHERE group_id = ?1 AND device_id = ?2 AND account_id = ?3",
        )?
        .query_row((group.0, device.0, account.0), |row| {
            Ok(Member {
                account,
                device,
                mailbox: MailboxId(row.get(0)?),
                leaf_key: row.get(1)?,
            })
        })
        .optional()?)
}

/// Whether a device of the group had been revoked when it came.
pub(crate) fn came_revoked(
    tx: &Transaction<'_>,
    group: GroupId,
    device: DeviceId,
) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT 1 FROM former_leaf WHERE group_id = ?1 AND device_id = ?2 AND came_revoked",
        )?
        .exists((group.0, device.0))?)
}

/// Nothing is known any more of a group's former leaves.
pub(crate) fn forget_group(tx: &Transaction<'_>, group: GroupId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM former_leaf WHERE group_id = ?1", [group.0])?;
    Ok(())
}

/// The leaves of a group are others than `before` from now on, by a commit that the relay gave
/// this number. All of the new ones were judged.
pub(crate) fn follow(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    before: &[Member],
    sequence: u64,
) -> Result<(), Fault> {
    let known = turn.with_group(group.id, |group, _, _| {
        Ok::<_, MlsError>((group.members()?, group.epoch()))
    })?;
    let Some((after, epoch)) = known.transpose()? else {
        return Ok(());
    };
    if before == after {
        return Ok(());
    }
    let epoch = epoch.0.cast_signed();
    let by_device = |members: &[Member]| -> BTreeMap<DeviceId, Member> {
        let of = members.iter().map(|one| (one.device, one.clone()));
        of.collect()
    };
    let (old, new) = (by_device(before), by_device(&after));
    for gone in old.values().filter(|one| !new.contains_key(&one.device)) {
        turn.tx.execute(
            "INSERT INTO former_leaf (group_id, device_id, account_id, mailbox_id, leaf_key,
                 came_revoked, gone_in, counts_below) VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7)
             ON CONFLICT DO UPDATE SET gone_in = ?6, counts_below = min(counts_below, ?7)",
            (
                group.id.0,
                gone.device.0,
                gone.account.0,
                gone.mailbox.0,
                gone.leaf_key,
                epoch,
                i64::try_from(sequence).unwrap_or(i64::MAX),
            ),
        )?;
        re_add_queue::forget_re_add(turn.tx, group.id, gone.device)?;
    }
    for came in new.values().filter(|one| old.get(&one.device) != Some(one)) {
        came_in(turn, group, came)?;
    }
    turn.tx.execute(
        "DELETE FROM former_leaf WHERE group_id = ?1 AND gone_in + ?2 < ?3",
        (group.id.0, limits::PAST_EPOCHS.cast_signed(), epoch),
    )?;
    Ok(())
}

/// This device is in the group, and all of its leaves were judged.
pub(crate) fn joined(turn: &mut Turn<'_>, id: GroupId) -> Result<(), Fault> {
    match groups::find(turn.tx, id)? {
        Some(group) => follow(turn, &group, &[], 0),
        None => Ok(()),
    }
}

fn came_in(turn: &mut Turn<'_>, group: &GroupRecord, came: &Member) -> Result<(), Fault> {
    if trust::is_admitted_now(turn, came)? {
        turn.tx
            .prepare_cached("DELETE FROM former_leaf WHERE group_id = ?1 AND device_id = ?2")?
            .execute((group.id.0, came.device.0))?;
        turn.tx
            .prepare_cached(
                "INSERT INTO device_mailbox (device_id, mailbox_id) VALUES (?1, ?2)
                 ON CONFLICT DO NOTHING",
            )?
            .execute((came.device.0, came.mailbox.0))?;
        return Ok(());
    }
    turn.tx.execute(
        "INSERT INTO former_leaf (group_id, device_id, account_id, mailbox_id, leaf_key,
             came_revoked, gone_in, counts_below) VALUES (?1, ?2, ?3, ?4, ?5, 1, NULL, 0)
         ON CONFLICT DO UPDATE SET came_revoked = 1, gone_in = NULL, counts_below = 0",
        (
            group.id.0,
            came.device.0,
            came.account.0,
            came.mailbox.0,
            came.leaf_key,
        ),
    )?;
    if let Some(conversation) = group.conversation {
        members::set_due(turn.tx, conversation, came.account)?;
    }
    groups::set_membership_due(turn.tx, group.id)?;
    turn.memory.due_mut().groups.insert(group.id);
    Ok(())
}

/// Another device has removed leaves: perhaps their accounts have revoked them, and this
/// device does not know.
pub(crate) fn look_into(turn: &mut Turn<'_>, removed: &[Member]) -> Result<(), Fault> {
    let accounts: BTreeSet<AccountId> = removed.iter().map(|gone| gone.account).collect();
    let own = turn.account()?.id();
    for account in accounts {
        if account == own {
            own_history::request_check(turn);
        } else if let Some(contact) = contact::of_account(turn.tx, account)? {
            turn.memory.lookups_mut().request_look_up(&contact.address);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn member(number: u8) -> Member {
        Member {
            account: AccountId([number; 32]),
            device: DeviceId([number; 32]),
            mailbox: MailboxId([number; 16]),
            leaf_key: [number; 32],
        }
    }

    #[test]
    fn a_device_has_one_leaf_and_a_mailbox_one_device() {
        assert!(are_distinct(&[member(1), member(2)]));
        let same_mailbox = Member {
            mailbox: MailboxId([1; 16]),
            ..member(2)
        };
        assert!(!are_distinct(&[member(1), same_mailbox]));
        let same_device = Member {
            device: DeviceId([1; 32]),
            ..member(2)
        };
        assert!(!are_distinct(&[member(1), same_device]));
    }

    #[test]
    fn what_counts_of_a_former_leaf_was_posted_before_it_went() {
        let group = GroupId([9; 16]);
        let gone = member(1);
        let mut store = Store::open_in_memory().unwrap();
        store
            .transaction(|tx| {
                tx.execute(
                    "INSERT INTO former_leaf VALUES (?1, ?2, ?3, ?4, ?5, 0, 7, 42)",
                    (
                        group.0,
                        gone.device.0,
                        gone.account.0,
                        gone.mailbox.0,
                        gone.leaf_key,
                    ),
                )?;
                assert!(counts(tx, group, gone.device, 41)?);
                assert!(!counts(tx, group, gone.device, 42)?);
                assert!(counts(tx, group, member(2).device, 42)?);
                assert!(
                    former(tx, group, gone.account, gone.device)?.is_some_and(|one| one == gone)
                );
                assert!(former(tx, group, member(2).account, gone.device)?.is_none());
                Ok::<_, StoreError>(())
            })
            .unwrap();
    }
}
