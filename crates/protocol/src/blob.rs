//! Sealed files: sealed in chunks before anything leaves the device.
//!
//! ```text
//!   plain    the file || zeroes up to a Padmé length
//!   chunks   65,536 bytes of it each, the last up to as many
//!   sealed   each chunk by STREAM, with its tag of 16 bytes, one behind the other
//! ```
//!
//! STREAM is Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its
//! Nonce-Reuse Misuse-Resistance", CRYPTO 2015 (the `aead-stream` crate, with a 32-bit counter)
//! over ChaCha20-Poly1305 (RFC 8439): a chunk that is changed, repeated or moved does not open, and
//! neither does a file that was cut short. The file's true size is in every chunk's associated
//! data: somebody who expects another size opens nothing.
//!
//! **Elsewhere**: key, size and the hash of the sealed bytes travel in the message; `relay` and
//! `client` store and transfer the sealed bytes.
//!
//! **Always**: a key seals one file once. [`Sealer`] makes the key, only goes forward, and cannot
//! be made from a key, so that no nonce is used for two plaintexts. Chunks are opened by their
//! number, so that reading can begin anywhere, and nothing of a chunk is returned before its tag
//! was checked.

use aead_stream::{NewStream as _, StreamBE32, StreamPrimitive as _};
use chacha20poly1305::{ChaCha20Poly1305, aead::Payload};
use rand_core::CryptoRng;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{limits, padding};

/// Bytes of the plain stream in one chunk.
pub const CHUNK_BYTES: usize = 64 << 10;
/// Bytes that sealing adds to a chunk.
pub const TAG_BYTES: usize = 16;
/// Bytes of a sealed chunk; the last may be shorter.
pub const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;

const LABEL: &[u8; 15] = b"waxwing blob v1";
const CHUNK: u64 = CHUNK_BYTES as u64;
const SEALED_CHUNK: u64 = SEALED_CHUNK_BYTES as u64;

/// What goes wrong with a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// More than [`limits::ATTACHMENT_BYTES`].
    #[error("the file has {size} bytes; at most {most} can be sent", most = limits::ATTACHMENT_BYTES)]
    TooLarge {
        /// How many bytes the file has.
        size: u64,
    },
    /// Not the bytes that are next: the file has changed while it was read.
    #[error("the file has changed while it was read: send it again")]
    WrongLength,
    /// The chunk is not what the sender sealed at this place.
    #[error("the file is damaged: it differs from what the sender sealed")]
    NotOpened,
}

/// How long a file of a given size is when it is sealed, and where its chunks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    size: u64,
}

impl Shape {
    /// Of a file of `size` bytes.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`].
    pub const fn of(size: u64) -> Result<Self, BlobError> {
        if size > limits::ATTACHMENT_BYTES {
            return Err(BlobError::TooLarge { size });
        }
        Ok(Self { size })
    }

    /// The file's true size.
    pub const fn size(self) -> u64 {
        self.size
    }

    /// Chunks there are: at least one.
    pub const fn chunks(self) -> u32 {
        // 4 GiB and 12 % are 73,400 chunks.
        #[allow(clippy::cast_possible_truncation, reason = "sizes are bounded above")]
        let chunks = self.padded().div_ceil(CHUNK) as u32;
        chunks
    }

    /// Bytes of all sealed chunks: all that the relay learns of the size.
    pub const fn sealed_bytes(self) -> u64 {
        self.padded() + self.chunks() as u64 * TAG_BYTES as u64
    }

    /// Where a chunk begins among the sealed bytes, and how long it is; `None` behind the
    /// last.
    pub fn sealed_chunk(self, index: u32) -> Option<(u64, usize)> {
        let (_, length) = self.padded_chunk(index)?;
        Some((u64::from(index) * SEALED_CHUNK, length + TAG_BYTES))
    }

    /// Where a chunk's part of the file begins, and how long it is: none of it where there
    /// is only padding. `None` behind the last.
    pub fn plain_chunk(self, index: u32) -> Option<(u64, usize)> {
        let (start, length) = self.padded_chunk(index)?;
        let left = usize::try_from(self.size.saturating_sub(start)).unwrap_or(usize::MAX);
        Some((start.min(self.size), left.min(length)))
    }

    /// How many chunks are whole when the first `stored` sealed bytes are there.
    pub fn whole_chunks(self, stored: u64) -> u32 {
        if stored >= self.sealed_bytes() {
            return self.chunks();
        }
        u32::try_from(stored / SEALED_CHUNK).unwrap_or(u32::MAX)
    }

    const fn padded(self) -> u64 {
        padding::padded_size(self.size)
    }

    fn padded_chunk(self, index: u32) -> Option<(u64, usize)> {
        let start = u64::from(index) * CHUNK;
        let left = self.padded().checked_sub(start).filter(|left| *left > 0)?;
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        Some((start, left.min(CHUNK_BYTES)))
    }

    const fn is_last(self, index: u32) -> bool {
        index + 1 == self.chunks()
    }

