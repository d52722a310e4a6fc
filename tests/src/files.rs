//! Somebody's `blobs/`, in memory.

use std::collections::HashMap;

use bytes::Bytes;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use waxwing_engine::{
    BlobDone, BlobWork,
    api::{AttachmentState, OpenAttachment, SealedFile},
};
use waxwing_protocol::blob::{BlobKey, Opener, Sealer, Shape};

/// Sealed files by their ids.
#[derive(Default)]
pub struct Files {
    files: HashMap<[u8; 32], Vec<u8>>,
    /// Parts that were written or read.
    pub parts: u64,
}

impl Files {
    /// Seals a file.
    pub fn seal(&mut self, rng: &mut impl CryptoRng, name: &str, content: &[u8]) -> SealedFile {
        let shape = Shape::of(content.len() as u64).unwrap();
        let mut sealer = Sealer::new(rng, shape);
        let mut sealed = Vec::new();
        for index in 0..shape.chunks() {
            let (start, length) = shape.plain_chunk(index).unwrap();
            let start = usize::try_from(start).unwrap();
            sealed.extend(sealer.seal(&content[start..start + length]).unwrap());
        }
        let mut id = [0; 32];
        rng.fill_bytes(&mut id);
        let file = SealedFile {
            preview: None,
            blob: data_encoding::HEXLOWER.encode(&id),
            key: data_encoding::BASE64.encode(sealer.key().as_bytes()),
            sha256: data_encoding::HEXLOWER.encode(&Sha256::digest(&sealed)),
            size: content.len() as u64,
            name: name.to_owned(),
            media_type: "application/octet-stream".to_owned(),
        };
        self.files.insert(id, sealed);
        file
    }

    /// Opens a file that is here.
    pub fn open(&self, open: &OpenAttachment) -> Option<Vec<u8>> {
        if open.state != AttachmentState::Here {
            return None;
        }
        let id = data_encoding::HEXLOWER
            .decode(open.blob.as_bytes())
            .unwrap();
        let key = data_encoding::BASE64.decode(open.key.as_bytes()).unwrap();
        let sealed = self.files.get(&<[u8; 32]>::try_from(id).unwrap())?;
        opened(sealed, key.try_into().unwrap(), open.size)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub(crate) fn carry_out(&mut self, work: BlobWork) -> Option<BlobDone> {
        match work {
            BlobWork::Read {
                blob,
                file,
                part,
                offset,
                length,
            } => {
                self.parts += 1;
                let start = usize::try_from(offset).unwrap();
                let bytes = self
                    .files
                    .get(&file)
                    .and_then(|file| file.get(start..start + length))
                    .map(Bytes::copy_from_slice);
                Some(BlobDone::Read { blob, part, bytes })
            }
            BlobWork::Write {
                blob,
                part,
                offset,
                bytes,
            } => {
                self.parts += 1;
                let file = self.files.entry(blob).or_default();
                file.truncate(usize::try_from(offset).unwrap());
                file.extend_from_slice(&bytes);
                let ok = true;
                Some(BlobDone::Written { blob, part, ok })
            }
            BlobWork::Check {
                blob,
                key,
                size,
                hash,
            } => {
                let whole = self.files.get(&blob).is_some_and(|sealed| {
                    Sha256::digest(sealed).as_slice() == hash
                        && opened(sealed, *key, size).is_some()
                });
                Some(BlobDone::Checked { blob, whole })
            }
            // These files were not just sealed, and no clock is here: nothing to do.
            BlobWork::Keep { .. } => None,
            BlobWork::Delete { blob } => {
                self.files.remove(&blob);
                None
            }
        }
    }
}

fn opened(sealed: &[u8], key: [u8; 32], size: u64) -> Option<Vec<u8>> {
    let shape = Shape::of(size).ok()?;
    let opener = Opener::new(&BlobKey::from_bytes(key), shape);
    let mut content = Vec::new();
    for index in 0..shape.chunks() {
        let (start, length) = shape.sealed_chunk(index)?;
        let start = usize::try_from(start).unwrap();
        let chunk = opener
            .open(index, sealed.get(start..start + length)?)
            .ok()?;
        content.extend_from_slice(&chunk);
    }
    Some(content)
}
