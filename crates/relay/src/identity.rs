//! The relay's identity: the key of its TLS certificate, which clients pin, the keys of its
//! key log, and the secrets behind its tokens and stored addresses.
//!
//! The relay makes a new certificate at each start, over the same key: clients pin the key, so
//! the name in the certificate may change and nothing ever expires. The key is P-256 and not
//! Ed25519, because browsers refuse the latter.
//!
//! **Elsewhere**: the TLS configuration is in [`crate::server`]; the relay's core uses the
//! secrets.
//!
//! **Always**: the identity is made once, at the first start, and never changes. Secrets are
//! in files of mode 0600, zeroized in memory, and no `Debug` shows them.

use std::fmt;
use std::io;
use std::path::Path;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::TryRng as _;
use rand::rngs::SysRng;
use rcgen::{
    CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SigningKey as _,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use waxwing_protocol::signature::SigningSeed;
use zeroize::Zeroizing;

use crate::data_dir::{DataDir, DataDirError, make_private_dir, write_private_file};
use crate::directory::log::LogKeys;

const TLS_KEY: &str = "tls-key.pem";
const TOKEN_SEED: &str = "token-seed";
const ADDRESS_KEY: &str = "address-key";
const LOG_VRF_KEY: &str = "log-vrf-key";
const LOG_HEAD_KEY: &str = "log-head-key";

/// SHA-256 of a certificate's `SubjectPublicKeyInfo` (as in RFC 7469 section 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pin(pub [u8; 32]);

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256/{}", BASE64.encode(&self.0))
    }
}

/// A relay's identity, loaded.
pub struct Identity {
    tls_key: KeyPair,
    token_seed: Zeroizing<[u8; 32]>,
    address_key: Zeroizing<[u8; 32]>,
    log: Option<LogSecrets>,
}

struct LogSecrets {
    vrf_key: Zeroizing<[u8; 32]>,
    head_key: Zeroizing<[u8; 64]>,
}

/// Why there is no identity to be had.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The files cannot be read or written.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A file is not what was written.
    #[error(
        "{file} in the data directory's identity folder is damaged. Restore it from your backup: \
         with another key, clients would refuse this relay."
    )]
    Damaged {
        /// Which file.
        file: &'static str,
    },
    /// There is a key log, and its keys are missing.
    #[error(
        "log-vrf-key or log-head-key is missing from the data directory's identity folder, but the \
         relay has a key log. Restore both from your backup: with other keys, clients would think \
         that this relay rewrote its log."
    )]
    LogKeysMissing,
    /// The system's random numbers or the cryptography failed.
    #[error("the relay's keys cannot be created: {0}")]
    Generation(String),
    /// `--name` cannot stand in a certificate.
    #[error("{name:?} is not a host name that a certificate can have")]
    Name {
        /// What was given.
        name: String,
    },
}

impl Identity {
    /// Loads the identity, or makes it at the first start.
    pub fn open_or_create(data: &DataDir) -> Result<Self, IdentityError> {
        let at = data.path().join("identity");
        if !at.is_dir() {
            create(&at)?;
        }
        load(&at)
    }

    /// Loads the identity of the relay in `data`, which may be running.
    pub fn read(data: &Path) -> Result<Self, IdentityError> {
        let at = data.join("identity");
        if !at.is_dir() {
            return Err(DataDirError::Missing {
                path: data.to_owned(),
            }
            .into());
        }
        load(&at)
    }

    /// Makes the key log's keys where an earlier version of this program made the identity,
    /// without them. Only while there is no log yet: it would not be the same with others.
    pub fn add_log_keys(
        &mut self,
        data: &DataDir,
        log_is_empty: bool,
    ) -> Result<(), IdentityError> {
        if self.log.is_some() {
            return Ok(());
        }
        if !log_is_empty {
            return Err(IdentityError::LogKeysMissing);
        }
        let at = data.path().join("identity");
        create_log_keys(&at)?;
        self.log = load_log_keys(&at)?;
        Ok(())
    }

