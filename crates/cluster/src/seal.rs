//! Seals records for the log, so that whoever runs the log sees numbers, times and sizes only.
//!
//! **Elsewhere**: the cluster's secret is a file of the relay's identity, and the program reads
//! it.
//!
//! **Always**: a sealed record opens under its own number and term only. All records are sealed
//! under one key that does not change: who has the key and old copies of the log can open them
//! (keys that are erased, as the design has them, are not there yet).

use bytes::Bytes;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, SeedableRng as _, TryRng as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::log::{ClusterId, Term};

const NONCE_BYTES: usize = 24;

/// What the nodes of a cluster share and nobody else knows.
pub struct ClusterKey(Zeroizing<[u8; 32]>);

/// Seals and opens records.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    rng: StdRng,
}

/// A record was not sealed by a node of this cluster, for this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record does not open with this cluster's key")]
pub struct NotOpened;

/// The system gives no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system provides no random numbers")]
pub struct NoRandomNumbers;

/// Bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandomNumbers> {
    let mut bytes = [0; N];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| NoRandomNumbers)?;
    Ok(bytes)
}

impl ClusterKey {
    /// From 32 secret bytes.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// What the log may know of it: tells clusters apart.
    pub fn id(&self) -> ClusterId {
        ClusterId(*self.derive(b"id"))
    }

    fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut derived = Zeroizing::new([0; 32]);
        let info = [b"waxwing cluster ", purpose];
        // Fails for outputs of more than 8,160 bytes only.
        let _ = Hkdf::<Sha256>::new(None, &*self.0)
            .expand_multi_info(&info.map(|i| i as &[u8]), &mut *derived);
        derived
    }
}

impl std::fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterKey")
    }
}

impl Sealer {
    /// With the key for records, and nonces from the system's random numbers.
    ///
    /// # Errors
    /// When the system has none.
    pub fn new(key: &ClusterKey) -> Result<Self, NoRandomNumbers> {
        Ok(Self::with_seed(key, random()?))
    }

    /// With nonces that follow from `seed`, for simulations.
    pub(crate) fn with_seed(key: &ClusterKey, seed: [u8; 32]) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new(&(*key.derive(b"records")).into()),
            rng: StdRng::from_seed(seed),
        }
    }

    /// Seals the bytes of a record.
    pub(crate) fn seal(&mut self, number: u64, term: Term, record: &[u8]) -> Bytes {
        let mut nonce = [0; NONCE_BYTES];
        self.rng.fill_bytes(&mut nonce);
        let aad = associated_data(number, term);
        let payload = Payload {
            msg: record,
            aad: &aad,
        };
        let mut sealed = nonce.to_vec();
        // Fails for messages of more than 2^38 bytes only; an empty seal opens for nobody.
        if let Ok(ciphertext) = self.cipher.encrypt(&XNonce::from(nonce), payload) {
            sealed.extend_from_slice(&ciphertext);
        }
        sealed.into()
    }

    /// Opens what [`seal`](Self::seal) made with the same arguments.
    pub(crate) fn open(&self, number: u64, term: Term, sealed: &[u8]) -> Result<Bytes, NotOpened> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(NotOpened)?;
        let aad = associated_data(number, term);
        let payload = Payload {
            msg: ciphertext,
            aad: &aad,
        };
        let opened = self.cipher.decrypt(&XNonce::from(*nonce), payload);
        opened.map(Bytes::from).map_err(|_| NotOpened)
    }
}

fn associated_data(number: u64, term: Term) -> [u8; 16] {
    let mut aad = [0; 16];
    let (first, second) = aad.split_at_mut(8);
    first.copy_from_slice(&number.to_be_bytes());
    second.copy_from_slice(&term.0.to_be_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_in_its_own_place_only() {
        let key = ClusterKey::new(Zeroizing::new([1; 32]));
        let mut sealer = Sealer::with_seed(&key, [2; 32]);
        let sealed = sealer.seal(3, Term(4), b"record");
        assert_eq!(
            sealer.open(3, Term(4), &sealed),
            Ok(Bytes::from_static(b"record"))
        );
        assert_eq!(sealer.open(4, Term(4), &sealed), Err(NotOpened));
        assert_eq!(sealer.open(3, Term(5), &sealed), Err(NotOpened));
        let other = ClusterKey::new(Zeroizing::new([2; 32]));
        assert_eq!(
            Sealer::with_seed(&other, [2; 32]).open(3, Term(4), &sealed),
            Err(NotOpened)
        );
        assert_ne!(sealer.seal(3, Term(4), b"record"), sealed);
    }
}
