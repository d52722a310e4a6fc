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
    content::Content,
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

    /// A message has come back with an archive: what its content brings is kept again.
    fn restore_content(
        &self,
        _tx: &Transaction<'_>,
        _conversation: ConversationId,
        _message: MessageId,
        _content: &Content,
    ) -> Result<(), StoreError> {
        Ok(())
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

/// The rows of a table that belong to the conversation `from` belong to `into` now, as far as it
/// has no such row already.
pub(crate) fn merge_rows(
    tx: &Transaction<'_>,
    table: &'static str,
    from: ConversationId,
    into: ConversationId,
) -> Result<(), StoreError> {
    tx.execute(
        &format!("UPDATE OR IGNORE {table} SET conversation = ?2 WHERE conversation = ?1"),
        (from.as_bytes(), into.as_bytes()),
    )?;
    tx.execute(
        &format!("DELETE FROM {table} WHERE conversation = ?1"),
        [from.as_bytes()],
    )?;
    Ok(())
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

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;

    use super::*;
    use crate::{
        conversation::{groups, lost_groups},
        engine::TABLES,
        store::Store,
    };

    const FROM: ConversationId = ConversationId::from_bytes([1; 16]);
    const INTO: ConversationId = ConversationId::from_bytes([2; 16]);

    /// The tables whose rows belong to a conversation.
    fn of_conversations(tx: &Transaction<'_>) -> Vec<String> {
        let sql = "SELECT t.name FROM sqlite_master t, pragma_table_info(t.name) c
                   WHERE t.type = 'table' AND c.name = 'conversation' ORDER BY t.name";
        let mut statement = tx.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    /// Adds a row of a conversation, with something in each column that must have it.
    fn add_row(tx: &Transaction<'_>, table: &str) {
        let sql = "SELECT name, type FROM pragma_table_info(?1)
                   WHERE name = 'conversation' OR (\"notnull\" OR pk) AND dflt_value IS NULL";
        let mut statement = tx.prepare(sql).unwrap();
        let columns = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)));
        let columns: Vec<(String, String)> = columns.unwrap().collect::<Result<_, _>>().unwrap();
        let values = columns
            .iter()
            .map(|(name, kind)| match (name.as_str(), kind.as_str()) {
                ("conversation", _) => Value::Blob(FROM.as_bytes().to_vec()),
                (_, "TEXT") => Value::Text(table.to_owned()),
                (_, "BLOB") => Value::Blob(vec![7; 16]),
                _ => Value::Integer(7),
            });
        let values: Vec<Value> = values.collect();
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let places = vec!["?"; names.len()].join(", ");
        let sql = format!(
            "INSERT INTO {table} ({}) VALUES ({places})",
            names.join(", ")
        );
        tx.execute(&sql, rusqlite::params_from_iter(values))
            .unwrap();
    }

    #[test]
    fn a_merged_conversation_is_forgotten_by_every_table() {
        let mut store = Store::open_in_memory().unwrap();
        let left = store.transaction(|tx| {
            tx.execute_batch("PRAGMA defer_foreign_keys = ON")?;
            let tables = of_conversations(tx);
            for table in &tables {
                add_row(tx, table);
            }
            for table in TABLES {
                table.merge_conversations(tx, FROM, INTO)?;
            }
            groups::merge_conversations(tx, FROM, INTO)?;
            lost_groups::merge_conversations(tx, FROM, INTO)?;
            let mut left = Vec::new();
            for table in tables {
                let sql = format!("SELECT 1 FROM {table} WHERE conversation = ?1");
                if tx.prepare(&sql)?.exists([FROM.as_bytes()])? {
                    left.push(table.clone());
                }
                // No row may point at a conversation that is not there.
                tx.execute(&format!("DELETE FROM {table}"), [])?;
            }
            Ok::<_, StoreError>(left)
        });
        // These belong to groups and to phones, whose conversations are never merged.
        let of_others = [
            "asking",
            "blamed_device",
            "group_break",
            "invitation",
            "joining",
            "member",
            "next_generation",
            "sms_message",
            "sms_outgoing",
            "sms_part",
            "unfollowed_group",
            "wish",
        ];
        assert_eq!(left.unwrap(), of_others);
    }
}
