//! The home: the folder where one account's device keeps everything.
//!
//! Holds `store.db` (the engine's store), `key.json` (how its key is kept), `lock` (held
//! by the process that drives the engine) and `rpc.sock` (where that process answers).
//!
//! **Elsewhere.** What is in the store is the engine's; what is said on the socket is
//! [`crate::rpc`].
//!
//! **Always.** Only its owner can look into it: 0700 for the folder, 0600 for files.

mod key;
mod lock;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use key::{KeyError, KeyKeeping, KeySource, open_key};
pub use lock::HomeLock;
use waxwing_engine::api::Problem;

/// The environment variable that names the home.
pub const HOME_VARIABLE: &str = "WAXWING_HOME";

/// A home folder that exists and can be written.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// Makes the folder where it is not there, and finds out whether it can be written.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        if !path.is_dir() {
            create_private(path).map_err(|error| unwritable(path, &error))?;
        }
        let path = path
            .canonicalize()
            .map_err(|error| unwritable(path, &error))?;
        let home = Self { path };
        home.probe().map_err(|error| home.unwritable(&error))?;
        Ok(home)
    }

    /// Writes a file and removes it again.
    pub fn probe(&self) -> io::Result<()> {
        let probe = self.path.join(format!(".probe-{}", std::process::id()));
        fs::write(&probe, b"")?;
        fs::remove_file(probe)
    }

    /// What it means that something in the home could not be written.
    pub(crate) fn unwritable(&self, error: &io::Error) -> Problem {
        unwritable(&self.path, error)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The engine's store.
    pub fn store(&self) -> PathBuf {
        self.path.join("store.db")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.path.join("key.json")
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Where the process that drives the engine answers.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("rpc.sock")
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Problem::DiskFull,
        _ => Problem::HomeUnwritable {
            path: path.display().to_string(),
            detail: plain(error),
        },
    }
}

/// Where the home is when nobody says so.
pub fn default_home() -> Option<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if cfg!(target_os = "macos") {
        return variable("HOME").map(|home| home.join("Library/Application Support/waxwing"));
    }
    variable("XDG_DATA_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| variable("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("waxwing"))
}

fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        result => result,
    }
}

/// What the system says, without the number at its end.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_new_home_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(&folder.path().join("a/b")).unwrap();
        let mode = home.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(home.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_home_that_cannot_be_a_folder_is_refused_with_its_path() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().join("home");
        let Err(Problem::HomeUnwritable { path: named, .. }) = Home::open(&path) else {
            panic!("a home inside a file was accepted");
        };
        assert_eq!(named, path.display().to_string());
    }
}
