//! Seals the messages of two devices while one sends the archive to the other.
//!
//! XChaCha20-Poly1305 with a random nonce, and the direction as associated data: a device that
//! was restarted remembers no counter.

use bytes::Bytes;
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use prost::Message as _;
use rand_core::CryptoRng;
use waxwing_protocol::pb::{TransferWords, transfer_words::Body as Words};
use zeroize::Zeroizing;

use crate::devices::pairing::session::{pad, unpad};

pub(super) const TO_OLD: &[u8] = b"waxwing transfer v1 to old";
pub(super) const TO_NEW: &[u8] = b"waxwing transfer v1 to new";

const NONCE_BYTES: usize = 24;

/// Seals what two devices say.
pub(crate) struct TransferKey(Zeroizing<[u8; 32]>);

impl core::fmt::Debug for TransferKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TransferKey(..)")
    }
}

impl TransferKey {
    pub(crate) fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut());
        Self(key)
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn seal(
        &self,
        rng: &mut dyn CryptoRng,
        direction: &[u8],
        words: &TransferWords,
    ) -> Bytes {
        let padded = pad(words.encode_to_vec());
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let payload = Payload {
            msg: &padded,
            aad: direction,
        };
        let mut sealed = nonce.to_vec();
        // Fails for messages of more than 2^38 bytes only; an empty seal opens for nobody.
        if let Ok(ciphertext) =
            XChaCha20Poly1305::new(&(*self.0).into()).encrypt(&XNonce::from(nonce), payload)
        {
            sealed.extend_from_slice(&ciphertext);
        }
        sealed.into()
    }

    pub(super) fn open(&self, direction: &[u8], sealed: &[u8]) -> Option<Words> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload {
            msg: ciphertext,
            aad: direction,
        };
        let padded = XChaCha20Poly1305::new(&(*self.0).into())
            .decrypt(&XNonce::from(*nonce), payload)
            .map(Zeroizing::new)
            .ok()?;
        TransferWords::decode(unpad(&padded)?).ok()?.body
    }
}
