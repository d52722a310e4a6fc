//! Files that this device does not have, and another device of the account does.
//!
//! The relay keeps a file until the devices that it was sent to have it. A device that is linked or
//! recovered later finds the message in the archive, and nothing at the relay. So it asks the
//! account's other devices, in the notes; one that has the file uploads its sealed bytes once more,
//! under a new random id, and the one that asked fetches them like any file:
//!
//! ```text
//!   the device without the file           devices that have it        devices that do not
//!   FileWanted { hash } ────────────────▶ wait for their turn         FileCopy { ABSENT } ──▶
//!                                         FileCopy { COMING, blob } ▶ (the others stand down)
//!                                         upload
//!   fetch, check, acknowledge ◀────────── FileCopy { THERE, blob }
//! ```
//!
//! The hash is that of the sealed bytes, which stands in the message; it names the file whatever
//! its copy is called. The relay sees an upload for one reader, which is deleted once that reader
//! has it, or after a month. Its bytes are those of the first upload: a relay that kept a hash of
//! that can tell that the file came twice.
//!
//! - **`FileWanted`**: only a device of this account can send it (it counts in the notes alone).
//!   It costs the others one look into a table, and one of them an upload and its tokens, at most
//!   [`COPIES_MAX`] at a time for each device that asks. A stolen device that was not revoked can
//!   make the others upload files that only their messages' keys open. Repeated, it changes nothing
//!   while a copy is waiting. A device that is offline finds it in its mailbox, and answers late; an
//!   older version ignores it.
//! - **`FileCopy`**: only a device of this account can send it, and it counts only for a file that
//!   this device asked for. It costs one download. A false one (a blob that is not there, or not
//!   the file) fails at the relay or at the hash; the person can ask again after [`ASKED_FOR`].
//!   If it never comes, the file stays *asked for*, and people see that.
//!
//! Devices answer in the order of the account's roster, [`TURN`] apart, so that one file is
//! uploaded once. If the first begins and never ends, asking again begins anew.
//!
//! **Elsewhere**: [`super::transfer`] uploads and fetches; [`crate::link::reader_marks`] makes the
//! reader's mark. Backups do not have files (`devices::backup`).
//!
//! **Always**: a copy is believed by its hash only. Nothing here reaches other accounts.

use prost::Message as _;
use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{
    ids::DeviceId,
    pb::{Envelope, FileCopy, FileWanted, envelope, file_copy::State},
    time::{Span, Time},
};

use super::{keep_mark, of_blob, signed, tell_changed};
use crate::{
    api::{MissingFile, MissingReason},
    conversation::{self, Kind, above::Said, groups, notes},
    link::{
        blob::BlobId,
        reader_marks::{self, ReaderMark},
    },
    mls::Member,
    outbox,
    store::StoreError,
    turn::{Fault, Postponed, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE file_wanted (
    hash BLOB PRIMARY KEY,          -- of the sealed bytes
    asked_at INTEGER NOT NULL,
    devices INTEGER NOT NULL        -- that were asked
) WITHOUT ROWID;
CREATE TABLE file_answer (
    hash BLOB NOT NULL,
    device_id BLOB NOT NULL,
    is_coming INTEGER NOT NULL,     -- 0: that device does not have it
    PRIMARY KEY (hash, device_id)
) WITHOUT ROWID;
CREATE TABLE file_copy (
    hash BLOB NOT NULL,
    device_id BLOB NOT NULL,        -- for whom
    due_at INTEGER NOT NULL,
    blob_id BLOB,                   -- once it has begun
    PRIMARY KEY (hash, device_id)
) WITHOUT ROWID;
CREATE INDEX attachment_hash ON attachment (hash);
ALTER TABLE blob ADD COLUMN source BLOB;  -- of a copy for another device: whose file it is
";

/// Copies that wait for one device, at most.
const COPIES_MAX: u32 = 64;

/// How long each device gives those before it in the roster to begin.
const TURN: Span = Span::minutes(1);

/// The others are not asked for the same file again before this.
const ASKED_FOR: Span = Span::minutes(10);

/// Copies that are begun in one transaction.
const AT_ONCE: u32 = 4;

type Hash = [u8; 32];

// ---- the device that does not have it ----

/// The relay does not have this blob. Whether the account's other devices are, or were just,
/// asked for it.
pub(super) fn ask(turn: &mut Turn<'_>, blob: BlobId) -> Result<bool, Fault> {
    let Some(file) = of_blob(turn.tx, blob)? else {
        return Ok(false);
    };
    let others = turn.account()?.roster().devices().len().saturating_sub(1);
    if others == 0 {
        return Ok(false);
    }
    let asked_at = turn
        .tx
        .prepare_cached("SELECT asked_at FROM file_wanted WHERE hash = ?1")?
        .query_row([file.hash], |row| row.get::<_, i64>(0))
        .optional()?
        .map(|at| Time(at.cast_unsigned()));
    // A time in the future is from before the clock was set back.
    if asked_at.is_some_and(|at| (at..at.after(ASKED_FOR)).contains(&turn.now)) {
        return Ok(!all_answered(turn.tx, file.hash)?);
    }
    turn.tx.execute(
        "INSERT OR REPLACE INTO file_wanted (hash, asked_at, devices) VALUES (?1, ?2, ?3)",
        (
            file.hash,
            signed(turn.now.0),
            i64::try_from(others).unwrap_or(i64::MAX),
        ),
    )?;
    turn.tx
        .execute("DELETE FROM file_answer WHERE hash = ?1", [file.hash])?;
    let wanted = FileWanted {
        hash: file.hash.to_vec().into(),
    };
    tell_own_devices(turn, envelope::Body::FileWanted(wanted))?;
    Ok(true)
}

/// The file is here, and nobody needs to be asked.
pub(super) fn handle_here(turn: &Turn<'_>, blob: BlobId) -> Result<(), Fault> {
    let Some(file) = of_blob(turn.tx, blob)? else {
        return Ok(());
    };
    for sql in [
        "DELETE FROM file_wanted WHERE hash = ?1",
        "DELETE FROM file_answer WHERE hash = ?1",
    ] {
        turn.tx.prepare_cached(sql)?.execute([file.hash])?;
    }
    Ok(())
}

/// Whether every device that was asked has said that it does not have the file.
fn all_answered(tx: &Transaction<'_>, hash: Hash) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT (SELECT count(*) FROM file_answer WHERE hash = ?1 AND NOT is_coming) >= devices
             FROM file_wanted WHERE hash = ?1",
        )?
        .query_row([hash], |row| row.get(0))
        .optional()?
        .unwrap_or(false))
}