    fn associated_data(self) -> [u8; 23] {
        let mut data = [0; 23];
        let (label, size) = data.split_at_mut(LABEL.len());
        label.copy_from_slice(LABEL);
        size.copy_from_slice(&self.size.to_be_bytes());
        data
    }
}

/// Opens one file. Never printed, and zeroes when it is dropped.
#[derive(Clone)]
pub struct BlobKey(Zeroizing<[u8; 32]>);

impl BlobKey {
    /// From a message.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// For the message.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn stream(&self) -> StreamBE32<ChaCha20Poly1305> {
        // The key is used for one file: the rest of the nonce is the counter's.
        StreamBE32::new(&(*self.0).into(), &[0; 7].into())
    }
}

impl std::fmt::Debug for BlobKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BlobKey(…)")
    }
}

/// Seals one file, chunk by chunk, with a key of its own. What is interrupted is begun
/// again with another sealer, and so with another key.
pub struct Sealer {
    key: BlobKey,
    stream: StreamBE32<ChaCha20Poly1305>,
    shape: Shape,
    next: u32,
}

impl Sealer {
    /// Begins a file of this shape.
    pub fn new(rng: &mut (impl CryptoRng + ?Sized), shape: Shape) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        let key = BlobKey::from_bytes(bytes);
        bytes.zeroize();
        Self {
            stream: key.stream(),
            key,
            shape,
            next: 0,
        }
    }

    /// The key, for the message.
    pub const fn key(&self) -> &BlobKey {
        &self.key
    }

    /// How many bytes of the file [`Sealer::seal`] is to be given next: none for padding.
    /// `None` when all of it is sealed.
    pub fn wants(&self) -> Option<usize> {
        self.shape.plain_chunk(self.next).map(|(_, length)| length)
    }

    /// Seals the next chunk.
    ///
    /// # Errors
    /// [`BlobError::WrongLength`], when `plain` has not as many bytes as it
    /// [wants](Self::wants).
    pub fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, BlobError> {
        let padded = self.shape.padded_chunk(self.next);
        let Some((_, padded)) = padded.filter(|_| self.wants() == Some(plain.len())) else {
            return Err(BlobError::WrongLength);
        };
        // With its whole length at once: nothing of it is left behind by growing.
        let mut chunk = Zeroizing::new(Vec::with_capacity(padded));
        chunk.extend_from_slice(plain);
        chunk.resize(padded, 0);
        let payload = Payload {
            msg: &chunk,
            aad: &self.shape.associated_data(),
        };
        let last = self.shape.is_last(self.next);
        // Only far longer chunks cannot be sealed.
        let sealed = self
            .stream
            .encrypt(self.next, last, payload)
            .map_err(|_| BlobError::WrongLength)?;
        self.next += 1;
        Ok(sealed)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(…)")
    }
}

/// Opens a file's chunks, in any order.
pub struct Opener {
    stream: StreamBE32<ChaCha20Poly1305>,
    shape: Shape,
}

impl Opener {
    /// With the key and the size that the message names.
    pub fn new(key: &BlobKey, shape: Shape) -> Self {
        Self {
            stream: key.stream(),
            shape,
        }
    }

