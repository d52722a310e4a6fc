//! Hybrid signatures: Ed25519 and ML-DSA-65 side by side, valid if both are valid.
//!
//! Devices and recovery keys sign with them, so that identities stay secure even if one of the two
//! schemes is broken. Composition is plain concatenation over the same message, with the purpose in
//! front (and FIPS 204's context string in the ML-DSA part), which is as unforgeable as the
//! stronger of the two.
//!
//! **Elsewhere.** MLS leaf keys sign inside `engine::mls`; the right to post is
//! [`crate::posting`].
//!
//! **Always.** A signature for one purpose is never valid for another. Secret keys are
//! wiped, and neither `Debug` nor `Display` shows them.

use std::fmt;

use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use libcrux_ml_dsa::ml_dsa_65::{
    self, MLDSA65Signature, MLDSA65SigningKey, MLDSA65VerificationKey,
};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    Exporter,
    ids::{AccountId, DeviceId, RegistrationId},
    pb,
};

const CONTEXT: &[u8] = b"waxwing";
const ML_DSA_PUBLIC_BYTES: usize = 1952;
const ML_DSA_SIGNATURE_BYTES: usize = 3309;

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A roster statement, by its signer.
    Statement,
    /// A roster statement that adds a device, by the device that is added.
    DeviceConsent,
    /// Finishing a registration; see [`registration_message`].
    Registration,
    /// Logging a device in; see [`login_message`].
    Login,
    /// A head of the key log, by the relay's head key.
    Head,
    /// An auditor's word for a head.
    CoSignature,
    /// A backup's header, by the device that makes the backup.
    Backup,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Statement => b"waxwing statement v1",
            Self::DeviceConsent => b"waxwing device consent v1",
            Self::Registration => b"waxwing registration v1",
            Self::Login => b"waxwing login v1",
            Self::Head => b"waxwing head v1",
            Self::CoSignature => b"waxwing cosignature v1",
            Self::Backup => b"waxwing backup v1",
        }
    }
}

/// A key or signature from outside that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Missing, of the wrong length, or not a point of the curve.
    #[error("the key or signature is malformed")]
    Malformed,
    /// One of the two parts does not verify.
    #[error("the signature does not verify")]
    Invalid,
}

/// 64 secret bytes from which a [`HybridSigningKey`] is made; what a store keeps.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SigningSeed {
    ed25519: [u8; 32],
    ml_dsa_65: [u8; 32],
}

impl SigningSeed {
    /// Fresh.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut bytes = [0; 64];
        rng.fill_bytes(&mut bytes);
        let seed = Self::from_bytes(&bytes);
        bytes.zeroize();
        seed
    }

    /// From what [`to_bytes`](Self::to_bytes) gave.
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let mut seed = Self {
            ed25519: [0; 32],
            ml_dsa_65: [0; 32],
        };
        let (first, second) = bytes.split_at(32);
        seed.ed25519.copy_from_slice(first);
        seed.ml_dsa_65.copy_from_slice(second);
        seed
    }

    /// The secret bytes; the caller wipes them.
    pub fn to_bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        let (first, second) = bytes.split_at_mut(32);
        first.copy_from_slice(&self.ed25519);
        second.copy_from_slice(&self.ml_dsa_65);
        bytes
    }
}

impl fmt::Debug for SigningSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSeed(…)")
    }
}

/// The private half of a device's identity or of a recovery key.
pub struct HybridSigningKey {
    ed25519: SigningKey,
    ml_dsa_65: Box<MLDSA65SigningKey>,
    public: HybridPublicKey,
}

impl Drop for HybridSigningKey {
    fn drop(&mut self) {
        // The Ed25519 half wipes itself.
        self.ml_dsa_65.as_ref_mut().zeroize();
    }
}

impl fmt::Debug for HybridSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HybridSigningKey(…)")
    }
}