/// Why a file is not here: what the other devices said, as of so many that were asked.
pub(super) fn missing(
    state: u8,
    asked: Option<u32>,
    (absent, coming): (u32, u32),
) -> Option<MissingFile> {
    let reason = match state {
        ASKED if coming > 0 => MissingReason::DeviceUploads,
        ASKED => MissingReason::DevicesAsked,
        GONE if asked.is_some() => MissingReason::NoDeviceHasIt,
        GONE => MissingReason::RelayDoesNotHaveIt,
        DAMAGED => MissingReason::Damaged,
        _ => return None,
    };
    Some(MissingFile {
        reason,
        devices_asked: asked.unwrap_or(0),
        devices_without: absent,
    })
}

/// States of a blob that is not to be had now.
pub(super) const GONE: u8 = 3;
/// Other devices were asked for it.
pub(super) const ASKED: u8 = 4;
/// What came was not what its sender sealed.
pub(super) const DAMAGED: u8 = 5;

/// Another device of this account says what it can do about a file.
pub(super) fn handle_copy(
    turn: &mut Turn<'_>,
    said: &Said<'_>,
    copy: &FileCopy,
) -> Result<(), Fault> {
    let (Ok(hash), Ok(reader)) = (
        Hash::try_from(copy.hash.as_ref()),
        DeviceId::try_from(&copy.device_id),
    ) else {
        return Ok(());
    };
    if !is_by_own_device(turn, said)? {
        return Ok(());
    }
    let state = copy.state();
    if reader != turn.account()?.device() {
        if matches!(state, State::Coming | State::There) {
            // That device does it; this one stands down.
            turn.tx.execute(
                "DELETE FROM file_copy WHERE hash = ?1 AND device_id = ?2 AND blob_id IS NULL",
                (hash, reader.as_bytes()),
            )?;
        }
        return Ok(());
    }
    let is_wanted = turn
        .tx
        .prepare_cached("SELECT 1 FROM file_wanted WHERE hash = ?1")?
        .exists([hash])?;
    if !is_wanted {
        return Ok(());
    }
    let asked_for = asked_for(turn.tx, hash)?;
    match state {
        State::Unspecified => return Ok(()),
        State::There => return take_copy(turn, hash, &asked_for, copy, said.member),
        State::Absent | State::Coming => {
            turn.tx.execute(
                "INSERT OR REPLACE INTO file_answer (hash, device_id, is_coming)
                 VALUES (?1, ?2, ?3)",
                (hash, said.member.device.as_bytes(), state == State::Coming),
            )?;
        }
    }
    if all_answered(turn.tx, hash)? {
        for blob in &asked_for {
            turn.tx.execute(
                "UPDATE blob SET state = ?3 WHERE id = ?1 AND state = ?2",
                (blob, ASKED, GONE),
            )?;
        }
    }
    for blob in asked_for {
        tell_changed(turn, blob)?;
    }
    Ok(())
}

