//! The archive: what a device knows besides its own keys.
//!
//! It goes to a new device ([`super::transfer`]) and into backups ([`super::backup`]): a
//! stream of chunks of about 64 KiB, in an order in which each can be stored when it
//! comes (settings, names of devices, contacts, conversations, groups, entries, what was said of them). A chunk
//! carries the cursor for the next, so that who exports remembers nothing between two,
//! and who imports goes on after a restart where it was.
//!
//! In it: contacts with the rosters that are known of them, conversations, what a group
//! is rejoined with, messages with their content and states, events, gaps. Not in it:
//! private keys, MLS states, key packages, tokens, the outbox.
//!
//! **Elsewhere**: what each table gives, and how it keeps what comes, stands beside the table
//! ([`crate::archive::ArchiveSection`]); the messages are `waxwing/v1/archive.proto`; sealing is
//! the callers'.
//!
//! **Always**: exporting reads a few rows at a time. Importing the same again, or the
//! archive of another device, changes nothing that is there: a message is there once,
//! and states only rise.

mod export;
mod import;
pub(crate) mod settings;

#[cfg(test)]
mod tests;

pub(crate) use export::{Reach, export};
pub(crate) use import::import;

pub(crate) use crate::archive::NotImported;

/// Records of one chunk have so many bytes, or there is one record.
pub(crate) const CHUNK_BYTES: usize = 60 << 10;

/// Bytes of the largest record there is, so that it fits a message at a rendezvous.
const RECORD_BYTES: usize = 200 << 10;

/// Always 1.
const VERSION: u32 = 1;
