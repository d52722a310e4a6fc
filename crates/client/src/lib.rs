//! The Waxwing engine driven by a real network and clock.
//!
//! **Elsewhere.** What a person's data means is `engine`; commands and what people see
//! of them are the `waxwing` binary's.
//!
//! **Always.** One process at a time drives the engine of a home; everyone else asks it.

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
