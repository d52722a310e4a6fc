//! Heads: the log's root at a log epoch, numbered, dated, chained and signed.
//!
//! Each head names the one before by its hash, and an earlier *landmark*, so that from any
//! head one walks to any earlier one in at most about three times log2 of their distance
//! (Myers, "An applicative random-access stack", 1983: the landmark of the n-th head is
//! what is left of n - 1 without the smallest term of its skew-binary form, plus 1).
//!
//! **Elsewhere**: whether a head follows those that were seen before: [`crate::view`].
//!
//! **Always**: a [`Head`] is well-formed; a [`SignedHead`] was signed by its log.

use bytes::Bytes;
use prost::Message as _;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    limits, pb,
    signature::{HybridSigningKey, Purpose},
    time::Time,
};

use crate::identity::{LogId, LogIdentity};

const VERSION: u32 = 1;

/// SHA-256 of an encoded head.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeadHash(pub [u8; 32]);

impl std::fmt::Debug for HeadHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HeadHash({})", data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// A head, decoded; not yet known to be signed or chained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whose.
    pub log: LogId,
    /// From 1, without a hole.
    pub number: u64,
    /// The log epoch.
    pub epoch: u64,
    /// The root of the log at that epoch.
    pub root: [u8; 32],
    /// When the relay made it, by its clock.
    pub made_at: Time,
    /// The head before; `None` in the first.
    pub previous: Option<HeadHash>,
    /// The head with the number [`landmark`] gives; `None` in the first.
    pub landmark: Option<HeadHash>,
    encoded: Bytes,
}

/// Bytes that are no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// They do not decode, or a field is not what it should be.
    #[error("the head is malformed")]
    Malformed,
    /// It is another log's.
    #[error("the head belongs to another log")]
    WrongLog,
    /// The log's key did not sign it.
    #[error("the head is not signed by the log's key")]
    Unsigned,
}

impl Head {
    /// Decodes a head.
    pub fn decode(encoded: Bytes) -> Result<Self, HeadError> {
        if encoded.len() > limits::HEAD_BYTES {
            return Err(HeadError::Malformed);
        }
        let head = pb::Head::decode(encoded.clone()).map_err(|_| HeadError::Malformed)?;
        let is_first = head.number == 1;
        let fits = head.version == VERSION
            && head.number > 0
            && head.previous.is_empty() == is_first
            && head.landmark.is_empty() == is_first;
        if !fits {
            return Err(HeadError::Malformed);
        }
        Ok(Self {
            log: LogId(digest(&head.log_id)?),
            number: head.number,
            epoch: head.epoch,
            root: digest(&head.root)?,
            made_at: Time(head.made_at_ms),
            previous: link(&head.previous)?,
            landmark: link(&head.landmark)?,
            encoded,
        })
    }

    /// The head after `before`, or the first. `landmark` is the hash of the head with the
    /// number that [`landmark`] gives.
    pub fn next(
        log: LogId,
        before: Option<&Self>,
        landmark: Option<HeadHash>,
        epoch: u64,
        root: [u8; 32],
        now: Time,
    ) -> Self {
        let link = |hash: Option<HeadHash>| {
            hash.map_or_else(Bytes::new, |hash| Bytes::copy_from_slice(&hash.0))
        };
        let previous = before.map(Self::hash);
        let number = before.map_or(0, |head| head.number).saturating_add(1);
        // A clock that was set back does not make heads go back.
        let made_at = before.map_or(now, |head| now.max(head.made_at));
        let encoded = pb::Head {
            version: VERSION,
            log_id: Bytes::copy_from_slice(&log.0),
            number,
            epoch,
            root: Bytes::copy_from_slice(&root),
            made_at_ms: made_at.0,
            previous: link(previous),
            landmark: link(landmark),
        }
        .encode_to_vec()
        .into();
        Self {
            log,
            number,
            epoch,
            root,
            made_at,
            previous,
            landmark,
            encoded,
        }
    }

