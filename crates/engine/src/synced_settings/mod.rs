//! Registers (synced settings): what a person sets on one device and finds on the others.
//!
//! Examples are how far the person has read, whom they have blocked or compared, and what is
//! pinned, muted, archived, starred or drafted. Each is a key and a value, with the time at
//! which it was set and the device that set it. The latest setting wins; at the same time, the
//! one with the greater device id. All devices therefore end with the same values, in
//! whichever order they learn of them.
//!
//! Settings travel in the account's notes ([`mod@crate::conversation::notes`]), gathered for a
//! moment. A new device gets all of them with the archive; one that lost its place in the
//! notes asks for all.
//!
//! **Elsewhere**: [`apply`] applies settings that are kept a second time elsewhere (a blocked
//! contact, read messages); people's requests are in [`commands`].
//!
//! **Always**: settings from another account's device are never accepted: only this account's
//! devices are in the notes.

pub(crate) mod apply;
pub(crate) mod archived;
pub(crate) mod commands;
pub(crate) mod hooks;
pub(crate) mod sync;

use rusqlite::{OptionalExtension as _, Row, Transaction};
use waxwing_protocol::{
    ids::{AccountId, DeviceId},
    time::{Span, Time},
};

use crate::{
    api::{ConversationId, MessageId},
    conversation::{self, Conversation, Kind},
    store::StoreError,
    turn::{Fault, Postponed, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE register (
    kind INTEGER NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,            -- empty: as if it never had been set
    changed_at INTEGER NOT NULL,
    device_id BLOB NOT NULL,
    untold INTEGER NOT NULL DEFAULT 0,  -- other devices are to be told
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX register_untold ON register (kind) WHERE untold;
CREATE INDEX register_starred ON register (changed_at) WHERE kind = 9 AND value != x'';
";

/// Bytes of a key, and of a value, at most.
pub(crate) const KEY_BYTES: usize = 256;
pub(crate) const VALUE_BYTES: usize = 28 << 10;

/// Settings are gathered for so long before other devices are told.
pub(crate) const GATHERED_FOR: Span = Span::seconds(2);

/// Settings that are kept, at most.
const KEPT_MAX: i64 = 200_000;

/// What a setting is about. A number, once given out, keeps its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum SettingKind {
    /// The last message of a conversation that was read.
    Read = 1,
    /// A contact is blocked.
    Blocked = 2,
    /// A contact's safety number was compared.
    Compared = 3,
    /// What a contact is called here.
    Nickname = 4,
    /// Until when a conversation is muted, in milliseconds since 1970.
    Muted = 5,
    /// A conversation stands at the top.
    Pinned = 6,
    /// A conversation is put away.
    Archived = 7,
    /// A text that was begun.
    Draft = 8,
    /// A message is starred.
    Starred = 9,
    /// Whether others learn that messages arrived, and were read.
    Receipts = 10,
    /// A request was accepted.
    Accepted = 11,
    /// When a request was declined, in milliseconds since 1970.
    Declined = 12,
    /// The account's own name and picture.
    Profile = 13,
    /// What a contact is called by themselves. Each device hears it itself.
    TheirProfile = 14,
    /// A message was deleted, for oneself.
    Deleted = 15,
    /// A file of a message was deleted, for oneself.
    DeletedFile = 16,
    /// A conversation was deleted up to a message, for oneself.
    Cleared = 17,
    /// A device deletes the account: how long the roster was then.
    AccountClosing = 32,
}

impl SettingKind {
    pub(crate) const ALL: [Self; 18] = [
        Self::Read,
        Self::Blocked,
        Self::Compared,
        Self::Nickname,
        Self::Muted,
        Self::Pinned,
        Self::Archived,
        Self::Draft,
        Self::Starred,
        Self::Receipts,
        Self::Accepted,
        Self::Declined,
        Self::Profile,
        Self::TheirProfile,
        Self::Deleted,
        Self::DeletedFile,
        Self::Cleared,
        Self::AccountClosing,
    ];

    /// `None` for one that a later version has: it is kept and passed on.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|about| *about as u32 == number)
    }
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyncedSetting {
    pub kind: u32,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub changed_at: Time,
    pub device: DeviceId,
}

/// The key of a conversation: what all devices of the account call it. `None` while nobody
/// knows whose the address is.
pub(crate) fn key_of(conversation: &Conversation) -> Option<Vec<u8>> {
    match (conversation.kind, conversation.account) {
        (Kind::Group, _) => Some([b"g", conversation.id.as_bytes().as_slice()].concat()),
        (Kind::Notes, _) => Some(b"n".to_vec()),
        (Kind::Direct, Some(account)) => Some([b"d", account.0.as_slice()].concat()),
        (Kind::Direct, None) => None,
        (Kind::Sms, _) => Some([b"s", conversation.address.as_bytes()].concat()),
    }
}

/// The conversation that a key means here, if it is known here.
pub(crate) fn conversation_of(
    tx: &Transaction<'_>,
    key: &[u8],
) -> Result<Option<Conversation>, StoreError> {
    match key.split_first() {
        Some((b'g', id)) => match <[u8; 16]>::try_from(id) {
            Ok(id) => conversation::find(tx, ConversationId::from_bytes(id)),
            Err(_) => Ok(None),
        },
        Some((b'n', [])) => conversation::notes(tx),
        Some((b's', name)) => match std::str::from_utf8(name) {
            Ok(name) => crate::conversation::sms_names::find_sms(tx, name),
            Err(_) => Ok(None),
        },
        Some((b'd', account)) => match AccountId::try_from(account) {
            Ok(account) => conversation::with_account(tx, account),
            Err(_) => Ok(None),
        },
        _ => Ok(None),
    }
}

/// The value of a register; empty where it is not set.
pub(crate) fn value(
    tx: &Transaction<'_>,
    about: SettingKind,
    key: &[u8],
) -> Result<Vec<u8>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT value FROM register WHERE kind = ?1 AND key = ?2")?
        .query_row((about as u32, key), |row| row.get(0))
        .optional()?
        .unwrap_or_default())
}

