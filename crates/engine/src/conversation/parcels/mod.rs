//! Parcels: commits, welcomes and group information that are too large for a frame.
//!
//! In a large group a commit has a ciphertext for each member whose branch of the tree is
//! still empty, and a joining device needs the tree. Such bytes are uploaded to the relay as a
//! blob, and the post says where they are ([`Parcel`]). They are already ciphertext, so they
//! are not sealed again. A commit is posted once its parcels are at the relay; a post whose
//! parcel is not here yet is kept, and read once the parcel is here, as if the post arrived
//! then.
//!
//! Here is the table. What this device uploads is in [`outgoing`], what comes is recognised in
//! [`opening`], [`strangers`] limits what is fetched of unknown groups, and [`transfer`] moves the
//! parts.
//!
//! **Elsewhere**: what the relay is told and asked is in [`crate::link::blob`]; attachments, which
//! are outside the store, are in [`crate::attachment`].
//!
//! **Always**: nothing in a parcel is used before its hash is checked. Transfers are bounded,
//! and a parcel that cannot be fetched counts as a post that never arrived: the group is
//! rejoined.

mod opening;
mod outgoing;
mod strangers;
mod transfer;

use prost::Message as _;
use rusqlite::{OptionalExtension as _, Row};
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{ids::GroupId, limits, pb::Parcel};

pub(crate) use self::{
    opening::{Opened, open_info, open_post},
    outgoing::{Readers, are_there, handle_commit_accepted, handle_new_epoch, pack},
    transfer::{
        acknowledge, any, drop_it, handle_parcel_part, handle_parcel_stored, handle_refusal, pump,
    },
};
use crate::{
    link::blob::{self, Blob, BlobId, BlobKind},
    turn::{Fault, Turn},
};

/// `parts` are at the relay, or here. A parcel that came has the post that brought it, but
/// for group information.
pub(crate) const SCHEMA: &str = "
CREATE TABLE parcel (
    id BLOB PRIMARY KEY,
    group_id BLOB NOT NULL,
    way INTEGER NOT NULL,       -- 0 coming, 1 going, 2 group information that is there
    is_info INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    hash BLOB NOT NULL,
    parts INTEGER NOT NULL DEFAULT 0,
    readers INTEGER NOT NULL DEFAULT 0,
    secret BLOB,
    post_id BLOB,
    kind INTEGER,
    epoch INTEGER
);
CREATE INDEX parcel_group ON parcel (group_id);
CREATE TABLE parcel_part (
    parcel BLOB NOT NULL,
    part INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (parcel, part)
);
";

/// The number that the relay gave the post which brought a parcel.
pub(crate) const SEQUENCE: &str = "
ALTER TABLE parcel ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
";

/// Parcels of groups that are not known, or not accepted: 1 waits, 2 is or was under way and
/// counts. And how much was fetched of them on a day.
pub(crate) const UNKNOWN: &str = "
ALTER TABLE parcel ADD COLUMN unknown INTEGER NOT NULL DEFAULT 0;
CREATE TABLE unknown_fetched (
    day INTEGER PRIMARY KEY,
    parcels INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);
";

/// The marks of those who are to have a parcel that goes. They follow from its id and their
/// devices, which the members of the group know: any of them could have it deleted early, as
/// they could make a commit that breaks the group, and who loses it joins again.
pub(crate) const MARKS: &str = "
ALTER TABLE parcel ADD COLUMN marks BLOB NOT NULL DEFAULT x'';
";

/// Up to here bytes go as they are.
pub(crate) const INLINE_BYTES: usize = 192 << 10;

/// No MLS message begins so (RFC 9420 section 6: they begin with a version), nor, but by a
/// chance of one in 2^128, do sealed bytes.
const MARK: [u8; 16] = *b"\xffwaxwing parcel\xff";

/// One that is on its way.
struct OnItsWay {
    id: BlobId,
    group: GroupId,
    outgoing: bool,
    is_info: bool,
    bytes: u64,
    hash: [u8; 32],
    parts: u32,
    readers: u32,
    secret: Option<[u8; 32]>,
    /// Of a group that is not known, or not accepted.
    unknown: bool,
    marks: Vec<u8>,
}

