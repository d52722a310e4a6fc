//! The archive's sections: what each table gives to the archive, and keeps of one that comes.
//!
//! **Elsewhere**: [`crate::devices::archive`] makes the archive of all sections, chunk by
//! chunk, and reads it. [`crate::tables`] lists the tables.
//!
//! **Always**: importing the same again, or the archive of another device, changes nothing that
//! is there: a record is there once, and states only rise.

use rusqlite::{OptionalExtension as _, Transaction, types::Value};
use waxwing_protocol::{pb::archive_record::Record, time::Time};

use crate::{api::ConversationId, store::StoreError, tables::Tables};

/// `archive_conversation` says where the entries of another device's conversations go;
/// it lasts as long as an import.
pub(crate) const SCHEMA: &str = "
CREATE TABLE archive_conversation (
    source BLOB PRIMARY KEY,
    local BLOB NOT NULL
) WITHOUT ROWID;
";

/// What comes in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Section {
    Settings = 0,
    Devices = 1,
    Contacts = 2,
    Conversations = 3,
    Groups = 4,
    Entries = 5,
    Amendments = 6,
    SyncedSettings = 7,
}

impl Section {
    /// All of them, in their order.
    pub(crate) const ALL: [Self; 8] = [
        Self::Settings,
        Self::Devices,
        Self::Contacts,
        Self::Conversations,
        Self::Groups,
        Self::Entries,
        Self::Amendments,
        Self::SyncedSettings,
    ];

    /// The section with this number.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|section| *section as u32 == number)
    }

    /// The section that a record belongs to; `None` for what says who made the archive.
    pub(crate) const fn of_record(record: &Record) -> Option<Self> {
        Some(match record {
            Record::Settings(_) => Self::Settings,
            Record::Device(_) => Self::Devices,
            Record::Contact(_) | Record::Statements(_) => Self::Contacts,
            Record::Conversation(_) => Self::Conversations,
            Record::Group(_) => Self::Groups,
            Record::Entry(_) => Self::Entries,
            Record::Amendment(_) => Self::Amendments,
            Record::Register(_) => Self::SyncedSettings,
            Record::Origin(_) => return None,
        })
    }
}

/// A place in a section: everything before it is in the archive already.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The key of the last record; empty at the beginning.
    pub id: &'a [u8],
    /// A number that belongs to the key, as the section says.
    pub row: i64,
    /// The last row that goes into the archive, where rows are numbered as they come.
    pub last_row: i64,
}

/// A record, and where the section goes on behind it.
pub(crate) struct Archived {
    pub record: Record,
    pub id: Vec<u8>,
    pub row: i64,
    /// The row at which the rest of this record follows, if it is not whole.
    pub rest: Option<i64>,
    /// Whether it is the rest of a record itself.
    pub is_rest: bool,
    /// What a transfer calls it in its list of what was added later; `None` in a section that
    /// has no part in that.
    pub name: Option<(Value, Vec<u8>)>,
}

impl Archived {
    /// A whole record that is known by its key alone.
    pub(crate) fn by_key(record: Record, key: &[u8]) -> Self {
        Self {
            record,
            id: key.to_vec(),
            row: 0,
            rest: None,
            is_rest: false,
            name: Some((Value::Blob(key.to_vec()), Vec::new())),
        }
    }
}

/// A section of the archive: the rows of a table.
pub(crate) trait ArchiveSection: Sync {
    /// Which one it is.
    fn section(&self) -> Section;

    /// How many records there are.
    fn count(&self, tx: &Transaction<'_>) -> Result<u64, StoreError>;

    /// The record behind a place.
    fn next(&self, tx: &Transaction<'_>, at: Place<'_>) -> Result<Option<Archived>, StoreError>;

    /// The newest row, where rows are numbered as they come.
    fn newest(&self, _tx: &Transaction<'_>) -> Result<Option<i64>, StoreError> {
        Ok(None)
    }

    /// Keeps a record of this section, unless what is here counts.
    fn restore(&self, import: &Import<'_>, record: Record) -> Result<(), NotImported>;
}

/// Why a chunk is not taken in. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotImported {
    /// Made by a newer Waxwing.
    #[error("the archive has an unknown version")]
    Version,
    /// A record is not what it should be.
    #[error("the archive contradicts itself")]
    Malformed,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for NotImported {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// An archive that is being imported.
pub(crate) struct Import<'a> {
    pub tx: &'a Transaction<'a>,
    pub now: Time,
    /// Those that keep it.
    pub tables: Tables<'a>,
}

impl Import<'_> {
    /// Entries of this conversation of the archive go to that one here.
    pub(crate) fn set_local(
        &self,
        source: ConversationId,
        local: ConversationId,
    ) -> Result<(), StoreError> {
        self.tx
            .prepare_cached(
                "INSERT OR REPLACE INTO archive_conversation (source, local) VALUES (?1, ?2)",
            )?
            .execute((source.as_bytes(), local.as_bytes()))?;
        Ok(())
    }

    /// Where the entries of a conversation of the archive go; `None` for one that began after
    /// the archive had told of the conversations there were.
    pub(crate) fn local(&self, source: &[u8]) -> Result<Option<ConversationId>, StoreError> {
        Ok(self
            .tx
            .prepare_cached("SELECT local FROM archive_conversation WHERE source = ?1")?
            .query_row([source], |row| row.get(0).map(ConversationId::from_bytes))
            .optional()?)
    }
}

/// An import has ended: its conversations are forgotten.
pub(crate) fn forget_conversations(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM archive_conversation", [])?;
    Ok(())
}

/// Reads an id that may be absent.
pub(crate) fn optional<T>(
    bytes: &[u8],
    read: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, NotImported> {
    if bytes.is_empty() {
        return Ok(None);
    }
    read(bytes).map(Some).ok_or(NotImported::Malformed)
}

/// A column that may be NULL, as the archive has it: empty then.
pub(crate) fn blob(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<bytes::Bytes> {
    Ok(row
        .get::<_, Option<Vec<u8>>>(column)?
        .unwrap_or_default()
        .into())
}

/// A number of the archive, as a column holds it.
pub(crate) const fn signed(number: u64) -> i64 {
    if number > i64::MAX as u64 {
        i64::MAX
    } else {
        number.cast_signed()
    }
}