/// Whether a register says yes.
pub(crate) fn is_set(
    tx: &Transaction<'_>,
    about: SettingKind,
    key: &[u8],
) -> Result<bool, StoreError> {
    Ok(!value(tx, about, key)?.is_empty())
}

/// Sets a register on this device and tells the others. The caller has already applied it.
pub(crate) fn set(
    turn: &mut Turn<'_>,
    about: SettingKind,
    key: &[u8],
    value: &[u8],
) -> Result<(), Fault> {
    if key.len() > KEY_BYTES
        || value.len() > VALUE_BYTES
        || self::value(turn.tx, about, key)? == value
    {
        return Ok(());
    }
    let device = turn.account()?.device();
    let before = changed_at(turn.tx, about as u32, key)?;
    // Later than the value that it replaces, no matter what the clocks say.
    let changed_at = Time(
        turn.now
            .0
            .max(before.map_or(0, |at| at.0.saturating_add(1))),
    );
    let register = SyncedSetting {
        kind: about as u32,
        key: key.to_vec(),
        value: value.to_vec(),
        changed_at,
        device,
    };
    if store_if_later(turn.tx, &register, true)? {
        is_due(turn);
    }
    Ok(())
}

/// Whether so many new settings can be kept.
pub(crate) fn has_room_for(tx: &Transaction<'_>, settings: usize) -> Result<bool, StoreError> {
    let settings = i64::try_from(settings).unwrap_or(i64::MAX);
    Ok(count(tx)?.saturating_add(settings) <= KEPT_MAX)
}

fn count(tx: &Transaction<'_>) -> Result<i64, StoreError> {
    Ok(tx
        .prepare_cached("SELECT count(*) FROM register")?
        .query_row([], |row| row.get(0))?)
}

/// Something is to be told.
fn is_due(turn: &mut Turn<'_>) {
    if !turn
        .memory
        .postponed
        .contains_key(&Postponed::SyncedSettings)
    {
        turn.postpone(Postponed::SyncedSettings, GATHERED_FOR);
    }
}

/// Keeps a setting if it is later than the one that is known. Gives whether it is.
pub(crate) fn store_if_later(
    tx: &Transaction<'_>,
    register: &SyncedSetting,
    untold: bool,
) -> Result<bool, StoreError> {
    if changed_at(tx, register.kind, &register.key)?.is_none() && count(tx)? >= KEPT_MAX {
        return Ok(false);
    }
    let changed = tx
        .prepare_cached(
            "INSERT INTO register (kind, key, value, changed_at, device_id, untold)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET value = ?3, changed_at = ?4, device_id = ?5, untold = ?6
             WHERE (changed_at, device_id) < (?4, ?5)",
        )?
        .execute((
            register.kind,
            &register.key,
            &register.value,
            register.changed_at.0.cast_signed(),
            register.device.0,
            untold,
        ))?;
    Ok(changed > 0)
}

