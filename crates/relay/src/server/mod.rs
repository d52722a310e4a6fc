//! How the relay is reached: TLS, HTTP, links, metrics.
//!
//! **Elsewhere**: what the relay decides is in its core; where it keeps things is in
//! the store.
//!
//! **Always**: everything from the network is bounded in size, number and time.

mod http;
mod metrics;
mod outgoing;
mod sources;
mod tls;
mod websocket;

use std::io;
use std::net::SocketAddr;

/// Why a relay cannot be started, or had to stop. The sentences are for operators.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The identity.
    #[error(transparent)]
    Identity(#[from] crate::identity::IdentityError),
    /// Mail.
    #[error(transparent)]
    Mail(#[from] crate::mail::MailError),
    /// A listener.
    #[error("cannot listen on {address}: {source}. {advice}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
        /// What to do about it.
        advice: &'static str,
    },
}
