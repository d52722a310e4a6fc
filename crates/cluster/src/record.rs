//! One batch as it stands in the log.
//!
//! **Elsewhere**: who appends and who applies is in [`crate::leader`] and
//! [`crate::standby`]; where the bytes lie is the log's ([`crate::log`]).
//!
//! **Always**: a record names the hash of the one before, so that two histories cannot be
//! mixed. Bytes that decode are encoded to the same bytes.

use bytes::{Buf as _, Bytes};
use sha2::{Digest as _, Sha256};
use waxwing_relay::store::{Key, KeySpace, Write};

use crate::log::Term;

/// The newest format that this program writes, and the only one that it reads.
const FORMAT: u8 = 1;
const DELETION: u8 = 0;
const VALUE: u8 = 1;

/// SHA-256 of an encoded record; all zero before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordHash(pub [u8; 32]);

/// A batch with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Of the batch: one more than that of the record before.
    pub number: u64,
    /// In which it was written.
    pub term: Term,
    /// Of the record before.
    pub previous: RecordHash,
    /// The highest number that was known to be durable when this was written.
    pub committed: u64,
    /// What the batch changes.
    pub writes: Vec<Write>,
}

/// Bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A newer program wrote them.
    #[error("a record has format {0}: update this node first")]
    Format(u8),
    /// They are cut off, too long, or make no sense.
    #[error("a record is damaged")]
    Damaged,
}

impl RecordHash {
    /// Of an encoded record.
    pub fn of(encoded: &[u8]) -> Self {
        Self(Sha256::digest(encoded).into())
    }
}

impl Record {
    /// As bytes.
    pub fn encode(&self) -> Bytes {
        let values = self.writes.iter().filter_map(|write| write.value.as_ref());
        let values: usize = values.map(Bytes::len).sum();
        let mut out = Vec::with_capacity(64 + values + 64 * self.writes.len());
        out.push(FORMAT);
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.term.0.to_be_bytes());
        out.extend_from_slice(&self.previous.0);
        out.extend_from_slice(&self.committed.to_be_bytes());
        for Write { space, key, value } in &self.writes {
            out.push(code(*space));
            push_bytes(&mut out, key);
            match value {
                None => out.push(DELETION),
                Some(value) => {
                    out.push(VALUE);
                    push_bytes(&mut out, value);
                }
            }
        }
        out.into()
    }

    /// From bytes. Values are parts of them and not copied.
    pub fn decode(mut bytes: Bytes) -> Result<Self, RecordError> {
        let damaged = |_| RecordError::Damaged;
        let format = bytes.try_get_u8().map_err(damaged)?;
        if format != FORMAT {
            return Err(RecordError::Format(format));
        }
        let number = bytes.try_get_u64().map_err(damaged)?;
        let term = Term(bytes.try_get_u64().map_err(damaged)?);
        let mut previous = RecordHash::default();
        bytes.try_copy_to_slice(&mut previous.0).map_err(damaged)?;
        let committed = bytes.try_get_u64().map_err(damaged)?;
        let mut writes = Vec::new();
        while bytes.has_remaining() {
            let space = space(bytes.try_get_u8().map_err(damaged)?)?;
            let key = Key::from_slice(&take_bytes(&mut bytes)?);
            let value = match bytes.try_get_u8().map_err(damaged)? {
                DELETION => None,
                VALUE => Some(take_bytes(&mut bytes)?),
                _ => return Err(RecordError::Damaged),
            };
            writes.push(Write { space, key, value });
        }
        Ok(Self {
            number,
            term,
            previous,
            committed,
            writes,
        })
    }
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // Frames, and so values, are far smaller than 4 GiB; what is not would be refused when
    // it is read back, and a batch of it is refused before (`crate::leader`).
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

fn take_bytes(bytes: &mut Bytes) -> Result<Bytes, RecordError> {
    let length = bytes.try_get_u32().map_err(|_| RecordError::Damaged)?;
    let length = usize::try_from(length).map_err(|_| RecordError::Damaged)?;
    if length > bytes.len() {
        return Err(RecordError::Damaged);
    }
    Ok(bytes.split_to(length))
}

fn space(code_of_it: u8) -> Result<KeySpace, RecordError> {
    let found = KeySpace::ALL
        .into_iter()
        .find(|one| code(*one) == code_of_it);
    found.ok_or(RecordError::Damaged)
}

