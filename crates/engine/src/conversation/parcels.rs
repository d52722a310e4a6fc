//! Parcels: commits, welcomes and group information that are too large for a frame.
//!
//! In a large group a commit has a ciphertext for each member whose branch of the tree is
//! still empty, and a joining device needs the tree. Such bytes are uploaded to the relay as a
//! blob, and the post says where they are ([`Parcel`]). They are already ciphertext, so they
//! are not sealed again. A commit is posted once its parcels are at the relay; a post whose
//! parcel is not here yet is kept, and read once the parcel is here, as if the post arrived
//! then.
//!
//! **Elsewhere**: what the relay is told and asked is in [`crate::link::blob`]; attachments, which
//! are outside the store, are in [`crate::attachment`].
//!
//! Anybody can send a welcome, and its sender is unknown until it is opened. Parcels of
//! unknown or unaccepted groups are therefore fetched one at a time, after all others, and
//! only so many bytes a day: alternately the smallest and the oldest, so that neither large
//! nor many parcels keep an honest one waiting for ever. The relay is not told that they are
//! here before the person knows their sender, because the sender could see it.
//!
//! **Always**: nothing in a parcel is used before its hash is checked. Transfers are bounded,
//! and a parcel that cannot be fetched counts as a post that never arrived: the group is
//! rejoined.

use std::collections::HashSet;

use prost::Message as _;
use rusqlite::{OptionalExtension as _, Row, ToSql};
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    ids::{DeviceId, Epoch, GroupId, PostId},
    limits,
    pb::{BlobPartFetched, BlobStored, Error, Parcel, PostKind},
    time::Span,
};

