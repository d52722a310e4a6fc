//! The store: one file with everything that must outlive the process.
//!
//! It is an SQLite database, encrypted page by page with SQLCipher. Events run in
//! [`Store::transaction`]; [`quick_check`](Store::quick_check) is for `doctor`.
//!
//! **Elsewhere**: each module owns its tables and the SQL that reads and writes them;
//! [`crate::migrations`] lists them, and opens a store with them. The client decides where the key is kept (keyring,
//! passphrase).
//!
//! **Always**: when a transaction returns, everything it wrote is on disk, or nothing is. What
//! it deleted is overwritten in the file, and removed from the write-ahead log within five
//! seconds ([`LOG_KEPT`]) or when the store is opened again. A page that does not verify is an
//! error, never data. Only one process has the file open. A file that a newer version made is
//! left unchanged.

mod error;
mod key;
mod upgrade;

#[cfg(test)]
mod erasure_tests;
#[cfg(test)]
mod tests;

use std::path::Path;

use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _, TransactionBehavior, config::DbConfig,
};

use waxwing_protocol::time::{Span, Time};

pub use error::StoreError;
pub use key::StoreKey;
pub use rusqlite::Transaction;
pub(crate) use upgrade::{Step, TableMaking};

/// How long another process may keep the file before it counts as in use.
const BUSY_MS: u32 = 500;

/// Pages in the write-ahead log after which it is folded into the file.
const CHECKPOINT_PAGES: u32 = 2_000;

/// What was overwritten or deleted stays in the write-ahead log for this long, at most: then
/// the log is folded into the file and emptied. The cost is that of one checkpoint in this time.
const LOG_KEPT: Span = Span::seconds(5);

/// Bytes at which the write-ahead log is cut back once it is folded in.
const LOG_BYTES: u32 = 8 << 20;

/// An open store.
pub struct Store {
    connection: Connection,
    /// Whether there is a write-ahead log.
    logged: bool,
    /// How many rows had been changed when the log was last known to be empty.
    changes_emptied: i64,
    /// Since when the log holds something.
    log_since: Option<Time>,
}

impl core::fmt::Debug for Store {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Store(..)")
    }
}