/// The copy takes the place of the blob that is gone, and is fetched.
fn take_copy(
    turn: &mut Turn<'_>,
    hash: Hash,
    asked_for: &[BlobId],
    copy: &FileCopy,
    member: &Member,
) -> Result<(), Fault> {
    let (Ok(id), Some(first)) = (BlobId::try_from(copy.blob_id.as_ref()), asked_for.first()) else {
        return Ok(());
    };
    // An id that is taken is not that of a copy.
    let added = turn.tx.execute(
        "INSERT INTO blob (id, outgoing, state, bytes, parts)
         SELECT ?1, 0, 1, bytes, 0 FROM blob WHERE id = ?2
         ON CONFLICT DO NOTHING",
        (id, first),
    )?;
    if added == 0 {
        return Ok(());
    }
    for blob in asked_for {
        turn.tx.execute(
            "UPDATE attachment SET blob_id = ?2 WHERE blob_id = ?1",
            (blob, id),
        )?;
        turn.tx.execute("DELETE FROM blob WHERE id = ?1", [blob])?;
    }
    turn.tx
        .execute("DELETE FROM file_answer WHERE hash = ?1", [hash])?;
    keep_mark(turn, id, member)?;
    tell_changed(turn, id)
}

/// The blobs of a file that is not here, whatever is being tried for them.
fn asked_for(tx: &Transaction<'_>, hash: Hash) -> Result<Vec<BlobId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT DISTINCT b.id FROM attachment a JOIN blob b ON b.id = a.blob_id
         WHERE a.hash = ?1 AND b.state != 2 AND NOT b.outgoing",
    )?;
    let rows = statement.query_map([hash], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

// ---- the device that may have it ----

/// Another device of this account does not have a file.
pub(super) fn handle_wanted(
    turn: &mut Turn<'_>,
    said: &Said<'_>,
    wanted: &FileWanted,
) -> Result<(), Fault> {
    let Ok(hash) = Hash::try_from(wanted.hash.as_ref()) else {
        return Ok(());
    };
    if !is_by_own_device(turn, said)? {
        return Ok(());
    }
    let reader = said.member.device;
    if held(turn.tx, hash)?.is_none() {
        return answer(turn, hash, reader, State::Absent, None);
    }
    let waiting: u32 = turn
        .tx
        .prepare_cached("SELECT count(*) FROM file_copy WHERE device_id = ?1")?
        .query_row([reader.as_bytes()], |row| row.get(0))?;
    if waiting >= COPIES_MAX {
        return Ok(());
    }
    let account = turn.account()?;
    let (own, devices) = (account.device(), account.roster().devices());
    let before = devices
        .iter()
        .filter(|device| device.id != reader)
        .position(|device| device.id == own);
    let before = u64::try_from(before.unwrap_or(0)).unwrap_or(0);
    let due_at = turn.now.after(Span(TURN.0.saturating_mul(before)));
    turn.tx.execute(
        "INSERT INTO file_copy (hash, device_id, due_at) VALUES (?1, ?2, ?3)
         ON CONFLICT DO NOTHING",
        (hash, reader.as_bytes(), signed(due_at.0)),
    )?;
    Ok(())
}

/// Begins the copies whose time has come.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let due: Vec<(Hash, [u8; 32])> = {
        let mut statement = turn.tx.prepare_cached(
            "SELECT hash, device_id FROM file_copy
             WHERE blob_id IS NULL AND due_at <= ?1 LIMIT ?2",
        )?;
        let rows = statement.query_map((signed(turn.now.0), AT_ONCE), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        rows.collect::<Result<_, _>>()?
    };
    for (hash, reader) in due {
        begin(turn, hash, DeviceId(reader))?;
    }
    let next: Option<i64> = turn
        .tx
        .prepare_cached("SELECT min(due_at) FROM file_copy WHERE blob_id IS NULL")?
        .query_row([], |row| row.get(0))?;
    if let Some(at) = next
        && !turn.is_postponed(&Postponed::FileCopies)
    {
        let wait = at.cast_unsigned().saturating_sub(turn.now.0).max(1);
        turn.postpone(Postponed::FileCopies, Span(wait.min(TURN.0)));
    }
    Ok(())
}

