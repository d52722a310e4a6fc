//! The key that the store is encrypted with.

use core::fmt::Write as _;

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// 32 bytes, used as they are: no passphrase is stretched here.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct StoreKey([u8; 32]);

impl StoreKey {
    /// Length in bytes.
    pub const LENGTH: usize = 32;

    /// A key that was kept elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new key.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The bytes, to be kept where only this person's programs can read them.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What tells SQLCipher the key.
    pub(super) fn pragma(&self) -> Zeroizing<String> {
        // Allocated whole, so that no shorter copy is left behind.
        let mut text = Zeroizing::new(String::with_capacity(128));
        text.push_str("PRAGMA key = \"x'");
        for byte in self.0 {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.push_str("'\";");
        text
    }
}

impl core::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("StoreKey(..)")
    }
}