/// A key space in the log; never changes.
const fn code(space: KeySpace) -> u8 {
    match space {
        KeySpace::Meta => 0,
        KeySpace::Addresses => 1,
        KeySpace::Accounts => 2,
        KeySpace::Devices => 3,
        KeySpace::Registrations => 4,
        KeySpace::Mailboxes => 5,
        KeySpace::Entries => 6,
        KeySpace::Posts => 7,
        KeySpace::Holders => 8,
        KeySpace::PostIds => 9,
        KeySpace::Groups => 10,
        KeySpace::GroupSequences => 11,
        KeySpace::GroupInfos => 12,
        KeySpace::KeyPackages => 13,
        KeySpace::LastResorts => 14,
        KeySpace::SpentTokens => 15,
        KeySpace::TokenBudgets => 16,
        KeySpace::Revoked => 17,
        KeySpace::LogNodes => 18,
        KeySpace::LogValues => 19,
        KeySpace::LogState => 20,
        KeySpace::LogHeads => 21,
        KeySpace::LogAudits => 22,
        KeySpace::CoSignatures => 23,
        KeySpace::Blobs => 24,
        KeySpace::BlobParts => 25,
        KeySpace::Backups => 26,
        KeySpace::BackupPointers => 27,
        KeySpace::BackupUploads => 28,
        KeySpace::Skeletons => 29,
        KeySpace::Contests => 30,
        KeySpace::SmsSubmissions => 31,
        KeySpace::SmsReceipts => 32,
        KeySpace::SmsSpending => 33,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn writes() -> impl Strategy<Value = Vec<Write>> {
        let space = prop::sample::select(KeySpace::ALL.to_vec());
        let bytes = || prop::collection::vec(any::<u8>(), 0..80);
        let write = (space, bytes(), prop::option::of(bytes()));
        let write = write.prop_map(|(space, key, value)| Write {
            space,
            key: Key::from_slice(&key),
            value: value.map(Bytes::from),
        });
        prop::collection::vec(write, 0..8)
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(
            number: u64, term: u64, previous: [u8; 32], committed: u64, writes in writes(),
        ) {
            let record = Record {
                number,
                term: Term(term),
                previous: RecordHash(previous),
                committed,
                writes,
            };
            prop_assert_eq!(Record::decode(record.encode()), Ok(record));
        }

        #[test]
        fn bytes_that_decode_are_encoded_to_the_same(bytes in prop::collection::vec(0_u8..4, 0..160)) {
            let bytes = Bytes::from([vec![FORMAT], bytes].concat());
            if let Ok(record) = Record::decode(bytes.clone()) {
                prop_assert_eq!(record.encode(), bytes);
            }
        }
    }

    #[test]
    fn a_record_that_is_cut_off_is_refused_or_shorter() {
        let write = Write {
            space: KeySpace::Posts,
            key: Key::from_slice(b"key"),
            value: Some(Bytes::from_static(b"value")),
        };
        let record = Record {
            number: 3,
            term: Term(2),
            previous: RecordHash([7; 32]),
            committed: 2,
            writes: vec![write],
        };
        let whole = record.encode();
        for length in 0..whole.len() {
            match Record::decode(whole.slice(..length)) {
                Ok(shorter) => assert!(shorter.writes.is_empty()),
                Err(error) => assert_eq!(error, RecordError::Damaged),
            }
        }
    }

    /// The bytes of format 1, which must be readable for ever.
    #[test]
    fn the_format_is_frozen() {
        let write = |value: Option<&'static [u8]>| Write {
            space: KeySpace::SmsSpending,
            key: Key::from_slice(b"+1"),
            value: value.map(Bytes::from_static),
        };
        let record = Record {
            number: 0x0102,
            term: Term(3),
            previous: RecordHash([0xaa; 32]),
            committed: 0x0101,
            writes: vec![write(None), write(Some(b"x"))],
        };
        let expected = [
            [1].as_slice(),
            &0x0102_u64.to_be_bytes(),
            &3_u64.to_be_bytes(),
            &[0xaa; 32],
            &0x0101_u64.to_be_bytes(),
            &[33, 0, 0, 0, 2, b'+', b'1', 0],
            &[33, 0, 0, 0, 2, b'+', b'1', 1, 0, 0, 0, 1, b'x'],
        ];
        assert_eq!(record.encode(), expected.concat());
    }

    #[test]
    fn each_key_space_has_a_code_of_its_own() {
        let codes: std::collections::HashSet<u8> = KeySpace::ALL.into_iter().map(code).collect();
        assert_eq!(codes.len(), KeySpace::ALL.len());
    }
}
