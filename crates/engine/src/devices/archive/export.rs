//! Makes the archive, chunk by chunk.
//!
//! **Always**: what arrives after the archive's last section was begun is not in the archive,
//! and nothing that arrives after a transfer began is in that transfer ([`Reach`]); what is
//! behind the cursor is never sent again.

use prost::Message as _;
use rusqlite::Transaction;
use waxwing_protocol::{
    ids::GroupId,
    pb::{
        ArchiveChunk, ArchiveCursor, ArchiveRecord, ArchivedHeard, archive_record::Record,
        archived_entry::Kind,
    },
};

use super::{CHUNK_BYTES, RECORD_BYTES, VERSION};
use crate::{
    archive::{Archived, Place, Section},
    devices::transfer,
    store::StoreError,
    tables::Tables,
};

/// How much goes into an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Everything that is here when its section is begun.
    Everything,
    /// What was here when a transfer began: nothing that `said_later` lists, and no entry after
    /// this one.
    UpTo {
        /// The row of the last entry.
        last_entry: i64,
    },
}

/// The chunk of these tables at a cursor; the first without one.
pub(crate) fn export(
    tx: &Transaction<'_>,
    tables: Tables<'_>,
    cursor: Option<ArchiveCursor>,
    reach: Reach,
) -> Result<ArchiveChunk, StoreError> {
    let mut at = match cursor {
        Some(cursor) => cursor,
        None => begin(tx, tables)?,
    };
    let mut chunk = ArchiveChunk {
        version: VERSION,
        total: at.total,
        ..ArchiveChunk::default()
    };
    let mut bytes = 0;
    loop {
        let Some(section) = Section::from_number(at.section) else {
            chunk.done = at.total;
            return Ok(chunk);
        };
        let Some((record, after)) = next(tx, tables, section, &at, reach)? else {
            at = next_section(tx, tables, &at, reach)?;
            continue;
        };
        let record = fitted(ArchiveRecord {
            record: Some(record),
        });
        bytes += record.encoded_len();
        if bytes > CHUNK_BYTES && !chunk.records.is_empty() {
            chunk.done = at.done;
            chunk.next = Some(at);
            return Ok(chunk);
        }
        chunk.records.push(record);
        at = after;
    }
}

/// A record that is larger than a message at a rendezvous can be goes without the part
/// of a message that is not its text.
fn fitted(mut record: ArchiveRecord) -> ArchiveRecord {
    if record.encoded_len() > RECORD_BYTES
        && let Some(Record::Entry(entry)) = &mut record.record
        && let Some(Kind::Message(message)) = &mut entry.kind
    {
        message.content = None;
        message.proof.clear();
    }
    record
}

fn begin(tx: &Transaction<'_>, tables: Tables<'_>) -> Result<ArchiveCursor, StoreError> {
    let mut total = 0;
    for section in tables.sections() {
        total += section.count(tx)?;
    }
    Ok(ArchiveCursor {
        total,
        ..ArchiveCursor::default()
    })
}

/// The beginning of the section behind the one at the cursor.
fn next_section(
    tx: &Transaction<'_>,
    tables: Tables<'_>,
    at: &ArchiveCursor,
    reach: Reach,
) -> Result<ArchiveCursor, StoreError> {
    let number = at.section + 1;
    let section = Section::from_number(number).and_then(|one| tables.section(one));
    // Not before: what the groups were said to have heard is among the entries.
    let newest = match section {
        Some(section) => section.newest(tx)?,
        None => None,
    };
    let last_row = match (newest, reach) {
        (None, _) => at.last_row,
        (Some(newest), Reach::Everything) => newest,
        (Some(_), Reach::UpTo { last_entry }) => last_entry,
    };
    Ok(ArchiveCursor {
        section: number,
        id: bytes::Bytes::new(),
        row: 0,
        last_row,
        total: at.total,
        done: at.done,
    })
}

/// The record behind the cursor, and the cursor behind that.
fn next(
    tx: &Transaction<'_>,
    tables: Tables<'_>,
    section: Section,
    at: &ArchiveCursor,
    reach: Reach,
) -> Result<Option<(Record, ArchiveCursor)>, StoreError> {
    let Some(rows) = tables.section(section) else {
        return Ok(None);
    };
    let (mut id, mut row) = (at.id.to_vec(), at.row);
    loop {
        let place = Place {
            id: &id,
            row,
            last_row: at.last_row,
        };
        let Some(mut found) = rows.next(tx, place)? else {
            return Ok(None);
        };
        if matches!(reach, Reach::UpTo { .. }) {
            if was_added_later(tx, section, &found)? {
                (id, row) = (found.id, found.row);
                continue;
            }
            hear_no_more(tx, &mut found.record)?;
        }
        let after = ArchiveCursor {
            id: found.id.into(),
            row: found.rest.unwrap_or(found.row),
            done: at.done + u64::from(!found.is_rest),
            ..at.clone()
        };
        return Ok(Some((found.record, after)));
    }
}

/// Whether a record was added after the transfer began.
fn was_added_later(
    tx: &Transaction<'_>,
    section: Section,
    found: &Archived,
) -> Result<bool, StoreError> {
    match &found.name {
        Some((key, part)) if !found.is_rest => {
            transfer::was_added_later(tx, section as u32, key, part)
        }
        _ => Ok(false),
    }
}

/// A group goes over with what was heard in it before the transfer began.
fn hear_no_more(tx: &Transaction<'_>, record: &mut Record) -> Result<(), StoreError> {
    if let Record::Group(group) = record
        && let Ok(id) = GroupId::try_from(&group.group_id)
    {
        let heard = transfer::had_heard(tx, id)?.into_iter();
        let heard = heard.map(|(device, up_to)| ArchivedHeard {
            device_id: device.to_bytes(),
            up_to,
        });
        group.heard = heard.collect();
    }
    Ok(())
}
