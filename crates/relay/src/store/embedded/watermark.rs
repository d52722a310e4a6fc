//! The watermark: how many batches the map must have.
//!
//! The map accepts a torn end of its journal, as it must after a power cut. It cannot tell
//! that from a journal that is damaged in the middle, and would forget confirmed batches. The
//! number of the last batch is therefore also kept beside the map, written after each batch
//! without waiting for the disk. It may lag behind by what a power cut loses, but is never
//! ahead of what counted.
//!
//! **Elsewhere**: the commit in [`super`] assigns the numbers.
//!
//! **Always**: raised only to a batch that is on disk.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::disk::{Access, Disk, DiskFile};
use super::{StoreError, io_failed};

/// The file with the number of the last batch.
pub(super) struct Watermark(Option<Arc<dyn DiskFile>>);

impl Watermark {
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, StoreError> {
        let file = disk.open(path, Access::WriteOrNew).map_err(io_failed)?;
        Ok(Self(Some(file)))
    }

    /// Opens it only to read it, if it is there.
    pub(super) fn open_to_read(disk: &dyn Disk, path: &Path) -> Result<Self, StoreError> {
        if !path.try_exists().map_err(io_failed)? {
            return Ok(Self(None));
        }
        let file = disk.open(path, Access::Read).map_err(io_failed)?;
        Ok(Self(Some(file)))
    }

    /// Refuses a map whose last batch is `number` if later ones had counted.
    pub(super) fn check(&self, number: u64) -> Result<(), StoreError> {
        match self.number() {
            Some(least) if number < least => Err(StoreError::Damaged(
                "its latest records are lost (bad disk, or an incomplete backup?): restore a \
                 backup, or keep a copy of the directory and ask for help"
                    .into(),
            )),
            // One that is missing or cannot be read promises nothing.
            Some(_) | None => Ok(()),
        }
    }

    /// Batch `number` is durable.
    pub(super) fn raise(&self, number: u64) {
        let number = number.to_be_bytes();
        let hash = xxh3_64(&number).to_be_bytes();
        if let Some(file) = &self.0 {
            // Should it fail, it lags behind.
            let _ = file.write_all_at(&[number, hash].concat(), 0);
        }
    }

    fn number(&self) -> Option<u64> {
        let mut bytes = [0; 16];
        self.0.as_ref()?.read_exact_at(&mut bytes, 0).ok()?;
        let (number, hash) = bytes.split_first_chunk::<8>()?;
        (xxh3_64(number).to_be_bytes() == hash).then(|| u64::from_be_bytes(*number))
    }
}

/// Writes the map's journals once more as they are read, durably: after a failed sync
/// the system may show what is not on disk, and call it written.
pub(super) fn sync_again(map: &Path) -> Result<(), StoreError> {
    for entry in std::fs::read_dir(map).map_err(io_failed)? {
        let path = entry.map_err(io_failed)?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            rewrite(&path).map_err(io_failed)?;
        }
    }
    Ok(())
}

fn rewrite(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut piece = vec![0; 64 << 10];
    let mut at = 0;
    loop {
        let read = FileExt::read_at(&file, &mut piece, at)?;
        let (read, _) = piece.split_at(read);
        if read.is_empty() {
            return file.sync_all();
        }
        // Room for what comes stays what it is: a full disk has none for it.
        if read.iter().any(|byte| *byte != 0) {
            FileExt::write_all_at(&file, read, at)?;
        }
        at += read.len() as u64;
    }
}
