//! A fast hash for ids that nobody else can choose.
//!
//! **Always**: only for ids that this relay has drawn or counted: others could be chosen to collide.

use std::hash::{BuildHasher, Hasher};

/// Hashes ids that this relay has drawn, and numbers that it has counted: nobody else can choose
/// one that is in use.
#[derive(Clone, Copy, Default)]
pub(crate) struct OwnIds;

/// See [`OwnIds`].
#[derive(Default)]
pub(crate) struct OwnIdHasher(u64);

impl BuildHasher for OwnIds {
    type Hasher = OwnIdHasher;

    fn build_hasher(&self) -> OwnIdHasher {
        OwnIdHasher::default()
    }
}

impl Hasher for OwnIdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for half in bytes.as_chunks::<8>().0 {
            let mixed = u128::from(self.0 ^ u64::from_ne_bytes(*half)) * ODD;
            self.0 = fold(mixed);
        }
    }

    // The length of the id.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Spreads what differs in any bit over all of them.
const ODD: u128 = 0x9e37_79b9_7f4a_7c15;

#[allow(clippy::cast_possible_truncation, reason = "both halves are used")]
const fn fold(wide: u128) -> u64 {
    (wide as u64) ^ ((wide >> 64) as u64)
}