impl Store {
    /// Opens the store at `path`, or makes it, and takes the steps that its tables lack.
    pub(crate) fn open_with(
        path: &Path,
        key: &StoreKey,
        tables: &TableMaking,
    ) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
        let connection = Connection::open_with_flags(path, flags)?;
        // A wrong key is told by our error, not by lines on standard error.
        connection.execute_batch("PRAGMA cipher_log_level = NONE;")?;
        // The key comes before anything that reads the file.
        connection.execute_batch(&key.pragma())?;
        // SQLite without a cipher takes the key in silence and writes in clear.
        let cipher = connection.query_row("PRAGMA cipher_version", [], |_| Ok(()));
        if cipher.optional()?.is_none() {
            return Err(StoreError::NotEncrypting);
        }
        Self::prepare(connection, true, tables)
    }

    /// A store in memory, with these tables.
    pub(crate) fn open_in_memory_with(tables: &TableMaking) -> Result<Self, StoreError> {
        Self::prepare(Connection::open_in_memory()?, false, tables)
    }

    fn prepare(
        mut connection: Connection,
        logged: bool,
        TableMaking { steps, functions }: &TableMaking,
    ) -> Result<Self, StoreError> {
        connection.execute_batch(&format!(
            "PRAGMA busy_timeout = {BUSY_MS};
             PRAGMA locking_mode = EXCLUSIVE;
             PRAGMA secure_delete = ON;
             PRAGMA foreign_keys = ON;
             PRAGMA temp_store = MEMORY;
             PRAGMA cell_size_check = ON;
             PRAGMA trusted_schema = OFF;"
        ))?;
        // The first reads: a wrong key shows here, before anything is written.
        upgrade::refuse_newer(&connection, steps)?;
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
             PRAGMA journal_size_limit = {LOG_BYTES};"
        ))?;
        // Without it SQLite prepares a statement anew whenever a value is bound on which a
        // partial index could depend: a sixth of all the time that messages took.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(256);
        functions(&connection)?;
        upgrade::take_steps(&mut connection, steps)?;
        let mut store = Self {
            connection,
            logged,
            changes_emptied: 0,
            log_since: None,
        };
        if logged {
            // A process that was killed has left its log.
            store.empty_log()?;
        }
        Ok(store)
    }

    /// Does `work` in one transaction: on disk when this returns `Ok`, undone when
    /// `work` fails or the disk does.
    ///
    /// After an error, whatever the caller holds in memory of what `work` wrote (an
    /// MLS group, for instance) is ahead of the store and must be read again.
    pub fn transaction<R, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StoreError::from)?;
        let result = work(&transaction)?;
        transaction.commit().map_err(StoreError::from)?;
        Ok(result)
    }

    /// SQLite's own connection: for tests that do to a store what a mistake of this program's
    /// could. Nothing else uses it.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// From now on the store may grow by this many pages of 4 KiB, or without limit: past
    /// that, the disk is full. For tests and simulations of a full disk.
    pub fn limit_room(&self, pages: Option<u32>) -> Result<(), StoreError> {
        let limit = match pages {
            None => u32::MAX - 1,
            Some(pages) => {
                let used: u32 = self
                    .connection
                    .query_row("PRAGMA page_count", [], |row| row.get(0))?;
                used.saturating_add(pages)
            }
        };
        self.connection
            .query_row(&format!("PRAGMA max_page_count = {limit}"), [], |_| Ok(()))?;
        Ok(())
    }

    /// Reads every page and checks its code and the tables' structure.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with what was found first.
    pub fn quick_check(&self) -> Result<(), StoreError> {
        for pragma in [
            "cipher_integrity_check",
            "quick_check(1)",
            "foreign_key_check",
        ] {
            let mut statement = self.connection.prepare(&format!("PRAGMA {pragma}"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                // One row "ok" from quick_check; no row at all from the others. The
                // columns of foreign_key_check are a table's name and numbers.
                let found: String = row.get(0)?;
                if found != "ok" {
                    return Err(StoreError::Damaged { found });
                }
            }
        }
        Ok(())
    }

    /// Writes a consistent copy, encrypted with the same key, to `path`, which must
    /// not exist.
    pub fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let path = path.to_str().ok_or(StoreError::Unwritable)?;
        self.connection.execute("VACUUM INTO ?1", [path])?;
        Ok(())
    }

    /// Folds the write-ahead log into the file and empties it.
    ///
    /// Called at leisure; without it SQLite does so by itself, in the middle of
    /// some transaction.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    /// Empties the write-ahead log when it has held something for [`LOG_KEPT`]; to be called
    /// after each transaction. Gives when it is to be called again at the latest.
    ///
    /// The log has pages as they were before something was deleted from them, and what is
    /// deleted is to be gone: messages that disappear, keys of epochs that are over, words that
    /// were written down. A disk that fails is tried again after the same time.
    pub(crate) fn tidy_log(&mut self, now: Time) -> Option<Time> {
        if !self.logged {
            return None;
        }
        let changes = self.changes().ok()?;
        if changes != self.changes_emptied && self.log_since.is_none() {
            self.log_since = Some(now);
        }
        let since = self.log_since?;
        // A clock that was set back does not put it off.
        if now >= since && now < since.after(LOG_KEPT) {
            return Some(since.after(LOG_KEPT));
        }
        if self.empty_log().is_ok() {
            return None;
        }
        self.log_since = Some(now);
        Some(now.after(LOG_KEPT))
    }

    fn empty_log(&mut self) -> Result<(), StoreError> {
        self.checkpoint()?;
        self.changes_emptied = self.changes()?;
        self.log_since = None;
        Ok(())
    }

    /// Rows that were changed since the store was opened.
    fn changes(&self) -> Result<i64, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT total_changes()")?
            .query_row([], |row| row.get(0))?)
    }
}
