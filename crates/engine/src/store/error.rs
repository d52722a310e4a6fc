//! What can go wrong with the store.

use rusqlite::ErrorCode;

/// Why the store could not do what it was asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file open.
    #[error("the store is in use by another process; stop it, or ask it instead")]
    InUse,
    /// The key does not open this file, or the file is not a store at all.
    #[error("the store cannot be read: its key is wrong, or the file is damaged")]
    Unreadable,
    /// A later version has changed the file's tables.
    #[error(
        "the store was made by a newer version (tables {found}, this one knows {known}); \
         use that version"
    )]
    Newer {
        /// The version of its tables.
        found: u32,
        /// The newest version that this build knows.
        known: u32,
    },
    /// A page of the file is not what was written. What is in it is not used.
    #[error("the store is damaged ({found}); restore a copy, or register this device again")]
    Damaged {
        /// What was found.
        found: String,
    },
    /// One value is not what this program wrote, though its page verifies: a mistake of this
    /// program's. What else is in the store is not concerned.
    #[error("a value in the store cannot be read ({found})")]
    Undecodable {
        /// What was found.
        found: &'static str,
    },
    /// There is no room left. Nothing that was acknowledged is lost.
    #[error("the disk is full; free some space and try again")]
    DiskFull,
    /// The file or its folder cannot be written to.
    #[error("the store's folder cannot be written to")]
    Unwritable,
    /// This build's SQLite has no cipher (in a browser, so far): nothing is kept in clear.
    #[error("this build cannot encrypt a store, and never keeps one unencrypted")]
    NotEncrypting,
    /// The disk failed.
    #[error("the disk failed to read or write the store")]
    Disk,
    /// A statement failed for a reason that is this program's fault.
    #[error("the store refused a statement: {0}")]
    Statement(rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        // Not matched on text: the extended codes say enough.
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse,
            Some(ErrorCode::NotADatabase) => Self::Unreadable,
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged {
                found: "a page does not verify".to_owned(),
            },
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::Unwritable
            }
            Some(ErrorCode::SystemIoFailure) => Self::Disk,
            _ => Self::Statement(error),
        }
    }
}
