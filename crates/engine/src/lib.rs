//! The Waxwing client without I/O.
//!
//! Events go in ([`Engine::handle`]) and effects come out ([`Engine::poll_effect`]). The
//! caller provides time and randomness, and everything that must outlive the process is in one
//! encrypted store. A hostile relay, a lost message, a crash at any point or a week of silence
//! can therefore be an ordinary test.
//!
//! **Elsewhere**: the network and the clock are in `waxwing-client`; wire messages, limits and
//! ids are in `waxwing-protocol`.
//!
//! **Always**: one event is one store transaction; effects leave after it is committed; a
//! refused event changes nothing. The engine has no clock, thread, socket or random generator
//! of its own, so it also runs in a browser.

pub mod account;
mod archive;
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
mod folding;
mod hooks;
mod inbox;
mod link;
mod memory;
mod message;
mod migrations;
pub mod mls;
mod outbox;
pub mod parsers;
mod pump;
mod queries;
mod routing;
mod settings;
mod sms;
pub mod store;
mod synced_settings;
mod tables;
mod trust;
mod turn;
mod warnings;

pub use waxwing_api as api;

pub use engine::{Config, Engine, EventRefused, store_problem};
pub use event::{BlobDone, BlobWork, Effect, Event, LinkKind, RelayPlace};