fn begin(turn: &mut Turn<'_>, hash: Hash, reader: DeviceId) -> Result<(), Fault> {
    let Some((source, bytes)) = held(turn.tx, hash)? else {
        turn.tx.execute(
            "DELETE FROM file_copy WHERE hash = ?1 AND device_id = ?2",
            (hash, reader.as_bytes()),
        )?;
        return answer(turn, hash, reader, State::Absent, None);
    };
    let copy: BlobId = turn.random();
    turn.tx.execute(
        "INSERT INTO blob (id, outgoing, state, bytes, parts, source) VALUES (?1, 1, 1, ?2, 0, ?3)",
        (copy, bytes, source),
    )?;
    turn.tx.execute(
        "UPDATE file_copy SET blob_id = ?3 WHERE hash = ?1 AND device_id = ?2",
        (hash, reader.as_bytes(), copy),
    )?;
    answer(turn, hash, reader, State::Coming, Some(copy))
}

/// The reader of a copy, and its mark; none where it is no device of the account any more. `None`
/// while that is not known.
pub(super) fn reader(
    turn: &mut Turn<'_>,
    copy: BlobId,
) -> Result<Option<(u32, Vec<ReaderMark>)>, Fault> {
    let Some((_, reader)) = copied(turn.tx, copy)? else {
        return Ok(Some((0, Vec::new())));
    };
    let notes = notes::conversation(turn)?;
    let group = groups::for_sending(turn.tx, notes.id)?;
    let Some(group) = group.filter(|group| group.state.is_active()) else {
        turn.memory.due_mut().conversations.insert(notes.id);
        return Ok(None);
    };
    let own = turn.account()?.device();
    let found = turn.with_group(group.id, |group, _, leaf| {
        let members = group.members()?;
        let member = members.iter().find(|member| member.device == reader);
        let mark =
            member.and_then(|member| reader_marks::mark_for(leaf, member, copy, own, reader));
        Ok::<_, Fault>(mark)
    })?;
    let marks: Vec<ReaderMark> = found.transpose()?.flatten().into_iter().collect();
    Ok(Some((u32::from(!marks.is_empty()), marks)))
}

/// A copy is at the relay, or will not be. `false` where the blob is not a copy.
pub(super) fn end_copy(turn: &mut Turn<'_>, copy: BlobId, is_there: bool) -> Result<bool, Fault> {
    let Some((hash, reader)) = copied(turn.tx, copy)? else {
        return Ok(false);
    };
    turn.tx
        .execute("DELETE FROM file_copy WHERE blob_id = ?1", [copy])?;
    turn.tx.execute("DELETE FROM blob WHERE id = ?1", [copy])?;
    let state = if is_there {
        State::There
    } else {
        State::Absent
    };
    answer(turn, hash, reader, state, is_there.then_some(copy))?;
    Ok(true)
}

/// Which file a copy is of, and for whom.
fn copied(tx: &Transaction<'_>, copy: BlobId) -> Result<Option<(Hash, DeviceId)>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT hash, device_id FROM file_copy WHERE blob_id = ?1")?
        .query_row([copy], |row| Ok((row.get(0)?, DeviceId(row.get(1)?))))
        .optional()?)
}

/// The blob with a file that is whole on this device, and its bytes.
fn held(tx: &Transaction<'_>, hash: Hash) -> Result<Option<(BlobId, i64)>, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT b.id, b.bytes FROM attachment a JOIN blob b ON b.id = a.blob_id
             WHERE a.hash = ?1 AND b.state = 2 LIMIT 1",
        )?
        .query_row([hash], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

fn answer(
    turn: &mut Turn<'_>,
    hash: Hash,
    reader: DeviceId,
    state: State,
    copy: Option<BlobId>,
) -> Result<(), Fault> {
    let answer = FileCopy {
        hash: hash.to_vec().into(),
        device_id: reader.to_bytes(),
        blob_id: copy.map_or_else(Vec::new, |copy| copy.to_vec()).into(),
        state: state.into(),
    };
    tell_own_devices(turn, envelope::Body::FileCopy(answer))
}

// ---- both ----

fn tell_own_devices(turn: &mut Turn<'_>, body: envelope::Body) -> Result<(), Fault> {
    let notes = notes::conversation(turn)?;
    let envelope = Envelope {
        sent_at_ms: turn.now.0,
        body: Some(body),
        ..Envelope::default()
    };
    let bytes = envelope.encode_to_vec();
    outbox::add(turn.tx, turn.now, notes.id, None, &bytes, None)?;
    turn.memory.due_mut().conversations.insert(notes.id);
    Ok(())
}

/// Whether another device of this account says it, in the notes.
fn is_by_own_device(turn: &Turn<'_>, said: &Said<'_>) -> Result<bool, Fault> {
    let account = turn.account()?;
    let is_other = said.member.account == account.id() && said.member.device != account.device();
    let Some(conversation) = said.group.conversation.filter(|_| is_other) else {
        return Ok(false);
    };
    let found = conversation::find(turn.tx, conversation)?;
    Ok(found.is_some_and(|found| found.kind == Kind::Notes))
}
