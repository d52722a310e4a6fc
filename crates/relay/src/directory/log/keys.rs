//! The log's secrets, and the identity that the relay signs for it.
//!
//! **Elsewhere**: [`crate::identity`] has the files.
//!
//! **Always**: no `Debug` shows the secrets, and they are zeroized.

use std::convert::Infallible;

use akd::ecvrf::{VRFKeyStorage, VRFPrivateKey, VRFPublicKey, VrfError};
use p256::ecdsa::{self, signature::Signer as _};
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    pb,
    signature::{HybridSigningKey, SigningSeed},
};
use waxwing_transparency::identity::{LogIdentity, signed_message, statement};
use zeroize::Zeroizing;

use super::codec::LabelKey;

/// The `SubjectPublicKeyInfo` of a P-256 key (RFC 5480), up to its point.
const SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// What a key log needs to know.
pub struct LogKeys {
    pub(super) vrf: VrfKey,
    pub(super) head: HybridSigningKey,
    pub(super) labels: LabelKey,
    pub(super) identity: LogIdentity,
}

/// Keys that are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key log's keys cannot be used")]
pub struct LogKeysError;

impl LogKeys {
    /// Keys for the log of the relay whose TLS key has this `SubjectPublicKeyInfo` (DER);
    /// `sign` signs with that key (ECDSA P-256 with SHA-256, ASN.1 DER). `address_key`
    /// hides addresses in the store.
    ///
    /// # Errors
    /// When a key is none, or the signature does not verify.
    pub fn new<E>(
        vrf_key: &[u8; 32],
        head_seed: &SigningSeed,
        address_key: &[u8; 32],
        relay_key: &[u8],
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Self, LogKeysError> {
        let vrf = VRFPrivateKey::try_from(vrf_key.as_slice()).map_err(|_| LogKeysError)?;
        let head = HybridSigningKey::from_seed(head_seed);
        let public = VRFPublicKey::from(&vrf);
        let statement = statement(head.public(), &public.to_bytes(), relay_key);
        let signature = sign(&signed_message(&statement)).map_err(|_| LogKeysError)?;
        let identity = LogIdentity::check(&pb::LogIdentity {
            statement,
            signature: signature.into(),
        })
        .map_err(|_| LogKeysError)?;
        Ok(Self {
            vrf: VrfKey(Zeroizing::new(*vrf_key)),
            head,
            labels: LabelKey::new(address_key),
            identity,
        })
    }

    /// Keys of a simulated relay's log, all from one seed, the relay's TLS key as well:
    /// for tests and simulations, which must come out the same again.
    ///
    /// # Errors
    /// When the seed gives no key, which next to none does.
    pub fn simulated(seed: &[u8; 32], address_key: &[u8; 32]) -> Result<Self, LogKeysError> {
        let derive = |what: u8| -> [u8; 32] {
            let hash = Sha256::new().chain_update(seed).chain_update([what]);
            hash.finalize().into()
        };
        let tls_key = ecdsa::SigningKey::from_slice(&derive(0)).map_err(|_| LogKeysError)?;
        let point = tls_key.verifying_key().to_encoded_point(false);
        let spki = [SPKI, point.as_bytes()].concat();
        let mut head_seed = [0; 64];
        for (what, half) in (1..).zip(head_seed.chunks_mut(32)) {
            half.copy_from_slice(&derive(what));
        }
        let head_seed = SigningSeed::from_bytes(&head_seed);
        Self::new(&derive(3), &head_seed, address_key, &spki, |message| {
            let signature: ecdsa::Signature = tls_key.sign(message);
            Ok::<_, Infallible>(signature.to_der().as_bytes().to_vec())
        })
    }

    /// What clients know the log by.
    pub const fn identity(&self) -> &LogIdentity {
        &self.identity
    }
}

impl std::fmt::Debug for LogKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogKeys(…)")
    }
}

/// The VRF's private key, where akd asks for it.
#[derive(Clone)]
pub(super) struct VrfKey(Zeroizing<[u8; 32]>);

#[async_trait::async_trait]
impl VRFKeyStorage for VrfKey {
    async fn retrieve(&self) -> Result<Vec<u8>, VrfError> {
        Ok(self.0.to_vec())
    }
}