    /// What the key log needs to know; its identity is signed with the TLS key.
    pub fn log_keys(&self) -> Result<LogKeys, IdentityError> {
        let log = self.log.as_ref().ok_or(IdentityError::LogKeysMissing)?;
        let spki = self.tls_key.subject_public_key_info();
        let seed = SigningSeed::from_bytes(&log.head_key);
        LogKeys::new(&log.vrf_key, &seed, &self.address_key, &spki, |message| {
            self.tls_key.sign(message)
        })
        .map_err(|error| IdentityError::Generation(error.to_string()))
    }

    /// What clients pin.
    pub fn pin(&self) -> Pin {
        Pin(Sha256::digest(self.tls_key.subject_public_key_info()).into())
    }

    /// A certificate for `name` over the relay's key, and that key, for rustls.
    pub fn certificate(
        &self,
        name: &str,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), IdentityError> {
        let unusable = |_| IdentityError::Name {
            name: name.to_owned(),
        };
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(unusable)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Waxwing relay");
        let certificate = params.self_signed(&self.tls_key).map_err(unusable)?;
        let key = PrivatePkcs8KeyDer::from(self.tls_key.serialize_der());
        Ok((certificate.der().clone(), key.into()))
    }

    /// What the nodes of a cluster share: derived, so that a copied identity has it.
    pub fn cluster_secret(&self) -> Zeroizing<[u8; 32]> {
        let mut secret = Zeroizing::new([0; 32]);
        // HMAC takes keys of any length.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.token_seed) {
            mac.update(b"waxwing cluster secret");
            secret.copy_from_slice(&mac.finalize().into_bytes());
        }
        secret
    }

    /// The seed of the token key (RFC 9497).
    pub fn token_seed(&self) -> &[u8; 32] {
        &self.token_seed
    }

    /// The key under which addresses are hashed before they are stored.
    pub fn address_key(&self) -> &[u8; 32] {
        &self.address_key
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// Writes all files to a folder beside, then renames it: half an identity never exists.
fn create(at: &Path) -> Result<(), IdentityError> {
    let new = at.with_extension("new");
    match std::fs::remove_dir_all(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(DataDirError::refused(&new, "removed", error).into());
        }
        _ => {}
    }
    make_private_dir(&new)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(|error| IdentityError::Generation(error.to_string()))?;
    let pem = Zeroizing::new(key.serialize_pem());
    write_private_file(&new.join(TLS_KEY), pem.as_bytes())?;
    for name in [TOKEN_SEED, ADDRESS_KEY] {
        create_secret::<32>(&new.join(name))?;
    }
    create_log_keys(&new)?;
    let refused = |source| DataDirError::refused(at, "created", source);
    std::fs::rename(&new, at).map_err(refused)?;
    if let Some(parent) = at.parent() {
        std::fs::File::open(parent)
            .and_then(|parent| parent.sync_all())
            .map_err(refused)?;
    }
    Ok(())
}

fn create_log_keys(at: &Path) -> Result<(), IdentityError> {
    create_secret::<32>(&at.join(LOG_VRF_KEY))?;
    create_secret::<64>(&at.join(LOG_HEAD_KEY))
}

fn create_secret<const N: usize>(at: &Path) -> Result<(), IdentityError> {
    let mut secret = Zeroizing::new([0; N]);
    SysRng
        .try_fill_bytes(secret.as_mut())
        .map_err(|error| IdentityError::Generation(error.to_string()))?;
    Ok(write_private_file(at, secret.as_ref())?)
}

/// `None` where one of them is not there: the first was made, and the second was not, or
/// neither was.
fn load_log_keys(at: &Path) -> Result<Option<LogSecrets>, IdentityError> {
    if !at.join(LOG_VRF_KEY).exists() || !at.join(LOG_HEAD_KEY).exists() {
        return Ok(None);
    }
    Ok(Some(LogSecrets {
        vrf_key: load_secret(at, LOG_VRF_KEY)?,
        head_key: load_secret(at, LOG_HEAD_KEY)?,
    }))
}

fn load(at: &Path) -> Result<Identity, IdentityError> {
    let pem = Zeroizing::new(read(at, TLS_KEY)?);
    let tls_key = std::str::from_utf8(&pem)
        .ok()
        .and_then(|pem| KeyPair::from_pem(pem).ok())
        .ok_or(IdentityError::Damaged { file: TLS_KEY })?;
    Ok(Identity {
        tls_key,
        token_seed: load_secret(at, TOKEN_SEED)?,
        address_key: load_secret(at, ADDRESS_KEY)?,
        log: load_log_keys(at)?,
    })
}

