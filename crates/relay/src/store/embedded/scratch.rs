//! A copy of the map that may be written to when the map itself may not.
//!
//! The map cannot be opened without writing to it: it locks itself, repairs the end of its
//! journal, and continues its own work. It is therefore opened in a separate folder: tables,
//! which never change, are linked there, and everything else is copied.
//!
//! **Elsewhere**: [`super`] reads the copy.
//!
//! **Always**: only its owner can read the folder, and it is removed when this is dropped.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// The folders in which the map keeps what it writes once.
const TABLES: &str = "tables";
/// Names of folders that are tried.
const TRIES: u32 = 1000;

/// The folder.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn copy(map: &Path) -> io::Result<Self> {
        let scratch = Self(new_folder()?);
        if map.try_exists()? {
            copy_folder(&fs::canonicalize(map)?, &scratch.0)?;
        }
        Ok(scratch)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is the system's to remove: it is where temporary files are.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn new_folder() -> io::Result<PathBuf> {
    let process = std::process::id();
    for number in 0..TRIES {
        let path = std::env::temp_dir().join(format!("waxwing-relay-check-{process}-{number}"));
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.map(|()| path),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    let are_tables = from.file_name().is_some_and(|name| name == TABLES);
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            DirBuilder::new().mode(0o700).create(&to)?;
            copy_folder(&entry.path(), &to)?;
        } else if are_tables {
            symlink(entry.path(), to)?;
        } else {
            copy_file(&entry.path(), &to)?;
        }
    }
    Ok(())
}

/// Journals are mostly room for what comes: that takes no space in the copy either.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = File::open(from)?;
    let mut options = OpenOptions::new();
    let mut to = options.write(true).create_new(true).mode(0o600).open(to)?;
    let mut piece = vec![0; 64 << 10];
    let mut length = 0;
    loop {
        let read = from.read(&mut piece)?;
        let (read, _) = piece.split_at(read);
        if read.is_empty() {
            return to.set_len(length);
        }
        if read.iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(length))?;
            to.write_all(read)?;
        }
        length += read.len() as u64;
    }
}
