//! What the tables of other rooms do when somebody acts: two conversations are merged, or a
//! message is deleted.
//!
//! A table has one owner, and nobody else's SQL names it. So a room that acts calls every table
//! that may have something to do, without knowing any of them: their owners implement
//! [`Table`], a hook, beside the SQL, and [`crate::engine`] lists them in one order.
//!
//! **Always**: all tables change in the transaction of the event that made it necessary.

use rusqlite::Transaction;

use crate::{
    api::{ConversationId, MessageId},
    store::StoreError,
    turn::{Fault, Turn},
};

/// A table of the store, or several of one owner. Each method says that something happened; a
/// table that it does not concern does nothing.
pub(crate) trait Table: Sync {
    /// Two conversations turned out to be one: what is kept of `from` belongs to `into` now.
    fn merge_conversations(
        &self,
        _tx: &Transaction<'_>,
        _from: ConversationId,
        _into: ConversationId,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// A message says nothing any more: everything that it brought is deleted, though its place
    /// in the history stays.
    fn erase_content(
        &self,
        _turn: &mut Turn<'_>,
        _conversation: ConversationId,
        _message: MessageId,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// A message is no longer in the history: nothing that concerned it stays.
    fn delete_message(
        &self,
        turn: &mut Turn<'_>,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), Fault> {
        self.erase_content(turn, conversation, message)
    }

    /// More of a message's files has been uploaded or fetched, or one of them was lost.
    fn handle_files_changed(
        &self,
        _turn: &mut Turn<'_>,
        _conversation: ConversationId,
        _message: MessageId,
    ) -> Result<(), Fault> {
        Ok(())
    }
}

impl Turn<'_> {
    /// A message was taken back, or another takes its place.
    pub(crate) fn erase_content(
        &mut self,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), Fault> {
        for table in self.hooks.of::<dyn Table>() {
            table.erase_content(self, conversation, message)?;
        }
        Ok(())
    }

    /// A message was removed from the history.
    pub(crate) fn delete_message(
        &mut self,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), Fault> {
        for table in self.hooks.of::<dyn Table>() {
            table.delete_message(self, conversation, message)?;
        }
        Ok(())
    }

    /// Something has changed about a message's files.
    pub(crate) fn handle_files_changed(
        &mut self,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), Fault> {
        for table in self.hooks.of::<dyn Table>() {
            table.handle_files_changed(self, conversation, message)?;
        }
        Ok(())
    }
}