fn load_secret<const N: usize>(
    at: &Path,
    file: &'static str,
) -> Result<Zeroizing<[u8; N]>, IdentityError> {
    let bytes = Zeroizing::new(read(at, file)?);
    let secret = <[u8; N]>::try_from(bytes.as_slice());
    secret
        .map(Zeroizing::new)
        .map_err(|_| IdentityError::Damaged { file })
}

fn read(at: &Path, file: &'static str) -> Result<Vec<u8>, IdentityError> {
    let path = at.join(file);
    std::fs::read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => IdentityError::Damaged { file },
        _ => DataDirError::refused(&path, "read", error).into(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_pin_is_the_certificates_whatever_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let first = {
            let data = DataDir::open_or_create(dir.path()).unwrap();
            Identity::open_or_create(&data).unwrap()
        };
        let data = DataDir::open_or_create(dir.path()).unwrap();
        let again = Identity::open_or_create(&data).unwrap();
        assert_eq!(first.pin(), again.pin());
        assert_eq!(first.token_seed(), again.token_seed());
        assert_eq!(first.address_key(), again.address_key());
        let spki = again.tls_key.subject_public_key_info();
        for name in ["localhost", "relay.example.org"] {
            let (certificate, _) = again.certificate(name).unwrap();
            assert!(
                certificate.windows(spki.len()).any(|window| window == spki),
                "the certificate carries the pinned key"
            );
        }
    }

    #[test]
    fn secrets_are_readable_by_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open_or_create(dir.path()).unwrap();
        let identity = Identity::open_or_create(&data).unwrap();
        for entry in std::fs::read_dir(dir.path().join("identity")).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(format!("{identity:?}"), "Identity(…)");
    }

    #[test]
    fn a_damaged_key_is_refused_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open_or_create(dir.path()).unwrap();
        Identity::open_or_create(&data).unwrap();
        for file in [TLS_KEY, TOKEN_SEED, ADDRESS_KEY, LOG_VRF_KEY, LOG_HEAD_KEY] {
            let path = dir.path().join("identity").join(file);
            let whole = std::fs::read(&path).unwrap();
            std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
            assert!(matches!(
                Identity::open_or_create(&data),
                Err(IdentityError::Damaged { .. })
            ));
            std::fs::write(&path, whole).unwrap();
        }
        Identity::open_or_create(&data).unwrap();
    }

    #[test]
    fn the_tls_key_signs_the_log_s_identity_which_stays() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open_or_create(dir.path()).unwrap();
        let first = Identity::open_or_create(&data).unwrap();
        let keys = first.log_keys().unwrap();
        assert_eq!(*keys.identity().relay_pin(), first.pin().0);
        let again = Identity::open_or_create(&data).unwrap().log_keys().unwrap();
        assert_eq!(keys.identity().id(), again.identity().id());
        assert_eq!(format!("{keys:?}"), "LogKeys(…)");
    }

    #[test]
    fn an_old_identity_gets_log_keys_once_and_only_without_a_log() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open_or_create(dir.path()).unwrap();
        Identity::open_or_create(&data).unwrap();
        let head_key = dir.path().join("identity").join(LOG_HEAD_KEY);
        std::fs::remove_file(&head_key).unwrap();
        let mut identity = Identity::open_or_create(&data).unwrap();
        let error = identity.log_keys().unwrap_err().to_string();
        assert!(error.contains("backup"), "{error}");
        assert!(matches!(
            identity.add_log_keys(&data, false),
            Err(IdentityError::LogKeysMissing)
        ));
        assert!(!head_key.exists());
        identity.add_log_keys(&data, true).unwrap();
        let id = identity.log_keys().unwrap().identity().id();
        let mut again = Identity::open_or_create(&data).unwrap();
        again.add_log_keys(&data, false).unwrap();
        assert_eq!(again.log_keys().unwrap().identity().id(), id);
    }
}
