//! What people see of engines and a relay in one simulated world, whatever goes wrong.
//!
//! One program, because each one links all that is in the engine and the relay.
//!
//! **Elsewhere**: the world, its people and its relays are in `src/`.
//!
//! **Always**: no clock, no sleep; all chance comes from a seed.

#![cfg(test)]
#![allow(clippy::string_slice, reason = "a test fails loudly where it stands")]

mod amending;
mod attachments;
mod attacker_simulation;
mod attacks;
mod devices;
mod dishonest;
mod faults;
mod full_disk;
mod full_mailbox;
mod group_simulation;
mod groups;
mod idle;
mod isolation;
mod message_simulation;
mod polls;
mod rekeying;
mod reports;
mod secrets;
mod sending_again;
mod strangers;
mod texts;
mod trust;
mod two_people;
