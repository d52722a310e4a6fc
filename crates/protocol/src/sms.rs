//! What a relay knows about a text to or from a phone, sealed to the account's devices at once.
//!
//! ```text
//!   key     HKDF-SHA-256(X-Wing secret, info = "waxwing sms v1" || device id || ciphertext)
//!   sealed  ChaCha20-Poly1305(key, nonce 0, length (4 bytes, big endian) || SmsRecord || zeroes)
//! ```
//!
//! A key encapsulation and an AEAD whose key is used once, as in HPKE's base mode (RFC 9180
//! section 5.1.1), with the KEM of the backups: X-Wing (X25519 and ML-KEM-768) is IND-CCA if
//! either of the two is. The zeroes bring it to a Padmé length.
//!
//! Nobody signs it: the relay makes it from what the phone network said, which proves nothing. The
//! purpose of sealing is that somebody who seizes the relay later cannot read it.
//!
//! **Elsewhere**: `waxwing_sms` knows what a text is made of; the relay's `sms` decides when to
//! seal.
//!
//! **Always**: the private half never leaves the device, and is wiped.

use bytes::Bytes;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce, aead::Aead as _};
use hkdf::Hkdf;
use prost::Message as _;
use rand_core::CryptoRng;
use sha2::Sha256;
use x_wing::{
    DecapsulationKeyRejectNonContrib, Decapsulator as _, Encapsulate as _, EncapsulationKey,
    KeyExport as _, TryDecapsulate as _,
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    ids::DeviceId,
    padding,
    pb::{SealedForDevice, SealedSms, SmsRecord},
};

const LABEL: &[u8] = b"waxwing sms v1";

/// It was not sealed to this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not open with this device's key")]
pub struct NotOpened;

/// These bytes are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are not an X-Wing key")]
pub struct NotAKey;

/// What opens texts for a device: the seed of an X-Wing key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SmsOpeningKey([u8; 32]);

impl SmsOpeningKey {
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

    /// What the relay seals to: 1,216 bytes.
    pub fn public(&self) -> Bytes {
        let key = self.decapsulation_key().encapsulation_key().to_bytes();
        Bytes::copy_from_slice(&key)
    }

    /// Opens what the relay sealed to this device, if it did.
    ///
    /// # Errors
    /// Where nothing in it is for this device, or it does not open.
    pub fn open(&self, device: DeviceId, sealed: &SealedSms) -> Result<SmsRecord, NotOpened> {
        let mine = |one: &&SealedForDevice| one.device_id == device.as_bytes().as_slice();
        let sealed = sealed.sealed.iter().find(mine).ok_or(NotOpened)?;
        let ciphertext = sealed.kem_ciphertext.as_ref();
        let encapsulated = ciphertext.try_into().map_err(|_| NotOpened)?;
        let secret = self
            .decapsulation_key()
            .try_decapsulate(encapsulated)
            .map_err(|_| NotOpened)?;
        let secret = Zeroizing::new(secret.0);
        let opened = cipher(&secret, device, ciphertext)
            .decrypt(&Nonce::default(), sealed.sealed.as_ref())
            .map_err(|_| NotOpened)?;
        let opened = Zeroizing::new(opened);
        let (length, rest) = opened.split_first_chunk::<4>().ok_or(NotOpened)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| NotOpened)?;
        let record = rest.get(..length).ok_or(NotOpened)?;
        SmsRecord::decode(record).map_err(|_| NotOpened)
    }

    fn decapsulation_key(&self) -> DecapsulationKeyRejectNonContrib {
        DecapsulationKeyRejectNonContrib::from(self.0)
    }
}

/// Whether the bytes are a key that can be sealed to.
///
/// # Errors
/// Where they are not.
pub fn check_key(key: &[u8]) -> Result<(), NotAKey> {
    encapsulation_key(key).map(|_| ())
}

fn encapsulation_key(bytes: &[u8]) -> Result<EncapsulationKey, NotAKey> {
    EncapsulationKey::try_from(bytes).map_err(|_| NotAKey)
}

