//! Where the store's key is kept: the system's keyring, behind a passphrase, or in a
//! file beside the store.
//!
//! **Elsewhere.** The key encrypts the engine's store; the program asks the person for a
//! passphrase.
//!
//! **Always.** How a key is kept is decided once, when the home is new, and written to `key.json`;
//! a key is never replaced. A key is kept in a file only if somebody asked for that. Passphrases go
//! through Argon2id (RFC 9106).

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    sync::mpsc,
    time::Duration,
};

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::HEXLOWER;
use rand::{TryRng as _, rngs::SysRng};
use serde::{Deserialize, Serialize};
use waxwing_engine::{
    api::{KeyMissing, Problem},
    store::StoreKey,
};
use zeroize::{Zeroize as _, Zeroizing};

use super::{Home, plain};

/// RFC 9106 section 4, second recommendation: 64 MiB, 3 passes; one lane, since one
/// thread does it.
const ARGON2_MEMORY_KIB: u32 = 64 << 10;
const ARGON2_PASSES: u32 = 3;
/// What a file may ask for at most, so that a changed file cannot stop the machine.
const ARGON2_MEMORY_KIB_LIMIT: u32 = 1 << 20;
const ARGON2_PASSES_LIMIT: u32 = 64;
/// `key.json` is shorter than this.
const FILE_BYTES: usize = 4096;
/// The name under which the keyring shows the key.
const KEYRING_SERVICE: &str = "waxwing";
/// A keyring that is locked asks its owner, who may take a while.
const KEYRING_LIMIT: Duration = Duration::from_mins(1);
/// Whether there is one at all must be known sooner.
const KEYRING_PROBE_LIMIT: Duration = Duration::from_secs(5);

/// How a key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKeeping {
    /// In the keyring of the system.
    Keyring,
    /// Nowhere: made from a passphrase each time.
    Passphrase,
    /// In a file beside the store.
    File,
}

impl KeyKeeping {
    /// What that means for the person, as a sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Keyring => {
                "The store's key is in this system's keyring: somebody who copies the home folder, \
                 but is not logged in as you, cannot read it."
            }
            Self::Passphrase => {
                "The store's key comes from your passphrase: somebody who copies the home folder \
                 has to guess it. If you forget it, nobody can recover it."
            }
            Self::File => {
                "The store's key is in a file beside the store (key.json, readable only by you): \
                 anybody who copies the whole home folder, or a backup of it, can read everything."
            }
        }
    }
}

/// How the program learns what it needs.
pub trait KeySource: Send {
    /// How a new home's key shall be kept; `None` leaves it to [`open_key`]: the keyring
    /// if there is one, else a passphrase if somebody gives one. Never a file, unless this
    /// says so.
    fn preference(&self) -> Option<KeyKeeping>;

    /// The passphrase. `new`: to choose one, for a home that has none yet; `None`, or an
    /// empty one, then means that there shall be none.
    fn passphrase(&mut self, new: bool) -> io::Result<Option<Zeroizing<String>>>;
}

/// Why the key is not there.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The home's own file.
    #[error("{0}")]
    Home(Problem),
    /// A passphrase is needed, and there is nobody to ask.
    #[error("the message store needs a passphrase, and none was given")]
    NoPassphrase,
    /// A new home, and nothing that could protect its key from somebody who copies the home.
    #[error("there is no working keyring ({0}), and no passphrase was given")]
    NowhereToKeep(String),
    /// Asking for it failed.
    #[error("the passphrase could not be read ({0})")]
    Terminal(String),
    /// The keyring does not give the key.
    #[error("the keyring has the message store's key but does not release it ({0})")]
    Keyring(String),
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Home(problem) => problem,
            KeyError::NoPassphrase => Self::StoreKeyUnavailable {
                missing: KeyMissing::Passphrase,
                detail: String::new(),
            },
            KeyError::NowhereToKeep(detail) => Self::StoreKeyUnavailable {
                missing: KeyMissing::Place,
                detail,
            },
            KeyError::Terminal(detail) => Self::StoreKeyUnavailable {
                missing: KeyMissing::Terminal,
                detail,
            },
            KeyError::Keyring(detail) => Self::StoreKeyUnavailable {
                missing: KeyMissing::Keyring,
                detail,
            },
        }
    }
}

