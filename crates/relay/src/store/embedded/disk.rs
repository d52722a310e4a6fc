//! The calls to the operating system with which the store keeps its own files.
//!
//! **Elsewhere**: the map keeps its own files; [`crate::store::faulty`] plays what happens
//! when one of these calls is slow, fails or is lost.
//!
//! **Always**: only these calls write, create or remove a file of the store.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use crate::store::StoreError;

/// Zeroes are written in pieces of this many bytes.
const ZEROES: [u8; 4096] = [0; 4096];

/// How a file is opened. Files that are made can be read by their owner only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only to be read; it exists.
    Read,
    /// To be read and written; it exists.
    Write,
    /// To be read and written; it is made, and does not exist.
    New,
    /// To be read and written; it is made where it does not exist.
    WriteOrNew,
}

/// A directory's file system, or something that behaves like one.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Bytes that can still be written in a directory.
    fn available(&self, path: &Path) -> io::Result<u64>;

    /// Has the map write a batch to its journal and make it durable.
    fn journal(
        &self,
        commit: &mut dyn FnMut() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        commit()
    }
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Reads all of `bytes`.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Overwrites a stretch with zeroes; where the system can, its space is given back.
    fn erase(&self, from: u64, to: u64) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Takes space up to this length.
    fn allocate(&self, length: u64) -> io::Result<()>;

    /// How long it is.
    fn length(&self) -> io::Result<u64>;

    /// Bytes that it takes on the medium.
    fn taken(&self) -> io::Result<u64>;
}

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(access != Access::Read).mode(0o600);
        match access {
            Access::Read | Access::Write => {}
            Access::New => {
                options.create_new(true);
            }
            Access::WriteOrNew => {
                options.create(true).truncate(false);
            }
        }
        Ok(Arc::new(options.open(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn available(&self, path: &Path) -> io::Result<u64> {
        let space = rustix::fs::statvfs(path)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

impl DiskFile for File {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn erase(&self, from: u64, to: u64) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            if fallocate(self, flags, from, to - from).is_ok() {
                return Ok(());
            }
        }
        write_zeroes(self, from, to)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            match fallocate(self, FallocateFlags::empty(), 0, length) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        write_zeroes(self, 0, length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn taken(&self) -> io::Result<u64> {
        Ok(self.metadata()?.blocks() * 512)
    }
}

fn write_zeroes(file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let piece = usize::try_from(to - at)
            .unwrap_or(ZEROES.len())
            .min(ZEROES.len());
        let (zeroes, _) = ZEROES.split_at(piece);
        FileExt::write_all_at(file, zeroes, at)?;
        at += piece as u64;
    }
    Ok(())
}
