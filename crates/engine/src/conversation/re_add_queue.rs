//! The devices of others that have asked to be re-added to a group, and which of them may be.
//!
//! **Elsewhere**: [`super::re_add`] has the requests; [`super::membership`] makes the commit
//! that removes a device's old leaf and adds it again.
//!
//! **Always**: a device is re-added once in [`NOT_AGAIN`] at most, because each time costs a
//! token and an epoch.

use std::collections::HashMap;

use rusqlite::Transaction;
use waxwing_protocol::{
    conversation::{ConversationSecrets, ConversationState},
    ids::{AccountId, DeviceId, GroupId},
    time::{Span, Time},
};

use crate::{memory::Remembered, mls::Member, store::StoreError, turn::Turn};

pub(crate) const SCHEMA: &str = "
CREATE TABLE again (
    group_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    PRIMARY KEY (group_id, device_id)
) WITHOUT ROWID;
";

/// A device that was taken in again is not, for so long; shorter than the
/// pause after which it asks again.
const NOT_AGAIN: Span = Span::minutes(4);

/// When a device was last re-added to a group.
#[derive(Default)]
struct RecentReAdds(HashMap<(GroupId, DeviceId), Time>);

impl Remembered for RecentReAdds {
    const OUTLASTS_ERRORS: bool = true;
}

/// Devices of which that is remembered.
const REMEMBERED_MAX: usize = 4_096;

/// Whether this account's devices may take a device of that account out and bring it in again.
pub(crate) fn may_re_add(
    secrets: &ConversationSecrets,
    own: AccountId,
    account: AccountId,
) -> bool {
    let is_admin = |state: &ConversationState| state.is_admin(own);
    account == own || secrets.state.as_ref().is_none_or(is_admin)
}

/// Whether a device is to be taken in again now: each time costs a token and an epoch.
pub(crate) fn is_re_add_allowed_now(turn: &mut Turn<'_>, group: GroupId, device: DeviceId) -> bool {
    let now = turn.now;
    let taken = &mut turn.memory.states.get_mut::<RecentReAdds>().0;
    if taken.len() >= REMEMBERED_MAX {
        taken.retain(|_, at| now.since(*at) < NOT_AGAIN);
    }
    let recently = taken
        .get(&(group, device))
        .is_some_and(|at| now.since(*at) < NOT_AGAIN);
    if recently || taken.len() >= REMEMBERED_MAX {
        return false;
    }
    taken.insert((group, device), now);
    true
}

/// A device is to be taken into a group again.
pub(crate) fn add(
    tx: &Transaction<'_>,
    group: GroupId,
    device: DeviceId,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO again (group_id, device_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        (group.0, device.0),
    )?;
    Ok(())
}

/// The devices that are to be taken into a group again.
pub(crate) fn devices_to_re_add(
    tx: &Transaction<'_>,
    group: GroupId,
) -> Result<Vec<DeviceId>, StoreError> {
    let mut statement = tx.prepare_cached("SELECT device_id FROM again WHERE group_id = ?1")?;
    let rows = statement.query_map([group.0], |row| row.get(0).map(DeviceId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The device was taken in, or is in the group no more.
pub(crate) fn forget_re_add(
    tx: &Transaction<'_>,
    group: GroupId,
    device: DeviceId,
) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM again WHERE group_id = ?1 AND device_id = ?2",
        (group.0, device.0),
    )?;
    Ok(())
}

/// Whether a leaf goes and comes again with the same commit.
pub(crate) fn is_re_add(removed: &Member, added: &[Member]) -> bool {
    let same =
        |member: &Member| (member.account, member.device) == (removed.account, removed.device);
    added.iter().any(same)
}
