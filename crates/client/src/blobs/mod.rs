//! The home's `blobs/`: sealed attachments, under their random ids.
//!
//! **Elsewhere.** The engine decides when a part is read or written; `waxwing_protocol::blob`
//! seals. [`mod@file`] seals a file before it is sent, and opens one that is here.
//!
//! **Always.** Nothing in the folder is unencrypted. A part is on disk before it is confirmed.
//! A file of any size needs the memory of one part.

pub mod file;
pub mod metadata;
pub(crate) mod preview;
pub mod stream;

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};
use waxwing_engine::{BlobDone, BlobWork};
use waxwing_protocol::blob::{BlobKey, Opener, SEALED_CHUNK_BYTES, Shape};

/// A file that no message has is kept for so long.
const UNKNOWN_KEPT: Duration = Duration::from_hours(24);

/// The folder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    /// In this home; the folder is made when it is needed.
    pub fn of(home: &Path) -> Self {
        Self {
            folder: home.join("blobs"),
        }
    }

    fn path(&self, blob: &[u8; 32]) -> PathBuf {
        self.folder.join(data_encoding::HEXLOWER.encode(blob))
    }

    fn make(&self) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        if self.folder.is_dir() {
            return Ok(());
        }
        fs::DirBuilder::new().mode(0o700).create(&self.folder)
    }

    /// Does what the engine wants done; blocks.
    pub(crate) fn carry_out(&self, work: BlobWork) -> Option<BlobDone> {
        match work {
            BlobWork::Read {
                blob,
                file,
                part,
                offset,
                length,
            } => {
                let bytes = self.read(&file, offset, length).ok().map(Into::into);
                Some(BlobDone::Read { blob, part, bytes })
            }
            BlobWork::Write {
                blob,
                part,
                offset,
                bytes,
            } => {
                let ok = self.write(&blob, offset, &bytes).is_ok();
                Some(BlobDone::Written { blob, part, ok })
            }
            BlobWork::Check {
                blob,
                key,
                size,
                hash,
            } => {
                let key = BlobKey::from_bytes(*key);
                let whole = self.check(&blob, &key, size, &hash).unwrap_or(false);
                Some(BlobDone::Checked { blob, whole })
            }
            BlobWork::Delete { blob } => {
                // It may never have been there.
                let _ = fs::remove_file(self.path(&blob));
                None
            }
            BlobWork::Keep { blobs } => {
                // It is done again when the home is opened next.
                let _ = self.keep(&blobs, SystemTime::now());
                None
            }
        }
    }

    /// Deletes what nobody knows, and is older than a day: a younger one may have been
    /// sealed a moment ago, for a message that comes yet.
    fn keep(&self, blobs: &[[u8; 32]], now: SystemTime) -> io::Result<()> {
        let known: HashSet<PathBuf> = blobs.iter().map(|blob| self.path(blob)).collect();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let age = now.duration_since(entry.metadata()?.modified()?);
            if !known.contains(&entry.path()) && age.is_ok_and(|age| age > UNKNOWN_KEPT) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn read(&self, blob: &[u8; 32], offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.path(blob))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, blob: &[u8; 32], offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.make()?;
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path(blob))?;
        // What a crash left behind this place was not answered for.
        file.set_len(offset)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    /// Whether all of it is what the sender sealed.
    fn check(
        &self,
        blob: &[u8; 32],
        key: &BlobKey,
        size: u64,
        hash: &[u8; 32],
    ) -> io::Result<bool> {
        let Ok(shape) = Shape::of(size) else {
            return Ok(false);
        };
        let mut file = File::open(self.path(blob))?;
        if file.metadata()?.len() != shape.sealed_bytes() {
            return Ok(false);
        }
        let opener = Opener::new(key, shape);
        let mut digest = Sha256::new();
        let mut chunk = vec![0; SEALED_CHUNK_BYTES];
        for index in 0..shape.chunks() {
            let Some((_, length)) = shape.sealed_chunk(index) else {
                return Ok(false);
            };
            let Some(sealed) = chunk.get_mut(..length) else {
                return Ok(false);
            };
            file.read_exact(sealed)?;
            digest.update(&*sealed);
            if opener.open(index, sealed).is_err() {
                return Ok(false);
            }
        }
        Ok(digest.finalize().as_slice() == hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_message_has_goes_after_a_day() {
        let home = tempfile::tempdir().unwrap();
        let blobs = Blobs::of(home.path());
        for blob in [[1; 32], [2; 32]] {
            blobs.write(&blob, 0, b"sealed").unwrap();
        }
        let there = || [1, 2].map(|blob: u8| blobs.path(&[blob; 32]).exists());
        let now = SystemTime::now();
        blobs.keep(&[[2; 32]], now).unwrap();
        assert_eq!(there(), [true, true]);
        blobs.keep(&[[2; 32]], now + 2 * UNKNOWN_KEPT).unwrap();
        assert_eq!(there(), [false, true]);
    }
}
