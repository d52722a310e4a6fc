//! What the person chose for the page: colours, language, the width of the list.
//!
//! It lies in the home, because the page's address, and so all that a browser keeps for it, changes
//! with every start.
//!
//! **Always.** It is an object of JSON, and small. Nothing secret is in it.

use std::{fs, io, path::Path};

use serde_json::{Map, Value};

/// Bytes, at most.
pub(crate) const BYTES: usize = 64 << 10;
const FILE: &str = "app.json";

/// What is kept; nothing where that is unreadable.
pub(crate) fn read(home: &Path) -> Map<String, Value> {
    let content = fs::read(home.join(FILE)).unwrap_or_default();
    serde_json::from_slice(&content).unwrap_or_default()
}

/// Replaces what is kept, in one step.
pub(crate) fn keep(home: &Path, preferences: &Map<String, Value>) -> io::Result<()> {
    // Temporary files are their owner's only.
    let mut file = tempfile::NamedTempFile::new_in(home)?;
    serde_json::to_writer(&mut file, preferences)?;
    file.persist(home.join(FILE))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_what_is_broken_is_nothing() {
        let home = tempfile::tempdir().unwrap();
        assert!(read(home.path()).is_empty());
        let chosen = Map::from_iter([("theme".to_owned(), Value::from("dark"))]);
        keep(home.path(), &chosen).unwrap();
        assert_eq!(read(home.path()), chosen);
        fs::write(home.path().join(FILE), "[1]").unwrap();
        assert!(read(home.path()).is_empty());
    }
}
