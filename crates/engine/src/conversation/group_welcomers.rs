//! Whose welcome a group came with.
//!
//! **Elsewhere**: the table is that of [`super::groups`]; [`super::welcomes`] reads welcomes, and
//! [`super::acquaintance`] says who is a stranger.

use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::ids::{AccountId, DeviceId, GroupId};

use crate::{api::ConversationId, store::StoreError};

/// In `welcomed_by`: another device of this account, or somebody whom the person asked. The id
/// of no account: those are hashes.
pub(crate) const OURSELVES: AccountId = AccountId([0; 32]);

/// Whose welcome a group came with.
#[derive(Clone, Copy)]
pub(crate) struct Welcomer {
    pub account: AccountId,
    pub device: DeviceId,
    /// Whether this device had been in the group before.
    pub again: bool,
}

/// Keeps whose welcome the group came with.
pub(crate) fn set_welcomer(
    tx: &Transaction<'_>,
    id: GroupId,
    by: Welcomer,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET made_by = ?2, made_by_device = ?3, came_again = ?4
         WHERE group_id = ?1",
        (id.0, by.account.0, by.device.0, by.again),
    )?;
    Ok(())
}

/// Whose welcome the group came with; `None` for a group of this device's, or an earlier
/// version's.
pub(crate) fn welcomer(tx: &Transaction<'_>, id: GroupId) -> Result<Option<Welcomer>, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT made_by, made_by_device, came_again FROM conversation_group
             WHERE group_id = ?1 AND made_by IS NOT NULL",
        )?
        .query_row([id.0], |row| {
            Ok(Welcomer {
                account: AccountId(row.get(0)?),
                device: DeviceId(row.get(1)?),
                again: row.get(2)?,
            })
        })
        .optional()?)
}

/// How many groups of strangers, or of others, are being checked.
pub(crate) fn count_being_checked(
    tx: &Transaction<'_>,
    by_stranger: bool,
) -> Result<u64, StoreError> {
    let count: i64 = tx
        .prepare_cached(
            "SELECT count(*) FROM conversation_group WHERE state = 3 AND by_stranger = ?1",
        )?
        .query_row([by_stranger], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// A stranger sent the welcome to the group.
pub(crate) fn set_by_stranger(tx: &Transaction<'_>, id: GroupId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET by_stranger = 1 WHERE group_id = ?1",
        [id.0],
    )?;
    Ok(())
}

/// Whether the group is not known, or a stranger took this device into it.
pub(crate) fn is_strangers(tx: &Transaction<'_>, id: GroupId) -> Result<bool, StoreError> {
    let by_stranger: Option<bool> = tx
        .prepare_cached("SELECT by_stranger FROM conversation_group WHERE group_id = ?1")?
        .query_row([id.0], |row| row.get(0))
        .optional()?;
    Ok(by_stranger.unwrap_or(true))
}

/// The groups of a conversation are no stranger's any more.
pub(crate) fn set_known(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET by_stranger = 0 WHERE conversation = ?1",
        [conversation.as_bytes()],
    )?;
    Ok(())
}

/// The group's welcome came in this parcel, and the relay was not told that it is here.
pub(crate) fn set_parcel(
    tx: &Transaction<'_>,
    id: GroupId,
    parcel: [u8; 32],
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET parcel = ?2 WHERE group_id = ?1",
        (id.0, parcel),
    )?;
    Ok(())
}

/// The parcel of which the relay is to be told that it is here.
pub(crate) fn take_parcel(
    tx: &Transaction<'_>,
    id: GroupId,
) -> Result<Option<[u8; 32]>, StoreError> {
    let parcel: Option<Option<[u8; 32]>> = tx
        .prepare_cached("SELECT parcel FROM conversation_group WHERE group_id = ?1")?
        .query_row([id.0], |row| row.get(0))
        .optional()?;
    let parcel = parcel.flatten();
    if parcel.is_some() {
        tx.execute(
            "UPDATE conversation_group SET parcel = NULL WHERE group_id = ?1",
            [id.0],
        )?;
    }
    Ok(parcel)
}

/// This account's device sent the welcome to the group.
pub(crate) fn set_welcomed_by(
    tx: &Transaction<'_>,
    id: GroupId,
    by: AccountId,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET welcomed_by = ?2 WHERE group_id = ?1",
        (id.0, by.0),
    )?;
    Ok(())
}

/// Who sent the welcome to a group, where that is known.
pub(crate) fn welcomed_by(
    tx: &Transaction<'_>,
    id: GroupId,
) -> Result<Option<AccountId>, StoreError> {
    let by: Option<Option<[u8; 32]>> = tx
        .prepare_cached("SELECT welcomed_by FROM conversation_group WHERE group_id = ?1")?
        .query_row([id.0], |row| row.get(0))
        .optional()?;
    Ok(by.flatten().map(AccountId))
}

/// Who took this device into the groups of a conversation of many.
pub(crate) fn welcomers(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Vec<AccountId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT DISTINCT welcomed_by FROM conversation_group
         WHERE conversation = ?1 AND welcomed_by IS NOT NULL",
    )?;
    let rows = statement.query_map([conversation.as_bytes()], |row| row.get(0).map(AccountId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The conversations into whose groups this account took this device.
pub(crate) fn welcomed_into(
    tx: &Transaction<'_>,
    by: AccountId,
) -> Result<Vec<ConversationId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT DISTINCT conversation FROM conversation_group
         WHERE welcomed_by = ?1 AND conversation IS NOT NULL",
    )?;
    let rows = statement.query_map([by.0], |row| row.get(0).map(ConversationId::from_bytes))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Who took this device into the groups of a conversation counts no more.
pub(crate) fn forget_welcomers(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE conversation_group SET welcomed_by = NULL WHERE conversation = ?1",
        [conversation.as_bytes()],
    )?;
    Ok(())
}
