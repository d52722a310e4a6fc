//! Files that are sealed while they arrive, and read from any place without being written out.
//!
//! **Elsewhere.** [`super::file`] does this for files on the disk.
//!
//! **Always.** A file that does not arrive completely leaves nothing behind. Nothing of a chunk is
//! given out before its tag was checked. A file of any size needs the memory of one chunk.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use rand::{
    rand_core::{Rng as _, UnwrapErr},
    rngs::SysRng,
};
use sha2::{Digest as _, Sha256};
use waxwing_engine::api::{OpenAttachment, SealedFile};
use waxwing_protocol::blob::{
    BlobError, BlobKey, CHUNK_BYTES, Opener, SEALED_CHUNK_BYTES, Sealer, Shape,
};
use zeroize::Zeroizing;

use super::{
    Blobs,
    file::{FileError, harmless, media_type},
    metadata::{self, Metadata, NotCleaned, Piece, Plan},
    preview,
};

/// A file on its way into `blobs/`. Dropped before [`Sealing::finish`], it leaves nothing.
pub struct Sealing {
    blobs: Blobs,
    id: [u8; 32],
    name: String,
    out: BufWriter<File>,
    sealer: Sealer,
    shape: Shape,
    digest: Sha256,
    chunk: Zeroizing<Vec<u8>>,
    taken: u64,
    complete: bool,
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealing { .. }")
    }
}

impl Blobs {
    /// Begins a file of exactly `size` bytes, which others will see as `name`.
    pub fn begin(&self, name: &str, size: u64) -> Result<Sealing, FileError> {
        let name = if name.is_empty() {
            String::new()
        } else {
            harmless(name)
        };
        let shape = Shape::of(size).map_err(|error| FileError::Blob {
            path: name.clone(),
            error,
        })?;
        let mut rng = UnwrapErr(SysRng);
        let mut id = [0; 32];
        rng.fill_bytes(&mut id);
        let io = |error| FileError::Io {
            path: name.clone(),
            error,
        };
        self.make().map_err(io)?;
        let out = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path(&id))
            .map_err(io)?;
        Ok(Sealing {
            blobs: self.clone(),
            id,
            out: BufWriter::new(out),
            sealer: Sealer::new(&mut rng, shape),
            shape,
            digest: Sha256::new(),
            chunk: Zeroizing::new(Vec::with_capacity(CHUNK_BYTES)),
            taken: 0,
            complete: false,
            name,
        })
    }

    /// Reads a file that is here, from any place in it.
    pub fn read_file(&self, attachment: &OpenAttachment) -> Result<OpenFile, FileError> {
        let id = data_encoding::HEXLOWER.decode(attachment.blob.as_bytes());
        let id: [u8; 32] = id
            .ok()
            .and_then(|id| id.try_into().ok())
            .ok_or(FileError::Damaged)?;
        let key = data_encoding::BASE64.decode(attachment.key.as_bytes());
        let key: [u8; 32] = key
            .ok()
            .and_then(|key| key.try_into().ok())
            .ok_or(FileError::Damaged)?;
        let shape = Shape::of(attachment.size).map_err(|_| FileError::Damaged)?;
        OpenFile::new(self.path(&id), &BlobKey::from_bytes(key), shape).map_err(|error| {
            FileError::Io {
                path: attachment.name.clone(),
                error,
            }
        })
    }
}

