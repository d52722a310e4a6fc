//! The form of a backup: sealed so that only the recovery key opens it, as a stream.
//!
//! ```text
//!   header    "waxwing backup\0" 0x01 || X-Wing ciphertext (1,120 bytes)
//!   segments  245,760 bytes of the stream each, the last up to as many, each sealed
//!   stream    (length as 4 bytes, big endian || ArchiveChunk)… || 0 0 0 0 || zeroes
//! ```
//!
//! The content key is HKDF-SHA-256 of the secret that X-Wing encapsulates to the backup
//! key ([`super::key`]), with the header as the context: fresh for each backup. Segments
//! are sealed by STREAM (Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-
//! Encryption and its Nonce-Reuse Misuse-Resistance", CRYPTO 2015; the `aead-stream`
//! crate) over XChaCha20-Poly1305: a segment that is changed, missing, repeated or moved
//! does not open, and neither does a backup that was cut short. The zeroes at the end
//! bring the stream to a Padmé length, so that a backup's size tells little.
//!
//! The first record says which device made it ([`BackupOrigin`]), with its signature over the
//! header's hash: anybody who has the backup key could seal one, but only the device that made the
//! header has its content key.
//!
//! **Elsewhere**: what the chunks hold: [`crate::devices::archive`].
//!
//! **Always**: at most two segments are in memory. Nothing of a segment is believed
//! before it has opened.

use aead_stream::{NewStream as _, StreamBE32, StreamPrimitive as _};
use chacha20poly1305::XChaCha20Poly1305;
use hkdf::Hkdf;
use prost::Message as _;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{padding, pb::ArchiveChunk};
use x_wing::{
    CIPHERTEXT_SIZE, DecapsulationKeyRejectNonContrib, Encapsulate as _, EncapsulationKey,
    TryDecapsulate as _,
};
use zeroize::Zeroizing;

#[allow(unused_imports, reason = "named in the docs above")]
use waxwing_protocol::pb::BackupOrigin;

const MAGIC: &[u8; 16] = b"waxwing backup\0\x01";
const LABEL: &[u8] = b"waxwing backup content v1";

const HEADER_BYTES: usize = MAGIC.len() + CIPHERTEXT_SIZE;

/// Bytes of the stream in one segment.
pub(crate) const SEGMENT_BYTES: usize = 240 << 10;

const TAG_BYTES: usize = 16;

/// Bytes of one chunk of the archive.
const CHUNK_MAX: usize = 1 << 20;

/// The backup does not open, or is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the backup does not open with this key, or is incomplete")]
pub(crate) struct NotOpened;

/// Seals a stream of chunks, segment by segment.
pub(crate) struct Sealer {
    stream: StreamBE32<XChaCha20Poly1305>,
    header: Vec<u8>,
    header_hash: [u8; 32],
    segment: u32,
    plain: Zeroizing<Vec<u8>>,
    length: usize,
    zeroes: usize,
    ended: bool,
}

impl Sealer {
    /// Begins a backup for the owner of `key`.
    pub(crate) fn begin(rng: &mut dyn CryptoRng, key: &EncapsulationKey) -> Self {
        let (ciphertext, secret) = key.encapsulate_with_rng(rng);
        let secret = Zeroizing::new(secret.0);
        let header = [MAGIC.as_slice(), &ciphertext].concat();
        Self {
            stream: stream(&secret, &header),
            header_hash: Sha256::digest(&header).into(),
            header,
            segment: 0,
            plain: Zeroizing::default(),
            length: 0,
            zeroes: 0,
            ended: false,
        }
    }

    /// What the device that makes the backup signs.
    pub(crate) const fn header_hash(&self) -> &[u8; 32] {
        &self.header_hash
    }

    /// Whether another chunk is needed before there is a segment.
    pub(crate) fn hungry(&self) -> bool {
        !self.ended && self.plain.len() <= SEGMENT_BYTES
    }

    /// Adds a chunk.
    pub(crate) fn push(&mut self, chunk: &ArchiveChunk) {
        let encoded = Zeroizing::new(chunk.encode_to_vec());
        let length = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
        self.add(&length.to_be_bytes());
        self.add(&encoded);
    }

    /// There are no more chunks.
    pub(crate) fn end(&mut self) {
        self.add(&[0; 4]);
        self.ended = true;
        self.zeroes = padding::padded_length(self.length) - self.length;
    }

