//! The row that survives a restart while a device is being admitted or receives the archive.

use rusqlite::{OptionalExtension as _, Transaction, types::Value};
use waxwing_protocol::{
    ids::{DeviceId, GroupId},
    time::Time,
};
use zeroize::Zeroizing;

use super::key::TransferKey;
use crate::{conversation::archived, inbox::sender_counters, store::StoreError, tables::Tables};

/// `admission` has one row while a device is being admitted or handed the archive.
pub(crate) const SCHEMA: &str = "
CREATE TABLE admission (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    stage INTEGER NOT NULL,
    device BLOB NOT NULL,            -- the new one
    rendezvous BLOB NOT NULL,
    key BLOB NOT NULL,
    entry BLOB,                      -- old: DeviceEntry, to propose it again
    statement BLOB,                  -- old: SignedStatement, once it is in the roster
    mailbox BLOB,                    -- old: of the new one
    proposal BLOB,                   -- new: what it agreed to
    next_chunk INTEGER NOT NULL DEFAULT 0,
    cursor BLOB,                     -- new: ArchiveCursor of the next chunk
    heard_at INTEGER NOT NULL
);
";

/// What makes a transfer end, and what it cannot go beyond.
///
/// `said_later` lists what was added on the old device after the transfer had begun: by section
/// of the archive, and by the key that the section goes by.
pub(crate) const BOUNDS: &str = "
DELETE FROM admission WHERE stage = 6;
ALTER TABLE admission ADD COLUMN begun_at INTEGER NOT NULL DEFAULT 0;
UPDATE admission SET begun_at = heard_at;
ALTER TABLE admission ADD COLUMN giver BLOB;               -- new: the device that hands over
ALTER TABLE admission ADD COLUMN last_entry INTEGER NOT NULL DEFAULT 0;  -- old
ALTER TABLE admission ADD COLUMN repeats INTEGER NOT NULL DEFAULT 0;     -- old
CREATE TABLE transfer_place (       -- old: places in the archive that may be asked for
    chunk INTEGER NOT NULL,
    cursor BLOB NOT NULL,           -- ArchiveCursor; empty for the beginning
    PRIMARY KEY (chunk, cursor)
) WITHOUT ROWID;
CREATE TABLE transfer_heard (       -- old: what had been heard when the transfer began
    group_id BLOB NOT NULL,
    device_id BLOB NOT NULL,
    up_to INTEGER NOT NULL,
    PRIMARY KEY (group_id, device_id)
) WITHOUT ROWID;
CREATE TABLE said_later (
    section INTEGER NOT NULL,
    key BLOB NOT NULL,
    part BLOB NOT NULL,
    PRIMARY KEY (section, key, part)
) WITHOUT ROWID;
CREATE TRIGGER said_later_contact AFTER INSERT ON contact
WHEN EXISTS (SELECT 1 FROM admission WHERE stage = 6) BEGIN
    INSERT OR IGNORE INTO said_later VALUES (2, new.account_id, x'');
END;
CREATE TRIGGER said_later_conversation AFTER INSERT ON conversation
WHEN EXISTS (SELECT 1 FROM admission WHERE stage = 6) BEGIN
    INSERT OR IGNORE INTO said_later VALUES (3, new.id, x'');
END;
CREATE TRIGGER said_later_group AFTER INSERT ON conversation_group
WHEN EXISTS (SELECT 1 FROM admission WHERE stage = 6) BEGIN
    INSERT OR IGNORE INTO said_later VALUES (4, new.group_id, x'');
END;
CREATE TRIGGER said_later_amendment AFTER INSERT ON amendment
WHEN EXISTS (SELECT 1 FROM admission WHERE stage = 6) BEGIN
    INSERT OR IGNORE INTO said_later VALUES (6, new.conversation, new.id);
END;
CREATE TRIGGER said_later_register AFTER INSERT ON register
WHEN EXISTS (SELECT 1 FROM admission WHERE stage = 6) BEGIN
    INSERT OR IGNORE INTO said_later VALUES (7, new.kind, new.key);
END;
CREATE TRIGGER said_later_register_changed AFTER UPDATE OF value ON register
WHEN new.value IS NOT old.value AND EXISTS (SELECT 1 FROM admission WHERE stage = 6) BEGIN
    INSERT OR IGNORE INTO said_later VALUES (7, new.kind, new.key);
END;
";

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// New: has agreed, and waits for the admission.
    Agreed = 1,
    /// New: admitted; the archive is coming.
    Pulling = 2,
    /// Old: the statement is on its way to the relay.
    Changing = 3,
    /// Old: another statement came first; a new one is to be proposed.
    Outdated = 4,
    /// Old: a new statement was proposed.
    Proposed = 5,
    /// Old: admitted; the archive is handed over.
    Serving = 6,
    /// On the new device: everything is here, and it tells the old one.
    Leaving = 7,
}

impl Stage {
    /// Whether this device is the new one.
    pub(super) const fn is_new(self) -> bool {
        matches!(self, Self::Agreed | Self::Pulling | Self::Leaving)
    }
}

pub(super) struct Admitting {
    pub stage: Stage,
    pub device: DeviceId,
    pub rendezvous: [u8; 16],
    pub key: TransferKey,
    pub entry: Option<Vec<u8>>,
    pub statement: Option<Vec<u8>>,
    pub mailbox: Option<Vec<u8>>,
    pub proposal: Option<Vec<u8>>,
    pub next_chunk: u64,
    pub cursor: Option<Vec<u8>>,
    pub heard_at: Time,
    /// When the device was admitted or, before that, agreed to.
    pub begun_at: Time,
    /// New: the device that admitted this one and hands over.
    pub giver: Option<DeviceId>,
    /// Old: the last entry that goes over.
    pub last_entry: i64,
}