impl Sealing {
    /// How many bytes of the file it has.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the next bytes of the file.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), FileError> {
        self.taken += bytes.len() as u64;
        if self.taken > self.shape.size() {
            return Err(self.changed());
        }
        while !bytes.is_empty() {
            let Some(wants) = self.sealer.wants() else {
                return Err(self.changed());
            };
            let missing = wants.saturating_sub(self.chunk.len()).min(bytes.len());
            let (now, later) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == wants {
                self.seal_chunk()?;
            }
        }
        Ok(())
    }

    fn seal_chunk(&mut self) -> Result<(), FileError> {
        let sealed = self
            .sealer
            .seal(&self.chunk)
            .map_err(|error| self.blob(error))?;
        self.digest.update(&sealed);
        self.out
            .write_all(&sealed)
            .map_err(|error| self.io(error))?;
        self.chunk.clear();
        Ok(())
    }

    /// The end: all bytes must have come. If the file is a picture, its metadata is removed here,
    /// because only now its size is known.
    pub fn finish(mut self, metadata: Metadata) -> Result<SealedFile, FileError> {
        self.complete()?;
        if metadata == Metadata::Removed
            && let Some(plan) = self.plan()?
        {
            let mut clean = self.blobs.begin(&self.name, plan.size())?;
            self.copy(&plan, &mut clean)?;
            clean.complete()?;
            // Dropping the first one deletes it.
            return Ok(clean.sealed());
        }
        Ok(self.sealed())
    }

    /// What is to be done to the file that was sealed.
    fn plan(&self) -> Result<Option<Plan>, FileError> {
        let file = self.reopen()?;
        metadata::plan(BufReader::new(file), self.shape.size()).map_err(|error| match error {
            NotCleaned::Io(error) => self.io(error),
            NotCleaned::Damaged => FileError::MetadataNotRemoved {
                path: self.name.clone(),
            },
        })
    }

    fn copy(&self, plan: &Plan, clean: &mut Self) -> Result<(), FileError> {
        let mut file = self.reopen()?;
        let mut buffer = Zeroizing::new(vec![0; CHUNK_BYTES]);
        for piece in plan.pieces() {
            let mut left = piece.length();
            match piece {
                Piece::Bytes(bytes) => {
                    clean.write(bytes)?;
                    continue;
                }
                Piece::Copy { from, .. } => {
                    file.seek(SeekFrom::Start(*from))
                        .map_err(|error| self.io(error))?;
                }
                Piece::Fill { byte, .. } => buffer.fill(*byte),
            }
            while left > 0 {
                let length = usize::try_from(left)
                    .unwrap_or(CHUNK_BYTES)
                    .min(CHUNK_BYTES);
                let part = buffer.get_mut(..length).unwrap_or_default();
                if matches!(piece, Piece::Copy { .. }) {
                    file.read_exact(part).map_err(|error| self.io(error))?;
                }
                clean.write(part)?;
                left -= length as u64;
            }
        }
        Ok(())
    }

    fn reopen(&self) -> Result<OpenFile, FileError> {
        OpenFile::new(self.blobs.path(&self.id), self.sealer.key(), self.shape)
            .map_err(|error| self.io(error))
    }

    fn complete(&mut self) -> Result<(), FileError> {
        if self.taken != self.shape.size() {
            return Err(self.changed());
        }
        // What is left is padding, or the one chunk of an empty file.
        while self.sealer.wants().is_some() {
            self.seal_chunk()?;
        }
        self.out.flush().map_err(|error| self.io(error))?;
        self.out
            .get_ref()
            .sync_all()
            .map_err(|error| self.io(error))
    }

    /// From now on it stays.
    fn sealed(mut self) -> SealedFile {
        self.complete = true;
        let media_type = media_type(&self.name);
        let preview = self
            .reopen()
            .ok()
            .and_then(|file| preview::of(BufReader::new(file), self.shape.size(), media_type));
        SealedFile {
            blob: data_encoding::HEXLOWER.encode(&self.id),
            key: data_encoding::BASE64.encode(self.sealer.key().as_bytes()),
            sha256: data_encoding::HEXLOWER.encode(&std::mem::take(&mut self.digest).finalize()),
            size: self.shape.size(),
            name: self.name.clone(),
            media_type: media_type.to_owned(),
            preview,
        }
    }

    fn changed(&self) -> FileError {
        self.blob(BlobError::WrongLength)
    }

    fn blob(&self, error: BlobError) -> FileError {
        FileError::Blob {
            path: self.name.clone(),
            error,
        }
    }

    fn io(&self, error: io::Error) -> FileError {
        FileError::Io {
            path: self.name.clone(),
            error,
        }
    }
}

impl Drop for Sealing {
    fn drop(&mut self) {
        if !self.complete {
            // Nobody will ask for it.
            let _ = fs::remove_file(self.blobs.path(&self.id));
        }
    }
}

/// A sealed file that is read in the clear.
pub struct OpenFile {
    sealed: File,
    opener: Opener,
    shape: Shape,
    position: u64,
    /// The chunk that was opened last, and its number.
    chunk: Option<(u32, Zeroizing<Vec<u8>>)>,
    /// For chunks as they are on the disk.
    buffer: Vec<u8>,
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenFile { .. }")
    }
}

