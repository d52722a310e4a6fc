//! The Waxwing relay: it verifies addresses, stores ciphertext, and delivers each post once.
//!
//! All decisions are in [`relay::Relay`], a state machine without sockets, clock, threads or
//! randomness of its own: links open, frames come in, effects go out. It is the composition of
//! its features: [`address`] (proving an address), [`directory`] (accounts, devices, key
//! packages, tokens), [`group`] (who may post, and in which order), [`mailbox`] (what waits for
//! each device), [`rendezvous`] (two links that meet), [`backup`] (an account's backup),
//! [`texts`] (to and from phones) and blobs.
//!
//! **Elsewhere.** Connections, and the loop that drives the state machine, are in [`server`];
//! storage is in [`store`]; the protocol is `waxwing_protocol`.
//!
//! **Always.** What the relay acknowledged is on disk. A refused request changes nothing.
//! Nothing that arrives on a link can make the relay panic, or allocate or loop without bound.

pub mod address;
mod answer;
pub mod backup;
mod batch;
mod blob;
mod checker;
mod chores;
pub mod clock;
mod config;
mod context;
mod cost;
mod counts;
mod damage;
pub mod data_dir;
pub mod directory;
mod dispatch;
mod effect;
mod feature;
pub mod group;
pub mod identity;
mod least_recently_used;
mod link;
pub mod mail;
pub mod mailbox;
mod own_ids;
mod pending_view;
mod quota;
pub mod rate_limit;
pub mod relay;
pub mod rendezvous;
mod reservation;
pub mod server;
pub mod sms;
pub mod store;
mod sweep;
pub mod texts;
pub mod verification;
