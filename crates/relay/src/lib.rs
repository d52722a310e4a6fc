//! The Waxwing relay: verifies addresses, holds ciphertext, hands it over once.
//!
//! What it decides is [`relay::Relay`], a state machine without sockets, clock,
//! threads or randomness of its own: links open, frames come in, effects go out.
//! Its parts are [`address`] (proving one), [`directory`] (accounts, devices, key
//! packages, tokens), [`group`] (who may post, in which order), [`mailbox`] (what waits
//! for whom), [`rendezvous`] (two links that meet) and [`backup`] (what an account keeps
//! here).
//!
//! **Elsewhere.** How it is reached, and the loop that drives it, is in [`server`];
//! where it keeps things is [`store`]; what it speaks is `waxwing_protocol`.
//!
//! **Always.** Acknowledged means durable. A refused request changes nothing.
//! Nothing from a link can panic the relay, or make it allocate or loop without
//! bound.

pub mod address;
pub mod backup;
mod blob;
mod config;
mod damage;
pub mod data_dir;
pub mod directory;
mod dispatch;
pub mod group;
pub mod identity;
mod link;
pub mod mail;
pub mod mailbox;
mod posts;
pub mod rate;
pub mod relay;
pub mod rendezvous;
pub mod server;
pub mod sms;
pub mod store;
mod sweep;
mod view;