impl HybridSigningKey {
    /// Expands `seed` (RFC 8032 section 5.1.5; FIPS 204 algorithm 1).
    pub fn from_seed(seed: &SigningSeed) -> Self {
        let ed25519 = SigningKey::from_bytes(&seed.ed25519);
        let mut pair = ml_dsa_65::generate_key_pair(seed.ml_dsa_65);
        let public = HybridPublicKey {
            ed25519: ed25519.verifying_key().to_bytes(),
            ml_dsa_65: Box::new(*pair.verification_key.as_ref()),
        };
        let ml_dsa_65 = Box::new(MLDSA65SigningKey::new(*pair.signing_key.as_ref()));
        pair.signing_key.as_ref_mut().zeroize();
        Self {
            ed25519,
            ml_dsa_65,
            public,
        }
    }

    /// The public half.
    pub const fn public(&self) -> &HybridPublicKey {
        &self.public
    }

    /// Signs. ML-DSA is hedged with randomness from `rng`.
    pub fn sign(
        &self,
        rng: &mut (impl CryptoRng + ?Sized),
        purpose: Purpose,
        message: &[u8],
    ) -> pb::HybridSignature {
        let message = labelled(purpose, message);
        // Signing gives up after hundreds of rejections, once in 2^100 tries or so: then
        // with other randomness.
        let ml_dsa_65 = loop {
            let mut randomness = [0; 32];
            rng.fill_bytes(&mut randomness);
            if let Ok(signature) = ml_dsa_65::sign(&self.ml_dsa_65, &message, CONTEXT, randomness) {
                break signature;
            }
        };
        pb::HybridSignature {
            ed25519: Bytes::copy_from_slice(&self.ed25519.sign(&message).to_bytes()),
            ml_dsa_65: Bytes::copy_from_slice(ml_dsa_65.as_slice()),
        }
    }
}

/// The public half of a [`HybridSigningKey`], checked for form.
#[derive(Clone, PartialEq, Eq)]
pub struct HybridPublicKey {
    ed25519: [u8; 32],
    ml_dsa_65: Box<[u8; ML_DSA_PUBLIC_BYTES]>,
}

impl fmt::Debug for HybridPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HybridPublicKey(…)")
    }
}

impl HybridPublicKey {
    /// Checks lengths, and that the Ed25519 half is a point of full order.
    pub fn from_wire(key: &pb::HybridPublicKey) -> Result<Self, SignatureError> {
        let ed25519: [u8; 32] = key
            .ed25519
            .as_ref()
            .try_into()
            .map_err(|_| SignatureError::Malformed)?;
        let point = VerifyingKey::from_bytes(&ed25519).map_err(|_| SignatureError::Malformed)?;
        if point.is_weak() {
            return Err(SignatureError::Malformed);
        }
        let ml_dsa_65: [u8; ML_DSA_PUBLIC_BYTES] = key
            .ml_dsa_65
            .as_ref()
            .try_into()
            .map_err(|_| SignatureError::Malformed)?;
        Ok(Self {
            ed25519,
            ml_dsa_65: Box::new(ml_dsa_65),
        })
    }

    /// For a wire message.
    pub fn to_wire(&self) -> pb::HybridPublicKey {
        pb::HybridPublicKey {
            ed25519: Bytes::copy_from_slice(&self.ed25519),
            ml_dsa_65: Bytes::copy_from_slice(self.ml_dsa_65.as_ref()),
        }
    }

    /// The id of the device that has this identity.
    pub fn device_id(&self) -> DeviceId {
        let mut hash = Sha256::new();
        hash.update(b"waxwing device v1");
        hash.update(self.ed25519);
        hash.update(self.ml_dsa_65.as_ref());
        DeviceId(hash.finalize().into())
    }

