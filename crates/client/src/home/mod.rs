//! The home: the folder where one account's device keeps everything.
//!
//! It holds `store.db` (the engine's store), `key.json` (how its key is kept), `lock` (held by
//! the process that drives the engine), `rpc.sock` (the socket on which that process answers) and
//! `proxy` (how connections are made, once somebody said so).
//!
//! **Elsewhere.** The engine decides what is in the store; [`crate::rpc`] speaks on the
//! socket.
//!
//! **Always.** Only its owner can read it: mode 0700 for the folder, 0600 for files. If a home
//! has looser permissions, opening it tightens them; a home that belongs to another user, or
//! has files that do, is refused.

mod copy;
mod key;
mod lock;
mod route;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use copy::StoreCopy;
pub use key::{KeyError, KeyKeeping, KeySource, open_key};
pub use lock::HomeLock;
pub use route::remembered_route;
use waxwing_engine::api::Problem;

/// The environment variable that names the home.
pub const HOME_VARIABLE: &str = "WAXWING_HOME";

/// What lies in a home. The files in `blobs` are as private as that folder.
const FILES: [&str; 9] = [
    "key.json",
    "key.new",
    "store.db",
    "store.db-wal",
    "store.db-shm",
    "lock",
    "rpc.sock",
    "proxy",
    "blobs",
];

/// A home folder that exists and can be written.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// Makes the folder where it is not there, makes it its owner's only, and finds out whether
    /// it can be written.
    ///
    /// The path may be a symbolic link: the folder that it leads to is the home.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        if !path.is_dir() {
            create_private(path).map_err(|error| unwritable(path, &error))?;
        }
        let path = path
            .canonicalize()
            .map_err(|error| unwritable(path, &error))?;
        let home = Self { path };
        home.make_private()?;
        home.probe().map_err(|error| home.unwritable(&error))?;
        Ok(home)
    }

    /// Finds a home that cannot be written, such as one on a disk that is mounted read-only.
    pub fn open_read_only(path: &Path) -> Result<Self, Problem> {
        let path = path
            .canonicalize()
            .map_err(|error| unwritable(path, &error))?;
        let home = Self { path };
        home.make_private()?;
        Ok(home)
    }

    /// Writes a file and removes it again.
    pub fn probe(&self) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let probe = self.path.join(format!(".probe-{}", std::process::id()));
        // One that was left behind; nothing is written through what is there.
        match fs::remove_file(&probe) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&probe)?;
        fs::remove_file(probe)
    }

    /// Takes the rights of others away: from the folder first, so that nothing changes in it
    /// any more, and then from each file that is used.
    fn make_private(&self) -> Result<(), Problem> {
        self.make_one_private(&self.path)?;
        for name in FILES {
            self.make_one_private(&self.path.join(name))?;
        }
        Ok(())
    }

    fn make_one_private(&self, path: &Path) -> Result<(), Problem> {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let loose = |detail: String| Problem::HomeNotPrivate {
            path: path.display().to_string(),
            detail,
        };
        let this = rustix::process::geteuid().as_raw();
        // The link itself, and then what it leads to.
        for looked in [fs::symlink_metadata(path), fs::metadata(path)] {
            let metadata = match looked {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(self.unwritable(&error)),
            };
            if metadata.uid() != this {
                return Err(loose("it belongs to another user".into()));
            }
            if metadata.is_symlink() {
                continue;
            }
            let (is_folder, mode) = (metadata.is_dir(), metadata.permissions().mode() & 0o777);
            let wanted = if is_folder { 0o700 } else { 0o600 };
            if mode & 0o077 != 0 || is_folder && mode != wanted {
                fs::set_permissions(path, fs::Permissions::from_mode(wanted))
                    .map_err(|error| loose(plain(&error)))?;
            }
        }
        Ok(())
    }

    /// What it means that something in the home could not be written.
    pub(crate) fn unwritable(&self, error: &io::Error) -> Problem {
        unwritable(&self.path, error)
    }

    /// Deletes everything in the home that belongs to the account: the key first, without which the
    /// rest is noise. The lock and the socket belong to the process that runs.
    pub(crate) fn erase(&self) -> io::Result<()> {
        key::erase_key(self)?;
        // What the person chose for the app's page lies here too.
        for name in FILES.into_iter().chain(["app.json"]) {
            let path = self.path.join(name);
            let deleted = match name {
                "lock" | "rpc.sock" => continue,
                "blobs" => fs::remove_dir_all(&path),
                _ => fs::remove_file(&path),
            };
            match deleted {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The engine's store.
    pub fn store(&self) -> PathBuf {
        self.path.join("store.db")
    }

    /// What SQLite wrote last, and has not folded into the store yet.
    pub(crate) fn store_log(&self) -> PathBuf {
        self.path.join("store.db-wal")
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

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    fn loosen(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_home_that_others_could_read_is_tightened() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        fs::create_dir_all(real.join("blobs")).unwrap();
        for name in FILES.iter().filter(|name| **name != "blobs") {
            fs::write(real.join(name), b"x").unwrap();
            loosen(&real.join(name), 0o644);
        }
        loosen(&real.join("blobs"), 0o755);
        // Also where the home is reached by a link.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        for (path, loose) in [
            (&real, 0o755),
            (&link, 0o777),
            (&real, 0o710),
            (&real, 0o500),
        ] {
            loosen(&real, loose);
            Home::open(path).unwrap();
            assert_eq!(mode(&real), 0o700, "{loose:o}");
        }
        assert_eq!(mode(&real.join("blobs")), 0o700);
        for name in FILES.iter().filter(|name| **name != "blobs") {
            assert_eq!(mode(&real.join(name)), 0o600, "{name}");
        }
    }

    #[test]
    fn a_home_or_a_file_of_somebody_elses_is_refused() {
        // The root folder is root's; root itself may give a file away.
        let is_root = rustix::process::geteuid().is_root();
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        if !is_root {
            assert!(matches!(
                Home::open(Path::new("/")),
                Err(Problem::HomeNotPrivate { .. })
            ));
            return;
        }
        let give_away = |path: &Path| std::os::unix::fs::lchown(path, Some(4711), None).unwrap();
        for name in FILES {
            fs::create_dir_all(&home).unwrap();
            fs::write(home.join(name), b"x").unwrap();
            give_away(&home.join(name));
            assert!(matches!(
                Home::open(&home),
                Err(Problem::HomeNotPrivate { .. })
            ));
            fs::remove_file(home.join(name)).unwrap();
            // Somebody else's link to a file of ours.
            std::os::unix::fs::symlink("/etc/hostname", home.join(name)).unwrap();
            give_away(&home.join(name));
            assert!(matches!(
                Home::open(&home),
                Err(Problem::HomeNotPrivate { .. })
            ));
            fs::remove_file(home.join(name)).unwrap();
        }
        Home::open(&home).unwrap();
        give_away(&home);
        assert!(matches!(
            Home::open(&home),
            Err(Problem::HomeNotPrivate { .. })
        ));
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
