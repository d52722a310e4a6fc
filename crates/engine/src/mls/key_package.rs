//! Key packages (RFC 9420 section 10): ours, to publish, and those of others, to add.
//!
//! **Elsewhere**: `link::key_packages` decides how many are published and when.
//!
//! **Always**: a key package never expires. A wrong clock on either side must not keep people
//! from writing to each other; instead the relay hands each out once, and a device replaces
//! its last resort each day.

use openmls::prelude::{
    KeyPackage as MlsKeyPackage, KeyPackageIn, Lifetime, MlsMessageBodyIn, MlsMessageIn,
    MlsMessageOut, ProtocolVersion, tls_codec::DeserializeBytes as _,
};
use openmls_traits::OpenMlsProvider as _;
use waxwing_protocol::limits;

use super::{Leaf, Member, MlsError, Provider, SUITE, capabilities, storage::Storage};

/// How often a key package may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPackageUse {
    /// For one welcome; its private key goes with it.
    Once,
    /// For any number, when no other is left.
    LastResort,
}

/// A key package of ours, whose private keys are in the store.
#[derive(Clone, Debug)]
pub struct KeyPackageMade {
    /// To publish: an MLSMessage.
    pub bytes: Vec<u8>,
    /// To forget it by.
    pub reference: Vec<u8>,
}

/// Makes a key package for `leaf`.
pub fn make_key_package(
    provider: &Provider<'_>,
    leaf: &Leaf,
    usage: KeyPackageUse,
) -> Result<KeyPackageMade, MlsError> {
    let builder = MlsKeyPackage::builder()
        .key_package_lifetime(Lifetime::init(0, u64::MAX))
        .leaf_node_capabilities(capabilities());
    let builder = match usage {
        KeyPackageUse::Once => builder,
        KeyPackageUse::LastResort => builder.mark_as_last_resort(),
    };
    let bundle = builder
        .build(SUITE, provider, leaf.key(), leaf.credential_with_key())
        .map_err(|error| provider.failed(MlsError::library(error)))?;
    let key_package = bundle.into_key_package();
    let reference = key_package
        .hash_ref(provider.crypto())
        .map_err(MlsError::library)?;
    let reference = Storage::reference(&reference)?;
    let bytes = MlsMessageOut::from(key_package)
        .to_bytes()
        .map_err(MlsError::library)?;
    Ok(KeyPackageMade { bytes, reference })
}

/// Deletes the private keys of the key package with this reference.
pub fn forget_key_package(provider: &Provider<'_>, reference: &[u8]) -> Result<(), MlsError> {
    Ok(provider.store().forget_key_package(reference)?)
}

/// Deletes the private keys of all key packages.
pub fn forget_key_packages(provider: &Provider<'_>) -> Result<(), MlsError> {
    Ok(provider.store().forget_key_packages()?)
}

/// Another device's key package, checked but for who is behind it.
pub struct KeyPackage {
    inner: MlsKeyPackage,
    member: Member,
}

impl core::fmt::Debug for KeyPackage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KeyPackage(..)")
    }
}

impl KeyPackage {
    /// Decodes and checks what a relay handed over: signatures, suite, capabilities.
    pub fn check(provider: &Provider<'_>, bytes: &[u8]) -> Result<Self, MlsError> {
        if bytes.len() > limits::KEY_PACKAGE_BYTES {
            return Err(MlsError::Malformed("a key package that is too large"));
        }
        let message = MlsMessageIn::tls_deserialize_exact_bytes(bytes)
            .map_err(|_| MlsError::Malformed("a key package"))?;
        let MlsMessageBodyIn::KeyPackage(key_package) = message.extract() else {
            return Err(MlsError::Malformed(
                "another message in place of a key package",
            ));
        };
        Self::validate(provider, key_package)
    }

    /// What it says of its owner. To be compared with the roster before it is added.
    pub const fn member(&self) -> &Member {
        &self.member
    }

    pub(super) fn inner(&self) -> MlsKeyPackage {
        self.inner.clone()
    }

    fn validate(provider: &Provider<'_>, key_package: KeyPackageIn) -> Result<Self, MlsError> {
        let inner = key_package
            .validate(provider.crypto(), ProtocolVersion::Mls10)
            .map_err(MlsError::refused)?;
        if inner.ciphersuite() != SUITE {
            return Err(MlsError::Refused(
                "a key package of another suite".to_owned(),
            ));
        }
        let member = Member::from_leaf(inner.leaf_node())?;
        Ok(Self { inner, member })
    }
}
