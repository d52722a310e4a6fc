//! The auditor's folder: its key, what it knows of each log, and evidence.
//!
//! ```text
//! auditor.key        64 secret bytes, from which the key is made
//! HOST_PORT/log      what was checked of that relay's log
//! HOST_PORT/evidence-NUMBER.waxwing
//! ```
//!
//! **Elsewhere**: what an evidence file proves is `waxwing_transparency::evidence`.
//!
//! **Always**: files are replaced whole, so that a crash leaves the old one or the new
//! one; the key is readable by its owner only, and never made anew where one was.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use prost::Message as _;
use rand_core::CryptoRng;
use rustix::fs::{FlockOperation, flock};
use waxwing_protocol::{
    pb,
    signature::{HybridSigningKey, SigningSeed},
};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    follower::{Follower, Lie, Saved},
    round::Keep,
};

const KEY: &str = "auditor.key";
const LOG: &str = "log";
const LOCK: &str = "lock";
/// Bytes of what is saved of a log, at most.
const SAVED_BYTES: u64 = 1 << 20;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Reading or writing failed.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is not what was written.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// Another auditor follows this relay with this folder.
    #[error("{} is in use by another auditor", path.display())]
    InUse {
        /// Which.
        path: PathBuf,
    },
}

/// The auditor's folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

/// What the folder has of one relay. Nobody else has it open.
#[derive(Debug)]
pub struct LogFolder {
    path: PathBuf,
    evidence: Option<PathBuf>,
    _lock: File,
}

impl Folder {
    /// Opens the folder; makes it where there is none.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        make_folder(path)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The auditor's key; made the first time.
    pub fn key(&self, rng: &mut impl CryptoRng) -> Result<HybridSigningKey, FolderError> {
        let path = self.path.join(KEY);
        let damaged = || FolderError::Damaged { path: path.clone() };
        if let Some(bytes) = read(&path, 65)? {
            let bytes = Zeroizing::new(bytes);
            let mut seed: Zeroizing<[u8; 64]> = Zeroizing::new([0; 64]);
            if bytes.len() != seed.len() {
                return Err(damaged());
            }
            seed.copy_from_slice(&bytes);
            return Ok(HybridSigningKey::from_seed(&SigningSeed::from_bytes(&seed)));
        }
        let seed = SigningSeed::generate(rng);
        let mut bytes = seed.to_bytes();
        let written = write(&path, &bytes);
        bytes.zeroize();
        written?;
        Ok(HybridSigningKey::from_seed(&seed))
    }

    /// What the folder has of the relay at this host and port.
    pub fn log(&self, host: &str, port: u16) -> Result<LogFolder, FolderError> {
        let host: String = host
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '.' {
                    c
                } else {
                    '-'
                }
            })
            .collect();
        let path = self.path.join(format!("{host}_{port}"));
        make_folder(&path)?;
        let lock = path.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock)
            .map_err(|error| io_error(&lock, error))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| FolderError::InUse { path: path.clone() })?;
        Ok(LogFolder {
            path,
            evidence: None,
            _lock: file,
        })
    }
}

impl LogFolder {
    /// What is known of the log; `None` before the first time.
    pub fn saved(&self) -> Result<Option<Saved>, FolderError> {
        let path = self.path.join(LOG);
        read(&path, SAVED_BYTES)?
            .map(|bytes| Saved::from_bytes(&bytes))
            .transpose()
            .map_err(|_| FolderError::Damaged { path })
    }

    /// Where [`saved`](Self::saved) is, to be named where it is damaged.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The evidence file that was written last.
    pub fn evidence(&self) -> Option<&Path> {
        self.evidence.as_deref()
    }

    /// Writes an evidence file; gives where.
    pub fn write_evidence(&self, evidence: &pb::Evidence) -> Result<PathBuf, FolderError> {
        for number in 1..u32::MAX {
            let path = self.path.join(format!("evidence-{number}.waxwing"));
            if !path.exists() {
                write(&path, &evidence.encode_to_vec())?;
                return Ok(path);
            }
        }
        Err(FolderError::InUse {
            path: self.path.clone(),
        })
    }
}

impl Keep for LogFolder {
    type Error = FolderError;

    fn keep_lie(&mut self, lie: &Lie) -> Result<(), FolderError> {
        if let Some(evidence) = lie.evidence() {
            self.evidence = Some(self.write_evidence(evidence)?);
        }
        Ok(())
    }

    fn keep(&mut self, follower: &Follower) -> Result<(), FolderError> {
        write(&self.path.join(LOG), &follower.saved().encode_to_vec())
    }
}

/// Writes a co-signature into a folder that others serve, as `LOG-ID.cosignature`; gives
/// where.
pub fn publish(
    folder: &Path,
    log: waxwing_transparency::identity::LogId,
    cosignature: &pb::CoSignature,
) -> Result<PathBuf, FolderError> {
    fs::create_dir_all(folder).map_err(|error| io_error(folder, error))?;
    let path = folder.join(format!("{log}.cosignature"));
    write_with(&path, &cosignature.encode_to_vec(), 0o644)?;
    Ok(path)
}

fn make_folder(path: &Path) -> Result<(), FolderError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| io_error(path, error))
}

/// A file's bytes, at most `most` of them; `None` where there is no file.
fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, FolderError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, error)),
    };
    let mut bytes = Vec::new();
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| io_error(path, error))?;
    Ok(Some(bytes))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    write_with(path, bytes, 0o600)
}

/// Replaces a file whole.
fn write_with(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FolderError> {
    let failed = |error| io_error(path, error);
    let new = path.with_extension("new");
    // A left-over could have another mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&new)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&new, path).map_err(failed)?;
    if let Some(folder) = path.parent() {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
    }
    Ok(())
}

fn io_error(path: &Path, error: io::Error) -> FolderError {
    FolderError::Io {
        path: path.to_owned(),
        error,
    }
}