impl OnItsWay {
    /// As the relay knows it.
    const fn blob(&self) -> Blob {
        Blob {
            kind: BlobKind::Parcel,
            id: self.id,
            outgoing: self.outgoing,
            bytes: self.bytes,
            parts: self.parts,
        }
    }
}

const COLUMNS: &str =
    "id, group_id, way, is_info, bytes, hash, parts, readers, secret, unknown, marks";

fn read(row: &Row<'_>) -> rusqlite::Result<OnItsWay> {
    Ok(OnItsWay {
        id: row.get(0)?,
        group: GroupId(row.get(1)?),
        outgoing: row.get::<_, u8>(2)? > 0,
        is_info: row.get(3)?,
        bytes: row.get::<_, i64>(4)?.cast_unsigned(),
        hash: row.get(5)?,
        parts: row.get(6)?,
        readers: row.get(7)?,
        secret: row.get(8)?,
        unknown: row.get::<_, u8>(9)? > 0,
        marks: row.get(10)?,
    })
}

fn find(turn: &Turn<'_>, id: BlobId) -> Result<Option<OnItsWay>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM parcel WHERE id = ?1");
    let mut statement = turn.tx.prepare_cached(&sql)?;
    Ok(statement.query_row([id], read).optional()?)
}

fn keep_part(turn: &Turn<'_>, id: BlobId, part: u64, body: &[u8]) -> Result<(), Fault> {
    turn.tx
        .prepare_cached(
            "INSERT OR REPLACE INTO parcel_part (parcel, part, body) VALUES (?1, ?2, ?3)",
        )?
        .execute((id, signed(part), body))?;
    Ok(())
}

fn parcel_in(body: &[u8]) -> Option<(BlobId, u64, [u8; 32])> {
    let parcel = Parcel::decode(body.strip_prefix(&MARK)?).ok()?;
    let fits = parcel.bytes > 0 && parcel.bytes <= limits::PARCEL_BYTES;
    let id = parcel.blob_id.as_ref().try_into().ok()?;
    let hash = parcel.sha256.as_ref().try_into().ok()?;
    fits.then_some((id, parcel.bytes, hash))
}

/// All parts together, if they are what was said.
fn whole(turn: &Turn<'_>, row: &OnItsWay) -> Result<Option<Vec<u8>>, Fault> {
    let mut statement = turn
        .tx
        .prepare_cached("SELECT body FROM parcel_part WHERE parcel = ?1 ORDER BY part")?;
    let rows = statement.query_map([row.id], |row| row.get::<_, Vec<u8>>(0))?;
    let mut bytes = Vec::new();
    for part in rows {
        bytes.extend(part?);
    }
    let right = bytes.len() as u64 == row.bytes && Sha256::digest(&bytes).as_slice() == row.hash;
    Ok(right.then_some(bytes))
}

fn forget(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    turn.tx
        .execute("DELETE FROM parcel_part WHERE parcel = ?1", [id])?;
    turn.tx.execute("DELETE FROM parcel WHERE id = ?1", [id])?;
    blob::close(turn, id);
    Ok(())
}

/// Whether a post of a group waits for its parcel.
pub(crate) fn is_coming(turn: &Turn<'_>, group: GroupId) -> Result<bool, Fault> {
    Ok(turn
        .tx
        .prepare_cached("SELECT 1 FROM parcel WHERE group_id = ?1 AND way = 0 AND NOT is_info")?
        .exists([group.0])?)
}

/// The group that a parcel belongs to, by its id alone.
pub(crate) fn group_of(turn: &Turn<'_>, id: BlobId) -> Result<Option<GroupId>, Fault> {
    Ok(turn
        .tx
        .prepare_cached("SELECT group_id FROM parcel WHERE id = ?1")?
        .query_row([id], |row| row.get(0).map(GroupId))
        .optional()?)
}

const fn signed(number: u64) -> i64 {
    if number > i64::MAX as u64 {
        i64::MAX
    } else {
        number.cast_signed()
    }
}
