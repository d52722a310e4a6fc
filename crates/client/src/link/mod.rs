//! A link: one WebSocket over TLS 1.3 to a relay, and keeping it open.
//!
//! [`connect`] opens a link; [`keep_open()`] opens it again whenever it breaks.
//!
//! [`http`] asks a relay for what it tells everybody.
//!
//! **Elsewhere.** The engine decides what is sent on a link and whether it should be open;
//! [`crate::driver`] knows which link an event belongs to.
//!
//! **Always.** Each link has its own TLS configuration and session. Everything has a time
//! limit. Bytes are bounded before they are decoded, and the log says only that links open and
//! close.

pub mod backoff;
pub mod http;
mod keep_open;
mod relay;
mod socket;
mod tls;

pub use keep_open::{LinkEvent, Outbound, keep_open};
pub use relay::{DEFAULT_PORT, Pin, PinMalformed, RelayUrl, RelayUrlMalformed};
pub(crate) use socket::circuit;
pub use socket::{ConnectError, Link, LinkInfo, connect};
pub use tls::IdentityRefused;
pub use waxwing_dial::{Route, RouteMalformed};
