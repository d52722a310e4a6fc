//! The program, run as people and other programs run it.
//!
//! **Elsewhere**: processes, homes and the relay are in `world/`.

#![cfg(test)]
#![allow(
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a test fails loudly where it stands"
)]

mod addresses;
mod auditing;
mod conversation;
mod devices;
mod examples;
mod one_home;
mod outcomes;
mod reaching;
mod secrets;
mod several;
mod sms;
mod transcripts;
mod world;
