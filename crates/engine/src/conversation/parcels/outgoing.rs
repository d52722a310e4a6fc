//! Parcels that this device uploads: what stands in their place in a post, and when they go.

use prost::Message as _;
use rusqlite::ToSql;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    ids::{DeviceId, GroupId},
    limits,
    pb::Parcel,
};

use super::{COLUMNS, INLINE_BYTES, MARK, keep_part, read, signed};
use crate::{
    conversation::groups,
    link::{
        blob::{self, BlobId},
        reader_marks,
    },
    memory::{Memory, Remembered},
    turn::{Fault, Turn},
};

/// Who is to have a parcel.
pub(crate) enum Readers {
    /// These devices, once.
    Devices(Vec<DeviceId>),
    /// Devices that lose the group, until the next epoch.
    Anybody,
}

/// What goes to the relay in place of these bytes: the bytes themselves, or where they will
/// be.
pub(crate) fn pack(
    turn: &mut Turn<'_>,
    group: GroupId,
    bytes: Vec<u8>,
    readers: Readers,
) -> Result<Vec<u8>, Fault> {
    if bytes.len() <= turn.memory.inline_limit() {
        return Ok(bytes);
    }
    let id: BlobId = turn.random();
    let hash: [u8; 32] = Sha256::digest(&bytes).into();
    let mut marks = Vec::new();
    let (readers, is_info) = match readers {
        Readers::Devices(devices) => {
            if devices.len() <= limits::BLOB_READERS as usize {
                let each = devices
                    .iter()
                    .map(|device| reader_marks::of_parcel(id, *device));
                marks = reader_marks::registered(each);
            }
            (u32::try_from(devices.len()).unwrap_or(u32::MAX), false)
        }
        Readers::Anybody => (limits::BLOB_READERS, true),
    };
    let readers = readers.clamp(1, limits::BLOB_READERS);
    turn.tx.execute(
        "INSERT INTO parcel (id, group_id, way, is_info, bytes, hash, readers, marks)
         VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7)",
        (
            id,
            group.0,
            is_info,
            signed(bytes.len() as u64),
            hash,
            readers,
            marks,
        ),
    )?;
    for (part, body) in bytes.chunks(limits::BLOB_PART_BYTES).enumerate() {
        keep_part(turn, id, part as u64, body)?;
    }
    let parcel = Parcel {
        blob_id: id.to_vec().into(),
        bytes: bytes.len() as u64,
        sha256: hash.to_vec().into(),
    };
    Ok([MARK.as_slice(), &parcel.encode_to_vec()].concat())
}

/// Whether all that a group's commit needs is at the relay.
pub(crate) fn are_there(turn: &Turn<'_>, group: GroupId) -> Result<bool, Fault> {
    let mut statement = turn.tx.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM parcel WHERE group_id = ?1 AND way = 1"
    ))?;
    let rows = statement.query_map([group.0], read)?;
    for row in rows {
        let row = row?;
        if !row.blob().is_whole() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The relay has taken a group's commit: what was put for it stays there. The group
/// information until the next epoch.
pub(crate) fn handle_commit_accepted(turn: &mut Turn<'_>, group: GroupId) -> Result<(), Fault> {
    handle_new_epoch(turn, group)?;
    turn.tx.execute(
        "DELETE FROM parcel_part
         WHERE parcel IN (SELECT id FROM parcel WHERE group_id = ?1 AND way = 1)",
        [group.0],
    )?;
    turn.tx.execute(
        "DELETE FROM parcel WHERE group_id = ?1 AND way = 1 AND NOT is_info",
        [group.0],
    )?;
    turn.tx.execute(
        "UPDATE parcel SET way = 2 WHERE group_id = ?1 AND way = 1",
        [group.0],
    )?;
    Ok(())
}

/// Group information that this device uploaded is no longer used.
pub(crate) fn handle_new_epoch(turn: &mut Turn<'_>, group: GroupId) -> Result<(), Fault> {
    take_back(turn, "group_id = ?1 AND way = 2", &[&group.0])
}

/// What was put for commits that are not made any more goes.
pub(super) fn sweep(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let groups: Vec<GroupId> = {
        let mut statement = turn
            .tx
            .prepare_cached("SELECT DISTINCT group_id FROM parcel WHERE way = 1")?;
        let rows = statement.query_map([], |row| row.get(0).map(GroupId))?;
        rows.collect::<Result<_, _>>()?
    };
    for group in groups {
        if !groups::has_request(turn.tx, group)? {
            take_back(turn, "group_id = ?1 AND way = 1", &[&group.0])?;
        }
    }
    Ok(())
}

fn take_back(
    turn: &mut Turn<'_>,
    which: &'static str,
    parameters: &[&dyn ToSql],
) -> Result<(), Fault> {
    let gone: Vec<(BlobId, Option<[u8; 32]>)> = {
        let sql = format!("DELETE FROM parcel WHERE {which} RETURNING id, secret");
        let mut statement = turn.tx.prepare_cached(&sql)?;
        let rows = statement.query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    for (id, secret) in gone {
        blob::close(turn, id);
        turn.tx
            .execute("DELETE FROM parcel_part WHERE parcel = ?1", [id])?;
        if let Some(secret) = secret {
            blob::delete(turn, id, secret);
        }
    }
    Ok(())
}

/// Larger commits, welcomes and group information go as blobs (bytes).
struct InlineLimit(usize);

impl Default for InlineLimit {
    fn default() -> Self {
        Self(INLINE_BYTES)
    }
}

impl Remembered for InlineLimit {
    const OUTLASTS_ERRORS: bool = true;
}

impl Memory {
    /// Larger commits, welcomes and group information go as blobs (bytes).
    pub(crate) fn set_inline_limit(&mut self, bytes: usize) {
        self.states.get_mut::<InlineLimit>().0 = bytes;
    }

    fn inline_limit(&self) -> usize {
        let limit = self.states.get::<InlineLimit>();
        limit.map_or(INLINE_BYTES, |limit| limit.0)
    }
}
