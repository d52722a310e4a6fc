//! The Waxwing client without I/O.
//!
//! Events go in ([`Engine::handle`]), effects come out ([`Engine::poll_effect`]);
//! time and randomness are handed in, and all that must outlast the process is in
//! one encrypted store. So a hostile relay, a lost message, a crash at any point
//! and a week of silence are ordinary tests.
//!
//! **Elsewhere**: the network and the clock are `waxwing-client`'s; the wire
//! messages, limits and ids are `waxwing-protocol`'s.
//!
//! **Always**: one event is one store transaction; effects leave after it is
//! committed; a refused event changes nothing. No clock, thread, socket or
//! generator of its own, so that it runs in a browser too.

pub mod account;
pub mod api;
mod attachment;
mod clock;
mod commands;
mod contact;
mod containment;
pub mod content;
mod conversation;
mod devices;
mod engine;
mod event;
mod inbox;
mod link;
mod memory;
mod message;
pub mod mls;
mod outbox;
pub mod parsers;
mod queries;
mod registers;
mod settings;
mod sms;
pub mod store;
mod trust;
mod turn;

pub use engine::{Config, Engine, EventRefused, store_problem};
pub use event::{BlobDone, BlobWork, Effect, Event, LinkKind, RelayPlace};
