//! Conversations as files that people keep: into the folder for downloads of whoever runs this.
//!
//! **Elsewhere.** What is written is in `waxwing_client::export`; its format is in docs/export.md.
//!
//! **Always.** Nothing that is there is overwritten: each export is a new folder. One that fails, or
//! that the person cancels, leaves nothing behind. What is written is not encrypted; the page says so
//! before it asks.

use std::{
    env, fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;
use waxwing_client::{
    Session,
    blobs::file::harmless,
    export::{Export, ExportError, Sentence, export},
};
use waxwing_engine::api::Timestamp;

use crate::answer::{self, Answer, text};

/// Bytes of what asks for an export, at most.
pub(crate) const BYTES: usize = 4 << 10;
/// Folders that may have the same name before this gives up.
const SAME: u32 = 1000;

/// What the page asks for.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    /// A conversation's id.
    of: String,
    /// What the page calls it.
    name: String,
    /// Whether attachments are written as well.
    files: bool,
}

/// Writes a conversation into a new folder, and says which.
pub(crate) async fn write(
    session: &mut Session,
    asked: &Asked,
    now: Timestamp,
    sentence: Sentence,
) -> Answer {
    let folder = match downloads().and_then(|downloads| NewFolder::within(&downloads, &asked.name))
    {
        Ok(folder) => folder,
        Err(error) => return text(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    };
    let what = Export {
        of: asked.of.clone(),
        with_files: asked.files,
        now,
        sentence,
    };
    match export(session, &what, &folder.path, |_| {}).await {
        Ok(done) => answer::json(&json!({
            "folder": folder.keep().display().to_string(),
            "entries": done.entries,
            "files": done.files,
            "files_missing": done.files_missing,
        })),
        Err(ExportError::Rpc(error)) => text(StatusCode::UNPROCESSABLE_ENTITY, &error.message),
        Err(error) => text(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    }
}

/// A folder that was made for this, and goes away again unless it is kept.
struct NewFolder {
    path: PathBuf,
    kept: bool,
}

impl NewFolder {
    fn within(downloads: &Path, name: &str) -> io::Result<Self> {
        fs::create_dir_all(downloads)?;
        let name = format!("Waxwing {}", harmless(name));
        for number in 1..SAME {
            let path = downloads.join(match number {
                1 => name.clone(),
                _ => format!("{name} ({number})"),
            });
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, kept: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn keep(mut self) -> PathBuf {
        self.kept = true;
        self.path.clone()
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.kept {
            // It is new: nothing in it is anybody else's.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Where this person's downloads go (xdg-user-dirs), or `Downloads` in their home folder.
fn downloads() -> io::Result<PathBuf> {
    let home = env::home_dir().ok_or(io::ErrorKind::NotFound)?;
    if let Some(named) = env::var_os("XDG_DOWNLOAD_DIR").map(PathBuf::from)
        && named.is_absolute()
    {
        return Ok(named);
    }
    let config = env::var_os("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
    let written = fs::read_to_string(config.join("user-dirs.dirs")).unwrap_or_default();
    Ok(chosen(&written, &home).unwrap_or_else(|| home.join("Downloads")))
}

/// The folder for downloads in `user-dirs.dirs`: `XDG_DOWNLOAD_DIR="$HOME/Downloads"`.
fn chosen(written: &str, home: &Path) -> Option<PathBuf> {
    let line = written
        .lines()
        .find_map(|line| line.trim().strip_prefix("XDG_DOWNLOAD_DIR="))?;
    let value = line.trim_matches('"');
    match value.strip_prefix("$HOME") {
        Some(rest) => Some(home.join(rest.trim_start_matches('/'))),
        None if value.starts_with('/') => Some(PathBuf::from(value)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_export_gets_a_folder_of_its_own() {
        let downloads = tempfile::tempdir().unwrap();
        let first = NewFolder::within(downloads.path(), "../Kuusamo cabin").unwrap();
        assert_eq!(first.path.parent(), Some(downloads.path()));
        let first = first.keep();
        let second = NewFolder::within(downloads.path(), "../Kuusamo cabin").unwrap();
        assert_ne!(first, second.path);
        assert!(first.exists());
    }

    #[test]
    fn an_export_that_fails_leaves_nothing() {
        let downloads = tempfile::tempdir().unwrap();
        let folder = NewFolder::within(downloads.path(), "Noor").unwrap();
        fs::write(folder.path.join("conversation.json"), "{").unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(downloads.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_folder_for_downloads_is_the_one_that_the_person_chose() {
        let home = Path::new("/home/mira");
        let named = |line: &str| chosen(line, home);
        assert_eq!(
            named("# a comment\nXDG_DOWNLOAD_DIR=\"$HOME/Hämtat\"\n"),
            Some(home.join("Hämtat"))
        );
        assert_eq!(named("XDG_DOWNLOAD_DIR=\"/data\""), Some("/data".into()));
        assert_eq!(named("XDG_DOWNLOAD_DIR=\"data\""), None);
        assert_eq!(named("XDG_MUSIC_DIR=\"$HOME/Music\""), None);
    }
}