    /// The next bytes of the backup, and whether they are the last; `None` while it is
    /// hungry, and when it is over.
    pub(crate) fn next(&mut self) -> Option<(Vec<u8>, bool)> {
        let room = (SEGMENT_BYTES + 1).saturating_sub(self.plain.len());
        let zeroes = room.min(self.zeroes);
        self.zeroes -= zeroes;
        let filled = self.plain.len() + zeroes;
        self.plain.resize(filled, 0);
        let last = self.plain.len() <= SEGMENT_BYTES;
        if self.plain.is_empty() || (last && !self.ended) {
            return None;
        }
        let rest = if last {
            Vec::new()
        } else {
            self.plain.split_off(SEGMENT_BYTES)
        };
        let segment = std::mem::replace(&mut self.plain, Zeroizing::new(rest));
        // Sealing fails for far longer segments only, and there are far fewer of them
        // than counters.
        let sealed = self
            .stream
            .encrypt(self.segment, last, segment.as_slice())
            .ok()?;
        self.segment = self.segment.checked_add(1)?;
        let mut bytes = std::mem::take(&mut self.header);
        bytes.extend_from_slice(&sealed);
        Some((bytes, last))
    }

    fn add(&mut self, bytes: &[u8]) {
        self.plain.extend_from_slice(bytes);
        self.length += bytes.len();
    }
}

/// Opens a backup, no matter into which pieces it is cut.
pub(crate) struct Opener {
    key: DecapsulationKeyRejectNonContrib,
    sealed: Vec<u8>,
    stream: Option<(StreamBE32<XChaCha20Poly1305>, [u8; 32])>,
    segment: u32,
    plain: Zeroizing<Vec<u8>>,
    ended: bool,
}

impl Opener {
    pub(crate) fn new(key: DecapsulationKeyRejectNonContrib) -> Self {
        Self {
            key,
            sealed: Vec::new(),
            stream: None,
            segment: 0,
            plain: Zeroizing::default(),
            ended: false,
        }
    }

    /// The header's hash, once it was there.
    pub(crate) fn header_hash(&self) -> Option<&[u8; 32]> {
        self.stream.as_ref().map(|(_, hash)| hash)
    }

    /// Takes the next bytes; gives the chunks that are whole now.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        last: bool,
    ) -> Result<Vec<ArchiveChunk>, NotOpened> {
        self.sealed.extend_from_slice(bytes);
        if self.stream.is_none() {
            if self.sealed.len() < HEADER_BYTES {
                return if last { Err(NotOpened) } else { Ok(Vec::new()) };
            }
            self.read_header()?;
        }
        let mut chunks = Vec::new();
        while self.sealed.len() > SEGMENT_BYTES + TAG_BYTES {
            let rest = self.sealed.split_off(SEGMENT_BYTES + TAG_BYTES);
            let segment = std::mem::replace(&mut self.sealed, rest);
            self.open(&segment, false)?;
            self.read(&mut chunks)?;
        }
        if last {
            let segment = std::mem::take(&mut self.sealed);
            self.open(&segment, true)?;
            self.read(&mut chunks)?;
            if !self.ended {
                return Err(NotOpened);
            }
        }
        Ok(chunks)
    }

    fn read_header(&mut self) -> Result<(), NotOpened> {
        let rest = self.sealed.split_off(HEADER_BYTES);
        let header = std::mem::replace(&mut self.sealed, rest);
        let ciphertext = header.strip_prefix(MAGIC.as_slice()).ok_or(NotOpened)?;
        let ciphertext = ciphertext.try_into().map_err(|_| NotOpened)?;
        let secret = self
            .key
            .try_decapsulate(&ciphertext)
            .map_err(|_| NotOpened)?;
        let secret = Zeroizing::new(secret.0);
        self.stream = Some((stream(&secret, &header), Sha256::digest(&header).into()));
        Ok(())
    }

    fn open(&mut self, segment: &[u8], last: bool) -> Result<(), NotOpened> {
        let (stream, _) = self.stream.as_ref().ok_or(NotOpened)?;
        let plain = stream
            .decrypt(self.segment, last, segment)
            .map(Zeroizing::new)
            .map_err(|_| NotOpened)?;
        self.segment = self.segment.checked_add(1).ok_or(NotOpened)?;
        self.plain.extend_from_slice(&plain);
        Ok(())
    }

    fn read(&mut self, chunks: &mut Vec<ArchiveChunk>) -> Result<(), NotOpened> {
        let mut rest = self.plain.as_slice();
        while !self.ended {
            let Some((length, after)) = rest.split_first_chunk::<4>() else {
                break;
            };
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| NotOpened)?;
            if length == 0 {
                self.ended = true;
                rest = after;
                break;
            }
            if length > CHUNK_MAX {
                return Err(NotOpened);
            }
            let Some((chunk, after)) = after.split_at_checked(length) else {
                break;
            };
            chunks.push(ArchiveChunk::decode(chunk).map_err(|_| NotOpened)?);
            rest = after;
        }
        if self.ended {
            if rest.iter().any(|byte| *byte != 0) {
                return Err(NotOpened);
            }
            rest = &[];
        }
        self.plain = Zeroizing::new(rest.to_vec());
        Ok(())
    }
}

