//! What happens to a message after it was written: reactions, edits, unsending, who has
//! received it, and when it disappears.
//!
//! **Elsewhere**: the messages themselves are entries of [`crate::conversation::history`];
//! [`crate::content`] encodes them; [`crate::outbox::receipts`] has the receipts that this
//! account owes others.
//!
//! **Always**: the order of arrival does not matter: all devices end in the same state. Nobody
//! changes another person's message.

pub(crate) mod again;
pub(crate) mod amending;
pub(crate) mod amendments;
pub(crate) mod archived;
pub(crate) mod attachments;
pub(crate) mod commands;
pub(crate) mod content_hook;
pub(crate) mod deleted;
pub(crate) mod deleting;
pub(crate) mod expiry;
pub(crate) mod formatting;
pub(crate) mod forwarded;
pub(crate) mod hooks;
pub(crate) mod identity_events;
pub(crate) mod info;
pub(crate) mod link_preview;
pub(crate) mod poll;
pub(crate) mod proof;
pub(crate) mod reaction;
pub(crate) mod read_marks;
pub(crate) mod receipts;
pub(crate) mod report;
pub(crate) mod scheduled;
pub(crate) mod sending;
pub(crate) mod text_details;
pub(crate) mod typing;
pub(crate) mod view_once;
