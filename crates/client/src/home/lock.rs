//! One process at a time drives the engine of a home.
//!
//! **Elsewhere.** [`crate::session`] says what the others do meanwhile.
//!
//! **Always.** The lock is the system's (`flock`): it ends with the process that holds it, no
//! matter how that process ends, so there is never a stale lock. The file itself stays.

use std::fs::{File, OpenOptions, TryLockError};

use waxwing_engine::api::Problem;

use super::Home;

/// Held by the process that drives the engine; ends when dropped.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
}

impl HomeLock {
    /// Takes the lock, or gives `None` when another process has it.
    pub fn try_take(home: &Home) -> Result<Option<Self>, Problem> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(home.lock_file())
            .map_err(|error| home.unwritable(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(home.unwritable(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_holds_the_lock_and_it_is_free_again_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        let held = HomeLock::try_take(&home).unwrap();
        assert!(held.is_some());
        assert!(HomeLock::try_take(&home).unwrap().is_none());
        drop(held);
        assert!(HomeLock::try_take(&home).unwrap().is_some());
    }
}
