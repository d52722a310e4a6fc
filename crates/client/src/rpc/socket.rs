//! RPC over the Unix socket in the home.
//!
//! **Elsewhere.** Only the holder of [`crate::home::HomeLock`] may bind it.
//!
//! **Always.** Only its owner can connect: the folder is 0700, the socket 0600. It is removed at
//! the end; a socket that a killed process left behind is replaced.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
};

use super::{
    CONNECTIONS, Service,
    connection::{Handover, serve},
};

/// `sun_path` has 108 bytes on Linux and 104 elsewhere, the final zero included.
const PATH_BYTES: usize = 100;

/// Runs `with` with a path for the socket that the system takes: the socket's own, or,
/// where that is too long, one through a handle of its folder.
fn with_short_path<T>(path: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= PATH_BYTES {
        return with(path);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return with(path);
    };
    let folder = fs::File::open(folder)?;
    let handle = std::os::fd::AsRawFd::as_raw_fd(&folder);
    with(
        &Path::new("/proc/self/fd")
            .join(handle.to_string())
            .join(name),
    )
}

/// Connects to the process that serves the socket.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let stream = with_short_path(path, |short| std::os::unix::net::UnixStream::connect(short))?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Answers callers until `stop` is dropped or told, then for a moment those who are
/// still connected.
pub struct Server {
    listener: UnixListener,
    path: std::path::PathBuf,
}

impl Server {
    /// Binds the socket. Hold the home's lock: what is at the path is replaced.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = with_short_path(path, |short| {
            let listener = std::os::unix::net::UnixListener::bind(short)?;
            fs::set_permissions(short, fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        })?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            path: path.to_owned(),
        })
    }

    /// Serves until the service is closing and the last caller has gone.
    pub async fn run(self, service: Service) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut callers = JoinSet::new();
        let mut closing = service.closing();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = closing.wait_for(|closing| *closing) => break,
                Some(_) = callers.join_next() => continue,
            };
            let Ok((stream, _)) = accepted else {
                // No file handles left, for instance; those who leave give some back.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            // A caller too many waits in vain for a greeting and comes again.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                continue;
            };
            let mut service = service.clone();
            callers.spawn(async move {
                let (reader, writer) = stream.into_split();
                // A caller that breaks off has only itself to tell.
                let _ = serve(reader, writer, &mut service, Handover::Announced).await;
                drop(place);
            });
        }
        let _ = fs::remove_file(&self.path);
        drop(self.listener);
        while callers.join_next().await.is_some() {}
    }
}
