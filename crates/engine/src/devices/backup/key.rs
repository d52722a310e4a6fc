//! The backup key: an X-Wing key pair (X25519 and ML-KEM-768) that is derived from the
//! recovery key.
//!
//! Every device has the public half: it is derived where the recovery key is made, and passed
//! on when a device is linked. The private half exists only while the words are typed.
//!
//! A device trusts its public half because it derived it itself or from the words, or got it
//! from the device that admitted it (which could have withheld everything else as well). The
//! public half is in no roster, and nobody else learns it: it is useless to others, and
//! without it a relay cannot make a backup.
//!
//! **Elsewhere**: [`super::seal`] seals backups.
//!
//! **Always**: the private half is wiped, and never stored.

use hkdf::Hkdf;
use rusqlite::{OptionalExtension as _, Transaction};
use sha2::Sha256;
use x_wing::{
    DecapsulationKeyRejectNonContrib, Decapsulator as _, EncapsulationKey, KeyExport as _,
};
use zeroize::Zeroizing;

use crate::{account::RecoveryKey, devices::pairing::agreement, store::StoreError};

pub(crate) const SCHEMA: &str = "
CREATE TABLE backup_key (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    public BLOB NOT NULL
);
";

const LABEL: &[u8] = b"waxwing backup key v1";

/// The private half.
pub(crate) fn private(recovery: &RecoveryKey) -> DecapsulationKeyRejectNonContrib {
    let mut seed = Zeroizing::new([0; 32]);
    // 32 bytes are fewer than HKDF can give (RFC 5869 section 2.3).
    let expanded = Hkdf::<Sha256>::new(None, recovery.entropy()).expand(LABEL, seed.as_mut());
    debug_assert!(expanded.is_ok());
    DecapsulationKeyRejectNonContrib::from(*seed)
}

/// The public half, as it is kept.
pub(crate) fn public_of(recovery: &RecoveryKey) -> Vec<u8> {
    private(recovery).encapsulation_key().to_bytes().to_vec()
}

/// A public half from elsewhere, if it is one.
pub(crate) fn checked(bytes: &[u8]) -> Option<Vec<u8>> {
    agreement::kem_key(bytes).is_ok().then(|| bytes.to_vec())
}

/// Keeps the public half.
pub(crate) fn store_public(tx: &Transaction<'_>, public: &[u8]) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO backup_key (id, public) VALUES (1, ?1)
         ON CONFLICT DO UPDATE SET public = excluded.public",
        [public],
    )?;
    Ok(())
}

/// The public half, as it was kept.
pub(crate) fn public(tx: &Transaction<'_>) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT public FROM backup_key")?
        .query_row([], |row| row.get(0))
        .optional()?)
}

/// The public half, ready for use.
pub(crate) fn encapsulation_key(
    tx: &Transaction<'_>,
) -> Result<Option<EncapsulationKey>, StoreError> {
    let Some(bytes) = public(tx)? else {
        return Ok(None);
    };
    agreement::kem_key(&bytes)
        .map(Some)
        .map_err(|_| StoreError::Damaged {
            found: "a backup key that is not valid".into(),
        })
}
