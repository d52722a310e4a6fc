//! The recovery key: 32 random bytes, shown once as 24 words (BIP 39, English).
//!
//! **Elsewhere**: what it may sign is in `waxwing_protocol::roster`.
//!
//! **Always**: the words alone make the same key again, on any device, for ever.

use bip39::{Language, Mnemonic};
use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use waxwing_protocol::signature::{HybridSigningKey, SigningSeed};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const LABEL: &[u8] = b"waxwing recovery key v1";

const QR_PREFIX: &str = "waxwing:recovery/1/";

/// What outranks all devices of an account.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RecoveryKey([u8; 32]);

/// Words that are no recovery key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryWordsError {
    /// There are not 24.
    #[error("a recovery key has 24 words, these are {0}")]
    Count(usize),
    /// A word is not in the list: its place, from 1.
    #[error("word {0} is not a word of a recovery key")]
    Unknown(usize),
    /// All words exist, but not together: one is another than was written down, or
    /// two have changed places.
    #[error("a word is wrong, or two words are swapped")]
    Checksum,
}

impl RecoveryKey {
    /// A new key.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut entropy = [0; 32];
        rng.fill_bytes(&mut entropy);
        Self(entropy)
    }

    /// The key with this entropy.
    pub const fn from_entropy(entropy: &[u8; 32]) -> Self {
        Self(*entropy)
    }

    /// The key with these words, in upper or lower case and with anything between them; or with the
    /// text of its QR code.
    pub fn from_words(text: &str) -> Result<Self, RecoveryWordsError> {
        let text = text.trim();
        let text = text.strip_prefix(QR_PREFIX).unwrap_or(text);
        // More than 24 longest words; nobody types that.
        let words = Zeroizing::new(
            text.split(|c: char| !c.is_ascii_alphabetic())
                .filter(|word| !word.is_empty())
                .take(64)
                .map(str::to_ascii_lowercase)
                .collect::<Vec<_>>(),
        );
        if words.len() != 24 {
            return Err(RecoveryWordsError::Count(words.len()));
        }
        let phrase = Zeroizing::new(words.join(" "));
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &phrase).map_err(
            |error| match error {
                bip39::Error::UnknownWord(place) => RecoveryWordsError::Unknown(place + 1),
                _ => RecoveryWordsError::Checksum,
            },
        )?;
        let (entropy, _) = mnemonic.to_entropy_array();
        let entropy = Zeroizing::new(entropy);
        let mut key = Self([0; 32]);
        for (to, from) in key.0.iter_mut().zip(entropy.iter()) {
            *to = *from;
        }
        Ok(key)
    }

    /// Its 24 words, with spaces between.
    pub fn words(&self) -> String {
        // 32 bytes are one of the lengths that have words.
        Mnemonic::from_entropy_in(Language::English, &self.0)
            .map(|mnemonic| mnemonic.to_string())
            .unwrap_or_default()
    }

    /// Its words as a QR code holds them.
    pub fn qr_text(&self) -> String {
        let words = Zeroizing::new(self.words());
        [QR_PREFIX, &Zeroizing::new(words.replace(' ', "-"))].concat()
    }

    /// The key itself.
    pub fn signing_key(&self) -> HybridSigningKey {
        let mut seed = Zeroizing::new([0; 64]);
        // 64 bytes are fewer than HKDF can give (RFC 5869 section 2.3).
        let expanded = Hkdf::<Sha256>::new(None, &self.0).expand(LABEL, seed.as_mut());
        debug_assert!(expanded.is_ok());
        HybridSigningKey::from_seed(&SigningSeed::from_bytes(&seed))
    }

    pub(crate) const fn entropy(&self) -> &[u8; 32] {
        &self.0
    }
}

impl core::fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("RecoveryKey(..)")
    }
}
