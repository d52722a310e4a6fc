//! Leaves: ours, with its key, and those of others.
//!
//! **Elsewhere**: whether a leaf belongs to the account that it claims: `trust`.

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use openmls::prelude::{BasicCredential, Credential, CredentialWithKey, LeafNode, SignatureScheme};
use openmls_traits::signatures::{Signer, SignerError};
use prost::Message as _;
use rand_core::CryptoRng;
use waxwing_protocol::{
    ids::{AccountId, DeviceId, MailboxId},
    limits, pb, roster,
    signature::HybridPublicKey,
};
use zeroize::Zeroizing;

use super::MlsError;

/// Bytes of a credential, at most: the ids, and the address that older versions wrote.
const CREDENTIAL_BYTES: usize = limits::ADDRESS_BYTES + 128;

/// The private half of this device's MLS leaf key (Ed25519).
pub struct LeafKey(SigningKey);

impl LeafKey {
    /// A new key.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(&seed)
    }

    /// The key that was made from `seed`.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// What it can be made from again.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// This device, as a roster lists it, with the proof that the key is its own.
    pub fn entry(&self, identity: &HybridPublicKey) -> pb::DeviceEntry {
        let claim = roster::leaf_key_claim(identity.device_id());
        pb::DeviceEntry {
            leaf_key_proof: self.0.sign(&claim).to_bytes().to_vec().into(),
            ..roster::entry(identity, self.public())
        }
    }

    /// The public half, which the roster certifies.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }
}

impl core::fmt::Debug for LeafKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("LeafKey(..)")
    }
}

impl Signer for LeafKey {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.sign(payload).to_bytes().to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// What this device joins groups as.
pub struct Leaf {
    key: LeafKey,
    credential: Vec<u8>,
}

impl core::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Leaf(..)")
    }
}

impl Leaf {
    /// The leaf of this device with this mailbox. It does not name the address: key
    /// packages lie on the relay in the clear.
    pub fn new(key: LeafKey, account: AccountId, device: DeviceId, mailbox: MailboxId) -> Self {
        let credential = pb::LeafCredential {
            account_id: account.to_bytes(),
            device_id: device.to_bytes(),
            mailbox_id: mailbox.to_bytes(),
        };
        Self {
            key,
            credential: credential.encode_to_vec(),
        }
    }

    /// The public half of its key.
    pub fn public_key(&self) -> [u8; 32] {
        self.key.public()
    }

    /// Signs what is not MLS's (Ed25519): it is to begin with a label of its own.
    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.key.0.sign(bytes).to_bytes()
    }

    /// A secret of this device and the one that has the other leaf key: X25519 (RFC 7748) of
    /// the two, as Montgomery points. It is hashed with a label before it is used.
    pub(crate) fn shared_with(&self, other: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        let other = VerifyingKey::from_bytes(other).ok()?;
        if other.is_weak() {
            return None;
        }
        let own = Zeroizing::new(self.key.0.to_scalar_bytes());
        let shared = other.to_montgomery().mul_clamped(*own);
        Some(Zeroizing::new(shared.to_bytes()))
    }

    pub(super) const fn key(&self) -> &LeafKey {
        &self.key
    }

    pub(super) fn credential_with_key(&self) -> CredentialWithKey {
        CredentialWithKey {
            credential: BasicCredential::new(self.credential.clone()).into(),
            signature_key: self.key.public().as_slice().into(),
        }
    }
}

/// A leaf as its owner describes it. Nothing in it is believed yet, but that
/// whoever has `leaf_key` says so.
#[derive(Clone, PartialEq, Eq)]
pub struct Member {
    /// Who it claims to be.
    pub account: AccountId,
    /// Which device of that account.
    pub device: DeviceId,
    /// Where its posts go.
    pub mailbox: MailboxId,
    /// The key that the roster must certify for the device.
    pub leaf_key: [u8; 32],
}

impl core::fmt::Debug for Member {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Member(..)")
    }
}

impl Member {
    pub(super) fn from_leaf(leaf: &LeafNode) -> Result<Self, MlsError> {
        Self::decode(leaf.credential(), leaf.signature_key().as_slice())
    }

    pub(super) fn decode(credential: &Credential, leaf_key: &[u8]) -> Result<Self, MlsError> {
        let credential = BasicCredential::try_from(credential.clone())
            .map_err(|_| MlsError::Malformed("a credential of another kind"))?;
        if credential.identity().len() > CREDENTIAL_BYTES {
            return Err(MlsError::Malformed("a credential that is too long"));
        }
        let identity = pb::LeafCredential::decode(credential.identity())
            .map_err(|_| MlsError::Malformed("a credential"))?;
        let malformed = |_| MlsError::Malformed("an id in a credential");
        Ok(Self {
            account: AccountId::try_from(&identity.account_id).map_err(malformed)?,
            device: DeviceId::try_from(&identity.device_id).map_err(malformed)?,
            mailbox: MailboxId::try_from(&identity.mailbox_id).map_err(malformed)?,
            leaf_key: leaf_key
                .try_into()
                .map_err(|_| MlsError::Malformed("a leaf key"))?,
        })
    }
}
