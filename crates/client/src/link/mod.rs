//! A link: one WebSocket over TLS 1.3 to a relay, and keeping it open.
//!
//! [`connect`] opens one; [`keep_open()`] opens it again and again.
//!
//! Beside it, [`http`] asks a relay for what it tells anybody.
//!
//! **Elsewhere.** What is said on a link, and whether it should be open, is the
//! engine's; which link an event belongs to is [`crate::driver`]'s.
//!
//! **Always.** Each link has a TLS configuration and session of its own. Everything has
//! a time limit. What comes is bounded before it is decoded, and nothing is logged but
//! that links open and close.

pub mod backoff;
pub mod http;
mod keep_open;
mod relay;
mod socket;
mod tls;

pub use keep_open::{LinkEvent, Outbound, keep_open};
pub use relay::{DEFAULT_PORT, Pin, PinMalformed, RelayUrl, RelayUrlMalformed};
pub use socket::{ConnectError, Link, LinkInfo, connect};
pub use tls::IdentityRefused;
