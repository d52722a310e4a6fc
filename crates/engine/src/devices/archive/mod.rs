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
//! **Elsewhere**: the messages are `waxwing/v1/archive.proto`; sealing is the callers'.
//!
//! **Always**: exporting reads a few rows at a time. Importing the same again, or the
//! archive of another device, changes nothing that is there: a message is there once,
//! and states only rise.

mod contacts;
mod export;
mod import;

#[cfg(test)]
mod tests;

pub(crate) use export::{Reach, export};
pub(crate) use import::{NotImported, import};

/// `archive_conversation` says where the entries of another device's conversations go;
/// it lasts as long as an import.
pub(crate) const SCHEMA: &str = "
CREATE TABLE archive_conversation (
    source BLOB PRIMARY KEY,
    local BLOB NOT NULL
) WITHOUT ROWID;
";

/// Records of one chunk have so many bytes, or there is one record.
pub(crate) const CHUNK_BYTES: usize = 60 << 10;

/// Bytes of the largest record there is, so that it fits a message at a rendezvous.
const RECORD_BYTES: usize = 200 << 10;

/// Always 1.
const VERSION: u32 = 1;

/// What comes in which order.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Section {
    Settings = 0,
    Devices = 1,
    Contacts = 2,
    Conversations = 3,
    Groups = 4,
    Entries = 5,
    Amendments = 6,
    Registers = 7,
}

impl Section {
    const fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Settings,
            1 => Self::Devices,
            2 => Self::Contacts,
            3 => Self::Conversations,
            4 => Self::Groups,
            5 => Self::Entries,
            6 => Self::Amendments,
            7 => Self::Registers,
            _ => return None,
        })
    }
}
