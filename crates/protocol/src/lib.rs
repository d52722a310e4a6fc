//! What Waxwing's clients and relays send each other.
//!
//! This crate has the messages (`proto/`, compiled into [`pb`]), their limits, the typed ids,
//! addresses, and the signed and sealed structures that both sides, or two clients, must build
//! and check in the same way.
//!
//! **Elsewhere.** What a client does with a message is in `engine`; what the relay does is in
//! `relay`; sockets are in `client` and `relay::server`.
//!
//! **Always.** No I/O, clock, threads or randomness of its own. Bytes from outside are bounded
//! before they are decoded, and nothing here panics on them.

pub mod address;
pub mod blob;
mod closed;
pub mod conversation;
pub mod frame;
pub mod ids;
pub mod limits;
pub mod padding;
pub mod posting;
pub mod resent;
pub mod roster;
pub mod sealing;
pub mod signature;
pub mod sms;
pub mod time;
pub mod token;

/// The wire messages as prost makes them from `proto/waxwing/v1`.
#[allow(missing_docs, clippy::pedantic)]
pub mod pb {
    include!(concat!(env!("OUT_DIR"), "/waxwing.v1.rs"));
}

/// The protocol versions that this build speaks, newest first.
pub const VERSIONS: &[u32] = &[1];

/// The label of the TLS exporter (RFC 8446 section 7.5) that binds signatures to a
/// link; 32 bytes, no context.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-waxwing-link";

/// What a link's TLS exporter gave: the same on both ends of one TLS connection and
/// on no other.
pub type Exporter = [u8; 32];
