//! A private copy of a store that cannot be written where it lies, to read from.
//!
//! **Elsewhere.** [`crate::session`] decides when a home is only read.
//!
//! **Always.** The copy is encrypted as the store is, only its owner can read it, and it is removed
//! when it is dropped. Nothing is ever sent from it: its ratchets are not the device's.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::Home;

/// The folder of a copy.
#[derive(Debug)]
pub struct StoreCopy {
    folder: TempDir,
}

impl StoreCopy {
    /// Copies the home's store to a new folder below `place`.
    pub fn make(home: &Home, place: &Path) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::Builder::new()
            .prefix("waxwing-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(place)?;
        let copy = Self { folder };
        copy_file(&home.store(), &copy.store())?;
        match copy_file(&home.store_log(), &copy.folder.path().join("store.db-wal")) {
            // The store was closed well.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
        Ok(copy)
    }

    /// The copied store.
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }
}

/// Copies the content, and not that the file cannot be written.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut from = fs::File::open(from)?;
    let mut to = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    io::copy(&mut from, &mut to).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_copy_is_private_and_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(&folder.path().join("home")).unwrap();
        fs::write(home.store(), b"sealed").unwrap();
        fs::set_permissions(home.store(), fs::Permissions::from_mode(0o400)).unwrap();
        let copy = StoreCopy::make(&home, folder.path()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(fs::read(copy.store()).unwrap(), b"sealed");
        let place = copy.folder.path().to_owned();
        assert_eq!((mode(&place), mode(&copy.store())), (0o700, 0o600));
        drop(copy);
        assert!(!place.exists());
    }

    #[test]
    fn a_home_without_a_store_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(&folder.path().join("home")).unwrap();
        let place = folder.path().join("place");
        fs::create_dir(&place).unwrap();
        assert!(StoreCopy::make(&home, &place).is_err());
        assert_eq!(place.read_dir().unwrap().count(), 0);
    }
}
