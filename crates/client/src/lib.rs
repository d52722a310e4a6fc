//! Runs the Waxwing engine with a real network and clock.
//!
//! **Elsewhere.** What a person's data means is decided in `engine`; the commands and their
//! output are in the `waxwing` program.
//!
//! **Always.** One process at a time drives the engine of a home; all others ask that process.

pub mod blobs;
pub mod doctor;

mod driver;
pub mod export;
pub mod home;
pub mod link;
pub mod link_preview;
pub mod rpc;
mod session;

pub use driver::{Client, Health, now};
pub use session::Session;