impl OpenFile {
    fn new(path: PathBuf, key: &BlobKey, shape: Shape) -> io::Result<Self> {
        Ok(Self {
            sealed: File::open(path)?,
            opener: Opener::new(key, shape),
            shape,
            position: 0,
            chunk: None,
            buffer: Vec::new(),
        })
    }

    /// Opens the chunk with this number, unless it is the one that is open.
    fn open(&mut self, index: u32) -> io::Result<&[u8]> {
        if self.chunk.as_ref().is_none_or(|(open, _)| *open != index) {
            let damaged = || io::Error::from(io::ErrorKind::InvalidData);
            let (start, length) = self.shape.sealed_chunk(index).ok_or_else(damaged)?;
            self.buffer.resize(length.min(SEALED_CHUNK_BYTES), 0);
            self.sealed.seek(SeekFrom::Start(start))?;
            self.sealed.read_exact(&mut self.buffer)?;
            let plain = self
                .opener
                .open(index, &self.buffer)
                .map_err(|_| damaged())?;
            self.chunk = Some((index, plain));
        }
        Ok(self.chunk.as_ref().map_or(&[], |(_, plain)| plain))
    }
}

impl Read for OpenFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let chunk = CHUNK_BYTES as u64;
        if self.position >= self.shape.size() && self.shape.size() > 0 {
            return Ok(0);
        }
        let index = u32::try_from(self.position / chunk).map_err(io::Error::other)?;
        let within = usize::try_from(self.position % chunk).map_err(io::Error::other)?;
        let plain = self.open(index)?.get(within..).unwrap_or_default();
        let length = plain.len().min(into.len());
        if let (Some(into), Some(plain)) = (into.get_mut(..length), plain.get(..length)) {
            into.copy_from_slice(plain);
        }
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for OpenFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.shape.size().checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use waxwing_engine::api::AttachmentState;

    use super::*;

    fn sealed(blobs: &Blobs, content: &[u8], pieces: usize) -> OpenAttachment {
        let mut sealing = blobs.begin("a.bin", content.len() as u64).unwrap();
        for piece in content.chunks(pieces) {
            sealing.write(piece).unwrap();
        }
        let file = sealing.finish(Metadata::Removed).unwrap();
        OpenAttachment {
            blob: file.blob,
            key: file.key,
            name: file.name,
            media_type: file.media_type,
            size: file.size,
            state: AttachmentState::Here,
            percent: 100,
            missing: None,
        }
    }

    #[test]
    fn a_file_that_came_in_pieces_is_read_from_any_place() {
        let home = tempfile::tempdir().unwrap();
        let blobs = Blobs::of(home.path());
        for size in [
            0,
            1,
            CHUNK_BYTES - 1,
            CHUNK_BYTES,
            CHUNK_BYTES + 1,
            3 * CHUNK_BYTES + 7,
        ] {
            let content: Vec<u8> = (0..size)
                .map(|at| u8::try_from(at % 251).unwrap())
                .collect();
            let attachment = sealed(&blobs, &content, 1000);
            let mut file = blobs.read_file(&attachment).unwrap();
            for start in [0, size / 3, size.saturating_sub(1), size, size + 10] {
                file.seek(SeekFrom::Start(start as u64)).unwrap();
                let mut read = Vec::new();
                file.read_to_end(&mut read).unwrap();
                assert!(
                    read == content.get(start..).unwrap_or_default(),
                    "{size} {start}"
                );
            }
        }
    }

    #[test]
    fn a_file_that_is_not_whole_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let blobs = Blobs::of(home.path());
        let mut short = blobs.begin("short", 10).unwrap();
        short.write(b"123").unwrap();
        assert!(short.finish(Metadata::Removed).is_err());
        let mut long = blobs.begin("long", 2).unwrap();
        assert!(long.write(b"123").is_err());
        drop(long);
        drop(blobs.begin("cancelled", 5).unwrap());
        assert_eq!(fs::read_dir(home.path().join("blobs")).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_was_changed_is_not_read() {
        let home = tempfile::tempdir().unwrap();
        let blobs = Blobs::of(home.path());
        let attachment = sealed(&blobs, &vec![7; 2 * CHUNK_BYTES], 4096);
        let path = home.path().join("blobs").join(&attachment.blob);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
        let mut file = blobs.read_file(&attachment).unwrap();
        let error = file.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
