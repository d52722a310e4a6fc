//! Reads a history with what other rooms add to its messages: files, what is known of a text
//! message.
//!
//! **Elsewhere**: [`super::pages`] reads pages, [`super::search`] finds words; what each room
//! adds is in its [`MessageHook`].

use rusqlite::Transaction;

use crate::{api::Message, hooks::Hooks, store::StoreError, turn::Turn};

/// What a room has of messages besides the history.
pub(crate) trait MessageHook: Sync {
    /// A message is about to be shown: adds what this room has of it.
    fn complete(&self, _tx: &Transaction<'_>, _message: &mut Message) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What a history is read with.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub tx: &'a Transaction<'a>,
    pub hooks: &'a Hooks,
}

impl<'a> Turn<'a> {
    /// Reads histories.
    pub(crate) const fn reader(&self) -> Reader<'a> {
        Reader {
            tx: self.tx,
            hooks: self.hooks,
        }
    }
}
