//! What becomes of a message after it was written: reactions, edits, taking it back, who
//! has it, when it disappears.
//!
//! **Elsewhere**: the messages themselves are entries of [`crate::conversation::history`];
//! what is said in bytes is [`crate::content`]'s; receipts that this account owes others
//! are [`crate::outbox::receipts`]'s.
//!
//! **Always**: the order in which things come does not matter: all devices end with the
//! same. Nobody changes another's message.

pub(crate) mod amendments;
pub(crate) mod commands;
pub(crate) mod expiry;
pub(crate) mod info;
pub(crate) mod link_preview;
pub(crate) mod proof;
pub(crate) mod receipts;
pub(crate) mod report;
pub(crate) mod typing;