    /// Its hash, by which others name it.
    pub fn hash(&self) -> HeadHash {
        HeadHash(Sha256::digest(&self.encoded).into())
    }

    /// As it is hashed and signed.
    pub const fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// Signs it with the log's head key.
    pub fn sign(
        &self,
        rng: &mut (impl CryptoRng + ?Sized),
        key: &HybridSigningKey,
    ) -> pb::SignedHead {
        pb::SignedHead {
            head: self.encoded.clone(),
            signature: Some(key.sign(rng, Purpose::Head, &self.encoded)),
        }
    }
}

/// A head that its log signed.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedHead {
    head: Head,
    wire: pb::SignedHead,
}

impl SignedHead {
    /// Checks that it is this log's, and signed by it.
    pub fn check(log: &LogIdentity, wire: &pb::SignedHead) -> Result<Self, HeadError> {
        let head = Head::decode(wire.head.clone())?;
        if head.log != log.id() {
            return Err(HeadError::WrongLog);
        }
        let signature = wire.signature.as_ref().ok_or(HeadError::Unsigned)?;
        log.head_key()
            .verify(Purpose::Head, &wire.head, signature)
            .map_err(|_| HeadError::Unsigned)?;
        Ok(Self {
            head,
            wire: wire.clone(),
        })
    }

    /// The head.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// As it was given.
    pub const fn wire(&self) -> &pb::SignedHead {
        &self.wire
    }
}

/// The number of the landmark of the head with `number`; `None` for the first.
pub const fn landmark(number: u64) -> Option<u64> {
    if number <= 1 {
        return None;
    }
    // Greedy: the largest 2^k - 1 that fits, as often as it does, then the next smaller.
    let mut left = number - 1;
    loop {
        let bits = u64::BITS - left.leading_zeros();
        let ones = u64::MAX >> (u64::BITS - bits);
        let weight = if left == ones { ones } else { ones >> 1 };
        if left == weight {
            return Some(number - weight);
        }
        left -= weight;
    }
}

/// The numbers of the heads that one passes on the way from the head `from` to the head
/// `to`: without `from`, with `to`. Empty where `to` is not before `from`.
pub fn path(from: u64, to: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut at = from;
    while at > to && to > 0 {
        at = step(at, to);
        numbers.push(at);
    }
    numbers
}

/// The next head on the way from the head `at` to the head `to`, which is before it.
pub(crate) fn step(at: u64, to: u64) -> u64 {
    landmark(at)
        .filter(|landmark| *landmark >= to)
        .unwrap_or(at.saturating_sub(1))
}

fn digest(bytes: &Bytes) -> Result<[u8; 32], HeadError> {
    bytes.as_ref().try_into().map_err(|_| HeadError::Malformed)
}

fn link(bytes: &Bytes) -> Result<Option<HeadHash>, HeadError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    digest(bytes).map(HeadHash).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn landmarks_are_those_of_a_stack_with_jump_pointers() {
        // Myers' rule, as he states it.
        let mut jump = vec![0_u64, 1];
        let at = |number: u64| usize::try_from(number).unwrap();
        for parent in 1..4096_u64 {
            let near = jump[at(parent)];
            let far = jump[at(near)];
            let next = if parent > 1 && parent - near == near - far {
                far
            } else {
                parent
            };
            jump.push(next);
            assert_eq!(landmark(parent + 1), Some(next), "head {}", parent + 1);
        }
        assert_eq!(landmark(1), None);
        assert_eq!(landmark(0), None);
        assert!(landmark(u64::MAX).is_some());
    }

    proptest::proptest! {
        #[test]
        fn every_earlier_head_is_a_short_walk_away(from in 2..1_u64 << 40, to in 1..1_u64 << 40) {
            proptest::prop_assume!(to < from);
            let path = path(from, to);
            let bits = 64 - u64::from(from.leading_zeros());
            proptest::prop_assert_eq!(path.last(), Some(&to));
            proptest::prop_assert!(path.len() as u64 <= 3 * bits, "{} steps", path.len());
        }
    }
}