use super::{
    above::ConversationHook, acquaintance, behind, group_state::GroupState, group_welcomers,
    groups, join_requests, lost_groups,
};
use crate::{
    api::ConversationId,
    containment::ErrorOwner,
    inbox::held_posts::ReceivedPost,
    link::{
        self,
        blob::{self, AGAIN, Blob, BlobId, BlobKind, Refused},
        reader_marks,
    },
    memory::{Memory, Remembered},
    turn::{Fault, Postponed, Turn},
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

/// Parcels of groups that are not known, or not accepted, that wait.
const UNKNOWN_MAX: i64 = 256;

/// So many of them are fetched on a day...
const UNKNOWN_A_DAY: i64 = 64;

/// ...and so many bytes: two of the largest, or one hundred small ones.
const UNKNOWN_BYTES_A_DAY: i64 = 32 << 20;

/// A commit in a group that is not accepted is fetched if it is not larger. Otherwise this device
/// joins the group again when the person accepts.
const UNACCEPTED_BYTES: u64 = 256 << 10;

/// Up to here bytes go as they are.
pub(crate) const INLINE_BYTES: usize = 192 << 10;

/// No MLS message begins so (RFC 9420 section 6: they begin with a version), nor, but by a
/// chance of one in 2^128, do sealed bytes.
const MARK: [u8; 16] = *b"\xffwaxwing parcel\xff";

/// Parcels that may be waited for. Only [`AT_ONCE`] of them are fetched at a time, so that the
/// rest takes a row each: a device that was away for long has many in its mailbox.
const COMING_MAX: i64 = 4_096;

/// Parcels that are brought at a time, the oldest first.
const AT_ONCE: u32 = 8;

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
fn sweep(turn: &mut Turn<'_>) -> Result<(), Fault> {
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

/// Where bytes are that came from the relay.
pub(crate) enum Opened {
    /// Here: what was in a parcel, or `None` where they came as they are.
    Here(Option<Vec<u8>>),
    /// On their way.
    Coming,
    /// Not to be had.
    Gone,
}

/// A post came: what is in a parcel is fetched first.
pub(crate) fn open_post(turn: &mut Turn<'_>, post: &ReceivedPost) -> Result<Opened, Fault> {
    let may_be = matches!(post.kind, PostKind::Commit | PostKind::Welcome);
    if !may_be || !post.body.starts_with(&MARK) {
        return Ok(Opened::Here(None));
    }
    if let Some(group) = groups::find(turn.tx, post.group)? {
        // Welcomes go to whoever is there already, too: only who is not looks into them.
        let is_left_alone = matches!(group.state, GroupState::Closed | GroupState::Quarantined);
        let is_for_us = match post.kind {
            PostKind::Welcome => is_left_alone || group.state.is_lost(),
            _ => !is_left_alone,
        };
        // Nor does anybody look into the echo of their own.
        if !is_for_us || group.commit_post == Some(post.id) {
            return Ok(Opened::Here(None));
        }
    } else if post.kind == PostKind::Commit && !is_coming(turn, post.group)? {
        // The commit that takes this device in: it gets the welcome behind it. Whoever
        // looked into it would take the place of somebody for whom it is, and who is away.
        return Ok(Opened::Here(None));
    }
    open(turn, post.group, &post.body, Some(post))
}

/// Group information came.
pub(crate) fn open_info(turn: &mut Turn<'_>, group: GroupId, body: &[u8]) -> Result<Opened, Fault> {
    if body.starts_with(&MARK) {
        open(turn, group, body, None)
    } else {
        Ok(Opened::Here(None))
    }
}

fn open(
    turn: &mut Turn<'_>,
    group: GroupId,
    body: &[u8],
    post: Option<&ReceivedPost>,
) -> Result<Opened, Fault> {
    let Some((id, bytes, hash)) = parcel_in(body) else {
        return Ok(Opened::Gone);
    };
    if let Some(row) = find(turn, id)? {
        if row.outgoing || row.hash != hash || row.group != group || !row.blob().is_whole() {
            return Ok(Opened::Coming);
        }
        let whole = whole(turn, &row)?;
        forget(turn, id)?;
        return Ok(whole.map_or(Opened::Gone, |bytes| Opened::Here(Some(bytes))));
    }
    if post.is_none() {
        // Of an epoch that is over.
        turn.tx.execute(
            "DELETE FROM parcel_part WHERE parcel IN
                 (SELECT id FROM parcel WHERE group_id = ?1 AND way = 0 AND is_info)",
            [group.0],
        )?;
        turn.tx.execute(
            "DELETE FROM parcel WHERE group_id = ?1 AND way = 0 AND is_info",
            [group.0],
        )?;
    }
    let unknown = match post {
        Some(post) => is_unknown(turn, post)?,
        None => false,
    };
    let coming: i64 = turn
        .tx
        .prepare_cached("SELECT count(*) FROM parcel WHERE way = 0 AND (unknown > 0) = ?1")?
        .query_row([unknown], |row| row.get(0))?;
    let most = if unknown { UNKNOWN_MAX } else { COMING_MAX };
    let is_known_group = groups::find(turn.tx, group)?.is_some();
    let is_large = unknown && is_known_group && bytes > UNACCEPTED_BYTES;
    // One for each group that is not known, and what follows it.
    let is_second = unknown
        && post.is_some_and(|post| post.kind == PostKind::Welcome)
        && is_coming(turn, group)?;
    if coming >= most || is_large || is_second {
        return Ok(Opened::Gone);
    }
    turn.tx.execute(
        "INSERT INTO parcel
             (id, group_id, way, is_info, bytes, hash, post_id, kind, epoch, sequence, unknown)
         VALUES (?1, ?2, 0, ?5 IS NULL, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (
            id,
            group.0,
            signed(bytes),
            hash,
            post.map(|post| post.id.0),
            post.map(|post| post.kind as i32),
            post.map(|post| post.epoch.0.cast_signed()),
            signed(post.map_or(0, |post| post.sequence)),
            unknown,
        ),
    )?;
    Ok(Opened::Coming)
}

/// Whether a post's group is not known, or not accepted, and the person has not asked for it.
fn is_unknown(turn: &Turn<'_>, post: &ReceivedPost) -> Result<bool, Fault> {
    if let Some(group) = groups::find(turn.tx, post.group)? {
        return match group.state {
            GroupState::Checking => Ok(group_welcomers::is_strangers(turn.tx, group.id)?),
            _ => acquaintance::is_silent_group(turn, &group),
        };
    }
    // The first group of a conversation bears its id.
    let conversation = ConversationId::from_bytes(post.group.0);
    let asked = join_requests::has_asked(turn.tx, conversation)?
        || lost_groups::has_requested(turn.tx, post.group)?;
    Ok(!asked)
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

fn under_way(turn: &Turn<'_>) -> Result<Vec<OnItsWay>, Fault> {
    let mut statement = turn.tx.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM parcel
         WHERE way < 2 AND unknown = 0 AND parts * {part} < bytes ORDER BY rowid LIMIT {AT_ONCE}",
        part = limits::BLOB_PART_BYTES,
    ))?;
    let rows = statement.query_map([], read)?;
    let mut under_way: Vec<OnItsWay> = rows.collect::<Result<_, _>>()?;
    under_way.extend(unknown_under_way(turn)?);
    Ok(under_way)
}

/// The parcel of a group that is not known which is fetched now, or is to be, if any may be.
fn unknown_under_way(turn: &Turn<'_>) -> Result<Option<OnItsWay>, Fault> {
    let part = limits::BLOB_PART_BYTES;
    let one = |condition: &str| -> Result<Option<OnItsWay>, Fault> {
        let sql = format!(
            "SELECT {COLUMNS} FROM parcel WHERE way = 0 AND parts * {part} < bytes AND {condition}
             LIMIT 1"
        );
        let mut statement = turn.tx.prepare_cached(&sql)?;
        Ok(statement.query_row([], read).optional()?)
    };
    if let Some(begun) = one("unknown = 2")? {
        return Ok(Some(begun));
    }
    let (parcels, bytes) = fetched_today(turn)?;
    if parcels >= UNKNOWN_A_DAY {
        return Ok(None);
    }
    let next = if parcels % 2 == 0 {
        one("unknown = 1 ORDER BY bytes, rowid")?
    } else {
        one("unknown = 1 ORDER BY rowid")?
    };
    Ok(next.filter(|next| bytes.saturating_add(signed(next.bytes)) <= UNKNOWN_BYTES_A_DAY))
}

fn today(turn: &Turn<'_>) -> i64 {
    signed(turn.now.0 / Span::hours(24).0)
}

fn fetched_today(turn: &Turn<'_>) -> Result<(i64, i64), Fault> {
    let fetched = turn
        .tx
        .prepare_cached("SELECT parcels, bytes FROM unknown_fetched WHERE day = ?1")?
        .query_row([today(turn)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(fetched.unwrap_or((0, 0)))
}

/// A parcel of a group that is not known is fetched from now on: it counts.
fn count_unknown(turn: &Turn<'_>, row: &OnItsWay) -> Result<(), Fault> {
    let begun = turn.tx.execute(
        "UPDATE parcel SET unknown = 2 WHERE id = ?1 AND unknown = 1",
        [row.id],
    )?;
    if begun == 0 {
        return Ok(());
    }
    let day = today(turn);
    turn.tx
        .execute("DELETE FROM unknown_fetched WHERE day != ?1", [day])?;
    turn.tx.execute(
        "INSERT INTO unknown_fetched (day, parcels, bytes) VALUES (?1, 1, ?2)
         ON CONFLICT DO UPDATE SET parcels = parcels + 1, bytes = bytes + ?2",
        (day, signed(row.bytes)),
    )?;
    Ok(())
}

/// Whether anything is to be brought.
pub(crate) fn any(turn: &Turn<'_>) -> Result<bool, Fault> {
    Ok(!under_way(turn)?.is_empty())
}

/// Brings what is to be brought.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    sweep(turn)?;
    for row in under_way(turn)? {
        if row.blob().is_busy(turn) {
            continue;
        }
        let brought = turn.run_contained(ErrorOwner::Group(row.group), |turn| bring(turn, &row))?;
        if brought.is_none() {
            drop_it(turn, row.id)?;
        }
    }
    Ok(())
}

fn bring(turn: &mut Turn<'_>, row: &OnItsWay) -> Result<(), Fault> {
    if row.outgoing {
        return if row.blob().is_opened(turn) {
            put(turn, row)
        } else {
            begin(turn, row)
        };
    }
    count_unknown(turn, row)?;
    row.blob().fetch(turn);
    Ok(())
}

/// The group that a parcel belongs to, by its id alone.
pub(crate) fn group_of(turn: &Turn<'_>, id: BlobId) -> Result<Option<GroupId>, Fault> {
    Ok(turn
        .tx
        .prepare_cached("SELECT group_id FROM parcel WHERE id = ?1")?
        .query_row([id], |row| row.get(0).map(GroupId))
        .optional()?)
}

/// It failed by an error of this program's: it is not brought again.
pub(crate) fn drop_it(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    forget(turn, id)
}

fn put(turn: &mut Turn<'_>, row: &OnItsWay) -> Result<(), Fault> {
    let body: Vec<u8> = turn
        .tx
        .prepare_cached("SELECT body FROM parcel_part WHERE parcel = ?1 AND part = ?2")?
        .query_row((row.id, row.parts), |row| row.get(0))?;
    row.blob().put(turn, body.into());
    Ok(())
}

/// Makes room at the relay, or asks how much it has.
fn begin(turn: &mut Turn<'_>, row: &OnItsWay) -> Result<(), Fault> {
    let opened = row
        .blob()
        .open(turn, row.readers, row.marks.clone(), row.secret)?;
    if let Some(secret) = opened {
        turn.tx.execute(
            "UPDATE parcel SET secret = ?2 WHERE id = ?1",
            (row.id, secret),
        )?;
    }
    Ok(())
}

/// The relay has so much of a parcel.
pub(crate) fn handle_parcel_stored(
    turn: &mut Turn<'_>,
    id: BlobId,
    stored: BlobStored,
) -> Result<(), Fault> {
    let Some(row) = find(turn, id)?.filter(|row| row.outgoing) else {
        return Ok(());
    };
    let parts = row.blob().handle_stored(turn, stored);
    turn.tx
        .execute("UPDATE parcel SET parts = ?2 WHERE id = ?1", (id, parts))?;
    if parts >= row.blob().all_parts() {
        turn.memory.due_mut().groups.insert(row.group);
        if let Some(group) = groups::find(turn.tx, row.group)? {
            turn.memory
                .due_mut()
                .conversations
                .extend(group.conversation);
        }
    }
    Ok(())
}

/// A part has come from the relay.
pub(crate) fn handle_parcel_part(
    turn: &mut Turn<'_>,
    id: BlobId,
    part: &BlobPartFetched,
) -> Result<(), Fault> {
    let Some(row) = find(turn, id)?.filter(|row| !row.outgoing) else {
        return Ok(());
    };
    if !row.blob().is_next(part) {
        return mark_unavailable(turn, &row);
    }
    keep_part(turn, id, u64::from(row.parts), &part.part)?;
    turn.tx
        .execute("UPDATE parcel SET parts = parts + 1 WHERE id = ?1", [id])?;
    if row.parts.saturating_add(1) < row.blob().all_parts() {
        return Ok(());
    }
    complete(turn, &row)
}

/// The post that brought a parcel: id, kind, epoch, number; none for group information.
type Brought = (Option<[u8; 16]>, Option<i32>, Option<i64>, i64);

/// All of it is here: it is read as if it came now.
fn complete(turn: &mut Turn<'_>, row: &OnItsWay) -> Result<(), Fault> {
    if !row.unknown {
        acknowledge(turn, row.id)?;
    }
    let (post, kind, epoch, sequence): Brought = turn
        .tx
        .prepare_cached("SELECT post_id, kind, epoch, sequence FROM parcel WHERE id = ?1")?
        .query_row([row.id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
    let Some(post) = post else {
        // It is asked for again, and then found here.
        turn.memory.due_mut().groups.insert(row.group);
        return Ok(());
    };
    let Some(body) = whole(turn, row)? else {
        return mark_unavailable(turn, row);
    };
    forget(turn, row.id)?;
    let post = ReceivedPost {
        group: row.group,
        kind: PostKind::try_from(kind.unwrap_or(0)).unwrap_or_default(),
        epoch: Epoch(epoch.unwrap_or(0).cast_unsigned()),
        id: PostId(post),
        sequence: sequence.cast_unsigned(),
        received_at: turn.now,
        body,
    };
    for hook in turn.hooks.of::<dyn ConversationHook>() {
        hook.handle_fetched_post(turn, &post)?;
    }
    if row.unknown && post.kind == PostKind::Welcome {
        group_welcomers::set_parcel(turn.tx, row.group, row.id)?;
    }
    for hook in turn.hooks.of::<dyn ConversationHook>() {
        hook.handle_readable(turn, row.group)?;
    }
    Ok(())
}

/// The relay may forget a parcel, as far as this device goes.
pub(crate) fn acknowledge(turn: &mut Turn<'_>, id: BlobId) -> Result<(), Fault> {
    let mark = reader_marks::of_parcel(id, turn.account()?.device());
    blob::acknowledge(turn, id, mark);
    Ok(())
}

/// It is not to be had: as if the post had not come, but for what it says of the group.
fn mark_unavailable(turn: &mut Turn<'_>, row: &OnItsWay) -> Result<(), Fault> {
    forget(turn, row.id)?;
    if row.outgoing {
        return Ok(());
    }
    match groups::find(turn.tx, row.group)? {
        Some(group) if row.is_info => {
            if !group.state.is_lost() {
                return Ok(());
            }
            // A new epoch may have begun meanwhile, with other information.
            if is_first_time_unavailable(turn, row.id) {
                turn.postpone(Postponed::Group(row.group), AGAIN);
                return Ok(());
            }
            super::re_add::request_re_add(turn, &group)
        }
        Some(group) if matches!(group.state, GroupState::Closed | GroupState::Quarantined) => {
            Ok(())
        }
        Some(_) => behind::mark_lost(turn, row.group),
        None => lost_groups::handle_post_of_unknown_group(turn, row.group),
    }
}

/// The relay refused.
pub(crate) fn handle_refusal(turn: &mut Turn<'_>, id: BlobId, error: &Error) -> Result<(), Fault> {
    let Some(row) = find(turn, id)? else {
        blob::close(turn, id);
        return Ok(());
    };
    match row.blob().handle_refusal(turn, error) {
        Refused::Gone | Refused::Invalid if !row.outgoing => mark_unavailable(turn, &row),
        Refused::Gone | Refused::Invalid => {
            turn.postpone(Postponed::Blob(id), link::retry_after(error));
            Ok(())
        }
        Refused::FromStart => {
            turn.tx.execute(
                "UPDATE parcel SET parts = 0, secret = NULL WHERE id = ?1 AND way = 1",
                [id],
            )?;
            Ok(())
        }
        Refused::Later => Ok(()),
    }
}

const fn signed(number: u64) -> i64 {
    if number > i64::MAX as u64 {
        i64::MAX
    } else {
        number.cast_signed()
    }
}

/// Group information that was asked for and was not there.
#[derive(Default)]
struct UnavailableParcels(HashSet<BlobId>);

impl Remembered for UnavailableParcels {
    const OUTLASTS_ERRORS: bool = true;
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

fn is_first_time_unavailable(turn: &mut Turn<'_>, id: BlobId) -> bool {
    let unavailable = &mut turn.memory.states.get_mut::<UnavailableParcels>().0;
    unavailable.insert(id)
}
