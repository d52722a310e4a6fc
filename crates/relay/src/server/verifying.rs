//! The threads that verify what requests depend on, while nobody holds the core's lock.
//!
//! **Elsewhere**: [`crate::verification`] does the verifying; the link that waits for it is in
//! [`super::core_driver`].
//!
//! **Always**: a link has one request here at a time, and sources take turns, so that a source
//! that makes the relay verify much only delays itself. What waits is bounded in bytes. The
//! threads that read and write sockets never verify.

use std::io;
use std::net::IpAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::fair_queue::FairQueue;
use crate::store::Store;
use crate::verification::{Verification, Verified};

/// Threads, at most.
const THREADS: usize = 8;
/// How far the threads' priority is below the others': they get a third of a processor that both
/// want, and all of it otherwise.
#[cfg(target_os = "linux")]
const BEHIND: i32 = 5;
/// Bytes of requests that wait, of one source and in all. A login has 4 KiB.
const BYTES_OF_ONE: usize = 8 << 20;
const BYTES: usize = 64 << 20;

/// A request that waits, and who waits for it.
struct Request<S> {
    verification: Verification<S>,
    done: oneshot::Sender<Verified>,
}

/// Requests that wait to be verified.
pub(super) struct Verifying<S> {
    requests: FairQueue<Request<S>>,
}

impl<S> Default for Verifying<S> {
    fn default() -> Self {
        Self {
            requests: FairQueue::new(BYTES_OF_ONE, BYTES),
        }
    }
}

impl<S: Store> Verifying<S> {
    /// Starts the threads: as many as there are processors.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<Vec<JoinHandle<()>>> {
        (0..processors().min(THREADS))
            .map(|_| {
                let this = Arc::clone(self);
                spawn_behind("waxwing-verify", move || this.verify_for_ever())
            })
            .collect()
    }

    fn verify_for_ever(&self) {
        while let Some(Request { verification, done }) = self.requests.next() {
            // Nobody waits any more: the link is gone.
            if !done.is_closed() {
                let _ = done.send(verification.run());
            }
        }
    }

    /// Verifies, or refuses where too much waits; `None` where the relay is ending.
    pub(super) async fn verify(
        &self,
        source: IpAddr,
        verification: Verification<S>,
    ) -> Option<Verified> {
        let (done, verified) = oneshot::channel();
        let bytes = verification.bytes();
        let request = Request { verification, done };
        match self.requests.push(source, bytes, request) {
            Ok(()) => verified.await.ok(),
            Err(request) => Some(request.verification.refused()),
        }
    }

    /// No more is taken; what waits is still verified.
    pub(super) fn end(&self) {
        self.requests.end();
    }
}

/// How many processors there are.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Starts a thread for work that anybody can cause. Where processors are short, the threads that
/// read and write sockets go before it.
pub(super) fn spawn_behind(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(move || {
        step_back();
        work();
    })
}

/// On Linux, a thread has a priority of its own.
#[cfg(target_os = "linux")]
fn step_back() {
    // Where it is not allowed, all have the same priority.
    let _ = rustix::process::setpriority_process(None, BEHIND);
}

#[cfg(not(target_os = "linux"))]
fn step_back() {}
