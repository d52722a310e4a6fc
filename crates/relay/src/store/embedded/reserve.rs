//! Space that is reserved for a full disk.
//!
//! Deleting needs space before it frees any: the map writes what it deletes, and rewrites its
//! tables only later. The store therefore keeps a file that holds nothing, and removes it when
//! the disk is full.
//!
//! **Elsewhere**: [`super`] decides when that is.
//!
//! **Always**: the space is really allocated, not only announced. The file is created again
//! once there is plenty of space.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::{Access, Disk};
use super::io_failed;
use crate::store::StoreError;

/// The file, if it is there.
pub(super) struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    bytes: AtomicU64,
}

impl Reserve {
    pub(super) fn open(disk: &Arc<dyn Disk>, path: PathBuf) -> Result<Self, StoreError> {
        let bytes = if path.try_exists().map_err(io_failed)? {
            let file = disk.open(&path, Access::Read).map_err(io_failed)?;
            file.taken().map_err(io_failed)?
        } else {
            0
        };
        Ok(Self {
            disk: Arc::clone(disk),
            path,
            bytes: AtomicU64::new(bytes),
        })
    }

    /// How much it holds back.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Holds back so much.
    pub(super) fn keep(&self, bytes: u64) -> Result<(), StoreError> {
        let file = self.disk.open(&self.path, Access::WriteOrNew);
        let kept = file.and_then(|file| file.allocate(bytes));
        if let Err(error) = kept {
            // Half of it is of no use to anybody.
            let _ = self.disk.remove(&self.path);
            return Err(io_failed(error));
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Gives it back; gives whether there was any.
    pub(super) fn release(&self) -> Result<bool, StoreError> {
        if self.bytes() == 0 {
            return Ok(false);
        }
        self.disk.remove(&self.path).map_err(io_failed)?;
        self.bytes.store(0, Ordering::Relaxed);
        Ok(true)
    }
}
