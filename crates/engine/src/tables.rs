//! What the tables of other rooms do when somebody acts: two conversations are merged, a message
//! is deleted, the archive is made or read.
//!
//! A table has one owner, and nobody else's SQL names it. So a room that acts calls every table
//! that may have something to do, without knowing any of them: their owners implement
//! [`Table`], a hook, beside the SQL, and [`crate::engine`] lists them in one order.
//!
//! **Always**: all tables change in the transaction of the event that made it necessary.

use rusqlite::Transaction;

use crate::{
    api::{ConversationId, MessageId},
    archive::{ArchiveSection, Section},
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

    /// What of it goes into the archive.
    fn archived(&self) -> Option<&dyn ArchiveSection> {
        None
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

/// The tables, in the order in which they act.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'h>(pub &'h [&'static dyn Table]);

impl Tables<'_> {
    /// The sections of the archive.
    pub(crate) fn sections(self) -> impl Iterator<Item = &'static dyn ArchiveSection> {
        self.0.iter().filter_map(|table| table.archived())
    }

    /// One section of the archive.
    pub(crate) fn section(self, section: Section) -> Option<&'static dyn ArchiveSection> {
        self.sections().find(|one| one.section() == section)
    }

    /// The newest entry of the history.
    pub(crate) fn newest_entry(self, tx: &Transaction<'_>) -> Result<i64, StoreError> {
        let newest = match self.section(Section::Entries) {
            Some(entries) => entries.newest(tx)?,
            None => None,
        };
        Ok(newest.unwrap_or(0))
    }
}

impl<'a> Turn<'a> {
    /// All tables.
    pub(crate) fn tables(&self) -> Tables<'a> {
        Tables(self.hooks.of::<dyn Table>())
    }

    /// A message was taken back, or another takes its place.
    pub(crate) fn erase_content(
        &mut self,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), Fault> {
        for table in self.tables().0 {
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
        for table in self.tables().0 {
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
        for table in self.tables().0 {
            table.handle_files_changed(self, conversation, message)?;
        }
        Ok(())
    }
}
