//! Auditors: whose co-signature the person requires before a key is used.
//!
//! A client can name auditors and say how many of them must have co-signed the head of the log
//! (or a later head on its chain) against which a look-up was proved. Until they have, the
//! look-up waits, and so does everything that depends on it; the person learns why.
//!
//! **Elsewhere**: `waxwing audit` co-signs; `waxwing_transparency::cosignature` checks a
//! co-signature.
//!
//! **Always**: an auditor who is not named does not count.

use rusqlite::Transaction;
use waxwing_transparency::{cosignature::AuditorId, view::View};

use crate::{
    api::Auditor,
    settings::{self, Setting},
    store::StoreError,
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE auditor (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    number INTEGER NOT NULL DEFAULT 0,      -- of the newest head that they co-signed
    made_at INTEGER NOT NULL DEFAULT 0      -- when they did, by their clock
) STRICT, WITHOUT ROWID;
";

/// Auditors that can be named.
pub(crate) const NAMED_MAX: usize = 16;

/// What the auditors say of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CosignatureStatus {
    /// How many of the named ones have co-signed it.
    pub present: u32,
    /// How many must have.
    pub required: u32,
}

impl CosignatureStatus {
    pub(crate) const fn is_enough(self) -> bool {
        self.present >= self.required
    }
}

/// Names the auditors and how many of them are required.
pub(crate) fn set(
    tx: &Transaction<'_>,
    named: &[(AuditorId, String)],
    required: u32,
) -> Result<(), StoreError> {
    tx.execute("DELETE FROM auditor", [])?;
    for (id, name) in named {
        tx.execute(
            "INSERT INTO auditor (id, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            (id.0, name),
        )?;
    }
    settings::write(tx, Setting::AuditorsRequired, required)
}

/// The named auditors with their names, and how many are required.
pub(crate) fn named(tx: &Transaction<'_>) -> Result<(Vec<(AuditorId, String)>, u32), StoreError> {
    let mut statement = tx.prepare("SELECT id, name FROM auditor ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((AuditorId(row.get(0)?), row.get(1)?)))?;
    let named = rows.collect::<Result<_, _>>()?;
    let required = settings::read(tx, Setting::AuditorsRequired)?.unwrap_or(0);
    Ok((named, required))
}

/// A view of the log has come, with what auditors say of it.
pub(crate) fn handle_cosignatures(turn: &mut Turn<'_>, view: &View) -> Result<(), Fault> {
    for signed in view.cosigned() {
        turn.tx.execute(
            "UPDATE auditor SET number = ?2, made_at = ?3 WHERE id = ?1 AND number < ?2",
            (
                signed.auditor.0,
                signed.number.cast_signed(),
                signed.made_at.0.cast_signed(),
            ),
        )?;
    }
    Ok(())
}

/// How well the head with this number is covered.
pub(crate) fn cosignature_status(
    tx: &Transaction<'_>,
    number: u64,
) -> Result<CosignatureStatus, StoreError> {
    let required = settings::read(tx, Setting::AuditorsRequired)?.unwrap_or(0);
    let present = tx.query_row(
        "SELECT count(*) FROM auditor WHERE number >= ?1",
        [number.cast_signed()],
        |row| row.get(0),
    )?;
    Ok(CosignatureStatus { present, required })
}

/// The named auditors, and how many are required.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<(Vec<Auditor>, u32), StoreError> {
    let mut statement =
        tx.prepare("SELECT id, name, number, made_at FROM auditor ORDER BY name")?;
    let rows = statement.query_map([], |row| {
        let made_at = row.get::<_, i64>(3)?.cast_unsigned();
        Ok(Auditor {
            id: AuditorId(row.get(0)?).to_string(),
            name: row.get(1)?,
            head: row.get::<_, i64>(2)?.cast_unsigned(),
            at: (made_at > 0).then(|| waxwing_protocol::time::Time(made_at).into()),
        })
    })?;
    let named = rows.collect::<Result<_, _>>()?;
    Ok((
        named,
        settings::read(tx, Setting::AuditorsRequired)?.unwrap_or(0),
    ))
}
