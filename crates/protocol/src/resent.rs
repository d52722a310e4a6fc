//! A resent message, sealed to the one device that asked for it.
//!
//! ```text
//!   key     HKDF-SHA-256(X-Wing secret, info = "waxwing resent v1" || context || ciphertext)
//!   sealed  ChaCha20-Poly1305(key, nonce 0, envelope)
//! ```
//!
//! A member who joined a group after a message was sent must not read it. A copy for a member who
//! missed it therefore travels inside an ordinary message of the group, sealed to a key that came
//! with the member's request. The context names the group and both devices.
//!
//! A key encapsulation and an AEAD whose key is used once, as in HPKE's base mode (RFC 9180
//! section 5.1.1). MLS says who sent both the request and the copy, so nothing is signed here.
//!
//! **Elsewhere**: the engine's `inbox::resending` decides which messages are sealed.
//!
//! **Always**: the private half never leaves the device, and is wiped.

use bytes::Bytes;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce, aead::Aead as _};
use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use x_wing::{
    DecapsulationKeyRejectNonContrib, Decapsulator as _, Encapsulate as _, EncapsulationKey,
    KeyExport as _, TryDecapsulate as _,
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::ids::{DeviceId, GroupId};

const LABEL: &[u8] = b"waxwing resent v1";

/// What a sealed copy is bound to.
#[derive(Clone, Copy)]
pub struct Context {
    /// The group in which the message was sent.
    pub group: GroupId,
    /// The device that sent it.
    pub from: DeviceId,
    /// The device that asked for it.
    pub to: DeviceId,
}

/// It was not sealed to this key, or not in this context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not open with this key")]
pub struct NotOpened;

/// These bytes are not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are not an X-Wing key")]
pub struct NotAKey;

/// A sealed copy.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedCopy {
    /// What the key is made from.
    pub kem_ciphertext: Bytes,
    /// The envelope, sealed.
    pub sealed: Bytes,
}

/// What opens copies for a device: the seed of an X-Wing key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct OpeningKey([u8; 32]);

impl core::fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("OpeningKey(..)")
    }
}

impl core::fmt::Debug for SealedCopy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SealedCopy(..)")
    }
}

impl OpeningKey {
    /// Fresh.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self(seed)
    }

    /// From the device's store.
    pub const fn from_bytes(seed: [u8; 32]) -> Self {
        Self(seed)
    }

    /// For the device's store.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What others seal to: 1,216 bytes.
    pub fn public(&self) -> Bytes {
        let key = self.decapsulation_key().encapsulation_key().to_bytes();
        Bytes::copy_from_slice(&key)
    }

    /// Opens a copy.
    ///
    /// # Errors
    /// Where it was sealed to another key or in another context.
    pub fn open(
        &self,
        context: Context,
        kem_ciphertext: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
        let encapsulated = kem_ciphertext.try_into().map_err(|_| NotOpened)?;
        let secret = self
            .decapsulation_key()
            .try_decapsulate(encapsulated)
            .map_err(|_| NotOpened)?;
        let secret = Zeroizing::new(secret.0);
        cipher(&secret, context, kem_ciphertext)
            .decrypt(&Nonce::default(), sealed)
            .map(Zeroizing::new)
            .map_err(|_| NotOpened)
    }

    fn decapsulation_key(&self) -> DecapsulationKeyRejectNonContrib {
        DecapsulationKeyRejectNonContrib::from(self.0)
    }
}

/// What a public key is called for short: the first 8 bytes of its SHA-256.
pub fn key_id(public: &[u8]) -> [u8; 8] {
    let mut id = [0; 8];
    for (to, from) in id.iter_mut().zip(Sha256::digest(public)) {
        *to = from;
    }
    id
}

/// Seals an envelope to the key of the device that asked for it.
///
/// # Errors
/// Where the bytes are not a key.
pub fn seal(
    rng: &mut dyn CryptoRng,
    public: &[u8],
    context: Context,
    envelope: &[u8],
) -> Result<SealedCopy, NotAKey> {
    let key = EncapsulationKey::try_from(public).map_err(|_| NotAKey)?;
    let (ciphertext, secret) = key.encapsulate_with_rng(rng);
    let secret = Zeroizing::new(secret.0);
    // Sealing fails for messages of more than 2^38 bytes only.
    let sealed = cipher(&secret, context, &ciphertext)
        .encrypt(&Nonce::default(), envelope)
        .map_err(|_| NotAKey)?;
    Ok(SealedCopy {
        kem_ciphertext: Bytes::copy_from_slice(&ciphertext),
        sealed: sealed.into(),
    })
}

fn cipher(secret: &[u8; 32], context: Context, ciphertext: &[u8]) -> ChaCha20Poly1305 {
    let mut key = Zeroizing::new([0; 32]);
    let info = [
        LABEL,
        context.group.as_bytes().as_slice(),
        context.from.as_bytes(),
        context.to.as_bytes(),
        ciphertext,
    ]
    .concat();
    // 32 bytes are fewer than HKDF can give (RFC 5869 section 2.3).
    let expanded = Hkdf::<Sha256>::new(None, secret).expand(&info, key.as_mut());
    debug_assert!(expanded.is_ok());
    ChaCha20Poly1305::new(&(*key).into())
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;

    const CONTEXT: Context = Context {
        group: GroupId([1; 16]),
        from: DeviceId([2; 32]),
        to: DeviceId([3; 32]),
    };

    #[test]
    fn only_the_key_and_context_it_was_sealed_for_open_a_copy() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (alice, bob) = (
            OpeningKey::generate(&mut rng),
            OpeningKey::generate(&mut rng),
        );
        let copy = seal(&mut rng, &alice.public(), CONTEXT, b"hello").unwrap();
        let open = |key: &OpeningKey, context| {
            key.open(context, &copy.kem_ciphertext, &copy.sealed)
                .map(|opened| opened.to_vec())
        };
        assert_eq!(open(&alice, CONTEXT), Ok(b"hello".to_vec()));
        assert_eq!(open(&bob, CONTEXT), Err(NotOpened));
        let other = Context {
            group: GroupId([9; 16]),
            ..CONTEXT
        };
        assert_eq!(open(&alice, other), Err(NotOpened));
        let other = Context {
            from: CONTEXT.to,
            ..CONTEXT
        };
        assert_eq!(open(&alice, other), Err(NotOpened));
        let kept = OpeningKey::from_bytes(*alice.as_bytes());
        assert!(open(&kept, CONTEXT).is_ok());
    }

    #[test]
    fn bytes_that_are_not_a_key_are_refused() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        for length in [0, 32, 1_215, 1_217] {
            let refused = seal(&mut rng, &vec![7; length], CONTEXT, b"hello");
            assert_eq!(refused, Err(NotAKey));
        }
        let key = OpeningKey::generate(&mut rng);
        for length in [0, 1_119, 1_120, 1_121] {
            let bent = key.open(CONTEXT, &vec![7; length], &[7; 40]);
            assert_eq!(bent.map(|opened| opened.to_vec()), Err(NotOpened));
        }
    }
}
