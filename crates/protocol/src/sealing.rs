//! Bytes that the relay stores for a group's members and cannot read, or can read only while it has
//! the key.
//!
//! XChaCha20-Poly1305 with random 24-byte nonces, the purpose, group and epoch as
//! associated data. Two kinds of key: the *fan-out key* of an epoch, from the MLS
//! exporter, which members hand the relay when they post; and the *rejoin sealing key*,
//! from the group's rejoin secret, which the relay never sees.
//!
//! **Elsewhere.** [`crate::posting`] has the signatures that belong to the rejoin secret; MLS seals
//! the messages themselves.
//!
//! **Always.** Opened bytes are exactly what was sealed, for that group, epoch and purpose.

use std::fmt;

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    ids::{Epoch, GroupId},
    posting::PostingKey,
};

const NONCE_BYTES: usize = 24;

/// Seals and opens.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SealingKey([u8; 32]);

/// The 32 random bytes that a conversation's members share for rejoining.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RejoinSecret([u8; 32]);

/// What is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// [`crate::pb::FanOut`], under an epoch's fan-out key.
    FanOut,
    /// A GroupInfo, under the rejoin sealing key.
    GroupInfo,
    /// An external commit, under the rejoin sealing key; the epoch is the one it ends.
    ExternalCommit,
}

/// The bytes were not sealed with this key for this purpose, group and epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed bytes do not open with this key")]
pub struct NotOpened;

impl SealingKey {
    /// From 32 secret bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// From the wire; `None` unless 32 bytes long.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The secret bytes, to hand a fan-out key to the relay.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Seals `plaintext`; the result is 40 bytes longer.
    pub fn seal(
        &self,
        rng: &mut (impl CryptoRng + ?Sized),
        what: Sealed,
        group: GroupId,
        epoch: Epoch,
        plaintext: &[u8],
    ) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let aad = associated_data(what, group, epoch);
        let payload = Payload {
            msg: plaintext,
            aad: &aad,
        };
        let mut sealed = nonce.to_vec();
        // Encryption fails for messages of more than 2^38 bytes only; an empty seal opens
        // for nobody.
        if let Ok(ciphertext) = self.cipher().encrypt(&XNonce::from(nonce), payload) {
            sealed.extend_from_slice(&ciphertext);
        }
        sealed
    }

    /// Opens what [`seal`](Self::seal) made with the same arguments.
    pub fn open(
        &self,
        what: Sealed,
        group: GroupId,
        epoch: Epoch,
        sealed: &[u8],
    ) -> Result<Vec<u8>, NotOpened> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(NotOpened)?;
        let aad = associated_data(what, group, epoch);
        let payload = Payload {
            msg: ciphertext,
            aad: &aad,
        };
        self.cipher()
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| NotOpened)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.0.into())
    }
}

impl RejoinSecret {
    /// Fresh.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// From the MLS exporter of the epoch that renews it.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// From a member's store or a group context; `None` unless 32 bytes long.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The secret bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Signs fetching and rejoining.
    pub fn signing_key(&self) -> PostingKey {
        let mut seed = self.derive(b"waxwing rejoin signing v1");
        let key = PostingKey::from_seed(&seed);
        seed.zeroize();
        key
    }

    /// Seals group information and external commits.
    pub fn sealing_key(&self) -> SealingKey {
        SealingKey(self.derive(b"waxwing rejoin sealing v1"))
    }

    /// HKDF-SHA256 (RFC 5869). The secret is uniform and used for nothing else.
    fn derive(&self, info: &[u8]) -> [u8; 32] {
        let mut output = [0; 32];
        // 32 bytes are always within HKDF's bound of 255 hashes.
        let expanded = Hkdf::<Sha256>::new(None, &self.0).expand(info, &mut output);
        debug_assert!(expanded.is_ok(), "32 bytes are within HKDF's bound");
        output
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(…)")
    }
}

impl fmt::Debug for RejoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RejoinSecret(…)")
    }
}

fn associated_data(what: Sealed, group: GroupId, epoch: Epoch) -> Vec<u8> {
    let label: &[u8] = match what {
        Sealed::FanOut => b"waxwing fan-out v1",
        Sealed::GroupInfo => b"waxwing group info v1",
        Sealed::ExternalCommit => b"waxwing external commit v1",
    };
    [label, &[0], group.as_bytes(), &epoch.0.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;

    #[test]
    fn what_is_sealed_opens_for_its_purpose_group_and_epoch_only() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let key = RejoinSecret::generate(&mut rng).sealing_key();
        let (group, epoch) = (GroupId([4; 16]), Epoch(5));
        let sealed = key.seal(&mut rng, Sealed::GroupInfo, group, epoch, b"tree");
        assert_eq!(
            key.open(Sealed::GroupInfo, group, epoch, &sealed).unwrap(),
            b"tree"
        );
        assert!(key.open(Sealed::FanOut, group, epoch, &sealed).is_err());
        assert!(
            key.open(Sealed::GroupInfo, GroupId([5; 16]), epoch, &sealed)
                .is_err()
        );
        assert!(
            key.open(Sealed::GroupInfo, group, Epoch(6), &sealed)
                .is_err()
        );
        for cut in 0..sealed.len() {
            assert!(
                key.open(Sealed::GroupInfo, group, epoch, &sealed[..cut])
                    .is_err()
            );
        }
    }

    #[test]
    fn a_rejoin_secret_gives_unrelated_keys() {
        let secret = RejoinSecret::from_slice(&[7; 32]).unwrap();
        assert_ne!(secret.sealing_key().as_bytes(), secret.as_bytes());
        assert_ne!(
            secret.signing_key().public().as_bytes(),
            secret.sealing_key().as_bytes()
        );
    }
}