/// What `key.json` holds.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "snake_case")]
enum Kept {
    Keyring { entry: String },
    Passphrase { argon2id: Stretching },
    File { key: String },
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Self::File { key } = self {
            key.zeroize();
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Stretching {
    salt: String,
    memory_kib: u32,
    passes: u32,
}

/// The home's key and how it is kept; made now when the home is new.
///
/// Blocks: call it where that is allowed.
pub fn open_key(
    home: &Home,
    source: &mut dyn KeySource,
) -> Result<(StoreKey, KeyKeeping), KeyError> {
    match read_bounded(home) {
        Ok(bytes) => {
            let kept = serde_json::from_slice(&Zeroizing::new(bytes)).map_err(|_| damaged())?;
            existing(&kept, source)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A store without its key's description is never paired with a new key.
            if home.store().exists() {
                return Err(damaged());
            }
            new(home, source)
        }
        Err(error) => Err(KeyError::Home(home.unwritable(&error))),
    }
}

/// Reads `key.json`, or as much of it as it could be long.
/// Deletes the home's key, from the keyring too. Without it nobody can read the store.
pub(super) fn erase_key(home: &Home) -> io::Result<()> {
    if let Ok(bytes) = read_bounded(home)
        && let Ok(kept) = serde_json::from_slice::<Kept>(&Zeroizing::new(bytes))
        && let Kept::Keyring { entry } = &kept
    {
        let entry = entry.clone();
        // Of a keyring that does not answer, the entry stays, and opens nothing any more.
        let _ = in_time(KEYRING_PROBE_LIMIT, move || {
            keyring::Entry::new(KEYRING_SERVICE, &entry)?.delete_credential()
        });
    }
    match fs::remove_file(home.key_file()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read_bounded(home: &Home) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(FILE_BYTES);
    fs::File::open(home.key_file())?
        .take(FILE_BYTES as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn damaged() -> KeyError {
    KeyError::Home(Problem::StoreFailed {
        detail: "key.json is missing or damaged".into(),
    })
}

fn existing(kept: &Kept, source: &mut dyn KeySource) -> Result<(StoreKey, KeyKeeping), KeyError> {
    match kept {
        Kept::Keyring { entry } => {
            let entry = entry.clone();
            let secret = in_time(KEYRING_LIMIT, move || {
                keyring::Entry::new(KEYRING_SERVICE, &entry)?.get_secret()
            })
            .map_err(KeyError::Keyring)?;
            let key = from_bytes(&Zeroizing::new(secret)).ok_or_else(damaged)?;
            Ok((key, KeyKeeping::Keyring))
        }
        Kept::Passphrase { argon2id } => {
            let passphrase = source
                .passphrase(false)
                .map_err(|error| KeyError::Terminal(plain(&error)))?
                .ok_or(KeyError::NoPassphrase)?;
            Ok((
                argon2id.key(&passphrase).ok_or_else(damaged)?,
                KeyKeeping::Passphrase,
            ))
        }
        Kept::File { key } => {
            let bytes = HEXLOWER.decode(key.as_bytes()).map_err(|_| damaged())?;
            let key = from_bytes(&Zeroizing::new(bytes)).ok_or_else(damaged)?;
            Ok((key, KeyKeeping::File))
        }
    }
}

fn new(home: &Home, source: &mut dyn KeySource) -> Result<(StoreKey, KeyKeeping), KeyError> {
    match source.preference() {
        Some(KeyKeeping::File) => new_in_file(home),
        Some(KeyKeeping::Keyring) => match new_in_keyring(home)? {
            Ok(key) => Ok((key, KeyKeeping::Keyring)),
            Err(why) => Err(KeyError::Keyring(why)),
        },
        Some(KeyKeeping::Passphrase) => {
            new_from_passphrase(home, source)?.ok_or(KeyError::NoPassphrase)
        }
        None => match new_in_keyring(home)? {
            Ok(key) => Ok((key, KeyKeeping::Keyring)),
            Err(why) => new_from_passphrase(home, source)?.ok_or(KeyError::NowhereToKeep(why)),
        },
    }
}

/// `None` where no passphrase is given.
fn new_from_passphrase(
    home: &Home,
    source: &mut dyn KeySource,
) -> Result<Option<(StoreKey, KeyKeeping)>, KeyError> {
    let passphrase = source
        .passphrase(true)
        .map_err(|error| KeyError::Terminal(plain(&error)))?
        .filter(|passphrase| !passphrase.is_empty());
    let Some(passphrase) = passphrase else {
        return Ok(None);
    };
    let argon2id = Stretching {
        salt: HEXLOWER.encode(&random::<16>()?),
        memory_kib: ARGON2_MEMORY_KIB,
        passes: ARGON2_PASSES,
    };
    let key = argon2id.key(&passphrase).ok_or_else(damaged)?;
    keep(home, &Kept::Passphrase { argon2id })?;
    Ok(Some((key, KeyKeeping::Passphrase)))
}

fn new_in_file(home: &Home) -> Result<(StoreKey, KeyKeeping), KeyError> {
    let bytes = Zeroizing::new(random::<{ StoreKey::LENGTH }>()?);
    keep(
        home,
        &Kept::File {
            key: HEXLOWER.encode(&*bytes),
        },
    )?;
    Ok((StoreKey::from_bytes(*bytes), KeyKeeping::File))
}

/// The inner error says why there is no keyring to use.
fn new_in_keyring(home: &Home) -> Result<Result<StoreKey, String>, KeyError> {
    let bytes = Zeroizing::new(random::<{ StoreKey::LENGTH }>()?);
    let entry = HEXLOWER.encode(&random::<8>()?);
    let (name, secret) = (entry.clone(), bytes.clone());
    let stored = in_time(KEYRING_PROBE_LIMIT, move || {
        let entry = keyring::Entry::new(KEYRING_SERVICE, &name)?;
        entry.set_secret(&*secret)?;
        // Some keyrings take a secret and forget it.
        entry.get_secret().map(|back| back == *secret)
    });
    match stored {
        Ok(true) => {
            keep(home, &Kept::Keyring { entry })?;
            Ok(Ok(StoreKey::from_bytes(*bytes)))
        }
        Ok(false) => Ok(Err("it does not store what it is given".into())),
        Err(why) => Ok(Err(why)),
    }
}

/// Runs a call of the keyring, which may wait for a person or a service, on a thread of
/// its own.
fn in_time<T: Send + 'static>(
    limit: Duration,
    call: impl FnOnce() -> keyring::Result<T> + Send + 'static,
) -> Result<T, String> {
    let (answer, answered) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody may be waiting any more.
        let _ = answer.send(call().map_err(|error| error.to_string()));
    });
    answered
        .recv_timeout(limit)
        .unwrap_or_else(|_| Err("it does not answer".into()))
}

impl Stretching {
    fn key(&self, passphrase: &str) -> Option<StoreKey> {
        let salt = HEXLOWER.decode(self.salt.as_bytes()).ok()?;
        if self.memory_kib > ARGON2_MEMORY_KIB_LIMIT || self.passes > ARGON2_PASSES_LIMIT {
            return None;
        }
        let parameters =
            Params::new(self.memory_kib, self.passes, 1, Some(StoreKey::LENGTH)).ok()?;
        let mut key = Zeroizing::new([0; StoreKey::LENGTH]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
            .hash_password_into(passphrase.as_bytes(), &salt, &mut *key)
            .ok()?;
        Some(StoreKey::from_bytes(*key))
    }
}

fn from_bytes(bytes: &[u8]) -> Option<StoreKey> {
    bytes.try_into().ok().map(StoreKey::from_bytes)
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(|_| {
        KeyError::Home(Problem::Internal {
            detail: "no randomness".into(),
        })
    })?;
    Ok(bytes)
}

/// Writes `key.json` whole or not at all, and durably: the store is worth nothing
/// without it.
fn keep(home: &Home, kept: &Kept) -> Result<(), KeyError> {
    let text = serde_json::to_vec(kept).map_err(|_| damaged())?;
    let write = || -> io::Result<()> {
        let new = home.key_file().with_extension("new");
        // Never into a file that is there, which others may be able to read.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&Zeroizing::new(text))?;
        file.sync_all()?;
        fs::rename(new, home.key_file())?;
        fs::File::open(home.path())?.sync_all()
    };
    write().map_err(|error| KeyError::Home(home.unwritable(&error)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Given(Option<KeyKeeping>, Option<&'static str>);

    impl KeySource for Given {
        fn preference(&self) -> Option<KeyKeeping> {
            self.0
        }

        fn passphrase(&mut self, _new: bool) -> io::Result<Option<Zeroizing<String>>> {
            Ok(self.1.map(|text| Zeroizing::new(text.to_owned())))
        }
    }

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        (folder, home)
    }

    #[test]
    fn a_key_in_a_file_stays_the_same_and_only_its_owner_reads_it() {
        let (_folder, home) = home();
        let mut source = Given(Some(KeyKeeping::File), None);
        let (first, keeping) = open_key(&home, &mut source).unwrap();
        let (again, _) = open_key(&home, &mut source).unwrap();
        assert_eq!(keeping, KeyKeeping::File);
        assert_eq!(first.as_bytes(), again.as_bytes());
        assert_eq!(
            home.key_file().metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    /// A machine without a keyring: none of the test machines has one that answers.
    #[test]
    fn no_key_is_put_into_a_file_unless_asked_for() {
        for typed in [None, Some("")] {
            let (_folder, home) = home();
            match open_key(&home, &mut Given(None, typed)) {
                Err(KeyError::NowhereToKeep(_)) => {}
                // Where there is a keyring after all, the key is in it.
                Ok((_, keeping)) => assert_eq!(keeping, KeyKeeping::Keyring),
                Err(other) => panic!("{other}"),
            }
            let kept = fs::read_to_string(home.key_file()).unwrap_or_default();
            assert!(!kept.contains("file"), "{kept}");
        }
        // A home whose key lies in a file already still opens.
        let (_folder, home) = home();
        open_key(&home, &mut Given(Some(KeyKeeping::File), None)).unwrap();
        let (_, keeping) = open_key(&home, &mut Given(None, None)).unwrap();
        assert_eq!(keeping, KeyKeeping::File);
    }

    #[test]
    fn a_key_is_not_written_into_a_file_that_others_may_read() {
        let (_folder, home) = home();
        let planted = home.key_file().with_extension("new");
        fs::write(&planted, b"").unwrap();
        fs::set_permissions(&planted, fs::Permissions::from_mode(0o666)).unwrap();
        open_key(&home, &mut Given(Some(KeyKeeping::File), None)).unwrap();
        let mode = home.key_file().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_passphrase_gives_its_key_and_another_gives_another() {
        let (_folder, home) = home();
        let preference = Some(KeyKeeping::Passphrase);
        let (first, _) = open_key(&home, &mut Given(preference, Some("correct horse"))).unwrap();
        let (again, keeping) = open_key(&home, &mut Given(None, Some("correct horse"))).unwrap();
        let (other, _) = open_key(&home, &mut Given(None, Some("wrong horse"))).unwrap();
        assert_eq!(keeping, KeyKeeping::Passphrase);
        assert_eq!(first.as_bytes(), again.as_bytes());
        assert_ne!(first.as_bytes(), other.as_bytes());
        assert!(matches!(
            open_key(&home, &mut Given(None, None)),
            Err(KeyError::NoPassphrase)
        ));
    }

    #[test]
    fn a_store_whose_key_file_is_gone_gets_no_new_key() {
        let (_folder, home) = home();
        fs::write(home.store(), b"store").unwrap();
        let mut source = Given(Some(KeyKeeping::File), None);
        assert!(open_key(&home, &mut source).is_err());
        fs::write(home.key_file(), b"{}").unwrap();
        assert!(open_key(&home, &mut source).is_err());
        assert_eq!(fs::read(home.key_file()).unwrap(), b"{}");
    }
}