fn stream(secret: &[u8; 32], header: &[u8]) -> StreamBE32<XChaCha20Poly1305> {
    let mut key = Zeroizing::new([0; 32]);
    // 32 bytes are fewer than HKDF can give (RFC 5869 section 2.3).
    let expanded =
        Hkdf::<Sha256>::new(None, secret).expand_multi_info(&[LABEL, header], key.as_mut());
    debug_assert!(expanded.is_ok());
    // The key is used for one backup: the rest of the nonce is the counter's.
    StreamBE32::new(&(*key).into(), &[0; 19].into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
    use waxwing_protocol::pb::{ArchiveRecord, ArchivedDevice, archive_record::Record};
    use x_wing::Decapsulator as _;

    use super::*;

    fn key(seed: u8) -> DecapsulationKeyRejectNonContrib {
        DecapsulationKeyRejectNonContrib::from([seed; 32])
    }

    fn chunks(sizes: &[usize]) -> Vec<ArchiveChunk> {
        sizes
            .iter()
            .map(|size| ArchiveChunk {
                version: 1,
                records: vec![ArchiveRecord {
                    record: Some(Record::Device(ArchivedDevice {
                        device_id: vec![7; *size].into(),
                        name: "x".into(),
                    })),
                }],
                ..ArchiveChunk::default()
            })
            .collect()
    }

    fn sealed(chunks: &[ArchiveChunk]) -> Vec<Vec<u8>> {
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let mut sealer = Sealer::begin(&mut rng, key(1).encapsulation_key());
        let mut parts = Vec::new();
        let mut chunks = chunks.iter();
        loop {
            while sealer.hungry() {
                match chunks.next() {
                    Some(chunk) => sealer.push(chunk),
                    None => sealer.end(),
                }
            }
            let (part, last) = sealer.next().unwrap();
            parts.push(part);
            if last {
                assert_eq!(sealer.next(), None);
                return parts;
            }
        }
    }

    fn opened(bytes: &[u8], piece: usize) -> Result<Vec<ArchiveChunk>, NotOpened> {
        opened_with(1, bytes, piece)
    }

    fn opened_with(seed: u8, bytes: &[u8], piece: usize) -> Result<Vec<ArchiveChunk>, NotOpened> {
        let mut opener = Opener::new(key(seed));
        let mut chunks = Vec::new();
        let mut pieces = bytes.chunks(piece).peekable();
        while let Some(part) = pieces.next() {
            chunks.extend(opener.feed(part, pieces.peek().is_none())?);
        }
        Ok(chunks)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_backup_opens_as_it_was_sealed_in_whatever_pieces_it_comes(
            sizes in proptest::collection::vec(0_usize..200_000, 0..8),
            piece in 1_000_usize..400_000,
        ) {
            let chunks = chunks(&sizes);
            let parts = sealed(&chunks);
            let whole = parts.concat();
            prop_assert_eq!(opened(&whole, piece), Ok(chunks));
            for part in &parts {
                prop_assert!(part.len() <= waxwing_protocol::limits::BACKUP_PART_BYTES);
            }
            let stream = whole.len() - HEADER_BYTES - TAG_BYTES * parts.len();
            prop_assert_eq!(padding::padded_length(stream), stream);
        }

        #[test]
        fn a_backup_that_was_changed_or_cut_does_not_open(
            place: prop::sample::Index,
            bit in 0_u8..8,
            cut: prop::sample::Index,
        ) {
            let whole = sealed(&chunks(&[100_000, 200_000, 50_000])).concat();
            let mut changed = whole.clone();
            changed[place.index(whole.len())] ^= 1 << bit;
            prop_assert!(opened(&changed, 100_000).is_err());
            let cut = cut.index(whole.len());
            prop_assert!(cut == 0 || opened(&whole[..cut], 100_000).is_err());
        }
    }

    #[test]
    fn a_backup_opens_with_its_own_key_only_and_only_in_order() {
        let parts = sealed(&chunks(&[200_000, 200_000, 200_000, 200_000]));
        assert!(parts.len() > 3);
        let whole = parts.concat();
        assert!(opened_with(2, &whole, 100_000).is_err());
        let segments: Vec<&[u8]> = whole[HEADER_BYTES..]
            .chunks(SEGMENT_BYTES + TAG_BYTES)
            .collect();
        let of = |order: &[usize]| {
            let mut bytes = whole[..HEADER_BYTES].to_vec();
            for place in order {
                bytes.extend_from_slice(segments[*place]);
            }
            opened(&bytes, 100_000).is_ok()
        };
        let all: Vec<usize> = (0..segments.len()).collect();
        assert!(of(&all));
        assert!(!of(&all[..all.len() - 1]));
        assert!(!of(&all[1..]));
        let mut swapped = all.clone();
        swapped.swap(0, 1);
        assert!(!of(&swapped));
        assert!(!of(&[&all[..], &all[..1]].concat()));
    }
}
