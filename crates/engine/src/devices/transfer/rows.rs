//! The row that outlasts a restart while a device is admitted or handed the archive.

use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{ids::DeviceId, time::Time};
use zeroize::Zeroizing;

use super::key::TransferKey;
use crate::store::StoreError;

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
    /// New: everything is there, and the old one is told.
    Leaving = 7,
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
             cursor, heard_at
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
            })
        })
        .optional()?)
}
