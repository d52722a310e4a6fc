//! Upgrading a store's tables from the version that wrote them to this one.
//!
//! **Elsewhere**: the steps are in [`crate::migrations`].
//!
//! **Always**: all steps are taken in one transaction, or none is. `user_version` counts those
//! that have been taken.

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// One step: batches of SQL statements.
pub(crate) type Step = &'static [&'static str];

/// How a store's tables are made and kept.
pub(crate) struct TableMaking {
    /// All steps, oldest first.
    pub steps: &'static [Step],
    /// Adds the functions that triggers call.
    pub functions: fn(&Connection) -> rusqlite::Result<()>,
}

/// "wxwg", so that `file` and other SQLite programs know whose file it is.
const APPLICATION_ID: i32 = 0x7778_7767;

/// Refuses what a later version wrote. Reads the file's first page, so that a wrong
/// key shows.
pub(super) fn refuse_newer(connection: &Connection, steps: &[Step]) -> Result<(), StoreError> {
    let found = version(connection)?;
    let known = count(steps);
    if found > known {
        Err(StoreError::Newer { found, known })
    } else {
        Ok(())
    }
}

/// Takes the steps that are missing, all in one transaction.
pub(super) fn take_steps(connection: &mut Connection, steps: &[Step]) -> Result<(), StoreError> {
    let taken = version(connection)?;
    if taken == count(steps) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in steps.iter().skip(taken as usize) {
        for batch in *step {
            transaction.execute_batch(batch)?;
        }
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", count(steps))?;
    transaction.commit()?;
    Ok(())
}

fn version(connection: &Connection) -> Result<u32, StoreError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

fn count(steps: &[Step]) -> u32 {
    u32::try_from(steps.len()).unwrap_or(u32::MAX)
}