fn changed_at(tx: &Transaction<'_>, kind: u32, key: &[u8]) -> Result<Option<Time>, StoreError> {
    let at: Option<i64> = tx
        .prepare_cached("SELECT changed_at FROM register WHERE kind = ?1 AND key = ?2")?
        .query_row((kind, key), |row| row.get(0))
        .optional()?;
    Ok(at.map(|at| Time(at.cast_unsigned())))
}

/// Settings behind a place, in the order of kind and key.
pub(crate) fn settings_after(
    tx: &Transaction<'_>,
    (kind, key): (u32, &[u8]),
    limit: u32,
) -> Result<Vec<SyncedSetting>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT kind, key, value, changed_at, device_id FROM register
         WHERE (kind, key) > (?1, ?2) ORDER BY kind, key LIMIT ?3",
    )?;
    let rows = statement.query_map((kind, key, limit), read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether other devices are to be told of any setting.
pub(crate) fn any_untold(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    Ok(!untold(tx, 1)?.is_empty())
}

/// Settings of which the other devices are to be told.
fn untold(tx: &Transaction<'_>, limit: u32) -> Result<Vec<SyncedSetting>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT kind, key, value, changed_at, device_id FROM register WHERE untold LIMIT ?1",
    )?;
    let rows = statement.query_map([limit], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The other devices are told of a setting.
fn set_told(tx: &Transaction<'_>, one: &SyncedSetting) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE register SET untold = 0 WHERE kind = ?1 AND key = ?2")?
        .execute((one.kind, &one.key))?;
    Ok(())
}

/// The accounts that the person calls so; capitals do not matter.
pub(crate) fn nicknamed(tx: &Transaction<'_>, name: &str) -> Result<Vec<AccountId>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT key, value FROM register WHERE kind = 4 AND value != x''")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    let name = name.to_lowercase();
    let mut found = Vec::new();
    for row in rows {
        let (key, value) = row?;
        let nickname = std::str::from_utf8(&value).unwrap_or_default();
        if nickname.trim().to_lowercase() == name {
            found.extend(AccountId::try_from(key.as_slice()).ok());
        }
    }
    Ok(found)
}

/// The starred messages, the latest first.
pub(crate) fn starred(tx: &Transaction<'_>, limit: u32) -> Result<Vec<MessageId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT key FROM register WHERE kind = 9 AND value != x''
         ORDER BY changed_at DESC LIMIT ?1",
    )?;
    let rows = statement.query_map([limit], |row| row.get::<_, Vec<u8>>(0))?;
    let mut starred = Vec::new();
    for row in rows {
        starred.extend(MessageId::try_from(row?.as_slice()).ok());
    }
    Ok(starred)
}

fn read(row: &Row<'_>) -> rusqlite::Result<SyncedSetting> {
    Ok(SyncedSetting {
        kind: row.get(0)?,
        key: row.get(1)?,
        value: row.get(2)?,
        changed_at: Time(row.get::<_, i64>(3)?.cast_unsigned()),
        device: DeviceId(row.get(4)?),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::Store;

    fn any_register() -> impl Strategy<Value = SyncedSetting> {
        (1..3_u32, 0..2_u8, 0..4_u8, 0..4_u64, 0..3_u8).prop_map(
            |(kind, key, value, at, device)| SyncedSetting {
                kind,
                key: vec![key],
                value: vec![value],
                changed_at: Time(at),
                device: DeviceId([device; 32]),
            },
        )
    }

    fn outcome(settings: &[SyncedSetting]) -> Vec<SyncedSetting> {
        let mut store = Store::open_in_memory().unwrap();
        store
            .transaction(|tx| {
                for one in settings {
                    store_if_later(tx, one, false)?;
                }
                settings_after(tx, (0, &[]), 100)
            })
            .unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn devices_end_with_the_same_in_whatever_order_they_hear(
            settings in prop::collection::vec(any_register(), 0..12)
                .prop_map(|mut settings| {
                    // A device sets a register once at a time.
                    settings.sort_by_key(|one| (one.kind, one.key.clone(), one.changed_at, one.device));
                    settings.dedup_by_key(|one| (one.kind, one.key.clone(), one.changed_at, one.device));
                    settings
                })
                .prop_shuffle(),
        ) {
            let mut other = settings.clone();
            other.reverse();
            other.extend(settings.clone());
            prop_assert_eq!(outcome(&settings), outcome(&other));
        }
    }
}
