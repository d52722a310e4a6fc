//! What openmls works with: libcrux's cryptography, our randomness and our transaction.
//!
//! **Elsewhere**: the state goes to [`super::storage`].
//!
//! **Always**: keys and nonces come from the generator that the caller provides. (The one
//! exception is in libcrux: the encapsulation inside HPKE draws from the operating system,
//! which no test needs to repeat.)

use std::cell::RefCell;

use openmls_libcrux_crypto::CryptoProvider;
use openmls_traits::{OpenMlsProvider, random::OpenMlsRand};
use rand_core::CryptoRng;
use rusqlite::Transaction;

use super::{MlsError, ProcessError, storage::Storage};

/// The cryptography; made once, used for all groups.
pub struct Crypto(CryptoProvider);

impl Crypto {
    /// # Errors
    /// [`MlsError::Library`] when the system has no randomness to give.
    pub fn new() -> Result<Self, MlsError> {
        Ok(Self(CryptoProvider::new().map_err(MlsError::library)?))
    }
}

impl core::fmt::Debug for Crypto {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Crypto")
    }
}

/// What MLS works with during one transaction.
pub struct Provider<'a> {
    crypto: &'a Crypto,
    random: Random<'a>,
    storage: Storage<'a>,
}

impl<'a> Provider<'a> {
    /// For `transaction`, with randomness from `rng`.
    pub fn new(
        crypto: &'a Crypto,
        rng: &'a mut dyn CryptoRng,
        transaction: &'a Transaction<'a>,
    ) -> Self {
        Self {
            crypto,
            random: Random(RefCell::new(rng)),
            storage: Storage::new(transaction),
        }
    }

    /// The store's error behind one of openmls's, if it was that.
    pub(super) fn failed(&self, otherwise: MlsError) -> MlsError {
        self.storage
            .take_failure()
            .map_or(otherwise, MlsError::Store)
    }

    pub(super) fn failed_processing(&self, otherwise: ProcessError) -> ProcessError {
        self.storage
            .take_failure()
            .map_or(otherwise, ProcessError::Store)
    }

    pub(super) const fn store(&self) -> &Storage<'a> {
        &self.storage
    }
}

impl core::fmt::Debug for Provider<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Provider")
    }
}

impl<'a> OpenMlsProvider for Provider<'a> {
    type CryptoProvider = CryptoProvider;
    type RandProvider = Random<'a>;
    type StorageProvider = Storage<'a>;

    fn storage(&self) -> &Self::StorageProvider {
        &self.storage
    }

    fn crypto(&self) -> &Self::CryptoProvider {
        &self.crypto.0
    }

    fn rand(&self) -> &Self::RandProvider {
        &self.random
    }
}

/// The generator that was handed in, as openmls wants it.
pub struct Random<'a>(RefCell<&'a mut dyn CryptoRng>);

/// The generator is being used already; openmls never does that.
#[derive(Debug, thiserror::Error)]
#[error("the random generator is in use")]
pub struct RandomError;

impl OpenMlsRand for Random<'_> {
    type Error = RandomError;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], RandomError> {
        let mut bytes = [0; N];
        self.0
            .try_borrow_mut()
            .map_err(|_| RandomError)?
            .fill_bytes(&mut bytes);
        Ok(bytes)
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, RandomError> {
        let mut bytes = vec![0; len];
        self.0
            .try_borrow_mut()
            .map_err(|_| RandomError)?
            .fill_bytes(&mut bytes);
        Ok(bytes)
    }
}
