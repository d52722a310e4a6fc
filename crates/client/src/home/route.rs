//! The proxy that a home remembers, in its file `proxy`.
//!
//! It is a file and not in the store, so that it also holds where the store is not opened: for
//! `waxwing audit follow`, for instance.
//!
//! **Elsewhere.** [`waxwing_dial::proxy`] connects.
//!
//! **Always.** A file that cannot be read or understood is an error, and never a direct connection.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use waxwing_dial::Route;
use waxwing_engine::api::Problem;
use zeroize::Zeroizing;

use super::{Home, unwritable};

/// The name of the file in a home.
const FILE: &str = "proxy";

/// The route that the home in this folder remembers, if it remembers one.
pub fn remembered_route(home: &Path) -> Result<Option<Route>, Problem> {
    let text = match fs::read_to_string(home.join(FILE)) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(Problem::ProxyMalformed);
        }
        Err(error) => return Err(unwritable(home, &error)),
    };
    text.parse().map(Some).map_err(|_| Problem::ProxyMalformed)
}

impl Home {
    /// How connections are made for this home: as it remembers, or else directly.
    pub fn route(&self) -> Result<Route, Problem> {
        Ok(remembered_route(self.path())?.unwrap_or_default())
    }

    /// Remembers a route, given as `none` or as the URL of a proxy; gives it back.
    pub fn remember_route(&self, text: &str) -> Result<Route, Problem> {
        let route = text.parse().map_err(|_| Problem::ProxyMalformed)?;
        self.write_route(text.trim())
            .map_err(|error| self.unwritable(&error))?;
        Ok(route)
    }

    fn write_route(&self, text: &str) -> io::Result<()> {
        // Readable by its owner only, and whole or not at all.
        let mut file = tempfile::NamedTempFile::new_in(self.path())?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(self.path().join(FILE))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_route_is_remembered_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(&folder.path().join("home")).unwrap();
        assert!(home.route().unwrap() == Route::Direct);
        assert!(remembered_route(home.path()).unwrap().is_none());
        let url = "socks5://alice:secret@127.0.0.1:9050";
        let route = home.remember_route(&format!(" {url}\n")).unwrap();
        assert!(route == url.parse().unwrap());
        assert!(home.route().unwrap() == route);
        let mode = home.path().join(FILE).metadata().unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        home.remember_route("none").unwrap();
        assert!(remembered_route(home.path()).unwrap() == Some(Route::Direct));
    }

    #[test]
    fn a_file_that_is_not_understood_never_means_a_direct_connection() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(&folder.path().join("home")).unwrap();
        for bytes in [b"".as_slice(), b"http://proxy:3128", b"\xff", b"socks5://"] {
            fs::write(home.path().join(FILE), bytes).unwrap();
            assert!(home.route().unwrap_err() == Problem::ProxyMalformed);
        }
        // What is wrong is never written.
        assert!(home.remember_route("http://proxy:3128").is_err());
        fs::remove_file(home.path().join(FILE)).unwrap();
        assert!(home.route().unwrap() == Route::Direct);
    }
}