/// Seals a record to each of these devices, by the key that each has left.
pub fn seal<'a>(
    rng: &mut dyn CryptoRng,
    record: &SmsRecord,
    devices: impl IntoIterator<Item = (DeviceId, &'a [u8])>,
) -> SealedSms {
    let plaintext = padded(record);
    let mut sealed = SealedSms::default();
    for (device, key) in devices {
        let Ok(key) = encapsulation_key(key) else {
            continue;
        };
        let (ciphertext, secret) = key.encapsulate_with_rng(rng);
        let secret = Zeroizing::new(secret.0);
        // Sealing fails for messages of more than 2^38 bytes only.
        let Ok(text) =
            cipher(&secret, device, &ciphertext).encrypt(&Nonce::default(), plaintext.as_slice())
        else {
            continue;
        };
        sealed.sealed.push(SealedForDevice {
            device_id: device.to_bytes(),
            kem_ciphertext: Bytes::copy_from_slice(&ciphertext),
            sealed: text.into(),
        });
    }
    sealed
}

fn padded(record: &SmsRecord) -> Zeroizing<Vec<u8>> {
    let encoded = Zeroizing::new(record.encode_to_vec());
    let length = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
    let whole = padding::padded_length(encoded.len() + 4);
    let mut plaintext = Zeroizing::new(Vec::with_capacity(whole));
    plaintext.extend_from_slice(&length.to_be_bytes());
    plaintext.extend_from_slice(&encoded);
    plaintext.resize(whole, 0);
    plaintext
}

fn cipher(secret: &[u8; 32], device: DeviceId, ciphertext: &[u8]) -> ChaCha20Poly1305 {
    let mut key = Zeroizing::new([0; 32]);
    let info = [LABEL, device.as_bytes(), ciphertext].concat();
    // 32 bytes are fewer than HKDF can give (RFC 5869 section 2.3).
    let expanded = Hkdf::<Sha256>::new(None, secret).expand(&info, key.as_mut());
    debug_assert!(expanded.is_ok());
    ChaCha20Poly1305::new(&(*key).into())
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;
    use crate::pb::{SmsCame, sms_record::Record};

    const ALICE: DeviceId = DeviceId([1; 32]);
    const BOB: DeviceId = DeviceId([2; 32]);

    fn record(length: usize) -> SmsRecord {
        SmsRecord {
            record: Some(Record::Came(SmsCame {
                to: "+358401234567".to_owned(),
                tpdu: vec![7; length].into(),
            })),
        }
    }

    #[test]
    fn each_device_opens_what_is_for_it_and_nobody_else_does() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (alice, bob) = (
            SmsOpeningKey::generate(&mut rng),
            SmsOpeningKey::generate(&mut rng),
        );
        let (for_alice, for_bob) = (alice.public(), bob.public());
        let keys = [(ALICE, for_alice.as_ref()), (BOB, for_bob.as_ref())];
        let sealed = seal(&mut rng, &record(100), keys);
        assert!(alice.open(ALICE, &sealed).unwrap() == record(100));
        assert!(bob.open(BOB, &sealed).unwrap() == record(100));
        assert!(alice.open(BOB, &sealed).is_err());
        let kept = SmsOpeningKey::from_bytes(*alice.as_bytes());
        assert!(kept.open(ALICE, &sealed).is_ok());
        assert!(kept.open(DeviceId([3; 32]), &sealed).is_err());
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let key = SmsOpeningKey::generate(&mut rng);
        let sealed = seal(&mut rng, &record(10), [(ALICE, key.public().as_ref())]);
        for place in [0, 500, 1_119] {
            let mut other = sealed.clone();
            let mut bytes = other.sealed[0].kem_ciphertext.to_vec();
            bytes[place] ^= 1;
            other.sealed[0].kem_ciphertext = bytes.into();
            assert!(key.open(ALICE, &other).is_err());
        }
        let mut other = sealed;
        let mut bytes = other.sealed[0].sealed.to_vec();
        bytes[20] ^= 1;
        other.sealed[0].sealed = bytes.into();
        assert!(key.open(ALICE, &other).is_err());
    }

    #[test]
    fn short_texts_look_alike() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let public = SmsOpeningKey::generate(&mut rng).public();
        let mut length = |of| {
            let sealed = seal(&mut rng, &record(of), [(ALICE, public.as_ref())]);
            sealed.sealed[0].sealed.len()
        };
        assert_eq!(length(1), length(150));
    }

    #[test]
    fn what_is_no_key_is_told() {
        assert_eq!(check_key(&[0; 10]), Err(NotAKey));
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        assert!(check_key(&SmsOpeningKey::generate(&mut rng).public()).is_ok());
    }
}