    /// Whether both parts of `signature` are valid.
    pub fn verify(
        &self,
        purpose: Purpose,
        message: &[u8],
        signature: &pb::HybridSignature,
    ) -> Result<(), SignatureError> {
        let message = labelled(purpose, message);
        let ed25519 = ed25519_dalek::Signature::from_slice(&signature.ed25519)
            .map_err(|_| SignatureError::Malformed)?;
        let ml_dsa_65: [u8; ML_DSA_SIGNATURE_BYTES] = signature
            .ml_dsa_65
            .as_ref()
            .try_into()
            .map_err(|_| SignatureError::Malformed)?;
        VerifyingKey::from_bytes(&self.ed25519)
            .and_then(|key| key.verify_strict(&message, &ed25519))
            .map_err(|_| SignatureError::Invalid)?;
        ml_dsa_65::verify(
            &MLDSA65VerificationKey::new(*self.ml_dsa_65),
            &message,
            CONTEXT,
            &MLDSA65Signature::new(ml_dsa_65),
        )
        .map_err(|_| SignatureError::Invalid)
    }
}

/// What a device signs to log in ([`Purpose::Login`]).
pub fn login_message(exporter: &Exporter, challenge: &[u8; 32], device: DeviceId) -> Vec<u8> {
    [exporter.as_slice(), challenge, device.as_bytes()].concat()
}

/// What a device signs to finish a registration ([`Purpose::Registration`]): the code is valid for
/// this account only.
pub fn registration_message(
    exporter: &Exporter,
    registration: RegistrationId,
    code: &str,
    account: AccountId,
    roster_head: &[u8; 32],
) -> Vec<u8> {
    let code_hash: [u8; 32] = Sha256::digest(code.as_bytes()).into();
    [
        exporter.as_slice(),
        registration.as_bytes(),
        &code_hash,
        account.as_bytes(),
        roster_head,
    ]
    .concat()
}

fn labelled(purpose: Purpose, message: &[u8]) -> Vec<u8> {
    [purpose.label(), &[0], message].concat()
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;

    fn key(seed: u8) -> HybridSigningKey {
        HybridSigningKey::from_seed(&SigningSeed::generate(&mut ChaCha20Rng::from_seed(
            [seed; 32],
        )))
    }

    #[test]
    fn a_signature_is_good_for_its_purpose_message_and_key_only() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let key_one = key(1);
        let signature = key_one.sign(&mut rng, Purpose::Login, b"hello");
        let public = HybridPublicKey::from_wire(&key_one.public().to_wire()).unwrap();
        assert_eq!(public.verify(Purpose::Login, b"hello", &signature), Ok(()));
        assert!(
            public
                .verify(Purpose::Statement, b"hello", &signature)
                .is_err()
        );
        assert!(public.verify(Purpose::Login, b"hullo", &signature).is_err());
        assert!(
            key(2)
                .public()
                .verify(Purpose::Login, b"hello", &signature)
                .is_err()
        );
    }

    #[test]
    fn one_valid_half_is_not_enough() {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let (one, two) = (key(1), key(2));
        let good = one.sign(&mut rng, Purpose::Login, b"hello");
        let other = two.sign(&mut rng, Purpose::Login, b"hello");
        for mixed in [
            pb::HybridSignature {
                ed25519: other.ed25519.clone(),
                ..good.clone()
            },
            pb::HybridSignature {
                ml_dsa_65: other.ml_dsa_65.clone(),
                ..good.clone()
            },
            pb::HybridSignature {
                ed25519: Bytes::new(),
                ..good.clone()
            },
            pb::HybridSignature {
                ml_dsa_65: Bytes::new(),
                ..good
            },
        ] {
            assert!(
                one.public()
                    .verify(Purpose::Login, b"hello", &mixed)
                    .is_err()
            );
        }
    }

    #[test]
    fn a_seed_makes_the_same_key_again() {
        let seed = SigningSeed::generate(&mut ChaCha20Rng::from_seed([3; 32]));
        let again = SigningSeed::from_bytes(&seed.to_bytes());
        assert_eq!(
            HybridSigningKey::from_seed(&seed).public(),
            HybridSigningKey::from_seed(&again).public()
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?}", key(1)), "HybridSigningKey(…)");
        assert_eq!(
            format!("{:?}", SigningSeed::from_bytes(&[1; 64])),
            "SigningSeed(…)"
        );
    }
}
