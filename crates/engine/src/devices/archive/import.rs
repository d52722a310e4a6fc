//! Imports an archive, chunk by chunk.
//!
//! **Always**: the form of everything in the archive is checked, and the signatures of
//! everything that is signed; what this device already knows stays unchanged.

use rusqlite::Transaction;
use waxwing_protocol::{pb::ArchiveChunk, time::Time};

use super::VERSION;
use crate::{
    archive::{self, Import, NotImported, Section},
    tables::Tables,
};

/// Imports a chunk into these tables.
pub(crate) fn import(
    tx: &Transaction<'_>,
    tables: Tables<'_>,
    now: Time,
    chunk: ArchiveChunk,
) -> Result<(), NotImported> {
    if chunk.version != VERSION {
        return Err(NotImported::Version);
    }
    let last = chunk.next.is_none();
    let import = Import { tx, now, tables };
    for record in chunk.records.into_iter().filter_map(|one| one.record) {
        // A record without a section says who made a backup: the code that opened it has
        // checked that.
        if let Some(section) = Section::of_record(&record).and_then(|one| tables.section(one)) {
            section.restore(&import, record)?;
        }
    }
    if last {
        archive::forget_conversations(tx)?;
    }
    Ok(())
}
