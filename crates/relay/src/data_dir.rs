//! The relay's data directory: used by one relay at a time, and readable by nobody else.
//!
//! **Elsewhere**: its content belongs to [`crate::identity`] (`identity/`) and
//! [`crate::store`] (`store/`).
//!
//! **Always**: while a [`DataDir`] exists, no other process has one on the same directory; the
//! lock ends with the process, however the process ends. Only their owner can read directories
//! that are created here.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A data directory that this process holds.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: Option<File>,
}

/// Why a data directory cannot be used. The sentences are for operators.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds it.
    #[error(
        "{} is in use by another waxwing-relay. Stop that one first, or give this one a \
         directory of its own with --data.", path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It is not there, and was not to be made.
    #[error(
        "{} holds no relay. Check the path; `waxwing-relay serve --data {}` would start \
         a new relay there.", path.display(), path.display()
    )]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("{} cannot be {action}: {source}. {advice}", path.display())]
    Refused {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
        /// What to do about it.
        advice: &'static str,
    },
}

impl DataDirError {
    /// With advice that fits what the system said.
    pub(crate) fn refused(path: &Path, action: &'static str, source: io::Error) -> Self {
        let advice = match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "The user that runs the relay must own the directory and be able to write to it."
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "The disk is full: free some space and start again."
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                "Give a directory, not a file, with --data."
            }
            _ => "Check the disk and the directory, then start again.",
        };
        Self::Refused {
            path: path.to_owned(),
            action,
            source,
            advice,
        }
    }
}

impl DataDir {
    /// Opens the directory, making it where it is missing.
    pub fn open_or_create(path: &Path) -> Result<Self, DataDirError> {
        make_private_dir(path)?;
        Self::lock(path)
    }

    /// Opens a directory in which a relay has run before.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        if !path.join("identity").is_dir() {
            return Err(DataDirError::Missing {
                path: path.to_owned(),
            });
        }
        Self::lock(path)
    }

    /// Opens a directory in which a relay has run before, only to read it: nothing in there
    /// is changed.
    pub fn open_to_read(path: &Path) -> Result<Self, DataDirError> {
        if !path.join("identity").is_dir() {
            return Err(DataDirError::Missing {
                path: path.to_owned(),
            });
        }
        let at = path.join("lock");
        let lock = match File::open(&at) {
            // A relay that runs would have made one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            lock => Some(lock.map_err(|source| DataDirError::refused(&at, "opened", source))?),
        };
        if let Some(lock) = &lock {
            take(path, &at, lock)?;
        }
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn lock(path: &Path) -> Result<Self, DataDirError> {
        let at = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&at)
            .map_err(|source| DataDirError::refused(&at, "opened", source))?;
        take(path, &at, &lock)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: Some(lock),
        })
    }
}

/// Takes the lock of the directory `path`.
fn take(path: &Path, at: &Path, lock: &File) -> Result<(), DataDirError> {
    match lock.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(DataDirError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(DataDirError::refused(at, "locked", source)),
    }
}

/// Makes a directory, and those above it, that only its owner can read.
pub(crate) fn make_private_dir(path: &Path) -> Result<(), DataDirError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| DataDirError::refused(path, "created", source))
}

/// Writes a file that only its owner can read, whole or not at all, and durably.
pub(crate) fn write_private_file(path: &Path, content: &[u8]) -> Result<(), DataDirError> {
    let new = path.with_extension("new");
    let refused = |source| DataDirError::refused(path, "written", source);
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .map_err(refused)?;
    file.write_all(content).map_err(refused)?;
    file.sync_all().map_err(refused)?;
    std::fs::rename(&new, path).map_err(refused)?;
    if let Some(parent) = path.parent() {
        File::open(parent)
            .and_then(|parent| parent.sync_all())
            .map_err(refused)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open_or_create(dir.path()).unwrap();
        assert!(matches!(
            DataDir::open_or_create(dir.path()),
            Err(DataDirError::InUse { .. })
        ));
        drop(first);
        DataDir::open_or_create(dir.path()).unwrap();
    }

    #[test]
    fn a_file_in_place_of_the_directory_is_explained() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DataDir::open_or_create(file.path())
            .unwrap_err()
            .to_string();
        assert!(error.contains("Give a directory"), "{error}");
    }
}