/// It is as far as this now.
pub(super) fn set_stage(tx: &Transaction<'_>, stage: Stage) -> Result<(), StoreError> {
    tx.execute("UPDATE admission SET stage = ?1", [stage as u8])?;
    Ok(())
}

/// The row, while there is one.
pub(super) fn read(tx: &Transaction<'_>) -> Result<Option<Admitting>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT stage, device, rendezvous, key, entry, statement, mailbox, proposal, next_chunk,
             cursor, heard_at, begun_at, giver, last_entry
         FROM admission",
    )?;
    Ok(statement
        .query_row([], |row| {
            let key: Zeroizing<Vec<u8>> = Zeroizing::new(row.get(3)?);
            Ok(Admitting {
                stage: match row.get::<_, u8>(0)? {
                    1 => Stage::Agreed,
                    2 => Stage::Pulling,
                    3 => Stage::Changing,
                    4 => Stage::Outdated,
                    5 => Stage::Proposed,
                    6 => Stage::Serving,
                    _ => Stage::Leaving,
                },
                device: DeviceId(row.get(1)?),
                rendezvous: row.get(2)?,
                key: TransferKey::from_slice(&key)
                    .ok_or(rusqlite::Error::IntegralValueOutOfRange(3, 0))?,
                entry: row.get(4)?,
                statement: row.get(5)?,
                mailbox: row.get(6)?,
                proposal: row.get(7)?,
                next_chunk: row.get::<_, i64>(8)?.cast_unsigned(),
                cursor: row.get(9)?,
                heard_at: Time(row.get::<_, i64>(10)?.cast_unsigned()),
                begun_at: Time(row.get::<_, i64>(11)?.cast_unsigned()),
                giver: row.get::<_, Option<[u8; 32]>>(12)?.map(DeviceId),
                last_entry: row.get(13)?,
            })
        })
        .optional()?)
}

/// Fixes what goes over to the new device: what is here now, and nothing that comes later.
pub(super) fn fix_bounds(
    tx: &Transaction<'_>,
    tables: Tables<'_>,
    this: DeviceId,
) -> Result<(), StoreError> {
    forget_bounds(tx)?;
    tx.execute(
        "UPDATE admission SET repeats = 0, last_entry = ?1",
        [tables.newest_entry(tx)?],
    )?;
    tx.execute(
        "INSERT INTO transfer_place (chunk, cursor) VALUES (0, x'')",
        [],
    )?;
    let mut insert = tx.prepare_cached(
        "INSERT OR REPLACE INTO transfer_heard (group_id, device_id, up_to) VALUES (?1, ?2, ?3)",
    )?;
    for (group, said) in archived::own_counters(tx)? {
        let heard = sender_counters::senders(tx, group)?;
        for (device, up_to) in heard.into_iter().chain([(this, said)]) {
            insert.execute((group.0, device.0, up_to.cast_signed()))?;
        }
    }
    Ok(())
}

/// Nothing is kept of a transfer's bounds.
pub(super) fn forget_bounds(tx: &Transaction<'_>) -> Result<(), StoreError> {
    for statement in [
        "DELETE FROM transfer_place",
        "DELETE FROM transfer_heard",
        "DELETE FROM said_later",
    ] {
        tx.prepare_cached(statement)?.execute([])?;
    }
    Ok(())
}

/// The place in the archive is one that the new device was given.
pub(super) fn is_place(
    tx: &Transaction<'_>,
    chunk: i64,
    cursor: &[u8],
) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM transfer_place WHERE chunk = ?1 AND cursor = ?2")?
        .exists((chunk, cursor))?)
}

/// The new device is given this place.
pub(super) fn give_place(
    tx: &Transaction<'_>,
    chunk: i64,
    cursor: &[u8],
) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR IGNORE INTO transfer_place (chunk, cursor) VALUES (?1, ?2)")?
        .execute((chunk, cursor))?;
    Ok(())
}

/// The new device has everything before this chunk. Gives whether that is news.
pub(super) fn has_before(tx: &Transaction<'_>, chunk: i64) -> Result<bool, StoreError> {
    let gone = tx
        .prepare_cached("DELETE FROM transfer_place WHERE chunk < ?1")?
        .execute([chunk])?;
    Ok(gone > 0)
}

/// The new device has asked for nothing new. Gives how often it has.
pub(super) fn count_repeat(tx: &Transaction<'_>) -> Result<u32, StoreError> {
    Ok(tx
        .prepare_cached("UPDATE admission SET repeats = repeats + 1 RETURNING repeats")?
        .query_row([], |row| row.get(0))?)
}

/// Whether a record of a section was added after the transfer began.
pub(crate) fn was_added_later(
    tx: &Transaction<'_>,
    section: u32,
    key: &Value,
    part: &[u8],
) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM said_later WHERE section = ?1 AND key = ?2 AND part = ?3")?
        .exists((section, key, part))?)
}

/// What had been heard of a group when the transfer began, and said by this device.
pub(crate) fn had_heard(
    tx: &Transaction<'_>,
    group: GroupId,
) -> Result<Vec<(DeviceId, u64)>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT device_id, up_to FROM transfer_heard WHERE group_id = ?1")?;
    let rows = statement.query_map([group.0], |row| {
        Ok((DeviceId(row.get(0)?), row.get::<_, i64>(1)?.cast_unsigned()))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