    /// Opens the chunk with this number; gives its part of the file, without padding.
    ///
    /// # Errors
    /// [`BlobError::NotOpened`], also where the padding is not of zeroes: nothing is hidden
    /// in it.
    pub fn open(&self, index: u32, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BlobError> {
        let place = self.shape.sealed_chunk(index);
        let plain = self.shape.plain_chunk(index);
        let (Some((_, sealed_length)), Some((_, length))) = (place, plain) else {
            return Err(BlobError::NotOpened);
        };
        if sealed.len() != sealed_length {
            return Err(BlobError::NotOpened);
        }
        let payload = Payload {
            msg: sealed,
            aad: &self.shape.associated_data(),
        };
        let mut chunk = self
            .stream
            .decrypt(index, self.shape.is_last(index), payload)
            .map(Zeroizing::new)
            .map_err(|_| BlobError::NotOpened)?;
        if chunk.iter().skip(length).any(|byte| *byte != 0) {
            return Err(BlobError::NotOpened);
        }
        chunk.truncate(length);
        Ok(chunk)
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener(…)")
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn shape(size: usize) -> Shape {
        Shape::of(size as u64).unwrap()
    }

    fn file(size: usize) -> Vec<u8> {
        (0..size).map(|at| (at * 31 % 251) as u8).collect()
    }

    fn seal(file: &[u8], seed: u64) -> (BlobKey, Vec<Vec<u8>>) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut sealer = Sealer::new(&mut rng, shape(file.len()));
        let (mut rest, mut chunks) = (file, Vec::new());
        while let Some(wants) = sealer.wants() {
            let (next, after) = rest.split_at(wants);
            chunks.push(sealer.seal(next).unwrap());
            rest = after;
        }
        assert_eq!(sealer.seal(&[]), Err(BlobError::WrongLength));
        (sealer.key().clone(), chunks)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_file_of_any_size_comes_back_whatever_chunk_is_opened_first(
            size in 0_usize..400_000, seed: u64,
        ) {
            let file = file(size);
            let (key, chunks) = seal(&file, seed);
            let shape = shape(size);
            prop_assert_eq!(chunks.len(), shape.chunks() as usize);
            prop_assert_eq!(chunks.concat().len() as u64, shape.sealed_bytes());
            let opener = Opener::new(&key, shape);
            for (index, chunk) in chunks.iter().enumerate().rev() {
                let (at, length) = shape.plain_chunk(index as u32).unwrap();
                let opened = opener.open(index as u32, chunk).unwrap();
                prop_assert_eq!(opened.as_slice(), &file[at as usize..at as usize + length]);
            }
        }

        #[test]
        fn chunks_are_contiguous_and_show_only_a_size_class(
            size in 0..=limits::ATTACHMENT_BYTES,
        ) {
            let shape = Shape::of(size).unwrap();
            let last = shape.chunks() - 1;
            let (at, length) = shape.sealed_chunk(last).unwrap();
            prop_assert_eq!(at + length as u64, shape.sealed_bytes());
            prop_assert_eq!(shape.sealed_chunk(last + 1), None);
            prop_assert_eq!(shape.whole_chunks(at), last);
            prop_assert_eq!(shape.whole_chunks(shape.sealed_bytes() - 1), last);
            prop_assert_eq!(shape.whole_chunks(shape.sealed_bytes()), last + 1);
            prop_assert!(shape.sealed_bytes() <= limits::BLOB_BYTES);
            let padded = Shape::of(padding::padded_size(size).min(limits::ATTACHMENT_BYTES));
            prop_assert_eq!(padded.unwrap().sealed_bytes(), shape.sealed_bytes());
        }

        #[test]
        fn no_bytes_from_outside_open_or_panic(
            index: u32, size in 0..=limits::ATTACHMENT_BYTES,
            bytes in prop::collection::vec(any::<u8>(), 0..2000),
        ) {
            let opener = Opener::new(&BlobKey::from_bytes([1; 32]), Shape::of(size).unwrap());
            prop_assert_eq!(opener.open(index, &bytes), Err(BlobError::NotOpened));
        }
    }

    #[test]
    fn a_chunk_that_was_tampered_with_does_not_open() {
        let (key, chunks) = seal(&file(200_000), 1);
        let opener = Opener::new(&key, shape(200_000));
        for at in [0, 1000, chunks[1].len() - 1] {
            let mut changed = chunks[1].clone();
            changed[at] ^= 1;
            assert!(opener.open(1, &changed).is_err());
        }
        assert!(opener.open(0, &chunks[1]).is_err());
        assert!(opener.open(1, &chunks[1][1..]).is_err());
        assert!(opener.open(u32::MAX, &chunks[1]).is_err());
        // As if it ended behind its second chunk.
        let shorter = Opener::new(&key, shape(2 * CHUNK_BYTES));
        assert!(shorter.open(1, &chunks[1]).is_err());
        // Of the same padded length, so that only the associated data tells.
        assert_eq!(shape(199_999).sealed_bytes(), shape(200_000).sealed_bytes());
        assert!(
            Opener::new(&key, shape(199_999))
                .open(0, &chunks[0])
                .is_err()
        );
        let (other, _) = seal(&file(200_000), 2);
        assert!(
            Opener::new(&other, shape(200_000))
                .open(1, &chunks[1])
                .is_err()
        );
    }

    #[test]
    fn nothing_can_be_hidden_in_the_padding() {
        let key = BlobKey::from_bytes([3; 32]);
        let shape = shape(5);
        let mut padded = [0; 256];
        padded[255] = 1;
        let payload = Payload {
            msg: &padded,
            aad: &shape.associated_data(),
        };
        let sealed = key.stream().encrypt(0, true, payload).unwrap();
        assert_eq!(
            Opener::new(&key, shape).open(0, &sealed),
            Err(BlobError::NotOpened)
        );
    }

    #[test]
    fn a_file_that_changed_while_it_was_read_is_not_sealed() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut sealer = Sealer::new(&mut rng, shape(1000));
        assert_eq!(sealer.seal(&[0; 999]), Err(BlobError::WrongLength));
        assert_eq!(sealer.seal(&[0; 1001]), Err(BlobError::WrongLength));
        assert_eq!(sealer.wants(), Some(1000));
    }

    #[test]
    fn four_gibibytes_go_and_one_byte_more_does_not() {
        let shape = Shape::of(limits::ATTACHMENT_BYTES).unwrap();
        assert_eq!(shape.chunks(), 65_536);
        let size = limits::ATTACHMENT_BYTES + 1;
        assert_eq!(Shape::of(size), Err(BlobError::TooLarge { size }));
    }

    #[test]
    fn the_form_stays() {
        let (_, chunks) = seal(&file(70_000), 7);
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(chunks.concat()));
        assert_eq!(
            hash,
            "1558f185954277d1a851a0d489ec7acd3e80b79c4eb71efe407acf9e2eddf534"
        );
    }
}
